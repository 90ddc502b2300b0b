#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Which interfaces are captured, and what becomes of them while they come, change and go.

load helpers
load interfaces

@test "several interfaces are captured at once, each under its name" {
	two_hosts
	more_veth 1
	capture -i wb,vb1 -i lo
	attached_are lo vb1 wb
	pings 10.1.0.2
	pings 10.2.1.2
	in_ns b ping -q -c 5 -i 0.01 127.0.0.1
	stop cap
	equal "of wb" "$(icmp wb)" 10
	equal "of vb1" "$(icmp vb1)" 10
	equal "of lo, once each" "$(icmp lo)" 10
}

@test "a pattern takes what fits and nothing else, and what comes to fit it" {
	two_hosts
	more_veth 1
	capture -i 'vb*'
	attached_are vb1
	more_veth 2
	wait_for 5 attached_are vb1 vb2
	run -0 logged cap "capturing on vb2"
	pings 10.1.0.2
	pings 10.2.1.2
	pings 10.2.2.2
	stop cap
	equal "of vb1" "$(icmp vb1)" 10
	equal "of vb2" "$(icmp vb2)" 10
	equal "of all" "$(tshark -n -r "$OUT" -Y icmp 2>/dev/null | wc -l)" 20
}

@test "a pattern that fits nothing waits and says so" {
	two_hosts
	capture -i 'vb[0-9]*'
	run -0 logged cap "vb[0-9]*: waiting"
	missing_are 'vb[0-9]*'
	attached_are
	more_veth 7
	wait_for 5 attached_are vb7
	missing_are
	pings 10.2.7.2
	stop cap
	equal "of vb7" "$(icmp vb7)" 10
}

@test "a plain name that is not there is an error" {
	new_ns b
	run -1 in_ns b "$XCAP_BIN/xcapd" -i nosuch0 -w - --run-dir "$RUN_DIR" --name cap \
		--bpffs "$XCAP_BPFFS"
	[[ $output == *"no interface nosuch0"*"-D"* ]]
	equal "pins" "$(find "$XCAP_BPFFS/xcap" -type f 2>/dev/null | wc -l)" 0
}

@test "the number of an interface in the list stands for its name" {
	local wb

	two_hosts
	wb=$(in_ns b "$XCAP_BIN/xcapd" -D | sed -n 's/\.wb .*//p')
	capture -i "$wb"
	attached_are wb
	stop cap
	run -78 in_ns b "$XCAP_BIN/xcapd" -i "wb,$wb" -w - --run-dir "$RUN_DIR" --name cap \
		--bpffs "$XCAP_BPFFS"
	[[ $output == *"interface wb is given twice"* ]]
	# What is called by a number is meant first.
	in_ns b ip link set lo down
	in_ns b ip link set lo name "$wb"
	in_ns b ip link set "$wb" up
	capture -i "$wb"
	attached_are "$wb"
	stop cap
}

@test "any is every interface, loopback too, as tcpdump's, and makes none promiscuous" {
	two_hosts
	more_veth 1
	in_ns b ip link add unused type bridge
	capture -i any
	attached_are lo unused vb1 wb
	equal "promiscuous" "$(in_ns b ip -j -d link show | jq '[.[].promiscuity] | add')" 0
	start dump b tcpdump -n -i any --immediate-mode -U \
		-w "$BATS_TEST_TMPDIR/tcpdump.pcap" icmp
	wait_for 5 grep -q listening "$BATS_TEST_TMPDIR/dump.log"
	pings 10.1.0.2
	pings 10.2.1.2
	in_ns b ping -q -c 5 -i 0.01 127.0.0.1
	more_veth 2
	wait_for 5 attached_are lo unused vb1 vb2 wb
	pings 10.2.2.2
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/tcpdump.pcap" 40
	stop dump INT
	stop cap
	equal "as many as tcpdump's" "$(tshark -n -r "$OUT" -Y icmp 2>/dev/null | wc -l)" \
		"$(packets "$BATS_TEST_TMPDIR/tcpdump.pcap")"
	equal "of vb2" "$(icmp vb2)" 10
}

@test "with any an interface that cannot be captured is left out, by name it is an error" {
	two_hosts
	device_of_type b can0 280
	capture -i any
	run -0 logged cap "can0: devices of type 280 are not supported"
	attached_are lo wb
	stop cap
	run -1 in_ns b "$XCAP_BIN/xcapd" -i can0 -w - --run-dir "$RUN_DIR" --name cap \
		--bpffs "$XCAP_BPFFS"
	[[ $output == *can0*"type 280"* ]]
}

# device_of_type NS NAME TYPE: of an ARPHRD_ type; a tun can be made to say that it is one.
device_of_type() {
	in_ns "$1" ip tuntap add dev "$2" mode tun
	# shellcheck disable=SC2016 # of perl, not of the shell
	in_ns "$1" perl -e 'open(F, "+<", "/dev/net/tun") or die;
		ioctl(F, 0x400454ca, pack("a16sx22", $ARGV[0], 0x1001)) or die; # TUNSETIFF
		ioctl(F, 0x400454cd, $ARGV[1] + 0) or die; # TUNSETLINK' "$2" "$3"
}

@test "an interface that vanishes ends nothing, is waited for and taken up again" {
	local seen

	two_hosts
	more_veth 1
	capture -i wb,vb1
	pings 10.2.1.2
	wait_for 5 balanced
	seen=$(status cap .account.seen)
	in_ns a ip link del va1
	wait_for 5 attached_are wb
	run -0 logged cap "vb1 was removed"
	run -0 logged cap "waiting for vb1 to come back"
	missing_are vb1
	at_least "seen after it went" "$(status cap .account.seen)" "$seen"
	at_least "seen on what is gone" \
		"$(status cap .gone_interfaces.counters.seen.frames)" 10
	pings 10.1.0.2
	more_veth 1
	wait_for 5 attached_are vb1 wb
	missing_are
	pings 10.2.1.2
	wait_for 5 balanced
	equal "seen" "$(status cap .account.seen)" \
		"$(status cap '.account | .delivered + .self + .other_direction')"
	stop cap
	equal "of vb1, before and after" "$(icmp vb1)" 20
	equal "of wb" "$(icmp wb)" 10
	readable "$OUT"
}

@test "all interfaces may vanish: the daemon waits" {
	two_hosts
	capture -i wb
	in_ns a ip link del wa
	wait_for 5 attached_are
	missing_are wb
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24
	wait_for 5 attached_are wb
	pings 10.1.0.2
	stop cap
	equal "of wb" "$(icmp wb)" 10
}

@test "one that was named is captured on whatever it is called, its packets under that name" {
	two_hosts
	capture -i wb
	pings 10.1.0.2
	in_ns b ip link set wb name renamed
	wait_for 5 attached_are renamed
	run -0 logged cap "wb is called renamed now"
	pings 10.1.0.2
	stop cap
	equal "before" "$(icmp wb)" 10
	equal "after" "$(icmp renamed)" 10
}

@test "of a pattern those are captured that fit it, whatever they were called" {
	two_hosts
	more_veth 1
	more_veth 2
	capture -i 'vb*'
	pings 10.2.1.2
	in_ns b ip link set vb1 name other
	wait_for 5 attached_are vb2
	run -0 logged cap "vb1 is called other now, which is not asked for"
	pings 10.2.1.2
	in_ns b ip link set wb name vb9
	wait_for 5 attached_are vb2 vb9
	pings 10.1.0.2
	stop cap
	equal "while it fitted" "$(icmp vb1)" 10
	equal "when it did not" "$(icmp other)" 0
	equal "once it did" "$(icmp vb9)" 10
}

@test "what is moved to another namespace is captured no more, and again when it is back" {
	two_hosts
	new_ns c
	capture -i wb
	pings 10.1.0.2
	in_ns b ip link set wb netns "$(ns c)"
	wait_for 5 attached_are
	run -0 logged cap "wb was moved to another network namespace"
	equal "links left on it" "$(links c wb)" 0
	equal "pins left" "$(pins)" 0
	configure_veth c wb 10.1.0.2/24
	pings 10.1.0.2
	in_ns c ip link set wb netns "$(ns b)"
	configure_veth b wb 10.1.0.2/24
	wait_for 5 attached_are wb
	pings 10.1.0.2
	stop cap
	equal "here" "$(icmp wb)" 20
}

@test "a device without Ethernet header that comes later has the right link type" {
	two_hosts
	capture -i 'tun*',wb
	in_ns b ip tuntap add dev tun9 mode tun
	wait_for 5 attached_are tun9 wb
	in_ns b ip link set tun9 addrgenmode none
	in_ns b ip address add 10.3.0.1/24 dev tun9
	in_ns b ip link set tun9 up
	start echo b "$HELPERS/tun_echo" tun9
	wait_for 5 in_ns b ping -q -c 1 -W 1 10.3.0.2
	in_ns b ping -q -c 5 -i 0.01 10.3.0.2
	pings 10.1.0.2
	stop cap
	at_least "without Ethernet" "$(tshark -n -r "$OUT" -Y 'frame.interface_name == "tun9" &&
		icmp && !eth && frame.encap_type == 7' 2>/dev/null | wc -l)" 10
	# Of one file all have the same.
	equal "with it" "$(tshark -n -r "${OUT%.pcapng}.linktype1.pcapng" -Y 'frame.interface_name == "wb" && icmp && eth' \
		2>/dev/null | wc -l)" 10
}

@test "created and removed 100 times under traffic: nothing leaks, of the others nothing is missing" {
	local i fds memory

	two_hosts gro=on
	start sink b socat -u UDP-RECV:9999,rcvbuf=4096 "EXEC:sleep 1000"
	capture -i wb -i 'vb*' -Q in
	start gen a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --dst-port 9999 --size 128 --rate 2000 --count 60000 --json
	for i in {1..100}; do
		come_and_go "$i"
		[ "$i" != 20 ] || { fds=$(descriptors) memory=$(memory_kib); }
	done
	equal "descriptors" "$(descriptors)" "$fds"
	at_most "growth of memory, KiB" "$(($(memory_kib) - memory))" 512
	equal "pins" "$(pins)" 1
	equal "links" "$(links b wb)" 2
	ended gen
	wait_for 10 balanced
	equal "lost" "$(status cap '[.account.dropped[]] | add')" 0
	stop cap
	equal "of wb" "$("$HELPERS/genstat" "$OUT" | jq .distinct)" 60000
	at_least "of those that came and went" "$(tshark -n -r "$OUT" \
		-Y 'icmp && frame.interface_name matches "^vb"' 2>/dev/null | wc -l)" 100
	equal "pins left" "$(find "$XCAP_BPFFS/xcap" -type f | wc -l)" 0
}

# One of three names; a packet of it is seen before it goes.
come_and_go() {
	local n=$(($1 % 3))

	more_veth "$n"
	wait_for 5 attached_are "vb$n" wb
	pings "10.2.$n.2" 1
	in_ns a ip link del "va$n"
	wait_for 5 attached_are wb
}

@test "while many interfaces are taken up the daemon answers, and ends when told to" {
	local i first

	two_hosts
	for i in {1..120}; do
		echo "link add many$i type bridge"
	done >"$BATS_TEST_TMPDIR/batch"
	in_ns b ip -batch "$BATS_TEST_TMPDIR/batch"
	capture -i wb -i 'many*'
	first=$(attached | wc -w)
	at_most "attached when it answers" "$first" 119
	pings 10.1.0.2
	at_most "attached when it answers again" "$(attached | wc -w)" 120
	wait_for 90 attached_are "$(printf '%s\n' wb many{1..120} | LC_ALL=C sort | xargs)"
	run ! logged cap "waiting"
	stop cap
	equal "of wb" "$(icmp wb)" 10
	capture -i 'many*'
	stop cap
	equal "pins left" "$(find "$XCAP_BPFFS/xcap" -type f | wc -l)" 0
}

@test "a burst of interfaces that come and go at once leaves what is there captured" {
	local i

	two_hosts
	capture -i any
	for i in {1..150}; do
		echo "link add burst$i type bridge"
	done >"$BATS_TEST_TMPDIR/batch"
	for i in {1..149}; do
		echo "link del burst$i"
	done >>"$BATS_TEST_TMPDIR/batch"
	in_ns b ip -batch "$BATS_TEST_TMPDIR/batch"
	wait_for 60 attached_are burst150 lo wb
	equal "pins" "$(pins)" 3
	pings 10.1.0.2
	stop cap
	equal "of wb" "$(icmp wb)" 10
}

@test "when the kernel could not tell of all changes, what is there is captured all the same" {
	local i

	two_hosts
	more_veth 1
	capture -i 'vb*'
	kill -STOP "${PIDS[cap]}"
	in_ns b ip link add busy type bridge
	for i in {1..500}; do
		printf 'link set busy up\nlink set busy down\n'
	done >"$BATS_TEST_TMPDIR/batch"
	in_ns a ip link del va1
	more_veth 2
	while [ "$(untold)" -eq 0 ]; do
		in_ns b ip -batch "$BATS_TEST_TMPDIR/batch"
	done
	more_veth 3
	in_ns a ip link del va2
	kill -CONT "${PIDS[cap]}"
	wait_for 20 attached_are vb3
	pings 10.2.3.2
	stop cap
	equal "of vb3" "$(icmp vb3)" 10
}

# Messages that the daemon's sockets of rtnetlink had no room for.
untold() {
	# shellcheck disable=SC2016 # of awk, not of the shell
	in_ns b awk -v pid="${PIDS[cap]}" '$3 == pid && $2 == 0 { n += $9 } END { print n + 0 }' \
		/proc/net/netlink
}

@test "what an interface that is gone had counted outlives kill -9" {
	local seen

	two_hosts
	more_veth 1
	capture -i wb,vb1
	pings 10.2.1.2
	pings 10.1.0.2
	wait_for 5 balanced
	in_ns a ip link del va1
	wait_for 5 attached_are wb
	wait_for 5 balanced
	seen=$(status cap .account.seen)
	stop cap KILL || true
	capture -i wb
	at_least "seen" "$(status cap .account.seen)" "$seen"
	wait_for 5 balanced
	stop cap
}

@test "the list tells of each interface what ip, ethtool and the route say" {
	local list=$BATS_TEST_TMPDIR/list.json

	two_hosts ipv6=on
	device_of_type b can0 280
	in_ns b ip address add 10.5.0.2/16 dev wb
	in_ns b ip address add fd01::2/64 dev wb
	in_ns b ip route add default via 10.1.0.1
	in_ns b "$XCAP_BIN/xcapd" -D --json >"$list"
	of_list() { jq -r --arg name "$1" ".interfaces[] | select(.name == \$name) | $2" "$list"; }
	equal "names" "$(jq -r '.interfaces[].name' "$list" | xargs)" \
		"$(in_ns b ip -j link | jq -r '.[].ifname' | xargs)"
	equal "default" "$(jq -r '.interfaces[] | select(.default) | .name' "$list")" wb
	equal "addresses" "$(of_list wb '.addresses | sort | join(" ")')" \
		"$(in_ns b ip -j address show dev wb | jq -r \
			'[.[].addr_info[] | "\(.local)/\(.prefixlen)"] | sort | join(" ")')"
	equal "mac" "$(of_list wb .mac)" "$(mac b wb)"
	equal "driver" "$(of_list wb .driver)" \
		"$(in_ns b ethtool -i wb | sed -n 's/^driver: //p')"
	equal "speed" "$(of_list wb .speed_mbps)Mb/s" \
		"$(in_ns b ethtool wb | sed -n 's/.*Speed: //p')"
	equal "XDP of veth" "$(of_list wb .xdp.native)" true
	equal "XDP of loopback" "$(of_list lo .xdp.native)" false
	equal "link types" "$(jq -r '.interfaces[] | "\(.name) \(.link_type)"' "$list" | sort | xargs)" \
		"can0 null lo ethernet wb ethernet"
	in_ns b ip link set wb down
	in_ns b "$XCAP_BIN/xcapd" -D >"$BATS_TEST_TMPDIR/list.txt"
	grep -E '^[0-9]+\.lo \[Up, Running, Loopback\] .*127\.0\.0\.1/8' "$BATS_TEST_TMPDIR/list.txt"
	grep -E '^[0-9]+\.wb \[Down\] .*driver veth, XDP native' "$BATS_TEST_TMPDIR/list.txt"
	grep -E '^[0-9]+\.can0 .*cannot be captured on' "$BATS_TEST_TMPDIR/list.txt"
}

@test "--json without a list is wrong usage" {
	run -2 "$XCAP_BIN/xcapd" --json -i lo -w -
	[[ $output == *"--json is for --list-interfaces"* ]]
}
