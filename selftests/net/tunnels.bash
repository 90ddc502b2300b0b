#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Packets in tunnels of every kind: those that were recorded, wrapped up by text2pcap.

KINDS=(vxlan vxlan8472 geneve gre gretap ipip 4in6 6in4)

# Packets of many protocols, as they were recorded, into all.pcap.
recorded() {
	local file
	local -a files=()

	if [ ! -d "$XCAP_DATA/ndpi" ]; then
		own_traffic
		return
	fi
	while read -r file; do
		[ "$(capinfos -T -r -E -M "$file" 2>/dev/null | cut -f 2)" = ether ] || continue
		files+=("$file")
	done < <(find "$XCAP_DATA/ndpi" -type f -size -64k | sort | awk 'NR % 4 == 0')
	mergecap -a -F pcap -w "$BATS_TEST_TMPDIR/all.pcap" "${files[@]}"
}

# The same where there are none at hand.
own_traffic() {
	echo "# no captures at hand (XCAP_DATA): of our own instead" >&3
	new_ns e
	new_ns f
	veth_pair e we f wf mtu=1300 addr=10.3.0.1/24,10.3.0.2/24 offloads=off
	start web f socat -u TCP-LISTEN:80,bind=10.3.0.2,reuseaddr,fork OPEN:/dev/null
	start recorder f tcpdump -U -i wf -w "$BATS_TEST_TMPDIR/all.pcap"
	wait_for 5 logged recorder "listening on"
	for _ in {1..30}; do
		head -c 2000 /dev/zero | in_ns e socat -u - TCP:10.3.0.2:80
	done
	in_ns e ping -q -c 20 -i 0.01 10.3.0.2 >/dev/null
	in_ns e "$XCAP_BIN/xcap-gen" -i we --dst-mac "$(mac f wf)" --count 500 --rate 10000 \
		--ipv6 --size 300 >/dev/null
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/all.pcap" 700
	stop recorder
}

# Frames of them into ether.pcap; IPv4 and IPv6 without Ethernet into v4.pcap and v6.pcap.
inner() {
	local plain='not vlan and less 1400 and greater 60'

	recorded
	tcpdump -r "$BATS_TEST_TMPDIR/all.pcap" -w "$BATS_TEST_TMPDIR/ether.pcap" -c 1000 \
		"$plain" 2>/dev/null
	without_ethernet v4 "ip and $plain"
	without_ethernet v6 "ip6 and $plain"
}

# without_ethernet NAME EXPR: into NAME.pcap, of which tcpdump knows that frames begin with IP.
without_ethernet() {
	local file=$BATS_TEST_TMPDIR/part.pcap

	tcpdump -r "$BATS_TEST_TMPDIR/all.pcap" -w "$file" -c 500 "$2" 2>/dev/null
	wrapped '' -x "$file" -l 101 >"$BATS_TEST_TMPDIR/$1.pcap"
}

# wrapped PREFIX TCPDUMP-OPTION FILE TEXT2PCAP-OPTION...: PREFIX and each packet of FILE, from its
# Ethernet header (-xx) or from its IP header on (-x), inside of what text2pcap makes.
wrapped() {
	local prefix=$1 part=$2 file=$3
	shift 3

	tcpdump -n -q "$part" -r "$file" 2>/dev/null | awk -v prefix="$prefix" '
		function flush(n) {
			if (hex == "")
				return
			hex = prefix hex
			for (n = 0; n * 32 < length(hex); n++) {
				line = substr(hex, n * 32 + 1, 32)
				gsub(/../, "& ", line)
				printf "%06x  %s\n", n * 16, line
			}
			hex = ""
		}
		/^\t0x/ { if ($1 == "0x0000:") flush(); for (i = 2; i <= NF; i++) hex = hex $i; next }
		END { flush() }' | text2pcap -q -F pcap "$@" - - 2>"$BATS_TEST_TMPDIR/text2pcap.err"
}

# wrap KIND [EXPR]: what was put into inner(), or what matches of it, in tunnels of a kind.
wrap() {
	local name=ether file=$BATS_TEST_TMPDIR/inner.pcap
	local -a v4=(-4 "10.9.0.1,10.9.0.2") v6=(-6 "fd09::1,fd09::2")

	case $1 in
	gre | ipip | 4in6) name=v4 ;;
	6in4) name=v6 ;;
	esac
	rm -f "$file"
	tcpdump -r "$BATS_TEST_TMPDIR/$name.pcap" -w "$file" "${2-}" 2>/dev/null || true
	case $1 in
	vxlan) wrapped 0800000000000500 -xx "$file" "${v4[@]}" -u 50000,4789 ;;
	vxlan8472) wrapped 0800000000000500 -xx "$file" "${v6[@]}" -u 50000,8472 ;;
	geneve) wrapped 010065580000070000000000 -xx "$file" "${v4[@]}" -u 50000,6081 ;;
	gre) wrapped b0000800000000000000000300000001 -x "$file" "${v4[@]}" -i 47 ;;
	gretap) wrapped 00006558 -xx "$file" "${v6[@]}" -i 47 ;;
	ipip) wrapped '' -x "$file" "${v4[@]}" -i 4 ;;
	4in6) wrapped '' -x "$file" "${v6[@]}" -i 4 ;;
	6in4) wrapped '' -x "$file" "${v4[@]}" -i 41 ;;
	esac
}

# all_kinds FILE [EXPR]
all_kinds() {
	local file=$1 kind
	local -a files=()
	shift

	for kind in "${KINDS[@]}"; do
		wrap "$kind" "$@" >"$BATS_TEST_TMPDIR/$kind.pcap"
		[ ! -s "$BATS_TEST_TMPDIR/$kind.pcap" ] || files+=("$BATS_TEST_TMPDIR/$kind.pcap")
	done
	mergecap -a -F pcap -w "$file" "${files[@]}"
}

# Real packets in tunnels of every kind, into SENT.
tunnel_everything() {
	inner
	SENT=$BATS_TEST_TMPDIR/sent.pcap
	all_kinds "$SENT"
	at_least "packets" "$(packets "$SENT")" 1000
}
