/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both programs, mirror and tap, with whatever rodata and filters; what becomes of one frame. */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/source.h"
#include "bpf/filter.h"
#include "bpf/filter_set.h"
#include "bpf/instance.h"
#include "bpf/mirror.skel.h"
#include "bpf/splice.h"
#include "bpf/tap.skel.h"
#include "bpf/xcap_abi.h"
#include "common/pcapng.h"
#include "selftests/bpf/packet.h"
#include "selftests/unit/check.h"

#define HOOKS_RING_BYTES (512 * KIB)

/* What the programs are told; rules by their slot, the first of them is the first asked. */
struct hooks_setup {
	struct xcap_config config;
	struct xcap_policy policies[XCAP_FILTERS_MAX];
	const char *expressions[4]; /* none: no filter */
};

struct hooks {
	struct xcap_mirror *mirror;
	struct xcap_tap *tap;
	struct source *source;
	int ring_fd, xsk_fd;
	struct xcap_count mirror_counts[XCAP_COUNTER_COUNT], tap_counts[XCAP_COUNTER_COUNT];
};

struct outcome {
	int fate; /* enum xcap_counter; -1: the kernel does not run it on such a frame */
	uint32_t captured_len, original_len;
};

/* Nothing if it is none of this link type: then it matches no such frame. */
static void hooks_compile(struct filter_code *ret, const struct hooks_setup *setup,
			  uint16_t link_type, enum filter_hook hook)
{
	char error[FILTER_ERROR_LEN] = "";
	struct filter_program *program;
	struct filter_set set = {};
	int err;

	for (unsigned int i = 0; i < ARRAY_SIZE(setup->expressions) && setup->expressions[i]; i++)
		set.rules[set.count++] = (struct filter_rule){
			.name = "test", .expression = (char *)setup->expressions[i], .slot = i
		};
	*ret = (struct filter_code){};
	if (!set.count)
		return;
	if (filter_set_compile(&program, &set, link_type, error))
		return;
	err = filter_translate(ret, program, hook, error);
	if (err)
		fail_msg("%s", error);
	filter_destroy(program);
}

static void hooks_load_object(struct bpf_object *object, const struct hooks_setup *setup,
			      enum filter_hook hook)
{
	bool is_raw = setup->config.is_raw;
	struct filter_code own, other;
	struct splice_code list[2];

	hooks_compile(&own, setup, is_raw ? LINKTYPE_RAW : LINKTYPE_ETHERNET, hook);
	hooks_compile(&other, setup, is_raw ? LINKTYPE_ETHERNET : LINKTYPE_RAW, hook);
	list[0] = (struct splice_code){ "xcap_filter", own.insns, own.count };
	list[1] = (struct splice_code){ "xcap_filter_other", other.insns, other.count };
	assert_int_equal(splice_load(object, list, ARRAY_SIZE(list), NULL), 0);
	filter_code_release(&own);
	filter_code_release(&other);
}

static void hooks_fill_rodata(struct xcap_config *config, struct xcap_policy *policies,
			      uint8_t *ranks, const struct hooks_setup *setup)
{
	*config = setup->config;
	config->snaplen = config->snaplen ?: XCAP_SNAPLEN_MAX;
	config->directions = XCAP_IN | XCAP_OUT;
	config->ring_bytes = HOOKS_RING_BYTES;
	config->has_filter = setup->expressions[0] != NULL;
	config->has_ranks = setup->expressions[0] && setup->expressions[1];
	memcpy(policies, setup->policies, sizeof(setup->policies));
	for (unsigned int i = 0; i < XCAP_FILTERS_MAX; i++)
		ranks[i] = (uint8_t)i;
}

static void hooks_load(struct hooks *hooks, const struct hooks_setup *setup)
{
	LIBBPF_OPTS(bpf_map_create_opts, ring, .map_flags = BPF_F_NUMA_NODE);
	__u32 queue = 0;

	*hooks = (struct hooks){};
	hooks->mirror = xcap_mirror__open();
	hooks->tap = xcap_tap__open();
	assert_true(hooks->mirror && hooks->tap);
	bpf_program__set_autoload(hooks->tap->progs.xcap_tap_tag, false);
	hooks_fill_rodata(&hooks->mirror->rodata->xcap_config, hooks->mirror->rodata->xcap_policies,
			  hooks->mirror->rodata->xcap_ranks, setup);
	hooks_fill_rodata(&hooks->tap->rodata->xcap_config, hooks->tap->rodata->xcap_policies,
			  hooks->tap->rodata->xcap_ranks, setup);
	hooks_load_object(hooks->mirror->obj, setup, FILTER_TCX);
	hooks_load_object(hooks->tap->obj, setup, FILTER_XDP);
	hooks->ring_fd =
		bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, HOOKS_RING_BYTES, &ring);
	assert_true(hooks->ring_fd >= 0);
	for (__u32 cpu = 0; cpu < (__u32)libbpf_num_possible_cpus(); cpu++)
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(hooks->mirror->maps.xcap_rings),
						     &cpu, &hooks->ring_fd, BPF_ANY),
				 0);
	assert_int_equal(source_ring_create(&hooks->source, hooks->ring_fd, 0), 0);
	hooks->xsk_fd = socket(AF_XDP, SOCK_RAW, 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(hooks->tap->maps.xcap_xsks), &queue,
					     &hooks->xsk_fd, BPF_ANY),
			 0);
}

static void hooks_unload(struct hooks *hooks)
{
	hooks->source->ops->destroy(hooks->source);
	close(hooks->ring_fd);
	close(hooks->xsk_fd);
	xcap_mirror__destroy(hooks->mirror);
	xcap_tap__destroy(hooks->tap);
}

/* The counter besides "seen" that moved since before. */
static int hooks_fate(const struct bpf_map *map, struct xcap_count *before)
{
	struct xcap_count after[XCAP_COUNTER_COUNT];
	int fate = -1;

	assert_int_equal(instance_read_counts(bpf_map__fd(map), after), 0);
	CHECK_EQ(after[XCAP_SEEN].frames - before[XCAP_SEEN].frames, 1);
	for (int i = XCAP_SEEN + 1; i < XCAP_COUNTER_COUNT; i++) {
		if (after[i].frames != before[i].frames)
			fate = i;
	}
	memcpy(before, after, sizeof(after));
	return fate;
}

static uint64_t hooks_matched(const struct bpf_map *map, __u32 slot)
{
	struct xcap_count values[XCAP_CPUS_MAX];
	uint64_t sum = 0;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(map), &slot, values), 0);
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		sum += values[cpu].frames;
	return sum;
}

static struct outcome hooks_run_mirror(struct hooks *hooks, const uint8_t *frame, size_t len)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (__u32)len);
	struct outcome outcome = { .fate = -1 };
	struct source_packet taken;

	if (bpf_prog_test_run_opts(bpf_program__fd(hooks->mirror->progs.xcap_ingress), &options))
		return outcome;
	outcome.fate = hooks_fate(hooks->mirror->maps.xcap_count, hooks->mirror_counts);
	if (!hooks->source->ops->peek(hooks->source, &taken))
		return outcome;
	outcome.captured_len = taken.captured_len;
	outcome.original_len = taken.original_len;
	CHECK(!memcmp(taken.data, frame, taken.captured_len));
	hooks->source->ops->take(hooks->source);
	hooks->source->ops->give_back(hooks->source);
	return outcome;
}

static struct outcome hooks_run_tap(struct hooks *hooks, const uint8_t *frame, size_t len)
{
	static uint8_t out[sizeof(struct xcap_meta) + PACKET_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (__u32)len,
		    .data_out = out, .data_size_out = sizeof(out));
	struct outcome outcome = { .fate = -1 };
	struct xcap_meta meta;

	if (bpf_prog_test_run_opts(bpf_program__fd(hooks->tap->progs.xcap_tap), &options))
		return outcome;
	outcome.fate = hooks_fate(hooks->tap->maps.xcap_count, hooks->tap_counts);
	if (outcome.fate != XCAP_HANDED)
		return outcome;
	CHECK_EQ(options.data_size_out, len + sizeof(meta));
	memcpy(&meta, out, sizeof(meta));
	outcome.captured_len = meta.captured_len;
	outcome.original_len = meta.original_len;
	return outcome;
}
