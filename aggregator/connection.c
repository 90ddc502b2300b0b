/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/ingest_internal.h"
#include "common/log.h"

/* A peer that leaves more answers than this unread is sent away. */
#define UNSENT_MAX MIB

enum taken {
	TAKEN,
	TAKEN_LATER, /* the journal has no room; the same frame again after a commit */
	TAKEN_LAST,  /* the connection is ending */
};

static const char *peer_kind_name(const struct tls *tls)
{
	return tls_peer_kind(tls) == TLS_PEER_AGENT ? "agent" : "aggregator";
}

static void flush_later(struct connection *connection)
{
	if (connection->flush_due)
		return;
	connection->flush_due = true;
	connection->next_flush = connection->ingest->flush_list;
	connection->ingest->flush_list = connection;
}

static void remove_from(struct connection **list, struct connection *connection, size_t next)
{
	struct connection **at = list;

	while (*at && *at != connection)
		at = (struct connection **)((char *)*at + next);
	if (*at)
		*at = *(struct connection **)((char *)connection + next);
}

/* The streams are no longer this connection's. */
static void unbind(struct connection *connection)
{
	struct ingest *ingest = connection->ingest;

	for (uint32_t i = 0; i < connection->stream_room; i++) {
		struct stream *stream = connection->streams[i];

		if (!stream || stream->connection != connection)
			continue;
		stream->connection = NULL;
		stream->info.connected = false;
		stream_set_changed(ingest, stream);
		ingest->wake_due = true;
	}
}

void connection_end(struct connection *connection)
{
	if (connection->ending)
		return;
	connection->ending = true;
	unbind(connection);
	peer_finish(&connection->peer);
}

static void printf_like(3, 4)
	refuse(struct connection *connection, enum refusal reason, const char *format, ...)
{
	struct ingest *ingest = connection->ingest;
	struct peer *peer = &connection->peer;
	char text[MESSAGE_REFUSAL_LEN], name[ADDR_TEXT_LEN + AGENT_ID_MAX + 32];
	struct buf out = {};
	va_list args;

	if (connection->ending)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(name, sizeof(name), "%s %s at %s", peer_kind_name(peer->tls),
		 tls_peer_id(peer->tls), peer->address_text);
	refusal_count(&ingest->refusals, loop_now(ingest->loop), reason, name, text);
	/* The sender's log should have the reason too; if that cannot be, ours has it. */
	if (message_refusal_put(&out, text) == 0)
		(void)!tls_write(peer->tls, out.data, out.len);
	buf_release(&out);
	connection_end(connection);
}

static void write_out(struct connection *connection, struct buf *out)
{
	if (connection->ending)
		return;
	if (tls_write(connection->peer.tls, out->data, out->len))
		connection_end(connection);
	else if (peer_unsent(&connection->peer) > UNSENT_MAX)
		refuse(connection, REFUSAL_SLOW, "it does not read what is sent to it");
	else
		flush_later(connection);
}

void connection_nack(struct connection *connection, struct stream *stream, uint64_t sequence,
		     enum nack_reason reason)
{
	struct message_nack nack = { .sequence = sequence, .reason = reason };
	struct buf out = {};

	if (message_nack_put(&out, stream->wire_number, &nack) == 0)
		write_out(connection, &out);
	buf_release(&out);
}

bool connection_ack(struct connection *connection, struct stream *stream)
{
	struct ingest *ingest = connection->ingest;
	uint32_t connections = __atomic_load_n(ingest->config.connections, __ATOMIC_RELAXED);
	struct buf out = {};

	/* What waits is worth one ACK, however many groups have been committed by then. */
	if (connection->peer.sending && !connection->ending)
		return false;
	if (message_ack_put(&out, stream->wire_number,
			    ingest_credit(ingest->config.memory_bytes, connections),
			    journal_durable(ingest->journal, stream->info.number)) == 0)
		write_out(connection, &out);
	buf_release(&out);
	return true;
}

static int grow_streams(struct connection *connection, uint32_t number)
{
	uint32_t room = MAX(number + 1, 2 * connection->stream_room);
	struct stream **streams;

	if (number < connection->stream_room)
		return 0;
	if (number >= JOURNAL_STREAMS_MAX)
		return -EMSGSIZE;
	streams = realloc(connection->streams, room * sizeof(struct stream *));
	if (!streams)
		return -ENOMEM;
	memset(streams + connection->stream_room, 0,
	       (room - connection->stream_room) * sizeof(struct stream *));
	connection->streams = streams;
	connection->stream_room = room;
	return 0;
}

/* Is this peer allowed this stream, here? */
static bool may_open(struct connection *connection, uint32_t number,
		     const struct message_open *open)
{
	struct store *store = connection->ingest->config.store;
	const struct tls *tls = connection->peer.tls;
	char name[STREAM_NAME_LEN];

	if (tls_peer_kind(tls) == TLS_PEER_AGENT && strcmp(tls_peer_id(tls), open->id.agent) != 0)
		refuse(connection, REFUSAL_IDENTITY,
		       "the certificate is of agent %s, which may not open a stream of agent %s",
		       tls_peer_id(tls), open->id.agent);
	else if (stream_journal(&open->id, store_journal_count(store)) !=
		 connection->ingest->config.journal)
		refuse(connection, REFUSAL_PROTOCOL,
		       "stream %s is kept in another journal than the first one of this "
		       "connection: "
		       "open it on a connection of its own",
		       stream_name(&open->id, name));
	else if (number == 0 || number >= JOURNAL_STREAMS_MAX)
		refuse(connection, REFUSAL_PROTOCOL, "stream number %u is not in 1 .. %u", number,
		       JOURNAL_STREAMS_MAX - 1);
	else
		return true;
	return false;
}

static void bind_stream(struct connection *connection, uint32_t number, struct stream *stream)
{
	const char *peer = connection->peer.address_text;
	struct connection *before = stream->connection;
	char name[STREAM_NAME_LEN];

	stream_name(&stream->info.id, name);
	if (before && before != connection) {
		log_info("stream %s is opened again by %s: ending its connection from %s", name,
			 peer, before->peer.address_text);
		connection_end(before);
	}
	connection->streams[number] = stream;
	stream->connection = connection;
	stream->wire_number = number;
	/* The sender starts over at what is not durable: order and MARK hold again. */
	stream->refused_count = 0;
	stream->refused_overflow = false;
	stream->resume_at = 0;
	stream->info.connected = true;
	stream->info.ended = false;
	snprintf(stream->info.address, sizeof(stream->info.address), "%s", peer);
	log_info("stream %s opened by %s, %" PRIu64 " frames are here", name, peer,
		 ranges_max(journal_durable(connection->ingest->journal, stream->info.number)));
}

static void open_stream(struct connection *connection, uint32_t number,
			const struct message_open *open)
{
	struct ingest *ingest = connection->ingest;
	char name[STREAM_NAME_LEN];
	struct stream *stream;
	int err;

	if (!may_open(connection, number, open))
		return;
	err = grow_streams(connection, number);
	if (!err)
		err = ingest_stream(ingest, &open->id, &stream);
	if (err) {
		refuse(connection, REFUSAL_STORE, "cannot store stream %s: %s",
		       stream_name(&open->id, name), strerrordesc_np(-err));
		return;
	}
	if (connection->streams[number] && connection->streams[number] != stream) {
		refuse(connection, REFUSAL_PROTOCOL, "stream number %u is opened twice", number);
		return;
	}
	bind_stream(connection, number, stream);
	stream_set_ack_due(ingest, stream);
	stream_set_changed(ingest, stream);
	ingest->wake_due = true;
}

static enum taken take_open(struct connection *connection)
{
	const struct frame_header *header = &connection->in.header;
	struct message_open open;
	int err;

	err = message_open_get(&open, inbound_payload(&connection->in), header->stored_len);
	if (err)
		refuse(connection, REFUSAL_PROTOCOL, "an OPEN that cannot be read");
	else
		open_stream(connection, header->stream, &open);
	return connection->ending ? TAKEN_LAST : TAKEN;
}

static void take_mark(struct connection *connection, struct stream *stream)
{
	const struct frame_header *header = &connection->in.header;
	struct ingest *ingest = connection->ingest;

	if (stream->refused_count || stream->refused_overflow ||
	    header->watermark_ns <= stream->info.watermark_ns)
		return;
	stream->info.watermark_ns = header->watermark_ns;
	if (header->watermark_ns > stream->info.latest_watermark_ns) {
		stream->info.latest_watermark_ns = header->watermark_ns;
		ingest->watermarks_changed = true;
	}
	stream_set_changed(ingest, stream);
	ingest->wake_due = true;
}

static void refuse_frame(struct connection *connection, struct stream *stream,
			 enum nack_reason reason)
{
	uint64_t sequence = connection->in.header.sequence;

	stream_set_refused(stream, sequence);
	stream_set_changed(connection->ingest, stream);
	connection_nack(connection, stream, sequence, reason);
}

static enum taken take_sequenced(struct connection *connection, struct stream *stream)
{
	const struct frame_header *header = &connection->in.header;
	struct ingest *ingest = connection->ingest;
	int err;

	if (header->flags & FRAME_F_CRITICAL &&
	    strcmp(frame_type_name(header->type), "unknown") == 0) {
		refuse_frame(connection, stream, NACK_UNKNOWN);
		return TAKEN;
	}
	err = ingest_append(ingest, stream, header, connection->in.frame,
			    inbound_frame_len(&connection->in));
	switch (-err) {
	case 0:
		stream_set_accepted(stream, header->sequence);
		return TAKEN;
	case EEXIST:
		stream->info.duplicates++;
		stream_set_accepted(stream, header->sequence);
		stream_set_changed(ingest, stream);
		stream_set_ack_due(ingest, stream);
		return TAKEN;
	case EAGAIN:
		return TAKEN_LATER;
	case EBADMSG:
		refuse_frame(connection, stream, NACK_DAMAGED);
		return TAKEN;
	case EMSGSIZE:
	case EINVAL:
		refuse(connection, REFUSAL_PROTOCOL,
		       "frame %" PRIu64 " leaves too many holes in the stream's sequence",
		       header->sequence);
		return TAKEN_LAST;
	case ESTALE:
		refuse_frame(connection, stream, NACK_STORE);
		return TAKEN;
	default:
		ingest_store_failed(ingest, err);
		stream_set_resume_at(stream, header->sequence);
		refuse_frame(connection, stream, NACK_STORE);
		return TAKEN;
	}
}

static enum taken take_frame(struct connection *connection)
{
	const struct frame_header *header = &connection->in.header;
	struct stream *stream = NULL;
	bool is_intact;

	is_intact = frame_payload_check(header, inbound_payload(&connection->in)) == 0;
	if (header->stream < connection->stream_room)
		stream = connection->streams[header->stream];
	if (!is_intact && stream && header->sequence) {
		refuse_frame(connection, stream, NACK_DAMAGED);
	} else if (!is_intact) {
		refuse(connection, REFUSAL_FRAME, "a damaged %s frame that has no sequence number",
		       frame_type_name(header->type));
	} else if (header->type == FRAME_OPEN) {
		return take_open(connection);
	} else if (header->type == FRAME_CONTROL || header->type == FRAME_ACK ||
		   header->type == FRAME_NACK) {
		return TAKEN; /* nothing that concerns a receiver of frames */
	} else if (!stream) {
		refuse(connection, REFUSAL_PROTOCOL,
		       "a %s frame of stream number %u, which is not open",
		       frame_type_name(header->type), header->stream);
	} else if (header->type == FRAME_MARK) {
		take_mark(connection, stream);
	} else if (!header->sequence) {
		refuse(connection, REFUSAL_PROTOCOL, "a %s frame without a sequence number",
		       frame_type_name(header->type));
	} else {
		return take_sequenced(connection, stream);
	}
	return connection->ending ? TAKEN_LAST : TAKEN;
}

static void set_paused(struct connection *connection)
{
	connection->paused = true;
	connection->next_paused = connection->ingest->paused;
	connection->ingest->paused = connection;
}

static bool prepare_frame(struct connection *connection)
{
	if (connection->in.frame)
		return true;
	connection->in.frame = ingest_take_frame_buffer(connection->ingest);
	connection->in.room = FRAME_LEN_MAX;
	if (!connection->in.frame)
		refuse(connection, REFUSAL_STORE, "out of memory");
	return connection->in.frame != NULL;
}

/* An idle connection holds no buffer. */
static void put_frame_buffer_back(struct connection *connection)
{
	if (connection->in.have)
		return;
	ingest_return_frame_buffer(connection->ingest, connection->in.frame);
	connection->in.frame = NULL;
}

void connection_drain(struct connection *connection)
{
	struct tls *tls = connection->peer.tls;
	enum taken taken = TAKEN;
	int n;

	/* A worker at its end takes nothing more: what is not acknowledged comes again. */
	if (connection->ingest->stopping)
		return;
	while (!connection->ending && taken == TAKEN) {
		if (!prepare_frame(connection))
			return;
		n = inbound_read(&connection->in, tls);
		if (n == -EAGAIN)
			break;
		if (n == 0) {
			log_info("%s %s at %s has ended its connection", peer_kind_name(tls),
				 tls_peer_id(tls), connection->peer.address_text);
			connection_end(connection);
		} else if (n < 0) {
			refuse(connection, n == -EPROTO ? REFUSAL_TLS : REFUSAL_FRAME, "%s",
			       inbound_error(tls, n));
		} else {
			taken = take_frame(connection);
			if (taken == TAKEN)
				inbound_next(&connection->in);
		}
	}
	if (connection->ending)
		return;
	if (taken == TAKEN_LATER) {
		set_paused(connection);
		return;
	}
	put_frame_buffer_back(connection);
	peer_receive(&connection->peer);
}

static void connection_received(struct peer *peer)
{
	struct connection *connection = container_of(peer, struct connection, peer);

	if (!connection->ending && !connection->paused)
		connection_drain(connection);
}

static void connection_sent(struct peer *peer)
{
	(void)peer;
}

static void connection_ended(struct peer *peer, int err)
{
	struct connection *connection = container_of(peer, struct connection, peer);

	if (!connection->ending) {
		if (err)
			log_warning(err, "lost the connection of %s %s at %s",
				    peer_kind_name(peer->tls), tls_peer_id(peer->tls),
				    peer->address_text);
		else
			log_info("%s %s at %s has closed its connection", peer_kind_name(peer->tls),
				 tls_peer_id(peer->tls), peer->address_text);
		unbind(connection);
	}
	connection->ending = true;
	peer_close(peer);
}

static void connection_closed(struct peer *peer)
{
	struct connection *connection = container_of(peer, struct connection, peer);
	struct ingest *ingest = connection->ingest;

	if (connection->paused)
		remove_from(&ingest->paused, connection, offsetof(struct connection, next_paused));
	if (connection->flush_due)
		remove_from(&ingest->flush_list, connection,
			    offsetof(struct connection, next_flush));
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		ingest->connections = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	__atomic_sub_fetch(ingest->config.connections, 1, __ATOMIC_RELAXED);
	ingest_return_frame_buffer(ingest, connection->in.frame);
	free(connection->streams);
	free(connection);
}

static const struct peer_ops connection_ops = {
	.received = connection_received,
	.sent = connection_sent,
	.ended = connection_ended,
	.closed = connection_closed,
};

void connection_begin(struct ingest *ingest, struct arrival *arrival)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		log_error(-ENOMEM, "cannot take the connection from %s",
			  arrival->peer.address_text);
		peer_release(&arrival->peer);
		__atomic_sub_fetch(ingest->config.connections, 1, __ATOMIC_RELAXED);
		free(arrival);
		return;
	}
	connection->ingest = ingest;
	connection->peer = arrival->peer;
	peer_attach(&connection->peer, ingest->loop, ingest->pool, &connection_ops);
	connection->next = ingest->connections;
	if (connection->next)
		connection->next->previous = connection;
	ingest->connections = connection;
	open_stream(connection, arrival->stream, &arrival->open);
	free(arrival);
	/* Frames may have come together with OPEN. */
	connection_drain(connection);
}
