/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Expressions compiled term by term, beside what libpcap makes of the whole. */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

#include "bpf/filter_internal.h"
#include "common/pcapng.h"
#include "selftests/filter_random.h"
#include "selftests/unit/check.h"

#define EXPRESSIONS 4000
#define PACKETS 24
#define LEN 64

static pcap_t *pcap;

static void word(struct buf *out, struct random *random, const char *const *words, uint32_t count)
{
	buf_printf(out, " %s", words[random_below(random, count)]);
}

#define WORD(out, random, ...)                                  \
	word(out, random, (const char *const[]){ __VA_ARGS__ }, \
	     sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void put_name(struct buf *out, struct random *random)
{
	WORD(out, random, "10.0.0.1", "10.0.0.2", "10.0.0.3", "1", "2", "3", "1", "2", "::1",
	     "10.0.0.0/31");
}

static void put_expression(struct buf *out, struct random *random, unsigned int depth);

/* Often nothing that libpcap would take. */
static void put_term(struct buf *out, struct random *random, unsigned int depth)
{
	if (!random_below(random, 4))
		WORD(out, random, "not", "!", "not not");
	switch (random_below(random, 10)) {
	case 0:
	case 1:
		buf_printf(out, " (");
		if (depth < 3)
			put_expression(out, random, depth + 1);
		else
			put_name(out, random);
		buf_printf(out, ")");
		return;
	case 2:
		WORD(out, random, "tcp", "udp", "ip", "arp", "ip6", "ip multicast", "icmp");
		return;
	case 3:
		WORD(out, random, "tcp[0:2]=1", "len > 40", "ip[9] & 0xf = 6", "len>=40",
		     "udp[1] & (1|2) != 0", "tcp[tcpflags] & tcp-syn != 0", "(len + 1) > 40",
		     "vlan", "ether proto 0x0800", "ip proto \\tcp", "less 40", "mpls");
		return;
	case 4:
	case 5:
		put_name(out, random);
		return;
	}
	WORD(out, random, "host", "port", "src", "dst", "src host", "tcp port", "udp dst port",
	     "src or dst", "src and dst", "dst or src", "net", "ip host", "tcp src or dst port");
	if (!random_below(random, 4)) {
		buf_printf(out, " (");
		put_name(out, random);
		WORD(out, random, "or", "and", "||", "or not");
		put_name(out, random);
		buf_printf(out, ")");
		return;
	}
	put_name(out, random);
}

static void put_expression(struct buf *out, struct random *random, unsigned int depth)
{
	put_term(out, random, depth);
	for (uint32_t i = random_below(random, 4); i > 0; i--) {
		WORD(out, random, "or", "or", "and", "&&", "||");
		put_term(out, random, depth);
	}
}

static uint32_t put_packet(uint8_t bytes[LEN], struct random *random)
{
	static const uint16_t types[] = { 0x0800, 0x0800, 0x0800, 0x0806, 0x86dd, 0x8100 };
	static const uint8_t protocols[] = { 6, 17, 1 };
	uint16_t type = types[random_below(random, ARRAY_SIZE(types))];

	memset(bytes, 0, LEN);
	bytes[12] = (uint8_t)(type >> 8);
	bytes[13] = (uint8_t)type;
	bytes[14] = type == 0x86dd ? 0x60 : 0x45;
	bytes[type == 0x86dd ? 20 : 23] = protocols[random_below(random, 3)];
	for (int i = 0; i < 2; i++) {
		/* ARP's addresses are elsewhere. */
		uint8_t *address = bytes + (type == 0x0806 ? 28 + 10 * i : 26 + 4 * i);

		address[0] = 10;
		address[3] = (uint8_t)random_below(random, 4);
		bytes[(type == 0x86dd ? 55 : 35) + 2 * i] = (uint8_t)random_below(random, 4);
	}
	bytes[47] = (uint8_t)random_below(random, 4);
	return random_below(random, 3) ? LEN : random_below(random, LEN);
}

static void same_verdicts(const struct buf *terms, const struct bpf_program *whole,
			  struct random *random, unsigned int *matched)
{
	const struct bpf_insn *insns = (const struct bpf_insn *)(void *)terms->data;
	uint8_t bytes[LEN];

	for (int i = 0; i < PACKETS; i++) {
		uint32_t len = put_packet(bytes, random);
		uint32_t expected = bpf_filter(whole->bf_insns, bytes, len, len);

		CHECK_EQ(bpf_filter(insns, bytes, len, len), expected);
		*matched += expected != 0;
	}
}

static void random_expressions_are_what_libpcap_makes_of_them(void **state)
{
	unsigned int taken = 0, refused = 0, matched = 0;
	char error[FILTER_ERROR_LEN];
	struct random random = { 1 };

	(void)state;
	for (int i = 0; i < EXPRESSIONS && !check_failures; i++) {
		struct buf expression = {}, terms = {};
		struct bpf_program whole;
		int err;

		put_expression(&expression, &random, 0);
		buf_append(&expression, "", 1);
		err = filter_compile_terms(&terms, pcap, (char *)expression.data);
		refused += err == -EOPNOTSUPP;
		if (!err) {
			taken++;
			CHECK_EQ(filter_check((struct filter_insn *)(void *)terms.data,
					      terms.len / sizeof(struct filter_insn), error),
				 0);
			CHECK_EQ(pcap_compile(pcap, &whole, (char *)expression.data, 0, 0), 0);
			if (!check_failures) {
				same_verdicts(&terms, &whole, &random, &matched);
				pcap_freecode(&whole);
			}
		}
		if (check_failures)
			print_error("%s\n", (char *)expression.data);
		buf_release(&expression);
		buf_release(&terms);
	}
	CHECK(taken > EXPRESSIONS / 10);
	CHECK(refused > EXPRESSIONS / 10);
	CHECK(matched > taken);
}

static void only_what_means_the_same_anywhere_is_taken(void **state)
{
	static const struct {
		const char *name;
		bool is_taken;
	} cases[] = {
		{ "host 10.0.0.1 or host 10.0.0.2", true },
		{ "host 10.0.0.1||10.0.0.2", true },
		{ "tcp dst port 80 or 443 or 8080", true },
		{ "not (host 10.0.0.1 or net 10.1.0.0/16) and tcp", true },
		{ "src or dst host (10.0.0.1 or 10.0.0.2)", true },
		{ "host 10.0.0.1 and tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", true },
		{ "", false },
		{ "10.0.0.1 or host 10.0.0.2", false },
		{ "host 10.0.0.1 or vlan and host 10.0.0.2", false },
		{ "mpls and host 10.0.0.1", false },
		{ "host 10.0.0.1 or", false },
		{ "host 10.0.0.1 or (10.0.0.2 or tcp port 1)", false },
		{ "(tcp port 1) or 2", false },
		{ "(host 10.0.0.1", false },
		{ "host 10.0.0.1)", false },
		{ "tcp or 80", false },
		{ "port 80 or nosuchservice", false },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct buf terms = {};

		CHECK_EQ(filter_compile_terms(&terms, pcap, c->name),
			 c->is_taken ? 0 : -EOPNOTSUPP);
		buf_release(&terms);
	}
}

static void many_terms_take_no_more_time_than_they_are_long(void **state)
{
	struct buf expression = {};
	struct filter_program *program = NULL;
	char error[FILTER_ERROR_LEN];
	uint64_t begin;

	(void)state;
	for (int i = 0; i < 2000; i++)
		buf_printf(&expression, "%shost 10.1.%d.%d", i ? " or " : "", i / 256, i % 256);
	buf_append(&expression, "", 1);
	begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	CHECK_EQ(filter_compile(&program, (char *)expression.data, LINKTYPE_ETHERNET, error), 0);
	/* A tenth of that, where libpcap's whole takes 14 s. */
	CHECK(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin < 2 * NS_PER_SEC);
	filter_destroy(program);
	buf_release(&expression);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_expressions_are_what_libpcap_makes_of_them),
		TEST(only_what_means_the_same_anywhere_is_taken),
		TEST(many_terms_take_no_more_time_than_they_are_long),
	};
	int failed;

	pcap = pcap_open_dead(DLT_EN10MB, 262144);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pcap_close(pcap);
	return failed;
}
