/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spoil_store STORE N: overwrite every Nth frame in the segments of a store (its header and
 * payload, with zeros), as a disk with bad sectors might. Frames are found by their magic and a
 * header that checks out.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/frame.h"

static unsigned int every, frames, spoiled;

static void spoil_file(const char *path)
{
	struct frame_header header;
	FILE *file = fopen(path, "r+b");
	size_t len, at = 0;
	uint8_t *data;

	if (!file) {
		perror(path);
		exit(1);
	}
	fseek(file, 0, SEEK_END);
	len = (size_t)ftell(file);
	rewind(file);
	data = malloc(len + 1);
	if (!data || fread(data, 1, len, file) != len) {
		perror(path);
		exit(1);
	}
	while (at + FRAME_HEADER_LEN <= len) {
		size_t frame_len;

		if (frame_header_decode(&header, data + at)) {
			at++;
			continue;
		}
		frame_len = MIN(FRAME_HEADER_LEN + header.stored_len, len - at);
		if (header.type == FRAME_PACKETS && ++frames % every == 0) {
			memset(data + at, 0, frame_len);
			spoiled++;
		}
		at += frame_len;
	}
	rewind(file);
	if (fwrite(data, 1, len, file) != len || fclose(file)) {
		perror(path);
		exit(1);
	}
	free(data);
}

static void spoil(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char child[4096];
	size_t len;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		len = strlen(child);
		if (len > 4 && !strcmp(child + len - 4, ".seg"))
			spoil_file(child);
		else
			spoil(child);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	if (argc != 3 || atoi(argv[2]) < 1) {
		fprintf(stderr, "usage: spoil_store STORE N\n");
		return 2;
	}
	every = (unsigned int)atoi(argv[2]);
	spoil(argv[1]);
	printf("%u of %u frames spoiled\n", spoiled, frames);
	return spoiled ? 0 : 1;
}
