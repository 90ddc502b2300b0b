#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Packets redirected into AF_XDP: the same bytes, natively and generically, over one queue and two.

load helpers

# Largest frame that one chunk of UMEM takes.
FRAME_MAX=3014

# Captures whose frames fit a chunk, into FILES and expected.pcap.
captures_that_fit() {
	local file larger

	requires_data ndpi
	FILES=()
	for file in "$XCAP_DATA"/ndpi/*; do
		[ "$(capinfos -T -r -E -M "$file" 2>/dev/null | cut -f 2)" = ether ] || continue
		larger=$(tcpdump -n -r "$file" --count "greater $((FRAME_MAX + 1))" 2>/dev/null)
		[[ $larger == "0 packets" ]] && FILES+=("$file")
	done
	at_least "captures" "${#FILES[@]}" 100
	EXPECTED=$BATS_TEST_TMPDIR/expected.pcap
	mergecap -a -F nsecpcap -w "$EXPECTED" "${FILES[@]}"
	COUNT=$(packets "$EXPECTED")
}

merged_all() {
	local merged

	merged=$(status aggregator .reader.packets)
	[ "$merged" -ge "$1" ] || fail "$merged of $1 packets are merged"
}

# replay_through IF ARGUMENT...: an agent in tap mode on IF of namespace b, everything sent into wa.
replay_through() {
	local if=$1
	shift

	uplink_network agg b
	pki agent-b
	start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng"
	start_agent agent-b b -i "$if" --mode tap "$@"
	in_ns a tcpreplay -q -i wa --mbps=200 "${FILES[@]}" >"$BATS_TEST_TMPDIR/tcpreplay.out" 2>&1
	wait_for 20 merged_all "$COUNT"
	stop agent-b
	stop aggregator
	readable "$BATS_TEST_TMPDIR/merged.pcapng"
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
	equal "interface" "$(tshark -n -r "$BATS_TEST_TMPDIR/merged.pcapng" -T fields \
		-e frame.interface_name | sort -u)" "agent-b/$if"
}

@test "natively, real captures arrive byte for byte" {
	captures_that_fit
	new_ns agg
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off
	replay_through wb
	same_packets "$EXPECTED" "$BATS_TEST_TMPDIR/merged.pcapng" --no-original
	run -0 logged agent-b "native XDP"
}

@test "generically, they do too" {
	captures_that_fit
	new_ns agg
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off
	replay_through wb --xdp-mode generic
	same_packets "$EXPECTED" "$BATS_TEST_TMPDIR/merged.pcapng" --no-original
	run -0 logged agent-b "generic XDP"
}

@test "over two queues and two lanes nothing is lost or doubled" {
	captures_that_fit
	new_ns agg
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=3000 offloads=off queues=2
	replay_through wb --lanes 2
	same_packets "$EXPECTED" "$BATS_TEST_TMPDIR/merged.pcapng" --no-original --unordered
}

@test "the interface of the default route is refused unless forced" {
	new_ns a
	new_ns b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24
	in_ns b ip route add default via 10.1.0.1
	run -1 in_ns b "$XCAP_BIN/xcapd" -i wb --mode tap -w - --run-dir "$RUN_DIR" --name x \
		--bpffs "$XCAP_BPFFS"
	[[ $output == *wb*"default route"*--force* ]]
	in_ns b ping -q -c 1 10.1.0.1
}

@test "a foreign XDP program is refused unless forced, and named" {
	new_ns a
	new_ns b
	veth_pair a wa b wb
	clang -O2 -target bpf -c -o "$BATS_TEST_TMPDIR/pass.o" -x c - <<-'C'
		__attribute__((section("xdp"), used)) int somebody(void *ctx) { return 2; }
		char _license[] __attribute__((section("license"), used)) = "GPL";
	C
	in_ns b ip link set wb xdp obj "$BATS_TEST_TMPDIR/pass.o" sec xdp
	run -1 in_ns b "$XCAP_BIN/xcapd" -i wb --mode tap -w - --run-dir "$RUN_DIR" --name x \
		--bpffs "$XCAP_BPFFS"
	[[ $output == *wb*somebody*--force* ]]
	in_ns b ip -d link show wb | grep -q somebody
}

@test "frames longer than a chunk arrive, or it is said which ones do not and they are counted" {
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=9000 addr=10.1.0.1/24,10.1.0.2/24
	in_ns a ip neigh replace 10.1.0.2 dev wa lladdr "$(mac b wb)"
	start_agent cap b -i wb --mode tap -w "$BATS_TEST_TMPDIR/cap.pcapng"
	run ! in_ns a ping -q -c 3 -i 0.2 -W 1 -s 6000 -M "do" 10.1.0.2
	if printf '6.6\n%s\n' "$(uname -r)" | sort -V -C; then
		run ! logged cap "takes no frames in pieces"
		stop cap
		equal "arrived" "$(count_icmp "$BATS_TEST_TMPDIR/cap.pcapng")" 3
	else
		logged cap "wb: frames of more than 3840 bytes, which its MTU allows, will be missing"
		wait_for 5 has_lost cap 3
		stop cap
		equal "arrived" "$(count_icmp "$BATS_TEST_TMPDIR/cap.pcapng")" 0
	fi
}

count_icmp() {
	tcpdump -n -r "$1" icmp --count 2>/dev/null | awk '{ print $1 }'
}

has_lost() {
	[ "$(status "$1" '[.interfaces[].account.dropped[]] | add')" -eq "$2" ]
}
