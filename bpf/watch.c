/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/watch.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/instance.h"
#include "bpf/maps_create.h"

struct watch {
	int fd, watching_fd, fragments_fd;
	uint32_t entries_max, count;
};

/* Every entry, those that are over too, as two lists; released by the caller, also on failure. */
struct all {
	struct xcap_watch_key *keys;
	struct xcap_watch *values;
	uint32_t count;
};

static void all_release(struct all *all)
{
	free(all->keys);
	free(all->values);
}

static int entries_max(uint32_t *ret, int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &len);

	if (err)
		return err;
	if (info.key_size != sizeof(struct xcap_watch_key) ||
	    info.value_size != sizeof(struct xcap_watch))
		return -EPROTO;
	*ret = info.max_entries;
	return 0;
}

/* In one call, and so not disturbed by what is added meanwhile. */
static int read_all(struct all *ret, int fd)
{
	__u32 max, last[2];
	int err;

	*ret = (struct all){};
	err = entries_max(&max, fd);
	if (err)
		return err;
	ret->keys = calloc(max, sizeof(*ret->keys));
	ret->values = calloc(max, sizeof(*ret->values));
	if (!ret->keys || !ret->values)
		return -ENOMEM;
	ret->count = max;
	err = bpf_map_lookup_batch(fd, NULL, last, ret->keys, ret->values, &ret->count, NULL);
	return err == -ENOENT ? 0 : err;
}

/* The programs look into the map only if it has entries. */
static int tell_count(const struct watch *watch, uint32_t count)
{
	struct xcap_watching watching = { .count = count };
	__u32 key = 0;

	return bpf_map_update_elem(watch->watching_fd, &key, &watching, BPF_ANY);
}

/* *adopted: it was pinned there. */
static int open_or_create(int *fd, bool *adopted, const char *dir, const char *pin,
			  const char *name, uint32_t max)
{
	int err;

	*fd = instance_open_pin(dir, pin);
	*adopted = *fd >= 0;
	if (*fd != -ENOENT)
		return *adopted ? 0 : *fd;
	*fd = maps_create(name, max);
	if (*fd < 0)
		return *fd;
	err = instance_pin(*fd, dir, pin);
	return err;
}

static int count_entries(struct watch *watch)
{
	struct all all;
	int err = read_all(&all, watch->fd);

	watch->count = all.count;
	all_release(&all);
	return err ?: tell_count(watch, watch->count);
}

int watch_open(struct watch **ret, const char *dir, uint32_t entries)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	bool adopted;
	int err;

	if (!watch)
		return -ENOMEM;
	watch->fd = watch->watching_fd = watch->fragments_fd = -1;
	err = open_or_create(&watch->watching_fd, &adopted, dir, "watching", "xcap_watching", 0);
	if (!err)
		err = open_or_create(&watch->fd, &adopted, dir, "watch", "xcap_watch", entries);
	if (!err)
		err = entries_max(&watch->entries_max, watch->fd);
	if (!err && adopted)
		err = count_entries(watch);
	if (!err) {
		watch->fragments_fd = maps_create("xcap_fragments", 0);
		err = MIN(watch->fragments_fd, 0);
	}
	if (err)
		watch_close(watch);
	else
		*ret = watch;
	return err;
}

void watch_close(struct watch *watch)
{
	if (!watch)
		return;
	if (watch->fd >= 0)
		close(watch->fd);
	if (watch->watching_fd >= 0)
		close(watch->watching_fd);
	if (watch->fragments_fd >= 0)
		close(watch->fragments_fd);
	free(watch);
}

void watch_unpin(const char *dir)
{
	static const char *const pins[] = { "watch", "watching" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
		if (snprintf(path, sizeof(path), "%s/%s", dir, pins[i]) < (int)sizeof(path))
			(void)unlink(path);
	}
}

uint32_t watch_entries_max(const struct watch *watch)
{
	return watch->entries_max;
}

uint32_t watch_count(const struct watch *watch)
{
	return watch->count;
}

static int update(struct watch *watch, const struct xcap_watch_key *key, uint64_t expires_ns)
{
	struct xcap_watch value = {};
	bool is_new = bpf_map_lookup_elem(watch->fd, key, &value) != 0;
	int err;

	value.expires_ns = expires_ns;
	err = bpf_map_update_elem(watch->fd, key, &value, BPF_ANY);
	if (err || !is_new)
		return err;
	watch->count++;
	return tell_count(watch, watch->count);
}

int watch_add(struct watch *watch, const struct xcap_watch_key *key, uint64_t expires_ns)
{
	int err = update(watch, key, expires_ns);

	if (err != -E2BIG)
		return err;
	err = watch_expire(watch);
	if (!err)
		err = update(watch, key, expires_ns);
	return err == -E2BIG ? -ENOSPC : err;
}

int watch_delete(struct watch *watch, const struct xcap_watch_key *key)
{
	int err = bpf_map_delete_elem(watch->fd, key);

	if (err)
		return err;
	watch->count--;
	return tell_count(watch, watch->count);
}

int watch_expire(struct watch *watch)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct all all;
	int err;

	if (!watch->count)
		return 0;
	err = read_all(&all, watch->fd);
	for (uint32_t i = 0; i < all.count && !err; i++) {
		if (all.values[i].expires_ns <= now_ns)
			err = watch_delete(watch, &all.keys[i]);
	}
	all_release(&all);
	return err;
}

static int list(struct watch_entry **ret, size_t *count, int fd)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct watch_entry *entries = NULL;
	size_t kept = 0;
	struct all all;
	int err;

	err = read_all(&all, fd);
	if (!err) {
		entries = calloc(all.count + 1, sizeof(*entries));
		err = entries ? 0 : -ENOMEM;
	}
	for (uint32_t i = 0; i < all.count && !err; i++) {
		if (all.values[i].expires_ns > now_ns)
			entries[kept++] = (struct watch_entry){ all.keys[i], all.values[i] };
	}
	all_release(&all);
	if (err)
		return err;
	*ret = entries;
	*count = kept;
	return 0;
}

int watch_list(struct watch_entry **ret, size_t *count, const struct watch *watch)
{
	return list(ret, count, watch->fd);
}

int watch_read(struct watch_entry **ret, size_t *count, const char *dir)
{
	int fd = instance_open_pin(dir, "watch"), err;

	if (fd < 0)
		return fd;
	err = list(ret, count, fd);
	close(fd);
	return err;
}

int watch_use(const struct watch *watch, const struct bpf_object *object)
{
	int err = maps_share(object, "xcap_watch", watch ? watch->fd : -1);

	if (!err)
		err = maps_share(object, "xcap_watching", watch ? watch->watching_fd : -1);
	return err ?: maps_share(object, "xcap_fragments", watch ? watch->fragments_fd : -1);
}
