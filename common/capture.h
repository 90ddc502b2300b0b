/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes merged packets as one pcapng or PCAP: a section header, one Interface Description Block
 * per (agent, interface) when its first packet comes, packets, statistics at the end. Sans-I/O: the
 * bytes are appended to a buffer that the owner writes out. libpcap's readers stop where link type
 * or snaplen change: every IDB here has link type of the first packet and snaplen 262144, and
 * a packet of another link type is refused with -EXDEV for the owner to put into another file.
 */
#pragma once

#include "common/buf.h"
#include "common/pcapng.h"

enum capture_format { CAPTURE_PCAPNG, CAPTURE_PCAP };

struct capture;

/* "pcapng" or "pcap"; -EINVAL for any other. */
int capture_format_parse(enum capture_format *ret, const char *text);
int capture_create(struct capture **ret, enum capture_format format,
		   const char *application) must_check;
void capture_destroy(struct capture *capture);
/*
 * agent: prefix of if_name ("AGENT/IF"); NULL: the name as it is. The header goes out with the
 * first packet, or by capture_begin() for an empty file. Changed interface details (filter) make a
 * new IDB. When PCAPNG_INTERFACES_MAX are described their statistics go out and all are forgotten:
 * those that are still there are described again, in the same section and counted on. -EXDEV:
 * another link type; -EMSGSIZE: no more numbers for interfaces; -ENOMEM. After an
 * error what was appended is whole, and the next packet may be given.
 */
int capture_begin(struct capture *capture, uint16_t link_type, struct buf *out) must_check;
int capture_packet(struct capture *capture, const char *agent,
		   const struct pcapng_interface *interface, const struct pcapng_packet *packet,
		   struct buf *out) must_check;
/*
 * May this packet's EPB, which a frame builder wrote, go into the file as it is? If so it is
 * counted, and its owner writes it. If not: capture_packet().
 */
bool capture_as_is(struct capture *capture, const char *agent,
		   const struct pcapng_interface *interface, const struct pcapng_packet *packet);
/*
 * Numbers that an agent tells of its interface since start_ns; they only rise, and come again or
 * late. Numbers of another start_ns are another capture's, and added. For capture_end(); of an
 * interface that no packet has come of too, if the link type is that of the others. Errors as
 * capture_packet().
 */
int capture_statistics(struct capture *capture, const char *agent,
		       const struct pcapng_interface *interface,
		       const struct pcapng_statistics *statistics, struct buf *out) must_check;
/*
 * An Interface Statistics Block per interface (pcapng). A file without packets gets an interface
 * without a name, for libpcap opens none that describes no interface.
 */
void capture_end(struct capture *capture, struct buf *out);
/* The link type is settled: by a packet, capture_begin() or capture_resume(). */
bool capture_begun(const struct capture *capture);
uint16_t capture_link_type(const struct capture *capture);
/*
 * Continue a file that was cut at a block's end (pcapng: within the section, as Wireshark 4.0 takes
 * a packet of a second section for one of the first one's interface). interface_count is what
 * capture_interface_count() told at the cut, and counted on from there.
 */
void capture_resume(struct capture *capture, uint16_t link_type, uint32_t interface_count);
uint32_t capture_interface_count(const struct capture *capture);
