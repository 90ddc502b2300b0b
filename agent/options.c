/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lists.h"
#include "agent/machine.h"
#include "agent/selection.h"
#include "bpf/filter_rule.h"
#include "common/pcapng.h"
#include "common/stream.h"

#define INTERFACES_MAX 64
#define IFNAME_MAX 15
#define PATTERN_MAX 64
#define RING_MIN (512 * KIB)
#define UMEM_MIN (1 * MIB)

#define AT(member) .offset = offsetof(struct agent_options, member)

static const char *const modes[] = { "mirror", "tap", "pcap", NULL };
static const char *const xdp_modes[] = { "auto", "generic", NULL };
static const char *const tc_modes[] = { "auto", "tcx", "clsact", NULL };
static const char *const zero_copies[] = { "auto", "on", "off", NULL };
static const char *const directions[] = { "in", "out", "inout", NULL };
static const char *const when_full[] = { "drop-oldest", "drop-newest", NULL };
static const char *const stamps[] = { "recorded", "now", NULL };
/* Ours, and behind them tcpdump's names for them: see agent_options_timestamps(). */
static const char *const timestamps[] = { "auto",   "nic",	    "ptp",
					  "kernel", "adapter",	    "adapter_unsynced",
					  "host",   "host_lowprec", "host_hiprec",
					  NULL };
static const char *const presets[] = { "balanced", "throughput", "latency", "memory", NULL };
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };

/* In the order of the presets; NULL: as balanced. */
static const char *const ring_sizes[] = { NULL, "16MiB", NULL, "1MiB" };
static const char *const umem_sizes[] = { NULL, "32MiB", NULL, "2MiB" };
static const char *const batch_sizes[] = { NULL, "256KiB", "16KiB", "32KiB" };
static const char *const batch_timeouts[] = { NULL, "500ms", "10ms", NULL };
static const char *const journal_sizes[] = { NULL, "256MiB", NULL, "16MiB" };

static const struct config_option options[] = {
	{ .group = "Capture",
	  .name = "interface",
	  .letter = 'i',
	  .type = CONFIG_LIST,
	  AT(interfaces),
	  .metavar = "IF[,IF...]",
	  .help = "interfaces to capture on, also patterns such as 'eth*', or any (default: that "
		  "of the default route)" },
	{ .name = "mode",
	  .type = CONFIG_CHOICE,
	  AT(mode),
	  .metavar = "MODE",
	  .choices = modes,
	  .fallback = "mirror",
	  .help = "mirror copies what the host receives and sends; tap takes what arrives, for "
		  "SPAN and TAP ports; pcap goes by libpcap, for what is recorded (-r) and where "
		  "BPF is not allowed" },
	{ .name = "xdp-mode",
	  .type = CONFIG_CHOICE,
	  AT(xdp_mode),
	  .metavar = "MODE",
	  .choices = xdp_modes,
	  .fallback = "auto",
	  .help = "tap: auto is native XDP where the driver can, else generic" },
	{ .name = "tc-mode",
	  .type = CONFIG_CHOICE,
	  AT(tc_mode),
	  .metavar = "MODE",
	  .choices = tc_modes,
	  .fallback = "auto",
	  .help = "mirror: auto is tcx where the kernel has it, else filters of clsact" },
	{ .name = "zero-copy",
	  .type = CONFIG_CHOICE,
	  AT(zero_copy),
	  .metavar = "WHEN",
	  .choices = zero_copies,
	  .fallback = "auto",
	  .help = "tap: let the driver write into our memory; auto is where it can" },
	{ .name = "snapshot-length",
	  .letter = 's',
	  .type = CONFIG_COUNT,
	  AT(snaplen),
	  .metavar = "SNAPLEN",
	  .fallback = "262144",
	  .min = 1,
	  .max = 262144,
	  .flags = CONFIG_F_ZERO_IS_MAX,
	  .help = "bytes kept of each packet, 0 for all" },
	{ .name = "filter",
	  .letter = 'f',
	  .type = CONFIG_STRING,
	  AT(filter),
	  .metavar = "EXPR",
	  .help = "capture what matches this pcap-filter(7) expression; also given as the last "
		  "arguments, as in tcpdump" },
	{ .name = "named-filter",
	  .type = CONFIG_LIST,
	  AT(named_filters),
	  .metavar = "RULE",
	  .help = "one more filter, as 'NAME [priority=N] [keep=BYTES|headers+BYTES]: EXPR'; "
		  "what any of them matches is captured" },
	{ .name = "dump-filter",
	  .letter = 'd',
	  .type = CONFIG_FLAG,
	  AT(dump_filter),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "print the filter as libpcap compiles it, and exit" },
	{ .name = "decap",
	  .type = CONFIG_FLAG,
	  AT(decap),
	  .help = "filters also see what is inside of VXLAN, GENEVE, GRE and IP in IP; what is "
		  "captured is the whole packet" },
	{ .name = "sample",
	  .type = CONFIG_COUNT,
	  AT(sample),
	  .metavar = "N",
	  .fallback = "1",
	  .min = 1,
	  .max = INT32_MAX,
	  .help = "capture one packet of N that match, at random" },
	{ .name = "sample-flow",
	  .type = CONFIG_COUNT,
	  AT(sample_flow),
	  .metavar = "N",
	  .fallback = "1",
	  .min = 1,
	  .max = INT32_MAX,
	  .help = "capture one flow of N, all its packets in both directions" },
	{ .name = "allow",
	  .type = CONFIG_LIST,
	  AT(allow),
	  .metavar = "LIST",
	  .help = "of IP packets, only those from or to these addresses: an address, a prefix, or "
		  "@FILE with one a line; others than IP not at all" },
	{ .name = "deny",
	  .type = CONFIG_LIST,
	  AT(deny),
	  .metavar = "LIST",
	  .help = "no packets from or to these; of an address the longest prefix of both lists "
		  "counts" },
	{ .name = "watch-max",
	  .type = CONFIG_COUNT,
	  AT(watch_max),
	  .metavar = "N",
	  .fallback = "65536",
	  .max = XCAP_WATCH_MAX,
	  .help = "flows that xcapctl watch may add at a time; 0: none, which costs packets "
		  "nothing" },
	{ .name = "count",
	  .letter = 'c',
	  .type = CONFIG_COUNT,
	  AT(count),
	  .metavar = "COUNT",
	  .help = "end after so many packets" },
	{ .name = "direction",
	  .letter = 'Q',
	  .type = CONFIG_CHOICE,
	  AT(direction),
	  .metavar = "DIR",
	  .choices = directions,
	  .fallback = "inout",
	  .help = "direction seen from the host" },
	{ .name = "preset",
	  .type = CONFIG_CHOICE,
	  AT(preset),
	  .metavar = "NAME",
	  .choices = presets,
	  .fallback = "balanced",
	  .help = "sizes and times that go together; an option of its own wins over it" },
	{ .name = "buffer-size",
	  .letter = 'B',
	  .type = CONFIG_SIZE,
	  AT(buffer_bytes),
	  .metavar = "MIB",
	  .fallback = "0",
	  .unit = MIB,
	  .max = 65536 * MIB,
	  .help = "kernel buffers of all CPUs together, in MiB; 0: as --ring-size says" },
	{ .name = "ring-size",
	  .type = CONFIG_SIZE,
	  AT(ring_bytes),
	  .metavar = "SIZE",
	  .fallback = "0",
	  .by_preset = ring_sizes,
	  .max = GIB,
	  .help = "mirror: kernel buffer of each CPU; 0: 8MiB, all together at most 128MiB" },
	{ .name = "umem-size",
	  .type = CONFIG_SIZE,
	  AT(umem_bytes),
	  .metavar = "SIZE",
	  .fallback = "0",
	  .by_preset = umem_sizes,
	  .max = GIB,
	  .help = "tap: frame memory of each queue; 0: 32MiB over all queues of an interface, "
		  "at least 8MiB each" },
	{ .name = "no-promiscuous-mode",
	  .letter = 'p',
	  .type = CONFIG_FLAG,
	  AT(no_promiscuous),
	  .help = "leave promiscuous mode as it is" },
	{ .name = "lanes",
	  .type = CONFIG_COUNT,
	  AT(lanes),
	  .metavar = "N",
	  .fallback = "0",
	  .max = 64,
	  .help = "capture threads; 0: one for each four queues" },
	{ .name = "cpus",
	  .type = CONFIG_LIST,
	  AT(cpus),
	  .metavar = "LIST",
	  .help = "CPUs that capture threads run on, such as 0,4-7 (default: in tap mode those of "
		  "the queues' interrupts, else any)" },
	{ .name = "force",
	  .type = CONFIG_FLAG,
	  AT(force),
	  .help = "tap: also the interface of the default route, and where another XDP program "
		  "is" },
	{ .name = "timestamp-source",
	  .alias = "time-stamp-type",
	  .letter = 'j',
	  .type = CONFIG_CHOICE,
	  AT(timestamp_source),
	  .metavar = "TYPE",
	  .choices = timestamps,
	  .fallback = "auto",
	  .help = "whose clock stamps what arrives: nic is the network card's, told as this "
		  "host's time; ptp the card's as PTP keeps it; auto is nic where it can be had, "
		  "else kernel" },
	{ .name = "list-time-stamp-types",
	  .letter = 'J',
	  .type = CONFIG_FLAG,
	  AT(list_timestamps),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "list those that the interfaces of -i can have, and exit" },
	{ .name = "list-interfaces",
	  .letter = 'D',
	  .type = CONFIG_FLAG,
	  AT(list_interfaces),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "list the interfaces and what they can do, and exit" },
	{ .name = "json",
	  .type = CONFIG_FLAG,
	  AT(json),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "list them as JSON" },

	{ .group = "Replay",
	  .name = "read",
	  .letter = 'r',
	  .type = CONFIG_STRING,
	  AT(read),
	  .metavar = "FILE",
	  .help = "packets from a PCAP or pcapng file, plain or compressed by gzip or zstd, - for "
		  "standard input" },
	{ .name = "speed",
	  .type = CONFIG_STRING,
	  AT(speed_text),
	  .metavar = "N|max",
	  .fallback = "1",
	  .help = "times as fast as recorded, or max" },
	{ .name = "stamp",
	  .type = CONFIG_CHOICE,
	  AT(stamp),
	  .metavar = "WHEN",
	  .choices = stamps,
	  .fallback = "recorded",
	  .help = "times of the packets read; now makes a live stream of them" },
	{ .name = "label",
	  .type = CONFIG_STRING,
	  AT(label),
	  .metavar = "ID",
	  .help = "interface name of the packets read: they appear as AGENT/ID" },

	{ .group = "Output",
	  .name = "write",
	  .letter = 'w',
	  .type = CONFIG_STRING,
	  AT(write),
	  .metavar = "FILE",
	  .help = "write pcapng, - for standard output" },
	{ .name = "aggregator",
	  .type = CONFIG_LIST,
	  AT(aggregators),
	  .metavar = "HOST:PORT",
	  .help = "send to this aggregator; of several, to the first that answers" },
	{ .name = "ca",
	  .type = CONFIG_STRING,
	  AT(ca),
	  .metavar = "FILE",
	  .help = "certificate of the authority (PEM)" },
	{ .name = "cert",
	  .type = CONFIG_STRING,
	  AT(cert),
	  .metavar = "FILE",
	  .help = "certificate of this agent (PEM)" },
	{ .name = "key",
	  .type = CONFIG_STRING,
	  AT(key),
	  .metavar = "FILE",
	  .help = "its private key (PEM)" },
	{ .name = "reconnect-max",
	  .type = CONFIG_DURATION,
	  AT(reconnect_max_ns),
	  .metavar = "TIME",
	  .fallback = "20s",
	  .min = NS_PER_SEC,
	  .max = 3600 * NS_PER_SEC,
	  .help = "longest pause between two attempts to connect" },
	{ .name = "batch-size",
	  .type = CONFIG_SIZE,
	  AT(batch_bytes),
	  .metavar = "SIZE",
	  .fallback = "64KiB",
	  .by_preset = batch_sizes,
	  .min = 4 * KIB,
	  .max = MIB,
	  .help = "close a frame at this size" },
	{ .name = "batch-timeout",
	  .type = CONFIG_DURATION,
	  AT(batch_timeout_ns),
	  .metavar = "TIME",
	  .fallback = "20ms",
	  .by_preset = batch_timeouts,
	  .min = NS_PER_MS,
	  .max = 10 * NS_PER_SEC,
	  .help = "close a frame so long after its first packet" },
	{ .name = "journal-size",
	  .type = CONFIG_SIZE,
	  AT(journal_bytes),
	  .metavar = "SIZE",
	  .fallback = "64MiB",
	  .by_preset = journal_sizes,
	  .min = 4 * MIB,
	  .max = 64 * GIB,
	  .help = "memory for what is not delivered yet" },
	{ .name = "when-full",
	  .type = CONFIG_CHOICE,
	  AT(when_full),
	  .metavar = "POLICY",
	  .choices = when_full,
	  .fallback = "drop-oldest",
	  .help = "what goes when that is full" },

	{ .group = "Instance",
	  .name = "name",
	  .type = CONFIG_STRING,
	  AT(name),
	  .metavar = "INSTANCE",
	  .help = "name of this instance's pins, socket and files (default: the certificate's id, "
		  "else the host's name)" },
	{ .name = "run-dir",
	  .type = CONFIG_STRING,
	  AT(run_dir),
	  .metavar = "DIR",
	  .fallback = "/run/xcap",
	  .help = "sockets and journals" },
	{ .name = "bpffs",
	  .type = CONFIG_STRING,
	  AT(bpffs),
	  .metavar = "DIR",
	  .help = "BPF file system to pin in (default: /sys/fs/bpf, else one mounted at "
		  "RUN_DIR/bpf)" },
	{ .name = "detach",
	  .type = CONFIG_FLAG,
	  AT(detach),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "remove everything this instance left in the kernel and exit" },

	{ .group = "Reports and configuration",
	  .name = "stats",
	  .type = CONFIG_DURATION,
	  AT(stats_ns),
	  .metavar = "SEC",
	  .bare = "5",
	  .max = 86400 * NS_PER_SEC,
	  .flags = CONFIG_F_OPTIONAL_VALUE,
	  .help = "print counters every SEC seconds, 5 if SEC is left out, 0 never; on a terminal "
		  "that is the default" },
	{ .name = "quiet",
	  .letter = 'q',
	  .type = CONFIG_FLAG,
	  AT(quiet),
	  .help = "only warnings and errors, no counters" },
	{ .name = "verbose",
	  .letter = 'v',
	  .type = CONFIG_COUNT,
	  AT(verbose),
	  .metavar = "N",
	  .flags = CONFIG_F_COUNTED,
	  .help = "log more; may be repeated" },
	{ .name = "log-level",
	  .type = CONFIG_CHOICE,
	  AT(log_level),
	  .metavar = "LEVEL",
	  .choices = log_levels,
	  .fallback = "info",
	  .help = "what is logged" },
	{ .name = "config",
	  .type = CONFIG_STRING,
	  AT(config),
	  .metavar = "FILE",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "read FILE and FILE.d/*.yaml (default: /etc/xcap/xcapd.yaml if it is there)" },
	{ .name = "print-config",
	  .type = CONFIG_FLAG,
	  AT(print_config),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "print the configuration in effect and exit" },
	{ .name = "check-config",
	  .type = CONFIG_FLAG,
	  AT(check_config),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "check the configuration and exit: 0 or 78" },
};

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
	if (interfaces->count > INTERFACES_MAX)
		return refuse(error, "more than %d interfaces", INTERFACES_MAX);
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

enum agent_timestamps agent_options_timestamps(const struct agent_options *o)
{
	const char *name = timestamps[o->timestamp_source];

	if (strncmp(name, "adapter", strlen("adapter")) == 0)
		return AGENT_TIMESTAMPS_NIC;
	if (strncmp(name, "host", strlen("host")) == 0)
		return AGENT_TIMESTAMPS_KERNEL;
	return (enum agent_timestamps)o->timestamp_source;
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

static int check_expression(const char *expression, const char *what, char error[256])
{
	struct filter_program *program = NULL;
	char why[FILTER_ERROR_LEN];
	int err = filter_compile(&program, expression, LINKTYPE_ETHERNET, why);

	filter_destroy(program);
	return err ? refuse(error, "%.64s '%.80s': %.100s", what, expression, why) : 0;
}

/*
 * As most interfaces are: what is wrong only on another kind is told when that is attached to. Of
 * what is recorded (-r) only the file tells the kind.
 */
static int check_filter(const struct agent_options *o, const struct config_list *words,
			char error[256])
{
	char *joined = words->count ? join(words) : NULL, why[FILTER_ERROR_LEN];
	const char *expression = joined ?: o->filter;
	int err = 0;

	if (expression && !o->read)
		err = check_expression(expression, "the filter", error);
	for (size_t i = 0; i < o->named_filters.count && !err; i++) {
		struct filter_rule rule;

		err = filter_rule_parse(&rule, o->named_filters.items[i], why);
		err = err ? refuse(error, "--named-filter: %.200s", why)
			  : check_expression(rule.expression, rule.name, error);
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

static int check(const struct config *config, const void *values, char error[256])
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
	return check_filter(o, words, error) ?: check_lists(o, error) ?:
	       agent_options_check(o, error);
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

uint64_t agent_options_buffer(const struct agent_options *o, unsigned int cpus)
{
	return o->buffer_bytes ? o->buffer_bytes : cpus * o->ring_bytes;
}

uint64_t agent_options_stats(const struct agent_options *o, const struct config *config,
			     bool is_terminal)
{
	if (config_is_set(config, "stats"))
		return o->stats_ns;
	return is_terminal && !o->quiet ? AGENT_BARE_STATS_NS : 0;
}

enum log_level agent_options_log_level(const struct agent_options *o, const struct config *config)
{
	if (config_is_set(config, "log-level"))
		return (enum log_level)o->log_level;
	return o->verbose ? LOG_LEVEL_DEBUG : o->quiet ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
}

const struct config_program agent_program = {
	.name = "xcapd",
	.purpose = "Capture packets, write them as pcapng or send them to an aggregator.",
	.synopsis =
		"[-i IF[,IF...]] -w FILE [OPTION...] [EXPR...]\n"
		"       xcapd [-i IF[,IF...]] --aggregator HOST:PORT --ca FILE --cert FILE\n"
		"             --key FILE [OPTION...] [EXPR...]\n"
		"       xcapd -r FILE -w FILE | --aggregator HOST:PORT ... [OPTION...] [EXPR...]\n"
		"       xcapd --detach [--name INSTANCE]\n"
		"       xcapd -D [--json]\n"
		"       xcapd -J [-i IF[,IF...]]\n"
		"       xcapd -d [-i IF] EXPR...",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.positional = "EXPR",
	.preset = "preset",
	.default_file = "/etc/xcap/xcapd.yaml",
	.examples = "  xcapd -i eth0 -w - | tcpdump -n -r -\n"
		    "  xcapd -i eth0,eth1 -s 128 --aggregator collector.example:9227 \\\n"
		    "        --ca ca.crt --cert host1.crt --key host1.key\n"
		    "  ssh host tcpdump -U -w - | xcapd -r - --label host --stamp now ...\n",
	.check = check,
};
