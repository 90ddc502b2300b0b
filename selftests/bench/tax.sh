#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a packet costs the host more while it is captured, and how many are kept. Many short series
# alternate between nobody, tcpdump and xcap, since a machine's speed drifts. Whatever else it does
# only adds to a series, by more than the differences looked for: the lower quartile counts.
#
# The tax is 1/rate_with - 1/rate_without, flat out. The sender's processor also receives; who
# captures has another one.
. "$(dirname "$0")/common.bash"

ROUNDS=${ROUNDS:-15}
# Three times what tcpdump was seen to keep of a million (260,000/s) when this was set.
KEPT=780000
SNAPLEN=262144
file=/dev/shm/xcap-tax.$$
defer rm -f "$file"

elsewhere() {
	[ "$(nproc --all)" -lt 2 ] || taskset -a -p -c 1 "${PIDS[$1]}" >/dev/null
}

# with nobody|tcpdump|xcap OUTPUT CMD...
with() {
	local who=$1 output=$2
	shift 2

	: >"$BATS_TEST_TMPDIR/$who.log"
	case $who in
	tcpdump)
		start tcpdump b tcpdump -i vb -s "$SNAPLEN" -w "$output"
		wait_for 5 logged tcpdump "listening on"
		elsewhere tcpdump
		"$@"
		stop tcpdump INT
		;;
	xcap)
		start_agent xcap b -i vb -s "$SNAPLEN" -w "$output" --stats=0
		elsewhere xcap
		"$@"
		stop xcap INT
		;;
	*) "$@" ;;
	esac
}

# nanoseconds WHO SIZE: of wall clock and of the sender's processor time that a packet took.
nanoseconds() {
	local before

	before=$(counter b vb rx_packets)
	with "$1" /dev/null generate --size "$2" --duration 300ms --engine xdp >"$BATS_TEST_TMPDIR/gen.json"
	jq -r --argjson n $(($(counter b vb rx_packets) - before)) \
		'"\(.seconds * 1e9 / $n) \(.cpu_seconds * 1e9 / $n)"' "$BATS_TEST_TMPDIR/gen.json"
}

tax() {
	local size=$1 target=$2 round who wall cpu
	local -A walls=() cpus=()

	generate --size "$size" --duration 1 >/dev/null
	for ((round = 0; round < ROUNDS; round++)); do
		for who in nobody tcpdump xcap; do
			read -r wall cpu < <(nanoseconds "$who" "$size")
			walls[$who]+=" $wall"
			cpus[$who]+=" $cpu"
		done
	done
	for who in nobody tcpdump xcap; do
		# shellcheck disable=SC2086
		walls[$who]=$(quartile ${walls[$who]})
		# shellcheck disable=SC2086
		cpus[$who]=$(quartile ${cpus[$who]})
		result "tax: $size B flat out, with $who" "$(calc %.0f "1e9 / ${walls[$who]}")" packets/s
	done
	result "tax: $size B, of mirror, /dev/null" \
		"$(calc %.3f "(${walls[xcap]} - ${walls[nobody]}) / 1000")" us "$target" \
		tcpdump "$(calc %.3f "(${walls[tcpdump]} - ${walls[nobody]}) / 1000")"
	# The same where others take the processor away in between.
	result "tax: $size B, of mirror, in processor time" \
		"$(calc %.3f "(${cpus[xcap]} - ${cpus[nobody]}) / 1000")" us "" \
		tcpdump "$(calc %.3f "(${cpus[tcpdump]} - ${cpus[nobody]}) / 1000")"
}

# Packets kept out of those that came in a second, and how many came: a million is asked for.
kept_by() {
	local before

	rm -f "$file"
	before=$(counter b vb rx_packets)
	with "$1" "$file" generate --size 1400 --rate 1000000 --duration 1 >/dev/null
	echo "$(packets "$file") $(($(counter b vb rx_packets) - before))"
}

kept() {
	local round who n sent
	local -A counts=() shares=()

	warm_up_memory 4000
	for ((round = 0; round < (ROUNDS + 2) / 3; round++)); do
		for who in tcpdump xcap; do
			read -r n sent < <(kept_by "$who")
			counts[$who]+=" $n"
			shares[$who]+=" $(calc %.1f "100 * $n / $sent")"
		done
	done
	# shellcheck disable=SC2086
	result "tax: 1400 B, kept of 1,000,000/s, to tmpfs" "$(median ${counts[xcap]})" packets/s \
		">= $KEPT" tcpdump "$(median ${counts[tcpdump]})"
	# shellcheck disable=SC2086
	result "tax: 1400 B, kept of those that came" "$(median ${shares[xcap]})" % "" \
		tcpdump "$(median ${shares[tcpdump]})"
}

taskset -p -c 0 $$ >/dev/null
bench_link
tax 64 "<= 0.5 x"
tax 1400 ""
kept
finish
