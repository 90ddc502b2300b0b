/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/decompress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define GZIP_WINDOW (15 + 16) /* largest; of gzip, not of zlib's own format */
#define ZSTD_BLOCK_HEADER_LEN 3
#define ERROR_LEN 192

struct decompress {
	enum decompress_format member; /* being unpacked; UNKNOWN: none */
	uint64_t taken;		       /* bytes of input used so far */
	z_stream gzip;
	bool gzip_ready;
	ZSTD_DStream *zstd;
	size_t zstd_wants; /* bytes of input up to the end of the next step */
	bool zstd_holds;   /* perhaps: output that there was no room for */
	bool begun;	   /* a member was complete or is being unpacked */
	bool padded;	   /* zeros after the last member */
	int err;
	char error[ERROR_LEN];
};

/* What one call may take and fill. */
struct window {
	const uint8_t *in;
	size_t in_left;
	uint8_t *out;
	size_t out_left;
	bool ends;
};

enum decompress_format decompress_sniff(const uint8_t *data, size_t len, bool ends,
					const char **name)
{
	static const struct {
		const char *name;
		enum decompress_format format;
		uint8_t len, first_mask;
		uint8_t bytes[6];
	} magics[] = {
		{ "gzip", DECOMPRESS_GZIP, 2, 0xff, { 0x1f, 0x8b } },
		{ "zstd", DECOMPRESS_ZSTD, 4, 0xff, { 0x28, 0xb5, 0x2f, 0xfd } },
		/* a skippable frame */
		{ "zstd", DECOMPRESS_ZSTD, 4, 0xf0, { 0x50, 0x2a, 0x4d, 0x18 } },
		{ "xz", DECOMPRESS_OTHER, 6, 0xff, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
		{ "bzip2", DECOMPRESS_OTHER, 3, 0xff, { 'B', 'Z', 'h' } },
		{ "lz4", DECOMPRESS_OTHER, 4, 0xff, { 0x04, 0x22, 0x4d, 0x18 } },
		{ "compress", DECOMPRESS_OTHER, 2, 0xff, { 0x1f, 0x9d } },
		{ "zip", DECOMPRESS_OTHER, 4, 0xff, { 'P', 'K', 3, 4 } },
	};
	bool may_be = false;

	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		size_t n = MIN(len, magics[i].len);

		if (n && ((data[0] & magics[i].first_mask) != magics[i].bytes[0] ||
			  memcmp(data + 1, magics[i].bytes + 1, n - 1) != 0))
			continue;
		if (n == magics[i].len) {
			*name = magics[i].name;
			return magics[i].format;
		}
		may_be = true;
	}
	*name = "";
	return may_be && !ends ? DECOMPRESS_UNKNOWN : DECOMPRESS_PLAIN;
}

int decompress_create(struct decompress **ret)
{
	struct decompress *decompress = calloc(1, sizeof(*decompress));

	if (!decompress)
		return -ENOMEM;
	*ret = decompress;
	return 0;
}

void decompress_destroy(struct decompress *decompress)
{
	if (!decompress)
		return;
	if (decompress->gzip_ready)
		(void)inflateEnd(&decompress->gzip);
	ZSTD_freeDStream(decompress->zstd);
	free(decompress);
}

static void printf_like(3, 4)
	refuse(struct decompress *decompress, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(decompress->error, sizeof(decompress->error), format, args);
	va_end(args);
	decompress->err = err;
}

static void out_of_memory(struct decompress *decompress)
{
	refuse(decompress, -ENOMEM, "no memory to unpack it");
}

static void use(struct decompress *decompress, struct window *window, size_t in, size_t out)
{
	window->in += in;
	window->in_left -= in;
	window->out += out;
	window->out_left -= out;
	decompress->taken += in;
}

static void begin_gzip(struct decompress *decompress)
{
	int result = decompress->gzip_ready ? inflateReset(&decompress->gzip)
					    : inflateInit2(&decompress->gzip, GZIP_WINDOW);

	if (result != Z_OK)
		out_of_memory(decompress);
	else
		decompress->gzip_ready = true;
}

static void begin_zstd(struct decompress *decompress)
{
	if (!decompress->zstd)
		decompress->zstd = ZSTD_createDStream();
	if (!decompress->zstd) {
		out_of_memory(decompress);
		return;
	}
	decompress->zstd_wants = ZSTD_initDStream(decompress->zstd);
	decompress->zstd_holds = false;
}

/* Between two members: false if there is none, or not enough of it to tell. */
static bool begin_member(struct decompress *decompress, struct window *window)
{
	enum decompress_format format;
	const char *name;

	while (decompress->begun && window->in_left && !*window->in) {
		decompress->padded = true;
		use(decompress, window, 1, 0);
	}
	if (!window->in_left)
		return false;
	format = decompress_sniff(window->in, window->in_left, window->ends, &name);
	if (decompress->padded)
		format = DECOMPRESS_PLAIN;
	switch (format) {
	case DECOMPRESS_UNKNOWN:
		return false;
	case DECOMPRESS_GZIP:
		begin_gzip(decompress);
		break;
	case DECOMPRESS_ZSTD:
		begin_zstd(decompress);
		break;
	case DECOMPRESS_PLAIN:
		refuse(decompress, -EBADMSG, "garbage follows the compressed data at byte %" PRIu64,
		       decompress->taken);
		break;
	case DECOMPRESS_OTHER:
		refuse(decompress, -EPROTONOSUPPORT,
		       "data compressed by %s begins at byte %" PRIu64
		       ": only gzip and zstd are read",
		       name, decompress->taken);
		break;
	}
	decompress->member = format;
	decompress->begun = true;
	return !decompress->err;
}

static void unpack_gzip(struct decompress *decompress, struct window *window)
{
	z_stream *gzip = &decompress->gzip;
	uInt in = (uInt)MIN(window->in_left, GIB), out = (uInt)MIN(window->out_left, GIB);
	int result;

	gzip->next_in = (Bytef *)(uintptr_t)window->in;
	gzip->avail_in = in;
	gzip->next_out = window->out;
	gzip->avail_out = out;
	result = inflate(gzip, Z_SYNC_FLUSH);
	use(decompress, window, in - gzip->avail_in, out - gzip->avail_out);
	if (result == Z_STREAM_END)
		decompress->member = DECOMPRESS_UNKNOWN;
	else if (result == Z_MEM_ERROR)
		out_of_memory(decompress);
	else if (result != Z_OK && result != Z_BUF_ERROR) /* that: no room, or no input */
		refuse(decompress, -EBADMSG, "its gzip data is damaged near byte %" PRIu64 ": %s",
		       decompress->taken, gzip->msg ?: "no reason given");
}

static void refuse_zstd(struct decompress *decompress, size_t result)
{
	ZSTD_ErrorCode code = ZSTD_getErrorCode(result);

	if (code == ZSTD_error_memory_allocation)
		out_of_memory(decompress);
	else if (code == ZSTD_error_frameParameter_windowTooLarge)
		refuse(decompress, -EPROTONOSUPPORT,
		       "its zstd data takes a window of more than 128 MiB: unpack it by "
		       "zstd -d --long=31");
	else if (code == ZSTD_error_dictionary_wrong)
		refuse(decompress, -EPROTONOSUPPORT,
		       "its zstd data was made with a dictionary: unpack it by zstd -d -D");
	else
		refuse(decompress, -EBADMSG, "its zstd data is damaged near byte %" PRIu64 ": %s",
		       decompress->taken, ZSTD_getErrorName(result));
}

/*
 * A block at a time: of a call that fails libzstd does not tell what it had written before. For the
 * same reason what it holds is fetched in a call without input.
 */
static void unpack_zstd(struct decompress *decompress, struct window *window)
{
	bool holds = decompress->zstd_holds;
	ZSTD_outBuffer out = { .dst = window->out, .size = window->out_left };
	ZSTD_inBuffer in = {
		.src = window->in,
		.size = holds ? 0 : MIN(window->in_left, decompress->zstd_wants),
	};
	size_t result;

	if (!holds && !in.size)
		return;
	result = ZSTD_decompressStream(decompress->zstd, &out, &in);
	if (ZSTD_isError(result)) {
		refuse_zstd(decompress, result);
		return;
	}
	use(decompress, window, in.pos, out.pos);
	/* Without the next block's header, which libzstd asks for along with a block. */
	decompress->zstd_wants =
		result > ZSTD_BLOCK_HEADER_LEN ? result - ZSTD_BLOCK_HEADER_LEN : MAX(result, 1);
	decompress->zstd_holds = out.pos == out.size;
	if (!result)
		decompress->member = DECOMPRESS_UNKNOWN;
}

/* False: nothing came of it. */
static bool unpack(struct decompress *decompress, struct window *window)
{
	size_t in_left = window->in_left, out_left = window->out_left;
	bool held = decompress->zstd_holds;

	if (!decompress->member && !begin_member(decompress, window))
		return false;
	if (decompress->member == DECOMPRESS_GZIP)
		unpack_gzip(decompress, window);
	else
		unpack_zstd(decompress, window);
	return window->in_left < in_left || window->out_left < out_left || held;
}

ssize_t decompress_bytes(struct decompress *decompress, const uint8_t *in, size_t len, bool ends,
			 size_t *used, uint8_t *out, size_t room)
{
	struct window window = {
		.in = in, .in_left = len, .out = out, .out_left = room, .ends = ends
	};

	while (window.out_left && !decompress->err && unpack(decompress, &window))
		;
	*used = len - window.in_left;
	if (window.out_left < room)
		return (ssize_t)(room - window.out_left);
	if (!decompress->err && ends && decompress->member)
		refuse(decompress, -EBADMSG, "its %s data is cut short at byte %" PRIu64,
		       decompress->member == DECOMPRESS_GZIP ? "gzip" : "zstd", decompress->taken);
	return decompress->err;
}

const char *decompress_error(const struct decompress *decompress)
{
	return decompress->error;
}
