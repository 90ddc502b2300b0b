/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What several filters, policies, sampling and decapsulation cost a packet more than no filter, in
 * the mirror program, by test runs of the kernel, as JSON. There is no ring, so that what is kept
 * ends as no_memory. Short series of both alternate; of each the lower quartile counts.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/xcap_abi.h"

#include "bpf/filter_set.h"
#include "bpf/mirror.skel.h"
#include "bpf/splice.h"
#include "common/util.h"

#define ROUNDS 41
#define REPEAT 100000
#define FRAME_LEN 116

struct variant {
	const char *name;
	unsigned int filters; /* the last of them matches */
	struct xcap_policy policy;
	bool decap, in_vxlan;
};

/* TCP from 10.1.2.3 port 40000 to 10.9.9.9 port 443; the same in VXLAN. */
static uint8_t frame[FRAME_LEN] = {
	2,    0, 0,  0, 0, 1, 2,  0, 0, 0, 0,  2, 8, 0, 0x45, 0,    0, 52,   0,		 0,
	0x40, 0, 64, 6, 0, 0, 10, 1, 2, 3, 10, 9, 9, 9, 0x9c, 0x40, 1, 0xbb, [46] = 0x50
};
static uint8_t vxlan[FRAME_LEN] = { 2,	0, 0,	0, 0,	 1, 2,	  0,	0,  0,	0, 2,  8, 0, 0x45,
				    0,	0, 102, 0, 0,	 0, 0,	  64,	17, 0,	0, 10, 0, 0, 1,
				    10, 0, 0,	2, 0xc0, 0, 0x12, 0xb5, 0,  82, 0, 0,  8 };

static void fail(const char *message)
{
	fprintf(stderr, "policy_bench: %s\n", message);
	exit(1);
}

static struct filter_code make_code(const struct variant *variant, uint16_t link_type)
{
	char error[FILTER_ERROR_LEN], text[64];
	struct filter_program *program;
	struct filter_set set = {};
	struct filter_code code = {};

	for (unsigned int i = 0; i < variant->filters; i++) {
		struct filter_rule rule = { .expression = text };

		snprintf(rule.name, sizeof(rule.name), "f%u", i);
		snprintf(text, sizeof(text), "tcp port %u", i + 1 < variant->filters ? i + 1 : 443);
		if (filter_set_put(&set, &rule, error))
			fail(error);
	}
	if (!set.count)
		return code;
	if (filter_set_compile(&program, &set, link_type, error) ||
	    filter_translate(&code, program, FILTER_TCX, error))
		fail(error);
	filter_destroy(program);
	filter_set_release(&set);
	return code;
}

static struct xcap_mirror *load(const struct variant *variant)
{
	struct xcap_mirror *skel = xcap_mirror__open();
	struct filter_code code = make_code(variant, 1), other = make_code(variant, 101);
	const struct splice_code list[] = { { "xcap_filter", code.insns, code.count },
					    { "xcap_filter_other", other.insns, other.count } };
	struct xcap_config *config;

	if (!skel)
		fail("cannot open the programs");
	config = &skel->rodata->xcap_config;
	config->has_filter = variant->filters > 0;
	config->has_ranks = variant->filters > 1;
	config->decap = variant->decap;
	config->has_policy =
		variant->policy.keep || variant->policy.sample || variant->policy.sample_flow;
	for (unsigned int i = 0; i < XCAP_FILTERS_MAX; i++)
		skel->rodata->xcap_policies[i] = variant->policy;
	if (splice_load(skel->obj, list, ARRAY_SIZE(list), NULL))
		fail("cannot load the programs (root is needed)");
	filter_code_release(&code);
	filter_code_release(&other);
	return skel;
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

static uint32_t run(const struct xcap_mirror *skel, const uint8_t *data)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = data, .data_size_in = FRAME_LEN,
		    .repeat = REPEAT);

	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.xcap_ingress), &options))
		fail("a test run failed");
	return options.duration;
}

static int difference(const struct variant *variant)
{
	static const struct variant nothing;
	struct xcap_mirror *without = load(&nothing), *with = load(variant);
	const uint8_t *data = variant->in_vxlan ? vxlan : frame;
	uint32_t before[ROUNDS], after[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		before[i] = run(without, data);
		after[i] = run(with, data);
	}
	xcap_mirror__destroy(without);
	xcap_mirror__destroy(with);
	return (int)lower_quartile(after) - (int)lower_quartile(before);
}

int main(void)
{
	static const struct variant variants[] = {
		{ "one", 1, {}, false, false },
		{ "ten", 10, {}, false, false },
		{ "all", XCAP_FILTERS_MAX, {}, false, false },
		{ "keep_bytes", 0, { XCAP_KEEP_BYTES, 60, 0, 0 }, false, false },
		{ "keep_headers", 0, { XCAP_KEEP_HEADERS, 0, 0, 0 }, false, false },
		{ "keep_headers_vxlan", 0, { XCAP_KEEP_HEADERS, 0, 0, 0 }, false, true },
		{ "sample", 0, { XCAP_KEEP_ALL, 0, 1u << 30, 0 }, false, false },
		{ "sample_flow", 0, { XCAP_KEEP_ALL, 0, 0, 1u << 30 }, false, false },
		{ "decap", 1, {}, true, false },
		{ "decap_vxlan", 1, {}, true, true },
	};

	memcpy(vxlan + 50, frame, FRAME_LEN - 50);
	if (splice_init())
		fail("cannot prepare to load programs");
	printf("{");
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++)
		printf("%s\"%s\": %d", i ? ", " : "", variants[i].name, difference(&variants[i]));
	printf("}\n");
	return 0;
}
