/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watched flows in words. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/watch.h"

static const struct protocol {
	const char *name;
	uint8_t number;
	bool has_ports; /* as watch_has_ports() of bpf/watch.bpf.h */
} protocols[] = {
	{ "tcp", 6, true },	{ "udp", 17, true },	  { "dccp", 33, true },
	{ "sctp", 132, true },	{ "udplite", 136, true }, { "icmp", 1, false },
	{ "icmp6", 58, false }, { "gre", 47, false },	  { "esp", 50, false },
};

static const struct protocol *protocol_by_number(unsigned int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (protocols[i].number == number)
			return &protocols[i];
	}
	return NULL;
}

static int parse_number(unsigned int *ret, const char *word, unsigned int max)
{
	if (!*word || strlen(word) > 5 || word[strspn(word, "0123456789")])
		return -EINVAL;
	*ret = (unsigned int)strtoul(word, NULL, 10);
	return *ret > max ? -EINVAL : 0;
}

static int parse_protocol(struct protocol *ret, const char *word)
{
	const struct protocol *known = NULL;
	unsigned int number;

	for (size_t i = 0; i < ARRAY_SIZE(protocols) && !known; i++) {
		if (strcmp(protocols[i].name, word) == 0)
			known = &protocols[i];
	}
	if (!known) {
		if (parse_number(&number, word, UINT8_MAX))
			return -EINVAL;
		*ret = (struct protocol){ .number = (uint8_t)number };
		known = protocol_by_number(number);
	}
	if (known)
		*ret = *known;
	return 0;
}

/* An end of the flow as a key begins with it. */
struct end {
	uint8_t address[16];
	uint16_t port; /* network byte order */
};

static int parse_address(struct end *ret, bool *is_ipv4, const char *word)
{
	uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff };

	*is_ipv4 = inet_pton(AF_INET, word, mapped + 12) == 1;
	if (!*is_ipv4 && inet_pton(AF_INET6, word, mapped) != 1)
		return -EINVAL;
	memcpy(ret->address, mapped, sizeof(mapped));
	return 0;
}

static int compare(const struct end *a, const struct end *b)
{
	int order = memcmp(a->address, b->address, sizeof(a->address));

	return order ?: memcmp(&a->port, &b->port, sizeof(a->port));
}

static int parse_ends(struct end ends[2], const char *const *words, bool has_ports, char *error)
{
	unsigned int step = has_ports ? 2 : 1, port;
	bool is_ipv4[2];

	for (unsigned int i = 0; i < 2; i++) {
		const char *const *word = words + (size_t)i * step;

		if (parse_address(&ends[i], &is_ipv4[i], word[0]))
			return explain_only(error, -EINVAL, "\"%.50s\" is not an address", word[0]);
		if (!has_ports)
			continue;
		if (parse_number(&port, word[1], UINT16_MAX))
			return explain_only(error, -EINVAL, "\"%.20s\" is not a port: 0 to 65535",
					    word[1]);
		ends[i].port = htons((uint16_t)port);
	}
	if (is_ipv4[0] != is_ipv4[1])
		return explain_only(error, -EINVAL, "%.50s and %.50s are of different families",
				    words[0], words[step]);
	return 0;
}

int watch_parse(struct xcap_watch_key *ret, const char *const *words, size_t count,
		char error[EXPLAIN_LEN])
{
	struct protocol protocol;
	struct end ends[2] = {};
	size_t first;
	int err;

	if (!count || parse_protocol(&protocol, words[0]))
		return explain_only(error, -EINVAL,
				    "a flow begins with its protocol: tcp, udp, sctp, icmp, icmp6, "
				    "esp ..., or a number, not \"%.20s\"",
				    count ? words[0] : "");
	if (count != (protocol.has_ports ? 5 : 3))
		return explain_only(error, -EINVAL, "a flow of %.20s is %s", words[0],
				    protocol.has_ports ? "PROTOCOL ADDRESS PORT ADDRESS PORT"
						       : "PROTOCOL ADDRESS ADDRESS");
	err = parse_ends(ends, words + 1, protocol.has_ports, error);
	if (err)
		return err;
	first = compare(&ends[0], &ends[1]) > 0;
	*ret = (struct xcap_watch_key){ .protocol = protocol.number };
	for (size_t i = 0; i < 2; i++) {
		const struct end *end = &ends[i ^ first];

		memcpy(ret->addresses[i], end->address, sizeof(end->address));
		ret->ports[i] = end->port;
	}
	return 0;
}

const char *watch_text(const struct xcap_watch_key *key, char out[WATCH_TEXT_LEN])
{
	const struct protocol *protocol = protocol_by_number(key->protocol);
	char addresses[2][INET6_ADDRSTRLEN], number[8], ports[2][8] = {};

	snprintf(number, sizeof(number), "%u", key->protocol);
	for (size_t i = 0; i < 2; i++) {
		const struct in6_addr *address = (const struct in6_addr *)key->addresses[i];

		if (IN6_IS_ADDR_V4MAPPED(address))
			inet_ntop(AF_INET, key->addresses[i] + 12, addresses[i],
				  sizeof(addresses[i]));
		else
			inet_ntop(AF_INET6, address, addresses[i], sizeof(addresses[i]));
		if (protocol && protocol->has_ports)
			snprintf(ports[i], sizeof(ports[i]), " %u", ntohs(key->ports[i]));
	}
	snprintf(out, WATCH_TEXT_LEN, "%s %s%s %s%s", protocol ? protocol->name : number,
		 addresses[0], ports[0], addresses[1], ports[1]);
	return out;
}
