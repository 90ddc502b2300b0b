/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl filter explain: what an expression becomes, and what that costs. */
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/filter_load.h"
#include "tools/cmd_filter.h"

#define RUNS 200000
#define SERIES 5

/* Of the fastest series, and of one frame: 64 bytes of TCP over IPv4 to port 443. */
static int time_code(uint32_t *ret, const struct filter_code *made, enum filter_hook hook)
{
	static const uint8_t frame[64] = {
		0x02, 0, 0,  0, 0, 1, 0x02, 0, 0, 0, 0,	 2, 0x08, 0x00, 0x45, 0, 0,    50,   0, 1,
		0x40, 0, 64, 6, 0, 0, 10,   1, 2, 3, 10, 1, 2,	  4,	0xc0, 0, 0x01, 0xbb,
	};
	char error[FILTER_ERROR_LEN];
	uint32_t best = UINT32_MAX, result, ns;
	int fd = filter_load(made, hook, -1, error), err = 0;

	if (fd < 0)
		return fd;
	for (unsigned int i = 0; i < SERIES && !err; i++) {
		err = filter_run(&result, fd, hook, frame, sizeof(frame), 0, RUNS, &ns);
		best = !err && ns < best ? ns : best;
	}
	close(fd);
	*ret = best;
	return err;
}

/* What it takes beyond a filter that lets everything through. */
static void print_time(struct buf *text, const struct filter_code *made, enum filter_hook hook)
{
	static const struct bpf_insn all[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	const struct filter_code plain = { .insns = (struct bpf_insn *)(uintptr_t)all,
					   .count = ARRAY_SIZE(all) };
	uint32_t with, without;

	if (time_code(&with, made, hook) || time_code(&without, &plain, hook))
		buf_printf(text, "\ntime per packet: not measured, this needs root\n");
	else
		buf_printf(text,
			   "\ntime per packet: %u ns (a TCP packet of 64 bytes; beyond what any "
			   "filter takes)\n",
			   with > without ? with - without : 0);
}

int cmd_filter_explain(const char *expression, uint16_t link_type, enum filter_hook hook)
{
	int code = EXIT_FAILURE;
	struct filter_program *filter = NULL;
	char error[FILTER_ERROR_LEN];
	struct filter_code made = {};
	struct buf text = {};

	if (filter_compile(&filter, expression, link_type, error)) {
		fprintf(stderr, "xcapctl filter: %s\n", error);
		goto out;
	}
	buf_printf(&text, "classic BPF, by libpcap: %zu instructions\n",
		   filter_classic_count(filter));
	filter_print_classic(filter, &text);
	if (filter_translate(&made, filter, hook, error)) {
		fprintf(stderr, "xcapctl filter: %s\n", error);
		goto out;
	}
	buf_printf(&text, "\neBPF, for %s: %zu instructions\n", hook == FILTER_TCX ? "tcx" : "xdp",
		   made.count);
	filter_print_code(&made, &text);
	print_time(&text, &made, hook);
	fwrite(text.data, 1, text.len, stdout);
	code = 0;
out:
	buf_release(&text);
	filter_code_release(&made);
	filter_destroy(filter);
	return code;
}
