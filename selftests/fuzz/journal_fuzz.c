/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments of a journal. The first byte of the input chooses what the rest is: 'S', a segment as
 * it is; 'R', records whose checksums are put right first (kind, flags and length, then the body),
 * so that what is behind the checksums is reached; 'B', the body of every kind of record.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/segment.h"
#include "selftests/fuzz/fuzz.h"

static volatile uint8_t sink;

static void touch(const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		sink ^= bytes[i];
}

static void decode_stream(const struct segment_stream *stream)
{
	assert(stream->number < SEGMENT_STREAMS_MAX && agent_id_valid(stream->id.agent));
	for (uint32_t i = 0; i < stream->range_count; i++) {
		struct range range = segment_stream_range(stream, i);

		touch(&range, sizeof(range));
	}
}

static void decode_body(uint16_t kind, const uint8_t *body, size_t len)
{
	struct journal_watermark *watermarks;
	struct segment_streams streams;
	struct segment_stream stream;
	int64_t count;

	if (kind == JOURNAL_STREAM && !segment_stream_decode(&stream, body, len))
		decode_stream(&stream);
	if (kind == JOURNAL_STREAMS && !segment_streams_begin(&streams, body, len))
		while (segment_streams_next(&streams, &stream) == 1)
			decode_stream(&stream);
	if (kind == JOURNAL_WATERMARKS) {
		count = segment_watermarks_decode(NULL, body, len);
		if (count <= 0)
			return;
		watermarks = malloc((size_t)count * sizeof(*watermarks));
		assert(watermarks && segment_watermarks_decode(watermarks, body, len) == count);
		touch(watermarks, (size_t)count * sizeof(*watermarks));
		free(watermarks);
	}
}

/* Every record that is found lies inside, behind the one before. Their number. */
static size_t scan(const struct segment *segment, const uint8_t *data, size_t len)
{
	size_t offset = SEGMENT_HEADER_LEN, at, count = 0;
	struct segment_record record;

	while (offset < len) {
		if (!segment_scan(segment, offset, data + offset, len - offset, &at, &record)) {
			assert(at <= len - offset);
			/* A record that is cut off: look behind its beginning, as readers do. */
			offset += at + 8;
			continue;
		}
		assert(record.len % 8 == 0 && record.len <= len - offset - at);
		assert(record.body == data + offset + at + RECORD_HEADER_LEN);
		touch(record.body, record.body_len);
		decode_body(record.kind, record.body, record.body_len);
		offset += at + record.len;
		count++;
	}
	return count;
}

static void scan_segment(const uint8_t *data, size_t len)
{
	struct segment segment = { .id = 1 };
	struct segment_seal seal;

	if (len >= SEAL_LEN && !segment_seal_decode(&seal, data + len - SEAL_LEN, len - SEAL_LEN))
		segment = seal.segment;
	if (len >= SEGMENT_HEADER_LEN && !segment_header_decode(&segment, data))
		assert(segment.first % 8 == 0);
	scan(&segment, data, len);
}

/* A body as it has to be for its kind: a frame's header and lengths are put right. */
static void fix_frame(uint8_t *body, size_t len)
{
	struct frame_header header = { .type = FRAME_PACKETS, .sequence = 1 };

	frame_seal(body, &header, body + FRAME_HEADER_LEN, len - FRAME_HEADER_LEN);
}

static void scan_records(const uint8_t *data, size_t len)
{
	struct segment segment = { .id = 0x1122334455667788, .first = 64 };
	size_t capacity = SEGMENT_HEADER_LEN + 16 * len + 4096, offset = SEGMENT_HEADER_LEN;
	struct cursor c = cursor_reader(data, len);
	uint8_t *out = calloc(1, capacity);
	size_t count = 0;

	assert(out);
	segment_header_encode(out, &segment);
	while (cursor_left(&c) >= 4) {
		struct segment_record record = { .kind = cursor_get_u8(&c) };
		uint8_t *body = out + offset + RECORD_HEADER_LEN;

		record.flags = cursor_get_u8(&c);
		record.body_len = cursor_get_u16(&c);
		record.body_len = MIN(record.body_len, (uint32_t)cursor_left(&c));
		if (offset + segment_record_len(record.body_len) > capacity)
			break;
		cursor_get(&c, body, record.body_len);
		if (record.kind == JOURNAL_FRAME && record.body_len < FRAME_HEADER_LEN)
			record.kind = 99;
		if (record.kind == JOURNAL_FRAME)
			fix_frame(body, record.body_len);
		record.body = body;
		segment_record_encode(out + offset, &record, &segment, offset);
		offset += segment_record_len(record.body_len);
		count++;
	}
	assert(scan(&segment, out, offset) == count);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	switch (*data) {
	case 'S':
		scan_segment(data + 1, len - 1);
		break;
	case 'R':
		scan_records(data + 1, len - 1);
		break;
	case 'B':
		for (uint16_t kind = JOURNAL_FRAME; kind <= JOURNAL_SEAL; kind++)
			decode_body(kind, data + 1, len - 1);
		break;
	default:
		break;
	}
	return 0;
}
