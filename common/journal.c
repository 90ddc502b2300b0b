/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/journal_internal.h"
#include "common/journal_recovery.h"

#define STREAM_TIMES_RECORDED 2

static void ring_put(struct journal *journal, const void *data, size_t len)
{
	size_t at = (size_t)(journal->ring_in % journal->ring_size);
	size_t part = MIN(len, journal->ring_size - at);

	memcpy(journal->ring + at, data, part);
	memcpy(journal->ring, (const uint8_t *)data + part, len - part);
	journal->ring_in += len;
	journal->stats.appended += len;
}

void journal_active_release(struct active *active)
{
	if (active->fd >= 0)
		close(active->fd);
	buf_release(&active->head);
	*active = (struct active){ .fd = -1 };
}

/* The segment that records are appended to, or NULL. */
static struct active *tail(struct journal *journal)
{
	if (journal->has_next)
		return &journal->next;
	return journal->has_current ? &journal->current : NULL;
}

static int build_head(struct journal *journal, struct active *active, uint64_t first)
{
	struct segment *segment = &active->seal.segment;
	struct segment_head head;

	*active = (struct active){ .fd = -1 };
	if (getentropy(&segment->id, sizeof(segment->id)) < 0)
		return -errno;
	segment->first = first;
	segment->created_ns = clock_ns(CLOCK_REALTIME);
	segment_file_name(active->name, first);
	segment_head_begin(&head, &active->head, segment, journal->streams.count);
	for (uint32_t i = 0; i < journal->streams.count; i++)
		if (journal->streams.list[i]->id.agent[0])
			segment_head_stream(&head, i, &journal->streams.list[i]->id,
					    &journal->streams.list[i]->appended);
	return segment_head_end(&head);
}

int journal_begin_segment(struct journal *journal)
{
	struct active *old = tail(journal), *active = old ? &journal->next : &journal->current;
	struct stream_entry *entry;
	uint8_t seal[SEAL_LEN];
	int err;

	assert(!journal->has_next);
	err = build_head(journal, active, journal->stats.appended + (old ? SEAL_LEN : 0));
	if (err) {
		journal_active_release(active);
		return err;
	}
	active->head_len = active->head.len;
	active->bytes = MAX(journal->config.segment_bytes, 2 * active->head_len);
	if (old) {
		segment_seal_encode(seal, &old->seal, journal_offset(old, journal->stats.appended),
				    active->seal.segment.created_ns);
		ring_put(journal, seal, sizeof(seal));
		old->end = journal->stats.appended;
		journal->has_next = true;
	} else {
		journal->has_current = true;
	}
	journal->stats.appended += active->head_len;
	for (uint32_t i = 0; i < journal->streams.count; i++) {
		entry = journal->streams.list[i];
		entry->times_recorded = entry->appended.count ? STREAM_TIMES_RECORDED : 1;
	}
	return 0;
}

static bool fits(const struct journal *journal, const struct active *active, uint64_t len)
{
	uint64_t offset = journal_offset(active, journal->stats.appended);

	return offset + len <= active->bytes || offset == active->head_len;
}

/* Room for a record of len bytes in the ring and in a segment. */
static int reserve(struct journal *journal, size_t len)
{
	struct active *active = tail(journal);
	bool needs_segment;

	if (journal->failure)
		return journal->failure;
	if (journal->failing) {
		journal_probe(journal);
		return journal->failing;
	}
	/* Begin at the front whenever it is empty: little traffic then touches little memory. */
	if (journal->ring_in == journal->ring_out) {
		journal->ring_in = 0;
		journal->ring_out = 0;
	}
	len += SEAL_LEN;
	needs_segment = !active || !fits(journal, active, len);
	if (journal->ring_size - (journal->ring_in - journal->ring_out) < len ||
	    (needs_segment && journal->has_next)) {
		journal_kick(journal);
		return -EAGAIN;
	}
	return needs_segment ? journal_begin_segment(journal) : 0;
}

/* reserve() was called for it. */
static void put_record(struct journal *journal, const struct segment_record *record)
{
	static const uint8_t padding[8];
	struct active *active = tail(journal);
	uint8_t header[RECORD_HEADER_LEN];

	segment_record_encode(header, record, &active->seal.segment,
			      journal_offset(active, journal->stats.appended));
	ring_put(journal, header, sizeof(header));
	ring_put(journal, record->body, record->body_len);
	ring_put(journal, padding, align_up(record->body_len, 8) - record->body_len);
}

/* Before a record that names the stream. */
static int record_stream(struct journal *journal, uint32_t number)
{
	struct stream_entry *entry = journal->streams.list[number];
	uint8_t body[STREAM_RECORD_MAX];
	struct segment_record record = { .kind = JOURNAL_STREAM,
					 .stream = number,
					 .received_ns = clock_ns(CLOCK_REALTIME),
					 .body = body };
	int err;

	if (entry->times_recorded >= STREAM_TIMES_RECORDED)
		return 0;
	err = reserve(journal, STREAM_RECORD_MAX);
	if (err)
		return err;
	record.body_len = (uint32_t)segment_stream_encode(body, number, &entry->id);
	put_record(journal, &record);
	entry->times_recorded++;
	return 0;
}

static int reserve_pending(struct journal *journal)
{
	size_t capacity = MAX(256, 2 * journal->pending_capacity), i, at;
	struct pending_frame *pending;

	if (journal->pending_count < journal->pending_capacity)
		return 0;
	pending = malloc(capacity * sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	for (i = 0; i < journal->pending_count; i++) {
		at = (journal->pending_first + i) & (journal->pending_capacity - 1);
		pending[i] = journal->pending[at];
	}
	free(journal->pending);
	journal->pending = pending;
	journal->pending_first = 0;
	journal->pending_capacity = capacity;
	return 0;
}

static void count_frame(struct segment_seal *seal, const struct frame_header *header)
{
	seal->frames++;
	if (header->first_ns && (!seal->first_ns || header->first_ns < seal->first_ns))
		seal->first_ns = header->first_ns;
	seal->last_ns = MAX(seal->last_ns, header->last_ns);
}

int journal_append(struct journal *journal, uint32_t stream, const struct frame_header *header,
		   const void *frame, size_t len)
{
	struct segment_record record = {
		.kind = JOURNAL_FRAME, .stream = stream, .body = frame, .body_len = (uint32_t)len
	};
	struct stream_entry *entry;
	struct range range;
	size_t at;
	int err;

	if (stream >= journal->streams.count || !header->sequence ||
	    header->stored_len > FRAME_PAYLOAD_MAX || len != FRAME_HEADER_LEN + header->stored_len)
		return -EINVAL;
	entry = journal->streams.list[stream];
	if (ranges_has(&entry->appended, header->sequence)) {
		journal->stats.duplicates++;
		return -EEXIST;
	}
	err = record_stream(journal, stream);
	if (!err)
		err = reserve(journal, segment_record_len(len));
	if (!err)
		err = reserve_pending(journal);
	if (err)
		return err;
	range = frame_range(header, (const uint8_t *)frame + FRAME_HEADER_LEN);
	err = stream_entry_append(entry, &range);
	if (err)
		return err;
	record.received_ns = clock_ns(CLOCK_REALTIME);
	put_record(journal, &record);
	count_frame(&tail(journal)->seal, header);
	at = (journal->pending_first + journal->pending_count) & (journal->pending_capacity - 1);
	journal->pending[at] = (struct pending_frame){ stream, range, journal->stats.appended };
	journal->pending_count++;
	return 0;
}

int journal_append_watermarks(struct journal *journal, const struct journal_watermark *list,
			      uint32_t count)
{
	size_t len = segment_watermarks_len(count);
	struct segment_record record = { .kind = JOURNAL_WATERMARKS, .body_len = (uint32_t)len };
	int err;

	if (count > SEGMENT_WATERMARKS_MAX)
		return -EMSGSIZE;
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].stream >= journal->streams.count)
			return -EINVAL;
		err = record_stream(journal, list[i].stream);
		if (err)
			return err;
	}
	err = reserve(journal, segment_record_len(len));
	if (err)
		return err;
	buf_clear(&journal->scratch);
	record.body = buf_reserve(&journal->scratch, len);
	if (!record.body)
		return -ENOMEM;
	segment_watermarks_encode(journal->scratch.data, list, count);
	record.received_ns = clock_ns(CLOCK_REALTIME);
	put_record(journal, &record);
	return 0;
}

int journal_stream(struct journal *journal, const struct stream_id *id, uint32_t *ret)
{
	int64_t number;

	if (!agent_id_valid(id->agent))
		return -EINVAL;
	number = stream_table_find(&journal->streams, id);
	if (number < 0)
		number = stream_table_add(&journal->streams, id);
	if (number < 0)
		return (int)number;
	*ret = (uint32_t)number;
	return 0;
}

uint32_t journal_stream_count(const struct journal *journal)
{
	return journal->streams.count;
}

const struct stream_id *journal_stream_id(const struct journal *journal, uint32_t stream)
{
	return &journal->streams.list[stream]->id;
}

const struct ranges *journal_durable(const struct journal *journal, uint32_t stream)
{
	return &journal->streams.list[stream]->durable;
}

void journal_kick(struct journal *journal)
{
	if (journal->failure || journal->failing || journal->kicked == journal->stats.appended)
		return;
	journal->kicked = journal->stats.appended;
	journal_pump(journal);
}

uint64_t journal_position(const struct journal *journal)
{
	return journal->stats.appended;
}

const struct journal_stats *journal_stats(const struct journal *journal)
{
	return &journal->stats;
}

int journal_flush(struct journal *journal)
{
	int err;

	journal->flush_err = 0;
	journal_kick(journal);
	while (journal->stats.durable < journal->stats.appended || journal_in_flight(journal)) {
		err = loop_turn(journal->loop, true);
		if (err)
			return err;
		journal_kick(journal);
	}
	return journal->flush_err;
}

static int open_dir(const char *dir)
{
	bool is_made = mkdir(dir, 0700) == 0;
	int fd, parent;

	if (!is_made && errno != EEXIST)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!is_made)
		return fd;
	/* As durable as what will be in it, if that is for us to say. */
	parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0) {
		(void)fsync(parent);
		close(parent);
	}
	return fd;
}

static int lock_dir(int dir_fd)
{
	int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		return err;
	}
	return fd;
}

int journal_open(struct journal **ret, struct loop *loop, const struct journal_config *config,
		 struct journal_recovery *recovery)
{
	struct journal *journal = calloc(1, sizeof(*journal));
	int err;

	if (!journal)
		return -ENOMEM;
	journal->loop = loop;
	journal->config = *config;
	journal->ring = MAP_FAILED;
	journal->current.fd = -1;
	journal->next.fd = -1;
	journal->lock_fd = -1;
	journal_pipeline_init(journal);
	err = journal->dir_fd = open_dir(config->dir);
	if (err < 0)
		goto fail;
	err = journal->lock_fd = lock_dir(journal->dir_fd);
	if (err < 0)
		goto fail;
	journal->ring_size =
		align_up(MAX(config->buffer_bytes, 2 * (RECORD_LEN_MAX + SEAL_LEN)), 4096);
	journal->ring = mmap(NULL, journal->ring_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (journal->ring == MAP_FAILED) {
		err = -ENOMEM;
		goto fail;
	}
	(void)!unlinkat(journal->dir_fd, JOURNAL_SPARE_NAME, 0);
	*recovery = (struct journal_recovery){};
	err = journal_recover(journal->dir_fd, &journal->streams, recovery,
			      &journal->stats.durable);
	if (err)
		goto fail;
	journal->stats.appended = journal->stats.durable;
	journal->written = journal->stats.durable;
	journal->kicked = journal->stats.durable;
	journal->write_at = journal->stats.durable;
	journal->write_goal = journal->stats.durable;
	*ret = journal;
	return 0;
fail:
	journal_close(journal);
	return err;
}

/* In order if it can be: recovery does without. */
static void end_current(struct journal *journal)
{
	struct active *active = &journal->current;
	uint64_t offset = journal_offset(active, journal->stats.durable), size;

	if (active->fd < 0)
		return;
	if (!offset)
		(void)!unlinkat(journal->dir_fd, active->name, 0);
	else if (journal->stats.durable == journal->stats.appended)
		(void)!journal_seal_file(active->fd, &active->seal, offset, &size);
	else
		(void)!ftruncate(active->fd, (off_t)offset);
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	assert(!journal_in_flight(journal));
	if (journal->has_current)
		end_current(journal);
	journal_active_release(&journal->current);
	journal_active_release(&journal->next);
	journal_pipeline_release(journal);
	stream_table_release(&journal->streams);
	if (journal->ring != MAP_FAILED)
		munmap(journal->ring, journal->ring_size);
	buf_release(&journal->scratch);
	free(journal->pending);
	if (journal->lock_fd >= 0)
		close(journal->lock_fd);
	if (journal->dir_fd >= 0)
		close(journal->dir_fd);
	free(journal);
}
