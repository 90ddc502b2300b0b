/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A growable byte queue: appended at the end, consumed from the front. The bytes are
 * data[0 .. len). Running out of memory sticks (failed); later appends are no-ops, so a builder
 * asks once at the end. Zero-initialised is empty and valid.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/util.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t capacity; /* counted from data */
	uint8_t *memory; /* what was allocated; data moves forward in it as bytes are consumed */
	bool failed;
};

void buf_release(struct buf *buf);
static inline void buf_clear(struct buf *buf)
{
	buf->capacity += (size_t)(buf->data - buf->memory);
	buf->data = buf->memory;
	buf->len = 0;
	buf->failed = false;
}

/* Room for at least len more bytes at the end; where to write them, or NULL. */
uint8_t *buf_reserve(struct buf *buf, size_t len);
/* len bytes of a reservation were written. */
static inline void buf_commit(struct buf *buf, size_t len)
{
	buf->len += len;
}
void buf_append(struct buf *buf, const void *data, size_t len);
void buf_printf(struct buf *buf, const char *format, ...) printf_like(2, 3);
/* Drop len bytes from the front. */
void buf_consume(struct buf *buf, size_t len);
