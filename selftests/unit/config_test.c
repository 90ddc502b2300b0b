/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/unit/check.h"
#include "selftests/unit/config_sample.h"

static char dir[] = "/tmp/xcap-config-XXXXXX";

static const char *in_dir(const char *name)
{
	static char paths[16][256];
	static unsigned int next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(in_dir(name), "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static char out[16384], err_text[16384];

static void slurp(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[MAX(n, 0)] = '\0';
	close(fd);
}

/* config_parse() with what it prints in out and err_text. argv: words, NULL at the end. */
static enum config_outcome run_program(struct config **ret, const struct config_program *what,
				       struct values *values, const char *const *words)
{
	const int fds[] = { 1, 2 };
	enum config_outcome outcome;
	int saved[2], files[2], argc = 1;
	char *argv[2048] = { (char *)(uintptr_t) "prog" };

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		files[i] = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		saved[i] = dup(fds[i]);
		assert_true(files[i] >= 0 && saved[i] >= 0);
		dup2(files[i], fds[i]);
	}
	outcome = config_parse(ret, what, argc, argv, values);
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], fds[i]);
		close(saved[i]);
	}
	slurp(files[0], out, sizeof(out));
	slurp(files[1], err_text, sizeof(err_text));
	return outcome;
}

#define RUN(ret, values, ...) \
	run_program(ret, &program, values, (const char *const[]){ __VA_ARGS__, NULL })

static void command_line(void **state)
{
	struct config *config;
	struct values v;

	(void)state;
	assert_int_equal(RUN(&config, &v, "-vfvi", "a,b", "-s96", "-i", "c", "--interface=d", "-B",
			     "16", "--stats", "--mode", "mirror", "--timeout=3ms"),
			 CONFIG_RUN);
	CHECK(v.force);
	CHECK_EQ(v.verbose, 2);
	CHECK_EQ(v.interfaces.count, 4);
	CHECK_STR(v.interfaces.items[0], "a");
	CHECK_STR(v.interfaces.items[3], "d");
	CHECK_EQ(v.snaplen, 96);
	CHECK_EQ(v.buffer, 16 * MIB);
	CHECK_EQ(v.stats, 5 * NS_PER_SEC);
	CHECK_EQ(v.timeout, 3 * NS_PER_MS);
	CHECK_EQ(v.mode, 0);
	CHECK_STR(config_origin(config, "mode"), "command line");
	CHECK_STR(config_origin(config, "name"), "default");
	CHECK_EQ(config_arguments(config)->count, 0);
	config_destroy(config);

	assert_int_equal(RUN(&config, &v, "--stats=9", "-f", "--force=no", "-s", "1", "-s", "2"),
			 CONFIG_RUN);
	CHECK_EQ(v.stats, 9 * NS_PER_SEC);
	CHECK(!v.force);
	CHECK(config_is_set(config, "force"));
	CHECK_EQ(v.snaplen, 2);
	config_destroy(config);
}

static void another_name(void **state)
{
	struct config *config;
	struct values v;

	(void)state;
	assert_int_equal(RUN(&config, &v, "--device", "a", "--interface=b", "--dev=c"), CONFIG_RUN);
	CHECK_EQ(v.interfaces.count, 3);
	CHECK_STR(v.interfaces.items[0], "a");
	CHECK_STR(v.interfaces.items[2], "c");
	CHECK_STR(config_origin(config, "interface"), "command line");
	config_destroy(config);
}

static void positional_arguments(void **state)
{
	struct config_program takes_files = program;
	const char *const words[] = { "a", "-f", "--", "-b", NULL };
	const char *many[2000] = {};
	struct config *config;
	struct values v;

	(void)state;
	takes_files.positional = "FILE";
	assert_int_equal(run_program(&config, &takes_files, &v, words), CONFIG_RUN);
	CHECK(v.force);
	CHECK_EQ(config_arguments(config)->count, 2);
	CHECK_STR(config_arguments(config)->items[0], "a");
	CHECK_STR(config_arguments(config)->items[1], "-b");
	config_destroy(config);
	for (size_t i = 0; i < ARRAY_SIZE(many) - 1; i++)
		many[i] = "a";
	assert_int_equal(run_program(&config, &takes_files, &v, many), CONFIG_RUN);
	CHECK_EQ(config_arguments(config)->count, ARRAY_SIZE(many) - 1);
	config_destroy(config);
}

static void command_line_refused(void **state)
{
	static const struct {
		const char *name;
		const char *words[4];
		const char *error;
	} cases[] = {
		{ "unknown long",
		  { "--snaplen", "5" },
		  "unknown option --snaplen; did you mean --snapshot-length?" },
		{ "unknown long with a value",
		  { "--mdoe=5" },
		  "unknown option --mdoe; did you mean --mode?" },
		{ "nothing near", { "--zzz" }, "unknown option --zzz" },
		{ "ambiguous", { "--b" }, "option --b is ambiguous: write it in full" },
		{ "unknown letter", { "-z" }, "unknown option -z" },
		{ "unknown letter in a bundle", { "-vz" }, "unknown option -z" },
		{ "value missing", { "-s" }, "-s needs a value: LEN" },
		{ "long value missing", { "--mode" }, "--mode needs a value: MODE" },
		{ "value not taken", { "--verbose=3" }, "--verbose takes no value" },
		{ "help takes none", { "--help=3" }, "--help takes no value" },
		{ "bad value", { "-s", "12x" }, "-s: \"12x\" is not a decimal number" },
		{ "bad long value",
		  { "--batch-size", "1" },
		  "--batch-size: \"1\" is too small: at least 4KiB" },
		{ "empty item", { "-i", "a,,b" }, "-i: an item is empty" },
		{ "empty", { "--name", "" }, "--name: must not be empty" },
		{ "argument", { "eth0" }, "unexpected argument \"eth0\"" },
		{ "cross-check", { "--name", "bad" }, "that name is bad" },
	};
	char expected[512];
	struct config *config = NULL;
	struct values v;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		CHECK_EQ(run_program(&config, &program, &v, c->words), CONFIG_EXIT_USAGE);
		snprintf(expected, sizeof(expected), "prog: %s (see 'prog --help')\n", c->error);
		CHECK_STR(err_text, expected);
		CHECK_STR(out, "");
	}
	check_case = NULL;
	CHECK(!config);
}

static void each_layer_wins(void **state)
{
	const char *path = in_dir("layers.yaml");
	struct config *config;
	struct values v;
	char text[300];

	(void)state;
	write_file("layers.yaml",
		   "name: file\nmode: pcap\nverbose: 1\nbatch_size: 5000\nforce: yes\n");
	mkdir(in_dir("layers.yaml.d"), 0700);
	write_file("layers.yaml.d/20-b.yaml", "verbose: 3\n");
	write_file("layers.yaml.d/10-a.yaml", "verbose: 2\nmode: mirror\ntimeout: 1s\n");
	write_file("layers.yaml.d/30-c.txt", "verbose: 4\n");
	write_file("layers.yaml.d/.40-d.yaml", "verbose: 5\n");
	setenv("XCAP_TIMEOUT", "2s", 1);
	setenv("XCAP_BATCH_SIZE", "6000", 1);
	setenv("XCAP_INTERFACE", "a,b", 1);
	setenv("XCAP_STATS", "", 1);
	setenv("XCAP_TEST_ANYTHING", "1", 1);
	setenv("XCAP_BIN", "1", 1);
	setenv("XCAP_BPFFS", "1", 1);
	setenv("XCAP_REQUIRE_ALL", "1", 1);
	assert_int_equal(RUN(&config, &v, "--config", path, "--batch-size", "7000", "--force=no"),
			 CONFIG_RUN);
	CHECK_STR(v.name, "file");
	CHECK_EQ(v.verbose, 3);
	CHECK_EQ(v.mode, 0);
	CHECK_EQ(v.timeout, 2 * NS_PER_SEC);
	CHECK_EQ(v.batch, 7000);
	CHECK_EQ(v.interfaces.count, 2);
	CHECK(!v.force);
	CHECK(!config_is_set(config, "stats"));
	snprintf(text, sizeof(text), "%s.d/20-b.yaml:1", path);
	CHECK_STR(config_origin(config, "verbose"), text);
	CHECK_STR(config_origin(config, "timeout"), "environment");
	CHECK_STR(config_origin(config, "batch-size"), "command line");
	config_destroy(config);
	unsetenv("XCAP_TIMEOUT");
	unsetenv("XCAP_BATCH_SIZE");
	unsetenv("XCAP_INTERFACE");
	unsetenv("XCAP_STATS");
	unsetenv("XCAP_BIN");
	unsetenv("XCAP_BPFFS");
	unsetenv("XCAP_REQUIRE_ALL");
}

/* The sample's presets are its modes, and tell the timeout. */
static void a_preset_gives_way_to_what_is_given(void **state)
{
	static const struct {
		const char *name, *file, *environment, *mode, *timeout;
		uint64_t ms;
		const char *origin;
	} cases[] = {
		{ "no entry", "", "", "--mode=tap", NULL, 20, "default" },
		{ "one lower", "", "", "--mode=mirror", NULL, 5, "preset mirror" },
		{ "one higher", "", "", "--mode=pcap", NULL, 500, "preset pcap" },
		{ "from a file", "mode: pcap\n", "", NULL, NULL, 500, "preset pcap" },
		{ "the last one", "mode: pcap\n", "", "--mode=mirror", NULL, 5, "preset mirror" },
		{ "file wins", "timeout: 1s\n", "", "--mode=pcap", NULL, 1000, "FILE:1" },
		{ "environment wins", "", "3s", "--mode=pcap", NULL, 3000, "environment" },
		{ "command line wins", "mode: pcap\n", "", NULL, "--timeout=20ms", 20,
		  "command line" },
	};
	const char *path = in_dir("preset.yaml");
	struct config *config;
	struct values v;
	char origin[300];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		write_file("preset.yaml", c->file);
		setenv("XCAP_TIMEOUT", c->environment, 1);
		assert_int_equal(RUN(&config, &v, "--config", path, c->mode ?: "--verbose",
				     c->timeout ?: "--verbose"),
				 CONFIG_RUN);
		CHECK_EQ(v.timeout, c->ms * NS_PER_MS);
		if (strcmp(c->origin, "FILE:1") == 0)
			snprintf(origin, sizeof(origin), "%s:1", path);
		else
			snprintf(origin, sizeof(origin), "%s", c->origin);
		CHECK_STR(config_origin(config, "timeout"), origin);
		CHECK_EQ(config_is_set(config, "timeout"),
			 strncmp(c->origin, "preset", 6) && strcmp(c->origin, "default"));
		config_destroy(config);
	}
	unsetenv("XCAP_TIMEOUT");
}

static void environment_refused(void **state)
{
	static const struct {
		const char *name, *variable, *value, *error;
	} cases[] = {
		{ "unknown", "XCAP_SNAPLEN", "5",
		  "environment: XCAP_SNAPLEN: no such setting; did you mean "
		  "XCAP_SNAPSHOT_LENGTH?" },
		{ "nothing near", "XCAP_ZZZ", "5",
		  "environment: XCAP_ZZZ: no such setting; unset it" },
		{ "unknown and empty", "XCAP_ZZZ", "",
		  "environment: XCAP_ZZZ: no such setting; unset it" },
		{ "nameless", "XCAP_", "5", "environment: XCAP_: no such setting; unset it" },
		{ "command line only", "XCAP_PRINT_CONFIG", "1",
		  "environment: XCAP_PRINT_CONFIG: no such setting; unset it" },
		{ "bad value", "XCAP_FORCE", "perhaps",
		  "environment: XCAP_FORCE: \"perhaps\" is neither yes nor no" },
		{ "cross-check", "XCAP_NAME", "bad", "that name is bad" },
	};
	struct config_program only_command_line = program;
	static const char *const nothing[] = { NULL };
	struct config *config = NULL;
	char expected[512];
	struct values v;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		setenv(c->variable, c->value, 1);
		CHECK_EQ(run_program(&config, &program, &v, nothing), CONFIG_EXIT_CONFIG);
		unsetenv(c->variable);
		snprintf(expected, sizeof(expected), "prog: %s\n", c->error);
		CHECK_STR(err_text, expected);
	}
	check_case = NULL;
	/* With a command line it is that which does not fit. */
	setenv("XCAP_VERBOSE", "2", 1);
	CHECK_EQ(RUN(&config, &v, "--name", "bad"), CONFIG_EXIT_USAGE);
	unsetenv("XCAP_VERBOSE");
	/* A program without settings there does not look. */
	only_command_line.options = options + ARRAY_SIZE(options) - 3;
	only_command_line.option_count = 3;
	only_command_line.preset = NULL;
	only_command_line.check = NULL;
	setenv("XCAP_ZZZ", "5", 1);
	v = (struct values){};
	CHECK_EQ(run_program(&config, &only_command_line, &v, nothing), CONFIG_RUN);
	unsetenv("XCAP_ZZZ");
	config_destroy(config);
}

static void files_refused(void **state)
{
	static const char *const nothing[] = { NULL };
	struct config_program with_file = program;
	struct config *config = NULL;
	char expected[512], *large;
	struct values v;

	(void)state;
	CHECK_EQ(RUN(&config, &v, "--config", in_dir("none.yaml")), CONFIG_EXIT_CONFIG);
	snprintf(expected, sizeof(expected), "prog: cannot read %s: No such file or directory\n",
		 in_dir("none.yaml"));
	CHECK_STR(err_text, expected);
	write_file("fine.yaml", "verbose: 1\n");
	CHECK_EQ(RUN(&config, &v, "--config", in_dir("fine.yaml"), "--name", "bad"),
		 CONFIG_EXIT_CONFIG);
	CHECK_EQ(RUN(&config, &v, "--config", dir), CONFIG_EXIT_CONFIG);
	snprintf(expected, sizeof(expected), "prog: cannot read %s: Is a directory\n", dir);
	CHECK_STR(err_text, expected);
	write_file("bad.yaml", "force: yes\nnam: x\n");
	CHECK_EQ(RUN(&config, &v, "--config", in_dir("bad.yaml")), CONFIG_EXIT_CONFIG);
	snprintf(expected, sizeof(expected), "prog: %s:2:1: nam: unknown key; did you mean name?\n",
		 in_dir("bad.yaml"));
	CHECK_STR(err_text, expected);
	/* The command line is looked at first. */
	CHECK_EQ(RUN(&config, &v, "--config", in_dir("bad.yaml"), "-s", "x"), CONFIG_EXIT_USAGE);
	large = calloc(1, MIB + 2);
	assert_non_null(large);
	memset(large, '\n', MIB + 1);
	write_file("large.yaml", large);
	free(large);
	CHECK_EQ(RUN(&config, &v, "--config", in_dir("large.yaml")), CONFIG_EXIT_CONFIG);
	CHECK(strstr(err_text, "larger than 1 MiB") != NULL);
	/* A default file need not be there; what lies in its directory counts all the same. */
	with_file.default_file = in_dir("default.yaml");
	CHECK_EQ(run_program(&config, &with_file, &v, nothing), CONFIG_RUN);
	config_destroy(config);
	mkdir(in_dir("default.yaml.d"), 0700);
	write_file("default.yaml.d/1.yaml", "name: bad\n");
	CHECK_EQ(run_program(&config, &with_file, &v, nothing), CONFIG_EXIT_CONFIG);
	CHECK_STR(err_text, "prog: that name is bad\n");
}

static void check_config(void **state)
{
	struct config *config = NULL;
	struct values v;

	(void)state;
	CHECK_EQ(RUN(&config, &v, "--check-config"), CONFIG_EXIT_OK);
	CHECK_STR(out, "");
	CHECK_EQ(RUN(&config, &v, "--check-config", "--name", "bad"), CONFIG_EXIT_CONFIG);
	CHECK_STR(err_text, "prog: that name is bad\n");
	CHECK_EQ(RUN(&config, &v, "--check-config", "--nam=e"), CONFIG_EXIT_OK);
	CHECK_EQ(RUN(&config, &v, "--check-config", "-z"), CONFIG_EXIT_USAGE);
}

/* Without the comments, which name the origins. */
static void strip_comments(char *text)
{
	char *to = text, *end;

	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		if (*text == '#')
			continue;
		for (const char *at = text;
		     at < end && strncmp(at, "   #", 4) && strncmp(at, " # ", 3);)
			*to++ = *at++;
		*to++ = '\n';
	}
	*to = '\0';
}

static void printed_config_reads_back(void **state)
{
	static const struct {
		const char *name;
		const char *words[8];
	} cases[] = {
		{ "defaults", {} },
		{ "lists", { "-i", "eth0,null,a b", "-i", "12,[x],- y" } },
		{ "numbers", { "-s96", "-vv", "-B", "1.5", "--timeout=90s", "--stats=0" } },
		{ "strange sizes", { "--batch-size=4097", "--timeout=1500us", "-B", "3GiB" } },
		{ "text", { "--name", "a \"b\" \\ \t\n: # ' \x01\x7f", "-f" } },
		{ "wide text",
		  { "--name", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7 "
			      "\xe2\x80\xa8 \xef\xbb\xbf \xc2\x85 \xc2\xa0" } },
		{ "words of YAML",
		  { "--name", "true", "-i", "~,no,on,.5,1e3,0x1,-,?,*a,&a,!a,%a,@a" } },
		{ "choice", { "--mode", "pcap", "--log-level", "debug" } },
	};
	static char first[16384];
	struct config *config = NULL;
	struct values v;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		const char *words[12] = { "--print-config" };

		memcpy(words + 1, c->words, sizeof(c->words));
		CHECK_EQ(run_program(&config, &program, &v, words), CONFIG_EXIT_OK);
		CHECK_STR(err_text, "");
		write_file("printed.yaml", out);
		memcpy(first, out, sizeof(first));
		CHECK_EQ(RUN(&config, &v, "--config", in_dir("printed.yaml"), "--print-config"),
			 CONFIG_EXIT_OK);
		CHECK_STR(err_text, "");
		strip_comments(first);
		strip_comments(out);
		CHECK_STR(out, first);
	}
}

static bool is_printed(const char *setting, const char *comment)
{
	char line[256];

	snprintf(line, sizeof(line), "\n%-40s # %s\n", setting, comment);
	return strstr(out, line) != NULL;
}

static void printed_config(void **state)
{
	struct config *config = NULL;
	struct values v;

	(void)state;
	setenv("XCAP_MODE", "pcap", 1);
	write_file("p.yaml", "# x\nverbose: 7\n");
	CHECK_EQ(RUN(&config, &v, "--print-config", "--config", in_dir("p.yaml"), "--password",
		     "hush", "-i", "a,b", "--name", "caf\xe9", "--timeout=0"),
		 CONFIG_EXIT_OK);
	unsetenv("XCAP_MODE");
	CHECK(is_printed("interface: [a, b]", "command line"));
	CHECK(is_printed("force: no", "default"));
	CHECK(is_printed("mode: pcap", "environment"));
	CHECK(is_printed("# password:", "secret"));
	CHECK(is_printed("# name:", "not UTF-8"));
	CHECK(is_printed("# stats:", "not set"));
	CHECK(strstr(out, "\nverbose: 7 ") != NULL && strstr(out, "/p.yaml:2\n") != NULL);
	CHECK(strstr(out, "\ntimeout: 0 ") != NULL);
	CHECK(strstr(out, "hush") == NULL);
	CHECK(strstr(out, "print_config") == NULL);
	/* Other readers of YAML are to see a text, too. */
	CHECK_EQ(RUN(&config, &v, "--print-config", "--name", "12"), CONFIG_EXIT_OK);
	CHECK(is_printed("name: \"12\"", "command line"));
	/* What is asked for is shown also if it would be refused. */
	CHECK_EQ(RUN(&config, &v, "--print-config", "--name", "bad"), CONFIG_EXIT_OK);
}

static void help_and_version(void **state)
{
	struct config *config = NULL;
	struct values v;

	(void)state;
	CHECK_EQ(RUN(&config, &v, "--version"), CONFIG_EXIT_OK);
	CHECK_STR(out, "prog " XCAP_VERSION "\n");
	CHECK_EQ(RUN(&config, &v, "--help"), CONFIG_EXIT_OK);
	CHECK(strstr(out, "Usage: prog [OPTION...] [FILE...]\nDo things.\n\nFirst:\n") == out);
	CHECK(strstr(out, "  -i, --interface IF          where; also --device\n") != NULL);
	CHECK(strstr(out, "  -v, --verbose               more\n") != NULL);
	CHECK(strstr(out, "      --stats[=SEC]           how often\n") != NULL);
	CHECK(strstr(out, "which (mirror, tap or pcap; default tap)\n") != NULL);
	CHECK(strstr(out, "of a batch (4KiB to 1MiB; default 64KiB)\n") != NULL);
	CHECK(strstr(out, "  -h, --help                  print this and exit\n") != NULL);
	CHECK(strstr(out, "(XCAP_SNAPSHOT_LENGTH=262144)") != NULL);
	CHECK(strstr(out, "Examples:\n  prog -i eth0\n") != NULL);
	for (const char *at = out, *end; *at; at = end + 1) {
		end = strchr(at, '\n');
		assert_non_null(end);
		CHECK(end - at < 80);
		CHECK(end == at || end[-1] != ' ');
	}
	/* What follows is not looked at. */
	CHECK_EQ(RUN(&config, &v, "-h", "--zzz"), CONFIG_EXIT_OK);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(command_line),	    TEST(another_name),
		TEST(positional_arguments), TEST(command_line_refused),
		TEST(each_layer_wins),	    TEST(a_preset_gives_way_to_what_is_given),
		TEST(environment_refused),  TEST(files_refused),
		TEST(check_config),	    TEST(printed_config_reads_back),
		TEST(printed_config),	    TEST(help_and_version),
	};

	return cmocka_run_group_tests_name("config", tests, make_dir, remove_dir);
}
