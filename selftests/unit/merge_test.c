/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/merge.h"

#include <errno.h>
#include <stdlib.h>

#include "selftests/unit/merge_build.h"

#define STREAMS_MAX 6
#define EVENTS_MAX 400
#define PACKETS_MAX 12000

/* What happens to a merge, in this order. */
struct event {
	unsigned int stream;
	bool is_mark;
	struct frame_header header;
	uint64_t watermark_ns; /* of a mark */
	uint64_t position;
	uint8_t *frame;
	size_t len;
};

struct expected {
	uint64_t time_ns;
	unsigned int stream;
	uint64_t sequence;
	uint32_t index, id;
	unsigned int event;
};

/* A journal of random streams, and what must come of it. */
struct world {
	struct stream_id ids[STREAMS_MAX];
	unsigned int stream_count, event_count, packet_count;
	struct event events[EVENTS_MAX];
	struct expected packets[PACKETS_MAX]; /* in order, once sorted */
	uint64_t load_calls;
	uint64_t fail_loads_after; /* 0: never */
};

static int load_event(void *context, uint32_t journal, uint64_t position, uint8_t *buf)
{
	struct world *world = context;

	world->load_calls++;
	if (world->fail_loads_after && world->load_calls > world->fail_loads_after)
		return -EIO;
	for (unsigned int i = 0; i < world->event_count; i++) {
		const struct event *event = &world->events[i];

		if (event->is_mark || event->position != position || event->stream % 2 != journal)
			continue;
		memcpy(buf, event->frame, event->len);
		return (int)event->len;
	}
	return -ENOENT;
}

static const struct merge_ops load_ops = { .load = load_event };

static const struct world *sorting;

static int compare_expected(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;
	int order;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	order = stream_id_compare(&sorting->ids[x->stream], &sorting->ids[y->stream]);
	if (order)
		return order;
	if (x->sequence != y->sequence)
		return x->sequence < y->sequence ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

static unsigned int pick(unsigned int *seed, unsigned int count)
{
	return (unsigned int)rand_r(seed) % count;
}

/* Packets no older than what the stream promised before; there may be many at the same time. */
static void add_frame(struct world *world, struct builder *builder, unsigned int stream,
		      uint64_t sequence, uint64_t promised_ns, unsigned int span,
		      uint64_t watermark_ns, unsigned int *seed)
{
	struct event *event = &world->events[world->event_count];
	unsigned int count = 1 + pick(seed, 40);
	uint64_t time_ns = promised_ns;
	bool in_order = pick(seed, 2);
	char name[16];

	snprintf(name, sizeof(name), "eth%u", stream);
	builder_begin(builder, name);
	for (unsigned int i = 0; i < count && world->packet_count < PACKETS_MAX; i++) {
		time_ns = in_order ? time_ns + pick(seed, span / 16 + 1)
				   : promised_ns + pick(seed, span);
		world->packets[world->packet_count] = (struct expected){
			.time_ns = time_ns,
			.stream = stream,
			.sequence = sequence,
			.index = i,
			.id = world->packet_count,
			.event = world->event_count,
		};
		builder_put(builder, time_ns, world->packet_count++);
	}
	builder->header.sequence = sequence;
	builder->header.watermark_ns = watermark_ns;
	builder->header.flags = in_order ? 0 : FRAME_F_LATE;
	event->stream = stream;
	event->len = builder_seal(builder);
	event->header = builder->header;
	event->frame = malloc(event->len);
	assert_non_null(event->frame);
	memcpy(event->frame, builder->frame, event->len);
	event->position = 1000 + 10 * world->event_count++;
}

static struct world *world_new(unsigned int seed, unsigned int stream_count, unsigned int span)
{
	struct world *world = calloc(1, sizeof(*world));
	uint64_t promised[STREAMS_MAX], sequence[STREAMS_MAX] = {};
	static struct builder builder;
	char agent[16];

	assert_non_null(world);
	world->stream_count = stream_count;
	for (unsigned int i = 0; i < stream_count; i++) {
		/* Not in the order in which they join. */
		snprintf(agent, sizeof(agent), "agent%u", i * 5 % stream_count / 2);
		world->ids[i] = id_of(agent, i);
		promised[i] = 1000;
	}
	while (world->event_count < EVENTS_MAX) {
		unsigned int stream = pick(&seed, stream_count);
		uint64_t next = promised[stream] + pick(&seed, span);

		if (pick(&seed, 4) == 0) {
			world->events[world->event_count++] = (struct event){
				.stream = stream,
				.is_mark = true,
				.watermark_ns = next,
			};
		} else {
			add_frame(world, &builder, stream, ++sequence[stream], promised[stream],
				  span, next, &seed);
		}
		promised[stream] = next;
	}
	sorting = world;
	qsort(world->packets, world->packet_count, sizeof(world->packets[0]), compare_expected);
	return world;
}

static void world_free(struct world *world)
{
	for (unsigned int i = 0; i < world->event_count; i++)
		free(world->events[i].frame);
	free(world);
}

static int happen(struct merge *merge, const struct event *event, const uint32_t *streams,
		  bool with_bytes, const struct merge_key *read_on)
{
	if (event->is_mark) {
		merge_watermark(merge, streams[event->stream], event->watermark_ns, 1);
		return 0;
	}
	return merge_frame(merge, streams[event->stream], event->stream % 2, event->position,
			   &event->header, with_bytes ? event->frame : NULL, event->len, 1,
			   read_on);
}

static void join_all(const struct world *world, struct merge *merge, uint32_t *streams)
{
	uint32_t again;

	for (unsigned int i = 0; i < world->stream_count; i++) {
		assert_int_equal(merge_stream(merge, &world->ids[i], &streams[i]), 0);
		assert_int_equal(merge_stream(merge, &world->ids[i], &again), 0);
		assert_int_equal(again, streams[i]);
	}
}

static void check_packet(const struct world *world, const struct expected *expected,
			 const struct merge_packet *packet)
{
	char name[16];

	snprintf(name, sizeof(name), "eth%u", expected->stream);
	assert_int_equal(packet_id(packet), expected->id);
	assert_int_equal(packet->key.time_ns, expected->time_ns);
	assert_int_equal(packet->packet.time_ns, expected->time_ns);
	assert_int_equal(packet->key.sequence, expected->sequence);
	assert_int_equal(packet->key.index, expected->index);
	assert_int_equal(stream_id_compare(&packet->key.stream, &world->ids[expected->stream]), 0);
	assert_string_equal(packet->interface->name, name);
	assert_int_equal(packet->packet.flags, PCAPNG_DIR_IN);
	assert_int_equal(packet->packet.queue, expected->id % 7);
	assert_false(packet->is_late);
}

/* No packet leaves before all streams have said that they send nothing older, and every one does
 * as soon as they have. */
static unsigned int pull(const struct world *world, struct merge *merge, unsigned int from,
			 unsigned int events_done, const uint64_t *watermarks)
{
	struct merge_packet packet;
	uint64_t lowest = UINT64_MAX;
	unsigned int due = 0;
	int n;

	for (unsigned int i = 0; i < world->stream_count; i++)
		lowest = MIN(lowest, watermarks[i]);
	while ((n = merge_next(merge, 1, &packet)) > 0) {
		assert_true(from < world->packet_count);
		assert_true(packet.key.time_ns <= lowest);
		check_packet(world, &world->packets[from], &packet);
		from++;
	}
	assert_int_equal(n, 0);
	for (unsigned int i = 0; i < world->packet_count; i++)
		due += world->packets[i].event < events_done && world->packets[i].time_ns < lowest;
	assert_true(from >= due);
	return from;
}

static const struct {
	const char *name;
	unsigned int stream_count, span;
	uint64_t memory_bytes;
	bool has_load, with_bytes;
} worlds[] = {
	{ "one stream", 1, 100000, 0, true, true },
	{ "two streams", 2, 100000, 0, true, true },
	{ "two streams, the same times", 2, 20, 0, true, true },
	{ "six streams", STREAMS_MAX, 100000, 0, true, true },
	{ "six streams, the same times", STREAMS_MAX, 10, 0, true, true },
	{ "six streams, much overlap", STREAMS_MAX, 10000000, 0, true, true },
	{ "nothing to load from", STREAMS_MAX, 1000, 1, false, true },
	{ "positions only", STREAMS_MAX, 1000, 0, true, false },
	{ "memory for no frame at all", STREAMS_MAX, 1000, 1, true, true },
	{ "memory for no frame, the same times", STREAMS_MAX, 10, 1, true, true },
	{ "memory for a few frames", STREAMS_MAX, 1000, 20000, true, true },
	{ "memory for a few frames, overlap", STREAMS_MAX, 100000, 20000, true, true },
};

static void random_streams_against_qsort(void **state)
{
	(void)state;
	FOR_EACH_CASE (c, worlds) {
		for (unsigned int seed = 1; seed <= 20; seed++) {
			struct world *world = world_new(seed, c->stream_count, c->span);
			struct merge *merge =
				merge_new(c->has_load ? &load_ops : NULL, world, c->memory_bytes);
			uint32_t streams[STREAMS_MAX];
			uint64_t watermarks[STREAMS_MAX] = {};
			unsigned int left = 0, dice = seed;

			join_all(world, merge, streams);
			for (unsigned int i = 0; i < world->event_count; i++) {
				const struct event *event = &world->events[i];

				assert_int_equal(happen(merge, event, streams, c->with_bytes, NULL),
						 0);
				watermarks[event->stream] =
					MAX(watermarks[event->stream],
					    event->is_mark ? event->watermark_ns
							   : event->header.watermark_ns);
				if (pick(&dice, 3) == 0)
					left = pull(world, merge, left, i + 1, watermarks);
			}
			CHECK(left > 0);
			if (seed % 2) {
				for (unsigned int i = 0; i < world->stream_count; i++)
					give_bye(merge, streams[i], EVENTS_MAX, 1);
			} else {
				merge_finish(merge);
			}
			memset(watermarks, 0xff, sizeof(watermarks));
			left = pull(world, merge, left, EVENTS_MAX, watermarks);
			CHECK_EQ(left, world->packet_count);
			CHECK_EQ(merge_stats(merge)->packets, world->packet_count);
			CHECK_EQ(merge_stats(merge)->late_packets, 0);
			CHECK_EQ(merge_stats(merge)->damaged_frames, 0);
			CHECK_EQ(merge_stats(merge)->frames_waiting, 0);
			CHECK_EQ(merge_stats(merge)->bytes_held, 0);
			CHECK_EQ(merge_stats(merge)->reloads, world->load_calls);
			if (c->memory_bytes == 0 && c->with_bytes)
				CHECK_EQ(world->load_calls, 0);
			if (c->memory_bytes && c->has_load)
				CHECK(world->load_calls > 0);
			CHECK_EQ(merge_low_position(merge, 0, 77), 77);
			merge_destroy(merge);
			world_free(world);
		}
	}
}

/* What merge_low_position() has passed is the caller's to overwrite. */
static void overwrite_what_left(struct world *world, const struct merge *merge)
{
	for (unsigned int i = 0; i < world->event_count; i++) {
		struct event *event = &world->events[i];
		uint32_t journal = event->stream % 2;

		if (event->frame && event->position < merge_low_position(merge, journal, 0))
			memset(event->frame, 0xee, event->len);
	}
}

static void borrowed(void **state)
{
	const struct merge_config config = { .merge_wait_ns = WAIT_NS, .borrows = true };
	struct world *world = world_new(7, 4, 1000);
	struct merge *merge = NULL;
	struct merge_packet packet;
	uint32_t streams[STREAMS_MAX];
	unsigned int left = 0;

	(void)state;
	assert_int_equal(merge_create(&merge, &config), 0);
	join_all(world, merge, streams);
	for (unsigned int i = 0; i < world->event_count; i++) {
		const struct event *event = &world->events[i];

		assert_int_equal(happen(merge, event, streams, true, NULL), 0);
		while (merge_next(merge, 1, &packet) > 0) {
			check_packet(world, &world->packets[left++], &packet);
			assert_ptr_equal(packet.block + 28, packet.packet.data);
			assert_int_equal(packet.block[0], 6);
			assert_true(pcapng_block_len(packet.block) >= 36);
		}
		overwrite_what_left(world, merge);
	}
	CHECK(left > 1000);
	merge_finish(merge);
	while (merge_next(merge, 1, &packet) > 0)
		check_packet(world, &world->packets[left++], &packet);
	CHECK_EQ(left, world->packet_count);
	CHECK_EQ(merge_stats(merge)->damaged_frames, 0);
	merge_destroy(merge);
	world_free(world);
}

static void memory_is_bounded(void **state)
{
	struct world *world = world_new(3, 4, 1000);
	/* One frame may be above the bound: the one that is being read. */
	const uint64_t bound = 20000, frame_max = 8192;
	struct merge *merge = merge_new(&load_ops, world, bound);
	struct merge_packet packet;
	uint32_t streams[STREAMS_MAX];
	unsigned int left = 0;

	(void)state;
	join_all(world, merge, streams);
	for (unsigned int i = 0; i < world->event_count; i++) {
		assert_int_equal(happen(merge, &world->events[i], streams, true, NULL), 0);
		assert_true(merge_stats(merge)->bytes_held <= bound);
	}
	CHECK(merge_stats(merge)->bytes_held > bound / 2);
	CHECK(merge_stats(merge)->frames_waiting > 200);
	merge_finish(merge);
	while (merge_next(merge, 1, &packet) > 0) {
		check_packet(world, &world->packets[left++], &packet);
		assert_true(merge_stats(merge)->bytes_held <= bound + frame_max);
	}
	CHECK_EQ(left, world->packet_count);
	merge_destroy(merge);
	world_free(world);
}

/* What is needed first is kept in memory, not what came first. */
static void later_frames_make_way(void **state)
{
	struct world world = {};
	struct merge *merge = merge_new(&load_ops, &world, 17000);
	uint32_t a = join(merge, "a"), b = join(merge, "b");
	uint64_t times[101] = {};

	(void)state;
	for (uint64_t n = 1; n <= 4; n++) {
		for (unsigned int i = 0; i < 100; i++)
			times[i] = 1000 * n + i;
		give(merge, a, n, times, 1, 0, 1);
	}
	CHECK(merge_stats(merge)->bytes_held > 15000);
	for (uint64_t n = 1; n <= 4; n++)
		give(merge, b, n, TIMES(10 * n), (uint32_t)n, 0, 1);
	merge_watermark(merge, a, 100, 1);
	merge_watermark(merge, b, 100, 1);
	CHECK_STR(drain(merge, 1), "10:1 20:2 30:3 40:4");
	CHECK_EQ(world.load_calls, 0);
	merge_destroy(merge);
}

/* From a checkpoint on the rest comes, all of it and nothing twice. */
static void resumed(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 60; seed++) {
		struct world *world = world_new(seed, 1 + seed % STREAMS_MAX, seed % 2 ? 10 : 1000);
		struct merge *merge = merge_new(&load_ops, world, seed % 3 ? 0 : 20000);
		uint32_t streams[STREAMS_MAX];
		unsigned int left = 0, cut = 20 + 5 * seed;
		struct merge_packet packet = {};
		struct merge_key key = {};
		uint64_t low[2];

		join_all(world, merge, streams);
		for (unsigned int i = 0; i < cut; i++) {
			assert_int_equal(happen(merge, &world->events[i], streams, true, NULL), 0);
			while (merge_next(merge, 1, &packet) > 0) {
				key = packet.key;
				left++;
			}
		}
		for (uint32_t journal = 0; journal < 2; journal++)
			low[journal] = merge_low_position(merge, journal, 1000 + 10 * cut);
		merge_destroy(merge);

		merge = merge_new(&load_ops, world, 0);
		join_all(world, merge, streams);
		for (unsigned int i = 0; i < EVENTS_MAX; i++) {
			const struct event *event = &world->events[i];

			if (!event->is_mark && event->position < low[event->stream % 2])
				continue;
			assert_int_equal(
				happen(merge, event, streams, true, left && i < cut ? &key : NULL),
				0);
			while (merge_next(merge, 1, &packet) > 0)
				check_packet(world, &world->packets[left++], &packet);
		}
		merge_finish(merge);
		while (merge_next(merge, 1, &packet) > 0)
			check_packet(world, &world->packets[left++], &packet);
		CHECK_EQ(left, world->packet_count);
		CHECK_EQ(merge_stats(merge)->damaged_frames, 0);
		merge_destroy(merge);
		world_free(world);
	}
}

/* What comes after the checkpoint and is older than it is late. */
static void resumed_and_late(void **state)
{
	const struct merge_key key = { .time_ns = 20, .stream = id_of("a", 0), .sequence = 1 };
	struct merge *merge = merge_new(NULL, NULL, 0);
	uint32_t a = join(merge, "a");
	struct builder *builder = malloc(sizeof(*builder));
	size_t len;

	(void)state;
	assert_non_null(builder);
	builder_begin(builder, "eth0");
	builder->header.sequence = 1;
	builder_put(builder, 20, 1);
	builder_put(builder, 20, 2);
	builder_put(builder, 30, 3);
	len = builder_seal(builder);
	CHECK_EQ(merge_frame(merge, a, 0, 1, &builder->header, builder->frame, len, 1, &key), 0);
	give(merge, a, 2, TIMES(15, 25), 4, 40, 1);
	CHECK_STR(drain(merge, 1), "15:4! 20:2 25:5 30:3");
	free(builder);
	merge_destroy(merge);
}

/* Frames with a wrong bit are counted and skipped, the others are merged. */
static void damaged_frames(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 3; round++) {
		/* In memory, from the journal, and from the journal in the middle of a frame. */
		struct world *world = world_new(9, 3, round == 2 ? 100000 : 1000);
		struct merge *merge = merge_new(&load_ops, world, round ? 1 : 0);
		unsigned int frames = 0, damaged = 0, lost = 0, expected = 0, n = 0;
		struct merge_packet packet;
		uint32_t streams[STREAMS_MAX];
		bool is_damaged[EVENTS_MAX] = {};

		join_all(world, merge, streams);
		for (unsigned int i = 0; i < world->event_count && round < 2; i++) {
			struct event *event = &world->events[i];

			if (event->is_mark || frames++ % 2)
				continue;
			event->frame[FRAME_HEADER_LEN + i % event->header.stored_len] ^= 1;
			is_damaged[i] = true;
			damaged++;
			lost += event->header.packet_count;
		}
		world->fail_loads_after = round == 2 ? 300 : 0;
		for (unsigned int i = 0; i < world->event_count; i++)
			assert_int_equal(happen(merge, &world->events[i], streams, true, NULL), 0);
		merge_finish(merge);
		while (merge_next(merge, 1, &packet) > 0) {
			while (is_damaged[world->packets[expected].event])
				expected++;
			if (round < 2)
				check_packet(world, &world->packets[expected++], &packet);
			n++;
		}
		if (round < 2) {
			CHECK_EQ(n, world->packet_count - lost);
			CHECK_EQ(merge_stats(merge)->damaged_packets, lost);
			CHECK_EQ(merge_stats(merge)->damaged_frames, damaged);
		} else {
			CHECK(n > 0);
			CHECK(merge_stats(merge)->damaged_packets > 0);
			CHECK_EQ(merge_stats(merge)->damaged_packets + n, world->packet_count);
		}
		CHECK_EQ(merge_stats(merge)->frames_waiting, 0);
		merge_destroy(merge);
		world_free(world);
	}
}

/* A good checksum over nonsense: what comes before it is given. */
static void malformed_frames(void **state)
{
	static const struct {
		const char *name;
		bool cut, compressed, no_interface, wrong_len, counted_high;
		const char *expected;
		uint64_t frames, packets;
	} cases[] = {
		{ "as it should be", 0, 0, 0, 0, 0, "10:1 20:2", 0, 0 },
		{ "cut in a block", 1, 0, 0, 0, 0, "10:1", 1, 1 },
		{ "compressed", 0, 1, 0, 0, 0, "", 1, 2 },
		{ "without the interface", 0, 0, 1, 0, 0, "", 1, 2 },
		{ "shorter than it says", 0, 0, 0, 1, 0, "", 1, 2 },
		{ "fewer packets than it says", 0, 0, 0, 0, 1, "10:1 20:2", 1, 3 },
	};
	static struct builder builder;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct merge *merge = merge_new(NULL, NULL, 0);
		uint32_t stream = join(merge, "a");
		size_t len;

		builder_begin(&builder, "eth0");
		if (c->no_interface)
			builder.len = 0;
		builder_put(&builder, 10, 1);
		builder_put(&builder, 20, 2);
		builder.header.sequence = 1;
		builder.header.packet_count += c->counted_high ? 3 : 0;
		builder.header.flags = c->compressed ? FRAME_F_ZSTD : 0;
		builder.len -= c->cut ? 4 : 0;
		len = builder_seal(&builder) - (c->wrong_len ? 1 : 0);
		CHECK_EQ(merge_frame(merge, stream, 0, 1, &builder.header, builder.frame, len, 1,
				     NULL),
			 0);
		merge_finish(merge);
		CHECK_STR(drain(merge, 1), c->expected);
		CHECK_EQ(merge_stats(merge)->damaged_frames, c->frames);
		CHECK_EQ(merge_stats(merge)->damaged_packets, c->packets);
		merge_destroy(merge);
	}
}

/* The last packet of a frame and its interface stay until the next one is asked for. */
static void a_packet_stays(void **state)
{
	struct merge *merge = merge_new(NULL, NULL, 0);
	uint32_t a = join(merge, "a");
	struct merge_packet packet;

	(void)state;
	give(merge, a, 1, TIMES(10), 1, 20, 1);
	CHECK_EQ(merge_low_position(merge, 0, 99), 1);
	CHECK_EQ(merge_next(merge, 1, &packet), 1);
	CHECK_EQ(merge_low_position(merge, 0, 99), 99);
	give(merge, a, 2, TIMES(30), 2, 40, 1);
	CHECK_EQ(merge_low_position(merge, 0, 99), 2);
	CHECK_EQ(packet_id(&packet), 1);
	CHECK_STR(packet.interface->name, "eth0");
	CHECK_EQ(merge_next(merge, 1, &packet), 1);
	CHECK_EQ(packet_id(&packet), 2);
	CHECK_EQ(merge_next(merge, 1, &packet), 0);
	merge_destroy(merge);
}

/* A peer whose watermark does not move cannot make the merge hold without end. */
static void note_statistics(void *context, const struct stream_id *stream,
			    const struct pcapng_interface *interface,
			    const struct pcapng_statistics *statistics)
{
	char *seen = context;

	snprintf(seen + strlen(seen), 200 - strlen(seen), "%s/%s %d; ", stream->agent,
		 interface->name, (int)statistics->received);
}

/* Before the frame's packets, or without any; the position of what is read does not stand still. */
static void frames_tell_numbers(void **state)
{
	static struct builder builder;
	struct pcapng_statistics numbers = { .received = 5 };
	struct merge *merge = merge_new(NULL, NULL, 0);
	uint32_t a = join(merge, "a");
	struct merge_packet packet;
	char seen[200] = "";
	size_t len;

	(void)state;
	merge_on_statistics(merge, note_statistics, seen);
	for (uint64_t sequence = 1; sequence <= 2; sequence++) {
		builder_begin(&builder, "eth0");
		builder.header.sequence = sequence;
		builder.len += pcapng_put_statistics(builder.frame + FRAME_HEADER_LEN + builder.len,
						     1000, &numbers);
		if (sequence == 1)
			builder_put(&builder, 100, 1);
		else
			builder.header.first_ns = builder.header.last_ns = 100;
		len = builder_seal(&builder);
		assert_int_equal(merge_frame(merge, a, 0, sequence, &builder.header, builder.frame,
					     len, 1, NULL),
				 0);
		numbers.received++;
	}
	CHECK_STR(seen, "");
	merge_finish(merge);
	CHECK_EQ(merge_next(merge, 1, &packet), 1);
	CHECK_STR(seen, "a/eth0 5; ");
	CHECK_EQ(merge_low_position(merge, 0, 9), 2);
	CHECK_EQ(merge_next(merge, 1, &packet), 0);
	CHECK_STR(seen, "a/eth0 5; a/eth0 6; ");
	CHECK_EQ(merge_low_position(merge, 0, 9), 9);
	CHECK_EQ(merge_stats(merge)->damaged_frames, 0);
	merge_destroy(merge);
}

static void frames_have_a_limit(void **state)
{
	struct world world = {};
	struct merge *merge = merge_new(&load_ops, &world, 1);
	uint32_t a = join(merge, "a"), b = join(merge, "b");
	struct frame_header header = { .type = FRAME_PACKETS, .packet_count = 1 };
	struct merge_packet packet;

	(void)state;
	merge_watermark(merge, b, 10, 1);
	for (uint32_t i = 1; i < MERGE_FRAMES_MAX; i++) {
		header.sequence = i;
		header.first_ns = 20 + i;
		header.watermark_ns = 20 + i;
		assert_int_equal(merge_frame(merge, a, 0, i, &header, NULL, 0, 1, NULL), 0);
	}
	CHECK_EQ(merge_next(merge, 1, &packet), 0);
	CHECK_EQ(merge_stats(merge)->streams_left_out, 0);
	header.sequence = MERGE_FRAMES_MAX;
	CHECK_EQ(merge_frame(merge, a, 0, MERGE_FRAMES_MAX, &header, NULL, 0, 1, NULL), 0);
	CHECK_EQ(merge_stats(merge)->streams_left_out, 1);
	CHECK_EQ(merge_next(merge, 1, &packet), 0);
	CHECK_EQ(merge_stats(merge)->frames_waiting, 0);
	CHECK_EQ(merge_stats(merge)->damaged_frames,
		 MERGE_FRAMES_MAX); /* nothing to load them from */
	merge_destroy(merge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_streams_against_qsort),
		TEST(borrowed),
		TEST(memory_is_bounded),
		TEST(later_frames_make_way),
		TEST(resumed),
		TEST(resumed_and_late),
		TEST(damaged_frames),
		TEST(malformed_frames),
		TEST(a_packet_stays),
		TEST(frames_tell_numbers),
		TEST(frames_have_a_limit),
	};

	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
