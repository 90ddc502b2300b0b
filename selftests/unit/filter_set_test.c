/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/filter_rule.h"

#include <errno.h>
#include <string.h>

#include "common/pcapng.h"
#include "selftests/unit/check.h"

static char error[FILTER_ERROR_LEN];

static int put(struct filter_set *set, const char *name, const char *expression, int priority)
{
	struct filter_rule rule = { .expression = (char *)(uintptr_t)expression,
				    .priority = priority };

	snprintf(rule.name, sizeof(rule.name), "%s", name);
	return filter_set_put(set, &rule, error);
}

static void check_order(const struct filter_set *set, const char *names)
{
	char found[256] = "";

	for (unsigned int i = 0; i < set->count; i++) {
		strcat(found, i ? " " : "");
		strcat(found, set->rules[i].name);
	}
	CHECK_STR(found, names);
}

static void higher_priorities_are_asked_first(void **state)
{
	struct filter_set set = {};

	(void)state;
	CHECK_EQ(put(&set, "a", "ip", 0), 0);
	CHECK_EQ(put(&set, "b", "ip6", 5), 0);
	CHECK_EQ(put(&set, "c", "arp", 0), 0);
	CHECK_EQ(put(&set, "d", "tcp", -1), 0);
	check_order(&set, "b a c d");
	/* Replaced in its place, or moved. */
	CHECK_EQ(put(&set, "a", "udp", 0), 0);
	check_order(&set, "b a c d");
	CHECK_EQ(put(&set, "d", "tcp", 9), 0);
	check_order(&set, "d b a c");
	CHECK_STR(filter_set_find(&set, "a")->expression, "udp");
	CHECK(!filter_set_find(&set, "e"));
	filter_set_release(&set);
}

/* Counters stay with the filter that they are of. */
static void slots_stay(void **state)
{
	struct filter_set set = {};
	unsigned int slot;

	(void)state;
	CHECK_EQ(put(&set, "a", "ip", 0), 0);
	CHECK_EQ(put(&set, "b", "ip6", 0), 0);
	slot = filter_set_find(&set, "b")->slot;
	CHECK(slot != filter_set_find(&set, "a")->slot);
	CHECK_EQ(filter_set_delete(&set, "a"), 0);
	CHECK_EQ(filter_set_delete(&set, "a"), -ENOENT);
	CHECK_EQ(filter_set_find(&set, "b")->slot, slot);
	CHECK_EQ(put(&set, "b", "arp", 3), 0);
	CHECK_EQ(filter_set_find(&set, "b")->slot, slot);
	CHECK_EQ(put(&set, "c", "tcp", 9), 0);
	CHECK(filter_set_find(&set, "c")->slot != slot);
	filter_set_release(&set);
}

static void what_is_refused(void **state)
{
	struct filter_set set = {};
	char name[16];

	(void)state;
	CHECK_EQ(put(&set, "", "ip", 0), -EINVAL);
	CHECK_EQ(put(&set, "a b", "ip", 0), -EINVAL);
	CHECK(strstr(error, "'a b' is no name of a filter") != NULL);
	for (unsigned int i = 0; i < XCAP_FILTERS_MAX; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_EQ(put(&set, name, "ip", 0), 0);
	}
	CHECK_EQ(put(&set, "more", "ip", 0), -ENOSPC);
	CHECK_EQ(put(&set, "f7", "arp", 2), 0);
	filter_set_release(&set);
}

static void a_verdict_is_the_slot_of_the_first(void **state)
{
	static const uint8_t arp[60] = { [12] = 0x08, [13] = 0x06 };
	static const uint8_t ip[60] = { [12] = 0x08, [14] = 0x45 };
	struct filter_set set = {}, copy = {};
	struct filter_program *program = NULL;

	(void)state;
	CHECK_EQ(filter_set_compile(&program, &set, LINKTYPE_ETHERNET, error), 0);
	CHECK(!program);
	CHECK_EQ(put(&set, "all", "", -1), 0);
	CHECK_EQ(put(&set, "beyond", "ether[100] = 1", 1), 0);
	CHECK_EQ(put(&set, "arp", "arp", 0), 0);
	CHECK_EQ(filter_set_copy(&copy, &set), 0);
	filter_set_release(&set);
	CHECK_EQ(filter_set_compile(&program, &copy, LINKTYPE_ETHERNET, error), 0);
	CHECK_EQ(filter_verdict(program, arp, 60, 60), filter_set_find(&copy, "arp")->slot + 1);
	CHECK_EQ(filter_verdict(program, ip, 60, 60), filter_set_find(&copy, "all")->slot + 1);
	filter_destroy(program);
	CHECK_EQ(put(&copy, "bad", "tcp prt 80", 0), 0);
	CHECK_EQ(filter_set_compile(&program, &copy, LINKTYPE_ETHERNET, error), -EINVAL);
	CHECK(strstr(error, "filter bad: ") == error);
	filter_set_release(&copy);
}

static void an_expression_is_compiled_once_for_a_link_type(void **state)
{
	struct filter_cache *cache = filter_cache_create();
	struct filter_set set = { .cache = cache }, other;
	struct filter_program *first, *again, *joined;

	(void)state;
	CHECK_EQ(put(&set, "a", "tcp port 80", 0), 0);
	CHECK_EQ(put(&set, "b", "udp", 0), 0);
	CHECK_EQ(filter_cache_compile(&first, cache, "udp", LINKTYPE_ETHERNET, error), 0);
	CHECK_EQ(filter_set_copy(&other, &set), 0);
	CHECK_EQ(put(&other, "c", "arp", 0), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(filter_set_compile(&joined, i ? &other : &set, LINKTYPE_ETHERNET, error),
			 0);
		filter_destroy(joined);
	}
	CHECK_EQ(filter_cache_count(cache), 3);
	CHECK_EQ(filter_cache_compile(&again, cache, "udp", LINKTYPE_ETHERNET, error), 0);
	CHECK(first == again);
	CHECK_EQ(filter_set_check(&set, 0, LINKTYPE_RAW, false, error), 0);
	CHECK_EQ(filter_set_check(&set, 0, LINKTYPE_RAW, false, error), 0);
	CHECK_EQ(filter_cache_compile(&again, cache, "udp prt", LINKTYPE_RAW, error), -EINVAL);
	CHECK_EQ(filter_cache_count(cache), 4);
	filter_cache_keep(cache, &set);
	CHECK_EQ(filter_cache_count(cache), 3);
	filter_set_release(&other);
	filter_set_release(&set);
	filter_cache_destroy(cache);
}

static void described_in_one_line(void **state)
{
	struct filter_set set = {};
	char text[64];

	(void)state;
	filter_set_describe(&set, text, sizeof(text));
	CHECK_STR(text, "");
	CHECK_EQ(put(&set, FILTER_NAME_DEFAULT, "tcp port 80", 0), 0);
	filter_set_describe(&set, text, sizeof(text));
	CHECK_STR(text, "tcp port 80");
	CHECK_EQ(put(&set, "web", "port 443", 1), 0);
	filter_set_describe(&set, text, sizeof(text));
	CHECK_STR(text, "web: port 443; default: tcp port 80");
	filter_set_describe(&set, text, 12);
	CHECK_STR(text, "web: port 4");
	filter_set_release(&set);
}

static void rules_as_text(void **state)
{
	static const struct {
		const char *name; /* the rule */
		const char *words, *expression;
		struct filter_rule rule;
	} good[] = {
		{ "web: tcp port 443", "", "tcp port 443", { .name = "web" } },
		{ "all:", "", "", { .name = "all" } },
		{ "a priority=-5 keep=all: ip",
		  " priority=-5",
		  "ip",
		  { .name = "a", .priority = -5 } },
		{ "a keep=headers: ip",
		  " keep=headers+0",
		  "ip",
		  { .name = "a", .policy = { .keep = XCAP_KEEP_HEADERS } } },
		{ "a keep=headers+64  sample=10 sample-flow=1 : ether[0:2] = 1",
		  " keep=headers+64 sample=10 sample-flow=1",
		  "ether[0:2] = 1",
		  { .name = "a",
		    .policy = { .keep = XCAP_KEEP_HEADERS,
				.keep_bytes = 64,
				.sample = 10,
				.sample_flow = 1 } } },
		{ "a keep=96 sample-flow=7: ip",
		  " keep=96 sample-flow=7",
		  "ip",
		  { .name = "a",
		    .policy = { .keep = XCAP_KEEP_BYTES, .keep_bytes = 96, .sample_flow = 7 } } },
	};
	static const struct {
		const char *name; /* the rule */
	} bad[] = {
		{ "web" },
		{ "a keep=0: ip" },
		{ "a keep=headers-1: ip" },
		{ "a keep: ip" },
		{ "a sample=0: ip" },
		{ "a priority=x: ip" },
		{ "a priority=: ip" },
		{ "a color=red: ip" },
		{ "a keep=262145: ip" },
		{ "a sample=99999999999: ip" },
	};
	char words[128];

	(void)state;
	FOR_EACH_CASE (c, good) {
		struct filter_rule rule;

		CHECK_EQ(filter_rule_parse(&rule, c->name, error), 0);
		CHECK_STR(rule.name, c->rule.name);
		CHECK_STR(rule.expression, c->expression);
		CHECK_EQ(rule.priority, c->rule.priority);
		CHECK_EQ(memcmp(&rule.policy, &c->rule.policy, sizeof(rule.policy)), 0);
		filter_rule_print_words(&rule, words, sizeof(words));
		CHECK_STR(words, c->words);
	}
	FOR_EACH_CASE (c, bad) {
		struct filter_rule rule;

		CHECK_EQ(filter_rule_parse(&rule, c->name, error), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(higher_priorities_are_asked_first),
		TEST(slots_stay),
		TEST(what_is_refused),
		TEST(a_verdict_is_the_slot_of_the_first),
		TEST(an_expression_is_compiled_once_for_a_link_type),
		TEST(described_in_one_line),
		TEST(rules_as_text),
	};

	return cmocka_run_group_tests_name("filter_set", tests, NULL, NULL);
}
