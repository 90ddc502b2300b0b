/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stamped_send IF COUNT AHEAD_S AGO_US: frames out of IF (a veth) with a hardware time stamp as a
 * network card gives it: that of a clock which is AHEAD_S ahead of CLOCK_MONOTONIC, AGO_US ago.
 * Prints the stamps. In a veth's other end they arrive as they are.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "selftests/bpf/resend.skel.h"

int main(int argc, char **argv)
{
	uint8_t frame[64] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	struct __sk_buff context = {};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &context, .ctx_size_in = sizeof(context));
	struct xcap_resend *skel;

	if (argc != 5 || !if_nametoindex(argv[1]))
		return 2;
	skel = xcap_resend__open_and_load();
	if (!skel)
		return 1;
	context.mark = if_nametoindex(argv[1]);
	for (long i = 0; i < atol(argv[2]); i++) {
		context.hwtstamp = clock_ns(CLOCK_MONOTONIC) +
				   strtoull(argv[3], NULL, 10) * NS_PER_SEC -
				   strtoull(argv[4], NULL, 10) * NS_PER_US;
		memcpy(frame + 14, &context.hwtstamp, sizeof(context.hwtstamp));
		if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.resend), &run) || run.retval)
			return 1;
		printf("%llu\n", (unsigned long long)context.hwtstamp);
	}
	xcap_resend__destroy(skel);
	return 0;
}
