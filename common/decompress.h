/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unpacks a stream of gzip members (RFC 1952) and zstd frames (RFC 8878), one after the other.
 * Sans-I/O, any thread. Memory is bounded whatever the input says: a window of at most 128 MiB
 * (zstd), and no more output at once than the caller has room for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/util.h"

enum decompress_format {
	DECOMPRESS_UNKNOWN, /* it takes more bytes to tell */
	DECOMPRESS_PLAIN,   /* not compressed */
	DECOMPRESS_GZIP,
	DECOMPRESS_ZSTD,
	DECOMPRESS_OTHER, /* compressed in a way that is not read here */
};

/*
 * How a stream that begins with data[0 .. len) is packed. ends: that is all of it; never UNKNOWN
 * then. *name is "gzip", "xz", ..., or "" if PLAIN or UNKNOWN; static.
 */
enum decompress_format decompress_sniff(const uint8_t *data, size_t len, bool ends,
					const char **name);

struct decompress;

int decompress_create(struct decompress **ret) must_check;
void decompress_destroy(struct decompress *decompress);
/*
 * Unpacks in[0 .. len), what follows the bytes used so far, into out[0 .. room), room > 0. Returns
 * the bytes written; *used of the input need not be given again. ends: nothing comes after in. 0:
 * it takes more input (with ends: everything is unpacked). -EBADMSG: damaged, cut short, or
 * followed by something else (zeros are padding); -EPROTONOSUPPORT: packed in a way that is not
 * read here; -ENOMEM. An error is told after what was unpacked before it (zstd: whole blocks), and
 * sticks.
 */
ssize_t decompress_bytes(struct decompress *decompress, const uint8_t *in, size_t len, bool ends,
			 size_t *used, uint8_t *out, size_t room) must_check;
/* What is wrong, in words, after an error. */
const char *decompress_error(const struct decompress *decompress);
