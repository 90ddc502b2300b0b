#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The BPF programs live, without an agent: what they see, what stays after a kill, what is refused.

load helpers

# probe NAME NS ARGUMENT...: dataplane_probe as instance NAME, until it is attached.
probe() {
	local name=$1 ns=$2
	shift 2

	: >"$BATS_TEST_TMPDIR/$name.log"
	start "$name" "$ns" "$HELPERS/dataplane_probe" --name "$name" --bpffs "$XCAP_BPFFS" \
		--run-dir "$RUN_DIR" "$@"
	wait_for 10 is_ready "$name"
}

is_ready() {
	is_running "$1" || fail "$1 has ended"
	grep -q '^ready' "$BATS_TEST_TMPDIR/$1.log"
}

detach_probe() {
	"$HELPERS/dataplane_probe" --detach --name "$1" --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR"
}

# count NAME IF COUNTER [frames|wire|bytes]: of a probe that has ended.
count() {
	awk -v field="${4:-frames}" -v ifname="$2" -v what="$3" \
		'$1 == ifname && $2 == what { print field == "frames" ? $3 : field == "wire" ? $4 : $5 }' \
		"$BATS_TEST_TMPDIR/$1.log"
}

# of_source NAME FIELD: summed over the sources of a probe that has ended.
of_source() {
	awk -v what="$2" '$1 == "source" { for (i = 3; i < NF; i += 2) if ($i == what) sum += $(i + 1) }
		END { print sum + 0 }' "$BATS_TEST_TMPDIR/$1.log"
}

# Frames, packets on the wire and bytes: seen is the sum of what became of them.
balanced() {
	awk -v ifname="$2" '$1 == ifname && $2 == "seen" { for (i = 3; i <= 5; i++) seen[i] = $i }
		$1 == ifname && $2 != "seen" { for (i = 3; i <= 5; i++) sum[i] += $i }
		END { exit !(seen[3] == sum[3] && seen[4] == sum[4] && seen[5] == sum[5]) }' \
		"$BATS_TEST_TMPDIR/$1.log" || fail "the counters of $2 do not add up"
}

two_hosts() {
	new_ns a
	new_ns b
	veth_pair a wa b wb "$@"
}

# A handful of captures: tags in band, IPv6, tunnels, fragments, sizes up to an MTU of 3000.
choose_captures() {
	requires_data ndpi
	CAPTURES=()
	for name in 4in6tunnel 6in6tunnel badpackets gtp_c IEC104 dns_over_udp_vlan WebattackRCE; do
		[ -e "$XCAP_DATA/ndpi/$name.pcap" ] && CAPTURES+=("$XCAP_DATA/ndpi/$name.pcap")
	done
	CAPTURES+=("$BATS_TEST_TMPDIR/tagged.pcap")
	tagged_frames "$BATS_TEST_TMPDIR/tagged.pcap"
	at_least "captures" "${#CAPTURES[@]}" 4
}

# tagged_frames FILE: without a tag, with one, two of one kind and of two kinds.
tagged_frames() {
	local n=0 tags
	local -a frames=("" "81 00 20 05" "88 a8 00 07 81 00 00 09" "81 00 00 07 81 00 00 09")

	for tags in "${frames[@]}"; do
		n=$((n + 1))
		printf '000000 ff ff ff ff ff ff 02 00 00 00 00 01 %s 88 b5 %02x' "$tags" "$n"
		printf ' %02x' {1..60}
		echo
	done | text2pcap -q - "$1"
}

send() {
	in_ns "$1" tcpreplay -q -i "$2" --mbps=50 "${CAPTURES[@]}" >"$BATS_TEST_TMPDIR/send.out" 2>&1
}

# tcpdump NAME NS IF ARGUMENT...: the judge, until it listens.
judge() {
	local name=$1 ns=$2 if=$3
	shift 3

	start "$name" "$ns" tcpdump --immediate-mode -B 65536 -U -i "$if" -w \
		"$BATS_TEST_TMPDIR/$name.pcap" "$@"
	wait_for 5 logged "$name" "listening on"
}

has_taken() {
	[ "$(tcpdump -n -r "$BATS_TEST_TMPDIR/$1.pcap" --count 2>/dev/null | awk '{ print $1 }')" -ge "$2" ]
}

# Programs at tcx on an interface of namespace b, and XDP's.
links() {
	local tcx xdp

	tcx=$(hooked b "${1:-wb}")
	xdp=$(in_ns b ip -j -d link show "${1:-wb}" | jq '.[0].xdp.prog.id // 0')
	echo $((tcx + (xdp > 0)))
}

@test "mirror sees both directions as tcpdump does, byte for byte" {
	choose_captures
	two_hosts mtu=3000
	judge judge b wb
	probe mirror b -i wb -w "$BATS_TEST_TMPDIR/mirror.pcap" -v
	send a wa
	send b wb
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/judge.pcap" "$(packets_sent)"
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/mirror.pcap" "$(packets_sent)"
	stop mirror INT
	stop judge INT
	same_packets "$BATS_TEST_TMPDIR/judge.pcap" "$BATS_TEST_TMPDIR/mirror.pcap"
	in_time_order "$BATS_TEST_TMPDIR/mirror.pcap"
	equal "in" "$(grep -c '^in' "$BATS_TEST_TMPDIR/mirror.out")" $(($(packets_sent) / 2))
	equal "out" "$(grep -c '^out' "$BATS_TEST_TMPDIR/mirror.out")" $(($(packets_sent) / 2))
	balanced mirror wb
}

# Of both send()s.
packets_sent() {
	local file sum=0

	for file in "${CAPTURES[@]}"; do
		sum=$((sum + 2 * $(packets "$file")))
	done
	echo "$sum"
}

@test "mirror cuts at the snaplen and keeps the length" {
	choose_captures
	two_hosts mtu=3000
	judge judge b wb -s 70
	probe mirror b -i wb -s 70 -w "$BATS_TEST_TMPDIR/mirror.pcap"
	send a wa
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/judge.pcap" $(($(packets_sent) / 2))
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/mirror.pcap" $(($(packets_sent) / 2))
	stop mirror INT
	stop judge INT
	same_packets "$BATS_TEST_TMPDIR/judge.pcap" "$BATS_TEST_TMPDIR/mirror.pcap"
}

@test "mirror puts a tag back that lies beside the frame, before a tag in band" {
	choose_captures
	two_hosts mtu=3000
	start tagger a "$HELPERS/tcx_foreign" wa egress tag
	wait_for 5 grep -q attached "$BATS_TEST_TMPDIR/tagger.out"
	judge judge b wb
	probe mirror b -i wb -w "$BATS_TEST_TMPDIR/mirror.pcap"
	send a wa
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/judge.pcap" $(($(packets_sent) / 2))
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/mirror.pcap" $(($(packets_sent) / 2))
	stop mirror INT
	stop judge INT
	same_packets "$BATS_TEST_TMPDIR/judge.pcap" "$BATS_TEST_TMPDIR/mirror.pcap"
	equal "not tagged" "$(tcpdump -n -r "$BATS_TEST_TMPDIR/mirror.pcap" --count 'not vlan 77' \
		2>/dev/null)" "0 packets"
	balanced mirror wb
}

# transfer ADDRESS: a megabyte or two by TCP from a to b.
transfer() {
	start server b iperf3 -s -1 -B "$1"
	wait_for 5 listens server b 5201
	in_ns a iperf3 -c "$1" -n 8M >"$BATS_TEST_TMPDIR/iperf.out"
	ended server || true
}

# Until the interface has sent nothing for so long as IPv6 takes to repeat that it joined a group.
quiet() {
	local before=-1 now

	now=$(counter "$1" "$2" tx_packets)
	until [ "$now" = "$before" ]; do
		before=$now
		sleep 2.5
		now=$(counter "$1" "$2" tx_packets)
	done
}

@test "super-packets are whole in the record and count as what is on the wire" {
	local address

	for address in 10.1.0.2 fd01::2; do
		new_ns a
		new_ns b
		veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24 ipv6=on
		in_ns a ip address add fd01::1/64 dev wa nodad
		in_ns b ip address add fd01::2/64 dev wb nodad
		# The sender's program sees super-packets, the receiver's their segments.
		in_ns a ethtool -K wa tso off tx off >/dev/null
		in_ns b ethtool -K wb gro off >/dev/null
		in_ns a ping -q -c 1 "$address"
		quiet a wa
		probe sender a -i wa -Q out -w "$BATS_TEST_TMPDIR/sender.pcap"
		probe receiver b -i wb -Q in
		transfer "$address"
		stop sender INT
		stop receiver INT
		equal "super-packets larger than an MTU" \
			"$(tcpdump -n -r "$BATS_TEST_TMPDIR/sender.pcap" --count 'greater 3000' \
				2>/dev/null | awk '{ print ($1 > 50) }')" 1
		at_most "frames at the sender" "$(count sender wa handed)" \
			"$(($(count receiver wb handed) / 2))"
		equal "wire packets" "$(count sender wa handed wire)" \
			"$(count receiver wb handed wire)"
		equal "wire bytes" "$(count sender wa handed bytes)" \
			"$(count receiver wb handed bytes)"
		equal "frames at the receiver" "$(count receiver wb handed)" \
			"$(count receiver wb handed wire)"
		balanced sender wa
		in_ns a ip link del wa
		ip netns del "$(ns a)"
		ip netns del "$(ns b)"
	done
}

@test "super-packets in a tunnel repeat the outer headers with each segment" {
	two_hosts addr=10.1.0.1/24,10.1.0.2/24 mtu=1600
	in_ns a ip link add tunnel type vxlan id 5 remote 10.1.0.2 dstport 4789 dev wa
	in_ns b ip link add tunnel type vxlan id 5 remote 10.1.0.1 dstport 4789 dev wb
	for side in a b; do
		in_ns "$side" ip link set tunnel up
		in_ns "$side" sysctl -q -w net.ipv6.conf.tunnel.disable_ipv6=1
	done
	in_ns a ip address add 10.2.0.1/24 dev tunnel
	in_ns b ip address add 10.2.0.2/24 dev tunnel
	in_ns a ethtool -K wa tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off tso off \
		tx off >/dev/null
	in_ns b ethtool -K wb gro off >/dev/null
	in_ns a ping -q -c 1 10.2.0.2
	probe sender a -i wa -Q out
	probe receiver b -i wb -Q in
	transfer 10.2.0.2
	stop sender INT
	stop receiver INT
	at_most "frames at the sender" "$(count sender wa handed)" \
		"$(($(count receiver wb handed) / 2))"
	equal "wire packets" "$(count sender wa handed wire)" "$(count receiver wb handed wire)"
	equal "wire bytes" "$(count sender wa handed bytes)" "$(count receiver wb handed bytes)"
}

@test "mirror of a device without Ethernet header begins with IP" {
	new_ns a
	in_ns a ip tuntap add dev tun0 mode tun
	in_ns a ip link set tun0 addrgenmode none
	in_ns a ip address add 10.3.0.1/24 dev tun0
	in_ns a ip link set tun0 up
	start echo a "$HELPERS/tun_echo" tun0
	wait_for 5 carrier a tun0
	judge judge a tun0
	probe mirror a -i tun0 -w "$BATS_TEST_TMPDIR/mirror.pcap"
	in_ns a ping -q -c 3 -i 0.2 10.3.0.2
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/judge.pcap" 6
	stop mirror INT
	stop judge INT
	equal "link type" "$(capinfos -T -r -E -M "$BATS_TEST_TMPDIR/mirror.pcap" | cut -f 2)" rawip
	same_packets "$BATS_TEST_TMPDIR/judge.pcap" "$BATS_TEST_TMPDIR/mirror.pcap"
}

carrier() {
	in_ns "$1" ip -j link show dev "$2" | jq -e '.[0].operstate != "DOWN"'
}

@test "a foreign program at tcx changes nothing of what is seen, nor we of what it does" {
	requires_kernel 6.6 tcx
	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	start passer b "$HELPERS/tcx_foreign" wb ingress pass
	wait_for 5 grep -q attached "$BATS_TEST_TMPDIR/passer.out"
	probe mirror b -i wb -Q in
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	start dropper b "$HELPERS/tcx_foreign" wb ingress drop
	kill "${PIDS[passer]}"
	wait_for 5 grep -q attached "$BATS_TEST_TMPDIR/dropper.out"
	run ! in_ns a ping -q -c 3 -i 0.2 -W 1 10.1.0.2
	stop mirror INT
	at_least "seen" "$(count mirror wb handed)" 6
}

@test "two instances on one interface both see everything and leave each other alone" {
	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	probe one.host b -i wb -Q in
	probe other-host b -i wb -Q in
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	stop one.host INT
	in_ns a ping -q -c 2 -i 0.2 10.1.0.2
	stop other-host INT
	equal "second" "$(count other-host wb handed)" $(($(count one.host wb handed) + 2))
	at_least "first" "$(count one.host wb handed)" 3
	equal "links left" "$(links)" 0
}

@test "a second daemon of one instance is told who has it" {
	two_hosts
	probe mirror b -i wb
	run -1 in_ns b "$HELPERS/dataplane_probe" --name mirror --bpffs "$XCAP_BPFFS" --run-dir \
		"$RUN_DIR" -i wb
	[[ $output == *'"mirror"'*"process ${PIDS[mirror]}"* ]]
	# Also with another folder for its files.
	mkdir "$BATS_TEST_TMPDIR/elsewhere"
	run -1 in_ns b "$HELPERS/dataplane_probe" --name mirror --bpffs "$XCAP_BPFFS" --run-dir \
		"$BATS_TEST_TMPDIR/elsewhere" -i wb
	[[ $output == *'"mirror"'* ]]
	run -1 "$HELPERS/dataplane_probe" --detach --name mirror --bpffs "$XCAP_BPFFS" --run-dir \
		"$RUN_DIR"
	stop mirror INT
}

@test "after a kill everything goes on, and the next daemon takes all of it up" {
	local frames

	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	probe mirror b -i wb -Q in -w "$BATS_TEST_TMPDIR/first.pcap"
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/first.pcap" 3
	kill -KILL "${PIDS[mirror]}"
	ended mirror || true
	in_ns a ping -q -c 4 -i 0.2 10.1.0.2
	"$XCAP_BIN/xcapctl" maps --json --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR" \
		>"$BATS_TEST_TMPDIR/maps.json"
	frames=$(jq '.instances[0].interfaces[0].counters.handed.frames' "$BATS_TEST_TMPDIR/maps.json")
	equal "attached" "$(jq '.instances[0].interfaces[0].attached' "$BATS_TEST_TMPDIR/maps.json")" true
	at_least "pending" "$(jq '[.instances[0].rings[].pending_bytes] | add' \
		"$BATS_TEST_TMPDIR/maps.json")" 400
	probe mirror b -i wb -Q in -w "$BATS_TEST_TMPDIR/second.pcap"
	run -0 logged mirror "ready adopted"
	equal "links" "$(links)" 2
	in_ns a ping -q -c 2 -i 0.2 10.1.0.2
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/second.pcap" 6
	stop mirror INT
	# The counters went on, and each packet is in one of the files.
	at_least "handed" "$(count mirror wb handed)" $((frames + 2))
	equal "in the files" "$(($(packets "$BATS_TEST_TMPDIR/first.pcap") +
		$(packets "$BATS_TEST_TMPDIR/second.pcap")))" "$(count mirror wb handed)"
	equal "links left" "$(links)" 0
}

@test "detaching after a kill leaves nothing, and other instances as they are" {
	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	probe mirror b -i wb
	probe neighbour b -i wb
	kill -KILL "${PIDS[mirror]}"
	ended mirror || true
	equal "links before" "$(links)" 4
	equal "said" "$(detach_probe mirror)" removed
	equal "links after" "$(links)" 2
	[ ! -e "$XCAP_BPFFS/xcap/mirror" ]
	[ ! -e "$RUN_DIR/mirror.lock" ]
	equal "said then" "$(detach_probe mirror)" "nothing there"
	in_ns a ping -q -c 2 -i 0.2 10.1.0.2
	stop neighbour INT
	at_least "seen by the neighbour" "$(count neighbour wb seen)" 4
	[ -z "$(ls "$XCAP_BPFFS/xcap")" ]
}

@test "what another version left is replaced" {
	local -a zeros

	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	probe mirror b -i wb --keep
	stop mirror INT
	equal "links kept" "$(links)" 2
	# The first field of xcap_self is the version.
	mapfile -t zeros < <(yes 0 | head -n 644)
	bpftool map update pinned "$XCAP_BPFFS/xcap/mirror/self" key 0 0 0 0 value \
		255 255 255 255 "${zeros[@]}"
	probe mirror b -i wb
	run ! logged mirror adopted
	run -0 logged mirror "another version"
	equal "links" "$(links)" 2
	in_ns a ping -q -c 2 -i 0.2 10.1.0.2
	stop mirror INT
	at_least "seen" "$(count mirror wb seen)" 4
	equal "links left" "$(links)" 0
}

@test "a device may be renamed, and when it goes its pins are removed by the next daemon" {
	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	new_ns c
	veth_pair c wc b other addr=10.2.0.1/24,10.2.0.2/24
	probe mirror b -i wb -Q in
	in_ns b ip link set wb name renamed
	in_ns a ping -q -c 2 -i 0.2 10.1.0.2
	in_ns a ip link del wa
	kill -KILL "${PIDS[mirror]}"
	ended mirror || true
	"$XCAP_BIN/xcapctl" maps --json --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR" \
		>"$BATS_TEST_TMPDIR/maps.json"
	equal "attached" "$(jq '.instances[0].interfaces[0].attached' "$BATS_TEST_TMPDIR/maps.json")" false
	at_least "seen" "$(jq '.instances[0].interfaces[0].counters.seen.frames' \
		"$BATS_TEST_TMPDIR/maps.json")" 2
	probe mirror b -i other
	equal "folders" "$(find "$XCAP_BPFFS/xcap/mirror" -name 'if_*' | wc -l)" 1
	stop mirror INT
}

@test "an interface that is no longer wanted is detached" {
	two_hosts
	new_ns c
	veth_pair c wc b other
	probe mirror b -i wb -i other --keep
	stop mirror INT
	equal "links of two" "$(links wb) $(links other)" "2 2"
	probe mirror b -i other
	equal "links of one" "$(links wb) $(links other)" "0 2"
	stop mirror INT
}

@test "the maps tell their fields by name, and every packet is accounted for" {
	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	probe mirror b -i wb
	in_ns a ping -q -c 2 -i 0.2 10.1.0.2
	bpftool map dump pinned "$XCAP_BPFFS"/xcap/mirror/if_*/count >"$BATS_TEST_TMPDIR/count"
	grep -q '"wire_packets"' "$BATS_TEST_TMPDIR/count"
	bpftool map dump pinned "$XCAP_BPFFS"/xcap/mirror/if_*/info | grep -q '"ifname": "wb"'
	bpftool map dump pinned "$XCAP_BPFFS"/xcap/mirror/self | grep -q '"abi_version"'
	"$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR" \
		>"$BATS_TEST_TMPDIR/maps.txt"
	grep -q 'wb .*mirror' "$BATS_TEST_TMPDIR/maps.txt"
	run -69 "$XCAP_BIN/xcapctl" --instance nobody maps --bpffs "$XCAP_BPFFS"
	stop mirror INT
	balanced mirror wb
}

@test "own upload is counted and not seen, in both modes and both directions" {
	local mode

	for mode in mirror tap; do
		new_ns a
		new_ns b
		veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24
		in_ns b ping -q -c 1 10.1.0.1
		probe "$mode" b -i wb --mode "$mode" --self 10.1.0.1:9227 \
			-w "$BATS_TEST_TMPDIR/$mode.pcap"
		start server a socat -u TCP-LISTEN:9227,bind=10.1.0.1 OPEN:/dev/null
		wait_for 5 listens server a 9227
		head -c 100000 /dev/zero | in_ns b socat -u - TCP:10.1.0.1:9227
		stop "$mode" INT
		at_least "$mode: own" "$(count "$mode" wb self)" 10
		equal "$mode: seen of it" "$(tcpdump -n -r "$BATS_TEST_TMPDIR/$mode.pcap" --count \
			'tcp port 9227' 2>/dev/null)" "0 packets"
		balanced "$mode" wb
		in_ns a ip link del wa
		ip netns del "$(ns a)"
		ip netns del "$(ns b)"
	done
}

@test "what finds the ring full is counted, to the packet" {
	two_hosts gro=on
	probe mirror b -i wb -Q in -B 1 --stall-ms 1500
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 50000 --size 200 \
		--rate 200000 >/dev/null
	wait_for 10 is_idle mirror
	stop mirror INT
	equal "seen" "$(count mirror wb seen)" 50000
	equal "handed and lost" "$(($(count mirror wb handed) + $(count mirror wb ring_full)))" 50000
	at_least "lost" "$(count mirror wb ring_full)" 1000
	equal "received" "$(of_source mirror received)" "$(count mirror wb handed)"
}

# It has slept through its stall and has read the rest.
is_idle() {
	[ "$("$XCAP_BIN/xcapctl" --instance "$1" maps --json --bpffs "$XCAP_BPFFS" |
		jq '[.instances[0].rings[].pending_bytes] | add')" -eq 0 ]
}

@test "on loopback each packet is seen once, as by tcpdump" {
	new_ns b
	judge judge b lo
	probe mirror b -i lo -w "$BATS_TEST_TMPDIR/mirror.pcap"
	in_ns b ping -q -c 3 -i 0.2 127.0.0.1
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/judge.pcap" 6
	stop mirror INT
	stop judge INT
	same_packets "$BATS_TEST_TMPDIR/judge.pcap" "$BATS_TEST_TMPDIR/mirror.pcap"
	balanced mirror lo
}

@test "without a bpf file system it mounts one of its own, and detaching unmounts it" {
	two_hosts
	# In the mount namespace of the suite.
	! mountpoint -q /sys/fs/bpf || umount -l /sys/fs/bpf
	start mirror b "$HELPERS/dataplane_probe" --name mirror --run-dir "$RUN_DIR" -i wb
	wait_for 10 is_ready mirror
	equal "file system" "$(stat -f -c %T "$RUN_DIR/bpf")" bpf_fs
	kill -KILL "${PIDS[mirror]}"
	ended mirror || true
	"$HELPERS/dataplane_probe" --detach --name mirror --run-dir "$RUN_DIR"
	[ ! -e "$RUN_DIR/bpf" ]
	equal "links left" "$(links)" 0
}

@test "promiscuous as long as it captures" {
	two_hosts
	probe mirror b -i wb --promiscuous
	equal "while" "$(in_ns b ip -d -j link show wb | jq '.[0].promiscuity')" 1
	kill -KILL "${PIDS[mirror]}"
	ended mirror || true
	equal "after" "$(in_ns b ip -d -j link show wb | jq '.[0].promiscuity')" 0
}

@test "without privileges it says which are needed" {
	two_hosts
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$BATS_TEST_TMPDIR"
	mkdir -m 777 "$BATS_TEST_TMPDIR/nobodys"
	mkdir "$XCAP_BPFFS/xcap"
	chmod 777 "$XCAP_BPFFS" "$XCAP_BPFFS/xcap"
	cp "$HELPERS/dataplane_probe" /dev/shm/dataplane_probe.$$
	defer rm -f /dev/shm/dataplane_probe.$$
	run -1 in_ns b setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
		/dev/shm/dataplane_probe.$$ --name mirror --bpffs "$XCAP_BPFFS" \
		--run-dir "$BATS_TEST_TMPDIR/nobodys" -i wb
	[[ $output == *"ot permitted"* || $output == *"ermission denied"* ]]
	[[ $output == *CAP_BPF* ]]
}

# tap_as_sent NATIVE|GENERIC PROBE_ARGUMENT...: MTU 9000, frames of several chunks too.
tap_as_sent() {
	requires_kernel 6.6 "AF_XDP with frames in pieces"
	choose_captures
	two_hosts mtu=9000
	jumbo_frames "$BATS_TEST_TMPDIR/jumbo.pcap"
	CAPTURES+=("$BATS_TEST_TMPDIR/jumbo.pcap")
	mergecap -a -F nsecpcap -w "$BATS_TEST_TMPDIR/sent.pcap" "${CAPTURES[@]}"
	probe tap b -i wb --mode tap -w "$BATS_TEST_TMPDIR/tap.pcap" "$@"
	send a wa
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/tap.pcap" "$(packets "$BATS_TEST_TMPDIR/sent.pcap")"
	stop tap INT
	same_packets "$BATS_TEST_TMPDIR/sent.pcap" "$BATS_TEST_TMPDIR/tap.pcap" --no-original
	in_time_order "$BATS_TEST_TMPDIR/tap.pcap"
	balanced tap wb
	equal "received" "$(of_source tap received)" "$(count tap wb handed)"
	equal "links left" "$(links)" 0
}

# Frames around the size of a chunk and of two, and the largest.
jumbo_frames() {
	local len

	for len in 3000 3500 3824 3825 3839 3840 3841 4000 7680 8000 9014; do
		printf '000000 ff ff ff ff ff ff 02 00 00 00 00 01 88 b5'
		head -c $((len - 14)) /dev/urandom | od -An -v -tx1 -w16 | tr '\n' ' '
		echo
	done | text2pcap -q - "$1"
}

@test "tap, natively: as sent, frames of several chunks too" {
	tap_as_sent
	run ! logged tap generic
}

@test "tap, generically: as sent, frames of several chunks too" {
	tap_as_sent --generic
	run -0 logged tap "ready generic"
}

@test "tap keeps the tag that lies beside the frame, and what it switched for that is restored" {
	local offload='tx-vlan-offload|tx-vlan-stag-hw-insert' before

	choose_captures
	two_hosts mtu=3000
	before=$(in_ns a ethtool -k wa | grep -E "$offload")
	start tagger a "$HELPERS/tcx_foreign" wa egress tag
	wait_for 5 grep -q attached "$BATS_TEST_TMPDIR/tagger.out"
	judge judge b wb
	probe mirror b -i wb -w "$BATS_TEST_TMPDIR/mirror.pcap"
	send a wa
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/mirror.pcap" $(($(packets_sent) / 2))
	stop mirror INT
	for mode in "" --generic; do
		probe tap b -i wb --mode tap -w "$BATS_TEST_TMPDIR/tap.pcap" $mode
		send a wa
		wait_for 10 has_packets "$BATS_TEST_TMPDIR/tap.pcap" $(($(packets_sent) / 2))
		kill -KILL "${PIDS[tap]}"
		ended tap || true
		equal "detached" "$(detach_probe tap)" removed
		same_packets "$BATS_TEST_TMPDIR/mirror.pcap" "$BATS_TEST_TMPDIR/tap.pcap"
		equal "offload" "$(in_ns a ethtool -k wa | grep -E "$offload")" "$before"
	done
}

@test "tap refuses a bridge, where tags are lost" {
	new_ns b
	in_ns b ip link add br0 type bridge
	in_ns b ip link set br0 up
	run -1 in_ns b "$HELPERS/dataplane_probe" --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR" \
		-i br0 --mode tap
	[[ $output == *"VLAN tags"*bridge* ]]
	equal "links" "$(links br0)" 0
}

@test "tap over the default route is refused; forced it ends with the daemon" {
	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	in_ns b ip route add default via 10.1.0.1
	run -1 in_ns b "$HELPERS/dataplane_probe" --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR" \
		-i wb --mode tap
	[[ $output == *"default route"* ]]
	probe tap b -i wb --mode tap --force
	run ! in_ns a ping -q -c 2 -i 0.2 -W 1 10.1.0.2
	kill -KILL "${PIDS[tap]}"
	ended tap || true
	in_ns a ping -q -c 2 -i 0.2 10.1.0.2
	equal "detached" "$(detach_probe tap)" removed
}

@test "tap refuses to take a foreign XDP program's place; forced, it is put back" {
	two_hosts
	clang -O2 -target bpf -c -o "$BATS_TEST_TMPDIR/pass.o" -x c - <<-'C'
		__attribute__((section("xdp"), used)) int somebody(void *ctx) { return 2; }
		char gpl[] __attribute__((section("license"), used)) = "GPL";
	C
	in_ns b ip link set wb xdp obj "$BATS_TEST_TMPDIR/pass.o" sec xdp
	run -1 in_ns b "$HELPERS/dataplane_probe" --bpffs "$XCAP_BPFFS" --run-dir "$RUN_DIR" \
		-i wb --mode tap
	[[ $output == *somebody* ]]
	probe tap b -i wb --mode tap --force
	in_ns b ip -d link show wb | grep -q xcap_tap
	stop tap INT
	in_ns b ip -d link show wb | grep -q somebody
}

@test "tap: what finds no chunk or no room is counted, to the packet" {
	two_hosts gro=on
	probe tap b -i wb --mode tap --chunks 256 --stall-ms 1500
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --count 20000 --size 200 \
		--rate 100000 >/dev/null
	wait_for 10 has_slept tap
	stop tap INT
	equal "seen" "$(count tap wb seen)" 20000
	equal "handed" "$(count tap wb handed)" 20000
	at_least "starved" "$(of_source tap fill_ring_empty)" 1000
	equal "received and lost" "$(($(of_source tap received) + $(of_source tap fill_ring_empty) +
		$(of_source tap rx_ring_full) + $(of_source tap rx_dropped)))" 20000
}

# Its stall is over when its process waits in poll.
has_slept() {
	grep -q poll "/proc/${PIDS[$1]}/wchan" "/proc/${PIDS[$1]}/stack" 2>/dev/null
}

@test "tap after a kill: packets pass on, and what was redirected in vain is known" {
	local handed received

	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	probe tap b -i wb --mode tap -w "$BATS_TEST_TMPDIR/first.pcap"
	in_ns a ping -q -c 3 -i 0.2 -W 1 10.1.0.2 || true
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/first.pcap" 1
	kill -STOP "${PIDS[tap]}"
	in_ns a ping -q -c 3 -i 0.2 -W 1 10.1.0.2 || true
	received=$(packets "$BATS_TEST_TMPDIR/first.pcap")
	kill -KILL "${PIDS[tap]}"
	ended tap || true
	wait_for 5 in_ns a ping -q -c 1 -W 1 10.1.0.2
	handed=$("$XCAP_BIN/xcapctl" maps --json --bpffs "$XCAP_BPFFS" |
		jq '.instances[0].interfaces[0].counters.handed.frames')
	at_least "redirected in vain" $((handed - received)) 1
	probe tap b -i wb --mode tap --received "$received"
	run -0 logged tap "ready adopted"
	stop tap INT
	equal "lost" "$(of_source tap lost_redirected)" $((handed - received))
	equal "handed" "$(count tap wb handed)" "$(($(of_source tap position) +
		$(of_source tap lost_redirected)))"
	at_least "passed" "$(count tap wb no_socket)" 2
	balanced tap wb
}
