/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HOST:PORT texts and socket addresses. No state, any thread; resolving blocks. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "common/util.h"

#define ADDR_TEXT_LEN 80
#define ADDR_HOST_LEN 256
#define ADDR_LIST_MAX 16

struct addr {
	union {
		struct sockaddr any;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

struct addr_list {
	struct addr list[ADDR_LIST_MAX];
	unsigned int count;
	char host[ADDR_HOST_LEN]; /* as it was written, without port and brackets */
};

/*
 * "host:9227", "192.0.2.1:9227", "[2001:db8::1]:9227"; without a port, default_port (0: required);
 * ":9227" and "*:9227" are every address, if passive: one entry, [::] for both families (clear
 * IPV6_V6ONLY), or 0.0.0.0 where there is no IPv6. Port 0 is allowed if passive. -EINVAL: not of
 * that form; -ENOENT: the name is not known; -EAGAIN: the resolver does not answer.
 */
int addr_resolve(struct addr_list *ret, const char *text, uint16_t default_port,
		 bool passive) must_check;
/* "192.0.2.1:9227", "[2001:db8::1]:9227"; an IPv4 address mapped into IPv6 reads as IPv4. */
const char *addr_text(const struct addr *addr, char out[ADDR_TEXT_LEN]);
uint16_t addr_port(const struct addr *addr);
/* The address as IPv6, mapped if it is IPv4 (RFC 4291 2.5.5.2), in network byte order. */
void addr_mapped(const struct addr *addr, uint8_t out[16]);
