/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <unistd.h>

/* Reads kernel memory, as ours do; which a kernel in lockdown refuses to any program. */
static const struct bpf_insn program[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10 },
	{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8 },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8 },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3 },
	{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

int probe_programs(char error[EXPLAIN_LEN])
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "xcap_probe", "GPL", program,
			       ARRAY_SIZE(program), NULL);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	switch (-fd) {
	case EPERM:
	case EACCES:
		return explain_only(error, -EPERM,
				    "not permitted to load BPF programs: this needs root, or "
				    "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and a container's "
				    "seccomp profile that lets bpf(2) through");
	case EINVAL:
		return explain_only(error, -EPERM,
				    "no BPF program may read packets here: the kernel is locked "
				    "down (see /sys/kernel/security/lockdown) or older than 5.5");
	default:
		return explain(error, fd, "cannot load BPF programs");
	}
}
