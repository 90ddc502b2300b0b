/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which frames are kept, and how much of them. The same at tcx and XDP. */
#pragma once

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "bpf/count.bpf.h"
#include "bpf/filter.bpf.h"
#include "bpf/layer.bpf.h"
#include "bpf/prefixes.bpf.h"
#include "bpf/sample.bpf.h"
#include "bpf/watch.bpf.h"
#include "bpf/xcap_abi.h"

/* By slot of the filter; without filters the first is that of every packet. */
const volatile struct xcap_policy xcap_policies[XCAP_FILTERS_MAX];
/* By slot: of several that match, the one of the lowest is the filter. */
const volatile __u8 xcap_ranks[XCAP_FILTERS_MAX];

/* Not read by a program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XCAP_FILTERS_MAX);
	__type(key, __u32);
	__type(value, struct xcap_slot);
} xcap_slots SEC(".maps");

/* What each filter matched, by slot. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XCAP_FILTERS_MAX);
	__type(key, __u32);
	__type(value, struct xcap_count);
} xcap_matched SEC(".maps");

struct judgement {
	enum xcap_counter fate; /* XCAP_HANDED: it is kept */
	__u32 snaplen;
};

/* Of two verdicts, slot plus one or 0. */
static __always_inline __u32 judge_first(__u32 verdict, __u32 other)
{
	__u32 slot = verdict - 1, other_slot = other - 1;

	if (slot >= XCAP_FILTERS_MAX)
		return other;
	if (other_slot >= XCAP_FILTERS_MAX)
		return verdict;
	return xcap_ranks[slot] <= xcap_ranks[other_slot] ? verdict : other;
}

/* The verdict on what the frame carries, or that on the frame. */
__noinline __u32 judge_inside(parse_context *context, const struct xcap_frame *frame, __u32 is_raw,
			      __u32 verdict)
{
	struct xcap_frame inner = {};
	struct layer layer;

	if (!frame)
		return 0;
	layer_begin(&layer, frame, is_raw);
	for (int i = 1; i < LAYERS_MAX; i++) {
		if (!layer_parse(context, &layer) || !layer_enter(context, &layer))
			break;
		if (layer.start > XCAP_FRAME_START_MAX || layer.end <= layer.start)
			break;
		inner.start = layer.start;
		inner.len = layer.end - layer.start;
		verdict = judge_first(verdict, !layer.is_raw == !is_raw
						       ? xcap_filter(context, &inner)
						       : xcap_filter_other(context, &inner));
	}
	return verdict;
}

static __always_inline __u32 judge_filters(parse_context *context, const struct xcap_frame *frame,
					   const volatile struct xcap_config *config)
{
	__u32 verdict = xcap_filter(context, frame);

	/* One inside may come before the one that matches the frame. */
	if (config->decap && (!verdict || config->has_ranks))
		verdict = judge_inside(context, frame, config->is_raw, verdict);
	return verdict;
}

/* Up to the payload of the innermost transport header. */
__noinline __u32 judge_headers_len(parse_context *context, const struct xcap_frame *frame,
				   __u32 is_raw)
{
	struct layer layer;

	if (!frame)
		return 0;
	layer_begin(&layer, frame, is_raw);
	layer_descend(context, &layer);
	return layer.payload_at - frame->start + (frame->has_tag ? sizeof(frame->tag) : 0);
}

static __always_inline bool judge_sample(parse_context *context, const struct xcap_frame *frame,
					 const volatile struct xcap_config *config,
					 const struct xcap_policy *policy)
{
	if (policy->sample_flow > 1 &&
	    !sample_is_in(sample_hash(context, frame, config->is_raw, config->decap),
			  policy->sample_flow))
		return false;
	return policy->sample < 2 || sample_is_in(bpf_get_prandom_u32(), policy->sample);
}

static __always_inline void judge_policy(parse_context *context, const struct xcap_frame *frame,
					 const volatile struct xcap_config *config, __u32 slot,
					 struct judgement *ret)
{
	struct xcap_policy policy;
	__u32 keep = ret->snaplen;

	if (slot >= XCAP_FILTERS_MAX)
		return;
	policy = xcap_policies[slot];
	if (!judge_sample(context, frame, config, &policy)) {
		ret->fate = XCAP_SAMPLED_OUT;
		return;
	}
	if (policy.keep != XCAP_KEEP_ALL)
		keep = policy.keep_bytes;
	if (policy.keep == XCAP_KEEP_HEADERS)
		keep += judge_headers_len(context, frame, config->is_raw);
	/* A record is never empty. */
	if (keep < ret->snaplen)
		ret->snaplen = keep ?: 1;
}

enum judge_addresses { JUDGE_LISTED, JUDGE_NOT_LISTED, JUDGE_WATCHED };

/* What lists and watched flows say, by the addresses. start, is_raw: as parse_ip(). */
__noinline int judge_addresses(parse_context *context, __u32 is_raw, __u32 start,
			       const struct xcap_count *packet)
{
	struct parse_headers headers = {};
	bool is_ip;

	if (!packet)
		return JUDGE_LISTED;
	is_ip = parse_ip(context, is_raw, start, &headers);
	if (is_ip && watch_any() && watch_match(context, &headers, packet))
		return JUDGE_WATCHED;
	if (!xcap_lists.in_force || prefixes_pass(is_ip ? &headers : NULL))
		return JUDGE_LISTED;
	return JUDGE_NOT_LISTED;
}

/* packet: what it counts for. */
static __always_inline void judge(parse_context *context, const struct xcap_frame *frame,
				  const volatile struct xcap_config *config,
				  const struct xcap_count *packet, struct judgement *ret)
{
	enum judge_addresses addresses = JUDGE_LISTED;
	__u32 verdict, slot = 0;

	*ret = (struct judgement){ .fate = XCAP_HANDED, .snaplen = config->snaplen };
	if (xcap_lists.in_force || watch_any())
		addresses = judge_addresses(context, config->is_raw, frame->start, packet);
	if (addresses == JUDGE_WATCHED)
		return;
	if (addresses == JUDGE_NOT_LISTED) {
		ret->fate = XCAP_FILTERED;
		return;
	}
	if (config->has_filter) {
		verdict = judge_filters(context, frame, config);
		if (!verdict) {
			ret->fate = XCAP_FILTERED;
			return;
		}
		slot = verdict - 1;
		count_in(&xcap_matched, slot, packet);
	}
	if (config->has_policy)
		judge_policy(context, frame, config, slot, ret);
}
