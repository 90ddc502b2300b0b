/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local control socket: a stream socket in the run directory, mode 0600. One request a
 * connection: a JSON object and a newline, {"command": "status", ...}; the answer is
 * {"ok": true, "result": ...} or {"ok": false, "error": "..."} and a newline, then the end.
 * The server belongs to the thread that runs its loop; a slow or silent client holds up nobody
 * (5 s, 64 KiB request, 32 clients).
 */
#pragma once

#include <jansson.h>

#include "common/loop.h"

struct control;

struct control_command {
	const char *name;
	/* 0 and *result (owned by the caller then), or a negative errno and *error (static text or
	 * one that lives as long as context; NULL: the errno's). */
	int (*run)(void *context, const json_t *request, json_t **result, const char **error);
};

/* A socket left over from a dead daemon is replaced, also while the kernel still winds that one up;
 * -EADDRINUSE: one answers there; -ENOTSOCK: something else is there; -ENAMETOOLONG: 107 bytes are
 * the most. */
int control_create(struct control **ret, struct loop *loop, const char *path,
		   const struct control_command *commands, size_t count, void *context) must_check;
/* Closes clients (turns the loop until nothing is in flight) and removes the socket. */
void control_destroy(struct control *control);

/*
 * Client, blocking. 0 and *result (the caller's), or a negative errno and error
 * filled: -ENOENT, -ECONNREFUSED: no daemon; -ETIMEDOUT; -EACCES; -EREMOTEIO: it said no, in error
 * is why; -EPROTO: its answer makes no sense.
 */
int control_call(const char *path, json_t *request, uint64_t timeout_ns, json_t **result,
		 char error[256]) must_check;
