/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose clock stamps the packets that arrive at an interface: the kernel's, or the network card's.
 * Chooses at the start, follows the card's clock while it runs, and says what is in use. The
 * arithmetic is in nic_clock. Belongs to the control thread.
 */
#pragma once

#include <jansson.h>

#include "agent/options.h"
#include "bpf/dataplane.h"
#include "bpf/netdev.h"

#define TIMESTAMPS_WHY_LEN 320

enum timestamps_source { TIMESTAMPS_KERNEL, TIMESTAMPS_NIC, TIMESTAMPS_PTP };

struct timestamps;

struct timestamps_config {
	enum agent_timestamps asked;
	const struct netdev *device;
	bool is_tap, is_generic; /* tap in XDP mode generic */
};

/* -EDOM, and error: what is asked for is not to be had; auto never is refused. EXPLAIN_LEN. */
int timestamps_create(struct timestamps **ret, const struct timestamps_config *config,
		      char *error) must_check;
void timestamps_destroy(struct timestamps *timestamps);

/* Of these the packets' stamps are. */
enum timestamps_source timestamps_source(const struct timestamps *timestamps);
const char *timestamps_name(const struct timestamps *timestamps);
/* Why it is the kernel where auto or more was asked for; "" otherwise. */
const char *timestamps_why(const struct timestamps *timestamps);
/* Is the driver to be asked for stamps? */
bool timestamps_asks_card(const struct timestamps *timestamps);

/* The card's stamps cannot be had after all: the kernel's from here on. -EDOM as above. */
int timestamps_give_up(struct timestamps *timestamps, const char *why, char *error) must_check;
/*
 * Reads the card's clock if it is time to, and tells the programs. True: another source is in use
 * from here on, and that was logged.
 */
bool timestamps_follow(struct timestamps *timestamps, struct dataplane_interface *interface);

struct host_clock;
/* The clock behind a descriptor of /dev/ptpN. */
clockid_t timestamps_clock_of(int fd);
void timestamps_read_host(struct host_clock *ret);

/* For status. */
json_t *timestamps_json(const struct timestamps *timestamps);
/* The host's clock and every PTP clock of this machine; root: "", or of a tree for tests. */
json_t *timestamps_clock_json(const char *root);

/* xcapd -J: what there is for the interfaces. The exit code; logged on failure. */
int timestamps_list(const struct agent_options *options) must_check;
