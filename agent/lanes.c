/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the sources of the agent and deals them out to lanes. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/machine.h"
#include "common/log.h"

#define QUEUES_PER_LANE 4

struct source_item {
	struct source *source;
	int cpu;  /* that its packets arrive on; -1: not known */
	int node; /* NUMA node they arrive at; -1: not known, or all the same */
};

/* Sources of all lanes, before they are dealt out. */
struct source_list {
	struct source_item *items;
	unsigned int count;
};

static int add_source(struct source_list *list, struct source *source, int cpu, int node)
{
	struct source_item *items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (!items) {
		source->ops->destroy(source);
		return -ENOMEM;
	}
	list->items = items;
	items[list->count++] = (struct source_item){ .source = source, .cpu = cpu, .node = node };
	return 0;
}

static int make_sockets(struct agent *agent, struct source_list *list)
{
	const struct agent_interface *interfaces;
	char error[DATAPLANE_ERROR_LEN];
	struct source **sources;
	unsigned int count;
	int err = 0;

	interfaces = interfaces_list(agent->interfaces, &count);
	for (unsigned int i = 0; i < count && !err; i++) {
		const struct agent_interface *at = &interfaces[i];
		int node = machine_numa_node("", at->name, at->ifindex);

		if (!agent_interface_is_captured(at))
			continue;
		err = agent_make_sockets(&sources, agent, at, error);
		if (err)
			return log_error(0, "%s", error), err;
		for (unsigned int queue = 0; sources[queue]; queue++) {
			int cpu =
				at->live ? -1 : machine_queue_cpu("", at->name, at->ifindex, queue);

			if (err)
				sources[queue]->ops->destroy(sources[queue]);
			else
				err = add_source(list, sources[queue], cpu, node);
		}
		free(sources);
	}
	return err;
}

/* Where all interfaces are; -1 if they are at several nodes. */
static int common_node(const struct agent *agent)
{
	const struct agent_interface *interfaces;
	int node = -1, other;
	unsigned int count;

	interfaces = interfaces_list(agent->interfaces, &count);
	for (unsigned int i = 0; i < count; i++) {
		other = machine_numa_node("", interfaces[i].name, interfaces[i].ifindex);
		if (i && other != node)
			return -1;
		node = other;
	}
	return node;
}

static int make_rings(struct agent *agent, struct source_list *list)
{
	int err, node = common_node(agent);
	struct source *source;

	for (unsigned int cpu = 0; cpu < dataplane_ring_count(agent->dataplane); cpu++) {
		err = source_ring_create(&source, dataplane_ring_fd(agent->dataplane, cpu), cpu);
		if (err)
			return log_error(err, "cannot map the ring buffer of CPU %u", cpu);
		err = add_source(list, source, -1, node);
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
		.filter = options->filter,
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
	return add_source(list, source, -1, -1);
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

/*
 * The CPUs of --cpus in their order, and how many, out of those that are allowed; a negative errno,
 * logged.
 */
static int asked_cpus(unsigned int ret[MACHINE_CPUS_MAX], cpu_set_t *allowed,
		      const struct config_list *list)
{
	unsigned int item[MACHINE_CPUS_MAX];
	int count = 0, n;

	if (sched_getaffinity(0, sizeof(*allowed), allowed))
		return log_error(-errno, "cannot ask which CPUs there are");
	for (size_t i = 0; i < list->count; i++) {
		n = machine_cpu_list(item, list->items[i]);
		for (int k = 0; k < n; k++) {
			if (!CPU_ISSET(item[k], allowed))
				return log_error(0,
						 "--cpus: there is no CPU %u, or xcapd may not "
						 "run on it (see taskset(1))",
						 item[k]),
				       -EDOM;
			if (count < MACHINE_CPUS_MAX)
				ret[count++] = item[k];
		}
	}
	return count;
}

int agent_check_cpus(const struct agent_options *options)
{
	unsigned int cpus[MACHINE_CPUS_MAX];
	cpu_set_t allowed;

	return MIN(asked_cpus(cpus, &allowed, &options->cpus), 0);
}

/* Tap: the CPUs that take the interrupts of the lane's queues. */
static void interrupt_cpus(cpu_set_t *ret, const struct source_list *list, unsigned int number,
			   unsigned int lanes, const cpu_set_t *allowed)
{
	for (unsigned int i = number; i < list->count; i += lanes) {
		int cpu = list->items[i].cpu;

		if (cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET((unsigned int)cpu, allowed))
			CPU_SET((unsigned int)cpu, ret);
	}
}

/* Where each lane runs. What is asked for is dealt out like the sources. */
static int choose_cpus(cpu_set_t sets[AGENT_LANES_MAX], const struct agent *agent,
		       const struct source_list *list, unsigned int lanes)
{
	unsigned int cpus[MACHINE_CPUS_MAX];
	cpu_set_t allowed, all;
	int count;

	memset(sets, 0, AGENT_LANES_MAX * sizeof(*sets));
	count = asked_cpus(cpus, &allowed, &agent->options->cpus);
	if (count < 0)
		return count;
	for (unsigned int i = 0; count && i < MAX(lanes, (unsigned int)count); i++)
		CPU_SET(cpus[i % (unsigned int)count], &sets[i % lanes]);
	if (count)
		return 0;
	CPU_ZERO(&all);
	interrupt_cpus(&all, list, 0, 1, &allowed);
	/* Lanes that share a CPU while others are free would be slower than the scheduler. */
	for (unsigned int i = 0; i < lanes && CPU_COUNT(&all) >= (int)lanes; i++)
		interrupt_cpus(&sets[i], list, i, lanes, &allowed);
	return 0;
}

static int make_lane(struct agent *agent, const struct source_list *list, unsigned int number,
		     unsigned int lanes, unsigned int journals, const cpu_set_t *cpus)
{
	const struct agent_options *options = agent->options;
	struct lane_config config = {
		.number = number,
		.cpus = *cpus,
		.only_ships = number >= lanes,
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
		config.sources[config.source_count++] = list->items[i].source;
	machine_prefer_node(config.source_count ? list->items[number].node : -1);
	err = open_journal(agent, number, journals, &config.journal);
	machine_prefer_node(-1);
	if (!err) {
		err = lane_create(&agent->lanes[number], &config);
		if (err) {
			memory_journal_close(config.journal);
			log_error(err, "cannot make lane %u for %u sockets (use more --lanes)",
				  number, config.source_count);
		}
	}
	for (unsigned int i = 0; i < config.source_count && err; i++)
		config.sources[i]->ops->destroy(config.sources[i]);
	if (!err) {
		agent->lane_count++;
		if (agent_has_sockets(agent))
			err = agent_note_sockets(agent, number, config.sources,
						 config.source_count);
	}
	free(config.sources);
	return err ?: agent->writer ? writer_add(agent->writer, agent->lanes[number]) : 0;
}

int agent_make_lanes(struct agent *agent)
{
	const struct agent_options *options = agent->options;
	struct source_list list = {};
	unsigned int lanes, journals, made = 0;
	cpu_set_t cpus[AGENT_LANES_MAX];
	int err;

	err = options->read		 ? make_replay(agent, &list)
	      : agent_has_sockets(agent) ? make_sockets(agent, &list)
					 : make_rings(agent, &list);
	lanes = options->lanes		     ? (unsigned int)options->lanes
		: options->mode == AGENT_TAP ? (list.count + QUEUES_PER_LANE - 1) / QUEUES_PER_LANE
					     : 1;
	/* There may be more later. */
	if (!agent_has_sockets(agent) || !options->lanes)
		lanes = MIN(lanes, list.count);
	lanes = MIN(MAX(lanes, 1), AGENT_LANES_MAX);
	agent->taking_lane_count = lanes;
	if (!err)
		err = choose_cpus(cpus, agent, &list, lanes);
	/* A daemon with more lanes left more journals: what is in them is shipped, too. */
	for (journals = lanes; journals < AGENT_LANES_MAX && has_leftover(agent, journals);)
		journals++;
	for (; made < journals && !err; made++)
		err = make_lane(agent, &list, made, lanes, journals, &cpus[made]);
	for (unsigned int i = 0; i < list.count && err; i++) {
		/* Lanes own theirs, also the one that failed. */
		if (i % lanes >= made)
			list.items[i].source->ops->destroy(list.items[i].source);
	}
	free(list.items);
	return err;
}
