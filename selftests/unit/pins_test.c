/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/pins.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/explain.h"
#include "selftests/unit/check.h"

static char base[] = "/tmp/pins_test.XXXXXX";

static void names_go_into_folders_and_back(void **state)
{
	static const struct {
		const char *name, *folder;
	} cases[] = {
		{ "agent-7", "agent-7" },	  { "host.example.com", "host%2Eexample%2Ecom" },
		{ "UPPER_lower", "UPPER_lower" }, { "a%2Eb", "a%252Eb" },
		{ "caf\xc3\xa9", "caf%C3%A9" },	  { "with space", "with%20space" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		char dir[PATH_MAX], back[PINS_NAME_LEN];

		CHECK_EQ(pins_instance_dir(dir, "/bpf", c->name), 0);
		CHECK(!strncmp(dir, "/bpf/xcap/", 10));
		CHECK_STR(dir + 10, c->folder);
		CHECK(pins_instance_name(back, dir + 10));
		CHECK_STR(back, c->name);
	}
}

static void what_is_no_name_is_refused(void **state)
{
	static const struct {
		const char *name;
	} folders[] = { { "." }, { ".." }, { "%" }, { "a%2" }, { "a%zz" } };
	char dir[PATH_MAX], name[PINS_NAME_LEN], longest[PINS_NAME_LEN + 1];

	(void)state;
	FOR_EACH_CASE (c, folders)
		CHECK(!pins_instance_name(name, c->name));
	CHECK_EQ(pins_instance_dir(dir, "/bpf", ""), -EINVAL);
	memset(longest, '.', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	CHECK_EQ(pins_instance_dir(dir, "/bpf", longest), -ENAMETOOLONG);
}

static void a_lock_is_held_once(void **state)
{
	char error[EXPLAIN_LEN] = "", expected[64];
	struct pins_lock first, second;
	struct stat info;

	(void)state;
	CHECK_EQ(pins_lock(&first, base, "one", NULL, error), 0);
	CHECK_EQ(pins_lock(&second, base, "one", NULL, error), -EBUSY);
	snprintf(expected, sizeof(expected), "process %d", (int)getpid());
	CHECK(strstr(error, expected));
	CHECK(strstr(error, "\"one\""));
	CHECK_EQ(pins_lock(&second, base, "two", NULL, error), 0);
	pins_unlock(&second, true);
	CHECK(stat(second.path, &info) < 0);
	pins_unlock(&first, false);
	CHECK_EQ(stat(first.path, &info), 0);
	CHECK_EQ(pins_lock(&second, base, "one", NULL, error), 0);
	pins_unlock(&second, true);
}

static void a_lock_on_the_pins_holds_across_run_directories(void **state)
{
	char error[EXPLAIN_LEN], here[64], there[64], pins[64];
	struct pins_lock first, second;

	(void)state;
	snprintf(here, sizeof(here), "%s/here", base);
	snprintf(there, sizeof(there), "%s/there/and/deeper", base);
	snprintf(pins, sizeof(pins), "%s/pins", base);
	assert_int_equal(pins_make_dir(pins), 0);
	CHECK_EQ(pins_lock(&first, here, "one", pins, error), 0);
	CHECK_EQ(pins_lock(&second, there, "one", pins, error), -EBUSY);
	pins_unlock(&first, true);
	CHECK_EQ(pins_lock(&second, there, "one", pins, error), 0);
	pins_unlock(&second, true);
}

static void a_lock_dies_with_its_process(void **state)
{
	char error[EXPLAIN_LEN];
	struct pins_lock lock;
	int status;
	pid_t child;

	(void)state;
	child = fork();
	if (child == 0) {
		_exit(pins_lock(&lock, base, "mortal", NULL, error) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	CHECK_EQ(pins_lock(&lock, base, "mortal", NULL, error), 0);
	pins_unlock(&lock, true);
}

static void names_that_leave_the_directory_are_refused(void **state)
{
	static const struct {
		const char *name;
	} cases[] = { { "" }, { ".." }, { "../x" }, { "a/b" }, { ".hidden" } };
	char error[EXPLAIN_LEN];
	struct pins_lock lock;

	(void)state;
	FOR_EACH_CASE (c, cases)
		CHECK_EQ(pins_lock(&lock, base, c->name, NULL, error), -EINVAL);
}

static void a_file_system_of_another_kind_is_named(void **state)
{
	char error[EXPLAIN_LEN] = "";
	struct pins_bpffs found;

	(void)state;
	CHECK_EQ(pins_find(&found, base, base, false, error), -ENOTDIR);
	CHECK(strstr(error, base));
	CHECK_EQ(pins_find(&found, "/nonexistent/bpf", base, false, error), -ENOENT);
	CHECK(strstr(error, "/nonexistent/bpf"));
}

static void folders_are_removed_with_what_is_in_them(void **state)
{
	char path[128], inner[160];
	struct stat info;

	(void)state;
	snprintf(path, sizeof(path), "%s/remove", base);
	snprintf(inner, sizeof(inner), "%s/if_1", path);
	assert_int_equal(pins_make_dir(inner), 0);
	for (int i = 0; i < 5; i++) {
		snprintf(inner, sizeof(inner), "%s/if_1/file%d", path, i);
		fclose(fopen(inner, "w"));
	}
	snprintf(inner, sizeof(inner), "%s/rings", path);
	fclose(fopen(inner, "w"));
	pins_remove_dir(path);
	CHECK(stat(path, &info) < 0);
	pins_remove_dir(path);
}

static int make_base(void **state)
{
	(void)state;
	return mkdtemp(base) ? 0 : -1;
}

static int remove_base(void **state)
{
	(void)state;
	pins_remove_dir(base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_go_into_folders_and_back),
		TEST(what_is_no_name_is_refused),
		TEST(a_lock_is_held_once),
		TEST(a_lock_on_the_pins_holds_across_run_directories),
		TEST(a_lock_dies_with_its_process),
		TEST(names_that_leave_the_directory_are_refused),
		TEST(a_file_system_of_another_kind_is_named),
		TEST(folders_are_removed_with_what_is_in_them),
	};

	return cmocka_run_group_tests(tests, make_base, remove_base);
}
