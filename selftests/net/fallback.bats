#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Where the kernel lacks something, the next best takes its place, and says so: clsact for tcx,
# libpcap for BPF; or it ends and says why.

load helpers

# Namespaces a and b with the veth pair wa, wb between them, addressed.
two_hosts() {
	new_ns a
	new_ns b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24 "$@"
}

# capture ARGUMENT...: an agent "cap" in namespace b that writes $OUT.
capture() {
	OUT=$BATS_TEST_TMPDIR/out.pcapng
	start_agent cap b -w "$OUT" "$@"
}

# refused WHAT NAME NS ARGUMENT...: as start_agent, under a kernel that refuses WHAT.
refused() {
	local what=$1 name=$2 ns=$3
	shift 3

	start "$name" "$ns" "$HELPERS/refuse" "$what" -- "$XCAP_BIN/xcapd" --name "$name" \
		--run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" "$@"
	wait_for 10 unless_ended "$name" answers "$name"
	is_running "$name" || fail "$name has ended"
}

pings() {
	in_ns a ping -q -c "${1:-5}" -i 0.01 -W 2 10.1.0.2 >/dev/null
}

# icmp FILE [in|out]: how many packets of pings there are.
icmp() {
	local direction=
	case ${2-} in
	in) direction=' && frame.packet_flags_direction == 1' ;;
	out) direction=' && frame.packet_flags_direction == 2' ;;
	esac
	tshark -n -r "$1" -Y "icmp$direction" 2>/dev/null | wc -l
}

# filters ingress|egress: filters with a program in the clsact of wb, by whose they are.
filters() {
	in_ns b tc -j filter show dev wb "$1" | jq -r '.[] | .options.bpf_name // empty' |
		sed 's/_.*//' | sort | xargs
}

has_qdisc() {
	in_ns b tc qdisc show dev wb | grep -q clsact
}

links() {
	in_ns b "$HELPERS/tcx_count" wb
}

hooks() {
	status "$1" '[.interfaces[] | .hook] | join(" ")'
}

# status_reaches NAME FILTER COUNT
status_reaches() {
	at_least "$2" "$(status "$1" "$2")" "$3"
}

seen_is_delivered() {
	equal "in rings and pending" "$(status "$1" '"\(.account.in_rings) \(.account.pending)"')" \
		"0 0"
	equal "delivered or sent" "$(status "$1" '.account | .delivered + .other_direction')" \
		"$(status "$1" .account.seen)"
}

# --- clsact --------------------------------------------------------------------------------------

@test "a kernel without tcx: clsact takes its place, and log, status and maps say so" {
	two_hosts
	OUT=$BATS_TEST_TMPDIR/out.pcapng
	refused tcx cap b -i wb -w "$OUT" icmp
	logged cap "wb: this kernel has no tcx"
	logged cap "capturing on wb (mirror by clsact"
	equal "hooks" "$(hooks cap)" clsact
	equal "in maps" "$("$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR" --json |
		jq -r '.instances[].interfaces[] | "\(.hook) \(.attached)"')" "clsact true"
	equal "filters" "$(filters ingress) $(filters egress)" "xcap xcap"
	pings 5
	stop cap
	equal "received" "$(icmp "$OUT" in)" 5
	equal "sent" "$(icmp "$OUT" out)" 5
	run ! has_qdisc
}

@test "--tc-mode tcx does without a fallback" {
	two_hosts
	run -1 in_ns b "$HELPERS/refuse" tcx -- "$XCAP_BIN/xcapd" --name cap --run-dir "$RUN_DIR" \
		--bpffs "$XCAP_BPFFS" -i wb -w /dev/null --tc-mode tcx
	[[ $output == *"cannot attach to wb (tcx, which needs Linux 6.6: try --tc-mode auto)"* ]]
	run ! has_qdisc
}

# foreign_filter add|del ingress|egress PRIORITY PROTOCOL VERDICT: somebody's, with a verdict for
# each packet: -1 goes on to the next filter, 0 accepts, 2 drops.
foreign_filter() {
	in_ns b tc filter "$1" dev wb "$2" prio "$3" protocol "$4" \
		bpf da bytecode "1,6 0 0 $(($5 & 0xffffffff))"
}

@test "clsact: what a foreign filter drops was seen, and a qdisc that is not ours stays" {
	two_hosts
	in_ns b tc qdisc add dev wb clsact
	foreign_filter add ingress 1 all 2
	capture -i wb --tc-mode clsact
	run ! in_ns a ping -q -c 2 -i 0.2 -W 1 10.1.0.2
	stop cap
	at_least "requests seen" "$(tcpdump -n -r "$OUT" --count 'icmp or arp' 2>/dev/null |
		awk '{ print $1 }')" 2
	has_qdisc
	equal "filters" "$(filters ingress)$(filters egress)" ""
	equal "foreign" "$(in_ns b tc filter show dev wb ingress | grep -c 'bytecode')" 1
}

@test "clsact: where the first place is taken that is said, and our qdisc stays for who is in it" {
	two_hosts
	capture -i wb --tc-mode clsact
	foreign_filter add egress 7 ip 0
	pings 3
	stop cap
	equal "seen" "$(icmp "$OUT")" 6
	has_qdisc
	run ! logged cap "comes first"
	foreign_filter add egress 1 ip -1
	capture -i wb --tc-mode clsact
	logged cap "wb: somebody else's filter comes first at clsact egress"
	pings 3
	stop cap
	equal "seen" "$(icmp "$OUT")" 6
	equal "filters" "$(filters ingress)$(filters egress)" ""
	has_qdisc
}

@test "clsact: instances live side by side, and the last one takes the qdisc away" {
	two_hosts
	start_agent first b -i wb --tc-mode clsact -w "$BATS_TEST_TMPDIR/first.pcapng"
	start_agent second b -i wb --tc-mode clsact -w "$BATS_TEST_TMPDIR/second.pcapng"
	start_agent third b -i wb -w "$BATS_TEST_TMPDIR/third.pcapng"
	equal "filters" "$(filters ingress)" "xcap xcap"
	pings 3
	stop first
	equal "filters" "$(filters ingress)" xcap
	pings 3
	stop third
	stop second
	equal "first" "$(icmp "$BATS_TEST_TMPDIR/first.pcapng")" 6
	equal "second" "$(icmp "$BATS_TEST_TMPDIR/second.pcapng")" 12
	equal "third" "$(icmp "$BATS_TEST_TMPDIR/third.pcapng")" 12
	run ! has_qdisc
}

@test "clsact: after kill -9 the filters go on, and the next daemon takes them over to the packet" {
	local before

	two_hosts gro=on
	start_agent cap b -i wb --tc-mode clsact -Q in -w "$BATS_TEST_TMPDIR/1.pcapng"
	start gen a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --size 128 --rate 20000 --count 60000 --json
	for i in 2 3; do
		sleep 0.7
		stop cap KILL || true
		before=$(filters ingress)
		equal "filters" "$before" xcap
		start_agent cap b -i wb -Q in -w "$BATS_TEST_TMPDIR/$i.pcapng"
		logged cap "taking over"
		equal "hooks" "$(hooks cap)" clsact
		equal "filters" "$(filters ingress) $(filters egress)" "xcap xcap"
	done
	ended gen
	wait_for 10 seen_is_delivered cap
	at_least "seen" "$(status cap .account.seen)" 60000
	stop cap
	run ! has_qdisc
}

@test "clsact: --detach removes what kill -9 left, also from elsewhere" {
	two_hosts
	capture -i wb --tc-mode clsact
	stop cap KILL || true
	has_qdisc
	pings 1
	"$XCAP_BIN/xcapd" --detach --name cap --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS"
	run ! has_qdisc
	[ ! -e "$XCAP_BPFFS/xcap" ]
}

@test "from clsact to tcx and back when that is asked for" {
	two_hosts
	capture -i wb --tc-mode clsact
	stop cap KILL || true
	capture -i wb --tc-mode tcx
	equal "hooks" "$(hooks cap)" tcx
	run ! has_qdisc
	at_least "links" "$(links)" 2
	stop cap KILL || true
	capture -i wb --tc-mode clsact
	equal "links" "$(links)" 0
	pings 2
	stop cap
	equal "seen" "$(icmp "$OUT")" 4
}

@test "clsact: an interface that moves or vanishes takes the filters along" {
	two_hosts
	veth_pair a va b vb addr=10.2.0.1/24,10.2.0.2/24
	capture -i wb,vb --tc-mode clsact
	in_ns b ip link set vb netns "$(ns a)"
	wait_for 5 logged cap "vb was moved"
	in_ns a tc qdisc show dev vb | grep -c clsact && fail "the qdisc moved along"
	in_ns b ip link del wb
	wait_for 5 logged cap "wb was removed"
	equal "folders" "$(find "$XCAP_BPFFS/xcap" -path '*/if_*' -type d | wc -l)" 0
	stop cap
}
