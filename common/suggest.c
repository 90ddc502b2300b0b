/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/suggest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define NAME_MAX_LEN 63
#define COMMON_PREFIX_MIN 4

static size_t fold(unsigned char out[NAME_MAX_LEN], const char *text)
{
	size_t len = 0;

	for (; *text && len < NAME_MAX_LEN; text++)
		out[len++] = *text == '_' ? '-' : (unsigned char)tolower((unsigned char)*text);
	return len;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b. */
static size_t distance(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
	size_t rows[3][NAME_MAX_LEN + 1], *before = rows[0], *above = rows[1], *row = rows[2],
					  *spare;

	for (size_t j = 0; j <= b_len; j++)
		above[j] = j;
	memcpy(before, above, sizeof(rows[0]));
	for (size_t i = 1; i <= a_len; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = MIN(row[j], above[j] + 1);
			row[j] = MIN(row[j], row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[b_len];
}

static size_t common_prefix(const unsigned char *a, size_t a_len, const unsigned char *b,
			    size_t b_len)
{
	size_t n = 0;

	while (n < a_len && n < b_len && a[n] == b[n])
		n++;
	return n;
}

const char *suggest(const char *typed, const char *const *names, size_t count)
{
	unsigned char a[NAME_MAX_LEN], b[NAME_MAX_LEN];
	size_t a_len = fold(a, typed), b_len, best = SIZE_MAX, longest = COMMON_PREFIX_MIN - 1, d;
	const char *near = NULL, *same_start = NULL;

	for (size_t i = 0; i < count; i++) {
		b_len = fold(b, names[i]);
		d = distance(a, a_len, b, b_len);
		if (d < best) {
			best = d;
			near = names[i];
		}
		d = common_prefix(a, a_len, b, b_len);
		if (d > longest) {
			longest = d;
			same_start = names[i];
		}
	}
	/* One slip in three letters is a typing error; beyond that the names only share letters. */
	return best <= MAX(a_len, 3) / 3 ? near : same_start;
}
