/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The BPF side of one instance: load, configure, attach, pin, adopt and detach. Belongs to the
 * thread that created it (control); counters may be read from any.
 *
 * Pins: BPFFS/xcap/INSTANCE/rings (array of maps, by CPU), ring_N, self, filters, gone (what
 * interfaces detached since had counted), listed (how many prefixes), watch and watching (flows);
 * and for each interface BPFFS/xcap/INSTANCE/if_IFINDEX/{info,count,clock,slots,matched} and
 * {ingress,egress} (mirror: two links) or {xdp,xsks,handed} (tap). Without tcx there are filters,
 * no links: bpf/clsact.h. They outlive the daemon; dataplane_open() adopts rings and
 * dataplane_attach() updates the programs through the links it finds, over the same maps;
 * dataplane_prune() then removes what nobody asked for any more.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#include "bpf/explain.h"
#include "bpf/filter_set.h"
#include "bpf/prefixes.h"
#include "bpf/xcap_abi.h"
#include "common/util.h"

#define DATAPLANE_ERROR_LEN EXPLAIN_LEN

struct dataplane;
struct watch;
struct dataplane_interface;

struct dataplane_config {
	const char *bpffs; /* mount point; NULL: /sys/fs/bpf, else one mounted at RUN_DIR/bpf */
	const char *run_dir;
	const char *instance;
	uint64_t ring_bytes; /* all rings together; 0: 8 MiB per CPU, at most 128 MiB in all */
	bool want_rings;     /* mirror mode is used */
	uint32_t watch_max;  /* flows that may be watched; 0: none, at no cost */
};

/* mirror: auto is tcx where the kernel has it, else clsact. */
enum dataplane_tc { DATAPLANE_TC_AUTO, DATAPLANE_TC_TCX, DATAPLANE_TC_CLSACT };

struct dataplane_interface_config {
	const char *name;
	unsigned int ifindex;
	enum xcap_mode mode;
	uint32_t snaplen;
	unsigned int directions; /* enum xcap_direction bits; both on loopback: arriving only */
	const struct filter_set *filters; /* during the call; no rules: everything */
	bool decap;			  /* they also see what tunnels carry */
	bool may_differ;	  /* a filter that is none of its link type matches nothing there */
	struct xcap_policy usual; /* sampling, where no filter says another; not keep */
	bool force; /* tap: default route's interface, foreign XDP program; then it is not pinned */
	bool generic; /* tap: do not try native XDP */
	bool stamps;  /* ask the driver for the network card's time: dataplane_set_clock() */
	bool stamps_as_they_are; /* but do not switch them on: some drivers lose the link for that
				  */
	enum dataplane_tc tc;
	bool promiscuous;
	/* Before its first packet: what dataplane_counts_id() will be. NULL: nobody asks. */
	void (*counts_ready)(void *context, uint32_t counts_id);
	void *context;
};

/* On failure error says what failed, on what, why and what to do. -EPERM, -EACCES: not permitted;
 * -EBUSY: another live daemon holds the instance. */
int dataplane_open(struct dataplane **ret, const struct dataplane_config *config,
		   char error[DATAPLANE_ERROR_LEN]) must_check;
/*
 * Pins stay and what is attached goes on, except a forced tap. Interfaces not detached are freed.
 * If nothing is attached any more, nothing stays.
 */
void dataplane_close(struct dataplane *dataplane);

/* Another daemon of this instance had left it attached. */
bool dataplane_adopted(const struct dataplane *dataplane);
/* Rings: one per CPU online, or fewer that CPUs share. */
unsigned int dataplane_ring_count(const struct dataplane *dataplane);
int dataplane_ring_fd(const struct dataplane *dataplane, unsigned int ring);

/* Both directions to and from an aggregator are our own: before the connection exists. */
int dataplane_self_add(struct dataplane *dataplane, const uint8_t address[16],
		       uint16_t port) must_check;

/*
 * Lists of addresses for what is loaded from here on, by attaching or preparing filters: those that
 * are in force there stay as they are. lists: during the call; NULL, empty: none.
 */
int dataplane_set_lists(struct dataplane *dataplane, const struct prefixes *lists,
			char error[DATAPLANE_ERROR_LEN]) must_check;
/* NULL: nothing can be watched. */
struct watch *dataplane_watch(const struct dataplane *dataplane);

/* Mirror: attached when it returns. Tap: programs loaded, XSKs may be created and registered in
 * the xsk map; dataplane_enable() attaches. -EDOM: the card's time stamps cannot be switched on. */
int dataplane_attach(struct dataplane_interface **ret, struct dataplane *dataplane,
		     const struct dataplane_interface_config *config,
		     char error[DATAPLANE_ERROR_LEN]) must_check;
int dataplane_enable(struct dataplane_interface *interface,
		     char error[DATAPLANE_ERROR_LEN]) must_check;
/*
 * Other filters on an interface that captures: prepare loads and verifies, apply puts them in force
 * without a packet missed or judged by half of them. Prepared ones that are not applied are
 * forgotten with the next prepare or detach. On failure the old ones stay in force.
 */
int dataplane_prepare_filters(struct dataplane_interface *interface,
			      const struct filter_set *filters,
			      char error[DATAPLANE_ERROR_LEN]) must_check;
int dataplane_apply_filters(struct dataplane_interface *interface,
			    char error[DATAPLANE_ERROR_LEN]) must_check;
/* What comes into force, for those who look at the maps and for the next daemon. */
void dataplane_note_filters(struct dataplane *dataplane, const struct filter_set *filters);
/* What was noted last; generation 0: nothing. */
void dataplane_noted_filters(const struct dataplane *dataplane, struct xcap_filters *ret);
/*
 * The network card's stamps become times of packets by this line, until it says so itself; before
 * the first and after that the kernel's are taken, and XCAP_NO_STAMP counts them.
 */
int dataplane_set_clock(struct dataplane_interface *interface,
			const struct xcap_line *line) must_check;
/* Remove what an earlier daemon had attached and this one has not: after the last attach. */
void dataplane_prune(struct dataplane *dataplane);
/* Detach, unpin and free this interface; its last counters are in counts (may be NULL), and in
 * dataplane_gone_counts() from here on. */
void dataplane_detach(struct dataplane_interface *interface, struct xcap_count *counts);

/* The device was moved to another network namespace (as ours knows it), where it has this index:
 * what was changed for it is restored there when it is detached. */
void dataplane_follow(struct dataplane_interface *interface, int netnsid, unsigned int ifindex);
/* The device has another name: for those who look at the pins. */
void dataplane_rename(struct dataplane_interface *interface, const char *name);

const char *dataplane_interface_name(const struct dataplane_interface *interface);
unsigned int dataplane_interface_index(const struct dataplane_interface *interface);
enum xcap_mode dataplane_interface_mode(const struct dataplane_interface *interface);
uint16_t dataplane_link_type(const struct dataplane_interface *interface); /* pcapng LinkType */
/* False once the device is gone, for good: what is left to do is dataplane_detach(). */
bool dataplane_is_attached(const struct dataplane_interface *interface);
/* tap: in generic mode; before dataplane_enable() what is to be expected. */
bool dataplane_is_generic(const struct dataplane_interface *interface);
/* tap: the driver runs the program and leaves no room for what that writes, as the counters tell.
 */
bool dataplane_lacks_room(enum xcap_mode mode, bool generic, const struct xcap_count *counts);
/* tap: in generic mode from here on, with these filters, which are in force. On failure of the last
 * step it is detached. */
int dataplane_leave_native(struct dataplane_interface *interface, const struct filter_set *filters,
			   char error[DATAPLANE_ERROR_LEN]) must_check;
/* mirror: by clsact filters, not by tcx. */
bool dataplane_is_clsact(const struct dataplane_interface *interface);
unsigned int dataplane_queue_count(const struct dataplane_interface *interface);
int dataplane_xsk_map_fd(const struct dataplane_interface *interface);
/* tap: frames ever redirected to this queue's socket. */
uint64_t dataplane_queue_handed(const struct dataplane_interface *interface, unsigned int queue);
/* Sum over the CPUs, into XCAP_COUNTER_COUNT entries. */
int dataplane_counts(const struct dataplane_interface *interface,
		     struct xcap_count *counts) must_check;
/* What each filter matched, by its slot, into XCAP_FILTERS_MAX entries. */
int dataplane_matched(const struct dataplane_interface *interface,
		      struct xcap_count *counts) must_check;
/* Of all interfaces that were detached while the instance goes on, also by daemons before. */
int dataplane_gone_counts(const struct dataplane *dataplane, struct xcap_count *counts) must_check;

/* What the device lost since the capture of it began, also by daemons before this one. */
int dataplane_nic(const struct dataplane_interface *interface, struct xcap_nic *ret) must_check;
/* UTC of that beginning. */
uint64_t dataplane_started_ns(const struct dataplane_interface *interface);
/* Number of the counters: another, when they began again at 0; never 0. */
uint32_t dataplane_counts_id(const struct dataplane_interface *interface);

/* Remove every pin and link of an instance, and what was changed for it (VLAN offload), also after
 * a kill -9. *removed tells whether there was anything. -EBUSY: its daemon is alive. */
int dataplane_remove(const char *bpffs, const char *run_dir, const char *instance, bool *removed,
		     char error[DATAPLANE_ERROR_LEN]) must_check;
/* The interface of the default route (IPv4, else IPv6); -ENOENT. */
int dataplane_default_interface(char name[16]) must_check;
const char *xcap_counter_name(unsigned int counter);
