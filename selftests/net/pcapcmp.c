/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcapcmp [--unordered] [--no-original] A B: do two PCAP streams hold the same packets? Times are
 * not looked at. 0: yes; 1: no, and the first difference is told; 2: not readable. It reads
 * classic PCAP as `tcpdump -w -` writes it, by itself: what it judges is our own encoder.
 */
#include <byteswap.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

struct packet {
	uint32_t captured_len, original_len;
	const uint8_t *data;
	size_t number; /* in its file, from 1 */
};

struct packets {
	const char *path;
	uint8_t *bytes;
	size_t len;
	struct packet *list;
	size_t count;
	bool is_swapped;
};

static _Noreturn void unreadable(const char *path, const char *why)
{
	fprintf(stderr, "pcapcmp: %s: %s\n", path, why);
	exit(2);
}

static void read_bytes(struct packets *p)
{
	FILE *file = fopen(p->path, "rb");
	size_t room = 0, n;

	if (!file)
		unreadable(p->path, "cannot open");
	do {
		if (p->len == room) {
			room = room ? 2 * room : 1 << 20;
			p->bytes = realloc(p->bytes, room);
			if (!p->bytes)
				unreadable(p->path, "out of memory");
		}
		n = fread(p->bytes + p->len, 1, room - p->len, file);
		p->len += n;
	} while (n);
	fclose(file);
}

static uint32_t number_at(const struct packets *p, size_t at)
{
	uint32_t value;

	memcpy(&value, p->bytes + at, sizeof(value));
	return p->is_swapped ? bswap_32(value) : value;
}

static void read_packets(struct packets *p)
{
	size_t at = 24, room = 0;
	uint32_t magic;

	read_bytes(p);
	if (p->len < at)
		unreadable(p->path, "no PCAP header");
	magic = number_at(p, 0);
	p->is_swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	if (!p->is_swapped && magic != 0xa1b2c3d4 && magic != 0xa1b23c4d)
		unreadable(p->path, "not PCAP");
	while (at < p->len) {
		struct packet *packet;

		if (p->count == room) {
			room = room ? 2 * room : 4096;
			p->list = realloc(p->list, room * sizeof(*p->list));
			if (!p->list)
				unreadable(p->path, "out of memory");
		}
		if (p->len - at < 16 || p->len - at - 16 < number_at(p, at + 8))
			unreadable(p->path, "cut in the middle of a packet");
		packet = &p->list[p->count++];
		packet->captured_len = number_at(p, at + 8);
		packet->original_len = number_at(p, at + 12);
		packet->data = p->bytes + at + 16;
		packet->number = p->count;
		at += 16 + packet->captured_len;
	}
}

static int compare(const struct packet *a, const struct packet *b)
{
	int order = memcmp(a->data, b->data, MIN(a->captured_len, b->captured_len));

	if (!order)
		order = (a->captured_len > b->captured_len) - (a->captured_len < b->captured_len);
	if (!order)
		order = (a->original_len > b->original_len) - (a->original_len < b->original_len);
	return order;
}

static int compare_for_sort(const void *a, const void *b)
{
	return compare(a, b);
}

static void describe(const struct packets *p, size_t at)
{
	const struct packet *packet = &p->list[at];

	if (at >= p->count) {
		printf("%s: no more (%zu packets)\n", p->path, p->count);
		return;
	}
	printf("%s: packet %zu of %zu, %u of %u bytes:", p->path, packet->number, p->count,
	       packet->captured_len, packet->original_len);
	for (uint32_t i = 0; i < MIN(packet->captured_len, 96u); i++)
		printf("%s%02x", i % 4 ? "" : " ", packet->data[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct packets a = {}, b = {};
	bool is_unordered = false, no_original = false;
	int at = 1, result = 0;

	for (; at < argc && argv[at][0] == '-' && argv[at][1] == '-'; at++) {
		if (strcmp(argv[at], "--unordered") == 0)
			is_unordered = true;
		else if (strcmp(argv[at], "--no-original") == 0)
			no_original = true;
		else
			unreadable(argv[at], "unknown option");
	}
	if (argc - at != 2)
		unreadable("usage", "pcapcmp [--unordered] [--no-original] A B");
	a.path = argv[at];
	b.path = argv[at + 1];
	read_packets(&a);
	read_packets(&b);
	for (size_t i = 0; no_original && i < a.count; i++)
		a.list[i].original_len = 0;
	for (size_t i = 0; no_original && i < b.count; i++)
		b.list[i].original_len = 0;
	if (is_unordered) {
		qsort(a.list, a.count, sizeof(*a.list), compare_for_sort);
		qsort(b.list, b.count, sizeof(*b.list), compare_for_sort);
	}
	for (size_t i = 0; i < MAX(a.count, b.count); i++) {
		if (i < a.count && i < b.count && compare(&a.list[i], &b.list[i]) == 0)
			continue;
		describe(&a, i);
		describe(&b, i);
		result = 1;
		break;
	}
	free(a.list);
	free(a.bytes);
	free(b.list);
	free(b.bytes);
	return result;
}
