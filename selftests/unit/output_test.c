/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "selftests/unit/check.h"

static struct loop *loop;
static char path[] = "/tmp/xcap-output.XXXXXX";
static int broken_by;

static int begin(void **state)
{
	memcpy(strrchr(path, '.'), ".XXXXXX", 7);
	close(mkstemp(path));
	broken_by = 0;
	return loop_create(&loop, 16) ?: check_begin(state);
}

static int end(void **state)
{
	loop_destroy(loop);
	unlink(path);
	return check_end(state);
}

static void progressed(void *context)
{
	(*(int *)context)++;
}

static void broken(void *context, int err)
{
	(void)context;
	broken_by = err;
}

static int progress;

static struct output_config config(const char *file)
{
	return (struct output_config){ .loop = loop,
				       .path = file,
				       .format = CAPTURE_PCAPNG,
				       .progressed = progressed,
				       .broken = broken,
				       .context = &progress };
}

static int put(struct output *output, uint64_t time_ns, uint16_t link_type)
{
	static const uint8_t bytes[60];
	struct pcapng_interface interface = { .link_type = link_type,
					      .name = "eth0",
					      .tsresol = 9 };
	struct pcapng_packet packet = {
		.time_ns = time_ns, .captured_len = 60, .original_len = 60, .data = bytes
	};

	return output_packet(output, "a", &interface, &packet);
}

static off_t size(void)
{
	struct stat st;

	return stat(path, &st) ? -1 : st.st_size;
}

static void turn_until_idle(const struct output *output)
{
	while (output_waiting(output) || !output_idle(output))
		if (loop_turn(loop, true))
			break;
}

static void side_paths(void **state)
{
	static const struct {
		const char *name, *path;
		bool is_late;
		int link_type;
		const char *expected;
	} cases[] = {
		{ "late", "/a/merged.pcapng", true, -1, "/a/merged.late.pcapng" },
		{ "link type", "merged.pcapng", false, 113, "merged.linktype113.pcapng" },
		{ "both", "merged.pcapng", true, 0, "merged.late.linktype0.pcapng" },
		{ "no extension", "/a.b/merged", true, -1, "/a.b/merged.late" },
		{ "hidden", "/a/.merged", true, -1, "/a/.merged.late" },
		{ "two dots", "x.tar.pcap", true, -1, "x.tar.late.pcap" },
		{ "ends in a dot", "x.", true, -1, "x.late." },
	};
	char name[64];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		CHECK_EQ(output_side_path(name, sizeof(name), c->path, c->is_late, c->link_type),
			 0);
		CHECK_STR(name, c->expected);
	}
	CHECK_EQ(output_side_path(name, 21, "/a/merged.pcapng", true, -1), -ENAMETOOLONG);
	CHECK_EQ(output_side_path(name, 22, "/a/merged.pcapng", true, -1), 0);
}

static void written_soon(void **state)
{
	struct output_config c = config(path);
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	struct output *output;

	(void)state;
	assert_int_equal(output_open(&output, &c, NULL), 0);
	CHECK(output_is_file(output));
	CHECK(!output_is_begun(output));
	CHECK_EQ(put(output, 1, LINKTYPE_ETHERNET), 0);
	CHECK(output_is_begun(output));
	CHECK_EQ(put(output, 2, LINKTYPE_RAW), -EXDEV);
	CHECK_EQ(output_link_type(output), LINKTYPE_ETHERNET);
	CHECK_EQ(output_offset(output), output_waiting(output));
	turn_until_idle(output);
	CHECK(clock_ns(CLOCK_MONOTONIC) - began < 500 * NS_PER_MS);
	CHECK_EQ(size(), output_written(output));
	CHECK_EQ(output_offset(output), output_written(output));
	output_close(output, false);
}

static void large_amounts(void **state)
{
	struct output_config c = config(path);
	struct output *output;
	uint64_t expected;
	int err;

	(void)state;
	assert_int_equal(output_open(&output, &c, NULL), 0);
	for (int i = 0; i < 100000; i++)
		CHECK_EQ(put(output, (uint64_t)i, LINKTYPE_ETHERNET), 0);
	expected = output_offset(output);
	CHECK(expected > 9000000);
	output_sync(output);
	CHECK(!output_synced(output, &err));
	turn_until_idle(output);
	CHECK(output_synced(output, &err));
	CHECK_EQ(err, 0);
	CHECK_EQ(size(), expected);
	CHECK(progress > 0);
	output_close(output, false);
}

static void continued(void **state)
{
	struct output_config c = config(path);
	struct output_resume resume = { .is_begun = true, .link_type = LINKTYPE_ETHERNET };
	struct output *output;

	(void)state;
	assert_int_equal(output_open(&output, &c, NULL), 0);
	CHECK_EQ(put(output, 1, LINKTYPE_ETHERNET), 0);
	turn_until_idle(output);
	resume.offset = output_written(output);
	CHECK_EQ(put(output, 2, LINKTYPE_ETHERNET), 0);
	turn_until_idle(output);
	CHECK(size() > (off_t)resume.offset);
	output_close(output, false);

	assert_int_equal(output_open(&output, &c, &resume), 0);
	CHECK_EQ(size(), resume.offset);
	CHECK_EQ(output_offset(output), resume.offset);
	CHECK_EQ(put(output, 3, LINKTYPE_RAW), -EXDEV);
	CHECK_EQ(put(output, 3, LINKTYPE_ETHERNET), 0);
	turn_until_idle(output);
	CHECK(size() > (off_t)resume.offset);
	resume.offset = (uint64_t)size() + 1;
	output_close(output, false);

	CHECK_EQ(output_open(&output, &c, &resume), -EPIPE); /* shorter than that */
	unlink(path);
	CHECK_EQ(output_open(&output, &c, &resume), -ENOENT);
	CHECK_EQ(size(), -1);
}

static void empty_is_valid(void **state)
{
	struct output_config c = config(path);
	struct output *output;

	(void)state;
	assert_int_equal(output_open(&output, &c, NULL), 0);
	CHECK_EQ(size(), 0);
	output_finish(output);
	turn_until_idle(output);
	CHECK(size() > 24);
	output_close(output, false);
}

static void full_disk_is_tried_again(void **state)
{
	struct output_config c = config("/dev/full");
	struct output *output;

	(void)state;
	assert_int_equal(output_open(&output, &c, NULL), 0);
	CHECK(!output_is_file(output));
	CHECK_EQ(put(output, 1, LINKTYPE_ETHERNET), 0);
	output_flush(output);
	while (!output_blocked(output) && !loop_turn(loop, true))
		;
	CHECK(output_waiting(output) > 0);
	CHECK_EQ(output_written(output), 0);
	CHECK_EQ(broken_by, 0);
	output_close(output, true);
}

/* Into the write end of a pipe, as standard output. */
static struct output *open_pipe(int fds[2])
{
	struct output_config c = config("-");
	int saved = dup(STDOUT_FILENO);
	struct output *output;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(dup2(fds[1], STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(output_open(&output, &c, NULL), 0);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(fds[1]);
	return output;
}

static void nobody_reads_on(void **state)
{
	int fds[2];
	struct output *output = open_pipe(fds);

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	close(fds[0]);
	CHECK_EQ(put(output, 1, LINKTYPE_ETHERNET), 0);
	output_flush(output);
	while (!broken_by && !loop_turn(loop, true))
		;
	CHECK_EQ(broken_by, -EPIPE);
	output_close(output, true);
}

/* A reader that stands still does not hold up the end. */
static void stuck_reader_given_up(void **state)
{
	int fds[2];
	struct output *output = open_pipe(fds);

	(void)state;
	for (int i = 0; i < 5000; i++)
		CHECK_EQ(put(output, 1, LINKTYPE_ETHERNET), 0);
	output_flush(output);
	CHECK_EQ(loop_turn(loop, false), 0);
	CHECK(output_waiting(output) > 0);
	output_close(output, true);
	close(fds[0]);
}

int main(void)
{
#define OUTPUT_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(side_paths),
		OUTPUT_TEST(written_soon),
		OUTPUT_TEST(large_amounts),
		OUTPUT_TEST(continued),
		OUTPUT_TEST(empty_is_valid),
		OUTPUT_TEST(full_disk_is_tried_again),
		OUTPUT_TEST(nobody_reads_on),
		OUTPUT_TEST(stuck_reader_given_up),
	};

	return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
