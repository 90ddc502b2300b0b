/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/segment_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_DIGITS 16
#define SECTOR 4096u
/* Twice the longest record: reading on costs at most half of what is read again. */
#define WINDOW_LEN (2 * align_up(RECORD_LEN_MAX, SECTOR))

const char *segment_file_name(char out[SEGMENT_NAME_LEN], uint64_t first)
{
	snprintf(out, SEGMENT_NAME_LEN, "%0*" PRIx64 ".seg", NAME_DIGITS, first);
	return out;
}

static bool parse_name(const char *name, uint64_t *ret)
{
	if (strspn(name, "0123456789abcdef") != NAME_DIGITS ||
	    strcmp(name + NAME_DIGITS, ".seg") != 0)
		return false;
	*ret = strtoull(name, NULL, 16);
	return true;
}

static int compare_positions(const void *a, const void *b)
{
	const uint64_t *first = a, *second = b;

	return (*first > *second) - (*first < *second);
}

int segment_list(int dir_fd, uint64_t **ret, size_t *count)
{
	uint64_t *list = NULL, *grown, first;
	size_t n = 0, capacity = 0;
	struct dirent *entry;
	DIR *dir;
	int fd, err = 0;

	fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	while (errno = 0, (entry = readdir(dir))) {
		if (!parse_name(entry->d_name, &first))
			continue;
		if (n == capacity) {
			capacity = MAX(64, 2 * capacity);
			grown = realloc(list, capacity * sizeof(*list));
			if (!grown) {
				err = -ENOMEM;
				break;
			}
			list = grown;
		}
		list[n++] = first;
	}
	if (!err)
		err = -errno;
	closedir(dir);
	if (err) {
		free(list);
		return err;
	}
	if (n)
		qsort(list, n, sizeof(*list), compare_positions);
	*ret = list;
	*count = n;
	return 0;
}

/*
 * Up to len bytes from offset; fewer only at the end of the file. Blocks that the disk cannot read
 * are zeros: for what was in them the checksums will tell.
 */
static ssize_t read_at(int fd, uint8_t *out, size_t len, uint64_t offset)
{
	size_t done = 0, want = len, step;
	ssize_t n;

	while (done < len) {
		step = MIN(want, len - done);
		n = pread(fd, out + done, step, (off_t)(offset + done));
		if (n == 0)
			break;
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EIO)
			return -errno;
		want = SECTOR - (offset + done) % SECTOR;
		if (step > want)
			continue;
		memset(out + done, 0, step);
		done += step;
		want = SECTOR;
	}
	return (ssize_t)done;
}

static int read_segment(struct segment_file *file, uint64_t size)
{
	uint8_t header[SEGMENT_HEADER_LEN], end[SEAL_LEN];
	struct segment_seal seal;
	ssize_t n;
	int err;

	n = read_at(file->fd, header, SEGMENT_HEADER_LEN, 0);
	if (n < 0)
		return (int)n;
	err = n == SEGMENT_HEADER_LEN ? segment_header_decode(&file->segment, header) : -EBADMSG;
	if (err != -EBADMSG)
		return err;
	if (size < SEGMENT_HEADER_LEN + SEAL_LEN || size % 8)
		return -EBADMSG;
	n = read_at(file->fd, end, SEAL_LEN, size - SEAL_LEN);
	if (n < 0)
		return (int)n;
	err = n == SEAL_LEN ? segment_seal_decode(&seal, end, size - SEAL_LEN) : -EBADMSG;
	if (!err)
		file->segment = seal.segment;
	return err;
}

int segment_file_open(struct segment_file *ret, int dir_fd, uint64_t first)
{
	struct segment_file file = SEGMENT_FILE_INIT;
	char name[SEGMENT_NAME_LEN];
	struct stat st;
	int err;

	file.fd = openat(dir_fd, segment_file_name(name, first), O_RDONLY | O_CLOEXEC);
	if (file.fd < 0)
		return -errno;
	if (fstat(file.fd, &st) < 0) {
		err = -errno;
		goto fail;
	}
	file.device = st.st_dev;
	file.inode = st.st_ino;
	err = read_segment(&file, (uint64_t)st.st_size);
	if (!err && file.segment.first != first)
		err = -EBADMSG;
	if (err)
		goto fail;
	*ret = file;
	return 0;
fail:
	close(file.fd);
	return err;
}

void segment_file_close(struct segment_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->window);
	*file = (struct segment_file)SEGMENT_FILE_INIT;
}

bool segment_file_is_stale(const struct segment_file *file, int dir_fd)
{
	char name[SEGMENT_NAME_LEN];
	struct stat st;

	return fstatat(dir_fd, segment_file_name(name, file->segment.first), &st, 0) < 0 ||
	       st.st_dev != file->device || st.st_ino != file->inode;
}

int segment_file_size(const struct segment_file *file, uint64_t *ret)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

/* Puts what there is of [offset, end) into the window, as much as it holds. */
static int fill_window(struct segment_file *file, uint64_t offset, uint64_t end)
{
	size_t len = (size_t)MIN(end - offset, (uint64_t)WINDOW_LEN);
	ssize_t n;

	if (!file->window) {
		file->window = malloc(WINDOW_LEN);
		if (!file->window)
			return -ENOMEM;
	}
	file->window_len = 0;
	n = read_at(file->fd, file->window, len, offset);
	if (n < 0)
		return (int)n;
	file->window_at = offset;
	file->window_len = (size_t)n;
	return 0;
}

int segment_file_next(struct segment_file *file, uint64_t offset, uint64_t end, uint64_t *at,
		      struct segment_record *ret)
{
	size_t skip, len, found = 0;
	bool is_fresh = false;
	int n, err;

	while (offset < end) {
		if (offset < file->window_at || offset - file->window_at >= file->window_len) {
			err = fill_window(file, offset, end);
			if (err)
				return err;
			if (!file->window_len)
				return 0;
			is_fresh = true;
		}
		skip = (size_t)(offset - file->window_at);
		len = (size_t)MIN((uint64_t)file->window_len - skip, end - offset);
		n = segment_scan(&file->segment, offset, file->window + skip, len, &found, ret);
		if (n) {
			*at = offset + found;
			return 1;
		}
		offset += found;
		/* What begins here may need bytes that were not read: read on, from here. */
		if (!is_fresh || found) {
			file->window_len = 0;
			is_fresh = false;
			continue;
		}
		/* All there is was looked at, and the record that begins here is cut off. */
		offset += 8;
	}
	return 0;
}

void segment_file_forget(struct segment_file *file)
{
	file->window_len = 0;
}

int segment_file_load(const struct segment_file *file, uint64_t offset, uint8_t *buf)
{
	uint8_t header[RECORD_HEADER_LEN];
	struct segment_record record;
	struct frame_header frame;
	ssize_t n;

	n = read_at(file->fd, header, sizeof(header), offset);
	if (n < 0)
		return (int)n;
	if (n != sizeof(header) || segment_record_decode(&record, header, &file->segment, offset) ||
	    record.kind != JOURNAL_FRAME)
		return -EBADMSG;
	n = read_at(file->fd, buf, record.body_len, offset + sizeof(header));
	if (n < 0)
		return (int)n;
	if (n != (ssize_t)record.body_len || frame_header_decode(&frame, buf) ||
	    record.body_len != FRAME_HEADER_LEN + frame.stored_len ||
	    frame_payload_check(&frame, buf + FRAME_HEADER_LEN))
		return -EBADMSG;
	return (int)record.body_len;
}

int segment_file_data_end(struct segment_file *file, uint64_t offset, uint64_t *ret)
{
	uint64_t end = offset;
	int err;

	for (;;) {
		err = fill_window(file, offset, UINT64_MAX);
		if (err)
			return err;
		if (!file->window_len)
			break;
		for (size_t i = file->window_len; i > 0; i--)
			if (file->window[i - 1]) {
				end = offset + i;
				break;
			}
		offset += file->window_len;
	}
	file->window_len = 0;
	*ret = end;
	return 0;
}
