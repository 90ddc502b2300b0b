/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/frame_builder_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "selftests/unit/check.h"

static char path[64];
static struct memory_journal *journal;
static struct source *sources[1];
static uint64_t position;
static _Atomic uint64_t taken[4];

static uint64_t fake_position(const struct source *source)
{
	(void)source;
	return position;
}

static const struct pcapng_interface *fake_describe(const struct source *source, uint32_t interface)
{
	(void)source;
	(void)interface;
	return NULL;
}

static const struct source_ops live_ops = { .name = "fake", .position = fake_position };
static const struct source_ops replay_ops = { .name = "fake",
					      .position = fake_position,
					      .describe = fake_describe };
static struct source live = { .ops = &live_ops, .id = 77 };
static struct source replay = { .ops = &replay_ops, .id = 78, .is_replay = true };

static int open_journal(size_t size_bytes, bool is_replay)
{
	struct memory_journal_config config = {
		.path = path,
		.agent = "a",
		.replay = is_replay,
		.size_bytes = size_bytes,
		.when_full = WHEN_FULL_DROP_NEWEST,
	};

	return memory_journal_open(&journal, &config);
}

static struct frame_builder *begin(struct source *source, size_t batch_bytes)
{
	struct frame_builder *builder;

	snprintf(path, sizeof(path), "/dev/shm/frame_builder_test.%d", (int)getpid());
	unlink(path);
	position = 0;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		taken[i] = 0;
	sources[0] = source;
	assert_int_equal(open_journal(4 * MIB, source->is_replay), 0);
	assert_int_equal(frame_builder_create(&builder, journal, sources, 1, batch_bytes), 0);
	return builder;
}

static void end(struct frame_builder *builder)
{
	frame_builder_destroy(builder);
	memory_journal_remove(journal);
}

static enum frame_builder_result put(struct frame_builder *builder, uint32_t interface,
				     uint64_t time_ns, uint32_t len)
{
	static uint8_t data[FRAME_PAYLOAD_MAX];
	struct source_packet packet = {
		.time_ns = time_ns,
		.data = data,
		.captured_len = len,
		.original_len = len + 4,
		.wire_packets = 2,
		.interface = interface,
		.direction = PCAPNG_DIR_OUT,
		.has_queue = true,
		.queue = 3,
	};
	enum frame_builder_result result;

	memset(data, (int)interface, len);
	for (;;) {
		result = frame_builder_append(builder, sources[0], &packet);
		if (result == FRAME_BUILDER_INTERFACE) {
			struct pcapng_interface description = { .link_type = LINKTYPE_ETHERNET,
								.snaplen = 262144 };

			snprintf(description.name, sizeof(description.name), "if%u", interface);
			result = frame_builder_interface(
				builder, sources[0], interface,
				&(struct frame_builder_interface){ .description = &description,
								   .taken = &taken[interface],
								   .account = 1000 + interface });
		}
		if (result == FRAME_BUILDER_CLOSE)
			CHECK(frame_builder_commit(builder, 0));
		if (result != FRAME_BUILDER_CLOSE && result != FRAME_BUILDER_AGAIN)
			break;
	}
	position++;
	return result;
}

/* Decodes what is in the journal, frame by frame. */
struct seen {
	unsigned int frames, packets, interfaces, late_frames, statistics;
	uint64_t received; /* by the last statistics, of the interface */
	char told_name[PCAPNG_NAME_MAX];
	uint64_t last_ns, wire_packets;
	char last_name[PCAPNG_NAME_MAX];
};

static struct seen read_journal(void)
{
	struct memory_journal_reader *reader;
	struct memory_journal_frame frame;
	struct pcapng_decoder *decoder;
	struct pcapng_packet packet;
	enum pcapng_item item;
	struct seen seen = {};
	ssize_t n;

	assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
	assert_int_equal(pcapng_decoder_create(&decoder, PCAPNG_FROM_FRAME), 0);
	while (memory_journal_next(reader, &frame)) {
		const uint8_t *at = frame.data + FRAME_HEADER_LEN;
		size_t left = frame.header.stored_len;
		unsigned int packets = 0;

		seen.frames++;
		seen.wire_packets += frame.header.wire_count;
		seen.late_frames += !!(frame.header.flags & FRAME_F_LATE);
		CHECK_EQ(frame_payload_check(&frame.header, at), 0);
		CHECK_EQ(frame.header.sequence, seen.frames);
		CHECK_EQ(frame.header.stream, 1);
		pcapng_decoder_reset(decoder, PCAPNG_FROM_FRAME);
		while (left && (n = pcapng_decode(decoder, at, left, &item, &packet)) > 0) {
			if (item == PCAPNG_ITEM_INTERFACE) {
				CHECK_EQ(packets, 0); /* all in front */
				seen.interfaces++;
			}
			if (item == PCAPNG_ITEM_STATISTICS) {
				const struct pcapng_statistics *told =
					pcapng_decoder_statistics(decoder);

				CHECK_EQ(packets, 0);
				seen.statistics++;
				seen.received = told->received;
				snprintf(seen.told_name, sizeof(seen.told_name), "%s",
					 pcapng_decoder_interface(decoder, told->interface)->name);
			}
			if (item == PCAPNG_ITEM_PACKET) {
				packets++;
				CHECK_EQ(packet.original_len, packet.captured_len + 4);
				CHECK(packet.time_ns >= frame.header.first_ns);
				CHECK(packet.time_ns <= frame.header.last_ns);
				CHECK_EQ(packet.flags & 3, PCAPNG_DIR_OUT);
				CHECK_EQ(packet.queue, 3);
				seen.last_ns = packet.time_ns;
				snprintf(seen.last_name, sizeof(seen.last_name), "%s",
					 pcapng_decoder_interface(decoder, packet.interface)->name);
			}
			at += n;
			left -= (size_t)n;
		}
		CHECK_EQ(left, 0);
		CHECK_EQ(packets, frame.header.packet_count);
		seen.packets += packets;
	}
	pcapng_decoder_destroy(decoder);
	memory_journal_reader_destroy(reader);
	return seen;
}

static void every_frame_decodes_alone(void **state)
{
	struct frame_builder *builder = begin(&replay, 4096);
	struct seen seen;

	(void)state;
	for (unsigned int i = 0; i < 300; i++)
		CHECK_EQ(put(builder, i % 3, 1000 + i, 60 + i), FRAME_BUILDER_DONE);
	CHECK(frame_builder_commit(builder, 5));
	CHECK(!frame_builder_commit(builder, 5));
	seen = read_journal();
	CHECK_EQ(seen.packets, 300);
	CHECK_EQ(seen.wire_packets, 600);
	CHECK(seen.frames > 10);
	CHECK_EQ(seen.last_ns, 1299);
	CHECK_STR(seen.last_name, "if2");
	end(builder);
}

static void a_packet_larger_than_the_batch_has_its_own_frame(void **state)
{
	struct frame_builder *builder = begin(&replay, 4096);
	struct seen seen;

	(void)state;
	CHECK_EQ(put(builder, 0, 1, 60), FRAME_BUILDER_DONE);
	CHECK_EQ(put(builder, 0, 2, 262144), FRAME_BUILDER_DONE);
	CHECK_EQ(put(builder, 0, 3, 60), FRAME_BUILDER_DONE);
	(void)frame_builder_commit(builder, 0);
	seen = read_journal();
	CHECK_EQ(seen.packets, 3);
	CHECK(seen.frames >= 2);
	end(builder);
}

static void disorder_is_flagged(void **state)
{
	struct frame_builder *builder = begin(&replay, 65536);

	(void)state;
	CHECK_EQ(put(builder, 0, 10, 60), FRAME_BUILDER_DONE);
	CHECK_EQ(put(builder, 0, 9, 60), FRAME_BUILDER_LATE);
	CHECK_EQ(put(builder, 0, 10, 60), FRAME_BUILDER_DONE);
	(void)frame_builder_commit(builder, 0);
	CHECK_EQ(read_journal().late_frames, 1);
	end(builder);
}

static void live_times_become_utc(void **state)
{
	struct frame_builder *builder = begin(&live, 65536);
	uint64_t now = clock_ns(CLOCK_MONOTONIC), utc = clock_ns(CLOCK_REALTIME), got;

	(void)state;
	CHECK_EQ(put(builder, 0, now, 60), FRAME_BUILDER_DONE);
	(void)frame_builder_commit(builder, 0);
	got = read_journal().last_ns;
	CHECK(got + NS_PER_MS > utc && got < utc + NS_PER_MS);
	got = frame_builder_utc(builder, now);
	CHECK(got + NS_PER_MS > utc && got < utc + NS_PER_MS);
	end(builder);
}

static void a_full_journal_is_counted(void **state)
{
	struct frame_builder *builder = begin(&live, 65536);
	uint64_t packets, wire_packets, bytes;
	struct memory_journal_stats stats;
	unsigned int dropped = 0;

	(void)state;
	for (unsigned int i = 0; i < 20000; i++)
		dropped += put(builder, 0, i, 1000) == FRAME_BUILDER_DROPPED;
	(void)frame_builder_commit(builder, 0);
	frame_builder_progress(builder);
	CHECK(dropped > 10000 && dropped < 20000);
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.lost_packets[LOSS_JOURNAL_FULL], dropped);
	CHECK_EQ(stats.lost_wire_packets[LOSS_JOURNAL_FULL], 2 * dropped);
	CHECK_EQ(read_journal().packets, 20000 - dropped);
	frame_builder_totals(builder, &packets, &wire_packets, &bytes);
	CHECK_EQ(packets, 20000);
	CHECK_EQ(wire_packets, 40000);
	end(builder);
}

static void a_recording_waits_for_room(void **state)
{
	struct frame_builder *builder = begin(&replay, 65536);
	uint64_t packets, wire_packets, bytes;
	struct memory_journal_stats stats;
	unsigned int fit = 0;

	(void)state;
	while (put(builder, 0, fit, 1000) == FRAME_BUILDER_DONE)
		fit++;
	CHECK(fit > 1000);
	CHECK_EQ(put(builder, 0, fit, 1000), FRAME_BUILDER_WAIT);
	frame_builder_progress(builder);
	/* Whatever its frame, there is none so large. */
	CHECK_EQ(put(builder, 0, fit, FRAME_PAYLOAD_MAX), FRAME_BUILDER_DROPPED);
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.lost_packets[LOSS_JOURNAL_FULL], 1);
	frame_builder_totals(builder, &packets, &wire_packets, &bytes);
	CHECK_EQ(packets, fit + 1);
	end(builder);
}

static void totals_and_positions_outlive_the_process(void **state)
{
	struct frame_builder *builder = begin(&replay, 65536);
	uint64_t packets, wire_packets, bytes, value = 0;

	(void)state;
	for (unsigned int i = 0; i < 10; i++)
		(void)put(builder, 0, i, 100);
	frame_builder_progress(builder);
	(void)put(builder, 0, 10, 100); /* not told of: it was not given back either */
	frame_builder_destroy(builder);
	memory_journal_close(journal);

	assert_int_equal(open_journal(4 * MIB, true), 0);
	CHECK(memory_journal_position(journal, replay.id, &value));
	CHECK_EQ(value, 10);
	assert_int_equal(frame_builder_create(&builder, journal, sources, 1, 65536), 0);
	frame_builder_totals(builder, &packets, &wire_packets, &bytes);
	CHECK_EQ(packets, 10);
	CHECK_EQ(wire_packets, 20);
	CHECK_EQ(bytes, 1000);
	CHECK_EQ(read_journal().packets, 10);
	end(builder);
}

/* What id 1 is called at the moment; the others are gone. */
static const char *current_name;

static bool describe_current(void *context, uint32_t id, uint16_t generation,
			     struct frame_builder_interface *ret)
{
	static struct pcapng_interface current;

	(void)context;
	(void)generation;
	current = (struct pcapng_interface){ .link_type = LINKTYPE_ETHERNET, .snaplen = 262144 };
	snprintf(current.name, sizeof(current.name), "%s", current_name);
	*ret = (struct frame_builder_interface){ .description = &current,
						 .taken = &taken[id],
						 .account = 1000 + id };
	return id == 1;
}

static void packets_after_a_change_are_of_the_interface_as_it_is(void **state)
{
	static const struct {
		const char *name, *current;
		unsigned int frames, interfaces;
	} cases[] = {
		/* Those of before stay in a frame of their own, as they were. */
		{ "renamed", "new", 2, 3 },
		{ "as it was", "if1", 1, 2 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct frame_builder *builder = begin(&live, 65536);
		struct seen seen;

		CHECK_EQ(put(builder, 2, 1, 60), FRAME_BUILDER_DONE);
		(void)frame_builder_commit(builder, 0);
		CHECK_EQ(put(builder, 1, 2, 60), FRAME_BUILDER_DONE);
		current_name = c->current;
		frame_builder_review(builder, describe_current, NULL);
		CHECK_EQ(put(builder, 1, 3, 60), FRAME_BUILDER_DONE);
		(void)frame_builder_commit(builder, 0);
		seen = read_journal();
		CHECK_EQ(seen.packets, 3);
		CHECK_EQ(seen.frames, 1 + c->frames);
		/* The one that is gone was described twice, before the review. */
		CHECK_EQ(seen.interfaces, 1 + c->interfaces);
		CHECK_STR(seen.last_name, c->current);
		end(builder);
	}
}

/* Of each interface, when the journal has them; those of earlier daemons too. */
static void what_was_taken_of_an_interface_outlives_the_process(void **state)
{
	struct frame_builder *builder = begin(&live, 65536);

	(void)state;
	(void)put(builder, 0, 0, 100);
	CHECK_EQ(taken[0], 0);
	for (unsigned int i = 1; i < 10; i++)
		(void)put(builder, i % 2, i, 100);
	frame_builder_progress(builder);
	CHECK_EQ(taken[0], 5);
	CHECK_EQ(taken[1], 5);
	(void)put(builder, 1, 10, 100); /* not told of */
	frame_builder_destroy(builder);
	memory_journal_close(journal);

	assert_int_equal(open_journal(4 * MIB, false), 0);
	CHECK_EQ(frame_builder_taken(journal, 1000), 5);
	CHECK_EQ(frame_builder_taken(journal, 1001), 5);
	CHECK_EQ(frame_builder_taken(journal, 1002), 0);
	assert_int_equal(frame_builder_create(&builder, journal, sources, 1, 65536), 0);
	taken[1] = 5;
	(void)put(builder, 1, 11, 100);
	CHECK(frame_builder_commit(builder, 0));
	CHECK_EQ(taken[1], 6);
	CHECK_EQ(frame_builder_taken(journal, 1000), 5);
	CHECK_EQ(frame_builder_taken(journal, 1001), 6);
	end(builder);
}

static struct pcapng_statistics numbers(uint64_t received)
{
	return (struct pcapng_statistics){ .interface = 12345, /* does not matter */
					   .time_ns = 1,
					   .received = received,
					   .dropped = PCAPNG_UNKNOWN,
					   .filter_accepted = PCAPNG_UNKNOWN,
					   .os_dropped = PCAPNG_UNKNOWN,
					   .delivered = PCAPNG_UNKNOWN };
}

static void frames_tell_an_interface_s_numbers(void **state)
{
	struct frame_builder *builder = begin(&live, 65536);
	struct pcapng_statistics told = numbers(1);
	struct seen seen;

	(void)state;
	CHECK(!frame_builder_statistics(builder, NULL, 1, &told));
	/* Two frames: the first one does not describe the other interface. */
	(void)put(builder, 0, 1, 100);
	(void)put(builder, 1, 2, 100);
	CHECK(frame_builder_commit(builder, 0));
	CHECK_EQ(frame_builder_put_statistics(builder, 0), 0);
	/* In the next frame, once. */
	CHECK(frame_builder_statistics(builder, NULL, 1, &told));
	(void)put(builder, 0, 3, 100);
	CHECK(frame_builder_commit(builder, 0));
	(void)put(builder, 0, 4, 100);
	CHECK(frame_builder_commit(builder, 0));
	seen = read_journal();
	CHECK_EQ(seen.frames, 4);
	CHECK_EQ(seen.statistics, 1);
	CHECK_EQ(seen.received, 1);
	CHECK_STR(seen.told_name, "if1");
	/* A frame that is too small for its first packet is no frame. */
	told = numbers(2);
	CHECK(frame_builder_statistics(builder, NULL, 1, &told));
	(void)put(builder, 1, 5, 200000);
	CHECK(frame_builder_commit(builder, 0));
	CHECK_EQ(read_journal().received, 2);
	/* What comes while a frame is open is for the next; at the end, one without packets. */
	told = numbers(3);
	CHECK(frame_builder_statistics(builder, NULL, 1, &told));
	(void)put(builder, 1, 6, 100);
	told = numbers(4);
	CHECK(frame_builder_statistics(builder, NULL, 1, &told));
	CHECK(frame_builder_commit(builder, 0));
	CHECK_EQ(read_journal().received, 3);
	CHECK_EQ(frame_builder_put_statistics(builder, 0), 1);
	CHECK_EQ(frame_builder_put_statistics(builder, 0), 0);
	seen = read_journal();
	CHECK_EQ(seen.frames, 7);
	CHECK_EQ(seen.statistics, 4);
	CHECK_EQ(seen.received, 4);
	CHECK_EQ(seen.packets, 6);
	end(builder);
}

/* Of one that no packet will come of, what waits is told, and then it is forgotten. */
static void the_last_numbers_of_an_interface_that_is_gone_are_told(void **state)
{
	struct frame_builder *builder = begin(&live, 65536);
	struct pcapng_statistics told = numbers(7);
	struct seen seen;

	(void)state;
	(void)put(builder, 1, 1, 100);
	(void)put(builder, 2, 2, 100);
	CHECK(frame_builder_commit(builder, 0));
	CHECK_EQ(taken[2], 1);
	CHECK(frame_builder_statistics(builder, NULL, 2, &told));
	current_name = "if1";
	CHECK(!frame_builder_waits_to_forget(builder));
	frame_builder_review(builder, describe_current, NULL);
	CHECK(frame_builder_waits_to_forget(builder));
	/* Its number may be another's meanwhile. */
	told = numbers(8);
	CHECK(!frame_builder_statistics(builder, NULL, 2, &told));
	CHECK_EQ(frame_builder_put_statistics(builder, 0), 1);
	CHECK(!frame_builder_waits_to_forget(builder));
	CHECK_EQ(frame_builder_put_statistics(builder, 0), 0);
	seen = read_journal();
	CHECK_EQ(seen.statistics, 1);
	CHECK_EQ(seen.received, 7);
	CHECK_STR(seen.told_name, "if2");
	/* What is there goes on; what comes by that number later counts anew from the journal. */
	(void)put(builder, 1, 3, 100);
	(void)put(builder, 2, 4, 100);
	CHECK(frame_builder_commit(builder, 0));
	CHECK_EQ(taken[1], 2);
	CHECK_EQ(taken[2], 2);
	CHECK_EQ(frame_builder_taken(journal, 1001), 2);
	CHECK_EQ(frame_builder_taken(journal, 1002), 2);
	end(builder);
}

/* A recording may have any number of interfaces, and numbers of each. */
static void a_recording_with_many_interfaces(void **state)
{
	struct frame_builder *builder = begin(&replay, 65536);
	struct source_packet packet = {
		.captured_len = 4,
		.original_len = 8,
		.wire_packets = 1,
		.direction = PCAPNG_DIR_OUT,
		.has_queue = true,
		.queue = 3,
	};
	struct frame_builder_interface known = {};
	struct pcapng_statistics told = numbers(1);
	struct seen seen;

	(void)state;
	packet.data = (const uint8_t *)"data";
	for (uint32_t i = 0; i < 2000; i++) {
		packet.interface = i;
		packet.time_ns = i + 1;
		CHECK_EQ(frame_builder_append(builder, &replay, &packet), FRAME_BUILDER_INTERFACE);
		CHECK_EQ(frame_builder_interface(builder, &replay, i, &known), FRAME_BUILDER_AGAIN);
		CHECK_EQ(frame_builder_append(builder, &replay, &packet), FRAME_BUILDER_DONE);
		CHECK(frame_builder_commit(builder, 0));
	}
	CHECK(builder->known_count < 50);
	for (uint32_t i = 0; i < 1000; i++) {
		CHECK_EQ(frame_builder_interface(builder, &replay, i, &known), FRAME_BUILDER_AGAIN);
		CHECK(frame_builder_statistics(builder, &replay, i, &told));
	}
	CHECK_EQ(frame_builder_put_statistics(builder, 0), 1);
	CHECK_EQ(frame_builder_put_statistics(builder, 0), 1);
	CHECK_EQ(frame_builder_put_statistics(builder, 0), 0);
	seen = read_journal();
	CHECK_EQ(seen.frames, 2002);
	CHECK_EQ(seen.packets, 2000);
	CHECK_EQ(seen.statistics, 1000);
	end(builder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_frame_decodes_alone),
		TEST(a_packet_larger_than_the_batch_has_its_own_frame),
		TEST(disorder_is_flagged),
		TEST(live_times_become_utc),
		TEST(a_full_journal_is_counted),
		TEST(a_recording_waits_for_room),
		TEST(totals_and_positions_outlive_the_process),
		TEST(packets_after_a_change_are_of_the_interface_as_it_is),
		TEST(what_was_taken_of_an_interface_outlives_the_process),
		TEST(frames_tell_an_interface_s_numbers),
		TEST(the_last_numbers_of_an_interface_that_is_gone_are_told),
		TEST(a_recording_with_many_interfaces),
	};

	return cmocka_run_group_tests_name("frame_builder", tests, NULL, NULL);
}
