/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames for the merge's tests, and what comes out of it as text. */
#pragma once

#include "common/merge.h"
#include "selftests/unit/check.h"

#define WAIT_NS (10 * NS_PER_SEC)

static inline struct merge *merge_new(const struct merge_ops *ops, void *context,
				      uint64_t memory_bytes)
{
	const struct merge_config config = {
		.ops = ops,
		.context = context,
		.merge_wait_ns = WAIT_NS,
		.memory_bytes = memory_bytes,
	};
	struct merge *merge = NULL;

	assert_int_equal(merge_create(&merge, &config), 0);
	return merge;
}

static inline struct stream_id id_of(const char *agent, uint32_t lane)
{
	struct stream_id id = { .lane = lane };

	snprintf(id.agent, sizeof(id.agent), "%s", agent);
	return id;
}

static inline uint32_t join(struct merge *merge, const char *agent)
{
	struct stream_id id = id_of(agent, 0);
	uint32_t stream = UINT32_MAX;

	assert_int_equal(merge_stream(merge, &id, &stream), 0);
	return stream;
}

/* A packets frame being put together. */
struct builder {
	uint8_t frame[FRAME_HEADER_LEN + 65536];
	struct frame_header header;
	size_t len;
};

static inline void builder_begin(struct builder *builder, const char *interface)
{
	struct pcapng_interface described = { .link_type = LINKTYPE_ETHERNET, .tsresol = 9 };

	builder->header = (struct frame_header){ .type = FRAME_PACKETS };
	snprintf(described.name, sizeof(described.name), "%s", interface);
	builder->len = pcapng_put_interface(builder->frame + FRAME_HEADER_LEN, 65536, &described);
}

/* The packet's bytes are its id. */
static inline void builder_put(struct builder *builder, uint64_t time_ns, uint32_t id)
{
	const struct pcapng_packet packet = {
		.time_ns = time_ns,
		.captured_len = sizeof(id),
		.original_len = 60,
		.data = (const uint8_t *)&id,
		.flags = PCAPNG_DIR_IN,
		.has_queue = true,
		.queue = id % 7,
	};
	struct frame_header *header = &builder->header;
	size_t n = pcapng_put_packet(builder->frame + FRAME_HEADER_LEN + builder->len,
				     65536 - builder->len, &packet, NULL);

	assert_true(n > 0);
	builder->len += n;
	header->first_ns = header->packet_count ? MIN(header->first_ns, time_ns) : time_ns;
	header->last_ns = MAX(header->last_ns, time_ns);
	header->packet_count++;
}

static inline size_t builder_seal(struct builder *builder)
{
	frame_seal(builder->frame, &builder->header, builder->frame + FRAME_HEADER_LEN,
		   builder->len);
	return FRAME_HEADER_LEN + builder->len;
}

static inline uint32_t packet_id(const struct merge_packet *packet)
{
	uint32_t id = UINT32_MAX;

	if (packet->packet.captured_len == sizeof(id))
		memcpy(&id, packet->packet.data, sizeof(id));
	return id;
}

/* A frame of packets at these times (up to 0), ids counted from first_id. */
static inline void give(struct merge *merge, uint32_t stream, uint64_t sequence,
			const uint64_t *times, uint32_t first_id, uint64_t watermark_ns,
			uint64_t now_ns)
{
	static struct builder builder;
	size_t len;

	builder_begin(&builder, "eth0");
	builder.header.sequence = sequence;
	builder.header.watermark_ns = watermark_ns;
	for (; *times; times++)
		builder_put(&builder, *times, first_id++);
	len = builder_seal(&builder);
	assert_int_equal(merge_frame(merge, stream, 0, sequence, &builder.header, builder.frame,
				     len, now_ns, NULL),
			 0);
}

#define TIMES(...) ((const uint64_t[]){ __VA_ARGS__, 0 })

static inline void give_bye(struct merge *merge, uint32_t stream, uint64_t sequence,
			    uint64_t now_ns)
{
	const struct frame_header header = { .type = FRAME_BYE, .sequence = sequence };

	assert_int_equal(merge_frame(merge, stream, 0, sequence, &header, NULL, 0, now_ns, NULL),
			 0);
}

/* Text of everything that leaves now: "time:id", late ones with a '!'. */
static inline const char *drain(struct merge *merge, uint64_t now_ns)
{
	static char text[4096];
	struct merge_packet packet;
	size_t len = 0;

	text[0] = '\0';
	while (merge_next(merge, now_ns, &packet) > 0)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%" PRIu64 ":%u%s",
					len ? " " : "", packet.key.time_ns, packet_id(&packet),
					packet.is_late ? "!" : "");
	return text;
}
