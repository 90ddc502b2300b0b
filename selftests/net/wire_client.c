/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sender of frames that does what it is told, right or wrong, for tests of a receiver:
 *
 *   wire_client [--agent ID] [--lane N] [--instance HEX] [--replay] [--ca F --cert F --key F]
 *               HOST:PORT STEP...
 *
 * A step is a word, NAME or NAME=VALUE, see steps[]. What the receiver says is printed, a line an
 * event: "ack TO", "nack SEQUENCE REASON", "refused TEXT", "hello VERSION..VERSION", "closed".
 * Exit status: 0, or 1 with the step that failed on standard error.
 *
 * Frame s of the stream holds the packets whose times are in its interval after --base (default:
 * now), and each packet names agent, sequence and index: a frame sent twice is the same.
 */
#include "selftests/net/wire_client.h"

#include <getopt.h>

static int do_connect(struct client *c, const char *value)
{
	(void)value;
	for (unsigned int i = 0; i < c->address.count; i++) {
		c->fd = socket(c->address.list[i].any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd >= 0 &&
		    !connect(c->fd, &c->address.list[i].any, c->address.list[i].len)) {
			c->is_closed = false;
			return 0;
		}
		close(c->fd);
		c->fd = -1;
	}
	return -1;
}

static int do_tls(struct client *c, const char *value)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + WAIT_MS * NS_PER_MS;
	int err;

	(void)value;
	if (tls_create(&c->tls, c->context, c->address.host))
		return -1;
	while ((err = tls_handshake(c->tls)) == -EAGAIN && !c->is_closed &&
	       clock_ns(CLOCK_MONOTONIC) < end)
		receive(c, 100);
	flush(c);
	return err ? failed("tls: %s", tls_error(c->tls)) : 0;
}

static int put_hello(struct client *c, uint32_t min, uint32_t max)
{
	struct message_hello hello = {
		.version_min = min, .version_max = max, .program = "wire_client", .host = "test"
	};

	return message_hello_put(&c->out, &hello) ?: write_out(c);
}

static int do_hello(struct client *c, const char *value)
{
	uint32_t version = value ? (uint32_t)strtoul(value, NULL, 10) : PROTOCOL_VERSION;

	return put_hello(c, version, version) ?: wait_for(c, &c->has_hello);
}

static int do_open(struct client *c, const char *value)
{
	struct message_open open = { .id = c->id, .next_sequence = c->next };

	if (value)
		snprintf(open.id.agent, sizeof(open.id.agent), "%s", value);
	c->has_ack = false;
	return message_open_put(&c->out, 1, &open) ?: write_out(c);
}

static int do_opened(struct client *c, const char *value)
{
	(void)value;
	if (wait_for(c, &c->has_ack))
		return -1;
	c->next = MAX(c->next, ranges_max(&c->durable) + 1);
	return 0;
}

static int do_up(struct client *c, const char *value)
{
	(void)value;
	return do_connect(c, NULL) ?: do_tls(c, NULL) ?: do_hello(c, NULL) ?: do_open(c, NULL) ?:
	       do_opened(c, NULL);
}

static int do_frames(struct client *c, const char *value)
{
	uint64_t count = value ? strtoull(value, NULL, 10) : 1;

	while (count--) {
		put_frame(c, c->next++);
		if (write_out(c))
			return -1;
	}
	return 0;
}

static int do_again(struct client *c, const char *value)
{
	put_frame(c, strtoull(value ? value : "1", NULL, 10));
	return write_out(c);
}

/* Damages the byte of the next frame that is so far from its start. */
static int put_damaged(struct client *c, size_t offset)
{
	size_t begin = put_frame(c, c->next++);

	c->out.data[begin + offset] ^= 0x55;
	return write_out(c);
}

static int do_bad_payload(struct client *c, const char *value)
{
	(void)value;
	return put_damaged(c, FRAME_HEADER_LEN + 5);
}

static int do_bad_header(struct client *c, const char *value)
{
	(void)value;
	return put_damaged(c, 20);
}

static int put_header(struct client *c, const struct frame_header *header)
{
	uint8_t bytes[FRAME_HEADER_LEN];

	frame_header_encode(bytes, header);
	buf_append(&c->out, bytes, sizeof(bytes));
	return write_out(c);
}

static int do_oversized(struct client *c, const char *value)
{
	struct frame_header header = { .type = FRAME_PACKETS,
				       .stream = 1,
				       .sequence = c->next++,
				       .stored_len = FRAME_PAYLOAD_MAX + 1 };

	(void)value;
	return put_header(c, &header);
}

/* Frame of type VALUE without payload; "!VALUE": critical. */
static int do_type(struct client *c, const char *value)
{
	bool critical = value && *value == '!';
	struct frame_header header = { .stream = 1, .sequence = c->next++ };

	if (!value)
		return -1;
	header.type = (uint8_t)atoi(value + critical);
	header.flags = critical ? FRAME_F_CRITICAL : 0;
	return put_header(c, &header);
}

static int do_unopened(struct client *c, const char *value)
{
	struct frame_header header = { .type = FRAME_STATS, .stream = 77, .sequence = 1 };

	(void)value;
	return put_header(c, &header);
}

static int do_half(struct client *c, const char *value)
{
	size_t begin = put_frame(c, c->next);

	(void)value;
	c->out.len = begin + (c->out.len - begin) / 2;
	return write_out(c);
}

static int do_garbage(struct client *c, const char *value)
{
	const char *text = value ? value : "GET / HTTP/1.0\r\n\r\n";

	return send(c->fd, text, strlen(text), MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* LOSS of the next VALUE frames. */
static int do_loss(struct client *c, const char *value)
{
	uint64_t count = value ? strtoull(value, NULL, 10) : 1;
	struct message_loss loss = { .from = c->next,
				     .to = c->next + count - 1,
				     .reason = LOSS_JOURNAL_FULL,
				     .packets = count * c->packets,
				     .wire_packets = count * c->packets,
				     .bytes = count };

	c->next += count;
	return message_loss_put(&c->out, 1, &loss) ?: write_out(c);
}

static int do_mark(struct client *c, const char *value)
{
	uint64_t ns = value ? strtoull(value, NULL, 10) : clock_ns(CLOCK_REALTIME) - NS_PER_MS;

	return message_mark_put(&c->out, 1, ns) ?: write_out(c);
}

static int do_bye(struct client *c, const char *value)
{
	uint64_t sequence = c->next++;

	(void)value;
	return message_bye_put(&c->out, 1, sequence, time_of(c, sequence, 0)) ?: write_out(c);
}

/* All that was sent is acknowledged. */
static int do_acked(struct client *c, const char *value)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + WAIT_MS * NS_PER_MS;

	(void)value;
	while (ranges_next_missing(&c->durable, 1) < c->next && !c->is_closed &&
	       clock_ns(CLOCK_MONOTONIC) < end)
		receive(c, 100);
	return ranges_next_missing(&c->durable, 1) >= c->next ? 0 : -1;
}

static int do_nacked(struct client *c, const char *value)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) + WAIT_MS * NS_PER_MS;

	while (!c->nacks && !c->is_closed && clock_ns(CLOCK_MONOTONIC) < end)
		receive(c, 100);
	if (!c->nacks || (value && strcmp(value, nack_reason_name(c->last_nack_reason)) != 0))
		return -1;
	c->nacks = 0;
	return 0;
}

/* The receiver ends the connection. */
static int do_ended(struct client *c, const char *value)
{
	uint64_t end = clock_ns(CLOCK_MONOTONIC) +
		       (value ? strtoull(value, NULL, 10) : WAIT_MS) * NS_PER_MS;

	while (!c->is_closed && clock_ns(CLOCK_MONOTONIC) < end)
		receive(c, 100);
	return c->is_closed ? 0 : -1;
}

static int do_pause(struct client *c, const char *value)
{
	uint64_t end =
		clock_ns(CLOCK_MONOTONIC) + strtoull(value ? value : "1000", NULL, 10) * NS_PER_MS;

	while (clock_ns(CLOCK_MONOTONIC) < end)
		if (c->is_closed || !c->tls)
			usleep(10000);
		else
			receive(c, 10);
	return 0;
}

static int do_close(struct client *c, const char *value)
{
	(void)value;
	if (c->tls) {
		tls_close(c->tls);
		flush(c);
	}
	tls_destroy(c->tls);
	c->tls = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->have = 0;
	c->has_hello = false;
	c->is_closed = false;
	return 0;
}

static void count_unacked(struct client *c, uint64_t next, size_t frame_len)
{
	uint64_t missing = ranges_next_missing(&c->durable, 1);

	c->unacked_bytes = missing < next ? (next - missing) * frame_len : 0;
}

/*
 * VALUE frames, each when its time has come, whatever becomes of the receiver: after a cut it
 * connects again and sends again what is not acknowledged.
 */
static int do_run(struct client *c, const char *value)
{
	uint64_t first = c->next, last = first + strtoull(value ? value : "100", NULL, 10) - 1;
	uint64_t next = first, give_up = clock_ns(CLOCK_MONOTONIC) + 120 * NS_PER_SEC;
	size_t frame_len = FRAME_HEADER_LEN + c->packets * (c->size + 48ul);

	while (ranges_next_missing(&c->durable, 1) <= last) {
		if (clock_ns(CLOCK_MONOTONIC) > give_up)
			return failed("run: %" PRIu64 " of %" PRIu64 " acknowledged", c->acked_max,
				      last);
		if (!c->tls || c->is_closed) {
			do_close(c, NULL);
			if (do_up(c, NULL)) {
				usleep(50000);
				continue;
			}
			next = ranges_next_missing(&c->durable, 1);
		}
		while (next <= last && clock_ns(CLOCK_REALTIME) >= time_of(c, next + 1, 0)) {
			count_unacked(c, next, frame_len);
			if (c->unacked_bytes && c->unacked_bytes + frame_len > c->credit)
				break;
			put_frame(c, next++);
			if (write_out(c))
				c->is_closed = true;
		}
		receive(c, next <= last && c->interval_ns < 10 * NS_PER_MS ? 1 : 10);
		if (c->nacks) { /* the store is full: all of it again, in order */
			c->nacks = 0;
			usleep(200000);
			while (receive(c, 0))
				;
			c->nacks = 0;
			next = ranges_next_missing(&c->durable, 1);
		}
	}
	c->next = last + 1;
	return 0;
}

/* As many frames as credit allows, for VALUE seconds; prints the rate. */
static int do_flood(struct client *c, const char *value)
{
	double seconds = value ? strtod(value, NULL) : 1;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC), first = c->next;
	uint64_t end = begin + (uint64_t)(seconds * (double)NS_PER_SEC);
	size_t len = FRAME_HEADER_LEN + c->packets * (c->size + 48ul);

	c->interval_ns = NS_PER_US;
	while (clock_ns(CLOCK_MONOTONIC) < end && !c->is_closed) {
		count_unacked(c, c->next, len);
		if (c->unacked_bytes + len > c->credit) {
			receive(c, 100);
			continue;
		}
		c->base_ns = clock_ns(CLOCK_REALTIME) - c->next * c->interval_ns;
		put_frame(c, c->next++);
		len = c->out.len;
		if (write_out(c))
			return -1;
		receive(c, 0);
	}
	buf_clear(&c->out);
	if (do_acked(c, NULL))
		return -1;
	seconds = (double)(clock_ns(CLOCK_MONOTONIC) - begin) / (double)NS_PER_SEC;
	printf("flood %.0f packets/s %.1f MB/s\n",
	       (double)((c->next - first) * c->packets) / seconds,
	       (double)((c->next - first) * len) / seconds / 1e6);
	return 0;
}

static int do_packets(struct client *c, const char *value)
{
	c->packets = value ? (uint32_t)strtoul(value, NULL, 10) : 10;
	return 0;
}

static int do_size(struct client *c, const char *value)
{
	c->size = value ? (uint32_t)strtoul(value, NULL, 10) : 100;
	return c->size < 64 ? -1 : 0;
}

static int do_interval(struct client *c, const char *value)
{
	c->interval_ns = strtoull(value ? value : "10", NULL, 10) * NS_PER_MS;
	return 0;
}

static int do_link_type(struct client *c, const char *value)
{
	c->link_type = (uint16_t)atoi(value ? value : "1");
	return 0;
}

static int do_quiet(struct client *c, const char *value)
{
	(void)value;
	c->quiet = true;
	return 0;
}

static int do_next(struct client *c, const char *value)
{
	c->next = strtoull(value ? value : "1", NULL, 10);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct client *c, const char *value);
} steps[] = {
	{ "connect", do_connect },
	{ "tls", do_tls },
	{ "hello", do_hello },
	{ "open", do_open },
	{ "opened", do_opened },
	{ "up", do_up },
	{ "frames", do_frames },
	{ "again", do_again },
	{ "bad-payload", do_bad_payload },
	{ "bad-header", do_bad_header },
	{ "oversized", do_oversized },
	{ "type", do_type },
	{ "unopened", do_unopened },
	{ "half", do_half },
	{ "garbage", do_garbage },
	{ "loss", do_loss },
	{ "mark", do_mark },
	{ "bye", do_bye },
	{ "acked", do_acked },
	{ "nacked", do_nacked },
	{ "ended", do_ended },
	{ "pause", do_pause },
	{ "close", do_close },
	{ "run", do_run },
	{ "flood", do_flood },
	{ "packets", do_packets },
	{ "size", do_size },
	{ "interval", do_interval },
	{ "next", do_next },
	{ "link-type", do_link_type },
	{ "quiet", do_quiet },
};

static int run_step(struct client *c, char *step)
{
	char *value = strchr(step, '=');

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		if (strcmp(steps[i].name, step) != 0)
			continue;
		if (steps[i].run(c, value) == 0)
			return 0;
		return failed("step %s%s%s failed", step, value ? "=" : "", value ? value : "");
	}
	return failed("no such step: %s", step);
}

static void parse_instance(struct client *c, const char *text)
{
	unsigned int byte;

	for (size_t i = 0; i < INSTANCE_LEN && sscanf(text + 2 * i, "%2x", &byte) == 1; i++)
		c->id.instance[i] = (uint8_t)byte;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "agent", required_argument, NULL, 'a' },
		{ "lane", required_argument, NULL, 'l' },
		{ "instance", required_argument, NULL, 'i' },
		{ "replay", no_argument, NULL, 'r' },
		{ "ca", required_argument, NULL, 'c' },
		{ "cert", required_argument, NULL, 'C' },
		{ "key", required_argument, NULL, 'k' },
		{ "base", required_argument, NULL, 'b' },
		{},
	};
	const char *ca = NULL, *cert = NULL, *key = NULL;
	struct client *c = calloc(1, sizeof(*c));
	char error[TLS_ERROR_LEN];
	int option, err = 0;

	if (!c)
		return 1;
	*c = (struct client){ .fd = -1,
			      .next = 1,
			      .packets = 10,
			      .size = 100,
			      .link_type = LINKTYPE_ETHERNET,
			      .interval_ns = 10 * NS_PER_MS,
			      .id.instance = { 1 },
			      .base_ns = clock_ns(CLOCK_REALTIME) };
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			snprintf(c->id.agent, sizeof(c->id.agent), "%s", optarg);
			break;
		case 'l':
			c->id.lane = (uint32_t)atoi(optarg);
			break;
		case 'i':
			parse_instance(c, optarg);
			break;
		case 'r':
			c->id.replay = true;
			break;
		case 'c':
			ca = optarg;
			break;
		case 'C':
			cert = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		case 'b':
			c->base_ns = strtoull(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	if (optind >= argc || addr_resolve(&c->address, argv[optind], 9227, false))
		return failed("no address to connect to") ? 2 : 2;
	if (ca && tls_context_create(&c->context, TLS_CLIENT, ca, cert, key, error))
		return failed("%s", error) ? 1 : 1;
	if (c->context && !c->id.agent[0])
		snprintf(c->id.agent, sizeof(c->id.agent), "%s", tls_context_id(c->context));
	for (int i = optind + 1; i < argc && !err; i++)
		err = run_step(c, argv[i]);
	do_close(c, NULL);
	tls_context_destroy(c->context);
	ranges_release(&c->durable);
	buf_release(&c->out);
	free(c);
	return err ? 1 : 0;
}
