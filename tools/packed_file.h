/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that may be packed (gzip, zstd; told by content), as streams of what is in them. */
#pragma once

#include <stdio.h>

#define PACKED_FILE_ERROR_LEN 256

/*
 * "-": standard input. NULL: error says why, with the file's name. What is damaged further on is
 * an error of the stream, ferror().
 */
FILE *packed_file_open(const char *path, char error[PACKED_FILE_ERROR_LEN]);
