/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/watching.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define EXPIRE_NS (10 * NS_PER_SEC)
#define WORDS_MAX 5

struct watching {
	struct loop *loop;
	struct watch *watch;
	struct loop_timer timer;
	char error[EXPLAIN_LEN];
};

static void expire(struct loop_timer *timer)
{
	struct watching *watching = container_of(timer, struct watching, timer);
	int err = watch_expire(watching->watch);

	if (err)
		log_debug("cannot remove watched flows that are over: %s", strerror(-err));
	loop_timer_start(watching->loop, timer, EXPIRE_NS);
}

int watching_create(struct watching **ret, struct loop *loop, struct watch *watch)
{
	struct watching *watching = calloc(1, sizeof(*watching));

	if (!watching)
		return -ENOMEM;
	watching->loop = loop;
	watching->watch = watch;
	watching->timer.expired = expire;
	if (watch)
		loop_timer_start(loop, &watching->timer, EXPIRE_NS);
	*ret = watching;
	return 0;
}

void watching_destroy(struct watching *watching)
{
	if (!watching)
		return;
	loop_timer_stop(watching->loop, &watching->timer);
	free(watching);
}

static json_t *entry_json(const struct watch_entry *entry, uint64_t now_ns)
{
	uint64_t expires_ns = entry->value.expires_ns;
	char flow[WATCH_TEXT_LEN];
	json_t *left_s = NULL;

	if (expires_ns != WATCH_FOREVER)
		left_s = json_real((double)(expires_ns - MIN(now_ns, expires_ns)) / NS_PER_SEC);
	return json_pack("{s:s, s:I, s:I, s:o?}", "flow", watch_text(&entry->key, flow), "packets",
			 (json_int_t)entry->value.packets, "bytes", (json_int_t)entry->value.bytes,
			 "left_s", left_s);
}

static json_t *list_json(const struct watching *watching)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct watch_entry *entries;
	json_t *list;
	size_t count;
	int err = 0;

	if (watch_list(&entries, &count, watching->watch))
		return NULL;
	list = json_array();
	for (size_t i = 0; i < count && !err; i++)
		err = json_array_append_new(list, entry_json(&entries[i], now_ns));
	free(entries);
	if (!err)
		return json_pack("{s:o}", "flows", list);
	json_decref(list);
	return NULL;
}

static json_t *counts_json(const struct watching *watching)
{
	return json_pack("{s:I, s:I}", "flows", (json_int_t)watch_count(watching->watch),
			 "flows_max", (json_int_t)watch_entries_max(watching->watch));
}

static int read_flow(struct xcap_watch_key *ret, const json_t *request, char *error)
{
	const json_t *flow = json_object_get(request, "flow");
	const char *words[WORDS_MAX];
	size_t count = json_array_size(flow);

	for (size_t i = 0; i < MIN(count, (size_t)WORDS_MAX); i++)
		words[i] = json_string_value(json_array_get(flow, i)) ?: "";
	/* More than any flow has is too many, however many. */
	return watch_parse(ret, words, count, error);
}

static int add(struct watching *watching, const struct xcap_watch_key *key, const json_t *request)
{
	const json_t *duration = json_object_get(request, "for_ns");
	uint64_t expires_ns = WATCH_FOREVER;
	int err;

	if (duration && (!json_is_integer(duration) || json_integer_value(duration) <= 0))
		return explain_only(watching->error, -EINVAL,
				    "for_ns is a number of nanoseconds above 0");
	if (duration)
		expires_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)json_integer_value(duration);
	err = watch_add(watching->watch, key, expires_ns);
	if (err == -ENOSPC)
		return explain_only(watching->error, err,
				    "%u flows are watched, and no more can be: delete some, or "
				    "restart xcapd with a larger --watch-max",
				    watch_entries_max(watching->watch));
	return err ? explain(watching->error, err, "cannot watch the flow") : 0;
}

static int change(struct watching *watching, const json_t *request, bool adds)
{
	struct xcap_watch_key key;
	char flow[WATCH_TEXT_LEN];
	int err;

	err = read_flow(&key, request, watching->error);
	if (err)
		return err;
	if (adds)
		return add(watching, &key, request);
	err = watch_delete(watching->watch, &key);
	if (err == -ENOENT)
		return explain_only(watching->error, err, "%s is not watched",
				    watch_text(&key, flow));
	return err ? explain(watching->error, err, "cannot delete the flow") : 0;
}

int watching_command(struct watching *watching, const json_t *request, json_t **result,
		     const char **error)
{
	const char *action = json_string_value(json_object_get(request, "action")) ?: "";
	bool lists = !strcmp(action, "list");
	int err = 0;

	*error = watching->error;
	if (!watching->watch)
		return explain_only(watching->error, -EOPNOTSUPP,
				    "this xcapd watches no flows: it was started with --watch-max "
				    "0");
	if (!strcmp(action, "add") || !strcmp(action, "delete"))
		err = change(watching, request, !strcmp(action, "add"));
	else if (!lists)
		err = explain_only(watching->error, -EINVAL,
				   "action is one of add, delete and list");
	if (err)
		return err;
	*result = lists ? list_json(watching) : counts_json(watching);
	if (*result)
		return 0;
	*error = NULL;
	return -ENOMEM;
}
