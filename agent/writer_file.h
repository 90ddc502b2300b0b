/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Part of the writer: one file (or stdout) that packets are appended to. What is put is gathered
 * and written by flush(); blocks that go into the file as they are stay where they are until then.
 */
#pragma once

#include <sys/uio.h>

#include "common/buf.h"
#include "common/capture.h"
#include "common/merge.h"

/* A flush writes so much at once, in so many pieces. */
#define WRITER_FLUSH_BYTES (256 * KIB)
#define WRITER_PIECES_MAX 64

struct writer_file_piece {
	const uint8_t *data; /* NULL: in `made`, from `at` on */
	size_t at, len;
};

/* One file: libpcap's readers want one link type in each. */
struct writer_file {
	struct capture *capture;
	struct buf made; /* blocks of our own making */
	struct writer_file_piece pieces[WRITER_PIECES_MAX];
	unsigned int piece_count;
	size_t waiting;	 /* bytes of all pieces */
	uint64_t offset; /* bytes in the file, whole blocks */
	int fd;
	bool is_regular;
};

/* path "-": stdout. What is in the file stays there. -errno; destroy it in either case. */
int writer_file_open(struct writer_file *file, const char *path) must_check;
/* Before anything is put. -errno. */
int writer_file_empty(struct writer_file *file) must_check;
void writer_file_release(struct writer_file *file);
/*
 * A packet of the merge. borrows: its bytes stay where they are until writer_file_flush(), and are
 * not copied if they need not be changed. -errno.
 */
int writer_file_packet(struct writer_file *file, const struct merge_packet *packet,
		       bool borrows) must_check;
/* The header; by itself it comes with the first packet. -errno. */
int writer_file_begin(struct writer_file *file, uint16_t link_type) must_check;
/* For the last blocks. -errno. */
int writer_file_statistics(struct writer_file *file, const struct pcapng_interface *interface,
			   const struct pcapng_statistics *statistics) must_check;
/* The last blocks. */
int writer_file_end(struct writer_file *file) must_check;
/* Writes all pieces. After a failure the file ends with a whole block. -errno. */
int writer_file_flush(struct writer_file *file) must_check;

static inline bool writer_file_is_full(const struct writer_file *file)
{
	/* A packet is two pieces at most: an interface's block, and its own. */
	return file->waiting >= WRITER_FLUSH_BYTES || file->piece_count + 2 > WRITER_PIECES_MAX;
}
