/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of an interface by libpcap, where BPF programs are not to be had.
 *
 * libpcap tells no direction, so there is a source for each, whose program drops the packets of the
 * other one. A filter is judged as it is by the BPF programs, tags in band: the kernel runs
 * libpcap's code for whole Ethernet frames on those without a tag, before they are cut; frames with
 * a tag, which the kernel may have taken out, come whole and are judged here.
 */
#include "agent/source.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bpf/explain.h"
#include "bpf/filter_set.h"
#include "common/log.h"

/* The kernel shows a block when it is full, or within two of these. */
#define BLOCK_MS 10
#define DELAY_NS (50 * NS_PER_MS)
#define WHOLE 262144
#define KERNEL_INSNS_MAX 4096
#define PREFIX_INSNS_MAX 16
#define TYPE_AT 12
/* Rejected here at a time, before others get their turn. */
#define REJECTED_MAX 1024

/* Loads of what the kernel knows about a packet, see linux/filter.h. */
#define KERNEL_PKTTYPE 0xfffff004u
#define KERNEL_HAS_TAG 0xfffff030u

struct source_live {
	struct source source;
	pcap_t *handle;
	uint16_t link_type;
	enum pcapng_direction direction;
	uint32_t interface, snaplen;
	uint16_t generation;		     /* of the filters */
	struct filter_program *filter, *own; /* NULL: none */
	bool judges_all;		     /* the kernel does not run the filter */
	uint64_t begun_ns;		     /* UTC: what is older was not judged */
	struct pcap_pkthdr *header;
	const uint8_t *data;
	bool has_head;
	uint64_t utc_offset_ns; /* of CLOCK_MONOTONIC */
	uint32_t drops_seen;	/* by libpcap's counter, which wraps */
	/* For others to read. */
	_Atomic uint64_t taken, bytes, filtered, self, dropped;
	_Atomic bool is_gone;
};

static struct source_live *live_of(const struct source *source)
{
	return container_of((struct source *)(uintptr_t)source, struct source_live, source);
}

static void add(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
			      memory_order_relaxed);
}

static bool is_tagged(const struct source_live *live)
{
	const uint8_t *type = live->data + TYPE_AT;

	return live->link_type == LINKTYPE_ETHERNET && live->header->caplen >= TYPE_AT + 2 &&
	       ((type[0] == 0x81 && type[1] == 0x00) || (type[0] == 0x88 && type[1] == 0xa8) ||
		(type[0] == 0x91 && type[1] == 0x00));
}

static bool says(const struct filter_program *program, const struct source_live *live)
{
	return filter_verdict(program, live->data, live->header->caplen, live->header->len);
}

static uint64_t packet_time(const struct source_live *live)
{
	return (uint64_t)live->header->ts.tv_sec * NS_PER_SEC +
	       (uint64_t)live->header->ts.tv_usec; /* nanoseconds, as asked for */
}

/* What the kernel has not judged. */
static bool is_wanted(struct source_live *live)
{
	if (packet_time(live) < live->begun_ns)
		return false;
	if (!live->judges_all && !is_tagged(live))
		return true;
	if (live->own && says(live->own, live)) {
		add(&live->self, 1);
		return false;
	}
	if (live->filter && !says(live->filter, live)) {
		add(&live->filtered, 1);
		return false;
	}
	return true;
}

static void sample_clock(struct source_live *live)
{
	live->utc_offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
}

static bool read_head(struct source_live *live)
{
	for (int i = 0; i < REJECTED_MAX && !live->source.at_end; i++) {
		int n = pcap_next_ex(live->handle, &live->header, &live->data);

		if (n == 0)
			return false;
		if (n < 0) {
			log_debug("libpcap: %s", pcap_geterr(live->handle));
			live->source.at_end = true;
			atomic_store(&live->is_gone, true);
		} else if (is_wanted(live)) {
			live->has_head = true;
			return true;
		}
	}
	return false;
}

static bool live_peek(struct source *source, struct source_packet *ret)
{
	struct source_live *live = live_of(source);

	if (!live->has_head && !read_head(live))
		return false;
	*ret = (struct source_packet){
		.time_ns = packet_time(live) - live->utc_offset_ns,
		.data = live->data,
		.captured_len = MIN(live->header->caplen, live->snaplen),
		.original_len = live->header->len,
		.wire_packets = 1,
		.interface = live->interface,
		.direction = (uint8_t)live->direction,
		.generation = live->generation,
	};
	return true;
}

static void live_take(struct source *source)
{
	struct source_live *live = live_of(source);

	add(&live->taken, 1);
	add(&live->bytes, live->header->len);
	live->has_head = false;
}

static void live_give_back(struct source *source)
{
	sample_clock(live_of(source));
}

static uint64_t live_position(const struct source *source)
{
	return atomic_load_explicit(&live_of(source)->taken, memory_order_relaxed);
}

/* Nothing of it outlasts a daemon. */
static void live_seek(struct source *source, uint64_t position)
{
	(void)source;
	(void)position;
}

static void live_stats(const struct source *source, struct source_stats *ret)
{
	struct source_live *live = live_of(source);
	struct pcap_stat stat;

	if (pcap_stats(live->handle, &stat) == 0) {
		add(&live->dropped, stat.ps_drop - live->drops_seen);
		live->drops_seen = stat.ps_drop;
	}
	*ret = (struct source_stats){ .received = live_position(source) };
}

static void live_destroy(struct source *source)
{
	struct source_live *live = live_of(source);

	if (live->handle)
		pcap_close(live->handle);
	filter_destroy(live->filter);
	filter_destroy(live->own);
	free(live);
}

static const struct source_ops live_ops = {
	.name = "live",
	.peek = live_peek,
	.take = live_take,
	.give_back = live_give_back,
	.position = live_position,
	.seek = live_seek,
	.stats = live_stats,
	.destroy = live_destroy,
};

static int explain_pcap(struct source_live *live, const char *ifname, int status, char *error)
{
	int err = status == PCAP_ERROR_PERM_DENIED || status == PCAP_ERROR_PROMISC_PERM_DENIED
			  ? -EPERM
		  : status == PCAP_ERROR_NO_SUCH_DEVICE ? -ENODEV
							: -EIO;
	const char *why = pcap_geterr(live->handle);

	return explain_only(error, err, "cannot capture on %s by libpcap: %s%s%s", ifname,
			    pcap_statustostr(status), *why ? ": " : "", why);
}

static size_t put_prefix(struct sock_filter *code, const struct source_live *live)
{
	bool out = live->direction == PCAPNG_DIR_OUT;
	size_t n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, KERNEL_PKTTYPE);
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, out, !out);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	if (live->link_type != LINKTYPE_ETHERNET || !(live->filter || live->own))
		return n;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, KERNEL_HAS_TAG);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, TYPE_AT);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x8100, 2, 0);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x88a8, 1, 0);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x9100, 0, 1);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, WHOLE);
	return n;
}

static int attach(const struct source_live *live, struct sock_filter *code, size_t count)
{
	struct sock_fprog program = { .len = (unsigned short)count, .filter = code };

	return setsockopt(pcap_fileno(live->handle), SOL_SOCKET, SO_ATTACH_FILTER, &program,
			  sizeof(program))
		       ? -errno
		       : 0;
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

/*
 * Past libpcap, which would judge what has come so far by itself, and does not know the loads of
 * what the kernel knows. Accepted frames are cut to snaplen.
 */
static int install(struct source_live *live, const struct filter_program *own)
{
	size_t count = PREFIX_INSNS_MAX + (own ? filter_classic_count(own) : 0) +
		       (live->filter ? filter_classic_count(live->filter) : 0);
	struct sock_filter *code = calloc(count, sizeof(*code));
	size_t prefix, n;
	int err = -E2BIG;

	_Static_assert(sizeof(struct filter_insn) == sizeof(*code), "filter_insn");
	if (!code)
		return -ENOMEM;
	prefix = n = put_prefix(code, live);
	if (count <= KERNEL_INSNS_MAX)
		err = own ? put_program(code, &n, own, 0) : 0;
	if (!err && live->filter)
		err = put_program(code, &n, live->filter, live->snaplen);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, live->filter ? 0 : live->snaplen);
	if (!err)
		err = attach(live, code, n);
	if (err) {
		/* More than the kernel takes. */
		live->judges_all = true;
		code[prefix] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, WHOLE);
		err = attach(live, code, prefix + 1);
	}
	free(code);
	live->begun_ns = clock_ns(CLOCK_REALTIME);
	return err;
}

/* What the programs of the other modes cannot do is refused here with the same words. */
static int compile(struct source_live *live, const struct filter_set *filters, char *why)
{
	struct filter_code code = {};
	int err = filter_set_compile(&live->filter, filters, live->link_type, why);

	if (!err && live->filter)
		err = filter_translate(&code, live->filter, FILTER_TCX, why);
	filter_code_release(&code);
	return err;
}

/* own: for the kernel. Here it also has to be found behind a tag. */
static int compile_own(struct source_live *live, const char *expression,
		       struct filter_program **own, char *why)
{
	int err = filter_compile(own, expression, live->link_type, why);
	char *text = NULL;

	/* A link type without addresses has no upload of ours. */
	if (err)
		return err == -EINVAL ? 0 : err;
	if (asprintf(&text, "(%s) or (vlan and (%s))", expression, expression) < 0)
		return -ENOMEM;
	err = filter_compile(&live->own, text, live->link_type, why);
	free(text);
	return err == -EINVAL ? 0 : err;
}

static int set_filters(struct source_live *live, const struct source_live_config *config,
		       char *error)
{
	struct filter_program *own = NULL;
	char why[FILTER_ERROR_LEN] = "out of memory";
	struct pcap_stat stat;
	int err;

	live->generation = (uint16_t)config->filters->generation;
	err = compile(live, config->filters, why);
	if (!err && config->own)
		err = compile_own(live, config->own, &own, why);
	if (!err && live->direction == PCAPNG_DIR_UNKNOWN) {
		/* No device of the network: there is no program. */
		live->judges_all = true;
	} else if (!err) {
		err = install(live, own);
		if (err)
			snprintf(why, sizeof(why), "%s", strerror(-err));
	}
	filter_destroy(own);
	if (err)
		return explain_only(error, err, "cannot filter on %s: %s", config->ifname, why);
	/* What was lost before is not ours. */
	if (pcap_stats(live->handle, &stat) == 0)
		live->drops_seen = stat.ps_drop;
	return 0;
}

static int activate(struct source_live *live, const struct source_live_config *config, char *error)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	int status;

	live->handle = pcap_create(config->ifname, why);
	if (!live->handle)
		return explain_only(error, -ENODEV, "cannot capture on %s by libpcap: %s",
				    config->ifname, why);
	(void)pcap_set_snaplen(live->handle, WHOLE);
	(void)pcap_set_promisc(live->handle, config->promiscuous);
	(void)pcap_set_timeout(live->handle, BLOCK_MS);
	(void)pcap_set_buffer_size(live->handle, (int)MIN(config->buffer_bytes, GIB));
	(void)pcap_set_tstamp_precision(live->handle, PCAP_TSTAMP_PRECISION_NANO);
	status = pcap_activate(live->handle);
	if (status < 0)
		return explain_pcap(live, config->ifname, status, error);
	if (status > 0)
		log_info("%s: libpcap: %s", config->ifname, pcap_statustostr(status));
	if (pcap_get_tstamp_precision(live->handle) != PCAP_TSTAMP_PRECISION_NANO)
		return explain_only(error, -EOPNOTSUPP,
				    "cannot capture on %s by libpcap: it has no nanoseconds",
				    config->ifname);
	if (pcap_setnonblock(live->handle, 1, why) < 0 || pcap_get_selectable_fd(live->handle) < 0)
		return explain_only(error, -EOPNOTSUPP,
				    "cannot capture on %s by libpcap: it cannot be waited for",
				    config->ifname);
	return 0;
}

int source_live_create(struct source **ret, const struct source_live_config *config, char *error)
{
	struct source_live *live = calloc(1, sizeof(*live));
	int dlt, err;

	if (!live)
		return explain(error, -ENOMEM, "cannot capture on %s", config->ifname);
	live->source = (struct source){
		.ops = &live_ops,
		.id = 1ull << 61 | (uint64_t)config->interface << 2 | config->direction,
		.interface = config->interface,
		.poll_fd = -1,
		.delay_ns = DELAY_NS,
	};
	live->direction = config->direction;
	live->interface = config->interface;
	live->snaplen = config->snaplen;
	sample_clock(live);
	err = activate(live, config, error);
	if (err)
		goto fail;
	dlt = pcap_datalink(live->handle);
	live->link_type = dlt == DLT_RAW ? LINKTYPE_RAW : (uint16_t)dlt;
	err = set_filters(live, config, error);
	if (err)
		goto fail;
	live->source.poll_fd = pcap_get_selectable_fd(live->handle);
	*ret = &live->source;
	return 0;
fail:
	live_destroy(&live->source);
	return err;
}

uint16_t source_live_link_type(const struct source *source)
{
	return live_of(source)->link_type;
}

void source_live_counts(const struct source *source, struct source_live_counts *ret)
{
	const struct source_live *live = live_of(source);

	*ret = (struct source_live_counts){
		.taken = atomic_load_explicit(&live->taken, memory_order_relaxed),
		.bytes = atomic_load_explicit(&live->bytes, memory_order_relaxed),
		.filtered = atomic_load_explicit(&live->filtered, memory_order_relaxed),
		.self = atomic_load_explicit(&live->self, memory_order_relaxed),
		.dropped = atomic_load_explicit(&live->dropped, memory_order_relaxed),
		.is_gone = atomic_load(&live->is_gone),
	};
}
