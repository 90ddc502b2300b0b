/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/prefixes_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/maps_create.h"
#include "bpf/prefixes_table.h"

/* A map with these bytes in it, or -1 if there are none. */
static int create(int *ret, const char *name, const void *bytes, size_t count, size_t size)
{
	void *memory;
	int fd, err;

	if (!bytes)
		return 0;
	fd = maps_create(name, (uint32_t)count);
	if (fd < 0)
		return fd;
	memory = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		err = -errno;
		close(fd);
		return err;
	}
	memcpy(memory, bytes, count * size);
	munmap(memory, count * size);
	*ret = fd;
	return 0;
}

int prefixes_maps_create(struct prefixes_maps *ret, const struct prefixes *prefixes)
{
	struct prefixes_maps maps = PREFIXES_MAPS_NONE;
	struct prefixes_tables tables;
	int err;

	err = prefixes_tables_build(&tables, prefixes);
	if (err)
		return err;
	maps.config = tables.config;
	err = create(&maps.ipv4_fd, "xcap_ipv4", tables.ipv4, PREFIXES_IPV4_LEN,
		     sizeof(*tables.ipv4));
	if (!err)
		err = create(&maps.table_fd, "xcap_prefixes", tables.table, tables.table_len,
			     sizeof(*tables.table));
	if (!err)
		err = create(&maps.hints_fd, "xcap_hints", tables.hints, tables.hints_len,
			     sizeof(*tables.hints));
	prefixes_tables_release(&tables);
	if (err)
		prefixes_maps_release(&maps);
	else
		*ret = maps;
	return err;
}

void prefixes_maps_release(struct prefixes_maps *maps)
{
	if (maps->ipv4_fd >= 0)
		close(maps->ipv4_fd);
	if (maps->table_fd >= 0)
		close(maps->table_fd);
	if (maps->hints_fd >= 0)
		close(maps->hints_fd);
	*maps = (struct prefixes_maps)PREFIXES_MAPS_NONE;
}

int prefixes_maps_use(const struct prefixes_maps *maps, const struct bpf_object *object)
{
	int err = maps_share(object, "xcap_ipv4", maps->ipv4_fd);

	if (!err)
		err = maps_share(object, "xcap_prefixes", maps->table_fd);
	if (!err)
		err = maps_share(object, "xcap_hints", maps->hints_fd);
	return err ?: maps_share(object, "xcap_listed", -1);
}
