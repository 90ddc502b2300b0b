/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_release(struct buf *buf)
{
	free(buf->memory);
	*buf = (struct buf){};
}

uint8_t *buf_reserve(struct buf *buf, size_t len)
{
	size_t gap = (size_t)(buf->data - buf->memory), total = gap + buf->capacity, want;
	uint8_t *memory;

	if (buf->failed)
		return NULL;
	if (len <= buf->capacity - buf->len)
		return buf->data + buf->len;
	/* Moving to the front pays off only where the gap is at least what has to be moved. */
	if (gap >= buf->len && len <= total - buf->len) {
		memmove(buf->memory, buf->data, buf->len);
		buf->data = buf->memory;
		buf->capacity = total;
		return buf->data + buf->len;
	}
	want = MAX(2 * total, align_up(buf->len + len, 4096));
	memory = malloc(want);
	if (!memory) {
		buf->failed = true;
		return NULL;
	}
	if (buf->len)
		memcpy(memory, buf->data, buf->len);
	free(buf->memory);
	buf->memory = memory;
	buf->data = memory;
	buf->capacity = want;
	return buf->data + buf->len;
}

void buf_append(struct buf *buf, const void *data, size_t len)
{
	uint8_t *out = buf_reserve(buf, len);

	if (!out || !len)
		return;
	memcpy(out, data, len);
	buf->len += len;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	uint8_t *out;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	out = n < 0 ? NULL : buf_reserve(buf, (size_t)n + 1);
	if (!out) {
		buf->failed = true;
		return;
	}
	va_start(args, format);
	vsnprintf((char *)out, (size_t)n + 1, format, args);
	va_end(args);
	buf->len += (size_t)n;
}

void buf_consume(struct buf *buf, size_t len)
{
	assert(len <= buf->len);
	buf->data += len;
	buf->len -= len;
	buf->capacity -= len;
	if (buf->len == 0) {
		buf->capacity += (size_t)(buf->data - buf->memory);
		buf->data = buf->memory;
	}
}
