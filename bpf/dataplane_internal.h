/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What dataplane.c and the modes (mode_mirror.c, mode_tap.c) share. */
#pragma once

#include <limits.h>
#include <linux/types.h>

#include "bpf/attach.h"
#include "bpf/dataplane.h"
#include "bpf/filter_set.h"
#include "bpf/instance.h"
#include "bpf/netdev.h"
#include "bpf/pins.h"
#include "bpf/policies.h"
#include "bpf/prefixes_maps.h"
#include "bpf/rings.h"
#include "bpf/watch.h"

struct dataplane {
	struct dataplane_interface *interfaces;
	struct pins_lock lock;
	struct rings rings;
	char dir[PATH_MAX];
	int self_fd;
	int gone_fd; /* a map as xcap_count */
	int filters_fd;
	struct prefixes_maps lists;
	struct watch *watch; /* NULL: nothing can be watched */
	struct splice_kept *kept;
	bool adopted;
	uint32_t told_generation; /* of filters of which it was said what they are not asked */
};

struct dataplane_interface {
	struct dataplane_interface *next;
	struct dataplane *dataplane;
	const struct mode_ops *ops;
	struct dataplane_interface_config config;
	struct netdev device;
	struct netdev_xdp xdp; /* tap */
	struct xcap_info info;
	char dir[PATH_MAX]; /* of its pins */
	uint16_t link_type;
	struct filter_code filter; /* while loading; no instructions: everything matches */
	struct filter_code other;  /* the same for the other link type, inside of tunnels */
	struct policies policies;
	bool has_ranks;
	struct xcap_slot slots[XCAP_FILTERS_MAX]; /* as told with the next programs */
	uint32_t generation;	      /* of the filters being loaded; info's: in force */
	int next_fds[INSTANCE_LINKS]; /* programs prepared for each link, not in force; or -1 */
	bool adopted;		      /* its pins are there, its links live */
	int link_fds[INSTANCE_LINKS];
	int info_fd, count_fd, clock_fd, matched_fd, slots_fd;
	struct xcap_clock clock; /* as it is in the map */
	int xsks_fd, handed_fd;	 /* tap */
	int promiscuous_fd;
	struct xcap_tap *tap; /* from load to enable */
	struct attach_foreign foreign;
	int foreign_fd; /* what was there before us */
};

struct bpf_map;
struct bpf_object;
struct bpf_program;

struct mode_ops {
	/* May it be attached there at all? NULL: anywhere. */
	int (*permit)(struct dataplane_interface *interface, char *error);
	/* May it take over what another daemon left? NULL: always. */
	bool (*may_adopt)(const struct dataplane_interface *interface,
			  const struct xcap_info *info);
	/* Programs and maps; attaches if there is no enable(). */
	int (*load)(struct dataplane_interface *interface, char *error);
	int (*enable)(struct dataplane_interface *interface, char *error);
	/* Programs with other filters over the same maps, into next_fds. */
	int (*reload)(struct dataplane_interface *interface, char *error);
	void (*release)(struct dataplane_interface *interface);
};

extern const struct mode_ops mode_mirror, mode_tap;

/* Its counters go to those of the interfaces that are gone. */
void dataplane_keep_counts(struct dataplane *dataplane, int count_fd);
/* The same, and remove what is pinned in the folder of an interface. */
void dataplane_remove_interface(struct dataplane *dataplane, const char *dir);

/* Before load: the maps that all interfaces share. */
int dataplane_share_maps(const struct dataplane *dataplane,
			 const struct bpf_object *object) must_check;

void interface_free(struct dataplane_interface *interface);
/* Before load: take the map that we hold already (fd >= 0), or a pinned one, if the interface is
 * adopted. */
int interface_reuse_map(const struct dataplane_interface *interface, struct bpf_map *map,
			const char *name, int fd) must_check;
/* After load: *fd, unless it is held already, is a descriptor of its own; pinned, unless it was
 * taken over. */
int interface_keep_map(const struct dataplane_interface *interface, struct bpf_map *map,
		       const char *name, int *fd) must_check;
/* Both for all maps that both modes have: those of the interface, and before load also those of the
 * instance. */
int interface_reuse_maps(const struct dataplane_interface *interface,
			 const struct bpf_object *object) must_check;
int interface_keep_maps(struct dataplane_interface *interface,
			const struct bpf_object *object) must_check;
/* *fd is a descriptor of its own. */
int interface_keep_program(const struct bpf_program *program, int *fd) must_check;
/* After interface_keep_map() for the counters, before anything is attached. */
int interface_counts_ready(const struct dataplane_interface *interface) must_check;
int interface_pin(const struct dataplane_interface *interface, int fd, const char *name) must_check;
/* The network card's time stamps on, or back to what they were before us. */
int interface_stamps_on(struct dataplane_interface *interface, char *error) must_check;
void interface_stamps_back(struct dataplane_interface *interface);
int interface_write_info(struct dataplane_interface *interface) must_check;

/* Of interface_filters.c: what is to be loaded, until interface_forget_code(). */
int interface_compile_filters(struct dataplane_interface *interface,
			      const struct filter_set *filters, char *error) must_check;
/* Of interface_matched.c: what they are called. */
void interface_name_slots(struct dataplane_interface *interface, const struct filter_set *filters);
/* Before their programs are in force: into the pinned map; a new one has matched nothing yet. */
int interface_tell_slots(const struct dataplane_interface *interface) must_check;
/* What programs are told of them. */
void interface_configure_filters(const struct dataplane_interface *interface,
				 struct xcap_config *config, struct xcap_policy *policies,
				 __u8 *ranks);
/* bpf_object__load() with them. */
int interface_load_object(const struct dataplane_interface *interface,
			  struct bpf_object *object) must_check;
/* One program of an object that is not loaded, over maps that are there; ifindex: what it is bound
 * to, or 0. -ENOENT and whatever else goes wrong: load the object. */
int interface_load_again(const struct dataplane_interface *interface,
			 const struct bpf_object *object, const struct bpf_program *program,
			 unsigned int ifindex) must_check;
void interface_forget_code(struct dataplane_interface *interface);
