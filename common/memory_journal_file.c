/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/memory_journal_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"

#define JOURNAL_MAGIC 0x4c4e524a50414358u /* "XCAPJRNL" */
#define JOURNAL_VERSION 1
#define SKIP_MAGIC 0x50494b53u /* "SKIP" */
#define PAGE 4096

struct journal_slot {
	_Atomic uint64_t generation; /* 0: never written */
	uint32_t crc;		     /* of generation and state without losses */
	uint32_t losses_crc;
	struct journal_state state;
};

struct journal_map {
	uint64_t magic; /* set last */
	uint32_t version;
	uint32_t state_len;
	uint64_t ring_bytes;
	uint32_t lane;
	uint8_t replay;
	uint8_t instance[INSTANCE_LEN];
	char agent[AGENT_ID_MAX + 1];
	uint32_t crc; /* of everything before it */
	struct journal_slot slots[2];
};

#define RING_OFFSET align_up(sizeof(struct journal_map), PAGE)

static uint32_t map_crc(const struct journal_map *map)
{
	return crc32c(0, &map->version,
		      offsetof(struct journal_map, crc) - offsetof(struct journal_map, version));
}

static size_t used_len(const struct journal_state *state)
{
	return offsetof(struct journal_state, positions) +
	       state->position_count * sizeof(state->positions[0]);
}

static size_t losses_len(const struct losses *losses)
{
	return offsetof(struct losses, list) + losses->count * sizeof(losses->list[0]);
}

static uint32_t state_crc(uint64_t generation, const struct journal_state *state)
{
	return crc32c(crc32c(0, &generation, sizeof(generation)), state, used_len(state));
}

/* Keeps the compiler from moving stores across; a kill sees them in program order. */
static inline void order_stores(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

void journal_file_store(struct journal_file *file, const struct journal_state *state)
{
	uint64_t generation = file->generation + 1;
	struct journal_slot *slot = &file->map->slots[generation & 1];

	/* Of the lower generation: nobody looks at it until it has the highest. */
	order_stores();
	memcpy(&slot->state, state, used_len(state));
	slot->crc = state_crc(generation, state);
	if (file->slot_losses_version[generation & 1] != file->losses_version) {
		memcpy(&slot->state.losses, &state->losses, losses_len(&state->losses));
		slot->losses_crc = crc32c(0, &state->losses, losses_len(&state->losses));
		file->slot_losses_version[generation & 1] = file->losses_version;
	}
	order_stores();
	atomic_store_explicit(&slot->generation, generation, memory_order_release);
	order_stores();
	file->generation = generation;
}

void journal_file_skip(struct journal_file *file, uint64_t offset)
{
	uint32_t magic = SKIP_MAGIC;

	memcpy(journal_file_at(file, offset), &magic, sizeof(magic));
}

bool journal_file_frame(const struct journal_file *file, uint64_t offset,
			struct memory_journal_frame *ret)
{
	uint8_t *at = journal_file_at(file, offset);
	struct memory_journal_frame frame = { .start = offset };
	uint32_t magic;

	memcpy(&magic, at, sizeof(magic));
	if (magic == SKIP_MAGIC) {
		frame.start += file->ring_bytes - offset % file->ring_bytes;
		at = file->ring;
	}
	if (frame_header_decode(&frame.header, at))
		return false;
	frame.offset = frame.start + journal_frame_room(frame.header.stored_len);
	if (frame.offset - frame.start > file->ring_bytes - (size_t)(at - file->ring))
		return false;
	frame.data = at;
	frame.len = FRAME_HEADER_LEN + frame.header.stored_len;
	frame.sequence = frame.header.sequence;
	*ret = frame;
	return true;
}

void journal_totals_add(struct journal_totals *totals, const struct memory_journal_frame *frame)
{
	totals->frames++;
	totals->bytes += frame->len;
	totals->packets += frame->header.packet_count;
	totals->wire_packets += frame->header.wire_count;
}

/* Every frame is where the state says. Payloads are left to whoever receives them: one damaged
 * frame is refused there, and the others are not lost with it. */
static int check_frames(const struct journal_file *file, const struct journal_state *state)
{
	struct journal_totals totals = state->passed;
	uint64_t offset = state->tail, sequence = state->first_sequence;
	struct memory_journal_frame frame;

	while (offset < state->head) {
		if (!journal_file_frame(file, offset, &frame) || frame.sequence != sequence)
			return -EBADMSG;
		journal_totals_add(&totals, &frame);
		offset = frame.offset;
		sequence++;
	}
	if (offset != state->head || sequence != state->next_sequence ||
	    memcmp(&totals, &state->committed, sizeof(totals)) != 0)
		return -EBADMSG;
	return 0;
}

static int check_state(const struct journal_file *file, const struct journal_state *state)
{
	uint64_t start = state->open.start, room = journal_frame_room(state->open.payload_len);

	if (state->tail > state->head || state->head - state->tail > file->ring_bytes ||
	    state->tail % JOURNAL_FRAME_ALIGN || state->head % JOURNAL_FRAME_ALIGN)
		return -EBADMSG;
	if (state->open.told && (start < state->head || start % JOURNAL_FRAME_ALIGN ||
				 state->open.payload_len > FRAME_PAYLOAD_MAX ||
				 start + room - state->tail > file->ring_bytes ||
				 start % file->ring_bytes + room > file->ring_bytes))
		return -EBADMSG;
	return check_frames(file, state);
}

static int load_state(struct journal_file *file, struct journal_state *state)
{
	struct journal_slot *slot = &file->map->slots[0], *other = &file->map->slots[1];
	uint64_t generation;

	if (atomic_load(&other->generation) > atomic_load(&slot->generation))
		slot = other;
	generation = atomic_load(&slot->generation);
	if (!generation || slot->state.position_count > MEMORY_JOURNAL_POSITIONS_MAX ||
	    slot->state.losses.count > LOSSES_MAX)
		return -EBADMSG;
	memcpy(state, &slot->state, sizeof(*state));
	if (slot->crc != state_crc(generation, state) ||
	    slot->losses_crc != crc32c(0, &state->losses, losses_len(&state->losses)))
		return -EBADMSG;
	file->generation = generation;
	/* The other slot's losses may be older. */
	file->losses_version = 1;
	return check_state(file, state);
}

/* Takes the memory, so that a full tmpfs is an error here and no SIGBUS later. */
static int map_file(struct journal_file *file, size_t ring_bytes)
{
	int err;

	file->ring_bytes = ring_bytes;
	file->map_len = RING_OFFSET + ring_bytes;
	do
		err = posix_fallocate(file->fd, 0, (off_t)file->map_len);
	while (err == EINTR);
	if (err)
		return -err;
	file->map = mmap(NULL, file->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
	if (file->map == MAP_FAILED) {
		file->map = NULL;
		return -errno;
	}
	file->ring = (uint8_t *)file->map + RING_OFFSET;
	return 0;
}

static int make_file(struct journal_file *file, struct journal_state *state,
		     const struct memory_journal_config *config)
{
	struct journal_map *map;
	int err;

	if (config->size_bytes < MEMORY_JOURNAL_SIZE_MIN || !agent_id_valid(config->agent))
		return -EINVAL;
	if (ftruncate(file->fd, 0))
		return -errno;
	err = map_file(file, align_up(config->size_bytes, PAGE));
	if (err)
		return err;
	map = file->map;
	assert(map);
	map->version = JOURNAL_VERSION;
	map->state_len = sizeof(struct journal_state);
	map->ring_bytes = file->ring_bytes;
	map->lane = config->lane;
	map->replay = config->replay;
	strcpy(map->agent, config->agent);
	if (getrandom(map->instance, INSTANCE_LEN, 0) != INSTANCE_LEN)
		return -EIO;
	map->crc = map_crc(map);
	*state = (struct journal_state){ .next_sequence = 1, .first_sequence = 1 };
	file->losses_version = 1;
	journal_file_store(file, state);
	order_stores();
	map->magic = JOURNAL_MAGIC;
	return 0;
}

static bool id_agrees(const struct journal_map *map, const struct memory_journal_config *config)
{
	return strcmp(map->agent, config->agent) == 0 && map->lane == config->lane &&
	       map->replay == config->replay;
}

static int load_file(struct journal_file *file, struct journal_state *state,
		     const struct journal_map *head, off_t len,
		     const struct memory_journal_config *config)
{
	int err;

	if (head->magic != JOURNAL_MAGIC || head->version != JOURNAL_VERSION ||
	    head->crc != map_crc(head) || head->state_len != sizeof(struct journal_state))
		return -EBADMSG;
	if (head->ring_bytes < MEMORY_JOURNAL_SIZE_MIN || head->ring_bytes % PAGE ||
	    head->ring_bytes > (uint64_t)len || (uint64_t)len != RING_OFFSET + head->ring_bytes)
		return -EBADMSG;
	if (!id_agrees(head, config))
		return -ESTALE;
	err = map_file(file, head->ring_bytes);
	return err ?: load_state(file, state);
}

/* Whoever was making it was killed before it could hold a frame. */
static bool is_unfinished(const struct journal_map *head)
{
	return head->magic == 0 && head->slots[0].state.next_sequence <= 1 &&
	       head->slots[1].state.next_sequence <= 1;
}

/* Opens and locks; the file of that name may be removed between the two. */
static int lock_file(const char *path, struct stat *st)
{
	int fd, err;

	for (;;) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		err = flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
		if (!err && fstat(fd, st))
			err = -errno;
		if (!err && !S_ISREG(st->st_mode))
			err = -EBADMSG;
		if (!err && st->st_nlink)
			return fd;
		close(fd);
		if (err)
			return err == -EWOULDBLOCK ? -EBUSY : err;
	}
}

int journal_file_open(struct journal_file *file, struct journal_state *state, struct stream_id *id,
		      const struct memory_journal_config *config)
{
	struct journal_map *head = calloc(1, sizeof(*head));
	struct stat st = {};
	bool is_new = false;
	int err = -ENOMEM;

	*file = (struct journal_file){ .fd = -1 };
	file->path = strdup(config->path);
	if (!head || !file->path)
		goto out;
	file->fd = lock_file(config->path, &st);
	if (file->fd < 0) {
		err = file->fd;
		goto out;
	}
	if (pread(file->fd, head, sizeof(*head), 0) < 0) {
		err = -errno;
		goto out;
	}
	is_new = is_unfinished(head);
	err = is_new ? make_file(file, state, config)
		     : load_file(file, state, head, st.st_size, config);
	if (err)
		goto out;
	*id = (struct stream_id){ .lane = config->lane, .replay = config->replay };
	strcpy(id->agent, file->map->agent);
	memcpy(id->instance, file->map->instance, INSTANCE_LEN);
out:
	free(head);
	if (err)
		journal_file_close(file, is_new);
	return err;
}

void journal_file_close(struct journal_file *file, bool remove)
{
	if (file->map)
		munmap(file->map, file->map_len);
	if (remove && file->fd >= 0)
		(void)unlink(file->path);
	if (file->fd >= 0)
		close(file->fd);
	free(file->path);
	*file = (struct journal_file){ .fd = -1 };
}
