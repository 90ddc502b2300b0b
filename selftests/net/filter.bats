#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# pcap-filter(7) in the kernel: what comes through is what tcpdump finds in the same packets.

load helpers

EXPRESSIONS=(
	'tcp port 80 or tcp port 443'
	'udp and not port 53'
	'ip6'
	'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0'
	'less 100'
	'ip[2:2] > 576 and not vlan'
	'vlan or arp'
	'host 10.0.0.1 or net 192.168.0.0/16'
)

# Ethernet captures with small frames, into FILES and one after the other into sent.pcap.
real_captures() {
	local file

	requires_data ndpi
	FILES=()
	for file in "$XCAP_DATA"/ndpi/*; do
		[ "$(capinfos -T -r -E -M "$file" 2>/dev/null | cut -f 2)" = ether ] || continue
		[ -z "$(tcpdump -n -r "$file" -c 1 'greater 3015' 2>/dev/null)" ] && FILES+=("$file")
	done
	at_least "captures" "${#FILES[@]}" 100
	SENT=$BATS_TEST_TMPDIR/sent.pcap
	mergecap -a -F nsecpcap -w "$SENT" "${FILES[@]}"
}

received_all() {
	[ $(($(counter b wb rx_packets) - BEFORE)) -ge "$(packets "$SENT")" ]
}

# Every expression in an instance of its own, all at the same time on one interface: each writes
# what tcpdump -r finds.
filtered() {
	local n expression
	BEFORE=$(counter b wb rx_packets)

	for n in "${!EXPRESSIONS[@]}"; do
		start_agent "f$n" b -i wb -Q in -w "$BATS_TEST_TMPDIR/f$n.pcapng" -f "${EXPRESSIONS[n]}"
	done
	in_ns a tcpreplay -q -i wa --mbps=100 "${FILES[@]}" >"$BATS_TEST_TMPDIR/tcpreplay.out" 2>&1
	wait_for 10 received_all
	for n in "${!EXPRESSIONS[@]}"; do
		expression=${EXPRESSIONS[n]}
		stop "f$n"
		tcpdump -r "$SENT" -w "$BATS_TEST_TMPDIR/expected.pcap" "$expression" 2>/dev/null
		same_packets "$BATS_TEST_TMPDIR/expected.pcap" "$BATS_TEST_TMPDIR/f$n.pcapng" \
			--no-original
		[ "$(packets "$BATS_TEST_TMPDIR/f$n.pcapng")" -gt 0 ] || continue
		equal "if_filter" "$(capinfos "$BATS_TEST_TMPDIR/f$n.pcapng" 2>/dev/null |
			sed -n 's/.*Filter string = //p')" "$expression"
	done
}

@test "mirror: what is written is what tcpdump finds in the same packets" {
	real_captures
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off
	filtered
}

@test "tap: what is written is what tcpdump finds in the same packets" {
	local expression=${EXPRESSIONS[0]}

	real_captures
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off
	start_agent tap b -i wb --mode tap -w "$BATS_TEST_TMPDIR/tap.pcapng" tcp port 80 or tcp port 443
	BEFORE=$(counter b wb rx_packets)
	in_ns a tcpreplay -q -i wa --mbps=100 "${FILES[@]}" >"$BATS_TEST_TMPDIR/tcpreplay.out" 2>&1
	wait_for 10 received_all
	sleep 0.2
	stop tap
	tcpdump -r "$SENT" -w "$BATS_TEST_TMPDIR/expected.pcap" "$expression" 2>/dev/null
	same_packets "$BATS_TEST_TMPDIR/expected.pcap" "$BATS_TEST_TMPDIR/tap.pcapng" --no-original
}

# The kernel takes the tag out of what arrives before tcx sees it.
@test "a tag that is beside the packet counts as the frame's own" {
	local file=$BATS_TEST_TMPDIR/tagged.pcapng

	new_ns a
	new_ns b
	veth_pair a wa b wb
	start_agent tagged b -i wb -Q in -w "$file" -f 'vlan 7 and udp port 9 and ether[14:2] = 7'
	start_agent other b -i wb -Q in -w "$BATS_TEST_TMPDIR/other.pcapng" -f 'udp or vlan 8'
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --vlan 7 --dst-port 9 --size 100 \
		--rate 1000 --count 30 >/dev/null
	wait_for 5 has_packets "$file" 30
	stop tagged
	stop other
	equal "of VLAN 8, or without a tag" "$(packets "$BATS_TEST_TMPDIR/other.pcapng")" 0
	equal "tcpdump's opinion" "$(tcpdump -n -r "$file" --count 'vlan 7 and udp port 9' \
		2>/dev/null)" "30 packets"
}

@test "what does not match is counted as filtered, and everything is accounted for" {
	new_ns a
	new_ns b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24
	start_agent f b -i wb -Q in -w "$BATS_TEST_TMPDIR/f.pcapng" -f 'udp port 9'
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 1000 --rate 10000 \
		--dst-port 9 >/dev/null
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 500 --rate 10000 \
		--dst-port 10 >/dev/null
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/f.pcapng" 1000
	at_least "filtered" "$(status f .account.filtered)" 500
	equal "seen" "$(status f '.account | .seen - .filtered - .delivered - .other_direction
		- .self - ([.dropped[]] | add) - .pending - .in_rings')" 0
	stop f
	equal "captured" "$(packets "$BATS_TEST_TMPDIR/f.pcapng")" 1000
}

@test "an expression that libpcap refuses is refused with its words, and nothing is attached" {
	new_ns b
	new_ns a
	veth_pair a wa b wb
	run -2 --separate-stderr in_ns b "$XCAP_BIN/xcapd" -i wb -w "$BATS_TEST_TMPDIR/x.pcapng" \
		--run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" tcp prt 80
	[[ $stderr == *"syntax error"* ]]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[ ! -e "$BATS_TEST_TMPDIR/x.pcapng" ]
	equal "pins" "$(find "$XCAP_BPFFS" -mindepth 2 | wc -l)" 0
}
