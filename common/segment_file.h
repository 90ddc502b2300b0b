/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a journal's directory, read: one per segment, named by the position of its first
 * byte in 16 hexadecimal digits, so that names sort by position. A segment_file belongs to whoever
 * embeds it; any thread.
 */
#pragma once

#include "common/segment.h"

#define SEGMENT_NAME_LEN 24

struct segment_file {
	struct segment segment;
	int fd;
	uint64_t device, inode;
	/* The bytes from offset window_at; what segment_file_next() returns points in here. */
	uint8_t *window;
	uint64_t window_at;
	size_t window_len;
};

#define SEGMENT_FILE_INIT \
	{                 \
		.fd = -1  \
	}

const char *segment_file_name(char out[SEGMENT_NAME_LEN], uint64_t first);
/* First positions of the segments there are, ascending; *ret is the caller's to free. */
int segment_list(int dir_fd, uint64_t **ret, size_t *count) must_check;

/*
 * The header's copy at the end stands in where the header is damaged. -ENOENT; -EBADMSG: neither
 * can be read; -EPROTONOSUPPORT: another version.
 */
int segment_file_open(struct segment_file *ret, int dir_fd, uint64_t first) must_check;
void segment_file_close(struct segment_file *file);
/* Its name leads to another file, or to none. */
bool segment_file_is_stale(const struct segment_file *file, int dir_fd);
int segment_file_size(const struct segment_file *file, uint64_t *ret) must_check;
/*
 * The first valid record in [offset, end) of the file. 1: it is at *at, valid until the next
 * call; 0: none; or a negative errno. What the disk cannot read counts as zeros.
 */
int segment_file_next(struct segment_file *file, uint64_t offset, uint64_t end, uint64_t *at,
		      struct segment_record *ret) must_check;
/* Forget what was read: another look may find what has been written since. */
void segment_file_forget(struct segment_file *file);
/* The frame at offset into buf (FRAME_LEN_MAX bytes): its length, -EBADMSG or another errno. */
int segment_file_load(const struct segment_file *file, uint64_t offset, uint8_t *buf) must_check;
/* Where the last byte that is not zero ends, or offset if there is none from there on. */
int segment_file_data_end(struct segment_file *file, uint64_t offset, uint64_t *ret) must_check;
