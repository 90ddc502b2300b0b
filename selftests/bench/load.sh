#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The highest rates through mirror and tap into an aggregator's store, and the rates that must go
# through without a loss. What the veth received is what was stored and every counted loss, to the
# packet, at any rate.
. "$(dirname "$0")/common.bash"

DISK=${DISK:-$BATS_TEST_TMPDIR/store}
MEMORY=/dev/shm/xcap-load.$$
defer rm -rf "$MEMORY"
SECONDS_EACH=${SECONDS_EACH:-3}

stored() {
	status aggregator '[.streams[].packets] | add // 0'
}
lost() {
	status load '[.account.dropped[]] | add'
}
accounted() {
	[ "$(($(stored) + $(lost)))" -ge "$1" ] && [ "$(status load .account.pending)" -eq 0 ]
}

# through MODE STORE SIZE RATE SECONDS: $RECEIVED, $STORED and $LOST of it. RATE 0: flat out.
through() {
	local mode=$1 store=$2 size=$3 rate=$4 seconds=$5
	local -a rate_option=()

	[ "$rate" -eq 0 ] || rate_option=(--rate "$rate")
	rm -rf "$store"
	STORE=$store start_aggregator b
	start_agent load b -i vb --mode "$mode" --stats=0
	RECEIVED=$(received generate --size "$size" --duration "$seconds" "${rate_option[@]}")
	wait_for 30 accounted "$RECEIVED"
	STORED=$(stored)
	LOST=$(lost)
	stop load
	stop aggregator
	rm -rf "$store"
	[ "$((STORED + LOST))" -eq "$RECEIVED" ] ||
		wrong "$mode $size B at $rate: received $RECEIVED, stored $STORED, lost $LOST"
}

highest() {
	local mode=$1 size=$2 highest

	through "$mode" "$MEMORY" "$size" 0 "$SECONDS_EACH"
	highest=$((RECEIVED / SECONDS_EACH))
	result "load: $mode $size B flat out, received" "$highest" packets/s
	result "load: $mode $size B flat out, stored (tmpfs)" $((STORED / SECONDS_EACH)) packets/s
	[ "$size" -eq 64 ] || return 0
	through "$mode" "$MEMORY" "$size" $((highest / 2)) "$SECONDS_EACH"
	result "load: $mode $size B at half of that, lost" "$LOST" packets "<= 0"
}

pki load
bench_link
warm_up_memory 4000
for mode in mirror tap; do
	highest "$mode" 64
	highest "$mode" 1400
	through "$mode" "$MEMORY" 1400 250000 "$SECONDS_EACH"
	result "load: $mode 1400 B at 250,000/s to tmpfs, lost" "$LOST" packets "<= 0"
	through "$mode" "$DISK" 1400 100000 "$SECONDS_EACH"
	result "load: $mode 1400 B at 100,000/s to disk, lost" "$LOST" packets "<= 0"
done
finish
