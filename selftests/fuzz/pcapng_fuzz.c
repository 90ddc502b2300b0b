/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as a file and as a frame's payload. What is decoded must lie within the input; encoded
 * and decoded again it must be the same.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/pcapng.h"
#include "selftests/fuzz/fuzz.h"

static bool packets_equal(const struct pcapng_packet *a, const struct pcapng_packet *b)
{
	return a->interface == b->interface && a->time_ns == b->time_ns &&
	       a->captured_len == b->captured_len && a->original_len == b->original_len &&
	       memcmp(a->data, b->data, a->captured_len) == 0 && a->flags == b->flags &&
	       a->has_drop_count == b->has_drop_count && a->drop_count == b->drop_count &&
	       a->has_queue == b->has_queue && a->queue == b->queue &&
	       a->has_packet_id == b->has_packet_id && a->packet_id == b->packet_id &&
	       !a->comment == !b->comment && a->comment_len == b->comment_len &&
	       (!a->comment || memcmp(a->comment, b->comment, a->comment_len) == 0);
}

/* A frame of one interface and, if there is one, a packet. */
static void round_trip(struct pcapng_decoder *decoder, const struct pcapng_interface *interface,
		       const struct pcapng_packet *packet)
{
	struct pcapng_interface written = *interface;
	const struct pcapng_interface *read;
	struct pcapng_packet in = {}, out = {}, again;
	struct buf frame = {};
	enum pcapng_item item;
	ssize_t n;

	written.tsresol = 9;
	written.tsoffset_s = 0;
	pcapng_interface(&frame, &written);
	pcapng_decoder_reset(decoder, PCAPNG_FROM_FRAME);
	n = pcapng_decode(decoder, frame.data, frame.len, &item, &out);
	assert(n == (ssize_t)frame.len && item == PCAPNG_ITEM_INTERFACE);
	read = pcapng_decoder_interface(decoder, 0);
	assert(read->link_type == written.link_type && read->snaplen == written.snaplen &&
	       strcmp(read->name, written.name) == 0 &&
	       strcmp(read->description, written.description) == 0 &&
	       strcmp(read->filter, written.filter) == 0 && strcmp(read->os, written.os) == 0 &&
	       read->tsresol == 9 && read->tsoffset_s == 0 && read->speed_bps == written.speed_bps);
	if (packet) {
		in = *packet;
		in.interface = 0;
		buf_clear(&frame);
		pcapng_packet(&frame, &in);
		assert(frame.len == pcapng_packet_len(&in));
		n = pcapng_decode(decoder, frame.data, frame.len, &item, &out);
		assert(n == (ssize_t)frame.len && item == PCAPNG_ITEM_PACKET);
		assert(packets_equal(&in, &out));
		again = (struct pcapng_packet){ .time_ns = out.time_ns };
		pcapng_decode_again(frame.data, &again);
		assert(packets_equal(&in, &again));
	}
	buf_release(&frame);
}

/* Of a frame's only interface. */
static void round_trip_statistics(struct pcapng_decoder *decoder,
				  const struct pcapng_statistics *statistics)
{
	const struct pcapng_interface interface = { .link_type = 1 };
	struct pcapng_statistics in = *statistics, out;
	struct pcapng_packet packet;
	struct buf frame = {};
	enum pcapng_item item;
	size_t first;
	ssize_t n;

	in.interface = 0;
	pcapng_interface(&frame, &interface);
	first = frame.len;
	pcapng_statistics(&frame, &in);
	pcapng_decoder_reset(decoder, PCAPNG_FROM_FRAME);
	n = pcapng_decode(decoder, frame.data, frame.len, &item, &packet);
	assert(n == (ssize_t)first);
	n = pcapng_decode(decoder, frame.data + first, frame.len - first, &item, &packet);
	assert(n == (ssize_t)(frame.len - first) && item == PCAPNG_ITEM_STATISTICS);
	out = *pcapng_decoder_statistics(decoder);
	assert(in.time_ns == out.time_ns && in.start_ns == out.start_ns &&
	       in.end_ns == out.end_ns && in.received == out.received &&
	       in.dropped == out.dropped && in.filter_accepted == out.filter_accepted &&
	       in.os_dropped == out.os_dropped && in.delivered == out.delivered);
	buf_release(&frame);
}

static void decode(struct pcapng_decoder *decoder, struct pcapng_decoder *other,
		   enum pcapng_source source, const uint8_t *data, size_t len)
{
	const struct pcapng_interface *interface;
	struct pcapng_packet packet;
	enum pcapng_item item;
	ssize_t n;

	pcapng_decoder_reset(decoder, source);
	while (len) {
		n = pcapng_decode(decoder, data, len, &item, &packet);
		if (n <= 0) {
			assert(n == 0 || n == -EBADMSG || n == -EPROTONOSUPPORT || n == -EMSGSIZE);
			assert(item == PCAPNG_ITEM_NONE && pcapng_decoder_error(decoder));
			return;
		}
		assert((size_t)n <= len);
		if (item == PCAPNG_ITEM_INTERFACE) {
			interface = pcapng_decoder_interface(
				decoder, pcapng_decoder_interface_count(decoder) - 1);
			round_trip(other, interface, NULL);
		} else if (item == PCAPNG_ITEM_PACKET) {
			assert(packet.data >= data && packet.captured_len <= (size_t)n &&
			       packet.data + packet.captured_len <= data + n);
			interface = pcapng_decoder_interface(decoder, packet.interface);
			assert(interface);
			round_trip(other, interface, &packet);
		} else if (item == PCAPNG_ITEM_STATISTICS) {
			assert(pcapng_decoder_interface(
				decoder, pcapng_decoder_statistics(decoder)->interface));
			round_trip_statistics(other, pcapng_decoder_statistics(decoder));
		}
		data += n;
		len -= (size_t)n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pcapng_decoder *decoder, *other;

	if (pcapng_decoder_create(&decoder, PCAPNG_FROM_FILE) ||
	    pcapng_decoder_create(&other, PCAPNG_FROM_FRAME))
		abort();
	decode(decoder, other, PCAPNG_FROM_FILE, data, len);
	decode(decoder, other, PCAPNG_FROM_FRAME, data, len);
	pcapng_decoder_destroy(decoder);
	pcapng_decoder_destroy(other);
	return 0;
}
