/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watched flows of an instance: 5-tuples, both directions, that are captured whatever filters
 * and lists say, until they expire. They are pinned and so outlive the daemon. What opens them may
 * change them: one thread at a time; anyone may read the pins.
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>

#include "bpf/explain.h"
#include "bpf/xcap_abi.h"

#define WATCH_TEXT_LEN 128
#define WATCH_FOREVER UINT64_MAX

struct bpf_object;
struct watch;

struct watch_entry {
	struct xcap_watch_key key;
	struct xcap_watch value;
};

/* Of "udp 10.0.0.1 5060 10.0.0.2 5060", "icmp 10.0.0.1 10.0.0.2". -EINVAL: error says what. */
int watch_parse(struct xcap_watch_key *ret, const char *const *words, size_t count,
		char error[EXPLAIN_LEN]) must_check;
/* As it is written, the lesser end first. */
const char *watch_text(const struct xcap_watch_key *key, char out[WATCH_TEXT_LEN]);

/* Those pinned in dir are taken over, and their room with them; entries_max of new ones. */
int watch_open(struct watch **ret, const char *dir, uint32_t entries_max) must_check;
void watch_close(struct watch *watch);
/* Nothing is watched there any more. */
void watch_unpin(const char *dir);
uint32_t watch_entries_max(const struct watch *watch);
uint32_t watch_count(const struct watch *watch);
/* Adds it, or gives it another end; it goes on counting. -ENOSPC: there is no room. */
int watch_add(struct watch *watch, const struct xcap_watch_key *key,
	      uint64_t expires_ns) must_check;
/* -ENOENT */
int watch_delete(struct watch *watch, const struct xcap_watch_key *key) must_check;
/* Remove those that are over. */
int watch_expire(struct watch *watch) must_check;
/* All that live, in no order; the list is the caller's to free. */
int watch_list(struct watch_entry **ret, size_t *count, const struct watch *watch) must_check;
/* The same out of the pins; -ENOENT: nothing can be watched there. */
int watch_read(struct watch_entry **ret, size_t *count, const char *dir) must_check;

/* Before a load of the programs, whose rodata says whether they can; watch may be NULL. */
int watch_use(const struct watch *watch, const struct bpf_object *object) must_check;
