/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/source.h"
#include "common/buf.h"
#include "selftests/unit/check.h"

#define PACKETS 3000

static char path[64];

static void add_packet(struct buf *file, bool classic, uint32_t interface, uint64_t time_ns,
		       uint8_t fill)
{
	uint8_t data[700];
	struct pcapng_packet packet = {
		.interface = interface,
		.time_ns = time_ns,
		.captured_len = 60 + time_ns % 600,
		.original_len = 60 + time_ns % 600,
		.data = data,
	};

	memset(data, fill, sizeof(data));
	if (classic)
		pcap_packet(file, &packet);
	else
		pcapng_packet(file, &packet);
}

static void write_file(const struct buf *file, size_t len)
{
	FILE *out;

	snprintf(path, sizeof(path), "/dev/shm/source_pcap_test.%d", (int)getpid());
	out = fopen(path, "wb");
	assert_non_null(out);
	assert_int_equal(fwrite(file->data, 1, len, out), len);
	fclose(out);
}

/* Two interfaces; a packet every ms. */
static size_t make_pcapng(void)
{
	struct pcapng_interface interface = { .link_type = LINKTYPE_ETHERNET, .tsresol = 9 };
	struct buf file = {};
	size_t len;

	pcapng_section(&file, "test", NULL, NULL);
	snprintf(interface.name, sizeof(interface.name), "eth0");
	pcapng_interface(&file, &interface);
	snprintf(interface.name, sizeof(interface.name), "eth1");
	pcapng_interface(&file, &interface);
	for (uint64_t i = 0; i < PACKETS; i++)
		add_packet(&file, false, i % 2, NS_PER_SEC + i * NS_PER_MS, (uint8_t)i);
	len = file.len;
	write_file(&file, len);
	buf_release(&file);
	return len;
}

static void make_pcap(size_t packets, size_t cut)
{
	struct buf file = {};

	pcap_header(&file, LINKTYPE_ETHERNET, 262144);
	for (uint64_t i = 0; i < packets; i++)
		add_packet(&file, true, 0, NS_PER_SEC + i * NS_PER_MS, (uint8_t)i);
	write_file(&file, file.len - cut);
	buf_release(&file);
}

struct run {
	struct source *source;
	struct loop *loop;
	uint64_t packets, first_ns, last_ns;
};

static void start(struct run *run, struct source_pcap_config config)
{
	*run = (struct run){};
	config.path = path;
	assert_int_equal(loop_create(&run->loop, 8), 0);
	assert_int_equal(source_pcap_create(&run->source, &config), 0);
	assert_int_equal(run->source->ops->start(run->source, run->loop), 0);
}

/* A lane's passes, `budget` packets each, until `stop_at` packets or the end. */
static void read_on(struct run *run, unsigned int budget, uint64_t stop_at)
{
	struct source *source = run->source;
	struct source_packet packet;

	while (!source->at_end && run->packets < stop_at) {
		for (unsigned int i = 0; i < budget && run->packets < stop_at; i++) {
			if (!source->ops->peek(source, &packet))
				break;
			for (uint32_t k = 0; k < packet.captured_len; k++)
				assert_int_equal(packet.data[k], packet.data[0]);
			run->first_ns = run->packets ? run->first_ns : packet.time_ns;
			run->last_ns = packet.time_ns;
			source->ops->take(source);
			run->packets++;
		}
		source->ops->give_back(source);
		assert_int_equal(loop_turn(run->loop, source->ops->idle(source) ? false : true), 0);
	}
}

static void stop(struct run *run)
{
	run->source->ops->stop(run->source);
	while (!run->source->ops->idle(run->source))
		assert_int_equal(loop_turn(run->loop, true), 0);
	run->source->ops->destroy(run->source);
	loop_destroy(run->loop);
	unlink(path);
}

static void a_pcapng_is_read_whole(void **state)
{
	static const struct {
		const char *name;
		const char *label;
		const char *first, *second;
	} cases[] = { { "names of the file", NULL, "eth0", "eth1" },
		      { "a label", "host-c", "host-c", "host-c:eth1" } };
	struct run run;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		make_pcapng();
		start(&run, (struct source_pcap_config){ .label = c->label });
		read_on(&run, 100, UINT64_MAX);
		CHECK_EQ(run.packets, PACKETS);
		CHECK_EQ(run.first_ns, NS_PER_SEC);
		CHECK_EQ(run.last_ns, NS_PER_SEC + (PACKETS - 1) * NS_PER_MS);
		CHECK_EQ(run.source->err, 0);
		CHECK_EQ(run.source->ops->position(run.source), PACKETS);
		CHECK_STR(run.source->ops->describe(run.source, 0)->name, c->first);
		CHECK_STR(run.source->ops->describe(run.source, 1)->name, c->second);
		stop(&run);
	}
}

static void it_goes_on_where_it_was(void **state)
{
	struct run run;
	uint64_t position;

	(void)state;
	make_pcapng();
	start(&run, (struct source_pcap_config){ 0 });
	read_on(&run, 7, 1000);
	position = run.source->ops->position(run.source);
	CHECK_EQ(position, 1000);
	stop(&run);
	make_pcapng();
	start(&run, (struct source_pcap_config){ 0 });
	run.source->ops->seek(run.source, position);
	read_on(&run, 7, UINT64_MAX);
	CHECK_EQ(run.packets, PACKETS - 1000);
	CHECK_EQ(run.first_ns, NS_PER_SEC + 1000 * NS_PER_MS);
	stop(&run);
}

static uint64_t filtered(const struct run *run)
{
	struct source_stats stats;

	run->source->ops->stats(run->source, &stats);
	return stats.filtered;
}

/* Packet i is full of bytes i. */
static void what_does_not_match_is_counted_and_not_shown(void **state)
{
	static const struct {
		const char *name, *filter;
		uint64_t from, packets, filtered;
	} cases[] = {
		{ "all", "", 0, PACKETS, 0 },
		{ "some", "ether[0] < 10", 0, 120, PACKETS - 120 },
		{ "none", "ether[0] = 1 and ether[1] = 2", 0, 0, PACKETS },
		{ "some, going on", "ether[0] < 10", 256, 110, PACKETS - 120 },
		{ "by its length", "len = 60", 0, PACKETS / 3, PACKETS - PACKETS / 3 },
	};
	struct run run;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		make_pcapng();
		start(&run, (struct source_pcap_config){ .filter = c->filter });
		run.source->ops->seek(run.source, c->from);
		read_on(&run, 7, UINT64_MAX);
		CHECK_EQ(run.source->err, 0);
		CHECK_EQ(run.packets, c->packets);
		CHECK_EQ(filtered(&run), c->filtered);
		CHECK_EQ(run.source->ops->position(run.source), PACKETS);
		CHECK_STR(run.source->ops->describe(run.source, 0)->filter, c->filter);
		stop(&run);
	}
}

/* Ethernet, raw IP, and one that is described without a packet. */
static void make_mixture(bool second_filtered)
{
	struct pcapng_interface interface = { .link_type = LINKTYPE_ETHERNET, .tsresol = 9 };
	struct buf file = {};

	pcapng_section(&file, "test", NULL, NULL);
	pcapng_interface(&file, &interface);
	interface.link_type = LINKTYPE_RAW;
	if (second_filtered)
		snprintf(interface.filter, sizeof(interface.filter), "tcp");
	pcapng_interface(&file, &interface);
	interface.link_type = 177; /* LINUX_LAPD */
	pcapng_interface(&file, &interface);
	for (uint64_t i = 0; i < 256; i++)
		add_packet(&file, false, i % 2, NS_PER_SEC + i * NS_PER_MS, (uint8_t)i);
	write_file(&file, file.len);
	buf_release(&file);
}

static void each_interface_is_judged_by_its_own_link_type(void **state)
{
	struct run run;

	(void)state;
	make_mixture(true);
	/* Of Ethernet no packet is of type 0x0800, of raw IP some are of version 4. */
	start(&run, (struct source_pcap_config){ .filter = "ip" });
	read_on(&run, 100, UINT64_MAX);
	CHECK_EQ(run.source->err, 0);
	CHECK_EQ(run.packets, 8); /* 0x41, 0x43, .. 0x4f */
	CHECK_EQ(filtered(&run), 248);
	CHECK_STR(run.source->ops->describe(run.source, 0)->filter, "ip");
	CHECK_STR(run.source->ops->describe(run.source, 1)->filter, "(tcp) and (ip)");
	stop(&run);
}

static void a_filter_that_a_link_type_has_not_is_an_error(void **state)
{
	struct run run;

	(void)state;
	make_mixture(false);
	start(&run, (struct source_pcap_config){ .filter = "ether[0] = 0 or ether host 1:2:3:4:5:6",
						 .label = "host-c" });
	read_on(&run, 100, UINT64_MAX);
	CHECK_EQ(run.packets, 1);
	CHECK_EQ(run.source->err, -EINVAL);
	CHECK(strstr(source_pcap_error(run.source), "on host-c:other, of link type 101: "));
	stop(&run);
}

static void a_cut_file_gives_what_it_has_and_an_error(void **state)
{
	struct run run;

	(void)state;
	make_pcap(10, 5);
	start(&run, (struct source_pcap_config){ 0 });
	read_on(&run, 100, UINT64_MAX);
	CHECK_EQ(run.packets, 9);
	CHECK_EQ(run.source->err, -EBADMSG);
	CHECK(strstr(source_pcap_error(run.source), "cut short") != NULL);
	stop(&run);
}

/* The file at path through a program that compresses. */
static void compress_file(const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "{ %s; } <%s >%s.packed && mv %s.packed %s", command, path,
		 path, path, path);
	assert_int_equal(system(line), 0);
}

static void compressed_files_are_read_the_same(void **state)
{
	static const struct {
		const char *name, *command;
		const char *error;
	} cases[] = {
		{ "gzip", "gzip -c", NULL },
		{ "zstd", "zstd -qc", NULL },
		{ "gzip, cut", "gzip -c | head -c 10000", "its gzip data is cut short" },
		{ "zstd, cut", "zstd -qc | head -c 20000", "its zstd data is cut short" },
		{ "xz", "printf '\\3757zXZ\\0'", "it is compressed by xz" },
	};
	struct run run;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		make_pcapng();
		compress_file(c->command);
		start(&run, (struct source_pcap_config){ 0 });
		read_on(&run, 100, UINT64_MAX);
		if (!c->error)
			CHECK_EQ(run.packets, PACKETS);
		else
			CHECK(strstr(source_pcap_error(run.source), c->error) != NULL);
		CHECK_EQ(run.source->err < 0, c->error != NULL);
		stop(&run);
	}
}

static void garbage_is_refused(void **state)
{
	struct buf file = {};
	struct run run;

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_append(&file, "garbage!", 8);
	write_file(&file, file.len);
	buf_release(&file);
	start(&run, (struct source_pcap_config){ 0 });
	read_on(&run, 100, UINT64_MAX);
	CHECK_EQ(run.packets, 0);
	CHECK(run.source->err < 0);
	CHECK(source_pcap_error(run.source)[0] != '\0');
	stop(&run);
}

static void recorded_speed_takes_its_time(void **state)
{
	uint64_t began = clock_ns(CLOCK_MONOTONIC), took;
	struct run run;

	(void)state;
	make_pcap(101, 0); /* 100 ms */
	start(&run, (struct source_pcap_config){ .speed = 2 });
	while (!run.source->at_end) {
		struct source_packet packet;

		while (run.source->ops->peek(run.source, &packet))
			run.source->ops->take(run.source), run.packets++;
		run.source->ops->give_back(run.source);
		assert_int_equal(loop_turn(run.loop, !run.source->at_end), 0);
	}
	took = clock_ns(CLOCK_MONOTONIC) - began;
	CHECK_EQ(run.packets, 101);
	CHECK(took >= 50 * NS_PER_MS && took < 500 * NS_PER_MS);
	stop(&run);
}

static void stamp_now_is_live(void **state)
{
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	struct run run;

	(void)state;
	make_pcap(10, 0);
	start(&run, (struct source_pcap_config){ .stamp_now = true });
	CHECK(!run.source->is_replay);
	read_on(&run, 100, UINT64_MAX);
	CHECK(run.first_ns >= began && run.last_ns <= clock_ns(CLOCK_MONOTONIC));
	stop(&run);
}

static void what_cannot_be_opened(void **state)
{
	struct source_pcap_config config = { .path = "/nonexistent/file.pcap" };
	struct source *source;

	(void)state;
	CHECK_EQ(source_pcap_create(&source, &config), -ENOENT);
	config.path = "/";
	CHECK_EQ(source_pcap_create(&source, &config), -EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pcapng_is_read_whole),
		TEST(it_goes_on_where_it_was),
		TEST(what_does_not_match_is_counted_and_not_shown),
		TEST(each_interface_is_judged_by_its_own_link_type),
		TEST(a_filter_that_a_link_type_has_not_is_an_error),
		TEST(a_cut_file_gives_what_it_has_and_an_error),
		TEST(compressed_files_are_read_the_same),
		TEST(garbage_is_refused),
		TEST(recorded_speed_takes_its_time),
		TEST(stamp_now_is_live),
		TEST(what_cannot_be_opened),
	};

	return cmocka_run_group_tests_name("source_pcap", tests, NULL, NULL);
}
