/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream of frames. A header that decodes must encode to the same bytes; one whose checksum
 * alone is wrong is tried again with the right one, for the fuzzer cannot guess it.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/crc32c.h"
#include "common/frame.h"
#include "selftests/fuzz/fuzz.h"

#define CRC_OFFSET 76

static int decode(struct frame_header *ret, const uint8_t *bytes)
{
	uint8_t again[FRAME_HEADER_LEN];
	int err = frame_header_decode(ret, bytes);

	assert(!err || err == -EBADMSG || err == -EPROTONOSUPPORT || err == -EMSGSIZE);
	if (err)
		return err;
	assert(ret->stored_len <= FRAME_PAYLOAD_MAX && ret->raw_len <= FRAME_PAYLOAD_MAX);
	assert(frame_type_name(ret->type));
	(void)frame_type_is_sequenced(ret->type);
	frame_header_encode(again, ret);
	assert(memcmp(again, bytes, sizeof(again)) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct frame_header header;
	uint8_t fixed[FRAME_HEADER_LEN];
	uint32_t crc;

	while (len >= FRAME_HEADER_LEN) {
		memcpy(fixed, data, sizeof(fixed));
		if (decode(&header, data)) {
			crc = crc32c(0, fixed, CRC_OFFSET);
			for (int i = 0; i < 4; i++)
				fixed[CRC_OFFSET + i] = (uint8_t)(crc >> 8 * i);
			if (decode(&header, fixed))
				return 0;
		}
		data += FRAME_HEADER_LEN;
		len -= FRAME_HEADER_LEN;
		if (header.stored_len > len)
			return 0;
		(void)!frame_payload_check(&header, data);
		data += header.stored_len;
		len -= header.stored_len;
	}
	return 0;
}
