/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_VERSION 1

struct entry {
	struct store_stream stream;
	uint64_t version; /* of the board when it was set */
};

/* What one writer tells of its journal. */
struct board {
	pthread_mutex_t lock;
	char *dir;
	struct store_journal state;
	struct entry *entries;
	uint32_t count, capacity;
	uint64_t version; /* of the newest entry */
};

struct store {
	char *dir;
	struct board *boards;
	uint32_t board_count;
	pthread_mutex_t reader_lock;
	struct loop_event *reader;
};

static int make_dir(const char *path)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

/* Makes what was created or renamed in it durable. */
static int sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

int store_write_file(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	size_t len = strlen(text);
	int fd, err = 0;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (len && !err) {
		ssize_t n = write(fd, text, len);

		if (n < 0)
			err = errno == EINTR ? 0 : -errno;
		else
			text += n, len -= (size_t)n;
	}
	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	if (!err && rename(temporary, path))
		err = -errno;
	return err ?: sync_dir(dir);
}

/* 0 and the number of journals; -ENOENT: no such file; -EBADMSG: not ours. */
static int read_description(const char *path, uint32_t *ret, char error[STORE_ERROR_LEN])
{
	json_int_t version, journals;
	json_error_t json_error;
	json_t *root = NULL;
	int err = -EBADMSG;

	if (access(path, R_OK)) {
		err = -errno;
		snprintf(error, STORE_ERROR_LEN, "cannot read %s: %s", path, strerror(-err));
		return err;
	}
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &json_error);
	if (!root) {
		snprintf(error, STORE_ERROR_LEN, "%s is not the description of a store: %s", path,
			 json_error.text);
		return err;
	}
	if (json_unpack(root, "{s:I,s:I}", "version", &version, "journals", &journals) ||
	    journals < 1 || journals > STORE_JOURNALS_MAX)
		snprintf(error, STORE_ERROR_LEN, "%s is not the description of a store", path);
	else if (version != STORE_VERSION)
		snprintf(error, STORE_ERROR_LEN,
			 "%s is of version %" JSON_INTEGER_FORMAT
			 ", this program knows %d: use a newer one",
			 path, version, STORE_VERSION);
	else
		err = 0;
	if (!err)
		*ret = (uint32_t)journals;
	json_decref(root);
	return err;
}

static int make_store(const char *dir, uint32_t journals, char error[STORE_ERROR_LEN])
{
	char text[128];
	int err;

	snprintf(text, sizeof(text), "{\"version\": %d, \"journals\": %u}\n", STORE_VERSION,
		 journals);
	err = store_write_file(dir, "store.json", text);
	if (err)
		snprintf(error, STORE_ERROR_LEN, "cannot write %s/store.json: %s", dir,
			 strerror(-err));
	return err;
}

static int make_boards(struct store *store, uint32_t count)
{
	store->boards = calloc(count, sizeof(*store->boards));
	if (!store->boards)
		return -ENOMEM;
	store->board_count = count;
	for (uint32_t i = 0; i < count; i++)
		pthread_mutex_init(&store->boards[i].lock, NULL);
	for (uint32_t i = 0; i < count; i++) {
		if (asprintf(&store->boards[i].dir, "%s/journal-%u", store->dir, i) < 0) {
			store->boards[i].dir = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

int store_open(struct store **ret, const char *dir, uint32_t journals, char error[STORE_ERROR_LEN])
{
	struct store *store = calloc(1, sizeof(*store));
	char *description = NULL, *readers = NULL;
	int err = -ENOMEM;

	snprintf(error, STORE_ERROR_LEN, "cannot open store %s: out of memory", dir);
	if (!store)
		return err;
	pthread_mutex_init(&store->reader_lock, NULL);
	store->dir = strdup(dir);
	if (!store->dir || asprintf(&description, "%s/store.json", dir) < 0 ||
	    asprintf(&readers, "%s/readers", dir) < 0)
		goto out;
	err = make_dir(dir);
	if (err) {
		snprintf(error, STORE_ERROR_LEN, "cannot create store %s: %s", dir, strerror(-err));
		goto out;
	}
	err = read_description(description, &journals, error);
	if (err == -ENOENT)
		err = make_store(dir, journals, error);
	if (err)
		goto out;
	err = make_dir(readers);
	if (!err)
		err = make_boards(store, journals);
	if (err)
		snprintf(error, STORE_ERROR_LEN, "cannot open store %s: %s", dir, strerror(-err));
out:
	free(description);
	free(readers);
	if (err)
		store_close(store);
	else
		*ret = store;
	return err;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (uint32_t i = 0; i < store->board_count; i++) {
		pthread_mutex_destroy(&store->boards[i].lock);
		free(store->boards[i].dir);
		free(store->boards[i].entries);
	}
	pthread_mutex_destroy(&store->reader_lock);
	free(store->boards);
	free(store->dir);
	free(store);
}

const char *store_dir(const struct store *store)
{
	return store->dir;
}

uint32_t store_journal_count(const struct store *store)
{
	return store->board_count;
}

const char *store_journal_dir(const struct store *store, uint32_t journal)
{
	return store->boards[journal].dir;
}

static void set_entry(struct board *board, uint32_t place, const struct store_stream *stream)
{
	board->entries[place] = (struct entry){ .stream = *stream, .version = ++board->version };
}

int store_add_stream(struct store *store, uint32_t journal, const struct store_stream *stream,
		     uint32_t *ret)
{
	struct board *board = &store->boards[journal];
	struct entry *entries;
	uint32_t capacity;
	int err = 0;

	pthread_mutex_lock(&board->lock);
	if (board->count == board->capacity) {
		capacity = MAX(16, 2 * board->capacity);
		entries = realloc(board->entries, capacity * sizeof(*entries));
		if (!entries) {
			err = -ENOMEM;
			goto out;
		}
		board->entries = entries;
		board->capacity = capacity;
	}
	*ret = board->count++;
	set_entry(board, *ret, stream);
out:
	pthread_mutex_unlock(&board->lock);
	return err;
}

void store_set_stream(struct store *store, uint32_t journal, uint32_t place,
		      const struct store_stream *stream)
{
	struct board *board = &store->boards[journal];

	pthread_mutex_lock(&board->lock);
	assert(place < board->count);
	set_entry(board, place, stream);
	pthread_mutex_unlock(&board->lock);
}

void store_set_journal(struct store *store, uint32_t journal, const struct store_journal *state)
{
	struct board *board = &store->boards[journal];

	pthread_mutex_lock(&board->lock);
	board->state = *state;
	pthread_mutex_unlock(&board->lock);
}

void store_wake_reader(struct store *store)
{
	pthread_mutex_lock(&store->reader_lock);
	if (store->reader)
		loop_event_signal(store->reader);
	pthread_mutex_unlock(&store->reader_lock);
}

void store_watch(struct store *store, struct loop_event *event)
{
	pthread_mutex_lock(&store->reader_lock);
	store->reader = event;
	pthread_mutex_unlock(&store->reader_lock);
}

void store_get_journal(struct store *store, uint32_t journal, struct store_journal *ret)
{
	struct board *board = &store->boards[journal];

	pthread_mutex_lock(&board->lock);
	*ret = board->state;
	pthread_mutex_unlock(&board->lock);
}

int store_changed_streams(struct store *store, uint32_t journal, uint64_t *version,
			  struct store_stream_list *list)
{
	struct board *board = &store->boards[journal];
	struct store_stream *grown;
	int err = 0;

	pthread_mutex_lock(&board->lock);
	list->count = 0;
	if (board->count > list->capacity) {
		grown = realloc(list->list, board->capacity * sizeof(*grown));
		if (!grown) {
			err = -ENOMEM;
			goto out;
		}
		list->list = grown;
		list->capacity = board->capacity;
	}
	if (board->version == *version)
		goto out;
	for (uint32_t i = 0; i < board->count; i++)
		if (board->entries[i].version > *version)
			list->list[list->count++] = board->entries[i].stream;
	*version = board->version;
out:
	pthread_mutex_unlock(&board->lock);
	return err;
}
