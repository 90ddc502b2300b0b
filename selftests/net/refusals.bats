# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What xcapd does not start with: said in one line, and everything is as it was.
load helpers

setup() {
	helpers_setup
	cd "$BATS_TEST_TMPDIR" || return
	new_ns a
	new_ns b
	veth_pair a wa b wb
}

# refused STATUS WORDS ARGUMENT...: it ends with that status, and its last line has the words.
refused() {
	local status=$1 words=$2
	shift 2

	run "-$status" in_ns b "$XCAP_BIN/xcapd" --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" --name x "$@"
	[[ ${lines[-1]} == *"$words"* ]] || fail "$*: $output"
	[[ $output != *"capturing on"* ]] || fail "$*: $output"
}

@test "the last capture stays in its file when the next one cannot start" {
	echo kept >kept.pcapng
	refused 1 "there is no interface nosuch" -i nosuch -w kept.pcapng
	refused 1 "cannot read nosuch.pcap: No such file" -r nosuch.pcap -w kept.pcapng
	refused 2 "syntax error" -i wb -w kept.pcapng tcp prt 80
	refused 69 "zero-copy AF_XDP is not possible on wb" -i wb --mode tap --zero-copy on \
		-w kept.pcapng
	equal "the file" "$(cat kept.pcapng)" kept
	# And is gone once another has begun, also without a packet.
	start_agent agent-b b -i wb -w kept.pcapng udp port 9
	wait_for 5 [ ! -s kept.pcapng ]
	stop agent-b
	equal "packets" "$(packets kept.pcapng)" 0
}
