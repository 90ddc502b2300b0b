/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "bpf/watch.h"
#include "selftests/unit/check.h"

static void flows_are_read_and_written(void **state)
{
	static const struct {
		const char *name;
		const char *words[6];
		const char *text; /* NULL: refused */
	} cases[] = {
		{ "udp",
		  { "udp", "10.0.0.1", "5060", "10.0.0.2", "5062" },
		  "udp 10.0.0.1 5060 10.0.0.2 5062" },
		{ "the other way",
		  { "udp", "10.0.0.2", "5062", "10.0.0.1", "5060" },
		  "udp 10.0.0.1 5060 10.0.0.2 5062" },
		{ "ports decide",
		  { "tcp", "10.0.0.1", "256", "10.0.0.1", "2" },
		  "tcp 10.0.0.1 2 10.0.0.1 256" },
		{ "IPv6",
		  { "sctp", "2001:db8::2", "1", "2001:db8::1", "2" },
		  "sctp 2001:db8::1 2 2001:db8::2 1" },
		{ "by number",
		  { "17", "10.0.0.1", "1", "10.0.0.2", "2" },
		  "udp 10.0.0.1 1 10.0.0.2 2" },
		{ "without ports", { "icmp", "10.0.0.2", "10.0.0.1" }, "icmp 10.0.0.1 10.0.0.2" },
		{ "of no name", { "89", "10.0.0.2", "10.0.0.1" }, "89 10.0.0.1 10.0.0.2" },
		{ "nothing", {}, NULL },
		{ "no protocol", { "10.0.0.1", "1", "10.0.0.2", "2" }, NULL },
		{ "protocol above 255", { "256", "10.0.0.1", "10.0.0.2" }, NULL },
		{ "ports missing", { "udp", "10.0.0.1", "10.0.0.2" }, NULL },
		{ "ports too many", { "esp", "10.0.0.1", "1", "10.0.0.2", "2" }, NULL },
		{ "too many words", { "udp", "10.0.0.1", "1", "10.0.0.2", "2", "3" }, NULL },
		{ "two families", { "udp", "10.0.0.1", "1", "::2", "2" }, NULL },
		{ "no address", { "udp", "10.0.0", "1", "10.0.0.2", "2" }, NULL },
		{ "a prefix", { "udp", "10.0.0.0/8", "1", "10.0.0.2", "2" }, NULL },
		{ "port above 65535", { "udp", "10.0.0.1", "65536", "10.0.0.2", "2" }, NULL },
		{ "negative port", { "udp", "10.0.0.1", "-1", "10.0.0.2", "2" }, NULL },
	};
	char text[WATCH_TEXT_LEN], error[EXPLAIN_LEN];
	struct xcap_watch_key key;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		size_t count = 0;
		int err;

		while (count < ARRAY_SIZE(c->words) && c->words[count])
			count++;
		error[0] = '\0';
		err = watch_parse(&key, c->words, count, error);
		CHECK_EQ(err, c->text ? 0 : -EINVAL);
		CHECK(c->text || error[0]);
		if (!err)
			CHECK_STR(watch_text(&key, text), c->text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(flows_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
