/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/log_budget.h"
#include "common/log.h"

/* Of one journal at a time, so that none runs far ahead of the others. */
#define READ_BYTES MIB

struct member {
	struct stream_id id;
	bool known;   /* id is set */
	bool foreign; /* live in an output of replays, or the other way round */
	bool in_merge;
	bool connected; /* says the store */
	bool is_away;	/* the merge was told so */
	bool ended;
	bool pending;	 /* in source.pending */
	uint32_t number; /* in the merge */
	uint64_t watermark_ns, position;
	uint64_t passed_ns;  /* highest watermark that the merge was told */
	uint64_t away_since; /* follow's clock */
};

/* One journal. */
struct source {
	struct follow *follow;
	uint32_t journal;
	struct journal_reader *reader;
	uint64_t read;		 /* position */
	uint64_t durable;	 /* as of the last look */
	uint64_t old_end;	 /* frames before it may hold packets that were written already */
	uint64_t version;	 /* of the store's list of streams */
	struct member **members; /* by their number in the journal */
	uint32_t member_count;
	struct member *
		*pending; /* members with a watermark or a loss of connection not passed on */
	uint32_t pending_count, pending_room;
	bool failed;
};

struct follow {
	struct follow_config config;
	struct merge *merge;
	struct source *sources;
	uint32_t source_count;
	struct member **merged; /* by their number in the merge */
	uint32_t merged_count;
	struct log_budget left_out_budget;
	struct store_stream_list changed;
	bool has_key, failing, hold;
	struct merge_key key; /* the last packet before the checkpoint */
	uint64_t clock, looked_ns;
	uint64_t packets, removed_bytes;
};

static int load_frame(void *context, uint32_t journal, uint64_t position, uint8_t *buf)
{
	struct follow *follow = context;

	return journal_reader_load(follow->sources[journal].reader, position, buf);
}

static void left_out(void *context, uint32_t stream, bool is_left_out)
{
	struct follow *follow = context;
	char name[STREAM_NAME_LEN];
	uint64_t suppressed;

	if (!log_budget_take(&follow->left_out_budget, follow->looked_ns, &suppressed))
		return;
	if (suppressed)
		log_warning(0, "the merge left out or took back %" PRIu64 " more streams",
			    suppressed);
	stream_name(&follow->merged[stream]->id, name);
	if (is_left_out)
		log_warning(0, "stream %s says nothing: the merge goes on without it", name);
	else
		log_info("stream %s is merged again", name);
}

static const struct merge_ops merge_ops = { .load = load_frame, .left_out = left_out };

static int grow_list(struct member ***list, uint32_t *count, uint32_t number)
{
	uint32_t room = MAX(MAX(64u, number + 1), 2 * *count);
	struct member **grown;

	if (number < *count)
		return 0;
	grown = realloc(*list, room * sizeof(struct member *));
	if (!grown)
		return -ENOMEM;
	memset(grown + *count, 0, (room - *count) * sizeof(struct member *));
	*list = grown;
	*count = room;
	return 0;
}

/* By its number in the journal; NULL: no memory. */
static struct member *member(struct source *source, uint32_t number)
{
	struct member *m;

	if (grow_list(&source->members, &source->member_count, number))
		return NULL;
	if (source->members[number])
		return source->members[number];
	m = calloc(1, sizeof(*m));
	source->members[number] = m;
	return m;
}

/* A number that was never durable may become another stream's. */
static void set_identity(struct member *member, const struct stream_id *id)
{
	bool pending = member->pending;

	if (member->known && stream_id_equal(&member->id, id))
		return;
	*member = (struct member){ .id = *id, .known = true, .pending = pending };
}

static int join(struct source *source, struct member *member)
{
	struct follow *follow = source->follow;
	int err;

	if (member->in_merge || member->foreign)
		return 0;
	err = merge_stream(follow->merge, &member->id, &member->number);
	if (err == -EXDEV) {
		member->foreign = true;
		return 0;
	}
	if (!err)
		err = grow_list(&follow->merged, &follow->merged_count, member->number);
	if (err)
		return err;
	follow->merged[member->number] = member;
	member->in_merge = true;
	return 0;
}

/* The watermark or loss of connection waits for the reader to get to its position. */
static int set_pending(struct source *source, struct member *member)
{
	uint32_t room = MAX(64u, 2 * source->pending_room);
	struct member **list;

	if (member->pending)
		return 0;
	if (source->pending_count == source->pending_room) {
		list = realloc(source->pending, room * sizeof(struct member *));
		if (!list)
			return -ENOMEM;
		source->pending = list;
		source->pending_room = room;
	}
	source->pending[source->pending_count++] = member;
	member->pending = true;
	return 0;
}

/* What the store says of a stream that is, or was, connected. */
static int take_news(struct source *source, const struct store_stream *news)
{
	struct member *m = member(source, news->number);
	int err;

	if (!m)
		return -ENOMEM;
	set_identity(m, &news->id);
	m->connected = news->connected;
	m->watermark_ns = news->watermark_ns;
	m->position = news->position;
	err = m->connected ? join(source, m) : 0;
	if (err || !m->in_merge)
		return err;
	return set_pending(source, m);
}

/* Said again, a watermark is no word of the stream. */
static void pass_watermark(struct source *source, struct member *m, uint64_t watermark_ns)
{
	if (!m->in_merge || m->ended || watermark_ns <= m->passed_ns)
		return;
	m->passed_ns = watermark_ns;
	merge_watermark(source->follow->merge, m->number, watermark_ns, source->follow->clock);
}

static void pass_on(struct source *source, struct member *m)
{
	struct follow *follow = source->follow;

	pass_watermark(source, m, m->watermark_ns);
	if (m->connected != m->is_away || m->ended)
		return;
	merge_stream_away(follow->merge, m->number, follow->clock);
	m->is_away = !m->connected;
	m->away_since = follow->clock;
}

static void pass_on_pending(struct source *source)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < source->pending_count; i++) {
		struct member *m = source->pending[i];

		if (m->position > source->read) {
			source->pending[kept++] = m;
			continue;
		}
		m->pending = false;
		if (m->in_merge)
			pass_on(source, m);
	}
	source->pending_count = kept;
}

static int take_frame(struct source *source, const struct journal_record *record)
{
	struct follow *follow = source->follow;
	struct member *m = member(source, record->stream);
	bool is_old = follow->has_key && record->position < source->old_end;
	int err;

	if (!m || !m->known)
		return m ? -EBADMSG : -ENOMEM;
	err = join(source, m);
	if (err || m->foreign)
		return err;
	follow->packets += record->header.packet_count;
	m->passed_ns = MAX(m->passed_ns, record->header.watermark_ns);
	m->ended = record->header.type == FRAME_BYE;
	return merge_frame(follow->merge, m->number, source->journal, record->position,
			   &record->header, record->frame, record->frame_len, follow->clock,
			   is_old ? &follow->key : NULL);
}

static void take_watermarks(struct source *source, const struct journal_record *record)
{
	for (uint32_t i = 0; i < record->watermark_count; i++) {
		const struct journal_watermark *mark = &record->watermarks[i];

		if (mark->stream < source->member_count && source->members[mark->stream])
			pass_watermark(source, source->members[mark->stream], mark->watermark_ns);
	}
}

static int take_record(struct source *source, const struct journal_record *record)
{
	struct member *m;

	switch ((int)record->kind) {
	case JOURNAL_STREAM:
		m = member(source, record->stream);
		if (!m)
			return -ENOMEM;
		set_identity(m, &record->id);
		return 0;
	case JOURNAL_FRAME:
		return take_frame(source, record);
	case JOURNAL_WATERMARKS:
		take_watermarks(source, record);
		return 0;
	default:
		return 0;
	}
}

static void report(struct source *source, int err)
{
	if (!source->failed)
		log_error(err, "cannot read %s at position %" PRIu64,
			  store_journal_dir(source->follow->config.store, source->journal),
			  source->read);
	source->failed = true;
}

/* Reads up to READ_BYTES. -ENOMEM: a record is lost to this reader; it cannot go on. */
static int read_source(struct source *source)
{
	uint64_t end = MIN(source->durable, source->read + READ_BYTES);
	struct journal_record record;
	int n;

	while (source->read < end) {
		n = journal_reader_next(source->reader, source->durable, &record);
		if (n == 0) {
			/* Nothing but the rest of a segment is left. */
			source->read = source->durable;
			break;
		}
		if (n < 0) {
			report(source, n);
			break;
		}
		source->failed = false;
		n = take_record(source, &record);
		if (n == -ENOMEM)
			return n;
		if (n)
			log_debug("a frame at position %" PRIu64
				  " of journal %u cannot be merged: %s",
				  record.position, source->journal, strerrordesc_np(-n));
		source->read = MAX(source->read, record.next);
	}
	pass_on_pending(source);
	return 0;
}

static int look(struct follow *follow)
{
	struct store_journal state;
	int err;

	follow->failing = false;
	for (uint32_t i = 0; i < follow->source_count; i++) {
		struct source *source = &follow->sources[i];

		/* Streams first: their positions are at most what is durable a moment later. */
		err = store_changed_streams(follow->config.store, i, &source->version,
					    &follow->changed);
		for (uint32_t j = 0; !err && j < follow->changed.count; j++)
			err = take_news(source, &follow->changed.list[j]);
		if (err)
			return err;
		store_get_journal(follow->config.store, i, &state);
		source->durable = state.stats.durable;
		follow->failing = follow->failing || state.failing;
	}
	return 0;
}

int follow_read(struct follow *follow)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	bool more = false;
	int err;

	err = look(follow);
	if (err)
		return err;
	for (uint32_t i = 0; i < follow->source_count; i++) {
		err = read_source(&follow->sources[i]);
		if (err)
			return err;
		more = more || (follow->sources[i].read < follow->sources[i].durable &&
				!follow->sources[i].failed);
	}
	if (!more && !follow->failing && !follow->hold)
		follow->clock += now - follow->looked_ns;
	follow->looked_ns = now;
	follow->hold = false;
	return more;
}

void follow_hold_clock(struct follow *follow)
{
	follow->hold = true;
}

struct merge *follow_merge(struct follow *follow)
{
	return follow->merge;
}

uint64_t follow_clock(const struct follow *follow)
{
	return follow->clock;
}

/* The merge waited for these when the checkpoint was made: give them time to come back. */
static int restore_live(struct source *source, const struct checkpoint_journal *from)
{
	struct member *m;
	int err;

	for (uint32_t i = 0; i < from->live_count; i++) {
		m = member(source, from->live[i].number);
		if (!m)
			return -ENOMEM;
		set_identity(m, &from->live[i].id);
		err = join(source, m);
		if (err)
			return err;
		if (m->foreign)
			continue;
		merge_stream_away(source->follow->merge, m->number, source->follow->clock);
		m->is_away = true;
		m->away_since = source->follow->clock;
	}
	return 0;
}

static int open_source(struct source *source, const struct checkpoint_journal *from)
{
	const char *dir = store_journal_dir(source->follow->config.store, source->journal);
	uint64_t oldest = 0;
	int err;

	source->old_end = from ? from->read : 0;
	source->read = from ? from->low : source->durable;
	err = journal_reader_open(&source->reader, dir, source->read, &oldest);
	if (err == -ENODATA) {
		log_warning(0, "%" PRIu64 " bytes of %s were removed before they were merged",
			    oldest - source->read, dir);
		source->follow->removed_bytes += oldest - source->read;
		source->read = oldest;
		err = journal_reader_open(&source->reader, dir, source->read, &oldest);
	}
	if (!err && from)
		err = restore_live(source, from);
	return err ? log_error(err, "cannot read %s", dir) : 0;
}

int follow_open(struct follow **ret, const struct follow_config *config,
		const struct checkpoint *from)
{
	uint32_t count = store_journal_count(config->store);
	struct follow *follow = calloc(1, sizeof(*follow));
	struct merge_config merge = {
		.ops = &merge_ops,
		.context = follow,
		.merge_wait_ns = config->merge_wait_ns,
		.memory_bytes = config->merge_memory_bytes,
		.replay = config->replay,
	};
	struct store_journal state;
	int err = -ENOMEM;

	if (follow)
		follow->sources = calloc(count, sizeof(*follow->sources));
	if (!follow || !follow->sources) {
		free(follow);
		return log_error(err, "cannot start the merge");
	}
	follow->config = *config;
	follow->clock = clock_ns(CLOCK_MONOTONIC);
	follow->looked_ns = follow->clock;
	if (from && from->has_key) {
		follow->has_key = true;
		follow->key = from->key;
	}
	err = merge_create(&follow->merge, &merge);
	if (err) {
		log_error(err, "cannot start the merge");
		goto fail;
	}
	follow->source_count = count;
	for (uint32_t i = 0; i < follow->source_count; i++) {
		struct source *source = &follow->sources[i];

		source->follow = follow;
		source->journal = i;
		store_get_journal(config->store, i, &state);
		source->durable = state.stats.durable;
		err = open_source(source,
				  from && i < from->journal_count ? &from->journals[i] : NULL);
		if (err)
			goto fail;
	}
	*ret = follow;
	return 0;
fail:
	follow_close(follow);
	return err;
}

void follow_close(struct follow *follow)
{
	if (!follow)
		return;
	for (uint32_t i = 0; i < follow->source_count; i++) {
		journal_reader_close(follow->sources[i].reader);
		for (uint32_t j = 0; j < follow->sources[i].member_count; j++)
			free(follow->sources[i].members[j]);
		free(follow->sources[i].members);
		free(follow->sources[i].pending);
	}
	merge_destroy(follow->merge);
	free(follow->merged);
	free(follow->sources);
	free(follow->changed.list);
	free(follow);
}

static bool is_live(const struct follow *follow, const struct member *member)
{
	uint64_t wait_ns = follow->config.merge_wait_ns ?: 10 * NS_PER_SEC;

	if (!member->in_merge || member->ended)
		return false;
	return !member->is_away || follow->clock - member->away_since < wait_ns;
}

int follow_checkpoint(struct follow *follow, struct checkpoint *ret)
{
	for (uint32_t i = 0; i < follow->source_count; i++)
		if (follow->sources[i].read < follow->sources[i].old_end)
			return -EAGAIN;
	ret->journal_count = follow->source_count;
	for (uint32_t i = 0; i < follow->source_count; i++) {
		struct checkpoint_journal *journal = &ret->journals[i];
		struct source *source = &follow->sources[i];

		journal->read = source->read;
		journal->low = merge_low_position(follow->merge, i, source->read);
		journal->live = calloc(source->member_count + 1, sizeof(*journal->live));
		if (!journal->live)
			return -ENOMEM;
		for (uint32_t j = 0; j < source->member_count; j++) {
			const struct member *m = source->members[j];

			if (m && is_live(follow, m))
				journal->live[journal->live_count++] =
					(struct checkpoint_stream){ .number = j, .id = m->id };
		}
	}
	return 0;
}

uint64_t follow_behind_bytes(const struct follow *follow)
{
	uint64_t behind = 0;

	for (uint32_t i = 0; i < follow->source_count; i++)
		behind += follow->sources[i].durable -
			  MIN(follow->sources[i].read, follow->sources[i].durable);
	return behind;
}

uint64_t follow_packets(const struct follow *follow)
{
	return follow->packets;
}

uint64_t follow_missed_bytes(const struct follow *follow)
{
	uint64_t missed = follow->removed_bytes;

	for (uint32_t i = 0; i < follow->source_count; i++)
		missed += journal_reader_damaged_bytes(follow->sources[i].reader);
	return missed;
}
