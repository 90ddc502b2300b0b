/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink questions and their answers: routes, devices, generic netlink. Blocking; no state. */
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "common/util.h"

#define NETLINK_REQUEST_MAX 512

/* A request being built: a header, a fixed part, attributes. */
struct netlink_request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[NETLINK_REQUEST_MAX];
	};
};

/* A fixed part of len bytes, zeroed, follows the header; where it is. */
void *netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, size_t len);
void netlink_put(struct netlink_request *request, uint16_t type, const void *data, size_t len);
/*
 * Sends the request and calls on_message (may be NULL) for each answer; a negative errno of it ends
 * the question and is returned. protocol: NETLINK_ROUTE, NETLINK_GENERIC. A negative errno of the
 * kernel is passed on.
 */
int netlink_ask(int protocol, struct netlink_request *request,
		int (*on_message)(const struct nlmsghdr *message, void *context),
		void *context) must_check;

/* Attributes of a message behind a fixed part of len bytes. */
#define NETLINK_FOR_EACH(attribute, message, len)                                     \
	for (const struct nlattr *attribute = netlink_first(message, len); attribute; \
	     attribute = netlink_next(message, attribute))
const struct nlattr *netlink_first(const struct nlmsghdr *message, size_t len);
const struct nlattr *netlink_next(const struct nlmsghdr *message, const struct nlattr *attribute);
static inline unsigned int netlink_type(const struct nlattr *attribute)
{
	return attribute->nla_type & NLA_TYPE_MASK;
}
static inline size_t netlink_len(const struct nlattr *attribute)
{
	return attribute->nla_len - NLA_HDRLEN;
}
static inline const void *netlink_data(const struct nlattr *attribute)
{
	return (const uint8_t *)attribute + NLA_HDRLEN;
}
/* The value, whatever its width; 0 if it is shorter than 32 bits. */
uint64_t netlink_uint(const struct nlattr *attribute);
/* The first attribute of this type nested in another, NULL if there is none. */
const struct nlattr *netlink_nested(const struct nlattr *outer, unsigned int type);
