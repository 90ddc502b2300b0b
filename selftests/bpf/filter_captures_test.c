/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every expression of libpcap's own tests on captures: what the kernel says to each packet, on
 * both hooks, is what pcap_compile() and bpf_filter() on the file say; what libpcap refuses is
 * refused with its words. What a test run does not take goes through a device. XCAP_DATA: where the
 * captures are (../shared/data); without them, a few expressions on random packets.
 * XCAP_FILTER_PACKETS: so many of each capture, or all; by default 5.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <linux/types.h>
#include <stdlib.h>
#include <unistd.h>

/* Both libraries have a struct bpf_insn. */
#define bpf_insn classic_insn
#include <pcap/pcap.h>
#undef bpf_insn

#include "bpf/filter.h"
#include "bpf/filter_load.h"
#include "selftests/bpf/live.h"
#include "selftests/filter_random.h"
#include "selftests/unit/check.h"

#define EXPRESSIONS_MAX 1000
#define PACKETS_MAX 100000
#define ETHERNET 1

struct sample {
	uint8_t *bytes;
	uint32_t captured_len, len;
};

static struct sample samples[PACKETS_MAX];
static size_t sample_count;
static char *expressions[EXPRESSIONS_MAX];
static size_t expression_count;
static unsigned long packets_each = 5;

static struct {
	unsigned long captures, done, matched, by_hook[2], live[2], split, tagged, refused, loops;
} sums;

static struct live live;
static int beside_fd;
static bool is_set; /* the map has what set_beside() wrote last */

static void keep_sample(const uint8_t *bytes, uint32_t captured_len, uint32_t len)
{
	struct sample *sample = &samples[sample_count];

	assert_true(sample_count < PACKETS_MAX);
	sample->bytes = malloc(captured_len + 1);
	assert_non_null(sample->bytes);
	memcpy(sample->bytes, bytes, captured_len);
	sample->captured_len = captured_len;
	sample->len = MAX(captured_len, len);
	sample_count++;
}

static void drop_samples(void)
{
	while (sample_count)
		free(samples[--sample_count].bytes);
}

static void read_capture(const char *path, int link_type)
{
	char message[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_open_offline(path, message);
	struct pcap_pkthdr *header;
	const u_char *bytes;

	if (!pcap)
		return;
	if (pcap_datalink(pcap) == link_type) {
		sums.captures++;
		for (unsigned long i = 0; i < packets_each; i++) {
			if (pcap_next_ex(pcap, &header, &bytes) != 1)
				break;
			keep_sample(bytes, header->caplen, header->len);
		}
	}
	pcap_close(pcap);
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)at;
	if (type == FTW_F && strstr(path, ".pcap"))
		read_capture(path, ETHERNET);
	return 0;
}

static void keep_expression(const char *text)
{
	for (size_t i = 0; i < expression_count; i++) {
		if (strcmp(expressions[i], text) == 0)
			return;
	}
	assert_true(expression_count < EXPRESSIONS_MAX);
	expressions[expression_count++] = strdup(text);
}

/* Lines of a file, behind the last tab. */
static void read_expressions(const char *dir, const char *name)
{
	char path[4096], line[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "r");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		char *tab = strrchr(line, '\t');

		line[strcspn(line, "\n")] = 0;
		if (*line)
			keep_expression(tab ? tab + 1 : line);
	}
	fclose(file);
}

static void make_samples(void)
{
	static uint8_t bytes[RANDOM_LEN_MAX];
	struct random random = { 1 };

	for (int i = 0; i < 2000; i++) {
		uint32_t len = random_packet(&random, bytes);

		keep_sample(bytes, len, len);
	}
}

/* libpcap's own program, of a file of this link type. False: it refuses, and message is why. */
static bool compile_reference(struct bpf_program *ret, const char *expression, int link_type,
			      char *message)
{
	pcap_t *pcap = pcap_open_dead(link_type, 262144);
	char path[] = "/tmp/xcap-filter.XXXXXX";
	pcap_dumper_t *dumper;
	bool ok;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	dumper = pcap_dump_open(pcap, path);
	assert_non_null(dumper);
	pcap_dump_close(dumper);
	pcap_close(pcap);
	pcap = pcap_open_offline(path, message);
	assert_non_null(pcap);
	ok = pcap_compile(pcap, ret, expression, 1, 0) == 0;
	if (!ok)
		snprintf(message, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(pcap));
	pcap_close(pcap);
	close(fd);
	unlink(path);
	return ok;
}

/* The frame as the context has it: the bytes of the sample, or what is left without its tag. */
struct context {
	const uint8_t *bytes;
	uint32_t len;
	struct filter_beside beside;
};

static void compare(uint32_t expected, const struct context *context, enum filter_hook hook,
		    int program_fd, uint32_t linear)
{
	int err = -EINVAL;
	uint32_t result;

	if (context->len >= FILTER_RUN_MIN)
		err = filter_run(&result, program_fd, hook, context->bytes, context->len, linear, 1,
				 NULL);
	if (err && linear)
		return; /* in one piece it is compared all the same */
	if (err) {
		/* A test run takes these. */
		CHECK(context->len < 54 ||
		      context->len > (hook == FILTER_TCX ? 3500 : FILTER_RUN_MAX));
		err = live_run(&result, &live, hook, program_fd, &context->beside, context->bytes,
			       context->len);
		is_set = false;
		sums.live[hook]++;
	}
	CHECK_EQ(err, 0);
	if (err)
		return;
	CHECK_EQ(!result, !expected);
	sums.done++;
	sums.matched += expected != 0;
	sums.by_hook[hook]++;
	sums.split += linear != 0;
	sums.tagged += context->beside.has_tag;
}

static void set_beside(const struct filter_beside *beside)
{
	static struct filter_beside set;

	if (is_set && memcmp(&set, beside, sizeof(set)) == 0)
		return;
	assert_int_equal(filter_beside_set(beside_fd, beside), 0);
	set = *beside;
	is_set = true;
}

static void compare_all(uint32_t expected, const struct context *context, const int *program_fds,
			uint32_t linear)
{
	for (int hook = FILTER_TCX; hook <= FILTER_XDP; hook++) {
		set_beside(&context->beside);
		compare(expected, context, (enum filter_hook)hook, program_fds[hook], 0);
	}
	set_beside(&context->beside);
	if (linear < context->len)
		compare(expected, context, FILTER_XDP, program_fds[FILTER_XDP], linear);
}

/* The tag beside the frame, where the kernel or a network card puts it. */
static void take_tag(struct context *ret, const struct sample *sample)
{
	static uint8_t bytes[1 << 18];

	*ret = (struct context){ .bytes = bytes,
				 .len = sample->captured_len - 4,
				 .beside = { .has_tag = 1,
					     .cut = sample->len - sample->captured_len } };
	memcpy(ret->beside.tag, sample->bytes + 12, 4);
	memcpy(bytes, sample->bytes, 12);
	memcpy(bytes + 12, sample->bytes + 16, sample->captured_len - 16);
}

static bool has_tag(const struct sample *sample)
{
	const uint8_t *type = sample->bytes + 12;

	return sample->captured_len >= 18 &&
	       ((type[0] == 0x81 && type[1] == 0) || (type[0] == 0x88 && type[1] == 0xa8));
}

static void run_samples(const struct bpf_program *reference, const int *program_fds, int link_type)
{
	for (size_t i = 0; i < sample_count; i++) {
		const struct sample *sample = &samples[i];
		struct context context = { .bytes = sample->bytes,
					   .len = sample->captured_len,
					   .beside.cut = sample->len - sample->captured_len };
		uint32_t expected = bpf_filter(reference->bf_insns, sample->bytes, sample->len,
					       sample->captured_len);
		uint32_t linear = FILTER_RUN_MIN + (uint32_t)i % 50;

		compare_all(expected, &context, program_fds, linear);
		if (link_type == ETHERNET && has_tag(sample)) {
			take_tag(&context, sample);
			compare_all(expected, &context, program_fds, linear);
		}
	}
}

static void check_expression(const char *expression, int link_type)
{
	char message[PCAP_ERRBUF_SIZE], error[FILTER_ERROR_LEN] = "";
	struct filter_program *program;
	struct bpf_program reference;
	bool is_fine = compile_reference(&reference, expression, link_type, message);
	int err, program_fds[2];

	check_case = expression;
	err = filter_compile(&program, expression,
			     (uint16_t)(link_type == DLT_RAW ? 101 : link_type), error);
	CHECK_EQ(!err, is_fine);
	if (err || !is_fine) {
		sums.refused++;
		CHECK_STR(error, message);
		return;
	}
	for (int hook = FILTER_TCX; hook <= FILTER_XDP; hook++) {
		struct filter_code code;

		err = filter_translate(&code, program, (enum filter_hook)hook, error);
		if (err == -ENOTSUP && strstr(expression, "protochain")) {
			CHECK(strstr(error, "the filter loops"));
			sums.loops++;
			goto out;
		}
		if (err)
			fail_msg("%s: %s", expression, error);
		program_fds[hook] = filter_load(&code, (enum filter_hook)hook, beside_fd, error);
		if (program_fds[hook] < 0)
			fail_msg("%s: %s", expression, error);
		filter_code_release(&code);
	}
	run_samples(&reference, program_fds, link_type);
	live_forget(&live);
	close(program_fds[FILTER_TCX]);
	close(program_fds[FILTER_XDP]);
out:
	pcap_freecode(&reference);
	filter_destroy(program);
}

static const char *data_dir(void)
{
	return getenv("XCAP_DATA") ?: "../shared/data";
}

static void every_expression_gives_what_libpcap_gives(void **state)
{
	(void)state;
	read_expressions(data_dir(), "filters-en10mb.txt");
	read_expressions(data_dir(), "filters-on-files.tsv");
	if (nftw(data_dir(), visit, 16, FTW_PHYS) || !sample_count) {
		print_message("# no captures at hand (XCAP_DATA): random packets instead\n");
		make_samples();
	}
	keep_expression("");
	keep_expression("tcp port 443 and host 10.1.2.3");
	keep_expression("vlan and (ip or ip6 or arp)");
	keep_expression("len > 100 and ether[len - 1] & 3 != 0");
	keep_expression("not a filter");
	keep_expression("inbound");
	for (size_t i = 0; i < expression_count && check_failures < 10; i++)
		check_expression(expressions[i], ETHERNET);
	print_message("# %zu expressions, %lu refused as by libpcap, %lu because they loop; %zu "
		      "packets of %lu captures\n",
		      expression_count, sums.refused, sums.loops, sample_count, sums.captures);
	print_message("# %lu comparisons, %lu matched: tc %lu (%lu of them live, as no test run "
		      "takes such a frame), XDP %lu (%lu live, %lu in pieces); %lu with a tag "
		      "beside\n",
		      sums.done, sums.matched, sums.by_hook[FILTER_TCX], sums.live[FILTER_TCX],
		      sums.by_hook[FILTER_XDP], sums.live[FILTER_XDP], sums.split, sums.tagged);
	CHECK(sums.matched > 1000 || check_failures);
	drop_samples();
}

/* The file that an expression is telling on, whatever its link type. */
static void telling_files_give_what_libpcap_gives(void **state)
{
	char path[8192], line[4096], message[PCAP_ERRBUF_SIZE];
	unsigned long rows = 0;
	FILE *file;

	(void)state;
	packets_each = PACKETS_MAX;
	snprintf(path, sizeof(path), "%s/filters-on-files.tsv", data_dir());
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file) && check_failures < 10) {
		char *tab = strchr(line, '\t');
		pcap_t *pcap;
		int link_type;

		line[strcspn(line, "\n")] = 0;
		if (!tab)
			continue;
		*tab = 0;
		snprintf(path, sizeof(path), "%s/libpcap-filter/%s", data_dir(), line);
		pcap = pcap_open_offline(path, message);
		if (!pcap)
			fail_msg("%s", message);
		link_type = pcap_datalink(pcap);
		pcap_close(pcap);
		read_capture(path, link_type);
		check_expression(tab + 1, link_type);
		drop_samples();
		rows++;
	}
	if (file)
		fclose(file);
	print_message("# %lu files and expressions\n", rows);
}

int main(void)
{
	const char *wanted = getenv("XCAP_FILTER_PACKETS");
	const struct CMUnitTest tests[] = {
		TEST(every_expression_gives_what_libpcap_gives),
		TEST(telling_files_give_what_libpcap_gives),
	};

	if (geteuid()) {
		print_message("BPF programs can only be run by root\n");
		return 77;
	}
	if (wanted)
		packets_each = strcmp(wanted, "all") ? strtoul(wanted, NULL, 10) : ULONG_MAX;
	beside_fd = filter_beside_create();
	if (beside_fd < 0 || live_open(&live, beside_fd)) {
		print_message("cannot make a map, or a tun device in a namespace\n");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
