/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tunnels for packets that are built header by header. */
#pragma once

#include "selftests/bpf/packet.h"

/* MAC addresses inside of a packet, and no type yet. */
static inline void packet_inner_ethernet(struct packet *packet)
{
	static const uint8_t macs[] = { 2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 4 };

	memcpy(packet->bytes + packet->len, macs, sizeof(macs));
	packet->len += sizeof(macs);
}

/* As packet_ipv4() or packet_ipv6(), without the EtherType in front. */
static inline void packet_inner_ip(struct packet *packet, int version, uint8_t protocol)
{
	static struct packet ip;

	ip.len = 0;
	if (version == 4)
		packet_ipv4(&ip, protocol, 0, 0);
	else
		packet_ipv6(&ip, protocol);
	memcpy(packet->bytes + packet->len, ip.bytes, ip.len);
	packet->len += ip.len;
}

static inline void packet_gre(struct packet *packet, unsigned int flags, unsigned int type)
{
	packet_put16(packet, flags);
	packet_put16(packet, type);
	packet->len += ((flags & 0x8000) != 0) * 4u + ((flags & 0x2000) != 0) * 4u +
		       ((flags & 0x1000) != 0) * 4u;
}

/* IPv4, UDP to a port, and a tunnel's header of so many bytes that begins with these two words. */
static inline void packet_udp_tunnel(struct packet *packet, unsigned int port, unsigned int first,
				     unsigned int second, size_t len)
{
	size_t end;

	packet_ipv4(packet, PACKET_UDP, 0, 0);
	packet_udp(packet, 50000, port);
	end = packet->len + len;
	packet_put16(packet, first);
	packet_put16(packet, second);
	packet->len = end;
}
