/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/agent.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/exit_code.h"
#include "common/log.h"

#define AGENT_PORT_DEFAULT 9227

#define COUNTERS_NS (100 * NS_PER_MS)
#define END_DEADLINE_NS (5 * NS_PER_SEC)

/* The host's name as an id: lower case, what is not allowed becomes '-'. */
static void host_id(char out[AGENT_ID_MAX + 1])
{
	struct utsname host;
	size_t n = 0;

	if (uname(&host))
		snprintf(host.nodename, sizeof(host.nodename), "localhost");
	for (const char *c = host.nodename; *c && *c != '.' && n < AGENT_ID_MAX; c++) {
		char lower = (char)tolower((unsigned char)*c);

		out[n++] = islower((unsigned char)lower) || isdigit((unsigned char)lower) ||
					   lower == '-' || lower == '_'
				   ? lower
				   : '-';
	}
	out[n] = '\0';
	if (!n)
		snprintf(out, AGENT_ID_MAX + 1, "localhost");
}

static int make_tls(struct tls_context **ret, const struct agent_options *options)
{
	char error[TLS_ERROR_LEN];

	if (tls_context_create(ret, TLS_CLIENT, options->ca, options->cert, options->key, error)) {
		log_error(0, "%s", error);
		return EXIT_CONFIG;
	}
	return 0;
}

int agent_instance_name(char ret[AGENT_ID_MAX + 1], const struct agent_options *options)
{
	struct tls_context *tls = NULL;
	int code;

	host_id(ret);
	if (options->name) {
		snprintf(ret, AGENT_ID_MAX + 1, "%s", options->name);
	} else if (options->cert && options->key && options->ca) {
		code = make_tls(&tls, options);
		if (code)
			return code;
		snprintf(ret, AGENT_ID_MAX + 1, "%s", tls_context_id(tls));
		tls_context_destroy(tls);
	}
	return 0;
}

static int set_up_identity(struct agent *agent)
{
	const struct agent_options *options = agent->options;
	const char *server;
	int code, err;

	host_id(agent->id);
	if (options->aggregators.count) {
		code = make_tls(&agent->tls, options);
		if (code)
			return code;
		snprintf(agent->id, sizeof(agent->id), "%s", tls_context_id(agent->tls));
		server = options->aggregators.items[0];
		err = addr_resolve(&agent->servers, server, AGENT_PORT_DEFAULT, false);
		if (err == -EINVAL) {
			log_error(0, "aggregator '%s' is not of the form HOST:PORT", server);
			return EXIT_CONFIG;
		}
		if (err) {
			log_error(0, "cannot resolve aggregator %s: %s", server,
				  err == -ENOENT ? "the name is not known"
						 : "the resolver does not answer");
			return EXIT_FAILURE;
		}
	}
	memcpy(agent->name, agent->id, sizeof(agent->name));
	if (options->name)
		snprintf(agent->name, sizeof(agent->name), "%s", options->name);
	return 0;
}

static int make_directories(struct agent *agent)
{
	const char *run_dir = agent->options->run_dir;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", run_dir, agent->name);
	if ((mkdir(run_dir, 0755) && errno != EEXIST) || (mkdir(path, 0700) && errno != EEXIST)) {
		log_error(-errno, "cannot make %s (choose another by --run-dir)", path);
		return exit_code(-errno);
	}
	return 0;
}

/* Own upload, by the address of every aggregator, before there is a connection. */
static int exclude_self(struct agent *agent)
{
	uint8_t address[16];
	int err;

	for (unsigned int i = 0; i < agent->servers.count; i++) {
		addr_mapped(&agent->servers.list[i], address);
		err = dataplane_self_add(agent->dataplane, address,
					 addr_port(&agent->servers.list[i]));
		if (err)
			return log_error(err, "cannot exclude the own upload from capture");
	}
	return 0;
}

/* Before the programs are loaded. */
static int set_up_lists(struct agent *agent)
{
	char error[EXPLAIN_LEN];
	int err;

	err = lists_load(&agent->lists, agent->options, error);
	if (err) {
		log_error(0, "%s", error);
		return err == -EBADMSG || err == -EINVAL ? EXIT_CONFIG : exit_code(err);
	}
	err = dataplane_set_lists(agent->dataplane, &agent->lists, error);
	return exit_code(err ? log_error(0, "%s", error), err : 0);
}

/* BPF is forbidden, or the kernel has none. */
static bool may_go_without(const struct agent_options *options, int err)
{
	return !options->is_mode_given && options->mode == AGENT_MIRROR &&
	       (err == -EPERM || err == -EACCES || err == -ENOSYS || err == -ENODEV);
}

/* There is none behind it where libpcap takes its place. */
static int open_dataplane(struct agent *agent)
{
	const struct agent_options *options = agent->options;
	struct dataplane_config config = {
		.bpffs = options->bpffs,
		.run_dir = options->run_dir,
		.instance = agent->name,
		.ring_bytes = options->buffer_bytes,
		.want_rings = options->mode == AGENT_MIRROR,
		.watch_max = (uint32_t)options->watch_max,
	};
	char error[DATAPLANE_ERROR_LEN];
	int err;

	err = dataplane_open(&agent->dataplane, &config, error);
	if (err && may_go_without(options, err)) {
		log_warning(0,
			    "%s: going on with libpcap, which is slower (--mode pcap; --mode "
			    "mirror does without)",
			    error);
		return 0;
	}
	if (err) {
		log_error(0, "%s", error);
		return exit_code(err);
	}
	if (dataplane_adopted(agent->dataplane))
		log_info("taking over what an earlier xcapd of instance %s left attached",
			 agent->name);
	err = exclude_self(agent);
	if (!err)
		err = watching_create(&agent->watching, agent->loop,
				      dataplane_watch(agent->dataplane));
	return err ? exit_code(err) : set_up_lists(agent);
}

/* An interface takes half a dozen descriptors. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		log_debug("cannot raise the limit of open files");
}

static int check_live(const struct agent *agent)
{
	char error[FILTER_ERROR_LEN];

	if (!live_check_filters(filters_in_force(agent->filters), error))
		return 0;
	log_error(0, "%s", error);
	return EXIT_CONFIG;
}

static int open_interfaces(struct agent *agent)
{
	struct interfaces_config config = {
		.options = agent->options,
		.loop = agent->loop,
		.dataplane = agent->dataplane,
		.live = agent->live,
		.stamp_age_ns = &agent->shared.stamp_age_ns,
		.sockets = {
			.open = agent_open_sockets,
			.close = agent_close_sockets,
			.are_closing = agent_are_sockets_closing,
			.context = agent,
		},
	};
	struct xcap_filters noted = {};
	int err = interface_table_create(&agent->shared.interfaces);

	if (err)
		return exit_code(log_error(err, "cannot start"));
	if (agent->dataplane)
		dataplane_noted_filters(agent->dataplane, &noted);
	err = filters_create(&agent->filters, agent->options, noted.generation);
	if (err)
		return exit_code(err);
	if (agent->live && check_live(agent))
		return EXIT_CONFIG;
	config.filters = filters_in_force(agent->filters);
	raise_descriptor_limit();
	config.table = agent->shared.interfaces;
	return interfaces_create(&agent->interfaces, &config);
}

static int open_capture(struct agent *agent)
{
	struct live_config config = { .options = agent->options, .servers = &agent->servers };
	int code = agent->options->mode == AGENT_PCAP ? 0 : open_dataplane(agent);

	if (!code && !agent->dataplane)
		code = live_create(&agent->live, &config);
	return code ?: open_interfaces(agent);
}

static int start(struct agent *agent)
{
	int err;

	for (unsigned int i = 0; i < agent->lane_count; i++) {
		err = lane_start(agent->lanes[i]);
		if (err)
			return log_error(err, "cannot start lane %u", i);
	}
	if (agent->writer) {
		err = writer_start(agent->writer);
		if (err)
			return log_error(err, "cannot start the file writer");
	}
	return agent->interfaces ? interfaces_enable(agent->interfaces) : 0;
}

/* No more packets come; what is on the way is taken, shipped and acknowledged. */
static void stop(struct agent *agent, bool take_rest)
{
	if (agent->stopping)
		return;
	agent->stopping = true;
	if (agent->interfaces)
		interfaces_detach(agent->interfaces);
	for (unsigned int i = 0; i < agent->lane_count; i++)
		lane_stop(agent->lanes[i], take_rest, END_DEADLINE_NS);
}

static void caught(struct loop_signal *sig, int number)
{
	struct agent *agent = container_of(sig, struct agent, signals);

	if (number == SIGUSR1)
		agent_print_stats(agent);
	else if (number == SIGHUP && agent->options->argv)
		agent_reload(agent);
	else
		stop(agent, true);
}

static void state_changed(struct loop_event *event)
{
	struct agent *agent = container_of(event, struct agent, state_changed);
	unsigned int ended = 0;
	int err;

	agent_destroy_released(agent);
	for (unsigned int i = 0; i < agent->lane_count; i++) {
		if (atomic_load(&lane_stats(agent->lanes[i])->state) != LANE_ENDED)
			continue;
		ended++;
		err = atomic_load(&lane_stats(agent->lanes[i])->err);
		if (err && !agent->err)
			agent->err = err;
	}
	if (agent->shared.count_max && atomic_load(&agent->shared.count) >= agent->shared.count_max)
		stop(agent, false);
	if (agent->err || (agent->writer && atomic_load(&writer_stats(agent->writer)->err)))
		stop(agent, true);
	if (ended == agent->lane_count)
		loop_stop(agent->loop);
}

static void counters_expired(struct loop_timer *timer)
{
	struct agent *agent = container_of(timer, struct agent, counters);

	agent_refresh_counts(agent);
	loop_timer_start(agent->loop, timer, COUNTERS_NS);
}

static void stats_expired(struct loop_timer *timer)
{
	struct agent *agent = container_of(timer, struct agent, stats);

	agent_print_stats(agent);
	loop_timer_start(agent->loop, timer, agent->options->stats_ns);
}

static int start_control(struct agent *agent)
{
	char path[4096];
	int err;

	snprintf(path, sizeof(path), "%s/%s.sock", agent->options->run_dir, agent->name);
	err = control_create(&agent->control, agent->loop, path, agent_commands,
			     agent_command_count, agent);
	if (err == -EADDRINUSE)
		return log_error(0,
				 "instance %s is running already (it answers at %s): choose "
				 "another by --name",
				 agent->name, path),
		       err;
	return err ? log_error(err, "cannot listen at %s", path) : 0;
}

static int set_up_loop(struct agent *agent)
{
	sigset_t signals;
	int err;

	err = loop_create(&agent->loop, 64);
	if (err) {
		log_error(err, "%s", loop_unavailable(err));
		return EXIT_UNAVAILABLE;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	/* Read the configuration again; without one the terminal is gone: end as tcpdump does. */
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1);
	agent->counters.expired = counters_expired;
	agent->stats.expired = stats_expired;
	err = loop_signal_init(&agent->signals, agent->loop, &signals, caught);
	if (!err)
		err = loop_event_init(&agent->state_changed, agent->loop, state_changed);
	if (err)
		log_error(err, "cannot set up signals");
	agent->shared.state_changed = &agent->state_changed;
	return exit_code(err);
}

/* Before it is read it would be emptied. */
static bool writes_what_it_reads(const struct agent_options *options)
{
	struct stat in, out;

	if (!options->read)
		return false;
	if (strcmp(options->read, "-") ? stat(options->read, &in) : fstat(STDIN_FILENO, &in))
		return false;
	if (strcmp(options->write, "-") ? stat(options->write, &out) : fstat(STDOUT_FILENO, &out))
		return false;
	return S_ISREG(in.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
}

static int set_up_writer(struct agent *agent)
{
	struct writer_config config = {
		.path = agent->options->write,
		.replay = agent->options->read && agent->options->stamp != AGENT_STAMP_NOW,
		.borrows = !agent->options->aggregators.count,
		.state_changed = &agent->state_changed,
	};
	int err;

	if (!config.path)
		return 0;
	if (writes_what_it_reads(agent->options)) {
		log_error(0, "-r %s and -w %s are the same file: write to another",
			  agent->options->read, config.path);
		return EXIT_CONFIG;
	}
	err = writer_create(&agent->writer, &config);
	return exit_code(err ? log_error(err, "cannot write %s", config.path) : 0);
}

static int set_up(struct agent *agent)
{
	int code = exit_code(agent_check_cpus(agent->options));

	if (!code)
		code = set_up_loop(agent);
	if (!code)
		code = set_up_identity(agent);
	if (!code)
		code = make_directories(agent);
	if (!code)
		code = exit_code(start_control(agent));
	if (!code)
		code = set_up_writer(agent);
	if (!code && !agent->options->read)
		code = open_capture(agent);
	agent->shared.count_max = agent->options->count;
	if (!code)
		code = exit_code(agent_make_lanes(agent));
	if (!code)
		code = exit_code(start(agent));
	return code;
}

int agent_create(struct agent **ret, const struct agent_options *options)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int code;

	if (!agent)
		return exit_code(log_error(-ENOMEM, "cannot start"));
	agent->options = options;
	agent->started_ns = agent->last_stats_ns = clock_ns(CLOCK_MONOTONIC);
	code = set_up(agent);
	if (code) {
		agent_destroy(agent);
		return code;
	}
	if (!options->read)
		loop_timer_start(agent->loop, &agent->counters, COUNTERS_NS);
	if (options->stats_ns)
		loop_timer_start(agent->loop, &agent->stats, options->stats_ns);
	*ret = agent;
	return 0;
}

int agent_run(struct agent *agent)
{
	struct agent_account account;
	int err, writer_err = 0;

	err = loop_run(agent->loop);
	if (err)
		log_error(err, "the control loop failed");
	stop(agent, true);
	for (unsigned int i = 0; i < agent->lane_count; i++)
		lane_join(agent->lanes[i]);
	if (agent->writer)
		writer_err = writer_finish(agent->writer);
	agent_account(agent, &account);
	if (account.lost[LOSS_SHUTDOWN])
		log_error(0,
			  "the aggregator did not acknowledge everything within %u s: %llu packets "
			  "lost{shutdown}",
			  (unsigned int)(END_DEADLINE_NS / NS_PER_SEC),
			  (unsigned long long)account.lost[LOSS_SHUTDOWN]);
	for (unsigned int i = 0; i < agent->lane_count; i++) {
		const char *why = lane_source_error(agent->lanes[i]);

		if (*why) {
			log_error(0, "cannot read %s to its end: %s",
				  strcmp(agent->options->read, "-") ? agent->options->read
								    : "standard input",
				  why);
			err = -EBADMSG;
		}
	}
	if (!agent->options->quiet)
		agent_print_summary(agent);
	return err || agent->err || account.lost[LOSS_SHUTDOWN] ||
			       (writer_err && writer_err != -EPIPE)
		       ? EXIT_FAILURE
		       : EXIT_SUCCESS;
}

void agent_destroy(struct agent *agent)
{
	char path[4096], error[DATAPLANE_ERROR_LEN];
	bool removed;

	if (!agent)
		return;
	stop(agent, false);
	if (agent->loop) {
		loop_timer_stop(agent->loop, &agent->counters);
		loop_timer_stop(agent->loop, &agent->stats);
	}
	for (unsigned int i = 0; i < agent->lane_count; i++)
		lane_join(agent->lanes[i]);
	agent_destroy_released(agent);
	free(agent->sockets);
	agent->sockets = NULL;
	agent->socket_count = 0;
	writer_destroy(agent->writer);
	for (unsigned int i = 0; i < agent->lane_count; i++)
		lane_destroy(agent->lanes[i]);
	agent->lane_count = 0;
	watching_destroy(agent->watching);
	agent->watching = NULL;
	prefixes_release(&agent->lists);
	if (agent->dataplane) {
		dataplane_close(agent->dataplane);
		/* The rings have been read to their end: nothing is worth keeping. */
		if (dataplane_remove(agent->options->bpffs, agent->options->run_dir, agent->name,
				     &removed, error))
			log_warning(0, "%s", error);
	}
	control_destroy(agent->control);
	interfaces_destroy(agent->interfaces);
	live_destroy(agent->live);
	filters_destroy(agent->filters);
	interface_table_destroy(agent->shared.interfaces);
	tls_context_destroy(agent->tls);
	loop_event_release(&agent->state_changed);
	loop_signal_release(&agent->signals);
	loop_destroy(agent->loop);
	if (agent->name[0]) {
		/* Empty unless something waits to be shipped by the next start. */
		snprintf(path, sizeof(path), "%s/%s", agent->options->run_dir, agent->name);
		(void)rmdir(path);
	}
	free(agent);
}
