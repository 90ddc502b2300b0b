/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/message.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "common/cursor.h"

#define JSON_LEN_MAX (64 * KIB)
#define ACK_FIXED_LEN 16
#define ACK_RANGE_LEN 16
#define NACK_LEN 16
#define LOSS_LEN 48

static const char *const loss_reasons[] = {
#define X(id, name) [LOSS_##id] = name,
	LOSS_REASONS(X)
#undef X
};

static const char *const nack_reasons[] = {
	[NACK_DAMAGED] = "damaged",
	[NACK_UNKNOWN] = "unknown_type",
	[NACK_STORE] = "store",
};

const char *loss_reason_name(uint32_t reason)
{
	return reason < ARRAY_SIZE(loss_reasons) ? loss_reasons[reason] : "unknown";
}

const char *nack_reason_name(uint32_t reason)
{
	return reason < ARRAY_SIZE(nack_reasons) && nack_reasons[reason] ? nack_reasons[reason]
									 : "unknown";
}

/* Where the payload of a frame with len bytes of it goes, or NULL; put_end() completes it. */
static uint8_t *put_begin(struct buf *out, size_t len)
{
	uint8_t *frame = buf_reserve(out, FRAME_HEADER_LEN + len);

	return frame ? frame + FRAME_HEADER_LEN : NULL;
}

static void put_end(struct buf *out, struct frame_header *header, const uint8_t *payload,
		    size_t len)
{
	frame_seal(out->data + out->len, header, payload, len);
	buf_commit(out, FRAME_HEADER_LEN + len);
}

static int put_empty(struct buf *out, struct frame_header *header)
{
	const uint8_t *payload = put_begin(out, 0);

	if (!payload)
		return -ENOMEM;
	put_end(out, header, payload, 0);
	return 0;
}

/* Takes root over; NULL stands for values that JSON cannot hold, or no memory. */
static int put_json(struct buf *out, struct frame_header *header, json_t *root)
{
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	uint8_t *payload = NULL;
	int err = -EINVAL;

	if (!text)
		goto out;
	err = -ENOMEM;
	payload = put_begin(out, len);
	if (!payload)
		goto out;
	memcpy(payload, text, len);
	put_end(out, header, payload, len);
	err = 0;
out:
	free(text);
	json_decref(root);
	return err;
}

static int get_json(json_t **ret, const void *payload, size_t len)
{
	json_error_t error;
	json_t *root;

	if (len > JSON_LEN_MAX)
		return -EMSGSIZE;
	root = json_loadb(payload, len, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EBADMSG;
	*ret = root;
	return 0;
}

static int copy_text(char *to, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		return -EMSGSIZE;
	memcpy(to, text, len + 1);
	return 0;
}

int message_hello_put(struct buf *out, const struct message_hello *hello)
{
	struct frame_header header = { .type = FRAME_CONTROL, .flags = FRAME_F_CRITICAL };

	return put_json(out, &header,
			json_pack("{s:{s:I,s:I,s:s,s:s,s:s}}", "hello", "version_min",
				  (json_int_t)hello->version_min, "version_max",
				  (json_int_t)hello->version_max, "program", hello->program, "host",
				  hello->host, "abilities", hello->abilities));
}

int message_hello_get(struct message_hello *ret, const void *payload, size_t len)
{
	const char *program = "", *host = "", *abilities = "";
	struct message_hello hello;
	json_int_t min, max;
	json_t *root;
	int err;

	err = get_json(&root, payload, len);
	if (err)
		return err;
	err = -EBADMSG;
	if (json_unpack(root, "{s:{s:I,s:I,s?s,s?s,s?s}}", "hello", "version_min", &min,
			"version_max", &max, "program", &program, "host", &host, "abilities",
			&abilities) != 0)
		goto out;
	if (min < 1 || max < min || max > UINT32_MAX)
		goto out;
	hello.version_min = (uint32_t)min;
	hello.version_max = (uint32_t)max;
	err = copy_text(hello.program, sizeof(hello.program), program);
	if (!err)
		err = copy_text(hello.host, sizeof(hello.host), host);
	if (!err)
		err = copy_text(hello.abilities, sizeof(hello.abilities), abilities);
	if (!err)
		*ret = hello;
out:
	json_decref(root);
	return err;
}

int message_hello_agree(const struct message_hello *peer)
{
	return peer->version_min <= PROTOCOL_VERSION && peer->version_max >= PROTOCOL_VERSION
		       ? PROTOCOL_VERSION
		       : -EPROTONOSUPPORT;
}

int message_refusal_put(struct buf *out, const char *reason)
{
	struct frame_header header = { .type = FRAME_CONTROL };

	return put_json(out, &header, json_pack("{s:s}", "refused", reason));
}

int message_refusal_get(char ret[MESSAGE_REFUSAL_LEN], const void *payload, size_t len)
{
	const char *reason;
	json_t *root;
	int err;

	err = get_json(&root, payload, len);
	if (err)
		return err;
	reason = json_string_value(json_object_get(root, "refused"));
	err = reason ? copy_text(ret, MESSAGE_REFUSAL_LEN, reason) : -ENOENT;
	json_decref(root);
	return err;
}

static void instance_text(char out[2 * INSTANCE_LEN + 1], const uint8_t instance[INSTANCE_LEN])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < INSTANCE_LEN; i++) {
		*out++ = digits[instance[i] >> 4];
		*out++ = digits[instance[i] & 15];
	}
	*out = '\0';
}

/* Lower case only: one stream has one spelling. */
static int instance_parse(uint8_t out[INSTANCE_LEN], const char *text)
{
	if (strlen(text) != 2 * INSTANCE_LEN)
		return -EBADMSG;
	for (size_t i = 0; i < 2 * INSTANCE_LEN; i++) {
		uint8_t digit;

		if (text[i] >= '0' && text[i] <= '9')
			digit = (uint8_t)(text[i] - '0');
		else if (text[i] >= 'a' && text[i] <= 'f')
			digit = (uint8_t)(text[i] - 'a' + 10);
		else
			return -EBADMSG;
		out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | digit : digit << 4);
	}
	return 0;
}

int message_open_put(struct buf *out, uint32_t stream, const struct message_open *open)
{
	struct frame_header header = { .type = FRAME_OPEN, .stream = stream };
	char instance[2 * INSTANCE_LEN + 1];

	assert(stream);
	if (open->next_sequence > INT64_MAX)
		return -EINVAL;
	instance_text(instance, open->id.instance);
	return put_json(out, &header,
			json_pack("{s:{s:s,s:s,s:I,s:b,s:I}}", "open", "agent", open->id.agent,
				  "instance", instance, "lane", (json_int_t)open->id.lane, "replay",
				  open->id.replay, "next_sequence",
				  (json_int_t)open->next_sequence));
}

int message_open_get(struct message_open *ret, const void *payload, size_t len)
{
	struct message_open open = {};
	const char *agent, *instance;
	json_int_t lane, next;
	int replay = 0, err;
	json_t *root;

	err = get_json(&root, payload, len);
	if (err)
		return err;
	err = -EBADMSG;
	if (json_unpack(root, "{s:{s:s,s:s,s:I,s?b,s:I}}", "open", "agent", &agent, "instance",
			&instance, "lane", &lane, "replay", &replay, "next_sequence", &next) != 0)
		goto out;
	if (!agent_id_valid(agent) || lane < 0 || lane > UINT32_MAX || next < 1)
		goto out;
	err = instance_parse(open.id.instance, instance);
	if (err)
		goto out;
	memcpy(open.id.agent, agent, strlen(agent) + 1);
	open.id.lane = (uint32_t)lane;
	open.id.replay = replay;
	open.next_sequence = (uint64_t)next;
	*ret = open;
out:
	json_decref(root);
	return err;
}

int message_ack_put(struct buf *out, uint32_t stream, uint64_t credit_bytes,
		    const struct ranges *durable)
{
	struct frame_header header = { .type = FRAME_ACK, .stream = stream };
	uint32_t count = MIN(durable->count, (uint32_t)MESSAGE_RANGES_MAX);
	uint32_t skipped = durable->count - count;
	size_t len = ACK_FIXED_LEN + (size_t)count * ACK_RANGE_LEN;
	uint8_t *payload = put_begin(out, len);
	struct cursor c;

	if (!payload)
		return -ENOMEM;
	c = cursor_writer(payload, len);
	cursor_put_u64(&c, credit_bytes);
	cursor_put_u32(&c, count);
	cursor_put_u32(&c, 0);
	for (uint32_t i = skipped; i < durable->count; i++) {
		cursor_put_u64(&c, durable->list[i].from);
		cursor_put_u64(&c, durable->list[i].to);
	}
	assert(cursor_ok(&c));
	put_end(out, &header, payload, len);
	return 0;
}

int message_ack_get(struct message_ack *ret, const void *payload, size_t len)
{
	struct cursor c = cursor_reader(payload, len);
	struct message_ack ack = {};
	uint64_t highest = 0;
	uint32_t count;
	int err;

	ack.credit_bytes = cursor_get_u64(&c);
	count = cursor_get_u32(&c);
	cursor_skip(&c, 4);
	if (count > MESSAGE_RANGES_MAX)
		return -EMSGSIZE;
	if (cursor_left(&c) < (size_t)count * ACK_RANGE_LEN)
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t from = cursor_get_u64(&c), to = cursor_get_u64(&c);

		/* Ascending and with a gap between: the set has one form. */
		err = -EBADMSG;
		if (from <= highest || (i && from == highest + 1) || to < from)
			goto fail;
		err = ranges_add(&ack.durable, from, to);
		if (err)
			goto fail;
		highest = to;
	}
	if (!cursor_ok(&c))
		return -EBADMSG;
	*ret = ack;
	return 0;
fail:
	ranges_release(&ack.durable);
	return err;
}

int message_nack_put(struct buf *out, uint32_t stream, const struct message_nack *nack)
{
	struct frame_header header = { .type = FRAME_NACK, .stream = stream };
	uint8_t *payload = put_begin(out, NACK_LEN);
	struct cursor c;

	if (!payload)
		return -ENOMEM;
	c = cursor_writer(payload, NACK_LEN);
	cursor_put_u64(&c, nack->sequence);
	cursor_put_u32(&c, nack->reason);
	cursor_put_u32(&c, 0);
	put_end(out, &header, payload, NACK_LEN);
	return 0;
}

int message_nack_get(struct message_nack *ret, const void *payload, size_t len)
{
	struct cursor c = cursor_reader(payload, len);
	struct message_nack nack;

	nack.sequence = cursor_get_u64(&c);
	nack.reason = cursor_get_u32(&c);
	cursor_skip(&c, 4);
	if (!cursor_ok(&c))
		return -EBADMSG;
	*ret = nack;
	return 0;
}

int message_loss_put(struct buf *out, uint32_t stream, const struct message_loss *loss)
{
	struct frame_header header = { .type = FRAME_LOSS, .stream = stream, .sequence = loss->to };
	uint8_t *payload = put_begin(out, LOSS_LEN);
	struct cursor c;

	assert(loss->from >= 1 && loss->from <= loss->to);
	if (!payload)
		return -ENOMEM;
	c = cursor_writer(payload, LOSS_LEN);
	cursor_put_u64(&c, loss->from);
	cursor_put_u64(&c, loss->to);
	cursor_put_u32(&c, loss->reason);
	cursor_put_u32(&c, 0);
	cursor_put_u64(&c, loss->packets);
	cursor_put_u64(&c, loss->wire_packets);
	cursor_put_u64(&c, loss->bytes);
	put_end(out, &header, payload, LOSS_LEN);
	return 0;
}

int message_loss_get(struct message_loss *ret, const void *payload, size_t len)
{
	struct cursor c = cursor_reader(payload, len);
	struct message_loss loss;

	loss.from = cursor_get_u64(&c);
	loss.to = cursor_get_u64(&c);
	loss.reason = cursor_get_u32(&c);
	cursor_skip(&c, 4);
	loss.packets = cursor_get_u64(&c);
	loss.wire_packets = cursor_get_u64(&c);
	loss.bytes = cursor_get_u64(&c);
	if (!cursor_ok(&c) || loss.from < 1 || loss.to < loss.from)
		return -EBADMSG;
	*ret = loss;
	return 0;
}

int message_mark_put(struct buf *out, uint32_t stream, uint64_t watermark_ns)
{
	struct frame_header header = { .type = FRAME_MARK,
				       .stream = stream,
				       .watermark_ns = watermark_ns };

	return put_empty(out, &header);
}

int message_bye_put(struct buf *out, uint32_t stream, uint64_t sequence, uint64_t watermark_ns)
{
	struct frame_header header = { .type = FRAME_BYE,
				       .stream = stream,
				       .sequence = sequence,
				       .watermark_ns = watermark_ns };

	assert(sequence);
	return put_empty(out, &header);
}
