/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/rings.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "bpf/xcap_abi.h"

/* The largest record fits in the smallest ring. */
#define RING_MIN (512 * KIB)
#define RING_DEFAULT (8 * MIB)
#define RING_MAX (1 * GIB)
#define TOTAL_DEFAULT_MAX (128 * MIB)
#define NODES_MAX 64
_Static_assert(RING_MIN > XCAP_SNAPLEN_MAX + sizeof(struct xcap_record) + 8, "ring");

static int pin_path(char path[PATH_MAX], const char *dir, int ring)
{
	int len = ring < 0 ? snprintf(path, PATH_MAX, "%s/rings", dir)
			   : snprintf(path, PATH_MAX, "%s/ring_%d", dir, ring);

	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

uint64_t rings_size(uint64_t total_bytes, unsigned int *count)
{
	unsigned int cpus = (unsigned int)MAX(MIN(get_nprocs(), XCAP_CPUS_MAX), 1);
	uint64_t total = total_bytes ? total_bytes : MIN(cpus * RING_DEFAULT, TOTAL_DEFAULT_MAX);
	uint64_t size = RING_MIN;

	*count = (unsigned int)MAX(MIN(total / RING_MIN, cpus), 1);
	while (size * 2 <= total / *count && size < RING_MAX)
		size *= 2;
	return size;
}

/* The NUMA node of a CPU; -1, which the kernel takes for the nearest, if it is not known. */
static int node_of(unsigned int cpu)
{
	char path[PATH_MAX];

	for (int node = 0; node < NODES_MAX; node++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/node%d", cpu, node);
		if (access(path, F_OK) == 0)
			return node;
	}
	return -1;
}

/* At the node of the CPU that writes it, which takes the interrupts of a card at that node. */
static int create_ring(unsigned int cpu, uint64_t bytes)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NUMA_NODE,
		    .numa_node = (__u32)node_of(cpu));

	return bpf_map_create(BPF_MAP_TYPE_RINGBUF, "xcap_ring", 0, 0, (__u32)bytes, &options);
}

static int read_size(struct rings *rings)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(rings->fds[0], &info, &len);

	rings->ring_bytes = info.max_entries;
	return err;
}

int rings_adopt(struct rings *ret, const char *dir)
{
	struct rings rings = { .map_fd = -1 };
	char path[PATH_MAX];
	int err, fd;

	err = pin_path(path, dir, -1);
	if (err)
		return err;
	rings.map_fd = bpf_obj_get(path);
	if (rings.map_fd < 0) {
		err = rings.map_fd == -ENOENT ? 0 : rings.map_fd;
		*ret = (struct rings){ .map_fd = -1 };
		return err;
	}
	rings.fds = calloc(XCAP_CPUS_MAX, sizeof(*rings.fds));
	if (!rings.fds) {
		err = -ENOMEM;
		goto fail;
	}
	for (; rings.count < XCAP_CPUS_MAX; rings.count++) {
		err = pin_path(path, dir, (int)rings.count);
		if (err)
			goto fail;
		fd = bpf_obj_get(path);
		if (fd == -ENOENT)
			break;
		if (fd < 0) {
			err = fd;
			goto fail;
		}
		rings.fds[rings.count] = fd;
	}
	err = rings.count ? read_size(&rings) : -ENOENT;
	if (err)
		goto fail;
	*ret = rings;
	return 0;
fail:
	rings_release(&rings);
	return err;
}

int rings_create(struct rings *ret, const char *dir, int map_fd, uint64_t total_bytes)
{
	struct rings rings = { .map_fd = map_fd };
	unsigned int wanted, cpus = (unsigned int)libbpf_num_possible_cpus();
	char path[PATH_MAX];
	int err, fd;

	rings.ring_bytes = rings_size(total_bytes, &wanted);
	rings.fds = calloc(XCAP_CPUS_MAX, sizeof(*rings.fds));
	if (!rings.fds) {
		err = -ENOMEM;
		goto fail;
	}
	do {
		fd = create_ring(rings.count, rings.ring_bytes);
		if (fd < 0) {
			err = fd;
			goto fail;
		}
		rings.fds[rings.count++] = fd;
		err = pin_path(path, dir, (int)rings.count - 1);
		if (!err)
			err = bpf_obj_pin(fd, path);
		if (err)
			goto fail;
	} while (rings.count < wanted);
	for (__u32 cpu = 0; cpu < MIN(cpus, XCAP_CPUS_MAX); cpu++) {
		err = bpf_map_update_elem(map_fd, &cpu, &rings.fds[cpu % rings.count], BPF_ANY);
		if (err)
			goto fail;
	}
	/* Last: what can be found by it is whole. */
	err = pin_path(path, dir, -1);
	if (!err)
		err = bpf_obj_pin(map_fd, path);
	if (err)
		goto fail;
	*ret = rings;
	return 0;
fail:
	rings_unpin(&rings, dir);
	rings_release(&rings);
	return err;
}

void rings_unpin(const struct rings *rings, const char *dir)
{
	char path[PATH_MAX];

	for (int ring = -1; ring < (int)rings->count; ring++) {
		if (pin_path(path, dir, ring) == 0)
			(void)unlink(path);
	}
}

void rings_release(struct rings *rings)
{
	for (unsigned int i = 0; i < rings->count; i++)
		close(rings->fds[i]);
	free(rings->fds);
	if (rings->map_fd >= 0)
		close(rings->map_fd);
	*rings = (struct rings){ .map_fd = -1 };
}
