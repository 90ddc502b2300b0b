/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/packed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/decompress.h"

#define BUFFER_LEN 65536

struct packed_file {
	int fd;
	struct decompress *decompress; /* NULL: it is plain */
	uint8_t bytes[BUFFER_LEN];     /* read, of which the first used are passed on */
	size_t len, used;
	bool ends; /* there is no more to read */
};

static int fill(struct packed_file *file)
{
	ssize_t n;

	memmove(file->bytes, file->bytes + file->used, file->len - file->used);
	file->len -= file->used;
	file->used = 0;
	if (file->len == BUFFER_LEN || file->ends)
		return 0;
	do {
		n = read(file->fd, file->bytes + file->len, BUFFER_LEN - file->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	file->ends = !n;
	file->len += (size_t)n;
	return 0;
}

static ssize_t pass_on(struct packed_file *file, char *out, size_t room)
{
	size_t used, len = file->len - file->used;
	ssize_t n;

	if (file->decompress) {
		n = decompress_bytes(file->decompress, file->bytes + file->used, len, file->ends,
				     &used, (uint8_t *)out, room);
		file->used += used;
		return n;
	}
	len = MIN(len, room);
	memcpy(out, file->bytes + file->used, len);
	file->used += len;
	return (ssize_t)len;
}

static ssize_t read_packed(void *cookie, char *out, size_t room)
{
	struct packed_file *file = cookie;
	ssize_t n;
	int err;

	for (;;) {
		n = pass_on(file, out, room);
		if (n || file->ends)
			break;
		err = fill(file);
		if (err) {
			n = err;
			break;
		}
	}
	if (n >= 0)
		return n;
	errno = (int)-n;
	return -1;
}

static int close_packed(void *cookie)
{
	struct packed_file *file = cookie;

	if (file->fd > STDIN_FILENO)
		close(file->fd);
	decompress_destroy(file->decompress);
	free(file);
	return 0;
}

static int find_format(struct packed_file *file, const char **name)
{
	enum decompress_format format;
	int err;

	for (;;) {
		format = decompress_sniff(file->bytes, file->len, file->ends, name);
		if (format != DECOMPRESS_UNKNOWN)
			break;
		err = fill(file);
		if (err)
			return err;
	}
	if (format == DECOMPRESS_OTHER)
		return -EPROTONOSUPPORT;
	return format == DECOMPRESS_PLAIN ? 0 : decompress_create(&file->decompress);
}

static int open_file(struct packed_file *file, const char *path, char *error)
{
	const char *name = "";
	int err;

	file->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	err = file->fd < 0 ? -errno : find_format(file, &name);
	if (err == -EPROTONOSUPPORT)
		snprintf(error, PACKED_FILE_ERROR_LEN,
			 "%.150s is packed by %s, which is not read here: unpack it first", path,
			 name);
	else if (err)
		snprintf(error, PACKED_FILE_ERROR_LEN, "%.150s: %s", path, strerror(-err));
	return err;
}

FILE *packed_file_open(const char *path, char error[PACKED_FILE_ERROR_LEN])
{
	static const cookie_io_functions_t functions = {
		.read = read_packed,
		.close = close_packed,
	};
	struct packed_file *file = calloc(1, sizeof(*file));
	FILE *stream = NULL;

	if (!file) {
		snprintf(error, PACKED_FILE_ERROR_LEN, "out of memory");
		return NULL;
	}
	if (!open_file(file, path, error)) {
		stream = fopencookie(file, "r", functions);
		if (!stream)
			snprintf(error, PACKED_FILE_ERROR_LEN, "%.150s: %s", path, strerror(errno));
	}
	if (!stream)
		close_packed(file);
	return stream;
}
