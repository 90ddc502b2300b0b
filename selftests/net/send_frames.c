/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * send_frames IF FILE [SIZE]: sends the packets of a capture by a packet socket; with SIZE those of
 * TCP and UDP that are larger, of any length, as super-packets of segments with so many bytes of
 * payload, as a guest gives them to its host. Prints how many frames, packets on the wire and bytes
 * on the wire that is.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TCP_CHECKSUM = 16, UDP_CHECKSUM = 6, SEND_BUFFER = 4 << 20 };
enum { GSO_UDP_L4 = 5 }; /* Linux 6.2: VIRTIO_NET_HDR_GSO_UDP_L4 */

struct sums {
	unsigned long frames, packets, bytes;
};

static int open_socket(const char *name)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, size = SEND_BUFFER;

	if (fd < 0 || !address.sll_ifindex ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		perror(name);
		exit(1);
	}
	return fd;
}

/* Where the transport header is, outside of a tunnel; 0: nowhere. */
static uint32_t find_transport(const uint8_t *frame, uint32_t len, uint8_t *protocol, bool *is_ipv6)
{
	const uint8_t *ip = frame + 14;

	if (len < 14 + 40 + 8 + 20)
		return 0;
	*is_ipv6 = frame[12] == 0x86 && frame[13] == 0xdd;
	if (*is_ipv6) {
		/* A jumbogram has its length in a hop-by-hop header. */
		*protocol = ip[6] == IPPROTO_HOPOPTS ? ip[40] : ip[6];
		return 14 + (ip[6] == IPPROTO_HOPOPTS ? 48 : 40);
	}
	if (frame[12] != 8 || frame[13] != 0)
		return 0;
	*protocol = ip[9];
	return 14 + (ip[0] & 15u) * 4;
}

/* Segments of size bytes, if there is more than one; how many. */
static uint32_t segment(struct virtio_net_hdr *header, const uint8_t *frame, uint32_t len,
			uint16_t size)
{
	uint32_t transport, headers;
	bool is_ipv6 = false;
	uint8_t protocol = 0;

	transport = find_transport(frame, len, &protocol, &is_ipv6);
	if (!transport || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return 1;
	headers = transport + 8;
	header->gso_type = GSO_UDP_L4;
	header->csum_offset = UDP_CHECKSUM;
	if (protocol == IPPROTO_TCP) {
		headers = transport + (uint32_t)(frame[transport + 12] >> 4) * 4;
		header->gso_type = is_ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		header->csum_offset = TCP_CHECKSUM;
	}
	if (len <= headers + size) {
		*header = (struct virtio_net_hdr){};
		return 1;
	}
	header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->hdr_len = (uint16_t)headers;
	header->gso_size = size;
	header->csum_start = (uint16_t)transport;
	return (len - headers + size - 1) / size;
}

static void send_frame(struct sums *sums, int fd, const uint8_t *frame, uint32_t len, uint16_t size)
{
	struct virtio_net_hdr header = {};
	struct iovec parts[] = { { &header, sizeof(header) }, { (void *)(uintptr_t)frame, len } };
	uint32_t segments = size ? segment(&header, frame, len, size) : 1;

	if (writev(fd, parts, 2) != (ssize_t)(sizeof(header) + len)) {
		fprintf(stderr, "send_frames: %u bytes: %s\n", len, strerror(errno));
		exit(1);
	}
	sums->frames++;
	sums->packets += segments;
	sums->bytes += len + (segments - 1) * header.hdr_len;
}

int main(int argc, char **argv)
{
	char message[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	struct sums sums = {};
	const uint8_t *frame;
	pcap_t *pcap;
	int fd;

	if (argc < 3 || argc > 4)
		return 2;
	fd = open_socket(argv[1]);
	pcap = pcap_open_offline(argv[2], message);
	if (!pcap) {
		fprintf(stderr, "send_frames: %s\n", message);
		return 1;
	}
	while (pcap_next_ex(pcap, &header, &frame) == 1)
		send_frame(&sums, fd, frame, header->caplen,
			   argc > 3 ? (uint16_t)strtoul(argv[3], NULL, 10) : 0);
	pcap_close(pcap);
	printf("%lu %lu %lu\n", sums.frames, sums.packets, sums.bytes);
	return 0;
}
