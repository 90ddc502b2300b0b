/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tap and libpcap: the sockets of interfaces, and which lane has them. They are made here, on the
 * control thread, given to a lane, and destroyed here once the lane has released them: neither
 * memory nor the kernel's waiting for its own is on the path of a packet.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/machine.h"
#include "common/log.h"

/* Frame memory unless --umem-size says otherwise: of all queues of an interface, of each at least.
 */
#define UMEM_BYTES (32 * MIB)
#define UMEM_BYTES_MIN (8 * MIB)

static int make_socket(struct source **ret, const struct agent *agent,
		       const struct agent_interface *interface, unsigned int queue, char *error)
{
	const struct agent_options *options = agent->options;
	uint64_t share = UMEM_BYTES / dataplane_queue_count(interface->attached);
	struct source_xsk_config config = {
		.ifname = interface->name,
		.ifindex = interface->ifindex,
		.queue = queue,
		.xsk_map_fd = dataplane_xsk_map_fd(interface->attached),
		.memory_bytes = options->umem_bytes,
		.generic = interface->is_generic,
		.zero_copy = (enum source_zero_copy)options->zero_copy,
		.handed = dataplane_queue_handed(interface->attached, queue),
	};

	if (!config.memory_bytes)
		config.memory_bytes = MAX(share, UMEM_BYTES_MIN);
	return source_xsk_create(ret, &config, error);
}

/* What the machine gave for the queues' sockets. */
static void tell_memory(const struct agent_interface *interface, struct source *const *sources,
			unsigned int count)
{
	struct source_xsk_info info = {};
	unsigned int zero_copy = 0, huge = 0;

	for (unsigned int i = 0; i < count; i++) {
		source_xsk_info(sources[i], &info);
		zero_copy += info.zero_copy;
		huge += info.huge_pages;
	}
	log_debug("%s: %u queues, %u of them zero-copy, %u in huge pages (vm.nr_hugepages reserves "
		  "some), %llu KiB of frame memory each",
		  interface->name, count, zero_copy, huge,
		  (unsigned long long)(info.memory_bytes / KIB));
	if (info.frame_len_max > info.whole_len)
		log_warning(0,
			    "%s: frames of more than %u bytes, which its MTU allows, will be "
			    "missing (and counted): this kernel's AF_XDP takes no frames in pieces "
			    "(Linux 6.6 does): use mirror, or a smaller MTU",
			    interface->name, info.whole_len);
}

bool agent_has_sockets(const struct agent *agent)
{
	return !agent->options->read && (agent->live || agent->options->mode == AGENT_TAP);
}

static int list_live(struct source ***ret, const struct agent_interface *interface, char *error)
{
	struct source **sources = calloc(LIVE_SOURCES + 1, sizeof(*sources));

	if (!sources)
		return explain(error, -ENOMEM, "cannot capture on %s", interface->name);
	for (unsigned int i = 0; i < LIVE_SOURCES; i++)
		sources[i] = live_source(interface->live, i);
	*ret = sources;
	return 0;
}

static int make_xsks(struct source ***ret, const struct agent *agent,
		     const struct agent_interface *interface, char *error)
{
	unsigned int queues = dataplane_queue_count(interface->attached), made = 0;
	struct source **sources = calloc(queues + 1, sizeof(*sources));
	int err = 0;

	if (!sources)
		return explain(error, -ENOMEM, "cannot tap %s", interface->name);
	machine_prefer_node(machine_numa_node("", interface->name, interface->ifindex));
	for (; made < queues && !err; made++)
		err = make_socket(&sources[made], agent, interface, made, error);
	machine_prefer_node(-1);
	if (!err) {
		tell_memory(interface, sources, queues);
		*ret = sources;
		return 0;
	}
	/* The last one is the one that failed. */
	while (--made)
		sources[made - 1]->ops->destroy(sources[made - 1]);
	free(sources);
	return err;
}

int agent_make_sockets(struct source ***ret, const struct agent *agent,
		       const struct agent_interface *interface, char *error)
{
	return interface->live ? list_live(ret, interface, error)
			       : make_xsks(ret, agent, interface, error);
}

int agent_note_sockets(struct agent *agent, unsigned int lane, struct source *const *sources,
		       unsigned int count)
{
	struct agent_socket *list;

	list = realloc(agent->sockets, (agent->socket_count + count + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	agent->sockets = list;
	for (unsigned int i = 0; i < count; i++)
		list[agent->socket_count++] =
			(struct agent_socket){ .source = sources[i], .lane = lane };
	return 0;
}

/* Of those that take packets the one with the fewest sockets. */
static unsigned int choose_lane(const struct agent *agent)
{
	unsigned int counts[AGENT_LANES_MAX] = {}, best = 0;

	for (unsigned int i = 0; i < agent->socket_count; i++)
		counts[agent->sockets[i].lane]++;
	for (unsigned int i = 1; i < agent->taking_lane_count; i++) {
		if (counts[i] < counts[best])
			best = i;
	}
	return best;
}

/* The source is the table's when it returns 0. */
static int hand_over(struct agent *agent, struct source *source)
{
	unsigned int lane = choose_lane(agent);
	int err = agent_note_sockets(agent, lane, &source, 1);

	if (err)
		return err;
	err = lane_add_source(agent->lanes[lane], source);
	if (err)
		agent->socket_count--;
	return err;
}

int agent_open_sockets(void *context, const struct agent_interface *interface, char *error)
{
	struct agent *agent = context;
	struct source **sources;
	int err;

	err = agent_make_sockets(&sources, agent, interface, error);
	if (err)
		return err;
	for (unsigned int i = 0; sources[i]; i++) {
		if (!err) {
			err = hand_over(agent, sources[i]);
			if (err)
				explain(error, err, "cannot give socket %u of %s to a lane", i,
					interface->name);
		}
		if (err)
			sources[i]->ops->destroy(sources[i]);
	}
	free(sources);
	if (err)
		agent_close_sockets(agent, interface->ifindex);
	return err;
}

void agent_close_sockets(void *context, unsigned int ifindex)
{
	struct agent *agent = context;

	for (unsigned int i = 0; i < agent->socket_count; i++) {
		struct agent_socket *socket = &agent->sockets[i];

		if (socket->is_closing || socket->source->interface != ifindex)
			continue;
		socket->is_closing = true;
		lane_remove_source(agent->lanes[socket->lane], socket->source);
	}
}

bool agent_are_sockets_closing(void *context, unsigned int ifindex)
{
	const struct agent *agent = context;

	for (unsigned int i = 0; i < agent->socket_count; i++) {
		if (agent->sockets[i].is_closing && agent->sockets[i].source->interface == ifindex)
			return true;
	}
	return false;
}

void agent_destroy_released(struct agent *agent)
{
	for (unsigned int i = 0; i < agent->socket_count;) {
		struct source *source = agent->sockets[i].source;

		if (!atomic_load_explicit(&source->is_released, memory_order_acquire)) {
			i++;
			continue;
		}
		source->ops->destroy(source);
		agent->sockets[i] = agent->sockets[--agent->socket_count];
	}
}
