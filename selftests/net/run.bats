# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# `make run`: the whole path on one machine, as a stranger sees it first.
load helpers

setup() {
	helpers_setup
	requires tcpdump openssl ping
	new_ns a
	new_ns b
	veth_pair a va b vb addr=10.1.0.1/24,10.1.0.2/24
	DIR=$BATS_TEST_TMPDIR/r
	export DIR
	export O=$XCAP_BIN
}

# What scripts/run says is all in one file, whichever way it ends.
run_in_b() {
	start run b env --default-signal=INT,TERM bash -c "exec '$TOP/scripts/run' 2>&1"
	wait_for 20 grep -q "capturing on" "$BATS_TEST_TMPDIR/run.out"
}

@test "it captures, stops after DURATION, and tells where the file is and how to open it" {
	DURATION=4 IF=vb run_in_b
	in_ns a ping -q -c 10 -i 0.05 10.1.0.2
	ended run || fail "$(cat "$BATS_TEST_TMPDIR/run.out")"
	readable "$DIR/merged.pcapng"
	# ARP beside the pings, perhaps.
	run -0 bash -c "tcpdump -n -r '$DIR/merged.pcapng' icmp 2>/dev/null | wc -l"
	equal "pings and answers" "$output" 20
	grep -q "^$(packets "$DIR/merged.pcapng") packets in $(realpath "$DIR")/merged.pcapng$" \
		"$BATS_TEST_TMPDIR/run.out"
	grep -q "wireshark" "$BATS_TEST_TMPDIR/run.out"
	# Counters of both.
	grep -q "^xcapd run: " "$BATS_TEST_TMPDIR/run.out"
	grep -q "^xcap-aggregator aggregator: " "$BATS_TEST_TMPDIR/run.out"
	equal "sockets left" "$(find "$DIR" -name '*.sock' | wc -l)" 0
}

@test "without IF it takes the interface of the default route" {
	in_ns b ip route add default via 10.1.0.1
	DURATION=3 run_in_b
	grep -q "capturing on vb" "$BATS_TEST_TMPDIR/run.out"
	ended run
}

@test "Ctrl-C stops the agent first: everything arrives, and an earlier run's file stays" {
	mkdir "$DIR"
	echo earlier >"$DIR/merged.pcapng"
	IF=vb run_in_b
	in_ns a ping -q -c 10 -i 0.05 10.1.0.2
	stop run INT || fail "$(cat "$BATS_TEST_TMPDIR/run.out")"
	run -0 bash -c "tcpdump -n -r '$DIR/merged.pcapng' icmp 2>/dev/null | wc -l"
	equal "pings and answers" "$output" 20
	equal "earlier file" "$(cat "$DIR"/until-*/merged.pcapng)" earlier
}

@test "what cannot work is told at once, with the right exit code" {
	IF=nosuch0 run -2 in_ns b "$TOP/scripts/run"
	[[ $output == *nosuch0* ]]
	DURATION=soon run -2 in_ns b "$TOP/scripts/run"
	run -77 setpriv --reuid 65534 --clear-groups "$TOP/scripts/run"
	[[ $output == *sudo* ]]
	# There is no default route here.
	run -1 in_ns b "$TOP/scripts/run"
	[[ $output == *"default route"* ]]
}
