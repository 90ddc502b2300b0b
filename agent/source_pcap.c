/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/recorded.h"
#include "common/buf.h"
#include "common/decompress.h"

#define READ_BYTES (256 * KIB)
#define ERROR_LEN RECORDED_ERROR_LEN

/*
 * The input lies in `input` from what is decoded next to what was read last. A packet's data
 * points into it, so it is moved (consumed, read on) only in give_back(). Of a compressed file it
 * is what was unpacked, a piece at a time, and what was read lies in `packed`.
 */
struct source_pcap {
	struct source source;
	struct source_pcap_config config;
	char *path, *label, *filter;
	struct loop *loop;
	struct loop_op read;
	struct loop_timer due;
	struct pcapng_decoder *decoder;
	struct recorded_config recorded;
	/* By the decoder's id modulo PCAPNG_INTERFACES_MAX: as many as it knows. */
	struct recorded *interfaces;
	uint32_t described; /* so far */
	uint32_t interface_count;
	struct decompress *decompress; /* NULL: not compressed, or not known yet */
	struct buf input, packed;
	size_t used; /* bytes of input that packets taken since give_back() came from */
	struct pcapng_packet head;
	size_t head_len; /* bytes of the block of head; 0: no head */
	uint64_t head_time_ns;
	uint64_t taken, skip;
	uint64_t filtered;		      /* of the taken ones */
	uint64_t first_time_ns, first_due_ns; /* recorded and CLOCK_MONOTONIC; pacing */
	int fd;
	/* file: what is read; input: what is decoded, and if it did not end well, why */
	bool reading, stopping, sniffed, file_ended, input_ended, wants_input, paced;
	int input_err;
	char error[ERROR_LEN];
};

static struct source_pcap *pcap_of(const struct source *source)
{
	return container_of((struct source *)(uintptr_t)source, struct source_pcap, source);
}

/* what: NULL where the error is written already. */
static void end_with(struct source_pcap *pcap, int err, const char *what)
{
	if (what)
		snprintf(pcap->error, sizeof(pcap->error), "%s", what);
	pcap->source.err = err;
	pcap->source.at_end = true;
	pcap->head_len = 0;
}

/* What came before it is decoded and taken first. */
static void end_input(struct source_pcap *pcap, int err, const char *what)
{
	snprintf(pcap->error, sizeof(pcap->error), "%s", what);
	pcap->input_err = err;
	pcap->input_ended = true;
	pcap->wants_input = false;
}

/* The input's first bytes tell whether it is compressed. */
static void sniff(struct source_pcap *pcap)
{
	const char *name;
	char what[ERROR_LEN];

	switch (decompress_sniff(pcap->input.data, pcap->input.len, pcap->file_ended, &name)) {
	case DECOMPRESS_UNKNOWN:
		return;
	case DECOMPRESS_PLAIN:
		pcap->wants_input = false;
		break;
	case DECOMPRESS_GZIP:
	case DECOMPRESS_ZSTD:
		if (decompress_create(&pcap->decompress)) {
			end_with(pcap, -ENOMEM, "no memory to unpack it");
			return;
		}
		pcap->packed = pcap->input;
		pcap->input = (struct buf){};
		break;
	case DECOMPRESS_OTHER:
		snprintf(what, sizeof(what),
			 "it is compressed by %s, and only gzip and zstd are read: unpack it first",
			 name);
		end_with(pcap, -EPROTONOSUPPORT, what);
		return;
	}
	pcap->sniffed = true;
}

static void read_done(struct loop_op *op, int res, unsigned int cqe_flags)
{
	struct source_pcap *pcap = container_of(op, struct source_pcap, read);

	(void)cqe_flags;
	pcap->reading = false;
	if (pcap->stopping || res == -EINTR || res == -EAGAIN)
		return;
	if (res < 0)
		end_input(pcap, res, strerror(-res));
	if (res > 0)
		buf_commit(pcap->decompress ? &pcap->packed : &pcap->input, (size_t)res);
	else
		pcap->file_ended = true;
	if (!pcap->sniffed)
		sniff(pcap);
	else if (!pcap->decompress)
		pcap->wants_input = false;
	pcap->input_ended |= pcap->file_ended && !pcap->decompress;
}

static void read_on(struct source_pcap *pcap)
{
	uint8_t *at;

	if (pcap->reading || pcap->stopping || pcap->input_ended)
		return;
	at = buf_reserve(pcap->decompress ? &pcap->packed : &pcap->input, READ_BYTES);
	if (!at) {
		end_with(pcap, -ENOMEM, "no memory to read on");
		return;
	}
	pcap->reading = true;
	io_uring_prep_read(loop_sqe(pcap->loop, &pcap->read), pcap->fd, at, READ_BYTES,
			   (uint64_t)-1);
}

/* The next piece of a compressed file; read on where that takes more of it. */
static void unpack(struct source_pcap *pcap)
{
	uint8_t *at = buf_reserve(&pcap->input, READ_BYTES);
	size_t used;
	ssize_t n;

	if (!at) {
		end_with(pcap, -ENOMEM, "no memory to unpack it");
		return;
	}
	n = decompress_bytes(pcap->decompress, pcap->packed.data, pcap->packed.len,
			     pcap->file_ended, &used, at, READ_BYTES);
	buf_consume(&pcap->packed, used);
	if (n < 0) {
		end_input(pcap, (int)n, decompress_error(pcap->decompress));
	} else if (n == 0 && !pcap->file_ended) {
		read_on(pcap);
		return;
	} else {
		buf_commit(&pcap->input, (size_t)n);
		pcap->input_ended = n == 0;
		pcap->wants_input = false;
	}
	/* Nothing is on its way that would wake the lane. */
	loop_timer_start(pcap->loop, &pcap->due, 0);
}

static int add_interface(struct source_pcap *pcap)
{
	uint32_t id = pcap->described, at = id % PCAPNG_INTERFACES_MAX;
	uint32_t room = MAX(at + 1, pcap->interface_count);
	struct recorded *list;

	list = realloc(pcap->interfaces, room * sizeof(*list));
	if (!list)
		return -ENOMEM;
	pcap->interfaces = list;
	pcap->described++;
	if (room == pcap->interface_count)
		recorded_release(&list[at]);
	pcap->interface_count = room;
	recorded_init(&list[at], pcapng_decoder_interface(pcap->decoder, id), id, &pcap->recorded);
	return 0;
}

/* Stamped anew, the packets are of another time than the numbers. */
static void keep_statistics(struct source_pcap *pcap, const struct pcapng_statistics *statistics)
{
	uint32_t at = statistics->interface % PCAPNG_INTERFACES_MAX;

	if (pcap->config.stamp_now || at >= pcap->interface_count)
		return;
	pcap->interfaces[at].statistics = *statistics;
	pcap->interfaces[at].has_statistics = true;
}

static const struct pcapng_statistics *pcap_statistics(struct source *source)
{
	struct source_pcap *pcap = pcap_of(source);

	for (uint32_t i = 0; i < pcap->interface_count; i++) {
		if (!pcap->interfaces[i].has_statistics)
			continue;
		pcap->interfaces[i].has_statistics = false;
		return &pcap->interfaces[i].statistics;
	}
	return NULL;
}

/* Decodes up to the next packet; false where the input has to be read on first. */
static bool decode_head(struct source_pcap *pcap)
{
	enum pcapng_item item;
	ssize_t n;

	if (!pcap->sniffed)
		return false;
	while (!pcap->head_len) {
		n = pcapng_decode(pcap->decoder, pcap->input.data + pcap->used,
				  pcap->input.len - pcap->used, &item, &pcap->head);
		if (n < 0) {
			end_with(pcap, (int)n, pcapng_decoder_error(pcap->decoder));
			return false;
		}
		if (n == 0) {
			if (pcap->input_err)
				end_with(pcap, pcap->input_err, NULL);
			else if (pcap->input_ended && pcap->used < pcap->input.len)
				end_with(pcap, -EBADMSG, "the input is cut short in a packet");
			else if (pcap->input_ended && !pcap->described)
				end_with(pcap, -EBADMSG, "there is no capture in it");
			else if (pcap->input_ended)
				pcap->source.at_end = true;
			pcap->wants_input = !pcap->input_ended;
			return false;
		}
		if (item == PCAPNG_ITEM_PACKET) {
			pcap->head_len = (size_t)n;
			break;
		}
		pcap->used += (size_t)n;
		if (item == PCAPNG_ITEM_STATISTICS)
			keep_statistics(pcap, pcapng_decoder_statistics(pcap->decoder));
		if (item == PCAPNG_ITEM_INTERFACE && add_interface(pcap)) {
			end_with(pcap, -ENOMEM, "no memory for one more interface");
			return false;
		}
	}
	return true;
}

static void skip_head(struct source_pcap *pcap)
{
	pcap->used += pcap->head_len;
	pcap->head_len = 0;
}

/* A negative errno: it is at its end. */
static int head_matches(struct source_pcap *pcap)
{
	char error[RECORDED_ERROR_LEN];
	int matches =
		recorded_matches(&pcap->interfaces[pcap->head.interface % PCAPNG_INTERFACES_MAX],
				 &pcap->recorded, &pcap->head, error);

	if (matches < 0)
		end_with(pcap, matches, error);
	return matches;
}

/* Whether the head's time has come; otherwise the timer wakes the lane. */
static bool is_due(struct source_pcap *pcap)
{
	uint64_t now, due_ns, elapsed;

	if (pcap->config.speed <= 0)
		return true;
	now = clock_ns(CLOCK_MONOTONIC);
	if (!pcap->paced) {
		pcap->paced = true;
		pcap->first_time_ns = pcap->head.time_ns;
		pcap->first_due_ns = now;
	}
	if (pcap->head.time_ns <= pcap->first_time_ns)
		return true;
	elapsed = pcap->head.time_ns - pcap->first_time_ns;
	due_ns = pcap->first_due_ns + (uint64_t)((double)elapsed / pcap->config.speed);
	if (due_ns <= now)
		return true;
	if (!loop_timer_armed(&pcap->due))
		loop_timer_start(pcap->loop, &pcap->due, due_ns - now);
	return false;
}

static bool pcap_peek(struct source *source, struct source_packet *ret)
{
	struct source_pcap *pcap = pcap_of(source);
	int matches;

	if (source->at_end)
		return false;
	while (decode_head(pcap)) {
		matches = head_matches(pcap);
		if (matches < 0)
			return false;
		if (matches && !pcap->skip)
			break;
		pcap->filtered += !matches;
		pcap->skip -= pcap->skip > 0;
		pcap->taken++;
		skip_head(pcap);
	}
	if (!pcap->head_len || !is_due(pcap))
		return false;
	*ret = (struct source_packet){
		.time_ns = pcap->config.stamp_now ? clock_ns(CLOCK_MONOTONIC) : pcap->head.time_ns,
		.data = pcap->head.data,
		.captured_len = pcap->head.captured_len,
		.original_len = pcap->head.original_len,
		.wire_packets = 1,
		.interface = pcap->head.interface,
		.direction = pcap->head.flags & 3,
		.has_queue = pcap->head.has_queue && pcap->head.queue <= UINT16_MAX,
		.queue = (uint16_t)pcap->head.queue,
	};
	return true;
}

static void pcap_take(struct source *source)
{
	struct source_pcap *pcap = pcap_of(source);

	skip_head(pcap);
	pcap->taken++;
}

static void pcap_give_back(struct source *source)
{
	struct source_pcap *pcap = pcap_of(source);

	/* While a read fills the free part of the buffer, nothing may move it. */
	if (pcap->reading)
		return;
	if (pcap->used) {
		/* The head points into what is moved: decode it anew. */
		pcap->head_len = 0;
		buf_consume(&pcap->input, pcap->used);
		pcap->used = 0;
	}
	if (!pcap->wants_input || source->at_end)
		return;
	if (pcap->decompress)
		unpack(pcap);
	else
		read_on(pcap);
}

static uint64_t pcap_position(const struct source *source)
{
	return pcap_of(source)->taken;
}

static void pcap_seek(struct source *source, uint64_t position)
{
	pcap_of(source)->skip = position;
}

static void pcap_stats(const struct source *source, struct source_stats *ret)
{
	const struct source_pcap *pcap = pcap_of(source);

	*ret = (struct source_stats){ .received = pcap->taken, .filtered = pcap->filtered };
}

static void due_expired(struct loop_timer *timer)
{
	(void)timer; /* the lane makes a pass after every turn of its loop */
}

static int pcap_start(struct source *source, struct loop *loop)
{
	struct source_pcap *pcap = pcap_of(source);

	pcap->loop = loop;
	pcap->wants_input = true;
	read_on(pcap);
	return 0;
}

static void pcap_stop(struct source *source)
{
	struct source_pcap *pcap = pcap_of(source);

	pcap->stopping = true;
	source->at_end = true;
	loop_timer_stop(pcap->loop, &pcap->due);
	if (pcap->reading)
		loop_cancel(pcap->loop, &pcap->read);
}

static bool pcap_idle(const struct source *source)
{
	return !pcap_of(source)->reading;
}

static const struct pcapng_interface *pcap_describe(const struct source *source, uint32_t interface)
{
	struct source_pcap *pcap = pcap_of(source);

	uint32_t at = interface % PCAPNG_INTERFACES_MAX;

	return at < pcap->interface_count ? &pcap->interfaces[at].description : NULL;
}

static void pcap_destroy(struct source *source)
{
	struct source_pcap *pcap = pcap_of(source);

	if (pcap->fd > STDIN_FILENO)
		close(pcap->fd);
	pcapng_decoder_destroy(pcap->decoder);
	decompress_destroy(pcap->decompress);
	buf_release(&pcap->packed);
	buf_release(&pcap->input);
	for (uint32_t i = 0; i < pcap->interface_count; i++)
		recorded_release(&pcap->interfaces[i]);
	free(pcap->interfaces);
	free(pcap->filter);
	free(pcap->label);
	free(pcap->path);
	free(pcap);
}

static const struct source_ops pcap_ops = {
	.name = "pcap",
	.peek = pcap_peek,
	.take = pcap_take,
	.give_back = pcap_give_back,
	.position = pcap_position,
	.seek = pcap_seek,
	.stats = pcap_stats,
	.start = pcap_start,
	.describe = pcap_describe,
	.statistics = pcap_statistics,
	.stop = pcap_stop,
	.idle = pcap_idle,
	.destroy = pcap_destroy,
};

int source_pcap_create(struct source **ret, const struct source_pcap_config *config)
{
	struct source_pcap *pcap = calloc(1, sizeof(*pcap));
	struct stat st;
	int err;

	if (!pcap)
		return -ENOMEM;
	pcap->source =
		(struct source){ .ops = &pcap_ops, .poll_fd = -1, .is_replay = !config->stamp_now };
	pcap->config = *config;
	pcap->read.done = read_done;
	pcap->due.expired = due_expired;
	pcap->path = strdup(config->path);
	pcap->label = config->label ? strdup(config->label) : NULL;
	pcap->filter = config->filter ? strdup(config->filter) : NULL;
	pcap->recorded = (struct recorded_config){ pcap->path, pcap->label, pcap->filter };
	pcap->fd =
		strcmp(config->path, "-") ? open(config->path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (pcap->fd < 0 || fstat(pcap->fd, &st)) {
		err = -errno;
		goto fail;
	}
	if (!pcap->path || (config->label && !pcap->label) || (config->filter && !pcap->filter)) {
		err = -ENOMEM;
		goto fail;
	}
	if (S_ISDIR(st.st_mode)) {
		err = -EISDIR;
		goto fail;
	}
	/* Another file is another source: positions are not carried over. */
	pcap->source.id = 1ull << 63 | ((uint64_t)st.st_ino << 16 ^ (uint64_t)st.st_dev);
	err = pcapng_decoder_create(&pcap->decoder, PCAPNG_FROM_FILE);
	if (err)
		goto fail;
	*ret = &pcap->source;
	return 0;
fail:
	pcap_destroy(&pcap->source);
	return err;
}

const char *source_pcap_error(const struct source *source)
{
	return pcap_of(source)->error;
}
