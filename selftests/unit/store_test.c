/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/store.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/unit/check.h"

static char dir[] = "/tmp/xcap-store.XXXXXX";
static char error[STORE_ERROR_LEN];

static int make_dir(void **state)
{
	memcpy(strrchr(dir, '.'), ".XXXXXX", 7);
	return mkdtemp(dir) ? check_begin(state) : -1;
}

static int remove_dir(void **state)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/store.json", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/readers", dir);
	rmdir(path);
	if (rmdir(dir))
		return -1;
	return check_end(state);
}

static void number_of_journals_is_fixed(void **state)
{
	struct store *store;
	char path[256];

	(void)state;
	assert_int_equal(store_open(&store, dir, 3, error), 0);
	CHECK_EQ(store_journal_count(store), 3);
	CHECK_STR(store_dir(store), dir);
	snprintf(path, sizeof(path), "%s/journal-2", dir);
	CHECK_STR(store_journal_dir(store, 2), path);
	store_close(store);
	assert_int_equal(store_open(&store, dir, 1, error), 0);
	CHECK_EQ(store_journal_count(store), 3);
	store_close(store);
}

static void descriptions_judged(void **state)
{
	static const struct {
		const char *name, *text;
		int err;
		const char *part; /* of the error */
	} cases[] = {
		{ "good", "{\"version\": 1, \"journals\": 64, \"more\": true}", 0, "" },
		{ "empty", "", -EBADMSG, "not the description of a store" },
		{ "newer", "{\"version\": 2, \"journals\": 1}", -EBADMSG, "version 2" },
		{ "none", "{\"version\": 1, \"journals\": 0}", -EBADMSG, "not the desc" },
		{ "too many", "{\"version\": 1, \"journals\": 65}", -EBADMSG, "not the desc" },
		{ "text", "{\"version\": 1, \"journals\": \"2\"}", -EBADMSG, "not the desc" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct store *store = NULL;

		CHECK_EQ(store_write_file(dir, "store.json", c->text), 0);
		*error = '\0';
		CHECK_EQ(store_open(&store, dir, 1, error), c->err);
		CHECK(!c->err || strstr(error, c->part));
		CHECK(!c->err || strstr(error, dir));
		store_close(store);
	}
}

static void cannot_be_made(void **state)
{
	struct store *store = NULL;

	(void)state;
	CHECK_EQ(store_open(&store, "/proc/xcap-store", 1, error), -ENOENT);
	CHECK(strstr(error, "/proc/xcap-store"));
	CHECK(!store);
}

static void streams_published(void **state)
{
	struct store_stream stream = { .id.agent = "a", .number = 5, .connected = true };
	struct store_journal journal = { .stats.durable = 4096, .failing = true }, got = {};
	struct store_stream_list list = {};
	uint64_t version = 0, other = 0;
	struct store *store;
	uint32_t place;

	(void)state;
	assert_int_equal(store_open(&store, dir, 2, error), 0);
	CHECK_EQ(store_changed_streams(store, 1, &version, &list), 0);
	CHECK_EQ(list.count, 0);
	for (uint32_t i = 0; i < 100; i++) {
		stream.number = i;
		CHECK_EQ(store_add_stream(store, 1, &stream, &place), 0);
		CHECK_EQ(place, i);
	}
	CHECK_EQ(store_changed_streams(store, 1, &version, &list), 0);
	CHECK_EQ(list.count, 100);
	CHECK_EQ(store_changed_streams(store, 1, &version, &list), 0);
	CHECK_EQ(list.count, 0);
	stream.number = 42;
	stream.watermark_ns = 7;
	store_set_stream(store, 1, 42, &stream);
	CHECK_EQ(store_changed_streams(store, 1, &version, &list), 0);
	CHECK_EQ(list.count, 1);
	CHECK_EQ(list.list[0].number, 42);
	CHECK_EQ(list.list[0].watermark_ns, 7);
	/* Another reader has its own version; another journal its own streams. */
	CHECK_EQ(store_changed_streams(store, 1, &other, &list), 0);
	CHECK_EQ(list.count, 100);
	other = 0;
	CHECK_EQ(store_changed_streams(store, 0, &other, &list), 0);
	CHECK_EQ(list.count, 0);
	store_set_journal(store, 1, &journal);
	store_get_journal(store, 1, &got);
	CHECK_EQ(got.stats.durable, 4096);
	CHECK(got.failing);
	store_get_journal(store, 0, &got);
	CHECK_EQ(got.stats.durable, 0);
	store_wake_reader(store); /* nobody watches */
	free(list.list);
	store_close(store);
}

static void file_replaced_or_kept(void **state)
{
	char path[256], text[16] = "";
	FILE *file;

	(void)state;
	CHECK_EQ(store_write_file(dir, "store.json", "one"), 0);
	CHECK_EQ(store_write_file(dir, "store.json", "two"), 0);
	CHECK_EQ(store_write_file("/nonexistent", "store.json", "x"), -ENOENT);
	snprintf(path, sizeof(path), "%s/store.json", dir);
	file = fopen(path, "r");
	assert_non_null(file);
	CHECK(fgets(text, sizeof(text), file) != NULL);
	CHECK_STR(text, "two");
	fclose(file);
	snprintf(path, sizeof(path), "%s/store.json.new", dir);
	CHECK_EQ(access(path, F_OK), -1);
}

int main(void)
{
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		STORE_TEST(number_of_journals_is_fixed),
		STORE_TEST(descriptions_judged),
		STORE_TEST(cannot_be_made),
		STORE_TEST(streams_published),
		STORE_TEST(file_replaced_or_kept),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
