/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/uplink.h"

#include "selftests/unit/uplink_rig.h"

static struct rig rig;

static void ships_and_ends(void **state)
{
	(void)state;
	rig_start(&rig, "server", "agent");
	rig.server.mark_is_next = true;
	rig_write(&rig, 3);
	RIG_WAIT(&rig, rig_stats(&rig)->frames_acked == 3);
	CHECK_EQ(rig_stats(&rig)->acked_sequence, 3);
	CHECK_EQ(rig_stats(&rig)->frames_resent, 0);
	CHECK(rig_stats(&rig)->rtt_ns > 0);
	CHECK_EQ(rig_journal(&rig).frames, 0);
	CHECK_EQ(rig.server.next_sequence, 4);
	for (unsigned int i = 0; i < 20; i++) {
		rig_write(&rig, 2);
		for (unsigned int turn = 0; turn < 10; turn++)
			rig_turn_and_mark(&rig);
	}
	RIG_WAIT(&rig, rig_stats(&rig)->frames_acked == 43);
	rig_turn_and_mark(&rig);
	RIG_WAIT(&rig, rig.server.last_mark == 44);
	CHECK(rig.server.marks <= 21);
	rig_write(&rig, 10);
	rig_end(&rig, 10 * NS_PER_SEC);
	CHECK_EQ(rig.result, 0);
	CHECK_EQ(rig.server.byes, 1);
	CHECK_EQ(rig.server.frames[54].type, FRAME_BYE);
	CHECK_EQ(rig.server.connections, 1);
	CHECK_EQ(rig.server.duplicates, 0);
	CHECK_EQ(fake_check_stored(&rig.server, 54), 53 * 4);
	CHECK_EQ(rig_journal(&rig).frames, 0);
	rig_stop(&rig);
}

/* Fails if a frame is sent beyond the credit, or none although all are acknowledged. */
static void keeps_to_the_credit(void **state)
{
	static const struct {
		const char *name;
		uint64_t credit, most;
	} cases[] = {
		{ "none at all", 0, 4 * SAMPLE_RECORD_MAX + FRAME_HEADER_LEN },
		{ "less than a frame", 100, 4 * SAMPLE_RECORD_MAX + FRAME_HEADER_LEN },
		{ "some", 100000, 100000 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		rig_start(&rig, "server", "agent");
		rig.server.credit = c->credit;
		rig.server.ack_every = 1000; /* only when nothing has come for long */
		rig.server.mark_is_next = true;
		rig_write(&rig, 40);
		RIG_WAIT(&rig, (rig_turn_and_mark(&rig), rig_stats(&rig)->frames_acked == 40));
		CHECK(rig.server.most_in_flight > 0);
		CHECK(rig.server.most_in_flight <= c->most);
		rig_end(&rig, 10 * NS_PER_SEC);
		CHECK_EQ(rig.result, 0);
		CHECK_EQ(fake_check_stored(&rig.server, 41), 160);
		rig_stop(&rig);
	}
}

static void out_of_order_acks(void **state)
{
	(void)state;
	rig_start(&rig, "server", "agent");
	rig.server.ack_every = 3;
	rig.server.ack_holes = true;
	for (unsigned int i = 0; i < 200; i++) {
		rig_write(&rig, 1);
		rig_turn(&rig);
	}
	rig_end(&rig, 10 * NS_PER_SEC);
	CHECK_EQ(rig.result, 0);
	CHECK_EQ(rig.server.duplicates, 0);
	CHECK_EQ(fake_check_stored(&rig.server, 201), 800);
	rig_stop(&rig);
}

static void refused_frames_come_again(void **state)
{
	static const struct {
		const char *name;
		unsigned int times;
		enum nack_reason reason;
		bool is_lost;
	} cases[] = {
		{ "once", 1, NACK_DAMAGED, false },
		{ "twice", 2, NACK_UNKNOWN, false },
		{ "three times", 3, NACK_DAMAGED, true },
		{ "for a reason to come", 3, 99, true },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		rig_start(&rig, "server", "agent");
		rig.server.nack_sequence = 5;
		rig.server.nack_times = c->times;
		rig.server.nack_reason = c->reason;
		catch_log();
		rig_write(&rig, 9);
		rig_end(&rig, 10 * NS_PER_SEC);
		CHECK_EQ(count_text(caught_log(), "frame 5 of stream"), c->is_lost);
		CHECK_EQ(rig.result, 0);
		CHECK_EQ(rig_stats(&rig)->nacks, c->times);
		CHECK_EQ(rig_stats(&rig)->frames_resent, c->times - c->is_lost);
		CHECK_EQ(rig_stats(&rig)->losses_announced, c->is_lost);
		CHECK_EQ(rig_journal(&rig).lost_packets[LOSS_REJECTED], c->is_lost ? 4 : 0);
		CHECK_EQ(rig.server.losses, c->is_lost);
		CHECK_EQ(rig.server.frames[5].type, c->is_lost ? FRAME_LOSS : FRAME_PACKETS);
		CHECK_EQ(rig.server.frames[5].loss.reason, c->is_lost ? LOSS_REJECTED : 0);
		CHECK_EQ(rig.server.connections, 1);
		CHECK_EQ(fake_check_stored(&rig.server, 10), 36);
		rig_stop(&rig);
	}
}

/* Refusals are counted over connections: a server that cuts the line at each is no way round. */
static void refused_over_connections(void **state)
{
	(void)state;
	rig_start(&rig, "server", "agent");
	rig.server.nack_sequence = 2;
	rig.server.nack_times = 1;
	rig.server.nack_reason = NACK_DAMAGED;
	catch_log();
	rig_write(&rig, 3);
	for (unsigned int i = 1; i <= 3; i++) {
		RIG_WAIT(&rig, rig_stats(&rig)->nacks == i);
		if (i == 3)
			break;
		fake_cut(&rig.server);
		rig.server.nack_times = 1;
	}
	rig_end(&rig, 10 * NS_PER_SEC);
	(void)caught_log();
	CHECK_EQ(rig.server.frames[2].type, FRAME_LOSS);
	CHECK_EQ(fake_check_stored(&rig.server, 4), 12);
	rig_stop(&rig);
}

/* Its LOSS is known to the server, and forgotten here, before its turn comes again. */
static void refused_frames_stay_back(void **state)
{
	uint64_t seed = 0, drawn;

	(void)state;
	rig_start(&rig, "server", "agent");
	rig.server.nack_sequence = 5;
	rig.server.nack_times = 3;
	rig.server.nack_reason = NACK_DAMAGED;
	rig.server.ack_every = 0;
	/* One with which the cut loses what was received. */
	do
		drawn = rig.server.seed = ++seed;
	while (sample_random(&drawn) % 2);
	catch_log();
	rig_write(&rig, 9);
	RIG_WAIT(&rig, rig.server.losses == 1);
	fake_cut(&rig.server);
	CHECK_EQ(ranges_max(&rig.server.stored), 0);
	rig.server.ack_every = 1;
	rig.server.credit = 1;
	rig_end(&rig, 10 * NS_PER_SEC);
	(void)caught_log();
	CHECK_EQ(rig.result, 0);
	CHECK_EQ(rig.server.losses, 2);
	CHECK_EQ(rig.server.duplicates, 0);
	CHECK_EQ(fake_check_stored(&rig.server, 10), 36);
	rig_stop(&rig);
}

static void full_store_is_no_refusal(void **state)
{
	const char *log;

	(void)state;
	rig_start(&rig, "server", "agent");
	rig.server.nack_sequence = 2;
	rig.server.nack_times = 20;
	rig.server.nack_reason = NACK_STORE;
	catch_log();
	rig_write(&rig, 3);
	rig_end(&rig, 10 * NS_PER_SEC);
	log = caught_log();
	CHECK_EQ(rig.result, 0);
	CHECK_EQ(rig.server.losses, 0);
	CHECK(rig.server.connections >= 20);
	CHECK_EQ(count_text(log, "its store takes nothing"), 1);
	CHECK_EQ(fake_check_stored(&rig.server, 4), 12);
	rig_stop(&rig);
}

/* Whatever is wrong with the server: it is said, once, and tried again. */
static void bad_servers(void **state)
{
	static const struct {
		const char *name, *certificate;
		enum fake_mood mood;
		const char *log;
	} cases[] = {
		{ "no TLS", "server", FAKE_GARBAGE, "TLS" },
		{ "TLS with something else inside", "server", FAKE_GARBAGE_INSIDE,
		  "not xcap's frames" },
		{ "a later protocol", "server", FAKE_FUTURE, "protocol versions 7 to 7" },
		{ "other frames", "server", FAKE_OTHER_FRAMES, "frames of another version" },
		{ "it says why", "server", FAKE_REFUSING, "the moon is in the wrong house" },
		{ "the wrong name", "elsewhere", FAKE_KIND, "127.0.0.1" },
		{ "an unknown CA", "other-server", FAKE_KIND, "certificate" },
	};
	const char *log;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		rig_start(&rig, c->certificate, "agent");
		rig.server.mood = c->mood;
		catch_log();
		rig_write(&rig, 1);
		RIG_WAIT(&rig, rig.server.connections >= 5);
		log = caught_log();
		CHECK(has(log, c->log));
		CHECK_EQ(count_text(log, "level=warning"), 1);
		CHECK(has(log, "cannot ship to 127.0.0.1:"));
		CHECK_EQ(rig_stats(&rig)->connects, 0);
		/* It is not for ever. */
		if (c->mood != FAKE_KIND) {
			rig.server.mood = FAKE_KIND;
			rig_end(&rig, 10 * NS_PER_SEC);
			CHECK_EQ(rig.result, 0);
			CHECK_EQ(fake_check_stored(&rig.server, 2), 4);
		}
		rig_stop(&rig);
	}
}

/* Those that say nothing are given up after 10 s: what is waited for is named. */
static void silent_servers(void **state)
{
	static const struct {
		const char *name;
		enum fake_mood mood;
		const char *log;
	} cases[] = {
		{ "accepts and says nothing", FAKE_DEAF, "TLS handshake within 10 s" },
		{ "no HELLO", FAKE_MUTE, "said nothing for 10 s" },
		{ "no answer to OPEN", FAKE_NO_ANSWER, "no answer to OPEN within 10 s" },
	};
	struct rig rigs[ARRAY_SIZE(cases)];
	uint64_t since = clock_ns(CLOCK_MONOTONIC);
	unsigned int gone;
	const char *log;

	(void)state;
	catch_log();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(sample_path, sizeof(sample_path), "%s/lane%zu.journal", sample_dir, i);
		rig_start(&rigs[i], "server", "agent");
		rigs[i].server.mood = cases[i].mood;
	}
	do {
		gone = 0;
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			rig_turn(&rigs[i]);
			gone += rigs[i].server.connections >= 2;
		}
		usleep(1000);
	} while (gone < ARRAY_SIZE(cases) && !rig_is_late(since));
	log = caught_log();
	CHECK(clock_ns(CLOCK_MONOTONIC) - since >= 9 * NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case = cases[i].name;
		CHECK(has(log, cases[i].log));
		rig_stop(&rigs[i]);
	}
	snprintf(sample_path, sizeof(sample_path), "%s/lane0.journal", sample_dir);
}

static void gives_up_at_the_deadline(void **state)
{
	static const struct {
		const char *name;
		enum fake_mood mood;
		bool listens, acks;
	} cases[] = {
		{ "nobody there", FAKE_KIND, false, false },
		{ "it says nothing", FAKE_DEAF, true, false },
		{ "it acknowledges nothing", FAKE_KIND, true, false },
	};
	uint64_t since;

	(void)state;
	catch_log();
	FOR_EACH_CASE (c, cases) {
		rig_start(&rig, "server", "agent");
		rig.server.mood = c->mood;
		rig.server.ack_every = 0;
		if (!c->listens)
			fake_stop_listening(&rig.server);
		rig_write(&rig, 5);
		for (unsigned int i = 0; i < 100; i++)
			rig_turn(&rig);
		since = clock_ns(CLOCK_MONOTONIC);
		rig_end(&rig, 300 * NS_PER_MS);
		CHECK_EQ(rig.result, -ETIMEDOUT);
		CHECK(clock_ns(CLOCK_MONOTONIC) - since < NS_PER_SEC);
		CHECK_EQ(rig_journal(&rig).frames, 0);
		CHECK_EQ(rig_journal(&rig).lost_packets[LOSS_SHUTDOWN], 20);
		rig_stop(&rig);
	}
	CHECK_EQ(count_text(caught_log(), "gave up 20 packets"), 3);
}

/* A second daemon on the same journal: what was given up comes as a LOSS, the rest once. */
static void goes_on_after_a_restart(void **state)
{
	(void)state;
	rig_start(&rig, "server", "agent");
	rig.server.ack_every = 0;
	rig_write(&rig, 5);
	RIG_WAIT(&rig, rig.server.frames_in == 5);
	catch_log();
	rig_end(&rig, 0);
	(void)caught_log();
	uplink_destroy(rig.uplink);
	memory_journal_close(rig.journal);
	rig_open_journal(&rig);
	rig_start_uplink(&rig);
	rig.server.ack_every = 2;
	rig_write(&rig, 5);
	rig_end(&rig, 10 * NS_PER_SEC);
	CHECK_EQ(rig.result, 0);
	CHECK_EQ(rig.server.bad, 0);
	/* As the cut had it: the first five arrived, or are lost. */
	CHECK_EQ(fake_check_stored(&rig.server, 11), 40);
	rig_stop(&rig);
}

static void fails_over(void **state)
{
	struct fake_server second;

	(void)state;
	rig_start(&rig, "server", "agent");
	fake_start(&second, "server");
	uplink_destroy(rig.uplink);
	rig.server.address.list[1] = second.address.list[0];
	rig.server.address.count = 2;
	rig_start_uplink(&rig);
	catch_log();
	fake_stop_listening(&rig.server);
	rig_write(&rig, 2);
	RIG_WAIT(&rig, (fake_step(&second), rig_stats(&rig)->frames_acked == 2));
	CHECK_EQ(second.frames_in, 2);
	/* The first one comes back: it is the one to use after the next failure. */
	fake_listen(&rig.server);
	fake_stop_listening(&second);
	fake_cut(&second);
	rig_write(&rig, 2);
	RIG_WAIT(&rig, (fake_step(&second), rig_stats(&rig)->frames_acked == 4));
	CHECK_EQ(rig.server.frames_in, 2);
	(void)caught_log();
	CHECK_EQ(rig_stats(&rig)->connects, 2);
	CHECK_EQ(rig_stats(&rig)->disconnects, 1);
	rig_stop(&rig);
	fake_stop(&second);
}

/* At any moment, with anything in flight. */
static void destroyed_early(void **state)
{
	(void)state;
	for (unsigned int turns = 0; turns < 60; turns++) {
		rig_start(&rig, "server", "agent");
		rig_write(&rig, 20);
		for (unsigned int i = 0; i < turns; i++)
			rig_turn(&rig);
		rig_stop(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(ships_and_ends),	    RIG_TEST(keeps_to_the_credit),
		RIG_TEST(out_of_order_acks),	    RIG_TEST(refused_frames_come_again),
		RIG_TEST(refused_over_connections), RIG_TEST(refused_frames_stay_back),
		RIG_TEST(full_store_is_no_refusal), RIG_TEST(bad_servers),
		RIG_TEST(silent_servers),	    RIG_TEST(gives_up_at_the_deadline),
		RIG_TEST(goes_on_after_a_restart),  RIG_TEST(fails_over),
		RIG_TEST(destroyed_early),
	};

	return cmocka_run_group_tests_name("uplink", tests, rig_setup, rig_teardown);
}
