/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/maps.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/explain.h"
#include "bpf/instance.h"
#include "bpf/netdev.h"
#include "bpf/netns.h"
#include "bpf/pins.h"

/* Instances found so far. */
struct maps_list {
	struct maps_instance *instances;
	size_t count;
	const char *wanted; /* NULL: all */
};

/* One more element at the end of an array, zeroed; NULL without memory. */
static void *grow(void *array, size_t *count, size_t size)
{
	uint8_t **memory = array, *grown = reallocarray(*memory, *count + 1, size);

	if (!grown)
		return NULL;
	*memory = grown;
	memset(grown + *count * size, 0, size);
	return grown + (*count)++ * size;
}

static int read_positions(int fd, struct maps_ring *ring)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const unsigned long *consumer, *producer;

	consumer = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (producer == MAP_FAILED) {
		munmap((void *)(uintptr_t)consumer, page);
		return -errno;
	}
	/* The consumer first: it cannot have overtaken. */
	ring->pending_bytes = __atomic_load_n(consumer, __ATOMIC_ACQUIRE);
	ring->pending_bytes = __atomic_load_n(producer, __ATOMIC_ACQUIRE) - ring->pending_bytes;
	munmap((void *)(uintptr_t)consumer, page);
	munmap((void *)(uintptr_t)producer, page);
	return 0;
}

static int read_ring(int fd, struct maps_ring *ring)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &len);

	if (err)
		return err;
	ring->size_bytes = info.max_entries;
	return read_positions(fd, ring);
}

static int read_rings(const char *dir, struct maps_instance *instance)
{
	for (unsigned int number = 0;; number++) {
		struct maps_ring *ring;
		char name[32];
		int fd, err;

		snprintf(name, sizeof(name), "ring_%u", number);
		fd = instance_open_pin(dir, name);
		if (fd < 0)
			return fd == -ENOENT ? 0 : fd;
		ring = grow(&instance->rings, &instance->ring_count, sizeof(*ring));
		err = ring ? read_ring(fd, ring) : -ENOMEM;
		close(fd);
		if (err)
			return err;
		ring->number = number;
	}
}

static int read_slots(const char *dir, struct maps_interface *interface)
{
	int fd = instance_open_pin(dir, "slots"), err = 0;

	if (fd < 0)
		return fd;
	for (__u32 slot = 0; slot < XCAP_FILTERS_MAX && !err; slot++)
		err = bpf_map_lookup_elem(fd, &slot, &interface->slots[slot]);
	close(fd);
	fd = err ? err : instance_open_pin(dir, "matched");
	if (fd < 0)
		return fd;
	err = instance_read_count_map(fd, interface->matched, XCAP_FILTERS_MAX);
	close(fd);
	return err;
}

static int read_interface(const char *dir, struct maps_instance *instance)
{
	struct maps_interface *interface;
	struct xcap_info info;
	struct xcap_nic nic;
	int fd, err;

	/* Half made or half removed: not ours to report. */
	if (!instance_read_info(dir, &info))
		return 0;
	fd = instance_open_pin(dir, "count");
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	interface = grow(&instance->interfaces, &instance->interface_count, sizeof(*interface));
	err = interface ? instance_read_counts(fd, interface->counts) : -ENOMEM;
	close(fd);
	if (!err)
		err = read_slots(dir, interface);
	if (err)
		return err;
	interface->info = info;
	interface->attached = instance_is_attached(dir, &info);
	if (interface->attached && info.netns == netns_self() &&
	    !netdev_query_nic(&nic, info.ifindex)) {
		interface->nic = instance_nic_since(&info, &nic);
		interface->has_nic = true;
	}
	return 0;
}

static int read_filters(const char *dir, struct maps_instance *instance)
{
	int fd = instance_open_pin(dir, "filters");
	__u32 key = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	instance->filters = calloc(1, sizeof(*instance->filters));
	if (instance->filters &&
	    (bpf_map_lookup_elem(fd, &key, instance->filters) || !instance->filters->generation)) {
		free(instance->filters);
		instance->filters = NULL;
	}
	close(fd);
	return 0;
}

static int read_gone(const char *dir, struct maps_instance *instance)
{
	int fd = instance_open_pin(dir, "gone"), err;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = instance_read_counts(fd, instance->gone);
	close(fd);
	return err;
}

struct interface_walk {
	struct maps_instance *instance;
	int err;
};

static void take_interface(const char *dir, void *context)
{
	struct interface_walk *walk = context;

	if (!walk->err)
		walk->err = read_interface(dir, walk->instance);
}

static int by_ifindex(const void *a, const void *b)
{
	const struct maps_interface *left = a, *right = b;

	return left->info.ifindex < right->info.ifindex ? -1
							: left->info.ifindex > right->info.ifindex;
}

/* Instances of before have neither. */
static int read_listed(const char *dir, struct maps_instance *instance)
{
	int fd = instance_open_pin(dir, "listed"), err = fd;
	__u32 key = 0;

	if (fd >= 0) {
		err = bpf_map_lookup_elem(fd, &key, &instance->listed);
		close(fd);
	}
	if (!err || err == -ENOENT)
		err = watch_read(&instance->watched, &instance->watched_count, dir);
	return err == -ENOENT ? 0 : err;
}

static int read_instance(struct maps_list *list, const char *dir, const char *name)
{
	struct maps_instance *instance = grow(&list->instances, &list->count, sizeof(*instance));
	struct interface_walk walk = { .instance = instance };
	int err;

	if (!instance)
		return -ENOMEM;
	snprintf(instance->name, sizeof(instance->name), "%s", name);
	err = read_rings(dir, instance);
	if (!err)
		err = read_gone(dir, instance);
	if (!err)
		err = read_filters(dir, instance);
	if (!err)
		err = read_listed(dir, instance);
	if (err)
		return err;
	instance_for_each_interface(dir, take_interface, &walk);
	if (instance->interface_count)
		qsort(instance->interfaces, instance->interface_count,
		      sizeof(*instance->interfaces), by_ifindex);
	return walk.err;
}

static int read_bpffs(struct maps_list *list, const char *bpffs)
{
	char root[PATH_MAX], path[PATH_MAX], name[PINS_NAME_LEN];
	struct dirent **entries;
	int count, err = 0;

	if (snprintf(root, sizeof(root), "%s/" PINS_ROOT, bpffs) >= (int)sizeof(root))
		return -ENAMETOOLONG;
	count = scandir(root, &entries, NULL, alphasort);
	if (count < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		const char *folder = entries[i]->d_name;

		if (!err && pins_instance_name(name, folder) &&
		    (!list->wanted || !strcmp(list->wanted, name)) &&
		    snprintf(path, sizeof(path), "%s/%s", root, folder) < (int)sizeof(path))
			err = read_instance(list, path, name);
		free(entries[i]);
	}
	free(entries);
	return err;
}

int maps_read(struct maps_instance **ret, size_t *count, const char *bpffs, const char *run_dir,
	      const char *instance)
{
	struct maps_list list = { .wanted = instance };
	char error[EXPLAIN_LEN];
	struct pins_bpffs found;
	int err;

	err = pins_find(&found, bpffs, run_dir, false, error);
	for (size_t i = 0; !err && i < found.count; i++)
		err = read_bpffs(&list, found.list[i]);
	if (err) {
		maps_free(list.instances, list.count);
		return err;
	}
	*ret = list.instances;
	*count = list.count;
	return 0;
}

void maps_free(struct maps_instance *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].interfaces);
		free(list[i].rings);
		free(list[i].filters);
		free(list[i].watched);
	}
	free(list);
}
