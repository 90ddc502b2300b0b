/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watched flows, as the control socket has them; those that are over are removed now and then.
 * Control thread. */
#pragma once

#include <jansson.h>

#include "bpf/watch.h"
#include "common/loop.h"

struct watching;

/* watch: NULL if nothing can be watched. */
int watching_create(struct watching **ret, struct loop *loop, struct watch *watch) must_check;
/* Before the watch. */
void watching_destroy(struct watching *watching);
/*
 * {"action": "add"|"delete"|"list", "flow": ["udp", "10.0.0.1", "5060", "10.0.0.2", "5060"],
 * "for_ns": 60000000000} of the control socket; without for_ns until it is deleted. *error lives
 * as long as watching.
 */
int watching_command(struct watching *watching, const json_t *request, json_t **result,
		     const char **error) must_check;
