/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The BPF side of one instance: load, configure, attach, pin, adopt and detach. Belongs to the
 * thread that created it (control); counters may be read from any.
 *
 * Pins: BPFFS/xcap/INSTANCE/rings (array of maps), ring_CPU, self; and for each interface
 * BPFFS/xcap/INSTANCE/if_IFINDEX/{info,count,ingress,egress} (mirror: two links) or
 * {info,count,xdp,xsks} (tap). They outlive the daemon; dataplane_open() adopts rings and
 * dataplane_attach() updates the programs through the links it finds, over the same maps.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#include "bpf/xcap_abi.h"
#include "common/util.h"

#define DATAPLANE_ERROR_LEN 512

struct dataplane;
struct dataplane_interface;

struct dataplane_config {
	const char *bpffs; /* mount point; NULL: /sys/fs/bpf, else one mounted at RUN_DIR/bpf */
	const char *run_dir;
	const char *instance;
	uint64_t ring_bytes; /* all CPUs together; 0: 8 MiB per CPU, at most 128 MiB in all */
	bool want_rings;     /* mirror mode is used */
};

struct dataplane_interface_config {
	const char *name;
	unsigned int ifindex;
	enum xcap_mode mode;
	uint32_t snaplen;
	unsigned int directions; /* enum xcap_direction bits */
	bool force;		 /* tap: default route's interface, foreign XDP program */
	bool promiscuous;
};

/* On failure error says what failed, on what, why and what to do. -EPERM, -EACCES: not permitted;
 * -EBUSY: another live daemon holds the instance. */
int dataplane_open(struct dataplane **ret, const struct dataplane_config *config,
		   char error[DATAPLANE_ERROR_LEN]) must_check;
/* Pins stay: what is attached goes on. */
void dataplane_close(struct dataplane *dataplane);

/* Another daemon of this instance had left it attached. */
bool dataplane_adopted(const struct dataplane *dataplane);
unsigned int dataplane_ring_count(const struct dataplane *dataplane); /* possible CPUs */
int dataplane_ring_fd(const struct dataplane *dataplane, unsigned int cpu);

/* Both directions to and from an aggregator are our own: before the connection exists. */
int dataplane_self_add(struct dataplane *dataplane, const uint8_t address[16],
		       uint16_t port) must_check;

/* Mirror: attached when it returns. Tap: programs loaded, XSKs may be created and registered in
 * the xsk map; dataplane_enable() attaches. */
int dataplane_attach(struct dataplane_interface **ret, struct dataplane *dataplane,
		     const struct dataplane_interface_config *config,
		     char error[DATAPLANE_ERROR_LEN]) must_check;
int dataplane_enable(struct dataplane_interface *interface, char error[DATAPLANE_ERROR_LEN])
	must_check;
/* Detach and unpin this interface; its last counters are in counts (may be NULL). */
void dataplane_detach(struct dataplane_interface *interface, struct xcap_count *counts);

const char *dataplane_interface_name(const struct dataplane_interface *interface);
unsigned int dataplane_interface_index(const struct dataplane_interface *interface);
enum xcap_mode dataplane_interface_mode(const struct dataplane_interface *interface);
uint16_t dataplane_link_type(const struct dataplane_interface *interface); /* pcapng LinkType */
bool dataplane_is_generic(const struct dataplane_interface *interface);
unsigned int dataplane_queue_count(const struct dataplane_interface *interface);
int dataplane_xsk_map_fd(const struct dataplane_interface *interface);
/* Sum over the CPUs, into XCAP_COUNTER_COUNT entries. */
int dataplane_counts(const struct dataplane_interface *interface,
		     struct xcap_count *counts) must_check;

/* Remove every pin and link of an instance, and what was changed for it (VLAN offload), also after
 * a kill -9. *removed tells whether there was anything. */
int dataplane_remove(const char *bpffs, const char *run_dir, const char *instance, bool *removed,
		     char error[DATAPLANE_ERROR_LEN]) must_check;
/* The interface of the default route (IPv4, else IPv6); -ENOENT. */
int dataplane_default_interface(char name[16]) must_check;
const char *xcap_counter_name(unsigned int counter);
