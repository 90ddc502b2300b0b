#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The generator itself: how even its pace is, what it costs, how fast it goes.
. "$(dirname "$0")/common.bash"

pace() {
	local rate=$1 run stat

	start tcpdump b tcpdump -i vb -w "$BATS_TEST_TMPDIR/pace.pcap" -s 128 -B 65536 -U
	wait_for 5 logged tcpdump "listening on"
	run=$(generate --rate "$rate" --duration 3)
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/pace.pcap" $((rate * 3 * 9 / 10))
	stop tcpdump INT
	stat=$("$HELPERS/genstat" --pacing "$BATS_TEST_TMPDIR/pace.pcap")
	result "gen: $rate packets/s, sent" "$(jq .sent <<<"$run")" packets \
		">= $((rate * 3))"
	result "gen: $rate packets/s, p99 off an even pace" \
		"$(jq '.groups[0].pacing_us.p99' <<<"$stat")" us "<= 1000"
	result "gen: $rate packets/s, CPU" \
		"$(calc %.1f "$(jq .cpu_seconds <<<"$run") / 3 * 100")" %
}

bench_link mtu=9000
pace 10000
pace 100000
for size in 64 1400; do
	for engine in xdp packet; do
		generate --size "$size" --engine "$engine" --duration 0.5 >/dev/null
		result "gen: $size B flat out, $engine" \
			"$(received generate --size "$size" --engine "$engine" --duration 2 |
				awk '{ printf "%.0f", $1 / 2 }')" packets/s
	done
done
finish
