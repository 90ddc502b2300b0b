/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps of the programs made by themselves, with their types, to be shared by several loads. */
#pragma once

#include "common/util.h"

struct bpf_object;

/* As the mirror program declares it, but for its size (0: that too). Its descriptor. */
int maps_create(const char *name, uint32_t max_entries) must_check;
/* Before a load: use this map, or none (fd -1), as the verifier will find out. */
int maps_share(const struct bpf_object *object, const char *name, int fd) must_check;
