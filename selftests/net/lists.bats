#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# --allow and --deny: lists of addresses in the kernel.

load helpers

setup() {
	helpers_setup
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000
}

# send COUNT SOURCE DESTINATION [OPTION...]: UDP packets over the veth.
send() {
	local count=$1 source=$2 destination=$3
	shift 3

	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count "$count" --flows 1 \
		--size 100 --rate 20000 --src-ip "$source" --dst-ip "$destination" "$@" >/dev/null
}

send_arp() {
	in_ns a ip address add 10.9.9.1/24 dev wa
	in_ns a ping -c 1 -W 1 10.9.9.2 >/dev/null || true
}

# sources FILE: which there are, with their counts.
sources() {
	tshark -n -r "$1" -T fields -e ip.src -e ipv6.src -e arp.src.proto_ipv4 | tr -d '\t' |
		sort | uniq -c | awk '{ printf "%s%s:%s", sep, $2, $1; sep = " " }'
}

# captures MODE SOURCES OPTION...: with these lists, of all that is sent, only that.
captures() {
	local mode=$1 expected=$2 file=$BATS_TEST_TMPDIR/$1.pcapng
	shift 2

	start_agent "$mode" b -i wb --mode "$mode" -Q in -w "$file" "$@"
	send 10 192.0.2.1 198.51.100.1
	send 20 192.0.2.200 198.51.100.1
	send 40 203.0.113.1 198.51.100.77
	send 5 2001:db8::1 2001:db8:1::1 --ipv6
	send 6 2001:db8:2::1 2001:db8:3::1 --ipv6
	wait_for 5 accounted "$mode"
	stop "$mode"
	equal "$mode" "$(sources "$file")" "$expected"
}

# filtered COUNT: at least so many.
filtered() {
	[ "$(status f .account.filtered)" -ge "$1" ]
}

accounted() {
	[ "$(status "$1" '.account | .filtered + .delivered')" -ge 81 ]
}

@test "of each address the longest prefix says whether it is captured" {
	local mode list=$BATS_TEST_TMPDIR/list

	printf '# denied\n192.0.2.0/24\n198.51.100.64/26 # half a network\n2001:db8:3::/48\n' >"$list"
	for mode in mirror tap; do
		captures "$mode" "192.0.2.200:20 2001:db8::1:5" --deny "@$list" \
			--allow 192.0.2.128/25 --allow 198.51.100.0/24,2001:db8::/32
	done
}

@test "what is allowed alone passes, what is no IP does not" {
	start_agent f b -i wb -Q in -w "$BATS_TEST_TMPDIR/f.pcapng" --allow 192.0.2.1
	send_arp
	send 7 192.0.2.1 198.51.100.1
	send 9 198.51.100.1 192.0.2.1
	send 11 192.0.2.2 198.51.100.1
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/f.pcapng" 16
	wait_for 5 filtered 12
	stop f
	equal "captured" "$(sources "$BATS_TEST_TMPDIR/f.pcapng")" "192.0.2.1:7 198.51.100.1:9"
}

@test "lists restrict what the filter lets through" {
	start_agent f b -i wb -Q in -w "$BATS_TEST_TMPDIR/f.pcapng" --deny 192.0.2.0/24 udp port 9
	send 7 192.0.2.1 198.51.100.1
	send 9 203.0.113.1 198.51.100.1 --dst-port 10
	send 11 203.0.113.1 198.51.100.1
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/f.pcapng" 11
	wait_for 5 filtered 16
	stop f
	equal "captured" "$(sources "$BATS_TEST_TMPDIR/f.pcapng")" "203.0.113.1:11"
}

@test "SIGHUP brings another list into force, and a bad one changes nothing" {
	local config=$BATS_TEST_TMPDIR/xcapd.yaml list=$BATS_TEST_TMPDIR/list

	echo 192.0.2.0/24 >"$list"
	echo "deny: \"@$list\"" >"$config"
	start_agent f b --config "$config" -i wb -Q in -w "$BATS_TEST_TMPDIR/f.pcapng"
	send 5 192.0.2.1 198.51.100.1
	send 6 203.0.113.1 198.51.100.1
	echo 203.0.113.0/24 >"$list"
	kill -HUP "${PIDS[f]}"
	wait_for 5 logged f "filters and lists are read again"
	send 7 192.0.2.1 198.51.100.1
	send 8 203.0.113.1 198.51.100.1
	echo 203.0.113.1/24 >"$list"
	kill -HUP "${PIDS[f]}"
	wait_for 5 logged f "everything stays as it was"
	logged f "$list:1: 203.0.113.1/24 has bits set behind its length: write 203.0.113.0/24"
	send 9 192.0.2.1 198.51.100.1
	send 10 203.0.113.1 198.51.100.1
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/f.pcapng" 22
	stop f
	equal "captured" "$(sources "$BATS_TEST_TMPDIR/f.pcapng")" "192.0.2.1:16 203.0.113.1:6"
}

@test "xcapctl maps tells how many prefixes are in force" {
	printf '10.0.0.0/8\n10.0.0.0/8\n2001:db8::/32\n' >"$BATS_TEST_TMPDIR/list"
	start_agent f b -i wb -w "$BATS_TEST_TMPDIR/f.pcapng" --deny "$BATS_TEST_TMPDIR/list" \
		--allow 192.0.2.1
	run -0 "$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS"
	[[ $output == *"prefixes allowed: 1 IPv4, 0 IPv6"* ]]
	[[ $output == *"prefixes denied: 1 IPv4, 1 IPv6"* ]]
	equal "as JSON" "$("$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --json |
		jq -c '.instances[0].prefixes')" \
		'{"allow_ipv4":1,"allow_ipv6":0,"deny_ipv4":1,"deny_ipv6":1}'
	bpftool map dump pinned "$XCAP_BPFFS/xcap/f/listed" | grep -q '"deny_ipv6": 1'
	stop f
}

# fails CODE TEXT OPTION...: xcapd ends at once with this code and one line that contains the text.
fails() {
	local code=$1 text=$2
	shift 2

	run -"$code" --separate-stderr in_ns b "$XCAP_BIN/xcapd" -i wb \
		-w "$BATS_TEST_TMPDIR/x.pcapng" --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" "$@"
	[[ $stderr == *"$text"* ]] || fail "$stderr"
	equal "lines" "$(wc -l <<<"$stderr")" 1
}

@test "a bad list is refused with its place and what to do, before anything is attached" {
	local list=$BATS_TEST_TMPDIR/list

	printf '10.0.0.0/8\n# x\n10.0.0.300\n' >"$list"
	fails 2 '--deny: "nonsense" is neither an address nor a prefix' --deny nonsense
	fails 2 '--allow: 10.1.2.3/8 has bits set behind its length: write 10.0.0.0/8' \
		--allow 10.1.2.3/8
	fails 2 "10.0.0.1/32 is" --allow 10.0.0.1 --deny 10.0.0.1
	[[ $stderr == *"remove one of them"* ]]
	fails 78 "$list:3: \"10.0.0.300\" is neither an address nor a prefix" --deny "@$list"
	fails 78 "cannot read the list $list.not" --deny "@$list.not"
	echo "deny: [10.0.0.1, 10.0.0.1/33]" >"$BATS_TEST_TMPDIR/xcapd.yaml"
	fails 78 '10.0.0.1/33' --config "$BATS_TEST_TMPDIR/xcapd.yaml"
	fails 78 "$list:3:" --check-config --deny "@$list"
	fails 2 "for capturing, not for packets that are read" -r x.pcap --deny 10.0.0.1
	equal "pins" "$(find "$XCAP_BPFFS" -mindepth 2 | wc -l)" 0
}

@test "100,000 prefixes are in force in seconds, and cost a packet little more than ten" {
	local list=$BATS_TEST_TMPDIR/list begun

	awk 'BEGIN { for (i = 0; i < 50000; i++) {
		printf "10.%d.%d.%d/%d\n", i / 1024, i / 4 % 256, i % 4 * 64, i % 7 ? 32 : 26
		printf "2001:db8:%x:%x::/64\n", i / 256, i % 256 } }' >"$list"
	begun=$EPOCHSECONDS
	start_agent f b -i wb -Q in -w "$BATS_TEST_TMPDIR/f.pcapng" --deny "@$list"
	at_most "seconds" $((EPOCHSECONDS - begun)) 10
	send 5 10.3.4.64 198.51.100.1
	send 6 10.3.4.65 198.51.100.1
	send 7 2001:db8:5:6::1 2001:db9::1 --ipv6
	send 8 2001:db8:ffff:6::1 2001:db9::1 --ipv6
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/f.pcapng" 14
	stop f
	equal "captured" "$(sources "$BATS_TEST_TMPDIR/f.pcapng")" "10.3.4.65:6 2001:db8:ffff:6::1:8"
	"$XCAP_BIN/selftests/bench/lists_bench" 5 >"$BATS_TEST_TMPDIR/bench.json"
	at_most "ratio" "$(jq '[.[].ratio] | max' "$BATS_TEST_TMPDIR/bench.json")" 10
}
