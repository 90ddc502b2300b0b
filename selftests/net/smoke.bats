#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The whole path once, with two lanes and a busy control thread. Also run under the sanitizers: what
# they find is in the daemons' logs and exit codes.

load helpers

# shellcheck disable=SC2034 # read by the helpers
BATS_TEST_TIMEOUT=$((120 * PATIENCE))

two_hosts() {
	new_ns agg
	new_ns a
	new_ns b
	uplink_network agg a b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24 gro=on queues=2
	start sink b socat -u UDP-RECV:9999,rcvbuf=4096 "EXEC:sleep 1000"
	pki agent-a agent-b
}

generate() {
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --dst-port 9999 --size 200 --rate 5000 --count "$1" --json \
		>"$BATS_TEST_TMPDIR/gen.json"
}

unsanitary() {
	grep -hE 'Sanitizer|runtime error:' "$BATS_TEST_TMPDIR"/*.log
}

through() {
	local i

	two_hosts
	start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng" --workers 2
	start_agent agent-a a -i wa -Q out
	start_agent agent-b b -i wb --lanes 2 --mode "$1"
	start asking - bash -c "while $XCAP_BIN/xcapctl --socket $RUN_DIR/agent-b.sock status --json \
		&& $XCAP_BIN/xcapctl --socket $RUN_DIR/aggregator.sock status --json; do :; done"
	generate 10000
	for i in KILL TERM; do
		stop aggregator "$i" || [ "$i" = KILL ] || fail "aggregator: exit ${STATUS[aggregator]}"
		start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng"
		generate 5000
	done
	stop agent-a || fail "agent-a: exit ${STATUS[agent-a]}"
	stop agent-b || fail "agent-b: exit ${STATUS[agent-b]}"
	stop aggregator || fail "aggregator: exit ${STATUS[aggregator]}"
	run ! unsanitary
	"$HELPERS/genstat" "$BATS_TEST_TMPDIR/merged.pcapng" >"$BATS_TEST_TMPDIR/genstat.json"
	# What xcap-gen sends passes by the sender's tcx: only agent-b sees it.
	equal "packets" "$(jq .packets "$BATS_TEST_TMPDIR/genstat.json")" 20000
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
	# The file was continued: its interfaces are still told apart.
	equal "interfaces of udp packets" "$(tshark -n -r "$BATS_TEST_TMPDIR/merged.pcapng" -Y udp \
		-T fields -e frame.interface_name 2>/dev/null | sort | uniq -c | xargs)" \
		"20000 agent-b/wb"
}

@test "two lanes, two workers, mirror: packets arrive through two restarts" {
	through mirror
}

@test "two lanes, two workers, tap: packets arrive through two restarts" {
	through tap
}

@test "frames, files and streams read and written by all threads leave nothing behind" {
	two_hosts
	start_agent agent-b b -i wb --lanes 2 -w "$BATS_TEST_TMPDIR/alone.pcapng"
	generate 5000
	stop agent-b || fail "agent-b: exit ${STATUS[agent-b]}"
	run ! unsanitary
	at_least "packets" "$(packets "$BATS_TEST_TMPDIR/alone.pcapng")" 5000
	equal "files left" "$(find "$RUN_DIR" -type f -name '*.journal' | wc -l)" 0
	equal "pins left" "$(find "$XCAP_BPFFS/xcap" -type f | wc -l)" 0
}
