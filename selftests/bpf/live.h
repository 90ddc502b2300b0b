/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters on live frames, one at a time: what a test run does not take goes through a tun device,
 * which takes any bytes, from one on, and more than a device's MTU. A namespace of its own.
 */
#pragma once

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bpf/attach.h"
#include "bpf/filter.h"
#include "bpf/filter_load.h"

#define LIVE_NOTHING 0xa5a5a5a5u /* no filter's result: it has not run */

struct live_device {
	int tun_fd, link_fd, program_fd;
	unsigned int ifindex;
};

struct live {
	struct live_device devices[2]; /* by hook */
	int beside_fd;
};

static inline int live_device_open(struct live_device *device, const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	*device = (struct live_device){ .link_fd = -1, .program_fd = -1 };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	device->tun_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 || device->tun_fd < 0 || ioctl(device->tun_fd, TUNSETIFF, &request))
		err = -errno;
	request.ifr_flags = IFF_UP;
	if (!err && ioctl(fd, SIOCSIFFLAGS, &request))
		err = -errno;
	device->ifindex = if_nametoindex(name);
	close(fd);
	return err;
}

/* beside_fd: the map of all filters. The process is in another network namespace then. */
static inline int live_open(struct live *live, int beside_fd)
{
	int err = unshare(CLONE_NEWNET) ? -errno : 0;

	live->beside_fd = beside_fd;
	if (!err)
		err = live_device_open(&live->devices[FILTER_TCX], "tcx0");
	if (!err)
		err = live_device_open(&live->devices[FILTER_XDP], "xdp0");
	return err;
}

static inline int live_attach(struct live_device *device, enum filter_hook hook, int program_fd)
{
	if (device->program_fd == program_fd)
		return 0;
	device->program_fd = program_fd;
	if (device->link_fd >= 0)
		return bpf_link_update(device->link_fd, program_fd, NULL);
	device->link_fd = hook == FILTER_XDP ? attach_xdp(program_fd, device->ifindex, true)
					     : attach_tcx(program_fd, device->ifindex, false);
	return device->link_fd < 0 ? device->link_fd : 0;
}

/* Another program may get the descriptor of this one. */
static inline void live_forget(struct live *live)
{
	live->devices[FILTER_TCX].program_fd = live->devices[FILTER_XDP].program_fd = -1;
}

/* The frame arrives at what is attached to the device. */
static inline int live_send(const struct live_device *device, const uint8_t *frame, uint32_t len)
{
	struct tun_pi protocol = { .proto = 0xb588 }; /* 0x88b5: nobody's */
	struct iovec parts[] = { { &protocol, sizeof(protocol) },
				 { (void *)(uintptr_t)frame, len } };
	ssize_t n = writev(device->tun_fd, parts, 2);

	return n < 0 ? -errno : n == (ssize_t)(sizeof(protocol) + len) ? 0 : -EMSGSIZE;
}

/* What the program, loaded with the map, says to a frame that arrives. */
static inline int live_run(uint32_t *result, struct live *live, enum filter_hook hook,
			   int program_fd, const struct filter_beside *beside, const uint8_t *frame,
			   uint32_t len)
{
	struct live_device *device = &live->devices[hook];
	struct filter_beside value = *beside;
	uint32_t key = 0;
	int err;

	value.is_live = 1;
	value.result = LIVE_NOTHING;
	err = live_attach(device, hook, program_fd);
	if (!err)
		err = filter_beside_set(live->beside_fd, &value);
	if (!err)
		err = live_send(device, frame, len);
	if (!err)
		err = bpf_map_lookup_elem(live->beside_fd, &key, &value);
	if (!err && value.result == LIVE_NOTHING)
		err = -ENOMSG;
	*result = value.result;
	return err;
}
