/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first byte is the frame type, the rest a payload. What decodes must encode, and decode again
 * to the same.
 */
#include <assert.h>
#include <string.h>

#include "common/message.h"
#include "selftests/fuzz/fuzz.h"

static const uint8_t *payload(const struct buf *frame, size_t *len)
{
	struct frame_header header;
	int err = frame_header_decode(&header, frame->data);

	assert(!err && frame->len == FRAME_HEADER_LEN + header.stored_len);
	assert(frame_payload_check(&header, frame->data + FRAME_HEADER_LEN) == 0);
	*len = header.stored_len;
	return frame->data + FRAME_HEADER_LEN;
}

static void try_refusal(struct buf *frame, const uint8_t *data, size_t len)
{
	char first[MESSAGE_REFUSAL_LEN], second[MESSAGE_REFUSAL_LEN];
	const uint8_t *again;
	int err;

	if (message_refusal_get(first, data, len))
		return;
	err = message_refusal_put(frame, first);
	assert(!err);
	again = payload(frame, &len);
	err = message_refusal_get(second, again, len);
	assert(!err && strcmp(first, second) == 0);
}

static void try_hello(struct buf *frame, const uint8_t *data, size_t len)
{
	struct message_hello first = {}, second = {};
	const uint8_t *again;
	int err;

	if (message_hello_get(&first, data, len))
		return;
	(void)!message_hello_agree(&first);
	err = message_hello_put(frame, &first);
	assert(!err);
	again = payload(frame, &len);
	err = message_hello_get(&second, again, len);
	assert(!err && first.version_min == second.version_min);
	assert(first.version_max == second.version_max);
	assert(strcmp(first.program, second.program) == 0);
	assert(strcmp(first.host, second.host) == 0);
	assert(strcmp(first.abilities, second.abilities) == 0);
}

static void try_open(struct buf *frame, const uint8_t *data, size_t len)
{
	struct message_open first, second;
	const uint8_t *again;
	int err;

	if (message_open_get(&first, data, len))
		return;
	err = message_open_put(frame, 1, &first);
	assert(!err);
	again = payload(frame, &len);
	err = message_open_get(&second, again, len);
	assert(!err && stream_id_equal(&first.id, &second.id));
	assert(first.next_sequence == second.next_sequence);
}

static void try_ack(struct buf *frame, const uint8_t *data, size_t len)
{
	struct message_ack ack;
	const uint8_t *again;
	size_t again_len;
	int err;

	if (message_ack_get(&ack, data, len))
		return;
	err = message_ack_put(frame, 1, ack.credit_bytes, &ack.durable);
	assert(!err);
	/* The four reserved bytes and what follows the last range are not kept. */
	again = payload(frame, &again_len);
	assert(again_len <= len && memcmp(again, data, 12) == 0);
	assert(memcmp(again + 16, data + 16, again_len - 16) == 0);
	ranges_release(&ack.durable);
}

static void try_nack(struct buf *frame, const uint8_t *data, size_t len)
{
	struct message_nack nack;
	const uint8_t *again;
	int err;

	if (message_nack_get(&nack, data, len))
		return;
	(void)nack_reason_name(nack.reason);
	err = message_nack_put(frame, 1, &nack);
	assert(!err);
	again = payload(frame, &len);
	assert(memcmp(again, data, 12) == 0);
}

static void try_loss(struct buf *frame, const uint8_t *data, size_t len)
{
	struct message_loss loss;
	const uint8_t *again;
	int err;

	if (message_loss_get(&loss, data, len))
		return;
	(void)loss_reason_name(loss.reason);
	err = message_loss_put(frame, 1, &loss);
	assert(!err);
	again = payload(frame, &len);
	assert(memcmp(again, data, 20) == 0 && memcmp(again + 24, data + 24, 24) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf frame = {};

	if (!len)
		return 0;
	switch (data[0]) {
	case FRAME_CONTROL:
		try_hello(&frame, data + 1, len - 1);
		buf_clear(&frame);
		try_refusal(&frame, data + 1, len - 1);
		break;
	case FRAME_OPEN:
		try_open(&frame, data + 1, len - 1);
		break;
	case FRAME_ACK:
		try_ack(&frame, data + 1, len - 1);
		break;
	case FRAME_NACK:
		try_nack(&frame, data + 1, len - 1);
		break;
	case FRAME_LOSS:
		try_loss(&frame, data + 1, len - 1);
		break;
	}
	buf_release(&frame);
	return 0;
}
