#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Beside programs of others, with tags that hardware pushed, out of a damaged store.

load helpers

two_hosts() {
	new_ns a
	new_ns b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24 "$@"
}

# foreign NS IF ingress|egress pass|drop|tag
foreign() {
	start "foreign-$2-$3-$4" "$1" "$HELPERS/tcx_foreign" "$2" "$3" "$4"
	wait_for 5 grep -q attached "$BATS_TEST_TMPDIR/foreign-$2-$3-$4.out"
}

icmp_types() {
	tcpdump -n -r "$1" icmp 2>/dev/null | grep -oE 'request|reply' | sort | uniq -c | xargs
}

@test "a foreign program that returns TCX_PASS hides nothing, whoever came first" {
	two_hosts
	foreign b wb ingress pass
	foreign b wb egress pass
	start_agent first b -i wb -w "$BATS_TEST_TMPDIR/after.pcapng"
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	stop first
	equal "seen" "$(icmp_types "$BATS_TEST_TMPDIR/after.pcapng")" "3 reply 3 request"
}

@test "a foreign program that returns TCX_DROP drops, and what it dropped on arrival was seen" {
	two_hosts
	foreign b wb ingress drop
	start_agent agent b -i wb -w "$BATS_TEST_TMPDIR/seen.pcapng"
	run ! in_ns a ping -q -c 2 -i 0.2 -W 1 10.1.0.2
	stop agent
	at_least "requests seen" "$(tcpdump -n -r "$BATS_TEST_TMPDIR/seen.pcapng" --count \
		'icmp or arp' 2>/dev/null | awk '{ print $1 }')" 2
}

@test "packets that nobody captures go on: the host is as it was" {
	two_hosts
	start_agent agent b -i wb -w "$BATS_TEST_TMPDIR/seen.pcapng"
	in_ns a ping -q -c 20 -i 0.01 -s 1400 10.1.0.2
	start iperf b iperf3 -s -1 -B 10.1.0.2
	wait_for 5 listens iperf b 5201
	in_ns a iperf3 -c 10.1.0.2 -t 1 -J >"$BATS_TEST_TMPDIR/iperf.json"
	at_least "bits per second" \
		"$(jq .end.sum_received.bits_per_second "$BATS_TEST_TMPDIR/iperf.json")" 100000000
	stop agent
	readable "$BATS_TEST_TMPDIR/seen.pcapng"
}

@test "a tag pushed beside the frame is in band in the capture: mirror" {
	two_hosts
	foreign a wa egress tag
	start_agent agent b -i wb -Q in -w "$BATS_TEST_TMPDIR/tagged.pcapng"
	run ! in_ns a ping -q -c 2 -i 0.2 -W 1 10.1.0.2
	stop agent
	at_least "tagged" "$(tcpdump -n -r "$BATS_TEST_TMPDIR/tagged.pcapng" --count 'vlan 77' \
		2>/dev/null | awk '{ print $1 }')" 2
	equal "untagged" "$(tcpdump -n -r "$BATS_TEST_TMPDIR/tagged.pcapng" --count 'not vlan' \
		2>/dev/null | awk '{ print $1 }')" 0
}

@test "a tag pushed beside the frame is in band in the capture, or tap refuses: never lost" {
	two_hosts
	foreign a wa egress tag
	start agent b "$XCAP_BIN/xcapd" --name agent --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" \
		-i wb --mode tap -w "$BATS_TEST_TMPDIR/tagged.pcapng"
	if wait_for 3 answers agent 2>/dev/null; then
		run ! in_ns a ping -q -c 2 -i 0.2 -W 1 10.1.0.2
		stop agent
		at_least "tagged" "$(tcpdump -n -r "$BATS_TEST_TMPDIR/tagged.pcapng" --count \
			'vlan 77' 2>/dev/null | awk '{ print $1 }')" 2
		equal "untagged" "$(tcpdump -n -r "$BATS_TEST_TMPDIR/tagged.pcapng" --count \
			'not vlan' 2>/dev/null | awk '{ print $1 }')" 0
	else
		ended agent || true
		equal "exit status" "${STATUS[agent]}" 1
		logged agent VLAN
	fi
}

@test "of a store with every second frame gone, xcapctl cat still makes a valid capture" {
	local before after

	two_hosts gro=on
	new_ns agg
	uplink_network agg b
	pki agent-b
	start_aggregator agg
	start_agent agent-b b -i wb -Q in
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --rate 5000 --count 10000 --json >/dev/null
	stop agent-b
	stop aggregator
	"$XCAP_BIN/xcapctl" cat "$STORE" >"$BATS_TEST_TMPDIR/whole.pcapng"
	before=$(packets "$BATS_TEST_TMPDIR/whole.pcapng")
	"$HELPERS/spoil_store" "$STORE" 2
	"$XCAP_BIN/xcapctl" cat "$STORE" >"$BATS_TEST_TMPDIR/half.pcapng"
	readable "$BATS_TEST_TMPDIR/half.pcapng"
	after=$(packets "$BATS_TEST_TMPDIR/half.pcapng")
	at_least "packets before" "$before" 10000
	at_most "packets after" "$after" $((before * 6 / 10))
	at_least "packets after" "$after" $((before * 4 / 10))
	in_time_order "$BATS_TEST_TMPDIR/half.pcapng"
}
