#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# --decap: a packet in a tunnel comes through if tcpdump finds it, or finds it once it is unpacked.

load helpers
load tunnels

# None of them matches what is around the packets.
EXPRESSIONS=(
	'tcp port 80 or tcp port 443'
	'udp port 53 or icmp'
	'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0'
	'ip[2:2] > 300 and ip[2:2] < 900 and tcp'
	'less 70 and tcp'
	'ip6 and not net fd09::/16'
	'ether[0] & 1 = 1'
)

tunnels() {
	tunnel_everything
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off
}

received_all() {
	[ $(($(counter b wb rx_packets) - BEFORE)) -ge "$(packets "$SENT")" ]
}

replay() {
	BEFORE=$(counter b wb rx_packets)
	in_ns a tcpreplay -q -i wa --mbps=50 "$@" >"$BATS_TEST_TMPDIR/tcpreplay.out" 2>&1
	wait_for 10 received_all
}

@test "mirror: what comes through is what tcpdump finds in the unpacked packets" {
	local n found=0

	tunnels
	for n in "${!EXPRESSIONS[@]}"; do
		start_agent "d$n" b -i wb -Q in --decap -w "$BATS_TEST_TMPDIR/d$n.pcapng" \
			-f "${EXPRESSIONS[n]}"
	done
	start_agent outer b -i wb -Q in --decap -w "$BATS_TEST_TMPDIR/outer.pcapng" -f 'udp port 4789'
	start_agent without b -i wb -Q in -w "$BATS_TEST_TMPDIR/without.pcapng" -f "${EXPRESSIONS[0]}"
	replay "$SENT"
	stop outer
	stop without
	same_packets "$BATS_TEST_TMPDIR/vxlan.pcap" "$BATS_TEST_TMPDIR/outer.pcapng"
	equal "without --decap" "$(packets "$BATS_TEST_TMPDIR/without.pcapng")" 0
	for n in "${!EXPRESSIONS[@]}"; do
		stop "d$n"
		all_kinds "$BATS_TEST_TMPDIR/expected.pcap" "${EXPRESSIONS[n]}"
		echo "${EXPRESSIONS[n]}: $(packets "$BATS_TEST_TMPDIR/expected.pcap")"
		same_packets "$BATS_TEST_TMPDIR/expected.pcap" "$BATS_TEST_TMPDIR/d$n.pcapng"
		found=$((found + $(packets "$BATS_TEST_TMPDIR/expected.pcap")))
	done
	at_least "packets that match" "$found" 100
}

@test "tap: what comes through is what tcpdump finds in the unpacked packets" {
	local expression=${EXPRESSIONS[0]} file=$BATS_TEST_TMPDIR/tap.pcapng

	tunnels
	start_agent tap b -i wb --mode tap --decap -w "$file" -f "$expression"
	replay "$SENT"
	all_kinds "$BATS_TEST_TMPDIR/expected.pcap" "$expression"
	wait_for 5 has_packets "$file" "$(packets "$BATS_TEST_TMPDIR/expected.pcap")"
	stop tap
	same_packets "$BATS_TEST_TMPDIR/expected.pcap" "$file"
}

# What others' encapsulations look like; tshark looks into them as well.
@test "in recorded tunnels it finds what Wireshark finds" {
	local -a files=() filters=(arp 'icmp' 'tcp.port == 22' 'tcp.flags.syn == 1' 'tcp.port == 443')
	local -a expressions=(arp 'icmp' 'tcp port 22' 'tcp[tcpflags] & tcp-syn != 0' 'tcp port 443')
	local name n

	for name in libpcap-filter/{vxlan,geneve} tcpdump/{vxlan,geneve,vxlan_port_8472,geneve-gcp} \
		ndpi/{4in6tunnel,6in6tunnel,http}; do
		[ ! -e "$XCAP_DATA/$name.pcap" ] || files+=("$XCAP_DATA/$name.pcap")
	done
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off
	SENT=$BATS_TEST_TMPDIR/sent.pcap
	if [ ${#files[@]} -eq 0 ]; then
		kernel_vxlan
	else
		mergecap -a -F pcap -w "$SENT" "${files[@]}"
	fi
	for n in "${!filters[@]}"; do
		start_agent "w$n" b -i wb -Q in --decap -w "$BATS_TEST_TMPDIR/w$n.pcapng" \
			-f "${expressions[n]}"
	done
	replay "$SENT"
	for n in "${!filters[@]}"; do
		stop "w$n"
		tshark -n -r "$SENT" -d udp.port==8472,vxlan -Y "${filters[n]}" -F pcap \
			-w "$BATS_TEST_TMPDIR/expected.pcap" 2>/dev/null
		echo "${filters[n]}: $(packets "$BATS_TEST_TMPDIR/expected.pcap")"
		same_packets "$BATS_TEST_TMPDIR/expected.pcap" "$BATS_TEST_TMPDIR/w$n.pcapng"
	done
	at_least "ICMP" "$(packets "$BATS_TEST_TMPDIR/w1.pcapng")" 4
}

# What the kernel's own VXLAN puts on the wire, into SENT.
kernel_vxlan() {
	local side

	new_ns c
	new_ns d
	veth_pair c uc d ud addr=10.1.0.1/24,10.1.0.2/24
	for side in "c uc 1 2" "d ud 2 1"; do
		read -r ns device own other <<<"$side"
		in_ns "$ns" ip link add vx type vxlan id 5 dstport 4789 dev "$device" \
			remote "10.1.0.$other"
		in_ns "$ns" ip address add "10.2.0.$own/24" dev vx
		in_ns "$ns" ip link set vx up
	done
	start tcpdump d tcpdump -U -i ud -w "$SENT" 'udp port 4789'
	wait_for 5 logged tcpdump "listening on"
	in_ns c ping -q -c 3 -i 0.1 10.2.0.2 >/dev/null
	wait_for 5 has_packets "$SENT" 6
	stop tcpdump
}

@test "a filter that is none for IP in tunnels is asked of all else, and it is said once" {
	local file=$BATS_TEST_TMPDIR/none.pcapng

	new_ns a
	new_ns b
	veth_pair a wa b wb
	veth_pair a wc b wd
	start_agent none b -i wb,wd -Q in --decap -w "$file" \
		--named-filter 'tagged: vlan 7' --named-filter 'nine: udp port 9'
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 10 --size 68 --rate 1000 \
		--vlan 7 --dst-port 10 >/dev/null
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 10 --rate 1000 \
		--dst-port 9 >/dev/null
	wait_for 5 has_packets "$file" 20
	equal "lines" "$(grep -c 'filter tagged is not asked of packets in tunnels that begin with IP' \
		"$BATS_TEST_TMPDIR/none.log")" 1
	stop none
}
