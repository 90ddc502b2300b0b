/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/segment.h"

#include <errno.h>
#include <stdlib.h>

#include "selftests/unit/check.h"

#define CREATED 1700000000000000000

static const struct segment sample = { .id = 0x1122334455667788,
				       .first = 0x4000000,
				       .created_ns = CREATED };

/* Bytes in hex, white space, and comments from # to the end of the line. */
static void load_vector(struct buf *out)
{
	char line[256], *at, *end;
	FILE *file = fopen("selftests/data/journal/segment.hex", "r");

	if (!file)
		fail_msg("cannot open selftests/data/journal/segment.hex");
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "#\n")] = '\0';
		for (at = line;; at = end) {
			uint8_t byte = (uint8_t)strtoul(at, &end, 16);

			if (end == at)
				break;
			buf_append(out, &byte, 1);
		}
	}
	fclose(file);
	assert_false(out->failed);
}

static void put_record(struct buf *out, struct segment_record *record, const void *body, size_t len)
{
	size_t total = segment_record_len(len), offset = out->len;
	uint8_t *at = buf_reserve(out, total);

	assert_non_null(at);
	memset(at, 0, total);
	memcpy(at + RECORD_HEADER_LEN, body, len);
	record->body = at + RECORD_HEADER_LEN;
	record->body_len = (uint32_t)len;
	segment_record_encode(at, record, &sample, offset);
	buf_commit(out, total);
}

static struct stream_id make_id(const char *agent, uint32_t lane, uint8_t instance)
{
	struct stream_id id = { .lane = lane };

	snprintf(id.agent, sizeof(id.agent), "%s", agent);
	for (uint8_t i = 0; i < INSTANCE_LEN; i++)
		id.instance[i] = (uint8_t)(instance + i);
	return id;
}

/* The segment of the test vector. */
static void build(struct buf *out)
{
	static const struct journal_watermark watermarks[] = { { 0, CREATED + 60 },
							       { 2, CREATED + 50 } };
	struct segment_seal seal = {
		.segment = sample, .frames = 1, .first_ns = CREATED + 100, .last_ns = CREATED + 100
	};
	struct stream_id web = make_id("web-1", 0, 0), db = make_id("db.example", 3, 16);
	struct stream_id other = make_id("agent_02", 1, 0);
	struct segment_record record = { .kind = JOURNAL_STREAM, .stream = 2 };
	struct frame_header frame = { .type = FRAME_PACKETS,
				      .stream = 7,
				      .sequence = 1,
				      .packet_count = 1,
				      .wire_count = 1,
				      .first_ns = CREATED + 100,
				      .last_ns = CREATED + 100,
				      .watermark_ns = CREATED + 50,
				      .utc_offset_ns = CREATED - 1000 };
	struct ranges ranges = {}, none = {};
	uint8_t body[FRAME_HEADER_LEN + 5];
	struct segment_head head;

	db.replay = true;
	assert_int_equal(ranges_add(&ranges, 1, 5), 0);
	assert_int_equal(ranges_add(&ranges, 7, 9), 0);
	segment_head_begin(&head, out, &sample, 2);
	segment_head_stream(&head, 0, &web, &ranges);
	segment_head_stream(&head, 1, &db, &none);
	assert_int_equal(segment_head_end(&head), 0);
	ranges_release(&ranges);

	record.received_ns = CREATED + 1;
	put_record(out, &record, body, segment_stream_encode(body, 2, &other));
	record.kind = JOURNAL_FRAME;
	record.received_ns = CREATED + 2;
	memcpy(body + FRAME_HEADER_LEN, "hello", 5);
	frame_seal(body, &frame, "hello", 5);
	put_record(out, &record, body, FRAME_HEADER_LEN + 5);
	record = (struct segment_record){ .kind = JOURNAL_WATERMARKS, .received_ns = CREATED + 3 };
	segment_watermarks_encode(body, watermarks, 2);
	put_record(out, &record, body, segment_watermarks_len(2));
	assert_non_null(buf_reserve(out, SEAL_LEN));
	segment_seal_encode(out->data + out->len, &seal, out->len, CREATED + 4);
	buf_commit(out, SEAL_LEN);
}

static void the_vector_is_encoded(void **state)
{
	struct buf expected = {}, built = {};

	(void)state;
	load_vector(&expected);
	build(&built);
	CHECK_EQ(built.len, expected.len);
	for (size_t i = 0; i < built.len && i < expected.len; i++)
		if (built.data[i] != expected.data[i]) {
			print_error("differs from byte %zu on\n", i);
			CHECK(false);
			break;
		}
	buf_release(&expected);
	buf_release(&built);
}

static void the_vector_is_decoded(void **state)
{
	static const uint16_t kinds[] = { JOURNAL_STREAMS, JOURNAL_STREAM, JOURNAL_FRAME,
					  JOURNAL_WATERMARKS, JOURNAL_SEAL };
	struct journal_watermark watermarks[2];
	struct segment_streams streams;
	struct segment_stream stream;
	struct segment_record record;
	struct segment_seal seal;
	struct segment segment;
	struct buf vector = {};
	size_t offset = SEGMENT_HEADER_LEN, at;

	(void)state;
	load_vector(&vector);
	CHECK_EQ(segment_header_decode(&segment, vector.data), 0);
	CHECK_EQ(memcmp(&segment, &sample, sizeof(segment)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		CHECK_EQ(segment_scan(&segment, offset, vector.data + offset, vector.len - offset,
				      &at, &record),
			 1);
		CHECK_EQ(at, 0);
		CHECK_EQ(record.kind, kinds[i]);
		CHECK_EQ(record.received_ns, CREATED + i);
		CHECK_EQ(record.flags, i ? 0 : RECORD_F_LAST);
		offset += record.len;
		if (record.kind == JOURNAL_STREAMS) {
			CHECK_EQ(segment_streams_begin(&streams, record.body, record.body_len), 0);
			CHECK_EQ(streams.next_stream, 2);
			CHECK_EQ(segment_streams_next(&streams, &stream), 1);
			CHECK_STR(stream.id.agent, "web-1");
			CHECK_EQ(stream.range_count, 2);
			CHECK_EQ(segment_stream_range(&stream, 1).from, 7);
			CHECK_EQ(segment_stream_range(&stream, 1).to, 9);
			CHECK_EQ(segment_streams_next(&streams, &stream), 1);
			CHECK_EQ(stream.number, 1);
			CHECK_EQ(stream.id.lane, 3);
			CHECK(stream.id.replay);
			CHECK_EQ(stream.id.instance[15], 31);
			CHECK_EQ(segment_streams_next(&streams, &stream), 0);
		} else if (record.kind == JOURNAL_STREAM) {
			CHECK_EQ(record.stream, 2);
			CHECK_EQ(segment_stream_decode(&stream, record.body, record.body_len), 0);
			CHECK_STR(stream.id.agent, "agent_02");
		} else if (record.kind == JOURNAL_FRAME) {
			CHECK_EQ(record.frame.sequence, 1);
			CHECK_EQ(record.body_len, FRAME_HEADER_LEN + 5);
		} else if (record.kind == JOURNAL_WATERMARKS) {
			CHECK_EQ(
				segment_watermarks_decode(watermarks, record.body, record.body_len),
				2);
			CHECK_EQ(watermarks[1].stream, 2);
			CHECK_EQ(watermarks[1].watermark_ns, CREATED + 50);
		}
	}
	CHECK_EQ(offset, vector.len);
	CHECK_EQ(segment_seal_decode(&seal, vector.data + offset - SEAL_LEN, offset - SEAL_LEN), 0);
	CHECK_EQ(memcmp(&seal.segment, &sample, sizeof(segment)), 0);
	CHECK_EQ(seal.frames, 1);
	CHECK_EQ(segment_seal_decode(&seal, vector.data + offset - SEAL_LEN, offset), -EBADMSG);
	buf_release(&vector);
}

/* Every bit of it counts but padding, which no checksum covers. */
static void a_flipped_bit_is_noticed(void **state)
{
	struct segment_record record;
	struct segment segment;
	struct buf vector = {};
	size_t at, offset, begin = SEGMENT_HEADER_LEN;

	(void)state;
	load_vector(&vector);
	for (size_t bit = 0; bit < 8 * SEGMENT_HEADER_LEN; bit++) {
		vector.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(segment_header_decode(&segment, vector.data) < 0);
		vector.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	while (begin < vector.len) {
		CHECK_EQ(segment_scan(&sample, begin, vector.data + begin, vector.len - begin, &at,
				      &record),
			 1);
		offset = RECORD_HEADER_LEN + record.body_len;
		for (size_t bit = 0; bit < 8 * offset; bit++) {
			vector.data[begin + bit / 8] ^= (uint8_t)(1 << bit % 8);
			CHECK_EQ(segment_scan(&sample, begin, vector.data + begin, record.len, &at,
					      &(struct segment_record){}),
				 0);
			vector.data[begin + bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		begin += record.len;
	}
	buf_release(&vector);
}

static void scanning_finds_what_follows_damage(void **state)
{
	struct segment_record record;
	struct buf vector = {};
	size_t at;

	(void)state;
	load_vector(&vector);
	/* From the middle of the head's body: the STREAM record at 224. */
	CHECK_EQ(segment_scan(&sample, 128, vector.data + 128, vector.len - 128, &at, &record), 1);
	CHECK_EQ(at, 224 - 128);
	CHECK_EQ(record.kind, JOURNAL_STREAM);
	/* The same bytes elsewhere, or of a segment with another id, are nothing. */
	CHECK_EQ(segment_scan(&sample, 136, vector.data + 128, vector.len - 128, &at, &record), 0);
	CHECK_EQ(segment_scan(&(struct segment){ .id = 1 }, 128, vector.data + 128,
			      vector.len - 128, &at, &record),
		 0);
	/* Cut off in its body: what begins there needs more bytes. */
	CHECK_EQ(segment_scan(&sample, 128, vector.data + 128, 224 + 40 - 128, &at, &record), 0);
	CHECK_EQ(at, 224 - 128);
	/* In its header: only what can be told is passed over. */
	CHECK_EQ(segment_scan(&sample, 128, vector.data + 128, 224 + 20 - 128, &at, &record), 0);
	CHECK_EQ(at, 216 - 128);
	buf_release(&vector);
}

static void a_large_head_is_several_records(void **state)
{
	uint32_t streams_left = 3000, ranges_seen = 0, records = 0;
	struct segment_streams streams;
	struct segment_stream stream;
	struct segment_record record;
	struct ranges many = {}, few = {};
	struct segment_head head;
	struct buf out = {};
	size_t offset = SEGMENT_HEADER_LEN, at;
	struct stream_id id;

	(void)state;
	for (uint64_t i = 1; i <= RANGES_MAX; i++)
		assert_int_equal(ranges_add(&many, 3 * i, 3 * i + 1), 0);
	assert_int_equal(ranges_add(&few, 1, 1), 0);
	segment_head_begin(&head, &out, &sample, 3001);
	for (uint32_t i = 0; i < 3001; i++) {
		char agent[AGENT_ID_MAX + 1];

		snprintf(agent, sizeof(agent), "%.*s%04u", (int)(i % 50),
			 "a-long-name-of-an-agent-of-fifty-characters-in-all", i);
		id = make_id(agent, i, (uint8_t)i);
		segment_head_stream(&head, i, &id, i == 2000 ? &many : &few);
	}
	CHECK_EQ(segment_head_end(&head), 0);
	do {
		CHECK_EQ(segment_scan(&sample, offset, out.data + offset, out.len - offset, &at,
				      &record),
			 1);
		CHECK_EQ(at, 0);
		CHECK(record.len <= RECORD_LEN_MAX);
		CHECK_EQ(segment_streams_begin(&streams, record.body, record.body_len), 0);
		CHECK_EQ(streams.next_stream, 3001);
		while (segment_streams_next(&streams, &stream) == 1) {
			if (stream.number != 2000) {
				streams_left--;
				CHECK_EQ(stream.range_count, 1);
				continue;
			}
			for (uint32_t i = 0; i < stream.range_count; i++)
				CHECK_EQ(segment_stream_range(&stream, i).from, 3 * ++ranges_seen);
		}
		offset += record.len;
		records++;
	} while (!(record.flags & RECORD_F_LAST));
	CHECK_EQ(offset, out.len);
	CHECK_EQ(records, 2);
	CHECK_EQ(streams_left, 0);
	CHECK_EQ(ranges_seen, RANGES_MAX);
	buf_release(&out);
	ranges_release(&many);
	ranges_release(&few);
}

static void bodies_that_make_no_sense(void **state)
{
	struct segment_streams streams;
	struct segment_stream stream;
	struct stream_id id = make_id("web-1", 0, 0);
	uint8_t body[STREAM_RECORD_MAX];
	size_t len = segment_stream_encode(body, 7, &id);
	static const struct {
		const char *name;
		size_t at;
		uint8_t value;
	} cases[] = {
		{ "number too high", 2, 1 },	    { "no agent", 9, 0 },
		{ "agent too long", 9, 65 },	    { "agent beyond the end", 9, 64 },
		{ "ranges beyond the end", 12, 1 }, { "upper case", 32, 'W' },
		{ "a zero in the agent", 33, 0 },
	};

	(void)state;
	CHECK_EQ(segment_stream_decode(&stream, body, len), 0);
	for (size_t i = 0; i < len; i++)
		CHECK_EQ(segment_stream_decode(&stream, body, i), -EBADMSG);
	FOR_EACH_CASE (c, cases) {
		uint8_t bad[STREAM_RECORD_MAX];

		memcpy(bad, body, len);
		bad[c->at] = c->value;
		CHECK_EQ(segment_stream_decode(&stream, bad, len), -EBADMSG);
	}
	check_case = NULL;
	CHECK_EQ(segment_streams_begin(&streams, body, 7), -EBADMSG);
	CHECK_EQ(segment_watermarks_decode(NULL, (const uint8_t *)"\2\0\0\0\0\0\0\0", 8), -EBADMSG);
	CHECK_EQ(segment_watermarks_decode(NULL, (const uint8_t *)"\0\0\0\0\0\0\0\0", 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_vector_is_encoded),	       TEST(the_vector_is_decoded),
		TEST(a_flipped_bit_is_noticed),	       TEST(scanning_finds_what_follows_damage),
		TEST(a_large_head_is_several_records), TEST(bodies_that_make_no_sense),
	};

	return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
