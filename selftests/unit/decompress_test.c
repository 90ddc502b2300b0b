/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/decompress.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "common/buf.h"
#include "selftests/unit/check.h"

#define TEXT_LEN (300 * KIB) /* more than two blocks of zstd */

static uint8_t text[TEXT_LEN];

/* Compressible, and not by too much. */
static int make_text(void **state)
{
	unsigned int seed = 7;

	(void)state;
	for (size_t i = 0; i < TEXT_LEN; i++)
		text[i] = (uint8_t)("0123456789abcdef"[rand_r(&seed) % 16]);
	return 0;
}

static void add_gzip(struct buf *out, const uint8_t *data, size_t len)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len };
	size_t room = len + 1024;

	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	stream.next_out = buf_reserve(out, room);
	stream.avail_out = (uInt)room;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	buf_commit(out, stream.total_out);
	deflateEnd(&stream);
}

static void add_zstd(struct buf *out, const uint8_t *data, size_t len, int window_log)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	ZSTD_inBuffer in = { .src = data, .size = len };
	ZSTD_outBuffer packed = { .size = ZSTD_compressBound(len) };

	packed.dst = buf_reserve(out, packed.size);
	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	if (window_log)
		ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
	assert_int_equal(ZSTD_compressStream2(context, &packed, &in, ZSTD_e_end), 0);
	buf_commit(out, packed.pos);
	ZSTD_freeCCtx(context);
}

static void add_member(struct buf *out, char kind, const uint8_t *data, size_t len)
{
	static const uint8_t skippable[] = { 0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z' };

	switch (kind) {
	case 'g':
		add_gzip(out, data, len);
		break;
	case 'z':
		add_zstd(out, data, len, 0);
		break;
	case 's':
		buf_append(out, skippable, sizeof(skippable));
		break;
	}
}

/* All of it, given in pieces and taken by little room. Returns how it ended. */
static int unpack(const struct buf *packed, size_t piece, size_t room, struct buf *out,
		  char error[256])
{
	size_t at = 0, there = 0, used;
	struct decompress *decompress;
	ssize_t n;

	assert_int_equal(decompress_create(&decompress), 0);
	for (;;) {
		n = decompress_bytes(decompress, packed->data + at, there,
				     at + there == packed->len, &used, buf_reserve(out, room),
				     room);
		at += used;
		there -= used;
		if (n < 0 || (n == 0 && at + there == packed->len))
			break;
		if (n > 0)
			buf_commit(out, (size_t)n);
		else
			there += MIN(piece, packed->len - at - there);
	}
	snprintf(error, 256, "%s", decompress_error(decompress));
	/* It sticks. */
	if (n < 0)
		assert_int_equal(decompress_bytes(decompress, packed->data, packed->len, true,
						  &used, buf_reserve(out, room), room),
				 n);
	decompress_destroy(decompress);
	return (int)n;
}

static void members_follow_each_other(void **state)
{
	static const struct {
		const char *name, *members;
		size_t zeros;
	} cases[] = {
		{ "gzip", "g", 0 },
		{ "zstd", "z", 0 },
		{ "gzip, three", "ggg", 0 },
		{ "zstd, three", "zzz", 0 },
		{ "skippable frames of zstd", "szsz", 0 },
		{ "both", "gzzg", 0 },
		{ "padded gzip", "gg", 700 },
		{ "padded zstd", "z", 3 },
	};
	static const struct {
		size_t piece, room;
	} ways[] = { { MIB, MIB }, { 1, MIB }, { MIB, 1 }, { 1000, 777 }, { 131075, 131072 } };

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct buf packed = {};
		size_t members = 0;

		for (const char *kind = c->members; *kind; kind++) {
			add_member(&packed, *kind, text, TEXT_LEN);
			members += *kind != 's';
		}
		for (size_t i = 0; i < c->zeros; i++)
			buf_append(&packed, "", 1);
		for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
			struct buf out = {};
			char error[256];

			CHECK_EQ(unpack(&packed, ways[i].piece, ways[i].room, &out, error), 0);
			CHECK_EQ(out.len, members * TEXT_LEN);
			for (size_t m = 0; m < members && out.len == members * TEXT_LEN; m++)
				CHECK(memcmp(out.data + m * TEXT_LEN, text, TEXT_LEN) == 0);
			buf_release(&out);
		}
		buf_release(&packed);
	}
}

static void what_was_before_the_damage_is_kept(void **state)
{
	static const struct {
		const char *name;
		char kind;
		double cut;	  /* keep so much of it */
		double flip;	  /* turn a bit over there; 0: none */
		const char *more; /* follows */
		double least;	  /* of the text comes out as it was */
		const char *error;
	} cases[] = {
		{ "gzip, cut", 'g', 0.5, 0, "", 0.45, "its gzip data is cut short at byte" },
		{ "zstd, cut", 'z', 0.9, 0, "", 0.8, "its zstd data is cut short at byte" },
		{ "gzip, cut in its head", 'g', 0.00003, 0, "", 0, "its gzip data is cut short" },
		{ "gzip, cut in its checksum", 'g', 0.99998, 0, "", 1, "is cut short" },
		{ "gzip, checksum", 'g', 1, 0.99996, "", 1, "incorrect data check" },
		{ "zstd, checksum", 'z', 1, 0.99999, "", 1, "doesn't match checksum" },
		{ "zstd, damaged", 'z', 1, 0.9, "", 0.8, "its zstd data is damaged near byte" },
		{ "gzip, garbage behind", 'g', 1, 0, "garbage", 1,
		  "garbage follows the compressed data at byte" },
		{ "zstd, garbage behind", 'z', 1, 0, "g", 1, "garbage follows" },
		{ "gzip, half a magic behind", 'g', 1, 0, "\x1f", 1, "garbage follows" },
		{ "gzip, xz behind", 'g', 1, 0,
		  "\xfd"
		  "7zXZ\0",
		  1, "compressed by xz" },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		for (size_t room = 1000; room <= MIB; room += MIB - 1000) {
			size_t least = (size_t)(c->least * TEXT_LEN);
			struct buf packed = {}, out = {};
			char error[256];

			add_member(&packed, c->kind, text, TEXT_LEN);
			packed.len = (size_t)(c->cut * (double)packed.len);
			if (c->flip > 0)
				packed.data[(size_t)(c->flip * (double)packed.len)] ^= 0x10;
			buf_append(&packed, c->more, *c->more == '\xfd' ? 6 : strlen(c->more));
			CHECK_EQ(unpack(&packed, 1000, room, &out, error),
				 strstr(c->error, "xz") ? -EPROTONOSUPPORT : -EBADMSG);
			if (!strstr(error, c->error))
				CHECK_STR(error, c->error);
			CHECK(out.len <= TEXT_LEN && out.len >= least &&
			      memcmp(out.data, text, least) == 0);
			buf_release(&packed);
			buf_release(&out);
		}
	}
}

/* Frames may claim any window: memory for it is not taken. */
static void a_large_window_is_refused(void **state)
{
	static const uint8_t head[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0, 0, 0, 0, 0, 0 };
	struct buf packed = {}, out = {};
	char error[256];

	(void)state;
	buf_append(&packed, head, sizeof(head));
	CHECK_EQ(unpack(&packed, 100, 100, &out, error), -EPROTONOSUPPORT);
	CHECK(strstr(error, "--long=31") != NULL);
	buf_clear(&packed);
	add_zstd(&packed, text, 1000, 27); /* as zstd --long writes it */
	CHECK_EQ(unpack(&packed, 100, 100, &out, error), 0);
	CHECK_EQ(out.len, 1000);
	buf_release(&packed);
	buf_release(&out);
}

static void formats_are_told_by_their_first_bytes(void **state)
{
	static const struct {
		const char *name, *data;
		size_t len;
		enum decompress_format so_far, all;
		const char *format;
	} cases[] = {
		{ "nothing", "", 0, DECOMPRESS_UNKNOWN, DECOMPRESS_PLAIN, "" },
		{ "one byte of gzip", "\x1f", 1, DECOMPRESS_UNKNOWN, DECOMPRESS_PLAIN, "" },
		{ "gzip", "\x1f\x8b", 2, DECOMPRESS_GZIP, DECOMPRESS_GZIP, "gzip" },
		{ "three of zstd", "\x28\xb5\x2f", 3, DECOMPRESS_UNKNOWN, DECOMPRESS_PLAIN, "" },
		{ "zstd", "\x28\xb5\x2f\xfd", 4, DECOMPRESS_ZSTD, DECOMPRESS_ZSTD, "zstd" },
		{ "skippable", "\x5f\x2a\x4d\x18", 4, DECOMPRESS_ZSTD, DECOMPRESS_ZSTD, "zstd" },
		{ "pcapng", "\x0a\x0d\x0d\x0a", 4, DECOMPRESS_PLAIN, DECOMPRESS_PLAIN, "" },
		{ "PCAP", "\xd4", 1, DECOMPRESS_PLAIN, DECOMPRESS_PLAIN, "" },
		{ "xz",
		  "\xfd"
		  "7zXZ",
		  6, DECOMPRESS_OTHER, DECOMPRESS_OTHER, "xz" },
		{ "bzip2", "BZh9", 4, DECOMPRESS_OTHER, DECOMPRESS_OTHER, "bzip2" },
	};
	const char *name;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		const uint8_t *data = (const uint8_t *)c->data;

		CHECK_EQ(decompress_sniff(data, c->len, false, &name), c->so_far);
		CHECK_EQ(decompress_sniff(data, c->len, true, &name), c->all);
		CHECK_STR(name, c->format);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(members_follow_each_other),
		TEST(what_was_before_the_damage_is_kept),
		TEST(a_large_window_is_refused),
		TEST(formats_are_told_by_their_first_bytes),
	};

	return cmocka_run_group_tests_name("decompress", tests, make_text, NULL);
}
