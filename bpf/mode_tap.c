/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tap: one XDP link, native where the driver can, else generic. Loaded first, so that sockets can
 * be registered; attached by enable().
 */
#include "bpf/dataplane_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <unistd.h>

#include "bpf/compat.h"
#include "bpf/tap.skel.h"
#include "bpf/vlan.h"
#include "common/log.h"
#include "common/pcapng.h"

static uint32_t own_program(const struct dataplane_interface *interface)
{
	int fd = instance_open_pin(interface->dir, instance_link_name(XCAP_TAP, 0));
	struct attach_link link = {};

	if (fd < 0)
		return 0;
	if (attach_read_link(fd, &link) || link.ifindex != interface->config.ifindex)
		link.program_id = 0;
	close(fd);
	return link.program_id;
}

static bool has_default_route(unsigned int ifindex)
{
	unsigned int list[16];
	size_t count = netdev_default_routes(list, ARRAY_SIZE(list));

	for (size_t i = 0; i < count; i++) {
		if (list[i] == ifindex)
			return true;
	}
	return false;
}

static int permit(struct dataplane_interface *interface, char *error)
{
	const struct dataplane_interface_config *config = &interface->config;
	int err;

	if (!config->force && has_default_route(config->ifindex))
		return explain_only(
			error, -EINVAL,
			"refusing to tap %s: the default route goes over it, and what a "
			"tap takes does not reach this host (use mirror, or --force)",
			config->name);
	err = attach_find_foreign(&interface->foreign, config->ifindex, own_program(interface));
	if (err)
		return explain(error, err, "cannot query the XDP program of %s", config->name);
	if (interface->foreign.program_id && !config->force)
		return explain_only(
			error, -EEXIST,
			"refusing to tap %s: somebody else's XDP program is there, id %u "
			"(%s): remove it (`ip link set %s xdp off`), or use --force",
			config->name, interface->foreign.program_id, interface->foreign.name,
			config->name);
	return 0;
}

static bool may_adopt(const struct dataplane_interface *interface, const struct xcap_info *info)
{
	/* A forced tap is not pinned, one attached does not change its mode. */
	return !interface->config.force &&
	       (!interface->config.generic || info->flags & XCAP_INFO_GENERIC);
}

static void configure(const struct dataplane_interface *interface, struct xcap_tap *skel)
{
	struct xcap_config *config = &skel->rodata->xcap_config;

	config->ifindex = interface->config.ifindex;
	config->snaplen = interface->config.snaplen;
	config->directions = interface->config.directions;
	config->is_raw = interface->link_type == LINKTYPE_RAW;
	skel->rodata->xcap_lists = interface->dataplane->lists.config;
	skel->rodata->xcap_can_watch = interface->dataplane->watch != NULL;
	config->generation = interface->generation;
	interface_configure_filters(interface, config, skel->rodata->xcap_policies,
				    skel->rodata->xcap_ranks);
	config->pass_no_socket = 1;
	config->whole_only = !compat_kernel_at_least(6, 6);
	config->asks = (interface->xdp.vlan_tag && !config->is_raw ? XCAP_ASK_TAG : 0) |
		       (interface->config.stamps ? XCAP_ASK_STAMP : 0);
}

/* The program that asks the driver is bound to the device. */
static void bind_to_device(const struct dataplane_interface *interface, struct bpf_program *program)
{
	bpf_program__set_ifindex(program, interface->config.ifindex);
	(void)bpf_program__set_flags(program,
				     bpf_program__flags(program) | COMPAT_F_XDP_DEV_BOUND_ONLY);
}

static int load_maps(const struct dataplane_interface *interface, struct xcap_tap *skel)
{
	int err = interface_reuse_maps(interface, skel->obj);

	if (!err)
		err = interface_reuse_map(interface, skel->maps.xcap_xsks, "xsks",
					  interface->xsks_fd);
	if (!err)
		err = interface_reuse_map(interface, skel->maps.xcap_handed, "handed",
					  interface->handed_fd);
	return err;
}

static int keep_maps(struct dataplane_interface *interface, struct xcap_tap *skel)
{
	int err = interface_keep_maps(interface, skel->obj);

	if (!err)
		err = interface_keep_map(interface, skel->maps.xcap_xsks, "xsks",
					 &interface->xsks_fd);
	if (!err)
		err = interface_keep_map(interface, skel->maps.xcap_handed, "handed",
					 &interface->handed_fd);
	return err;
}

static bool expects_generic(const struct dataplane_interface *interface)
{
	if (interface->adopted || interface->link_fds[0] >= 0)
		return interface->info.flags & XCAP_INFO_GENERIC;
	return interface->config.generic || (interface->xdp.known && !interface->xdp.native);
}

static bool asks_driver(const struct dataplane_interface *interface)
{
	return (interface->link_type != LINKTYPE_RAW && interface->xdp.vlan_tag) ||
	       interface->config.stamps;
}

/* The program that is attached asks the driver. */
static bool is_bound(const struct dataplane_interface *interface)
{
	return asks_driver(interface) && !(interface->info.flags & XCAP_INFO_GENERIC);
}

/* Before it is attached, either may be the one: generic mode cannot ask. */
static void choose_programs(const struct dataplane_interface *interface, struct xcap_tap *skel)
{
	bool attached = interface->link_fds[0] >= 0;
	bool bound = attached ? is_bound(interface)
			      : asks_driver(interface) && !expects_generic(interface);

	bpf_program__set_autoload(skel->progs.xcap_tap_tag, bound);
	bpf_program__set_autoload(skel->progs.xcap_tap, !attached || !bound);
	if (bound)
		bind_to_device(interface, skel->progs.xcap_tap_tag);
}

/* Open and set up, over the maps that are there already. */
static int open_programs(const struct dataplane_interface *interface, struct xcap_tap **ret,
			 char *error)
{
	struct xcap_tap *skel = xcap_tap__open();
	int err;

	if (!skel)
		return explain(error, -errno, "cannot open the tap program");
	choose_programs(interface, skel);
	configure(interface, skel);
	err = load_maps(interface, skel);
	if (err) {
		xcap_tap__destroy(skel);
		return explain(error, err, "cannot set up the tap program for %s",
			       interface->config.name);
	}
	*ret = skel;
	return 0;
}

static int load_programs(struct dataplane_interface *interface, struct xcap_tap *skel, char *error)
{
	int err = interface_load_object(interface, skel->obj);

	if (!err)
		err = keep_maps(interface, skel);
	return err ? explain(error, err, "cannot load the tap program for %s",
			     interface->config.name)
		   : 0;
}

static int load(struct dataplane_interface *interface, char *error)
{
	int err;

	netdev_query_xdp(&interface->xdp, interface->config.ifindex);
	if (expects_generic(interface))
		interface->info.flags |= XCAP_INFO_GENERIC;
	err = open_programs(interface, &interface->tap, error);
	if (!err)
		err = load_programs(interface, interface->tap, error);
	if (!err)
		err = interface_counts_ready(interface);
	return err;
}

static int reload(struct dataplane_interface *interface, char *error)
{
	bool bound = is_bound(interface);
	const struct bpf_program *program;
	struct xcap_tap *skel;
	int err, fd;

	err = open_programs(interface, &skel, error);
	if (err)
		return err;
	program = bound ? skel->progs.xcap_tap_tag : skel->progs.xcap_tap;
	fd = interface_load_again(interface, skel->obj, program,
				  bound ? interface->config.ifindex : 0);
	if (fd >= 0) {
		interface->next_fds[0] = fd;
	} else {
		err = load_programs(interface, skel, error);
		if (!err)
			err = interface_keep_program(program, &interface->next_fds[0]);
	}
	xcap_tap__destroy(skel);
	return err;
}

/* The program for a mode, with the tags in the frame one way or the other. */
static int prepare_program(struct dataplane_interface *interface, bool generic, int *program_fd,
			   char *error)
{
	struct xcap_tap *skel = interface->tap;
	int err;

	*program_fd = bpf_program__fd(!generic && asks_driver(interface) ? skel->progs.xcap_tap_tag
									 : skel->progs.xcap_tap);
	if (interface->link_type == LINKTYPE_RAW || (!generic && interface->xdp.vlan_tag))
		return 0;
	err = vlan_offload_off(&interface->device, &interface->info.offloads_off, error);
	if (err && interface->config.force) {
		log_warning(0, "%s", error);
		err = 0;
	}
	return err;
}

static int attach_mode(struct dataplane_interface *interface, bool generic, char *error)
{
	int program_fd, err;

	err = prepare_program(interface, generic, &program_fd, error);
	if (err)
		return err;
	err = attach_xdp(program_fd, interface->config.ifindex, generic);
	if (err < 0)
		return explain(error, err, "cannot attach to %s (%s XDP)", interface->config.name,
			       generic ? "generic" : "native");
	interface->link_fds[0] = err;
	interface->info.flags &= ~(uint32_t)XCAP_INFO_GENERIC;
	if (generic)
		interface->info.flags |= XCAP_INFO_GENERIC;
	return 0;
}

static int attach(struct dataplane_interface *interface, char *error)
{
	char native_error[EXPLAIN_LEN];
	int err;

	if (interface->foreign.program_id) {
		err = attach_remove_foreign(&interface->foreign, interface->config.ifindex,
					    &interface->foreign_fd);
		if (err)
			return explain(error, err, "cannot remove XDP program %u of %s",
				       interface->foreign.program_id, interface->config.name);
	}
	if (!expects_generic(interface)) {
		err = attach_mode(interface, false, native_error);
		if (!err)
			return 0;
		log_info("%s: going on in generic mode", native_error);
	}
	return attach_mode(interface, true, error);
}

static int update(struct dataplane_interface *interface, char *error)
{
	int program_fd, err;

	err = prepare_program(interface, interface->info.flags & XCAP_INFO_GENERIC, &program_fd,
			      error);
	if (err)
		return err;
	err = bpf_link_update(interface->link_fds[0], program_fd, NULL);
	return err ? explain(error, err, "cannot replace the program at %s", interface->config.name)
		   : 0;
}

static int enable(struct dataplane_interface *interface, char *error)
{
	struct attach_link link;
	int err;

	err = interface->adopted ? update(interface, error) : attach(interface, error);
	if (err)
		return err;
	if (interface->config.force) {
		interface->info.flags |= XCAP_INFO_UNPINNED;
	} else if (!interface->adopted) {
		err = interface_pin(interface, interface->link_fds[0],
				    instance_link_name(XCAP_TAP, 0));
		if (err)
			return explain(error, err, "cannot pin the link at %s",
				       interface->config.name);
	}
	err = attach_read_link(interface->link_fds[0], &link);
	if (err)
		return explain(error, err, "cannot query the link at %s", interface->config.name);
	interface->info.link_ids[0] = link.id;
	xcap_tap__destroy(interface->tap);
	interface->tap = NULL;
	return 0;
}

static void release(struct dataplane_interface *interface)
{
	xcap_tap__destroy(interface->tap);
}

const struct mode_ops mode_tap = {
	.permit = permit,
	.may_adopt = may_adopt,
	.load = load,
	.enable = enable,
	.reload = reload,
	.release = release,
};
