/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int parse_port(uint16_t *ret, const char *text, bool zero_allowed)
{
	unsigned int port = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = 10 * port + (unsigned int)(*text - '0');
		if (port > UINT16_MAX)
			return -EINVAL;
	}
	if (!port && !zero_allowed)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

/* "HOST:PORT" into its parts; *is_ipv6 tells that the host stood in brackets. */
static int split(char host[ADDR_HOST_LEN], uint16_t *port, bool *is_ipv6, const char *text,
		 uint16_t default_port, bool passive)
{
	const char *end, *colon;

	*is_ipv6 = text[0] == '[';
	if (*is_ipv6) {
		text++;
		end = strchr(text, ']');
		if (!end || end == text || (end[1] && end[1] != ':'))
			return -EINVAL;
		colon = end[1] ? end + 1 : NULL;
	} else {
		colon = strchr(text, ':');
		/* An IPv6 address without brackets: where would its port begin? */
		if (colon && strchr(colon + 1, ':'))
			return -EINVAL;
		end = colon ? colon : text + strlen(text);
		if (strpbrk(text, "[]"))
			return -EINVAL;
	}
	if (end - text >= ADDR_HOST_LEN)
		return -EINVAL;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';
	if (!colon) {
		if (!default_port || !*host)
			return -EINVAL;
		*port = default_port;
		return 0;
	}
	return parse_port(port, colon + 1, passive);
}

/*
 * Every address: one socket for both families, where there is IPv6 (the listener clears
 * IPV6_V6ONLY), so that nobody has to bind one port twice.
 */
static void any_address(struct addr *ret, uint16_t port)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = (struct addr){};
	if (fd < 0) {
		ret->in4.sin_family = AF_INET;
		ret->in4.sin_port = htons(port);
		ret->len = sizeof(ret->in4);
		return;
	}
	close(fd);
	ret->in6.sin6_family = AF_INET6;
	ret->in6.sin6_port = htons(port);
	ret->len = sizeof(ret->in6);
}

static int resolver_error(int code)
{
	switch (code) {
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	case EAI_AGAIN:
	case EAI_FAIL:
		return -EAGAIN;
	default:
		return -ENOENT;
	}
}

/*
 * getaddrinfo() takes "10.1" for 10.0.0.1 and "010" for 8, which nobody means; and brackets are for
 * IPv6 addresses, which may have a zone ("fe80::1%eth0").
 */
static bool host_plausible(const char *host, bool is_ipv6)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	struct in_addr in4;
	size_t len;

	if (!is_ipv6)
		return host[strspn(host, "0123456789.")] || inet_pton(AF_INET, host, &in4) == 1;
	len = strcspn(host, "%");
	if (len >= sizeof(address))
		return false;
	memcpy(address, host, len);
	address[len] = '\0';
	return inet_pton(AF_INET6, address, &in6) == 1;
}

int addr_resolve(struct addr_list *ret, const char *text, uint16_t default_port, bool passive)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0) };
	struct addrinfo *found, *at;
	struct addr_list list = {};
	char service[8];
	uint16_t port;
	bool is_ipv6;
	int err;

	err = split(list.host, &port, &is_ipv6, text, default_port, passive);
	if (err)
		return err;
	if (!*list.host || strcmp(list.host, "*") == 0) {
		if (!passive)
			return -EINVAL;
		any_address(&list.list[list.count++], port);
		*ret = list;
		return 0;
	}
	if (!host_plausible(list.host, is_ipv6))
		return -EINVAL;
	if (is_ipv6)
		hints.ai_flags |= AI_NUMERICHOST;
	snprintf(service, sizeof(service), "%u", port);
	err = getaddrinfo(list.host, service, &hints, &found);
	if (err)
		return resolver_error(err);
	for (at = found; at && list.count < ADDR_LIST_MAX; at = at->ai_next) {
		if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
			continue;
		list.list[list.count].len = at->ai_addrlen;
		memcpy(&list.list[list.count].in6, at->ai_addr, at->ai_addrlen);
		list.count++;
	}
	freeaddrinfo(found);
	if (!list.count)
		return -ENOENT;
	*ret = list;
	return 0;
}

const char *addr_text(const struct addr *addr, char out[ADDR_TEXT_LEN])
{
	const struct in6_addr *in6 = &addr->in6.sin6_addr;
	char text[INET6_ADDRSTRLEN], zone[IF_NAMESIZE] = "";

	if (addr->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &addr->in4.sin_addr, text, sizeof(text));
		snprintf(out, ADDR_TEXT_LEN, "%s:%u", text, addr_port(addr));
	} else if (addr->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6)) {
		inet_ntop(AF_INET, &in6->s6_addr[12], text, sizeof(text));
		snprintf(out, ADDR_TEXT_LEN, "%s:%u", text, addr_port(addr));
	} else if (addr->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, in6, text, sizeof(text));
		if (addr->in6.sin6_scope_id && !if_indextoname(addr->in6.sin6_scope_id, zone))
			snprintf(zone, sizeof(zone), "%u", addr->in6.sin6_scope_id);
		snprintf(out, ADDR_TEXT_LEN, "[%s%s%s]:%u", text, *zone ? "%" : "", zone,
			 addr_port(addr));
	} else {
		snprintf(out, ADDR_TEXT_LEN, "no address");
	}
	return out;
}

uint16_t addr_port(const struct addr *addr)
{
	switch (addr->any.sa_family) {
	case AF_INET:
		return ntohs(addr->in4.sin_port);
	case AF_INET6:
		return ntohs(addr->in6.sin6_port);
	default:
		return 0;
	}
}

void addr_mapped(const struct addr *addr, uint8_t out[16])
{
	if (addr->any.sa_family == AF_INET6) {
		memcpy(out, &addr->in6.sin6_addr, 16);
		return;
	}
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, &addr->in4.sin_addr, 4);
}
