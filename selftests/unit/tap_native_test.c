/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/types.h>

#include "bpf/dataplane.h"
#include "selftests/unit/check.h"

static void native_is_left_when_no_packet_finds_room(void **state)
{
	static const struct {
		const char *name;
		enum xcap_mode mode;
		bool generic;
		uint64_t seen, handed, no_memory;
		bool expected;
	} cases[] = {
		{ "nothing came", XCAP_TAP, false, 0, 0, 0, false },
		{ "all were taken", XCAP_TAP, false, 9, 9, 0, false },
		{ "none had room", XCAP_TAP, false, 9, 0, 9, true },
		{ "one had none, others were filtered", XCAP_TAP, false, 9, 0, 1, true },
		{ "some had none", XCAP_TAP, false, 9, 8, 1, false },
		{ "generic already", XCAP_TAP, true, 9, 0, 9, false },
		{ "mirror", XCAP_MIRROR, false, 9, 0, 9, false },
	};

	(void)state;
	FOR_EACH_CASE (c, cases) {
		struct xcap_count counts[XCAP_COUNTER_COUNT] = {
			[XCAP_SEEN].frames = c->seen,
			[XCAP_HANDED].frames = c->handed,
			[XCAP_NO_MEMORY].frames = c->no_memory,
		};

		CHECK_EQ(dataplane_lacks_room(c->mode, c->generic, counts), c->expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(native_is_left_when_no_packet_finds_room),
	};

	return cmocka_run_group_tests_name("tap_native", tests, NULL, NULL);
}
