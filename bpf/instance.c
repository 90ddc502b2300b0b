/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/attach.h"
#include "bpf/clsact.h"
#include "bpf/dataplane.h"
#include "bpf/hwstamp.h"
#include "bpf/pins.h"
#include "bpf/vlan.h"

static const char *const link_names[][INSTANCE_LINKS] = {
	[XCAP_MIRROR] = { "ingress", "egress" },
	[XCAP_TAP] = { "xdp" },
};

const char *instance_link_name(enum xcap_mode mode, unsigned int link)
{
	return link < INSTANCE_LINKS ? link_names[mode][link] : NULL;
}

unsigned int instance_link_count(enum xcap_mode mode)
{
	unsigned int count = 0;

	while (instance_link_name(mode, count))
		count++;
	return count;
}

int instance_open_pin(const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return bpf_obj_get(path);
}

int instance_pin(int fd, const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return bpf_obj_pin(fd, path);
}

bool instance_read_info(const char *dir, struct xcap_info *ret)
{
	int fd = instance_open_pin(dir, "info");
	struct bpf_map_info map = {};
	__u32 len = sizeof(map), key = 0;
	bool ok;

	if (fd < 0)
		return false;
	ok = bpf_obj_get_info_by_fd(fd, &map, &len) == 0 && map.value_size == sizeof(*ret) &&
	     bpf_map_lookup_elem(fd, &key, ret) == 0 && ret->abi_version == XCAP_ABI_VERSION &&
	     (ret->mode == XCAP_MIRROR || ret->mode == XCAP_TAP);
	close(fd);
	return ok;
}

static bool is_live(int link_fd, unsigned int ifindex)
{
	struct attach_link link;

	return attach_read_link(link_fd, &link) == 0 && link.ifindex == ifindex;
}

bool instance_is_attached(const char *dir, const struct xcap_info *info)
{
	if (info->flags & XCAP_INFO_CLSACT)
		return clsact_is_attached(dir, info);
	for (unsigned int i = 0; i < instance_link_count(info->mode); i++) {
		int fd = bpf_link_get_fd_by_id(info->link_ids[i]);
		bool live;

		if (fd < 0)
			return false;
		live = is_live(fd, info->ifindex);
		close(fd);
		if (!live)
			return false;
	}
	return true;
}

bool instance_is_whole(const char *dir, const struct xcap_info *info)
{
	if (info->flags & XCAP_INFO_CLSACT)
		return clsact_is_attached(dir, info);
	for (unsigned int i = 0; i < instance_link_count(info->mode); i++) {
		int fd = instance_open_pin(dir, instance_link_name(info->mode, i));
		bool live;

		if (fd < 0)
			return false;
		live = is_live(fd, info->ifindex);
		close(fd);
		if (!live)
			return false;
	}
	return true;
}

int instance_read_count_map(int fd, struct xcap_count *counts, __u32 entries)
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	struct xcap_count *values;

	if (cpus < 0)
		return cpus;
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (__u32 counter = 0; counter < entries && !err; counter++) {
		struct xcap_count sum = {};

		err = bpf_map_lookup_elem(fd, &counter, values);
		for (int cpu = 0; cpu < cpus && !err; cpu++) {
			sum.frames += values[cpu].frames;
			sum.wire_packets += values[cpu].wire_packets;
			sum.bytes += values[cpu].bytes;
		}
		counts[counter] = sum;
	}
	free(values);
	return err;
}

int instance_read_counts(int count_fd, struct xcap_count *counts)
{
	return instance_read_count_map(count_fd, counts, XCAP_COUNTER_COUNT);
}

static uint64_t since(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

struct xcap_nic instance_nic_since(const struct xcap_info *info, const struct xcap_nic *now)
{
	return (struct xcap_nic){
		.missed = since(info->nic.missed, now->missed),
		.fifo = since(info->nic.fifo, now->fifo),
		.rx_dropped = since(info->nic.rx_dropped, now->rx_dropped),
	};
}

unsigned int instance_for_each_interface(const char *dir,
					 void (*work)(const char *dir, void *context),
					 void *context)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	char path[PATH_MAX];
	unsigned int count = 0;

	if (!stream)
		return 0;
	while ((entry = readdir(stream))) {
		if (strncmp(entry->d_name, "if_", 3) != 0 ||
		    snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= (int)sizeof(path))
			continue;
		count++;
		if (work)
			work(path, context);
	}
	closedir(stream);
	return count;
}

void instance_remove_interface(const char *dir)
{
	static const char *const links[] = { "ingress", "egress", "xdp" };
	struct xcap_info info;

	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		int fd = instance_open_pin(dir, links[i]);

		if (fd < 0)
			continue;
		attach_detach_link(fd);
		close(fd);
	}
	if (instance_read_info(dir, &info)) {
		if (info.flags & XCAP_INFO_CLSACT)
			clsact_detach(dir, &info);
		vlan_offload_restore(info.ifindex, info.netns, info.offloads_off);
		hwstamp_restore(info.ifindex, info.netns, info.stamps_off);
	}
	pins_remove_dir(dir);
}

static void remove_each(const char *dir, void *context)
{
	(void)context;
	instance_remove_interface(dir);
}

void instance_remove(const char *dir)
{
	instance_for_each_interface(dir, remove_each, NULL);
	pins_remove_dir(dir);
}

static int remove_from(const struct pins_bpffs *bpffs, size_t i, const char *instance,
		       bool *removed)
{
	char dir[PATH_MAX];
	int err = pins_instance_dir(dir, bpffs->list[i], instance);

	if (err)
		return err;
	if (access(dir, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	instance_remove(dir);
	if (access(dir, F_OK) == 0)
		return -EPERM;
	*removed = true;
	pins_tidy(bpffs, i);
	return 0;
}

int dataplane_remove(const char *bpffs, const char *run_dir, const char *instance, bool *removed,
		     char error[DATAPLANE_ERROR_LEN])
{
	struct pins_bpffs found;
	struct pins_lock lock;
	int err;

	*removed = false;
	err = pins_find(&found, bpffs, run_dir, false, error);
	if (!err)
		err = pins_lock(&lock, run_dir, instance, NULL, error);
	if (err)
		return err;
	for (size_t i = 0; i < found.count && !err; i++) {
		err = remove_from(&found, i, instance, removed);
		if (err)
			explain(error, err, "cannot remove instance \"%s\" from %s", instance,
				found.list[i]);
	}
	pins_unlock(&lock, !err);
	return err;
}
