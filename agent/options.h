/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xcapd can be told: the table of its options, their values, and what they rule out. */
#pragma once

#include "common/config.h"
#include "common/log.h"

#define AGENT_INTERFACES_ASKED_MAX 64 /* names and patterns */
#define AGENT_BARE_STATS_NS (5 * NS_PER_SEC)

/* In the order of the choices in the table. */
enum agent_mode { AGENT_MIRROR, AGENT_TAP, AGENT_PCAP };
enum agent_xdp_mode { AGENT_XDP_AUTO, AGENT_XDP_GENERIC };
enum agent_zero_copy { AGENT_ZERO_COPY_AUTO, AGENT_ZERO_COPY_ON, AGENT_ZERO_COPY_OFF };
enum agent_direction { AGENT_IN, AGENT_OUT, AGENT_INOUT };
enum agent_when_full { AGENT_DROP_OLDEST, AGENT_DROP_NEWEST };
enum agent_preset { AGENT_BALANCED, AGENT_THROUGHPUT, AGENT_LATENCY, AGENT_MEMORY };
enum agent_timestamps {
	AGENT_TIMESTAMPS_AUTO,
	AGENT_TIMESTAMPS_NIC,
	AGENT_TIMESTAMPS_PTP,
	AGENT_TIMESTAMPS_KERNEL,
};
enum agent_stamp { AGENT_STAMP_RECORDED, AGENT_STAMP_NOW };

struct filter_cache;

struct agent_options {
	/* capture */
	struct config_list interfaces; /* empty: that of the default route */
	int mode;		       /* enum agent_mode */
	bool is_mode_given;	       /* set by who reads the configuration */
	int xdp_mode;		       /* enum agent_xdp_mode */
	int tc_mode;		       /* enum dataplane_tc */
	int zero_copy;		       /* enum agent_zero_copy */
	uint64_t snaplen;
	const char *filter;		  /* pcap-filter(7); NULL: everything */
	struct config_list named_filters; /* for filter_rule_parse() */
	struct config_list allow, deny;	  /* for lists_load() */
	uint64_t watch_max;
	bool decap;
	uint64_t sample, sample_flow; /* one of so many; 1: each */
	uint64_t count;		      /* 0: no end */
	int direction;		      /* enum agent_direction */
	int preset;		      /* enum agent_preset; its values are in the fields below */
	uint64_t buffer_bytes;	      /* all rings together; 0: see agent_options_buffer() */
	uint64_t ring_bytes;	      /* of each CPU; 0: automatic */
	uint64_t umem_bytes;	      /* of each queue; 0: automatic */
	bool no_promiscuous;
	bool force;
	uint64_t lanes;		 /* 0: automatic */
	struct config_list cpus; /* for machine_cpu_list(); empty: automatic */
	int timestamp_source;	 /* see agent_options_timestamps() */
	bool list_interfaces, list_timestamps, json, dump_filter;

	/* replay */
	const char *read; /* "-": standard input */
	const char *speed_text;
	int stamp;	   /* enum agent_stamp */
	const char *label; /* interface name of what is read */

	/* output */
	const char *write; /* "-": standard output */
	struct config_list aggregators;
	const char *ca, *cert, *key;
	uint64_t reconnect_max_ns;
	uint64_t batch_bytes;
	uint64_t batch_timeout_ns;
	uint64_t journal_bytes;
	int when_full; /* enum agent_when_full */

	/* instance */
	const char *name; /* NULL: the certificate's id, else the host's name */
	const char *run_dir;
	const char *bpffs; /* NULL: automatic */
	bool detach;

	/* reports and configuration */
	uint64_t stats_ns; /* 0: none; see agent_options_stats() */
	bool quiet;
	uint64_t verbose;
	int log_level; /* enum log_level */
	const char *config;
	bool print_config, check_config;

	/* Not options: what the check of the filters has compiled; NULL: it is not kept. */
	struct filter_cache *compiled;
	/* For agent_reload(); argv NULL: no file was read, there is nothing to read again. */
	int argc;
	char **argv;
};

extern const struct config_program agent_program;

/* For the table: the filters and lists too. As struct config_program says. */
int agent_options_check_all(const struct config *config, const void *values,
			    char error[256]) must_check;
/* 0, or -EINVAL and what contradicts what. */
int agent_options_check(const struct agent_options *options, char error[256]) must_check;
/* Logs which options of the command line change nothing, with the others as they are. */
void agent_options_warn(const struct agent_options *options, const struct config *config);
/* --speed as a factor of the recorded time; 0: as fast as it goes. -EINVAL. */
int agent_options_speed(double *ret, const char *text) must_check;
/* Whose clock is asked for, by whatever name. */
enum agent_timestamps agent_options_timestamps(const struct agent_options *options);
/* Arguments behind the options are the filter, in words. *ret: what o->filter points to then, to be
 * freed after the last use; or NULL. -ENOMEM. */
int agent_options_filter(struct agent_options *options, const struct config *config,
			 char **ret) must_check;
/* The interval of --stats; where nothing was said, the usual one if stderr is a terminal and -q was
 * not given. 0: none. */
uint64_t agent_options_stats(const struct agent_options *options, const struct config *config,
			     bool is_terminal);
/* All rings together: what -B says, else --ring-size for each CPU; 0: automatic. */
uint64_t agent_options_buffer(const struct agent_options *options, unsigned int cpus);
/* --log-level; where nothing was said, -v means debug and -q warning. */
enum log_level agent_options_log_level(const struct agent_options *options,
				       const struct config *config);
