/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line is cut, again and again, at any byte: every frame is stored once, or declared lost. */
#include "common/uplink.h"

#include "selftests/unit/uplink_rig.h"

#ifdef XCAP_SANITIZE
#define CUTS 60
#else
#define CUTS 200
#endif

static struct rig rig;

static uint64_t dice(uint64_t sides)
{
	return sample_random(&rig.server.seed) % sides;
}

/* How the next connection will be: acknowledgements, refusals, and where it ends. */
static void shuffle(void)
{
	static const uint64_t lengths[] = { 4000, 20000, 100000, 1000000 };

	rig.server.cut_after = 1 + dice(lengths[dice(ARRAY_SIZE(lengths))]);
	rig.server.reset = dice(2);
	rig.server.ack_every = 1 + (unsigned int)dice(12);
	rig.server.ack_holes = dice(2);
	rig.server.credit = 1 + dice(200000);
	rig.server.nack_sequence = memory_journal_next_sequence(rig.journal) + dice(6);
	rig.server.nack_times = (unsigned int)dice(4);
	rig.server.nack_reason = NACK_DAMAGED;
}

static void restart_daemon(void)
{
	uplink_destroy(rig.uplink);
	memory_journal_close(rig.journal);
	rig_open_journal(&rig);
	rig_start_uplink(&rig);
}

static void cut_and_cut_again(void **state)
{
	static const struct {
		const char *name;
		uint64_t seed;
		unsigned int burst; /* frames between two turns, at most */
		bool restarts;
	} cases[] = {
		{ "no more than fits", 1, 0, false },
		{ "restarts", 2, 0, true },
		{ "too much", 3, 24, false },
		{ "too much and restarts", 4, 24, true },
	};
	uint64_t connections, restarts;
	const char *log;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		uint64_t lost = 0, records;

		rig_start(&rig, "server", "agent");
		rig.server.seed = c->seed;
		connections = 0;
		restarts = 0;
		catch_log();
		while (rig.server.connections < CUTS && !check_failures) {
			if (rig.server.connections != connections) {
				connections = rig.server.connections;
				shuffle();
				if (c->restarts && dice(3) == 0) {
					restart_daemon();
					restarts++;
				}
			}
			if (memory_journal_next_sequence(rig.journal) + 64 >= FAKE_SEQUENCES_MAX)
				break;
			if (c->burst && dice(4) == 0)
				rig_write(&rig, (unsigned int)dice(c->burst));
			else if (rig_journal(&rig).bytes < MIB / 2)
				(void)sample_frame(&rig.writer, 1 + (unsigned int)dice(6));
			for (uint64_t i = dice(8); i > 0; i--)
				rig_turn(&rig);
		}
		rig.server.cut_after = 0;
		rig.server.nack_times = 0;
		rig.server.credit = MIB;
		rig_end(&rig, 20 * NS_PER_SEC);
		log = caught_log();
		CHECK_EQ(rig.result, 0);
		CHECK_EQ(rig.server.byes, 1);
		CHECK(has(log, "lost the connection"));
		CHECK(rig.server.connections >= CUTS);
		/* The answer to OPEN says what it has: nothing else comes again. */
		CHECK_EQ(rig.server.duplicates, 0);
		CHECK_EQ(rig_journal(&rig).frames, 0);
		CHECK_EQ(rig_journal(&rig).packets, 0);
		records = fake_check_stored(&rig.server,
					    memory_journal_next_sequence(rig.journal) - 1);
		CHECK_EQ(records, rig.writer.next);
		for (unsigned int i = 0; i < LOSS_REASON_COUNT; i++)
			lost += rig_journal(&rig).lost_packets[i];
		for (uint64_t s = 1; s < FAKE_SEQUENCES_MAX; s++) {
			if (rig.server.frames[s].type == FRAME_LOSS)
				lost -= rig.server.frames[s].loss.packets;
		}
		/* What is counted here is what was announced there. */
		CHECK_EQ(lost, 0);
		CHECK_EQ(rig_journal(&rig).lost_packets[LOSS_JOURNAL_FULL] > 0, c->burst > 0);
		print_message("# %s: %" PRIu64 " frames, %" PRIu64 " connections, %" PRIu64
			      " losses, %" PRIu64 " refusals, %" PRIu64 " restarts\n",
			      c->name, memory_journal_next_sequence(rig.journal) - 1,
			      rig.server.connections, rig.server.losses, rig.server.nacks,
			      restarts);
		rig_stop(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(cut_and_cut_again),
	};

	return cmocka_run_group_tests_name("uplink_cut", tests, rig_setup, rig_teardown);
}
