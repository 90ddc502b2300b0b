/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/memory_journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/memory_journal_internal.h"

static void add_totals(struct shared_totals *shared, const struct journal_totals *totals)
{
	atomic_fetch_add_explicit(&shared->frames, totals->frames, memory_order_relaxed);
	atomic_fetch_add_explicit(&shared->bytes, totals->bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&shared->packets, totals->packets, memory_order_relaxed);
	atomic_fetch_add_explicit(&shared->wire_packets, totals->wire_packets,
				  memory_order_relaxed);
}

static void note_overrun(struct memory_journal_reader *reader,
			 const struct memory_journal_frame *frame)
{
	struct journal_state *state = &reader->journal->state;
	struct journal_lost *lost = &state->lost[LOSS_JOURNAL_FULL];
	struct message_loss loss = {
		.from = frame->sequence,
		.to = frame->sequence,
		.reason = LOSS_JOURNAL_FULL,
		.packets = frame->header.packet_count,
		.wire_packets = frame->header.wire_count,
		.bytes = frame->header.raw_len,
	};
	bool uncertain = reader->ships && frame->offset <= reader->given;

	if (reader->ships) {
		if (losses_has(&state->losses, frame->sequence))
			return;
		losses_add(&state->losses, &loss, uncertain);
		journal_file_touch_losses(&reader->journal->file);
	} else {
		pthread_mutex_lock(&reader->lock);
		if (!reader->overrun.from) {
			reader->overrun = loss;
		} else {
			reader->overrun.to = loss.to;
			reader->overrun.packets += loss.packets;
			reader->overrun.wire_packets += loss.wire_packets;
			reader->overrun.bytes += loss.bytes;
		}
		atomic_store(&reader->overran, true);
		pthread_mutex_unlock(&reader->lock);
	}
	if (!uncertain)
		journal_count_frame(lost, frame);
}

bool journal_reader_overrun(struct memory_journal_reader *reader,
			    const struct memory_journal_frame *frame)
{
	uint64_t place = atomic_load(&reader->place);
	struct journal_totals totals = {};

	do {
		if (place >> 1 >= frame->offset)
			return true;
		if (place & READER_HELD)
			return false;
	} while (!atomic_compare_exchange_weak(&reader->place, &place, frame->offset << 1));
	journal_totals_add(&totals, frame);
	add_totals(&reader->released, &totals);
	note_overrun(reader, frame);
	return true;
}

static int reader_create(struct memory_journal_reader **ret, struct memory_journal *journal,
			 bool ships)
{
	struct memory_journal_reader *reader;
	unsigned int slot = 0;

	if (ships && journal->shipper)
		return -EBUSY;
	while (slot < MEMORY_JOURNAL_READERS_MAX && journal->readers[slot])
		slot++;
	if (slot == MEMORY_JOURNAL_READERS_MAX)
		return -EMFILE;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->journal = journal;
	reader->ships = ships;
	reader->walk = journal->state.tail;
	/* Those before it may have been sent by a shipper before this one. */
	reader->given = journal->state.head;
	atomic_store(&reader->place, journal->state.tail << 1);
	journal_put_totals(&reader->released, &journal->state.passed);
	pthread_mutex_init(&reader->lock, NULL);
	journal->readers[slot] = reader;
	if (ships)
		journal->shipper = reader;
	*ret = reader;
	return 0;
}

int memory_journal_reader_create(struct memory_journal_reader **ret, struct memory_journal *journal)
{
	return reader_create(ret, journal, false);
}

int memory_journal_shipper_create(struct memory_journal_reader **ret,
				  struct memory_journal *journal)
{
	return reader_create(ret, journal, true);
}

void memory_journal_reader_destroy(struct memory_journal_reader *reader)
{
	struct memory_journal *journal;

	if (!reader)
		return;
	journal = reader->journal;
	memory_journal_persist(journal);
	for (unsigned int i = 0; i < MEMORY_JOURNAL_READERS_MAX; i++) {
		if (journal->readers[i] == reader)
			journal->readers[i] = NULL;
	}
	if (journal->shipper == reader) {
		losses_again(&journal->state.losses);
		journal->shipper = NULL;
	}
	pthread_mutex_destroy(&reader->lock);
	free(reader);
}

/* From here on the writer leaves alone what is not released; returns where that begins. */
static uint64_t hold(struct memory_journal_reader *reader)
{
	uint64_t place = atomic_load(&reader->place);

	while (!(place & READER_HELD) &&
	       !atomic_compare_exchange_weak(&reader->place, &place, place | READER_HELD))
		;
	return place >> 1;
}

static void unhold(struct memory_journal_reader *reader)
{
	atomic_fetch_and(&reader->place, ~READER_HELD);
}

bool memory_journal_next(struct memory_journal_reader *reader, struct memory_journal_frame *ret)
{
	struct memory_journal *journal = reader->journal;
	uint64_t place = atomic_load(&reader->place);
	uint64_t head = atomic_load_explicit(&journal->head, memory_order_acquire);
	bool was_held = place & READER_HELD;

	reader->walk = MAX(reader->walk, place >> 1);
	if (reader->walk >= head)
		return false;
	reader->walk = MAX(reader->walk, hold(reader));
	if (reader->walk >= head || !journal_file_frame(&journal->file, reader->walk, ret)) {
		if (!was_held)
			unhold(reader);
		return false;
	}
	reader->walk = ret->offset;
	reader->given = MAX(reader->given, ret->offset);
	return true;
}

void memory_journal_release(struct memory_journal_reader *reader, uint64_t offset)
{
	struct memory_journal *journal = reader->journal;
	uint64_t at = hold(reader);
	struct journal_totals totals = {};
	struct memory_journal_frame frame;
	bool more;

	while (at < offset && journal_file_frame(&journal->file, at, &frame)) {
		journal_totals_add(&totals, &frame);
		at = frame.offset;
	}
	/* Before the place: what drained() calls released is in no total of what waits. */
	add_totals(&reader->released, &totals);
	more = !reader->ships && at < reader->walk;
	atomic_store(&reader->place, at << 1 | (more ? READER_HELD : 0));
}

void memory_journal_rewind(struct memory_journal_reader *reader)
{
	unhold(reader);
	reader->walk = atomic_load(&reader->place) >> 1;
	if (reader->ships)
		losses_again(&reader->journal->state.losses);
}

bool memory_journal_overrun(struct memory_journal_reader *reader, struct message_loss *ret)
{
	*ret = (struct message_loss){};
	if (reader->ships)
		return losses_next(&reader->journal->state.losses, ret);
	if (!atomic_load(&reader->overran))
		return false;
	pthread_mutex_lock(&reader->lock);
	*ret = reader->overrun;
	reader->overrun = (struct message_loss){};
	atomic_store(&reader->overran, false);
	pthread_mutex_unlock(&reader->lock);
	return true;
}

bool memory_journal_drained(const struct memory_journal_reader *reader)
{
	return atomic_load(&reader->place) >> 1 == atomic_load(&reader->journal->head);
}

bool memory_journal_read_all(const struct memory_journal_reader *reader)
{
	uint64_t place = atomic_load(&reader->place) >> 1;

	return MAX(reader->walk, place) == atomic_load(&reader->journal->head);
}

uint32_t memory_journal_peek(struct memory_journal_reader *shipper)
{
	struct memory_journal *journal = shipper->journal;
	struct memory_journal_frame frame;

	assert(shipper->ships);
	shipper->walk = MAX(shipper->walk, atomic_load(&shipper->place) >> 1);
	if (shipper->walk >= journal->state.head ||
	    !journal_file_frame(&journal->file, shipper->walk, &frame))
		return 0;
	return frame.len;
}

void memory_journal_done(struct memory_journal_reader *shipper)
{
	assert(shipper->ships);
	unhold(shipper);
}

bool memory_journal_frame_at(struct memory_journal_reader *shipper, uint64_t start,
			     struct memory_journal_frame *ret)
{
	struct memory_journal *journal = shipper->journal;

	assert(shipper->ships);
	return start >= atomic_load(&shipper->place) >> 1 && start < journal->state.head &&
	       journal_file_frame(&journal->file, start, ret);
}

void memory_journal_confirm(struct memory_journal_reader *shipper, const struct ranges *durable,
			    bool complete)
{
	struct memory_journal *journal = shipper->journal;
	struct message_loss lost = {};

	assert(shipper->ships);
	if (!journal->state.losses.count ||
	    !losses_confirm(&journal->state.losses, durable, complete, &lost))
		return;
	journal_count(&journal->state.lost[LOSS_JOURNAL_FULL], lost.packets, lost.wire_packets,
		      lost.bytes);
	journal_file_touch_losses(&journal->file);
	journal_store(journal);
}

void memory_journal_reject(struct memory_journal_reader *shipper, uint64_t sequence, uint64_t start)
{
	struct memory_journal *journal = shipper->journal;
	struct journal_state *state = &journal->state;
	struct memory_journal_frame frame;
	struct message_loss lost = {};

	assert(shipper->ships);
	if (losses_settle(&state->losses, sequence, &lost)) {
		journal_count(&state->lost[LOSS_JOURNAL_FULL], lost.packets, lost.wire_packets,
			      lost.bytes);
	} else if (!losses_has(&state->losses, sequence) &&
		   memory_journal_frame_at(shipper, start, &frame) && frame.sequence == sequence) {
		lost = (struct message_loss){
			.from = sequence,
			.to = sequence,
			.reason = LOSS_REJECTED,
			.packets = frame.header.packet_count,
			.wire_packets = frame.header.wire_count,
			.bytes = frame.header.raw_len,
		};
		losses_add(&state->losses, &lost, false);
		journal_count_frame(&state->lost[LOSS_REJECTED], &frame);
	} else {
		return;
	}
	journal_file_touch_losses(&journal->file);
	journal_store(journal);
}

bool memory_journal_is_lost(const struct memory_journal_reader *shipper, uint64_t sequence)
{
	return losses_has(&shipper->journal->state.losses, sequence);
}

bool memory_journal_settled(const struct memory_journal_reader *shipper)
{
	return shipper->journal->state.losses.count == 0;
}

void memory_journal_give_up(struct memory_journal_reader *shipper, enum loss_reason reason)
{
	struct memory_journal *journal = shipper->journal;
	struct journal_state *state = &journal->state;
	struct message_loss loss = { .reason = reason }, lost = {};
	const struct ranges nothing = {};
	struct memory_journal_frame frame;
	uint64_t at = atomic_load(&shipper->place) >> 1;

	assert(shipper->ships);
	(void)losses_confirm(&state->losses, &nothing, true, &lost);
	journal_count(&state->lost[LOSS_JOURNAL_FULL], lost.packets, lost.wire_packets, lost.bytes);
	for (; at < state->head && journal_file_frame(&journal->file, at, &frame);
	     at = frame.offset) {
		if (losses_has(&state->losses, frame.sequence))
			continue;
		loss.from = loss.from ?: frame.sequence;
		loss.to = frame.sequence;
		loss.packets += frame.header.packet_count;
		loss.wire_packets += frame.header.wire_count;
		loss.bytes += frame.header.raw_len;
	}
	if (loss.from) {
		losses_add(&state->losses, &loss, false);
		journal_count(&state->lost[reason], loss.packets, loss.wire_packets, loss.bytes);
	}
	memory_journal_release(shipper, state->head);
	(void)journal_follow_readers(journal);
	journal_file_touch_losses(&journal->file);
	journal_store(journal);
}
