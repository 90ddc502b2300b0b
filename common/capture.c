/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/stream.h"

#define SECTION_LEN_MAX 1024
#define APPLICATION_MAX 256
#define CACHE_SIZE 64 /* a power of two */
#define NAME_MAX_LEN (AGENT_ID_MAX + 1 + PCAPNG_NAME_MAX)

/* One Interface Description Block of the section. */
struct described {
	uint32_t hash;
	bool has_agent;
	char agent[AGENT_ID_MAX + 1];
	struct pcapng_interface interface; /* as it was given */
	uint64_t packets, drops, first_ns, last_ns;
	/* What its agent told: of the latest capture, and the sum of those before it. */
	bool is_told;
	struct pcapng_statistics told, before;
};

struct capture {
	enum capture_format format;
	char application[APPLICATION_MAX];
	char os[160], hardware[72];
	bool begun, has_header;
	uint16_t link_type;
	uint32_t first_id; /* of list[0]: before it come those of who began the section */
	struct described **list;
	uint32_t count, capacity;
	uint32_t *slots; /* open addressing: 1 + index in list, 0: free; twice the capacity */
	/*
	 * Where the interface at an address was found last. Contents are compared before it is
	 * believed, as the address may have become another's.
	 */
	struct {
		const void *interface;
		uint32_t index;
	} cache[CACHE_SIZE];
};

int capture_format_parse(enum capture_format *ret, const char *text)
{
	if (!strcmp(text, "pcapng"))
		*ret = CAPTURE_PCAPNG;
	else if (!strcmp(text, "pcap"))
		*ret = CAPTURE_PCAP;
	else
		return -EINVAL;
	return 0;
}

int capture_create(struct capture **ret, enum capture_format format, const char *application)
{
	struct capture *capture = calloc(1, sizeof(*capture));
	struct utsname name;

	if (!capture)
		return -ENOMEM;
	capture->format = format;
	snprintf(capture->application, sizeof(capture->application), "%s", application);
	if (uname(&name) == 0) {
		snprintf(capture->os, sizeof(capture->os), "%s %s", name.sysname, name.release);
		snprintf(capture->hardware, sizeof(capture->hardware), "%s", name.machine);
	}
	*ret = capture;
	return 0;
}

static void forget_interfaces(struct capture *capture)
{
	for (uint32_t i = 0; i < capture->count; i++)
		free(capture->list[i]);
	free(capture->list);
	free(capture->slots);
	capture->list = NULL;
	capture->slots = NULL;
	capture->count = 0;
	capture->capacity = 0;
	memset(capture->cache, 0, sizeof(capture->cache));
}

void capture_destroy(struct capture *capture)
{
	if (!capture)
		return;
	forget_interfaces(capture);
	free(capture);
}

static uint32_t hash_text(uint32_t hash, const char *text)
{
	do {
		hash = (hash ^ (uint8_t)*text) * 16777619u; /* FNV-1a */
	} while (*text++);
	return hash;
}

static uint32_t hash_interface(const char *agent, const struct pcapng_interface *interface)
{
	uint32_t hash = hash_text(2166136261u, agent ? agent : "");

	return hash_text(hash_text(hash, interface->name), interface->filter);
}

/* Snaplen and resolution are not compared: every IDB is written with the same. */
static bool is_same(const struct described *described, const char *agent,
		    const struct pcapng_interface *interface)
{
	const struct pcapng_interface *known = &described->interface;

	return described->has_agent == (agent != NULL) &&
	       (!agent || !strcmp(described->agent, agent)) &&
	       !strcmp(known->name, interface->name) && !strcmp(known->filter, interface->filter) &&
	       !strcmp(known->description, interface->description) &&
	       !strcmp(known->os, interface->os) && known->speed_bps == interface->speed_bps;
}

/* The slot where the interface is, or the free one where it belongs. There is a free one. */
static uint32_t *find_slot(struct capture *capture, uint32_t hash, const char *agent,
			   const struct pcapng_interface *interface)
{
	uint32_t mask = 2 * capture->capacity - 1, *slot;

	for (uint32_t i = hash;; i++) {
		slot = &capture->slots[i & mask];
		if (!*slot || (capture->list[*slot - 1]->hash == hash &&
			       is_same(capture->list[*slot - 1], agent, interface)))
			return slot;
	}
}

static int grow(struct capture *capture)
{
	uint32_t capacity = MAX(2 * capture->capacity, 16), mask = 2 * capacity - 1;
	struct described **list;
	uint32_t *slots;

	if (capture->count < capture->capacity)
		return 0;
	list = realloc(capture->list, capacity * sizeof(struct described *));
	if (!list)
		return -ENOMEM;
	capture->list = list;
	slots = calloc(2 * (size_t)capacity, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t n = 0; n < capture->count; n++) {
		uint32_t i = list[n]->hash;

		while (slots[i & mask])
			i++;
		slots[i & mask] = n + 1;
	}
	free(capture->slots);
	capture->slots = slots;
	capture->capacity = capacity;
	return 0;
}

static void put_interface(struct capture *capture, const struct described *described,
			  struct buf *out)
{
	struct pcapng_interface interface = described->interface;
	char name[NAME_MAX_LEN];
	size_t len;

	interface.link_type = capture->link_type;
	interface.snaplen = PCAPNG_SNAPLEN;
	if (described->has_agent) {
		len = (size_t)snprintf(name, sizeof(name), "%s/%s", described->agent,
				       described->interface.name);
		len = MIN(len, sizeof(interface.name) - 1);
		memcpy(interface.name, name, len);
		interface.name[len] = '\0';
	}
	pcapng_interface(out, &interface);
}

/*
 * Into *ret the interface's index; its IDB is written if it is a new one. There is room in out.
 * -ENOBUFS: no more can be known.
 */
static int describe(struct capture *capture, const char *agent,
		    const struct pcapng_interface *interface, struct buf *out, uint32_t *ret)
{
	uint32_t hash = hash_interface(agent, interface), *slot;
	struct described *described;
	int err;

	if (capture->capacity) {
		slot = find_slot(capture, hash, agent, interface);
		if (*slot) {
			*ret = *slot - 1;
			return 0;
		}
	}
	if (capture->count == PCAPNG_INTERFACES_MAX)
		return -ENOBUFS;
	err = grow(capture);
	if (err)
		return err;
	described = calloc(1, sizeof(*described));
	if (!described)
		return -ENOMEM;
	described->hash = hash;
	described->has_agent = agent != NULL;
	snprintf(described->agent, sizeof(described->agent), "%s", agent ? agent : "");
	described->interface = *interface;
	described->first_ns = UINT64_MAX;
	put_interface(capture, described, out);
	capture->list[capture->count++] = described;
	*find_slot(capture, hash, agent, interface) = capture->count;
	*ret = capture->count - 1;
	return 0;
}

static unsigned int cache_line(const struct pcapng_interface *interface)
{
	uint64_t at = (uintptr_t)interface / 16 * 0x9e3779b97f4a7c15u;

	return (unsigned int)(at >> 32) % CACHE_SIZE;
}

static bool lookup_cached(const struct capture *capture, const char *agent,
			  const struct pcapng_interface *interface, uint32_t *ret)
{
	unsigned int line = cache_line(interface);

	*ret = capture->cache[line].index;
	return capture->cache[line].interface == interface &&
	       is_same(capture->list[*ret], agent, interface);
}

static int lookup(struct capture *capture, const char *agent,
		  const struct pcapng_interface *interface, struct buf *out, uint32_t *ret)
{
	unsigned int line = cache_line(interface);
	int err;

	if (lookup_cached(capture, agent, interface, ret))
		return 0;
	err = describe(capture, agent, interface, out, ret);
	if (err)
		return err;
	capture->cache[line].interface = interface;
	capture->cache[line].index = *ret;
	return 0;
}

static void count_packet(struct described *described, const struct pcapng_packet *packet)
{
	described->packets++;
	described->drops += packet->has_drop_count ? packet->drop_count : 0;
	described->first_ns = MIN(described->first_ns, packet->time_ns);
	described->last_ns = MAX(described->last_ns, packet->time_ns);
}

/* There is room in out. */
static void put_header(struct capture *capture, struct buf *out)
{
	if (capture->has_header)
		return;
	capture->has_header = true;
	if (capture->format == CAPTURE_PCAP)
		pcap_header(out, capture->link_type, PCAPNG_SNAPLEN);
	else
		pcapng_section(out, capture->application, capture->os, capture->hardware);
}

int capture_begin(struct capture *capture, uint16_t link_type, struct buf *out)
{
	if (capture->begun && capture->link_type != link_type)
		return -EXDEV;
	if (!buf_reserve(out, SECTION_LEN_MAX))
		return -ENOMEM;
	capture->begun = true;
	capture->link_type = link_type;
	put_header(capture, out);
	return 0;
}

/* The numbers of pcapng_statistics that are counts. */
static uint64_t *count_of(struct pcapng_statistics *statistics, unsigned int i)
{
	uint64_t *const counts[] = {
		&statistics->received,	 &statistics->dropped,	 &statistics->filter_accepted,
		&statistics->os_dropped, &statistics->delivered,
	};

	return i < ARRAY_SIZE(counts) ? counts[i] : NULL;
}

static uint64_t known(uint64_t count)
{
	return count == PCAPNG_UNKNOWN ? 0 : count;
}

/* into is unknown only if both are. */
static void fold(struct pcapng_statistics *into, struct pcapng_statistics *from, bool adds)
{
	uint64_t *to, *count;

	for (unsigned int i = 0; (to = count_of(into, i)); i++) {
		count = count_of(from, i);
		if (*count == PCAPNG_UNKNOWN)
			continue;
		*to = adds ? known(*to) + *count : MAX(known(*to), *count);
	}
	into->time_ns = MAX(into->time_ns, from->time_ns);
	into->end_ns = MAX(into->end_ns, from->end_ns);
}

/* Its agent's numbers, else what is known from its packets. */
static struct pcapng_statistics statistics_of(struct described *described)
{
	struct pcapng_statistics sum = {
		.time_ns = described->last_ns,
		.start_ns = described->first_ns == UINT64_MAX ? 0 : described->first_ns,
		.end_ns = described->last_ns,
		.received = PCAPNG_UNKNOWN,
		.dropped = described->drops,
		.filter_accepted = PCAPNG_UNKNOWN,
		.os_dropped = PCAPNG_UNKNOWN,
		.delivered = described->packets,
	};

	if (!described->is_told)
		return sum;
	sum = described->before;
	fold(&sum, &described->told, true);
	return sum;
}

static void put_statistics(const struct capture *capture, struct buf *out)
{
	for (uint32_t i = 0; i < capture->count; i++) {
		struct pcapng_statistics statistics = statistics_of(capture->list[i]);

		statistics.interface = capture->first_id + i;
		pcapng_statistics(out, &statistics);
	}
}

/* In a new section Wireshark 4.0 would take the interfaces for the first one's. */
static int start_over(struct capture *capture, struct buf *out)
{
	if (capture->first_id > UINT32_MAX - 2 * PCAPNG_INTERFACES_MAX)
		return -EMSGSIZE;
	if (!buf_reserve(out, (size_t)capture->count * PCAPNG_STATISTICS_MAX))
		return -ENOMEM;
	put_statistics(capture, out);
	capture->first_id += capture->count;
	forget_interfaces(capture);
	return 0;
}

int capture_packet(struct capture *capture, const char *agent,
		   const struct pcapng_interface *interface, const struct pcapng_packet *packet,
		   struct buf *out)
{
	struct pcapng_packet written = *packet;
	uint32_t index;
	int err;

	/* Readers refuse a packet that exceeds its interface's snaplen. */
	written.captured_len = MIN(packet->captured_len, PCAPNG_SNAPLEN);
	/* After this nothing that is appended can fail, and an IDB that is counted is there. */
	if (!buf_reserve(out,
			 SECTION_LEN_MAX + sizeof(*interface) + 128 + pcapng_packet_len(&written)))
		return -ENOMEM;
	if (!capture->has_header || capture->link_type != interface->link_type) {
		err = capture_begin(capture, interface->link_type, out);
		if (err)
			return err;
	}
	if (capture->format == CAPTURE_PCAP) {
		pcap_packet(out, &written);
		return 0;
	}
	err = lookup(capture, agent, interface, out, &index);
	if (err == -ENOBUFS) {
		err = start_over(capture, out);
		return err ?: capture_packet(capture, agent, interface, packet, out);
	}
	if (err)
		return err;
	written.interface = capture->first_id + index;
	count_packet(capture->list[index], packet);
	pcapng_packet(out, &written);
	return 0;
}

bool capture_as_is(struct capture *capture, const char *agent,
		   const struct pcapng_interface *interface, const struct pcapng_packet *packet)
{
	uint32_t index;

	if (capture->format != CAPTURE_PCAPNG || !capture->has_header ||
	    capture->link_type != interface->link_type || packet->captured_len > PCAPNG_SNAPLEN ||
	    !lookup_cached(capture, agent, interface, &index) ||
	    capture->first_id + index != packet->interface)
		return false;
	count_packet(capture->list[index], packet);
	return true;
}

static void take_statistics(struct described *described, const struct pcapng_statistics *statistics)
{
	static const struct pcapng_statistics nothing = {
		.received = PCAPNG_UNKNOWN,
		.dropped = PCAPNG_UNKNOWN,
		.filter_accepted = PCAPNG_UNKNOWN,
		.os_dropped = PCAPNG_UNKNOWN,
		.delivered = PCAPNG_UNKNOWN,
	};
	struct pcapng_statistics now = *statistics;

	if (!described->is_told) {
		described->is_told = true;
		described->before = nothing;
		described->before.start_ns = now.start_ns;
		described->told = now;
	} else if (now.start_ns > described->told.start_ns) {
		fold(&described->before, &described->told, true);
		described->told = now;
	} else if (now.start_ns == described->told.start_ns) {
		fold(&described->told, &now, false);
	}
}

int capture_statistics(struct capture *capture, const char *agent,
		       const struct pcapng_interface *interface,
		       const struct pcapng_statistics *statistics, struct buf *out)
{
	uint32_t index;
	int err;

	if (capture->format != CAPTURE_PCAPNG || !capture->has_header ||
	    capture->link_type != interface->link_type)
		return 0;
	if (!buf_reserve(out, sizeof(*interface) + 128))
		return -ENOMEM;
	err = lookup(capture, agent, interface, out, &index);
	if (err == -ENOBUFS) {
		err = start_over(capture, out);
		return err ?: capture_statistics(capture, agent, interface, statistics, out);
	}
	if (!err)
		take_statistics(capture->list[index], statistics);
	return err;
}

void capture_end(struct capture *capture, struct buf *out)
{
	const struct pcapng_interface nameless = {
		.link_type = capture->link_type,
		.snaplen = PCAPNG_SNAPLEN,
	};

	if (capture->format == CAPTURE_PCAP || !capture->has_header)
		return;
	if (!capture_interface_count(capture))
		pcapng_interface(out, &nameless);
	put_statistics(capture, out);
}

bool capture_begun(const struct capture *capture)
{
	return capture->begun;
}

uint16_t capture_link_type(const struct capture *capture)
{
	return capture->link_type;
}

void capture_resume(struct capture *capture, uint16_t link_type, uint32_t interface_count)
{
	forget_interfaces(capture);
	capture->first_id = interface_count;
	capture->begun = true;
	capture->has_header = true;
	capture->link_type = link_type;
}

uint32_t capture_interface_count(const struct capture *capture)
{
	return capture->first_id + capture->count;
}
