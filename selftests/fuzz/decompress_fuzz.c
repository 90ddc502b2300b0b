/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as a compressed stream: the same comes out, or something is wrong with it, whether they
 * come at once or in pieces, and whatever room there is. How much of the block of zstd in which the
 * damage shows comes out depends on the pieces.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/decompress.h"
#include "selftests/fuzz/fuzz.h"

#define OUTPUT_MAX (1 * MIB) /* enough of what unpacks to gigabytes */

/* Returns how it ended: 0, an error, or 1 for OUTPUT_MAX. */
static int unpack(const uint8_t *data, size_t len, size_t piece, size_t room, uint8_t *out,
		  size_t *out_len)
{
	struct decompress *decompress;
	size_t at = 0, there = 0, used;
	ssize_t n;

	if (decompress_create(&decompress))
		abort();
	*out_len = 0;
	do {
		n = decompress_bytes(decompress, data + at, there, at + there == len, &used,
				     out + *out_len, MIN(room, OUTPUT_MAX - *out_len));
		assert(used <= there && n <= (ssize_t)MIN(room, OUTPUT_MAX - *out_len));
		at += used;
		there -= used;
		if (n > 0) {
			*out_len += (size_t)n;
		} else if (n == 0 && at + there == len) {
			assert(at == len);
			break;
		} else if (n == 0) {
			there += MIN(piece, len - at - there);
		}
	} while (n >= 0 && *out_len < OUTPUT_MAX);
	assert(n >= 0 || n == -EBADMSG || n == -EPROTONOSUPPORT);
	assert(n >= 0 || decompress_error(decompress)[0]);
	decompress_destroy(decompress);
	return *out_len == OUTPUT_MAX ? 1 : (int)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t whole[OUTPUT_MAX], pieces[OUTPUT_MAX];
	size_t whole_len, pieces_len, room = len ? 1 + data[len - 1] * 16u : 1;
	enum decompress_format format;
	const char *name;
	int end, other;

	format = decompress_sniff(data, len, true, &name);
	assert(format != DECOMPRESS_UNKNOWN && (format == DECOMPRESS_PLAIN) == !*name);
	if (format != DECOMPRESS_GZIP && format != DECOMPRESS_ZSTD)
		return 0;
	end = unpack(data, len, len, OUTPUT_MAX, whole, &whole_len);
	other = unpack(data, len, 1 + len % 7, room, pieces, &pieces_len);
	assert((end == 0) == (other == 0) && (end || whole_len == pieces_len));
	assert(memcmp(whole, pieces, MIN(whole_len, pieces_len)) == 0);
	return 0;
}
