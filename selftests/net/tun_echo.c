/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tun_echo IF: the other end of a tun device; answers pings over IPv4 until killed. */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ADDRESSES = 12, ICMP = 20, PROTOCOL_ICMP = 1, ECHO_REQUEST = 8 };

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void answer(int fd, uint8_t *packet, size_t len)
{
	uint8_t source[4];
	uint16_t sum;

	memcpy(source, packet + ADDRESSES, 4);
	memcpy(packet + ADDRESSES, packet + ADDRESSES + 4, 4);
	memcpy(packet + ADDRESSES + 4, source, 4);
	packet[ICMP] = packet[ICMP + 2] = packet[ICMP + 3] = 0;
	sum = checksum(packet + ICMP, len - ICMP);
	packet[ICMP + 2] = (uint8_t)(sum >> 8);
	packet[ICMP + 3] = (uint8_t)sum;
	if (write(fd, packet, len) < 0)
		perror("tun_echo: write");
}

int main(int argc, char **argv)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	uint8_t packet[65536];
	ssize_t len;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (argc != 2)
		return 2;
	strncpy(request.ifr_name, argv[1], sizeof(request.ifr_name) - 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
		perror("tun_echo");
		return 1;
	}
	while ((len = read(fd, packet, sizeof(packet))) > 0) {
		if (len > ICMP + 8 && packet[0] == 0x45 && packet[9] == PROTOCOL_ICMP &&
		    packet[ICMP] == ECHO_REQUEST)
			answer(fd, packet, (size_t)len);
	}
	return 1;
}
