/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of clocks: in status, and by xcapd -J. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "agent/exit_code.h"
#include "agent/nic_clock.h"
#include "agent/selection.h"
#include "agent/timestamps.h"
#include "common/log.h"

static json_t *seconds(double ns)
{
	return json_real(ns / (double)NS_PER_SEC);
}

/* A line of sysfs; NULL: there is none. */
static json_t *line_of(const char *dir, const char *name)
{
	char path[PATH_MAX], text[256];
	json_t *json = NULL;
	FILE *file;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return NULL;
	file = fopen(path, "re");
	if (!file)
		return NULL;
	if (fgets(text, sizeof(text), file)) {
		text[strcspn(text, "\n")] = '\0';
		json = json_string(text);
	}
	fclose(file);
	return json;
}

/* What it shows; left out where it cannot be read. */
static void add_reading(json_t *json, const char *path, const struct host_clock *host)
{
	struct clocks_reading utc = clocks_compare(CLOCK_REALTIME), reading;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct timex timex = {};
	int64_t ahead_ns;

	if (fd < 0)
		return;
	reading = clocks_compare(timestamps_clock_of(fd));
	if (reading.error_ns != UINT64_MAX) {
		ahead_ns = nic_clock_ahead(&reading, &utc);
		json_object_set_new(json, "ahead_of_utc_seconds", seconds((double)ahead_ns));
		json_object_set_new(
			json, "scale",
			json_string(nic_clock_scale_name(nic_clock_scale(ahead_ns, host))));
	}
	/* Millionths in 2^16; nothing is set. */
	if (clock_adjtime(timestamps_clock_of(fd), &timex) >= 0)
		json_object_set_new(json, "adjusted_ppm", json_real((double)timex.freq / 65536));
	close(fd);
}

static int is_clock(const struct dirent *entry)
{
	return strncmp(entry->d_name, "ptp", 3) == 0;
}

static json_t *ptp_clocks_json(const char *root, const struct host_clock *host)
{
	static const char *const lines[] = { "clock_name", "max_adjustment" };
	json_t *list = json_array(), *json;
	char path[PATH_MAX];
	struct dirent **entries;
	int count;

	snprintf(path, sizeof(path), "%s/sys/class/ptp", root);
	count = scandir(path, &entries, is_clock, versionsort);
	for (int i = 0; i < count; i++) {
		json = json_object();
		snprintf(path, sizeof(path), "%s/dev/%s", root, entries[i]->d_name);
		json_object_set_new(json, "device", json_string(path));
		add_reading(json, path, host);
		snprintf(path, sizeof(path), "%s/sys/class/ptp/%s", root, entries[i]->d_name);
		for (size_t k = 0; k < ARRAY_SIZE(lines); k++)
			json_object_set_new(json, lines[k], line_of(path, lines[k]) ?: json_null());
		json_array_append_new(list, json);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return list;
}

json_t *timestamps_clock_json(const char *root)
{
	struct host_clock host;

	timestamps_read_host(&host);
	return json_pack("{s:b,s:o,s:o,s:o,s:o,s:o}", "synchronised", host.synchronised,
			 "offset_seconds", seconds((double)host.offset_ns), "max_error_seconds",
			 seconds((double)host.max_error_ns), "estimated_error_seconds",
			 seconds((double)host.estimated_error_ns), "tai_minus_utc_seconds",
			 host.tai_s ? json_integer(host.tai_s) : json_null(), "ptp_clocks",
			 ptp_clocks_json(root, &host));
}

static void list_type(const struct agent_options *options, const struct netdev *device,
		      enum agent_timestamps asked, const char *text)
{
	const struct timestamps_config config = {
		.asked = asked,
		.device = device,
		.is_tap = options->mode == AGENT_TAP,
		.is_generic = options->xdp_mode == AGENT_XDP_GENERIC,
	};
	struct timestamps *timestamps;
	char error[EXPLAIN_LEN];

	if (timestamps_create(&timestamps, &config, error)) {
		log_info("%s", error);
		return;
	}
	printf("  %s\n", text);
	timestamps_destroy(timestamps);
}

static int list_interface(const struct agent_options *options, const char *name)
{
	unsigned int ifindex = if_nametoindex(name);
	struct netdev device;

	if (selection_kind(name) != SELECTION_NAME) {
		log_error(0, "-J takes names of interfaces, not %s (xcapd -D lists them)", name);
		return EXIT_FAILURE;
	}
	if (!ifindex || netdev_query(&device, ifindex)) {
		log_error(0, "there is no interface %s (xcapd -D lists them)", name);
		return EXIT_FAILURE;
	}
	printf("Time stamp types for %s (use option -j to set):\n", device.name);
	list_type(options, &device, AGENT_TIMESTAMPS_KERNEL, "kernel (host)");
	list_type(options, &device, AGENT_TIMESTAMPS_NIC, "nic (adapter)");
	list_type(options, &device, AGENT_TIMESTAMPS_PTP, "ptp");
	return 0;
}

int timestamps_list(const struct agent_options *options)
{
	const struct config_list *interfaces = &options->interfaces;
	char preferred[16];
	int code = 0;

	if (!interfaces->count) {
		if (!dataplane_default_interface(preferred))
			return list_interface(options, preferred);
		log_error(0, "there is no default route to take the interface of: name one by -i");
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < interfaces->count && !code; i++)
		code = list_interface(options, interfaces->items[i]);
	return code;
}
