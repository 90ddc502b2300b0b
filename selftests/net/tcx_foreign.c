/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcx_foreign IF ingress|egress pass|drop|tag: somebody else's tcx program on an interface, at the
 * chain's end as most attach theirs, until killed; on a kernel without tcx a filter of clsact,
 * which stays. Says "attached" on standard output.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "selftests/bpf/foreign.skel.h"

#define TCX_INGRESS 46
#define TCX_EGRESS 47

/* Before Linux 6.6. */
static int attach_clsact(int program_fd, const char *device, const char *direction)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex(device),
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program_fd);

	(void)bpf_tc_hook_create(&hook);
	hook.attach_point = strcmp(direction, "ingress") ? BPF_TC_EGRESS : BPF_TC_INGRESS;
	return bpf_tc_attach(&hook, &filter);
}

int main(int argc, char **argv)
{
	struct xcap_foreign *skel;
	struct bpf_program *program;
	char name[32];
	int link;

	if (argc != 4) {
		fprintf(stderr, "usage: tcx_foreign IF ingress|egress pass|drop|tag\n");
		return 2;
	}
	skel = xcap_foreign__open_and_load();
	if (!skel) {
		perror("tcx_foreign: cannot load");
		return 1;
	}
	snprintf(name, sizeof(name), "foreign_%s", argv[3]);
	program = bpf_object__find_program_by_name(skel->obj, name);
	link = program ? bpf_link_create(bpf_program__fd(program), (int)if_nametoindex(argv[1]),
					 strcmp(argv[2], "ingress") ? TCX_EGRESS : TCX_INGRESS,
					 NULL)
		       : -1;
	if (link < 0 && program)
		link = attach_clsact(bpf_program__fd(program), argv[1], argv[2]);
	if (link < 0) {
		perror("tcx_foreign: cannot attach");
		return 1;
	}
	puts("attached");
	fflush(stdout);
	for (;;)
		pause();
}
