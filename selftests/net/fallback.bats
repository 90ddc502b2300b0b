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
	requires_kernel 6.6 tcx
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
	requires_kernel 6.6 tcx
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

# --- libpcap -------------------------------------------------------------------------------------

@test "BPF is not allowed: libpcap takes its place, and log and status say so" {
	two_hosts
	OUT=$BATS_TEST_TMPDIR/out.pcapng
	refused bpf cap b -i wb -w "$OUT"
	logged cap "not permitted to load BPF programs"
	logged cap "going on with libpcap"
	logged cap "capturing on wb (pcap: by libpcap"
	equal "modes" "$(status cap '.interfaces[] | "\(.mode) \(.hook) \(.attached)"')" \
		"pcap libpcap true"
	pings 5
	stop cap
	equal "received" "$(icmp "$OUT" in)" 5
	equal "sent" "$(icmp "$OUT" out)" 5
	equal "replies sent" "$(tshark -n -r "$OUT" -Y \
		'icmp.type == 0 && frame.packet_flags_direction == 2' 2>/dev/null | wc -l)" 5
	readable "$OUT"
	in_time_order "$OUT"
}

@test "BPF is not allowed and mirror or tap is asked for: 77" {
	local mode

	two_hosts
	for mode in mirror tap; do
		run -77 in_ns b "$HELPERS/refuse" bpf -- "$XCAP_BIN/xcapd" --name cap --run-dir \
			"$RUN_DIR" --bpffs "$XCAP_BPFFS" -i wb -w /dev/null --mode "$mode"
		[[ $output == *"not permitted to load BPF programs"* ]]
		[[ $output != *libpcap* ]]
	done
}

# for_nobody: $OPEN is a folder that anybody may write to, with an xcapd in it.
for_nobody() {
	OPEN=$(mktemp -d /tmp/xcap-fallback.XXXXXX)
	defer rm -rf "$OPEN"
	cp "$XCAP_BIN/xcapd" "$OPEN"
	chmod 777 "$OPEN"
}

@test "nothing is allowed: 77, and both reasons" {
	two_hosts
	for_nobody
	run -77 in_ns b setpriv --reuid 65534 --clear-groups --inh-caps=-all "$OPEN/xcapd" \
		--name cap --run-dir "$OPEN" --bpffs "$XCAP_BPFFS" -i wb -w /dev/null
	[[ $output == *"not permitted to load BPF programs"* ]]
	[[ $output == *"cannot capture on wb by libpcap"* ]]
}

@test "--mode pcap captures with CAP_NET_RAW alone" {
	two_hosts
	for_nobody
	OUT=$OPEN/out.pcapng
	start cap b setpriv --reuid 65534 --clear-groups --inh-caps=-all,+net_raw \
		--ambient-caps=-all,+net_raw "$OPEN/xcapd" --name cap --run-dir "$OPEN" \
		--mode pcap -i wb -w "$OUT"
	RUN_DIR=$OPEN
	wait_for 10 unless_ended cap answers cap
	pings 2
	stop cap
	equal "seen" "$(icmp "$OUT")" 4
}

# count_of EXPRESSION: how many packets of $OUT match.
count_of() {
	tcpdump -n -r "$OUT" --count "$@" 2>/dev/null | awk '{ print $1 }'
}

@test "pcap: mirror and libpcap see the same packets, from several interfaces" {
	local if

	two_hosts
	veth_pair a va b vb addr=10.2.0.1/24,10.2.0.2/24
	start_agent mirror b -i wb,vb,lo -w "$BATS_TEST_TMPDIR/mirror.pcapng"
	capture --mode pcap -i wb -i 'v*' -i lo
	equal "interfaces" "$(status cap '[.interfaces[].name] | sort | join(" ")')" "lo vb wb"
	pings 20
	in_ns a ping -q -c 20 -i 0.01 -s 1400 10.2.0.2
	in_ns b ping -q -c 5 -i 0.01 127.0.0.1
	stop cap
	stop mirror
	for if in wb vb lo; do
		of_interface "$OUT" "$if" "$BATS_TEST_TMPDIR/$if.pcapng"
		of_interface "$BATS_TEST_TMPDIR/mirror.pcapng" "$if" "$BATS_TEST_TMPDIR/m$if.pcapng"
		equal "$if" "$(packets "$BATS_TEST_TMPDIR/$if.pcapng")" \
			"$(packets "$BATS_TEST_TMPDIR/m$if.pcapng")"
		same_packets "$BATS_TEST_TMPDIR/$if.pcapng" "$BATS_TEST_TMPDIR/m$if.pcapng" --unordered
	done
	equal "on lo" "$(packets "$BATS_TEST_TMPDIR/lo.pcapng")" 10
	in_time_order "$OUT"
}

@test "pcap: a filter, a direction, a snaplen and a count mean what they mean elsewhere" {
	two_hosts
	capture --mode pcap -i wb -Q in -s 60 icmp
	pings 4
	stop cap
	equal "packets" "$(packets "$OUT")" 4
	equal "received" "$(icmp "$OUT" in)" 4
	equal "captured and original length" "$(tshark -n -r "$OUT" -T fields -e frame.cap_len \
		-e frame.len | sort -u | xargs)" "60 98"
	tshark -n -r "$OUT" -V -c 1 >/dev/null
	capture --mode pcap -i wb -c 3 icmp
	pings 5
	ended cap
	equal "packets" "$(packets "$OUT")" 3
}

@test "pcap: a tag that the kernel had taken out is in band, and filters see it as of a file" {
	two_hosts
	capture --mode pcap -i wb -Q in
	start_agent vlan b --mode pcap -i wb -Q in -s 64 -w "$BATS_TEST_TMPDIR/vlan.pcapng" \
		"vlan 77 and arp"
	start_agent plain b --mode pcap -i wb -Q in -w "$BATS_TEST_TMPDIR/plain.pcapng" arp
	pings 1
	start foreign a "$HELPERS/tcx_foreign" wa egress tag
	wait_for 5 grep -q attached "$BATS_TEST_TMPDIR/foreign.out"
	in_ns a ip neigh flush dev wa
	run ! in_ns a ping -q -c 2 -i 0.2 -W 1 10.1.0.2
	stop cap
	stop vlan
	stop plain
	at_least "tagged" "$(count_of vlan 77 and arp)" 2
	equal "by the filter, tagged" "$(packets "$BATS_TEST_TMPDIR/vlan.pcapng")" \
		"$(count_of vlan 77 and arp)"
	equal "by the filter, not tagged" "$(packets "$BATS_TEST_TMPDIR/plain.pcapng")" \
		"$(count_of arp)"
}

@test "pcap: a filter too long for the kernel is judged all the same, and a wrong one refused" {
	local terms=

	two_hosts
	for i in {1..250}; do
		terms+="host 10.50.$((i / 250)).$((i % 250)) or "
	done
	capture --mode pcap -i wb "$terms icmp[icmptype] == icmp-echoreply"
	pings 3
	wait_for 5 status_reaches cap .account.filtered 3
	stop cap
	equal "packets" "$(packets "$OUT")" 3
	run -2 in_ns b "$XCAP_BIN/xcapd" --name cap --run-dir "$RUN_DIR" --mode pcap -i wb \
		-w /dev/null "tcp port nonsense"
	[[ $output == *nonsense* ]]
}

@test "pcap: what is lost is counted, and the rest is all there" {
	local seen

	two_hosts gro=on
	start sink b socat -u UDP-RECV:9999,rcvbuf=4096 "EXEC:sleep 1000"
	capture --mode pcap -i wb -Q in -B 1
	kill -STOP "${PIDS[cap]}"
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --dst-port 9999 --size 1000 --rate 20000 --count 20000 --json \
		>/dev/null
	kill -CONT "${PIDS[cap]}"
	wait_for 5 status_reaches cap .account.seen 20000
	at_least "dropped" "$(status cap .account.dropped.ring_full)" 1
	equal "seen" "$(status cap '.account | .delivered + .pending + ([.dropped[]] | add)')" \
		"$(status cap .account.seen)"
	seen=$(status cap .account.seen)
	stop cap
	equal "generated" "$seen" 20000
	logged cap "ring_full"
	equal "packets" "$(packets "$OUT")" \
		"$(awk '/packets captured/ { print $1 }' "$BATS_TEST_TMPDIR/cap.log")"
}

@test "pcap: what goes to the aggregator is left out, and the rest merges in time order" {
	new_ns agg
	new_ns b
	uplink_network agg b
	pki agent-b
	start_aggregator agg -w "$BATS_TEST_TMPDIR/merged.pcapng"
	start_agent agent-b b --mode pcap -i uplink
	in_ns agg ping -q -c 50 -i 0.01 10.99.0.2
	wait_for 5 status_reaches agent-b .account.delivered 100
	stop agent-b
	stop aggregator
	OUT=$BATS_TEST_TMPDIR/merged.pcapng
	equal "pings" "$(icmp "$OUT")" 100
	equal "own" "$(count_of tcp port 9227)" 0
	in_time_order "$OUT"
	run ! grep -i "late" "$BATS_TEST_TMPDIR/aggregator.log"
}

@test "pcap: interfaces are taken up when they come, and given up when they go" {
	two_hosts
	veth_pair a va b vb addr=10.2.0.1/24,10.2.0.2/24
	capture --mode pcap -i wb -i 'v*'
	in_ns a ping -q -c 3 -i 0.01 10.2.0.2 >/dev/null
	wait_for 5 status_reaches cap .account.delivered 6
	in_ns b ip link del vb
	wait_for 5 logged cap "vb was removed"
	wait_for 5 logged cap "no interface that is meant by v"
	equal "missing" "$(status cap '.missing_interfaces | join(" ")')" 'v*'
	at_least "of what is gone" "$(status cap .gone_interfaces.counters.handed.frames)" 6
	pings 2
	# Down at first: libpcap opens it once it is up.
	veth_pair a ua b vc addr=10.3.0.1/24,10.3.0.2/24
	wait_for 5 logged cap "capturing on vc"
	in_ns a ping -q -c 4 -i 0.01 10.3.0.2 >/dev/null
	in_ns b ip link del wb
	wait_for 5 logged cap "waiting for wb to come back"
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24
	wait_for 5 logged_times cap "capturing on wb" 2
	pings 5
	wait_for 5 status_reaches cap .account.delivered 28
	wait_for 5 seen_is_delivered cap
	equal "interfaces" "$(status cap '[.interfaces[].name] | sort | join(" ")')" "vc wb"
	stop cap
	equal "seen" "$(icmp "$OUT")" 28
	equal "on vb" "$(count_of net 10.2.0.0/24 and icmp)" 6
	equal "on vc" "$(count_of net 10.3.0.0/24 and icmp)" 8
	in_time_order "$OUT"
}

# logged_times NAME TEXT COUNT
logged_times() {
	at_least "lines" "$(grep -c "$2" "$BATS_TEST_TMPDIR/$1.log")" "$3"
}

# kernel_insns: of the filters of packet sockets in b, the most instructions.
kernel_insns() {
	in_ns b ss -0bn | sed -n 's/.*bpf filter (\([0-9]*\)).*/\1/p' | sort -n | tail -1
}

kernel_insns_are() {
	equal "instructions" "$(kernel_insns)" "$1"
}

@test "pcap: other filters go to the kernel, too" {
	local first

	two_hosts
	capture --mode pcap -i wb -Q in 'tcp port 80 and host 10.9.9.9'
	first=$(kernel_insns)
	at_least "instructions" "$first" 20
	filter_of cap set icmp >/dev/null
	filter_of cap set 'tcp port 81 and host 10.9.9.9' >/dev/null
	wait_for 5 kernel_insns_are "$first"
	pings 3
	stop cap
	equal "packets" "$(packets "$OUT")" 0
}

@test "pcap: any takes what comes, and a name stays through a rename and a time down" {
	two_hosts
	capture --mode pcap -i any
	equal "interfaces" "$(status cap '[.interfaces[].name] | sort | join(" ")')" "lo wb"
	in_ns b ip link set wb down
	in_ns b ip link set wb up
	wait_for 5 pings 1
	wait_for 5 status_reaches cap .account.delivered 2
	in_ns b ip link set wb name wc
	wait_for 5 logged cap "wb is called wc now"
	wait_for 5 pings 1
	wait_for 5 status_reaches cap .account.delivered 4
	# libpcap looks for the old name, and ends: it is opened anew.
	in_ns b ip link set wc down
	in_ns b ip link set wc up
	wait_for 5 logged cap "capturing on wc"
	wait_for 5 pings 1
	veth_pair a va b vb addr=10.2.0.1/24,10.2.0.2/24
	wait_for 5 logged cap "capturing on vb"
	in_ns a ping -q -c 3 -i 0.01 10.2.0.2 >/dev/null
	stop cap
	equal "on vb" "$(count_of net 10.2.0.0/24 and icmp)" 6
	at_least "on wb and wc" "$(count_of net 10.1.0.0/24 and icmp)" 6
	capinfos "$OUT" 2>/dev/null | grep -q "Name = wc" || fail "no interface wc"
}

@test "pcap: no such interface is said, and a pattern waits for one" {
	two_hosts
	run -1 in_ns b "$XCAP_BIN/xcapd" --name cap --run-dir "$RUN_DIR" --mode pcap -i nope0 \
		-w /dev/null
	[[ $output == *"there is no interface nope0"* ]]
	capture --mode pcap -i 'nope*'
	logged cap "no interface that is meant by nope"
	veth_pair a na b nope1 addr=10.2.0.1/24,10.2.0.2/24
	wait_for 5 logged cap "capturing on nope1"
	in_ns a ping -q -c 3 -i 0.01 10.2.0.2 >/dev/null
	stop cap
	equal "seen" "$(icmp "$OUT")" 6
}

@test "pcap: what takes BPF programs is refused, at the start and later" {
	local -a run
	local words

	two_hosts
	run=("$XCAP_BIN/xcapd" --name cap --run-dir "$RUN_DIR" --mode pcap -i wb -w /dev/null)
	for words in "--allow 10.0.0.0/8" "--deny 10.0.0.0/8" --decap "--sample-flow 5" "-j nic"; do
		# shellcheck disable=SC2086
		run -78 in_ns b "${run[@]}" $words
		[[ $output == *"BPF programs, not --mode pcap"* ]] || fail "$words: $output"
	done
	for words in keep=headers+20 sample-flow=3; do
		run -78 in_ns b "${run[@]}" --named-filter "x $words: icmp"
		[[ $output == *"filter x: "*"not --mode pcap"* ]] || fail "$words: $output"
	done
	capture --mode pcap -i wb
	run -1 filter_of cap add x keep=headers icmp
	[[ $output == *"filter x: "*"not --mode pcap"* ]] || fail "$output"
	equal "generation" "$(status cap .filters.generation)" 1
	stop cap
}

filter_of() {
	local name=$1
	shift
	"$XCAP_BIN/xcapctl" --socket "$RUN_DIR/$name.sock" filter "$@"
}

# --- native XDP ----------------------------------------------------------------------------------

xdp_mode() {
	in_ns b ip -j link show wb | jq -r '.[0].xdp.mode // 0'
}

# Of the drivers at hand each has the room: that one has not is a matter of the unit test.
@test "tap: from native to generic XDP while it captures, and what was pinned is found" {
	two_hosts gro=on
	start probe b "$HELPERS/dataplane_probe" --name probe --bpffs "$XCAP_BPFFS" --run-dir \
		"$RUN_DIR" -i wb --mode tap -w "$BATS_TEST_TMPDIR/tap.pcap" --leave-native
	wait_for 10 grep -q ^ready "$BATS_TEST_TMPDIR/probe.log"
	equal "mode (2: generic)" "$(xdp_mode)" 2
	equal "pins" "$(find "$XCAP_BPFFS/xcap" -name xdp | wc -l)" 1
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 --count 100 \
		--rate 10000 --json >/dev/null
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/tap.pcap" 100
	stop probe
	equal "mode at the end" "$(xdp_mode)" 0
}

# --- io_uring ------------------------------------------------------------------------------------

# without CMD...: both daemons by this command end with 69; what they say is in $SAID, two lines.
without() {
	run -69 "$@" "$XCAP_BIN/xcapd" --name cap --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" \
		-i lo -w /dev/null
	SAID=$output
	run -69 "$@" "$XCAP_BIN/xcap-aggregator" --listen 127.0.0.1:9227 \
		--store "$BATS_TEST_TMPDIR/store" --run-dir "$RUN_DIR" "${TLS[@]}"
	SAID+=$'\n'$output
}

@test "without io_uring both daemons end with 69 and name what keeps it from them" {
	local -a TLS
	local value

	pki agent-b
	tls_options aggregator
	requires_kernel 6.6 "the sysctl"
	equal "kernel.io_uring_disabled" "$(sysctl -n kernel.io_uring_disabled)" 0
	without "$HELPERS/refuse" io_uring_setup=EPERM --
	equal "seccomp" "$(grep -c "the container's seccomp profile forbids it" <<<"$SAID")" 2
	without "$HELPERS/refuse" io_uring_setup=ENOSYS --
	equal "no system call" "$(grep -c "the container's seccomp profile has no io_uring" \
		<<<"$SAID")" 2
	# The sysctl is the whole machine's: a file in its place, in a mount namespace.
	defer umount -q /proc/sys/kernel/io_uring_disabled
	for value in 1 2; do
		echo "$value" >"$BATS_TEST_TMPDIR/io_uring_disabled"
		mount --bind "$BATS_TEST_TMPDIR/io_uring_disabled" /proc/sys/kernel/io_uring_disabled
		without "$HELPERS/refuse" io_uring_setup=EPERM --
		umount /proc/sys/kernel/io_uring_disabled
		equal "sysctl" "$(grep -c "sysctl kernel.io_uring_disabled is $value" <<<"$SAID")" 2
	done
}
