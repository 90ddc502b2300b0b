#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Two hosts, one aggregator: what was on the wire is in the merged file, from each vantage point.

load helpers

# The Ethernet captures of a folder, at least 100 of them, into FILES and one after the other into
# expected.pcap.
real_captures() {
	local file

	requires_data ndpi
	FILES=()
	for file in "$XCAP_DATA"/ndpi/*; do
		[ "$(capinfos -T -r -E -M "$file" 2>/dev/null | cut -f 2)" = ether ] && FILES+=("$file")
	done
	at_least "captures" "${#FILES[@]}" 100
	EXPECTED=$BATS_TEST_TMPDIR/expected.pcap
	mergecap -a -F nsecpcap -w "$EXPECTED" "${FILES[@]}"
	COUNT=$(packets "$EXPECTED")
}

two_hosts() {
	new_ns agg
	new_ns a
	new_ns b
	uplink_network agg a b
	veth_pair a wa b wb mtu=65535 offloads=off "$@"
	pki agent-a agent-b
}

replay_captures() {
	in_ns a tcpreplay -q -i wa --mbps=300 "${FILES[@]}" >"$BATS_TEST_TMPDIR/tcpreplay.out" 2>&1
}

merged_all() {
	local merged

	merged=$(status aggregator .reader.packets)
	[ "$merged" -ge "$1" ] || fail "$merged of $1 packets are merged"
}

@test "real captures arrive byte for byte, from both ends, in time order" {
	local seen

	real_captures
	two_hosts
	start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng"
	start_agent agent-a a -i wa
	start_agent agent-b b -i wb
	replay_captures
	wait_for 20 merged_all $((2 * COUNT))
	stop agent-a
	stop agent-b
	stop aggregator

	readable "$BATS_TEST_TMPDIR/merged.pcapng"
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
	equal "packets merged" "$(packets "$BATS_TEST_TMPDIR/merged.pcapng")" $((2 * COUNT))
	for seen in agent-a/wa:out agent-b/wb:in; do
		of_interface "$BATS_TEST_TMPDIR/merged.pcapng" "${seen%:*}" \
			"$BATS_TEST_TMPDIR/seen.pcapng" "${seen#*:}"
		same_packets "$EXPECTED" "$BATS_TEST_TMPDIR/seen.pcapng" --no-original
	done
	[ ! -e "$BATS_TEST_TMPDIR/merged.late.pcapng" ]
}

@test "tcpdump prints merged packets live, with different snaplens and a late joiner" {
	new_ns agg
	new_ns a
	new_ns b
	new_ns c
	uplink_network agg a b c
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24
	veth_pair b wc c wd addr=10.2.0.1/24,10.2.0.2/24
	pki agent-a agent-b agent-c
	STORE=$BATS_TEST_TMPDIR/store
	tls_options aggregator
	# shellcheck disable=SC2016 # expanded by the inner shell
	start aggregator agg bash -c 'exec 3>"$1"; shift; "$@" | tcpdump -l -n -r - -tttt -vvvv >&3' - \
		"$BATS_TEST_TMPDIR/tcpdump.txt" "$XCAP_BIN/xcap-aggregator" --listen \
		"$AGGREGATOR_IP:$AGGREGATOR_PORT" --store "$STORE" --run-dir "$RUN_DIR" "${TLS[@]}" -w -
	wait_for 10 listens aggregator agg "$AGGREGATOR_PORT"
	start_agent agent-a a -i wa -s 96
	start_agent agent-b b -i wb
	wait_for 5 streams_are_up 2

	in_ns a ping -q -c 1 -s 333 10.1.0.2
	wait_for 1 printed 'echo request.*length 341' 2
	start_agent agent-c c -i wd -s 200
	wait_for 5 streams_are_up 3
	in_ns c ping -q -c 1 -s 444 10.2.0.1
	# Once: agent-b listens on wb only.
	wait_for 1 printed 'echo request.*length 452' 1
	in_ns a ping -q -c 1 -s 555 10.1.0.2
	wait_for 1 printed 'echo request.*length 563' 2
	run ! logged aggregator 'truncated dump file'
}

streams_are_up() {
	equal "streams connected" \
		"$(status aggregator '[.streams[] | select(.connected)] | length')" "$1"
}

printed() {
	[ "$(grep -cE -- "$1" "$BATS_TEST_TMPDIR/tcpdump.txt")" -eq "$2" ]
}

@test "each packet names its agent, its interface and its direction" {
	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng"
	start_agent agent-a a -i wa
	start_agent agent-b b -i wb
	wait_for 5 streams_are_up 2
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	stop agent-a
	stop agent-b
	stop aggregator
	run -0 --separate-stderr tshark -n -r "$BATS_TEST_TMPDIR/merged.pcapng" -Y icmp.type==8 -T fields \
		-e frame.interface_name -e frame.packet_flags_direction
	equal "requests seen" "$(sort <<<"$output" | uniq -c | tr -s ' ')" \
		"$(printf ' 3 agent-a/wa\t0x00000002\n 3 agent-b/wb\t0x00000001')"
	run -0 --separate-stderr tshark -n -r "$BATS_TEST_TMPDIR/merged.pcapng" -Y icmp.type==0 -T fields \
		-e frame.interface_name -e frame.packet_flags_direction
	equal "replies seen" "$(sort <<<"$output" | uniq -c | tr -s ' ')" \
		"$(printf ' 3 agent-a/wa\t0x00000001\n 3 agent-b/wb\t0x00000002')"
}

@test "without an aggregator xcapd writes what tcpdump writes" {
	real_captures
	new_ns a
	new_ns b
	veth_pair a wa b wb mtu=65535 offloads=off
	start_agent alone b -i wb -w "$BATS_TEST_TMPDIR/alone.pcapng"
	replay_captures
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/alone.pcapng" "$COUNT"
	stop alone
	same_packets "$EXPECTED" "$BATS_TEST_TMPDIR/alone.pcapng" --no-original
	readable "$BATS_TEST_TMPDIR/alone.pcapng"
	run -0 logged alone "$COUNT packets captured"
	run -0 logged alone "0 packets dropped"
	run -0 capinfos -I "$BATS_TEST_TMPDIR/alone.pcapng"
}

@test "xcapd -w - is read by tcpdump, and -c ends it after so many packets" {
	new_ns a
	new_ns b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24
	# shellcheck disable=SC2016
	start alone a bash -c '"$@" | tcpdump -n -r - -c 5 icmp' - "$XCAP_BIN/xcapd" --name alone \
		--run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" -i wa -w - -c 8
	wait_for 5 answers alone
	in_ns a ping -q -c 5 -i 0.2 10.1.0.2
	ended alone
	equal "lines" "$(grep -c 'ICMP echo' "$BATS_TEST_TMPDIR/alone.out")" 5
	run -0 logged alone "8 packets captured"
	equal "pins left" "$(find "$XCAP_BPFFS" -mindepth 2 | wc -l)" 0
}

@test "a file replayed keeps its times, and --stamp now makes it live" {
	local file=$XCAP_DATA/ndpi/http_auth.pcap

	requires_data ndpi
	[ -e "$file" ] || file=$(find "$XCAP_DATA/ndpi" -name 'http*' | sort | head -n 1)
	"$XCAP_BIN/xcapd" -r "$file" --speed max -w "$BATS_TEST_TMPDIR/again.pcapng" \
		--run-dir "$RUN_DIR" -q
	same_packets "$file" "$BATS_TEST_TMPDIR/again.pcapng"
	equal "times" "$(tshark -n -r "$BATS_TEST_TMPDIR/again.pcapng" -T fields -e frame.time_epoch)" \
		"$(tshark -n -r "$file" -T fields -e frame.time_epoch | sort -s -g)"

	new_ns agg
	new_ns a
	uplink_network agg a
	pki agent-a
	start_aggregator agg -w "$BATS_TEST_TMPDIR/live.pcapng"
	# A stream on standard input, its packets stamped on arrival.
	# shellcheck disable=SC2016
	start reader a bash -c 'tcpdump -U -r "$1" -w - 2>/dev/null | "${@:2}"' - "$file" \
		"$XCAP_BIN/xcapd" -r - --stamp now --label host-c --speed max --run-dir "$RUN_DIR" \
		--aggregator "$AGGREGATOR_IP:$AGGREGATOR_PORT" --ca "$PKI/ca.crt" \
		--cert "$PKI/agent-a.crt" --key "$PKI/agent-a.key"
	ended reader
	wait_for 5 merged_all "$(packets "$file")"
	stop aggregator
	same_packets "$file" "$BATS_TEST_TMPDIR/live.pcapng"
	equal "interface" "$(tshark -n -r "$BATS_TEST_TMPDIR/live.pcapng" -T fields \
		-e frame.interface_name | sort -u)" agent-a/host-c
}

# Larger than the journal, and its times jump back: what waits for a later one could wait for ever.
@test "a file replayed waits for a slow reader and loses nothing" {
	local long=$BATS_TEST_TMPDIR/long.pcapng

	requires_data ndpi
	cp "$(find "$XCAP_DATA/ndpi" -name '*.pcap*' -printf '%s %p\n' | sort -n | tail -n 1 |
		cut -d ' ' -f 2-)" "$long"
	while [ "$(stat -c %s "$long")" -lt 16000000 ]; do
		mergecap -a -w "$long.more" "$long" "$long" "$long" "$long"
		mv "$long.more" "$long"
	done
	timeout 60 "$XCAP_BIN/xcapd" -r "$long" --speed max -w - -q \
		--journal-size 4MiB --run-dir "$RUN_DIR" | (sleep 1; cat) >"$BATS_TEST_TMPDIR/slow.pcapng"
	equal "packets" "$(packets "$BATS_TEST_TMPDIR/slow.pcapng")" \
		"$(packets "$long")"
}

@test "live and replayed streams never meet in one output" {
	local file

	requires_data ndpi
	file=$(find "$XCAP_DATA/ndpi" -name 'dns*.pcap' | sort | head -n 1)
	new_ns agg
	new_ns a
	uplink_network agg a
	pki agent-a
	start_aggregator agg -w "$BATS_TEST_TMPDIR/live.pcapng"
	tls_options agent-a
	in_ns a "$XCAP_BIN/xcapd" -r "$file" --speed max --run-dir "$RUN_DIR" "${TLS[@]}" \
		--aggregator "$AGGREGATOR_IP:$AGGREGATOR_PORT"
	stop aggregator
	equal "live packets" "$(packets "$BATS_TEST_TMPDIR/live.pcapng")" 0
	start_aggregator agg -w "$BATS_TEST_TMPDIR/replayed.pcapng" --replay
	in_ns a "$XCAP_BIN/xcapd" -r "$file" --speed max --run-dir "$RUN_DIR" "${TLS[@]}" \
		--aggregator "$AGGREGATOR_IP:$AGGREGATOR_PORT"
	wait_for 5 merged_all "$(packets "$file")"
	stop aggregator
	same_packets "$file" "$BATS_TEST_TMPDIR/replayed.pcapng"
}
