#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What lists of addresses cost a packet, in the kernel (BPF_PROG_TEST_RUN): the whole mirror program
# with 100,000 prefixes and, as its peer, with 10. Half of the packets come from listed addresses.
. "$(dirname "$0")/common.bash"

run=$("$XCAP_BIN/selftests/bench/lists_bench" "${ROUNDS:-41}")
# ns KIND FIELD
ns() {
	jq -r ".$1.$2" <<<"$run"
}
for kind in ipv4 ipv4_hosts ipv6; do
	few=$(ns "$kind" few)
	echo "# ${kind/_/ }: without lists $(ns "$kind" none) ns"
	result "lists: ${kind/_/ }, 100,000 prefixes" "$(ns "$kind" many)" ns \
		"<= 1.3 x" "10 prefixes" "$few"
done
finish
