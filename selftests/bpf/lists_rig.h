/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both programs with lists of addresses and watched flows, run on single packets. */
#pragma once

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/types.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/instance.h"
#include "bpf/prefixes_maps.h"
#include "bpf/watch.h"
#include "bpf/xcap_abi.h"
#include "selftests/bpf/packet.h"
#include "selftests/unit/check.h"

#include "bpf/mirror.skel.h"
#include "bpf/tap.skel.h"

/* What becomes of a packet that is wanted: there is neither ring nor socket. */
enum { RIG_MIRROR, RIG_TAP, RIG_HOOKS };
static const enum xcap_counter rig_wanted[] = { XCAP_NO_MEMORY, XCAP_NO_SOCKET };

struct rig {
	struct xcap_mirror *mirror;
	struct xcap_tap *tap;
	int program_fds[RIG_HOOKS], count_fds[RIG_HOOKS];
};

static inline void rig_load(struct rig *rig, const struct prefixes *prefixes,
			    const struct watch *watch)
{
	struct prefixes_maps maps;

	assert_int_equal(prefixes_maps_create(&maps, prefixes), 0);
	rig->mirror = xcap_mirror__open();
	rig->tap = xcap_tap__open();
	assert_non_null(rig->mirror);
	assert_non_null(rig->tap);
	bpf_program__set_autoload(rig->tap->progs.xcap_tap_tag, false);
	rig->mirror->rodata->xcap_lists = rig->tap->rodata->xcap_lists = maps.config;
	rig->mirror->rodata->xcap_can_watch = rig->tap->rodata->xcap_can_watch = watch != NULL;
	assert_int_equal(prefixes_maps_use(&maps, rig->mirror->obj), 0);
	assert_int_equal(prefixes_maps_use(&maps, rig->tap->obj), 0);
	assert_int_equal(watch_use(watch, rig->mirror->obj), 0);
	assert_int_equal(watch_use(watch, rig->tap->obj), 0);
	assert_int_equal(xcap_mirror__load(rig->mirror), 0);
	assert_int_equal(xcap_tap__load(rig->tap), 0);
	prefixes_maps_release(&maps);
	rig->program_fds[RIG_MIRROR] = bpf_program__fd(rig->mirror->progs.xcap_ingress);
	rig->program_fds[RIG_TAP] = bpf_program__fd(rig->tap->progs.xcap_tap);
	rig->count_fds[RIG_MIRROR] = bpf_map__fd(rig->mirror->maps.xcap_count);
	rig->count_fds[RIG_TAP] = bpf_map__fd(rig->tap->maps.xcap_count);
}

static inline void rig_unload(struct rig *rig)
{
	xcap_mirror__destroy(rig->mirror);
	xcap_tap__destroy(rig->tap);
}

/* Is the packet wanted at this hook? */
static inline bool rig_run(const struct rig *rig, unsigned int hook, const struct packet *packet)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet->bytes,
		    .data_size_in = (__u32)packet->len);
	struct xcap_count before[XCAP_COUNTER_COUNT], after[XCAP_COUNTER_COUNT];
	enum xcap_counter wanted = rig_wanted[hook];
	uint64_t passed, filtered;

	assert_int_equal(instance_read_counts(rig->count_fds[hook], before), 0);
	assert_int_equal(bpf_prog_test_run_opts(rig->program_fds[hook], &options), 0);
	assert_int_equal(instance_read_counts(rig->count_fds[hook], after), 0);
	passed = after[wanted].frames - before[wanted].frames;
	filtered = after[XCAP_FILTERED].frames - before[XCAP_FILTERED].frames;
	CHECK_EQ(passed + filtered, 1);
	return passed == 1;
}

static inline void rig_set_address(uint8_t *to, const uint64_t address[2], bool is_ipv4)
{
	uint64_t bytes[2] = { htobe64(address[0]), htobe64(address[1]) };

	memcpy(to, (uint8_t *)bytes + (is_ipv4 ? 12 : 0), is_ipv4 ? 4 : 16);
}

static inline void rig_udp(struct packet *packet, const uint64_t source[2],
			   const uint64_t destination[2], bool is_ipv4)
{
	packet_ethernet(packet);
	if (is_ipv4)
		packet_ipv4(packet, PACKET_UDP, 0, 0);
	else
		packet_ipv6(packet, PACKET_UDP);
	rig_set_address(packet->bytes + (is_ipv4 ? 26 : 22), source, is_ipv4);
	rig_set_address(packet->bytes + (is_ipv4 ? 30 : 38), destination, is_ipv4);
	packet_udp(packet, 5060, 5062);
}
