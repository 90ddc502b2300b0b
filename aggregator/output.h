/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file or stream that packets are written to as pcapng or PCAP: collected in memory, written
 * through the loop in large pieces, or 20 ms after the first byte. Belongs to the loop's thread.
 * What cannot be written (disk full) is tried again every second.
 */
#pragma once

#include "common/capture.h"
#include "common/loop.h"

/* Above, the owner gives no more packets until progressed(). */
#define OUTPUT_WAITING_MAX (8 * MIB)

struct output;

struct output_config {
	struct loop *loop;
	const char *path; /* "-": standard output */
	enum capture_format format;
	/* Bytes were written, or made durable. */
	void (*progressed)(void *context);
	/* Nobody reads it any more (EPIPE), or it cannot be written at all. */
	void (*broken)(void *context, int err);
	void *context;
};

/* Where a file goes on after a checkpoint. */
struct output_resume {
	uint64_t offset; /* the file is cut there */
	bool is_begun;	 /* there is a header */
	uint16_t link_type;
	uint32_t interface_count; /* described in the file so far */
};

/*
 * resume: NULL for a new file, which replaces one of this name. -ENOENT, -EPIPE: the file to be
 * resumed is not there, or shorter than that.
 */
int output_open(struct output **ret, const struct output_config *config,
		const struct output_resume *resume) must_check;
/* Nothing is in flight: after output_idle(), or with `force`, which gives up what waits (turns the
 * loop). */
void output_close(struct output *output, bool force);

/* -EXDEV: another link type than the packets before. */
int output_packet(struct output *output, const char *agent,
		  const struct pcapng_interface *interface,
		  const struct pcapng_packet *packet) must_check;
/* capture_statistics() */
int output_statistics(struct output *output, const char *agent,
		      const struct pcapng_interface *interface,
		      const struct pcapng_statistics *statistics) must_check;
/* Statistics; a file without packets becomes a valid one. */
void output_finish(struct output *output);
void output_flush(struct output *output);
/* fdatasync; progressed() and output_synced() tell when it is done. */
void output_sync(struct output *output);

uint64_t output_waiting(const struct output *output); /* bytes not yet written */
uint64_t output_offset(const struct output *output);  /* where what was given will end */
uint64_t output_written(const struct output *output);
/* No sync is under way; *err: how the last one ended. */
bool output_synced(const struct output *output, int *err);
bool output_idle(const struct output *output);	  /* no write or sync is in flight */
bool output_blocked(const struct output *output); /* the last write failed; it is tried again */
bool output_is_file(const struct output *output); /* can be cut and continued */
bool output_is_begun(const struct output *output);
uint16_t output_link_type(const struct output *output);
uint32_t output_interface_count(const struct output *output);
const char *output_path(const struct output *output);

/*
 * Name of the file for packets that do not go into the one at path: NAME[.late][.linktypeN].EXT.
 * link_type: -1 if it is the same. -ENAMETOOLONG.
 */
int output_side_path(char *ret, size_t size, const char *path, bool is_late,
		     int link_type) must_check;
