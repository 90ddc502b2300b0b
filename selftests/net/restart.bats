#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of either side: nothing acknowledged is lost, nothing is doubled, and the host gets clean.

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

generate() {
	start gen a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --dst-port 9999 --json "$@"
}

genstat() {
	"$HELPERS/genstat" "$1" | jq -r ".$2"
}

merged_all() {
	local merged

	merged=$(status aggregator '.reader | .packets')
	[ "$merged" -ge "$1" ] || fail "$merged of $1 packets are merged"
}

settled() {
	equal "in rings and pending" \
		"$(status "$1" '"\(.account.in_rings) \(.account.pending)"')" "0 0"
}

pins() {
	find "$XCAP_BPFFS/xcap" -type f | wc -l
}

@test "kill -9 of the aggregator under load: store and merged file have each packet once" {
	two_hosts
	start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng"
	start_agent agent-b b -i wb -Q in
	generate --size 128 --rate 20000 --count 160000
	for _ in 1 2 3 4; do
		sleep 1.2
		stop aggregator KILL || true
		start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng"
	done
	ended gen
	wait_for 20 settled agent-b
	equal "lost" "$(status agent-b '[.account.dropped[]] | add')" 0
	stop agent-b
	wait_for 10 is_complete "$BATS_TEST_TMPDIR/merged.pcapng" 160000
	stop aggregator
	"$XCAP_BIN/xcapctl" cat "$STORE" >"$BATS_TEST_TMPDIR/store.pcapng"
	for file in store merged; do
		readable "$BATS_TEST_TMPDIR/$file.pcapng"
		equal "$file: distinct" "$(genstat "$BATS_TEST_TMPDIR/$file.pcapng" distinct)" 160000
		equal "$file: duplicates" "$(genstat "$BATS_TEST_TMPDIR/$file.pcapng" duplicates)" 0
	done
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
}

is_complete() {
	at_least "distinct packets" "$(genstat "$1" distinct)" "$2"
}

@test "kill -9 of the agent under load: the next one takes up where it was, to the packet" {
	two_hosts
	start_aggregator agg
	start_agent agent-b b -i wb -Q in -B 32
	generate --size 128 --rate 20000 --count 120000
	for _ in 1 2 3; do
		sleep 1
		stop agent-b KILL || true
		start_agent agent-b b -i wb -Q in -B 32
	done
	ended gen
	wait_for 20 settled agent-b
	equal "lost" "$(status agent-b '[.account.dropped[]] | add')" 0
	equal "seen" "$(status agent-b .account.seen)" "$(status agent-b .account.delivered)"
	stop agent-b
	stop aggregator
	"$XCAP_BIN/xcapctl" cat "$STORE" >"$BATS_TEST_TMPDIR/store.pcapng"
	equal "distinct" "$(genstat "$BATS_TEST_TMPDIR/store.pcapng" distinct)" 120000
	equal "duplicates" "$(genstat "$BATS_TEST_TMPDIR/store.pcapng" duplicates)" 0
}

@test "tap: kill -9 of the agent: what was redirected to nobody is counted" {
	local seen

	two_hosts
	start_aggregator agg
	start_agent agent-b b -i wb --mode tap
	generate --size 128 --rate 20000 --count 60000
	sleep 1
	stop agent-b KILL || true
	sleep 0.3
	start_agent agent-b b -i wb --mode tap
	ended gen
	wait_for 20 settled agent-b
	seen=$(status agent-b .account.seen)
	equal "seen" "$(status agent-b '.account | .delivered + ([.dropped[]] | add)')" "$seen"
	stop agent-b
	equal "stored" "$(status aggregator '[.streams[].packets] | add')" \
		"$((seen - $(grep -A 9 'packets captured' "$BATS_TEST_TMPDIR/agent-b.log" |
			awk '/packets dropped/ { print $1 }')))"
}

# Of an instance that has no daemon: its interfaces, attached or not.
attached() {
	"$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR" --json >"$BATS_TEST_TMPDIR/maps.json"
	jq -r --arg name "$1" '.instances[] | select(.name == $name) | .interfaces[] |
		"\(.name) \(.attached)"' "$BATS_TEST_TMPDIR/maps.json"
}

@test "kill -9 leaves the programs, --detach removes them, and other instances stay" {
	two_hosts
	start_agent one b -i wb -w "$BATS_TEST_TMPDIR/one.pcapng"
	start_agent two b -i wb -w "$BATS_TEST_TMPDIR/two.pcapng"
	stop one KILL || true
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	equal "instance one" "$(attached one)" "wb true"
	at_least "seen with no daemon" "$(jq -r '.instances[] | select(.name == "one") |
		.interfaces[0].counters.seen.frames' "$BATS_TEST_TMPDIR/maps.json")" 6
	"$XCAP_BIN/xcapd" --detach --name one --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR"
	equal "instance one" "$(attached one)" ""
	equal "instance two" "$(attached two)" "wb true"
	[ ! -e "$XCAP_BPFFS/xcap/one" ]
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	stop two
	equal "pins" "$(pins)" 0
	at_least "captured by the other" "$(packets "$BATS_TEST_TMPDIR/two.pcapng")" 12
}

@test "SIGTERM with no aggregator: 5 s, the rest is lost{shutdown}, exit 1" {
	local begin

	two_hosts
	start_agent agent-b b -i wb -Q in
	in_ns a ping -q -c 5 -i 0.2 10.1.0.2
	wait_for 5 pending_at_least 5
	begin=$EPOCHSECONDS
	stop agent-b || true
	equal "exit status" "${STATUS[agent-b]}" 1
	at_least "seconds" $((EPOCHSECONDS - begin)) 4
	at_most "seconds" $((EPOCHSECONDS - begin)) 8
	run -0 logged agent-b "lost{shutdown}"
	equal "pins" "$(pins)" 0
}

pending_at_least() {
	at_least pending "$(status agent-b .account.pending)" "$1"
}

@test "the aggregator comes back after an outage and gets everything" {
	two_hosts
	start_aggregator agg
	start_agent agent-b b -i wb -Q in
	stop aggregator
	generate --size 128 --rate 5000 --count 20000
	ended gen
	start_aggregator agg
	wait_for 30 settled agent-b
	stop agent-b
	equal "stored" "$(status aggregator '[.streams[].packets] | add')" \
		"$(grep 'packets captured' "$BATS_TEST_TMPDIR/agent-b.log" | awk '{ print $1 }')"
}

@test "an interface that is not asked for any more is given up by the next start" {
	two_hosts
	start_agent agent-b b -i wb,uplink -w "$BATS_TEST_TMPDIR/two.pcapng"
	stop agent-b KILL || true
	equal "after the kill" "$(attached agent-b | sort | xargs)" "uplink true wb true"
	start_agent agent-b b -i wb -w "$BATS_TEST_TMPDIR/one.pcapng"
	equal "after the restart" "$(attached agent-b)" "wb true"
	stop agent-b
}

@test "what it had counted is in the account all the same" {
	two_hosts
	start_agent agent-b b -i wb,uplink -w "$BATS_TEST_TMPDIR/two.pcapng"
	in_ns agg ping -q -c 20 -i 0.01 10.99.0.3
	stop agent-b KILL || true
	start_agent agent-b b -i wb -w "$BATS_TEST_TMPDIR/one.pcapng"
	at_least "seen" "$(status agent-b .account.seen)" 40
	wait_for 10 settled agent-b
	stop agent-b
}
