/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/writer_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int writer_file_open(struct writer_file *file, const char *path)
{
	struct stat st;

	file->fd = strcmp(path, "-") ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)
				     : STDOUT_FILENO;
	if (file->fd < 0 || fstat(file->fd, &st))
		return -errno;
	file->is_regular = S_ISREG(st.st_mode);
	return capture_create(&file->capture, CAPTURE_PCAPNG, "xcapd " XCAP_VERSION);
}

int writer_file_empty(struct writer_file *file)
{
	if (!file->is_regular || file->fd == STDOUT_FILENO)
		return 0;
	return ftruncate(file->fd, 0) ? -errno : 0;
}

void writer_file_release(struct writer_file *file)
{
	if (file->fd > STDOUT_FILENO)
		close(file->fd);
	capture_destroy(file->capture);
	buf_release(&file->made);
}

static void add_piece(struct writer_file *file, const uint8_t *data, size_t at, size_t len)
{
	struct writer_file_piece *last = NULL;

	file->waiting += len;
	if (file->piece_count)
		last = &file->pieces[file->piece_count - 1];
	if (last && (data ? last->data && last->data + last->len == data : !last->data))
		last->len += len;
	else if (len)
		file->pieces[file->piece_count++] =
			(struct writer_file_piece){ .data = data, .at = at, .len = len };
}

int writer_file_packet(struct writer_file *file, const struct merge_packet *packet, bool borrows)
{
	size_t before = file->made.len;
	int err;

	if (borrows && capture_as_is(file->capture, NULL, packet->interface, &packet->packet)) {
		add_piece(file, packet->block, 0, pcapng_block_len(packet->block));
		return 0;
	}
	err = capture_packet(file->capture, NULL, packet->interface, &packet->packet, &file->made);
	add_piece(file, NULL, before, file->made.len - before);
	return err;
}

int writer_file_begin(struct writer_file *file, uint16_t link_type)
{
	size_t before = file->made.len;
	int err = capture_begin(file->capture, link_type, &file->made);

	add_piece(file, NULL, before, file->made.len - before);
	return err;
}

int writer_file_statistics(struct writer_file *file, const struct pcapng_interface *interface,
			   const struct pcapng_statistics *statistics)
{
	size_t before = file->made.len;
	int err;

	if (writer_file_is_full(file)) {
		err = writer_file_flush(file);
		if (err)
			return err;
		before = 0;
	}
	err = capture_statistics(file->capture, NULL, interface, statistics, &file->made);
	add_piece(file, NULL, before, file->made.len - before);
	return err;
}

int writer_file_end(struct writer_file *file)
{
	size_t before;
	int err = 0;

	if (!capture_begun(file->capture))
		err = writer_file_begin(file, LINKTYPE_ETHERNET);
	before = file->made.len;
	if (!err)
		capture_end(file->capture, &file->made);
	add_piece(file, NULL, before, file->made.len - before);
	return err;
}

static int write_all(int fd, struct iovec *iov, int count)
{
	ssize_t n;

	while (count) {
		n = writev(fd, iov, count);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (; count && (size_t)n >= iov->iov_len; count--, iov++)
			n -= (ssize_t)iov->iov_len;
		if (count) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

int writer_file_flush(struct writer_file *file)
{
	struct iovec iov[WRITER_PIECES_MAX];
	int err;

	for (unsigned int i = 0; i < file->piece_count; i++) {
		const struct writer_file_piece *piece = &file->pieces[i];
		const uint8_t *data = piece->data ?: file->made.data + piece->at;

		iov[i] = (struct iovec){ (void *)(uintptr_t)data, piece->len };
	}
	err = write_all(file->fd, iov, (int)file->piece_count);
	if (err) {
		if (file->is_regular && ftruncate(file->fd, (off_t)file->offset))
			err = -errno;
		return err;
	}
	file->offset += file->waiting;
	file->waiting = 0;
	file->piece_count = 0;
	buf_clear(&file->made);
	return 0;
}
