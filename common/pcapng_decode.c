/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/pcapng.h"

#include <byteswap.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/pcapng_block.h"
#include "common/pcapng_decoder.h"

static const char forgotten[] = "a packet of an interface that too many were described after";

int pcapng_decoder_create(struct pcapng_decoder **ret, enum pcapng_source source)
{
	struct pcapng_decoder *decoder = calloc(1, sizeof(*decoder));

	if (!decoder)
		return -ENOMEM;
	pcapng_decoder_reset(decoder, source);
	*ret = decoder;
	return 0;
}

void pcapng_decoder_destroy(struct pcapng_decoder *decoder)
{
	if (!decoder)
		return;
	for (uint32_t i = 0; i < decoder->allocated; i++)
		free(decoder->interfaces[i]);
	free(decoder->interfaces);
	free(decoder);
}

void pcapng_decoder_reset(struct pcapng_decoder *decoder, enum pcapng_source source)
{
	decoder->source = source;
	decoder->format = source == PCAPNG_FROM_FRAME ? FORMAT_PCAPNG : FORMAT_UNKNOWN;
	decoder->big_endian = false;
	decoder->count = 0;
	decoder->section = 0;
	decoder->error = NULL;
}

/* NULL: there is none, or it is forgotten. */
static const struct interface *find_interface(const struct pcapng_decoder *decoder, uint32_t id)
{
	if (id >= decoder->count || decoder->count - id > PCAPNG_INTERFACES_MAX)
		return NULL;
	return decoder->interfaces[id % PCAPNG_INTERFACES_MAX];
}

const struct pcapng_interface *pcapng_decoder_interface(const struct pcapng_decoder *decoder,
							uint32_t id)
{
	const struct interface *interface = find_interface(decoder, id);

	return interface ? &interface->info : NULL;
}

uint32_t pcapng_decoder_interface_count(const struct pcapng_decoder *decoder)
{
	return decoder->count;
}

const struct pcapng_statistics *pcapng_decoder_statistics(const struct pcapng_decoder *decoder)
{
	return &decoder->statistics;
}

const char *pcapng_decoder_error(const struct pcapng_decoder *decoder)
{
	return decoder->error ? decoder->error : "no error";
}

/* What lies between a block's fixed part and its trailing length, option by option. */
struct options {
	const uint8_t *at;
	size_t left;
	bool big_endian;
	/* the option found */
	uint16_t code, len;
	const uint8_t *value;
};

/* 1: an option; 0: the end; -EBADMSG. */
static inline int options_next(struct options *options)
{
	size_t padded;

	if (options->left < 4)
		return 0;
	options->code = get_u16(options->at, options->big_endian);
	options->len = get_u16(options->at + 2, options->big_endian);
	if (options->code == OPT_END)
		return 0;
	options->value = options->at + 4;
	options->left -= 4;
	padded = align_up(options->len, 4);
	if (padded > options->left)
		return -EBADMSG;
	options->at += 4 + padded;
	options->left -= padded;
	return 1;
}

void pcapng_set_resolution(struct interface *interface)
{
	unsigned int power = interface->info.tsresol & (TSRESOL_BINARY - 1);

	interface->is_ns = interface->info.tsresol == TSRESOL_NS && !interface->info.tsoffset_s;
	interface->multiplier = 1;
	interface->divisor = 1;
	interface->shift = 0;
	if (interface->info.tsresol & TSRESOL_BINARY) {
		interface->multiplier = NS_PER_SEC;
		interface->shift = power;
		return;
	}
	for (unsigned int i = power; i < 9; i++)
		interface->multiplier *= 10;
	for (unsigned int i = power; i > 9; i--) {
		/* 64 bits of such ticks are less than a nanosecond. */
		if (interface->divisor > UINT64_MAX / 10) {
			interface->multiplier = 0;
			break;
		}
		interface->divisor *= 10;
	}
}

static uint64_t interface_time(const struct interface *interface, uint64_t ticks)
{
	__int128 ns;

	if (interface->is_ns)
		return ticks;
	/* 2^64 * 10^9 and 2^63 * 10^9 are both below 2^94. */
	ns = (__int128)ticks * interface->multiplier >> interface->shift;
	ns = ns / interface->divisor + (__int128)interface->info.tsoffset_s * (int64_t)NS_PER_SEC;
	if (ns < 0)
		return 0;
	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

int pcapng_reserve_interface(struct pcapng_decoder *decoder, struct interface **ret)
{
	uint32_t at = decoder->count % PCAPNG_INTERFACES_MAX;
	uint32_t capacity = MAX(2 * decoder->allocated, 4u);
	struct interface **list, *interface;

	if (at == decoder->allocated) {
		/* The list has room up to the next power of two. */
		if ((decoder->allocated & (decoder->allocated - 1)) == 0) {
			list = realloc(decoder->interfaces, capacity * sizeof(struct interface *));
			if (!list)
				return -ENOMEM;
			decoder->interfaces = list;
		}
		interface = malloc(sizeof(*interface));
		if (!interface)
			return -ENOMEM;
		decoder->interfaces[decoder->allocated++] = interface;
	}
	*ret = decoder->interfaces[at];
	**ret = (struct interface){};
	return 0;
}

static void copy_text(char *out, size_t room, const struct options *options, size_t skip)
{
	size_t len = MIN(options->len - skip, room - 1);

	memcpy(out, options->value + skip, len);
	out[len] = '\0';
}

static ssize_t decode_interface(struct pcapng_decoder *decoder, const uint8_t *block, uint32_t len)
{
	struct options options = { .big_endian = decoder->big_endian };
	struct interface *interface;
	struct pcapng_interface *info;
	int n;

	if (len < 20)
		return refuse(decoder, -EBADMSG, "an interface block is too short");
	if (decoder->count == UINT32_MAX ||
	    (decoder->source == PCAPNG_FROM_FRAME && decoder->count >= PCAPNG_FRAME_INTERFACES_MAX))
		return refuse(decoder, -EMSGSIZE, "too many interfaces");
	if (pcapng_reserve_interface(decoder, &interface))
		return refuse(decoder, -ENOMEM, "out of memory");
	info = &interface->info;
	info->link_type = get_u16(block + 8, decoder->big_endian);
	info->snaplen = get_u32(block + 12, decoder->big_endian);
	info->tsresol = TSRESOL_DEFAULT;
	options.at = block + 16;
	options.left = len - 20;
	while ((n = options_next(&options)) > 0) {
		switch (options.code) {
		case IF_NAME:
			copy_text(info->name, sizeof(info->name), &options, 0);
			break;
		case IF_DESCRIPTION:
			copy_text(info->description, sizeof(info->description), &options, 0);
			break;
		case IF_SPEED:
			if (options.len == 8)
				info->speed_bps = get_u64(options.value, decoder->big_endian);
			break;
		case IF_TSRESOL:
			if (options.len == 1)
				info->tsresol = options.value[0];
			break;
		case IF_FILTER:
			if (options.len > 1 && options.value[0] == IF_FILTER_STRING)
				copy_text(info->filter, sizeof(info->filter), &options, 1);
			break;
		case IF_OS:
			copy_text(info->os, sizeof(info->os), &options, 0);
			break;
		case IF_TSOFFSET:
			if (options.len == 8)
				info->tsoffset_s =
					(int64_t)get_u64(options.value, decoder->big_endian);
			break;
		}
	}
	if (n < 0)
		return refuse(decoder, n, "an interface's option exceeds its block");
	pcapng_set_resolution(interface);
	decoder->count++;
	return len;
}

static inline int decode_packet_options(struct options *options, struct pcapng_packet *packet)
{
	int n;

	while ((n = options_next(options)) > 0) {
		switch (options->code) {
		case OPT_COMMENT:
			if (!packet->comment) {
				packet->comment = (const char *)options->value;
				packet->comment_len = options->len;
			}
			break;
		case EPB_FLAGS:
			if (options->len == 4)
				packet->flags = get_u32(options->value, options->big_endian);
			break;
		case EPB_DROPCOUNT:
			if (options->len == 8) {
				packet->has_drop_count = true;
				packet->drop_count = get_u64(options->value, options->big_endian);
			}
			break;
		case EPB_PACKETID:
			if (options->len == 8) {
				packet->has_packet_id = true;
				packet->packet_id = get_u64(options->value, options->big_endian);
			}
			break;
		case EPB_QUEUE:
			if (options->len == 4) {
				packet->has_queue = true;
				packet->queue = get_u32(options->value, options->big_endian);
			}
			break;
		}
	}
	return n;
}

uint32_t pcapng_block_len(const uint8_t *block)
{
	return get_u32(block + 4, false);
}

bool pcapng_skim(const uint8_t *block, uint64_t *time_ns)
{
	if (get_u32(block, false) != BLOCK_EPB)
		return false;
	*time_ns = (uint64_t)get_u32(block + 12, false) << 32 | get_u32(block + 16, false);
	return true;
}

void pcapng_decode_again(const uint8_t *block, struct pcapng_packet *packet)
{
	uint32_t captured_len = get_u32(block + 20, false);
	size_t padded = align_up(captured_len, 4);
	struct options options = {
		.at = block + EPB_DATA + padded,
		.left = pcapng_block_len(block) - EPB_OVERHEAD - padded,
	};

	packet->interface = get_u32(block + 8, false);
	packet->captured_len = captured_len;
	packet->original_len = get_u32(block + 24, false);
	packet->data = block + EPB_DATA;
	packet->flags = 0;
	packet->has_drop_count = false;
	packet->drop_count = 0;
	packet->has_queue = false;
	packet->queue = 0;
	packet->has_packet_id = false;
	packet->packet_id = 0;
	packet->comment = NULL;
	packet->comment_len = 0;
	(void)decode_packet_options(&options, packet);
}

/* EPB and obsolete PB: they differ in how interface and drops are written. */
static ssize_t decode_packet(struct pcapng_decoder *decoder, const uint8_t *block, uint32_t len,
			     bool is_obsolete, struct pcapng_packet *packet)
{
	bool big_endian = decoder->big_endian;
	struct options options = { .big_endian = big_endian };
	const struct interface *described;
	uint32_t interface, captured_len;
	uint64_t ticks;
	size_t padded;

	*packet = (struct pcapng_packet){};
	if (len < EPB_OVERHEAD)
		return refuse(decoder, -EBADMSG, "a packet block is too short");
	if (is_obsolete) {
		uint16_t drops = get_u16(block + 10, big_endian);

		interface = get_u16(block + 8, big_endian);
		packet->has_drop_count = drops != UINT16_MAX;
		packet->drop_count = packet->has_drop_count ? drops : 0;
	} else {
		interface = get_u32(block + 8, big_endian);
	}
	if (interface >= decoder->count - decoder->section)
		return refuse(decoder, -EBADMSG, "a packet of an interface that is not described");
	captured_len = get_u32(block + 20, big_endian);
	if (captured_len > len - EPB_OVERHEAD)
		return refuse(decoder, -EBADMSG, "a packet exceeds its block");
	ticks = (uint64_t)get_u32(block + 12, big_endian) << 32 | get_u32(block + 16, big_endian);
	packet->interface = decoder->section + interface;
	described = find_interface(decoder, packet->interface);
	if (!described)
		return refuse(decoder, -EMSGSIZE, forgotten);
	packet->time_ns = interface_time(described, ticks);
	packet->captured_len = captured_len;
	packet->original_len = get_u32(block + 24, big_endian);
	packet->data = block + EPB_DATA;
	padded = align_up(captured_len, 4);
	options.at = packet->data + padded;
	options.left = len - EPB_OVERHEAD - padded;
	if (decode_packet_options(&options, packet) < 0)
		return refuse(decoder, -EBADMSG, "a packet's option exceeds its block");
	return len;
}

static ssize_t decode_simple_packet(struct pcapng_decoder *decoder, const uint8_t *block,
				    uint32_t len, struct pcapng_packet *packet)
{
	const struct interface *described;
	uint32_t snaplen;

	*packet = (struct pcapng_packet){};
	if (len < SPB_OVERHEAD)
		return refuse(decoder, -EBADMSG, "a packet block is too short");
	if (decoder->section == decoder->count)
		return refuse(decoder, -EBADMSG, "a packet of an interface that is not described");
	described = find_interface(decoder, decoder->section);
	if (!described)
		return refuse(decoder, -EMSGSIZE, forgotten);
	snaplen = described->info.snaplen;
	packet->interface = decoder->section;
	packet->original_len = get_u32(block + 8, decoder->big_endian);
	packet->captured_len = snaplen ? MIN(packet->original_len, snaplen) : packet->original_len;
	packet->data = block + SPB_DATA;
	if (packet->captured_len > len - SPB_OVERHEAD)
		return refuse(decoder, -EBADMSG, "a packet exceeds its block");
	return len;
}

static uint64_t statistics_time(const struct interface *interface, const uint8_t *at,
				bool big_endian)
{
	return interface_time(interface, (uint64_t)get_u32(at, big_endian) << 32 |
						 get_u32(at + 4, big_endian));
}

/* Nothing hangs on it: what makes no sense is skipped. */
static bool decode_statistics(struct pcapng_decoder *decoder, const uint8_t *block, uint32_t len)
{
	struct pcapng_statistics statistics = {
		.received = PCAPNG_UNKNOWN,
		.dropped = PCAPNG_UNKNOWN,
		.filter_accepted = PCAPNG_UNKNOWN,
		.os_dropped = PCAPNG_UNKNOWN,
		.delivered = PCAPNG_UNKNOWN,
	};
	uint64_t *const counts[] = {
		[ISB_IFRECV] = &statistics.received,
		[ISB_IFDROP] = &statistics.dropped,
		[ISB_FILTERACCEPT] = &statistics.filter_accepted,
		[ISB_OSDROP] = &statistics.os_dropped,
		[ISB_USRDELIV] = &statistics.delivered,
	};
	bool big_endian = decoder->big_endian;
	struct options options = { .at = block + 20, .big_endian = big_endian };
	const struct interface *interface;
	uint32_t id;
	int n;

	if (len < 24)
		return false;
	id = get_u32(block + 8, big_endian);
	if (id >= decoder->count - decoder->section)
		return false;
	statistics.interface = decoder->section + id;
	interface = find_interface(decoder, statistics.interface);
	if (!interface)
		return false;
	statistics.time_ns = statistics_time(interface, block + 12, big_endian);
	options.left = len - 24;
	while ((n = options_next(&options)) > 0) {
		if (options.len != 8)
			continue;
		if (options.code == ISB_STARTTIME)
			statistics.start_ns = statistics_time(interface, options.value, big_endian);
		else if (options.code == ISB_ENDTIME)
			statistics.end_ns = statistics_time(interface, options.value, big_endian);
		else if (options.code < ARRAY_SIZE(counts) && counts[options.code])
			*counts[options.code] = get_u64(options.value, big_endian);
	}
	decoder->statistics = statistics;
	return n == 0;
}

static ssize_t decode_section(struct pcapng_decoder *decoder, const uint8_t *block, size_t len)
{
	uint32_t magic = get_u32(block + 8, false), block_len;
	bool big_endian = magic == bswap_32(BYTE_ORDER_MAGIC);

	if (decoder->source == PCAPNG_FROM_FRAME)
		return refuse(decoder, -EBADMSG, "a section header within a frame");
	if (magic != BYTE_ORDER_MAGIC && !big_endian)
		return refuse(decoder, -EBADMSG, "a section header without byte-order magic");
	block_len = get_u32(block + 4, big_endian);
	if (block_len < 28 || block_len % 4)
		return refuse(decoder, -EBADMSG, "a section header of impossible length");
	if (block_len > PCAPNG_BLOCK_MAX)
		return refuse(decoder, -EMSGSIZE, "a section header is too long");
	if (block_len > len)
		return 0;
	if (get_u32(block + block_len - 4, big_endian) != block_len)
		return refuse(decoder, -EBADMSG, "a section header's lengths differ");
	if (get_u16(block + 12, big_endian) != 1)
		return refuse(decoder, -EPROTONOSUPPORT, "a pcapng version that is not 1");
	decoder->big_endian = big_endian;
	decoder->section = decoder->count;
	decoder->format = FORMAT_PCAPNG;
	return block_len;
}

static ssize_t decode_block(struct pcapng_decoder *decoder, const uint8_t *block, size_t room,
			    enum pcapng_item *item, struct pcapng_packet *packet)
{
	uint32_t type, len;
	ssize_t n;

	if (room < BLOCK_LEN_MIN)
		return 0;
	type = get_u32(block, decoder->big_endian);
	if (type == BLOCK_SHB)
		return decode_section(decoder, block, room);
	len = get_u32(block + 4, decoder->big_endian);
	if (len < BLOCK_LEN_MIN || len % 4)
		return refuse(decoder, -EBADMSG, "a block of impossible length");
	if (len > PCAPNG_BLOCK_MAX)
		return refuse(decoder, -EMSGSIZE, "a block is too long");
	if (len > room)
		return 0;
	if (get_u32(block + len - 4, decoder->big_endian) != len)
		return refuse(decoder, -EBADMSG, "a block's lengths differ");
	if (type == BLOCK_IDB) {
		n = decode_interface(decoder, block, len);
		*item = n > 0 ? PCAPNG_ITEM_INTERFACE : PCAPNG_ITEM_NONE;
		return n;
	}
	if (type == BLOCK_ISB) {
		if (decode_statistics(decoder, block, len))
			*item = PCAPNG_ITEM_STATISTICS;
		return len;
	}
	if (type == BLOCK_EPB)
		n = decode_packet(decoder, block, len, false, packet);
	else if (decoder->source == PCAPNG_FROM_FRAME)
		return len;
	else if (type == BLOCK_PB)
		n = decode_packet(decoder, block, len, true, packet);
	else if (type == BLOCK_SPB)
		n = decode_simple_packet(decoder, block, len, packet);
	else
		return len;
	*item = n > 0 ? PCAPNG_ITEM_PACKET : PCAPNG_ITEM_NONE;
	return n;
}

static bool is_pcap_magic(uint32_t magic)
{
	return magic == PCAP_MAGIC_US || magic == PCAP_MAGIC_NS || magic == PCAP_MAGIC_KUZNETZOV;
}

ssize_t pcapng_decode(struct pcapng_decoder *decoder, const uint8_t *data, size_t len,
		      enum pcapng_item *item, struct pcapng_packet *packet)
{
	*item = PCAPNG_ITEM_NONE;
	if (decoder->format == FORMAT_PCAPNG)
		return decode_block(decoder, data, len, item, packet);
	if (decoder->format == FORMAT_PCAP)
		return pcap_decode_record(decoder, data, len, item, packet);
	if (len < 4)
		return 0;
	if (get_u32(data, false) == BLOCK_SHB)
		return decode_block(decoder, data, len, item, packet);
	decoder->big_endian = is_pcap_magic(get_u32(data, true));
	if (!decoder->big_endian && !is_pcap_magic(get_u32(data, false)))
		return refuse(decoder, -EBADMSG, "neither pcapng nor PCAP");
	return pcap_decode_header(decoder, data, len, item);
}
