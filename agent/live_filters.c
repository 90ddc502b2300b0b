/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filter is judged as it is by the BPF programs, tags in band: the kernel runs libpcap's code for
 * whole Ethernet frames on those without a tag, before they are cut; frames with a tag, which the
 * kernel may have taken out, come whole and are judged here.
 */
#include "agent/live_filters.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "bpf/explain.h"

#define KERNEL_INSNS_MAX 4096
#define PREFIX_INSNS_MAX 16
#define TYPE_AT 12

/* Loads of what the kernel knows about a packet, see linux/filter.h. */
#define KERNEL_PKTTYPE 0xfffff004u
#define KERNEL_HAS_TAG 0xfffff030u

/* libpcap tells no direction: each source has one, and its program drops the other. */
static size_t put_prefix(struct sock_filter *code, const struct live_filters *filters)
{
	bool out = filters->direction == PCAPNG_DIR_OUT;
	size_t n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, KERNEL_PKTTYPE);
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, out, !out);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	if (filters->link_type != LINKTYPE_ETHERNET || !(filters->program || filters->own))
		return n;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, KERNEL_HAS_TAG);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, TYPE_AT);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x8100, 2, 0);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x88a8, 1, 0);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x9100, 0, 1);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, LIVE_WHOLE);
	return n;
}

/*
 * Behind the n instructions there are so far those of a program: what it accepts is to be returned,
 * what it does not goes on behind it. -EOPNOTSUPP: it returns something else.
 */
static int put_part(struct sock_filter *code, size_t *n, const struct filter_insn *insns,
		    size_t count, uint32_t accepted)
{
	for (size_t i = 0; i < count; i++) {
		struct sock_filter *insn = &code[*n + i];

		memcpy(insn, &insns[i], sizeof(*insn));
		if (BPF_CLASS(insn->code) != BPF_RET)
			continue;
		if (insn->code != (BPF_RET | BPF_K))
			return -EOPNOTSUPP;
		if (insn->k)
			insn->k = accepted;
		else
			*insn = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA,
							     (uint32_t)(count - i - 1));
	}
	*n += count;
	return 0;
}

static int put_program(struct sock_filter *code, size_t *n, const struct filter_program *program,
		       uint32_t accepted)
{
	const struct filter_insn *insns;
	size_t count;
	int err = 0;

	for (unsigned int i = 0; !err && (insns = filter_classic(program, i, &count)); i++)
		err = put_part(code, n, insns, count, accepted);
	return err;
}

/* Packets that it accepts are cut to snaplen, unless more is to be said of them. */
static int make_code(struct live_filters *filters, const struct filter_program *own,
		     uint32_t snaplen)
{
	size_t n = PREFIX_INSNS_MAX + (own ? filter_classic_count(own) : 0) +
		   (filters->program ? filter_classic_count(filters->program) : 0);
	uint32_t accepted = filters->is_plain ? snaplen : LIVE_WHOLE;
	bool fits = n <= KERNEL_INSNS_MAX;
	int err = 0;

	_Static_assert(sizeof(struct filter_insn) == sizeof(*filters->code), "filter_insn");
	filters->code = calloc(fits ? n : PREFIX_INSNS_MAX, sizeof(*filters->code));
	if (!filters->code)
		return -ENOMEM;
	filters->prefix = n = put_prefix(filters->code, filters);
	if (!fits)
		return 0;
	if (own)
		err = put_program(filters->code, &n, own, 0);
	if (!err && filters->program)
		err = put_program(filters->code, &n, filters->program, accepted);
	filters->code[n++] =
		(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, filters->program ? 0 : accepted);
	filters->count = err ? 0 : n;
	return 0;
}

/* What the programs of the other modes cannot do is refused here with the same words. */
static int compile(struct live_filters *filters, const struct filter_set *set, char *why)
{
	struct filter_code code = {};
	int err = filter_set_compile(&filters->program, set, filters->link_type, why);

	if (!err && filters->program)
		err = filter_translate(&code, filters->program, FILTER_TCX, why);
	filter_code_release(&code);
	return err;
}

/* own: for the kernel. Here it also has to be found behind a tag. */
static int compile_own(struct live_filters *filters, const char *expression,
		       struct filter_program **own, char *why)
{
	int err = filter_compile(own, expression, filters->link_type, why);
	char *text = NULL;

	/* A link type without addresses has no upload of ours. */
	if (err)
		return err == -EINVAL ? 0 : err;
	if (asprintf(&text, "(%s) or (vlan and (%s))", expression, expression) < 0)
		return -ENOMEM;
	err = filter_compile(&filters->own, text, filters->link_type, why);
	free(text);
	return err == -EINVAL ? 0 : err;
}

static int prepare(struct live_filters *filters, const struct live_filters_config *config,
		   char *why)
{
	struct filter_program *own = NULL;
	int err = compile(filters, config->filters, why);

	if (!err && config->own)
		err = compile_own(filters, config->own, &own, why);
	/* No device of the network has no program. */
	if (!err && filters->direction != PCAPNG_DIR_UNKNOWN)
		err = make_code(filters, own, config->snaplen);
	filter_destroy(own);
	return err;
}

int live_filters_create(struct live_filters **ret, const struct live_filters_config *config,
			char *error)
{
	const struct xcap_policy usual = { .sample = config->sample };
	struct live_filters *filters = calloc(1, sizeof(*filters));
	char why[FILTER_ERROR_LEN] = "out of memory";
	int err;

	if (!filters)
		return explain(error, -ENOMEM, "cannot filter on %s", config->ifname);
	filters->link_type = config->link_type;
	filters->direction = config->direction;
	filters->generation = (uint16_t)config->filters->generation;
	filters->kernel_ns = filters->kernel_until_ns = UINT64_MAX;
	policies_make(&filters->policies, &usual, config->filters);
	filters->is_plain = config->filters->count < 2 && !filters->policies.differ;
	filters->only_slot = config->filters->count == 1 ? (int)config->filters->rules[0].slot : -1;
	(void)!getrandom(&filters->random, sizeof(filters->random), GRND_NONBLOCK);
	err = prepare(filters, config, why);
	if (err) {
		live_filters_destroy(filters);
		return explain_only(error, err, "cannot filter on %s: %s", config->ifname, why);
	}
	*ret = filters;
	return 0;
}

void live_filters_destroy(struct live_filters *filters)
{
	if (!filters)
		return;
	filter_destroy(filters->program);
	filter_destroy(filters->own);
	free(filters->code);
	free(filters);
}

void live_filters_destroy_all(struct live_filters *filters)
{
	struct live_filters *next;

	for (; filters; filters = next) {
		next = atomic_load(&filters->next);
		live_filters_destroy(filters);
	}
}

/*
 * Past libpcap, which would judge what has come so far by itself, and does not know the loads of
 * what the kernel knows.
 */
static int attach(int fd, struct sock_filter *code, size_t count)
{
	struct sock_fprog program = { .len = (unsigned short)count, .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

int live_filters_open(struct live_filters *filters, int fd)
{
	struct sock_filter code[PREFIX_INSNS_MAX + 1];
	int err = 0;

	if (filters->code) {
		memcpy(code, filters->code, filters->prefix * sizeof(*code));
		code[filters->prefix] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, LIVE_WHOLE);
		err = attach(fd, code, filters->prefix + 1);
	}
	filters->since_ns = clock_ns(CLOCK_REALTIME);
	return err;
}

int live_filters_install(struct live_filters *filters, int fd)
{
	int err = filters->count ? attach(fd, filters->code, filters->count) : -E2BIG;

	if (!err)
		atomic_store(&filters->kernel_ns, clock_ns(CLOCK_REALTIME));
	return err;
}

int live_filters_shut(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);

	return attach(fd, &none, 1);
}

static bool is_tagged(const struct live_filters *filters, const struct live_packet *packet)
{
	const uint8_t *type = packet->data + TYPE_AT;

	return filters->link_type == LINKTYPE_ETHERNET && packet->captured_len >= TYPE_AT + 2 &&
	       ((type[0] == 0x81 && type[1] == 0x00) || (type[0] == 0x88 && type[1] == 0xa8) ||
		(type[0] == 0x91 && type[1] == 0x00));
}

/* One that is cut was accepted by the kernel's program, which alone cuts. */
static bool was_judged(const struct live_filters *filters, const struct live_packet *packet)
{
	if (!filters->code || is_tagged(filters, packet))
		return false;
	return packet->captured_len < packet->len ||
	       (packet->time_ns >=
			atomic_load_explicit(&filters->kernel_ns, memory_order_relaxed) &&
		packet->time_ns < atomic_load(&filters->kernel_until_ns));
}

static uint32_t says(const struct filter_program *program, const struct live_packet *packet)
{
	return filter_verdict(program, packet->data, packet->captured_len, packet->len);
}

static bool is_in(struct live_filters *filters, uint32_t one_of)
{
	if (one_of < 2)
		return true;
	filters->random = filters->random * 6364136223846793005ull + 1442695040888963407ull;
	return (filters->random >> 33) % one_of == 0;
}

enum live_verdict live_filters_judge(struct live_filters *filters, const struct live_packet *packet,
				     int *slot, uint32_t *keep)
{
	bool is_settled = was_judged(filters, packet);
	const struct xcap_policy *policy;
	uint32_t verdict;

	if (!is_settled && filters->own && says(filters->own, packet))
		return LIVE_SELF;
	*slot = filters->only_slot;
	if (filters->program && !(is_settled && filters->is_plain)) {
		verdict = says(filters->program, packet);
		if (!verdict)
			return LIVE_FILTERED;
		*slot = (int)verdict - 1;
	}
	policy = &filters->policies.list[MAX(*slot, 0)];
	if (!is_in(filters, policy->sample))
		return LIVE_SAMPLED_OUT;
	*keep = policy->keep == XCAP_KEEP_BYTES ? MAX(policy->keep_bytes, 1) : LIVE_WHOLE;
	return LIVE_WANTED;
}
