/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/timestamps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "agent/nic_clock.h"
#include "bpf/hwstamp.h"
#include "common/log.h"

struct timestamps {
	enum agent_timestamps asked;
	enum timestamps_source source; /* that was chosen */
	bool is_lost;		       /* at the moment it cannot be had */
	char ifname[16];
	char why[TIMESTAMPS_WHY_LEN]; /* it is the kernel's, or lost */
	int phc, fd;		      /* N of /dev/ptpN, -1 */
	struct nic_clock clock;
	int64_t ahead_ns; /* of UTC */
	enum nic_clock_scale scale;
	uint64_t read_ns; /* CLOCK_MONOTONIC; 0: not yet */
};

static const char *const names[] = {
	[TIMESTAMPS_KERNEL] = "kernel",
	[TIMESTAMPS_NIC] = "nic",
	[TIMESTAMPS_PTP] = "ptp",
};

/* As the kernel makes a clock of a descriptor: clock_getres(2), "Dynamic clocks". */
clockid_t timestamps_clock_of(int fd)
{
	return (clockid_t)(~(unsigned int)fd << 3 | 3);
}

static int printf_like(2, 3) refuse(struct timestamps *timestamps, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(timestamps->why, sizeof(timestamps->why), format, args);
	va_end(args);
	return -EDOM;
}

/* -EDOM and why: the driver gives no stamps that would do. */
static int find_card(struct timestamps *timestamps, const struct timestamps_config *config)
{
	struct hwstamp card;
	struct netdev_xdp xdp;
	char path[32];

	hwstamp_query(&card, config->device);
	if (!card.some)
		return refuse(timestamps, "its driver gives no hardware time stamps");
	if (!card.all)
		return refuse(timestamps, "its driver stamps packets of PTP only");
	if (card.phc < 0)
		return refuse(timestamps, "its driver does not tell which clock its stamps are of");
	if (config->is_tap) {
		netdev_query_xdp(&xdp, config->device->ifindex);
		if (config->is_generic || !xdp.native)
			return refuse(timestamps, "there are none in generic XDP");
		if (!xdp.stamp)
			return refuse(timestamps, "its driver gives none to XDP programs");
	}
	timestamps->phc = card.phc;
	snprintf(path, sizeof(path), "/dev/ptp%d", card.phc);
	timestamps->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (timestamps->fd < 0)
		return refuse(timestamps, "cannot open its clock %s: %s", path, strerror(errno));
	return 0;
}

void timestamps_read_host(struct host_clock *ret)
{
	struct timex timex = {};
	int state = adjtimex(&timex);

	host_clock_take(ret, &timex, state);
}

/* -EDOM and why. */
static int read_card(struct timestamps *timestamps, struct xcap_line *ret)
{
	struct nic_clock_evidence evidence = { .utc = clocks_compare(CLOCK_REALTIME) };
	clockid_t clock = timestamps_clock_of(timestamps->fd);
	char why[NIC_CLOCK_WHY_LEN];
	struct timex timex = {};
	int err;

	timestamps->read_ns = clock_ns(CLOCK_MONOTONIC);
	evidence.nic = clocks_compare(clock);
	if (evidence.nic.error_ns == UINT64_MAX)
		return refuse(timestamps, "cannot read its clock /dev/ptp%d: %s", timestamps->phc,
			      strerror(errno));
	nic_clock_follow(&timestamps->clock, &evidence.nic);
	*ret = timestamps->clock.line;
	timestamps_read_host(&evidence.host);
	timestamps->ahead_ns = nic_clock_ahead(&evidence.nic, &evidence.utc);
	timestamps->scale = nic_clock_scale(timestamps->ahead_ns, &evidence.host);
	if (timestamps->source != TIMESTAMPS_PTP)
		return 0;
	/* Nothing is set: it tells the frequency that was. */
	evidence.steered = clock_adjtime(clock, &timex) < 0 || timex.freq != 0;
	err = nic_clock_ptp(ret, &evidence, why);
	return err ? refuse(timestamps, "its clock /dev/ptp%d: %s", timestamps->phc, why) : 0;
}

static void close_card(struct timestamps *timestamps)
{
	if (timestamps->fd >= 0)
		close(timestamps->fd);
	timestamps->fd = -1;
}

int timestamps_give_up(struct timestamps *timestamps, const char *why, char *error)
{
	if (why)
		snprintf(timestamps->why, sizeof(timestamps->why), "%s", why);
	close_card(timestamps);
	if (timestamps->asked != AGENT_TIMESTAMPS_AUTO)
		return explain_only(error, -EDOM,
				    "cannot take time stamps of %s's network card (%s): %s "
				    "(--time-stamp-type kernel does without)",
				    timestamps->ifname, names[timestamps->source], timestamps->why);
	timestamps->source = TIMESTAMPS_KERNEL;
	return 0;
}

int timestamps_create(struct timestamps **ret, const struct timestamps_config *config, char *error)
{
	static const enum timestamps_source sources[] = {
		[AGENT_TIMESTAMPS_AUTO] = TIMESTAMPS_NIC,
		[AGENT_TIMESTAMPS_NIC] = TIMESTAMPS_NIC,
		[AGENT_TIMESTAMPS_PTP] = TIMESTAMPS_PTP,
		[AGENT_TIMESTAMPS_KERNEL] = TIMESTAMPS_KERNEL,
	};
	struct timestamps *timestamps = calloc(1, sizeof(*timestamps));
	struct xcap_line line;
	int err = 0;

	if (!timestamps)
		return explain(error, -ENOMEM, "cannot choose time stamps");
	timestamps->asked = config->asked;
	timestamps->source = sources[config->asked];
	timestamps->phc = timestamps->fd = -1;
	memcpy(timestamps->ifname, config->device->name, sizeof(timestamps->ifname));
	nic_clock_init(&timestamps->clock);
	if (timestamps->source != TIMESTAMPS_KERNEL) {
		err = find_card(timestamps, config);
		if (!err)
			err = read_card(timestamps, &line);
		if (err)
			err = timestamps_give_up(timestamps, NULL, error);
		timestamps->read_ns = 0; /* the programs are to be told */
	}
	if (err) {
		timestamps_destroy(timestamps);
		return err;
	}
	*ret = timestamps;
	return 0;
}

void timestamps_destroy(struct timestamps *timestamps)
{
	if (!timestamps)
		return;
	close_card(timestamps);
	free(timestamps);
}

enum timestamps_source timestamps_source(const struct timestamps *timestamps)
{
	return timestamps->is_lost ? TIMESTAMPS_KERNEL : timestamps->source;
}

const char *timestamps_name(const struct timestamps *timestamps)
{
	return names[timestamps_source(timestamps)];
}

const char *timestamps_why(const struct timestamps *timestamps)
{
	return timestamps->why;
}

bool timestamps_asks_card(const struct timestamps *timestamps)
{
	return timestamps->source != TIMESTAMPS_KERNEL;
}

bool timestamps_follow(struct timestamps *timestamps, struct dataplane_interface *interface)
{
	bool was_lost = timestamps->is_lost;
	struct xcap_line line = {};
	int err;

	if (timestamps->source == TIMESTAMPS_KERNEL ||
	    (timestamps->read_ns &&
	     clock_ns(CLOCK_MONOTONIC) - timestamps->read_ns < NIC_CLOCK_READ_NS))
		return false;
	err = read_card(timestamps, &line);
	if (err)
		line.until_ns = 0;
	timestamps->is_lost = dataplane_set_clock(interface, &line) || err;
	if (timestamps->is_lost == was_lost)
		return false;
	if (timestamps->is_lost) {
		log_warning(0, "%s: time stamps are the kernel's from here on: %s",
			    dataplane_interface_name(interface), timestamps->why);
	} else {
		timestamps->why[0] = '\0';
		log_info("%s: time stamps are the network card's again (%s)",
			 dataplane_interface_name(interface), names[timestamps->source]);
	}
	return true;
}

static double seconds(int64_t ns)
{
	return (double)ns / (double)NS_PER_SEC;
}

json_t *timestamps_json(const struct timestamps *timestamps)
{
	static const char *const asked[] = {
		[AGENT_TIMESTAMPS_AUTO] = "auto",
		[AGENT_TIMESTAMPS_NIC] = "nic",
		[AGENT_TIMESTAMPS_PTP] = "ptp",
		[AGENT_TIMESTAMPS_KERNEL] = "kernel",
	};
	json_t *json = json_pack("{s:s,s:s,s:s?}", "source", timestamps_name(timestamps), "asked",
				 asked[timestamps->asked], "reason",
				 *timestamps->why ? timestamps->why : NULL);
	char device[32];

	if (!json || timestamps->fd < 0)
		return json;
	snprintf(device, sizeof(device), "/dev/ptp%d", timestamps->phc);
	json_object_set_new(
		json, "clock",
		json_pack("{s:s,s:s,s:f,s:f,s:f,s:I}", "device", device, "scale",
			  nic_clock_scale_name(timestamps->scale), "ahead_of_utc_seconds",
			  seconds(timestamps->ahead_ns), "reading_error_seconds",
			  seconds((int64_t)timestamps->clock.last.error_ns), "rate_ppm",
			  (double)timestamps->clock.line.rate * 1e6 / (1ll << XCAP_RATE_SHIFT),
			  "steps", (json_int_t)timestamps->clock.steps));
	return json;
}
