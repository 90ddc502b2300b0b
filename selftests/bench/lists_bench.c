/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lists_bench ROUNDS [KIND]: what the mirror program needs for a packet, without lists of
 * addresses, with lists of 10 prefixes and of 100,000, by test runs of the kernel; as JSON, in ns.
 * Both are run on the same 65,536 packets; of half of them the source is in one of the 100,000.
 * Everything listed is allowed: so source and destination of each packet are looked up. No packet
 * is copied.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf/prefixes_maps.h"
#include "bpf/xcap_abi.h"

#include "bpf/mirror.skel.h"
#include "selftests/bpf/vary.skel.h"

#define ROUNDS_MAX 100
#define REPEAT 200000
#define PACKETS 65536
#define FEW 10
#define MANY 100000

/* Which prefixes there are: lengths, each as often as it stands here. */
struct kind {
	const char *name;
	bool is_ipv6;
	unsigned int lengths[8];
};

struct bench {
	const struct kind *kind;
	struct xcap_vary *vary;
	uint32_t (*addresses)[4]; /* of MANY prefixes, in host byte order; IPv4: the last word */
	unsigned int *lengths;
	uint8_t packet[64];
};

static void fail(const char *message)
{
	fprintf(stderr, "lists_bench: %s\n", message);
	exit(1);
}

static uint32_t random_word(void)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

static void random_address(uint32_t ret[4])
{
	ret[0] = 0x20010000 | (random_word() & 0xffff);
	for (int i = 1; i < 4; i++)
		ret[i] = random_word();
}

static uint32_t mask(unsigned int length, unsigned int word)
{
	unsigned int bits = length > word * 32 ? MIN(length - word * 32, 32u) : 0;

	return bits ? ~0u << (32 - bits) : 0;
}

static void make_list(struct bench *bench)
{
	for (unsigned int i = 0; i < MANY; i++) {
		random_address(bench->addresses[i]);
		bench->lengths[i] = bench->kind->lengths[i % 8];
	}
}

static void add_prefix(struct prefixes *prefixes, const struct bench *bench, unsigned int i)
{
	char text[INET6_ADDRSTRLEN], word[INET6_ADDRSTRLEN + 8], error[EXPLAIN_LEN];
	unsigned int length = bench->lengths[i];
	uint32_t address[4];

	for (unsigned int w = 0; w < 4; w++)
		address[w] = htonl(bench->addresses[i][w] & mask(length, w));
	if (!bench->kind->is_ipv6)
		address[0] = htonl(bench->addresses[i][3] & mask(length, 0));
	inet_ntop(bench->kind->is_ipv6 ? AF_INET6 : AF_INET, address, text, sizeof(text));
	snprintf(word, sizeof(word), "%s/%u", text, length);
	if (prefixes_add(prefixes, XCAP_ALLOW, word, error))
		fail(error);
}

static void put_addresses(uint32_t *to, const struct bench *bench, const uint32_t source[4],
			  const uint32_t destination[4])
{
	if (!bench->kind->is_ipv6) {
		to[0] = htonl(source[3]);
		to[1] = htonl(destination[3]);
		return;
	}
	for (int i = 0; i < 4; i++) {
		to[i] = htonl(source[i]);
		to[i + 4] = htonl(destination[i]);
	}
}

static void make_packets(struct bench *bench)
{
	size_t size = PACKETS * 8 * sizeof(uint32_t);
	uint32_t *list = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      bpf_map__fd(bench->vary->maps.vary_list), 0);
	uint32_t source[4], destination[4];

	if (list == MAP_FAILED)
		fail("cannot map the packets");
	for (unsigned int i = 0; i < PACKETS; i++) {
		random_address(source);
		if (i % 2)
			memcpy(source, bench->addresses[random_word() % MANY], sizeof(source));
		random_address(destination);
		put_addresses(list + (size_t)i * 8, bench, source, destination);
	}
	munmap(list, size);
	bench->packet[12] = bench->kind->is_ipv6 ? 0x86 : 0x08;
	bench->packet[13] = bench->kind->is_ipv6 ? 0xdd : 0x00;
	bench->packet[14] = bench->kind->is_ipv6 ? 0x60 : 0x45;
	bench->packet[bench->kind->is_ipv6 ? 20 : 23] = 17;
}

/* The program with so many prefixes; NULL: with none at all. */
static struct xcap_mirror *load(const struct bench *bench, unsigned int count)
{
	struct prefixes_maps maps = PREFIXES_MAPS_NONE;
	struct xcap_mirror *skel = xcap_mirror__open();
	struct prefixes prefixes = {};
	char error[EXPLAIN_LEN];

	for (unsigned int i = 0; i < count; i++)
		add_prefix(&prefixes, bench, i);
	if (prefixes_finish(&prefixes, error) || prefixes_maps_create(&maps, &prefixes) || !skel)
		fail("cannot make the lists");
	skel->rodata->xcap_lists = maps.config;
	if (prefixes_maps_use(&maps, skel->obj) || xcap_mirror__load(skel))
		fail("cannot load the program");
	prefixes_maps_release(&maps);
	prefixes_release(&prefixes);
	return skel;
}

static uint32_t run(const struct bench *bench, const struct xcap_mirror *skel)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = bench->packet,
		    .data_size_in = sizeof(bench->packet), .repeat = REPEAT);
	int next_fd = bpf_map__fd(bench->vary->maps.vary_next), program_fd;
	__u32 key = 0;

	(void)bpf_map_delete_elem(next_fd, &key);
	if (skel) {
		program_fd = bpf_program__fd(skel->progs.xcap_ingress);
		if (bpf_map_update_elem(next_fd, &key, &program_fd, BPF_ANY))
			fail("cannot call the program");
	}
	if (bpf_prog_test_run_opts(bpf_program__fd(bench->vary->progs.vary), &options))
		fail("a test run failed");
	return options.duration;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void measure(struct bench *bench, unsigned int rounds)
{
	struct xcap_mirror *programs[] = { NULL, load(bench, 0), load(bench, FEW),
					   load(bench, MANY) };
	uint32_t series[ARRAY_SIZE(programs)][ROUNDS_MAX], ns[ARRAY_SIZE(programs)];

	for (unsigned int i = 0; i < rounds; i++) {
		for (size_t p = 0; p < ARRAY_SIZE(programs); p++)
			series[p][i] = run(bench, programs[p]);
	}
	for (size_t p = 0; p < ARRAY_SIZE(programs); p++) {
		qsort(series[p], rounds, sizeof(uint32_t), compare);
		ns[p] = series[p][rounds / 4];
		xcap_mirror__destroy(programs[p]);
	}
	printf("\"%s\": {\"none\": %u, \"few\": %u, \"many\": %u, \"ratio\": %.2f}",
	       bench->kind->name, ns[1] - ns[0], ns[2] - ns[0], ns[3] - ns[0],
	       (double)(ns[3] - ns[0]) / (ns[2] - ns[0]));
}

int main(int argc, char **argv)
{
	static const struct kind kinds[] = {
		{ "ipv4", false, { 32, 32, 24, 24, 24, 22, 20, 16 } },
		{ "ipv4_hosts", false, { 32, 32, 32, 32, 32, 32, 32, 32 } },
		{ "ipv6", true, { 32, 48, 48, 48, 48, 64, 64, 128 } },
	};
	unsigned int rounds = argc >= 2 ? (unsigned int)atoi(argv[1]) : 0;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		fail("a number of ROUNDS from 1 to 100 is needed");
	printf("{");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (argc > 2 && strcmp(argv[2], kinds[i].name) != 0)
			continue;
		struct bench bench = { .kind = &kinds[i], .vary = xcap_vary__open() };

		bench.addresses = calloc(MANY, sizeof(*bench.addresses));
		bench.lengths = calloc(MANY, sizeof(*bench.lengths));
		if (!bench.vary || !bench.addresses || !bench.lengths)
			fail("out of memory");
		bench.vary->rodata->vary_is_ipv6 = kinds[i].is_ipv6;
		bench.vary->rodata->vary_address_at = kinds[i].is_ipv6 ? 22 : 26;
		if (xcap_vary__load(bench.vary))
			fail("cannot load a program (root is needed)");
		make_list(&bench);
		make_packets(&bench);
		printf("%s", i && argc < 3 ? ", " : "");
		measure(&bench, rounds);
		xcap_vary__destroy(bench.vary);
		free(bench.addresses);
		free(bench.lengths);
	}
	printf("}\n");
	return 0;
}
