/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One interface of an instance: attached, adopted, enabled, detached. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/dataplane_internal.h"
#include "bpf/hook.h"
#include "bpf/netns.h"
#include "bpf/vlan.h"

static const struct mode_ops *const modes[] = {
	[XCAP_MIRROR] = &mode_mirror, [XCAP_TAP] = &mode_tap
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void interface_free(struct dataplane_interface *interface)
{
	for (unsigned int i = 0; i < INSTANCE_LINKS; i++) {
		close_fd(&interface->link_fds[i]);
		close_fd(&interface->next_fds[i]);
	}
	close_fd(&interface->info_fd);
	close_fd(&interface->count_fd);
	close_fd(&interface->clock_fd);
	close_fd(&interface->matched_fd);
	close_fd(&interface->slots_fd);
	close_fd(&interface->xsks_fd);
	close_fd(&interface->handed_fd);
	close_fd(&interface->promiscuous_fd);
	close_fd(&interface->foreign_fd);
	if (interface->ops->release)
		interface->ops->release(interface);
	interface_forget_code(interface);
	free(interface);
}

static void unlink_interface(struct dataplane_interface *interface)
{
	struct dataplane_interface **at = &interface->dataplane->interfaces;

	while (*at != interface)
		at = &(*at)->next;
	*at = interface->next;
}

int interface_reuse_map(const struct dataplane_interface *interface, struct bpf_map *map,
			const char *name, int fd)
{
	int err;

	if (fd >= 0)
		return bpf_map__reuse_fd(map, fd);
	if (!interface->adopted)
		return 0;
	fd = instance_open_pin(interface->dir, name);
	if (fd < 0)
		return fd;
	err = bpf_map__reuse_fd(map, fd);
	close(fd);
	return err;
}

int interface_keep_map(const struct dataplane_interface *interface, struct bpf_map *map,
		       const char *name, int *fd)
{
	if (*fd >= 0)
		return 0;
	*fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	return interface->adopted ? 0 : interface_pin(interface, *fd, name);
}

int interface_keep_program(const struct bpf_program *program, int *fd)
{
	*fd = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

int interface_pin(const struct dataplane_interface *interface, int fd, const char *name)
{
	return instance_pin(fd, interface->dir, name);
}

int interface_counts_ready(const struct dataplane_interface *interface)
{
	if (interface->config.counts_ready)
		interface->config.counts_ready(interface->config.context,
					       dataplane_counts_id(interface));
	return interface_tell_slots(interface);
}

int interface_write_info(struct dataplane_interface *interface)
{
	__u32 key = 0;

	return bpf_map_update_elem(interface->info_fd, &key, &interface->info, BPF_ANY);
}

/* Take up the links that an earlier daemon left, or make room for new ones. */
static int prepare_pins(struct dataplane_interface *interface)
{
	struct xcap_info info;

	if (instance_read_info(interface->dir, &info) && info.mode == interface->info.mode &&
	    info.ifindex == interface->info.ifindex && info.netns == interface->info.netns &&
	    (!interface->ops->may_adopt || interface->ops->may_adopt(interface, &info)) &&
	    instance_is_whole(interface->dir, &info)) {
		bool has_links = !(info.flags & XCAP_INFO_CLSACT);

		for (unsigned int i = 0; has_links && i < instance_link_count(info.mode); i++) {
			int fd =
				instance_open_pin(interface->dir, instance_link_name(info.mode, i));

			if (fd < 0)
				return fd;
			interface->link_fds[i] = fd;
		}
		memcpy(interface->info.link_ids, info.link_ids, sizeof(info.link_ids));
		interface->info.offloads_off = info.offloads_off;
		interface->info.stamps_off = info.stamps_off;
		interface->info.started_ns = info.started_ns;
		interface->info.nic = info.nic;
		interface->info.flags =
			info.flags & (XCAP_INFO_GENERIC | XCAP_INFO_CLSACT | XCAP_INFO_QDISC);
		interface->adopted = true;
		return 0;
	}
	dataplane_remove_interface(interface->dataplane, interface->dir);
	interface->info.started_ns = clock_ns(CLOCK_REALTIME);
	if (netdev_query_nic(&interface->info.nic, interface->config.ifindex))
		interface->info.nic = (struct xcap_nic){};
	return pins_make_dir(interface->dir);
}

static struct dataplane_interface *create_interface(struct dataplane *dataplane,
						    const struct dataplane_interface_config *config)
{
	struct dataplane_interface *interface = calloc(1, sizeof(*interface));

	if (!interface)
		return NULL;
	interface->dataplane = dataplane;
	interface->ops = modes[config->mode];
	interface->config = *config;
	interface->info = (struct xcap_info){
		.abi_version = XCAP_ABI_VERSION,
		.mode = config->mode,
		.ifindex = config->ifindex,
		.snaplen = config->snaplen,
		.directions = config->directions,
		.netns = netns_self(),
	};
	for (unsigned int i = 0; i < INSTANCE_LINKS; i++)
		interface->link_fds[i] = interface->next_fds[i] = -1;
	interface->info_fd = interface->count_fd = interface->xsks_fd = interface->handed_fd = -1;
	interface->matched_fd = interface->slots_fd = -1;
	interface->promiscuous_fd = interface->foreign_fd = interface->clock_fd = -1;
	interface->next = dataplane->interfaces;
	dataplane->interfaces = interface;
	return interface;
}

static int query_device(struct dataplane_interface *interface, char *error)
{
	int err = netdev_query(&interface->device, interface->config.ifindex);

	if (err)
		return explain(error, err, "cannot capture on %s", interface->config.name);
	memcpy(interface->info.ifname, interface->device.name, sizeof(interface->info.ifname));
	interface->config.name = interface->device.name;
	err = netdev_link_type(&interface->device);
	if (err < 0)
		return explain_only(error, err,
				    "cannot capture on %s: devices of type %u are not supported "
				    "(--mode pcap may know it)",
				    interface->device.name, interface->device.arp_type);
	interface->link_type = (uint16_t)err;
	/* What leaves by loopback arrives there: once is enough, as in tcpdump. */
	if (interface->device.arp_type == ARPHRD_LOOPBACK &&
	    interface->config.directions == (XCAP_IN | XCAP_OUT))
		interface->config.directions = interface->info.directions = XCAP_IN;
	return 0;
}

static int be_promiscuous(struct dataplane_interface *interface, char *error)
{
	int fd = netdev_promiscuous(interface->config.ifindex);

	if (fd < 0)
		return explain(error, fd, "cannot make %s promiscuous (-p: do not try)",
			       interface->config.name);
	interface->promiscuous_fd = fd;
	return 0;
}

int dataplane_attach(struct dataplane_interface **ret, struct dataplane *dataplane,
		     const struct dataplane_interface_config *config,
		     char error[DATAPLANE_ERROR_LEN])
{
	struct dataplane_interface *interface = create_interface(dataplane, config);
	int err;

	if (!interface)
		return explain(error, -ENOMEM, "cannot capture on %s", config->name);
	err = query_device(interface, error);
	if (err)
		goto fail;
	if (snprintf(interface->dir, PATH_MAX, "%s/if_%u", dataplane->dir, config->ifindex) >=
	    PATH_MAX) {
		err = explain(error, -ENAMETOOLONG, "cannot capture on %s", config->name);
		goto fail;
	}
	err = interface->ops->permit ? interface->ops->permit(interface, error) : 0;
	if (err)
		goto fail;
	err = interface_compile_filters(interface, config->filters, error);
	if (err)
		goto fail;
	err = prepare_pins(interface);
	if (err) {
		explain(error, err, "cannot make %s", interface->dir);
		goto fail;
	}
	err = interface->ops->load(interface, error);
	if (!err)
		err = interface_stamps_on(interface, error);
	interface_forget_code(interface);
	interface->info.generation = interface->generation;
	if (!err && config->promiscuous)
		err = be_promiscuous(interface, error);
	if (err)
		goto fail_attached;
	err = interface_write_info(interface);
	if (err) {
		explain(error, err, "cannot note what is attached to %s", config->name);
		goto fail_attached;
	}
	*ret = interface;
	return 0;
fail_attached:
	/* What another daemon had attached goes on as it was. */
	if (!interface->adopted) {
		dataplane_detach(interface, NULL);
		return err;
	}
fail:
	unlink_interface(interface);
	interface_free(interface);
	return err;
}

int dataplane_enable(struct dataplane_interface *interface, char error[DATAPLANE_ERROR_LEN])
{
	int err;

	if (!interface->ops->enable)
		return 0;
	err = interface->ops->enable(interface, error);
	if (err)
		return err;
	err = interface_write_info(interface);
	return err ? explain(error, err, "cannot note what is attached to %s",
			     interface->config.name)
		   : 0;
}

static bool is_wanted(const struct dataplane *dataplane, const char *dir)
{
	for (const struct dataplane_interface *i = dataplane->interfaces; i; i = i->next) {
		if (!strcmp(i->dir, dir))
			return true;
	}
	return false;
}

static void prune_one(const char *dir, void *context)
{
	if (!is_wanted(context, dir))
		dataplane_remove_interface(context, dir);
}

void dataplane_prune(struct dataplane *dataplane)
{
	instance_for_each_interface(dataplane->dir, prune_one, dataplane);
}

void dataplane_detach(struct dataplane_interface *interface, struct xcap_count *counts)
{
	/* Detaching waits for programs that run: what is read then is final. */
	hook_detach(interface);
	if (counts && dataplane_counts(interface, counts))
		memset(counts, 0, sizeof(*counts) * XCAP_COUNTER_COUNT);
	if (interface->count_fd >= 0)
		dataplane_keep_counts(interface->dataplane, interface->count_fd);
	vlan_offload_restore(interface->info.ifindex, interface->info.netns,
			     interface->info.offloads_off);
	interface->info.offloads_off = 0;
	interface_stamps_back(interface);
	if (interface->foreign_fd >= 0) {
		attach_restore_foreign(&interface->foreign, interface->info.ifindex,
				       interface->foreign_fd);
		interface->foreign_fd = -1;
	}
	pins_remove_dir(interface->dir);
	unlink_interface(interface);
	interface_free(interface);
}

void dataplane_follow(struct dataplane_interface *interface, int netnsid, unsigned int ifindex)
{
	int fd = netns_open_id(netnsid);
	struct stat there;

	if (fd < 0)
		return;
	if (fstat(fd, &there) == 0) {
		interface->info.netns = there.st_ino;
		if (ifindex)
			interface->info.ifindex = ifindex;
	}
	close(fd);
}

void dataplane_rename(struct dataplane_interface *interface, const char *name)
{
	snprintf(interface->device.name, sizeof(interface->device.name), "%s", name);
	memcpy(interface->info.ifname, interface->device.name, sizeof(interface->info.ifname));
	(void)!interface_write_info(interface);
}

const char *dataplane_interface_name(const struct dataplane_interface *interface)
{
	return interface->config.name;
}

unsigned int dataplane_interface_index(const struct dataplane_interface *interface)
{
	return interface->config.ifindex;
}

enum xcap_mode dataplane_interface_mode(const struct dataplane_interface *interface)
{
	return interface->config.mode;
}

uint16_t dataplane_link_type(const struct dataplane_interface *interface)
{
	return interface->link_type;
}

bool dataplane_is_generic(const struct dataplane_interface *interface)
{
	return interface->info.flags & XCAP_INFO_GENERIC;
}

bool dataplane_is_clsact(const struct dataplane_interface *interface)
{
	return interface->info.flags & XCAP_INFO_CLSACT;
}

bool dataplane_is_attached(const struct dataplane_interface *interface)
{
	return hook_is_attached(interface);
}

unsigned int dataplane_queue_count(const struct dataplane_interface *interface)
{
	return MIN(interface->device.rx_queues, XCAP_QUEUES_MAX);
}

int dataplane_counts(const struct dataplane_interface *interface, struct xcap_count *counts)
{
	return instance_read_counts(interface->count_fd, counts);
}

int dataplane_nic(const struct dataplane_interface *interface, struct xcap_nic *ret)
{
	struct xcap_nic now;
	int err = netdev_query_nic(&now, interface->config.ifindex);

	if (!err)
		*ret = instance_nic_since(&interface->info, &now);
	return err;
}

uint64_t dataplane_started_ns(const struct dataplane_interface *interface)
{
	return interface->info.started_ns;
}

uint32_t dataplane_counts_id(const struct dataplane_interface *interface)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(interface->count_fd, &info, &len) ? UINT32_MAX : info.id;
}

int dataplane_xsk_map_fd(const struct dataplane_interface *interface)
{
	return interface->xsks_fd;
}

uint64_t dataplane_queue_handed(const struct dataplane_interface *interface, unsigned int queue)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values, sum = 0;
	__u32 key = queue;

	if (interface->handed_fd < 0 || cpus < 0)
		return 0;
	values = calloc((size_t)cpus, sizeof(*values));
	if (values && bpf_map_lookup_elem(interface->handed_fd, &key, values) == 0) {
		for (int cpu = 0; cpu < cpus; cpu++)
			sum += values[cpu];
	}
	free(values);
	return sum;
}
