/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of an interface by libpcap, where BPF programs are not to be had. libpcap tells no
 * direction, so there is a source for each, whose filters drop the packets of the other one.
 */
#include "agent/source.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/live_filters.h"
#include "bpf/explain.h"
#include "common/log.h"

/* The kernel shows a block when it is full, or within two of these. */
#define BLOCK_MS 10
#define DELAY_NS (50 * NS_PER_MS)
/* A packet shows so much after its time at most, so that all of an older time have been judged. */
#define INSTALL_NS (100 * NS_PER_MS)
/* Rejected here at a time, before others get their turn. */
#define REJECTED_MAX 1024

struct source_live {
	struct source source;
	pcap_t *handle;
	uint16_t link_type;
	enum pcapng_direction direction;
	uint32_t interface, snaplen;
	struct live_filters
		*filters; /* in force at the time of the last packet; then those after */
	struct live_numbers *numbers;
	struct pcap_pkthdr *header;
	const uint8_t *data;
	uint32_t keep; /* bytes of it */
	bool has_head, is_dead;
	uint64_t utc_offset_ns; /* of CLOCK_MONOTONIC */
	uint32_t drops_seen;	/* by libpcap's counter, which wraps */
	/* The control thread's. */
	struct live_filters *last; /* to come into force */
	bool is_installed;	   /* ... or cannot be: the kernel's part */
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

static void count_match(struct live_numbers *numbers, int slot, uint32_t len)
{
	if (slot < 0)
		return;
	add(&numbers->matched[slot].packets, 1);
	add(&numbers->matched[slot].bytes, len);
}

static uint64_t packet_time(const struct source_live *live)
{
	return (uint64_t)live->header->ts.tv_sec * NS_PER_SEC +
	       (uint64_t)live->header->ts.tv_usec; /* nanoseconds, as asked for */
}

/* Of a time: those that were in force then, of all that come behind. */
static void go_over(struct source_live *live, uint64_t time_ns)
{
	struct live_filters *next;

	while ((next = atomic_load_explicit(&live->filters->next, memory_order_acquire)) != NULL &&
	       time_ns >= next->since_ns) {
		live_filters_destroy(live->filters);
		live->filters = next;
	}
}

static bool is_wanted(struct source_live *live)
{
	const struct live_packet packet = { packet_time(live), live->data, live->header->caplen,
					    live->header->len };
	struct live_numbers *numbers = live->numbers;
	uint32_t keep;
	int slot;

	go_over(live, packet.time_ns);
	/* Older than the first ones: nobody has judged it. */
	if (packet.time_ns < live->filters->since_ns)
		return false;
	switch (live_filters_judge(live->filters, &packet, &slot, &keep)) {
	case LIVE_SELF:
		add(&numbers->self, 1);
		return false;
	case LIVE_FILTERED:
		add(&numbers->filtered, 1);
		return false;
	case LIVE_SAMPLED_OUT:
		count_match(numbers, slot, packet.len);
		add(&numbers->sampled_out, 1);
		return false;
	case LIVE_WANTED:
		count_match(numbers, slot, packet.len);
		live->keep = MIN(keep, live->snaplen);
		return true;
	}
	return false;
}

static void sample_clock(struct source_live *live)
{
	live->utc_offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
}

/* It is taken away soon; till then there may be packets, but nothing is to wake the lane. */
static void note_death(struct source_live *live)
{
	if (live->is_dead)
		return;
	log_debug("libpcap: %s", pcap_geterr(live->handle));
	live->is_dead = true;
	live->source.poll_fd = -1;
	atomic_store(&live->numbers->is_gone, true);
}

static bool read_head(struct source_live *live)
{
	for (int i = 0; i < REJECTED_MAX; i++) {
		int n = pcap_next_ex(live->handle, &live->header, &live->data);

		if (n == 0) {
			go_over(live, clock_ns(CLOCK_REALTIME) - INSTALL_NS);
			return false;
		}
		if (n < 0) {
			note_death(live);
			return false;
		}
		if (is_wanted(live)) {
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
		.captured_len = MIN(live->header->caplen, live->keep),
		.original_len = live->header->len,
		.wire_packets = 1,
		.interface = live->interface,
		.direction = (uint8_t)live->direction,
		.generation = live->filters->generation,
	};
	return true;
}

static void live_take(struct source *source)
{
	struct source_live *live = live_of(source);

	add(&live->numbers->taken, 1);
	add(&live->numbers->bytes, live->header->len);
	live->has_head = false;
}

static void live_give_back(struct source *source)
{
	sample_clock(live_of(source));
}

static uint64_t live_position(const struct source *source)
{
	return atomic_load_explicit(&live_of(source)->numbers->taken, memory_order_relaxed);
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
		add(&live->numbers->dropped, stat.ps_drop - live->drops_seen);
		live->drops_seen = stat.ps_drop;
	}
	*ret = (struct source_stats){ .received = live_position(source) };
}

static void live_destroy(struct source *source)
{
	struct source_live *live = live_of(source);

	if (live->handle)
		pcap_close(live->handle);
	live_filters_destroy_all(live->filters);
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

static int activate(struct source_live *live, const struct source_live_config *config, char *error)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	int status;

	live->handle = pcap_create(config->ifname, why);
	if (!live->handle)
		return explain_only(error, -ENODEV, "cannot capture on %s by libpcap: %s",
				    config->ifname, why);
	(void)pcap_set_snaplen(live->handle, LIVE_WHOLE);
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

static int make_filters(struct live_filters **ret, const struct source_live *live,
			const struct source_live_config *config, char *error)
{
	const struct live_filters_config filters = {
		.ifname = config->ifname,
		.link_type = live->link_type,
		.direction = live->direction,
		.snaplen = live->snaplen,
		.sample = config->sample,
		.filters = config->filters,
		.own = config->own,
	};

	return live_filters_create(ret, &filters, error);
}

/* The kernel's part once all packets are judged by the last filters; more than it takes stays. */
static void install(struct source_live *live)
{
	live->is_installed = true;
	if (live->last->code && live_filters_install(live->last, pcap_fileno(live->handle)))
		log_debug("a filter is judged without the kernel");
}

static int begin(struct source_live *live, const struct source_live_config *config, char *error)
{
	struct pcap_stat stat;
	int err = make_filters(&live->filters, live, config, error);

	if (err)
		return err;
	live->last = live->filters;
	/* The kernel's first: what comes in between is not to be more than what is asked for. */
	if (live->filters->code && !live_filters_install(live->filters, pcap_fileno(live->handle)))
		live->filters->since_ns = atomic_load(&live->filters->kernel_ns);
	else
		err = live_filters_open(live->filters, pcap_fileno(live->handle));
	live->is_installed = true;
	if (err)
		return explain(error, err, "cannot filter on %s", config->ifname);
	/* What was lost before is not ours. */
	if (pcap_stats(live->handle, &stat) == 0)
		live->drops_seen = stat.ps_drop;
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
	live->numbers = config->numbers;
	sample_clock(live);
	err = activate(live, config, error);
	if (err)
		goto fail;
	dlt = pcap_datalink(live->handle);
	live->link_type = dlt == DLT_RAW ? LINKTYPE_RAW : (uint16_t)dlt;
	err = begin(live, config, error);
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

int source_live_prepare(struct live_filters **ret, const struct source *source,
			const struct source_live_config *config, char *error)
{
	return make_filters(ret, live_of(source), config, error);
}

int source_live_apply(struct source *source, struct live_filters *filters)
{
	struct source_live *live = live_of(source);
	int err;

	/* First: what comes between the two below is still theirs. */
	atomic_store(&live->last->kernel_until_ns, clock_ns(CLOCK_REALTIME) - INSTALL_NS);
	err = live_filters_open(filters, pcap_fileno(live->handle));
	if (err) {
		atomic_store(&live->last->kernel_until_ns, UINT64_MAX);
		return err;
	}
	atomic_store_explicit(&live->last->next, filters, memory_order_release);
	live->last = filters;
	live->is_installed = false;
	return 0;
}

void source_live_refresh(struct source *source)
{
	struct source_live *live = live_of(source);

	if (!live->is_installed && clock_ns(CLOCK_REALTIME) >= live->last->since_ns + INSTALL_NS)
		install(live);
}
