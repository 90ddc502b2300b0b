/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/aggregator.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOP_ENTRIES 1024
#define DEFAULT_PORT 9227
#define WORKERS_MAX 4 /* unless asked for */
#define WIND_UP_NS (2 * NS_PER_SEC)
/* Of one journal: a tenth of a second of all that a worker takes, and it stays in the cache. */
#define JOURNAL_BUFFER_MAX (32 * MIB)

/* Exit codes, as DESIGN.md and sysexits(3) have them. */
#define EXIT_UNAVAILABLE 69
#define EXIT_NOT_PERMITTED 77
#define EXIT_CONFIGURATION 78

static int exit_code(int err, int otherwise)
{
	return err == -EACCES || err == -EPERM ? EXIT_NOT_PERMITTED : otherwise;
}

static void worker_failed(void *context, int err)
{
	struct aggregator *aggregator = context;

	__atomic_store_n(&aggregator->failure, err, __ATOMIC_RELAXED);
	loop_event_signal(&aggregator->event);
}

static void reader_ended(void *context, int err)
{
	struct aggregator *aggregator = context;

	if (err)
		__atomic_store_n(&aggregator->failure, err, __ATOMIC_RELAXED);
	__atomic_store_n(&aggregator->reader_ended, true, __ATOMIC_RELEASE);
	loop_event_signal(&aggregator->event);
}

static void arrived(void *context, struct arrival *arrival)
{
	struct aggregator *aggregator = context;
	uint32_t journal = stream_journal(&arrival->open.id, aggregator->worker_count);

	ingest_hand_over(aggregator->workers[journal], arrival);
}

static void begin_stop(struct aggregator *aggregator)
{
	if (aggregator->stopping)
		reader_pcapng_abort(aggregator->reader);
	aggregator->stopping = true;
	loop_stop(aggregator->loop);
}

static void signal_caught(struct loop_signal *sig, int number)
{
	struct aggregator *aggregator = container_of(sig, struct aggregator, signals);

	if (number == SIGUSR1)
		aggregator_print_stats(aggregator);
	else if (number != SIGHUP)
		begin_stop(aggregator);
}

static void event_signalled(struct loop_event *event)
{
	struct aggregator *aggregator = container_of(event, struct aggregator, event);

	if (__atomic_load_n(&aggregator->failure, __ATOMIC_RELAXED))
		aggregator->stopping = true;
	loop_stop(aggregator->loop);
}

static void stats_expired(struct loop_timer *timer)
{
	struct aggregator *aggregator = container_of(timer, struct aggregator, stats);

	aggregator_print_stats(aggregator);
	loop_timer_start(aggregator->loop, timer, aggregator->options->stats_ns);
}

/* A connection is a descriptor. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		log_debug("cannot raise the limit of open files to %" PRIu64,
			  (uint64_t)limit.rlim_max);
}

static int make_tls(struct aggregator *aggregator)
{
	const struct aggregator_options *options = aggregator->options;
	char error[TLS_ERROR_LEN];
	int err;

	err = tls_context_create(&aggregator->tls, TLS_SERVER, options->ca, options->cert,
				 options->key, error);
	if (!err)
		return 0;
	log_error(0, "%s", error);
	return exit_code(err, EXIT_CONFIGURATION);
}

static int resolve(struct aggregator *aggregator)
{
	const struct config_list *listen = &aggregator->options->listen;
	struct addr_list list;
	int err;

	for (size_t i = 0; i < listen->count; i++) {
		err = addr_resolve(&list, listen->items[i], DEFAULT_PORT, true);
		if (err == -EINVAL) {
			log_error(0, "--listen %s is not of the form HOST:PORT", listen->items[i]);
			return EXIT_CONFIGURATION;
		}
		if (err) {
			log_error(0, "cannot find the address of --listen %s: %s", listen->items[i],
				  err == -ENOENT ? "the name is not known"
						 : "the resolver does not answer");
			return err == -ENOENT ? EXIT_CONFIGURATION : EXIT_FAILURE;
		}
		for (unsigned int j = 0;
		     j < list.count && aggregator->addresses.count < ADDR_LIST_MAX; j++)
			aggregator->addresses.list[aggregator->addresses.count++] = list.list[j];
	}
	return 0;
}

static int make_loop(struct aggregator *aggregator)
{
	sigset_t set;
	int err;

	err = loop_create(&aggregator->loop, LOOP_ENTRIES);
	if (err) {
		log_error(err, "%s", loop_unavailable(err));
		return EXIT_UNAVAILABLE;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	err = loop_signal_init(&aggregator->signals, aggregator->loop, &set, signal_caught);
	if (!err)
		err = loop_event_init(&aggregator->event, aggregator->loop, event_signalled);
	aggregator->stats.expired = stats_expired;
	return err ? (log_error(err, "cannot wait for signals"), EXIT_FAILURE) : 0;
}

static uint32_t wanted_workers(const struct aggregator_options *options)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (options->workers)
		return (uint32_t)options->workers;
	return (uint32_t)MIN(MAX(cpus, 1), WORKERS_MAX);
}

static int open_store(struct aggregator *aggregator)
{
	const struct aggregator_options *options = aggregator->options;
	uint32_t wanted = wanted_workers(options), count;
	char error[STORE_ERROR_LEN];
	int err;

	err = store_open(&aggregator->store, options->store, wanted, error);
	if (err) {
		log_error(0, "%s", error);
		return exit_code(err, EXIT_FAILURE);
	}
	count = store_journal_count(aggregator->store);
	if (options->workers && count != wanted)
		log_info("store %s was made with %u journals: --workers %u does not apply",
			 options->store, count, wanted);
	return 0;
}

static int start_workers(struct aggregator *aggregator)
{
	uint32_t count = store_journal_count(aggregator->store);
	struct ingest_config config = {
		.store = aggregator->store,
		.segment_bytes = aggregator->options->segment_bytes,
		.memory_bytes = aggregator->options->ingest_memory_bytes,
		.buffer_bytes = MIN(MAX(aggregator->options->ingest_memory_bytes / count, 4 * MIB),
				    JOURNAL_BUFFER_MAX),
		.connections = &aggregator->connections,
		.failed = worker_failed,
		.context = aggregator,
	};
	int err = 0, failed;

	for (uint32_t i = 0; i < count && !err; i++) {
		config.journal = i;
		err = ingest_create(&aggregator->workers[i], &config);
		if (err)
			log_error(err, "cannot start an ingest worker");
		else
			aggregator->worker_count++;
	}
	/* They recover their journals side by side. */
	for (uint32_t i = 0; i < aggregator->worker_count; i++) {
		failed = ingest_wait_ready(aggregator->workers[i]);
		err = err ?: failed;
	}
	return err ? exit_code(err, EXIT_FAILURE) : 0;
}

static int start_reader(struct aggregator *aggregator)
{
	const struct aggregator_options *options = aggregator->options;
	struct reader_pcapng_config config = {
		.store = aggregator->store,
		.path = options->write,
		.format = (enum capture_format)options->format,
		.replay = options->replay,
		.merge_wait_ns = options->merge_wait_ns,
		.merge_memory_bytes = options->merge_memory_bytes,
		.ended = reader_ended,
		.context = aggregator,
	};
	int err;

	if (!options->write)
		return 0;
	err = reader_pcapng_create(&aggregator->reader, &config);
	if (err == -EINVAL)
		return EXIT_CONFIGURATION;
	return err ? exit_code(err, EXIT_FAILURE) : 0;
}

/*
 * The listening socket of one that was killed lives on until the kernel has wound up its io_uring,
 * some milliseconds after the process: is it worth to try again?
 */
static bool may_be_winding_up(int err, uint64_t began_ns)
{
	if (err != -EADDRINUSE || clock_ns(CLOCK_MONOTONIC) > began_ns + WIND_UP_NS)
		return false;
	usleep(20000);
	return true;
}

static int make_control(struct aggregator *aggregator)
{
	const struct aggregator_options *options = aggregator->options;
	char path[PATH_MAX];
	int err;

	if (mkdir(options->run_dir, 0755) && errno != EEXIST) {
		err = log_error(-errno, "cannot create %s (see --run-dir)", options->run_dir);
		return exit_code(err, EXIT_FAILURE);
	}
	if (snprintf(path, sizeof(path), "%s/%s.sock", options->run_dir, options->name) >=
	    (int)sizeof(path)) {
		log_error(-ENAMETOOLONG, "cannot create the control socket in %s",
			  options->run_dir);
		return EXIT_CONFIGURATION;
	}
	err = control_create(&aggregator->control, aggregator->loop, path, aggregator_commands,
			     aggregator_command_count, aggregator);
	if (err == -EADDRINUSE)
		log_error(0, "another aggregator answers at %s: give this one another --name",
			  path);
	else if (err)
		log_error(err, "cannot create the control socket %s", path);
	return err ? exit_code(err, EXIT_FAILURE) : 0;
}

static int start_listener(struct aggregator *aggregator)
{
	struct listener_config config = {
		.addresses = &aggregator->addresses,
		.tls = aggregator->tls,
		.host = aggregator->host,
		.connections = &aggregator->connections,
		.arrived = arrived,
		.context = aggregator,
	};
	uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
	char error[256];
	int err;

	do {
		err = listener_create(&aggregator->listener, aggregator->loop, &config, error);
	} while (may_be_winding_up(err, began_ns));
	if (!err)
		return 0;
	log_error(0, "%s", error);
	return exit_code(err, EXIT_FAILURE);
}

int aggregator_create(struct aggregator **ret, const struct aggregator_options *options)
{
	struct aggregator *aggregator = calloc(1, sizeof(*aggregator));
	int code;

	if (!aggregator) {
		log_error(-ENOMEM, "cannot start");
		return EXIT_FAILURE;
	}
	aggregator->options = options;
	aggregator->started_ns = clock_ns(CLOCK_MONOTONIC);
	aggregator->last.when_ns = aggregator->started_ns;
	gethostname(aggregator->host, sizeof(aggregator->host) - 1);
	raise_descriptor_limit();
	code = make_tls(aggregator);
	if (!code)
		code = resolve(aggregator);
	if (!code)
		code = make_loop(aggregator);
	if (!code)
		code = make_control(aggregator);
	if (!code)
		code = open_store(aggregator);
	if (!code)
		code = start_workers(aggregator);
	if (!code)
		code = start_reader(aggregator);
	if (!code)
		code = start_listener(aggregator);
	if (code) {
		aggregator_destroy(aggregator);
		return code;
	}
	log_info("aggregator %s listens at %s and keeps frames in %s, %u journals",
		 tls_context_id(aggregator->tls), listener_text(aggregator->listener),
		 options->store, aggregator->worker_count);
	*ret = aggregator;
	return 0;
}

/* From the port inwards: what was received is committed, acknowledged, and merged if it may. */
static void stop(struct aggregator *aggregator)
{
	listener_destroy(aggregator->listener);
	aggregator->listener = NULL;
	for (uint32_t i = 0; i < aggregator->worker_count; i++)
		ingest_end(aggregator->workers[i]);
	for (uint32_t i = 0; i < aggregator->worker_count; i++)
		ingest_wait_ended(aggregator->workers[i]);
	reader_pcapng_end(aggregator->reader);
	while (aggregator->reader && !__atomic_load_n(&aggregator->reader_ended, __ATOMIC_ACQUIRE))
		if (loop_turn(aggregator->loop, true))
			break;
}

int aggregator_run(struct aggregator *aggregator)
{
	int err = 0, failure;

	if (aggregator->options->stats_ns)
		loop_timer_start(aggregator->loop, &aggregator->stats,
				 aggregator->options->stats_ns);
	while (!aggregator->stopping && !err)
		err = loop_run(aggregator->loop);
	if (err)
		log_error(err, "the main loop has failed");
	stop(aggregator);
	if (aggregator->options->stats_ns)
		aggregator_print_stats(aggregator);
	failure = __atomic_load_n(&aggregator->failure, __ATOMIC_RELAXED);
	log_info("ended");
	return err || failure ? EXIT_FAILURE : EXIT_SUCCESS;
}

void aggregator_destroy(struct aggregator *aggregator)
{
	if (!aggregator)
		return;
	listener_destroy(aggregator->listener);
	aggregator->listener = NULL;
	/* It turns the loop, and asks all the others. */
	control_destroy(aggregator->control);
	for (uint32_t i = 0; i < aggregator->worker_count; i++)
		ingest_destroy(aggregator->workers[i]);
	(void)reader_pcapng_destroy(aggregator->reader);
	if (aggregator->loop) {
		loop_timer_stop(aggregator->loop, &aggregator->stats);
		loop_event_release(&aggregator->event);
		loop_signal_release(&aggregator->signals);
	}
	store_close(aggregator->store);
	loop_destroy(aggregator->loop);
	tls_context_destroy(aggregator->tls);
	free(aggregator);
}
