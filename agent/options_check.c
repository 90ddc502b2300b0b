/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What no row of the table of options can tell alone. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lists.h"
#include "agent/machine.h"
#include "agent/options.h"
#include "agent/selection.h"
#include "bpf/filter_rule.h"
#include "common/log.h"
#include "common/pcapng.h"
#include "common/stream.h"

#define IFNAME_MAX 15
#define ORIGIN_MAX 80
#define PLACE_LEN (ORIGIN_MAX + 8)
#define PATTERN_MAX 64
#define RING_MIN (512 * KIB)
#define UMEM_MIN (1 * MIB)

int agent_options_speed(double *ret, const char *text)
{
	double value = 0;
	char *end;

	if (strcmp(text, "max") != 0) {
		/* No signs, exponents, infinities or hexadecimal numbers. */
		if (!*text || text[strspn(text, "0123456789.")])
			return -EINVAL;
		value = strtod(text, &end);
		if (*end || value < 0.001 || value > 1000000)
			return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int printf_like(2, 3) refuse(char error[256], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, 256, format, args);
	va_end(args);
	return -EINVAL;
}

static int check_interfaces(const struct config_list *interfaces, char error[256])
{
	if (interfaces->count > AGENT_INTERFACES_ASKED_MAX)
		return refuse(error, "more than %d interfaces", AGENT_INTERFACES_ASKED_MAX);
	for (size_t i = 0; i < interfaces->count; i++) {
		const char *name = interfaces->items[i];
		bool is_pattern = selection_kind(name) == SELECTION_PATTERN;
		size_t max = is_pattern ? PATTERN_MAX : IFNAME_MAX;

		if (strlen(name) > max || strpbrk(name, "/ \t\n") || strcmp(name, ".") == 0 ||
		    strcmp(name, "..") == 0)
			return refuse(error, "\"%.64s\" cannot be the name of an interface", name);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(interfaces->items[j], name) == 0)
				return refuse(error, "interface %s is given twice", name);
		}
	}
	return 0;
}

static int check_cpus(const struct config_list *list, char error[256])
{
	unsigned int cpus[MACHINE_CPUS_MAX];

	for (size_t i = 0; i < list->count; i++) {
		if (machine_cpu_list(cpus, list->items[i]) < 0)
			return refuse(error,
				      "--cpus takes numbers and ranges of CPUs below %d, such as "
				      "0,4-7, not \"%.64s\"",
				      MACHINE_CPUS_MAX, list->items[i]);
	}
	return 0;
}

static int check_live(const struct agent_options *o, char error[256])
{
	if (o->mode == AGENT_TAP && o->direction == AGENT_OUT)
		return refuse(error, "-Q out finds nothing in tap mode, which sees what arrives: "
				     "use --mode mirror");
	for (size_t i = 0; i < o->interfaces.count && o->mode == AGENT_TAP; i++) {
		if (selection_kind(o->interfaces.items[i]) == SELECTION_ANY)
			return refuse(error, "-i any with --mode tap would take all packets away "
					     "from this host: name the interfaces");
	}
	if (o->zero_copy == AGENT_ZERO_COPY_ON && o->mode != AGENT_TAP)
		return refuse(error, "--zero-copy on is for --mode tap");
	if (o->zero_copy == AGENT_ZERO_COPY_ON && o->xdp_mode == AGENT_XDP_GENERIC)
		return refuse(error, "--zero-copy on takes XDP in the driver: not --xdp-mode "
				     "generic");
	if (o->stamp == AGENT_STAMP_NOW)
		return refuse(error, "--stamp now is for packets that are read: give -r FILE");
	if (strcmp(o->speed_text, "1") != 0)
		return refuse(error, "--speed is for packets that are read: give -r FILE");
	if (o->label)
		return refuse(error, "--label names packets that are read: give -r FILE");
	return check_interfaces(&o->interfaces, error);
}

static int check_replay(const struct agent_options *o, char error[256])
{
	double speed;

	if (o->interfaces.count)
		return refuse(error, "-r and -i exclude each other: read a file or capture");
	if (o->mode == AGENT_TAP)
		return refuse(error,
			      "-r and --mode tap exclude each other: read a file or capture");
	if (o->timestamp_source != AGENT_TIMESTAMPS_AUTO)
		return refuse(error, "-j is for capturing, not for packets that are read (-r)");
	if (o->direction != AGENT_INOUT)
		return refuse(error, "-Q is for capturing, not for packets that are read (-r)");
	if (agent_options_speed(&speed, o->speed_text))
		return refuse(error, "--speed takes a factor from 0.001 to 1000000, or max");
	if (o->decap || o->sample > 1 || o->sample_flow > 1)
		return refuse(error, "--decap, --sample and --sample-flow are for capturing, not "
				     "for packets that are read (-r)");
	if (o->label && !agent_id_valid(o->label))
		return refuse(error, "--label takes 1 to 64 of a-z 0-9 . _ -");
	return 0;
}

static int check_output(const struct agent_options *o, char error[256])
{
	if (!o->write && !o->aggregators.count)
		return refuse(error,
			      "nowhere to put the packets: give -w FILE (- is standard output) "
			      "or --aggregator HOST:PORT");
	if (o->aggregators.count && (!o->ca || !o->cert || !o->key))
		return refuse(error, "--aggregator needs --ca, --cert and --key: %s is missing",
			      !o->ca	 ? "--ca"
			      : !o->cert ? "--cert"
					 : "--key");
	return 0;
}

int agent_options_check(const struct agent_options *o, char error[256])
{
	int err;

	/* It becomes the name of a directory and of files. */
	if (o->name && (!agent_id_valid(o->name) || o->name[0] == '.'))
		return refuse(error, "--name takes 1 to 64 of a-z 0-9 . _ - and no leading dot");
	if (o->json && !o->list_interfaces)
		return refuse(error, "--json is for --list-interfaces (-D)");
	if (o->dump_filter && o->read)
		return refuse(error, "-d is for the filter of an interface: leave out -r");
	if (o->dump_filter && o->interfaces.count > 1)
		return refuse(error, "-d prints one filter: give one interface");
	if (o->list_interfaces || o->list_timestamps || o->detach || o->dump_filter)
		return 0;
	if (o->ring_bytes && o->ring_bytes < RING_MIN)
		return refuse(error, "--ring-size is at least 512KiB, or 0");
	if (o->umem_bytes && o->umem_bytes < UMEM_MIN)
		return refuse(error, "--umem-size is at least 1MiB, or 0");
	err = check_cpus(&o->cpus, error);
	if (!err)
		err = o->read ? check_replay(o, error) : check_live(o, error);
	return err ? err : check_output(o, error);
}

static char *join(const struct config_list *words)
{
	size_t len = 1;
	char *text, *at;

	for (size_t i = 0; i < words->count; i++)
		len += strlen(words->items[i]) + 1;
	at = text = malloc(len);
	if (!text)
		return NULL;
	*at = '\0';
	for (size_t i = 0; i < words->count; i++)
		at += sprintf(at, "%s%s", i ? " " : "", words->items[i]);
	return text;
}

/* "FILE:LINE: " of what a file gave, else nothing. Of a long path the end tells more. */
static void print_place(char ret[PLACE_LEN], const struct config *config, const char *option)
{
	const char *origin = config_origin(config, option);
	size_t len = strlen(origin), cut = len > ORIGIN_MAX ? len - ORIGIN_MAX : 0;

	ret[0] = '\0';
	if (strchr(origin, ':'))
		snprintf(ret, PLACE_LEN, "%s%s: ", cut ? "..." : "", origin + cut);
}

static int check_expression(const struct agent_options *o, const char *expression, const char *what,
			    char error[256])
{
	struct filter_rule rule = { .expression = (char *)(uintptr_t)expression };
	const struct filter_set set = { .rules = { rule }, .count = 1, .cache = o->compiled };
	char why[FILTER_ERROR_LEN];
	int err = filter_set_check(&set, 0, LINKTYPE_ETHERNET, o->mode != AGENT_PCAP, why);

	return err ? refuse(error, "%s '%.60s': %.110s", what, expression, why) : 0;
}

/*
 * As most interfaces are: what is wrong only on another kind is told when that is attached to. Of
 * what is recorded (-r) only the file tells the kind.
 */
static int check_filter(const struct config *config, const struct agent_options *o, char error[256])
{
	const struct config_list *words = config_arguments(config);
	char *joined = words->count ? join(words) : NULL, why[FILTER_ERROR_LEN];
	const char *expression = joined ?: o->filter;
	char place[PLACE_LEN] = "", what[PLACE_LEN + FILTER_NAME_MAX + 16];
	int err = 0;

	if (!joined)
		print_place(place, config, "filter");
	snprintf(what, sizeof(what), "%sthe filter", place);
	if (expression && !o->read)
		err = check_expression(o, expression, what, error);
	print_place(place, config, "named-filter");
	for (size_t i = 0; i < o->named_filters.count && !err; i++) {
		struct filter_rule rule;

		err = filter_rule_parse(&rule, o->named_filters.items[i], why);
		if (err) {
			err = refuse(error, "%s--named-filter: %.150s", place, why);
			continue;
		}
		snprintf(what, sizeof(what), "%sthe filter %s,", place, rule.name);
		err = check_expression(o, rule.expression, what, error);
	}
	free(joined);
	return err;
}

/* -EBADMSG: a file of addresses is wrong. */
static int check_lists(const struct agent_options *o, char error[256])
{
	char why[EXPLAIN_LEN] = "";
	struct prefixes lists = {};
	int err = lists_load(&lists, o, why);

	prefixes_release(&lists);
	if (err)
		refuse(error, "%.255s", why);
	return err;
}

int agent_options_check_all(const struct config *config, const void *values, char error[256])
{
	const struct config_list *words = config_arguments(config);
	const struct agent_options *o = values;

	if (words->count && o->filter && config_is_set(config, "filter") &&
	    strcmp(config_origin(config, "filter"), "command line") == 0)
		return refuse(error, "the filter is given twice: by -f, and as '%s ...'",
			      words->items[0]);
	if (o->read && o->named_filters.count)
		return refuse(error,
			      "--named-filter is for capturing: of packets that are read (-r) "
			      "an EXPR lets through what matches");
	if (o->read && (o->allow.count || o->deny.count))
		return refuse(error,
			      "--allow and --deny are for capturing, not for packets that are "
			      "read (-r)");
	return check_filter(config, o, error) ?: check_lists(o, error) ?:
	       agent_options_check(o, error);
}

/* A file may be for several modes. */
static bool is_asked_here(const struct config *config, const char *option)
{
	return strcmp(config_origin(config, option), "command line") == 0;
}

void agent_options_warn(const struct agent_options *o, const struct config *config)
{
	static const struct {
		const char *option;
		bool modes[3];
		const char *names;
	} rows[] = {
		{ "buffer-size",
		  { [AGENT_MIRROR] = true, [AGENT_PCAP] = true },
		  "mirror and pcap" },
		{ "ring-size", { [AGENT_MIRROR] = true, [AGENT_PCAP] = true }, "mirror and pcap" },
		{ "tc-mode", { [AGENT_MIRROR] = true }, "mirror" },
		{ "umem-size", { [AGENT_TAP] = true }, "tap" },
		{ "xdp-mode", { [AGENT_TAP] = true }, "tap" },
		{ "zero-copy", { [AGENT_TAP] = true }, "tap" },
		{ "force", { [AGENT_TAP] = true }, "tap" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if ((o->read || !rows[i].modes[o->mode]) && is_asked_here(config, rows[i].option))
			log_warning(0, "--%s is for capturing in mode %s: it changes nothing here",
				    rows[i].option, rows[i].names);
	}
	if (is_asked_here(config, "buffer-size") && is_asked_here(config, "ring-size"))
		log_warning(0, "--buffer-size is for all rings together, and counts: --ring-size "
			       "changes nothing");
}

int agent_options_filter(struct agent_options *o, const struct config *config, char **ret)
{
	const struct config_list *words = config_arguments(config);

	*ret = words->count ? join(words) : NULL;
	if (words->count && !*ret)
		return -ENOMEM;
	if (*ret)
		o->filter = *ret;
	return 0;
}
