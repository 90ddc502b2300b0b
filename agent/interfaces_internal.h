/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What interfaces.c and interfaces_change.c share: the list, and what is done to it. */
#pragma once

#include "agent/interfaces.h"
#include "agent/selection.h"
#include "bpf/netdev.h"

#define RECEIVE_BYTES (32 * KIB)
/*
 * An attach takes about a tenth of a second, nearly all of it in the kernel's verifier. After so
 * much time of them others on the control thread get their turn: signals, the control socket. At
 * the start there is nobody to wait.
 */
#define TURN_NS (100 * NS_PER_MS)
#define START_TURN_NS (2 * NS_PER_SEC)

/* Of an interface that libpcap captured on and does not any more. */
struct interfaces_leaving {
	struct interfaces_leaving *next;
	struct agent_interface interface;
	uint64_t shut_ns; /* CLOCK_MONOTONIC: nothing has come since */
	bool is_closed;	  /* the lanes know */
};

struct interfaces {
	struct interfaces_config config;
	struct config_list words; /* of -i, or the one default */
	const char *default_word;
	char default_name[16];
	bool *missing; /* by word: nothing is there that it asks for, and that was said */
	struct agent_interface list[INTERFACE_TABLE_MAX];
	unsigned int count;
	struct xcap_count gone[XCAP_COUNTER_COUNT];
	struct interfaces_leaving *leaving;
	struct xcap_count gone_live[XCAP_COUNTER_COUNT]; /* of those that have left */
	unsigned int share; /* libpcap: what there was for the buffers at the start */
	uint64_t gone_nic;
	uint64_t looked_ns; /* at the drivers' numbers, for losses */
	char os[64];
	struct loop_op received;
	int monitor_fd;
	bool is_receiving;
	bool starting;		/* what is there is being taken up */
	bool detached;		/* for good */
	bool look_again;	/* what there is: something could not be done, or was not told */
	uint64_t turn_ends_ns;	/* CLOCK_MONOTONIC */
	bool is_postponed;	/* what is there and asked for, to the next turn */
	bool was_all_taken;	/* what was there at the start */
	struct loop_timer turn; /* the next one */
	bool is_full;		/* there was no room for one more, and that was said */
	_Alignas(8) uint8_t message[RECEIVE_BYTES]; /* of struct nlmsghdr */
};

static inline bool interfaces_is_tap(const struct interfaces *interfaces)
{
	return interfaces->config.options->mode == AGENT_TAP;
}

static inline bool interfaces_is_live(const struct interfaces *interfaces)
{
	return interfaces->config.live != NULL;
}

static inline enum selection_kind interfaces_kind(const struct interfaces *interfaces, int word)
{
	return selection_kind(interfaces->words.items[word]);
}

/* Before a packet that they have judged. */
void interfaces_describe_filters(struct interfaces *interfaces, const struct filter_set *filters);
/* Of packets in the rings that the daemon before us has left. */
void interfaces_describe_earlier_filters(struct interfaces *interfaces);
/* NULL: it is neither captured nor left out. */
struct agent_interface *interfaces_find(struct interfaces *interfaces, unsigned int ifindex);
/*
 * Takes a device up, or leaves it out. -ENODEV: it is gone already; -EBUSY, -ENOSPC: of
 * interface_table_put(); other negative errno and error: it is left out. DATAPLANE_ERROR_LEN bytes.
 */
int interfaces_add(struct interfaces *interfaces, const struct netdev *device, int word,
		   char *error) must_check;
void interfaces_log_capturing(const struct agent_interface *interface);
/* For the packets from here on; -EBUSY, -ENOSPC. */
int interfaces_describe(const struct interfaces *interfaces,
			const struct agent_interface *interface, uint16_t link_type) must_check;
/* Of the network card, where its time stamps are in use. */
void interfaces_follow_clock(const struct interfaces *interfaces,
			     struct agent_interface *interface);
/* A device is there, and this is what it is. */
void interfaces_present(struct interfaces *interfaces, const struct netdev *device);
/* why: what became of it, as in "eth0 was removed". */
void interfaces_give_up(struct interfaces *interfaces, struct agent_interface *interface,
			const char *why);
/* Of a word nothing may be there: say so, once. */
void interfaces_note_missing(struct interfaces *interfaces, int word);
void interfaces_read_gone(struct interfaces *interfaces);
/* Taps that take no packet in native mode go on in generic mode. */
void interfaces_leave_native(struct interfaces *interfaces);
/* The numbers read last: to the frames that come, and to users what rises. */
void interfaces_tell(struct interfaces *interfaces);
/* Detach it and tell its last numbers. */
void interfaces_finish(struct interfaces *interfaces, struct agent_interface *interface);
/* From now on there is time to attach to what is there, at least to one. */
void interfaces_begin_turn(struct interfaces *interfaces);
/* Take up what is there and give up what is not, whatever we were told. */
int interfaces_look_around(struct interfaces *interfaces);

/* interfaces_live.c: by libpcap. As interfaces_add() takes a device up; error likewise. */
int interfaces_live_attach(struct interfaces *interfaces, struct agent_interface *interface,
			   const struct netdev *device, char *error) must_check;
/* What only libpcap knows by this name, of the word of this number. */
struct netdev interfaces_live_device(const char *name, int word);
bool interfaces_live_is_device(unsigned int ifindex);
/* It is captured on no more; the lanes take what there is of it. */
void interfaces_live_leave(struct interfaces *interfaces, const struct agent_interface *interface);
bool interfaces_live_is_leaving(const struct interfaces *interfaces, unsigned int ifindex);
void interfaces_live_refresh(struct interfaces *interfaces);
/* Into interfaces->gone. */
void interfaces_live_read_gone(struct interfaces *interfaces);
void interfaces_live_release(struct interfaces *interfaces);
