/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xcapctl cat: the frames of journals as one capture, in order of time. */
#include "tools/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/capture.h"
#include "common/config.h"
#include "tools/cmd_cat_input.h"

enum { EXIT_USAGE = 2 };

#define FLUSH_BYTES (256 * KIB)
#define OUTPUTS_MAX 16

struct cat_options {
	const char *write;
	int format; /* enum capture_format */
	bool replay;
};

static const char *const formats[] = { "pcapng", "pcap", NULL };

static const struct config_option options[] = {
	{ .name = "write",
	  .letter = 'w',
	  .type = CONFIG_STRING,
	  .offset = offsetof(struct cat_options, write),
	  .metavar = "FILE",
	  .fallback = "-",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "write to FILE instead of standard output" },
	{ .name = "format",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct cat_options, format),
	  .metavar = "FORMAT",
	  .choices = formats,
	  .fallback = "pcapng",
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "pcapng, or classic PCAP, which does not tell agents and interfaces apart" },
	{ .name = "replay",
	  .type = CONFIG_FLAG,
	  .offset = offsetof(struct cat_options, replay),
	  .flags = CONFIG_F_COMMAND_LINE,
	  .help = "take packets of replayed captures, and no others" },
};

static int check(const struct config *config, const void *values, char error[256])
{
	const struct cat_options *o = values;

	if (!config_arguments(config)->count) {
		snprintf(error, 256, "no PATH of a store, a journal or a segment is given");
		return -EINVAL;
	}
	if (!strcmp(o->write, "-") && isatty(STDOUT_FILENO)) {
		snprintf(error, 256,
			 "standard output is a terminal: redirect it, or name a file with -w");
		return -EINVAL;
	}
	return 0;
}

static const struct config_program program = {
	.name = "xcapctl cat",
	.purpose = "Write the packets of stores and journals as one capture, in order of time.",
	.synopsis = "[-w FILE] [--format pcapng|pcap] [--replay] PATH...",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.positional = "PATH",
	.check = check,
	.examples = "  xcapctl cat /var/lib/xcap/store >all.pcapng\n"
		    "  xcapctl cat /var/lib/xcap/store | tcpdump -n -r -\n",
};

/* One file: libpcap's readers want one link type in each. */
struct output {
	struct capture *capture;
	struct buf pending;
	char *path;
	int fd;
};

struct cat {
	struct cat_options options;
	struct output outputs[OUTPUTS_MAX];
	unsigned int output_count;
	uint64_t foreign; /* packets of a link type that has no output */
};

static int open_output(struct cat *cat, const char *path)
{
	struct output *output = &cat->outputs[cat->output_count];
	int err;

	*output = (struct output){ .fd = STDOUT_FILENO };
	if (strcmp(path, "-"))
		output->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	err = output->fd < 0 ? -errno : 0;
	output->path = strdup(strcmp(path, "-") ? path : "standard output");
	if (!err)
		err = capture_create(&output->capture, (enum capture_format)cat->options.format,
				     "xcapctl " XCAP_VERSION);
	if (!err && !output->path)
		err = -ENOMEM;
	cat->output_count++;
	if (err)
		fprintf(stderr, "xcapctl cat: cannot open %s: %s\n", path, strerror(-err));
	return err;
}

static void close_outputs(struct cat *cat)
{
	for (unsigned int i = 0; i < cat->output_count; i++) {
		struct output *output = &cat->outputs[i];

		capture_destroy(output->capture);
		buf_release(&output->pending);
		free(output->path);
		if (output->fd > STDOUT_FILENO)
			close(output->fd);
	}
}

static int flush(struct output *output)
{
	ssize_t n;

	if (output->pending.failed) {
		fprintf(stderr, "xcapctl cat: out of memory\n");
		return -ENOMEM;
	}
	while (output->pending.len) {
		n = write(output->fd, output->pending.data, output->pending.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			fprintf(stderr, "xcapctl cat: cannot write %s: %s\n", output->path,
				strerror((int)-n));
			return (int)n;
		}
		buf_consume(&output->pending, (size_t)n);
	}
	return 0;
}

/* "dir/name.pcapng" becomes "dir/name.linktype101.pcapng". */
static int open_beside(struct cat *cat, unsigned int link_type)
{
	const char *path = cat->options.write;
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	char beside[PATH_MAX];
	int err;

	if (!dot || dot == path || (slash && dot <= slash + 1))
		dot = path + strlen(path);
	if (snprintf(beside, sizeof(beside), "%.*s.linktype%u%s", (int)(dot - path), path,
		     link_type, dot) >= (int)sizeof(beside)) {
		fprintf(stderr, "xcapctl cat: the name %s is too long\n", path);
		return -ENAMETOOLONG;
	}
	err = open_output(cat, beside);
	if (!err)
		fprintf(stderr, "xcapctl cat: packets of link type %u go to %s\n", link_type,
			beside);
	return err;
}

/* Into *ret where packets of the link type go; NULL: nowhere. */
static int find_output(struct cat *cat, uint16_t link_type, struct output **ret)
{
	struct output *output;
	int err;

	*ret = NULL;
	for (unsigned int i = 0; i < cat->output_count; i++) {
		output = &cat->outputs[i];
		if (!capture_begun(output->capture) ||
		    capture_link_type(output->capture) == link_type) {
			*ret = output;
			return 0;
		}
	}
	if (cat->outputs[0].fd == STDOUT_FILENO || cat->output_count == OUTPUTS_MAX)
		return 0;
	err = open_beside(cat, link_type);
	if (!err)
		*ret = &cat->outputs[cat->output_count - 1];
	return err;
}

static int put_packet(struct cat *cat, const struct merge_packet *packet)
{
	struct output *output;
	int err;

	err = find_output(cat, packet->interface->link_type, &output);
	if (err)
		return err;
	if (!output) {
		cat->foreign++;
		return 0;
	}
	err = capture_packet(output->capture, packet->key.stream.agent, packet->interface,
			     &packet->packet, &output->pending);
	if (err) {
		fprintf(stderr, "xcapctl cat: cannot write a packet of %s/%s: %s\n",
			packet->key.stream.agent, packet->interface->name, strerror(-err));
		return err;
	}
	return output->pending.len >= FLUSH_BYTES ? flush(output) : 0;
}

static void put_statistics(void *context, const struct stream_id *stream,
			   const struct pcapng_interface *interface,
			   const struct pcapng_statistics *statistics)
{
	struct cat *cat = context;

	/* Without memory the packets cannot be written either, which is said there. */
	for (unsigned int i = 0; i < cat->output_count; i++)
		(void)!capture_statistics(cat->outputs[i].capture, stream->agent, interface,
					  statistics, &cat->outputs[i].pending);
}

static int finish(struct cat *cat)
{
	int err = 0;

	for (unsigned int i = 0; i < cat->output_count && !err; i++) {
		struct output *output = &cat->outputs[i];

		if (!capture_begun(output->capture))
			err = capture_begin(output->capture, LINKTYPE_ETHERNET, &output->pending);
		if (!err) {
			capture_end(output->capture, &output->pending);
			err = flush(output);
		}
	}
	if (cat->foreign)
		fprintf(stderr,
			"xcapctl cat: %" PRIu64
			" packets of other link types than the first one's are "
			"left out: -w FILE puts each into a file of its own\n",
			cat->foreign);
	return err;
}

static int copy(struct cat *cat, const struct cat_input *input, struct merge *merge)
{
	struct merge_packet packet;
	int n, err = 0;

	merge_on_statistics(merge, put_statistics, cat);
	while (!err && (n = merge_next(merge, 0, &packet)) > 0)
		err = put_packet(cat, &packet);
	if (!err && n < 0) {
		fprintf(stderr, "xcapctl cat: cannot merge: %s\n", strerror(-n));
		err = n;
	}
	if (!err)
		err = finish(cat);
	if (!err)
		cat_input_report(input, merge);
	return err ? EXIT_FAILURE : 0;
}

static int run(struct cat *cat, const struct config_list *paths)
{
	struct cat_input *input = NULL;
	struct merge *merge;
	int code;

	code = cat_input_create(&input);
	for (size_t i = 0; i < paths->count && !code; i++)
		code = cat_input_add(input, paths->items[i]);
	if (!code)
		code = cat_input_read(input, cat->options.replay, &merge);
	if (!code && open_output(cat, cat->options.write))
		code = EXIT_FAILURE;
	if (!code)
		code = copy(cat, input, merge);
	close_outputs(cat);
	cat_input_destroy(input);
	return code;
}

int cmd_cat(int argc, char **argv)
{
	static const int codes[] = {
		[CONFIG_EXIT_USAGE] = EXIT_USAGE,
		[CONFIG_EXIT_CONFIG] = EXIT_FAILURE,
	};
	enum config_outcome outcome;
	struct config *config;
	struct cat cat = {};
	int code;

	outcome = config_parse(&config, &program, argc, argv, &cat.options);
	if (outcome != CONFIG_RUN)
		return codes[outcome];
	code = run(&cat, config_arguments(config));
	config_destroy(config);
	return code;
}
