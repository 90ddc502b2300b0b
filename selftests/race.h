/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Included by force into one build of the tests: makes C11 atomics with an explicit order plain, so
 * that threads which share them race, and TSan has something to find.
 */
#pragma once

#include <stdatomic.h>

#undef atomic_load_explicit
#undef atomic_store_explicit
#define atomic_load_explicit(at, order) (*(__typeof__(((void)0, *(at))) *)(at))
#define atomic_store_explicit(at, value, order) (*(__typeof__(((void)0, *(at))) *)(at) = (value))
