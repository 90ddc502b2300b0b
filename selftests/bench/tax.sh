#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a packet costs the host more while it is captured, and how many are kept. Series alternate
# between nobody, tcpdump and xcap, since a machine's speed drifts; medians count.
#
# The tax is 1/rate_with - 1/rate_without, flat out. The sender's processor also receives; who
# captures has another one.
. "$(dirname "$0")/common.bash"

ROUNDS=${ROUNDS:-7}
SNAPLEN=262144
file=/dev/shm/xcap-tax.$$
defer rm -f "$file"

elsewhere() {
	[ "$(nproc)" -lt 2 ] || taskset -a -p -c 1 "${PIDS[$1]}" >/dev/null
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

rate_of() {
	with "$1" /dev/null received generate --size "$2" --duration 1 --engine xdp
}

tax() {
	local size=$1 round who without
	local -A rates=()

	generate --size "$size" --duration 1 >/dev/null
	for ((round = 0; round < ROUNDS; round++)); do
		for who in nobody tcpdump xcap; do
			rates[$who]+=" $(rate_of "$who" "$size")"
		done
	done
	for who in nobody tcpdump xcap; do
		# shellcheck disable=SC2086
		rates[$who]=$(median ${rates[$who]})
		result "tax: $size B flat out, with $who" "${rates[$who]}" packets/s
	done
	without=$(calc %.9f "1e6 / ${rates[nobody]}")
	result "tax: $size B, of mirror, /dev/null" \
		"$(calc %.3f "1e6 / ${rates[xcap]} - $without")" us "<= 0.5 x" \
		tcpdump "$(calc %.3f "1e6 / ${rates[tcpdump]} - $without")"
}

# Packets kept in a second out of a million sent.
kept_by() {
	rm -f "$file"
	with "$1" "$file" generate --size 1400 --rate 1000000 --duration 1 >/dev/null
	packets "$file"
}

kept() {
	local round who
	local -A counts=()

	warm_up_memory 4000
	for ((round = 0; round < ROUNDS; round++)); do
		for who in tcpdump xcap; do
			counts[$who]+=" $(kept_by "$who")"
		done
	done
	# shellcheck disable=SC2086
	result "tax: 1400 B, kept of 1,000,000/s, to tmpfs" "$(median ${counts[xcap]})" packets/s \
		">= 3 x" tcpdump "$(median ${counts[tcpdump]})"
}

taskset -p -c 0 $$ >/dev/null
bench_link
tax 64
tax 1400
kept
finish
