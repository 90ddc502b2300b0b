/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds-checked little-endian reading and writing with a sticky error: after the first overrun
 * every call is a no-op (reads give 0), and the caller asks once at the end. A cursor borrows its
 * memory.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
	uint8_t *at;
	uint8_t *end;
	bool failed;
};

static inline struct cursor cursor_reader(const void *data, size_t len)
{
	uint8_t *at = (uint8_t *)(uintptr_t)data;

	return (struct cursor){ .at = at, .end = at + len };
}

static inline struct cursor cursor_writer(void *data, size_t len)
{
	return (struct cursor){ .at = data, .end = (uint8_t *)data + len };
}

static inline bool cursor_ok(const struct cursor *c)
{
	return !c->failed;
}

static inline size_t cursor_left(const struct cursor *c)
{
	return c->failed ? 0 : (size_t)(c->end - c->at);
}

/* The next len bytes, or NULL (and the error sticks) where there are fewer. */
static inline uint8_t *cursor_take(struct cursor *c, size_t len)
{
	uint8_t *at = c->at;

	if (c->failed || len > (size_t)(c->end - c->at)) {
		c->failed = true;
		return NULL;
	}
	c->at += len;
	return at;
}

static inline void cursor_skip(struct cursor *c, size_t len)
{
	(void)cursor_take(c, len);
}

static inline void cursor_get(struct cursor *c, void *out, size_t len)
{
	const uint8_t *in = cursor_take(c, len);

	if (in)
		memcpy(out, in, len);
	else
		memset(out, 0, len);
}

static inline void cursor_put(struct cursor *c, const void *data, size_t len)
{
	uint8_t *out = cursor_take(c, len);

	if (out && len)
		memcpy(out, data, len);
}

static inline uint8_t cursor_get_u8(struct cursor *c)
{
	uint8_t v;

	cursor_get(c, &v, sizeof(v));
	return v;
}

static inline uint16_t cursor_get_u16(struct cursor *c)
{
	uint16_t v;

	cursor_get(c, &v, sizeof(v));
	return le16toh(v);
}

static inline uint32_t cursor_get_u32(struct cursor *c)
{
	uint32_t v;

	cursor_get(c, &v, sizeof(v));
	return le32toh(v);
}

static inline uint64_t cursor_get_u64(struct cursor *c)
{
	uint64_t v;

	cursor_get(c, &v, sizeof(v));
	return le64toh(v);
}

static inline void cursor_put_u8(struct cursor *c, uint8_t v)
{
	cursor_put(c, &v, sizeof(v));
}

static inline void cursor_put_u16(struct cursor *c, uint16_t v)
{
	v = htole16(v);
	cursor_put(c, &v, sizeof(v));
}

static inline void cursor_put_u32(struct cursor *c, uint32_t v)
{
	v = htole32(v);
	cursor_put(c, &v, sizeof(v));
}

static inline void cursor_put_u64(struct cursor *c, uint64_t v)
{
	v = htole64(v);
	cursor_put(c, &v, sizeof(v));
}
