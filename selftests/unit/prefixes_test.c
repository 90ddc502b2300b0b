/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of addresses: how they are written, and what is wrong with them. */
#include "bpf/prefixes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/prefixes_table.h"
#include "selftests/unit/check.h"

static char error[EXPLAIN_LEN];

static void words_are_addresses_or_prefixes(void **state)
{
	static const struct {
		const char *name;
		bool is_ipv4;
		uint64_t high, low;
		unsigned int length; /* 0: refused */
	} cases[] = {
		{ "192.0.2.1", true, 0, 0xffffc0000201, 128 },
		{ "192.0.2.0/24", true, 0, 0xffffc0000200, 120 },
		{ "0.0.0.0/0", true, 0, 0xffff00000000, 96 },
		{ "255.255.255.255/32", true, 0, 0xffffffffffff, 128 },
		{ "2001:db8::1", false, 0x20010db800000000, 1, 128 },
		{ "2001:db8::/32", false, 0x20010db800000000, 0, 32 },
		{ "2001:db8:0:0:8000::/65", false, 0x20010db800000000, 0x8000000000000000, 65 },
		{ "::/1", false, 0, 0, 1 },
		{ "::ffff:10.0.0.0/104", true, 0, 0xffff0a000000, 104 },
		{ "::fffe:0:0/95", false, 0, 0xfffe00000000, 95 },
		{ "192.0.2", .length = 0 },
		{ "192.0.2.256", .length = 0 },
		{ "192.0.2.0/33", .length = 0 },
		{ "192.0.2.0/", .length = 0 },
		{ "192.0.2.0/+4", .length = 0 },
		{ "192.0.2.0/24/24", .length = 0 },
		{ "192.0.2.0/0x8", .length = 0 },
		{ "192.0.2.1/24", .length = 0 },
		{ "2001:db8::/129", .length = 0 },
		{ "2001:db8::1/64", .length = 0 },
		{ "2001:db8::1%eth0", .length = 0 },
		{ "host.example", .length = 0 },
		{ "/24", .length = 0 },
		{ "", .length = 0 },
		{ "1111111111111111111111111111111111111111111111111111111111111111111111",
		  .length = 0 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct prefixes prefixes = {};
		int err = prefixes_add(&prefixes, XCAP_DENY, c->name, error);

		CHECK_EQ(err, c->length ? 0 : -EINVAL);
		CHECK_EQ(prefixes.count, c->length > 0);
		if (prefixes.count) {
			CHECK_EQ(prefixes.list[0].is_ipv4, c->is_ipv4);
			CHECK_EQ(prefixes.list[0].address[0], c->high);
			CHECK_EQ(prefixes.list[0].address[1], c->low);
			CHECK_EQ(prefixes.list[0].length, c->length);
		}
		prefixes_release(&prefixes);
	}
}

static void files_have_one_a_line(void **state)
{
	static const struct {
		const char *name, *text, *error;
		unsigned int count;
	} cases[] = {
		{ "nothing", "", NULL, 0 },
		{ "comments and empty lines", "# list\n\n  \n#\n", NULL, 0 },
		{ "two", "10.0.0.1\n2001:db8::/32\n", NULL, 2 },
		{ "without an end of line", "10.0.0.1", NULL, 1 },
		{ "lines of DOS", "10.0.0.1\r\n10.0.0.2\r\n", NULL, 2 },
		{ "space and comments around", " \t10.0.0.1 # one\n10.0.0.2# two\n", NULL, 2 },
		{ "twice the same", "10.0.0.1\n10.0.0.1/32\n", NULL, 1 },
		{ "two on a line", "10.0.0.1\n10.0.0.2 10.0.0.3\n",
		  "list:2: \"10.0.0.2 10.0.0.3\" is neither an address nor a prefix: write "
		  "192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
		  0 },
		{ "bits behind the length", "# x\n10.1.2.3/8\n",
		  "list:2: 10.1.2.3/8 has bits set behind its length: write 10.0.0.0/8", 0 },
		{ "IPv6 bits behind", "2001:db8::1/32",
		  "list:1: 2001:db8::1/32 has bits set behind its length: write 2001:db8::/32", 0 },
		{ "what cannot be printed", "10.0.0.\x1b[2J\n",
		  "list:1: \"10.0.0.?[2J\" is neither an address nor a prefix: write 192.0.2.1, "
		  "192.0.2.0/24 or 2001:db8::/32",
		  0 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct prefixes prefixes = {};
		int err = prefixes_add_text(&prefixes, XCAP_ALLOW, c->text, strlen(c->text), "list",
					    error);

		CHECK_EQ(err, c->error ? -EBADMSG : 0);
		if (c->error) {
			CHECK_STR(error, c->error);
		} else {
			CHECK_EQ(prefixes_finish(&prefixes, error), 0);
			CHECK_EQ(prefixes.count, c->count);
		}
		prefixes_release(&prefixes);
	}
}

static void one_cannot_be_both_allowed_and_denied(void **state)
{
	struct prefixes prefixes = {};

	(void)state;
	assert_int_equal(prefixes_add(&prefixes, XCAP_ALLOW, "10.0.0.0/8", error), 0);
	assert_int_equal(prefixes_add(&prefixes, XCAP_DENY, "10.0.0.0/9", error), 0);
	CHECK_EQ(prefixes_finish(&prefixes, error), 0);
	assert_int_equal(prefixes_add(&prefixes, XCAP_DENY, "10.0.0.0/8", error), 0);
	CHECK_EQ(prefixes_finish(&prefixes, error), -EINVAL);
	CHECK(strstr(error, "10.0.0.0/8"));
	prefixes_release(&prefixes);
	assert_int_equal(prefixes_add(&prefixes, XCAP_ALLOW, "10.0.0.0/8", error), 0);
	assert_int_equal(
		prefixes_add_text(&prefixes, XCAP_DENY, "\n10.0.0.0/8", 11, "bad.txt", error), 0);
	CHECK_EQ(prefixes_finish(&prefixes, error), -EBADMSG);
	CHECK(strstr(error, "bad.txt:2") && strstr(error, "--allow"));
	prefixes_release(&prefixes);
}

static void words_may_name_files(void **state)
{
	char path[] = "/tmp/xcap-prefixes.XXXXXX", at[64];
	const char *allow_words[] = { "192.0.2.1", at }, *deny_words[] = { "198.51.100.0/24" };
	const char *missing_words[] = { "@/nonexistent/list" };
	struct prefixes_words allow = { allow_words, 2 }, deny = { deny_words, 1 };
	struct prefixes_words missing = { missing_words, 1 }, none = {};
	struct xcap_list_counts counts;
	struct prefixes prefixes;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "2001:db8::/32 # one\n10.0.0.1\n", 29), 29);
	for (int with_at = 0; with_at < 2; with_at++) {
		snprintf(at, sizeof(at), "%s%s", with_at ? "@" : "", path);
		assert_int_equal(prefixes_load(&prefixes, &allow, &deny, error), 0);
		prefixes_count(&prefixes, &counts);
		CHECK_EQ(counts.allow_ipv4, 2);
		CHECK_EQ(counts.allow_ipv6, 1);
		CHECK_EQ(counts.deny_ipv4, 1);
		CHECK_EQ(counts.deny_ipv6, 0);
		prefixes_release(&prefixes);
	}
	assert_int_equal(pwrite(fd, "x", 1, 20), 1);
	CHECK_EQ(prefixes_load(&prefixes, &allow, &deny, error), -EBADMSG);
	CHECK(strstr(error, path) && strstr(error, ":2: "));
	CHECK_EQ(prefixes_load(&prefixes, &none, &missing, error), -EBADMSG);
	CHECK_STR(error, "cannot read the list /nonexistent/list: No such file or directory");
	close(fd);
	unlink(path);
}

/* All lengths there are, one in the other, still find room. */
static void tables_hold_every_length(void **state)
{
	struct prefixes prefixes = {};
	struct prefixes_tables tables;
	char word[64];

	(void)state;
	for (unsigned int length = 0; length <= 128; length++) {
		snprintf(word, sizeof(word), "::/%u", length);
		assert_int_equal(
			prefixes_add(&prefixes, length % 2 ? XCAP_ALLOW : XCAP_DENY, word, error),
			0);
		if (length <= 32) {
			snprintf(word, sizeof(word), "0.0.0.0/%u", length);
			assert_int_equal(prefixes_add(&prefixes, XCAP_DENY, word, error), 0);
		}
	}
	assert_int_equal(prefixes_finish(&prefixes, error), 0);
	assert_int_equal(prefixes_tables_build(&tables, &prefixes), 0);
	CHECK_EQ(tables.config.ipv6_count, 129);
	CHECK_EQ(tables.config.ipv4_count, 9); /* 25 to 32, and 24 for the rest around them */
	CHECK_EQ(tables.config.needs_allow, 1);
	CHECK_EQ(tables.ipv4[0] & 3, XCAP_LONGER);
	CHECK_EQ(tables.ipv4[0] >> 2 & 3, XCAP_DENY);
	prefixes_tables_release(&tables);
	prefixes_release(&prefixes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(words_are_addresses_or_prefixes),
		TEST(files_have_one_a_line),
		TEST(one_cannot_be_both_allowed_and_denied),
		TEST(words_may_name_files),
		TEST(tables_hold_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
