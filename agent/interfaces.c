/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/interfaces.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/exit_code.h"
#include "agent/interfaces_internal.h"
#include "common/log.h"

/* How often drivers are asked, frames told and losses looked for. */
#define LOOK_NS NS_PER_SEC

static void on_change(const struct netdev_change *change, void *context)
{
	struct interfaces *interfaces = context;
	struct agent_interface *interface;

	if (interfaces->detached)
		return;
	if (change->kind == NETDEV_PRESENT) {
		interfaces_present(interfaces, &change->device);
		return;
	}
	interface = interfaces_find(interfaces, change->device.ifindex);
	if (!interface)
		return;
	if (change->kind == NETDEV_MOVED && interface->attached)
		dataplane_follow(interface->attached, change->netnsid_there, change->ifindex_there);
	interfaces_give_up(interfaces, interface,
			   change->kind == NETDEV_MOVED ? "was moved to another network namespace"
							: "was removed");
}

static void receive(struct interfaces *interfaces)
{
	interfaces->is_receiving = true;
	io_uring_prep_recv(loop_sqe(interfaces->config.loop, &interfaces->received),
			   interfaces->monitor_fd, interfaces->message, sizeof(interfaces->message),
			   0);
}

static void received(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct interfaces *interfaces = container_of(op, struct interfaces, received);

	(void)cqe_flags;
	interfaces->is_receiving = false;
	if (interfaces->detached)
		return;
	interfaces_begin_turn(interfaces);
	if (res > 0)
		netdev_read_changes(interfaces->message, (size_t)res, on_change, interfaces);
	else if (res == -ENOBUFS)
		interfaces->look_again = true;
	else if (res != -EINTR && res != -EAGAIN) {
		log_error(res, "cannot follow interfaces that come and go any more");
		return;
	}
	receive(interfaces);
}

static void turn_begins(struct loop_timer *timer)
{
	struct interfaces *interfaces = container_of(timer, struct interfaces, turn);

	interfaces_begin_turn(interfaces);
	if (!interfaces->detached)
		(void)interfaces_look_around(interfaces);
}

static int take_named(struct interfaces *interfaces, int word)
{
	const char *name = interfaces->words.items[word];
	unsigned int ifindex = if_nametoindex(name);
	char error[DATAPLANE_ERROR_LEN];
	struct netdev device;
	int err;

	if (interfaces_is_live(interfaces) && !ifindex) {
		device = interfaces_live_device(name, word);
		ifindex = device.ifindex;
	} else if (!ifindex || netdev_query(&device, ifindex)) {
		log_error(0, "there is no interface %s (xcapd -D lists them)", name);
		return EXIT_FAILURE;
	}
	if (interfaces_find(interfaces, ifindex)) {
		log_error(0, "interface %s is given twice", name);
		return EXIT_CONFIG;
	}
	err = interfaces_add(interfaces, &device, word, error);
	if (err == -ENODEV && interfaces_is_live(interfaces))
		log_error(0, "there is no interface %s (xcapd -D lists them): %s", name, error);
	else if (err == -ENODEV || err == -EBUSY || err == -ENOSPC)
		log_error(err, "cannot capture on %s", name);
	else if (err)
		log_error(0, "%s", error);
	else if (!interfaces_is_tap(interfaces))
		interfaces_log_capturing(&interfaces->list[interfaces->count - 1]);
	return exit_code(err);
}

static int take_what_is_there(struct interfaces *interfaces)
{
	int code = 0, err;

	for (size_t i = 0; i < interfaces->words.count && !code; i++) {
		if (interfaces_kind(interfaces, (int)i) == SELECTION_NAME)
			code = take_named(interfaces, (int)i);
	}
	if (code)
		return code;
	err = interfaces_look_around(interfaces);
	if (err) {
		log_error(err, "cannot ask the kernel for the interfaces");
		return exit_code(err);
	}
	return 0;
}

static int choose_words(struct interfaces *interfaces)
{
	interfaces->words = interfaces->config.options->interfaces;
	if (!interfaces->words.count) {
		if (dataplane_default_interface(interfaces->default_name)) {
			log_error(0, "there is no default route to take the interface of: name one "
				     "by -i (xcapd -D lists them)");
			return EXIT_FAILURE;
		}
		interfaces->default_word = interfaces->default_name;
		interfaces->words =
			(struct config_list){ .items = &interfaces->default_word, .count = 1 };
	}
	interfaces->missing = calloc(interfaces->words.count, sizeof(*interfaces->missing));
	return exit_code(interfaces->missing ? 0 : log_error(-ENOMEM, "cannot start"));
}

static int set_up(struct interfaces *interfaces)
{
	struct utsname host;
	int code;

	if (!uname(&host))
		snprintf(interfaces->os, sizeof(interfaces->os), "%.20s %.40s", host.sysname,
			 host.release);
	code = choose_words(interfaces);
	if (code)
		return code;
	/* First, so that nothing goes untold. */
	interfaces->monitor_fd = netdev_monitor();
	if (interfaces->monitor_fd < 0)
		return exit_code(log_error(interfaces->monitor_fd,
					   "cannot follow interfaces that come and go"));
	interfaces_describe_earlier_filters(interfaces);
	interfaces_describe_filters(interfaces, interfaces->config.filters);
	interfaces->starting = true;
	interfaces_begin_turn(interfaces);
	code = take_what_is_there(interfaces);
	interfaces->starting = false;
	if (code)
		return code;
	receive(interfaces);
	return 0;
}

int interfaces_create(struct interfaces **ret, const struct interfaces_config *config)
{
	struct interfaces *interfaces = calloc(1, sizeof(*interfaces));
	int code;

	if (!interfaces)
		return exit_code(log_error(-ENOMEM, "cannot start"));
	interfaces->config = *config;
	interfaces->monitor_fd = -1;
	interfaces->received.done = received;
	interfaces->turn.expired = turn_begins;
	code = set_up(interfaces);
	if (code) {
		interfaces_detach(interfaces);
		interfaces_destroy(interfaces);
		return code;
	}
	*ret = interfaces;
	return 0;
}

/* Its driver refused the program that could have asked for them. */
static int check_timestamps(const struct interfaces *interfaces, struct agent_interface *interface,
			    char *error)
{
	int err;

	if (!interface->is_generic || !timestamps_asks_card(interface->timestamps))
		return 0;
	err = timestamps_give_up(interface->timestamps, "there are none in generic XDP", error);
	return err
		       ?: interfaces_describe(interfaces, interface,
					      dataplane_link_type(interface->attached));
}

int interfaces_enable(struct interfaces *interfaces)
{
	char error[DATAPLANE_ERROR_LEN];
	int err;

	for (unsigned int i = 0; i < interfaces->count && interfaces_is_tap(interfaces); i++) {
		struct agent_interface *interface = &interfaces->list[i];

		if (!interface->attached)
			continue;
		err = dataplane_enable(interface->attached, error);
		if (err)
			return log_error(0, "%s", error), err;
		interface->is_generic = dataplane_is_generic(interface->attached);
		err = check_timestamps(interfaces, interface, error);
		if (err)
			return log_error(0, "%s", error), err;
		interfaces_log_capturing(interface);
	}
	return 0;
}

void interfaces_refresh(struct interfaces *interfaces, uint64_t taken_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	bool is_due = now >= interfaces->looked_ns + LOOK_NS;

	if (interfaces->detached)
		return;
	if (interfaces_is_live(interfaces))
		interfaces_live_refresh(interfaces);
	interfaces_read(interfaces, is_due);
	interfaces_leave_native(interfaces);
	for (unsigned int i = 0; i < interfaces->count; i++) {
		if (interfaces->list[i].attached)
			interfaces_follow_clock(interfaces, &interfaces->list[i]);
	}
	if (is_due) {
		interfaces->looked_ns = now;
		interfaces_tell(interfaces);
	}
	interface_table_expire(interfaces->config.table, taken_ns);
	if (!interfaces->look_again)
		return;
	interfaces_begin_turn(interfaces);
	(void)interfaces_look_around(interfaces);
}

void interfaces_detach(struct interfaces *interfaces)
{
	if (interfaces->detached)
		return;
	interfaces->detached = true;
	for (unsigned int i = 0; i < interfaces->count; i++) {
		if (agent_interface_is_captured(&interfaces->list[i]))
			interfaces_finish(interfaces, &interfaces->list[i]);
	}
	interfaces_read_gone(interfaces);
}

void interfaces_destroy(struct interfaces *interfaces)
{
	if (!interfaces)
		return;
	loop_timer_stop(interfaces->config.loop, &interfaces->turn);
	if (interfaces->is_receiving)
		loop_cancel(interfaces->config.loop, &interfaces->received);
	while (interfaces->is_receiving && !loop_turn(interfaces->config.loop, true))
		;
	if (interfaces->monitor_fd >= 0)
		close(interfaces->monitor_fd);
	for (unsigned int i = 0; i < interfaces->count; i++)
		timestamps_destroy(interfaces->list[i].timestamps);
	interfaces_live_release(interfaces);
	free(interfaces->missing);
	free(interfaces);
}

const struct agent_interface *interfaces_list(const struct interfaces *interfaces,
					      unsigned int *count)
{
	*count = interfaces->count;
	return interfaces->list;
}

const struct xcap_count *interfaces_gone_counts(const struct interfaces *interfaces)
{
	return interfaces->gone;
}

uint64_t interfaces_gone_nic(const struct interfaces *interfaces)
{
	return interfaces->gone_nic;
}

const struct config_list *interfaces_words(const struct interfaces *interfaces)
{
	return &interfaces->words;
}

bool interfaces_is_missing(const struct interfaces *interfaces, unsigned int word)
{
	return interfaces->missing[word];
}
