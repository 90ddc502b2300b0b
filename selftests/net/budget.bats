#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What xcap may cost: latency, idle CPU, memory, system calls. Times at most ten times the target;
# the times themselves are in `make bench`.

load helpers

two_hosts() {
	new_ns agg
	new_ns a
	new_ns b
	uplink_network agg a b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24 gro=on
	start sink b socat -u UDP-RECV:9999,rcvbuf=4096 "EXEC:sleep 1000"
	pki agent-a agent-b
}

# CPU ticks (10 ms) of a daemon so far.
ticks() {
	awk '{ print $14 + $15 }' "/proc/${PIDS[$1]}/stat"
}

@test "10,000 packets/s are durable soon after their kernel time" {
	two_hosts
	start_aggregator agg
	start_agent agent-b b -i wb -Q in
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --dst-port 9999 --rate 10000 --duration 3 --json >/dev/null
	echo "# p95 $(status aggregator '.latency.p95_seconds * 1000') ms, target 25" >&3
	at_most "p95 seconds" "$(status aggregator .latency.p95_seconds)" 0.25
	at_least "packets measured" "$(status aggregator .latency.packets)" 29000
}

@test "an idle agent costs almost nothing" {
	local before after

	two_hosts
	start_aggregator agg
	start_agent agent-b b -i wb
	before=$(ticks agent-b)
	sleep 3
	after=$(ticks agent-b)
	echo "# $((after - before)) ticks in 3 s, RssAnon $(rss agent-b) kB" >&3
	# 1 % of a core is 3 ticks.
	at_most "ticks in 3 s" $((after - before)) 30
	at_most "wakeups in 3 s" "$(status agent-b '[.lanes[].wakeups] | add')" 100
	at_most "anonymous memory, kB" "$(rss agent-b)" 51200
}

rss() {
	awk '/RssAnon/ { print $2 }' "/proc/${PIDS[$1]}/status"
}

@test "a tap agent's memory stays within its budget, too" {
	two_hosts
	start_aggregator agg
	start_agent agent-b b -i wb --mode tap
	at_most "anonymous memory, kB" "$(rss agent-b)" 51200
}

@test "system calls grow with frames, not with packets" {
	local calls sent

	two_hosts
	start_aggregator agg
	start_agent agent-b b -i wb -Q in
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --dst-port 9999 --rate 50000 --duration 2 --json >/dev/null
	calls=$(status agent-b '[.lanes[] | .wakeups + .send_calls] | add')
	sent=$(status agent-b '[.lanes[].packets] | add')
	echo "# $calls wake-ups and sends for $sent packets" >&3
	at_least packets "$sent" 95000
	at_most "wake-ups and sends" "$calls" $((sent / 10))
}

@test "two agents on one wire do not feed each other" {
	new_ns agg
	new_ns a
	# The uplinks run over the very wire that is captured.
	veth_pair a wa agg wb addr=10.99.0.2/24,10.99.0.1/24
	pki agent-a agent-b
	start_aggregator agg
	start_agent agent-a a -i wa
	start_agent agent-b agg -i wb
	wait_for 5 streams_are_up 2
	before=$(status agent-a .account.delivered)
	sleep 2
	equal "packets while idle" $(($(status agent-a .account.delivered) - before)) 0
	at_least "counted as self" "$(status agent-a .account.self)" 10
	at_least "counted as self" "$(status agent-b .account.self)" 10
}

streams_are_up() {
	equal "streams connected" \
		"$(status aggregator '[.streams[] | select(.connected)] | length')" "$1"
}
