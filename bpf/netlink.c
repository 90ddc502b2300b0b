/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/netlink.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES (64 * KIB)

void *netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, size_t len)
{
	*request = (struct netlink_request){};
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	return NLMSG_DATA(&request->header);
}

void netlink_put(struct netlink_request *request, uint16_t type, const void *data, size_t len)
{
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
	struct nlattr attribute = { .nla_type = type, .nla_len = (uint16_t)(NLA_HDRLEN + len) };

	assert(at + NLA_HDRLEN + len <= sizeof(request->bytes));
	memcpy(request->bytes + at, &attribute, sizeof(attribute));
	memcpy(request->bytes + at + NLA_HDRLEN, data, len);
	request->header.nlmsg_len = (uint32_t)(at + NLA_HDRLEN + len);
}

/* One datagram of answers. 1: more will come. */
static int read_answers(const uint8_t *data, size_t len,
			int (*on_message)(const struct nlmsghdr *message, void *context),
			void *context)
{
	const struct nlmsghdr *message = (const void *)data;
	const struct nlmsgerr *error;
	int err;

	for (; NLMSG_OK(message, len); message = NLMSG_NEXT(message, len)) {
		if (message->nlmsg_type == NLMSG_DONE)
			return 0;
		if (message->nlmsg_type == NLMSG_ERROR) {
			error = NLMSG_DATA(message);
			if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
				return -EBADMSG;
			return error->error;
		}
		err = on_message ? on_message(message, context) : 0;
		if (err)
			return err;
	}
	return 1;
}

int netlink_ask(int protocol, struct netlink_request *request,
		int (*on_message)(const struct nlmsghdr *message, void *context), void *context)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	uint8_t *answer = malloc(ANSWER_BYTES);
	int fd, err = -ENOMEM;
	ssize_t len;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (!answer || fd < 0) {
		err = fd < 0 ? -errno : -ENOMEM;
		goto out;
	}
	if (!(request->header.nlmsg_flags & NLM_F_DUMP))
		request->header.nlmsg_flags |= NLM_F_ACK;
	if (sendto(fd, request, request->header.nlmsg_len, 0, (void *)&kernel, sizeof(kernel)) <
	    0) {
		err = -errno;
		goto out;
	}
	do {
		len = recv(fd, answer, ANSWER_BYTES, 0);
		if (len < 0)
			err = errno == EINTR ? 1 : -errno;
		else
			err = read_answers(answer, (size_t)len, on_message, context);
	} while (err == 1);
out:
	if (fd >= 0)
		close(fd);
	free(answer);
	return err;
}

static const struct nlattr *checked(const uint8_t *at, const uint8_t *end)
{
	const struct nlattr *attribute = (const void *)at;

	if (end - at < NLA_HDRLEN || attribute->nla_len < NLA_HDRLEN ||
	    attribute->nla_len > end - at)
		return NULL;
	return attribute;
}

const struct nlattr *netlink_first(const struct nlmsghdr *message, size_t len)
{
	const uint8_t *start = (const uint8_t *)message;

	if (message->nlmsg_len < NLMSG_SPACE(len))
		return NULL;
	return checked(start + NLMSG_SPACE(len), start + message->nlmsg_len);
}

const struct nlattr *netlink_next(const struct nlmsghdr *message, const struct nlattr *attribute)
{
	const uint8_t *end = (const uint8_t *)message + message->nlmsg_len;
	const uint8_t *next = (const uint8_t *)attribute + NLA_ALIGN(attribute->nla_len);

	return next < end ? checked(next, end) : NULL;
}

uint64_t netlink_uint(const struct nlattr *attribute)
{
	uint64_t wide;
	uint32_t narrow;

	if (netlink_len(attribute) >= sizeof(wide)) {
		memcpy(&wide, netlink_data(attribute), sizeof(wide));
		return wide;
	}
	if (netlink_len(attribute) < sizeof(narrow))
		return 0;
	memcpy(&narrow, netlink_data(attribute), sizeof(narrow));
	return narrow;
}

const struct nlattr *netlink_nested(const struct nlattr *outer, unsigned int type)
{
	const uint8_t *at = netlink_data(outer), *end = at + netlink_len(outer);
	const struct nlattr *attribute;

	while (at < end && (attribute = checked(at, end))) {
		if (netlink_type(attribute) == type)
			return attribute;
		at += NLA_ALIGN(attribute->nla_len);
	}
	return NULL;
}
