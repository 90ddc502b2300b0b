/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the interface numbers of packets mean, while interfaces come, change and go, and what the
 * lanes count of each. Control writes, the lanes' threads read: only when a number is new to them
 * or the generation has changed, so that its lock is not on the path of a packet.
 *
 * An interface that is gone is retired: still described until the lanes have taken its last
 * packets. Then it has ended, and its last numbers are told by the lanes; then it is forgotten.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "common/pcapng.h"
#include "common/util.h"

/* Interfaces captured at a time, and of those gone the ones with packets on the way. */
#define INTERFACE_TABLE_MAX 1024

struct interface_table;

/* Frames redirected into AF_XDP that were not received: struct source_stats. */
enum interface_lost {
	INTERFACE_FILL_RING_EMPTY,
	INTERFACE_RX_DROPPED,
	INTERFACE_RX_RING_FULL,
	INTERFACE_REDIRECTED_LOST,
	INTERFACE_LOST_COUNT
};

/* Of one interface; taken and lost are added to by the lanes, the first when it is in a journal. */
struct interface_numbers {
	_Atomic uint64_t drops; /* that the kernel lost so far; control writes */
	_Atomic uint64_t taken, lost[INTERFACE_LOST_COUNT];
};

struct interface_table_entry {
	uint32_t id;
	uint32_t account; /* dataplane_counts_id(): taken counts from when these do; 0: none yet */
	struct pcapng_interface description;
	struct interface_numbers *numbers; /* until it is forgotten */
	struct pcapng_statistics statistics;
	uint64_t kernel_dropped; /* of statistics.os_dropped: the rest is numbers->lost */
	bool is_told;		 /* there are statistics */
	uint64_t ended;		 /* generation in which it ended; 0: it has not */
};

int interface_table_create(struct interface_table **ret) must_check;
void interface_table_destroy(struct interface_table *table);

/* --- control --- */

/*
 * From here on packets with this id are of the interface described. -ENOSPC: the table is full;
 * -EBUSY: an interface that is gone had this id, and packets of it may be on the way. Both end by
 * interface_table_expire().
 */
int interface_table_put(struct interface_table *table, uint32_t id,
			const struct pcapng_interface *description) must_check;
/* From here on packets may be of this generation of filters. The last 256 are known. */
void interface_table_set_filter(struct interface_table *table, uint32_t generation,
				const char *filter);
/* Before its first packet. */
void interface_table_set_account(struct interface_table *table, uint32_t id, uint32_t account);
/* NULL: there is none of this id. Valid until it is forgotten. */
struct interface_numbers *interface_table_numbers(struct interface_table *table, uint32_t id);
/*
 * Its numbers, for the frames to come; delivered and os_dropped are of the same moment as the
 * others. Those that are told already are no news, whatever their time.
 */
void interface_table_tell(struct interface_table *table, uint32_t id,
			  const struct pcapng_statistics *statistics, uint64_t kernel_dropped);
/* No packet of it has a time later than now_ns, CLOCK_MONOTONIC; what was told last is final. */
void interface_table_retire(struct interface_table *table, uint32_t id, uint64_t now_ns);
/* The lanes have taken every packet older than taken_ns, CLOCK_MONOTONIC. */
void interface_table_expire(struct interface_table *table, uint64_t taken_ns);

/* --- any thread --- */

/* Changes when what interface_table_get() answers may have changed. */
uint64_t interface_table_generation(const struct interface_table *table);
/* Changes when something was told. 0: nothing ever was. */
uint64_t interface_table_told(const struct interface_table *table);
/* The filters of a generation, of which the low bits are given; empty: not known. */
void interface_table_filter(struct interface_table *table, uint16_t generation, char *ret,
			    size_t size);
/* The generation that was set last. */
uint16_t interface_table_filters_now(struct interface_table *table);
/* False: there is none of this id, or it has ended. */
bool interface_table_get(struct interface_table *table, uint32_t id,
			 struct interface_table_entry *ret);
/* The first from *at on, also one that has ended; *at begins at 0. False: that was all. */
bool interface_table_next(struct interface_table *table, unsigned int *at,
			  struct interface_table_entry *ret);
