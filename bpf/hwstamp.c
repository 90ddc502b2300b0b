/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/hwstamp.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/netns.h"

void hwstamp_query(struct hwstamp *ret, const struct netdev *device)
{
	const uint32_t own = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
	uint32_t kinds, filters;

	*ret = (struct hwstamp){ .phc = -1 };
	if (netdev_stamps(device, &kinds, &filters, &ret->phc) || (kinds & own) != own)
		return;
	ret->some = filters & ~(1u << HWTSTAMP_FILTER_NONE);
	ret->all = filters & 1u << HWTSTAMP_FILTER_ALL;
}

/* request: SIOCGHWTSTAMP or SIOCSHWTSTAMP. */
static int configure(unsigned int ifindex, unsigned long request, struct hwtstamp_config *config)
{
	struct ifreq device = { .ifr_ifindex = (int)ifindex };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFNAME, &device) < 0)
		err = -errno;
	device.ifr_data = (void *)config;
	if (!err && ioctl(fd, request, &device) < 0)
		err = -errno;
	close(fd);
	return err;
}

int hwstamp_on(unsigned int ifindex, bool may_switch, uint32_t *before)
{
	struct hwtstamp_config config = {};
	int filter, err;

	/* Drivers that do not tell have nothing switched on that could be kept. */
	if (configure(ifindex, SIOCGHWTSTAMP, &config))
		config = (struct hwtstamp_config){};
	if (config.rx_filter == HWTSTAMP_FILTER_ALL)
		return 0;
	if (!may_switch)
		return -EAGAIN;
	filter = config.rx_filter;
	config.rx_filter = HWTSTAMP_FILTER_ALL;
	err = configure(ifindex, SIOCSHWTSTAMP, &config);
	if (err)
		return err;
	*before = (uint32_t)filter + 1;
	/* What it can comes back: some packets are not all. */
	return config.rx_filter == HWTSTAMP_FILTER_ALL ? 0 : -EOPNOTSUPP;
}

struct restore_job {
	unsigned int ifindex;
	uint32_t before;
};

static int restore(void *context)
{
	const struct restore_job *job = context;
	struct hwtstamp_config config;
	int err = configure(job->ifindex, SIOCGHWTSTAMP, &config);

	/* Others have set it otherwise meanwhile. */
	if (err || config.rx_filter != HWTSTAMP_FILTER_ALL)
		return err;
	config.rx_filter = (int)job->before - 1;
	return configure(job->ifindex, SIOCSHWTSTAMP, &config);
}

void hwstamp_restore(unsigned int ifindex, uint64_t netns, uint32_t before)
{
	struct restore_job job = { .ifindex = ifindex, .before = before };
	int fd;

	if (!before)
		return;
	if (netns == netns_self()) {
		(void)restore(&job);
		return;
	}
	fd = netns_open(netns);
	if (fd < 0)
		return;
	(void)!netns_run(fd, restore, &job);
	close(fd);
}
