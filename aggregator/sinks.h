/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of one merged output: the main one, and beside it those of late packets and of other
 * link types, made when their first packet comes. Standard output has none beside it. Belongs to
 * the loop's thread.
 */
#pragma once

#include "aggregator/checkpoint.h"
#include "aggregator/output.h"

struct sink {
	struct output *output;
	bool is_late;
	int link_type_suffix; /* -1: what the first packet has */
};

struct sinks {
	struct output_config config; /* of the main file */
	/* A file beside the main one is about to be made. */
	void (*adding)(void *context, const struct checkpoint_file *file);
	struct sink list[CHECKPOINT_FILES_MAX];
	uint32_t count;
};

/* from: go on with the files as they were then; NULL: a new one. Errors are logged. */
int sinks_open(struct sinks *sinks, const struct output_config *config,
	       const struct checkpoint *from) must_check;
/* Gives up what is not written; turns the loop until nothing is in flight. */
void sinks_close(struct sinks *sinks);
/* -EOPNOTSUPP: it would need a file beside standard output; else why that cannot be made. */
int sinks_put(struct sinks *sinks, bool is_late, const struct merge_packet *packet) must_check;
/* For the end of those files that its packets go to. */
int sinks_statistics(struct sinks *sinks, const char *agent,
		     const struct pcapng_interface *interface,
		     const struct pcapng_statistics *statistics) must_check;
/* Statistics at the end of each. */
void sinks_finish(struct sinks *sinks);

bool sinks_are_files(const struct sinks *sinks); /* with checkpoints */
bool sinks_full(const struct sinks *sinks);	 /* no more packets for now */
bool sinks_idle(const struct sinks *sinks);	 /* all is written, nothing in flight */
void sinks_flush(struct sinks *sinks);
uint64_t sinks_waiting(const struct sinks *sinks);
uint64_t sinks_written(const struct sinks *sinks);

/* Where the files of the checkpoint will end, once what was given is written. */
void sinks_checkpoint(struct sinks *sinks, struct checkpoint *ret);
/* The files have got that far. */
bool sinks_reached(const struct sinks *sinks, const struct checkpoint *checkpoint);
void sinks_sync(struct sinks *sinks, const struct checkpoint *checkpoint);
/* *err: what went wrong, or 0. */
bool sinks_synced(const struct sinks *sinks, const struct checkpoint *checkpoint, int *err);
