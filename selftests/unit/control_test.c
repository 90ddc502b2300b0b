/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/unit/check.h"

#define BIG_LEN (8 * 1000 * 1000)

static char dir[] = "/tmp/xcap-control-XXXXXX";
static char path[64];

/* A loop in a thread of its own, which serves until stop is signalled. */
struct server {
	pthread_t thread;
	struct loop *loop;
	struct loop_event stop;
	struct control *control;
	pthread_barrier_t ready;
	int err, run_err;
};

static int run_echo(void *context, const json_t *request, json_t **result, const char **error)
{
	(void)context;
	(void)error;
	*result = json_incref(json_object_get(request, "text"));
	return 0;
}

static int run_nothing(void *context, const json_t *request, json_t **result, const char **error)
{
	(void)context;
	(void)request;
	(void)result;
	(void)error;
	return 0;
}

static int run_fail(void *context, const json_t *request, json_t **result, const char **error)
{
	(void)result;
	if (json_object_get(request, "why"))
		*error = context;
	return -ENODEV;
}

static int run_big(void *context, const json_t *request, json_t **result, const char **error)
{
	char *text = malloc(BIG_LEN);

	(void)context;
	(void)request;
	(void)error;
	if (!text)
		return -ENOMEM;
	memset(text, 'x', BIG_LEN);
	*result = json_stringn(text, BIG_LEN);
	free(text);
	return 0;
}

static const struct control_command commands[] = {
	{ "echo", run_echo },
	{ "nothing", run_nothing },
	{ "fail", run_fail },
	{ "big", run_big },
};

static void stop_loop(struct loop_event *event)
{
	loop_stop(event->loop);
}

static void *serve(void *context)
{
	static char why[] = "the device is away";
	struct server *server = context;

	server->err = loop_create(&server->loop, 64);
	if (!server->err)
		server->err = loop_event_init(&server->stop, server->loop, stop_loop);
	if (!server->err)
		server->err = control_create(&server->control, server->loop, path, commands,
					     ARRAY_SIZE(commands), why);
	pthread_barrier_wait(&server->ready);
	if (!server->err) {
		server->run_err = loop_run(server->loop);
		/* TSan does not see that the signal, which went through io_uring, came before. */
		pthread_barrier_wait(&server->ready);
	}
	control_destroy(server->control);
	loop_event_release(&server->stop);
	loop_destroy(server->loop);
	return NULL;
}

static void server_start(struct server *server)
{
	*server = (struct server){};
	pthread_barrier_init(&server->ready, NULL, 2);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
	pthread_barrier_wait(&server->ready);
}

static void server_stop(struct server *server)
{
	if (!server->err) {
		loop_event_signal(&server->stop);
		pthread_barrier_wait(&server->ready);
	}
	pthread_join(server->thread, NULL);
	pthread_barrier_destroy(&server->ready);
}

static int call(const char *command, json_t **result, char error[256])
{
	json_t *request = json_pack("{s:s,s:s}", "command", command, "text", "hello");
	int err;

	assert_non_null(request);
	*error = '\0';
	*result = NULL;
	err = control_call(path, request, 5 * NS_PER_SEC, result, error);
	json_decref(request);
	return err;
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* What the server sends until the end; milliseconds until then, or -1 after 10 s. */
static int drain(int fd, char *text, size_t size)
{
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	for (;;) {
		if (poll(&poll_fd, 1, 10000) != 1)
			return -1;
		n = recv(fd, text + len, size - 1 - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	close(fd);
	return (int)((clock_ns(CLOCK_MONOTONIC) - began) / NS_PER_MS);
}

static void answers(void **state)
{
	struct server server;
	struct stat st;
	json_t *result;
	char error[256];

	(void)state;
	server_start(&server);
	assert_int_equal(server.err, 0);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
	CHECK_EQ(call("echo", &result, error), 0);
	CHECK_STR(json_string_value(result) ?: "", "hello");
	json_decref(result);
	CHECK_EQ(call("nothing", &result, error), 0);
	CHECK(json_is_null(result));
	CHECK_EQ(call("big", &result, error), 0);
	CHECK_EQ(json_string_length(result), BIG_LEN);
	json_decref(result);
	CHECK_EQ(call("fail", &result, error), -EREMOTEIO);
	CHECK_STR(error, "No such device");
	CHECK_EQ(call("fial", &result, error), -EREMOTEIO);
	CHECK_STR(error, "unknown command \"fial\"");
	CHECK(!result);
	server_stop(&server);
	CHECK_EQ(server.run_err, 0);
	CHECK(access(path, F_OK) != 0);
	CHECK_EQ(call("echo", &result, error), -ENOENT);
	CHECK(strstr(error, "no daemon runs there: no socket /tmp/xcap-control-") == error);
}

static void foreign_bytes(void **state)
{
	static char large[70000], long_name[300], nested[60000];
	const struct {
		const char *name, *request, *reply;
		bool half_close;
	} cases[] = {
		{ "echo", "{\"command\":\"echo\",\"text\":[1,2]}\n",
		  "{\"ok\":true,\"result\":[1,2]}\n", false },
		{ "echo, no newline but the end", "{\"command\":\"nothing\"}",
		  "{\"ok\":true,\"result\":null}\n", true },
		{ "what follows the newline does not count", "{\"command\":\"nothing\"}\n{]garbage",
		  "{\"ok\":true,\"result\":null}\n", false },
		{ "a command's own words", "{\"command\":\"fail\",\"why\":1}\n",
		  "{\"ok\":false,\"error\":\"the device is away\"}\n", false },
		{ "nothing", "", "", true },
		{ "empty line", "\n",
		  "{\"ok\":false,\"error\":\"not JSON: '[' or '{' expected near "
		  "end of file\"}\n",
		  false },
		{ "garbage", "\x01\xff\xfe garbage\n",
		  "{\"ok\":false,\"error\":\"not JSON: ", false },
		{ "an array", "[]\n",
		  "{\"ok\":false,\"error\":\"an object with a \\\"command\\\" is expected\"}\n",
		  false },
		{ "command is a number", "{\"command\":5}\n",
		  "{\"ok\":false,\"error\":\"an object with a \\\"command\\\" is expected\"}\n",
		  false },
		{ "key twice", "{\"command\":\"echo\",\"command\":\"big\"}\n",
		  "{\"ok\":false,\"error\":\"not JSON: duplicate object key", false },
		{ "nested deep", nested,
		  "{\"ok\":false,\"error\":\"not JSON: maximum parsing depth", false },
		{ "long name", long_name, "{\"ok\":false,\"error\":\"unknown command \\\"aaaa",
		  false },
		{ "oversized", large,
		  "{\"ok\":false,\"error\":\"request is larger than 64 KiB\"}\n", false },
	};
	struct server server;
	char text[4096];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	memset(nested, '[', sizeof(nested) - 2);
	nested[sizeof(nested) - 2] = '\n';
	memset(long_name, 'a', sizeof(long_name) - 1);
	memcpy(long_name, "{\"command\":\"", 12);
	strcpy(long_name + sizeof(long_name) - 4, "\"}\n");
	server_start(&server);
	assert_int_equal(server.err, 0);
	FOR_EACH_CASE (c, cases) {
		int fd = dial();

		CHECK_EQ(send(fd, c->request, strlen(c->request), MSG_NOSIGNAL),
			 strlen(c->request));
		if (c->half_close)
			shutdown(fd, SHUT_WR);
		CHECK(drain(fd, text, sizeof(text)) >= 0);
		if (strncmp(text, c->reply, strlen(c->reply)) != 0)
			CHECK_STR(text, c->reply);
	}
	server_stop(&server);
}

static void slow_clients_hold_up_nobody(void **state)
{
	static const char request[] = "{\"command\":\"big\"}\n";
	int silent, half, deaf, crowd[29];
	struct server server;
	json_t *result;
	char text[4096], error[256];
	int ms;

	(void)state;
	server_start(&server);
	assert_int_equal(server.err, 0);
	silent = dial();
	half = dial();
	CHECK_EQ(send(half, request, 9, 0), 9);
	deaf = dial(); /* asks, and does not take the answer */
	CHECK_EQ(send(deaf, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	CHECK_EQ(call("echo", &result, error), 0);
	json_decref(result);
	ms = drain(silent, text, sizeof(text));
	CHECK(ms > 4000 && ms < 7000);
	CHECK_STR(text, "");
	CHECK(drain(half, text, sizeof(text)) >= 0);
	CHECK_STR(text, "");
	/* The answer was cut: its end does not come. */
	for (ssize_t n = 1, sum = 0; n > 0; sum += n) {
		static char chunk[65536];

		n = recv(deaf, chunk, sizeof(chunk), 0);
		CHECK(sum < BIG_LEN);
	}
	close(deaf);

	/* More than may be served at once wait for their turn. */
	for (size_t i = 0; i < ARRAY_SIZE(crowd); i++)
		crowd[i] = dial();
	silent = dial();
	half = dial();
	deaf = dial();
	ms = dial();
	CHECK_EQ(send(ms, "{\"command\":\"nothing\"}\n", 22, 0), 22);
	for (size_t i = 0; i < ARRAY_SIZE(crowd); i++)
		close(crowd[i]);
	CHECK(drain(ms, text, sizeof(text)) >= 0);
	CHECK_STR(text, "{\"ok\":true,\"result\":null}\n");
	/* And the end comes though some are connected. */
	server_stop(&server);
	CHECK_EQ(server.run_err, 0);
	close(silent);
	close(half);
	close(deaf);
}

static void bind_only(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

/* The socket of a process that has ended, which the kernel has not closed yet. */
static int listen_by_the_dead(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	siginfo_t info;
	pid_t child;

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(listen(fd, 8) ? 1 : 0);
	/* Nobody has waited for it: there is a process of that number. */
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(info.si_status, 0);
	return fd;
}

static void a_killed_daemon_s_socket_is_replaced(void **state)
{
	struct server server;
	json_t *result;
	char error[256];
	int fd;

	(void)state;
	fd = listen_by_the_dead();
	server_start(&server);
	CHECK_EQ(server.err, 0);
	CHECK_EQ(call("echo", &result, error), 0);
	json_decref(result);
	server_stop(&server);
	assert_true(wait(NULL) > 0);
	close(fd);
	/* And when its number is free again. */
	fd = listen_by_the_dead();
	assert_true(wait(NULL) > 0);
	server_start(&server);
	CHECK_EQ(server.err, 0);
	server_stop(&server);
	close(fd);
}

static void one_server_a_path(void **state)
{
	struct server server, second;
	json_t *result;
	char error[256];

	(void)state;
	bind_only(); /* what a daemon leaves that was killed */
	CHECK_EQ(call("echo", &result, error), -ECONNREFUSED);
	CHECK(strstr(error, "the daemon is gone") == error);
	server_start(&server);
	CHECK_EQ(server.err, 0);
	server_start(&second);
	CHECK_EQ(second.err, -EADDRINUSE);
	server_stop(&second);
	/* The first one goes on, and its socket is still there. */
	CHECK_EQ(call("echo", &result, error), 0);
	json_decref(result);
	/* A socket that somebody else put there stays. */
	CHECK_EQ(unlink(path), 0);
	bind_only();
	server_stop(&server);
	CHECK_EQ(access(path, F_OK), 0);
	CHECK_EQ(unlink(path), 0);
}

static void refused_paths(void **state)
{
	static char long_path[300];
	struct control *control = NULL;
	json_t *result = NULL, *request = json_object();
	struct loop *loop;
	char error[256];
	int fd;

	(void)state;
	assert_int_equal(loop_create(&loop, 8), 0);
	snprintf(long_path, sizeof(long_path), "%s/%0150d", dir, 0);
	CHECK_EQ(control_create(&control, loop, long_path, commands, 1, NULL), -ENAMETOOLONG);
	CHECK_EQ(control_call(long_path, request, NS_PER_SEC, &result, error), -ENAMETOOLONG);
	CHECK(strstr(error, "socket path is too long (175 bytes, at most 107): /tmp") == error);
	/* The longest that fits. */
	snprintf(long_path, sizeof(long_path), "%s/%0*d", dir, (int)(107 - sizeof(dir)), 0);
	CHECK_EQ(strlen(long_path), 107);
	CHECK_EQ(control_create(&control, loop, long_path, commands, 1, NULL), 0);
	control_destroy(control);
	control = NULL;
	/* A file that is no socket is not ours to remove. */
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(control_create(&control, loop, path, commands, 1, NULL), -ENOTSOCK);
	CHECK_EQ(unlink(path), 0);
	snprintf(long_path, sizeof(long_path), "%s/none/x.sock", dir);
	CHECK_EQ(control_create(&control, loop, long_path, commands, 1, NULL), -ENOENT);
	CHECK(!control);
	control_destroy(NULL);
	json_decref(request);
	loop_destroy(loop);
}

/* A server that answers with text, or says nothing; the client's view. */
static void *answer_once(void *context)
{
	const char *text = ((const char **)context)[0];
	int listener = *((int **)context)[1], fd;
	char request[256];

	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (recv(fd, request, sizeof(request), 0) > 0 && text)
		(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
	if (!text) /* until the client gives up */
		(void)!recv(fd, request, sizeof(request), 0);
	close(fd);
	return NULL;
}

static void strange_servers(void **state)
{
	static const struct {
		const char *name, *text;
		int err;
		const char *error;
	} cases[] = {
		{ "garbage", "\xff\x01\n", -EPROTO, "the answer cannot be understood" },
		{ "another protocol", "HTTP/1.1 400 Bad Request\r\n", -EPROTO,
		  "the answer cannot be understood" },
		{ "no ok", "{\"result\":1}\n", -EPROTO, "the answer cannot be understood" },
		{ "ok is a text", "{\"ok\":\"yes\"}\n", -EPROTO,
		  "the answer cannot be understood" },
		{ "no reason", "{\"ok\":false}\n", -EREMOTEIO, "failed" },
		{ "end at once", "", -ECONNRESET, "cannot talk to the daemon: Connection reset" },
		{ "silence", NULL, -ETIMEDOUT, "no answer within 5 s" },
	};
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char error[256];
	json_t *result;

	(void)state;
	strcpy(address.sun_path, path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	FOR_EACH_CASE (c, cases) {
		const void *context[] = { c->text, &listener };
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, answer_once, context), 0);
		CHECK_EQ(call("echo", &result, error), c->err);
		if (strstr(error, c->error) != error)
			CHECK_STR(error, c->error);
		pthread_join(thread, NULL);
	}
	close(listener);
	unlink(path);
}

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/x.sock", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers),
		TEST(foreign_bytes),
		TEST(slow_clients_hold_up_nobody),
		TEST(one_server_a_path),
		TEST(a_killed_daemon_s_socket_is_replaced),
		TEST(refused_paths),
		TEST(strange_servers),
	};

	return cmocka_run_group_tests_name("control", tests, make_dir, remove_dir);
}
