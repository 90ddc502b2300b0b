/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/memory_journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/crc32c.h"
#include "common/memory_journal_internal.h"

static inline uint64_t get(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static void publish_stats(struct memory_journal *journal)
{
	const struct journal_state *state = &journal->state;
	struct journal_totals uncertain = {};

	for (uint32_t i = 0; i < state->losses.count; i++) {
		const struct losses_entry *entry = &state->losses.list[i];

		if (!entry->uncertain)
			continue;
		uncertain.packets += entry->packets;
		uncertain.wire_packets += entry->wire_packets;
	}
	journal_put_totals(&journal->uncertain, &uncertain);
	journal_put_totals(&journal->committed, &state->committed);
	journal_put_totals(&journal->passed, &state->passed);
	for (unsigned int i = 0; i < LOSS_REASON_COUNT; i++) {
		journal_put(&journal->lost[i].packets,
			    state->lost[i].packets + journal->staged[i].packets);
		journal_put(&journal->lost[i].wire_packets,
			    state->lost[i].wire_packets + journal->staged[i].wire_packets);
		journal_put(&journal->lost[i].bytes,
			    state->lost[i].bytes + journal->staged[i].bytes);
	}
}

void journal_store(struct memory_journal *journal)
{
	journal_file_store(&journal->file, &journal->state);
	publish_stats(journal);
}

static void unstage(struct memory_journal *journal)
{
	for (unsigned int i = 0; i < LOSS_REASON_COUNT; i++) {
		journal_count(&journal->state.lost[i], journal->staged[i].packets,
			      journal->staged[i].wire_packets, journal->staged[i].bytes);
		journal->staged[i] = (struct journal_lost){};
	}
}

/* The tail moves past a frame. */
static void pass(struct memory_journal *journal, const struct memory_journal_frame *frame)
{
	journal->state.tail = frame->offset;
	journal->state.first_sequence = frame->sequence + 1;
	journal_totals_add(&journal->state.passed, frame);
}

bool journal_follow_readers(struct memory_journal *journal)
{
	struct journal_state *state = &journal->state;
	struct memory_journal_frame frame;
	uint64_t slowest = UINT64_MAX, before = state->tail;

	for (unsigned int i = 0; i < MEMORY_JOURNAL_READERS_MAX; i++) {
		if (journal->readers[i])
			slowest = MIN(slowest, atomic_load(&journal->readers[i]->place) >> 1);
	}
	if (slowest == UINT64_MAX)
		return false;
	while (state->tail < slowest && journal_file_frame(&journal->file, state->tail, &frame))
		pass(journal, &frame);
	return state->tail != before;
}

static bool drop_oldest(struct memory_journal *journal)
{
	struct memory_journal_frame frame;
	bool has_readers = false;

	if (journal->state.tail == journal->state.head ||
	    !journal_file_frame(&journal->file, journal->state.tail, &frame))
		return false;
	for (unsigned int i = 0; i < MEMORY_JOURNAL_READERS_MAX; i++) {
		struct memory_journal_reader *reader = journal->readers[i];
		uint64_t place = reader ? atomic_load(&reader->place) : 0;

		if (reader && place & READER_HELD && place >> 1 < frame.offset)
			return false;
	}
	for (unsigned int i = 0; i < MEMORY_JOURNAL_READERS_MAX; i++) {
		if (!journal->readers[i])
			continue;
		has_readers = true;
		if (!journal_reader_overrun(journal->readers[i], &frame))
			return false;
	}
	if (!has_readers)
		journal_count_frame(&journal->state.lost[LOSS_JOURNAL_FULL], &frame);
	pass(journal, &frame);
	return true;
}

uint8_t *memory_journal_begin(struct memory_journal *journal, size_t max_payload)
{
	struct journal_state *state = &journal->state;
	size_t size = journal->file.ring_bytes, room = journal_frame_room(max_payload);
	uint64_t start = state->head, end;
	bool changed = false;

	assert(!journal->is_open);
	if (max_payload > FRAME_PAYLOAD_MAX || room > size / 2)
		return NULL;
	if (start % size + room > size)
		start += size - start % size;
	end = start + room;
	if (end - state->tail > size)
		changed = journal_follow_readers(journal);
	while (end - state->tail > size && journal->when_full == WHEN_FULL_DROP_OLDEST &&
	       drop_oldest(journal))
		changed = true;
	/* Before what was dropped is overwritten. */
	if (changed)
		journal_store(journal);
	if (end - state->tail > size)
		return NULL;
	if (start != state->head)
		journal_file_skip(&journal->file, state->head);
	journal->open_start = start;
	journal->open_end = end;
	journal->is_open = true;
	return journal_file_at(&journal->file, start) + FRAME_HEADER_LEN;
}

static bool is_among(const struct journal_position *positions, unsigned int count_, uint64_t source)
{
	for (unsigned int i = 0; i < count_; i++) {
		if (positions[i].source == source)
			return true;
	}
	return false;
}

/* Those given come first, so that sources long gone are what falls off the end. */
static void take_positions(struct journal_state *state, const struct journal_position *positions,
			   unsigned int given)
{
	struct journal_position before[MEMORY_JOURNAL_POSITIONS_MAX];
	uint64_t n = state->position_count;
	bool in_place = given <= n;

	assert(given <= MEMORY_JOURNAL_POSITIONS_MAX);
	if (!given)
		return;
	for (unsigned int i = 0; i < given && in_place; i++)
		in_place = state->positions[i].source == positions[i].source;
	if (!in_place)
		memcpy(before, state->positions, n * sizeof(before[0]));
	memcpy(state->positions, positions, given * sizeof(positions[0]));
	if (in_place)
		return;
	state->position_count = given;
	for (uint64_t i = 0; i < n && state->position_count < MEMORY_JOURNAL_POSITIONS_MAX; i++) {
		if (!is_among(positions, given, before[i].source))
			state->positions[state->position_count++] = before[i];
	}
}

void memory_journal_progress(struct memory_journal *journal, const struct frame_header *header,
			     size_t payload_len, const struct journal_position *positions,
			     unsigned int position_count)
{
	struct journal_state *state = &journal->state;

	assert(!payload_len || (journal->is_open && header));
	assert(!payload_len ||
	       journal->open_start + journal_frame_room(payload_len) <= journal->open_end);
	if (payload_len) {
		state->open.start = journal->open_start;
		state->open.payload_len = (uint32_t)payload_len;
		state->open.header = *header;
		state->open.told = true;
	}
	take_positions(state, positions, position_count);
	unstage(journal);
	journal_store(journal);
}

/* The frame is in the ring; its header is not, and the state does not know it. */
static void seal(struct memory_journal *journal, uint64_t start, struct frame_header *header,
		 size_t payload_len)
{
	struct journal_state *state = &journal->state;
	struct memory_journal_frame frame = { .start = start,
					      .data = journal_file_at(&journal->file, start) };
	uint8_t *data = journal_file_at(&journal->file, start);

	header->sequence = state->next_sequence++;
	header->stored_len = (uint32_t)payload_len;
	if (!(header->flags & (FRAME_F_ZSTD | FRAME_F_LZ4)))
		header->raw_len = (uint32_t)payload_len;
	header->payload_crc = crc32c(0, data + FRAME_HEADER_LEN, payload_len);
	frame_header_encode(data, header);
	frame.header = *header;
	frame.len = FRAME_HEADER_LEN + (uint32_t)payload_len;
	journal_totals_add(&state->committed, &frame);
	state->head = start + journal_frame_room(payload_len);
	state->open.told = false;
}

void memory_journal_commit(struct memory_journal *journal, struct frame_header *header,
			   size_t payload_len, const struct journal_position *positions,
			   unsigned int position_count)
{
	assert(journal->is_open);
	assert(journal->open_start + journal_frame_room(payload_len) <= journal->open_end);
	seal(journal, journal->open_start, header, payload_len);
	take_positions(&journal->state, positions, position_count);
	unstage(journal);
	(void)journal_follow_readers(journal);
	/* Stored first: what a reader has sent must be found again with this number. */
	journal_store(journal);
	journal->is_open = false;
	atomic_store_explicit(&journal->head, journal->state.head, memory_order_release);
}

void memory_journal_abandon(struct memory_journal *journal)
{
	assert(journal->is_open);
	journal->is_open = false;
	if (!journal->state.open.told)
		return;
	journal->state.open.told = false;
	journal_store(journal);
}

void memory_journal_count_lost(struct memory_journal *journal, enum loss_reason reason,
			       uint64_t packets, uint64_t wire_packets, uint64_t bytes)
{
	journal_count(&journal->staged[reason], packets, wire_packets, bytes);
	journal_put(&journal->lost[reason].packets, get(&journal->lost[reason].packets) + packets);
	journal_put(&journal->lost[reason].wire_packets,
		    get(&journal->lost[reason].wire_packets) + wire_packets);
	journal_put(&journal->lost[reason].bytes, get(&journal->lost[reason].bytes) + bytes);
}

void memory_journal_persist(struct memory_journal *journal)
{
	if (journal_follow_readers(journal))
		journal_store(journal);
}

int memory_journal_open(struct memory_journal **ret, const struct memory_journal_config *config)
{
	struct memory_journal *journal = calloc(1, sizeof(*journal));
	struct frame_header header;
	int err;

	_Static_assert(LOSS_REASON_COUNT <= ARRAY_SIZE(journal->state.lost), "room in the file");
	if (!journal)
		return -ENOMEM;
	err = journal_file_open(&journal->file, &journal->state, &journal->id, config);
	if (err) {
		free(journal);
		return err;
	}
	journal->when_full = config->when_full;
	if (journal->state.open.told) {
		header = journal->state.open.header;
		seal(journal, journal->state.open.start, &header, journal->state.open.payload_len);
	}
	/* Any LOSS may have been sent: none grows any more. */
	for (uint32_t i = 0; i < journal->state.losses.count; i++)
		journal->state.losses.list[i].frozen = !journal->state.losses.list[i].uncertain;
	losses_again(&journal->state.losses);
	journal_file_touch_losses(&journal->file);
	journal_store(journal);
	atomic_store(&journal->head, journal->state.head);
	*ret = journal;
	return 0;
}

static void close_journal(struct memory_journal *journal, bool remove)
{
	if (!journal)
		return;
	for (unsigned int i = 0; i < MEMORY_JOURNAL_READERS_MAX; i++)
		assert(!journal->readers[i]);
	unstage(journal);
	journal_store(journal);
	journal_file_close(&journal->file, remove);
	free(journal);
}

void memory_journal_close(struct memory_journal *journal)
{
	close_journal(journal, false);
}

void memory_journal_remove(struct memory_journal *journal)
{
	close_journal(journal, true);
}

const struct stream_id *memory_journal_stream(const struct memory_journal *journal)
{
	return &journal->id;
}

uint64_t memory_journal_next_sequence(const struct memory_journal *journal)
{
	return journal->state.next_sequence;
}

bool memory_journal_position(const struct memory_journal *journal, uint64_t source, uint64_t *ret)
{
	for (uint64_t i = 0; i < journal->state.position_count; i++) {
		if (journal->state.positions[i].source == source) {
			*ret = journal->state.positions[i].value;
			return true;
		}
	}
	return false;
}

static uint64_t behind(const _Atomic uint64_t *released, const _Atomic uint64_t *committed)
{
	/* In this order, or a release between the two reads would give less than nothing. */
	uint64_t before = atomic_load(released), all = atomic_load(committed);

	return all > before ? all - before : 0;
}

void memory_journal_stats(const struct memory_journal *journal, struct memory_journal_stats *ret)
{
	struct memory_journal_stats stats = { .size_bytes = journal->file.ring_bytes };
	const struct shared_totals *slowest = NULL, *totals;
	uint64_t most = 0, bytes;

	for (unsigned int i = 0; i < MEMORY_JOURNAL_READERS_MAX; i++) {
		if (!journal->readers[i])
			continue;
		totals = &journal->readers[i]->released;
		bytes = behind(&totals->bytes, &journal->committed.bytes);
		if (!slowest || bytes > most) {
			slowest = totals;
			most = bytes;
		}
	}
	if (!slowest)
		slowest = &journal->passed;
	stats.frames = behind(&slowest->frames, &journal->committed.frames);
	stats.bytes = behind(&slowest->bytes, &journal->committed.bytes);
	stats.packets = behind(&slowest->packets, &journal->committed.packets) +
			get(&journal->uncertain.packets);
	stats.wire_packets = behind(&slowest->wire_packets, &journal->committed.wire_packets) +
			     get(&journal->uncertain.wire_packets);
	for (unsigned int i = 0; i < LOSS_REASON_COUNT; i++) {
		stats.lost_packets[i] = get(&journal->lost[i].packets);
		stats.lost_wire_packets[i] = get(&journal->lost[i].wire_packets);
		stats.lost_bytes[i] = get(&journal->lost[i].bytes);
	}
	stats.committed_frames = get(&journal->committed.frames);
	stats.committed_packets = get(&journal->committed.packets);
	stats.committed_wire_packets = get(&journal->committed.wire_packets);
	*ret = stats;
}
