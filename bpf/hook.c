/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/hook.h"

#include <bpf/bpf.h>
#include <errno.h>

#include "bpf/clsact.h"
#include "bpf/dataplane_internal.h"
#include "common/log.h"

static bool is_clsact(const struct dataplane_interface *interface)
{
	return interface->info.flags & XCAP_INFO_CLSACT;
}

/* What a kernel says to a type of link that it does not know. */
static bool has_no_tcx(int err)
{
	return err == -EINVAL || err == -EOPNOTSUPP;
}

static int attach_filter(struct dataplane_interface *interface, bool egress, int program_fd,
			 char *error)
{
	struct clsact_place place = {};
	int err;

	/* First: what is attached is to be found from here on. */
	interface->info.flags |= XCAP_INFO_CLSACT;
	err = interface_write_info(interface);
	if (!err)
		err = clsact_attach(&place, interface->dir, &interface->info, egress, program_fd);
	if (place.made_qdisc)
		interface->info.flags |= XCAP_INFO_QDISC;
	if (place.is_behind)
		log_warning(0,
			    "%s: somebody else's filter comes first at clsact %s, and what it ends "
			    "the way of is not seen (`tc filter show dev %s %s`)",
			    interface->config.name, egress ? "egress" : "ingress",
			    interface->config.name, egress ? "egress" : "ingress");
	if (!err)
		err = interface_write_info(interface);
	return err ? explain(error, err,
			     "cannot attach to %s (clsact; `tc qdisc show dev %s` tells what is in "
			     "its place)",
			     interface->config.name, interface->config.name)
		   : 0;
}

static int attach_link(struct dataplane_interface *interface, unsigned int hook, int program_fd,
		       char *error)
{
	int err = attach_tcx(program_fd, interface->config.ifindex, hook == 1);

	if (has_no_tcx(err) && hook == 0 && interface->config.tc == DATAPLANE_TC_AUTO) {
		log_info("%s: this kernel has no tcx (Linux 6.6 has it): going on with clsact",
			 interface->config.name);
		return attach_filter(interface, hook == 1, program_fd, error);
	}
	if (has_no_tcx(err))
		return explain(error, err,
			       "cannot attach to %s (tcx, which needs Linux 6.6: try --tc-mode "
			       "auto)",
			       interface->config.name);
	if (err < 0)
		return explain(error, err, "cannot attach to %s (tcx)", interface->config.name);
	interface->link_fds[hook] = err;
	err = interface_pin(interface, interface->link_fds[hook],
			    instance_link_name(XCAP_MIRROR, hook));
	return err ? explain(error, err, "cannot pin the link at %s", interface->config.name) : 0;
}

static int note_link(struct dataplane_interface *interface, unsigned int hook, char *error)
{
	struct attach_link link;
	int err = attach_read_link(interface->link_fds[hook], &link);

	if (err)
		return explain(error, err, "cannot query the link at %s", interface->config.name);
	interface->info.link_ids[hook] = link.id;
	return 0;
}

int hook_attach(struct dataplane_interface *interface, unsigned int hook, int program_fd,
		char *error)
{
	int err;

	if (is_clsact(interface) || interface->config.tc == DATAPLANE_TC_CLSACT)
		return attach_filter(interface, hook == 1, program_fd, error);
	err = attach_link(interface, hook, program_fd, error);
	return err || is_clsact(interface) ? err : note_link(interface, hook, error);
}

int hook_replace(const struct dataplane_interface *interface, unsigned int hook, int program_fd)
{
	return is_clsact(interface)
		       ? clsact_replace(interface->dir, &interface->info, hook == 1, program_fd)
		       : bpf_link_update(interface->link_fds[hook], program_fd, NULL);
}

int hook_open_program(const struct dataplane_interface *interface, unsigned int hook)
{
	struct attach_link link;
	int err;

	if (is_clsact(interface))
		return clsact_open_program(interface->dir, &interface->info, hook == 1);
	err = attach_read_link(interface->link_fds[hook], &link);
	return err ? err : bpf_prog_get_fd_by_id(link.program_id);
}

bool hook_is_attached(const struct dataplane_interface *interface)
{
	struct attach_link link;

	if (is_clsact(interface))
		return clsact_is_attached(interface->dir, &interface->info);
	for (unsigned int i = 0; i < instance_link_count(interface->config.mode); i++) {
		if (interface->link_fds[i] < 0 || attach_read_link(interface->link_fds[i], &link) ||
		    !link.ifindex)
			return false;
	}
	return true;
}

/* Other than a link's, the end of a filter does not wait for the programs that run. */
static void wait_for_programs(const struct rings *rings)
{
	__u32 first = 0;

	/* The update of an array of maps does, even by what is there already. */
	if (rings->count)
		(void)bpf_map_update_elem(rings->map_fd, &first, &rings->fds[0], BPF_ANY);
}

void hook_detach(struct dataplane_interface *interface)
{
	if (is_clsact(interface)) {
		clsact_detach(interface->dir, &interface->info);
		wait_for_programs(&interface->dataplane->rings);
		return;
	}
	for (unsigned int i = 0; i < INSTANCE_LINKS; i++) {
		if (interface->link_fds[i] >= 0)
			attach_detach_link(interface->link_fds[i]);
	}
}
