# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# xcap-gen, judged by tcpdump, tshark and the interface's counters.
load helpers

setup() {
	helpers_setup
	requires tcpdump tshark jq ethtool
	new_ns a
	new_ns b
	veth_pair a va b vb mtu=9000 gro=on
	MAC=$(mac b vb)
}

gen() {
	in_ns a "$XCAP_BIN/xcap-gen" -i va --dst-mac "$MAC" "$@"
}

# capture COUNT CMD...: the COUNT packets that arrive at vb while CMD runs, into $CAPTURE.
capture() {
	local count=$1
	shift

	CAPTURE=$BATS_TEST_TMPDIR/capture.pcap
	: >"$BATS_TEST_TMPDIR/tcpdump.log"
	start tcpdump b tcpdump -i vb -w "$CAPTURE" -s 9216 -B 65536 --immediate-mode -U
	wait_for 5 logged tcpdump "listening on"
	"$@"
	wait_for 5 has_packets "$CAPTURE" "$count"
	stop tcpdump INT
}

genstat() {
	"$HELPERS/genstat" "$@" "$CAPTURE"
}

@test "a count is sent to the packet, by either engine" {
	local engine

	for engine in xdp packet; do
		capture 20011 gen --count 20011 --rate 50000 --engine "$engine" --run 7 --json
		genstat --count 20011 >"$BATS_TEST_TMPDIR/stat"
		run -0 jq -r '.groups[] | "\(.run) \(.distinct) \(.missing) \(.duplicates) \(.out_of_order)"' \
			"$BATS_TEST_TMPDIR/stat"
		equal "run, distinct, missing, duplicates, out of order" "$output" "7 20011 0 0 0"
	done
}

@test "the result counts what the interface took" {
	local before result

	before=$(counter b vb rx_packets)
	result=$(gen --count 100000 --json)
	equal sent "$(jq .sent <<<"$result")" 100000
	equal interface_sent "$(jq .interface_sent <<<"$result")" 100000
	equal "rx_packets of the peer" $(($(counter b vb rx_packets) - before)) 100000
}

@test "checksums are right, with IPv4 and IPv6, with and without a tag, small and large" {
	local engine options statuses

	for engine in xdp packet; do
		for options in "--size 64" "--size 1401" "--ipv6 --size 84" "--ipv6 --size 1400" \
			"--vlan 5 --size 68" "--vlan 5 --ipv6 --size 3001"; do
			# shellcheck disable=SC2086
			capture 500 gen --count 500 --flows 7 --engine "$engine" $options
			statuses=$(tshark -n -r "$CAPTURE" -o udp.check_checksum:TRUE \
				-o ip.check_checksum:TRUE -T fields -e udp.checksum.status \
				-e ip.checksum.status | sort | uniq -c | awk '{ $1 = $1; print }')
			case $options in
			*ipv6*) equal "$engine $options" "$statuses" "500 1" ;;
			*) equal "$engine $options" "$statuses" "500 1 1" ;;
			esac
		done
	done
}

@test "frames have the size that was asked for, up to a jumbo frame" {
	local size

	for size in 64 65 1514 3400 9014; do
		capture 10 gen --count 10 --size "$size"
		run -0 tshark -n -r "$CAPTURE" -T fields -e frame.len
		equal "lengths of $size" "$(sort -u <<<"${output##*$'\n'}")" "$size"
		equal "packets of $size" "$(packets "$CAPTURE")" 10
	done
	run -1 gen --count 1 --size 9015
	[[ $output == *"9015 bytes on va with MTU 9000"* ]]
}

@test "as many flows as asked for, more than there are ports" {
	local flows

	for flows in 1 1000 40000; do
		capture $((2 * flows)) gen --count $((2 * flows)) --flows "$flows" --rate 50000
		run -0 --separate-stderr tshark -n -r "$CAPTURE" -T fields -e ip.src -e udp.srcport
		equal flows "$(sort -u <<<"$output" | wc -l)" "$flows"
	done
}

# A millisecond is what it does where the processors are its own; make bench asks for it.
@test "a rate is kept: the right number, and steady" {
	local rate

	for rate in 1000 20000 100000; do
		capture "$rate" gen --rate "$rate" --duration 1
		genstat --pacing >"$BATS_TEST_TMPDIR/stat"
		equal "packets at $rate" "$(jq '.groups[0].distinct' "$BATS_TEST_TMPDIR/stat")" "$rate"
		at_most "p95 off the pace at $rate, us" \
			"$(jq '.groups[0].pacing_us.p95' "$BATS_TEST_TMPDIR/stat")" 10000
	done
}

@test "XDP keeps a rate too" {
	local result

	result=$(gen --rate 300000 --duration 1 --engine xdp --json)
	at_least sent "$(jq .sent <<<"$result")" 290000
	at_most sent "$(jq .sent <<<"$result")" 300000
}

@test "low rates take hardly any CPU" {
	local result

	result=$(gen --rate 10000 --duration 2 --json)
	at_most "CPU seconds in 2 s" "$(jq .cpu_seconds <<<"$result")" 0.4
}

@test "the send time in a packet is that of the clock" {
	capture 500 gen --rate 1000 --count 500
	run -0 genstat
	equal "negative latencies" "$(jq '.groups[0].negative_latencies' <<<"$output")" 0
	at_most "median latency, us" "$(jq '.groups[0].latency_us.p50' <<<"$output")" 5000
}

@test "a signal ends it, with its result" {
	local engine before

	for engine in xdp packet; do
		before=$(counter b vb rx_packets)
		start gen a "$XCAP_BIN/xcap-gen" -i va --dst-mac "$MAC" --rate 1000 --json \
			--engine "$engine"
		wait_for 5 received $((before + 100))
		stop gen INT
		at_least sent "$(jq .sent "$BATS_TEST_TMPDIR/gen.out")" 100
	done
}

received() {
	[ "$(counter b vb rx_packets)" -ge "$1" ]
}

@test "a peer that takes no redirected frames is an error that says what to do" {
	in_ns b ethtool -K vb gro off
	run -1 gen --count 1000 --engine xdp --json
	[[ $output == *"ethtool -K PEER gro on"* ]]
}

@test "what is wrong is named, with the right exit code" {
	run -2 gen --size 63
	[[ $output == *size* ]]
	run -2 gen --ipv6 --size 80
	[[ $output == *"--size: at least 84"* ]]
	run -2 gen --dst-mac nonsense
	[[ $output == *nonsense* ]]
	run -2 gen --dst-ip fd00::1
	[[ $output == *"fd00::1"*IPv4* ]]
	run -2 in_ns a "$XCAP_BIN/xcap-gen" -i va
	[[ $output == *dst-mac* ]]
	run -1 in_ns a "$XCAP_BIN/xcap-gen" -i nosuch0 --dst-mac "$MAC"
	[[ $output == *nosuch0* ]]
	in_ns a ip link set va down
	run -1 gen --count 1
	[[ $output == *"ip link set va up"* ]]
}

@test "without the right to send it says so, and ends with 77" {
	run -77 in_ns a setpriv --bounding-set=-all --inh-caps=-all --reuid 65534 --clear-groups \
		"$XCAP_BIN/xcap-gen" -i va --dst-mac "$MAC" --count 1
	[[ $output == *CAP_NET_RAW* ]]
}
