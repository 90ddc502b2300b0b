/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/journal.h"
#include "common/segment_file.h"

#define LOAD_FILES 8

/* A segment opened to load single frames from it. */
struct load_file {
	struct segment_file file;
	uint64_t end; /* position; UINT64_MAX: not known */
};

struct journal_reader {
	int dir_fd;
	uint64_t position;
	struct segment_file file;
	bool is_open, has_begun;
	/* Position where the segment ends, UINT64_MAX as long as it is not known. */
	uint64_t end;
	bool looked_ahead; /* the next segment's head for streams that this one lacks */

	struct stream_id *known; /* by number; an empty agent: not known */
	uint32_t known_count;
	uint32_t *queue; /* numbers that were learned and not yet given */
	uint32_t queue_first, queue_count, queue_capacity;

	struct journal_watermark *watermarks;
	struct load_file loads[LOAD_FILES];
	unsigned int load_next;
	uint64_t damaged_bytes;
};

/* -ENODATA: before the oldest segment, or beyond the end of the last. */
static int check_position(int dir_fd, uint64_t position, uint64_t *oldest)
{
	char name[SEGMENT_NAME_LEN];
	uint64_t *list, last = 0;
	struct stat st;
	size_t count;
	int err;

	err = segment_list(dir_fd, &list, &count);
	if (err)
		return err;
	*oldest = count ? list[0] : 0;
	if (count)
		last = list[count - 1];
	free(list);
	if (position % 8)
		return -EINVAL;
	if (!position || (position >= *oldest && position <= last))
		return 0;
	if (position < *oldest || !count)
		return -ENODATA;
	if (fstatat(dir_fd, segment_file_name(name, last), &st, 0) < 0)
		return -errno;
	return position - last > (uint64_t)st.st_size ? -ENODATA : 0;
}

int journal_reader_open(struct journal_reader **ret, const char *dir, uint64_t position,
			uint64_t *oldest)
{
	struct journal_reader *reader = calloc(1, sizeof(*reader));
	int err;

	if (!reader)
		return -ENOMEM;
	reader->file.fd = -1;
	for (size_t i = 0; i < LOAD_FILES; i++)
		reader->loads[i].file.fd = -1;
	reader->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (reader->dir_fd < 0) {
		err = -errno;
		goto fail;
	}
	err = check_position(reader->dir_fd, position, oldest);
	if (err)
		goto fail;
	reader->position = position ? position : *oldest;
	*ret = reader;
	return 0;
fail:
	journal_reader_close(reader);
	return err;
}

void journal_reader_close(struct journal_reader *reader)
{
	if (!reader)
		return;
	segment_file_close(&reader->file);
	for (size_t i = 0; i < LOAD_FILES; i++)
		segment_file_close(&reader->loads[i].file);
	if (reader->dir_fd >= 0)
		close(reader->dir_fd);
	free(reader->known);
	free(reader->queue);
	free(reader->watermarks);
	free(reader);
}

/* Where the segment with the position begins and ends. -ENOENT: there is none. */
static int find_segment(int dir_fd, uint64_t position, uint64_t *first, uint64_t *end)
{
	uint64_t *list;
	size_t count, i;
	int err;

	*end = UINT64_MAX;
	err = segment_list(dir_fd, &list, &count);
	if (err)
		return err;
	for (i = count; i > 0 && list[i - 1] > position;)
		i--;
	if (i < count)
		*end = list[i];
	if (i)
		*first = list[i - 1];
	free(list);
	return i ? 0 : -ENOENT;
}

static int reserve_queue(struct journal_reader *reader)
{
	uint32_t capacity = MAX(64u, 2 * reader->queue_capacity), *queue;

	if (!reader->queue_count)
		reader->queue_first = 0;
	if (reader->queue_first + reader->queue_count < reader->queue_capacity)
		return 0;
	queue = realloc(reader->queue, capacity * sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	reader->queue = queue;
	reader->queue_capacity = capacity;
	return 0;
}

/* Queues a stream that is new, or whose number has become another's. */
static int learn(struct journal_reader *reader, const struct segment_stream *stream)
{
	uint32_t count = MAX(64u, 2 * reader->known_count);
	struct stream_id *known;
	int err;

	if (stream->number >= reader->known_count) {
		while (count <= stream->number)
			count *= 2;
		known = realloc(reader->known, count * sizeof(*known));
		if (!known)
			return -ENOMEM;
		memset(known + reader->known_count, 0,
		       (count - reader->known_count) * sizeof(*known));
		reader->known = known;
		reader->known_count = count;
	}
	if (stream_id_equal(&reader->known[stream->number], &stream->id))
		return 0;
	err = reserve_queue(reader);
	if (err)
		return err;
	reader->known[stream->number] = stream->id;
	reader->queue[reader->queue_first + reader->queue_count++] = stream->number;
	return 0;
}

static bool is_known(const struct journal_reader *reader, uint32_t stream)
{
	return stream < reader->known_count && reader->known[stream].agent[0];
}

/* Streams out of a STREAMS or STREAM record; what makes no sense in it is left out. */
static int learn_record(struct journal_reader *reader, const struct segment_record *record)
{
	struct segment_streams streams;
	struct segment_stream stream;
	int err = 0;

	if (record->kind == JOURNAL_STREAM &&
	    !segment_stream_decode(&stream, record->body, record->body_len))
		return learn(reader, &stream);
	if (record->kind != JOURNAL_STREAMS ||
	    segment_streams_begin(&streams, record->body, record->body_len))
		return 0;
	while (!err && segment_streams_next(&streams, &stream) == 1)
		err = learn(reader, &stream);
	return err;
}

/* All streams that the records of [offset, end) name. */
static int learn_range(struct journal_reader *reader, struct segment_file *file, uint64_t offset,
		       uint64_t end, bool head_only)
{
	struct segment_record record;
	uint64_t at;
	int n, err = 0;

	while (!err && (n = segment_file_next(file, offset, end, &at, &record)) == 1) {
		if (head_only && record.kind != JOURNAL_STREAMS)
			return 0;
		err = learn_record(reader, &record);
		offset = at + record.len;
	}
	return err ? err : n < 0 ? n : 0;
}

/*
 * A frame whose stream is not known: the record with its identity is damaged. The head of the next
 * segment names it too.
 */
static int look_ahead(struct journal_reader *reader)
{
	struct segment_file file = SEGMENT_FILE_INIT;
	uint64_t first, end;
	int err;

	if (reader->looked_ahead)
		return 0;
	reader->looked_ahead = true;
	err = find_segment(reader->dir_fd, reader->position, &first, &end);
	if (err || end == UINT64_MAX)
		return err == -ENOENT ? 0 : err;
	err = segment_file_open(&file, reader->dir_fd, end);
	if (!err)
		err = learn_range(reader, &file, SEGMENT_HEADER_LEN, UINT64_MAX, true);
	segment_file_close(&file);
	return err == -ENOENT || err == -EBADMSG ? 0 : err;
}

static void skip_to(struct journal_reader *reader, uint64_t position)
{
	reader->damaged_bytes += position - reader->position;
	reader->position = position;
}

/* Opens the segment that the position is in. 1: done; 0: there is none yet. */
static int enter(struct journal_reader *reader, uint64_t limit)
{
	uint64_t first, end, offset;
	int err;

	err = find_segment(reader->dir_fd, reader->position, &first, &end);
	if (err == -ENOENT) {
		if (end >= limit)
			return 0;
		skip_to(reader, end); /* retention was faster */
		return 1;
	}
	if (err)
		return err;
	if (reader->is_open && first == reader->file.segment.first &&
	    !segment_file_is_stale(&reader->file, reader->dir_fd)) {
		/* The segment that was read to its end is still the last. */
		if (end == UINT64_MAX)
			return 0;
		skip_to(reader, end);
		return 1;
	}
	segment_file_close(&reader->file);
	reader->is_open = false;
	err = segment_file_open(&reader->file, reader->dir_fd, first);
	if (err == -ENOENT)
		return 1; /* gone since: look again */
	if (err == -EBADMSG) {
		/* Unreadable; or not yet written, where no limit holds the reader back. */
		if (end == UINT64_MAX && limit == UINT64_MAX)
			return 0;
		skip_to(reader, MIN(end, limit));
		return 1;
	}
	if (err)
		return err;
	reader->is_open = true;
	reader->end = end;
	reader->looked_ahead = false;
	offset = reader->position - first;
	if (offset > SEGMENT_HEADER_LEN)
		err = learn_range(reader, &reader->file, SEGMENT_HEADER_LEN, offset, false);
	else
		reader->position = first + SEGMENT_HEADER_LEN;
	return err ? err : 1;
}

static int take_watermarks(struct journal_reader *reader, const struct segment_record *record,
			   struct journal_record *ret)
{
	int64_t count = segment_watermarks_decode(NULL, record->body, record->body_len);
	struct journal_watermark *list;

	if (count < 0)
		return 0;
	list = realloc(reader->watermarks, MAX(1, (size_t)count) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	reader->watermarks = list;
	(void)!segment_watermarks_decode(list, record->body, record->body_len);
	ret->kind = JOURNAL_WATERMARKS;
	ret->watermarks = list;
	ret->watermark_count = (uint32_t)count;
	return 1;
}

/* The record at the reader's position. 1: it is for the caller; 0: it is not. */
static int take_record(struct journal_reader *reader, const struct segment_record *record,
		       struct journal_record *ret)
{
	int n = 0;

	*ret = (struct journal_record){ .position = reader->position,
					.next = reader->position + record->len,
					.received_ns = record->received_ns,
					.stream = record->stream };
	switch (record->kind) {
	case JOURNAL_FRAME:
		if (!is_known(reader, record->stream)) {
			n = look_ahead(reader);
			if (n < 0 || reader->queue_count)
				return n;
		}
		if (!is_known(reader, record->stream)) {
			reader->damaged_bytes += record->len;
			break;
		}
		ret->kind = JOURNAL_FRAME;
		ret->header = record->frame;
		ret->frame = record->body;
		ret->frame_len = record->body_len;
		n = 1;
		break;
	case JOURNAL_STREAM:
	case JOURNAL_STREAMS:
		n = learn_record(reader, record);
		break;
	case JOURNAL_WATERMARKS:
		n = take_watermarks(reader, record, ret);
		break;
	case JOURNAL_SEAL:
		reader->end = ret->next;
		break;
	default: /* of a later program */
		break;
	}
	if (n >= 0)
		reader->position = ret->next;
	return n;
}

static int give_stream(struct journal_reader *reader, struct journal_record *ret)
{
	uint32_t number = reader->queue[reader->queue_first++];

	reader->queue_count--;
	*ret = (struct journal_record){ .kind = JOURNAL_STREAM,
					.position = reader->position,
					.next = reader->position,
					.stream = number,
					.id = reader->known[number] };
	return 1;
}

/*
 * What there is before end of the segment: 1: a record, at *at; 0: none. Bytes that made no sense
 * are read twice, as their writer may have been at them.
 */
static int find_record(struct journal_reader *reader, uint64_t end, uint64_t *at,
		       struct segment_record *ret)
{
	uint64_t offset = reader->position - reader->file.segment.first;
	int n = segment_file_next(&reader->file, offset, end, at, ret);

	if (n < 0 || (n == 1 && *at == offset))
		return n;
	segment_file_forget(&reader->file);
	return segment_file_next(&reader->file, offset, end, at, ret);
}

/*
 * Nothing valid at the position of the last segment known: there may be another by now, where this
 * one ends, sealed or abandoned. 1: look again; 0: this is the last.
 */
static int find_end(struct journal_reader *reader)
{
	uint64_t first;
	int err;

	err = find_segment(reader->dir_fd, reader->file.segment.first, &first, &reader->end);
	if (err && err != -ENOENT)
		return err;
	if (reader->end != UINT64_MAX)
		return 1;
	if (!segment_file_is_stale(&reader->file, reader->dir_fd))
		return 0;
	segment_file_close(&reader->file);
	reader->is_open = false;
	return 1;
}

int journal_reader_next(struct journal_reader *reader, uint64_t limit, struct journal_record *ret)
{
	struct segment_record record;
	uint64_t first, at;
	int n, changed;

	for (;;) {
		if (reader->queue_count)
			return give_stream(reader, ret);
		if (!reader->has_begun) {
			/* Even at the limit: for the streams that are known before it. */
			reader->has_begun = true;
			n = enter(reader, MAX(limit, reader->position));
			if (n < 0)
				return n;
			continue;
		}
		if (reader->position >= limit)
			return 0;
		if (!reader->is_open || reader->position >= reader->end) {
			n = enter(reader, limit);
			if (n <= 0)
				return n;
			continue;
		}
		first = reader->file.segment.first;
		n = find_record(reader, MIN(limit, reader->end) - first, &at, &record);
		if (n < 0)
			return n;
		if ((n == 0 || first + at != reader->position) && reader->end == UINT64_MAX) {
			changed = find_end(reader);
			if (changed < 0)
				return changed;
			if (changed)
				continue;
		}
		if (n == 0) {
			if (reader->end == UINT64_MAX && limit == UINT64_MAX)
				return 0;
			skip_to(reader, MIN(reader->end, limit));
			continue;
		}
		skip_to(reader, first + at);
		n = take_record(reader, &record, ret);
		if (n)
			return n;
	}
}

static int load_from(const struct segment_file *file, uint64_t position, uint8_t *buf)
{
	return segment_file_load(file, position - file->segment.first, buf);
}

int journal_reader_load(struct journal_reader *reader, uint64_t position, uint8_t *buf)
{
	struct segment_file file;
	struct load_file *load;
	uint64_t first, end;
	int n;

	if (reader->is_open && position >= reader->file.segment.first && position < reader->end) {
		n = load_from(&reader->file, position, buf);
		if (n != -EBADMSG)
			return n;
	}
	for (size_t i = 0; i < LOAD_FILES; i++) {
		load = &reader->loads[i];
		if (load->file.fd < 0 || position < load->file.segment.first ||
		    position >= load->end)
			continue;
		n = load_from(&load->file, position, buf);
		if (n != -EBADMSG)
			return n;
	}
	n = find_segment(reader->dir_fd, position, &first, &end);
	if (n)
		return n == -ENOENT ? -ENODATA : n;
	n = segment_file_open(&file, reader->dir_fd, first);
	if (n)
		return n == -ENOENT ? -ENODATA : n;
	load = &reader->loads[reader->load_next++ % LOAD_FILES];
	segment_file_close(&load->file);
	*load = (struct load_file){ .file = file, .end = end };
	return load_from(&load->file, position, buf);
}

uint64_t journal_reader_damaged_bytes(const struct journal_reader *reader)
{
	return reader->damaged_bytes;
}
