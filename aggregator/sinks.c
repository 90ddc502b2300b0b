/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/sinks.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "common/log.h"

static int add(struct sinks *sinks, bool is_late, int link_type_suffix,
	       const struct output_resume *resume, struct sink **ret)
{
	struct sink *sink = &sinks->list[sinks->count];
	struct output_config config = sinks->config;
	char path[PATH_MAX];
	int err;

	if (sinks->count) {
		err = output_side_path(path, sizeof(path), config.path, is_late, link_type_suffix);
		if (err)
			return err;
		config.path = path;
	}
	err = output_open(&sink->output, &config, resume);
	if (err)
		return err;
	sink->is_late = is_late;
	sink->link_type_suffix = link_type_suffix;
	sinks->count++;
	*ret = sink;
	return 0;
}

/* It was made, if at all, after the checkpoint. */
static void remove_empty(const struct sinks *sinks, const struct checkpoint_file *file)
{
	char path[PATH_MAX];

	if (!output_side_path(path, sizeof(path), sinks->config.path, file->is_late,
			      file->link_type_suffix) &&
	    unlink(path) && errno != ENOENT)
		log_warning(-errno, "cannot remove %s", path);
}

static int resume_files(struct sinks *sinks, const struct checkpoint *from)
{
	struct output_resume resume;
	struct sink *sink;
	int err;

	for (uint32_t i = 0; i < from->file_count; i++) {
		const struct checkpoint_file *file = &from->files[i];

		if (sinks->count && !file->offset) {
			remove_empty(sinks, file);
			continue;
		}
		resume = (struct output_resume){
			.offset = file->offset,
			.is_begun = file->is_begun,
			.link_type = file->link_type,
			.interface_count = file->interface_count,
		};
		err = add(sinks, file->is_late, file->link_type_suffix, &resume, &sink);
		if (err == -ENOENT || err == -EPIPE) {
			log_warning(
				0,
				"a file of the output %s is gone, or shorter than it was; a new "
				"one is begun",
				sinks->config.path);
			err = add(sinks, file->is_late, file->link_type_suffix, NULL, &sink);
		}
		if (err)
			return log_error(err, "cannot write %s", sinks->config.path);
	}
	return 0;
}

int sinks_open(struct sinks *sinks, const struct output_config *config,
	       const struct checkpoint *from)
{
	struct sink *sink;
	int err;

	sinks->config = *config;
	err = from ? resume_files(sinks, from) : 0;
	if (err || sinks->count)
		return err;
	err = add(sinks, false, -1, NULL, &sink);
	return err ? log_error(err, "cannot write %s", config->path) : 0;
}

void sinks_close(struct sinks *sinks)
{
	for (uint32_t i = 0; i < sinks->count; i++)
		output_close(sinks->list[i].output, true);
	sinks->count = 0;
}

static struct sink *find(struct sinks *sinks, bool is_late, int link_type_suffix)
{
	for (uint32_t i = 0; i < sinks->count; i++)
		if (sinks->list[i].is_late == is_late &&
		    sinks->list[i].link_type_suffix == link_type_suffix)
			return &sinks->list[i];
	return NULL;
}

static int put(struct sinks *sinks, bool is_late, int link_type_suffix,
	       const struct merge_packet *packet)
{
	struct sink *sink = find(sinks, is_late, link_type_suffix);
	int err;

	if (!sink) {
		struct checkpoint_file file = { .is_late = is_late,
						.link_type_suffix = link_type_suffix };

		if (!sinks_are_files(sinks))
			return -EOPNOTSUPP;
		if (sinks->count == CHECKPOINT_FILES_MAX)
			return -EMFILE;
		sinks->adding(sinks->config.context, &file);
		err = add(sinks, is_late, link_type_suffix, NULL, &sink);
		if (err)
			return err;
		log_info("writing %s to %s",
			 is_late ? "late packets" : "packets of another link type",
			 output_path(sink->output));
	}
	return output_packet(sink->output, packet->key.stream.agent, packet->interface,
			     &packet->packet);
}

int sinks_put(struct sinks *sinks, bool is_late, const struct merge_packet *packet)
{
	int err = put(sinks, is_late, -1, packet);

	return err == -EXDEV ? put(sinks, is_late, packet->interface->link_type, packet) : err;
}

int sinks_statistics(struct sinks *sinks, const char *agent,
		     const struct pcapng_interface *interface,
		     const struct pcapng_statistics *statistics)
{
	int err = 0;

	/* Late packets are beside the others of their interface. */
	for (uint32_t i = 0; i < sinks->count && !err; i++)
		if (!sinks->list[i].is_late)
			err = output_statistics(sinks->list[i].output, agent, interface,
						statistics);
	return err;
}

void sinks_finish(struct sinks *sinks)
{
	for (uint32_t i = 0; i < sinks->count; i++)
		output_finish(sinks->list[i].output);
}

bool sinks_are_files(const struct sinks *sinks)
{
	return output_is_file(sinks->list[0].output);
}

bool sinks_full(const struct sinks *sinks)
{
	for (uint32_t i = 0; i < sinks->count; i++)
		if (output_waiting(sinks->list[i].output) >= OUTPUT_WAITING_MAX)
			return true;
	return false;
}

bool sinks_idle(const struct sinks *sinks)
{
	for (uint32_t i = 0; i < sinks->count; i++)
		if (output_waiting(sinks->list[i].output) || !output_idle(sinks->list[i].output))
			return false;
	return true;
}

void sinks_flush(struct sinks *sinks)
{
	for (uint32_t i = 0; i < sinks->count; i++)
		output_flush(sinks->list[i].output);
}

uint64_t sinks_waiting(const struct sinks *sinks)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < sinks->count; i++)
		sum += output_waiting(sinks->list[i].output);
	return sum;
}

uint64_t sinks_written(const struct sinks *sinks)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < sinks->count; i++)
		sum += output_written(sinks->list[i].output);
	return sum;
}

void sinks_checkpoint(struct sinks *sinks, struct checkpoint *ret)
{
	for (uint32_t i = 0; i < sinks->count; i++) {
		const struct output *output = sinks->list[i].output;

		ret->files[i] = (struct checkpoint_file){
			.is_late = sinks->list[i].is_late,
			.link_type_suffix = sinks->list[i].link_type_suffix,
			.is_begun = output_is_begun(output),
			.link_type = output_is_begun(output) ? output_link_type(output) : 0,
			.interface_count = output_interface_count(output),
			.offset = output_offset(output),
		};
	}
	ret->file_count = sinks->count;
	sinks_flush(sinks);
}

bool sinks_reached(const struct sinks *sinks, const struct checkpoint *checkpoint)
{
	for (uint32_t i = 0; i < checkpoint->file_count; i++)
		if (output_written(sinks->list[i].output) < checkpoint->files[i].offset)
			return false;
	return true;
}

void sinks_sync(struct sinks *sinks, const struct checkpoint *checkpoint)
{
	for (uint32_t i = 0; i < checkpoint->file_count; i++)
		output_sync(sinks->list[i].output);
}

bool sinks_synced(const struct sinks *sinks, const struct checkpoint *checkpoint, int *err)
{
	bool synced = true;
	int failed;

	*err = 0;
	for (uint32_t i = 0; i < checkpoint->file_count; i++) {
		synced = output_synced(sinks->list[i].output, &failed) && synced;
		*err = *err ?: failed;
	}
	return synced;
}
