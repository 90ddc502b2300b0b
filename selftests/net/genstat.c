/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * genstat [--count N] [--pacing] [FILE]: what became of xcap-gen's packets, out of a pcapng or PCAP
 * (or standard input). JSON: sums, and under "groups" one object for each interface, direction and
 * run of a generator. Latency is the time of capture less the time of sending that the packet
 * carries.
 * --count tells how many were sent, so that those missing at the end are seen; --pacing adds how
 * far the times of sending are from an even pace.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pcapng.h"
#include "common/util.h"
#include "tools/gen.h"

/* Values of ns in 64 steps an octave: 1.6 % at most off. */
#define STEPS 64
#define BUCKETS (64 * STEPS)
#define RANGES_SHOWN 20
#define SEQUENCE_MAX (1ull << 36)

struct group {
	struct group *next;
	char interface[PCAPNG_NAME_MAX];
	unsigned int direction, run;
	uint64_t *seen; /* a bit for each sequence */
	uint64_t seen_words;
	uint64_t packets, distinct, duplicates, out_of_order, highest;
	uint64_t time_backwards, last_ns, first_ns, bytes;
	uint64_t negative_latencies, latency_max_ns;
	uint64_t latencies[BUCKETS];
	struct sending {
		uint64_t sequence, time_ns;
	} * sendings; /* --pacing */
	uint64_t sendings_room;
};

struct generated {
	unsigned int run;
	uint64_t sequence, time_ns;
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "genstat: %s: %s\n", what, why);
	exit(2);
}

static void *grow(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (!memory)
		die("memory", "none left");
	return memory;
}

static uint64_t number(const uint8_t *at, unsigned int len)
{
	uint64_t value = 0;

	while (len--)
		value = value << 8 | *at++;
	return value;
}

/* Is it one of ours, as far as it was captured? */
static bool parse(struct generated *ret, const struct pcapng_packet *packet)
{
	const uint8_t *at = packet->data, *end = at + packet->captured_len;
	unsigned int type, ip_len;

	if (end - at < 14)
		return false;
	type = (unsigned int)number(at + 12, 2);
	at += 14;
	while ((type == 0x8100 || type == 0x88a8) && end - at >= 4) {
		type = (unsigned int)number(at + 2, 2);
		at += 4;
	}
	ip_len = type == 0x0800 ? 20 : 40;
	if ((type != 0x0800 && type != 0x86dd) || end - at < (int)ip_len + 8 + GEN_PAYLOAD_LEN)
		return false;
	if (at[type == 0x0800 ? 9 : 6] != 17 || (type == 0x0800 && at[0] != 0x45))
		return false;
	at += ip_len + 8;
	if (number(at, 4) != GEN_MAGIC)
		return false;
	ret->run = (unsigned int)number(at + GEN_RUN_AT, 2);
	ret->sequence = number(at + GEN_SEQUENCE_AT, 8);
	ret->time_ns = number(at + GEN_TIME_AT, 8);
	return ret->sequence < SEQUENCE_MAX;
}

static struct group *group_of(struct group **list, const char *interface, unsigned int direction,
			      unsigned int run)
{
	struct group *group;

	for (; (group = *list); list = &group->next) {
		if (group->run == run && group->direction == direction &&
		    strcmp(group->interface, interface) == 0)
			return group;
	}
	group = grow(NULL, sizeof(*group));
	memset(group, 0, sizeof(*group));
	snprintf(group->interface, sizeof(group->interface), "%s", interface);
	group->direction = direction;
	group->run = run;
	*list = group;
	return group;
}

static unsigned int bucket(uint64_t ns)
{
	unsigned int octave;

	if (ns < STEPS)
		return (unsigned int)ns;
	octave = 63 - (unsigned int)__builtin_clzll(ns);
	return (octave - 5) * STEPS + (unsigned int)(ns >> (octave - 6) & (STEPS - 1));
}

static uint64_t bucket_ns(unsigned int at)
{
	if (at < STEPS)
		return at;
	return (uint64_t)(STEPS + at % STEPS) << (at / STEPS - 1);
}

static void mark_seen(struct group *group, uint64_t sequence)
{
	uint64_t word = sequence / 64, bit = 1ull << sequence % 64;

	if (word >= group->seen_words) {
		uint64_t words = MAX(word + 1, 2 * group->seen_words);

		group->seen = grow(group->seen, words * sizeof(*group->seen));
		memset(group->seen + group->seen_words, 0,
		       (words - group->seen_words) * sizeof(*group->seen));
		group->seen_words = words;
	}
	if (group->seen[word] & bit)
		group->duplicates++;
	else
		group->distinct++;
	group->seen[word] |= bit;
}

static void add(struct group *group, const struct pcapng_packet *packet,
		const struct generated *generated, bool has_pacing)
{
	uint64_t latency = packet->time_ns - generated->time_ns;

	mark_seen(group, generated->sequence);
	if (group->packets && generated->sequence < group->highest)
		group->out_of_order++;
	group->highest = MAX(group->highest, generated->sequence);
	if (!group->packets)
		group->first_ns = packet->time_ns;
	if (packet->time_ns < group->last_ns)
		group->time_backwards++;
	group->last_ns = packet->time_ns;
	group->bytes += packet->original_len;
	if (packet->time_ns < generated->time_ns) {
		group->negative_latencies++;
		latency = 0;
	}
	group->latencies[bucket(latency)]++;
	group->latency_max_ns = MAX(group->latency_max_ns, latency);
	if (has_pacing) {
		if (group->packets == group->sendings_room) {
			group->sendings_room = MAX(65536u, 2 * group->sendings_room);
			group->sendings = grow(group->sendings,
					       group->sendings_room * sizeof(*group->sendings));
		}
		group->sendings[group->packets] =
			(struct sending){ generated->sequence, generated->time_ns };
	}
	group->packets++;
}

static double percentile_us(const uint64_t *buckets, uint64_t total, double share)
{
	uint64_t rank = (uint64_t)(share * (double)(total - 1)) + 1, sum = 0;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		sum += buckets[i];
		if (sum >= rank)
			return (double)bucket_ns(i) / 1e3;
	}
	return 0;
}

static uint64_t missing(const struct group *group, uint64_t count)
{
	uint64_t expected = count ? count : group->highest + 1;

	return expected > group->distinct ? expected - group->distinct : 0;
}

static void print_missing(const struct group *group, uint64_t count)
{
	uint64_t shown = 0, ranges = 0, from = 0, expected = count ? count : group->highest + 1;
	bool is_open = false;

	printf(", \"missing\": %" PRIu64 ", \"missing_ranges\": [", missing(group, count));
	for (uint64_t i = 0; i <= expected; i++) {
		bool is_there = i == expected ||
				(i / 64 < group->seen_words && group->seen[i / 64] >> i % 64 & 1);

		if (!is_there && !is_open)
			from = i;
		if (is_there && is_open) {
			ranges++;
			if (shown++ < RANGES_SHOWN)
				printf("%s[%" PRIu64 ", %" PRIu64 "]", ranges > 1 ? ", " : "", from,
				       i - 1);
		}
		is_open = !is_there;
	}
	printf("], \"missing_range_count\": %" PRIu64, ranges);
}

/* Distance of each time of sending from the line through the first and the last. */
static void print_pacing(const struct group *group)
{
	const struct sending *list = group->sendings, *first = list, *last = list;
	static uint64_t buckets[BUCKETS];
	uint64_t max = 0, gap_max = 0;
	double step;

	for (uint64_t i = 0; i < group->packets; i++) {
		first = list[i].sequence < first->sequence ? &list[i] : first;
		last = list[i].sequence > last->sequence ? &list[i] : last;
	}
	if (last->sequence == first->sequence)
		return;
	step = (double)(last->time_ns - first->time_ns) /
	       (double)(last->sequence - first->sequence);
	memset(buckets, 0, sizeof(buckets));
	for (uint64_t i = 0; i < group->packets; i++) {
		double ideal = (double)(list[i].sequence - first->sequence) * step;
		double off = (double)(int64_t)(list[i].time_ns - first->time_ns) - ideal;
		uint64_t off_ns = (uint64_t)(off < 0 ? -off : off);

		buckets[bucket(off_ns)]++;
		max = MAX(max, off_ns);
		if (i && list[i].time_ns > list[i - 1].time_ns)
			gap_max = MAX(gap_max, list[i].time_ns - list[i - 1].time_ns);
	}
	printf(", \"rate\": %.1f, \"pacing_us\": {\"p50\": %.1f, \"p95\": %.1f, \"p99\": %.1f, "
	       "\"max\": %.1f}"
	       ", \"gap_max_us\": %.1f",
	       1e9 / step, percentile_us(buckets, group->packets, 0.50),
	       percentile_us(buckets, group->packets, 0.95),
	       percentile_us(buckets, group->packets, 0.99), (double)max / 1e3,
	       (double)gap_max / 1e3);
}

static void print(const struct group *group, uint64_t count, bool has_pacing)
{
	static const char *const directions[] = { "unknown", "in", "out", "unknown" };

	printf("{\"interface\": \"%s\", \"direction\": \"%s\", \"run\": %u, \"packets\": %" PRIu64
	       ", \"distinct\": %" PRIu64 ", \"duplicates\": %" PRIu64
	       ", \"out_of_order\": %" PRIu64 ", \"time_backwards\": %" PRIu64
	       ", \"bytes\": %" PRIu64 ", \"first_ns\": %" PRIu64 ", \"last_ns\": %" PRIu64,
	       group->interface, directions[group->direction & 3], group->run, group->packets,
	       group->distinct, group->duplicates, group->out_of_order, group->time_backwards,
	       group->bytes, group->first_ns, group->last_ns);
	print_missing(group, count);
	printf(", \"negative_latencies\": %" PRIu64
	       ", \"latency_us\": {\"p50\": %.1f, \"p95\": %.1f, \"p99\": %.1f, \"max\": %.1f}",
	       group->negative_latencies, percentile_us(group->latencies, group->packets, 0.50),
	       percentile_us(group->latencies, group->packets, 0.95),
	       percentile_us(group->latencies, group->packets, 0.99),
	       (double)group->latency_max_ns / 1e3);
	if (has_pacing)
		print_pacing(group);
	printf("}");
}

static void print_sums(const struct group *groups, uint64_t count)
{
	uint64_t packets = 0, distinct = 0, duplicates = 0, out_of_order = 0, absent = 0;

	for (const struct group *group = groups; group; group = group->next) {
		packets += group->packets;
		distinct += group->distinct;
		duplicates += group->duplicates;
		out_of_order += group->out_of_order;
		absent += missing(group, count);
	}
	printf("{\"packets\": %" PRIu64 ", \"distinct\": %" PRIu64 ", \"duplicates\": %" PRIu64
	       ", \"out_of_order\": %" PRIu64 ", \"missing\": %" PRIu64 ",\n \"groups\": [",
	       packets, distinct, duplicates, out_of_order, absent);
}

static void read_all(struct group **groups, FILE *file, const char *path, bool has_pacing)
{
	struct pcapng_decoder *decoder;
	struct buf input = {};
	size_t n;

	if (pcapng_decoder_create(&decoder, PCAPNG_FROM_FILE) < 0)
		die(path, "no decoder");
	do {
		uint8_t *room = buf_reserve(&input, MIB);
		size_t at = 0;
		ssize_t used;

		if (!room)
			die(path, "out of memory");
		n = fread(room, 1, MIB, file);
		buf_commit(&input, n);
		do {
			const struct pcapng_interface *interface;
			struct pcapng_packet packet;
			struct generated generated;
			enum pcapng_item item;

			used = pcapng_decode(decoder, input.data + at, input.len - at, &item,
					     &packet);
			if (used < 0)
				die(path, pcapng_decoder_error(decoder));
			at += (size_t)used;
			if (!used || item != PCAPNG_ITEM_PACKET || !parse(&generated, &packet))
				continue;
			interface = pcapng_decoder_interface(decoder, packet.interface);
			add(group_of(groups, interface ? interface->name : "", packet.flags & 3,
				     generated.run),
			    &packet, &generated, has_pacing);
		} while (used);
		buf_consume(&input, at);
	} while (n);
	if (input.len)
		die(path, "cut in the middle of a block");
	buf_release(&input);
	pcapng_decoder_destroy(decoder);
}

int main(int argc, char **argv)
{
	struct group *groups = NULL, *next;
	const char *path = NULL;
	bool has_pacing = false;
	uint64_t count = 0;
	FILE *file = stdin;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--count") == 0 && i + 1 < argc)
			count = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--pacing") == 0)
			has_pacing = true;
		else if (argv[i][0] == '-' && argv[i][1])
			die(argv[i], "unknown option");
		else
			path = argv[i];
	}
	if (path && strcmp(path, "-") != 0)
		file = fopen(path, "re");
	if (!file)
		die(path, strerror(errno));
	read_all(&groups, file, path ? path : "standard input", has_pacing);
	print_sums(groups, count);
	for (struct group *group = groups; group; group = next) {
		next = group->next;
		print(group, count, has_pacing);
		printf("%s", next ? ",\n  " : "");
		free(group->seen);
		free(group->sendings);
		free(group);
	}
	printf("]}\n");
	fclose(file);
	return 0;
}
