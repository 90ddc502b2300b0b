/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter_bench EXPRESSION: what a filter costs a packet more than the empty one, by test runs of
 * the kernel, as JSON. Short series of both alternate; of each the lower quartile counts. libpcap's
 * bpf_filter() runs the same frame in userspace.
 */
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter.h"
#include "bpf/filter_load.h"

#define ROUNDS 41
#define REPEAT 200000

static const struct filter_beside tagged = { .has_tag = 1, .tag = { 0x81, 0, 0, 5 } };

/* TCP from 10.1.2.3 port 40000 to 10.9.9.9 port 443. */
static const uint8_t matching[66] = { 2,  0,	0, 0, 0,  1, 2, 0,    0,    0,	  0, 2,	  8,
				      0,  0x45, 0, 0, 52, 0, 0, 0x40, 0,    64,	  6, 0,	  0,
				      10, 1,	2, 3, 10, 9, 9, 9,    0x9c, 0x40, 1, 0xbb };

struct way {
	const char *name;
	enum filter_hook hook;
	uint32_t linear;
	bool has_tag;
};

static void fail(const char *message)
{
	fprintf(stderr, "filter_bench: %s\n", message);
	exit(1);
}

static int load(const char *expression, enum filter_hook hook, int beside_fd)
{
	struct filter_program *program;
	char error[FILTER_ERROR_LEN];
	struct filter_code code;
	int fd;

	if (filter_compile(&program, expression, 1, error) ||
	    filter_translate(&code, program, hook, error))
		fail(error);
	fd = filter_load(&code, hook, beside_fd, error);
	if (fd < 0)
		fail(error);
	filter_code_release(&code);
	filter_destroy(program);
	return fd;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint32_t lower_quartile(uint32_t *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 4];
}

static uint32_t run(int fd, const struct way *way, const uint8_t *frame)
{
	uint32_t result, ns;

	if (filter_run(&result, fd, way->hook, frame, sizeof(matching), way->linear, REPEAT, &ns))
		fail("a test run failed");
	return ns;
}

static int difference(const char *words, const struct way *way, int beside_fd, const uint8_t *frame)
{
	static const struct filter_beside plain;
	char expression[4096];
	int empty, filter;
	uint32_t without[ROUNDS], with[ROUNDS];

	snprintf(expression, sizeof(expression), way->has_tag ? "vlan and (%s)" : "%s", words);
	empty = load("", way->hook, beside_fd);
	filter = load(expression, way->hook, beside_fd);
	if (filter_beside_set(beside_fd, way->has_tag ? &tagged : &plain))
		fail("cannot write a map");
	for (int i = 0; i < ROUNDS; i++) {
		without[i] = run(empty, way, frame);
		with[i] = run(filter, way, frame);
	}
	return (int)lower_quartile(with) - (int)lower_quartile(without);
}

static double in_userspace(const char *expression, const uint8_t *frame)
{
	struct filter_program *program;
	char error[FILTER_ERROR_LEN];
	uint32_t series[ROUNDS];
	unsigned long matched = 0;

	if (filter_compile(&program, expression, 1, error))
		fail(error);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin = clock_ns(CLOCK_MONOTONIC);

		for (int j = 0; j < REPEAT; j++)
			matched += filter_verdict(program, frame, sizeof(matching),
						  sizeof(matching)) != 0;
		series[i] = (uint32_t)((clock_ns(CLOCK_MONOTONIC) - begin) * 10 / REPEAT);
	}
	filter_destroy(program);
	if (matched % REPEAT)
		fail("one frame, two verdicts");
	return lower_quartile(series) / 10.0;
}

int main(int argc, char **argv)
{
	static const struct way ways[] = {
		{ "tcx", FILTER_TCX, 0, false },
		{ "xdp", FILTER_XDP, 0, false },
		{ "tagged", FILTER_TCX, 0, true },
		{ "pieces", FILTER_XDP, 14, false },
	};
	uint8_t other[sizeof(matching)];
	int beside_fd = filter_beside_create();

	if (argc != 2)
		fail("an EXPRESSION is needed");
	if (beside_fd < 0)
		fail("cannot create a map (root is needed)");
	memcpy(other, matching, sizeof(other));
	other[26] = 11;
	printf("{");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		printf("\"%s\": %d, ", ways[i].name,
		       difference(argv[1], &ways[i], beside_fd, matching));
		printf("\"%s_other\": %d, ", ways[i].name,
		       difference(argv[1], &ways[i], beside_fd, other));
	}
	printf("\"libpcap\": %.1f, \"libpcap_other\": %.1f}\n", in_userspace(argv[1], matching),
	       in_userspace(argv[1], other));
	return 0;
}
