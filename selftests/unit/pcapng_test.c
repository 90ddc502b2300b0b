/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/pcapng.h"

#include <byteswap.h>
#include <errno.h>
#include <stdlib.h>

#include "common/cursor.h"
#include "selftests/unit/check.h"

static const uint8_t bytes[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
static const struct pcapng_interface ethernet = {
	.link_type = LINKTYPE_ETHERNET,
	.snaplen = PCAPNG_SNAPLEN,
	.name = "eth0",
	.description = "to the core",
	.filter = "udp port 53",
	.os = "Linux 6.18",
	.tsresol = 9,
	.speed_bps = 10000000000,
};

/* Blocks of either byte order, put together by hand. */
struct writer {
	struct buf out;
	bool big_endian;
	size_t block;
};

static void put16(struct writer *w, uint16_t v)
{
	v = w->big_endian ? bswap_16(v) : v;
	buf_append(&w->out, &v, sizeof(v));
}

static void put32(struct writer *w, uint32_t v)
{
	v = w->big_endian ? bswap_32(v) : v;
	buf_append(&w->out, &v, sizeof(v));
}

static void put64(struct writer *w, uint64_t v)
{
	v = w->big_endian ? bswap_64(v) : v;
	buf_append(&w->out, &v, sizeof(v));
}

static void put_time(struct writer *w, uint64_t v)
{
	put32(w, (uint32_t)(v >> 32));
	put32(w, (uint32_t)v);
}

static void put_padded(struct writer *w, const void *data, size_t len)
{
	buf_append(&w->out, data, len);
	buf_append(&w->out, "\0\0\0", align_up(len, 4) - len);
}

static void begin(struct writer *w, uint32_t type)
{
	w->block = w->out.len;
	put32(w, type);
	put32(w, 0);
}

static void end(struct writer *w)
{
	uint32_t len = (uint32_t)(w->out.len - w->block + 4);
	uint32_t stored = w->big_endian ? bswap_32(len) : len;

	memcpy(w->out.data + w->block + 4, &stored, sizeof(stored));
	put32(w, len);
}

static void put_section(struct writer *w, uint16_t major)
{
	begin(w, 0x0a0d0d0a);
	put32(w, 0x1a2b3c4d);
	put16(w, major);
	put16(w, 0);
	put64(w, UINT64_MAX);
	end(w);
}

static void put_idb(struct writer *w, uint32_t snaplen, int tsresol, int64_t tsoffset)
{
	uint8_t resolution = (uint8_t)tsresol;

	begin(w, 1);
	put16(w, LINKTYPE_RAW);
	put16(w, 0);
	put32(w, snaplen);
	if (tsresol >= 0) {
		put16(w, 9);
		put16(w, 1);
		put_padded(w, &resolution, 1);
	}
	if (tsoffset) {
		put16(w, 14);
		put16(w, 8);
		put64(w, (uint64_t)tsoffset);
	}
	put32(w, 0);
	end(w);
}

static void put_epb(struct writer *w, uint32_t interface, uint64_t ticks, size_t len)
{
	begin(w, 6);
	put32(w, interface);
	put_time(w, ticks);
	put32(w, (uint32_t)len);
	put32(w, 1000);
	put_padded(w, bytes, len);
	end(w);
}

static struct pcapng_decoder *decoder_new(enum pcapng_source source)
{
	struct pcapng_decoder *decoder = NULL;

	assert_int_equal(pcapng_decoder_create(&decoder, source), 0);
	return decoder;
}

/* The next item that is something; PCAPNG_ITEM_NONE where the bytes end, or a negative errno. */
static int next_item(struct pcapng_decoder *decoder, const struct buf *in, size_t *at,
		     struct pcapng_packet *packet)
{
	enum pcapng_item item = PCAPNG_ITEM_NONE;
	ssize_t n;

	while (*at < in->len && item == PCAPNG_ITEM_NONE) {
		n = pcapng_decode(decoder, in->data + *at, in->len - *at, &item, packet);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EAGAIN;
		*at += (size_t)n;
	}
	return (int)item;
}

/* First packet, or what goes wrong before it. */
static int first_packet(struct pcapng_decoder *decoder, const struct buf *in,
			struct pcapng_packet *packet)
{
	size_t at = 0;
	int item;

	do
		item = next_item(decoder, in, &at, packet);
	while (item == PCAPNG_ITEM_INTERFACE);
	return item;
}

static void check_packets_equal(const struct pcapng_packet *a, const struct pcapng_packet *b)
{
	CHECK_EQ(a->interface, b->interface);
	CHECK_EQ(a->time_ns, b->time_ns);
	CHECK_EQ(a->captured_len, b->captured_len);
	CHECK_EQ(a->original_len, b->original_len);
	CHECK_EQ(memcmp(a->data, b->data, a->captured_len), 0);
	CHECK_EQ(a->flags, b->flags);
	CHECK_EQ(a->has_drop_count, b->has_drop_count);
	CHECK_EQ(a->drop_count, b->drop_count);
	CHECK_EQ(a->has_queue, b->has_queue);
	CHECK_EQ(a->queue, b->queue);
	CHECK_EQ(a->has_packet_id, b->has_packet_id);
	CHECK_EQ(a->packet_id, b->packet_id);
	CHECK_EQ(!a->comment, !b->comment);
	CHECK_EQ(a->comment_len, b->comment_len);
	if (a->comment && b->comment)
		CHECK_EQ(memcmp(a->comment, b->comment, a->comment_len), 0);
}

static const struct {
	const char *name;
	struct pcapng_packet packet;
} packets[] = {
	{ "empty", { .time_ns = 1 } },
	{ "plain", { .time_ns = UINT64_MAX, .captured_len = 4, .original_len = 4 } },
	{ "padded by one", { .captured_len = 3, .original_len = 64 } },
	{ "padded by three", { .captured_len = 1, .original_len = 1, .flags = PCAPNG_DIR_OUT } },
	{ "drop count", { .captured_len = 8, .has_drop_count = true, .drop_count = 1ull << 40 } },
	{ "drop count of zero", { .captured_len = 8, .has_drop_count = true } },
	{ "queue", { .captured_len = 5, .has_queue = true, .queue = 63 } },
	{ "comment", { .captured_len = 6, .comment = "hello", .comment_len = 5 } },
	{ "empty comment", { .captured_len = 6, .comment = "", .comment_len = 0 } },
	{ "everything",
	  { .time_ns = 1700000000123456789,
	    .captured_len = 63,
	    .original_len = 9000,
	    .flags = 0xabcd0001,
	    .has_drop_count = true,
	    .drop_count = 7,
	    .has_queue = true,
	    .queue = 1,
	    .has_packet_id = true,
	    .packet_id = UINT64_MAX,
	    .comment = "late",
	    .comment_len = 4 } },
};

static void packet_round_trip(void **state)
{
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FRAME);
	struct pcapng_packet in, out, again;
	uint8_t block[256], other[256], *data_at;
	struct buf frame = {};
	size_t len;

	(void)state;
	FOR_EACH_CASE (c, packets) {
		in = c->packet;
		in.data = bytes;
		len = pcapng_packet_len(&in);
		CHECK_EQ(len % 4, 0);
		CHECK_EQ(pcapng_put_packet(block, len - 1, &in, NULL), 0);
		CHECK_EQ(pcapng_put_packet(block, len, &in, NULL), len);

		memset(other, 0xff, sizeof(other));
		in.data = NULL;
		CHECK_EQ(pcapng_put_packet(other, sizeof(other), &in, &data_at), len);
		memcpy(data_at, bytes, in.captured_len);
		CHECK_EQ(memcmp(block, other, len), 0);

		in.data = bytes;
		buf_clear(&frame);
		pcapng_interface(&frame, &ethernet);
		pcapng_packet(&frame, &in);
		CHECK(!frame.failed);
		pcapng_decoder_reset(decoder, PCAPNG_FROM_FRAME);
		CHECK_EQ(first_packet(decoder, &frame, &out), PCAPNG_ITEM_PACKET);
		check_packets_equal(&in, &out);
		memset(&again, 0xff, sizeof(again));
		again.time_ns = out.time_ns;
		pcapng_decode_again(frame.data + frame.len - len, &again);
		check_packets_equal(&in, &again);
	}
	buf_release(&frame);
	pcapng_decoder_destroy(decoder);
}

static void interface_round_trip(void **state)
{
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FRAME);
	static struct {
		const char *name;
		struct pcapng_interface interface;
	} cases[] = {
		{ "full", { 0 } },
		{ "bare", { .link_type = LINKTYPE_RAW, .tsresol = 9 } },
		{ "longest", { .link_type = UINT16_MAX, .snaplen = UINT32_MAX, .tsresol = 9 } },
	};
	const struct pcapng_interface *out;
	struct pcapng_packet packet;
	struct buf frame = {};
	size_t at, len;
	uint8_t *small;

	(void)state;
	cases[0].interface = ethernet;
	memset(cases[2].interface.name, 'n', PCAPNG_NAME_MAX - 1);
	memset(cases[2].interface.description, 'd', PCAPNG_NAME_MAX - 1);
	memset(cases[2].interface.filter, 'f', sizeof(cases[2].interface.filter) - 1);
	memset(cases[2].interface.os, 'o', sizeof(cases[2].interface.os) - 1);
	FOR_EACH_CASE (c, cases) {
		at = 0;
		buf_clear(&frame);
		pcapng_interface(&frame, &c->interface);
		pcapng_decoder_reset(decoder, PCAPNG_FROM_FRAME);
		CHECK_EQ(next_item(decoder, &frame, &at, &packet), PCAPNG_ITEM_INTERFACE);
		CHECK_EQ(at, frame.len);
		out = pcapng_decoder_interface(decoder, 0);
		CHECK_EQ(out->link_type, c->interface.link_type);
		CHECK_EQ(out->snaplen, c->interface.snaplen);
		CHECK_STR(out->name, c->interface.name);
		CHECK_STR(out->description, c->interface.description);
		CHECK_STR(out->filter, c->interface.filter);
		CHECK_STR(out->os, c->interface.os);
		CHECK_EQ(out->tsresol, 9);
		CHECK_EQ(out->speed_bps, c->interface.speed_bps);
		len = frame.len;
		small = malloc(len);
		CHECK_EQ(pcapng_put_interface(small, len - 1, &c->interface), 0);
		CHECK_EQ(pcapng_put_interface(small, len, &c->interface), len);
		CHECK_EQ(memcmp(small, frame.data, len), 0);
		free(small);
	}
	CHECK(pcapng_decoder_interface(decoder, 1) == NULL);
	buf_release(&frame);
	pcapng_decoder_destroy(decoder);
}

/* Byte for byte as the draft has it. */
static void vectors(void **state)
{
	static const uint8_t section[] = {
		0x0a, 0x0d, 0x0d, 0x0a, 0x28, 0,    0,	  0,	0x4d, 0x3c, 0x2b, 0x1a, 1, 0,
		0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 4,	  0,	4, 0,
		'x',  'c',  'a',  'p',	0,    0,    0,	  0,	0x28, 0,    0,	  0,
	};
	static const uint8_t interface[] = {
		1,   0,	  0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 2,	 0, 2, 0,
		'l', 'o', 0, 0, 9,  0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0,
	};
	static const uint8_t packet[] = {
		6,    0,    0,	  0,	0x30, 0, 0, 0, 0,  0, 0, 0, 0x04, 0x03, 0x02, 0x01,
		0x08, 0x07, 0x06, 0x05, 2,    0, 0, 0, 60, 0, 0, 0, 1,	  2,	0,    0,
		2,    0,    4,	  0,	1,    0, 0, 0, 0,  0, 0, 0, 0x30, 0,	0,    0,
	};
	static const uint8_t statistics[] = {
		5, 0, 0, 0, 64, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9,  0, 0, 0, 2, 0,
		8, 0, 0, 0, 0,	0, 1, 0, 0, 0, 5, 0, 8, 0, 7, 0, 0,  0, 0, 0, 0, 0,
		8, 0, 8, 0, 8,	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0,
	};
	static const uint8_t pcap[] = {
		0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0,
		0,    0,    1,	  0,	0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3,
	};
	const struct pcapng_interface lo = { .link_type = 1, .snaplen = 262144, .name = "lo" };
	const struct pcapng_packet in = { .time_ns = 0x0102030405060708,
					  .captured_len = 2,
					  .original_len = 60,
					  .data = bytes,
					  .flags = PCAPNG_DIR_IN };
	const struct pcapng_packet record = {
		.time_ns = NS_PER_SEC + 5, .captured_len = 3, .original_len = 4, .data = bytes
	};
	const struct pcapng_statistics counts = {
		.interface = 3,
		.time_ns = 9,
		.start_ns = 1,
		.received = PCAPNG_UNKNOWN,
		.dropped = 7,
		.filter_accepted = PCAPNG_UNKNOWN,
		.os_dropped = PCAPNG_UNKNOWN,
		.delivered = 8,
	};
	struct buf out = {};

	(void)state;
	pcapng_section(&out, "xcap", NULL, "");
	CHECK_EQ(out.len, sizeof(section));
	assert_memory_equal(out.data, section, sizeof(section));
	buf_clear(&out);
	pcapng_interface(&out, &lo);
	CHECK_EQ(out.len, sizeof(interface));
	assert_memory_equal(out.data, interface, sizeof(interface));
	buf_clear(&out);
	pcapng_packet(&out, &in);
	CHECK_EQ(out.len, sizeof(packet));
	assert_memory_equal(out.data, packet, sizeof(packet));
	buf_clear(&out);
	pcapng_statistics(&out, &counts);
	CHECK_EQ(out.len, sizeof(statistics));
	assert_memory_equal(out.data, statistics, sizeof(statistics));
	buf_clear(&out);
	pcap_header(&out, 1, 262144);
	pcap_packet(&out, &record);
	CHECK_EQ(out.len, sizeof(pcap));
	assert_memory_equal(out.data, pcap, sizeof(pcap));
	buf_release(&out);
}

static void put_count(struct writer *w, uint16_t code, uint64_t value)
{
	put16(w, code);
	put16(w, 8);
	put64(w, value);
}

/* By both byte orders and with the interface's own resolution; what is odd is skipped. */
static void statistics(void **state)
{
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FILE);
	const struct pcapng_statistics *read;
	struct pcapng_packet packet;
	size_t at;

	(void)state;
	for (int big_endian = 0; big_endian < 2; big_endian++) {
		struct writer w = { .big_endian = big_endian };

		put_section(&w, 1);
		put_idb(&w, 0, 6, 0);
		begin(&w, 5); /* of an interface that is not there */
		put32(&w, 1);
		put_time(&w, 7);
		end(&w);
		begin(&w, 5); /* too short */
		put32(&w, 0);
		end(&w);
		begin(&w, 5); /* an option beyond its end */
		put32(&w, 0);
		put_time(&w, 7);
		put16(&w, 4);
		put16(&w, 80);
		end(&w);
		begin(&w, 5);
		put32(&w, 0);
		put_time(&w, 7);
		put16(&w, 2);
		put16(&w, 8);
		put_time(&w, 3);
		put_count(&w, 4, 11);
		put_count(&w, 5, 1ull << 40);
		put_count(&w, 7, 13);
		put_count(&w, 99, 14);
		put16(&w, 8); /* of another length */
		put16(&w, 4);
		put32(&w, 15);
		end(&w);
		pcapng_decoder_reset(decoder, PCAPNG_FROM_FILE);
		at = 0;
		CHECK_EQ(next_item(decoder, &w.out, &at, &packet), PCAPNG_ITEM_INTERFACE);
		CHECK_EQ(next_item(decoder, &w.out, &at, &packet), PCAPNG_ITEM_STATISTICS);
		CHECK_EQ(at, w.out.len);
		read = pcapng_decoder_statistics(decoder);
		CHECK_EQ(read->interface, 0);
		CHECK_EQ(read->time_ns, 7000);
		CHECK_EQ(read->start_ns, 3000);
		CHECK_EQ(read->end_ns, 0);
		CHECK_EQ(read->received, 11);
		CHECK_EQ(read->dropped, 1ull << 40);
		CHECK_EQ(read->filter_accepted, PCAPNG_UNKNOWN);
		CHECK_EQ(read->os_dropped, 13);
		CHECK_EQ(read->delivered, PCAPNG_UNKNOWN);
		buf_release(&w.out);
	}
	pcapng_decoder_destroy(decoder);
}

static void resolutions(void **state)
{
	static const struct {
		const char *name;
		int tsresol;
		int64_t tsoffset;
		uint64_t ticks, time_ns;
	} cases[] = {
		{ "default is microseconds", -1, 0, 1700000000123456, 1700000000123456000 },
		{ "seconds", 0, 0, 1700000000, 1700000000000000000 },
		{ "milliseconds", 3, 0, 1700000000123, 1700000000123000000 },
		{ "nanoseconds", 9, 0, 1700000000123456789, 1700000000123456789 },
		{ "picoseconds", 12, 0, 1234567890123, 1234567890 },
		{ "10^-28 s", 28, 0, UINT64_MAX, 1 },
		{ "10^-29 s", 29, 0, UINT64_MAX, 0 },
		{ "10^-127 s", 127, 0, UINT64_MAX, 0 },
		{ "2^0 s", 0x80, 0, 1700000000, 1700000000000000000 },
		{ "2^-10 s", 0x8a, 0, 1024 + 512, 1500000000 },
		{ "2^-32 s", 0xa0, 0, 1700000000ull << 32 | 1u << 31, 1700000000500000000 },
		{ "2^-127 s", 0xff, 0, UINT64_MAX, 0 },
		{ "offset", 6, 3600, 1000001, 3601000001000 },
		{ "negative offset", 9, -1, 1500000000, 500000000 },
		{ "before 1970", 9, -2, 1500000000, 0 },
		{ "after 2554", 6, 0, UINT64_MAX, UINT64_MAX },
		{ "offset out of this world", 0, INT64_MAX, UINT64_MAX, UINT64_MAX },
		{ "offset before it", 0, INT64_MIN, 0, 0 },
	};
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FILE);
	struct pcapng_packet packet;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		for (int big_endian = 0; big_endian < 2; big_endian++) {
			struct writer w = { .big_endian = big_endian };

			put_section(&w, 1);
			put_idb(&w, 0, c->tsresol, c->tsoffset);
			put_epb(&w, 0, c->ticks, 7);
			pcapng_decoder_reset(decoder, PCAPNG_FROM_FILE);
			CHECK_EQ(first_packet(decoder, &w.out, &packet), PCAPNG_ITEM_PACKET);
			CHECK_EQ(packet.time_ns, c->time_ns);
			CHECK_EQ(packet.captured_len, 7);
			CHECK_EQ(packet.original_len, 1000);
			CHECK_EQ(memcmp(packet.data, bytes, 7), 0);
			CHECK_EQ(pcapng_decoder_interface(decoder, 0)->link_type, LINKTYPE_RAW);
			buf_release(&w.out);
		}
	}
	pcapng_decoder_destroy(decoder);
}

static void put_simple(struct writer *w, uint32_t original_len, size_t len)
{
	begin(w, 3);
	put32(w, original_len);
	put_padded(w, bytes, len);
	end(w);
}

static void put_obsolete(struct writer *w, uint16_t interface, uint16_t drops)
{
	begin(w, 2);
	put16(w, interface);
	put16(w, drops);
	put_time(w, 5000000);
	put32(w, 2);
	put32(w, 3);
	put_padded(w, bytes, 2);
	put16(w, 2);
	put16(w, 4);
	put32(w, PCAPNG_DIR_OUT);
	end(w);
}

/* Two byte orders, kinds of packets and a block of another kind in one file, fed byte by byte. */
static void sections(void **state)
{
	static const struct {
		uint32_t interface, captured_len, original_len;
		uint64_t time_ns, drop_count;
		bool has_drop_count;
	} expected[] = {
		{ 1, 9, 1000, 1000, 0, false },	   { 0, 20, 60, 0, 0, false },
		{ 0, 11, 11, 0, 0, false },	   { 2, 2, 3, 5000000000, 3, true },
		{ 2, 2, 3, 5000000000, 0, false }, { 2, 60, 60, 0, 0, false },
	};
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FILE);
	struct writer w = { .big_endian = true };
	struct pcapng_packet packet;
	enum pcapng_item item;
	size_t from = 0, seen = 0;
	ssize_t n;

	(void)state;
	put_section(&w, 1);
	put_idb(&w, 20, 6, 0);
	put_idb(&w, 0, 6, 0);
	put_epb(&w, 1, 1, 9);
	put_simple(&w, 60, 20);
	begin(&w, 0x0badbeef);
	put32(&w, 1);
	end(&w);
	put_simple(&w, 11, 11);
	w.big_endian = false;
	put_section(&w, 1);
	put_idb(&w, 0, 6, 0);
	put_obsolete(&w, 0, 3);
	put_obsolete(&w, 0, UINT16_MAX);
	put_simple(&w, 60, 60);

	for (size_t to = 1; to <= w.out.len; to++) {
		n = pcapng_decode(decoder, w.out.data + from, to - from, &item, &packet);
		CHECK(n == 0 || n == (ssize_t)(to - from));
		from += (size_t)n;
		if (item != PCAPNG_ITEM_PACKET)
			continue;
		assert_true(seen < ARRAY_SIZE(expected));
		CHECK_EQ(packet.interface, expected[seen].interface);
		CHECK_EQ(packet.captured_len, expected[seen].captured_len);
		CHECK_EQ(packet.original_len, expected[seen].original_len);
		CHECK_EQ(packet.time_ns, expected[seen].time_ns);
		CHECK_EQ(packet.has_drop_count, expected[seen].has_drop_count);
		CHECK_EQ(packet.drop_count, expected[seen].drop_count);
		CHECK_EQ(memcmp(packet.data, bytes, packet.captured_len), 0);
		seen++;
	}
	CHECK_EQ(seen, ARRAY_SIZE(expected));
	CHECK_EQ(from, w.out.len);
	CHECK_EQ(pcapng_decoder_interface_count(decoder), 3);
	buf_release(&w.out);
	pcapng_decoder_destroy(decoder);
}

static void pcap_files(void **state)
{
	static const struct {
		const char *name;
		uint32_t magic;
		uint16_t major, minor;
		bool big_endian;
		int result;
		uint64_t time_ns;
		uint32_t captured_len;
	} cases[] = {
		{ "microseconds", 0xa1b2c3d4, 2, 4, false, PCAPNG_ITEM_PACKET, 7000009000, 3 },
		{ "microseconds, big-endian", 0xa1b2c3d4, 2, 4, true, PCAPNG_ITEM_PACKET,
		  7000009000, 3 },
		{ "nanoseconds", 0xa1b23c4d, 2, 4, false, PCAPNG_ITEM_PACKET, 7000000009, 3 },
		{ "nanoseconds, big-endian", 0xa1b23c4d, 2, 4, true, PCAPNG_ITEM_PACKET, 7000000009,
		  3 },
		{ "modified", 0xa1b2cd34, 2, 4, false, PCAPNG_ITEM_PACKET, 7000009000, 3 },
		{ "modified, big-endian", 0xa1b2cd34, 2, 4, true, PCAPNG_ITEM_PACKET, 7000009000,
		  3 },
		{ "lengths swapped if needed", 0xa1b2c3d4, 2, 3, false, PCAPNG_ITEM_PACKET,
		  7000009000, 3 },
		{ "lengths swapped", 0xa1b2c3d4, 2, 2, false, PCAPNG_ITEM_PACKET, 7000009000, 5 },
		{ "DG/UX", 0xa1b2c3d4, 543, 0, false, PCAPNG_ITEM_PACKET, 7000009000, 5 },
		{ "a later version", 0xa1b2c3d4, 2, 5, false, -EPROTONOSUPPORT, 0, 0 },
		{ "another version", 0xa1b2c3d4, 3, 0, false, -EPROTONOSUPPORT, 0, 0 },
		{ "another magic", 0xa1b2c3d5, 2, 4, false, -EBADMSG, 0, 0 },
	};
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FILE);
	struct pcapng_packet packet;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct writer w = { .big_endian = c->big_endian };

		put32(&w, c->magic);
		put16(&w, c->major);
		put16(&w, c->minor);
		put64(&w, 0);
		put32(&w, 65535);
		put32(&w, 0x30000000 | LINKTYPE_RAW); /* an FCS of 3 words, not our concern */
		put32(&w, 7);
		put32(&w, 9);
		put32(&w, 3);
		put32(&w, 5);
		if (c->magic == 0xa1b2cd34)
			put64(&w, 0);
		buf_append(&w.out, bytes, 5);
		pcapng_decoder_reset(decoder, PCAPNG_FROM_FILE);
		CHECK_EQ(first_packet(decoder, &w.out, &packet), c->result);
		if (c->result == PCAPNG_ITEM_PACKET) {
			CHECK_EQ(packet.time_ns, c->time_ns);
			CHECK_EQ(packet.captured_len, c->captured_len);
			CHECK_EQ(packet.original_len, 8 - c->captured_len);
			CHECK_EQ(packet.data[0], 1);
			CHECK_EQ(pcapng_decoder_interface_count(decoder), 1);
			CHECK_EQ(pcapng_decoder_interface(decoder, 0)->link_type, LINKTYPE_RAW);
			CHECK_EQ(pcapng_decoder_interface(decoder, 0)->snaplen, 65535);
		}
		buf_release(&w.out);
	}
	pcapng_decoder_destroy(decoder);
}

/* One word of a good file changed. */
static void refused(void **state)
{
	/* Offsets: section header 0, IDB 28, EPB 28 + 32. */
	static const struct {
		const char *name;
		size_t offset;
		uint32_t value;
		int result;
	} cases[] = {
		{ "nothing changed", 0, 0x0a0d0d0a, PCAPNG_ITEM_PACKET },
		{ "not a section header", 0, 6, -EBADMSG },
		{ "no byte-order magic", 8, 0x1a2b3c4e, -EBADMSG },
		{ "section header too short", 4, 24, -EBADMSG },
		{ "section header not of words", 4, 30, -EBADMSG },
		{ "section header too long", 4, PCAPNG_BLOCK_MAX + 4, -EMSGSIZE },
		{ "section header's lengths differ", 24, 32, -EBADMSG },
		{ "version 2", 12, 2, -EPROTONOSUPPORT },
		{ "version 1.2", 12, 0x20001, PCAPNG_ITEM_PACKET },
		{ "block too short", 32, 8, -EBADMSG },
		{ "block not of words", 32, 31, -EBADMSG },
		{ "block too long", 32, PCAPNG_BLOCK_MAX + 4, -EMSGSIZE },
		{ "block beyond the end", 32, PCAPNG_BLOCK_MAX, -EAGAIN },
		{ "block's lengths differ", 56, 36, -EBADMSG },
		{ "interface option beyond the block", 44, 0xffff0002, -EBADMSG },
		{ "interface not described", 68, 1, -EBADMSG },
		{ "captured more than the block", 80, 17, -EBADMSG },
		{ "captured far more", 80, UINT32_MAX, -EBADMSG },
		{ "packet option beyond the block", 92, 0x00090002, -EBADMSG },
		{ "obsolete packet of no interface", 60, 2, PCAPNG_ITEM_PACKET },
		{ "simple packet", 60, 3, PCAPNG_ITEM_PACKET },
	};
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FILE);
	const struct pcapng_packet in = {
		.captured_len = 4, .original_len = 4, .data = bytes, .flags = PCAPNG_DIR_IN
	};
	struct pcapng_packet out;
	struct writer w = {};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		uint32_t value = c->value;

		buf_clear(&w.out);
		put_section(&w, 1);
		put_idb(&w, 0, 9, 0);
		CHECK_EQ(w.out.len, 60);
		pcapng_packet(&w.out, &in);
		memcpy(w.out.data + c->offset, &value, sizeof(value));
		pcapng_decoder_reset(decoder, PCAPNG_FROM_FILE);
		CHECK_EQ(first_packet(decoder, &w.out, &out), c->result);
		if (c->result < 0 && c->result != -EAGAIN)
			CHECK(strcmp(pcapng_decoder_error(decoder), "no error") != 0);
	}
	buf_release(&w.out);
	pcapng_decoder_destroy(decoder);
}

static void a_frame_is_less_than_a_file(void **state)
{
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FRAME);
	struct pcapng_packet packet;
	struct writer w = {};
	size_t at = 0;

	(void)state;
	/* Packets without a time are not for a frame. */
	put_idb(&w, 0, 9, 0);
	put_simple(&w, 4, 4);
	put_epb(&w, 0, 77, 4);
	CHECK_EQ(first_packet(decoder, &w.out, &packet), PCAPNG_ITEM_PACKET);
	CHECK_EQ(packet.time_ns, 77);

	buf_clear(&w.out);
	put_section(&w, 1);
	pcapng_decoder_reset(decoder, PCAPNG_FROM_FRAME);
	CHECK_EQ(first_packet(decoder, &w.out, &packet), -EBADMSG);

	buf_clear(&w.out);
	for (int i = 0; i <= PCAPNG_FRAME_INTERFACES_MAX; i++)
		put_idb(&w, 0, 9, 0);
	pcapng_decoder_reset(decoder, PCAPNG_FROM_FRAME);
	for (int i = 0; i < PCAPNG_FRAME_INTERFACES_MAX; i++)
		CHECK_EQ(next_item(decoder, &w.out, &at, &packet), PCAPNG_ITEM_INTERFACE);
	CHECK_EQ(next_item(decoder, &w.out, &at, &packet), -EMSGSIZE);
	CHECK_EQ(pcapng_decoder_interface_count(decoder), PCAPNG_FRAME_INTERFACES_MAX);
	buf_release(&w.out);
	pcapng_decoder_destroy(decoder);
}

/* However many a file describes: memory has an end, and a packet is never taken for another's. */
static void old_interfaces_are_forgotten(void **state)
{
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FILE);
	struct pcapng_packet packet;
	struct writer w = {};
	size_t at = 0;

	(void)state;
	put_section(&w, 1);
	for (int i = 0; i <= PCAPNG_INTERFACES_MAX; i++)
		put_idb(&w, 0, 9, i);
	put_epb(&w, 1, 77, 4);
	put_epb(&w, PCAPNG_INTERFACES_MAX, 77, 4);
	put_epb(&w, 0, 77, 4);
	for (int i = 0; i <= PCAPNG_INTERFACES_MAX; i++)
		assert_int_equal(next_item(decoder, &w.out, &at, &packet), PCAPNG_ITEM_INTERFACE);
	CHECK_EQ(next_item(decoder, &w.out, &at, &packet), PCAPNG_ITEM_PACKET);
	CHECK_EQ(packet.time_ns, NS_PER_SEC + 77);
	CHECK_EQ(next_item(decoder, &w.out, &at, &packet), PCAPNG_ITEM_PACKET);
	CHECK_EQ(packet.time_ns, PCAPNG_INTERFACES_MAX * NS_PER_SEC + 77);
	CHECK_EQ(next_item(decoder, &w.out, &at, &packet), -EMSGSIZE);
	CHECK_STR(pcapng_decoder_error(decoder),
		  "a packet of an interface that too many were described after");
	buf_release(&w.out);
	pcapng_decoder_destroy(decoder);
}

/* Foreign writers leave a NUL in a text, or give an option a length of its own. */
static void odd_options(void **state)
{
	struct pcapng_decoder *decoder = decoder_new(PCAPNG_FROM_FRAME);
	const struct pcapng_interface *interface;
	struct pcapng_packet packet;
	struct writer w = {};
	size_t at = 0;

	(void)state;
	begin(&w, 1);
	put16(&w, LINKTYPE_ETHERNET);
	put16(&w, 0);
	put32(&w, 0);
	put16(&w, 2); /* if_name */
	put16(&w, 5);
	put_padded(&w, "eth0", 5);
	put16(&w, 8); /* if_speed */
	put16(&w, 4);
	put32(&w, 100);
	put16(&w, 11); /* if_filter: BPF code */
	put16(&w, 4);
	put_padded(&w, "\1abc", 4);
	put16(&w, 9); /* if_tsresol */
	put16(&w, 2);
	put_padded(&w, "\3\3", 2);
	end(&w);
	CHECK_EQ(next_item(decoder, &w.out, &at, &packet), PCAPNG_ITEM_INTERFACE);
	interface = pcapng_decoder_interface(decoder, 0);
	CHECK_STR(interface->name, "eth0");
	CHECK_STR(interface->filter, "");
	CHECK_EQ(interface->speed_bps, 0);
	CHECK_EQ(interface->tsresol, 6);
	buf_release(&w.out);
	pcapng_decoder_destroy(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(packet_round_trip),
		TEST(interface_round_trip),
		TEST(vectors),
		TEST(resolutions),
		TEST(sections),
		TEST(pcap_files),
		TEST(refused),
		TEST(a_frame_is_less_than_a_file),
		TEST(old_interfaces_are_forgotten),
		TEST(odd_options),
		TEST(statistics),
	};

	return cmocka_run_group_tests_name("pcapng", tests, NULL, NULL);
}
