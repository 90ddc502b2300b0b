/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packets of several sources, the earliest first. Belongs to the lane's thread. */
#pragma once

#include "agent/source.h"

struct gather;

/* Borrows the array, of which there may be LANE_SOURCES_MAX later. */
int gather_create(struct gather **ret, struct source *const *sources,
		  unsigned int count) must_check;
void gather_destroy(struct gather *gather);
/* There are other sources in the array now; before the first peek or after gather_give_back(). */
void gather_set_count(struct gather *gather, unsigned int count);
/* The earliest packet there is, and whose; NULL: none. Valid until gather_give_back(). */
const struct source_packet *gather_peek(struct gather *gather, struct source **source);
/* Done with the packet peeked at. */
void gather_take(struct gather *gather);
/* Everything taken may be reused. */
void gather_give_back(struct gather *gather);
