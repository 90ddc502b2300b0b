/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/vlan.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/explain.h"
#include "bpf/netns.h"

#define FEATURES_MAX 256
#define BLOCKS_MAX (FEATURES_MAX / 32)

/* A zeroed command of ethtool with room for the array it ends in. */
#define COMMAND(type, name)                                                            \
	union {                                                                        \
		uint64_t align;                                                        \
		uint8_t bytes[sizeof(type) +                                           \
			      BLOCKS_MAX * sizeof(struct ethtool_get_features_block)]; \
	} name##_memory = {};                                                          \
	type *name = (void *)&name##_memory

static const struct vlan_feature {
	const char *name;
	uint32_t bit; /* enum xcap_offload */
} features[] = {
	{ "rx-vlan-hw-parse", XCAP_RX_VLAN },
	{ "rx-vlan-stag-hw-parse", XCAP_RX_STAG },
	{ "tx-vlan-hw-insert", XCAP_PEER_TX_VLAN },
	{ "tx-vlan-stag-hw-insert", XCAP_PEER_TX_STAG },
};

#define RX_FEATURES (XCAP_RX_VLAN | XCAP_RX_STAG)
#define PEER_FEATURES (XCAP_PEER_TX_VLAN | XCAP_PEER_TX_STAG)

/* What is asked of one device, in the thread's namespace. */
struct vlan_job {
	unsigned int ifindex;
	uint32_t bits;	  /* features looked at */
	bool on;	  /* on or off */
	uint32_t changed; /* features that were not so before */
};

static int device_ioctl(unsigned int ifindex, void *command)
{
	struct ifreq request = { .ifr_ifindex = (int)ifindex };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFNAME, &request) < 0) {
		err = -errno;
	} else {
		request.ifr_data = command;
		if (ioctl(fd, SIOCETHTOOL, &request) < 0)
			err = -errno;
	}
	close(fd);
	return err;
}

static int name_features(unsigned int ifindex, struct ethtool_gstrings *strings)
{
	COMMAND(struct ethtool_sset_info, query);
	int err;

	query->cmd = ETHTOOL_GSSET_INFO;
	query->sset_mask = 1ull << ETH_SS_FEATURES;
	err = device_ioctl(ifindex, query);
	if (err)
		return err;
	if (!query->sset_mask || query->data[0] > FEATURES_MAX)
		return -EOPNOTSUPP;
	*strings = (struct ethtool_gstrings){
		.cmd = ETHTOOL_GSTRINGS,
		.string_set = ETH_SS_FEATURES,
		.len = query->data[0],
	};
	return device_ioctl(ifindex, strings);
}

/* Number of a feature in the kernel's list, -1 if it has none of that name. */
static int number_of(const struct ethtool_gstrings *strings, const char *name)
{
	for (uint32_t i = 0; i < strings->len; i++) {
		if (!strncmp((const char *)strings->data + (size_t)i * ETH_GSTRING_LEN, name,
			     ETH_GSTRING_LEN))
			return (int)i;
	}
	return -1;
}

/* Those of the bits that are on. */
static int read_features(unsigned int ifindex, const struct ethtool_gstrings *strings,
			 uint32_t *active)
{
	COMMAND(struct ethtool_gfeatures, query);
	int err;

	query->cmd = ETHTOOL_GFEATURES;
	query->size = BLOCKS_MAX;
	err = device_ioctl(ifindex, query);
	if (err)
		return err;
	*active = 0;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		int number = number_of(strings, features[i].name);

		if (number >= 0 && query->features[number / 32].active & 1u << number % 32)
			*active |= features[i].bit;
	}
	return 0;
}

static int write_features(unsigned int ifindex, const struct ethtool_gstrings *strings,
			  uint32_t bits, bool on)
{
	COMMAND(struct ethtool_sfeatures, command);

	command->cmd = ETHTOOL_SFEATURES;
	command->size = (strings->len + 31) / 32;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		int number = number_of(strings, features[i].name);
		uint32_t mask;

		if (number < 0 || !(features[i].bit & bits))
			continue;
		mask = 1u << number % 32;
		command->features[number / 32].valid |= mask;
		if (on)
			command->features[number / 32].requested |= mask;
	}
	return device_ioctl(ifindex, command);
}

static int switch_features(void *context)
{
	struct vlan_job *job = context;
	struct ethtool_gstrings *strings;
	uint32_t active;
	int err;

	strings = calloc(1, sizeof(*strings) + FEATURES_MAX * ETH_GSTRING_LEN);
	if (!strings)
		return -ENOMEM;
	err = name_features(job->ifindex, strings);
	if (!err)
		err = read_features(job->ifindex, strings, &active);
	if (err)
		goto out;
	job->changed = job->on ? job->bits & ~active : job->bits & active;
	if (!job->changed)
		goto out;
	err = write_features(job->ifindex, strings, job->changed, job->on);
	if (!err)
		err = read_features(job->ifindex, strings, &active);
	/* Some drivers agree and change nothing, or only a part. */
	if (!err && (job->on ? job->changed & ~active : job->changed & active))
		err = -EIO;
	if (err) {
		(void)!write_features(job->ifindex, strings, job->changed, !job->on);
		job->changed = 0;
	}
out:
	free(strings);
	return err;
}

static int run_at_peer(const struct netdev *device, struct vlan_job *job)
{
	int fd, err;

	job->ifindex = device->peer;
	if (device->peer_netnsid < 0)
		return switch_features(job);
	fd = netns_open_id(device->peer_netnsid);
	if (fd < 0)
		return fd;
	err = netns_run(fd, switch_features, job);
	close(fd);
	return err;
}

static bool is_veth(const struct netdev *device)
{
	return !strcmp(device->kind, "veth");
}

/* Their frames came through other devices, and the kernel took the tags out on the way. */
static bool is_stacked(const struct netdev *device)
{
	static const char *const kinds[] = { "bridge", "bond",	 "team", "macvlan",    "macvtap",
					     "ipvlan", "ipvtap", "hsr",	 "openvswitch" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!strcmp(device->kind, kinds[i]))
			return true;
	}
	return false;
}

int vlan_offload_off(const struct netdev *device, uint32_t *switched_off, char *error)
{
	struct vlan_job job = { .ifindex = device->ifindex };
	int err;

	if (is_stacked(device))
		return explain_only(
			error, -EOPNOTSUPP,
			"on %s VLAN tags would be lost: XDP on a %s does not see them (tap the "
			"devices below it, or mirror; --force taps it all the same)",
			device->name, device->kind);
	if (is_veth(device)) {
		job.bits = PEER_FEATURES;
		err = run_at_peer(device, &job);
		if (err)
			return explain(
				error, err,
				"on %s VLAN tags would be lost: cannot switch VLAN offload off "
				"at its other end (`ethtool -K PEER txvlan off "
				"tx-vlan-stag-hw-insert off` there, and --force here)",
				device->name);
	} else {
		job.bits = RX_FEATURES;
		err = switch_features(&job);
		/* Without ethtool there is nothing that could be offloaded. */
		if (err && err != -EOPNOTSUPP)
			return explain(
				error, err,
				"on %s VLAN tags would be lost: cannot switch VLAN offload off "
				"(`ethtool -K %s rxvlan off`; --force taps it all the same)",
				device->name, device->name);
	}
	*switched_off |= job.changed;
	return 0;
}

struct restore_job {
	unsigned int ifindex;
	uint32_t bits;
};

static int restore(void *context)
{
	const struct restore_job *wanted = context;
	struct vlan_job job = { .on = true };
	struct netdev device;
	int err = netdev_query(&device, wanted->ifindex);

	if (err)
		return err;
	if (wanted->bits & PEER_FEATURES && is_veth(&device)) {
		job.bits = wanted->bits & PEER_FEATURES;
		err = run_at_peer(&device, &job);
	}
	if (wanted->bits & RX_FEATURES) {
		job.bits = wanted->bits & RX_FEATURES;
		job.ifindex = device.ifindex;
		err = switch_features(&job);
	}
	return err;
}

void vlan_offload_restore(unsigned int ifindex, uint64_t netns, uint32_t switched_off)
{
	struct restore_job job = { .ifindex = ifindex, .bits = switched_off };

	if (switched_off)
		(void)!netns_run_at(netns, restore, &job);
}
