/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an instance keeps its pins, BPFFS/xcap/INSTANCE/, and who may touch them: whoever holds
 * its lock. The name of the folder is the instance's with all but [A-Za-z0-9_-] as %XX: a bpf file
 * system takes no dots. No state, any thread.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "common/util.h"

#define PINS_RUN_DIR "/run/xcap"
#define PINS_ROOT "xcap"
#define PINS_NAME_LEN 256

/* Folders of bpf file systems that may hold pins, most likely first. */
struct pins_bpffs {
	char list[2][PATH_MAX];
	size_t count;
	bool mounted_here[2]; /* at RUN_DIR/bpf */
};

/*
 * bpffs: the only one if not NULL, else /sys/fs/bpf and RUN_DIR/bpf, each if it is a bpf file
 * system. For *ret to be usable for new pins mount one (at RUN_DIR/bpf) if there is none.
 * error: EXPLAIN_LEN bytes.
 */
int pins_find(struct pins_bpffs *ret, const char *bpffs, const char *run_dir, bool mount,
	      char *error) must_check;
int pins_instance_dir(char ret[PATH_MAX], const char *bpffs, const char *instance) must_check;
/* The instance of a folder; false: it is none of ours. */
bool pins_instance_name(char ret[PINS_NAME_LEN], const char *folder);
int pins_make_dir(const char *path) must_check; /* with its parents; there already: 0 */
/* Everything in a folder, and the folder; two levels deep. */
void pins_remove_dir(const char *path);
/* Once nobody has pins there: our folder, and the file system if it was mounted by us. */
void pins_tidy(const struct pins_bpffs *bpffs, size_t i);

struct pins_lock {
	int run_fd, pins_fd; /* -1: not held */
	char path[PATH_MAX]; /* of the file in RUN_DIR */
};

/* -EBUSY: a live process holds it. dir: of the pins, or NULL. error: EXPLAIN_LEN bytes. */
int pins_lock(struct pins_lock *lock, const char *run_dir, const char *instance, const char *dir,
	      char *error) must_check;
/* forget: there is nothing left to protect. */
void pins_unlock(struct pins_lock *lock, bool forget);
