/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcx_foreign IF ingress|egress pass|drop|tag: somebody else's tcx program on an interface, at the
 * chain's end as most attach theirs, until killed. Says "attached" on standard output.
 */
#include <bpf/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "selftests/bpf/foreign.skel.h"

#define TCX_INGRESS 46
#define TCX_EGRESS 47

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
	if (link < 0) {
		perror("tcx_foreign: cannot attach");
		return 1;
	}
	puts("attached");
	fflush(stdout);
	for (;;)
		pause();
}
