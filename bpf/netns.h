/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Network namespaces: which one is ours, finding another, doing something in it. Any thread. */
#pragma once

#include <sys/types.h>

#include "common/util.h"

/* Inode of the calling thread's namespace; 0 if it cannot be told. */
uint64_t netns_self(void);
/*
 * Descriptor of the namespace with this inode, or of the one that the calling thread's namespace
 * knows by this id, among those with a name under /run/netns or a process in them; -ENOENT.
 */
int netns_open(uint64_t inode) must_check;
int netns_open_id(int nsid) must_check;
/* Runs work(context) in a namespace, in a thread that ends with it; returns its result. */
int netns_run(int fd, int (*work)(void *context), void *context) must_check;
/* The same in the one with this inode, at once if it is the calling thread's; -ENOENT. */
int netns_run_at(uint64_t inode, int (*work)(void *context), void *context) must_check;
