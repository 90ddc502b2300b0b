/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sink PORT: holds a UDP port open, IPv6 and IPv4, and never reads from it. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0, smallest = 1;

	if (argc != 2 || fd < 0)
		return 2;
	address.sin6_port = htons((uint16_t)atoi(argv[1]));
	/* A small buffer is full at once: then it costs the same all the time. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror("sink: cannot bind");
		return 1;
	}
	for (;;)
		pause();
}
