#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Frames that are not what an Ethernet carries every day: GSO and BIG TCP super-packets, stacked
# tags, jumbograms, and the damaged packets of tcpdump's own tests. Those that fit no device are run
# by bpf/captures_test.

load helpers

# Largest frame of a veth: its largest MTU and an Ethernet header.
VETH_MAX=65549

setup() {
	helpers_setup
	requires_data tcpdump
	cd "$BATS_TEST_TMPDIR" || return
	new_ns a
	new_ns b
}

# odd_captures OUT: of each Ethernet capture, all frames that a veth takes.
odd_captures() {
	local -a files

	mapfile -t files < <(capinfos -T -r -E -M "$XCAP_DATA"/tcpdump/* 2>/dev/null |
		sed -n 's/\tether$//p')
	at_least "captures" "${#files[@]}" 10
	# Damaged files are cut short.
	mergecap -a -F pcapng -w all.pcapng "${files[@]}" || true
	editcap -F pcapng -s "$VETH_MAX" all.pcapng cut.pcapng || true
	tshark -n -r cut.pcapng -Y "frame.cap_len >= 14" -F nsecpcap -w "$1"
	at_least "frames" "$(packets "$1")" 300
}

# send_frames IF FILE [SIZE]: out of namespace a. FRAMES, WIRE and BYTES are what it says.
send_frames() {
	read -r FRAMES WIRE BYTES < <(in_ns a "$HELPERS/send_frames" "$@")
	[ -n "$BYTES" ] || fail "send_frames $*"
}

# taken NAME COUNT: the lanes of an agent have so many packets.
taken() {
	[ "$(status "$1" .account.delivered)" -ge "$2" ]
}

# handed NAME FIELD: of its only interface.
handed() {
	status "$1" ".interfaces[0].counters.handed.$2"
}

# accounted NAME: nothing was dropped, nothing is missing.
accounted() {
	equal "$1: dropped" "$(status "$1" '[.account.dropped[]] | add')" 0
	equal "$1: not accounted for" "$(status "$1" '.account | .seen - .self - .other_direction
		- .filtered - .delivered - .pending')" 0
}

@test "mirror: what is odd arrives whole and unaltered, in both directions" {
	odd_captures odd.pcap
	veth_pair a wa b wb mtu=65535 offloads=off
	start_agent sender a -i wa -Q out -w out.pcapng
	start_agent receiver b -i wb -Q in -w in.pcapng
	start_agent headers b -i wb -Q in -s 64 -w headers.pcapng
	send_frames wa odd.pcap
	equal "sent" "$FRAMES" "$(packets odd.pcap)"
	for name in sender receiver headers; do
		wait_for 10 taken "$name" "$FRAMES"
		wait_for 10 accounted "$name"
		equal "$name: wire packets" "$(handed "$name" wire_packets)" "$FRAMES"
		equal "$name: bytes" "$(handed "$name" bytes)" "$BYTES"
		stop "$name"
	done
	same_packets odd.pcap out.pcapng --no-original
	same_packets odd.pcap in.pcapng --no-original
	editcap -F nsecpcap -s 64 odd.pcap cut.pcap
	same_packets cut.pcap headers.pcapng --no-original
	equal "original lengths" "$(tshark -n -r headers.pcapng -T fields -e frame.len | md5sum)" \
		"$(tshark -n -r odd.pcap -T fields -e frame.cap_len | md5sum)"
}

# Generic XDP too: a frame of several buffers goes another way there.
@test "tap: what is odd arrives whole and unaltered" {
	local mode

	odd_captures odd.pcap
	veth_pair a wa b wb mtu=65535 offloads=off
	for mode in auto generic; do
		start_agent tap b -i wb --mode tap --xdp-mode "$mode" -w tap.pcapng
		send_frames wa odd.pcap
		wait_for 10 taken tap "$FRAMES"
		wait_for 10 accounted tap
		equal "$mode: bytes" "$(handed tap bytes)" "$BYTES"
		stop tap
		same_packets odd.pcap tap.pcapng --no-original
	done
}

# super_packets OUT: of TCP, over both IPs, also in tunnels.
super_packets() {
	local -a files=("$XCAP_DATA"/tcpdump/{gso,bigtcp}-*)

	if [ ! -e "${files[0]}" ]; then
		head -c 60000 /dev/zero | od -Ax -tx1 -v >zeros
		text2pcap -q -T 1,2 zeros four.pcap
		text2pcap -q -T 1,2 -6 fd00::1,fd00::2 zeros six.pcap
		files=(four.pcap six.pcap)
	fi
	mergecap -a -F nsecpcap -w "$1" "${files[@]}"
}

# What guests, and the host's own TCP, hand down; the device cuts it into segments behind tcx.
@test "super-packets of any size are whole at the sender, and count as what goes on the wire" {
	super_packets super.pcap
	veth_pair a wa b wb mtu=65535
	in_ns a ethtool -K wa tso off tx-udp-segmentation off >/dev/null
	start_agent sender a -i wa -Q out -w out.pcapng
	start_agent filtered a -i wa -Q out -w filtered.pcapng 'len > 50000 and ip6'
	start_agent receiver b -i wb -Q in -w in.pcapng
	send_frames wa super.pcap 1000
	at_least "wire packets of a frame" "$WIRE" "$((40 * FRAMES))"
	wait_for 10 taken sender "$FRAMES"
	wait_for 10 accounted sender
	equal "wire packets" "$(handed sender wire_packets)" "$WIRE"
	equal "wire bytes" "$(handed sender bytes)" "$BYTES"
	wait_for 10 taken receiver "$(counter b wb rx_packets)"
	wait_for 10 accounted receiver
	for name in sender filtered receiver; do
		stop "$name"
	done
	same_packets super.pcap out.pcapng
	tcpdump -r super.pcap -w expected.pcap 'len > 50000 and ip6' 2>/dev/null
	at_least "large ones of IPv6" "$(packets expected.pcap)" 1
	same_packets expected.pcap filtered.pcapng
}

@test "BIG TCP of the host's own is captured whole at both ends" {
	local large
	# The jumbo payload's length is in a hop-by-hop header.
	local filter='ip6[6] = 6 or (ip6[6] = 0 and ip6[40] = 6)'

	veth_pair a wa b wb addr=fd01::1/64,fd01::2/64
	for side in a b; do
		in_ns "$side" ip link set "w$side" gso_max_size 200000 gro_max_size 200000
	done
	in_ns a ping -q -c 1 fd01::2
	start_agent sender a -i wa -w out.pcapng -B 128 --journal-size 256MiB -f "$filter"
	start_agent receiver b -i wb -w in.pcapng -B 128 --journal-size 256MiB -f "$filter"
	start server b iperf3 -s -1 -B fd01::2
	wait_for 5 listens server b 5201
	in_ns a iperf3 -c fd01::2 -n 32M >iperf.out
	ended server || true
	for name in sender receiver; do
		wait_for 10 accounted "$name"
	done
	equal "wire packets" "$(handed sender wire_packets)" "$(handed receiver wire_packets)"
	equal "wire bytes" "$(handed sender bytes)" "$(handed receiver bytes)"
	stop sender
	stop receiver
	large=$(tcpdump -n -r in.pcapng --count 'len > 65549' 2>/dev/null | awk '{ print $1 }')
	at_least "frames of more than 64 KiB" "$large" 50
	same_packets out.pcapng in.pcapng --unordered
}
