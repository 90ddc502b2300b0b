/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/json_text.h"

#include <stdlib.h>

#include "selftests/unit/check.h"

static void layouts(void **state)
{
	static const struct {
		const char *name, *json, *text;
	} cases[] = {
		{ "scalar", "5", "5\n" },
		{ "null", "null", "-\n" },
		{ "lines are aligned", "{\"name\": \"a1\", \"uptime_seconds\": 12.5, \"up\": true}",
		  "name:            a1\n"
		  "uptime_seconds:  12.5\n"
		  "up:              yes\n" },
		{ "reals", "[1.0, 0.1234, 2.50, 100.0]", "1, 0.123, 2.5, 100\n" },
		{ "lists", "{\"a\": [1, \"x\", false], \"b\": [], \"c\": {}}",
		  "a:  1, x, no\nb:  none\nc:  {}\n" },
		{ "control characters", "{\"a\\nb\": \"x\\u001b[2J\\ny\"}", "a?b:  x?[2J?y\n" },
		{ "wide characters", "{\"gr\xc3\xbc\xc3\x9f\": 1, \"b\": 2}",
		  "gr\xc3\xbc\xc3\x9f:  1\nb:     2\n" },
		{ "sections come last, and within each other",
		  "{\"s\": {\"x\": 1, \"t\": {\"yy\": 2}}, \"a\": 0}",
		  "a:  0\n\ns:\n  x:  1\n  t:\n    yy:  2\n" },
		{ "a table",
		  "{\"rows\": [{\"name\": \"eth0\", \"n\": 5}, {\"name\": \"e\", \"n\": 1000, "
		  "\"more\": \"x\"}]}",
		  "\nrows:\n"
		  "  name     n  more\n"
		  "  eth0     5  -\n"
		  "  e     1000  x\n" },
		{ "members of members are columns", "[{\"a\": {\"b\": 1, \"c\": {\"d\": [2, 3]}}}]",
		  "a.b  a.c.d\n  1  2, 3\n" },
		{ "a wide table lies on its side",
		  "[{\"name\": \"first\", \"a long name of a column\": 1, \"and another one\": 22},"
		  " {\"name\": \"2\", \"a long name of a column\": 333, \"and another one\": 4}]",
		  "name                     first    2\n"
		  "a long name of a column      1  333\n"
		  "and another one             22    4\n" },
		{ "rows of nothing", "[{}, {}]", "" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		json_t *json = json_loads(c->json, JSON_DECODE_ANY, NULL);
		size_t len = 0;
		char *text = NULL;
		FILE *out = open_memstream(&text, &len);

		assert_non_null(json);
		assert_non_null(out);
		CHECK_EQ(json_text_print(out, json, 40), 0);
		fclose(out);
		CHECK_STR(text, c->text);
		free(text);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(layouts) };

	return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
