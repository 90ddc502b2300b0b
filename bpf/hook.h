/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the programs of an interface in mirror mode are attached, ingress (hook 0) and egress (1):
 * tcx links, or filters of clsact where the kernel has no tcx. Part of the dataplane.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#include "common/util.h"

struct dataplane_interface;

/*
 * Attached and noted in interface->info, links also pinned. On the way the first of them decides
 * which kind it is.
 */
int hook_attach(struct dataplane_interface *interface, unsigned int hook, int program_fd,
		char *error) must_check;
/* Another program in the place of the one attached: each packet meets one of the two. Also tap's.
 */
int hook_replace(const struct dataplane_interface *interface, unsigned int hook,
		 int program_fd) must_check;
/* Descriptor of the one attached. */
int hook_open_program(const struct dataplane_interface *interface, unsigned int hook) must_check;
bool hook_is_attached(const struct dataplane_interface *interface);
/* No program runs any more when it returns. */
void hook_detach(struct dataplane_interface *interface);
