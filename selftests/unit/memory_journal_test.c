/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/memory_journal.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "selftests/unit/journal_sample.h"

#ifdef XCAP_SANITIZE
#define SLOWER 5
#else
#define SLOWER 1
#endif
#define THREAD_FRAMES (20000 / SLOWER)

static void commits_and_reads(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal = sample_open(&config);
	struct sample_writer writer = sample_writer(journal);
	struct memory_journal_reader *reader, *late;
	struct memory_journal_frame frame;
	struct memory_journal_stats stats;
	uint64_t number = 0, offsets[3];

	(void)state;
	assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
	CHECK_EQ(memory_journal_next_sequence(journal), 1);
	CHECK(memory_journal_drained(reader));
	CHECK(!memory_journal_next(reader, &frame));
	for (unsigned int i = 1; i <= 3; i++) {
		CHECK(sample_frame(&writer, i));
		CHECK_EQ(writer.header.sequence, i);
	}
	/* An open frame is nobody's business. */
	CHECK(sample_begin(&writer, 4));
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.frames, 3);
	CHECK_EQ(stats.packets, 6);
	CHECK_EQ(stats.wire_packets, 12);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_true(memory_journal_next(reader, &frame));
		CHECK_EQ(frame.sequence, i);
		CHECK_EQ(frame.header.stream, 1);
		CHECK(sample_check_frame(&frame, &number));
		offsets[i - 1] = frame.offset;
	}
	CHECK(!memory_journal_next(reader, &frame));
	memory_journal_release(reader, offsets[0]);
	CHECK(!memory_journal_drained(reader));
	memory_journal_rewind(reader);
	assert_true(memory_journal_next(reader, &frame));
	CHECK_EQ(frame.sequence, 2);
	assert_true(memory_journal_next(reader, &frame));
	memory_journal_abandon(journal);
	memory_journal_persist(journal);
	assert_int_equal(memory_journal_reader_create(&late, journal), 0);
	memory_journal_release(reader, offsets[2]);
	CHECK(memory_journal_drained(reader));
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.frames, 2); /* for the late one */
	assert_true(memory_journal_next(late, &frame));
	CHECK_EQ(frame.sequence, 2);
	memory_journal_reader_destroy(late);
	memory_journal_reader_destroy(reader);
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.committed_frames, 3);
	memory_journal_remove(journal);
	CHECK_EQ(access(sample_path, F_OK), -1);
}

static void continues_the_stream(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal = sample_open(&config), *second;
	struct sample_writer writer = sample_writer(journal);
	struct stream_id id = *memory_journal_stream(journal);
	struct memory_journal_reader *reader;
	struct memory_journal_frame frame;
	struct memory_journal_stats stats;
	uint64_t number = 0, value;
	struct stat st;

	(void)state;
	CHECK_STR(id.agent, "agent-1");
	CHECK_EQ(id.lane, 3);
	CHECK_EQ(stat(sample_path, &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0600);
	CHECK_EQ(memory_journal_open(&second, &config), -EBUSY);
	CHECK(!memory_journal_position(journal, SAMPLE_SOURCE, &value));
	CHECK(sample_frame(&writer, 5));
	memory_journal_count_lost(journal, LOSS_JOURNAL_FULL, 2, 4, 200);
	CHECK(sample_begin(&writer, 3));
	sample_add(&writer, 2);
	sample_progress(&writer);
	sample_add(&writer, 1); /* never told */
	memory_journal_close(journal);

	config.size_bytes = 4 * MIB; /* one that is there keeps its size */
	journal = sample_open(&config);
	CHECK(stream_id_equal(memory_journal_stream(journal), &id));
	CHECK_EQ(memory_journal_next_sequence(journal), 3);
	CHECK(memory_journal_position(journal, SAMPLE_SOURCE, &value));
	CHECK_EQ(value, 7);
	CHECK(memory_journal_position(journal, 2, &value));
	CHECK_EQ(value, 21);
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.size_bytes, MIB);
	CHECK_EQ(stats.frames, 2);
	CHECK_EQ(stats.packets, 7);
	CHECK_EQ(stats.lost_packets[LOSS_JOURNAL_FULL], 2);
	CHECK_EQ(stats.lost_wire_packets[LOSS_JOURNAL_FULL], 4);
	assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
	for (unsigned int i = 1; i <= 2; i++) {
		assert_true(memory_journal_next(reader, &frame));
		CHECK_EQ(frame.sequence, i);
		CHECK(sample_check_frame(&frame, &number));
	}
	CHECK_EQ(number, 7);
	memory_journal_reader_destroy(reader);
	memory_journal_remove(journal);
}

static void keeps_positions(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal = sample_open(&config);
	struct journal_position positions[MEMORY_JOURNAL_POSITIONS_MAX];
	uint64_t value;

	(void)state;
	for (unsigned int i = 0; i < MEMORY_JOURNAL_POSITIONS_MAX; i++)
		positions[i] = (struct journal_position){ .source = 100 + i, .value = i };
	memory_journal_progress(journal, NULL, 0, positions, MEMORY_JOURNAL_POSITIONS_MAX);
	/* One that is known, one new: the latter costs the last of those not given. */
	positions[0] = (struct journal_position){ .source = 105, .value = 1005 };
	positions[1] = (struct journal_position){ .source = 7, .value = 1007 };
	memory_journal_progress(journal, NULL, 0, positions, 2);
	memory_journal_close(journal);
	journal = sample_open(&config);
	CHECK(memory_journal_position(journal, 105, &value) && value == 1005);
	CHECK(memory_journal_position(journal, 7, &value) && value == 1007);
	CHECK(memory_journal_position(journal, 100, &value) && value == 0);
	CHECK(!memory_journal_position(journal, 100 + MEMORY_JOURNAL_POSITIONS_MAX - 1, &value));
	memory_journal_remove(journal);
}

/* Frames of all sizes through rings of all sizes, a reader that lags now and then. */
static void wraps_around(void **state)
{
	static const struct {
		const char *name;
		size_t size;
		unsigned int records_max, frames;
	} cases[] = {
		{ "1 MiB", MIB, 100, 3000 },
		{ "1 MiB and a bit", MIB + 1, 31, 3000 },
		{ "3 MiB", 3 * MIB, 250, 1000 },
		{ "64 MiB", 64 * MIB, 250, 600 },
	};
	struct memory_journal_reader *reader;
	struct memory_journal_frame frame;
	struct memory_journal *journal;
	struct sample_writer writer;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct memory_journal_config config = sample_config(c->size);
		uint64_t seed = 42, number = 0, sequence = 0, offset = 0;

		config.when_full = WHEN_FULL_DROP_NEWEST;
		journal = sample_open(&config);
		writer = sample_writer(journal);
		assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
		for (unsigned int i = 0; i < c->frames / SLOWER;) {
			unsigned int records =
				1 + (unsigned int)(sample_random(&seed) % c->records_max);

			if (sample_random(&seed) % 4 && sample_frame(&writer, records)) {
				i++;
				continue;
			}
			while (sample_random(&seed) % 8 && memory_journal_next(reader, &frame)) {
				CHECK_EQ(frame.sequence, ++sequence);
				CHECK(sample_check_frame(&frame, &number));
				offset = frame.offset;
			}
			if (offset)
				memory_journal_release(reader, offset);
		}
		while (memory_journal_next(reader, &frame)) {
			CHECK_EQ(frame.sequence, ++sequence);
			CHECK(sample_check_frame(&frame, &number));
			memory_journal_release(reader, frame.offset);
		}
		CHECK_EQ(number, writer.next);
		CHECK(memory_journal_drained(reader));
		memory_journal_reader_destroy(reader);
		memory_journal_remove(journal);
	}
}

static void drops_the_newest(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal_reader *reader;
	struct memory_journal_frame frame;
	struct memory_journal_stats stats;
	struct memory_journal *journal;
	struct sample_writer writer;
	uint64_t frames = 0;

	(void)state;
	config.when_full = WHEN_FULL_DROP_NEWEST;
	journal = sample_open(&config);
	writer = sample_writer(journal);
	assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
	CHECK(!memory_journal_begin(journal, MIB / 2));
	while (sample_frame(&writer, 10))
		frames++;
	CHECK(frames >= MIB / (10 * SAMPLE_RECORD_MAX + 128) - 1);
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.frames, frames);
	CHECK_EQ(memory_journal_next_sequence(journal), frames + 1);
	assert_true(memory_journal_next(reader, &frame));
	CHECK_EQ(frame.sequence, 1);
	memory_journal_release(reader, frame.offset);
	while (memory_journal_next(reader, &frame))
		;
	memory_journal_release(reader, frame.offset);
	CHECK(sample_frame(&writer, 10));
	CHECK_EQ(writer.header.sequence, frames + 1);
	memory_journal_reader_destroy(reader);
	memory_journal_remove(journal);
}

static void drops_the_oldest(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal = sample_open(&config);
	struct sample_writer writer = sample_writer(journal);
	struct memory_journal_reader *reader;
	struct memory_journal_frame frame;
	struct memory_journal_stats stats;
	struct message_loss loss;
	uint64_t number = 0, skipped = 0;

	(void)state;
	assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
	CHECK(!memory_journal_overrun(reader, &loss));
	CHECK_EQ(loss.from, 0);
	for (unsigned int i = 0; i < 100; i++)
		CHECK(sample_frame(&writer, 10));
	CHECK(memory_journal_overrun(reader, &loss));
	CHECK_EQ(loss.from, 1);
	CHECK_EQ(loss.reason, LOSS_JOURNAL_FULL);
	CHECK_EQ(loss.packets, 10 * loss.to);
	CHECK_EQ(loss.wire_packets, 20 * loss.to);
	CHECK(!memory_journal_overrun(reader, &loss));
	assert_true(memory_journal_next(reader, &frame));
	skipped = frame.sequence - 1;
	number = 10 * skipped;
	CHECK(sample_check_frame(&frame, &number));
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.frames, 100 - skipped);
	CHECK_EQ(stats.lost_packets[LOSS_JOURNAL_FULL], 10 * skipped);
	/* It holds the oldest: nothing may be dropped until it lets go. */
	while (sample_frame(&writer, 10))
		;
	CHECK(!memory_journal_overrun(reader, &loss));
	number = 10 * skipped;
	CHECK(sample_check_frame(&frame, &number));
	memory_journal_release(reader, frame.offset);
	CHECK(sample_frame(&writer, 10));
	/* After a rewind it holds nothing. */
	assert_true(memory_journal_next(reader, &frame));
	memory_journal_rewind(reader);
	for (unsigned int i = 0; i < 100; i++)
		CHECK(sample_frame(&writer, 10));
	CHECK(memory_journal_overrun(reader, &loss));
	CHECK_EQ(loss.from, skipped + 2);
	memory_journal_reader_destroy(reader);
	memory_journal_remove(journal);
}

/* With nobody to read them they are kept as long as there is room, for whoever comes. */
static void without_readers(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal = sample_open(&config);
	struct sample_writer writer = sample_writer(journal);
	struct memory_journal_reader *reader;
	struct memory_journal_frame frame;
	struct memory_journal_stats stats;

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		CHECK(sample_frame(&writer, 10));
	memory_journal_stats(journal, &stats);
	CHECK_EQ(stats.packets + stats.lost_packets[LOSS_JOURNAL_FULL], 1000);
	assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
	assert_true(memory_journal_next(reader, &frame));
	CHECK_EQ(frame.sequence, 100 - stats.frames + 1);
	memory_journal_reader_destroy(reader);
	memory_journal_remove(journal);
}

struct thread_reader {
	struct memory_journal_reader *reader;
	_Atomic uint64_t *stop_at; /* sequence; 0: not known yet */
	uint64_t delivered, lost, bad;
	unsigned int batch; /* frames held at a time */
};

static void *read_thread(void *argument)
{
	struct thread_reader *self = argument;
	struct memory_journal_frame frames[8];
	uint64_t expected = 1, number, stop;
	struct message_loss loss;
	unsigned int n;

	do {
		stop = atomic_load(self->stop_at);
		for (n = 0; n < self->batch && memory_journal_next(self->reader, &frames[n]); n++)
			;
		if (memory_journal_overrun(self->reader, &loss))
			self->lost += loss.packets;
		for (unsigned int i = 0; i < n; i++) {
			number = 10 * (frames[i].sequence - 1);
			self->bad += frames[i].sequence < expected ||
				     !sample_check_frame(&frames[i], &number);
			self->delivered += frames[i].header.packet_count;
			expected = frames[i].sequence + 1;
		}
		if (n)
			memory_journal_release(self->reader, frames[n - 1].offset);
		else
			sched_yield();
	} while (!stop || !memory_journal_drained(self->reader));
	if (memory_journal_overrun(self->reader, &loss))
		self->lost += loss.packets;
	return NULL;
}

static void readers_on_other_threads(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal = sample_open(&config);
	struct sample_writer writer = sample_writer(journal);
	struct thread_reader readers[3] = { { .batch = 1 }, { .batch = 8 }, { .batch = 3 } };
	_Atomic uint64_t stop_at = 0;
	uint64_t refused = 0, seed = 7;
	pthread_t threads[3];

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		readers[i].stop_at = &stop_at;
		assert_int_equal(memory_journal_reader_create(&readers[i].reader, journal), 0);
		assert_int_equal(pthread_create(&threads[i], NULL, read_thread, &readers[i]), 0);
	}
	for (unsigned int i = 0; i < THREAD_FRAMES; i++) {
		if (!sample_frame(&writer, 10))
			refused++;
		/* Now the readers keep up, now they are overrun. */
		if (sample_random(&seed) % 256 == 0)
			usleep(1000);
	}
	atomic_store(&stop_at, memory_journal_next_sequence(journal));
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		CHECK_EQ(readers[i].bad, 0);
		CHECK_EQ(readers[i].delivered + readers[i].lost, 10 * (THREAD_FRAMES - refused));
		CHECK(readers[i].delivered > 0);
		memory_journal_reader_destroy(readers[i].reader);
	}
	memory_journal_remove(journal);
}

static void flip(off_t at, uint8_t with)
{
	int fd = open(sample_path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= with;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void copy_bytes(off_t to, const void *data, size_t len)
{
	int fd = open(sample_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, to), len);
	close(fd);
}

static void make_three_frames(void)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal;
	struct sample_writer writer;

	(void)unlink(sample_path);
	journal = sample_open(&config);
	writer = sample_writer(journal);
	for (unsigned int i = 0; i < 3; i++)
		CHECK(sample_frame(&writer, 10));
	memory_journal_close(journal);
}

static void refuses_what_is_not_its_own(void **state)
{
	static const struct {
		const char *name, *agent;
		uint32_t lane;
		bool replay;
		int err;
	} cases[] = {
		{ "another agent", "agent-2", 3, false, -ESTALE },
		{ "another lane", "agent-1", 4, false, -ESTALE },
		{ "a replay", "agent-1", 3, true, -ESTALE },
		{ "its own", "agent-1", 3, false, 0 },
	};
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal;

	(void)state;
	make_three_frames();
	FOR_EACH_CASE (c, cases) {
		config.agent = c->agent;
		config.lane = c->lane;
		config.replay = c->replay;
		CHECK_EQ(memory_journal_open(&journal, &config), c->err);
		if (!c->err)
			memory_journal_remove(journal);
	}
	config.size_bytes = MEMORY_JOURNAL_SIZE_MIN - 1;
	CHECK_EQ(memory_journal_open(&journal, &config), -EINVAL);
	CHECK_EQ(access(sample_path, F_OK), -1);
	config = sample_config(MIB);
	config.agent = "Agent 1";
	CHECK_EQ(memory_journal_open(&journal, &config), -EINVAL);
	config = sample_config(MIB);
	config.path = "/nonexistent/journal";
	CHECK_EQ(memory_journal_open(&journal, &config), -ENOENT);
}

/* Whatever byte is hit: refused, or not among those that tell where frames are. */
static void damage_is_found(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal_reader *reader;
	struct memory_journal_frame frame;
	struct memory_journal *journal;
	unsigned int refused = 0, count;
	struct stat st;
	off_t ring;

	(void)state;
	make_three_frames();
	assert_int_equal(stat(sample_path, &st), 0);
	ring = st.st_size - (off_t)MIB;
	for (off_t at = 0; at < ring + 80; at += at < 1024 || at >= ring ? 1 : 61) {
		make_three_frames();
		flip(at, 0x10);
		if (memory_journal_open(&journal, &config) == -EBADMSG) {
			refused++;
			continue;
		}
		assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
		for (count = 0; memory_journal_next(reader, &frame); count++)
			CHECK_EQ(frame.sequence, count + 1);
		CHECK_EQ(count, 3);
		memory_journal_reader_destroy(reader);
		memory_journal_remove(journal);
	}
	CHECK(refused > 80 + 100);
	make_three_frames();
	assert_int_equal(truncate(sample_path, st.st_size - 1), 0);
	CHECK_EQ(memory_journal_open(&journal, &config), -EBADMSG);
	assert_int_equal(truncate(sample_path, 0), 0);
	copy_bytes(0, "not a journal at all", 20);
	CHECK_EQ(memory_journal_open(&journal, &config), -EBADMSG);
	/* What a maker that was killed leaves behind is no damage. */
	assert_int_equal(truncate(sample_path, 0), 0);
	assert_int_equal(truncate(sample_path, 300000), 0);
	CHECK_EQ(memory_journal_open(&journal, &config), 0);
	memory_journal_remove(journal);
}

/* An error when it is opened, and no SIGBUS later. */
static void full_file_system(void **state)
{
	struct memory_journal_config config = sample_config(4 * MIB);
	struct memory_journal *journal;
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("none", sample_dir, "tmpfs", 0, "size=2m"))
			_exit(2);
		if (memory_journal_open(&journal, &config) != -ENOSPC ||
		    access(sample_path, F_OK) == 0)
			_exit(1);
		config.size_bytes = MIB;
		_exit(memory_journal_open(&journal, &config) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 2) {
		print_message("needs the right to mount a tmpfs\n");
		skip();
	}
	CHECK_EQ(status, 0);
}

static uint64_t resident_shared(void)
{
	unsigned long size, resident, shared;
	FILE *file = fopen("/proc/self/statm", "re");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu %lu", &size, &resident, &shared), 3);
	fclose(file);
	return shared * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void idle_takes_little_memory(void **state)
{
	struct memory_journal_config config = sample_config(64 * MIB);
	uint64_t before = resident_shared(), after;
	struct memory_journal *journal = sample_open(&config);

	(void)state;
	after = resident_shared();
	CHECK(after - MIN(before, after) < MIB);
	memory_journal_remove(journal);
}

static int setup(void **state)
{
	(void)state;
	sample_setup();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sample_teardown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(commits_and_reads), TEST(continues_the_stream),
		TEST(keeps_positions),	 TEST(wraps_around),
		TEST(drops_the_newest),	 TEST(drops_the_oldest),
		TEST(without_readers),	 TEST(readers_on_other_threads),
		TEST(damage_is_found),	 TEST(refuses_what_is_not_its_own),
		TEST(full_file_system),	 TEST(idle_takes_little_memory),
	};

	return cmocka_run_group_tests_name("memory_journal", tests, setup, teardown);
}
