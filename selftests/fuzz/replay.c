/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A main for the fuzzers where there is no libFuzzer: runs every file named, and every file of the
 * directories named, through LLVMFuzzerTestOneInput, whole, then cut and with bits turned over.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "selftests/fuzz/fuzz.h"

#define MUTATIONS 64

static unsigned long runs;

static void try_bytes(const uint8_t *data, size_t len)
{
	/* A copy of exactly that size, so that ASan sees a read beyond its end. */
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		exit(1);
	if (len)
		memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	runs++;
}

static void mutate(const uint8_t *data, size_t len, unsigned int seed)
{
	uint8_t *copy;

	if (!len)
		return;
	copy = malloc(len);
	if (!copy)
		exit(1);
	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(copy, data, len);
		for (unsigned int turns = 1 + rand_r(&seed) % 4; turns; turns--)
			copy[(size_t)rand_r(&seed) % len] ^= (uint8_t)(1 << rand_r(&seed) % 8);
		try_bytes(copy, i % 4 ? len : (size_t)rand_r(&seed) % len);
	}
	free(copy);
}

static void replay_file(const char *path)
{
	struct buf input = {};
	FILE *file = fopen(path, "rb");
	size_t n;

	if (!file) {
		fprintf(stderr, "cannot open %s\n", path);
		exit(1);
	}
	do {
		uint8_t *at = buf_reserve(&input, 65536);

		if (!at)
			exit(1);
		n = fread(at, 1, 65536, file);
		buf_commit(&input, n);
	} while (n);
	fclose(file);
	try_bytes(input.data, input.len);
	mutate(input.data, input.len, (unsigned int)input.len);
	buf_release(&input);
}

static void replay(const char *path)
{
	struct dirent **entries;
	struct stat st;
	char child[4096];
	int n;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	n = scandir(path, &entries, NULL, alphasort);
	if (n < 0) {
		fprintf(stderr, "cannot read directory %s\n", path);
		exit(1);
	}
	for (int i = 0; i < n; i++) {
		snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			replay(child);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%lu inputs\n", runs);
	return runs ? 0 : 1;
}
