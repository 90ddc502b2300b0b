/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds packets header by header, for the tests of the BPF programs. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "common/util.h"

#define PACKET_MAX 65536

struct packet {
	uint8_t bytes[PACKET_MAX];
	size_t len;
};

enum packet_protocol {
	PACKET_HOP_BY_HOP = 0,
	PACKET_TCP = 6,
	PACKET_UDP = 17,
	PACKET_FRAGMENT = 44,
	PACKET_AH = 51,
	PACKET_ICMPV6 = 58,
	PACKET_DESTINATION = 60,
};

static inline void packet_put16(struct packet *packet, unsigned int value)
{
	packet->bytes[packet->len++] = (uint8_t)(value >> 8);
	packet->bytes[packet->len++] = (uint8_t)value;
}

/* MAC addresses, and no type yet. */
static inline void packet_ethernet(struct packet *packet)
{
	static const uint8_t macs[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };

	memset(packet, 0, sizeof(*packet));
	memcpy(packet->bytes, macs, sizeof(macs));
	packet->len = sizeof(macs);
}

static inline void packet_tag(struct packet *packet, unsigned int protocol, unsigned int control)
{
	packet_put16(packet, protocol);
	packet_put16(packet, control);
}

/* EtherType if there is an Ethernet header; source 10.0.0.1, destination 10.0.0.2. */
static inline void packet_ipv4(struct packet *packet, uint8_t protocol, size_t options_len,
			       unsigned int fragment)
{
	const uint8_t header[20] = { (uint8_t)(0x45 + options_len / 4),
				     [6] = (uint8_t)(fragment >> 8),
				     (uint8_t)fragment,
				     64,
				     protocol,
				     [12] = 10,
				     0,
				     0,
				     1,
				     10,
				     0,
				     0,
				     2 };

	if (packet->len)
		packet_put16(packet, 0x0800);
	memcpy(packet->bytes + packet->len, header, sizeof(header));
	packet->len += sizeof(header) + options_len;
}

/* fd00::1 to fd00::2 */
static inline void packet_ipv6(struct packet *packet, uint8_t next)
{
	const uint8_t header[40] = {
		0x60, [6] = next, 64, [8] = 0xfd, [23] = 1, [24] = 0xfd, [39] = 2
	};

	if (packet->len)
		packet_put16(packet, 0x86dd);
	memcpy(packet->bytes + packet->len, header, sizeof(header));
	packet->len += sizeof(header);
}

/* units: what the header's length field says; of 8 bytes beyond the first 8, for AH of 4. */
static inline void packet_extension(struct packet *packet, uint8_t kind, uint8_t next,
				    uint8_t units)
{
	packet->bytes[packet->len] = next;
	packet->bytes[packet->len + 1] = units;
	packet->len += kind == PACKET_AH ? (units + 2u) * 4 : (units + 1u) * 8;
}

static inline void packet_fragment(struct packet *packet, uint8_t next, unsigned int offset)
{
	packet->bytes[packet->len] = next;
	packet->bytes[packet->len + 2] = (uint8_t)(offset >> 5);
	packet->bytes[packet->len + 3] = (uint8_t)(offset << 3);
	packet->len += 8;
}

static inline void packet_tcp(struct packet *packet, unsigned int source, unsigned int destination,
			      size_t options_len)
{
	packet_put16(packet, source);
	packet_put16(packet, destination);
	packet->bytes[packet->len + 8] = (uint8_t)((20 + options_len) / 4 << 4);
	packet->len += 16 + options_len;
}

static inline void packet_udp(struct packet *packet, unsigned int source, unsigned int destination)
{
	packet_put16(packet, source);
	packet_put16(packet, destination);
	packet->len += 4;
}

/* Bytes that tell where they stand, up to a total length. */
static inline void packet_fill(struct packet *packet, size_t len)
{
	for (size_t i = packet->len; i < len; i++)
		packet->bytes[i] = (uint8_t)(i ^ i >> 8);
	packet->len = MAX(packet->len, len);
}
