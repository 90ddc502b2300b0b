/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring buffers of an instance, pinned. Each CPU writes into one of them; where memory does
 * not suffice for one each, and for CPUs that come online later, CPUs share.
 */
#pragma once

#include <stdbool.h>

#include "common/util.h"

struct rings {
	int map_fd; /* array of maps by CPU, -1: none */
	int *fds;
	unsigned int count;
	uint64_t ring_bytes;
};

/* The rings pinned in a folder; none are no error: map_fd is -1. */
int rings_adopt(struct rings *ret, const char *dir) must_check;
/* map_fd: an array of maps, becomes the rings'. total_bytes 0: the default. */
int rings_create(struct rings *ret, const char *dir, int map_fd, uint64_t total_bytes) must_check;
/* What rings_create() would choose. */
uint64_t rings_size(uint64_t total_bytes, unsigned int *count);
void rings_unpin(const struct rings *rings, const char *dir);
void rings_release(struct rings *rings);
