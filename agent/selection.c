/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/selection.h"

#include <fnmatch.h>
#include <string.h>

enum selection_kind selection_kind(const char *word)
{
	if (!strcmp(word, "any"))
		return SELECTION_ANY;
	return strpbrk(word, "*?[") ? SELECTION_PATTERN : SELECTION_NAME;
}

static bool asks_for(const char *word, enum selection_kind kind, const char *name)
{
	switch (kind) {
	case SELECTION_NAME:
		return !strcmp(word, name);
	case SELECTION_PATTERN:
		return fnmatch(word, name, 0) == 0;
	case SELECTION_ANY:
		return true;
	}
	return false;
}

int selection_find(const struct config_list *words, const char *name)
{
	enum selection_kind kind, best = SELECTION_ANY;
	int found = -1;

	for (size_t i = 0; i < words->count; i++) {
		kind = selection_kind(words->items[i]);
		if ((found < 0 || kind < best) && asks_for(words->items[i], kind, name)) {
			found = (int)i;
			best = kind;
		}
	}
	return found;
}
