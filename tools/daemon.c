/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/control.h"
#include "common/json_text.h"

int daemon_options_check(const struct daemon_options *o, char error[256])
{
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
static int find_socket(char path[PATH_MAX], const char *command, const char *run_dir)
{
	struct dirent **entries;
	int count, code = 0;

	count = scandir(run_dir, &entries, is_socket, alphasort);
	if (count < 0 && errno != ENOENT) {
		code = errno == EACCES ? EXIT_NOT_PERMITTED : EXIT_FAILURE;
		fprintf(stderr, "%s: cannot read directory %s: %s\n", command, run_dir,
			strerror(errno));
		return code;
	}
	if (count <= 0) {
		fprintf(stderr, "%s: no daemon runs here: no socket in %s (see --run-dir)\n",
			command, run_dir);
		code = EXIT_UNAVAILABLE;
	} else if (count > 1) {
		fprintf(stderr, "%s: several instances in %s: choose with --instance: ", command,
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

static int find(char path[PATH_MAX], const char *command, const struct daemon_options *o)
{
	if (!o->socket && !o->instance)
		return find_socket(path, command, o->run_dir);
	if (o->socket)
		snprintf(path, PATH_MAX, "%s", o->socket);
	else
		snprintf(path, PATH_MAX, "%s/%s.sock", o->run_dir, o->instance);
	return 0;
}

int daemon_ask(json_t **ret, const char *command, const struct daemon_options *options,
	       json_t *request, uint64_t timeout_ns)
{
	char error[256] = "out of memory", path[PATH_MAX];
	int code = find(path, command, options), err;

	if (code) {
		json_decref(request);
		return code;
	}
	err = request ? control_call(path, request, timeout_ns, ret, error) : -ENOMEM;
	json_decref(request);
	switch (-err) {
	case 0:
		return 0;
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
	fprintf(stderr, "%s: %s\n", command, error);
	return code;
}

static size_t terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col;
	return 80;
}

int daemon_print(const json_t *answer, bool as_json)
{
	int err;

	if (!as_json)
		return json_text_print(stdout, answer, terminal_width());
	err = json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) ? -EIO : 0;
	putchar('\n');
	return err;
}
