/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/options.h"

#include <errno.h>

#include "aggregator/options.h"
#include "selftests/unit/check.h"

#define TLS "ca: a\ncert: b\nkey: c\n"

static struct config *kept; /* owns the texts in the values of the last try() */

/* YAML through the table of the program, then its own check. */
static int try(const struct config_program *program, const char *yaml, void *values,
	       char error[256])
{
	int err;

	config_destroy(kept);
	kept = NULL;
	*error = '\0';
	err = config_parse_yaml(&kept, program, yaml, strlen(yaml), "f", values, error);
	return err ?: program->check(kept, values, error);
}

static int release(void **state)
{
	(void)state;
	config_destroy(kept);
	return 0;
}

static void agent_checks(void **state)
{
	static const struct {
		const char *name, *yaml, *error;
	} cases[] = {
		{ "to a file", "write: x\n", "" },
		{ "to an aggregator", "aggregator: a:1\n" TLS, "" },
		{ "to several and a file", "aggregator: [a:1, b:2]\nwrite: x\n" TLS, "" },
		{ "replay", "read: x\nwrite: y\nlabel: host\nstamp: now\nspeed: 2.5\n", "" },
		{ "replay, pcap mode", "read: x\nwrite: y\nmode: pcap\n", "" },
		{ "tap, what arrives", "mode: tap\ndirection: in\nwrite: x\n", "" },
		{ "nothing to do with them", "interface: eth0\n", "nowhere to put the packets" },
		{ "no ca", "aggregator: a:1\ncert: b\nkey: c\n", "--ca is missing" },
		{ "no cert", "aggregator: a:1\nca: a\nkey: c\n", "--cert is missing" },
		{ "no key", "aggregator: a:1\nca: a\ncert: b\n", "--key is missing" },
		{ "read and capture", "read: x\ninterface: eth0\nwrite: y\n",
		  "-r and -i exclude each other" },
		{ "read and tap", "read: x\nmode: tap\nwrite: y\n",
		  "-r and --mode tap exclude each other" },
		{ "read and stamps", "read: x\ntimestamp_source: ptp\nwrite: y\n",
		  "-j is for capturing" },
		{ "stamps", "timestamp_source: ptp\nwrite: y\n", "" },
		{ "read and direction", "read: x\ndirection: in\nwrite: y\n",
		  "-Q is for capturing" },
		{ "bad label", "read: x\nlabel: a/b\nwrite: y\n", "--label takes" },
		{ "bad speed", "read: x\nspeed: -1\nwrite: y\n", "--speed takes" },
		{ "pcap without a file: live", "mode: pcap\nwrite: y\n", "" },
		{ "stamp without a file", "stamp: now\nwrite: y\n", "give -r FILE" },
		{ "speed without a file", "speed: max\nwrite: y\n", "give -r FILE" },
		{ "label without a file", "label: x\nwrite: y\n", "give -r FILE" },
		{ "tap, what leaves", "mode: tap\ndirection: out\nwrite: y\n", "in tap mode" },
		{ "interface twice", "interface: [a, b, a]\nwrite: y\n",
		  "interface a is given twice" },
		{ "interface too long", "interface: abcdefghijklmnop\nwrite: y\n",
		  "\"abcdefghijklmnop\" cannot be the name of an interface" },
		{ "a pattern may be longer", "interface: veth[0123456789]*\nwrite: y\n", "" },
		{ "pattern is a path", "interface: a/*\nwrite: y\n", "cannot be the name" },
		{ "any and more", "interface: [any, 'eth*', eth0]\nwrite: y\n", "" },
		{ "any, tapped", "interface: [eth0, any]\nmode: tap\nwrite: y\n",
		  "-i any with --mode tap" },
		{ "interface is a path", "interface: a/b\nwrite: y\n", "cannot be the name" },
		{ "name is a path", "name: ../x\nwrite: y\n", "--name takes" },
		{ "name is hidden", "name: ..\nwrite: y\n", "--name takes" },
		{ "name in capitals", "name: A\nwrite: y\n", "--name takes" },
		{ "snapshot too long", "snapshot_length: 262145\n", "at most 262144" },
		{ "batch too small", "batch_size: 4095\n", "at least 4KiB" },
		{ "batch too large", "batch_size: 1025KiB\n", "at most 1MiB" },
		{ "json is for the command line", "json: yes\n", "on the command line only" },
		{ "ring too small", "ring_size: 511KiB\nwrite: x\n", "--ring-size is at least" },
		{ "chunks too few", "umem_size: 4KiB\nwrite: x\n", "--umem-size is at least" },
		{ "CPUs", "write: x\ncpus: [0, 4-7]\n", "" },
		{ "not CPUs", "write: x\ncpus: 0,a\n", "--cpus takes numbers and ranges" },
		{ "CPUs backwards", "write: x\ncpus: 7-4\n", "not \"7-4\"" },
		{ "zero-copy", "mode: tap\nzero_copy: on\nwrite: x\n", "" },
		{ "zero-copy of a mirror", "zero_copy: on\nwrite: x\n", "is for --mode tap" },
		{ "zero-copy, generic", "mode: tap\nxdp_mode: generic\nzero_copy: on\nwrite: x\n",
		  "not --xdp-mode generic" },
		{ "no such preset", "preset: fast\n", "is none of balanced, throughput" },
		{ "detach is for the command line", "detach: yes\n", "on the command line only" },
	};
	struct agent_options options;
	char error[256];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		CHECK_EQ(try(&agent_program, c->yaml, &options, error), *c->error ? -EINVAL : 0);
		if (!strstr(error, c->error))
			CHECK_STR(error, c->error);
	}
}

static void agent_defaults(void **state)
{
	struct agent_options o;
	char error[256];

	(void)state;
	CHECK_EQ(try(&agent_program, "write: x\n", &o, error), 0);
	CHECK_EQ(o.mode, AGENT_MIRROR);
	CHECK_EQ(o.snaplen, 262144);
	CHECK_EQ(o.direction, AGENT_INOUT);
	CHECK_EQ(o.buffer_bytes, 0);
	CHECK_EQ(o.batch_bytes, 65536);
	CHECK_EQ(o.batch_timeout_ns, 20 * NS_PER_MS);
	CHECK_EQ(o.journal_bytes, 64 * MIB);
	CHECK_EQ(o.when_full, AGENT_DROP_OLDEST);
	CHECK_EQ(o.reconnect_max_ns, 20 * NS_PER_SEC);
	CHECK_EQ(o.stamp, AGENT_STAMP_RECORDED);
	CHECK_EQ(o.log_level, LOG_LEVEL_INFO);
	CHECK_STR(o.run_dir, "/run/xcap");
	CHECK(!o.name && !o.bpffs && !o.read && !o.label && !o.count && !o.lanes);
	CHECK_EQ(agent_options_buffer(&o, 4), 0);
	CHECK_EQ(try(&agent_program, "write: x\nbuffer_size: 16\nring_size: 2MiB\n", &o, error), 0);
	CHECK_EQ(o.buffer_bytes, 16 * MIB);
	CHECK_EQ(agent_options_buffer(&o, 4), 16 * MIB);
	o.buffer_bytes = 0;
	CHECK_EQ(agent_options_buffer(&o, 4), 8 * MIB);
	/* What only cleans up or lists needs nothing else. */
	o = (struct agent_options){ .detach = true, .speed_text = "1" };
	CHECK_EQ(agent_options_check(&o, error), 0);
	o = (struct agent_options){ .list_interfaces = true, .json = true, .speed_text = "1" };
	CHECK_EQ(agent_options_check(&o, error), 0);
	o.list_interfaces = false;
	CHECK_EQ(agent_options_check(&o, error), -EINVAL);
}

static void agent_presets(void **state)
{
	static const struct {
		const char *name, *yaml;
		int preset;
		uint64_t ring, umem, batch, timeout_ms, journal;
	} cases[] = {
		{ "none", "", AGENT_BALANCED, 0, 0, 64 * KIB, 20, 64 * MIB },
		{ "balanced", "preset: balanced\n", AGENT_BALANCED, 0, 0, 64 * KIB, 20, 64 * MIB },
		{ "throughput", "preset: throughput\n", AGENT_THROUGHPUT, 16 * MIB, 32 * MIB,
		  256 * KIB, 500, 256 * MIB },
		{ "latency", "preset: latency\n", AGENT_LATENCY, 0, 0, 16 * KIB, 10, 64 * MIB },
		{ "memory", "preset: memory\n", AGENT_MEMORY, MIB, 2 * MIB, 32 * KIB, 20,
		  16 * MIB },
		{ "one of its own", "preset: memory\nring_size: 4MiB\nbatch_timeout: 1s\n",
		  AGENT_MEMORY, 4 * MIB, 2 * MIB, 32 * KIB, 1000, 16 * MIB },
		{ "a default of its own", "preset: throughput\nbatch_size: 64KiB\numem_size: 0\n",
		  AGENT_THROUGHPUT, 16 * MIB, 0, 64 * KIB, 500, 256 * MIB },
	};
	char yaml[200], error[256];
	struct agent_options o;

	(void)state;
	FOR_EACH_CASE (c, cases) {
		snprintf(yaml, sizeof(yaml), "write: x\n%s", c->yaml);
		CHECK_EQ(try(&agent_program, yaml, &o, error), 0);
		CHECK_EQ(o.preset, c->preset);
		CHECK_EQ(o.ring_bytes, c->ring);
		CHECK_EQ(o.umem_bytes, c->umem);
		CHECK_EQ(o.batch_bytes, c->batch);
		CHECK_EQ(o.batch_timeout_ns, c->timeout_ms * NS_PER_MS);
		CHECK_EQ(o.journal_bytes, c->journal);
	}
}

/* enum and the words of a table are in the same order. */
static void words(void **state)
{
	static const struct {
		const char *name;
		size_t offset;
		int value;
	} cases[] = {
		{ "mode: mirror", offsetof(struct agent_options, mode), AGENT_MIRROR },
		{ "mode: tap", offsetof(struct agent_options, mode), AGENT_TAP },
		{ "mode: pcap\nread: x", offsetof(struct agent_options, mode), AGENT_PCAP },
		{ "direction: in", offsetof(struct agent_options, direction), AGENT_IN },
		{ "direction: out", offsetof(struct agent_options, direction), AGENT_OUT },
		{ "direction: inout", offsetof(struct agent_options, direction), AGENT_INOUT },
		{ "when_full: drop-oldest", offsetof(struct agent_options, when_full),
		  AGENT_DROP_OLDEST },
		{ "when_full: drop-newest", offsetof(struct agent_options, when_full),
		  AGENT_DROP_NEWEST },
		{ "stamp: now\nread: x", offsetof(struct agent_options, stamp), AGENT_STAMP_NOW },
		{ "log_level: error", offsetof(struct agent_options, log_level), LOG_LEVEL_ERROR },
		{ "log_level: debug", offsetof(struct agent_options, log_level), LOG_LEVEL_DEBUG },
	};
	struct aggregator_options aggregator;
	struct agent_options options;
	char yaml[256], error[256];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		snprintf(yaml, sizeof(yaml), "write: x\n%s\n", c->name);
		CHECK_EQ(try(&agent_program, yaml, &options, error), 0);
		CHECK_EQ(*(int *)((char *)&options + c->offset), c->value);
	}
	check_case = NULL;
	CHECK_EQ(try(&aggregator_program, TLS "format: pcap\n", &aggregator, error), 0);
	CHECK_EQ(aggregator.format, CAPTURE_PCAP);
	CHECK_EQ(try(&aggregator_program, TLS "format: pcapng\n", &aggregator, error), 0);
	CHECK_EQ(aggregator.format, CAPTURE_PCAPNG);
}

static void speeds(void **state)
{
	static const struct {
		const char *name;
		int err;
		double speed;
	} cases[] = {
		{ "1", 0, 1 },	       { "max", 0, 0 },
		{ "2.5", 0, 2.5 },     { "0.001", 0, 0.001 },
		{ "0", -EINVAL, 0 },   { "-1", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 }, { "inf", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 }, { "0x1", -EINVAL, 0 },
		{ "", -EINVAL, 0 },    { "1.2.3", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },   { "Max", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },  { "1000001", -EINVAL, 0 },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		double speed = 0;

		CHECK_EQ(agent_options_speed(&speed, c->name), c->err);
		CHECK(speed == c->speed);
	}
}

static void what_follows_from_others(void **state)
{
	static const struct {
		const char *name;
		bool is_terminal;
		uint64_t stats_s;
		enum log_level level;
	} cases[] = {
		{ "write: x\n", false, 0, LOG_LEVEL_INFO },
		{ "write: x\n", true, 5, LOG_LEVEL_INFO },
		{ "write: x\nquiet: yes\n", true, 0, LOG_LEVEL_WARNING },
		{ "write: x\nquiet: yes\nstats: 3\n", true, 3, LOG_LEVEL_WARNING },
		{ "write: x\nstats: 0\n", true, 0, LOG_LEVEL_INFO },
		{ "write: x\nstats: 7\n", false, 7, LOG_LEVEL_INFO },
		{ "write: x\nverbose: 1\n", false, 0, LOG_LEVEL_DEBUG },
		{ "write: x\nverbose: 1\nlog_level: error\n", false, 0, LOG_LEVEL_ERROR },
	};
	struct aggregator_options aggregator;
	struct agent_options options;
	struct config *config;
	char error[256];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		assert_int_equal(config_parse_yaml(&config, &agent_program, c->name,
						   strlen(c->name), "f", &options, error),
				 0);
		CHECK_EQ(agent_options_stats(&options, config, c->is_terminal),
			 c->stats_s * NS_PER_SEC);
		CHECK_EQ(agent_options_log_level(&options, config), c->level);
		config_destroy(config);
	}
	check_case = NULL;
	assert_int_equal(
		config_parse_yaml(&config, &aggregator_program, "", 0, "f", &aggregator, error), 0);
	CHECK_EQ(aggregator_options_stats(&aggregator, config, true), 5 * NS_PER_SEC);
	CHECK_EQ(aggregator_options_stats(&aggregator, config, false), 0);
	config_destroy(config);
}

static void aggregator_checks(void **state)
{
	static const struct {
		const char *name, *yaml, *error;
	} cases[] = {
		{ "as it comes", TLS, "" },
		{ "everything",
		  TLS "listen: [':9227', '[::1]:1']\nstore: s\nworkers: 4\nsegment_size: 4MiB\n"
		      "write: '-'\nformat: pcap\nreplay: yes\nmerge_wait: 1s\nmerge_memory: 1MiB\n"
		      "ingest_memory: 2MiB\nname: a\nrun_dir: r\nstats: 1\nlog_level: debug\n",
		  "" },
		{ "no ca", "cert: b\nkey: c\n", "--ca is missing" },
		{ "no cert", "ca: b\nkey: c\n", "--cert is missing" },
		{ "no key", "ca: b\ncert: c\n", "--key is missing" },
		{ "nowhere to listen", TLS "listen: []\n", "nowhere to listen" },
		{ "name is a path", TLS "name: a/b\n", "--name takes" },
		{ "name is hidden", TLS "name: .a\n", "--name takes" },
		{ "segments too small", TLS "segment_size: 1MiB\n", "at least 2MiB" },
		{ "too many workers", TLS "workers: 65\n", "at most 64" },
	};
	struct aggregator_options options;
	char error[256];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		CHECK_EQ(try(&aggregator_program, c->yaml, &options, error),
			 *c->error ? -EINVAL : 0);
		if (!strstr(error, c->error))
			CHECK_STR(error, c->error);
	}
	check_case = NULL;
	CHECK_EQ(try(&aggregator_program, TLS, &options, error), 0);
	CHECK_EQ(options.listen.count, 1);
	CHECK_STR(options.listen.items[0], ":9227");
	CHECK_STR(options.store, "/var/lib/xcap/store");
	CHECK_STR(options.name, "aggregator");
	CHECK_EQ(options.merge_wait_ns, 10 * NS_PER_SEC);
	CHECK_EQ(options.merge_memory_bytes, 256 * MIB);
	CHECK_EQ(options.ingest_memory_bytes, 256 * MIB);
	CHECK_EQ(options.segment_bytes, 64 * MIB);
}

/* A row that cannot work: a default that is refused would stop the program at its start. */
static void tables(void **state)
{
	static const struct config_program *const programs[] = { &agent_program,
								 &aggregator_program };

	(void)state;
	for (size_t p = 0; p < ARRAY_SIZE(programs); p++) {
		for (size_t i = 0; i < programs[p]->option_count; i++) {
			const struct config_option *option = &programs[p]->options[i];

			check_case = option->name;
			CHECK(option->help && *option->help);
			CHECK(option->type == CONFIG_FLAG || option->metavar);
			CHECK((option->type == CONFIG_CHOICE) == (option->choices != NULL));
			CHECK(option->type != CONFIG_CHOICE || option->fallback);
			CHECK(!(option->flags & CONFIG_F_OPTIONAL_VALUE) || option->bare);
			for (size_t j = 0; j < i; j++) {
				const struct config_option *other = &programs[p]->options[j];

				CHECK(strcmp(other->name, option->name) != 0);
				CHECK(!option->letter || other->letter != option->letter);
				CHECK(other->offset != option->offset);
			}
		}
	}
}

static void stamps_have_the_names_of_tcpdump_too(void **state)
{
	static const struct {
		const char *name;
		enum agent_timestamps source;
	} cases[] = {
		{ "auto", AGENT_TIMESTAMPS_AUTO },
		{ "nic", AGENT_TIMESTAMPS_NIC },
		{ "adapter", AGENT_TIMESTAMPS_NIC },
		{ "adapter_unsynced", AGENT_TIMESTAMPS_NIC },
		{ "ptp", AGENT_TIMESTAMPS_PTP },
		{ "kernel", AGENT_TIMESTAMPS_KERNEL },
		{ "host", AGENT_TIMESTAMPS_KERNEL },
		{ "host_lowprec", AGENT_TIMESTAMPS_KERNEL },
		{ "host_hiprec", AGENT_TIMESTAMPS_KERNEL },
	};
	struct agent_options o;
	char error[256], yaml[64];

	(void)state;
	FOR_EACH_CASE (c, cases) {
		snprintf(yaml, sizeof(yaml), "timestamp_source: %s\nwrite: x\n", c->name);
		CHECK_EQ(try(&agent_program, yaml, &o, error), 0);
		CHECK_EQ(agent_options_timestamps(&o), c->source);
	}
	CHECK_EQ(try(&agent_program, "write: x\n", &o, error), 0);
	CHECK_EQ(agent_options_timestamps(&o), AGENT_TIMESTAMPS_AUTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(agent_checks),
		TEST(stamps_have_the_names_of_tcpdump_too),
		TEST(agent_defaults),
		TEST(agent_presets),
		TEST(words),
		TEST(speeds),
		TEST(what_follows_from_others),
		TEST(aggregator_checks),
		TEST(tables),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, release);
}
