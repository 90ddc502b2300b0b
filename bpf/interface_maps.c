/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps of a load of the programs: those that an interface has in either mode. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "bpf/dataplane_internal.h"

static const struct own_map {
	const char *map, *pin;
	size_t fd; /* where struct dataplane_interface keeps it */
} own_maps[] = {
	{ "xcap_count", "count", offsetof(struct dataplane_interface, count_fd) },
	{ "xcap_info", "info", offsetof(struct dataplane_interface, info_fd) },
	{ "xcap_clock", "clock", offsetof(struct dataplane_interface, clock_fd) },
	{ "xcap_slots", "slots", offsetof(struct dataplane_interface, slots_fd) },
	{ "xcap_matched", "matched", offsetof(struct dataplane_interface, matched_fd) },
};

static int *place(const struct dataplane_interface *interface, const struct own_map *own)
{
	return (int *)((uintptr_t)interface + own->fd);
}

static int reuse_shared(const struct dataplane *dataplane, const struct bpf_object *object)
{
	struct bpf_map *self = bpf_object__find_map_by_name(object, "xcap_self");
	struct bpf_map *filters = bpf_object__find_map_by_name(object, "xcap_filters");
	int err = self && filters ? bpf_map__reuse_fd(self, dataplane->self_fd) : -ENOENT;

	if (!err)
		err = bpf_map__reuse_fd(filters, dataplane->filters_fd);
	return err ?: dataplane_share_maps(dataplane, object);
}

int interface_reuse_maps(const struct dataplane_interface *interface,
			 const struct bpf_object *object)
{
	int err = reuse_shared(interface->dataplane, object);

	for (size_t i = 0; i < ARRAY_SIZE(own_maps) && !err; i++) {
		const struct own_map *own = &own_maps[i];
		struct bpf_map *map = bpf_object__find_map_by_name(object, own->map);

		err = map ? interface_reuse_map(interface, map, own->pin, *place(interface, own))
			  : -ENOENT;
	}
	return err;
}

int interface_keep_maps(struct dataplane_interface *interface, const struct bpf_object *object)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(own_maps) && !err; i++) {
		const struct own_map *own = &own_maps[i];
		struct bpf_map *map = bpf_object__find_map_by_name(object, own->map);

		err = map ? interface_keep_map(interface, map, own->pin, place(interface, own))
			  : -ENOENT;
	}
	return err;
}
