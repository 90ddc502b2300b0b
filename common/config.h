/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table of options drives the command line, the environment (XCAP_*), the YAML file,
 * --print-config, --help and the man page's parity test. Order: default < file < conf.d (FILE.d,
 * *.yaml by name) < environment < command line. Strict: an unknown key, a wrong type, an
 * impossible value or a key given twice is an error that names file, line, column and key. The
 * choice of one option (a preset) may give others another default.
 *
 * Values live in a struct of the program, at each option's offset. Strings and lists are owned by
 * the struct config. Before threads start; no state of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/util.h"

struct config; /* owns strings, remembers where each value came from */

enum config_type {
	CONFIG_FLAG,   /* bool; yes/no/true/false/on/off in YAML and environment */
	CONFIG_STRING, /* const char *; NULL if not set */
	CONFIG_LIST,   /* struct config_list; repeatable, commas separate on the command line and in
			  the environment, a sequence or a scalar in YAML */
	CONFIG_COUNT,  /* uint64_t, decimal */
	CONFIG_SIZE,   /* uint64_t bytes: 4096, 64KiB, 8MiB, 1GiB, 64kB (=1000); bare: the unit */
	CONFIG_DURATION, /* uint64_t ns: 20ms, 1.5s, 5m, 2h, 300us; bare: the unit */
	CONFIG_CHOICE,	 /* int: index into choices */
};

enum config_option_flags {
	CONFIG_F_COMMAND_LINE = 1 << 0, /* not in file nor environment (--config, --detach, ...) */
	CONFIG_F_OPTIONAL_VALUE = 1 << 1, /* --stats or --stats=SEC; the bare form gives `bare` */
	CONFIG_F_ZERO_IS_MAX = 1 << 2,	  /* 0 stands for max (-s 0) */
	CONFIG_F_SECRET = 1 << 3,	  /* masked in --print-config */
	CONFIG_F_COUNTED =
		1 << 4, /* COUNT: no value on the command line, each time adds one (-vv) */
};

struct config_list {
	const char **items;
	size_t count;
};

struct config_option {
	const char *name;  /* long option; '-' becomes '_' in YAML keys and environment */
	const char *alias; /* another long name on the command line, or NULL */
	char letter;	   /* short option or 0 */
	enum config_type type;
	size_t offset;
	const char *metavar;
	const char *help;
	const char *fallback; /* default, as it would be written; NULL: zero */
	/* Default by the choice of the program's preset; an entry, or all, NULL: fallback. */
	const char *const *by_preset;
	const char *bare;	    /* CONFIG_F_OPTIONAL_VALUE */
	const char *const *choices; /* CONFIG_CHOICE, NULL-terminated */
	uint64_t min, max;	    /* COUNT, SIZE, DURATION; max 0: no limit */
	uint64_t unit;	    /* of a bare number: SIZE bytes, DURATION ns; 0: 1 or NS_PER_SEC */
	unsigned int flags; /* enum config_option_flags */
	const char *group;  /* heading in --help above this option; NULL: goes on */
};

struct config_program {
	const char *name;     /* "xcapd" */
	const char *purpose;  /* one line */
	const char *synopsis; /* after the name */
	const struct config_option *options;
	size_t option_count;
	const char *preset;	  /* name of the CONFIG_CHOICE that by_preset goes by, or NULL */
	const char *positional;	  /* metavar of further arguments; NULL: none allowed */
	const char *default_file; /* read if it exists and no --config is given; NULL: none */
	const char *examples;	  /* printed at the end of --help; may be NULL */
	/*
	 * What no option can tell alone; may be NULL. 0, or a negative errno and error filled: the
	 * outcome is then CONFIG_EXIT_CONFIG if a file gave any value, or the environment gave all;
	 * else CONFIG_EXIT_USAGE. -EBADMSG: a file that an option names is wrong, which is
	 * CONFIG_EXIT_CONFIG. Not asked for --print-config.
	 */
	int (*check)(const struct config *config, const void *values, char error[256]);
};

/* What main() does next. */
enum config_outcome {
	CONFIG_RUN,
	CONFIG_EXIT_OK,	    /* --help, --version, --print-config, --check-config were answered */
	CONFIG_EXIT_USAGE,  /* 2; the message was printed */
	CONFIG_EXIT_CONFIG, /* 78; the message was printed */
};

/*
 * Fills values. --help (-h) and --version are always there; rows named config (string),
 * print-config, check-config (flags) and log-level (choice) are acted upon here. The environment is
 * looked at only if the table has an option that may stand there. Messages go to stderr, answers to
 * stdout. Unless it is CONFIG_RUN, nothing in values may be used.
 */
enum config_outcome config_parse(struct config **ret, const struct config_program *program,
				 int argc, char **argv, void *values);
void config_destroy(struct config *config);
/* Positional arguments. */
const struct config_list *config_arguments(const struct config *config);
/* Where a value came from: "default", "preset CHOICE", "FILE:LINE", "environment", "command line".
 */
const char *config_origin(const struct config *config, const char *name);
/* Not by a default, nor by a preset. */
bool config_is_set(const struct config *config, const char *name);
/* A file was read, whatever it says. */
bool config_has_file(const struct config *config);
/* Effective configuration as YAML. */
void config_print(const struct config *config, FILE *out);

/* Sans-I/O parts, for tests and fuzzers: YAML text into values. error is filled on failure. */
int config_parse_yaml(struct config **ret, const struct config_program *program, const char *text,
		      size_t len, const char *file, void *values, char error[256]) must_check;
int config_parse_size(uint64_t *ret, const char *text, uint64_t unit) must_check;
int config_parse_duration(uint64_t *ret, const char *text, uint64_t unit) must_check;
