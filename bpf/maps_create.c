/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/maps_create.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>

#include "bpf/xcap_abi.h"

#include "bpf/mirror.skel.h"

int maps_create(const char *name, uint32_t max_entries)
{
	struct xcap_mirror *skel = xcap_mirror__open();
	struct bpf_map *wanted, *map;
	struct bpf_program *program;
	int err = 0, fd = -1;

	if (!skel)
		return -errno;
	bpf_object__for_each_program(program, skel->obj) bpf_program__set_autoload(program, false);
	wanted = bpf_object__find_map_by_name(skel->obj, name);
	bpf_object__for_each_map(map, skel->obj)
	{
		if (map != wanted && !bpf_map__is_internal(map) && !err)
			err = bpf_map__set_autocreate(map, false);
	}
	if (!wanted)
		err = -ENOENT;
	if (!err && max_entries)
		err = bpf_map__set_max_entries(wanted, max_entries);
	if (!err)
		err = xcap_mirror__load(skel);
	if (!err) {
		fd = fcntl(bpf_map__fd(wanted), F_DUPFD_CLOEXEC, 0);
		err = fd < 0 ? -errno : 0;
	}
	xcap_mirror__destroy(skel);
	return err ?: fd;
}

int maps_share(const struct bpf_object *object, const char *name, int fd)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	if (!map)
		return -ENOENT;
	return fd < 0 ? bpf_map__set_autocreate(map, false) : bpf_map__reuse_fd(map, fd);
}
