#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Filters changed while packets come: none is missed, none judged by anything but the old or the
# new ones. XCAP_TEST_FILTER_CHANGES: how many changes, by default 60; XCAP_TEST_FILTER_RATE: packets
# a second, by default 30000.

load helpers

CHANGES=${XCAP_TEST_FILTER_CHANGES:-60}
PAUSE=0 # seconds behind every fourth change
# By the source port's low bits: 0 always matches, 1 and 2 by turns, 3 never.
ODD='udp[0:2] & 3 = 0 or udp[0:2] & 3 = 1'
EVEN='udp[0:2] & 3 = 0 or udp[0:2] & 3 = 2'

filter() {
	local name=$1
	shift
	"$XCAP_BIN/xcapctl" --socket "$RUN_DIR/$name.sock" filter "$@"
}

# load_on NAME: numbered packets until stop_load.
start_load() {
	start "gen" a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --flows 4 --rate "$1" --json
}

# judged FILE: of each interface description the filter, of each packet its description, source
# port and number; "MISJUDGED N ALWAYS N GAPS N", tshark's own words for the rest.
judged() {
	capinfos "$1" 2>/dev/null | sed -n 's/.*Filter string = //p' >"$BATS_TEST_TMPDIR/filters"
	tshark -r "$1" -T fields -e frame.interface_id -e udp.srcport -e udp.payload \
		>"$BATS_TEST_TMPDIR/packets" 2>/dev/null
	awk -F'\t' 'function hex(text, i, n) {
			for (i = 1; i <= length(text); i++)
				n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
			return n
		}
		NR == FNR { other[FNR - 1] = /= 1$/ ? 1 : 2; next }
		{ class = $2 % 4 }
		class == 3 || (class && class != other[$1]) { misjudged++ }
		class == 0 { always++; number = hex(substr($3, 13, 16))
			if (always > 1 && number != last + 4) gaps++
			last = number }
		END { print "misjudged", misjudged + 0, "gaps", gaps + 0, "always", always }' \
		"$BATS_TEST_TMPDIR/filters" "$BATS_TEST_TMPDIR/packets"
}

changed_under_load() {
	local file=$BATS_TEST_TMPDIR/changed.pcapng sent i began took

	new_ns a
	new_ns b
	veth_pair a wa b wb
	start_agent f b -i wb -Q in "$@" -w "$file" -f "$ODD"
	start_load "${XCAP_TEST_FILTER_RATE:-30000}"
	began=$EPOCHREALTIME
	for ((i = 0; i < CHANGES; i++)); do
		filter f set "$([ $((i % 2)) -eq 0 ] && echo "$EVEN" || echo "$ODD")" >/dev/null
		[ $((i % 4)) -ne 3 ] || sleep "$PAUSE"
	done
	took=$(awk "BEGIN { print $EPOCHREALTIME - $began }")
	stop gen
	sent=$(jq .sent "$BATS_TEST_TMPDIR/gen.out")
	equal "generation" "$(filter f list --json | jq .generation)" "$((CHANGES + 1))"
	stop f
	run judged "$file"
	echo "# $CHANGES changes in $took s, $sent packets: $output" >&3
	[[ $output == "misjudged 0 gaps 0 always "* ]] || fail "$output"
	equal "those that always match" "${output##* }" "$(((sent + 3) / 4))"
	equal "filters in the capture" "$(sort -u "$BATS_TEST_TMPDIR/filters" | wc -l)" 2
}

@test "mirror: filters change under load, and each packet is judged by one of them" {
	changed_under_load
}

@test "clsact: filters change under load, and each packet is judged by one of them" {
	changed_under_load --tc-mode clsact
}

@test "tap: filters change under load, and each packet is judged by one of them" {
	changed_under_load --mode tap
}

# 0.1 s after a change the kernel judges, too: it is to happen between some of them.
@test "pcap: filters change under load, and each packet is judged by one of them" {
	PAUSE=0.25
	changed_under_load --mode pcap -s 60
}

# types_read NAME: times that a traced xcapd has read the kernel's types.
types_read() {
	grep -c '"/sys/kernel/btf/vmlinux"' "$BATS_TEST_TMPDIR/$1.strace"
}

# How the programs come in again is told by what is not read for it.
changed_without_types() {
	local mode=$1 before

	requires strace
	new_ns a
	new_ns b
	veth_pair a wa b wb
	start "$mode" b strace -f -e trace=openat -o "$BATS_TEST_TMPDIR/$mode.strace" \
		"$XCAP_BIN/xcapd" --name "$mode" --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" -i wb \
		--mode "$mode" -w /dev/null udp port 9
	wait_for 10 answers "$mode"
	before=$(types_read "$mode")
	((before > 0)) || fail "the types were not read at the start"
	for i in 10 11 12; do
		filter "$mode" set "udp port $i" >/dev/null
	done
	equal "generation" "$(in_force)" 4
	equal "types read by three changes" "$(($(types_read "$mode") - before))" 0
	kill -TERM "$(pgrep -P "${PIDS[$mode]}")"
	ended "$mode"
}

@test "mirror: a change of filters does not read the kernel's types" {
	changed_without_types mirror
}

@test "tap: a change of filters does not read the kernel's types" {
	changed_without_types tap
}

# send PORT...: ten packets to each.
send() {
	local port

	for port in "$@"; do
		in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 10 --rate 10000 \
			--dst-port "$port" >/dev/null
	done
}

# since EPOCHREALTIME: milliseconds.
since() {
	awk "BEGIN { printf \"%d\", ($EPOCHREALTIME - $1) * 1000 }"
}

# The generation that the programs have, as the kernel tells it.
in_force() {
	"$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --json |
		jq '.instances[0].interfaces[0].filter_generation'
}

changed_by_name() {
	local file=$BATS_TEST_TMPDIR/named.pcapng

	new_ns a
	new_ns b
	veth_pair a wa b wb
	start_agent f b -i wb -Q in -w "$file" --named-filter 'nine: udp port 9' \
		--named-filter 'ten priority=5: udp port 10' "$@"
	send 9 10 11
	wait_for 5 has_packets "$file" 20
	filter f add eleven priority=9 'udp port 11' >/dev/null
	filter f delete ten >/dev/null
	send 9 10 11
	wait_for 5 has_packets "$file" 40
	filter f add nine 'udp port 10' >/dev/null
	send 9 10 11
	wait_for 5 has_packets "$file" 60
	[ $# -gt 0 ] || equal "generation in the kernel" "$(in_force)" 4
	equal "matched" "$(filter f list --json | jq -c '[.filters[] | .matched]')" '[20,30]'
	equal "in the status" "$(status f '.filters | [.generation, .filters[].name] | join(" ")')" \
		"4 eleven nine"
	equal "filters" "$(filter f list --json | jq -c '[.filters[] | .name + ":" + .expression]')" \
		'["eleven:udp port 11","nine:udp port 10"]'
	stop f
	equal "ports" "$(tshark -r "$file" -T fields -e udp.dstport 2>/dev/null | sort | uniq -c |
		tr -s ' \n' ' ')" " 20 10 20 11 20 9 "
	equal "what they were judged by" "$(capinfos "$file" 2>/dev/null |
		sed -n 's/.*Filter string = //p')" "ten: udp port 10; nine: udp port 9
eleven: udp port 11; nine: udp port 9
eleven: udp port 11; nine: udp port 10"
}

@test "filters are added, replaced and deleted by name; what any of them matches is captured" {
	changed_by_name
}

@test "pcap: filters are added, replaced and deleted by name" {
	changed_by_name --mode pcap
}

@test "pcap: filters say what is kept, and sample; a change is all or nothing" {
	local file=$BATS_TEST_TMPDIR/kept.pcapng

	new_ns a
	new_ns b
	veth_pair a wa b wb
	start_agent f b --mode pcap -i wb -Q in -w "$file" --named-filter 'nine keep=60: udp port 9' \
		--named-filter 'ten: udp port 10' --named-filter 'sampled sample=4: udp port 11'
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 4000 --rate 20000 \
		--dst-port 11 --size 100 >/dev/null
	for port in 9 10 12; do
		in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 10 --rate 10000 \
			--dst-port "$port" --size 100 >/dev/null
	done
	wait_for 5 has_matched '[10,10,4000]'
	run -1 --separate-stderr filter f add wrong 'udp prt 10'
	[[ $stderr == *"cannot filter on wb: "*"syntax error"* ]] || fail "$stderr"
	equal "generation" "$(status f .filters.generation)" 1
	at_least "left out" "$(status f .account.sampled_out)" 2600
	at_most "left out" "$(status f .account.sampled_out)" 3400
	wait_for 5 all_is_delivered
	stop f
	equal "kept of 9" "$(tshark -n -r "$file" -Y udp.port==9 -T fields -e frame.cap_len \
		-e frame.len 2>/dev/null | sort | uniq -c | xargs)" "10 60 100"
	equal "kept of 10" "$(tshark -n -r "$file" -Y udp.port==10 -T fields -e frame.cap_len \
		2>/dev/null | sort | uniq -c | xargs)" "10 100"
	equal "none of 12" "$(tshark -n -r "$file" -Y udp.port==12 2>/dev/null | wc -l)" 0
}

all_is_delivered() {
	equal "in rings and pending" "$(status f '.account.in_rings + .account.pending')" 0
}

# has_matched COUNTS: of the filters of f, in their order.
has_matched() {
	equal "matched" "$(filter f list --json | jq -c '[.filters[] | .matched]')" "$1"
}

@test "what cannot come into force changes nothing, and says why" {
	local file=$BATS_TEST_TMPDIR/kept.pcapng

	new_ns a
	new_ns b
	veth_pair a wa b wb
	start_agent f b -i wb -Q in -w "$file" udp port 9
	run -1 --separate-stderr filter f set 'udp prt 10'
	[[ $stderr == *"cannot filter on wb: "*"syntax error"* ]] || fail "$stderr"
	run -1 --separate-stderr filter f add two 'ip6 protochain 6'
	[[ $stderr == *"filter loops"* ]] || fail "$stderr"
	run -1 --separate-stderr filter f add 'a b' ip
	[[ $stderr == *"'a b' is no name of a filter"* ]] || fail "$stderr"
	run -1 --separate-stderr filter f add two keep=x ip
	[[ $stderr == *"not 'keep=x'"* ]] || fail "$stderr"
	run -1 --separate-stderr filter f delete two
	[[ $stderr == *"there is no filter called two"* ]] || fail "$stderr"
	run -1 --separate-stderr filter f set keap=9 udp port 10
	[[ $stderr == *"not 'keap=9'"* ]] || fail "$stderr"
	run -2 filter f add two
	# A forgotten name would be the first word.
	run -2 --separate-stderr filter f add udp port 10
	[[ $stderr == *"add needs a NAME and, in quotes, an EXPRESSION"* ]] || fail "$stderr"
	run -2 filter f list two
	equal "generation" "$(in_force)" 1
	send 9 10
	wait_for 5 has_packets "$file" 10
	run -0 filter f set keep=40 udp port 10
	equal "expression" "$(filter f list -j | jq -r '.filters[] | .expression + "/" + .policy')" \
		"udp port 10/keep=40"
	stop f
	equal "captured" "$(packets "$file")" 10
}

# hosts NUMBER: a filter of 2,000.
hosts() {
	awk -v n="$1" 'BEGIN { for (i = 0; i < 2000; i++)
		printf "%shost 10.%d.%d.%d", i ? " or " : "", n, i / 256, i % 256 }'
}

@test "filters of 2,000 hosts: at the start and as a change they keep nobody waiting" {
	local began=$EPOCHREALTIME longest=0 one change

	new_ns a
	new_ns b
	veth_pair a wa b wb
	# Half a second is the verifier's; libpcap alone would take ten and more, each time.
	start_agent f b -i wb -Q in -w "$BATS_TEST_TMPDIR/hosts.pcapng" "$(hosts 2) or udp port 9"
	at_most "ms to start" "$(since "$began")" 6000
	filter f set "$(hosts 3) or udp port 10" >/dev/null &
	change=$!
	while kill -0 "$change" 2>/dev/null; do
		began=$EPOCHREALTIME
		status f .filters.generation >/dev/null
		one=$(since "$began")
		[ "$one" -le "$longest" ] || longest=$one
	done
	wait "$change"
	echo "# at most $longest ms for an answer" >&3
	at_most "ms for an answer" "$longest" 4000
	equal "generation" "$(in_force)" 2
	send 9 10
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/hosts.pcapng" 10
	stop f
}

@test "each expression is compiled once, for all interfaces, and not again while it stays" {
	new_ns a
	new_ns b
	veth_pair a wa b wb
	veth_pair a va b vb
	start_agent f b -i wb,vb -vv -w "$BATS_TEST_TMPDIR/once.pcapng" udp port 9
	filter f add two 'tcp port 10' >/dev/null
	filter f add two 'tcp port 11' >/dev/null
	filter f delete two >/dev/null
	filter f add two 'tcp port 11' >/dev/null
	stop f
	# The one of the options was when they were checked, before there is a log to say so.
	equal "compiled" "$(sed -n 's/.*compiled for link type 1: \(.*\)"/\1/p' \
		"$BATS_TEST_TMPDIR/f.log" | paste -sd,)" "tcp port 10,tcp port 11,tcp port 11"
}

reread_at_sighup() {
	local file=$BATS_TEST_TMPDIR/reread.pcapng config=$BATS_TEST_TMPDIR/xcapd.yaml

	new_ns a
	new_ns b
	veth_pair a wa b wb
	echo 'filter: udp port 9' >"$config"
	start_agent f b -i wb -Q in -w "$file" --config "$config" "$@"
	printf '%s\n' 'filter: udp port 10' 'named_filter: ["dns priority=2: udp port 11"]' >"$config"
	kill -HUP "${PIDS[f]}"
	wait_for 5 logged f 'filters, generation 2'
	send 9 10 11
	wait_for 5 has_packets "$file" 20
	echo 'filter: udp prt 10' >"$config"
	kill -HUP "${PIDS[f]}"
	wait_for 5 logged f 'SIGHUP: everything stays as it was'
	send 9 10 11
	wait_for 5 has_packets "$file" 40
	equal "generation" "$(status f .filters.generation)" 2
	# Also a list that says the same of these packets.
	printf '%s\n' 'filter: udp port 10' 'deny: 192.0.2.1' >"$config"
	kill -HUP "${PIDS[f]}"
}

@test "SIGHUP reads the filters again; a file with a mistake changes nothing" {
	reread_at_sighup
	wait_for 5 logged f 'filters, generation 3'
	stop f
	equal "captured" "$(packets "$BATS_TEST_TMPDIR/reread.pcapng")" 40
}

@test "pcap: SIGHUP reads the filters again, and takes no lists of addresses" {
	reread_at_sighup --mode pcap
	wait_for 5 logged f 'allow and --deny take BPF programs'
	equal "generation" "$(status f .filters.generation)" 2
	stop f
	equal "captured" "$(packets "$BATS_TEST_TMPDIR/reread.pcapng")" 40
}

@test "a daemon after kill -9 goes on with filters of its own, and the store tells them apart" {
	new_ns agg
	new_ns a
	new_ns b
	uplink_network agg b
	pki f
	veth_pair a wa b wb
	start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng"
	start_agent f b -i wb -Q in udp port 9
	send 9 10
	filter f set 'udp port 10' >/dev/null
	send 9 10
	stop f KILL || true
	send 10
	start_agent f b -i wb -Q in udp port 11
	equal "generation" "$(in_force)" 3
	send 9 10 11
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/merged.pcapng" 40
	stop f
	stop aggregator
	equal "filters" "$(capinfos "$BATS_TEST_TMPDIR/merged.pcapng" 2>/dev/null |
		sed -n 's/.*Filter string = //p' | sort)" "udp port 10
udp port 11
udp port 9"
}

@test "a filter that is none for a link type matches nothing there, by name it is refused" {
	local file=$BATS_TEST_TMPDIR/kinds.pcapng

	new_ns a
	new_ns b
	veth_pair a wa b wb
	in_ns b ip tuntap add dev tun9 mode tun
	in_ns b ip link set tun9 addrgenmode none
	in_ns b ip address add 10.3.0.1/24 dev tun9
	in_ns b ip link set tun9 up
	start echo b "$HELPERS/tun_echo" tun9
	# At the start, and later.
	start_agent f b -i any -w "$file" ether host 02:00:00:00:00:99
	equal "captured on" "$(status f '[.interfaces[] | select(.attached) | .name] | sort | join(" ")')" \
		"lo tun9 wb"
	run -0 logged f "filter default matches nothing on tun9: ethernet"
	wait_for 5 in_ns b ping -q -c 1 -W 1 10.3.0.2
	equal "captured" "$(status f '.account.delivered + .account.pending')" 0
	filter f add tags 'vlan 9' >/dev/null
	run -0 logged f "filter tags matches nothing on tun9: no VLAN"
	filter f add ping icmp >/dev/null
	run -1 --separate-stderr filter f add wrong 'icmp prt'
	[[ $stderr == *"filter wrong: "*"syntax error"* ]] || fail "$stderr"
	in_ns b ping -q -c 5 -i 0.01 10.3.0.2
	stop f
	equal "pings on tun9" "$(tshark -n -r "$file" -Y 'frame.interface_name == "tun9" && icmp' \
		2>/dev/null | wc -l)" 10
	start_agent n b -i wb,tun9 -w "$file"
	run -1 --separate-stderr filter n set vlan
	[[ $stderr == *"cannot filter on tun9: no VLAN"* ]] || fail "$stderr"
}
