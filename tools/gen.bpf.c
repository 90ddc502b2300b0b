/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The load generator's sender: BPF_PROG_TEST_RUN calls it for one live frame after the other, and
 * each that is due goes out through the interface.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "tools/gen.h"

const volatile struct gen_config xcap_gen_config = {};
struct gen_state xcap_gen_state = {};

SEC("xdp")
int xcap_gen(struct xdp_md *ctx)
{
	const volatile struct gen_config *config = &xcap_gen_config;
	__u8 *data = (__u8 *)(long)ctx->data, *data_end = (__u8 *)(long)ctx->data_end;
	__u64 now = bpf_ktime_get_ns();

	if (data + config->head_len > data_end || !gen_due(&xcap_gen_state, config, now))
		return XDP_DROP;
		/* The page was a frame before, and whoever got it may have changed it. */
#pragma unroll
	for (unsigned int i = 0; i < GEN_HEAD_WORDS; i++) {
		if (4 * i < config->head_len)
			*(__u32 *)(data + 4 * i) = config->words[i];
	}
	gen_stamp(data, &xcap_gen_state, config, now);
	return bpf_redirect(config->ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
