/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An aggregator for tests of the uplink: real TCP and TLS, and as nasty as it is told to be. It
 * runs between the turns of the uplink's loop, in the same thread. What it has stored survives its
 * connections; what it has only received does not, unless the dice say so.
 */
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/addr.h"
#include "common/message.h"
#include "selftests/unit/journal_sample.h"
#include "selftests/unit/tls_peers.h"

#define FAKE_SEQUENCES_MAX 65536

enum fake_mood {
	FAKE_KIND,
	FAKE_DEAF,	     /* accepts and says nothing */
	FAKE_MUTE,	     /* TLS, and nothing more */
	FAKE_NO_ANSWER,	     /* HELLO, but no answer to OPEN */
	FAKE_GARBAGE,	     /* no TLS */
	FAKE_GARBAGE_INSIDE, /* TLS with no frames inside */
	FAKE_FUTURE,	     /* later protocol versions only */
	FAKE_OTHER_FRAMES,   /* frames of another version */
	FAKE_REFUSING,	     /* says why */
};

/* What a sequence number turned out to be. */
struct fake_frame {
	uint8_t type; /* 0: nothing yet */
	uint32_t packets;
	uint64_t first_record; /* PACKETS */
	struct message_loss loss;
};

struct fake_server {
	struct tls_context *context;
	struct addr_list address;
	int listener;
	enum fake_mood mood;
	uint64_t credit;
	unsigned int ack_every; /* frames; 0: never */
	bool ack_holes;		/* now and then leaves a range out of an ACK */
	uint64_t nack_sequence; /* 0: none */
	unsigned int nack_times;
	enum nack_reason nack_reason;
	uint64_t cut_after; /* bytes in and out on a connection; 0: never */
	bool reset;	    /* cut with a RST */
	bool mark_is_next;  /* the watermark of a MARK is the sequence that comes next */
	uint64_t seed;

	/* of the connection */
	int fd;
	struct tls *tls;
	struct buf in, out;
	uint64_t moved;
	bool greeted, is_open;
	unsigned int unacked, steps;
	bool owes_ack;
	struct ranges received; /* and not stored */
	uint64_t received_bytes;

	/* of the store */
	struct ranges stored;
	struct fake_frame *frames; /* by sequence */
	uint64_t connections, frames_in, duplicates, bad, marks, byes, losses, nacks, hellos;
	uint64_t most_in_flight, last_mark, next_sequence;
};

static inline void fake_listen(struct fake_server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = server->address.list[0].in4.sin_port };
	socklen_t len = sizeof(address);
	int on = 1;

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(server->listener >= 0);
	setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->listener, 8), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
	server->address.list[0].in4 = address;
	server->address.list[0].len = sizeof(address);
	server->address.count = MAX(server->address.count, 1u);
}

static inline void fake_start(struct fake_server *server, const char *certificate)
{
	char error[TLS_ERROR_LEN];

	*server = (struct fake_server){ .listener = -1, .fd = -1, .credit = MIB, .ack_every = 1 };
	server->frames = calloc(FAKE_SEQUENCES_MAX, sizeof(*server->frames));
	assert_non_null(server->frames);
	if (tls_context_create(&server->context, TLS_SERVER, path("ca", ".crt"),
			       path(certificate, ".crt"), path(certificate, ".key"), error))
		fail_msg("%s", error);
	fake_listen(server);
}

static inline void fake_cut(struct fake_server *server)
{
	const struct linger hard = { .l_onoff = 1 };

	if (server->fd < 0)
		return;
	if (server->reset)
		setsockopt(server->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(server->fd);
	server->fd = -1;
	tls_destroy(server->tls);
	server->tls = NULL;
	buf_clear(&server->in);
	buf_clear(&server->out);
	/* Stored, but the ACK did not make it; or received, and lost with the connection. */
	if (sample_random(&server->seed) % 2) {
		for (uint32_t i = 0; i < server->received.count; i++)
			assert_int_equal(ranges_add(&server->stored, server->received.list[i].from,
						    server->received.list[i].to),
					 0);
	}
	for (uint32_t i = 0; i < server->received.count; i++) {
		for (uint64_t s = server->received.list[i].from; s <= server->received.list[i].to;
		     s++) {
			if (!ranges_has(&server->stored, s))
				server->frames[s].type = 0;
		}
	}
	ranges_clear(&server->received);
}

static inline void fake_stop_listening(struct fake_server *server)
{
	close(server->listener);
	server->listener = -1;
}

static inline void fake_stop(struct fake_server *server)
{
	fake_cut(server);
	if (server->listener >= 0)
		close(server->listener);
	tls_context_destroy(server->context);
	ranges_release(&server->received);
	ranges_release(&server->stored);
	buf_release(&server->in);
	buf_release(&server->out);
	free(server->frames);
}

static inline void fake_write(struct fake_server *server, struct buf *message, int err)
{
	assert_int_equal(err, 0);
	assert_int_equal(tls_write(server->tls, message->data, message->len), 0);
	buf_release(message);
}

/* What is stored, but for a hole near its end. */
static inline void fake_punch(struct fake_server *server, struct ranges *shown)
{
	uint64_t last = ranges_max(&server->stored);
	uint64_t hole = last - MIN(last, sample_random(&server->seed) % 8);

	for (uint32_t i = 0; i < server->stored.count; i++) {
		struct range range = server->stored.list[i];

		if (range.from < hole)
			assert_int_equal(ranges_add(shown, range.from, MIN(range.to, hole - 1)), 0);
		if (range.to > hole + 2)
			assert_int_equal(ranges_add(shown, MAX(range.from, hole + 3), range.to), 0);
	}
}

static inline void fake_ack(struct fake_server *server, bool with_hole)
{
	struct ranges shown = {};
	struct buf message = {};

	for (uint32_t i = 0; i < server->received.count; i++)
		assert_int_equal(ranges_add(&server->stored, server->received.list[i].from,
					    server->received.list[i].to),
				 0);
	ranges_clear(&server->received);
	server->received_bytes = 0;
	server->unacked = 0;
	if (with_hole)
		fake_punch(server, &shown);
	else
		assert_int_equal(ranges_copy(&shown, &server->stored), 0);
	server->owes_ack = with_hole;
	fake_write(server, &message, message_ack_put(&message, 1, server->credit, &shown));
	ranges_release(&shown);
}

static inline void fake_nack(struct fake_server *server, uint64_t sequence, enum nack_reason reason)
{
	const struct message_nack nack = { .sequence = sequence, .reason = reason };
	struct buf message = {};

	server->nacks++;
	fake_write(server, &message, message_nack_put(&message, 1, &nack));
}

static inline void fake_greet(struct fake_server *server)
{
	static const char no_frames[120] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
	struct message_hello hello = { .version_min = 1, .version_max = 1, .program = "fake" };
	struct buf message = {};

	if (server->mood == FAKE_FUTURE)
		hello.version_min = hello.version_max = 7;
	server->greeted = true;
	switch (server->mood) {
	case FAKE_GARBAGE_INSIDE:
		assert_int_equal(tls_write(server->tls, no_frames, sizeof(no_frames)), 0);
		break;
	case FAKE_OTHER_FRAMES:
		assert_int_equal(message_hello_put(&message, &hello), 0);
		message.data[6] = 9;
		fake_write(server, &message, 0);
		break;
	case FAKE_REFUSING:
		fake_write(server, &message,
			   message_refusal_put(&message, "the moon is in the wrong house"));
		break;
	case FAKE_MUTE:
		break;
	case FAKE_KIND:
	case FAKE_DEAF:
	case FAKE_NO_ANSWER:
	case FAKE_GARBAGE:
	case FAKE_FUTURE:
		fake_write(server, &message, message_hello_put(&message, &hello));
		break;
	}
}

/* Takes a frame in, once. */
static inline void fake_store(struct fake_server *server, const struct frame_header *header,
			      const uint8_t *payload)
{
	struct fake_frame *frame;
	uint64_t number;

	server->frames_in++;
	server->received_bytes += FRAME_HEADER_LEN + header->stored_len;
	server->most_in_flight = MAX(server->most_in_flight, server->received_bytes);
	if (!header->sequence || header->sequence >= FAKE_SEQUENCES_MAX || header->stream != 1) {
		server->bad++;
		return;
	}
	server->unacked++;
	if (ranges_has(&server->stored, header->sequence) ||
	    ranges_has(&server->received, header->sequence)) {
		server->duplicates++;
		return;
	}
	frame = &server->frames[header->sequence];
	*frame = (struct fake_frame){ .type = header->type, .packets = header->packet_count };
	if (header->type == FRAME_PACKETS) {
		memcpy(&number, payload, sizeof(number));
		frame->first_record = number;
		server->bad += !sample_check(payload, header->stored_len, &number) ||
			       number - frame->first_record != header->packet_count;
	} else if (header->type == FRAME_LOSS) {
		server->losses++;
		server->bad += message_loss_get(&frame->loss, payload, header->stored_len) != 0;
	} else if (header->type == FRAME_BYE) {
		server->byes++;
	} else {
		server->bad++;
	}
	assert_int_equal(ranges_add(&server->received, header->sequence, header->sequence), 0);
	/* A LOSS fills its range. */
	if (header->type == FRAME_LOSS)
		assert_int_equal(ranges_add(&server->received, frame->loss.from, frame->loss.to),
				 0);
}

static inline void fake_take(struct fake_server *server, const struct frame_header *header,
			     const uint8_t *payload)
{
	struct message_hello hello;
	struct message_open open;

	server->bad += frame_payload_check(header, payload) != 0;
	switch (header->type) {
	case FRAME_CONTROL:
		server->hellos++;
		server->bad += message_hello_get(&hello, payload, header->stored_len) != 0;
		if (!server->greeted)
			fake_greet(server);
		return;
	case FRAME_OPEN:
		server->bad += message_open_get(&open, payload, header->stored_len) != 0 ||
			       strcmp(open.id.agent, "edge-1") != 0;
		server->next_sequence = open.next_sequence;
		if (server->mood == FAKE_KIND)
			fake_ack(server, false);
		server->is_open = true;
		return;
	case FRAME_MARK:
		server->marks++;
		server->bad += header->watermark_ns <= server->last_mark;
		server->bad +=
			server->mark_is_next &&
			MAX(ranges_max(&server->stored), ranges_max(&server->received)) + 1 !=
				header->watermark_ns;
		server->last_mark = header->watermark_ns;
		return;
	default:
		break;
	}
	server->bad += !server->is_open;
	if (header->sequence == server->nack_sequence && server->nack_times &&
	    header->type != FRAME_LOSS) {
		server->nack_times--;
		fake_nack(server, header->sequence, server->nack_reason);
		return;
	}
	fake_store(server, header, payload);
	if (server->ack_every && server->unacked >= server->ack_every)
		fake_ack(server, server->ack_holes && sample_random(&server->seed) % 2);
}

static inline void fake_read_frames(struct fake_server *server)
{
	struct frame_header header;
	uint8_t bytes[16384];
	ssize_t n;

	while ((n = tls_read(server->tls, bytes, sizeof(bytes))) > 0)
		buf_append(&server->in, bytes, (size_t)n);
	if (n != -EAGAIN) {
		fake_cut(server);
		return;
	}
	while (server->in.len >= FRAME_HEADER_LEN) {
		if (frame_header_decode(&header, server->in.data)) {
			server->bad++;
			fake_cut(server);
			return;
		}
		if (server->in.len < FRAME_HEADER_LEN + header.stored_len)
			return;
		fake_take(server, &header, server->in.data + FRAME_HEADER_LEN);
		buf_consume(&server->in, FRAME_HEADER_LEN + header.stored_len);
	}
}

static inline void fake_accept(struct fake_server *server)
{
	int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	fake_cut(server);
	server->fd = fd;
	server->connections++;
	server->moved = 0;
	server->greeted = false;
	server->is_open = false;
	server->unacked = 0;
	server->last_mark = 0;
	server->received_bytes = 0;
	assert_int_equal(tls_create(&server->tls, server->context, NULL), 0);
	if (server->mood == FAKE_GARBAGE)
		assert_true(write(fd, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", 40) == 40);
}

/* Up to len bytes, or fewer where it is about to cut the connection; true if it did. */
static inline bool fake_count(struct fake_server *server, size_t *len)
{
	if (!server->cut_after || server->moved + *len < server->cut_after) {
		server->moved += *len;
		return false;
	}
	*len = server->cut_after - MIN(server->moved, server->cut_after);
	return true;
}

static inline void fake_send(struct fake_server *server)
{
	const uint8_t *data;
	size_t len;
	ssize_t n;
	bool cut;

	if (!server->tls)
		return;
	data = tls_output(server->tls, &len);
	buf_append(&server->out, data, len);
	tls_output_sent(server->tls, len);
	len = server->out.len;
	if (!len)
		return;
	cut = fake_count(server, &len);
	n = len ? send(server->fd, server->out.data, len, MSG_NOSIGNAL) : 0;
	if (n > 0)
		buf_consume(&server->out, (size_t)n);
	if (cut || (n < 0 && errno != EAGAIN))
		fake_cut(server);
}

/* Does what there is to do; never waits. */
static inline void fake_step(struct fake_server *server)
{
	uint8_t bytes[65536];
	bool cut = false;
	ssize_t n;
	size_t len;

	if (server->listener >= 0)
		fake_accept(server);
	if (server->fd < 0)
		return;
	n = server->mood == FAKE_DEAF ? -1 : recv(server->fd, bytes, sizeof(bytes), 0);
	if (n == 0 || (n < 0 && server->mood != FAKE_DEAF && errno != EAGAIN)) {
		fake_cut(server);
		return;
	}
	if (n > 0 && server->mood != FAKE_GARBAGE) {
		len = (size_t)n;
		cut = fake_count(server, &len);
		assert_int_equal(tls_feed(server->tls, bytes, len), 0);
		if (tls_handshake(server->tls) == 0)
			fake_read_frames(server);
	}
	if (cut)
		fake_cut(server);
	/* What is late comes in the end. */
	if (server->tls && server->is_open && server->ack_every && ++server->steps % 50 == 0 &&
	    (server->unacked || server->owes_ack))
		fake_ack(server, false);
	fake_send(server);
}

/* Every number up to the last is there once, and the records go on from one to the next. */
static inline uint64_t fake_check_stored(const struct fake_server *server, uint64_t last)
{
	uint64_t record = 0;

	CHECK_EQ(server->bad, 0);
	CHECK_EQ(ranges_next_missing(&server->stored, 1), last + 1);
	for (uint64_t s = 1; s <= last; s++) {
		const struct fake_frame *frame = &server->frames[s];

		if (frame->type == FRAME_PACKETS) {
			CHECK_EQ(frame->first_record, record);
			record += frame->packets;
		} else if (frame->type == FRAME_LOSS) {
			record += frame->loss.packets;
		}
		if (check_failures > 5)
			break;
	}
	return record;
}
