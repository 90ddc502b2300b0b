/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcx_count IF: how many programs are attached to it at tcx, ingress and egress together. */
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TCX_INGRESS 46
#define TCX_EGRESS 47

int main(int argc, char **argv)
{
	unsigned int ifindex = argc == 2 ? if_nametoindex(argv[1]) : 0, total = 0;

	for (unsigned int type = TCX_INGRESS; ifindex && type <= TCX_EGRESS; type++) {
		union bpf_attr attr = {
			.query = { .target_fd = ifindex, .attach_type = type },
		};

		if (syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)) < 0) {
			perror("tcx_count");
			return 1;
		}
		total += attr.query.prog_cnt;
	}
	printf("%u\n", total);
	return ifindex ? 0 : 1;
}
