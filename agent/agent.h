/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The composition of xcapd: makes every module, top to bottom, and destroys them bottom to top.
 * It runs on the main thread, which is the control thread: signals, counters, the local socket.
 */
#pragma once

#include <jansson.h>

#include "agent/filters.h"
#include "agent/interfaces.h"
#include "agent/lane.h"
#include "agent/lists.h"
#include "agent/live.h"
#include "agent/options.h"
#include "agent/watching.h"
#include "agent/writer.h"
#include "bpf/dataplane.h"
#include "common/control.h"

#define AGENT_LANES_MAX 64

/* tap: one AF_XDP socket, pcap: one of libpcap's; and whose it is. */
struct agent_socket {
	struct source *source;
	unsigned int lane;
	bool is_closing; /* it is ours again once it is released */
};

struct agent {
	const struct agent_options *options;
	char name[AGENT_ID_MAX + 1]; /* of the instance: pins, socket, files under the run dir */
	char id[AGENT_ID_MAX + 1];   /* of the streams: the certificate's, alone the host's name */
	uint64_t started_ns;	     /* CLOCK_MONOTONIC */
	struct loop *loop;
	struct loop_signal signals;
	struct loop_event state_changed;
	struct loop_timer counters, stats;
	struct control *control;
	struct tls_context *tls;
	struct addr_list servers;
	struct dataplane *dataplane;
	struct filters *filters;
	struct prefixes lists;	       /* in force */
	struct watching *watching;     /* NULL: replay, or libpcap */
	struct interfaces *interfaces; /* NULL: replay */
	struct live *live;	       /* libpcap; NULL: it is not */
	struct lane_shared shared;
	struct lane *lanes[AGENT_LANES_MAX];
	unsigned int lane_count;
	unsigned int taking_lane_count; /* the others ship what more lanes left behind */
	struct agent_socket *sockets;
	unsigned int socket_count;
	struct writer *writer;
	uint64_t last_packets, last_bytes, last_stats_ns; /* of the stats line */
	struct loss_alert alerts[LOSS_REASON_COUNT];	  /* of the journals */
	bool stopping;
	int err;
};

/* Everything is attached and running when it returns. On failure it has been logged; the result
 * is the exit code: 1, 69, 77 or 78. */
int agent_create(struct agent **ret, const struct agent_options *options) must_check;
/* Until a signal, the end of the input, -c or a failure. The exit code. */
int agent_run(struct agent *agent) must_check;
void agent_destroy(struct agent *agent);

/* The instance that the options mean: --name, else the certificate's id, else the host's name. 0 or
 * an exit code, logged. */
int agent_instance_name(char ret[AGENT_ID_MAX + 1], const struct agent_options *options) must_check;

/*
 * What became of all packets, of interfaces that are gone too, up to the aggregator or the file;
 * frames, not wire packets. As struct interface_account but for received to delivered.
 */
struct agent_account {
	uint64_t arrived, seen, self, other_direction, filtered, sampled_out;
	uint64_t dropped[INTERFACE_DROP_COUNT];
	uint64_t received; /* taken by the lanes */
	uint64_t lost[LOSS_REASON_COUNT];
	uint64_t pending;   /* in the journals and in the frames being built */
	uint64_t delivered; /* acknowledged, or written to the file */
	uint64_t bytes, pending_ring_bytes;
};

/* lanes.c: the sources, journals and lanes; logged on failure. */
/* Are the CPUs of --cpus there? -EDOM, logged: before anything is attached or written. */
int agent_check_cpus(const struct agent_options *options) must_check;
int agent_make_lanes(struct agent *agent) must_check;

/*
 * sockets.c: tap and libpcap. Sources for all queues of an interface, or its directions; an array
 * of them, with a NULL behind, for the caller to free. error: DATAPLANE_ERROR_LEN bytes.
 */
bool agent_has_sockets(const struct agent *agent);
int agent_make_sockets(struct source ***ret, const struct agent *agent,
		       const struct agent_interface *interface, char *error) must_check;
/* A lane has them. */
int agent_note_sockets(struct agent *agent, unsigned int lane, struct source *const *sources,
		       unsigned int count) must_check;
/* As struct interfaces_sockets wants them; context is the agent. */
int agent_open_sockets(void *context, const struct agent_interface *interface,
		       char *error) must_check;
void agent_close_sockets(void *context, unsigned int ifindex);
bool agent_are_sockets_closing(void *context, unsigned int ifindex);
/* Those that lanes have released. */
void agent_destroy_released(struct agent *agent);

/* account.c. Every 100 ms: users are told what rises, frames what there is. */
void agent_refresh_counts(struct agent *agent);
/* Reads the interfaces' counters. */
void agent_account(struct agent *agent, struct agent_account *ret);
uint64_t agent_account_dropped(const struct agent_account *account);

/* report.c: what users are told. */
void agent_print_stats(struct agent *agent);
void agent_print_summary(struct agent *agent);
json_t *agent_status(struct agent *agent);

/* reload.c: SIGHUP. What is wrong is logged, and everything is as before. */
void agent_reload(struct agent *agent);

/* commands.c */
extern const struct control_command agent_commands[];
extern const size_t agent_command_count;
