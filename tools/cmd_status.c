/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl status: what a daemon says of itself over its local socket. */
#include "tools/cmd.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"
#include "common/control.h"
#include "common/json_text.h"

enum { EXIT_USAGE = 2, EXIT_UNAVAILABLE = 69, EXIT_NOT_PERMITTED = 77 };

struct status_options {
	const char *instance, *socket, *run_dir;
	bool json;
};

static const struct config_option options[] = {
	{ .name = "instance",
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct status_options, instance),
	  .metavar = "NAME",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "the daemon of that name (default: the only one there is)" },
	{ .name = "socket",
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct status_options, socket),
	  .metavar = "PATH",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "the daemon that listens there" },
	{ .name = "run-dir",
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct status_options, run_dir),
	  .metavar = "DIR",
	  .fallback = "/run/xcap",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "where the sockets are" },
	{ .name = "json",
	  .letter = 'j',
	  .type = CONFIG_FLAG,
	  .offset = offsetof(struct status_options, json),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "print JSON" },
};

static int check(const struct config *config, const void *values, char error[256])
{
	const struct status_options *o = values;

	(void)config;
	if (o->instance && o->socket) {
		snprintf(error, 256, "--instance and --socket exclude each other");
		return -EINVAL;
	}
	if (o->instance && strchr(o->instance, '/')) {
		snprintf(error, 256, "--instance takes a name; a path goes with --socket");
		return -EINVAL;
	}
	return 0;
}

static const struct config_program program = {
	.name = "xcapctl status",
	.purpose = "Print what a running xcapd or xcap-aggregator reports.",
	.synopsis = "[--instance NAME | --socket PATH] [--run-dir DIR] [--json]",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.check = check,
};

static int is_socket(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".sock") == 0;
}

static void print_names(struct dirent **entries, int count)
{
	for (int i = 0; i < count; i++)
		fprintf(stderr, "%s%.*s", i ? ", " : "", (int)strlen(entries[i]->d_name) - 5,
			entries[i]->d_name);
}

/* The only socket in the run directory. */
static int find_socket(char path[PATH_MAX], const char *run_dir)
{
	struct dirent **entries;
	int count, code = 0;

	count = scandir(run_dir, &entries, is_socket, alphasort);
	if (count < 0 && errno != ENOENT) {
		code = errno == EACCES ? EXIT_NOT_PERMITTED : EXIT_FAILURE;
		fprintf(stderr, "xcapctl status: cannot read directory %s: %s\n", run_dir,
			strerror(errno));
		return code;
	}
	if (count <= 0) {
		fprintf(stderr,
			"xcapctl status: no daemon runs here: no socket in %s (see "
			"--run-dir)\n",
			run_dir);
		code = EXIT_UNAVAILABLE;
	} else if (count > 1) {
		fprintf(stderr, "xcapctl status: several instances in %s: choose with --instance: ",
			run_dir);
		print_names(entries, count);
		fputc('\n', stderr);
		code = EXIT_USAGE;
	} else {
		snprintf(path, PATH_MAX, "%s/%s", run_dir, entries[0]->d_name);
	}
	for (int i = 0; i < count; i++)
		free(entries[i]);
	if (count >= 0)
		free(entries);
	return code;
}

static size_t terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col;
	return 80;
}

static int print(const json_t *status, bool as_json)
{
	int err = 0;

	if (as_json) {
		err = json_dumpf(status, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) ? -EIO : 0;
		putchar('\n');
	} else {
		err = json_text_print(stdout, status, terminal_width());
	}
	return err ? EXIT_FAILURE : 0;
}

static int ask(const char *path, bool as_json)
{
	json_t *request = json_pack("{s:s}", "command", "status"), *status;
	char error[256] = "out of memory";
	int err, code;

	err = request ? control_call(path, request, &status, error) : -ENOMEM;
	json_decref(request);
	switch (-err) {
	case 0:
		code = print(status, as_json);
		json_decref(status);
		return code;
	case ENOENT:
	case ECONNREFUSED:
	case ETIMEDOUT:
		code = EXIT_UNAVAILABLE;
		break;
	case EACCES:
	case EPERM:
		code = EXIT_NOT_PERMITTED;
		break;
	default:
		code = EXIT_FAILURE;
	}
	fprintf(stderr, "xcapctl status: %s\n", error);
	return code;
}

static int choose_and_ask(const struct status_options *o)
{
	char path[PATH_MAX];
	int code = 0;

	if (o->socket)
		return ask(o->socket, o->json);
	if (o->instance)
		snprintf(path, sizeof(path), "%s/%s.sock", o->run_dir, o->instance);
	else
		code = find_socket(path, o->run_dir);
	return code ?: ask(path, o->json);
}

int cmd_status(int argc, char **argv)
{
	static const int codes[] = {
		[CONFIG_EXIT_USAGE] = EXIT_USAGE, [CONFIG_EXIT_CONFIG] = EXIT_FAILURE
	};
	enum config_outcome outcome;
	struct status_options o;
	struct config *config;
	int code;

	outcome = config_parse(&config, &program, argc, argv, &o);
	if (outcome != CONFIG_RUN)
		return codes[outcome];
	code = choose_and_ask(&o);
	config_destroy(config);
	return code;
}
