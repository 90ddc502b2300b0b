/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/unit/check.h"

static const struct stream_id stream = {
	.agent = "edge-1",
	.instance = { 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	.lane = 3,
	.replay = true,
};

static struct checkpoint sample(void)
{
	struct checkpoint c = {
		.output = strdup("/var/tmp/\"merged\".pcapng"),
		.format = CAPTURE_PCAP,
		.replay = true,
		.has_key = true,
		.key = { .time_ns = 1700000000123456789,
			 .stream = stream,
			 .sequence = 1ull << 60,
			 .index = 4000000000 },
		.packets = 12,
		.late_packets = 3,
		.journal_count = 2,
		.file_count = 2,
		.files = { { .link_type_suffix = -1,
			     .is_begun = true,
			     .link_type = 1,
			     .offset = 1ull << 40 },
			   { .is_late = true, .link_type_suffix = 113, .offset = 24 } },
	};

	c.journals[0] = (struct checkpoint_journal){ .low = 64, .read = 1ull << 50 };
	c.journals[0].live = calloc(2, sizeof(*c.journals[0].live));
	assert_non_null(c.journals[0].live);
	c.journals[0].live[0] = (struct checkpoint_stream){ .number = 7, .id = stream };
	c.journals[0].live[1] = (struct checkpoint_stream){ .number = 8, .id = stream };
	c.journals[0].live[1].id.lane = UINT32_MAX;
	c.journals[0].live_count = 2;
	return c;
}

static void round_trip(void **state)
{
	struct checkpoint in = sample(), out;
	char *text = checkpoint_encode(&in);

	(void)state;
	assert_non_null(text);
	CHECK_EQ(checkpoint_decode(&out, text, strlen(text)), 0);
	CHECK_STR(out.output, in.output);
	CHECK_EQ(out.format, in.format);
	CHECK_EQ(out.replay, true);
	CHECK_EQ(out.has_key, true);
	CHECK_EQ(out.key.time_ns, in.key.time_ns);
	CHECK(stream_id_equal(&out.key.stream, &stream));
	CHECK_EQ(out.key.sequence, in.key.sequence);
	CHECK_EQ(out.key.index, in.key.index);
	CHECK_EQ(out.packets, 12);
	CHECK_EQ(out.late_packets, 3);
	CHECK_EQ(out.journal_count, 2);
	CHECK_EQ(out.journals[0].low, 64);
	CHECK_EQ(out.journals[0].read, 1ull << 50);
	CHECK_EQ(out.journals[0].live_count, 2);
	CHECK_EQ(out.journals[0].live[0].number, 7);
	CHECK(stream_id_equal(&out.journals[0].live[0].id, &stream));
	CHECK_EQ(out.journals[0].live[1].id.lane, UINT32_MAX);
	CHECK_EQ(out.journals[1].live_count, 0);
	CHECK_EQ(out.file_count, 2);
	CHECK_EQ(out.files[0].offset, 1ull << 40);
	CHECK_EQ(out.files[0].link_type_suffix, -1);
	CHECK_EQ(out.files[0].is_begun, true);
	CHECK_EQ(out.files[0].link_type, 1);
	CHECK_EQ(out.files[1].is_late, true);
	CHECK_EQ(out.files[1].link_type_suffix, 113);
	checkpoint_release(&out);
	checkpoint_release(&in);
	free(text);
}

static void nothing_written_yet(void **state)
{
	struct checkpoint in = sample(), out;
	char *text;

	(void)state;
	in.has_key = false;
	text = checkpoint_encode(&in);
	assert_non_null(text);
	CHECK_EQ(checkpoint_decode(&out, text, strlen(text)), 0);
	CHECK_EQ(out.has_key, false);
	checkpoint_release(&out);
	checkpoint_release(&in);
	free(text);
}

/* Without its member or with a value that cannot be: refused, whichever it is. */
static void damaged(void **state)
{
	static const struct {
		const char *name, *from, *to;
	} cases[] = {
		{ "no JSON", "{", "[" },
		{ "version", "\"version\": 1", "\"version\": 2" },
		{ "no output", "\"output\"", "\"outputs\"" },
		{ "format", "\"pcap\"", "\"pcapx\"" },
		{ "id", "edge-1", "edge 1" },
		{ "instance", "ff0102", "fg0102" },
		{ "short instance", "ff0102", "ff01" },
		{ "read before low", "\"low\": 64", "\"low\": 2251799813685248" },
		{ "negative", "\"low\": 64", "\"low\": -64" },
		{ "number", "\"number\": 7", "\"number\": 70000" },
		{ "link type", "\"link_type_suffix\": 113", "\"link_type_suffix\": 65536" },
		{ "offset", "\"offset\": 24", "\"offset\": \"24\"" },
	};
	struct checkpoint in = sample(), out;
	char *text = checkpoint_encode(&in), changed[4096], *at;

	(void)state;
	assert_non_null(text);
	FOR_EACH_CASE (c, cases) {
		at = strstr(text, c->from);
		assert_non_null(at);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, c->to,
			 at + strlen(c->from));
		CHECK_EQ(checkpoint_decode(&out, changed, strlen(changed)), -EBADMSG);
	}
	for (size_t len = 0; len < strlen(text) - 1; len++)
		CHECK_EQ(checkpoint_decode(&out, text, len), -EBADMSG);
	checkpoint_release(&in);
	free(text);
}

static void names(void **state)
{
	char dir[] = "/tmp/xcap-checkpoint.XXXXXX", path[256], link[64], name[256], other[256];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a b.pcapng", dir);
	CHECK_EQ(checkpoint_name(name, sizeof(name), path), 0);
	CHECK(strncmp(name, "a_b.pcapng-", 11) == 0);
	snprintf(path, sizeof(path), "%s/../%s/./a b.pcapng", dir, strrchr(dir, '/') + 1);
	CHECK_EQ(checkpoint_name(other, sizeof(other), path), 0);
	CHECK_STR(name, other);
	snprintf(link, sizeof(link), "%s.link", dir);
	assert_int_equal(symlink(dir, link), 0);
	snprintf(path, sizeof(path), "%s/a b.pcapng", link);
	CHECK_EQ(checkpoint_name(other, sizeof(other), path), 0);
	CHECK_STR(name, other);
	snprintf(path, sizeof(path), "%s/a_b.pcapng", dir);
	CHECK_EQ(checkpoint_name(other, sizeof(other), path), 0);
	CHECK(strcmp(name, other) != 0);
	CHECK_EQ(checkpoint_name(name, sizeof(name), "/no/such/folder/x"), -ENOENT);
	unlink(link);
	rmdir(dir);
}

static void saved_and_loaded(void **state)
{
	char dir[] = "/tmp/xcap-checkpoint.XXXXXX", path[256], error[STORE_ERROR_LEN];
	struct checkpoint in = sample(), out;
	struct store *store;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(store_open(&store, dir, 2, error), 0);
	CHECK_EQ(checkpoint_load(&out, store, "x"), -ENOENT);
	CHECK_EQ(checkpoint_save(&in, store, "x"), 0);
	in.packets = 99;
	CHECK_EQ(checkpoint_save(&in, store, "x"), 0);
	CHECK_EQ(checkpoint_load(&out, store, "x"), 0);
	CHECK_EQ(out.packets, 99);
	checkpoint_release(&out);
	snprintf(path, sizeof(path), "%s/readers/x.json", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	CHECK_EQ(checkpoint_load(&out, store, "x"), -EBADMSG);
	unlink(path);
	store_close(store);
	snprintf(path, sizeof(path), "%s/readers", dir);
	CHECK_EQ(rmdir(path), 0); /* nothing else is left there */
	snprintf(path, sizeof(path), "%s/store.json", dir);
	unlink(path);
	rmdir(dir);
	checkpoint_release(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(round_trip), TEST(nothing_written_yet), TEST(damaged),
		TEST(names),	  TEST(saved_and_loaded),
	};

	return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
