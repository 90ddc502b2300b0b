/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/inbound.h"

#include "common/message.h"
#include "selftests/unit/tls_peers.h"

static struct end client, server;
static uint8_t frame[FRAME_HEADER_LEN + 4096];

static int begin(void **state)
{
	ours(&client, TLS_CLIENT, "ca", "agent", "localhost");
	ours(&server, TLS_SERVER, "ca", "server", NULL);
	shake(&client, &server, SIZE_MAX);
	return check_begin(state);
}

static int end(void **state)
{
	end_release(&client);
	end_release(&server);
	return check_end(state);
}

static void put(struct buf *out, uint64_t sequence, size_t len)
{
	struct frame_header header = { .type = FRAME_STATS, .stream = 1, .sequence = sequence };
	uint8_t payload[4097];

	memset(payload, (int)sequence, sizeof(payload));
	buf_append(out, frame, FRAME_HEADER_LEN);
	frame_seal(out->data + out->len - FRAME_HEADER_LEN, &header, payload, len);
	buf_append(out, payload, len);
}

/* However the bytes are cut, the frames come out, and nothing of the next is taken. */
static void frames_read(void **state)
{
	static const struct {
		const char *name;
		size_t step;
	} cases[] = { { "one by one", 1 }, { "cut", 333 }, { "whole", SIZE_MAX } };
	static const size_t lens[] = { 0, 1, 4096, 7 };

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct inbound in = { .frame = frame, .room = sizeof(frame) };
		struct buf out = {};
		uint64_t sequence = 0;
		size_t len;
		int n;

		for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
			put(&out, i + 1, lens[i]);
		while (out.len) {
			len = MIN(out.len, c->step);
			CHECK_EQ(tls_write(client.tls, out.data, len), 0);
			buf_consume(&out, len);
			move(&client, &server, SIZE_MAX);
			while ((n = inbound_read(&in, server.tls)) == 1) {
				CHECK_EQ(in.header.sequence, ++sequence);
				CHECK_EQ(in.header.stored_len, lens[sequence - 1]);
				CHECK_EQ(frame_payload_check(&in.header, inbound_payload(&in)), 0);
				CHECK_EQ(inbound_frame_len(&in),
					 FRAME_HEADER_LEN + lens[sequence - 1]);
				/* The same again until it is done with. */
				CHECK_EQ(inbound_read(&in, server.tls), 1);
				inbound_next(&in);
			}
			CHECK_EQ(n, -EAGAIN);
		}
		CHECK_EQ(sequence, ARRAY_SIZE(lens));
		buf_release(&out);
	}
}

static void bad_headers(void **state)
{
	static const struct {
		const char *name;
		size_t offset; /* of the byte that is changed */
		size_t len, room;
		int err;
	} cases[] = {
		{ "no magic", 0, 10, sizeof(frame), -EBADMSG },
		{ "version", 6, 10, sizeof(frame), -EPROTONOSUPPORT },
		{ "checksum", 76, 10, sizeof(frame), -EBADMSG },
		{ "above the room", FRAME_HEADER_LEN, 4097, sizeof(frame), -EMSGSIZE },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct inbound in = { .frame = frame, .room = c->room };
		struct buf out = {};

		put(&out, 1, c->len);
		out.data[c->offset] ^= 0x10;
		CHECK_EQ(tls_write(client.tls, out.data, FRAME_HEADER_LEN), 0);
		move(&client, &server, SIZE_MAX);
		CHECK_EQ(inbound_read(&in, server.tls), c->err);
		CHECK(strlen(inbound_error(server.tls, c->err)) > 10);
		buf_release(&out);
	}
}

static void ends(void **state)
{
	struct inbound in = { .frame = frame, .room = sizeof(frame) };
	struct buf out = {};

	(void)state;
	put(&out, 1, 100);
	CHECK_EQ(tls_write(client.tls, out.data, out.len), 0);
	tls_close(client.tls);
	move(&client, &server, SIZE_MAX);
	CHECK_EQ(inbound_read(&in, server.tls), 1);
	inbound_next(&in);
	CHECK_EQ(inbound_read(&in, server.tls), 0);
	buf_release(&out);
}

static void ends_within_a_frame(void **state)
{
	struct inbound in = { .frame = frame, .room = sizeof(frame) };
	struct buf out = {};

	(void)state;
	put(&out, 1, 100);
	CHECK_EQ(tls_write(client.tls, out.data, out.len - 1), 0);
	tls_close(client.tls);
	move(&client, &server, SIZE_MAX);
	CHECK_EQ(inbound_read(&in, server.tls), -EPIPE);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_read, begin, end),
		cmocka_unit_test_setup_teardown(bad_headers, begin, end),
		cmocka_unit_test_setup_teardown(ends, begin, end),
		cmocka_unit_test_setup_teardown(ends_within_a_frame, begin, end),
	};

	return cmocka_run_group_tests_name("inbound", tests, make_pki, remove_pki);
}
