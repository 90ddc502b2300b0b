/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks that fail or are full, and writers that are killed. */
#include "common/journal.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "selftests/unit/journal_fixture.h"

/* Puts another file in the place of the descriptor that the segment is written through. */
static void replace_segment_fd(const char *path)
{
	char link[64], target[256];
	int fd = open(path, O_RDWR | O_CLOEXEC), number;
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	ssize_t n;

	assert_true(fd >= 0);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		number = atoi(entry->d_name);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", number);
		n = readlink(link, target, sizeof(target) - 1);
		if (n > 4 && memcmp(target + n - 4, ".seg", 4) == 0)
			assert_int_equal(dup2(fd, number), number);
	}
	closedir(dir);
	close(fd);
}

static void an_error_acknowledges_nothing(void **state)
{
	static const struct {
		const char *name, *device;
		int err;
	} cases[] = {
		{ "write", "/dev/full", -ENOSPC },
		{ "fdatasync", "/dev/null", -EINVAL },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct reading reading;
		struct fixture f;
		uint64_t durable;
		uint32_t stream;
		int err;

		fixture_init(&f, MIB);
		stream = add_stream(&f, "a", 0);
		CHECK_EQ(append(&f, stream, 1, 100), 0);
		CHECK_EQ(journal_flush(f.journal), 0);
		durable = f.committed;
		replace_segment_fd(c->device);
		CHECK_EQ(append(&f, stream, 2, 100), 0);
		CHECK_EQ(append(&f, stream, 3, 100), 0);
		journal_kick(f.journal);
		CHECK_EQ(append(&f, add_stream(&f, "b", 0), 1, 100), 0);
		while (!f.failures)
			assert_int_equal(loop_turn(f.loop, true), 0);
		CHECK_EQ(f.err, c->err);
		CHECK_EQ(f.committed, durable);
		CHECK_DURABLE(&f, stream, "1-1");
		CHECK_DURABLE(&f, 1, "");
		CHECK_EQ(append(&f, stream, 1, 100), -EEXIST);
		/* The journal tries a new segment by itself, and then takes them again. */
		while ((err = append(&f, stream, 2, 100)) == c->err)
			assert_int_equal(loop_turn(f.loop, true), 0);
		CHECK_EQ(err, 0);
		CHECK_EQ(append(&f, stream, 3, 100), 0);
		CHECK_EQ(append(&f, 1, 1, 100), 0);
		CHECK_EQ(journal_flush(f.journal), 0);
		CHECK_EQ(f.failures, 1);
		CHECK_EQ(segment_names(f.dir).count, 2);
		reading = read_all(f.dir, 0, f.committed);
		CHECK_EQ(reading.frames, 4);
		CHECK_EQ(reading.streams, 2);
		CHECK_EQ(reading.damaged, 0);
		fixture_reopen(&f);
		CHECK_DURABLE(&f, stream, "1-3");
		CHECK_DURABLE(&f, 1, "1-1");
		CHECK_EQ(f.recovery.damaged_bytes, 0);
		fixture_release(&f);
	}
}

/* A sender that sends again what was not acknowledged, and a disk that fails now and then. */
static void errors_at_random_lose_and_double_nothing(void **state)
{
	static const char *const devices[] = { "/dev/full", "/dev/null" };
	uint64_t next[4] = { 1, 1, 1, 1 }, failures = 0;
	unsigned int random = 7;
	struct reading reading;
	struct fixture f;
	uint32_t s;
	int err;

	(void)state;
	fixture_init_in(&f, memory_dir(), 32 * KIB);
	for (s = 0; s < 4; s++)
		add_stream(&f, "a", s);
	for (int turn = 0; turn < 1000000 && failures < 8; turn++) {
		for (int i = rand_r(&random) % 8; i > 0; i--) {
			s = (uint32_t)rand_r(&random) % 4;
			err = append(&f, s, next[s], (size_t)rand_r(&random) % 3000);
			CHECK(err != -EEXIST);
			next[s] += !err;
		}
		if (rand_r(&random) % 2)
			journal_kick(f.journal);
		if (rand_r(&random) % 40 == 0)
			replace_segment_fd(devices[rand_r(&random) % 2]);
		assert_int_equal(loop_turn(f.loop, false), 0);
		if (failures == f.failures)
			continue;
		failures = f.failures;
		for (s = 0; s < 4; s++) {
			CHECK(journal_durable(f.journal, s)->count <= 1);
			next[s] = ranges_max(journal_durable(f.journal, s)) + 1;
		}
	}
	CHECK_EQ(failures, 8);
	(void)!journal_flush(f.journal);
	reading = read_all(f.dir, 0, f.committed);
	CHECK_EQ(reading.frames, journal_stats(f.journal)->frames);
	CHECK_EQ(reading.damaged, 0);
	journal_close(f.journal);
	fixture_open(&f);
	CHECK_EQ(f.recovery.damaged_bytes, 0);
	/* More than was acknowledged may be there, where the file could not be cut. */
	CHECK(read_all(f.dir, 0, f.committed).frames >= reading.frames);
	reading = read_all(f.dir, 0, f.committed);
	CHECK_EQ(reading.damaged, 0);
	for (s = 0; s < 4; s++) {
		CHECK(journal_durable(f.journal, s)->count <= 1);
		reading.frames -= ranges_max(journal_durable(f.journal, s));
	}
	CHECK_EQ(reading.frames, 0);
	fixture_release(&f);
}

static void fill_a_small_disk(const char *dir)
{
	char filler[64];
	struct reading reading;
	struct fixture f;
	uint64_t next = 1;
	uint32_t stream;
	int err = 0, fd;

	snprintf(filler, sizeof(filler), "%s/filler", dir);
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(posix_fallocate(fd, 0, 8 * MIB), 0);
	close(fd);
	fixture_init_in(&f, dir, MIB);
	stream = add_stream(&f, "a", 0);
	while (!err && next < 1000) {
		err = append(&f, stream, next, 30000);
		if (!err)
			next++;
		if (err == -EAGAIN)
			err = 0;
		journal_kick(f.journal);
		CHECK_EQ(loop_turn(f.loop, false), 0);
	}
	CHECK_EQ(err, -ENOSPC);
	CHECK(f.failures > 0);
	CHECK_EQ(f.err, -ENOSPC);
	CHECK(next > 100); /* one frame short of full at worst a segment ago */
	next = ranges_max(journal_durable(f.journal, stream)) + 1;
	CHECK_EQ(journal_durable(f.journal, stream)->count, 1);
	reading = read_all(f.dir, 0, f.committed);
	CHECK_EQ(reading.frames, next - 1);
	CHECK(reading.in_order);
	CHECK_EQ(append(&f, stream, next, 30000), -ENOSPC);
	unlink(filler);
	while ((err = append(&f, stream, next, 30000)) == -ENOSPC) {
		CHECK_EQ(loop_turn(f.loop, false), 0);
		usleep(1000);
	}
	CHECK_EQ(err, 0);
	for (uint64_t i = 1; i < 100; i++)
		append_waiting(&f, stream, next + i, 30000);
	fixture_reopen(&f);
	CHECK_EQ(ranges_max(journal_durable(f.journal, stream)), next + 99);
	reading = read_all(f.dir, 0, f.committed);
	CHECK_EQ(reading.frames, next + 99);
	CHECK_EQ(reading.damaged, 0);
	CHECK(reading.in_order);
	fixture_release(&f);
}

static void write_proc(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	(void)!write(fd, text, strlen(text));
	close(fd);
}

/* A tmpfs that only this process sees; without root in a user namespace of its own. */
static bool mount_small(const char *dir)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	char map[32];

	if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS))
		return false;
	if (uid) {
		write_proc("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_proc("/proc/self/uid_map", map);
		snprintf(map, sizeof(map), "0 %u 1", gid);
		write_proc("/proc/self/gid_map", map);
	}
	return !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("tmpfs", dir, "tmpfs", 0, "size=16m");
}

static void a_full_disk_is_reported_and_survived(void **state)
{
	char dir[] = "/tmp/journal-disk-XXXXXX";
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	pid = fork();
	if (pid == 0) {
		if (!mount_small(dir))
			_exit(77);
		fill_a_small_disk(dir);
		_exit(check_failures ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rmdir(dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("no mount namespace to be had here\n");
		skip();
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define CRASH_STREAMS 3

/* Appends for ever; each acknowledged (stream, highest sequence) goes into the pipe. */
static void append_until_killed(const char *dir, int fd, unsigned int random)
{
	struct fixture f = { .segment_bytes = 64 * KIB, .buffer_bytes = 4 * MIB };
	uint64_t next[CRASH_STREAMS], acked[CRASH_STREAMS] = {}, message[2];
	char agent[16];

	snprintf(f.dir, sizeof(f.dir), "%s", dir);
	assert_int_equal(loop_create(&f.loop, 64), 0);
	fixture_open(&f);
	for (uint32_t s = 0; s < CRASH_STREAMS; s++) {
		snprintf(agent, sizeof(agent), "a%u", s);
		add_stream(&f, agent, 0);
		next[s] = ranges_max(journal_durable(f.journal, s)) + 1;
	}
	for (;;) {
		for (int i = rand_r(&random) % 20; i > 0; i--) {
			uint32_t s = (uint32_t)rand_r(&random) % CRASH_STREAMS;

			append_waiting(&f, s, next[s]++, (size_t)rand_r(&random) % 4000);
		}
		journal_kick(f.journal);
		if (loop_turn(f.loop, rand_r(&random) % 2))
			_exit(1);
		for (uint32_t s = 0; s < CRASH_STREAMS; s++) {
			message[0] = s;
			message[1] = ranges_max(journal_durable(f.journal, s));
			if (message[1] == acked[s])
				continue;
			acked[s] = message[1];
			if (write(fd, message, sizeof(message)) != sizeof(message))
				_exit(1);
		}
	}
}

static void kill_loses_and_doubles_nothing(void **state)
{
	uint64_t acked[CRASH_STREAMS] = {}, seen[CRASH_STREAMS], message[2], oldest;
	struct journal_reader *reader;
	struct journal_record record;
	struct fixture f;
	int fds[2];
	pid_t pid;

	(void)state;
	fixture_init(&f, 64 * KIB);
	for (unsigned int round = 1; round <= 15; round++) {
		fixture_close(&f);
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0)
			append_until_killed(f.dir, fds[1], round);
		close(fds[1]);
		usleep(3000 * round);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(fds[0], message, sizeof(message)) == sizeof(message))
			acked[message[0]] = message[1];
		close(fds[0]);

		fixture_open(&f);
		CHECK_EQ(f.recovery.damaged_bytes, 0);
		memset(seen, 0, sizeof(seen));
		CHECK_EQ(journal_reader_open(&reader, f.dir, 0, &oldest), 0);
		while (journal_reader_next(reader, f.committed, &record) == 1) {
			if (record.kind != JOURNAL_FRAME)
				continue;
			CHECK_EQ(record.header.sequence, seen[record.stream] + 1);
			seen[record.stream] = record.header.sequence;
			CHECK(frame_is_as_made(&record));
		}
		CHECK_EQ(journal_reader_damaged_bytes(reader), 0);
		journal_reader_close(reader);
		for (uint32_t s = 0; s < journal_stream_count(f.journal); s++) {
			CHECK(seen[s] >= acked[s]);
			CHECK_EQ(ranges_max(journal_durable(f.journal, s)), seen[s]);
			CHECK(journal_durable(f.journal, s)->count <= 1);
		}
	}
	CHECK(acked[0] > 10);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_error_acknowledges_nothing),
		TEST(errors_at_random_lose_and_double_nothing),
		TEST(a_full_disk_is_reported_and_survived),
		TEST(kill_loses_and_doubles_nothing),
	};

	return cmocka_run_group_tests_name("journal failures", tests, NULL, NULL);
}
