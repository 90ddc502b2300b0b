/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/frame.h"

#include <errno.h>

#include "common/crc32c.h"
#include "selftests/unit/check.h"

static const struct frame_header sample = {
	.type = FRAME_PACKETS,
	.flags = FRAME_F_LATE,
	.stream = 7,
	.sequence = 0x0102030405060708,
	.packet_count = 3,
	.wire_count = 5,
	.first_ns = 1700000000000000001,
	.last_ns = 1700000000000000009,
	.watermark_ns = 1700000000000000000,
	.utc_offset_ns = -5,
};

static void crc_vectors(void **state)
{
	(void)state;
	/* RFC 3720 B.4 and the check value of the Rocksoft model. */
	static const struct {
		const char *name;
		uint8_t fill;
		uint32_t crc;
	} cases[] = { { "zeros", 0x00, 0x8a9136aa }, { "ones", 0xff, 0x62a8ab43 } };
	uint8_t data[32];

	CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283);
	CHECK_EQ(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	FOR_EACH_CASE (c, cases) {
		memset(data, c->fill, sizeof(data));
		CHECK_EQ(crc32c(0, data, sizeof(data)), c->crc);
	}
}

static void round_trip(void **state)
{
	struct frame_header in = sample, out;
	uint8_t bytes[FRAME_HEADER_LEN], again[FRAME_HEADER_LEN];

	(void)state;
	frame_seal(bytes, &in, "hello", 5);
	CHECK_EQ(frame_header_decode(&out, bytes), 0);
	/* Not the structs: their padding is anything. */
	frame_header_encode(again, &out);
	CHECK_EQ(memcmp(bytes, again, sizeof(bytes)), 0);
	CHECK_EQ(out.sequence, in.sequence);
	CHECK_EQ(out.utc_offset_ns, in.utc_offset_ns);
	CHECK_EQ(out.stored_len, 5);
	CHECK_EQ(frame_payload_check(&out, "hello"), 0);
	CHECK_EQ(frame_payload_check(&out, "hellp"), -EBADMSG);
}

static void every_bit_counts(void **state)
{
	struct frame_header in = sample, out;
	uint8_t bytes[FRAME_HEADER_LEN];

	(void)state;
	frame_seal(bytes, &in, NULL, 0);
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(frame_header_decode(&out, bytes) < 0);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void refused(void **state)
{
	struct frame_header in = sample, out;
	uint8_t bytes[FRAME_HEADER_LEN];

	(void)state;
	frame_seal(bytes, &in, NULL, 0);
	bytes[6] = 2;
	CHECK_EQ(frame_header_decode(&out, bytes), -EPROTONOSUPPORT);
	in.stored_len = FRAME_PAYLOAD_MAX + 1;
	frame_header_encode(bytes, &in);
	CHECK_EQ(frame_header_decode(&out, bytes), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(crc_vectors),
		TEST(round_trip),
		TEST(every_bit_counts),
		TEST(refused),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
