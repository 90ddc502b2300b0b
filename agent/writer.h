/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `xcapd -w`: merges the lanes' journals into one pcapng file or stdout, on a thread of its own, so
 * that a slow disk holds up no lane. Created and destroyed by the control thread.
 */
#pragma once

#include "agent/lane.h"

struct writer;

struct writer_config {
	const char *path; /* "-": stdout */
	bool replay;
	/*
	 * Write out of the journals without copying. Nobody else reads them: while the file is
	 * written they give up nothing of what is not in it.
	 */
	bool borrows;
	struct loop_event *state_changed; /* the writer failed */
};

struct writer_stats {
	_Atomic uint64_t packets, bytes, late_packets, dropped_packets;
	_Atomic int err; /* why it ended early */
};

/* Opens the file: -errno. */
int writer_create(struct writer **ret, const struct writer_config *config) must_check;
/* Before the lanes start. */
int writer_add(struct writer *writer, struct lane *lane) must_check;
int writer_start(struct writer *writer) must_check;
/* The lanes have ended: write what is left, close the file, wait for the thread. Its error. */
int writer_finish(struct writer *writer);
void writer_destroy(struct writer *writer);
const struct writer_stats *writer_stats(const struct writer *writer);
