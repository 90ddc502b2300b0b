/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages against the vectors of selftests/data/frames/, byte for byte; run from the top folder.
 */
#include "common/message.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cursor.h"
#include "selftests/unit/check.h"

static const struct message_hello hello = {
	.version_min = 1,
	.version_max = 1,
	.program = "xcapd 0.1.0",
	.host = "edge-1",
	.abilities = "packets loss mark",
};
static const struct message_open opening = {
	.id = { .agent = "edge-1",
		.instance = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff },
		.lane = 2 },
	.next_sequence = 4097,
};
static const struct message_nack nack = { .sequence = 4097, .reason = NACK_DAMAGED };
static const struct message_loss loss = {
	.from = 5001,
	.to = 5010,
	.reason = LOSS_JOURNAL_FULL,
	.packets = 640,
	.wire_packets = 1280,
	.bytes = 655360,
};

static void add(struct ranges *set, uint64_t from, uint64_t to)
{
	assert_int_equal(ranges_add(set, from, to), 0);
}

/* Bytes in hex, white space, and comments from # to the end of the line. */
static void load_vector(struct buf *out, const char *name)
{
	char path[128], line[256], *at, *end;
	FILE *file;

	snprintf(path, sizeof(path), "selftests/data/frames/%s.hex", name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("cannot open %s", path);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "#\n")] = '\0';
		for (at = line;; at = end) {
			unsigned long byte = strtoul(at, &end, 16);
			uint8_t value = (uint8_t)byte;

			if (end == at)
				break;
			assert_true(byte <= 0xff);
			buf_append(out, &value, 1);
		}
	}
	fclose(file);
	assert_false(out->failed);
}

static int put_hello(struct buf *out)
{
	return message_hello_put(out, &hello);
}
static int put_open(struct buf *out)
{
	return message_open_put(out, 7, &opening);
}
static int put_ack(struct buf *out)
{
	struct ranges set = {};
	int err;

	add(&set, 1, 4096);
	add(&set, 4098, 5000);
	err = message_ack_put(out, 7, 16 * MIB, &set);
	ranges_release(&set);
	return err;
}
static int put_nack(struct buf *out)
{
	return message_nack_put(out, 7, &nack);
}
static int put_mark(struct buf *out)
{
	return message_mark_put(out, 7, 1700000000123456789);
}
static int put_loss(struct buf *out)
{
	return message_loss_put(out, 7, &loss);
}
static int put_bye(struct buf *out)
{
	return message_bye_put(out, 7, 5011, 1700000001000000000);
}

static void encoded_as_the_vectors(void **state)
{
	static const struct {
		const char *name;
		int (*put)(struct buf *out);
	} cases[] = {
		{ "hello", put_hello }, { "open", put_open }, { "ack", put_ack },
		{ "nack", put_nack },	{ "mark", put_mark }, { "loss", put_loss },
		{ "bye", put_bye },
	};
	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct buf want = {}, got = {};

		load_vector(&want, c->name);
		/* Appended behind what is there. */
		buf_append(&got, "before", 6);
		CHECK_EQ(c->put(&got), 0);
		CHECK_EQ(got.len, want.len + 6);
		CHECK(got.len == want.len + 6 && memcmp(got.data + 6, want.data, want.len) == 0);
		buf_release(&want);
		buf_release(&got);
	}
}

static const uint8_t *load_payload(struct buf *vector, struct frame_header *header,
				   const char *name)
{
	load_vector(vector, name);
	assert_true(vector->len >= FRAME_HEADER_LEN);
	CHECK_EQ(frame_header_decode(header, vector->data), 0);
	assert_int_equal(vector->len, FRAME_HEADER_LEN + header->stored_len);
	CHECK_EQ(frame_payload_check(header, vector->data + FRAME_HEADER_LEN), 0);
	return vector->data + FRAME_HEADER_LEN;
}

static void vectors_decoded(void **state)
{
	struct message_hello got_hello = {};
	struct message_open got_open = {};
	struct message_nack got_nack = {};
	struct message_loss got_loss = {};
	struct message_ack ack = {};
	struct frame_header h;
	const uint8_t *payload;
	struct buf vector = {};

	(void)state;
	payload = load_payload(&vector, &h, "hello");
	CHECK_EQ(h.type, FRAME_CONTROL);
	CHECK_EQ(h.flags, FRAME_F_CRITICAL);
	CHECK_EQ(h.stream, 0);
	CHECK_EQ(message_hello_get(&got_hello, payload, h.stored_len), 0);
	CHECK_EQ(got_hello.version_min, 1);
	CHECK_EQ(got_hello.version_max, 1);
	CHECK_STR(got_hello.program, hello.program);
	CHECK_STR(got_hello.host, hello.host);
	CHECK_STR(got_hello.abilities, hello.abilities);

	buf_clear(&vector);
	payload = load_payload(&vector, &h, "open");
	CHECK_EQ(h.type, FRAME_OPEN);
	CHECK_EQ(h.stream, 7);
	CHECK_EQ(message_open_get(&got_open, payload, h.stored_len), 0);
	CHECK(stream_id_equal(&got_open.id, &opening.id));
	CHECK_EQ(got_open.next_sequence, 4097);

	buf_clear(&vector);
	payload = load_payload(&vector, &h, "ack");
	CHECK_EQ(message_ack_get(&ack, payload, h.stored_len), 0);
	CHECK_EQ(ack.credit_bytes, 16 * MIB);
	assert_int_equal(ack.durable.count, 2);
	CHECK_EQ(ack.durable.list[0].from, 1);
	CHECK_EQ(ack.durable.list[0].to, 4096);
	CHECK_EQ(ack.durable.list[1].from, 4098);
	CHECK_EQ(ack.durable.list[1].to, 5000);
	ranges_release(&ack.durable);

	buf_clear(&vector);
	payload = load_payload(&vector, &h, "nack");
	CHECK_EQ(message_nack_get(&got_nack, payload, h.stored_len), 0);
	CHECK_EQ(got_nack.sequence, 4097);
	CHECK_EQ(got_nack.reason, NACK_DAMAGED);

	buf_clear(&vector);
	payload = load_payload(&vector, &h, "loss");
	CHECK_EQ(h.sequence, 5010);
	CHECK_EQ(message_loss_get(&got_loss, payload, h.stored_len), 0);
	CHECK_EQ(got_loss.from, loss.from);
	CHECK_EQ(got_loss.to, loss.to);
	CHECK_EQ(got_loss.reason, loss.reason);
	CHECK_EQ(got_loss.packets, loss.packets);
	CHECK_EQ(got_loss.wire_packets, loss.wire_packets);
	CHECK_EQ(got_loss.bytes, loss.bytes);

	buf_clear(&vector);
	load_payload(&vector, &h, "mark");
	CHECK_EQ(h.type, FRAME_MARK);
	CHECK_EQ(h.watermark_ns, 1700000000123456789);

	buf_clear(&vector);
	load_payload(&vector, &h, "bye");
	CHECK_EQ(h.type, FRAME_BYE);
	CHECK_EQ(h.sequence, 5011);
	buf_release(&vector);
}

static void packets_vector(void **state)
{
	uint8_t bytes[FRAME_HEADER_LEN];
	struct frame_header h;
	const uint8_t *payload;
	struct buf vector = {};

	(void)state;
	payload = load_payload(&vector, &h, "packets");
	CHECK_EQ(h.type, FRAME_PACKETS);
	CHECK_EQ(h.sequence, 4096);
	CHECK_EQ(h.packet_count, 2);
	CHECK_EQ(h.first_ns, 1700000000000000001);
	CHECK_EQ(h.last_ns, 1700000000000000009);
	CHECK_EQ(h.utc_offset_ns, 1699999000000000000);
	frame_seal(bytes, &h, payload, h.stored_len);
	CHECK_EQ(memcmp(bytes, vector.data, sizeof(bytes)), 0);
	buf_release(&vector);
}

#define HELLO(members) "{\"hello\":{" members "}}"
#define VERSIONS "\"version_min\":1,\"version_max\":1"

static void hello_judged(void **state)
{
	static const struct {
		const char *name, *json;
		int err;
	} cases[] = {
		{ "only versions", HELLO(VERSIONS), 0 },
		{ "unknown members", "{\"x\":[1],\"hello\":{" VERSIONS ",\"new\":{\"a\":null}}}",
		  0 },
		{ "white space", " \n{ \"hello\" : {" VERSIONS "} }\n", 0 },
		{ "empty", "", -EBADMSG },
		{ "not JSON", "hello", -EBADMSG },
		{ "cut", "{\"hello\":{" VERSIONS "}", -EBADMSG },
		{ "bytes after it", HELLO(VERSIONS) "x", -EBADMSG },
		{ "an array", "[]", -EBADMSG },
		{ "another control message", "{\"state\":{}}", -EBADMSG },
		{ "hello is no object", "{\"hello\":1}", -EBADMSG },
		{ "version missing", HELLO("\"version_min\":1"), -EBADMSG },
		{ "version as text", HELLO("\"version_min\":\"1\",\"version_max\":1"), -EBADMSG },
		{ "version with a fraction", HELLO("\"version_min\":1.0,\"version_max\":1"),
		  -EBADMSG },
		{ "version 0", HELLO("\"version_min\":0,\"version_max\":1"), -EBADMSG },
		{ "negative version", HELLO("\"version_min\":-1,\"version_max\":1"), -EBADMSG },
		{ "turned round", HELLO("\"version_min\":2,\"version_max\":1"), -EBADMSG },
		{ "33 bits", HELLO("\"version_min\":1,\"version_max\":4294967296"), -EBADMSG },
		{ "65 bits", HELLO("\"version_min\":1,\"version_max\":18446744073709551616"),
		  -EBADMSG },
		{ "member twice", HELLO(VERSIONS ",\"version_max\":1"), -EBADMSG },
		{ "program is a number", HELLO(VERSIONS ",\"program\":1"), -EBADMSG },
		{ "NUL in a text", HELLO(VERSIONS ",\"host\":\"a\\u0000b\""), -EBADMSG },
		{ "not UTF-8", HELLO(VERSIONS ",\"host\":\"\xff\""), -EBADMSG },
		{ "63 bytes of program",
		  HELLO(VERSIONS ",\"program\":\"0123456789abcdef0123456789abcdef"
				 "0123456789abcdef0123456789abcde\""),
		  0 },
		{ "64 bytes of program",
		  HELLO(VERSIONS ",\"program\":\"0123456789abcdef0123456789abcdef"
				 "0123456789abcdef0123456789abcdef\""),
		  -EMSGSIZE },
	};
	struct message_hello got;

	(void)state;
	FOR_EACH_CASE (c, cases)
		CHECK_EQ(message_hello_get(&got, c->json, strlen(c->json)), c->err);
}

static void hello_of_the_wrong_size(void **state)
{
	char *text = malloc(64 * KIB + 1);
	struct message_hello got;
	struct buf out = {};

	(void)state;
	assert_non_null(text);
	memset(text, ' ', 64 * KIB + 1);
	memcpy(text, HELLO(VERSIONS), strlen(HELLO(VERSIONS)));
	CHECK_EQ(message_hello_get(&got, text, 64 * KIB), 0);
	CHECK_EQ(message_hello_get(&got, text, 64 * KIB + 1), -EMSGSIZE);
	free(text);

	got = hello;
	strcpy(got.host, "\xff\xfe");
	CHECK_EQ(message_hello_put(&out, &got), -EINVAL);
	CHECK_EQ(out.len, 0);
	buf_release(&out);
}

static void versions_agreed(void **state)
{
	static const struct {
		const char *name;
		uint32_t min, max;
		int version;
	} cases[] = {
		{ "ours", 1, 1, 1 },
		{ "newer that still speaks ours", 1, 9, 1 },
		{ "too new", 2, 9, -EPROTONOSUPPORT },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct message_hello peer = { .version_min = c->min, .version_max = c->max };

		CHECK_EQ(message_hello_agree(&peer), c->version);
	}
}

#define INSTANCE "\"instance\":\"000102030405060708090a0b0c0d0eff\""
#define OPEN(members) "{\"open\":{" members "}}"

static void open_judged(void **state)
{
	static const struct {
		const char *name, *json;
		int err;
	} cases[] = {
		{ "least", OPEN("\"agent\":\"a\"," INSTANCE ",\"lane\":0,\"next_sequence\":1"), 0 },
		{ "most",
		  OPEN("\"agent\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc._"
		       "-"
		       "\"," INSTANCE ",\"lane\":4294967295,\"next_sequence\":9223372036854775807,"
		       "\"replay\":true,\"more\":0"),
		  0 },
		{ "no agent", OPEN(INSTANCE ",\"lane\":0,\"next_sequence\":1"), -EBADMSG },
		{ "empty agent", OPEN("\"agent\":\"\"," INSTANCE ",\"lane\":0,\"next_sequence\":1"),
		  -EBADMSG },
		{ "agent in capitals",
		  OPEN("\"agent\":\"A\"," INSTANCE ",\"lane\":0,\"next_sequence\":1"), -EBADMSG },
		{ "agent with a slash",
		  OPEN("\"agent\":\"../a\"," INSTANCE ",\"lane\":0,\"next_sequence\":1"),
		  -EBADMSG },
		{ "agent of 65",
		  OPEN("\"agent\":"
		       "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		       "0\"," INSTANCE ",\"lane\":0,\"next_sequence\":1"),
		  -EBADMSG },
		{ "instance missing", OPEN("\"agent\":\"a\",\"lane\":0,\"next_sequence\":1"),
		  -EBADMSG },
		{ "instance of 31",
		  OPEN("\"agent\":\"a\",\"instance\":\"000102030405060708090a0b0c0d0ef\",\"lane\":"
		       "0,"
		       "\"next_sequence\":1"),
		  -EBADMSG },
		{ "instance of 33",
		  OPEN("\"agent\":\"a\",\"instance\":\"000102030405060708090a0b0c0d0eff0\","
		       "\"lane\":0,\"next_sequence\":1"),
		  -EBADMSG },
		{ "instance in capitals",
		  OPEN("\"agent\":\"a\",\"instance\":\"000102030405060708090A0B0C0D0EFF\","
		       "\"lane\":0,\"next_sequence\":1"),
		  -EBADMSG },
		{ "instance not hex",
		  OPEN("\"agent\":\"a\",\"instance\":\"000102030405060708090a0b0c0d0efg\","
		       "\"lane\":0,\"next_sequence\":1"),
		  -EBADMSG },
		{ "lane -1", OPEN("\"agent\":\"a\"," INSTANCE ",\"lane\":-1,\"next_sequence\":1"),
		  -EBADMSG },
		{ "lane of 33 bits",
		  OPEN("\"agent\":\"a\"," INSTANCE ",\"lane\":4294967296,\"next_sequence\":1"),
		  -EBADMSG },
		{ "sequence 0", OPEN("\"agent\":\"a\"," INSTANCE ",\"lane\":0,\"next_sequence\":0"),
		  -EBADMSG },
		{ "sequence as text",
		  OPEN("\"agent\":\"a\"," INSTANCE ",\"lane\":0,\"next_sequence\":\"1\""),
		  -EBADMSG },
		{ "replay as number",
		  OPEN("\"agent\":\"a\"," INSTANCE ",\"lane\":0,\"next_sequence\":1,\"replay\":1"),
		  -EBADMSG },
	};
	struct message_open got;

	(void)state;
	FOR_EACH_CASE (c, cases)
		CHECK_EQ(message_open_get(&got, c->json, strlen(c->json)), c->err);
	check_case = NULL;
	CHECK_EQ(message_open_get(&got, cases[0].json, strlen(cases[0].json)), 0);
	CHECK_EQ(got.id.replay, false);
	CHECK_EQ(message_open_get(&got, cases[1].json, strlen(cases[1].json)), 0);
	CHECK_EQ(got.id.replay, true);
	CHECK_EQ(got.id.lane, UINT32_MAX);
	CHECK_EQ(got.next_sequence, INT64_MAX);
	CHECK_EQ(got.id.instance[15], 0xff);
}

static void ack_judged(void **state)
{
	static const struct {
		const char *name;
		uint32_t count;
		uint64_t words[6];
		int err;
	} cases[] = {
		{ "none", 0, { 0 }, 0 },
		{ "one frame", 1, { 1, 1 }, 0 },
		{ "three", 3, { 1, 1, 3, 9, 11, UINT64_MAX }, 0 },
		{ "from 0", 1, { 0, 1 }, -EBADMSG },
		{ "backwards", 1, { 2, 1 }, -EBADMSG },
		{ "adjacent", 2, { 1, 1, 2, 2 }, -EBADMSG },
		{ "overlapping", 2, { 1, 5, 5, 6 }, -EBADMSG },
		{ "descending", 2, { 5, 6, 1, 2 }, -EBADMSG },
		{ "after the last", 2, { 1, UINT64_MAX, 1, 1 }, -EBADMSG },
		{ "over the limit", MESSAGE_RANGES_MAX + 1, { 0 }, -EMSGSIZE },
		{ "more announced than there", 4, { 1, 1, 3, 3, 5, 5 }, -EBADMSG },
		{ "far more announced than there", MESSAGE_RANGES_MAX, { 1, 1 }, -EBADMSG },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		uint8_t payload[16 + sizeof(c->words)];
		struct cursor w = cursor_writer(payload, sizeof(payload));
		struct message_ack ack = {};

		cursor_put_u64(&w, 1000);
		cursor_put_u32(&w, c->count);
		cursor_put_u32(&w, 0);
		for (size_t i = 0; i < ARRAY_SIZE(c->words); i++)
			cursor_put_u64(&w, c->words[i]);
		CHECK_EQ(message_ack_get(&ack, payload, sizeof(payload)), c->err);
		CHECK_EQ(ack.durable.count, c->err ? 0 : c->count);
		ranges_release(&ack.durable);
	}
}

static void ack_holds_the_highest_ranges(void **state)
{
	struct message_ack ack = {};
	struct frame_header h;
	struct ranges set = {};
	struct buf out = {};

	(void)state;
	for (uint64_t i = 1; i <= MESSAGE_RANGES_MAX + 5; i++)
		add(&set, 10 * i, 10 * i + 1);
	CHECK_EQ(message_ack_put(&out, 1, 0, &set), 0);
	CHECK_EQ(frame_header_decode(&h, out.data), 0);
	CHECK_EQ(message_ack_get(&ack, out.data + FRAME_HEADER_LEN, h.stored_len), 0);
	CHECK_EQ(ack.durable.count, MESSAGE_RANGES_MAX);
	CHECK_EQ(ack.durable.list[0].from, 60);
	CHECK_EQ(ranges_max(&ack.durable), ranges_max(&set));
	ranges_release(&ack.durable);
	ranges_release(&set);
	buf_release(&out);
}

/* Every binary message: refused when a byte is missing, bytes of later versions are ignored. */
static void binary_lengths(void **state)
{
	static const struct {
		const char *name;
		size_t len;
	} cases[] = { { "ack", 48 }, { "nack", 16 }, { "loss", 48 } };

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct buf vector = {};
		struct frame_header h;

		load_payload(&vector, &h, c->name);
		CHECK_EQ(h.stored_len, c->len);
		buf_append(&vector, "later", 5);
		for (size_t len = 0; len <= c->len + 5; len++) {
			/* Its own memory, so that ASan sees a read beyond it. */
			uint8_t *payload = malloc(len ? len : 1);
			int want = len < c->len ? -EBADMSG : 0;
			struct message_ack ack = {};
			struct message_nack n;
			struct message_loss l;

			assert_non_null(payload);
			memcpy(payload, vector.data + FRAME_HEADER_LEN, len);
			if (h.type == FRAME_ACK)
				CHECK_EQ(message_ack_get(&ack, payload, len), want);
			else if (h.type == FRAME_NACK)
				CHECK_EQ(message_nack_get(&n, payload, len), want);
			else
				CHECK_EQ(message_loss_get(&l, payload, len), want);
			ranges_release(&ack.durable);
			free(payload);
		}
		buf_release(&vector);
	}
}

static void loss_judged(void **state)
{
	static const struct {
		const char *name;
		uint64_t from, to;
		int err;
	} cases[] = {
		{ "one", 1, 1, 0 },
		{ "all", 1, UINT64_MAX, 0 },
		{ "from 0", 0, 1, -EBADMSG },
		{ "backwards", 2, 1, -EBADMSG },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		uint8_t payload[48] = {};
		struct cursor w = cursor_writer(payload, sizeof(payload));
		struct message_loss got;

		cursor_put_u64(&w, c->from);
		cursor_put_u64(&w, c->to);
		CHECK_EQ(message_loss_get(&got, payload, sizeof(payload)), c->err);
	}
}

static void reasons_named(void **state)
{
	(void)state;
	CHECK_STR(loss_reason_name(LOSS_JOURNAL_FULL), "journal_full");
	CHECK_STR(loss_reason_name(LOSS_DAMAGED), "damaged");
	CHECK_STR(loss_reason_name(LOSS_REASON_COUNT), "unknown");
	CHECK_STR(loss_reason_name(UINT32_MAX), "unknown");
	CHECK_STR(nack_reason_name(NACK_STORE), "store");
	CHECK_STR(nack_reason_name(0), "unknown");
	CHECK_STR(nack_reason_name(UINT32_MAX), "unknown");
}

static void refusal_read_back(void **state)
{
	static const char hello_text[] = "{\"hello\": {}}", list_text[] = "[1]", bad[] = "{";
	char text[MESSAGE_REFUSAL_LEN], longest[MESSAGE_REFUSAL_LEN + 1];
	struct frame_header header;
	struct buf out = {};

	(void)state;
	CHECK_EQ(message_refusal_put(&out, "agent a opened a stream of \"b\""), 0);
	CHECK_EQ(frame_header_decode(&header, out.data), 0);
	CHECK_EQ(header.type, FRAME_CONTROL);
	CHECK_EQ(header.flags & FRAME_F_CRITICAL, 0);
	CHECK_EQ(message_refusal_get(text, out.data + FRAME_HEADER_LEN, header.stored_len), 0);
	CHECK_STR(text, "agent a opened a stream of \"b\"");
	CHECK_EQ(message_refusal_get(text, hello_text, sizeof(hello_text) - 1), -ENOENT);
	CHECK_EQ(message_refusal_get(text, list_text, sizeof(list_text) - 1), -ENOENT);
	CHECK_EQ(message_refusal_get(text, bad, sizeof(bad) - 1), -EBADMSG);
	buf_clear(&out);
	memset(longest, 'x', sizeof(longest));
	longest[MESSAGE_REFUSAL_LEN] = '\0';
	CHECK_EQ(message_refusal_put(&out, longest), 0);
	CHECK_EQ(frame_header_decode(&header, out.data), 0);
	CHECK_EQ(message_refusal_get(text, out.data + FRAME_HEADER_LEN, header.stored_len),
		 -EMSGSIZE);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(encoded_as_the_vectors),
		TEST(vectors_decoded),
		TEST(packets_vector),
		TEST(hello_judged),
		TEST(hello_of_the_wrong_size),
		TEST(versions_agreed),
		TEST(open_judged),
		TEST(ack_judged),
		TEST(ack_holds_the_highest_ranges),
		TEST(binary_lengths),
		TEST(loss_judged),
		TEST(reasons_named),
		TEST(refusal_read_back),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
