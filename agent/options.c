/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/options.h"

#include <linux/types.h>
#include <string.h>

#include "bpf/xcap_abi.h"

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

enum agent_timestamps agent_options_timestamps(const struct agent_options *o)
{
	const char *name = timestamps[o->timestamp_source];

	if (strncmp(name, "adapter", strlen("adapter")) == 0)
		return AGENT_TIMESTAMPS_NIC;
	if (strncmp(name, "host", strlen("host")) == 0)
		return AGENT_TIMESTAMPS_KERNEL;
	return (enum agent_timestamps)o->timestamp_source;
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
	.check = agent_options_check_all,
};
