/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/filter.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/filter_internal.h"

#define SNAPLEN 262144
/*
 * libpcap's optimizer takes time by the square and more: 0.3 s for 6,000 instructions, minutes for
 * 60,000. Longer ones are left to ours alone.
 */
#define OPTIMIZED_MAX 4000
/* Bytes: what is shorter is not longer than that. */
#define TERMS_MIN 400

_Static_assert(sizeof(struct filter_insn) == sizeof(struct bpf_insn), "filter_insn");
_Static_assert(offsetof(struct filter_insn, k) == offsetof(struct bpf_insn, k), "filter_insn");

static int allocate(struct filter_program **ret, const void *insns, size_t count, char *error)
{
	struct filter_program *program;

	if (count > FILTER_CLASSIC_MAX)
		return explain_only(error, -E2BIG,
				    "the filter is too long: %zu instructions of classic BPF, at "
				    "most %d (use net instead of many host)",
				    count, FILTER_CLASSIC_MAX);
	program = calloc(1, sizeof(*program) + count * sizeof(*program->insns));
	if (!program)
		return explain(error, -ENOMEM, "cannot keep the filter");
	program->count = count;
	program->part_count = 1;
	program->parts[0].count = (uint32_t)count;
	if (insns)
		memcpy(program->insns, insns, count * sizeof(*program->insns));
	*ret = program;
	return 0;
}

/*
 * A handle that reads an empty capture: with one of a dead interface libpcap would also compile
 * what only a live socket can tell (inbound, ifindex), and it would never match.
 */
static pcap_t *open_empty(uint16_t link_type, char *message)
{
	struct pcap_file_header header = {
		.magic = 0xa1b2c3d4,
		.version_major = PCAP_VERSION_MAJOR,
		.version_minor = PCAP_VERSION_MINOR,
		.snaplen = SNAPLEN,
		.linktype = link_type,
	};
	FILE *file = fmemopen(NULL, sizeof(header) + 1, "w+");
	pcap_t *pcap;

	if (!file || fwrite(&header, sizeof(header), 1, file) != 1 || fseek(file, 0, SEEK_SET)) {
		snprintf(message, PCAP_ERRBUF_SIZE, "%s", strerror(errno));
		if (file)
			fclose(file);
		return NULL;
	}
	pcap = pcap_fopen_offline(file, message);
	if (!pcap)
		fclose(file);
	return pcap;
}

static int compile_whole(struct filter_program **ret, pcap_t *pcap, const char *expression,
			 char *error)
{
	struct bpf_program code = {}, optimized = {};
	int err;

	/* Netmask 0: what tcpdump takes for a file. */
	if (pcap_compile(pcap, &code, expression, 0, 0))
		return explain_only(error, -EINVAL, "%s", pcap_geterr(pcap));
	/* What its optimizer finds to match nothing or to be in vain it refuses: that counts. */
	if (code.bf_len <= OPTIMIZED_MAX) {
		if (pcap_compile(pcap, &optimized, expression, 1, 0)) {
			err = explain_only(error, -EINVAL, "%s", pcap_geterr(pcap));
			goto out;
		}
		pcap_freecode(&code);
		code = optimized;
	}
	err = allocate(ret, code.bf_insns, code.bf_len, error);
out:
	pcap_freecode(&code);
	return err;
}

/* -EOPNOTSUPP: it is not long, or not of terms. */
static int compile_terms(struct filter_program **ret, pcap_t *pcap, const char *expression,
			 char *error)
{
	struct buf insns = {};
	size_t count;
	int err = -EOPNOTSUPP;

	if (strlen(expression) >= TERMS_MIN)
		err = filter_compile_terms(&insns, pcap, expression);
	count = insns.len / sizeof(struct filter_insn);
	if (!err && count <= OPTIMIZED_MAX)
		err = -EOPNOTSUPP;
	if (!err || err == -E2BIG)
		err = allocate(ret, insns.data, count, error);
	else if (err == -ENOMEM)
		explain(error, err, "cannot keep the filter");
	buf_release(&insns);
	return err;
}

int filter_compile(struct filter_program **ret, const char *expression, uint16_t link_type,
		   char error[FILTER_ERROR_LEN])
{
	char message[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap;
	int err;

	if (strlen(expression) > FILTER_EXPRESSION_MAX)
		return explain_only(error, -E2BIG,
				    "the filter is too long: %zu bytes, at most %d (use net "
				    "instead of many host)",
				    strlen(expression), FILTER_EXPRESSION_MAX);
	pcap = open_empty(link_type, message);
	if (!pcap)
		return explain_only(error, -EINVAL, "no filter for link type %u: %s", link_type,
				    message);
	err = compile_terms(ret, pcap, expression, error);
	if (err == -EOPNOTSUPP)
		err = compile_whole(ret, pcap, expression, error);
	pcap_close(pcap);
	return err;
}

int filter_from_classic(struct filter_program **ret, const struct filter_insn *insns, size_t count,
			char error[FILTER_ERROR_LEN])
{
	int err = filter_check(insns, count, error);

	return err ?: allocate(ret, insns, count, error);
}

int filter_join(struct filter_program **ret, struct filter_program *const *programs,
		const uint32_t *verdicts, unsigned int count, char error[FILTER_ERROR_LEN])
{
	struct filter_program *joined;
	size_t total = 0;
	int err;

	for (unsigned int i = 0; i < count; i++)
		total += programs[i]->count;
	err = allocate(&joined, NULL, total, error);
	if (err)
		return err;
	total = 0;
	for (unsigned int i = 0; i < count; i++) {
		memcpy(joined->insns + total, programs[i]->insns,
		       programs[i]->count * sizeof(*joined->insns));
		total += programs[i]->count;
		joined->parts[i] = (struct filter_part){ .count = (uint32_t)programs[i]->count,
							 .verdict = verdicts[i] };
	}
	joined->part_count = count;
	*ret = joined;
	return 0;
}

void filter_destroy(struct filter_program *program)
{
	free(program);
}

uint32_t filter_verdict(const struct filter_program *program, const uint8_t *frame,
			uint32_t captured_len, uint32_t len)
{
	const struct filter_insn *insns = program->insns;
	uint32_t verdict;

	for (unsigned int i = 0; i < program->part_count; i++) {
		const struct filter_part *part = &program->parts[i];

		verdict = bpf_filter((const struct bpf_insn *)insns, frame, len, captured_len);
		if (verdict)
			return part->verdict ? part->verdict : verdict;
		insns += part->count;
	}
	return 0;
}

const struct filter_insn *filter_classic(const struct filter_program *program, unsigned int number,
					 size_t *count)
{
	const struct filter_insn *insns = program->insns;

	if (number >= program->part_count)
		return NULL;
	for (unsigned int i = 0; i < number; i++)
		insns += program->parts[i].count;
	*count = program->parts[number].count;
	return insns;
}

size_t filter_classic_count(const struct filter_program *program)
{
	return program->count;
}

void filter_print_classic(const struct filter_program *program, struct buf *out)
{
	for (size_t i = 0; i < program->count; i++) {
		const char *text = bpf_image((const struct bpf_insn *)&program->insns[i], (int)i);

		buf_printf(out, "%s\n", text);
	}
}
