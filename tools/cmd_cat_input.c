/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/cmd_cat_input.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/journal.h"
#include "common/segment_file.h"

enum { EXIT_NOT_PERMITTED = 77 };

#define MEMORY_BYTES (128 * MIB) /* of frames, for live and for replayed ones */
#define NO_STREAM UINT32_MAX

/* The merge that a stream belongs to, and its number there. */
struct stream_input {
	bool is_replay;
	uint32_t stream;
};

/* Positions of a journal: from a segment's begin to where the last one ends, or the journal. */
struct span {
	uint64_t begin, end; /* 0 and UINT64_MAX: the journal's */
};

struct journal_input {
	char *path;
	dev_t device;
	ino_t inode;
	struct span *spans;
	size_t span_count;
	struct journal_reader *reader;
	uint64_t damaged_bytes;
	struct stream_input *streams; /* by the journal's number */
	uint32_t stream_count;
};

/* One merge, and the sequences of each of its streams that it was given. */
struct kind {
	struct merge *merge;
	struct ranges *taken;
	uint32_t stream_count;
	uint64_t frames;
};

struct cat_input {
	struct journal_input *journals;
	uint32_t journal_count;
	struct kind kinds[2]; /* live, replayed */
	uint64_t doubled;
};

static int fail(int err, const char *verb, const char *path)
{
	fprintf(stderr, "xcapctl cat: cannot %s %s: %s\n", verb, path, strerror(-err));
	return err == -EACCES || err == -EPERM ? EXIT_NOT_PERMITTED : EXIT_FAILURE;
}

static int out_of_memory(void)
{
	fprintf(stderr, "xcapctl cat: out of memory\n");
	return EXIT_FAILURE;
}

static int load(void *context, uint32_t journal, uint64_t position, uint8_t *buf)
{
	const struct cat_input *input = context;

	return journal_reader_load(input->journals[journal].reader, position, buf);
}

static const struct merge_ops merge_ops = { .load = load };

int cat_input_create(struct cat_input **ret)
{
	struct cat_input *input = calloc(1, sizeof(*input));
	struct merge_config config = {
		.ops = &merge_ops,
		.context = input,
		.memory_bytes = MEMORY_BYTES,
	};

	if (!input)
		return out_of_memory();
	for (int replay = 0; replay < 2; replay++) {
		config.replay = replay;
		if (merge_create(&input->kinds[replay].merge, &config)) {
			cat_input_destroy(input);
			return out_of_memory();
		}
	}
	*ret = input;
	return 0;
}

void cat_input_destroy(struct cat_input *input)
{
	if (!input)
		return;
	for (int replay = 0; replay < 2; replay++) {
		struct kind *kind = &input->kinds[replay];

		merge_destroy(kind->merge);
		for (uint32_t i = 0; i < kind->stream_count; i++)
			ranges_release(&kind->taken[i]);
		free(kind->taken);
	}
	for (uint32_t i = 0; i < input->journal_count; i++) {
		journal_reader_close(input->journals[i].reader);
		free(input->journals[i].streams);
		free(input->journals[i].spans);
		free(input->journals[i].path);
	}
	free(input->journals);
	free(input);
}

/* The whole journal, or its segment of that name. -ENOENT: there is none. */
static int find_span(const char *dir, const char *name, struct span *ret)
{
	char segment[SEGMENT_NAME_LEN];
	uint64_t *list = NULL;
	size_t count = 0;
	int fd, err;

	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = segment_list(fd, &list, &count);
	close(fd);
	if (err)
		return err;
	err = -ENOENT;
	for (size_t i = 0; i < count && err; i++) {
		if (name && strcmp(segment_file_name(segment, list[i]), name) != 0)
			continue;
		ret->begin = name ? list[i] : 0;
		ret->end = name && i + 1 < count ? list[i + 1] : UINT64_MAX;
		err = 0;
	}
	free(list);
	return err;
}

static int add_span(struct journal_input *journal, const struct span *span)
{
	struct span *last = journal->span_count ? &journal->spans[journal->span_count - 1] : NULL;
	struct span *list;

	for (size_t i = 0; i < journal->span_count; i++)
		if (journal->spans[i].begin <= span->begin && journal->spans[i].end >= span->end)
			return 0;
	if (last && last->end == span->begin) {
		last->end = span->end;
		return 0;
	}
	list = realloc(journal->spans, (journal->span_count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	list[journal->span_count++] = *span;
	journal->spans = list;
	return 0;
}

static struct journal_input *find_journal(const struct cat_input *input, const struct stat *st)
{
	for (uint32_t i = 0; i < input->journal_count; i++)
		if (input->journals[i].device == st->st_dev &&
		    input->journals[i].inode == st->st_ino)
			return &input->journals[i];
	return NULL;
}

/* The segments of a journal may come one by one: it is one input. */
static int add_journal(struct cat_input *input, const char *dir, const struct span *span)
{
	struct journal_input *journal, *list;
	struct stat st;

	if (stat(dir, &st))
		return fail(-errno, "read", dir);
	journal = find_journal(input, &st);
	if (!journal) {
		list = realloc(input->journals, (input->journal_count + 1) * sizeof(*list));
		if (!list)
			return out_of_memory();
		input->journals = list;
		journal = &list[input->journal_count];
		*journal = (struct journal_input){
			.path = strdup(dir),
			.device = st.st_dev,
			.inode = st.st_ino,
		};
		if (!journal->path)
			return out_of_memory();
		input->journal_count++;
	}
	return add_span(journal, span) ? out_of_memory() : 0;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* The journals among the folders of a store. */
static int add_store(struct cat_input *input, const char *dir)
{
	struct dirent **entries;
	struct span span = {};
	char path[PATH_MAX];
	int count, found = 0, code = 0;

	count = scandir(dir, &entries, is_visible, versionsort);
	if (count < 0)
		return fail(-errno, "read directory", dir);
	for (int i = 0; i < count && !code; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name) >=
		    (int)sizeof(path)) {
			code = fail(-ENAMETOOLONG, "read", dir);
		} else if (!find_span(path, NULL, &span)) {
			code = add_journal(input, path, &span);
			found++;
		}
	}
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	if (code || found)
		return code;
	fprintf(stderr,
		"xcapctl cat: %s is neither a store nor a journal: there are no segments in it or "
		"its "
		"folders\n",
		dir);
	return EXIT_FAILURE;
}

static int add_segment(struct cat_input *input, const char *path)
{
	char *copy = strdup(path), *other = strdup(path), *dir = NULL, *name = NULL;
	int err = -ENOMEM, code = 0;
	struct span span = {};

	if (copy && other) {
		dir = dirname(copy);
		name = basename(other);
		err = find_span(dir, name, &span);
	}
	if (!err) {
		code = add_journal(input, dir, &span);
	} else if (err == -ENOENT && !strcmp(name, "lock") && !find_span(dir, NULL, &span)) {
		/* The writer's; a shell's pattern names it with the segments. */
	} else if (err == -ENOENT) {
		fprintf(stderr,
			"xcapctl cat: %s is not a segment of a journal; a store or a journal is a "
			"directory\n",
			path);
		code = EXIT_FAILURE;
	} else {
		code = fail(err, "read", path);
	}
	free(copy);
	free(other);
	return code;
}

int cat_input_add(struct cat_input *input, const char *path)
{
	struct span span = {};
	struct stat st;
	int err;

	if (stat(path, &st))
		return fail(-errno, "read", path);
	if (!S_ISDIR(st.st_mode))
		return add_segment(input, path);
	err = find_span(path, NULL, &span);
	if (!err)
		return add_journal(input, path, &span);
	return err == -ENOENT ? add_store(input, path) : fail(err, "read", path);
}

static int grow_streams(struct journal_input *journal, uint32_t count)
{
	struct stream_input *list;

	if (count <= journal->stream_count)
		return 0;
	list = realloc(journal->streams, count * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = journal->stream_count; i < count; i++)
		list[i].stream = NO_STREAM;
	journal->streams = list;
	journal->stream_count = count;
	return 0;
}

static int grow_taken(struct kind *kind, uint32_t count)
{
	struct ranges *list;

	if (count <= kind->stream_count)
		return 0;
	list = realloc(kind->taken, count * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = kind->stream_count; i < count; i++)
		list[i] = (struct ranges){};
	kind->taken = list;
	kind->stream_count = count;
	return 0;
}

static int add_stream(struct cat_input *input, struct journal_input *journal,
		      const struct journal_record *record)
{
	struct kind *kind = &input->kinds[record->id.replay];
	uint32_t stream;
	int err;

	err = merge_stream(kind->merge, &record->id, &stream);
	if (!err)
		err = grow_taken(kind, stream + 1);
	if (!err)
		err = grow_streams(journal, record->stream + 1);
	if (err)
		return err;
	journal->streams[record->stream] = (struct stream_input){
		.is_replay = record->id.replay,
		.stream = stream,
	};
	return 0;
}

static int add_frame(struct cat_input *input, uint32_t number, const struct journal_record *record)
{
	const struct journal_input *journal = &input->journals[number];
	uint64_t sequence = record->header.sequence;
	struct kind *kind;
	uint32_t stream;

	if (record->header.type != FRAME_PACKETS || record->stream >= journal->stream_count)
		return 0;
	stream = journal->streams[record->stream].stream;
	if (stream == NO_STREAM)
		return 0;
	kind = &input->kinds[journal->streams[record->stream].is_replay];
	if (sequence && ranges_has(&kind->taken[stream], sequence)) {
		input->doubled++;
		return 0;
	}
	/* A set that cannot grow any more only means that a frame may come twice. */
	if (sequence)
		(void)!ranges_add(&kind->taken[stream], sequence, sequence);
	kind->frames++;
	return merge_frame(kind->merge, stream, number, record->position, &record->header,
			   record->frame, record->frame_len, 0, NULL);
}

static int read_span(struct cat_input *input, uint32_t number, const struct span *span)
{
	struct journal_input *journal = &input->journals[number];
	struct journal_record record;
	uint64_t oldest;
	int n = 0, err;

	journal_reader_close(journal->reader);
	journal->reader = NULL;
	err = journal_reader_open(&journal->reader, journal->path, span->begin, &oldest);
	while (!err && (n = journal_reader_next(journal->reader, span->end, &record)) > 0) {
		if (record.kind == JOURNAL_STREAM)
			err = add_stream(input, journal, &record);
		else if (record.kind == JOURNAL_FRAME)
			err = add_frame(input, number, &record);
	}
	if (journal->reader)
		journal->damaged_bytes += journal_reader_damaged_bytes(journal->reader);
	return err ? err : n;
}

int cat_input_read(struct cat_input *input, bool replay, struct merge **ret)
{
	struct kind *live = &input->kinds[0], *replayed = &input->kinds[1];
	int err;

	for (uint32_t i = 0; i < input->journal_count; i++) {
		const struct journal_input *journal = &input->journals[i];

		for (size_t n = 0; n < journal->span_count; n++) {
			err = read_span(input, i, &journal->spans[n]);
			if (err)
				return fail(err, "read journal", journal->path);
		}
	}
	if (replay || (!live->frames && replayed->frames)) {
		*ret = replayed->merge;
	} else {
		*ret = live->merge;
		if (replayed->frames)
			fprintf(stderr,
				"xcapctl cat: %" PRIu64 " frames of replayed captures are left out "
				"(--replay gives them, and no others)\n",
				replayed->frames);
	}
	merge_finish(*ret);
	return 0;
}

void cat_input_report(const struct cat_input *input, const struct merge *merge)
{
	const struct merge_stats *stats = merge_stats(merge);
	uint64_t damaged;

	for (uint32_t i = 0; i < input->journal_count; i++) {
		damaged = input->journals[i].damaged_bytes;
		if (damaged)
			fprintf(stderr,
				"xcapctl cat: %" PRIu64 " damaged bytes of %s are left out\n",
				damaged, input->journals[i].path);
	}
	if (stats->damaged_frames)
		fprintf(stderr,
			"xcapctl cat: %" PRIu64 " packets of %" PRIu64
			" frames that are damaged, or compressed in a way that this build cannot "
			"read, are left out\n",
			stats->damaged_packets, stats->damaged_frames);
	if (input->doubled)
		fprintf(stderr, "xcapctl cat: %" PRIu64 " frames were there twice; taken once\n",
			input->doubled);
	if (stats->late_packets)
		fprintf(stderr,
			"xcapctl cat: %" PRIu64
			" packets are out of order: their frames do not say "
			"when they begin\n",
			stats->late_packets);
}
