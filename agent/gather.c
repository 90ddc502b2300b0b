/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/gather.h"

#include <errno.h>
#include <stdlib.h>

struct head {
	struct source_packet packet;
	bool valid;
};

struct gather {
	struct source *const *sources;
	struct head *heads;
	unsigned int count;
	int best;	   /* source of the earliest head; -1: look again */
	uint64_t until_ns; /* best stays the earliest up to this time */
};

int gather_create(struct gather **ret, struct source *const *sources, unsigned int count)
{
	struct gather *gather = calloc(1, sizeof(*gather));

	if (!gather)
		return -ENOMEM;
	gather->heads = calloc(LANE_SOURCES_MAX, sizeof(*gather->heads));
	if (!gather->heads) {
		free(gather);
		return -ENOMEM;
	}
	gather->sources = sources;
	gather->count = count;
	gather->best = -1;
	*ret = gather;
	return 0;
}

void gather_destroy(struct gather *gather)
{
	if (!gather)
		return;
	free(gather->heads);
	free(gather);
}

void gather_set_count(struct gather *gather, unsigned int count)
{
	gather->count = count;
}

static bool fill(struct gather *gather, unsigned int i)
{
	struct source *source = gather->sources[i];
	struct head *head = &gather->heads[i];

	if (!head->valid)
		head->valid = source->ops->peek(source, &head->packet);
	return head->valid;
}

static void choose(struct gather *gather)
{
	uint64_t time_ns;

	gather->best = -1;
	gather->until_ns = UINT64_MAX;
	for (unsigned int i = 0; i < gather->count; i++) {
		if (!fill(gather, i))
			continue;
		time_ns = gather->heads[i].packet.time_ns;
		if (gather->best < 0) {
			gather->best = (int)i;
		} else if (time_ns < gather->heads[gather->best].packet.time_ns) {
			gather->until_ns = gather->heads[gather->best].packet.time_ns;
			gather->best = (int)i;
		} else if (time_ns < gather->until_ns) {
			gather->until_ns = time_ns;
		}
	}
}

const struct source_packet *gather_peek(struct gather *gather, struct source **source)
{
	if (gather->best < 0 || !fill(gather, (unsigned int)gather->best) ||
	    gather->heads[gather->best].packet.time_ns > gather->until_ns)
		choose(gather);
	if (gather->best < 0)
		return NULL;
	*source = gather->sources[gather->best];
	return &gather->heads[gather->best].packet;
}

void gather_take(struct gather *gather)
{
	struct source *source = gather->sources[gather->best];

	source->ops->take(source);
	gather->heads[gather->best].valid = false;
}

void gather_give_back(struct gather *gather)
{
	for (unsigned int i = 0; i < gather->count; i++) {
		struct source *source = gather->sources[i];

		/* A head must not point into what is moved or given away. */
		gather->heads[i].valid = false;
		source->ops->give_back(source);
	}
	gather->best = -1;
}
