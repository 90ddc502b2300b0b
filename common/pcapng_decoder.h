/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decoder from inside: of pcapng (pcapng_decode.c) and PCAP (pcap_decode.c). */
#pragma once

#include <byteswap.h>
#include <endian.h>
#include <string.h>

#include "common/pcapng.h"

enum format { FORMAT_UNKNOWN, FORMAT_PCAPNG, FORMAT_PCAP };

/* Which of the two lengths of a PCAP record comes first changed with version 2.3. */
enum lengths { LENGTHS_CAPTURED_FIRST, LENGTHS_SMALLER_IS_CAPTURED, LENGTHS_ORIGINAL_FIRST };

struct interface {
	struct pcapng_interface info;
	bool is_ns; /* ticks are nanoseconds since 1970 */
	/* ns = (ticks * multiplier >> shift) / divisor + offset_s */
	uint64_t multiplier, divisor;
	unsigned int shift;
};

struct pcapng_decoder {
	enum pcapng_source source;
	enum format format;
	bool big_endian;
	/* By id modulo PCAPNG_INTERFACES_MAX; allocated ones stay for the next use after a reset.
	 */
	struct interface **interfaces;
	uint32_t count, allocated;
	uint32_t section; /* id of the section's interface 0 */
	/* PCAP */
	size_t record_len;
	uint64_t fraction_ns;
	enum lengths lengths;
	struct pcapng_statistics statistics;
	const char *error;
};

static inline ssize_t refuse(struct pcapng_decoder *decoder, int err, const char *why)
{
	decoder->error = why;
	return err;
}

static inline uint16_t get_u16(const uint8_t *at, bool big_endian)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	v = le16toh(v);
	return big_endian ? bswap_16(v) : v;
}

static inline uint32_t get_u32(const uint8_t *at, bool big_endian)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	v = le32toh(v);
	return big_endian ? bswap_32(v) : v;
}

static inline uint64_t get_u64(const uint8_t *at, bool big_endian)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	v = le64toh(v);
	return big_endian ? bswap_64(v) : v;
}

/* After info.tsresol and info.tsoffset_s. */
void pcapng_set_resolution(struct interface *interface);
/* Room for one more, zeroed, which becomes one of the decoder's with count++. */
int pcapng_reserve_interface(struct pcapng_decoder *decoder, struct interface **ret) must_check;

/* As pcapng_decode(), of a file that begins so, in the byte order that was found out. */
ssize_t pcap_decode_header(struct pcapng_decoder *decoder, const uint8_t *data, size_t len,
			   enum pcapng_item *item);
ssize_t pcap_decode_record(struct pcapng_decoder *decoder, const uint8_t *data, size_t len,
			   enum pcapng_item *item, struct pcapng_packet *packet);
