/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/journal_recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/segment_file.h"

/* One pass over a segment. */
struct scan {
	struct stream_table *streams;
	struct journal_recovery *recovery;
	struct segment_seal seal; /* counted here, for a segment that has none */
	uint64_t end;		  /* of the last valid record */
	bool is_sealed;
};

static void count_damage(struct journal_recovery *recovery, uint64_t bytes)
{
	if (!bytes)
		return;
	recovery->damaged_bytes += bytes;
	recovery->damaged_regions++;
}

/*
 * Sequences that make no sense, or that damage has broken into more ranges than are kept, are not
 * known to be here: no reason to refuse the journal.
 */
static int settle(int err)
{
	return err == -EINVAL || err == -EMSGSIZE ? 0 : err;
}

static int take_streams(struct scan *scan, const struct segment_record *record)
{
	struct segment_streams streams;
	struct segment_stream stream;
	struct range range;
	int err;

	/* A body that checks out and yet makes no sense was written by a fault: leave it be. */
	if (segment_streams_begin(&streams, record->body, record->body_len))
		return 0;
	err = stream_table_reserve(scan->streams, streams.next_stream);
	while (!err && segment_streams_next(&streams, &stream) == 1) {
		err = stream_table_set(scan->streams, stream.number, &stream.id);
		for (uint32_t i = 0; !err && i < stream.range_count; i++) {
			range = segment_stream_range(&stream, i);
			err = stream_entry_append(scan->streams->list[stream.number], &range);
			err = settle(err);
		}
	}
	return err;
}

static int take_stream(struct scan *scan, const struct segment_record *record)
{
	struct segment_stream stream;

	if (segment_stream_decode(&stream, record->body, record->body_len))
		return 0;
	return stream_table_set(scan->streams, stream.number, &stream.id);
}

static int take_frame(struct scan *scan, const struct segment_record *record)
{
	const struct frame_header *frame = &record->frame;
	struct segment_seal *seal = &scan->seal;
	struct stream_entry *entry;
	struct range range;
	int err;

	scan->recovery->frames++;
	seal->frames++;
	if (frame->first_ns && (!seal->first_ns || frame->first_ns < seal->first_ns))
		seal->first_ns = frame->first_ns;
	seal->last_ns = MAX(seal->last_ns, frame->last_ns);
	if (record->stream >= SEGMENT_STREAMS_MAX)
		return 0;
	err = stream_table_reserve(scan->streams, record->stream + 1);
	if (err)
		return err;
	entry = scan->streams->list[record->stream];
	if (!entry->id.agent[0])
		return 0;
	range = frame_range(frame, record->body + FRAME_HEADER_LEN);
	err = stream_entry_append(entry, &range);
	return settle(err);
}

static int take_record(struct scan *scan, const struct segment_record *record)
{
	switch (record->kind) {
	case JOURNAL_FRAME:
		return take_frame(scan, record);
	case JOURNAL_STREAMS:
		return take_streams(scan, record);
	case JOURNAL_STREAM:
		return take_stream(scan, record);
	case JOURNAL_SEAL:
		scan->is_sealed = true;
		return 0;
	default: /* WATERMARKS, and what later programs add */
		return 0;
	}
}

/* All valid records before end. */
static int scan_segment(struct scan *scan, struct segment_file *file, uint64_t end)
{
	struct segment_record record;
	uint64_t at;
	int n, err;

	scan->seal.segment = file->segment;
	scan->end = SEGMENT_HEADER_LEN;
	while (!scan->is_sealed) {
		n = segment_file_next(file, scan->end, end, &at, &record);
		if (n <= 0)
			return n;
		count_damage(scan->recovery, at - scan->end);
		err = take_record(scan, &record);
		if (err)
			return err;
		scan->end = at + record.len;
	}
	return 0;
}

/* 1: the segment begins with all streams and their ranges; 0: it does not, or not any more. */
static int head_is_whole(struct segment_file *file)
{
	uint64_t offset = SEGMENT_HEADER_LEN, at;
	struct segment_record record;
	int n;

	do {
		n = segment_file_next(file, offset, UINT64_MAX, &at, &record);
		if (n <= 0)
			return n;
		if (at != offset || record.kind != JOURNAL_STREAMS)
			return 0;
		offset = at + record.len;
	} while (!(record.flags & RECORD_F_LAST));
	return 1;
}

int journal_seal_file(int fd, const struct segment_seal *seal, uint64_t offset, uint64_t *size)
{
	uint8_t bytes[SEAL_LEN];
	ssize_t n;

	segment_seal_encode(bytes, seal, offset, clock_ns(CLOCK_REALTIME));
	n = pwrite(fd, bytes, sizeof(bytes), (off_t)offset);
	*size = n == (ssize_t)sizeof(bytes) ? offset + SEAL_LEN : offset;
	if (ftruncate(fd, (off_t)*size) < 0 || fdatasync(fd) < 0)
		return -errno;
	return 0;
}

/* The journal's last segment: what follows its last valid record is cut off. */
static int end_segment(struct scan *scan, struct segment_file *file, int dir_fd, uint64_t *position)
{
	char name[SEGMENT_NAME_LEN];
	uint64_t torn_end, size = scan->end;
	int fd, err;

	err = segment_file_data_end(file, scan->end, &torn_end);
	if (err)
		return err;
	scan->recovery->torn_bytes = torn_end - scan->end;
	fd = openat(dir_fd, segment_file_name(name, file->segment.first), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!scan->is_sealed)
		err = journal_seal_file(fd, &scan->seal, scan->end, &size);
	else if (ftruncate(fd, (off_t)size) < 0 || fdatasync(fd) < 0)
		err = -errno;
	close(fd);
	if (!err)
		*position = file->segment.first + size;
	return err;
}

/* A file whose segment cannot be told. 1: it is empty, nothing was ever in it. */
static int is_empty(int dir_fd, uint64_t first, uint64_t *size)
{
	struct segment_file file = SEGMENT_FILE_INIT;
	char name[SEGMENT_NAME_LEN];
	uint64_t end = 0;
	int err;

	file.fd = openat(dir_fd, segment_file_name(name, first), O_RDONLY | O_CLOEXEC);
	if (file.fd < 0)
		return -errno;
	err = segment_file_data_end(&file, 0, &end);
	if (!err)
		err = segment_file_size(&file, size);
	segment_file_close(&file);
	return err ? err : end == 0;
}

/* Segments that were created and not yet written when the power went. */
static int drop_empty(int dir_fd, const uint64_t *list, size_t *count)
{
	struct segment_file file = SEGMENT_FILE_INIT;
	char name[SEGMENT_NAME_LEN];
	uint64_t size;
	int err;

	for (; *count; (*count)--) {
		err = segment_file_open(&file, dir_fd, list[*count - 1]);
		segment_file_close(&file);
		if (err != -EBADMSG)
			return err;
		err = is_empty(dir_fd, list[*count - 1], &size);
		if (err != 1)
			return err;
		if (unlinkat(dir_fd, segment_file_name(name, list[*count - 1]), 0) < 0)
			return -errno;
	}
	return 0;
}

/* Index of the last segment that tells by itself what went before it; 0 if there is none. */
static int find_start(int dir_fd, const uint64_t *list, size_t count, size_t *ret)
{
	struct segment_file file = SEGMENT_FILE_INIT;
	int n = 0;

	for (*ret = count; n == 0 && *ret > 0;) {
		n = segment_file_open(&file, dir_fd, list[--*ret]);
		n = n == -EBADMSG ? 0 : n ? n : head_is_whole(&file);
		segment_file_close(&file);
	}
	return n < 0 ? n : 0;
}

static int recover_segment(int dir_fd, const uint64_t *list, size_t i, size_t count,
			   struct stream_table *streams, struct journal_recovery *recovery,
			   uint64_t *position)
{
	struct scan scan = { .streams = streams, .recovery = recovery };
	struct segment_file file = SEGMENT_FILE_INIT;
	bool is_last = i + 1 == count;
	uint64_t size = 0;
	int err;

	err = segment_file_open(&file, dir_fd, list[i]);
	if (err == -EBADMSG) {
		err = is_empty(dir_fd, list[i], &size);
		if (err < 0)
			return err;
		count_damage(recovery, is_last ? size : list[i + 1] - list[i]);
		*position = list[i] + align_up(size, 8);
		return 0;
	}
	if (err)
		return err;
	/* The next segment's name tells where this one ends, even if it could not be cut there. */
	err = scan_segment(&scan, &file, is_last ? UINT64_MAX : list[i + 1] - list[i]);
	if (!err && is_last)
		err = end_segment(&scan, &file, dir_fd, position);
	else if (!err)
		count_damage(recovery, list[i + 1] - list[i] - scan.end);
	segment_file_close(&file);
	return err;
}

int journal_recover(int dir_fd, struct stream_table *streams, struct journal_recovery *recovery,
		    uint64_t *position)
{
	size_t count = 0, start = 0;
	uint64_t *list = NULL;
	int err;

	*position = 0;
	err = segment_list(dir_fd, &list, &count);
	if (!err)
		err = drop_empty(dir_fd, list, &count);
	if (!err)
		err = find_start(dir_fd, list, count, &start);
	recovery->segments = count;
	for (size_t i = start; !err && i < count; i++)
		err = recover_segment(dir_fd, list, i, count, streams, recovery, position);
	for (uint32_t i = 0; !err && i < streams->count; i++)
		err = stream_entry_commit_all(streams->list[i]);
	if (!err && fsync(dir_fd) < 0)
		err = -errno;
	free(list);
	return err;
}
