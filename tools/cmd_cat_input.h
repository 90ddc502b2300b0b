/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xcapctl cat reads: the journals that its paths name, and the merge of their frames. A frame
 * that is there twice (two stores, a path given twice) is taken once. Messages go to stderr.
 */
#pragma once

#include "common/merge.h"

struct cat_input;

/* 0 or the exit code. */
int cat_input_create(struct cat_input **ret) must_check;
void cat_input_destroy(struct cat_input *input);
/* A store, a journal or a segment of one. 0 or the exit code. */
int cat_input_add(struct cat_input *input, const char *path) must_check;
/*
 * Reads all frames; after that the merge gives their packets, which are the live ones, or the
 * replayed ones if there are no others or they are asked for. 0 or the exit code.
 */
int cat_input_read(struct cat_input *input, bool replay, struct merge **ret) must_check;
/* What could not be read, once all packets were taken. */
void cat_input_report(const struct cat_input *input, const struct merge *merge);
