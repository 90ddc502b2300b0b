/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filters in force: those of the options at first, then what the operator makes of them. A
 * change is all or nothing, on all interfaces. Belongs to the control thread.
 */
#pragma once

#include <jansson.h>

#include "agent/options.h"
#include "bpf/filter_set.h"

struct filters;
struct interfaces;

/* generation: the highest that packets on the way may have. Logged on failure. */
int filters_create(struct filters **ret, const struct agent_options *options,
		   uint32_t generation) must_check;
void filters_destroy(struct filters *filters);
/* The same object as long as filters is. */
const struct filter_set *filters_in_force(const struct filters *filters);
/* What the options say instead of what is in force. interfaces may be NULL. error: why not. */
int filters_reload(struct filters *filters, struct interfaces *interfaces,
		   const struct agent_options *options, char error[FILTER_ERROR_LEN]) must_check;

/* Forgets what was compiled and is not in force. */
void filters_tidy(const struct filters *filters);

/*
 * {"action": "set"|"add"|"delete"|"list", "name", "expression", "words": ["keep=96", ...]} of the
 * control socket. *error lives as long as filters.
 */
int filters_command(struct filters *filters, struct interfaces *interfaces, const json_t *request,
		    json_t **result, const char **error) must_check;
/* As list tells them, with what each matched. interfaces may be NULL. NULL without memory. */
json_t *filters_json(const struct filters *filters, const struct interfaces *interfaces);
