/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "common/config.h"
#include "selftests/unit/check.h"
#include "selftests/unit/config_sample.h"

static void values(void **state)
{
	static const char text[] = "# a comment\n"
				   "force: yes\n"
				   "name: \"a \\\"name\\\"\"\n"
				   "interface:\n"
				   "  - eth0\n"
				   "  - 'eth,1'\n"
				   "snapshot_length: 0\n"
				   "batch_size: 8KiB\n"
				   "buffer_size: 3\n"
				   "timeout: 1.5s\n"
				   "stats: 7\n"
				   "verbose: 2\n"
				   "mode: pcap\n";
	struct config *config;
	struct values v;
	char error[256];

	(void)state;
	assert_int_equal(
		config_parse_yaml(&config, &program, text, strlen(text), "f.yaml", &v, error), 0);
	CHECK(v.force);
	CHECK_STR(v.name, "a \"name\"");
	CHECK_EQ(v.interfaces.count, 2);
	CHECK_STR(v.interfaces.items[0], "eth0");
	CHECK_STR(v.interfaces.items[1], "eth,1");
	CHECK_EQ(v.snaplen, 262144);
	CHECK_EQ(v.batch, 8192);
	CHECK_EQ(v.buffer, 3 * MIB);
	CHECK_EQ(v.timeout, 1500 * NS_PER_MS);
	CHECK_EQ(v.stats, 7 * NS_PER_SEC);
	CHECK_EQ(v.verbose, 2);
	CHECK_EQ(v.mode, 2);
	CHECK_EQ(v.log_level, 2);
	CHECK_STR(config_origin(config, "force"), "f.yaml:2");
	CHECK_STR(config_origin(config, "mode"), "f.yaml:13");
	CHECK_STR(config_origin(config, "log-level"), "default");
	CHECK(config_is_set(config, "stats"));
	CHECK(!config_is_set(config, "password"));
	config_destroy(config);
}

static void accepted(void **state)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
		{ "nothing", "" },
		{ "only comments", "# nothing\n\n" },
		{ "an empty document", "---\n...\n" },
		{ "a document mark", "---\nforce: no\n" },
		{ "braces", "{force: on, name: x}" },
		{ "JSON", "{\"force\": true, \"interface\": [\"a\", \"b\"], \"timeout\": \"1s\"}" },
		{ "a list of nothing", "interface: []\n" },
		{ "a scalar for a list", "interface: eth0\n" },
		{ "a byte order mark", "\xef\xbb\xbf"
				       "force: yes\n" },
		{ "carriage returns", "force: yes\r\nname: x\r\n" },
		{ "null in quotes is a text", "name: \"null\"\n" },
		{ "UTF-8", "name: \"gr\xc3\xbc\xc3\x9f\"\n" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct config *config = NULL;
		char error[256] = "";
		struct values v;

		CHECK_EQ(config_parse_yaml(&config, &program, c->text, strlen(c->text), "f", &v,
					   error),
			 0);
		CHECK_STR(error, "");
		config_destroy(config);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *name, *text, *error;
	} cases[] = {
		{ "unknown key", "force: no\nsnaplen: 5\n",
		  "f:2:1: snaplen: unknown key; did you mean snapshot_length?" },
		{ "unknown key, nothing near", "  zzz: 5\n",
		  "f:1:3: zzz: unknown key (see 'prog --help')" },
		{ "the option's spelling", "snapshot-length: 5\n",
		  "f:1:1: snapshot-length: unknown key; did you mean snapshot_length?" },
		{ "unknown key with a mapping", "zzz: {a: b}\n",
		  "f:1:1: zzz: unknown key (see 'prog --help')" },
		{ "a key twice", "force: no\nname: x\nforce: no\n",
		  "f:3:1: force: given twice, first in line 1" },
		{ "not from a file", "print_config: yes\n",
		  "f:1:1: print_config: stands on the command line only (--print-config)" },
		{ "nested mapping", "name:\n  first: x\n",
		  "f:2:3: name: takes a text, not a mapping" },
		{ "list for a scalar", "mode: [tap]\n", "f:1:7: mode: takes a word, not a list" },
		{ "list of mappings", "interface:\n  - name: eth0\n",
		  "f:2:5: interface: takes a list of texts, not of mappings" },
		{ "list of lists", "interface: [[a]]\n",
		  "f:1:13: interface: takes a list of texts, not of lists" },
		{ "empty item", "interface: [a, '']\n", "f:1:16: interface: an item is empty" },
		{ "not a number", "snapshot_length: many\n",
		  "f:1:18: snapshot_length: \"many\" is not a decimal number" },
		{ "number overflows", "verbose: 99999999999999999999\n",
		  "f:1:10: verbose: \"99999999999999999999\" is too large: it does not fit into 64 "
		  "bits" },
		{ "too small", "batch_size: 4095\n",
		  "f:1:13: batch_size: \"4095\" is too small: at least 4KiB" },
		{ "too large", "batch_size: 2MiB\n",
		  "f:1:13: batch_size: \"2MiB\" is too large: at most 1MiB" },
		{ "not a size", "batch_size: 64 KiB\n",
		  "f:1:13: batch_size: \"64 KiB\" is not a size: say 64KiB (times 1024), 64kB "
		  "(times 1000), 8MiB or 1GiB" },
		{ "not a duration", "timeout: soon\n",
		  "f:1:10: timeout: \"soon\" is not a duration: say 20ms, 1.5s, 5m, 2h or 300us" },
		{ "not a choice", "mode: miror\n",
		  "f:1:7: mode: \"miror\" is none of mirror, tap, pcap; did you mean mirror?" },
		{ "not a flag", "force: perhaps\n",
		  "f:1:8: force: \"perhaps\" is neither yes nor no" },
		{ "no value", "name:\n", "f:1:6: name: has no value: give one or remove the line" },
		{ "null", "name: null\n",
		  "f:1:7: name: has no value: give one or remove the line" },
		{ "empty text", "name: ''\n", "f:1:7: name: must not be empty" },
		{ "zero byte", "name: \"a\\0b\"\n", "f:1:7: name: contains a zero byte" },
		{ "a scalar alone", "force\n",
		  "f:1:1: lines of the form 'key: value' are expected" },
		{ "a list alone", "- force\n",
		  "f:1:1: lines of the form 'key: value' are expected" },
		{ "a list as a key", "[a]: b\n", "f:1:1: a key must be a plain word" },
		{ "an empty key", "? \n: b\n",
		  "f:1:2: key: has no value: give one or remove the line" },
		{ "two documents", "force: yes\n---\nforce: no\n",
		  "f:2:1: a second document begins: only one is read" },
		{ "anchor", "name: &a x\n", "f:1:7: name: anchors are not supported: remove &a" },
		{ "alias", "name: *a\n",
		  "f:1:7: name: aliases are not supported: write the value out" },
		{ "tag", "verbose: !!int 5\n",
		  "f:1:10: verbose: tags are not supported: remove tag:yaml.org,2002:int" },
		{ "anchor of all", "&a\nforce: no\n",
		  "f:1:1: anchors are not supported: remove &a" },
		{ "tab", "name: x\n\tforce: yes\n",
		  "f:2:1: not valid YAML: indent with spaces, not with tabs" },
		{ "unbalanced", "interface: [a\n",
		  "f:2:1: not valid YAML: did not find expected ',' or ']'" },
		{ "Latin-1", "force: no\nname: gr\xfc\xdf\n",
		  "f:2:9: not UTF-8 text: invalid leading UTF-8 octet" },
		{ "control character", "name: a\x01\n",
		  "f:1:8: not UTF-8 text: control characters are not allowed" },
		{ "key with a line break", "\"a\\nb\": x\n",
		  "f:1:1: a\\x0ab: unknown key (see 'prog --help')" },
		{ "value with a line break", "mode: \"a\\nb\"\n",
		  "f:1:7: mode: \"a\\x0ab\" is none of mirror, tap, pcap" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct config *config = NULL;
		char error[256] = "";
		struct values v;

		CHECK_EQ(config_parse_yaml(&config, &program, c->text, strlen(c->text), "f", &v,
					   error),
			 -EINVAL);
		CHECK_STR(error, c->error);
		CHECK(!config);
	}
}

static void long_lists_end(void **state)
{
	static char text[16384];
	struct config *config = NULL;
	struct values v;
	char error[256];
	size_t n = (size_t)sprintf(text, "interface: [a");

	(void)state;
	for (int i = 0; i < 1024; i++)
		n += (size_t)sprintf(text + n, ", a%d", i);
	sprintf(text + n, "]\n");
	CHECK_EQ(config_parse_yaml(&config, &program, text, strlen(text), "f", &v, error), -EINVAL);
	CHECK(strstr(error, "interface: more than 1024 items") != NULL);
	/* And a file's name that does not fit leaves a message that ends. */
	memset(text, 'x', 600);
	text[600] = '\0';
	CHECK_EQ(config_parse_yaml(&config, &program, "a: b", 4, text, &v, error), -EINVAL);
	CHECK_EQ(strlen(error), 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(values),
		TEST(accepted),
		TEST(refused),
		TEST(long_lists_end),
	};

	return cmocka_run_group_tests_name("config_yaml", tests, NULL, NULL);
}
