/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmocka and tables of named cases: a row that fails is named, and checking goes on to the end of
 * the test, which then fails.
 */
#pragma once

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/util.h"

static int check_failures;
static const char *check_case;

#define FOR_EACH_CASE(c, cases)                   \
	for (__typeof__(&(cases)[0]) c = (cases); \
	     c < (cases) + ARRAY_SIZE(cases) && (check_case = c->name, 1); c++)

#define CHECK(condition)                                                             \
	do {                                                                         \
		if (!(condition)) {                                                  \
			check_failures++;                                            \
			print_error("%s:%d: %s: not true: %s\n", __FILE__, __LINE__, \
				    check_case ? check_case : __func__, #condition); \
		}                                                                    \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		intmax_t check_a = (intmax_t)(a), check_b = (intmax_t)(b);                         \
		if (check_a != check_b) {                                                          \
			check_failures++;                                                          \
			print_error("%s:%d: %s: %s is %" PRIdMAX ", not %" PRIdMAX "\n", __FILE__, \
				    __LINE__, check_case ? check_case : __func__, #a, check_a,     \
				    check_b);                                                      \
		}                                                                                  \
	} while (0)

#define CHECK_STR(a, b)                                                                          \
	do {                                                                                     \
		const char *check_a = (a), *check_b = (b);                                       \
		if (strcmp(check_a, check_b) != 0) {                                             \
			check_failures++;                                                        \
			print_error("%s:%d: %s: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, \
				    check_case ? check_case : __func__, #a, check_a, check_b);   \
		}                                                                                \
	} while (0)

static inline int check_begin(void **state)
{
	(void)state;
	check_failures = 0;
	check_case = NULL;
	return 0;
}

static inline int check_end(void **state)
{
	(void)state;
	return check_failures ? -1 : 0;
}

/* For the list given to cmocka_run_group_tests(). A failed check fails the teardown. */
#define TEST(function) cmocka_unit_test_setup_teardown(function, check_begin, check_end)
