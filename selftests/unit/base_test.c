/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cursor, buf, log levels. */
#include <stdlib.h>

#include "common/buf.h"
#include "common/cursor.h"
#include "common/log.h"
#include "selftests/unit/check.h"

static void short_input_sticks(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		bool ok;
	} cases[] = { { "empty", 0, false }, { "one byte short", 5, false }, { "exact", 6, true } };
	static const uint8_t data[6] = { 1, 2, 0, 3, 0, 0 };

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct cursor r = cursor_reader(data, c->len);

		(void)cursor_get_u16(&r);
		(void)cursor_get_u32(&r);
		CHECK_EQ(cursor_ok(&r), c->ok);
		CHECK_EQ(cursor_get_u8(&r), 0);
		CHECK(!cursor_ok(&r));
		CHECK_EQ(cursor_left(&r), 0);
	}
}

static void written_is_read_back(void **state)
{
	uint8_t data[15];
	struct cursor w = cursor_writer(data, sizeof(data)), r;

	(void)state;
	cursor_put_u64(&w, 0x0102030405060708);
	cursor_put_u32(&w, 0xfffefdfc);
	cursor_put_u16(&w, 0x1234);
	cursor_put_u8(&w, 0x56);
	CHECK(cursor_ok(&w));
	CHECK_EQ(data[0], 8);
	r = cursor_reader(data, sizeof(data));
	CHECK(cursor_get_u64(&r) == 0x0102030405060708);
	CHECK_EQ(cursor_get_u32(&r), 0xfffefdfc);
	CHECK_EQ(cursor_get_u16(&r), 0x1234);
	CHECK_EQ(cursor_get_u8(&r), 0x56);
	cursor_put_u8(&w, 1);
	CHECK(!cursor_ok(&w));
}

/* Random appends and consumes against a plain counter: byte i of the stream is i modulo 251. */
static void buf_is_a_queue(void **state)
{
	struct buf buf = {};
	uint64_t in = 0, out = 0;
	unsigned int seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t n = (size_t)rand_r(&seed) % 900;

		if (rand_r(&seed) % 2) {
			uint8_t *at = buf_reserve(&buf, n);

			for (size_t k = 0; k < n; k++)
				at[k] = (uint8_t)(in++ % 251);
			buf_commit(&buf, n);
		} else {
			n = MIN(n, buf.len);
			for (size_t k = 0; k < n; k++)
				CHECK_EQ(buf.data[k], out++ % 251);
			buf_consume(&buf, n);
		}
		CHECK_EQ(buf.len, in - out);
	}
	CHECK(buf.capacity < 1 << 20);
	buf_release(&buf);
}

static void buf_prints(void **state)
{
	struct buf buf = {};

	(void)state;
	buf_printf(&buf, "%d-", 7);
	buf_append(&buf, "x", 2);
	CHECK_STR((char *)buf.data, "7-x");
	buf_clear(&buf);
	CHECK_EQ(buf.len, 0);
	CHECK(!buf.failed);
	buf_release(&buf);
}

static void log_levels_have_names(void **state)
{
	enum log_level level = LOG_LEVEL_ERROR;

	(void)state;
	CHECK_EQ(log_level_parse(&level, "debug"), 0);
	CHECK_EQ(level, LOG_LEVEL_DEBUG);
	CHECK(log_level_parse(&level, "loud") < 0);
	CHECK_EQ(log_debug("not shown"), 0);
}

static int counted(int *calls)
{
	return ++*calls;
}

/* The place of a journal's reader changes between two looks at it. */
static void min_and_max_look_once(void **state)
{
	int calls = 0;

	(void)state;
	CHECK_EQ(MIN(counted(&calls), 5), 1);
	CHECK_EQ(calls, 1);
	CHECK_EQ(MAX(1, counted(&calls)), 2);
	CHECK_EQ(calls, 2);
	CHECK_EQ(MAX(MIN(counted(&calls), 2), counted(&calls)), 4);
	CHECK_EQ(calls, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(short_input_sticks), TEST(written_is_read_back),  TEST(buf_is_a_queue),
		TEST(buf_prints),	  TEST(log_levels_have_names), TEST(min_and_max_look_once),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
