/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mirror: at two hooks, ingress and egress. */
#include "bpf/dataplane_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "bpf/compat.h"
#include "bpf/hook.h"
#include "bpf/mirror.skel.h"
#include "common/pcapng.h"

static void configure(const struct dataplane_interface *interface, struct xcap_mirror *skel)
{
	struct xcap_config *config = &skel->rodata->xcap_config;

	config->ifindex = interface->config.ifindex;
	config->snaplen = interface->config.snaplen;
	config->directions = interface->config.directions;
	config->ring_bytes = (uint32_t)interface->dataplane->rings.ring_bytes;
	config->is_raw = interface->link_type == LINKTYPE_RAW;
	skel->rodata->xcap_lists = interface->dataplane->lists.config;
	skel->rodata->xcap_can_watch = interface->dataplane->watch != NULL;
	config->generation = interface->generation;
	config->asks = interface->config.stamps ? XCAP_ASK_STAMP : 0;
	interface_configure_filters(interface, config, skel->rodata->xcap_policies,
				    skel->rodata->xcap_ranks);
}

static int load_maps(const struct dataplane_interface *interface, struct xcap_mirror *skel)
{
	int err = bpf_map__reuse_fd(skel->maps.xcap_rings, interface->dataplane->rings.map_fd);

	return err ?: interface_reuse_maps(interface, skel->obj);
}

static int attach(struct dataplane_interface *interface, int program_fd, unsigned int hook,
		  char *error)
{
	int err;

	if (!interface->adopted)
		return hook_attach(interface, hook, program_fd, error);
	err = hook_replace(interface, hook, program_fd);
	return err ? explain(error, err, "cannot replace the program at %s", interface->config.name)
		   : 0;
}

static bool may_adopt(const struct dataplane_interface *interface, const struct xcap_info *info)
{
	/* Either serves, unless one is asked for. */
	switch (interface->config.tc) {
	case DATAPLANE_TC_AUTO:
		return true;
	case DATAPLANE_TC_TCX:
		return !(info->flags & XCAP_INFO_CLSACT);
	case DATAPLANE_TC_CLSACT:
		return info->flags & XCAP_INFO_CLSACT;
	}
	return false;
}

/* One for both hooks, if a program can ask which one it is at: Linux 6.2. */
static void choose_programs(struct xcap_mirror *skel, struct bpf_program *ret[INSTANCE_LINKS])
{
	bool one = compat_kernel_at_least(6, 2);

	bpf_program__set_autoload(skel->progs.xcap_both, one);
	bpf_program__set_autoload(skel->progs.xcap_ingress, !one);
	bpf_program__set_autoload(skel->progs.xcap_egress, !one);
	ret[0] = one ? skel->progs.xcap_both : skel->progs.xcap_ingress;
	ret[1] = one ? skel->progs.xcap_both : skel->progs.xcap_egress;
}

static int load_whole(struct dataplane_interface *interface, struct xcap_mirror *skel,
		      struct bpf_program *const programs[INSTANCE_LINKS],
		      int program_fds[INSTANCE_LINKS])
{
	int err = interface_load_object(interface, skel->obj);

	if (!err)
		err = interface_keep_maps(interface, skel->obj);
	for (unsigned int i = 0; i < INSTANCE_LINKS && !err; i++)
		err = interface_keep_program(programs[i], &program_fds[i]);
	return err;
}

/* A third faster, if an earlier load has left what it takes. */
static int load_again(const struct dataplane_interface *interface, const struct xcap_mirror *skel,
		      struct bpf_program *const programs[INSTANCE_LINKS],
		      int program_fds[INSTANCE_LINKS])
{
	for (unsigned int i = 0; i < INSTANCE_LINKS; i++) {
		if (i && programs[i] == programs[0])
			program_fds[i] = fcntl(program_fds[0], F_DUPFD_CLOEXEC, 0);
		else
			program_fds[i] = interface_load_again(interface, skel->obj, programs[i], 0);
		if (program_fds[i] < 0)
			return -ENOENT;
	}
	return 0;
}

static void close_programs(int program_fds[INSTANCE_LINKS])
{
	for (unsigned int i = 0; i < INSTANCE_LINKS; i++) {
		if (program_fds[i] >= 0)
			close(program_fds[i]);
		program_fds[i] = -1;
	}
}

static int load_programs(struct dataplane_interface *interface, int program_fds[INSTANCE_LINKS],
			 char *error)
{
	struct xcap_mirror *skel = xcap_mirror__open();
	struct bpf_program *programs[INSTANCE_LINKS];
	int err;

	if (!skel)
		return explain(error, -errno, "cannot open the mirror programs");
	choose_programs(skel, programs);
	configure(interface, skel);
	err = load_maps(interface, skel);
	if (!err && load_again(interface, skel, programs, program_fds)) {
		close_programs(program_fds);
		err = load_whole(interface, skel, programs, program_fds);
	}
	xcap_mirror__destroy(skel);
	return err ? explain(error, err, "cannot load the mirror programs for %s",
			     interface->config.name)
		   : 0;
}

static int load(struct dataplane_interface *interface, char *error)
{
	int program_fds[INSTANCE_LINKS] = { -1, -1 };
	int err = load_programs(interface, program_fds, error);

	if (!err)
		err = interface_counts_ready(interface);
	for (unsigned int i = 0; i < INSTANCE_LINKS && !err; i++)
		err = attach(interface, program_fds[i], i, error);
	close_programs(program_fds);
	return err;
}

static int reload(struct dataplane_interface *interface, char *error)
{
	return load_programs(interface, interface->next_fds, error);
}

const struct mode_ops mode_mirror = {
	.may_adopt = may_adopt,
	.load = load,
	.reload = reload,
};
