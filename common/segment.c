/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/segment.h"

#include <errno.h>

#include "common/crc32c.h"

#define SEGMENT_MAGIC 0x3147455350414358u /* "XCAPSEG1" */
#define RECORD_MAGIC 0x31524358u	  /* "XCR1" */
#define RECORD_CRC_OFFSET 28
#define SEGMENT_CRC_OFFSET 60
#define STREAMS_HEADER_LEN 8u
#define STREAM_FIXED_LEN 32u
#define STREAM_F_REPLAY 1

void segment_header_encode(uint8_t *out, const struct segment *segment)
{
	struct cursor c = cursor_writer(out, SEGMENT_HEADER_LEN);

	memset(out, 0, SEGMENT_HEADER_LEN);
	cursor_put_u64(&c, SEGMENT_MAGIC);
	cursor_put_u32(&c, SEGMENT_VERSION);
	cursor_put_u32(&c, SEGMENT_HEADER_LEN);
	cursor_put_u64(&c, segment->id);
	cursor_put_u64(&c, segment->first);
	cursor_put_u64(&c, segment->created_ns);
	c = cursor_writer(out + SEGMENT_CRC_OFFSET, 4);
	cursor_put_u32(&c, crc32c(0, out, SEGMENT_CRC_OFFSET));
}

int segment_header_decode(struct segment *ret, const uint8_t *in)
{
	struct cursor c = cursor_reader(in, SEGMENT_HEADER_LEN);
	struct cursor crc = cursor_reader(in + SEGMENT_CRC_OFFSET, 4);
	struct segment segment;
	uint32_t version, header_len;

	if (cursor_get_u64(&c) != SEGMENT_MAGIC ||
	    cursor_get_u32(&crc) != crc32c(0, in, SEGMENT_CRC_OFFSET))
		return -EBADMSG;
	version = cursor_get_u32(&c);
	header_len = cursor_get_u32(&c);
	if (version != SEGMENT_VERSION)
		return -EPROTONOSUPPORT;
	segment.id = cursor_get_u64(&c);
	segment.first = cursor_get_u64(&c);
	segment.created_ns = cursor_get_u64(&c);
	if (header_len != SEGMENT_HEADER_LEN || segment.first % 8)
		return -EBADMSG;
	*ret = segment;
	return 0;
}

/* Of a frame only its header: that holds the checksum of the payload. */
static uint32_t body_crc(uint16_t kind, const uint8_t *body, size_t len)
{
	return crc32c(0, body, kind == JOURNAL_FRAME ? FRAME_HEADER_LEN : len);
}

static uint32_t header_crc(const uint8_t *header, const struct segment *segment, uint64_t offset)
{
	uint64_t seed[2] = { htole64(segment->id), htole64(offset) };

	return crc32c(crc32c(0, seed, sizeof(seed)), header, RECORD_CRC_OFFSET);
}

void segment_record_encode(uint8_t *out, const struct segment_record *record,
			   const struct segment *segment, uint64_t offset)
{
	struct cursor c = cursor_writer(out, RECORD_HEADER_LEN);

	cursor_put_u32(&c, RECORD_MAGIC);
	cursor_put_u16(&c, record->kind);
	cursor_put_u16(&c, record->flags);
	cursor_put_u32(&c, record->body_len);
	cursor_put_u32(&c, record->stream);
	cursor_put_u64(&c, record->received_ns);
	cursor_put_u32(&c, body_crc(record->kind, record->body, record->body_len));
	cursor_put_u32(&c, header_crc(out, segment, offset));
}

int segment_record_decode(struct segment_record *ret, const uint8_t *in,
			  const struct segment *segment, uint64_t offset)
{
	struct cursor c = cursor_reader(in, RECORD_HEADER_LEN);
	struct cursor crc = cursor_reader(in + RECORD_CRC_OFFSET, 4);
	struct segment_record record = {};

	if (cursor_get_u32(&c) != RECORD_MAGIC ||
	    cursor_get_u32(&crc) != header_crc(in, segment, offset))
		return -EBADMSG;
	record.kind = cursor_get_u16(&c);
	record.flags = cursor_get_u16(&c);
	record.body_len = cursor_get_u32(&c);
	record.stream = cursor_get_u32(&c);
	record.received_ns = cursor_get_u64(&c);
	if (record.body_len > RECORD_BODY_MAX ||
	    (record.kind == JOURNAL_FRAME && record.body_len < FRAME_HEADER_LEN))
		return -EBADMSG;
	record.len = (uint32_t)segment_record_len(record.body_len);
	*ret = record;
	return 0;
}

int segment_body_decode(struct segment_record *ret, const uint8_t *body)
{
	/* The body directly follows its header. */
	struct cursor c = cursor_reader(body - RECORD_HEADER_LEN + 24, 4);

	if (cursor_get_u32(&c) != body_crc(ret->kind, body, ret->body_len))
		return -EBADMSG;
	if (ret->kind == JOURNAL_FRAME &&
	    (frame_header_decode(&ret->frame, body) ||
	     ret->body_len != FRAME_HEADER_LEN + ret->frame.stored_len ||
	     frame_payload_check(&ret->frame, body + FRAME_HEADER_LEN)))
		return -EBADMSG;
	ret->body = body;
	return 0;
}

int segment_scan(const struct segment *segment, uint64_t offset, const uint8_t *data, size_t len,
		 size_t *at, struct segment_record *ret)
{
	struct segment_record record;
	size_t i;

	for (i = 0; i + RECORD_HEADER_LEN <= len; i += 8) {
		if (segment_record_decode(&record, data + i, segment, offset + i))
			continue;
		if (record.len > len - i)
			break;
		if (segment_body_decode(&record, data + i + RECORD_HEADER_LEN))
			continue;
		*at = i;
		*ret = record;
		return 1;
	}
	*at = i;
	return 0;
}

void segment_seal_encode(uint8_t *out, const struct segment_seal *seal, uint64_t offset,
			 uint64_t now_ns)
{
	uint8_t *body = out + RECORD_HEADER_LEN;
	struct cursor c = cursor_writer(body, SEAL_LEN - RECORD_HEADER_LEN);
	struct segment_record record = { .kind = JOURNAL_SEAL,
					 .received_ns = now_ns,
					 .body = body,
					 .body_len = SEAL_LEN - RECORD_HEADER_LEN };

	cursor_put_u64(&c, seal->segment.id);
	cursor_put_u64(&c, seal->segment.first);
	cursor_put_u64(&c, seal->segment.created_ns);
	cursor_put_u64(&c, seal->frames);
	cursor_put_u64(&c, seal->first_ns);
	cursor_put_u64(&c, seal->last_ns);
	segment_record_encode(out, &record, &seal->segment, offset);
}

int segment_seal_decode(struct segment_seal *ret, const uint8_t *in, uint64_t offset)
{
	struct cursor c = cursor_reader(in + RECORD_HEADER_LEN, SEAL_LEN - RECORD_HEADER_LEN);
	struct segment_record record;
	struct segment_seal seal;

	seal.segment.id = cursor_get_u64(&c);
	seal.segment.first = cursor_get_u64(&c);
	seal.segment.created_ns = cursor_get_u64(&c);
	seal.frames = cursor_get_u64(&c);
	seal.first_ns = cursor_get_u64(&c);
	seal.last_ns = cursor_get_u64(&c);
	if (segment_record_decode(&record, in, &seal.segment, offset) ||
	    record.kind != JOURNAL_SEAL || record.body_len != SEAL_LEN - RECORD_HEADER_LEN ||
	    segment_body_decode(&record, in + RECORD_HEADER_LEN) || seal.segment.first % 8)
		return -EBADMSG;
	*ret = seal;
	return 0;
}

static size_t stream_len(const struct stream_id *id)
{
	return STREAM_FIXED_LEN + align_up(strlen(id->agent), 8);
}

static void stream_put(struct cursor *c, uint32_t number, const struct stream_id *id,
		       uint32_t range_count)
{
	size_t agent_len = strlen(id->agent);
	uint8_t padding[8] = {};

	cursor_put_u32(c, number);
	cursor_put_u32(c, id->lane);
	cursor_put_u8(c, id->replay ? STREAM_F_REPLAY : 0);
	cursor_put_u8(c, (uint8_t)agent_len);
	cursor_put_u16(c, 0);
	cursor_put_u32(c, range_count);
	cursor_put(c, id->instance, INSTANCE_LEN);
	cursor_put(c, id->agent, agent_len);
	cursor_put(c, padding, align_up(agent_len, 8) - agent_len);
}

static int stream_get(struct cursor *c, struct segment_stream *ret)
{
	struct segment_stream stream = {};
	uint8_t agent_len;

	stream.number = cursor_get_u32(c);
	stream.id.lane = cursor_get_u32(c);
	stream.id.replay = cursor_get_u8(c) & STREAM_F_REPLAY;
	agent_len = cursor_get_u8(c);
	cursor_skip(c, 2);
	stream.range_count = cursor_get_u32(c);
	cursor_get(c, stream.id.instance, INSTANCE_LEN);
	if (agent_len > AGENT_ID_MAX || stream.range_count > RANGES_MAX ||
	    stream.number >= SEGMENT_STREAMS_MAX)
		return -EBADMSG;
	cursor_get(c, stream.id.agent, agent_len);
	cursor_skip(c, align_up(agent_len, 8) - agent_len);
	stream.ranges = cursor_take(c, stream.range_count * sizeof(struct range));
	if (!cursor_ok(c) || strlen(stream.id.agent) != agent_len ||
	    !agent_id_valid(stream.id.agent))
		return -EBADMSG;
	*ret = stream;
	return 0;
}

size_t segment_stream_encode(uint8_t *out, uint32_t number, const struct stream_id *id)
{
	size_t len = stream_len(id);
	struct cursor c = cursor_writer(out, len);

	stream_put(&c, number, id, 0);
	return len;
}

int segment_stream_decode(struct segment_stream *ret, const uint8_t *body, size_t len)
{
	struct cursor c = cursor_reader(body, len);

	return stream_get(&c, ret);
}

struct range segment_stream_range(const struct segment_stream *stream, uint32_t index)
{
	struct cursor c =
		cursor_reader(stream->ranges + index * sizeof(struct range), sizeof(struct range));
	struct range range = { .from = cursor_get_u64(&c) };

	range.to = cursor_get_u64(&c);
	return range;
}

static void head_record_begin(struct segment_head *head)
{
	head->record = head->out->len;
	head->entries = 0;
	if (buf_reserve(head->out, RECORD_HEADER_LEN + STREAMS_HEADER_LEN))
		buf_commit(head->out, RECORD_HEADER_LEN + STREAMS_HEADER_LEN);
}

static void head_record_end(struct segment_head *head, uint16_t flags)
{
	struct segment_record record = { .kind = JOURNAL_STREAMS,
					 .flags = flags,
					 .received_ns = head->segment.created_ns };
	uint8_t *header = head->out->data + head->record;
	struct cursor c;

	if (head->out->failed)
		return;
	record.body = header + RECORD_HEADER_LEN;
	record.body_len = (uint32_t)(head->out->len - head->record - RECORD_HEADER_LEN);
	c = cursor_writer(header + RECORD_HEADER_LEN, STREAMS_HEADER_LEN);
	cursor_put_u32(&c, head->next_stream);
	cursor_put_u32(&c, head->entries);
	segment_record_encode(header, &record, &head->segment, head->record);
}

void segment_head_begin(struct segment_head *head, struct buf *out, const struct segment *segment,
			uint32_t next_stream)
{
	uint8_t header[SEGMENT_HEADER_LEN];

	*head = (struct segment_head){ .out = out,
				       .segment = *segment,
				       .next_stream = next_stream };
	segment_header_encode(header, segment);
	buf_append(out, header, sizeof(header));
	head_record_begin(head);
}

/* Bytes left for the body of the record being built. */
static size_t head_room(const struct segment_head *head)
{
	return RECORD_LEN_MAX - (head->out->len - head->record);
}

void segment_head_stream(struct segment_head *head, uint32_t number, const struct stream_id *id,
			 const struct ranges *ranges)
{
	size_t fixed = stream_len(id);
	uint32_t done = 0, count;
	struct cursor c;
	uint8_t *at;

	/* What does not fit goes into the next record, as another part of the same stream. */
	do {
		if (head_room(head) < fixed + sizeof(struct range)) {
			head_record_end(head, 0);
			head_record_begin(head);
		}
		count = (uint32_t)MIN((head_room(head) - fixed) / sizeof(struct range),
				      (size_t)ranges->count - done);
		at = buf_reserve(head->out, fixed + count * sizeof(struct range));
		if (!at)
			return;
		c = cursor_writer(at, fixed + count * sizeof(struct range));
		stream_put(&c, number, id, count);
		for (uint32_t i = 0; i < count; i++, done++) {
			cursor_put_u64(&c, ranges->list[done].from);
			cursor_put_u64(&c, ranges->list[done].to);
		}
		buf_commit(head->out, fixed + count * sizeof(struct range));
		head->entries++;
	} while (done < ranges->count);
}

int segment_head_end(struct segment_head *head)
{
	head_record_end(head, RECORD_F_LAST);
	return head->out->failed ? -ENOMEM : 0;
}

int segment_streams_begin(struct segment_streams *ret, const uint8_t *body, size_t len)
{
	struct segment_streams streams = { .cursor = cursor_reader(body, len) };

	streams.next_stream = cursor_get_u32(&streams.cursor);
	streams.left = cursor_get_u32(&streams.cursor);
	if (!cursor_ok(&streams.cursor) || streams.next_stream > SEGMENT_STREAMS_MAX)
		return -EBADMSG;
	*ret = streams;
	return 0;
}

int segment_streams_next(struct segment_streams *streams, struct segment_stream *ret)
{
	int err;

	if (!streams->left)
		return 0;
	err = stream_get(&streams->cursor, ret);
	if (err) {
		streams->left = 0;
		return err;
	}
	streams->left--;
	return 1;
}

size_t segment_watermarks_len(uint32_t count)
{
	return 8 + 16 * (size_t)count;
}

void segment_watermarks_encode(uint8_t *out, const struct journal_watermark *list, uint32_t count)
{
	struct cursor c = cursor_writer(out, segment_watermarks_len(count));

	cursor_put_u32(&c, count);
	cursor_put_u32(&c, 0);
	for (uint32_t i = 0; i < count; i++) {
		cursor_put_u32(&c, list[i].stream);
		cursor_put_u32(&c, 0);
		cursor_put_u64(&c, list[i].watermark_ns);
	}
}

int64_t segment_watermarks_decode(struct journal_watermark *list, const uint8_t *body, size_t len)
{
	struct cursor c = cursor_reader(body, len);
	uint32_t count = cursor_get_u32(&c);

	cursor_skip(&c, 4);
	if (!cursor_ok(&c) || count > SEGMENT_WATERMARKS_MAX || cursor_left(&c) / 16 < count)
		return -EBADMSG;
	for (uint32_t i = 0; list && i < count; i++) {
		list[i].stream = cursor_get_u32(&c);
		cursor_skip(&c, 4);
		list[i].watermark_ns = cursor_get_u64(&c);
	}
	return count;
}
