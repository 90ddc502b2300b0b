/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcapng blocks (draft-ietf-opsawg-pcapng) and classic PCAP files, encoding and decoding.
 * Sans-I/O, any thread. What is written is in native (little-endian) order with nanoseconds;
 * what is read may be of either byte order and any if_tsresol.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/util.h"

#define LINKTYPE_NULL 0
#define LINKTYPE_ETHERNET 1
#define LINKTYPE_RAW 101

#define PCAPNG_SNAPLEN 262144u
#define PCAPNG_BLOCK_MAX (16 * MIB) /* a longer block is damage */
#define PCAPNG_NAME_MAX 256
#define PCAPNG_INTERFACES_MAX 65536	 /* known at a time, of a file that may describe more */
#define PCAPNG_FRAME_INTERFACES_MAX 1024 /* in one frame */
#define PCAPNG_UNKNOWN UINT64_MAX	 /* a count of the statistics that is not known: left out */

enum pcapng_direction { PCAPNG_DIR_UNKNOWN, PCAPNG_DIR_IN, PCAPNG_DIR_OUT }; /* epb_flags 0-1 */

struct pcapng_interface {
	uint16_t link_type;
	uint32_t snaplen;		   /* 0: no limit */
	char name[PCAPNG_NAME_MAX];	   /* if_name; "" if there is none */
	char description[PCAPNG_NAME_MAX]; /* if_description */
	char filter[256];		   /* if_filter of kind 0 (libpcap string) */
	char os[64];			   /* if_os */
	uint8_t tsresol;		   /* as if_tsresol; what we write is 9 */
	int64_t tsoffset_s;		   /* if_tsoffset */
	uint64_t speed_bps;		   /* if_speed; 0 if unknown */
};

struct pcapng_packet {
	uint32_t interface; /* id in the section (or frame) */
	uint64_t time_ns;   /* UTC */
	uint32_t captured_len, original_len;
	const uint8_t *data;
	uint32_t flags;	     /* epb_flags whole; bits 0-1 are enum pcapng_direction */
	bool has_drop_count; /* epb_dropcount: lost between this packet and the one before */
	uint64_t drop_count;
	bool has_queue; /* epb_queue */
	uint32_t queue;
	bool has_packet_id; /* epb_packetid */
	uint64_t packet_id;
	const char *comment; /* opt_comment, not terminated; NULL if there is none */
	uint16_t comment_len;
};

struct pcapng_statistics { /* Interface Statistics Block */
	uint32_t interface;
	uint64_t time_ns;
	uint64_t start_ns, end_ns; /* isb_starttime, isb_endtime; 0 if there is none */
	/* isb_ifrecv, isb_ifdrop, isb_filteraccept, isb_osdrop, isb_usrdeliv; or PCAPNG_UNKNOWN */
	uint64_t received, dropped, filter_accepted, os_dropped, delivered;
};
#define PCAPNG_STATISTICS_MAX 112

/* Bytes that pcapng_put_packet() writes for this packet. */
size_t pcapng_packet_len(const struct pcapng_packet *packet);
/*
 * An EPB into out, at most room bytes: its length, or 0 if it does not fit. With
 * packet->data NULL the place for captured_len bytes is left for the caller to fill (*data_at),
 * padding already zeroed.
 */
size_t pcapng_put_packet(uint8_t *out, size_t room, const struct pcapng_packet *packet,
			 uint8_t **data_at);
size_t pcapng_put_interface(uint8_t *out, size_t room, const struct pcapng_interface *interface);
/* At most PCAPNG_STATISTICS_MAX bytes. */
size_t pcapng_put_statistics(uint8_t *out, size_t room, const struct pcapng_statistics *statistics);
void pcapng_section(struct buf *out, const char *application, const char *os, const char *hardware);
void pcapng_interface(struct buf *out, const struct pcapng_interface *interface);
void pcapng_packet(struct buf *out, const struct pcapng_packet *packet);
void pcapng_statistics(struct buf *out, const struct pcapng_statistics *statistics);

/* Classic PCAP with nanoseconds (magic 0xa1b23c4d). */
void pcap_header(struct buf *out, uint16_t link_type, uint32_t snaplen);
void pcap_packet(struct buf *out, const struct pcapng_packet *packet);

/*
 * Decoder of a stream of bytes, or of a frame's payload. Blocks of other kinds are skipped. It
 * takes PCAP too: one interface without a name. A time that 64 bits of nanoseconds do not hold is
 * the nearest that they do; a Simple Packet Block has no time: 0.
 */
enum pcapng_item {
	PCAPNG_ITEM_NONE,
	PCAPNG_ITEM_INTERFACE,
	PCAPNG_ITEM_PACKET,
	PCAPNG_ITEM_STATISTICS, /* see pcapng_decoder_statistics() */
};

struct pcapng_decoder;

enum pcapng_source {
	PCAPNG_FROM_FILE, /* begins with a section header or PCAP's file header */
	/* begins with IDBs: native order, no section header, packets as EPBs */
	PCAPNG_FROM_FRAME,
};

int pcapng_decoder_create(struct pcapng_decoder **ret, enum pcapng_source source) must_check;
void pcapng_decoder_destroy(struct pcapng_decoder *decoder);
/* Start over with other input, memory kept. */
void pcapng_decoder_reset(struct pcapng_decoder *decoder, enum pcapng_source source);
/*
 * Looks at data[0 .. len): bytes used (> 0), or 0 if it takes more to go on, or -EBADMSG
 * (malformed), -EPROTONOSUPPORT (version), -EMSGSIZE (PCAPNG_BLOCK_MAX, a packet of an
 * interface that is forgotten, PCAPNG_FRAME_INTERFACES_MAX), -ENOMEM; nothing but a reset helps
 * after an error. *item tells what they were; a packet's data points into data. A new section
 * begins with interface 0 again; ids given to the caller go on counting.
 */
ssize_t pcapng_decode(struct pcapng_decoder *decoder, const uint8_t *data, size_t len,
		      enum pcapng_item *item, struct pcapng_packet *packet) must_check;
/*
 * The EPB of a frame at block, which pcapng_decode() has found good before, again and with less
 * work: all but time_ns, which is left alone.
 */
void pcapng_decode_again(const uint8_t *block, struct pcapng_packet *packet);
/* Bytes of such a block. */
uint32_t pcapng_block_len(const uint8_t *block);
/* Is a block of a frame that is known to be good a packet's? Then also its time in ns. */
bool pcapng_skim(const uint8_t *block, uint64_t *time_ns);
/*
 * An interface by its id (a packet's; the newest is count - 1), or NULL; it is forgotten at the
 * reset, and when PCAPNG_INTERFACES_MAX have come after it.
 */
const struct pcapng_interface *pcapng_decoder_interface(const struct pcapng_decoder *decoder,
							uint32_t id);
uint32_t pcapng_decoder_interface_count(const struct pcapng_decoder *decoder);
/* The Interface Statistics Block that pcapng_decode() was last given; one that makes no sense is
 * skipped by it. */
const struct pcapng_statistics *pcapng_decoder_statistics(const struct pcapng_decoder *decoder);
/* What was wrong, in words, after an error. */
const char *pcapng_decoder_error(const struct pcapng_decoder *decoder);
