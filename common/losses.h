/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a stream lost on its way: ranges of sequence numbers that will never come, kept until the
 * receiver knows of them. Sans-I/O; without pointers, as a list lies in a journal's file.
 *
 * A frame that had been sent when it was dropped is uncertain: it may have arrived, and only what
 * the receiver says it has tells. An entry that was given out never grows: the receiver may have
 * it already as it is.
 */
#pragma once

#include "common/message.h"
#include "common/stream.h"

#define LOSSES_MAX 1024		  /* beyond it neighbours are merged */
#define LOSSES_UNCONFIRMED_MAX 64 /* given out at a time; meanwhile the others grow together */

struct losses_entry {
	uint64_t from, to;
	uint64_t packets, wire_packets, bytes;
	uint32_t reason; /* enum loss_reason */
	uint8_t uncertain;
	uint8_t frozen; /* was given out */
	uint8_t given;	/* ... since losses_again() */
	uint8_t reserved;
};

struct losses {
	uint32_t count;
	struct losses_entry list[LOSSES_MAX];
};

void losses_add(struct losses *losses, const struct message_loss *loss, bool uncertain);
bool losses_has(const struct losses *losses, uint64_t sequence);
/* The next certain one that was not given out yet. */
bool losses_next(struct losses *losses, struct message_loss *ret);
/* Give all of them out once more. */
void losses_again(struct losses *losses);
/*
 * The receiver has durable: forget what it has or was told. complete: it has nothing else, and
 * what is uncertain becomes certain. Adds up in lost what became certain; true if the list changed.
 */
bool losses_confirm(struct losses *losses, const struct ranges *durable, bool complete,
		    struct message_loss *lost);
/* This uncertain one did not arrive; false if there is none. */
bool losses_settle(struct losses *losses, uint64_t sequence, struct message_loss *lost);
