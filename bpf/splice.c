/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libbpf lets a section's handler change a program just before it is loaded. */
#include "bpf/splice.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/splice_image.h"

#define LICENCE "Dual BSD/GPL" /* of all our programs */

/* An instruction that has a map's descriptor in it. */
struct reference {
	size_t insn;
	unsigned int map; /* the object's, counted from 0 */
};

struct kept_program {
	struct kept_program *next;
	char *name;
	struct splice_image image;
	struct reference *references;
	size_t reference_count;
	struct bpf_prog_load_opts options; /* without what points anywhere */
	int btf_fd;
};

struct splice_kept {
	struct kept_program *programs;
};

/* What splice_load() is loading; the image is what libbpf borrows until the program is loaded. */
static struct {
	const struct bpf_object *object;
	const struct splice_code *list;
	size_t count;
	struct splice_kept *kept;
	struct splice_image image;
} current;

static bool has_map(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW) &&
	       (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_VALUE);
}

static int find_map(const struct bpf_object *object, int fd)
{
	const struct bpf_map *map;
	int i = 0;

	bpf_object__for_each_map(map, object)
	{
		if (bpf_map__fd(map) == fd)
			return i;
		i++;
	}
	return -ENOENT;
}

static const struct bpf_map *map_at(const struct bpf_object *object, unsigned int at)
{
	const struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		if (!at--)
			return map;
	}
	return NULL;
}

static int find_references(struct kept_program *program, const struct bpf_object *object)
{
	const struct splice_image *image = &program->image;
	int map;

	program->references = calloc(image->count, sizeof(*program->references));
	if (!program->references)
		return -ENOMEM;
	for (size_t i = 0; i < image->count; i++) {
		/* The second half of such an instruction is no instruction, and has no code. */
		if (!has_map(&image->insns[i]))
			continue;
		map = find_map(object, image->insns[i].imm);
		if (map < 0)
			return map;
		program->references[program->reference_count++] =
			(struct reference){ .insn = i, .map = (unsigned int)map };
	}
	return 0;
}

static void free_program(struct kept_program *program)
{
	splice_image_release(&program->image);
	if (program->btf_fd >= 0)
		close(program->btf_fd);
	free(program->references);
	free(program->name);
	free(program);
}

static const struct kept_program *find_program(const struct splice_kept *kept, const char *name)
{
	for (const struct kept_program *program = kept->programs; program; program = program->next)
		if (!strcmp(program->name, name))
			return program;
	return NULL;
}

static int keep(const struct bpf_program *program, const struct bpf_prog_load_opts *options)
{
	struct kept_program *kept;
	int err;

	if (find_program(current.kept, bpf_program__name(program)))
		return 0;
	kept = calloc(1, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	kept->name = strdup(bpf_program__name(program));
	kept->btf_fd = fcntl((int)options->prog_btf_fd, F_DUPFD_CLOEXEC, 0);
	kept->options = (struct bpf_prog_load_opts){
		.sz = sizeof(kept->options),
		.expected_attach_type = options->expected_attach_type,
		.prog_flags = options->prog_flags,
		.prog_btf_fd = (__u32)kept->btf_fd,
		.kern_version = options->kern_version,
	};
	err = splice_image_copy(&kept->image, &current.image);
	if (!err)
		err = find_references(kept, current.object);
	if (err || !kept->name || kept->btf_fd < 0) {
		free_program(kept);
		return err ?: -ENOMEM;
	}
	kept->next = current.kept->programs;
	current.kept->programs = kept;
	return 0;
}

static int put_all(struct splice_image *image, const struct bpf_object *object,
		   const struct splice_code *list, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		if (list[i].insns)
			err = splice_image_put(image, bpf_object__btf(object), &list[i]);
	}
	return err;
}

/* flags: what libbpf's own handler of the section would add. */
static int prepare(struct bpf_program *program, struct bpf_prog_load_opts *options, long flags)
{
	int err;

	options->prog_flags |= (__u32)flags;
	splice_image_release(&current.image);
	err = splice_image_take(&current.image, program, options);
	if (!err && current.kept)
		err = keep(program, options);
	if (!err)
		err = put_all(&current.image, current.object, current.list, current.count);
	if (!err)
		err = bpf_program__set_insns(program, current.image.insns, current.image.count);
	if (!err)
		splice_image_tell(&current.image, options);
	return err;
}

int splice_init(void)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, tc, .prog_prepare_load_fn = prepare);
	LIBBPF_OPTS(libbpf_prog_handler_opts, xdp, .prog_prepare_load_fn = prepare,
		    .cookie = BPF_F_XDP_HAS_FRAGS);
	static bool done;
	int id;

	if (done)
		return 0;
	id = libbpf_register_prog_handler("tc", BPF_PROG_TYPE_SCHED_CLS, 0, &tc);
	if (id >= 0)
		id = libbpf_register_prog_handler("xdp.frags", BPF_PROG_TYPE_XDP, BPF_XDP, &xdp);
	done = id >= 0;
	return done ? 0 : id;
}

int splice_kept_create(struct splice_kept **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void splice_kept_forget(struct splice_kept *kept)
{
	while (kept->programs) {
		struct kept_program *program = kept->programs;

		kept->programs = program->next;
		free_program(program);
	}
}

void splice_kept_destroy(struct splice_kept *kept)
{
	if (!kept)
		return;
	splice_kept_forget(kept);
	free(kept);
}

int splice_load(struct bpf_object *object, const struct splice_code *list, size_t count,
		struct splice_kept *kept)
{
	int err;

	current.object = object;
	current.list = list;
	current.count = count;
	current.kept = kept;
	err = bpf_object__load(object);
	splice_image_release(&current.image);
	current.object = NULL;
	current.list = NULL;
	current.count = 0;
	current.kept = NULL;
	return err;
}

/* As libbpf makes the map of read-only data. */
static int create_data(const struct bpf_map *map, int btf_fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = bpf_map__map_flags(map),
		    .btf_fd = (__u32)btf_fd, .btf_value_type_id = bpf_map__btf_value_type_id(map));
	const void *bytes;
	__u32 key = 0;
	size_t size;
	int fd, err;

	/* In mapped memory, of an object that is open. */
	bytes = bpf_map__initial_value((struct bpf_map *)map, &size);
	if (!bytes)
		return -ENOENT;
	fd = bpf_map_create(bpf_map__type(map), bpf_map__name(map), sizeof(key), (__u32)size, 1,
			    &options);
	if (fd < 0)
		return fd;
	err = bpf_map_update_elem(fd, &key, bytes, BPF_ANY);
	if (!err)
		err = bpf_map_freeze(fd);
	if (err)
		close(fd);
	return err ?: fd;
}

/* Puts the descriptors in; *data_fd is one made for it, or -1. */
static int resolve(const struct kept_program *kept, struct splice_image *image,
		   const struct bpf_object *object, int *data_fd)
{
	for (size_t i = 0; i < kept->reference_count; i++) {
		const struct bpf_map *map = map_at(object, kept->references[i].map);
		int fd;

		if (!map)
			return -ENOENT;
		fd = bpf_map__fd(map);
		if (bpf_map__is_internal(map)) {
			if (*data_fd < 0)
				*data_fd = create_data(map, kept->btf_fd);
			fd = *data_fd;
		}
		if (fd < 0)
			return fd == -1 ? -ENOENT : fd;
		image->insns[kept->references[i].insn].imm = fd;
	}
	return 0;
}

static int load(const struct kept_program *kept, const struct splice_image *image,
		enum bpf_prog_type type, unsigned int ifindex)
{
	struct bpf_prog_load_opts options = kept->options;

	options.prog_ifindex = ifindex;
	splice_image_tell(image, &options);
	return bpf_prog_load(type, kept->name, LICENCE, image->insns, image->count, &options);
}

int splice_load_again(const struct splice_kept *kept, const struct bpf_object *object,
		      const struct bpf_program *program, unsigned int ifindex,
		      const struct splice_code *list, size_t count)
{
	const struct kept_program *found = find_program(kept, bpf_program__name(program));
	struct splice_image image = {};
	int err, data_fd = -1;

	if (!found)
		return -ENOENT;
	err = splice_image_copy(&image, &found->image);
	if (!err)
		err = resolve(found, &image, object, &data_fd);
	if (!err)
		err = put_all(&image, object, list, count);
	if (!err)
		err = load(found, &image, bpf_program__type(program), ifindex);
	splice_image_release(&image);
	if (data_fd >= 0)
		close(data_fd);
	return err;
}
