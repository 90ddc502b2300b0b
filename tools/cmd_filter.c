/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl filter: what a filter expression becomes, and what it lets through of a capture. */
#include "tools/cmd_filter.h"

#include <errno.h>
#include <inttypes.h>
#include <pcap/pcap.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/filter.h"
#include "bpf/filter_load.h"
#include "tools/cmd.h"
#include "tools/packed_file.h"

struct filter_options {
	struct daemon_options daemon;
	bool json;
	int hook; /* enum filter_hook */
	const char *write, *link_type;
};

static const char *const hooks[] = { "tcx", "xdp", NULL };

static const struct config_option options[] = {
	DAEMON_OPTIONS(offsetof(struct filter_options, daemon)),
	{ .name = "json",
	  .letter = 'j',
	  .type = CONFIG_FLAG,
	  .offset = offsetof(struct filter_options, json),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "set, add, delete, list: print JSON" },
	{ .name = "hook",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct filter_options, hook),
	  .metavar = "tcx|xdp",
	  .fallback = "tcx",
	  .choices = hooks,
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "where in the kernel: tcx as xcapd mirrors, xdp as it taps" },
	{ .name = "linktype",
	  .letter = 'y',
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct filter_options, link_type),
	  .metavar = "TYPE",
	  .fallback = "EN10MB",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "explain: link type by its name in tcpdump -L, as EN10MB or RAW" },
	{ .name = "write",
	  .letter = 'w',
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct filter_options, write),
	  .metavar = "FILE",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "test: write the packets that match" },
};

static int check(const struct config *config, const void *values, char error[256])
{
	const struct filter_options *o = values;

	(void)config;
	return daemon_options_check(&o->daemon, error);
}

static const struct config_program program = {
	.name = "xcapctl filter",
	.purpose = "Change the filters of a running xcapd, or try one.",
	.synopsis = "[OPTION...] set [WORD...] EXPRESSION\n"
		    "       xcapctl filter [OPTION...] add NAME [WORD...] EXPRESSION\n"
		    "       xcapctl filter [OPTION...] delete NAME\n"
		    "       xcapctl filter [OPTION...] list\n"
		    "       xcapctl filter [OPTION...] test EXPRESSION FILE | explain EXPRESSION",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.positional = "ACTION",
	.check = check,
	.examples = "  xcapctl filter set 'tcp port 443'\n"
		    "  xcapctl filter add dns priority=5 keep=headers+64 'port 53'\n",
};

static int complain(int code, const char *format, ...) printf_like(2, 3);
static int complain(int code, const char *format, ...)
{
	va_list args;

	fputs("xcapctl filter: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

/* A filter loaded for both hooks, and who has run how many frames. */
struct trial {
	struct filter_program *filter;
	enum filter_hook hook;
	int program_fds[2], beside_fd;
	uint32_t cut; /* as the map has it */
	pcap_dumper_t *dumper;
	uint64_t matched, count, by_other, by_libpcap;
};

static int load(struct trial *trial, enum filter_hook hook)
{
	char error[FILTER_ERROR_LEN];
	struct filter_code made;
	int err;

	err = filter_translate(&made, trial->filter, hook, error);
	if (!err) {
		err = filter_load(&made, hook, trial->beside_fd, error);
		filter_code_release(&made);
	}
	if (err == -EPERM || err == -EACCES)
		return complain(EXIT_NOT_PERMITTED,
				"not permitted to load BPF programs: this needs root, or CAP_BPF, "
				"CAP_PERFMON and CAP_NET_ADMIN");
	if (err < 0)
		return complain(EXIT_FAILURE, "%s", error);
	trial->program_fds[hook] = err;
	return 0;
}

static int tell_cut(struct trial *trial, uint32_t cut)
{
	int err;

	if (cut == trial->cut)
		return 0;
	err = filter_beside_set(trial->beside_fd, &(struct filter_beside){ .cut = cut });
	if (err)
		return complain(EXIT_FAILURE, "cannot write a BPF map: %s", strerror(-err));
	trial->cut = cut;
	return 0;
}

/* What no test run takes, libpcap judges. */
static uint32_t verdict(struct trial *trial, const uint8_t *bytes, uint32_t len, uint32_t cut)
{
	enum filter_hook other = trial->hook == FILTER_TCX ? FILTER_XDP : FILTER_TCX;
	uint32_t result;

	if (filter_run(&result, trial->program_fds[trial->hook], trial->hook, bytes, len, 0, 1,
		       NULL) == 0)
		return result;
	if (filter_run(&result, trial->program_fds[other], other, bytes, len, 0, 1, NULL) == 0) {
		trial->by_other++;
		return result;
	}
	trial->by_libpcap++;
	return filter_verdict(trial->filter, bytes, len, len + cut);
}

static int try_packets(struct trial *trial, pcap_t *pcap, const char *path)
{
	struct pcap_pkthdr *header;
	const u_char *bytes;
	int n, code;

	while ((n = pcap_next_ex(pcap, &header, &bytes)) == 1) {
		uint32_t cut = header->len > header->caplen ? header->len - header->caplen : 0;

		code = tell_cut(trial, cut);
		if (code)
			return code;
		trial->count++;
		if (!verdict(trial, bytes, header->caplen, cut))
			continue;
		trial->matched++;
		if (trial->dumper)
			pcap_dump((u_char *)trial->dumper, header, bytes);
	}
	if (n != PCAP_ERROR_BREAK)
		return complain(EXIT_FAILURE, "%s: %s", path, pcap_geterr(pcap));
	if (trial->dumper && pcap_dump_flush(trial->dumper))
		return complain(EXIT_FAILURE, "cannot write the packets: %s", strerror(errno));
	return 0;
}

static void report(const struct trial *trial)
{
	FILE *out = trial->dumper && pcap_dump_file(trial->dumper) == stdout ? stderr : stdout;

	fprintf(out, "matched %" PRIu64 " of %" PRIu64 "\n", trial->matched, trial->count);
	if (trial->by_other)
		complain(0,
			 "%" PRIu64 " of them ran by %s: a test run of %s takes no such frame "
			 "(below 14 bytes, IP below its header, or too long)",
			 trial->by_other, hooks[!trial->hook], hooks[trial->hook]);
	if (trial->by_libpcap)
		complain(0, "%" PRIu64 " of them ran by libpcap: no test run takes such a frame",
			 trial->by_libpcap);
}

static int prepare(struct trial *trial, const char *expression, pcap_t *pcap, const char *write)
{
	char error[FILTER_ERROR_LEN];
	int code;

	if (filter_compile(&trial->filter, expression, (uint16_t)pcap_datalink(pcap), error))
		return complain(EXIT_FAILURE, "%s", error);
	trial->beside_fd = filter_beside_create();
	if (trial->beside_fd == -EPERM)
		return complain(EXIT_NOT_PERMITTED,
				"not permitted to create BPF maps: this needs root, or CAP_BPF, "
				"CAP_PERFMON and CAP_NET_ADMIN");
	if (trial->beside_fd < 0)
		return complain(EXIT_FAILURE, "cannot create a BPF map: %s",
				strerror(-trial->beside_fd));
	code = load(trial, FILTER_TCX);
	if (!code)
		code = load(trial, FILTER_XDP);
	if (code || !write)
		return code;
	trial->dumper = pcap_dump_open(pcap, write);
	return trial->dumper ? 0 : complain(EXIT_FAILURE, "%s", pcap_geterr(pcap));
}

static pcap_t *open_capture(const char *path, const char *write)
{
	char message[PCAP_ERRBUF_SIZE];
	struct stat in, out;
	pcap_t *pcap;
	FILE *file;

	_Static_assert(sizeof(message) >= PACKED_FILE_ERROR_LEN, "message");
	if (write && strcmp(path, "-") && strcmp(write, "-") && !stat(path, &in) &&
	    !stat(write, &out) && in.st_dev == out.st_dev && in.st_ino == out.st_ino &&
	    S_ISREG(in.st_mode)) {
		complain(0, "%s is read and cannot be written: give --write another file", path);
		return NULL;
	}
	file = packed_file_open(path, message);
	if (!file) {
		complain(0, "%s", message);
		return NULL;
	}
	pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, message);
	if (!pcap) {
		complain(0, "%s: %s", path, message);
		fclose(file);
	}
	return pcap;
}

static int test_expression(const struct filter_options *o, const char *expression, const char *path)
{
	struct trial trial = {
		.hook = (enum filter_hook)o->hook,
		.program_fds = { -1, -1 },
		.beside_fd = -1,
	};
	pcap_t *pcap = open_capture(path, o->write);
	int code;

	if (!pcap)
		return EXIT_FAILURE;
	code = prepare(&trial, expression, pcap, o->write);
	if (!code)
		code = try_packets(&trial, pcap, path);
	if (!code)
		report(&trial);
	if (trial.dumper)
		pcap_dump_close(trial.dumper);
	for (int hook = FILTER_TCX; hook <= FILTER_XDP; hook++) {
		if (trial.program_fds[hook] >= 0)
			close(trial.program_fds[hook]);
	}
	if (trial.beside_fd >= 0)
		close(trial.beside_fd);
	filter_destroy(trial.filter);
	pcap_close(pcap);
	return code;
}

char *cmd_filter_expression(const struct config_list *words, size_t first, size_t last)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	bool failed;

	if (!out)
		return NULL;
	for (size_t i = first; i < last; i++)
		fprintf(out, "%s%s", i > first ? " " : "", words->items[i]);
	failed = ferror(out);
	if (!fclose(out) && !failed)
		return text;
	free(text);
	return NULL;
}

static int explain_words(const struct config_list *words, const struct filter_options *o)
{
	int link_type = pcap_datalink_name_to_val(o->link_type), code;
	char *expression;

	if (words->count < 2)
		return complain(EXIT_USAGE, "explain needs an EXPRESSION");
	if (o->write)
		return complain(EXIT_USAGE, "--write means nothing to explain");
	if (link_type < 0)
		return complain(EXIT_USAGE, "--linktype %s: no such link type", o->link_type);
	expression = cmd_filter_expression(words, 1, words->count);
	if (!expression)
		return complain(EXIT_FAILURE, "out of memory");
	code = cmd_filter_explain(expression, (uint16_t)link_type, (enum filter_hook)o->hook);
	free(expression);
	return code;
}

static int test_words(const struct config *config, const struct config_list *words,
		      const struct filter_options *o)
{
	size_t last = words->count - 1;
	char *expression;
	int code;

	if (words->count < 3)
		return complain(EXIT_USAGE, "test needs an EXPRESSION, and a FILE behind it");
	if (config_is_set(config, "linktype"))
		return complain(EXIT_USAGE, "--linktype means nothing to test: the file tells it");
	expression = cmd_filter_expression(words, 1, last);
	if (!expression)
		return complain(EXIT_FAILURE, "out of memory");
	code = test_expression(o, expression, words->items[last]);
	free(expression);
	return code;
}

static int run(const struct config *config, const struct filter_options *o)
{
	const struct config_list *words = config_arguments(config);
	const char *command = words->count ? words->items[0] : "";

	if (strcmp(command, "explain") == 0)
		return explain_words(words, o);
	if (strcmp(command, "test") == 0)
		return test_words(config, words, o);
	if (!*command)
		return complain(EXIT_USAGE,
				"one of set, add, delete, list, test and explain is needed");
	if (!cmd_filter_is_change(command))
		return complain(EXIT_USAGE,
				"'%s': one of set, add, delete, list, test and explain is needed",
				command);
	return cmd_filter_change(&o->daemon, words, o->json);
}

int cmd_filter(int argc, char **argv)
{
	static const int codes[] = {
		[CONFIG_EXIT_USAGE] = EXIT_USAGE,
		[CONFIG_EXIT_CONFIG] = EXIT_FAILURE,
	};
	enum config_outcome outcome;
	struct filter_options o;
	struct config *config;
	int code;

	outcome = config_parse(&config, &program, argc, argv, &o);
	if (outcome != CONFIG_RUN)
		return codes[outcome];
	code = run(config, &o);
	config_destroy(config);
	return code;
}
