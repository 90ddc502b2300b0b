#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# xcapctl watch: flows that are captured whatever filters and lists say.

load helpers

# Source port of the generator's only flow.
PORT=49152

setup() {
	helpers_setup
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off addr=10.1.0.1/24,10.1.0.2/24
	FILE=$BATS_TEST_TMPDIR/f.pcapng
}

# send COUNT PORT [OPTION...]: from 10.1.0.1, port 49152.
send() {
	local count=$1 port=$2
	shift 2

	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count "$count" --flows 1 \
		--size 100 --rate 20000 --src-ip 10.1.0.1 --dst-ip 10.1.0.2 --dst-port "$port" \
		"$@" >/dev/null
}

watch() {
	"$XCAP_BIN/xcapctl" --socket "$RUN_DIR/f.sock" watch "$@"
}

# Nothing passes but what is watched.
start_denying() {
	start_agent f b -i wb -w "$FILE" --deny 0.0.0.0/0,::/0 "$@" tcp port 1
}

# ports FILE: destination ports of UDP with their counts.
ports() {
	tshark -n -r "$1" -Y udp -T fields -e udp.dstport | sort -n | uniq -c |
		awk '{ printf "%s%s:%s", sep, $2, $1; sep = " " }'
}

# counted PACKETS: by the only entry.
counted() {
	[ "$(watch list --json | jq '.flows[0].packets')" = "$1" ]
}

# filtered COUNT: at least so many.
filtered() {
	[ "$(status f .account.filtered)" -ge "$1" ]
}

one_is_left() {
	[ "$(watch list | wc -l)" = 1 ]
}

@test "a watched flow is captured, both directions, whatever filter and lists say" {
	start_denying
	send 5 5060
	watch add --for 60s udp 10.1.0.2 5060 10.1.0.1 $PORT
	send 7 5060
	send 9 5061
	for _ in 1 2 3; do
		printf x | in_ns b socat -u - UDP4-SENDTO:10.1.0.1:$PORT,bind=:5060
		printf x | in_ns b socat -u - UDP4-SENDTO:10.1.0.1:5060,bind=:$PORT
	done
	wait_for 5 counted 10
	run -0 watch list
	[[ $output == "udp 10.1.0.1 49152 10.1.0.2 5060: 10 packets, 829 bytes, "*" s left" ]]
	wait_for 5 has_packets "$FILE" 10
	run -0 "$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS"
	[[ $output == *"  watched: udp 10.1.0.1 49152 10.1.0.2 5060: 10 packets, 829 bytes"* ]]
	equal "as JSON" "$("$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --json |
		jq -c '.instances[0].watched')" \
		'[{"flow":"udp 10.1.0.1 49152 10.1.0.2 5060","packets":10,"bytes":829}]'
	bpftool map dump pinned "$XCAP_BPFFS/xcap/f/watch" | grep -q '"packets": 10'
	stop f
	equal "captured" "$(ports "$FILE")" "5060:7 49152:3"
}

@test "an entry ends when its time is over, or when it is deleted" {
	start_denying
	watch add --for "${PATIENCE}s" udp 10.1.0.1 $PORT 10.1.0.2 5060
	watch add udp 10.1.0.1 $PORT 10.1.0.2 5061
	send 3 5060
	send 4 5061
	wait_for 5 has_packets "$FILE" 7
	wait_for 5 one_is_left
	watch delete udp 10.1.0.2 5061 10.1.0.1 $PORT
	equal "left" "$(watch list)" ""
	run -1 --separate-stderr watch delete udp 10.1.0.2 5061 10.1.0.1 $PORT
	[[ $stderr == *"udp 10.1.0.1 49152 10.1.0.2 5061 is not watched"* ]]
	send 5 5060
	send 6 5061
	wait_for 5 filtered 11
	stop f
	equal "captured" "$(ports "$FILE")" "5060:3 5061:4"
}

@test "fragments behind the first are captured with their flow" {
	start_denying
	start sink b socat -u UDP4-RECV:5060 /dev/null
	watch add udp 10.1.0.1 7000 10.1.0.2 5060
	head -c 8000 /dev/zero | in_ns a socat -b 9000 -u - UDP4-SENDTO:10.1.0.2:5060,bind=:7000
	head -c 8000 /dev/zero | in_ns a socat -b 9000 -u - UDP4-SENDTO:10.1.0.2:5060,bind=:7001
	wait_for 5 has_packets "$FILE" 3
	stop f
	equal "captured" "$(packets "$FILE")" 3
	equal "whole" "$(tshark -n -r "$FILE" -Y udp -T fields -e udp.srcport -e udp.length)" \
		"7000	8008"
}

@test "watched flows outlive the daemon" {
	start_denying
	watch add udp 10.1.0.1 $PORT 10.1.0.2 5060
	stop f KILL || true
	start_agent f b -i wb -w "$FILE" --deny 0.0.0.0/0,::/0
	run -0 watch list
	[[ $output == "udp 10.1.0.1 49152 10.1.0.2 5060: 0 packets"* ]]
	send 5 5060
	wait_for 5 has_packets "$FILE" 5
	stop f
	equal "pins" "$(find "$XCAP_BPFFS" -mindepth 2 | wc -l)" 0
}

@test "room for watched flows is bounded, and the error says what to do" {
	start_denying --watch-max 2
	watch add udp 10.1.0.1 1 10.1.0.2 1
	watch add --for 10ms udp 10.1.0.1 1 10.1.0.2 2
	wait_for 5 one_is_left
	watch add udp 10.1.0.1 1 10.1.0.2 3
	run -1 --separate-stderr watch add udp 10.1.0.1 1 10.1.0.2 4
	[[ $stderr == *"2 flows are watched, and no more can be: delete some, or restart xcapd"* ]]
	stop f
}

@test "where nothing can be watched it costs nothing, and a request is told so" {
	start_denying --watch-max 0
	run -1 --separate-stderr watch add udp 10.1.0.1 1 10.1.0.2 1
	[[ $stderr == *"started with --watch-max 0"* ]]
	[ ! -e "$XCAP_BPFFS/xcap/f/watch" ]
	stop f
}

@test "a flow that is none is refused before anybody is asked" {
	run -2 --separate-stderr watch add udp 10.1.0.1 10.1.0.2
	[[ $stderr == *"a flow of udp is PROTOCOL ADDRESS PORT ADDRESS PORT"* ]]
	run -2 --separate-stderr watch add --for 0 icmp 10.1.0.1 10.1.0.2
	run -2 --separate-stderr watch look
	[[ $stderr == *"add FLOW, delete FLOW or list is needed"* ]]
	run -69 --separate-stderr watch list
}
