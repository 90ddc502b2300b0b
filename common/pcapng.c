/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/pcapng.h"

#include <endian.h>
#include <string.h>

#include "common/pcapng_block.h"

/* Little-endian stores for the encoder: it runs once per captured packet. */
static inline uint8_t *put_u16(uint8_t *at, uint16_t v)
{
	v = htole16(v);
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static inline uint8_t *put_u32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static inline uint8_t *put_u64(uint8_t *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

/* Times and the counts beside them: the high half comes first. */
static inline uint8_t *put_time(uint8_t *at, uint64_t v)
{
	return put_u32(put_u32(at, (uint32_t)(v >> 32)), (uint32_t)v);
}

static inline uint8_t *put_option(uint8_t *at, uint16_t code, uint16_t len)
{
	return put_u16(put_u16(at, code), len);
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t len)
{
	size_t padded = align_up(len, 4);

	if (padded)
		put_u32(at + padded - 4, 0);
	if (len)
		memcpy(at, data, len);
	return at + padded;
}

static size_t text_option_len(const char *text)
{
	size_t len = text ? MIN(strlen(text), UINT16_MAX) : 0;

	return len ? 4 + align_up(len, 4) : 0;
}

static uint8_t *put_text_option(uint8_t *at, uint16_t code, const char *text)
{
	size_t len = text ? MIN(strlen(text), UINT16_MAX) : 0;

	return len ? put_bytes(put_option(at, code, (uint16_t)len), text, len) : at;
}

static inline size_t packet_options_len(const struct pcapng_packet *packet)
{
	size_t len = (packet->flags ? 8 : 0) + (packet->has_drop_count ? 12 : 0) +
		     (packet->has_packet_id ? 12 : 0) + (packet->has_queue ? 8 : 0);

	if (packet->comment)
		len += 4 + align_up(packet->comment_len, 4);
	return len ? len + 4 : 0;
}

size_t pcapng_packet_len(const struct pcapng_packet *packet)
{
	return EPB_OVERHEAD + align_up(packet->captured_len, 4) + packet_options_len(packet);
}

size_t pcapng_put_packet(uint8_t *out, size_t room, const struct pcapng_packet *packet,
			 uint8_t **data_at)
{
	size_t options_len = packet_options_len(packet);
	size_t padded = align_up(packet->captured_len, 4);
	size_t len = EPB_OVERHEAD + padded + options_len;
	uint8_t *at;

	if (len > room || len > UINT32_MAX)
		return 0;
	put_u32(out, BLOCK_EPB);
	put_u32(out + 4, (uint32_t)len);
	put_u32(out + 8, packet->interface);
	put_time(out + 12, packet->time_ns);
	put_u32(out + 20, packet->captured_len);
	put_u32(out + 24, packet->original_len);
	at = out + EPB_DATA;
	if (data_at)
		*data_at = at;
	if (padded)
		put_u32(at + padded - 4, 0);
	if (packet->data)
		memcpy(at, packet->data, packet->captured_len);
	at += padded;
	if (options_len) {
		if (packet->flags)
			at = put_u32(put_option(at, EPB_FLAGS, 4), packet->flags);
		if (packet->has_drop_count)
			at = put_u64(put_option(at, EPB_DROPCOUNT, 8), packet->drop_count);
		if (packet->has_packet_id)
			at = put_u64(put_option(at, EPB_PACKETID, 8), packet->packet_id);
		if (packet->has_queue)
			at = put_u32(put_option(at, EPB_QUEUE, 4), packet->queue);
		if (packet->comment)
			at = put_bytes(put_option(at, OPT_COMMENT, packet->comment_len),
				       packet->comment, packet->comment_len);
		at = put_option(at, OPT_END, 0);
	}
	put_u32(at, (uint32_t)len);
	return len;
}

size_t pcapng_put_interface(uint8_t *out, size_t room, const struct pcapng_interface *interface)
{
	size_t filter_len = strlen(interface->filter);
	size_t len = 20 + text_option_len(interface->name) +
		     text_option_len(interface->description) + (interface->speed_bps ? 12 : 0) +
		     8 /* if_tsresol */ + (filter_len ? 4 + align_up(1 + filter_len, 4) : 0) +
		     text_option_len(interface->os) + 4;
	uint8_t *at = out;

	if (len > room)
		return 0;
	at = put_u32(put_u32(at, BLOCK_IDB), (uint32_t)len);
	at = put_u16(put_u16(at, interface->link_type), 0);
	at = put_u32(at, interface->snaplen);
	at = put_text_option(at, IF_NAME, interface->name);
	at = put_text_option(at, IF_DESCRIPTION, interface->description);
	if (interface->speed_bps)
		at = put_u64(put_option(at, IF_SPEED, 8), interface->speed_bps);
	at = put_u32(put_option(at, IF_TSRESOL, 1), TSRESOL_NS);
	if (filter_len) {
		size_t padded = align_up(1 + filter_len, 4);

		at = put_option(at, IF_FILTER, (uint16_t)(1 + filter_len));
		put_u32(at + padded - 4, 0);
		at[0] = IF_FILTER_STRING;
		memcpy(at + 1, interface->filter, filter_len);
		at += padded;
	}
	at = put_text_option(at, IF_OS, interface->os);
	at = put_option(at, OPT_END, 0);
	put_u32(at, (uint32_t)len);
	return len;
}

void pcapng_section(struct buf *out, const char *application, const char *os, const char *hardware)
{
	size_t options_len =
		text_option_len(hardware) + text_option_len(os) + text_option_len(application);
	size_t len = 28 + (options_len ? options_len + 4 : 0);
	uint8_t *at = buf_reserve(out, len);

	if (!at)
		return;
	at = put_u32(put_u32(at, BLOCK_SHB), (uint32_t)len);
	at = put_u32(at, BYTE_ORDER_MAGIC);
	at = put_u16(put_u16(at, 1), 0);
	at = put_u64(at, UINT64_MAX); /* the section's length is not known in advance */
	at = put_text_option(at, SHB_HARDWARE, hardware);
	at = put_text_option(at, SHB_OS, os);
	at = put_text_option(at, SHB_USERAPPL, application);
	if (options_len)
		at = put_option(at, OPT_END, 0);
	put_u32(at, (uint32_t)len);
	buf_commit(out, len);
}

void pcapng_interface(struct buf *out, const struct pcapng_interface *interface)
{
	size_t room = 128 + sizeof(*interface);
	uint8_t *at = buf_reserve(out, room);

	if (at)
		buf_commit(out, pcapng_put_interface(at, room, interface));
}

void pcapng_packet(struct buf *out, const struct pcapng_packet *packet)
{
	size_t room = pcapng_packet_len(packet);
	uint8_t *at = buf_reserve(out, room);

	if (at)
		buf_commit(out, pcapng_put_packet(at, room, packet, NULL));
}

size_t pcapng_put_statistics(uint8_t *out, size_t room, const struct pcapng_statistics *statistics)
{
	const struct {
		uint16_t code;
		uint64_t value;
	} counts[] = {
		{ ISB_IFRECV, statistics->received },
		{ ISB_IFDROP, statistics->dropped },
		{ ISB_FILTERACCEPT, statistics->filter_accepted },
		{ ISB_OSDROP, statistics->os_dropped },
		{ ISB_USRDELIV, statistics->delivered },
	};
	uint8_t *at = out;
	size_t len;

	_Static_assert(28 + 12 * (2 + ARRAY_SIZE(counts)) <= PCAPNG_STATISTICS_MAX, "its length");
	if (room < PCAPNG_STATISTICS_MAX)
		return 0;
	at = put_u32(at, BLOCK_ISB);
	at = put_u32(at + 4, statistics->interface);
	at = put_time(at, statistics->time_ns);
	if (statistics->start_ns)
		at = put_time(put_option(at, ISB_STARTTIME, 8), statistics->start_ns);
	if (statistics->end_ns)
		at = put_time(put_option(at, ISB_ENDTIME, 8), statistics->end_ns);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (counts[i].value != PCAPNG_UNKNOWN)
			at = put_u64(put_option(at, counts[i].code, 8), counts[i].value);
	at = put_option(at, OPT_END, 0);
	len = (size_t)(at + 4 - out);
	put_u32(out + 4, (uint32_t)len);
	put_u32(at, (uint32_t)len);
	return len;
}

void pcapng_statistics(struct buf *out, const struct pcapng_statistics *statistics)
{
	uint8_t *at = buf_reserve(out, PCAPNG_STATISTICS_MAX);

	if (at)
		buf_commit(out, pcapng_put_statistics(at, PCAPNG_STATISTICS_MAX, statistics));
}

void pcap_header(struct buf *out, uint16_t link_type, uint32_t snaplen)
{
	uint8_t *at = buf_reserve(out, PCAP_HEADER_LEN);

	if (!at)
		return;
	at = put_u32(at, PCAP_MAGIC_NS);
	at = put_u16(put_u16(at, 2), 4);
	at = put_u64(at, 0); /* zone and accuracy, which nobody uses */
	put_u32(put_u32(at, snaplen), link_type);
	buf_commit(out, PCAP_HEADER_LEN);
}

void pcap_packet(struct buf *out, const struct pcapng_packet *packet)
{
	uint8_t *at = buf_reserve(out, (size_t)PCAP_RECORD_LEN + packet->captured_len);

	if (!at)
		return;
	at = put_u32(at, (uint32_t)(packet->time_ns / NS_PER_SEC));
	at = put_u32(at, (uint32_t)(packet->time_ns % NS_PER_SEC));
	at = put_u32(put_u32(at, packet->captured_len), packet->original_len);
	if (packet->captured_len)
		memcpy(at, packet->data, packet->captured_len);
	buf_commit(out, (size_t)PCAP_RECORD_LEN + packet->captured_len);
}
