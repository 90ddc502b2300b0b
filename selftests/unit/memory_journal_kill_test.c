/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kill -9 of the process that writes a journal, at any instruction. */
#include "common/memory_journal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "selftests/unit/journal_sample.h"

#ifdef XCAP_SANITIZE
#define KILLS 40
#define CAN_STEP false /* every access is a dozen steps */
#else
#define KILLS 150
#define CAN_STEP true
#endif
#define SEQUENCES_MAX 2000000

/* What the child says it is about to tell the journal, and what it has told it. */
struct diary {
	_Atomic uint64_t telling, told;
	uint64_t lost;		      /* packets, over all kills */
	uint8_t acked[SEQUENCES_MAX]; /* set before the frame is released */
};

static struct diary *diary;

static void tell_progress(struct sample_writer *writer)
{
	atomic_store(&diary->telling, writer->next);
	sample_progress(writer);
	atomic_store(&diary->told, writer->next);
}

static void tell_commit(struct sample_writer *writer)
{
	atomic_store(&diary->telling, writer->next);
	sample_commit(writer);
	atomic_store(&diary->told, writer->next);
}

/* Ships some, acknowledges some, is overrun now and then. Ends by being killed. */
static void write_for_ever(uint64_t seed)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal;
	struct memory_journal_reader *shipper;
	struct memory_journal_frame frame;
	struct sample_writer writer;
	uint64_t sent_offset[64], sent[64];
	unsigned int in_flight = 0;

	if (memory_journal_open(&journal, &config) ||
	    memory_journal_shipper_create(&shipper, journal))
		_exit(1);
	writer = sample_writer(journal);
	while (memory_journal_next_sequence(journal) < SEQUENCES_MAX) {
		if (sample_begin(&writer, 8)) {
			while (sample_random(&seed) % 4) {
				if (writer.header.packet_count + 2 > 8)
					break;
				sample_add(&writer, 1 + (unsigned int)(sample_random(&seed) % 2));
				tell_progress(&writer);
			}
			if (writer.len)
				tell_commit(&writer);
			else
				memory_journal_abandon(journal);
		}
		while (in_flight < 64 && sample_random(&seed) % 3 &&
		       memory_journal_next(shipper, &frame)) {
			memory_journal_done(shipper);
			sent[in_flight] = frame.sequence;
			sent_offset[in_flight++] = frame.offset;
		}
		if (sample_random(&seed) % 64 == 0 && in_flight) {
			for (unsigned int i = 0; i < in_flight; i++)
				diary->acked[sent[i]] = !memory_journal_is_lost(shipper, sent[i]);
			memory_journal_release(shipper, sent_offset[in_flight - 1]);
			if (sample_random(&seed) % 2)
				memory_journal_persist(journal);
			in_flight = 0;
		}
		if (sample_random(&seed) % 512 == 0) {
			memory_journal_rewind(shipper);
			in_flight = 0;
		}
	}
	_exit(1);
}

/* Every number is kept, or lost, or was acknowledged. */
static void check_numbers(struct memory_journal *journal)
{
	static uint8_t seen[SEQUENCES_MAX];
	uint64_t next = memory_journal_next_sequence(journal), number, last = 0;
	struct memory_journal_reader *shipper;
	struct memory_journal_frame frame;
	struct memory_journal_stats stats;
	struct message_loss loss;
	struct ranges nothing = {};
	uint64_t lost = 0, missing = 0;
	bool first = true;

	memset(seen, 0, sizeof(seen));
	assert_int_equal(memory_journal_shipper_create(&shipper, journal), 0);
	while (memory_journal_next(shipper, &frame)) {
		if (first)
			memcpy(&number, frame.data + FRAME_HEADER_LEN, sizeof(number));
		first = false;
		CHECK(sample_check_frame(&frame, &number));
		CHECK(!last || frame.sequence == last + 1);
		last = frame.sequence;
		seen[frame.sequence] = 1;
	}
	if (last) {
		CHECK_EQ(last + 1, next);
		CHECK_EQ(number, atomic_load(&diary->told));
	}
	memory_journal_confirm(shipper, &nothing, true);
	while (memory_journal_overrun(shipper, &loss)) {
		lost += loss.packets;
		for (uint64_t i = loss.from; i <= loss.to; i++)
			seen[i] = 1;
		/* The receiver has it now. */
		assert_int_equal(ranges_add(&nothing, loss.to, loss.to), 0);
		memory_journal_confirm(shipper, &nothing, false);
		for (uint64_t i = loss.from; i <= loss.to; i++)
			diary->acked[i] = 1;
	}
	memory_journal_stats(journal, &stats);
	for (uint64_t i = 1; i < next; i++)
		missing += !seen[i] && !diary->acked[i];
	CHECK_EQ(missing, 0);
	CHECK_EQ(stats.committed_packets, atomic_load(&diary->told));
	diary->lost += lost;
	CHECK_EQ(stats.lost_packets[LOSS_JOURNAL_FULL], diary->lost);
	ranges_release(&nothing);
	memory_journal_reader_destroy(shipper);
}

static void killed_at_random(void **state)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal;
	uint64_t seed = 1, value;
	int status;
	pid_t pid;

	(void)state;
	memset(diary, 0, sizeof(*diary));
	/* On a busy machine a child may not come far; what it wrote adds up. */
	for (unsigned int i = 0; (i < KILLS || (!diary->lost && i < 20 * KILLS)) && !check_failures;
	     i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			write_for_ever(seed);
		usleep((useconds_t)(500 + sample_random(&seed) % 5000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		journal = sample_open(&config);
		if (memory_journal_position(journal, SAMPLE_SOURCE, &value)) {
			CHECK(value == atomic_load(&diary->told) ||
			      value == atomic_load(&diary->telling));
			atomic_store(&diary->told, value);
			CHECK(memory_journal_position(journal, 2, &value));
			CHECK_EQ(value, 3 * atomic_load(&diary->told));
		}
		check_numbers(journal);
		memory_journal_close(journal);
	}
	CHECK(diary->lost > 0); /* it was overrun */
	CHECK(memory_journal_open(&journal, &config) == 0);
	memory_journal_remove(journal);
}

/* Made before, so that the steps are those of the journal. */
static uint8_t prepared[64 * SAMPLE_RECORD_MAX];
static size_t prepared_taken;

static void prepare(uint64_t first)
{
	size_t len = 0;

	for (uint64_t number = first; len + SAMPLE_RECORD_MAX <= sizeof(prepared); number++)
		len += sample_put(prepared + len, number);
}

static void add_prepared(struct sample_writer *writer, unsigned int records)
{
	size_t len = 0;

	for (unsigned int i = 0; i < records; i++)
		len += sample_record_len(writer->next++);
	memcpy(writer->payload + writer->len, prepared + prepared_taken, len);
	prepared_taken += len;
	writer->len += len;
	writer->header.packet_count += records;
	writer->header.wire_count += 2 * records;
}

/* All that a journal does, with a ring so full that the oldest frames go. */
static void write_in_steps(void)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal *journal;
	struct memory_journal_reader *shipper;
	struct memory_journal_frame frame;
	struct sample_writer writer;

	if (memory_journal_open(&journal, &config) ||
	    memory_journal_shipper_create(&shipper, journal))
		_exit(1);
	writer = sample_writer(journal);
	for (unsigned int i = 0; i < 40; i++) {
		if (!sample_frame(&writer, 20))
			_exit(1);
		if (i < 2 && memory_journal_next(shipper, &frame))
			memory_journal_done(shipper);
	}
	atomic_store(&diary->told, writer.next);
	atomic_store(&diary->telling, writer.next);
	prepare(writer.next);
	raise(SIGSTOP);
	for (unsigned int i = 0; i < 2; i++) {
		if (!sample_begin(&writer, 20))
			_exit(1);
		add_prepared(&writer, 1);
		tell_progress(&writer);
		add_prepared(&writer, 18);
		tell_progress(&writer);
		add_prepared(&writer, 1);
		tell_commit(&writer);
	}
	if (!memory_journal_next(shipper, &frame))
		_exit(1);
	memory_journal_done(shipper);
	memory_journal_release(shipper, frame.offset);
	memory_journal_persist(journal);
	_exit(0);
}

/* What a daemon would find if the child were killed right here. */
static void check_copy(const uint8_t *original, size_t len, const char *copy_path)
{
	struct memory_journal_config config = sample_config(MIB);
	struct memory_journal_reader *reader;
	struct memory_journal_frame frame;
	struct memory_journal *journal;
	uint64_t value = 0, number = 0;
	bool first = true;
	int fd;

	fd = open(copy_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, original, len), len);
	close(fd);
	config.path = copy_path;
	if (memory_journal_open(&journal, &config)) {
		CHECK(!"the journal can be opened");
		return;
	}
	CHECK(memory_journal_position(journal, SAMPLE_SOURCE, &value));
	CHECK(value == atomic_load(&diary->told) || value == atomic_load(&diary->telling));
	assert_int_equal(memory_journal_reader_create(&reader, journal), 0);
	while (memory_journal_next(reader, &frame)) {
		if (first)
			memcpy(&number, frame.data + FRAME_HEADER_LEN, sizeof(number));
		first = false;
		CHECK(sample_check_frame(&frame, &number));
	}
	CHECK_EQ(number, value);
	memory_journal_reader_destroy(reader);
	memory_journal_remove(journal);
}

static void killed_at_every_step(void **state)
{
	uint64_t steps = 0, checks = 0;
	uint8_t *original, *before;
	char copy_path[128];
	size_t head_len;
	struct stat st;
	int status, fd;
	pid_t pid;

	(void)state;
	memset(diary, 0, sizeof(*diary));
	snprintf(copy_path, sizeof(copy_path), "%s/copy", sample_dir);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(77);
		write_in_steps();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("needs ptrace\n");
		skip();
	}
	assert_true(WIFSTOPPED(status));
	fd = open(sample_path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	original = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(original, MAP_FAILED);
	head_len = (size_t)st.st_size - MIB;
	before = malloc(head_len);
	assert_non_null(before);
	memcpy(before, original, head_len);
	while (WIFSTOPPED(status) && check_failures < 10) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		steps++;
		if (memcmp(before, original, head_len) == 0 && steps % 64)
			continue;
		memcpy(before, original, head_len);
		check_copy(original, (size_t)st.st_size, copy_path);
		checks++;
	}
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(checks > 100);
	print_message("# %" PRIu64 " steps, %" PRIu64 " journals opened\n", steps, checks);
	free(before);
	munmap(original, (size_t)st.st_size);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	sample_setup();
	diary = mmap(NULL, sizeof(*diary), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	return diary == MAP_FAILED;
}

static int teardown(void **state)
{
	(void)state;
	munmap(diary, sizeof(*diary));
	sample_teardown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(killed_at_random),
		TEST(killed_at_every_step),
	};
	const struct CMUnitTest some[] = { all[0] };

	if (!CAN_STEP)
		return cmocka_run_group_tests_name("memory_journal_kill", some, setup, teardown);
	return cmocka_run_group_tests_name("memory_journal_kill", all, setup, teardown);
}
