/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/frame.h"

#include <errno.h>
#include <string.h>

#include "common/crc32c.h"
#include "common/cursor.h"

#define HEADER_CRC_OFFSET 76

static const char *const type_names[] = {
	[FRAME_PACKETS] = "packets", [FRAME_FLOWS] = "flows", [FRAME_MARK] = "mark",
	[FRAME_LOSS] = "loss",	     [FRAME_CLOCK] = "clock", [FRAME_STATS] = "stats",
	[FRAME_CONTROL] = "control", [FRAME_EVENT] = "event", [FRAME_OPEN] = "open",
	[FRAME_BYE] = "bye",	     [FRAME_ACK] = "ack",     [FRAME_NACK] = "nack",
};

void frame_header_encode(uint8_t *out, const struct frame_header *header)
{
	uint8_t bytes[FRAME_HEADER_LEN];
	struct cursor c = cursor_writer(bytes, sizeof(bytes));

	cursor_put_u32(&c, FRAME_MAGIC);
	cursor_put_u16(&c, FRAME_HEADER_LEN);
	cursor_put_u8(&c, FRAME_VERSION);
	cursor_put_u8(&c, header->type);
	cursor_put_u32(&c, header->flags);
	cursor_put_u32(&c, header->stream);
	cursor_put_u64(&c, header->sequence);
	cursor_put_u32(&c, header->stored_len);
	cursor_put_u32(&c, header->raw_len);
	cursor_put_u32(&c, header->packet_count);
	cursor_put_u32(&c, header->wire_count);
	cursor_put_u64(&c, header->first_ns);
	cursor_put_u64(&c, header->last_ns);
	cursor_put_u64(&c, header->watermark_ns);
	cursor_put_u64(&c, (uint64_t)header->utc_offset_ns);
	cursor_put_u32(&c, header->payload_crc);
	cursor_put_u32(&c, crc32c(0, bytes, HEADER_CRC_OFFSET));
	memcpy(out, bytes, sizeof(bytes));
}

int frame_header_decode(struct frame_header *ret, const uint8_t *in)
{
	struct cursor c = cursor_reader(in, FRAME_HEADER_LEN);
	struct frame_header header;
	uint16_t header_len;
	uint8_t version;

	if (cursor_get_u32(&c) != FRAME_MAGIC)
		return -EBADMSG;
	header_len = cursor_get_u16(&c);
	version = cursor_get_u8(&c);
	if (version != FRAME_VERSION)
		return -EPROTONOSUPPORT;
	if (header_len != FRAME_HEADER_LEN)
		return -EBADMSG;
	header.type = cursor_get_u8(&c);
	header.flags = cursor_get_u32(&c);
	header.stream = cursor_get_u32(&c);
	header.sequence = cursor_get_u64(&c);
	header.stored_len = cursor_get_u32(&c);
	header.raw_len = cursor_get_u32(&c);
	header.packet_count = cursor_get_u32(&c);
	header.wire_count = cursor_get_u32(&c);
	header.first_ns = cursor_get_u64(&c);
	header.last_ns = cursor_get_u64(&c);
	header.watermark_ns = cursor_get_u64(&c);
	header.utc_offset_ns = (int64_t)cursor_get_u64(&c);
	header.payload_crc = cursor_get_u32(&c);
	if (cursor_get_u32(&c) != crc32c(0, in, HEADER_CRC_OFFSET))
		return -EBADMSG;
	if (header.stored_len > FRAME_PAYLOAD_MAX || header.raw_len > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	*ret = header;
	return 0;
}

int frame_payload_check(const struct frame_header *header, const void *payload)
{
	return crc32c(0, payload, header->stored_len) == header->payload_crc ? 0 : -EBADMSG;
}

void frame_seal(uint8_t *out, struct frame_header *header, const void *payload, size_t len)
{
	header->stored_len = (uint32_t)len;
	header->raw_len = (uint32_t)len;
	header->payload_crc = crc32c(0, payload, len);
	frame_header_encode(out, header);
}

const char *frame_type_name(uint8_t type)
{
	return type < ARRAY_SIZE(type_names) && type_names[type] ? type_names[type] : "unknown";
}

bool frame_type_is_sequenced(uint8_t type)
{
	return type != FRAME_MARK && type != FRAME_OPEN && type != FRAME_ACK &&
	       type != FRAME_NACK && type != FRAME_CONTROL;
}
