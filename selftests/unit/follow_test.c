/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real journals, written and read in one thread, and a reader that crashes when it is told to. */
#include "aggregator/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/unit/check.h"

#define JOURNALS 2
#define STREAMS 4
#define FRAMES_MAX 400
#define PACKETS 3
#define HOUR_NS (3600 * NS_PER_SEC)

struct sender {
	struct stream_id id;
	uint32_t journal, number; /* in the journal */
	uint32_t place;		  /* on the board */
	bool on_board;
	struct store_stream info;
	uint64_t sequence, time_ns;
};

static char dir[] = "/tmp/xcap-follow.XXXXXX";
static struct loop *loop;
static struct store *store;
static struct journal *journals[JOURNALS];
static struct sender senders[STREAMS];
static struct follow *follow;
static uint8_t frame[FRAME_HEADER_LEN + 4096];

static void committed(void *context, uint64_t position, int err)
{
	(void)context;
	(void)position;
	CHECK_EQ(err, 0);
}

static void open_store(void)
{
	char error[STORE_ERROR_LEN];

	assert_int_equal(store_open(&store, dir, JOURNALS, error), 0);
	for (unsigned int i = 0; i < STREAMS; i++)
		senders[i].on_board = false;
}

static void publish(uint32_t journal)
{
	struct store_journal state = { .stats = *journal_stats(journals[journal]) };

	store_set_journal(store, journal, &state);
}

static int begin(void **state)
{
	memcpy(strrchr(dir, '.'), ".XXXXXX", 7);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(loop_create(&loop, 64), 0);
	open_store();
	for (uint32_t i = 0; i < JOURNALS; i++) {
		struct journal_config config = { .dir = store_journal_dir(store, i),
						 .segment_bytes = 2 * MIB,
						 .buffer_bytes = 4 * MIB,
						 .committed = committed };
		struct journal_recovery recovery;

		assert_int_equal(journal_open(&journals[i], loop, &config, &recovery), 0);
		publish(i);
	}
	for (unsigned int i = 0; i < STREAMS; i++) {
		senders[i] = (struct sender){ .journal = i % JOURNALS, .time_ns = 1000 };
		snprintf(senders[i].id.agent, sizeof(senders[i].id.agent), "agent-%u", i);
		assert_int_equal(
			journal_stream(journals[i % JOURNALS], &senders[i].id, &senders[i].number),
			0);
	}
	return check_begin(state);
}

static int end(void **state)
{
	char command[64];

	follow_close(follow);
	follow = NULL;
	for (uint32_t i = 0; i < JOURNALS; i++) {
		CHECK_EQ(journal_flush(journals[i]), 0);
		journal_close(journals[i]);
	}
	store_close(store);
	loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK_EQ(system(command), 0);
	return check_end(state);
}

static void open_follow(bool replay, uint64_t wait_ns, const struct checkpoint *from)
{
	const struct follow_config config = { .store = store,
					      .replay = replay,
					      .merge_wait_ns = wait_ns };

	assert_int_equal(follow_open(&follow, &config, from), 0);
}

/* What the board says of the sender. */
static void tell(struct sender *s, bool connected, uint64_t watermark_ns, uint64_t position)
{
	s->info.id = s->id;
	s->info.number = s->number;
	s->info.connected = connected;
	s->info.watermark_ns = watermark_ns;
	s->info.position = position;
	if (s->on_board)
		store_set_stream(store, s->journal, s->place, &s->info);
	else
		assert_int_equal(store_add_stream(store, s->journal, &s->info, &s->place), 0);
	s->on_board = true;
}

/* A frame of PACKETS packets, step_ns apart, durable and published; type BYE: an empty one. */
static void put_frame(struct sender *s, uint8_t type, uint64_t step_ns, bool with_watermark)
{
	struct pcapng_interface interface = { .link_type = LINKTYPE_ETHERNET,
					      .name = "eth0",
					      .tsresol = 9 };
	struct frame_header header = { .type = type, .stream = 1, .sequence = ++s->sequence };
	uint8_t *payload = frame + FRAME_HEADER_LEN, data[20] = {};
	size_t len = 0;

	if (type == FRAME_PACKETS) {
		header.packet_count = PACKETS;
		header.first_ns = s->time_ns + step_ns;
		header.last_ns = s->time_ns + PACKETS * step_ns;
		len = pcapng_put_interface(payload, 4096, &interface);
	}
	for (int i = 0; i < PACKETS && type == FRAME_PACKETS; i++) {
		struct pcapng_packet packet = { .captured_len = sizeof(data),
						.original_len = sizeof(data),
						.data = data };

		s->time_ns += step_ns;
		packet.time_ns = s->time_ns;
		len += pcapng_put_packet(payload + len, 4096 - len, &packet, NULL);
	}
	header.watermark_ns = with_watermark ? s->time_ns : 0;
	frame_seal(frame, &header, payload, len);
	assert_int_equal(journal_append(journals[s->journal], s->number, &header, frame,
					FRAME_HEADER_LEN + len),
			 0);
	assert_int_equal(journal_flush(journals[s->journal]), 0);
	publish(s->journal);
}

static void read_all(void)
{
	int n;

	while ((n = follow_read(follow)) > 0)
		;
	CHECK_EQ(n, 0);
}

static unsigned int count_given(void)
{
	struct merge_packet packet;
	unsigned int count = 0;

	read_all();
	while (merge_next(follow_merge(follow), follow_clock(follow), &packet) == 1)
		count++;
	return count;
}

static void starts_at_the_end(void **state)
{
	(void)state;
	tell(&senders[0], true, 0, 0);
	put_frame(&senders[0], FRAME_PACKETS, 10, true);
	open_follow(false, HOUR_NS, NULL);
	CHECK_EQ(count_given(), 0);
	put_frame(&senders[0], FRAME_PACKETS, 10, true);
	CHECK_EQ(count_given(), PACKETS);
	CHECK_EQ(follow_behind_bytes(follow), 0);
	CHECK_EQ(follow_packets(follow), PACKETS);
}

/* A stream that is open and has said nothing holds the others back: it may have older packets. */
static void waits_for_those_that_are_open(void **state)
{
	(void)state;
	open_follow(false, HOUR_NS, NULL);
	tell(&senders[0], true, 0, 0);
	tell(&senders[1], true, 0, 0);
	put_frame(&senders[0], FRAME_PACKETS, 10, true);
	CHECK_EQ(count_given(), 0);
	tell(&senders[1], true, 2000, 0);
	CHECK_EQ(count_given(), PACKETS);
}

/* MARK counts on the frames before it: not before they are read. */
static void watermark_waits_for_its_position(void **state)
{
	struct sender *s = &senders[0];

	(void)state;
	open_follow(false, HOUR_NS, NULL);
	tell(s, true, 0, 0);
	put_frame(s, FRAME_PACKETS, 10, false);
	CHECK_EQ(count_given(), 0);
	tell(s, true, 5000, journal_position(journals[0]) + 8);
	CHECK_EQ(count_given(), 0);
	put_frame(&senders[2], FRAME_PACKETS, 1000, true); /* the same journal moves on */
	CHECK_EQ(count_given(), 2 * PACKETS);
}

static void other_kind_is_ignored(void **state)
{
	(void)state;
	senders[0].id.replay = true;
	assert_int_equal(journal_stream(journals[0], &senders[0].id, &senders[0].number), 0);
	open_follow(false, HOUR_NS, NULL);
	tell(&senders[0], true, 0, 0);
	tell(&senders[1], true, 0, 0);
	put_frame(&senders[0], FRAME_PACKETS, 10, true);
	put_frame(&senders[1], FRAME_PACKETS, 10, true);
	CHECK_EQ(count_given(), PACKETS);
	CHECK_EQ(follow_packets(follow), PACKETS);
}

static void silence_ends_the_waiting(void **state)
{
	uint64_t began;

	(void)state;
	open_follow(false, 50 * NS_PER_MS, NULL);
	tell(&senders[0], true, 0, 0);
	tell(&senders[1], true, 0, 0);
	put_frame(&senders[0], FRAME_PACKETS, 10, true);
	began = follow_clock(follow);
	while (!count_given())
		usleep(1000);
	CHECK(follow_clock(follow) - began >= 50 * NS_PER_MS);
	CHECK(merge_stats(follow_merge(follow))->times_left_out >= 1);
}

/* The record of every second repeats what silent streams have said; that is no word of theirs. */
static void repeated_watermarks_are_silence(void **state)
{
	struct journal_watermark mark = { .stream = senders[0].number, .watermark_ns = 500 };
	uint64_t began;

	(void)state;
	open_follow(false, 100 * NS_PER_MS, NULL);
	tell(&senders[0], true, 500, 0);
	read_all();
	began = follow_clock(follow);
	while (!merge_stats(follow_merge(follow))->streams_left_out &&
	       follow_clock(follow) - began < NS_PER_SEC) {
		CHECK_EQ(journal_append_watermarks(journals[0], &mark, 1), 0);
		CHECK_EQ(journal_flush(journals[0]), 0);
		publish(0);
		tell(&senders[0], true, 500, 0);
		CHECK_EQ(count_given(), 0);
		usleep(1000);
	}
	CHECK_EQ(merge_stats(follow_merge(follow))->streams_left_out, 1);
	mark.watermark_ns = 501;
	CHECK_EQ(journal_append_watermarks(journals[0], &mark, 1), 0);
	CHECK_EQ(journal_flush(journals[0]), 0);
	publish(0);
	CHECK_EQ(count_given(), 0);
	CHECK_EQ(merge_stats(follow_merge(follow))->streams_left_out, 0);
}

/* Nor does time pass while the store takes nothing, or the output stands still. */
static void clock_stands_still(void **state)
{
	struct store_journal failing = { .failing = true };
	uint64_t before;

	(void)state;
	open_follow(false, HOUR_NS, NULL);
	read_all();
	before = follow_clock(follow);
	usleep(2000);
	store_set_journal(store, 1, &failing);
	read_all();
	CHECK_EQ(follow_clock(follow), before);
	publish(1);
	usleep(2000);
	follow_hold_clock(follow);
	read_all();
	CHECK_EQ(follow_clock(follow), before);
	usleep(2000);
	read_all();
	CHECK(follow_clock(follow) > before);
	CHECK(follow_clock(follow) - before < NS_PER_SEC);
}

/* After a restart, those that were open have the time to come back before it goes on. */
static void remembers_who_was_open(void **state)
{
	struct checkpoint checkpoint = {};

	(void)state;
	open_follow(false, HOUR_NS, NULL);
	tell(&senders[0], true, 0, 0);
	tell(&senders[1], true, 500, 0);
	CHECK_EQ(count_given(), 0);
	CHECK_EQ(follow_checkpoint(follow, &checkpoint), 0);
	CHECK_EQ(checkpoint.journals[0].live_count, 1);
	CHECK_EQ(checkpoint.journals[1].live_count, 1);
	follow_close(follow);
	store_close(store);
	open_store();
	publish(0);
	publish(1);
	open_follow(false, HOUR_NS, &checkpoint);
	tell(&senders[0], true, 0, 0);
	put_frame(&senders[0], FRAME_PACKETS, 10, true);
	CHECK_EQ(count_given(), 0);
	put_frame(&senders[1], FRAME_PACKETS, 20, true);
	CHECK(count_given() >= PACKETS);
	checkpoint_release(&checkpoint);
}

/* The model of an output: what it was given, in order, and how much of it is durable. */
static struct given {
	struct merge_key key;
	bool is_late;
} given[STREAMS * FRAMES_MAX * PACKETS * 2];
static unsigned int given_count, given_durable;
static struct merge_key last;
static bool has_last;

static void drain(void)
{
	struct merge_packet packet;
	bool is_late;

	while (merge_next(follow_merge(follow), follow_clock(follow), &packet) == 1) {
		is_late = packet.is_late || (has_last && packet.key.time_ns < last.time_ns);
		assert_true(given_count < ARRAY_SIZE(given));
		given[given_count++] = (struct given){ packet.key, is_late };
		if (is_late)
			continue;
		last = packet.key;
		has_last = true;
	}
}

static void take_checkpoint(struct checkpoint *checkpoint)
{
	struct checkpoint taken = { .has_key = has_last, .key = last };

	if (follow_checkpoint(follow, &taken))
		return;
	checkpoint_release(checkpoint);
	*checkpoint = taken;
	given_durable = given_count;
}

static void crash(struct checkpoint *checkpoint)
{
	follow_close(follow);
	store_close(store);
	open_store();
	publish(0);
	publish(1);
	given_count = given_durable;
	has_last = checkpoint->has_key;
	last = checkpoint->key;
	open_follow(false, HOUR_NS, checkpoint);
	/* At once: what was read before is not read again yet. */
	if (rand() % 2)
		take_checkpoint(checkpoint);
}

static void check_given(void)
{
	static uint8_t seen[STREAMS][FRAMES_MAX + 2][PACKETS];
	uint64_t before = 0;

	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < given_count; i++) {
		const struct merge_key *key = &given[i].key;

		seen[key->stream.agent[6] - '0'][key->sequence][key->index]++;
		if (given[i].is_late)
			continue;
		CHECK(key->time_ns >= before);
		before = key->time_ns;
	}
	for (unsigned int s = 0; s < STREAMS; s++)
		for (uint64_t f = 1; f < senders[s].sequence; f++) /* the last is BYE */
			for (int p = 0; p < PACKETS; p++)
				CHECK_EQ(seen[s][f][p], 1);
}

static void random_step(struct checkpoint *checkpoint)
{
	struct sender *s = &senders[rand() % STREAMS];
	unsigned int what = (unsigned int)rand() % 100;

	if (what < 60 && s->sequence < FRAMES_MAX) {
		if (!s->on_board)
			tell(s, true, 0, 0);
		put_frame(s, FRAME_PACKETS, 1 + (uint64_t)rand() % 20, rand() % 4);
	} else if (what < 75) {
		tell(s, rand() % 5, s->time_ns, journal_position(journals[s->journal]));
	} else if (what < 90) {
		(void)!follow_read(follow);
		drain();
		if (rand() % 3 == 0)
			take_checkpoint(checkpoint);
	} else if (what < 94) {
		crash(checkpoint);
	}
}

/* However often it crashes: each packet once, and the main output in order. */
static void each_packet_once(void **state)
{
	struct checkpoint checkpoint = {};
	struct merge_key none = {};

	(void)state;
	srand(4711);
	for (int round = 0; round < 15; round++) {
		given_count = 0;
		given_durable = 0;
		has_last = false;
		last = none;
		for (unsigned int i = 0; i < STREAMS; i++) {
			senders[i].id.instance[0] = (uint8_t)round;
			senders[i].sequence = 0;
			senders[i].time_ns = (uint64_t)(round + 1) * NS_PER_SEC;
			assert_int_equal(journal_stream(journals[senders[i].journal],
							&senders[i].id, &senders[i].number),
					 0);
		}
		store_close(store);
		open_store();
		publish(0);
		publish(1);
		open_follow(false, HOUR_NS, NULL);
		take_checkpoint(&checkpoint);
		for (int i = 0; i < 400; i++)
			random_step(&checkpoint);
		for (unsigned int i = 0; i < STREAMS; i++) {
			tell(&senders[i], true, 0, 0);
			put_frame(&senders[i], FRAME_BYE, 0, true);
		}
		read_all();
		drain();
		check_given();
		follow_close(follow);
		follow = NULL;
	}
	checkpoint_release(&checkpoint);
}

int main(void)
{
#define FOLLOW_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		FOLLOW_TEST(starts_at_the_end),
		FOLLOW_TEST(waits_for_those_that_are_open),
		FOLLOW_TEST(watermark_waits_for_its_position),
		FOLLOW_TEST(other_kind_is_ignored),
		FOLLOW_TEST(silence_ends_the_waiting),
		FOLLOW_TEST(repeated_watermarks_are_silence),
		FOLLOW_TEST(clock_stands_still),
		FOLLOW_TEST(remembers_who_was_open),
		FOLLOW_TEST(each_packet_once),
	};

	return cmocka_run_group_tests_name("follow", tests, NULL, NULL);
}
