/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A journal, an uplink and a fake server, turned by one thread. */
#pragma once

#include <sys/mman.h>

#include "common/log.h"
#include "common/uplink.h"
#include "selftests/unit/fake_server.h"

struct rig {
	struct fake_server server;
	struct tls_context *tls;
	struct loop *loop;
	struct memory_journal *journal;
	struct sample_writer writer;
	struct uplink *uplink;
	bool has_ended;
	int result;
};

static inline void rig_ended(void *context, int err)
{
	struct rig *rig = context;

	CHECK(!rig->has_ended);
	rig->has_ended = true;
	rig->result = err;
}

static inline void rig_start_uplink(struct rig *rig)
{
	struct uplink_config config = {
		.servers = &rig->server.address,
		.tls = rig->tls,
		.journal = rig->journal,
		.reconnect_max_ns = NS_PER_MS,
		.ended = rig_ended,
		.context = rig,
	};

	rig->has_ended = false;
	assert_int_equal(uplink_create(&rig->uplink, rig->loop, &config), 0);
}

static inline void rig_open_journal(struct rig *rig)
{
	struct memory_journal_config config = sample_config(MIB);

	config.agent = "edge-1";
	rig->journal = sample_open(&config);
	rig->writer = sample_writer(rig->journal);
}

static inline void rig_start(struct rig *rig, const char *server_certificate,
			     const char *certificate)
{
	char error[TLS_ERROR_LEN];

	*rig = (struct rig){};
	fake_start(&rig->server, server_certificate);
	if (tls_context_create(&rig->tls, TLS_CLIENT, path("ca", ".crt"), path(certificate, ".crt"),
			       path(certificate, ".key"), error))
		fail_msg("%s", error);
	assert_int_equal(loop_create(&rig->loop, 64), 0);
	rig_open_journal(rig);
	rig_start_uplink(rig);
}

static inline void rig_stop(struct rig *rig)
{
	uplink_destroy(rig->uplink);
	memory_journal_remove(rig->journal);
	loop_destroy(rig->loop);
	tls_context_destroy(rig->tls);
	fake_stop(&rig->server);
}

static inline void rig_turn(struct rig *rig)
{
	assert_int_equal(loop_turn(rig->loop, false), 0);
	if (!rig->has_ended)
		uplink_kick(rig->uplink);
	fake_step(&rig->server);
}

/* Nothing below the next sequence will follow. */
static inline void rig_turn_and_mark(struct rig *rig)
{
	uplink_mark(rig->uplink, memory_journal_next_sequence(rig->journal));
	rig_turn(rig);
}

static inline const struct uplink_stats *rig_stats(const struct rig *rig)
{
	return uplink_stats(rig->uplink);
}

static inline struct memory_journal_stats rig_journal(const struct rig *rig)
{
	struct memory_journal_stats stats;

	memory_journal_stats(rig->journal, &stats);
	return stats;
}

static inline bool rig_is_late(uint64_t since)
{
	bool is_late = clock_ns(CLOCK_MONOTONIC) - since > 30 * NS_PER_SEC;

	CHECK(!is_late);
	return is_late;
}

/* Turns until the condition holds, 30 s at most. */
#define RIG_WAIT(rig, condition)                                \
	do {                                                    \
		uint64_t rig_since = clock_ns(CLOCK_MONOTONIC); \
		while (!(condition) && !rig_is_late(rig_since)) \
			rig_turn(rig);                          \
	} while (0)

#define RIG_WAIT_UP(rig) RIG_WAIT(rig, rig_stats(rig)->state == UPLINK_UP)

static inline void rig_write(struct rig *rig, unsigned int frames)
{
	while (frames--)
		CHECK(sample_frame(&rig->writer, 4));
}

static inline void rig_end(struct rig *rig, uint64_t deadline_ns)
{
	uplink_end(rig->uplink, 1000, deadline_ns);
	RIG_WAIT(rig, rig->has_ended);
}

/* What the log said, for as long as it is caught. */
static char caught[65536];
static int caught_fd = -1, caught_stderr;

static inline void catch_log(void)
{
	fflush(stderr);
	caught_stderr = dup(STDERR_FILENO);
	caught_fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(caught_stderr >= 0 && caught_fd >= 0);
	assert_true(dup2(caught_fd, STDERR_FILENO) >= 0);
}

static inline const char *caught_log(void)
{
	ssize_t n;

	dup2(caught_stderr, STDERR_FILENO);
	close(caught_stderr);
	n = pread(caught_fd, caught, sizeof(caught) - 1, 0);
	close(caught_fd);
	caught_fd = -1;
	caught[MAX(n, 0)] = '\0';
	/* Failures were caught too. */
	if (check_failures)
		print_error("%s", caught);
	return caught;
}

/* For tests that catch the log, and may be left in the middle by a failed assertion. */
static inline int rig_check_end(void **state)
{
	if (caught_fd >= 0)
		print_error("%s", caught_log());
	return check_end(state);
}

#define RIG_TEST(function) cmocka_unit_test_setup_teardown(function, check_begin, rig_check_end)

static inline unsigned int count_text(const char *text, const char *part)
{
	unsigned int count = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		count++;
	return count;
}

static inline int rig_setup(void **state)
{
	sample_setup();
	log_init(LOG_LEVEL_WARNING);
	return make_pki(state);
}

static inline int rig_teardown(void **state)
{
	sample_teardown();
	return remove_pki(state);
}
