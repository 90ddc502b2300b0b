/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the interface numbers of packets mean, while interfaces come, change and go. Control writes,
 * the lanes' threads read: only when a number is new to them or the generation has changed, so that
 * its lock is not on the path of a packet.
 *
 * An interface that is gone is still described until the lanes have taken its last packets.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "common/pcapng.h"
#include "common/util.h"

/* Interfaces captured at a time, and of those gone the ones with packets on the way. */
#define INTERFACE_TABLE_MAX 1024

struct interface_table;

/* What an interface's packets are numbered by, as long as the same filters judge them. */
static inline uint32_t interface_id(unsigned int ifindex, uint32_t generation)
{
	(void)generation;
	return ifindex;
}

int interface_table_create(struct interface_table **ret) must_check;
void interface_table_destroy(struct interface_table *table);

/* --- control --- */

/*
 * From here on packets with this id are of the interface described. -ENOSPC: the table is full;
 * -EBUSY: another interface had this id, and packets of it may be on the way. Both end by
 * interface_table_expire().
 */
int interface_table_put(struct interface_table *table, uint32_t id,
			const struct pcapng_interface *description) must_check;
/* No packet of it has a time later than now_ns, CLOCK_MONOTONIC. */
void interface_table_retire(struct interface_table *table, uint32_t id, uint64_t now_ns);
/* The lanes have taken every packet older than taken_ns, CLOCK_MONOTONIC. */
void interface_table_expire(struct interface_table *table, uint64_t taken_ns);
/* Packets of it that the kernel lost so far. */
void interface_table_set_drops(struct interface_table *table, uint32_t id, uint64_t drops);

/* --- any thread --- */

/* Changes when what interface_table_get() answers may have changed. */
uint64_t interface_table_generation(const struct interface_table *table);
/*
 * False: there is none of this id. *drops is valid as long as the table, and of this interface as
 * long as the generation.
 */
bool interface_table_get(struct interface_table *table, uint32_t id, struct pcapng_interface *ret,
			 const uint64_t **drops);
