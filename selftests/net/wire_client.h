/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection of wire_client.c: what comes from the receiver, and the frames that go there. */
#pragma once

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/addr.h"
#include "common/message.h"
#include "common/pcapng.h"
#include "common/tls.h"

#define WAIT_MS 10000

struct client {
	struct addr_list address;
	struct tls_context *context;
	struct tls *tls;
	int fd;
	struct stream_id id;
	uint64_t next; /* sequence */
	struct ranges durable;
	uint64_t credit, unacked_bytes, acked_max;
	uint64_t base_ns, interval_ns;
	uint32_t packets, size; /* packets of a frame, bytes of a packet */
	uint32_t nacks, last_nack_reason;
	uint16_t link_type;
	bool quiet; /* no line for an ACK */
	bool is_closed, was_refused, has_hello, has_ack;
	uint8_t in[FRAME_LEN_MAX];
	size_t have;
	struct buf out;
};

static inline int failed(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return -1;
}

static inline int flush(struct client *c)
{
	const uint8_t *data;
	size_t len;
	ssize_t n;

	while (c->tls && (data = tls_output(c->tls, &len), len)) {
		n = send(c->fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->is_closed = true;
			return 0;
		}
		tls_output_sent(c->tls, (size_t)n);
	}
	return 0;
}

static inline void take_frame(struct client *c, const struct frame_header *header)
{
	const uint8_t *payload = c->in + FRAME_HEADER_LEN;
	char text[MESSAGE_REFUSAL_LEN];
	struct message_hello hello;
	struct message_nack nack;
	struct message_ack ack;

	if (header->type == FRAME_ACK && !message_ack_get(&ack, payload, header->stored_len)) {
		ranges_release(&c->durable);
		c->durable = ack.durable;
		c->credit = ack.credit_bytes;
		c->has_ack = true;
		if (ranges_max(&c->durable) != c->acked_max && !c->quiet)
			printf("ack %" PRIu64 "\n", ranges_max(&c->durable));
		c->acked_max = ranges_max(&c->durable);
	} else if (header->type == FRAME_NACK &&
		   !message_nack_get(&nack, payload, header->stored_len)) {
		printf("nack %" PRIu64 " %s\n", nack.sequence, nack_reason_name(nack.reason));
		c->nacks++;
		c->last_nack_reason = nack.reason;
	} else if (header->type == FRAME_CONTROL &&
		   !message_refusal_get(text, payload, header->stored_len)) {
		printf("refused %s\n", text);
		c->was_refused = true;
	} else if (header->type == FRAME_CONTROL &&
		   !message_hello_get(&hello, payload, header->stored_len)) {
		printf("hello %u..%u %s\n", hello.version_min, hello.version_max, hello.program);
		c->has_hello = true;
	} else {
		printf("frame %s\n", frame_type_name(header->type));
	}
}

static inline void closed(struct client *c, const char *how)
{
	if (!c->is_closed)
		printf("closed%s%s\n", *how ? " " : "", how);
	c->is_closed = true;
}

/* What has been received, as far as it goes. */
static inline void take_input(struct client *c)
{
	struct frame_header header;
	size_t want;
	ssize_t n;

	for (;;) {
		want = FRAME_HEADER_LEN;
		if (c->have >= FRAME_HEADER_LEN) {
			if (frame_header_decode(&header, c->in)) {
				closed(c, "on a bad frame");
				return;
			}
			want += header.stored_len;
			if (c->have == want) {
				take_frame(c, &header);
				c->have = 0;
				continue;
			}
		}
		n = tls_read(c->tls, c->in + c->have, want - c->have);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			closed(c, n == -EPROTO ? tls_error(c->tls) : "");
			return;
		}
		c->have += (size_t)n;
	}
}

/* Waits up to timeout for bytes; true if there were any. */
static inline bool receive(struct client *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	static uint8_t bytes[256 * 1024];
	ssize_t n;

	flush(c);
	if (c->is_closed || poll(&p, 1, timeout_ms) <= 0)
		return false;
	n = recv(c->fd, bytes, sizeof(bytes), 0);
	if (n <= 0) {
		closed(c, n ? strerror(errno) : "");
		return true;
	}
	if (!c->tls)
		return true;
	if (tls_feed(c->tls, bytes, (size_t)n))
		return false;
	if (tls_established(c->tls))
		take_input(c);
	flush(c);
	return true;
}

static inline int wait_for(struct client *c, const bool *what)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + WAIT_MS * NS_PER_MS;

	while (!*what && !c->is_closed && clock_ns(CLOCK_MONOTONIC) < end)
		receive(c, 100);
	return *what ? 0 : -1;
}

static inline int write_out(struct client *c)
{
	int err = c->out.failed ? -ENOMEM : tls_write(c->tls, c->out.data, c->out.len);

	buf_clear(&c->out);
	return err ?: flush(c);
}

static inline uint64_t time_of(const struct client *c, uint64_t sequence, uint32_t index)
{
	return c->base_ns + (sequence - 1) * c->interval_ns + index * c->interval_ns / c->packets;
}

/* Frame `sequence` onto c->out; where it begins there. */
static inline size_t put_frame(struct client *c, uint64_t sequence)
{
	struct frame_header header = {
		.type = FRAME_PACKETS,
		.stream = 1,
		.flags = c->id.replay ? FRAME_F_REPLAY : 0,
		.sequence = sequence,
		.packet_count = c->packets,
		.wire_count = c->packets,
		.first_ns = time_of(c, sequence, 0),
		.last_ns = time_of(c, sequence, c->packets - 1),
		.watermark_ns = time_of(c, sequence + 1, 0),
	};
	struct pcapng_interface interface = { .link_type = c->link_type,
					      .name = "eth9",
					      .tsresol = 9 };
	size_t room = 256 + c->packets * (c->size + 128ul), len, begin = c->out.len;
	uint8_t *frame = buf_reserve(&c->out, FRAME_HEADER_LEN + room), *data;
	uint8_t *payload;

	if (!frame)
		return begin;
	payload = frame + FRAME_HEADER_LEN;
	len = pcapng_put_interface(payload, room, &interface);
	for (uint32_t i = 0; i < c->packets; i++) {
		struct pcapng_packet packet = {
			.time_ns = time_of(c, sequence, i),
			.captured_len = c->size,
			.original_len = c->size,
			.flags = PCAPNG_DIR_IN,
		};

		len += pcapng_put_packet(payload + len, room - len, &packet, &data);
		memset(data, 0, c->size);
		memcpy(data, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5", 14);
		snprintf((char *)data + 14, c->size - 14, "%s %" PRIu64 " %u", c->id.agent,
			 sequence, i);
	}
	frame_seal(frame, &header, payload, len);
	buf_commit(&c->out, FRAME_HEADER_LEN + len);
	return begin;
}
