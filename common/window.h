/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frames of a stream that were sent on a connection and are not released yet, in order of
 * sequence: which are acknowledged, which are to be sent again, how many bytes are in flight. And
 * how often each was refused, which outlasts the connection. Sans-I/O.
 */
#pragma once

#include "common/memory_journal.h"

#define WINDOW_REFUSED_MAX 64 /* frames whose refusals are remembered */

struct window_frame {
	uint64_t sequence, start, end; /* in the journal */
	uint64_t sent_ns;	       /* 0: it did not have to be sent, or was more than once */
	uint32_t len;
	bool acked, again;
};

/* Zero-initialised is empty. */
struct window {
	struct window_frame *list; /* ring */
	uint32_t capacity, first, count;
	uint32_t again_count;
	uint64_t bytes; /* not acknowledged */
	struct {
		uint64_t sequence;
		unsigned int count;
	} refused[WINDOW_REFUSED_MAX];
	unsigned int refused_next;
};

void window_release(struct window *window);
/* Forgets the frames, not the refusals. */
void window_clear(struct window *window);
/* NULL: out of memory. Valid until the next call that adds or removes one. */
struct window_frame *window_push(struct window *window, const struct memory_journal_frame *frame);
struct window_frame *window_find(const struct window *window, uint64_t sequence);
void window_ack(struct window *window, struct window_frame *frame);
/* All of the set; how many are new. *sent_ns: when the last of them was sent; 0: not known. */
uint32_t window_ack_ranges(struct window *window, const struct ranges *durable, uint64_t *sent_ns);
/* Removes what is acknowledged at the front: where in the journal that ends; 0: nothing. */
uint64_t window_take_acked(struct window *window);
void window_send_again(struct window *window, struct window_frame *frame);
/* The first one to be sent again, which is then no more; NULL. */
struct window_frame *window_next_again(struct window *window);
/* How often it has been refused, this time included. */
unsigned int window_count_refusal(struct window *window, uint64_t sequence);
