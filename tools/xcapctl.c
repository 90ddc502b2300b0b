/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl: the operator's hand. Finds the subcommand; everything else is in its cmd_*.c. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/suggest.h"
#include "common/util.h"
#include "tools/cmd.h"

#define EXIT_USAGE 2
#define GLOBALS_MAX 32

enum global { INSTANCE = 1 << 0, SOCKET = 1 << 1, RUN_DIR = 1 << 2 };

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	unsigned int globals;	  /* the options before the command that mean something to it */
	const char *usage, *help; /* usage: a line for each form */
} commands[] = {
	{ "status", cmd_status, INSTANCE | SOCKET | RUN_DIR, "status [--json]",
	  "What a running xcapd or xcap-aggregator reports." },
	{ "maps", cmd_maps, INSTANCE | RUN_DIR, "maps [--json] [--bpffs DIR]",
	  "Counters out of the kernel; no daemon is needed." },
	{ "cat", cmd_cat, 0, "cat [--write FILE] [--format pcapng|pcap] [--replay] PATH...",
	  "The packets of stores and journals as one capture, in order of time." },
	{ "filter", cmd_filter, INSTANCE | SOCKET | RUN_DIR,
	  "filter set [WORD...] EXPRESSION\n"
	  "  filter add NAME [WORD...] EXPRESSION\n"
	  "  filter delete NAME\n"
	  "  filter list [--json]\n"
	  "  filter test [--hook tcx|xdp] [--write FILE] EXPRESSION FILE\n"
	  "  filter explain [--hook tcx|xdp] [--linktype TYPE] EXPRESSION",
	  "The filters of a running xcapd; what a filter lets through of a capture,\n"
	  "      run by the kernel, and what it becomes." },
	{ "watch", cmd_watch, INSTANCE | SOCKET | RUN_DIR,
	  "watch add [--for TIME] PROTOCOL ADDRESS PORT ADDRESS PORT\n"
	  "  watch delete PROTOCOL ADDRESS PORT ADDRESS PORT\n"
	  "  watch list [--json]",
	  "Flows that a running xcapd captures whatever its filters and lists say." },
	{ "pki", cmd_pki, 0,
	  "pki init DIR [--algorithm ALG] [--days N] [--force]\n"
	  "  pki issue DIR agent NAME [--algorithm ALG] [--days N] [--force]\n"
	  "  pki issue DIR aggregator NAME --san HOST [...]",
	  "Make a CA, and the certificates of agents and aggregators." },
};

/* "xcapctl: PROBLEM SUBJECT; did you mean NEAR? ..."; subject and near may be NULL. */
static int usage_error(const char *problem, const char *subject, const char *near)
{
	fprintf(stderr, "xcapctl: %s%s%s%s%s%s (see 'xcapctl --help')\n", problem,
		subject ? " " : "", subject ?: "", near ? "; did you mean " : "", near ?: "",
		near ? "?" : "");
	return EXIT_USAGE;
}

static int print_help(void)
{
	printf("Usage: xcapctl [--instance NAME | --socket PATH] [--run-dir DIR] COMMAND ...\n"
	       "Look at and look after what xcap does on this machine.\n"
	       "\n"
	       "Commands ('xcapctl COMMAND --help' tells more):\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %s\n      %s\n", commands[i].usage, commands[i].help);
	printf("  help [COMMAND]\n"
	       "      This text, or that of the command.\n"
	       "\n"
	       "Options, before or behind the command:\n"
	       "      --instance NAME  the daemon of that name (default: the only one there is)\n"
	       "      --socket PATH    the daemon that listens there\n"
	       "      --run-dir DIR    where the sockets are (default /run/xcap)\n"
	       "  -h, --help           print this and exit\n"
	       "  -V, --version        print the version and exit\n"
	       "\n"
	       "Examples:\n"
	       "  xcapctl status\n"
	       "  xcapctl --instance aggregator status --json\n"
	       "  xcapctl pki init pki && xcapctl pki issue pki agent host1\n"
	       "  xcapctl cat /var/lib/xcap/store >all.pcapng\n");
	return 0;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *names[ARRAY_SIZE(commands) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		names[i] = commands[i].name;
	names[ARRAY_SIZE(commands)] = "help";
	return usage_error("unknown command", name, suggest(name, names, ARRAY_SIZE(names)));
}

/* "xcapctl help pki" is "xcapctl pki --help". */
static int run_help(const char *name)
{
	const struct command *command = name ? find_command(name) : NULL;
	char option[] = "--help", *argv[] = { NULL, option, NULL };
	int code;

	if (!name || strcmp(name, "help") == 0)
		return print_help();
	if (!command)
		return unknown_command(name);
	argv[0] = strdup(name);
	if (!argv[0])
		return EXIT_FAILURE;
	code = command->run(2, argv);
	free(argv[0]);
	return code;
}

/* Options that were given before the command, as they are passed on to it. */
struct globals {
	char *words[GLOBALS_MAX];
	int count;
	unsigned int set; /* enum global */
};

static int add_global(struct globals *globals, enum global which, const char *name, char *value)
{
	char *option;

	if (globals->count + 2 > GLOBALS_MAX)
		return usage_error("too many options", NULL, NULL);
	if (asprintf(&option, "--%s", name) < 0)
		return EXIT_FAILURE;
	globals->words[globals->count++] = option;
	globals->words[globals->count++] = value;
	globals->set |= which;
	return 0;
}

static const struct option options[] = {
	{ "instance", required_argument, NULL, INSTANCE },
	{ "socket", required_argument, NULL, SOCKET },
	{ "run-dir", required_argument, NULL, RUN_DIR },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{},
};

static const char *global_name(unsigned int code)
{
	for (const struct option *option = options; option->name; option++) {
		if ((unsigned int)option->val == code)
			return option->name;
	}
	return "";
}

static int unknown_option(const char *text)
{
	const char *names[ARRAY_SIZE(options) - 1], *near;
	char *name, suggestion[32] = "";
	int code;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		names[i] = options[i].name;
	name = strndup(text, strcspn(text, "="));
	if (!name)
		return EXIT_FAILURE;
	near = strncmp(name, "--", 2) == 0 ? suggest(name + 2, names, ARRAY_SIZE(names)) : NULL;
	if (near)
		snprintf(suggestion, sizeof(suggestion), "--%s", near);
	code = usage_error("unknown option", name, near ? suggestion : NULL);
	free(name);
	return code;
}

/* Up to the command. -1: go on with it. */
static int parse_globals(struct globals *globals, int argc, char **argv)
{
	int code, err;

	opterr = 0;
	while ((code = getopt_long(argc, argv, "+:hV", options, NULL)) >= 0) {
		switch (code) {
		case 'h':
			return print_help();
		case 'V':
			printf("xcapctl %s\n", XCAP_VERSION);
			return 0;
		case ':':
			return usage_error("a value is missing:", argv[optind - 1], NULL);
		case '?':
			return unknown_option(argv[optind - 1]);
		default:
			err = add_global(globals, (enum global)code,
					 global_name((unsigned int)code), optarg);
			if (err)
				return err;
		}
	}
	return -1;
}

static int run_command(const struct command *command, const struct globals *globals, int argc,
		       char **argv)
{
	unsigned int foreign = globals->set & ~command->globals;
	char **words, text[64];
	int n = 0, code;

	if (foreign) {
		snprintf(text, sizeof(text), "--%s means nothing to",
			 global_name(foreign & -foreign));
		return usage_error(text, command->name, NULL);
	}
	words = calloc((size_t)(argc + globals->count) + 1, sizeof(*words));
	if (!words)
		return EXIT_FAILURE;
	words[n++] = argv[0];
	memcpy(words + n, globals->words, (size_t)globals->count * sizeof(*words));
	n += globals->count;
	memcpy(words + n, argv + 1, (size_t)(argc - 1) * sizeof(*words));
	n += argc - 1;
	optind = 0; /* glibc: start over */
	code = command->run(n, words);
	free(words);
	return code;
}

int main(int argc, char **argv)
{
	struct globals globals = {};
	const struct command *command;
	int code;

	code = parse_globals(&globals, argc, argv);
	if (code >= 0)
		goto out;
	if (optind == argc) {
		code = usage_error("a command is missing", NULL, NULL);
		goto out;
	}
	command = find_command(argv[optind]);
	if (command)
		code = run_command(command, &globals, argc - optind, argv + optind);
	else if (strcmp(argv[optind], "help") == 0)
		code = run_help(argv[optind + 1]);
	else
		code = unknown_command(argv[optind]);
out:
	for (int i = 0; i < globals.count; i += 2)
		free(globals.words[i]);
	/* What was printed may not have reached its file: a full disk, a closed pipe. */
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "xcapctl: cannot write standard output\n");
		code = code ?: EXIT_FAILURE;
	}
	return code;
}
