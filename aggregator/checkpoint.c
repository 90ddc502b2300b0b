/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aggregator/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"

#define CHECKPOINT_VERSION 1
#define CHECKPOINT_LEN_MAX (16 * MIB)

static const char *const format_names[] = {
	[CAPTURE_PCAPNG] = "pcapng",
	[CAPTURE_PCAP] = "pcap",
};

void checkpoint_release(struct checkpoint *checkpoint)
{
	free(checkpoint->output);
	for (uint32_t i = 0; i < checkpoint->journal_count; i++)
		free(checkpoint->journals[i].live);
	*checkpoint = (struct checkpoint){};
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *encode_stream(const struct stream_id *id)
{
	char instance[2 * INSTANCE_LEN + 1];

	for (size_t i = 0; i < INSTANCE_LEN; i++)
		snprintf(instance + 2 * i, 3, "%02x", id->instance[i]);
	return json_pack("{s:s,s:s,s:o,s:b}", "agent", id->agent, "instance", instance, "lane",
			 integer(id->lane), "replay", id->replay);
}

static json_t *encode_key(const struct merge_key *key)
{
	return json_pack("{s:o,s:o,s:o,s:o}", "time_ns", integer(key->time_ns), "stream",
			 encode_stream(&key->stream), "sequence", integer(key->sequence), "index",
			 integer(key->index));
}

static json_t *encode_journal(const struct checkpoint_journal *journal)
{
	json_t *live = json_array(), *stream;

	for (uint32_t i = 0; i < journal->live_count; i++) {
		stream = encode_stream(&journal->live[i].id);
		json_object_set_new(stream, "number", integer(journal->live[i].number));
		json_array_append_new(live, stream);
	}
	return json_pack("{s:o,s:o,s:o}", "low", integer(journal->low), "read",
			 integer(journal->read), "live", live);
}

static json_t *encode_file(const struct checkpoint_file *file)
{
	return json_pack("{s:b,s:i,s:b,s:i,s:o,s:o}", "late", file->is_late, "link_type_suffix",
			 file->link_type_suffix, "begun", file->is_begun, "link_type",
			 (int)file->link_type, "interfaces", integer(file->interface_count),
			 "offset", integer(file->offset));
}

char *checkpoint_encode(const struct checkpoint *checkpoint)
{
	json_t *journals = json_array(), *files = json_array(), *root;
	char *text;

	for (uint32_t i = 0; i < checkpoint->journal_count; i++)
		json_array_append_new(journals, encode_journal(&checkpoint->journals[i]));
	for (uint32_t i = 0; i < checkpoint->file_count; i++)
		json_array_append_new(files, encode_file(&checkpoint->files[i]));
	root = json_pack("{s:i,s:s,s:s,s:b,s:o,s:o,s:o*,s:o,s:o}", "version", CHECKPOINT_VERSION,
			 "output", checkpoint->output, "format", format_names[checkpoint->format],
			 "replay", checkpoint->replay, "packets", integer(checkpoint->packets),
			 "late_packets", integer(checkpoint->late_packets), "key",
			 checkpoint->has_key ? encode_key(&checkpoint->key) : NULL, "journals",
			 journals, "files", files);
	text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	return text;
}

static int decode_instance(uint8_t out[INSTANCE_LEN], const char *text)
{
	unsigned int byte;

	if (strlen(text) != 2 * INSTANCE_LEN || strspn(text, "0123456789abcdef") != strlen(text))
		return -EBADMSG;
	for (size_t i = 0; i < INSTANCE_LEN; i++) {
		sscanf(text + 2 * i, "%2x", &byte);
		out[i] = (uint8_t)byte;
	}
	return 0;
}

static int decode_stream(struct stream_id *ret, json_t *json)
{
	const char *agent, *instance;
	json_int_t lane;
	int replay;

	if (json_unpack(json, "{s:s,s:s,s:I,s:b}", "agent", &agent, "instance", &instance, "lane",
			&lane, "replay", &replay) ||
	    !agent_id_valid(agent) || lane < 0 || lane > UINT32_MAX ||
	    decode_instance(ret->instance, instance))
		return -EBADMSG;
	memcpy(ret->agent, agent, strlen(agent) + 1);
	ret->lane = (uint32_t)lane;
	ret->replay = replay;
	return 0;
}

static int decode_key(struct merge_key *ret, json_t *json)
{
	json_int_t time, sequence, index;
	json_t *stream;

	if (json_unpack(json, "{s:I,s:o,s:I,s:I}", "time_ns", &time, "stream", &stream, "sequence",
			&sequence, "index", &index) ||
	    index < 0 || index > UINT32_MAX)
		return -EBADMSG;
	ret->time_ns = (uint64_t)time;
	ret->sequence = (uint64_t)sequence;
	ret->index = (uint32_t)index;
	return decode_stream(&ret->stream, stream);
}

static int decode_live(struct checkpoint_stream *ret, json_t *json)
{
	json_int_t number = json_integer_value(json_object_get(json, "number"));

	if (number < 0 || number >= JOURNAL_STREAMS_MAX)
		return -EBADMSG;
	ret->number = (uint32_t)number;
	return decode_stream(&ret->id, json);
}

static int decode_journal(struct checkpoint_journal *ret, json_t *json)
{
	json_int_t low, read;
	json_t *live;
	int err = 0;

	if (json_unpack(json, "{s:I,s:I,s:o}", "low", &low, "read", &read, "live", &live) ||
	    low < 0 || read < low || !json_is_array(live))
		return -EBADMSG;
	ret->live = calloc(json_array_size(live) + 1, sizeof(*ret->live));
	if (!ret->live)
		return -ENOMEM;
	ret->low = (uint64_t)low;
	ret->read = (uint64_t)read;
	for (size_t i = 0; i < json_array_size(live) && !err; i++)
		err = decode_live(&ret->live[ret->live_count++], json_array_get(live, i));
	return err;
}

static int decode_file(struct checkpoint_file *ret, json_t *json)
{
	int late, suffix, begun, link_type;
	json_int_t offset, interfaces;

	if (json_unpack(json, "{s:b,s:i,s:b,s:i,s:I,s:I}", "late", &late, "link_type_suffix",
			&suffix, "begun", &begun, "link_type", &link_type, "interfaces",
			&interfaces, "offset", &offset) ||
	    offset < 0 || suffix < -1 || suffix > UINT16_MAX || link_type < 0 ||
	    link_type > UINT16_MAX || interfaces < 0 || interfaces > UINT32_MAX)
		return -EBADMSG;
	*ret = (struct checkpoint_file){
		.is_late = late,
		.link_type_suffix = suffix,
		.is_begun = begun,
		.link_type = (uint16_t)link_type,
		.interface_count = (uint32_t)interfaces,
		.offset = (uint64_t)offset,
	};
	return 0;
}

static int decode_root(struct checkpoint *ret, json_t *root)
{
	json_t *key = NULL, *journals, *files;
	const char *output, *format;
	json_int_t packets, late;
	int version, replay, err = 0;

	if (json_unpack(root, "{s:i,s:s,s:s,s:b,s:I,s:I,s?o,s:o,s:o}", "version", &version,
			"output", &output, "format", &format, "replay", &replay, "packets",
			&packets, "late_packets", &late, "key", &key, "journals", &journals,
			"files", &files) ||
	    version != CHECKPOINT_VERSION || json_array_size(journals) > STORE_JOURNALS_MAX ||
	    json_array_size(files) > CHECKPOINT_FILES_MAX ||
	    capture_format_parse(&ret->format, format))
		return -EBADMSG;
	ret->replay = replay;
	ret->packets = (uint64_t)packets;
	ret->late_packets = (uint64_t)late;
	ret->has_key = key != NULL;
	ret->output = strdup(output);
	if (!ret->output)
		return -ENOMEM;
	if (key)
		err = decode_key(&ret->key, key);
	for (size_t i = 0; i < json_array_size(journals) && !err; i++) {
		err = decode_journal(&ret->journals[i], json_array_get(journals, i));
		ret->journal_count++;
	}
	for (size_t i = 0; i < json_array_size(files) && !err; i++)
		err = decode_file(&ret->files[ret->file_count++], json_array_get(files, i));
	return err;
}

int checkpoint_decode(struct checkpoint *ret, const char *text, size_t len)
{
	struct checkpoint checkpoint = {};
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	int err;

	if (!root)
		return -EBADMSG;
	err = decode_root(&checkpoint, root);
	json_decref(root);
	if (err)
		checkpoint_release(&checkpoint);
	else
		*ret = checkpoint;
	return err;
}

int checkpoint_name(char *ret, size_t size, const char *output)
{
	const char *name = strrchr(output, '/') ? strrchr(output, '/') + 1 : output;
	char folder[PATH_MAX], whole[2 * PATH_MAX], safe[64] = "";

	if (snprintf(folder, sizeof(folder), "%s", output) >= (int)sizeof(folder))
		return -ENAMETOOLONG;
	if (!realpath(dirname(folder), whole))
		return -errno;
	strcat(whole, "/");
	strncat(whole, name, PATH_MAX - 1);
	for (size_t i = 0; i + 1 < sizeof(safe) && name[i]; i++)
		safe[i] =
			strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_",
			       name[i])
				? name[i]
				: '_';
	if (snprintf(ret, size, "%s-%08x", safe, crc32c(0, whole, strlen(whole))) >= (int)size)
		return -ENAMETOOLONG;
	return 0;
}

static int checkpoint_path(char *ret, size_t size, const struct store *store, const char *name)
{
	return snprintf(ret, size, "%s/readers/%s.json", store_dir(store), name) >= (int)size
		       ? -ENAMETOOLONG
		       : 0;
}

int checkpoint_load(struct checkpoint *ret, const struct store *store, const char *name)
{
	char path[PATH_MAX], *text = NULL;
	int fd = -1, err;
	struct stat st;
	ssize_t n;

	err = checkpoint_path(path, sizeof(path), store, name);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = -EBADMSG;
	if (fstat(fd, &st) || st.st_size > (off_t)CHECKPOINT_LEN_MAX)
		goto out;
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		err = -ENOMEM;
		goto out;
	}
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		err = -errno;
	else
		err = checkpoint_decode(ret, text, (size_t)n);
out:
	free(text);
	close(fd);
	return err;
}

int checkpoint_save(const struct checkpoint *checkpoint, const struct store *store,
		    const char *name)
{
	char dir[PATH_MAX], file[NAME_MAX], *text;
	int err = -ENAMETOOLONG;

	if (snprintf(dir, sizeof(dir), "%s/readers", store_dir(store)) >= (int)sizeof(dir) ||
	    snprintf(file, sizeof(file), "%s.json", name) >= (int)sizeof(file))
		return err;
	text = checkpoint_encode(checkpoint);
	if (!text)
		return -ENOMEM;
	err = store_write_file(dir, file, text);
	free(text);
	return err;
}
