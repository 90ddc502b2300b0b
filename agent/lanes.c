/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the sources of the agent and deals them out to lanes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "common/log.h"

#define QUEUES_PER_LANE 4
/* Frame memory unless --umem-size says otherwise: of all queues of an interface, of each at least.
 */
#define UMEM_BYTES (32 * MIB)
#define UMEM_BYTES_MIN (8 * MIB)

/* Sources of all lanes, before they are dealt out. */
struct source_list {
	struct source **items;
	unsigned int count;
};

static int add_source(struct source_list *list, struct source *source)
{
	struct source **items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (!items) {
		source->ops->destroy(source);
		return -ENOMEM;
	}
	list->items = items;
	items[list->count++] = source;
	return 0;
}

static int make_xsks(struct agent *agent, struct source_list *list)
{
	char error[DATAPLANE_ERROR_LEN];
	const struct agent_interface *interfaces;
	struct source *source;
	unsigned int count;
	int err;

	interfaces = interfaces_list(agent->interfaces, &count);
	for (unsigned int i = 0; i < count; i++) {
		const struct agent_interface *interface = &interfaces[i];
		unsigned int queues =
			interface->attached ? dataplane_queue_count(interface->attached) : 0;

		for (unsigned int queue = 0; queue < queues; queue++) {
			struct source_xsk_config config = {
				.ifname = interface->name,
				.ifindex = interface->ifindex,
				.queue = queue,
				.xsk_map_fd = dataplane_xsk_map_fd(interface->attached),
				.memory_bytes = agent->options->umem_bytes
							?: MAX(UMEM_BYTES / queues, UMEM_BYTES_MIN),
				.generic = interface->is_generic,
				.handed = dataplane_queue_handed(interface->attached, queue),
			};

			err = source_xsk_create(&source, &config, error);
			if (err)
				return log_error(0, "%s", error), err;
			err = add_source(list, source);
			if (err)
				return err;
		}
	}
	return 0;
}

static int make_rings(struct agent *agent, struct source_list *list)
{
	struct source *source;
	int err;

	for (unsigned int cpu = 0; cpu < dataplane_ring_count(agent->dataplane); cpu++) {
		err = source_ring_create(&source, dataplane_ring_fd(agent->dataplane, cpu), cpu);
		if (err)
			return log_error(err, "cannot map the ring buffer of CPU %u", cpu);
		err = add_source(list, source);
		if (err)
			return err;
	}
	return 0;
}

static int make_replay(struct agent *agent, struct source_list *list)
{
	const struct agent_options *options = agent->options;
	struct source_pcap_config config = {
		.path = options->read,
		.label = options->label,
		.stamp_now = options->stamp == AGENT_STAMP_NOW,
	};
	struct source *source;
	int err;

	err = agent_options_speed(&config.speed, options->speed_text);
	if (err)
		return log_error(0, "speed '%s' is neither a number nor max", options->speed_text),
		       err;
	err = source_pcap_create(&source, &config);
	if (err)
		return log_error(err, "cannot read %s", options->read);
	return add_source(list, source);
}

static int open_journal(struct agent *agent, unsigned int number, unsigned int lanes,
			struct memory_journal **ret)
{
	const struct agent_options *options = agent->options;
	bool replay = options->read && options->stamp != AGENT_STAMP_NOW;
	char path[4096], aside[4200];
	struct memory_journal_config config = {
		.path = path,
		.agent = agent->id,
		.lane = number,
		.replay = replay,
		.size_bytes = MAX(options->journal_bytes / lanes, 4 * MIB),
		/* A recording waits for room. */
		.when_full = replay || options->when_full == AGENT_DROP_NEWEST
				     ? WHEN_FULL_DROP_NEWEST
				     : WHEN_FULL_DROP_OLDEST,
	};
	int err;

	snprintf(path, sizeof(path), "%s/%s/%s%u.journal", options->run_dir, agent->name,
		 replay ? "replay" : "lane", number);
	err = memory_journal_open(ret, &config);
	if (err == -ESTALE || err == -EBADMSG) {
		snprintf(aside, sizeof(aside), "%s.bad", path);
		log_warning(0, "%s: moved to %s",
			    err == -ESTALE ? "the journal in the run directory is another agent's"
					   : "the journal in the run directory is damaged",
			    aside);
		if (rename(path, aside))
			return log_error(-errno, "cannot move %s away", path);
		err = memory_journal_open(ret, &config);
	}
	if (err == -EBUSY)
		return log_error(0,
				 "instance %s is running already (%s is in use): choose another "
				 "by --name",
				 agent->name, path),
		       err;
	if (err)
		return log_error(err, "cannot open journal %s", path);
	return 0;
}

static bool has_leftover(const struct agent *agent, unsigned int number)
{
	const struct agent_options *options = agent->options;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s/%s%u.journal", options->run_dir, agent->name,
		 options->read && options->stamp != AGENT_STAMP_NOW ? "replay" : "lane", number);
	return access(path, F_OK) == 0;
}

static int make_lane(struct agent *agent, const struct source_list *list, unsigned int number,
		     unsigned int lanes, unsigned int journals)
{
	const struct agent_options *options = agent->options;
	struct lane_config config = {
		.number = number,
		.cpu = -1,
		.servers = agent->servers.count ? &agent->servers : NULL,
		.tls = agent->tls,
		.reconnect_max_ns = options->reconnect_max_ns,
		.batch_bytes = options->batch_bytes,
		.batch_timeout_ns = options->batch_timeout_ns,
		.has_writer = options->write != NULL,
		.shared = &agent->shared,
	};
	int err;

	config.sources = calloc(list->count + 1, sizeof(struct source *));
	if (!config.sources)
		return -ENOMEM;
	for (unsigned int i = number; number < lanes && i < list->count; i += lanes)
		config.sources[config.source_count++] = list->items[i];
	err = open_journal(agent, number, journals, &config.journal);
	if (!err) {
		err = lane_create(&agent->lanes[number], &config);
		if (err)
			memory_journal_close(config.journal);
	}
	if (err) {
		for (unsigned int i = 0; i < config.source_count; i++)
			config.sources[i]->ops->destroy(config.sources[i]);
		free(config.sources);
		return err;
	}
	agent->lane_count++;
	return agent->writer ? writer_add(agent->writer, agent->lanes[number]) : 0;
}

int agent_make_lanes(struct agent *agent)
{
	const struct agent_options *options = agent->options;
	struct source_list list = {};
	unsigned int lanes, journals, made = 0;
	int err;

	err = options->read		   ? make_replay(agent, &list)
	      : options->mode == AGENT_TAP ? make_xsks(agent, &list)
					   : make_rings(agent, &list);
	lanes = options->lanes		     ? (unsigned int)options->lanes
		: options->mode == AGENT_TAP ? (list.count + QUEUES_PER_LANE - 1) / QUEUES_PER_LANE
					     : 1;
	lanes = MIN(MAX(lanes, 1), MIN(MAX(list.count, 1), AGENT_LANES_MAX));
	/* A daemon with more lanes left more journals: what is in them is shipped, too. */
	for (journals = lanes; journals < AGENT_LANES_MAX && has_leftover(agent, journals);)
		journals++;
	for (; made < journals && !err; made++)
		err = make_lane(agent, &list, made, lanes, journals);
	for (unsigned int i = 0; i < list.count && err; i++) {
		/* Lanes own theirs, also the one that failed. */
		if (i % lanes >= made)
			list.items[i]->ops->destroy(list.items[i]);
	}
	free(list.items);
	return err;
}
