#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What is kept of packets, and which of them: by the policies of filters, and by --sample.

load helpers
load tunnels

two_hosts() {
	new_ns a
	new_ns b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24
}

# generate ARGUMENT...: numbered packets from a to b.
generate() {
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" "$@" >/dev/null
}

# "CAPTURED LENGTH" of each packet that tshark's filter finds, each once.
lengths() {
	tshark -n -r "$1" -Y "$2" -T fields -e frame.cap_len -e frame.len 2>/dev/null | sort -u
}

# balanced AGENT: what was seen is what became of it.
balanced() {
	equal "seen" "$(status "$1" '.account | .seen - .self - .other_direction - .filtered
		- .sampled_out - .cut - ([.dropped[]] | add) - .delivered - .pending - .in_rings')" 0
}

kept() {
	local mode=$1

	two_hosts
	start_agent kept b -i wb --mode "$mode" -Q in -s 200 -w "$BATS_TEST_TMPDIR/kept.pcapng" \
		--named-filter 'head keep=headers+10: udp port 9' \
		--named-filter 'bytes keep=60: udp port 10' \
		--named-filter 'all: udp port 11' \
		--named-filter 'first priority=1 keep=headers: udp port 12' \
		--named-filter 'never: udp port 12' \
		--named-filter 'tagged keep=headers: vlan and udp port 14'
	generate --count 100 --rate 10000 --size 300 --dst-port 9
	generate --count 100 --rate 10000 --size 300 --dst-port 10
	generate --count 100 --rate 10000 --size 300 --dst-port 11
	generate --count 100 --rate 10000 --size 300 --dst-port 12
	generate --count 100 --rate 10000 --size 300 --dst-port 13
	generate --count 100 --rate 10000 --size 300 --dst-port 14 --vlan 7
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/kept.pcapng" 500
	balanced kept
	"$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --json >"$BATS_TEST_TMPDIR/maps.json"
	"$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" >"$BATS_TEST_TMPDIR/maps.txt"
	stop kept
	equal "headers+10" "$(lengths "$BATS_TEST_TMPDIR/kept.pcapng" 'udp.port == 9')" $'52\t300'
	equal "60" "$(lengths "$BATS_TEST_TMPDIR/kept.pcapng" 'udp.port == 10')" $'60\t300'
	equal "no more than -s" "$(lengths "$BATS_TEST_TMPDIR/kept.pcapng" 'udp.port == 11')" $'200\t300'
	equal "headers" "$(lengths "$BATS_TEST_TMPDIR/kept.pcapng" 'udp.port == 12')" $'42\t300'
	equal "tagged" "$(lengths "$BATS_TEST_TMPDIR/kept.pcapng" 'vlan && udp.port == 14')" $'46\t300'
	equal "matched" "$(jq -c '[.instances[0].interfaces[0].matched[] | [.filter, .frames]]
		| sort' "$BATS_TEST_TMPDIR/maps.json")" \
		'[["all",100],["bytes",100],["first",100],["head",100],["never",0],["tagged",100]]'
	grep -qE 'filter bytes +100 +100 +30000' "$BATS_TEST_TMPDIR/maps.txt"
}

@test "mirror: of each packet that is kept which the first filter that matches says" {
	kept mirror
}

@test "tap: of each packet that is kept which the first filter that matches says" {
	kept tap
}

# "CAPTURED" of each packet of a file, if it is kept up to the end of its innermost header: the end
# of the last of the headers that tshark finds, one inside the other.
headers_end() {
	tshark -n -r "$1" -o ip.defragment:FALSE -o ipv6.defragment:FALSE -d udp.port==8472,vxlan \
		-T pdml 2>/dev/null | awk '
		BEGIN {
			split("eth vlan ip ipv6 ipv6.fraghdr ipv6.hopopts ipv6.dstopts tcp udp gre " \
				"vxlan geneve", list)
			for (i in list)
				whole[list[i]] = 1
			fixed["arp"] = 28; fixed["icmp"] = 8; fixed["icmpv6"] = 8; fixed["sctp"] = 12
		}
		/<packet>/ { end = 14; inside = 1 }
		/^  <proto name="(geninfo|frame)"/ { next }
		/^  <proto / && inside {
			split($0, part, "\"")
			name = part[2]
			for (i = 1; i in part; i++) {
				if (part[i] ~ / size=$/)
					size = part[i + 1]
				if (part[i] ~ / pos=$/)
					pos = part[i + 1]
			}
			if (name in whole)
				end = pos + size
			else {
				if (name in fixed)
					end = pos + fixed[name]
				inside = 0
			}
		}
		/<\/packet>/ { print end }'
}

@test "of recorded packets and packets in tunnels the headers are kept that tshark finds" {
	local file=$BATS_TEST_TMPDIR/headers.pcapng

	tunnel_everything
	mergecap -a -F pcap -w "$BATS_TEST_TMPDIR/both.pcap" "$BATS_TEST_TMPDIR/all.pcap" "$SENT"
	SENT=$BATS_TEST_TMPDIR/sent.pcap
	tcpdump -r "$BATS_TEST_TMPDIR/both.pcap" -w "$SENT" 'greater 60 and less 2900' 2>/dev/null
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off
	start_agent headers b -i wb -Q in -w "$file" --named-filter 'all keep=headers: greater 1'
	in_ns a tcpreplay -q -i wa --mbps=50 "$SENT" >"$BATS_TEST_TMPDIR/tcpreplay.out" 2>&1
	wait_for 10 has_packets "$file" "$(packets "$SENT")"
	stop headers
	headers_end "$SENT" >"$BATS_TEST_TMPDIR/expected"
	tshark -n -r "$file" -T fields -e frame.cap_len 2>/dev/null >"$BATS_TEST_TMPDIR/captured"
	tshark -n -r "$SENT" -T fields -e frame.number -e frame.len -e frame.protocols 2>/dev/null |
		paste "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/captured" - |
		awk '$1 != $2' >"$BATS_TEST_TMPDIR/differ"
	at_least "packets" "$(wc -l <"$BATS_TEST_TMPDIR/captured")" 1000
	equal "others" "$(head -n 5 "$BATS_TEST_TMPDIR/differ")" ""
}

# at about AT, of COUNT: within five times the standard deviation.
about() {
	local what=$1 is=$2 count=$3 one_of=$4

	awk -v is="$is" -v n="$count" -v p="$(bc <<<"scale=9; 1 / $one_of")" 'BEGIN {
		exit (is - n * p) ^ 2 > 25 * n * p * (1 - p) }' ||
		fail "$what: $is of $count are not one of $one_of"
}

@test "one packet of N is captured at random, and the others are accounted for" {
	two_hosts
	start_agent sample b -i wb -Q in --sample 10 -w "$BATS_TEST_TMPDIR/sample.pcapng" udp port 9
	start_agent other b -i wb -Q in -w "$BATS_TEST_TMPDIR/other.pcapng" \
		--sample 10 --named-filter 'each sample=1: udp port 9'
	generate --count 10000 --rate 50000
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/other.pcapng" 10000
	wait_for 5 all_judged sample 10000
	about "captured" "$(status sample .account.delivered)" 10000 10
	balanced sample
	equal "of the interface" "$(status sample '.interfaces[0].account | .seen - .filtered
		- .self - .other_direction - .sampled_out - .delivered')" 0
	stop sample
	stop other
	grep -q "^$(packets "$BATS_TEST_TMPDIR/sample.pcapng") packets received by filter" \
		"$BATS_TEST_TMPDIR/sample.log"
}

# The flows in a capture, with their number of packets.
flows() {
	tshark -n -r "$1" -T fields -e ip.src -e udp.srcport 2>/dev/null | sort | uniq -c
}

all_judged() {
	[ "$(status "$1" '.account.delivered + .account.sampled_out')" = "$2" ]
}

@test "one flow of N is captured whole, and the same one on every host" {
	two_hosts
	new_ns c
	veth_pair a wx c wc
	start_agent mirror c -i wc -Q in --sample-flow 4 -w "$BATS_TEST_TMPDIR/mirror.pcapng" udp port 9
	start_agent tap b -i wb --mode tap --sample-flow 4 -w "$BATS_TEST_TMPDIR/tap.pcapng" udp port 9
	in_ns a "$XCAP_BIN/xcap-gen" -i wx --dst-mac "$(mac c wc)" --count 10000 --rate 50000 \
		--flows 2000 >/dev/null
	generate --count 10000 --rate 50000 --flows 2000
	wait_for 5 all_judged mirror 10000
	wait_for 5 all_judged tap 10000
	balanced mirror
	balanced tap
	stop mirror
	stop tap
	flows "$BATS_TEST_TMPDIR/mirror.pcapng" >"$BATS_TEST_TMPDIR/mirror.flows"
	flows "$BATS_TEST_TMPDIR/tap.pcapng" >"$BATS_TEST_TMPDIR/tap.flows"
	diff "$BATS_TEST_TMPDIR/mirror.flows" "$BATS_TEST_TMPDIR/tap.flows"
	about "flows" "$(wc -l <"$BATS_TEST_TMPDIR/mirror.flows")" 2000 4
	equal "not whole" "$(awk '$1 != 5' "$BATS_TEST_TMPDIR/mirror.flows")" ""
}

@test "a filter that comes new begins to count, one that stays counts on" {
	two_hosts
	start_agent change b -i wb -Q in -w "$BATS_TEST_TMPDIR/change.pcapng" \
		--named-filter 'stays: udp port 9' --named-filter 'goes: udp port 10'
	generate --count 100 --rate 10000 --dst-port 9
	generate --count 100 --rate 10000 --dst-port 10
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/change.pcapng" 200
	"$XCAP_BIN/xcapctl" filter delete --socket "$RUN_DIR/change.sock" goes
	"$XCAP_BIN/xcapctl" filter add --socket "$RUN_DIR/change.sock" comes 'udp port 11'
	generate --count 50 --rate 10000 --dst-port 9
	generate --count 50 --rate 10000 --dst-port 11
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/change.pcapng" 300
	equal "matched" "$("$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --json |
		jq -c '[.instances[0].interfaces[0].matched[] | [.filter, .frames]] | sort')" \
		'[["comes",50],["stays",150]]'
	stop change
}

@test "kill -9: the next daemon counts on for filters of the same name" {
	two_hosts
	start_agent killed b -i wb -Q in -w "$BATS_TEST_TMPDIR/before.pcapng" \
		--named-filter 'same: udp port 9' --named-filter 'old: udp port 10'
	generate --count 100 --rate 10000 --dst-port 9
	generate --count 100 --rate 10000 --dst-port 10
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/before.pcapng" 200
	stop killed KILL || true
	generate --count 10 --rate 10000 --dst-port 9
	start_agent killed b -i wb -Q in -w "$BATS_TEST_TMPDIR/after.pcapng" \
		--named-filter 'same: udp port 9' --named-filter 'new: udp port 10'
	generate --count 20 --rate 10000 --dst-port 10
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/after.pcapng" 20
	equal "matched" "$("$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --json |
		jq -c '[.instances[0].interfaces[0].matched[] | [.filter, .frames]] | sort')" \
		'[["new",20],["same",110]]'
	stop killed
}

@test "of a device without Ethernet header the headers are kept from IP on" {
	local file=$BATS_TEST_TMPDIR/tun.pcapng

	new_ns a
	in_ns a ip tuntap add dev tun0 mode tun
	in_ns a ip link set tun0 addrgenmode none
	in_ns a ip address add 10.3.0.1/24 dev tun0
	in_ns a ip link set tun0 up
	start echo a "$HELPERS/tun_echo" tun0
	start_agent raw a -i tun0 -w "$file" --decap --named-filter 'ping keep=headers+4: icmp'
	wait_for 5 in_ns a ping -q -c 1 -W 1 10.3.0.2
	in_ns a ping -q -c 3 -i 0.1 10.3.0.2
	wait_for 5 has_packets "$file" 8
	stop raw
	equal "lengths" "$(lengths "$file" icmp)" $'32\t84'
}

@test "sampling and --decap are refused for packets that are read" {
	local option

	for option in --decap "--sample 2" "--sample-flow 2"; do
		# shellcheck disable=SC2086 # an option and its value
		run -2 --separate-stderr "$XCAP_BIN/xcapd" -r - -w - $option </dev/null
		[[ $stderr == *"not for packets that are read"* ]]
	done
}
