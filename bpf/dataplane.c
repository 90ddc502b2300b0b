/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/dataplane.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/dataplane_internal.h"
#include "bpf/instance.h"
#include "bpf/maps_create.h"
#include "bpf/mirror.skel.h"
#include "bpf/netns.h"
#include "bpf/probe.h"
#include "bpf/splice.h"
#include "bpf/vlan.h"
#include "common/log.h"

static int log_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[1024];

	if (level > LIBBPF_INFO)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("%s", line);
	return 0;
}

/* Adopted as a whole, or not at all: what lost a link or its device is removed. */
static void look_at(const char *dir, void *context)
{
	struct dataplane *dataplane = context;
	struct xcap_info info;

	if (instance_read_info(dir, &info) && info.netns == netns_self() &&
	    instance_is_whole(dir, &info))
		dataplane->adopted = true;
	else
		dataplane_remove_interface(dataplane, dir);
}

static bool same_version(int self_fd)
{
	struct bpf_map_info map = {};
	__u32 len = sizeof(map), key = 0;
	struct xcap_self self;

	return bpf_obj_get_info_by_fd(self_fd, &map, &len) == 0 && map.value_size == sizeof(self) &&
	       bpf_map_lookup_elem(self_fd, &key, &self) == 0 &&
	       self.abi_version == XCAP_ABI_VERSION;
}

/* What an earlier daemon left, if it is of our version. */
static int adopt(struct dataplane *dataplane)
{
	int err;

	dataplane->self_fd = instance_open_pin(dataplane->dir, "self");
	if (dataplane->self_fd < 0)
		return dataplane->self_fd == -ENOENT ? 0 : dataplane->self_fd;
	if (!same_version(dataplane->self_fd)) {
		log_info("instance of another version found at %s: starting afresh",
			 dataplane->dir);
		close(dataplane->self_fd);
		dataplane->self_fd = -1;
		instance_remove(dataplane->dir);
		return pins_make_dir(dataplane->dir);
	}
	err = rings_adopt(&dataplane->rings, dataplane->dir);
	if (err)
		return err;
	dataplane->gone_fd = instance_open_pin(dataplane->dir, "gone");
	dataplane->filters_fd = instance_open_pin(dataplane->dir, "filters");
	instance_for_each_interface(dataplane->dir, look_at, dataplane);
	if (dataplane->rings.count)
		dataplane->adopted = true;
	return 0;
}

/* A map of the program, under a name of its own. */
static int keep_map(const struct dataplane *dataplane, const struct bpf_map *map, const char *name,
		    int *fd)
{
	if (*fd >= 0)
		return 0;
	*fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? -errno : instance_pin(*fd, dataplane->dir, name);
}

/* Maps by way of the skeleton, so that they have their types. */
static int create_maps(struct dataplane *dataplane, const struct dataplane_config *config)
{
	struct xcap_mirror *skel = xcap_mirror__open();
	int err, fd;

	if (!skel)
		return -errno;
	bpf_program__set_autoload(skel->progs.xcap_both, false);
	bpf_program__set_autoload(skel->progs.xcap_ingress, false);
	bpf_program__set_autoload(skel->progs.xcap_egress, false);
	/* The rings' pattern, which is let go at once: at any node. */
	err = bpf_map__set_numa_node(bpf_map__inner_map(skel->maps.xcap_rings), (__u32)-1);
	if (!err)
		err = xcap_mirror__load(skel);
	if (err)
		goto out;
	if (config->want_rings && dataplane->rings.map_fd < 0) {
		fd = fcntl(bpf_map__fd(skel->maps.xcap_rings), F_DUPFD_CLOEXEC, 0);
		err = fd < 0 ? -errno
			     : rings_create(&dataplane->rings, dataplane->dir, fd,
					    config->ring_bytes);
		if (err)
			goto out;
	}
	err = keep_map(dataplane, skel->maps.xcap_count, "gone", &dataplane->gone_fd);
	if (!err)
		err = keep_map(dataplane, skel->maps.xcap_filters, "filters",
			       &dataplane->filters_fd);
	if (!err)
		err = keep_map(dataplane, skel->maps.xcap_self, "self", &dataplane->self_fd);
out:
	xcap_mirror__destroy(skel);
	return err;
}

static void compare_rings(const struct dataplane *dataplane, const struct dataplane_config *config)
{
	unsigned int count;
	uint64_t size = rings_size(config->ring_bytes, &count);

	if (dataplane->rings.count &&
	    (size != dataplane->rings.ring_bytes || count != dataplane->rings.count))
		log_info("keeping %u rings of %llu KiB that are there, not %u of %llu",
			 dataplane->rings.count,
			 (unsigned long long)(dataplane->rings.ring_bytes / KIB), count,
			 (unsigned long long)(size / KIB));
}

static int find_dir(struct dataplane *dataplane, const struct dataplane_config *config, char *error)
{
	struct pins_bpffs bpffs;
	int err;

	err = pins_find(&bpffs, config->bpffs, config->run_dir, true, error);
	if (err)
		return err;
	err = pins_instance_dir(dataplane->dir, bpffs.list[0], config->instance);
	if (err)
		return explain(error, err, "cannot use \"%s\" as the name of an instance",
			       config->instance);
	err = pins_make_dir(dataplane->dir);
	if (err)
		return explain(error, err, "cannot make %s", dataplane->dir);
	return 0;
}

static int explain_load(char *error, int err)
{
	if (err == -EPERM || err == -EACCES)
		return explain_only(error, err,
				    "not permitted to load BPF programs: this needs root, or "
				    "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
	return explain(error, err, "cannot create BPF maps");
}

static int reset_self(const struct dataplane *dataplane)
{
	struct xcap_self self = { .abi_version = XCAP_ABI_VERSION };
	__u32 key = 0;

	return bpf_map_update_elem(dataplane->self_fd, &key, &self, BPF_ANY);
}

static int open_watch(struct dataplane *dataplane, uint32_t max)
{
	int err;

	if (!max) {
		watch_unpin(dataplane->dir);
		return 0;
	}
	err = watch_open(&dataplane->watch, dataplane->dir, max);
	if (!err && watch_entries_max(dataplane->watch) != max)
		log_info("keeping the room for %u watched flows that is there, not for %u",
			 watch_entries_max(dataplane->watch), max);
	return err;
}

int dataplane_open(struct dataplane **ret, const struct dataplane_config *config,
		   char error[DATAPLANE_ERROR_LEN])
{
	struct dataplane *dataplane = calloc(1, sizeof(*dataplane));
	int err;

	if (!dataplane)
		return explain(error, -ENOMEM, "cannot open the dataplane");
	libbpf_set_print(log_libbpf);
	dataplane->self_fd = dataplane->gone_fd = dataplane->filters_fd = -1;
	dataplane->rings.map_fd = -1;
	dataplane->lists = (struct prefixes_maps)PREFIXES_MAPS_NONE;
	dataplane->lock.run_fd = dataplane->lock.pins_fd = -1;
	err = splice_init();
	if (!err)
		err = splice_kept_create(&dataplane->kept);
	if (err)
		explain(error, err, "cannot prepare to load programs");
	if (!err && config->want_rings)
		err = probe_programs(error);
	if (!err)
		err = find_dir(dataplane, config, error);
	if (!err)
		err = pins_lock(&dataplane->lock, config->run_dir, config->instance, dataplane->dir,
				error);
	if (err)
		goto fail;
	err = adopt(dataplane);
	if (!err && (dataplane->self_fd < 0 || dataplane->gone_fd < 0 ||
		     dataplane->filters_fd < 0 || (config->want_rings && !dataplane->rings.count)))
		err = create_maps(dataplane, config);
	if (!err)
		err = reset_self(dataplane);
	if (!err)
		err = open_watch(dataplane, config->watch_max);
	if (err) {
		explain_load(error, err);
		goto fail;
	}
	if (config->want_rings)
		compare_rings(dataplane, config);
	*ret = dataplane;
	return 0;
fail:
	dataplane_close(dataplane);
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void dataplane_close(struct dataplane *dataplane)
{
	bool empty;

	if (!dataplane)
		return;
	while (dataplane->interfaces) {
		struct dataplane_interface *interface = dataplane->interfaces;

		if (interface->info.flags & XCAP_INFO_UNPINNED) {
			dataplane_detach(interface, NULL);
		} else {
			dataplane->interfaces = interface->next;
			interface_free(interface);
		}
	}
	empty = dataplane->lock.pins_fd >= 0 &&
		instance_for_each_interface(dataplane->dir, NULL, NULL) == 0;
	if (empty)
		pins_remove_dir(dataplane->dir);
	rings_release(&dataplane->rings);
	close_fd(&dataplane->self_fd);
	close_fd(&dataplane->gone_fd);
	close_fd(&dataplane->filters_fd);
	prefixes_maps_release(&dataplane->lists);
	watch_close(dataplane->watch);
	splice_kept_destroy(dataplane->kept);
	pins_unlock(&dataplane->lock, empty);
	free(dataplane);
}

void dataplane_keep_counts(struct dataplane *dataplane, int count_fd)
{
	struct xcap_count counts[XCAP_COUNTER_COUNT], gone[XCAP_COUNTER_COUNT];
	int cpus = libbpf_num_possible_cpus();
	struct xcap_count *values;

	if (dataplane->gone_fd < 0 || dataplane->filters_fd < 0 || cpus < 0 ||
	    instance_read_counts(count_fd, counts) ||
	    instance_read_counts(dataplane->gone_fd, gone))
		return;
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return;
	for (__u32 counter = 0; counter < XCAP_COUNTER_COUNT; counter++) {
		values[0].frames = gone[counter].frames + counts[counter].frames;
		values[0].wire_packets = gone[counter].wire_packets + counts[counter].wire_packets;
		values[0].bytes = gone[counter].bytes + counts[counter].bytes;
		(void)bpf_map_update_elem(dataplane->gone_fd, &counter, values, BPF_ANY);
	}
	free(values);
}

void dataplane_remove_interface(struct dataplane *dataplane, const char *dir)
{
	int fd = instance_open_pin(dir, "count");

	if (fd >= 0) {
		dataplane_keep_counts(dataplane, fd);
		close(fd);
	}
	instance_remove_interface(dir);
}

int dataplane_gone_counts(const struct dataplane *dataplane, struct xcap_count *counts)
{
	return instance_read_counts(dataplane->gone_fd, counts);
}

bool dataplane_adopted(const struct dataplane *dataplane)
{
	return dataplane->adopted;
}

unsigned int dataplane_ring_count(const struct dataplane *dataplane)
{
	return dataplane->rings.count;
}

int dataplane_ring_fd(const struct dataplane *dataplane, unsigned int ring)
{
	return ring < dataplane->rings.count ? dataplane->rings.fds[ring] : -EINVAL;
}

int dataplane_self_add(struct dataplane *dataplane, const uint8_t address[16], uint16_t port)
{
	struct xcap_endpoint own = { .port = htons(port) };
	struct xcap_self self;
	__u32 key = 0;
	int err;

	memcpy(own.address, address, sizeof(own.address));
	err = bpf_map_lookup_elem(dataplane->self_fd, &key, &self);
	if (err)
		return err;
	for (__u32 i = 0; i < self.count && i < XCAP_SELF_MAX; i++) {
		if (!memcmp(&self.list[i], &own, sizeof(own)))
			return 0;
	}
	if (self.count >= XCAP_SELF_MAX)
		return -ENOSPC;
	self.list[self.count++] = own;
	return bpf_map_update_elem(dataplane->self_fd, &key, &self, BPF_ANY);
}

/* For those who look at the pins. */
static int tell_listed(const struct dataplane *dataplane, const struct prefixes *lists)
{
	int fd = instance_open_pin(dataplane->dir, "listed"), err = 0;
	struct xcap_list_counts counts;
	__u32 key = 0;

	if (fd == -ENOENT) {
		fd = maps_create("xcap_listed", 0);
		err = fd < 0 ? fd : instance_pin(fd, dataplane->dir, "listed");
	}
	if (fd < 0)
		return fd;
	prefixes_count(lists, &counts);
	if (!err)
		err = bpf_map_update_elem(fd, &key, &counts, BPF_ANY);
	close(fd);
	return err;
}

int dataplane_set_lists(struct dataplane *dataplane, const struct prefixes *lists,
			char error[DATAPLANE_ERROR_LEN])
{
	static const struct prefixes none;
	struct prefixes_maps maps;
	int err;

	lists = lists ?: &none;
	err = prefixes_maps_create(&maps, lists);
	if (!err) {
		err = tell_listed(dataplane, lists);
		if (err)
			prefixes_maps_release(&maps);
	}
	if (err)
		return explain(error, err, "cannot load a list of %zu prefixes", lists->count);
	prefixes_maps_release(&dataplane->lists);
	dataplane->lists = maps;
	splice_kept_forget(dataplane->kept);
	return 0;
}

struct watch *dataplane_watch(const struct dataplane *dataplane)
{
	return dataplane->watch;
}

int dataplane_share_maps(const struct dataplane *dataplane, const struct bpf_object *object)
{
	return prefixes_maps_use(&dataplane->lists, object) ?: watch_use(dataplane->watch, object);
}

int dataplane_default_interface(char name[16])
{
	struct netdev device;
	unsigned int ifindex;
	int err;

	if (!netdev_default_routes(&ifindex, 1))
		return -ENOENT;
	err = netdev_query(&device, ifindex);
	if (err)
		return err;
	memcpy(name, device.name, sizeof(device.name));
	return 0;
}

const char *xcap_counter_name(unsigned int counter)
{
	static const char *const names[] = {
#define X(id, name) [XCAP_##id] = name,
		XCAP_COUNTERS(X)
#undef X
	};

	return counter < ARRAY_SIZE(names) ? names[counter] : "unknown";
}
