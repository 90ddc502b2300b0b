/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one file that includes libpcap's struct bpf_insn. */
#include "bpf/filter.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter_internal.h"

#define SNAPLEN 262144
#define LINKTYPE_RAW_IP 101 /* DLT_RAW's number in files */

_Static_assert(sizeof(struct filter_insn) == sizeof(struct bpf_insn), "filter_insn");

int filter_from_insns(struct filter_program **ret, const struct filter_insn *insns, size_t count,
		      uint16_t link_type)
{
	struct filter_program *program = malloc(sizeof(*program) + count * sizeof(*insns));

	if (!program)
		return -ENOMEM;
	program->link_type = link_type;
	program->count = count;
	memcpy(program->insns, insns, count * sizeof(*insns));
	*ret = program;
	return 0;
}

int filter_compile(struct filter_program **ret, const char *expression, uint16_t link_type,
		   char error[FILTER_ERROR_LEN])
{
	int dlt = link_type == LINKTYPE_RAW_IP ? DLT_RAW : link_type, err;
	pcap_t *handle = pcap_open_dead(dlt, SNAPLEN);
	struct bpf_program compiled;

	if (!handle) {
		snprintf(error, FILTER_ERROR_LEN, "out of memory");
		return -ENOMEM;
	}
	if (pcap_compile(handle, &compiled, expression, 1, PCAP_NETMASK_UNKNOWN)) {
		snprintf(error, FILTER_ERROR_LEN, "%s", pcap_geterr(handle));
		pcap_close(handle);
		return -EINVAL;
	}
	err = filter_from_insns(ret, (const struct filter_insn *)compiled.bf_insns, compiled.bf_len,
				link_type);
	if (err)
		snprintf(error, FILTER_ERROR_LEN, "out of memory");
	pcap_freecode(&compiled);
	pcap_close(handle);
	return err;
}

void filter_destroy(struct filter_program *program)
{
	free(program);
}

bool filter_matches(const struct filter_program *program, const uint8_t *frame,
		    uint32_t captured_len, uint32_t original_len)
{
	return bpf_filter((const struct bpf_insn *)program->insns, frame, original_len,
			  captured_len) != 0;
}

const struct filter_insn *filter_insns(const struct filter_program *program, size_t *count)
{
	*count = program->count;
	return program->insns;
}
