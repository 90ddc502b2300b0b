/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every packet of every capture, of whatever link type, through the programs as they are loaded:
 * mirror and tap, with and without a filter, cut and whole. No program is rejected, each record is
 * the frame, and the counters add up. What a test run does not take arrives at a tun device.
 * XCAP_DATA: where the captures are (../shared/data); without them, random packets.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ftw.h>
#include <linux/types.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Both libraries have a struct bpf_insn. */
#define bpf_insn classic_insn
#include <pcap/pcap.h>
#undef bpf_insn

#include "agent/source.h"
#include "bpf/filter.h"
#include "bpf/instance.h"
#include "bpf/mirror.skel.h"
#include "bpf/splice.h"
#include "bpf/tap.skel.h"
#include "bpf/xcap_abi.h"
#include "selftests/bpf/live.h"
#include "selftests/filter_random.h"
#include "selftests/unit/check.h"

#define SAMPLES_MAX 100000
#define FRAME_MAX 262144
#define RING_BYTES MIB
#define ETHERNET_LEN 14
#define EVERY 500 /* packets, then the counters are looked at */

enum { ETHERNET = 1, RAW = 101 };
enum { XDP_REDIRECTED = 4 };

struct sample {
	uint8_t *bytes;
	uint32_t len;
};

static struct sample samples[SAMPLES_MAX];
static size_t sample_count, capture_count;
static struct live live;

static const struct variation {
	const char *name;
	uint32_t snaplen;
	bool is_raw;
	const char *filter;
} variations[] = {
	{ "everything", XCAP_SNAPLEN_MAX, false, NULL },
	{ "cut to 68 bytes", 68, false, NULL },
	{ "cut to a byte, filtered", 1, false, "tcp or udp port 53 or vlan" },
	{ "filtered by length", XCAP_SNAPLEN_MAX, false,
	  "greater 100 and ether[len - 30] & 1 = 0 and len < 65536" },
	{ "without Ethernet", XCAP_SNAPLEN_MAX, true, NULL },
	{ "without Ethernet, filtered", 40, true, "ip6 or udp or icmp" },
};

static void keep_sample(const uint8_t *bytes, uint32_t len)
{
	assert_true(sample_count < SAMPLES_MAX);
	samples[sample_count].bytes = malloc(len + 1);
	assert_non_null(samples[sample_count].bytes);
	memcpy(samples[sample_count].bytes, bytes, len);
	samples[sample_count++].len = len;
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	char message[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *bytes;
	pcap_t *pcap = NULL;

	(void)st;
	(void)at;
	if (type == FTW_F && strstr(path, ".pcap"))
		pcap = pcap_open_offline(path, message);
	if (!pcap)
		return 0;
	capture_count++;
	while (pcap_next_ex(pcap, &header, &bytes) == 1) {
		if (header->caplen && header->caplen <= FRAME_MAX)
			keep_sample(bytes, header->caplen);
	}
	pcap_close(pcap);
	return 0;
}

static void make_samples(void)
{
	static uint8_t bytes[RANDOM_LEN_MAX];
	struct random random = { 1 };

	for (int i = 0; i < 2000; i++)
		keep_sample(bytes, random_packet(&random, bytes));
}

/* A program under test, and what became of the frames. */
struct trial {
	const struct variation *variation;
	struct filter_program *filter; /* NULL: all match */
	enum filter_hook hook;
	int program_fds[2]; /* tcx: of both directions */
	int count_fd;
	struct source *source; /* tcx: of the ring */
	unsigned long frames, wanted, live;
};

static struct xcap_config configure(const struct variation *variation)
{
	return (struct xcap_config){
		.ifindex = 7,
		.snaplen = variation->snaplen,
		.directions = XCAP_IN | XCAP_OUT,
		.ring_bytes = RING_BYTES,
		.is_raw = variation->is_raw,
		.pass_no_socket = 1,
		.has_filter = variation->filter != NULL,
	};
}

static void make_filter(struct trial *trial, struct filter_code *code)
{
	char error[FILTER_ERROR_LEN] = "";

	*code = (struct filter_code){};
	if (!trial->variation->filter)
		return;
	if (filter_compile(&trial->filter, trial->variation->filter,
			   trial->variation->is_raw ? RAW : ETHERNET, error) ||
	    filter_translate(code, trial->filter, trial->hook, error))
		fail_msg("%s: %s", trial->variation->filter, error);
}

/* The sum of what became of the frames is what was seen, in frames, wire packets and bytes. */
static void check_counts(const struct trial *trial)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT], sum = {};

	assert_int_equal(instance_read_counts(trial->count_fd, counts), 0);
	for (int i = XCAP_SEEN + 1; i < XCAP_COUNTER_COUNT; i++) {
		sum.frames += counts[i].frames;
		sum.wire_packets += counts[i].wire_packets;
		sum.bytes += counts[i].bytes;
	}
	CHECK_EQ(counts[XCAP_SEEN].frames, trial->frames);
	CHECK_EQ(counts[XCAP_SEEN].frames, sum.frames);
	CHECK_EQ(counts[XCAP_SEEN].wire_packets, sum.wire_packets);
	CHECK_EQ(counts[XCAP_SEEN].bytes, sum.bytes);
	CHECK_EQ(counts[XCAP_HANDED].frames, trial->wanted);
	CHECK_EQ(counts[XCAP_FILTERED].frames, trial->frames - trial->wanted);
}

static void check_record(const struct trial *trial, const uint8_t *frame, uint32_t len,
			 bool is_wanted)
{
	const struct source_ops *ops = trial->source->ops;
	struct source_packet taken;

	CHECK_EQ(ops->peek(trial->source, &taken), is_wanted);
	if (!is_wanted)
		return;
	CHECK_EQ(taken.captured_len, MIN(len, trial->variation->snaplen));
	CHECK_EQ(taken.original_len, len);
	CHECK_EQ(taken.wire_packets, 1);
	CHECK(taken.captured_len > len || !memcmp(taken.data, frame, taken.captured_len));
	ops->take(trial->source);
	ops->give_back(trial->source);
}

static void check_redirected(const struct trial *trial, const struct bpf_test_run_opts *result,
			     const uint8_t *frame, uint32_t len, bool is_wanted)
{
	const uint8_t *out = result->data_out;
	struct xcap_meta meta;

	CHECK_EQ(result->retval == XDP_REDIRECTED, is_wanted);
	if (!is_wanted)
		return;
	CHECK_EQ(result->data_size_out, sizeof(meta) + len);
	memcpy(&meta, out, sizeof(meta));
	CHECK_EQ(meta.captured_len, MIN(len, trial->variation->snaplen));
	CHECK_EQ(meta.original_len, len);
	CHECK(!memcmp(out + sizeof(meta), frame, len));
}

/* A test run has an Ethernet header in any case; a mirror of raw IP looks behind it. */
static uint32_t frame_start(const struct trial *trial, uint32_t len, bool is_live)
{
	return trial->hook == FILTER_TCX && trial->variation->is_raw && !is_live &&
			       len > ETHERNET_LEN
		       ? ETHERNET_LEN
		       : 0;
}

static void try_sample(struct trial *trial, const struct sample *sample)
{
	static uint8_t out[FRAME_MAX + sizeof(struct xcap_meta)];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = sample->bytes,
		    .data_size_in = sample->len, .data_out = out, .data_size_out = sizeof(out));
	struct live_device *device = &live.devices[trial->hook];
	const uint8_t *frame;
	bool is_live, is_wanted;
	uint32_t start;

	if (trial->hook == FILTER_TCX)
		options.data_out = NULL, options.data_size_out = 0;
	is_live = sample->len < FILTER_RUN_MIN ||
		  bpf_prog_test_run_opts(trial->program_fds[trial->frames % 2], &options);
	if (is_live) {
		trial->live++;
		CHECK(sample->len < 54 || sample->len > 3500);
		CHECK_EQ(live_attach(device, trial->hook, trial->program_fds[0]), 0);
		CHECK_EQ(live_send(device, sample->bytes, sample->len), 0);
	}
	start = frame_start(trial, sample->len, is_live);
	frame = sample->bytes + start;
	is_wanted = !trial->filter ||
		    filter_verdict(trial->filter, frame, sample->len - start, sample->len - start);
	trial->frames++;
	trial->wanted += is_wanted;
	if (trial->hook == FILTER_TCX)
		check_record(trial, frame, sample->len - start, is_wanted);
	else if (!is_live)
		check_redirected(trial, &options, frame, sample->len, is_wanted);
	if (trial->frames % EVERY == 0)
		check_counts(trial);
}

static void try_samples(struct trial *trial)
{
	for (size_t i = 0; i < sample_count && check_failures < 10; i++)
		try_sample(trial, &samples[i]);
	check_counts(trial);
	CHECK(trial->wanted);
	CHECK((trial->wanted < trial->frames) == (trial->filter != NULL));
	print_message("# %s, %s: %lu frames, %lu of them live; %lu wanted\n",
		      trial->hook == FILTER_TCX ? "mirror" : "tap", check_case, trial->frames,
		      trial->live, trial->wanted);
	live_forget(&live);
	filter_destroy(trial->filter);
}

static int load(struct bpf_object *object, const struct filter_code *code)
{
	const struct splice_code filter = { .function = "xcap_filter",
					    .insns = code->insns,
					    .count = code->count };

	return splice_load(object, &filter, 1, NULL);
}

static void the_mirror_takes_every_packet(void **state)
{
	(void)state;
	FOR_EACH_CASE (variation, variations) {
		LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NUMA_NODE);
		struct trial trial = { .variation = variation, .hook = FILTER_TCX };
		int ring_fd =
			bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, RING_BYTES, &options);
		struct xcap_mirror *skel = xcap_mirror__open();
		struct filter_code code;

		assert_non_null(skel);
		assert_true(ring_fd >= 0);
		skel->rodata->xcap_config = configure(variation);
		make_filter(&trial, &code);
		assert_int_equal(load(skel->obj, &code), 0);
		filter_code_release(&code);
		for (__u32 cpu = 0; cpu < (__u32)libbpf_num_possible_cpus(); cpu++)
			assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.xcap_rings),
							     &cpu, &ring_fd, BPF_ANY),
					 0);
		assert_int_equal(source_ring_create(&trial.source, ring_fd, 0), 0);
		trial.program_fds[0] = bpf_program__fd(skel->progs.xcap_ingress);
		trial.program_fds[1] = bpf_program__fd(skel->progs.xcap_egress);
		trial.count_fd = bpf_map__fd(skel->maps.xcap_count);
		try_samples(&trial);
		trial.source->ops->destroy(trial.source);
		close(ring_fd);
		xcap_mirror__destroy(skel);
	}
}

/* A socket is in the map but bound to nothing: the verdict is what counts. */
static void the_tap_takes_every_packet(void **state)
{
	(void)state;
	FOR_EACH_CASE (variation, variations) {
		struct trial trial = { .variation = variation, .hook = FILTER_XDP };
		struct xcap_tap *skel = xcap_tap__open();
		int socket_fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
		struct filter_code code;
		__u32 queue = 0;

		assert_non_null(skel);
		assert_true(socket_fd >= 0);
		bpf_program__set_autoload(skel->progs.xcap_tap_tag, false);
		skel->rodata->xcap_config = configure(variation);
		make_filter(&trial, &code);
		assert_int_equal(load(skel->obj, &code), 0);
		filter_code_release(&code);
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.xcap_xsks), &queue,
						     &socket_fd, BPF_ANY),
				 0);
		trial.program_fds[0] = trial.program_fds[1] = bpf_program__fd(skel->progs.xcap_tap);
		trial.count_fd = bpf_map__fd(skel->maps.xcap_count);
		try_samples(&trial);
		close(socket_fd);
		xcap_tap__destroy(skel);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_mirror_takes_every_packet),
		TEST(the_tap_takes_every_packet),
	};

	if (geteuid()) {
		print_message("BPF programs can only be run by root\n");
		return 77;
	}
	if (splice_init() || live_open(&live, -1))
		return 1;
	if (nftw(getenv("XCAP_DATA") ?: "../shared/data", visit, 16, FTW_PHYS) || !sample_count) {
		print_message("# no captures at hand (XCAP_DATA): random packets instead\n");
		make_samples();
	}
	print_message("# %zu packets of %zu captures\n", sample_count, capture_count);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
