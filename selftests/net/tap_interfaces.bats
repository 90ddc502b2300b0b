#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# In tap mode: interfaces that come, change and go while others are tapped.

load helpers
load interfaces

# tap ARGUMENT...: an agent that taps, with little frame memory.
tap() {
	capture --mode tap --umem-size 1MiB "$@"
}

# send IF [COUNT]: packets out of an interface of a, to whatever its peer in b is.
send() {
	in_ns a "$XCAP_BIN/xcap-gen" -i "$1" --dst-mac 02:00:00:00:00:02 --dst-port 9999 \
		--count "${2:-100}" --rate 20000 >/dev/null
}

# sent NAME: how many of these are in $OUT under this name of an interface.
sent() {
	tshark -n -r "$OUT" -Y "udp.dstport == 9999 && frame.interface_name == \"$1\"" \
		2>/dev/null | wc -l
}

# accounted: what was seen was delivered; nothing is lost, nothing on its way.
accounted() {
	balanced
	equal "lost" "$(status cap '[.account.dropped[]] | add')" 0
	equal "seen" "$(status cap .account.seen)" \
		"$(status cap '.account | .delivered + .self + .other_direction')"
}

@test "tap: what comes to fit a pattern is tapped, too, by the lanes that run" {
	two_hosts gro=on
	tap -i 'vb*' -i wb
	attached_are wb
	more_veth 1
	wait_for 5 attached_are vb1 wb
	run -0 logged cap "capturing on vb1 (tap: its packets are taken from the host, native XDP"
	send va1
	send wa
	more_veth 2
	wait_for 5 attached_are vb1 vb2 wb
	send va1
	send va2
	wait_for 5 accounted
	equal "lanes" "$(status cap '.lanes | length')" 1
	stop cap
	equal "of vb1" "$(sent vb1)" 200
	equal "of vb2" "$(sent vb2)" 100
	equal "of wb" "$(sent wb)" 100
	in_time_order "$OUT"
}

@test "tap: a pattern that fits nothing waits and says so, and any is refused" {
	two_hosts
	tap -i 'vb[0-9]*'
	run -0 logged cap "vb[0-9]*: waiting"
	missing_are 'vb[0-9]*'
	more_veth 7
	wait_for 5 attached_are vb7
	missing_are
	send va7
	wait_for 5 accounted
	stop cap
	equal "of vb7" "$(sent vb7)" 100
	run -2 in_ns b "$XCAP_BIN/xcapd" -i any --mode tap -w - --run-dir "$RUN_DIR" --name cap \
		--bpffs "$XCAP_BPFFS"
	[[ $output == *"any"*"tap"* ]]
}

@test "tap: an interface that vanishes ends nothing, is waited for and tapped again" {
	two_hosts gro=on
	more_veth 1
	tap -i vb1,wb
	attached_are vb1 wb
	send va1
	in_ns a ip link del va1
	wait_for 5 attached_are wb
	run -0 logged cap "vb1 was removed"
	run -0 logged cap "waiting for vb1 to come back"
	missing_are vb1
	send wa
	at_most "processor time, ticks" "$(busy_ticks)" 20
	more_veth 1
	wait_for 5 attached_are vb1 wb
	missing_are
	send va1
	wait_for 5 accounted
	stop cap
	equal "of vb1, before and after" "$(sent vb1)" 200
	equal "of wb" "$(sent wb)" 100
	readable "$OUT"
}

# What the daemon uses in a second when nothing happens.
busy_ticks() {
	local before

	before=$(awk '{ print $14 + $15 }' "/proc/${PIDS[cap]}/stat")
	sleep 1
	awk -v before="$before" '{ print $14 + $15 - before }' "/proc/${PIDS[cap]}/stat"
}

@test "tap: newcomers and their queues are spread over the lanes" {
	two_hosts gro=on
	tap -i 'vb*' --lanes 4
	veth_pair a va1 b vb1 queues=2 gro=on
	wait_for 5 attached_are vb1
	more_veth 2
	wait_for 5 attached_are vb1 vb2
	more_veth 3
	wait_for 5 attached_are vb1 vb2 vb3
	send va1 1000
	send va2 2000
	send va3 3000
	wait_for 5 accounted
	equal "packets that the lanes took" \
		"$(status cap '[.lanes[0].packets + .lanes[1].packets, .lanes[2, 3].packets] |
			join(" ")')" "1000 2000 3000"
	stop cap
	equal "of vb1" "$(sent vb1)" 1000
	in_time_order "$OUT"
}

@test "tap: one that was named is tapped whatever it is called, of a pattern what fits it" {
	two_hosts gro=on
	more_veth 1
	tap -i wb -i 'vb*'
	send wa
	send va1
	in_ns b ip link set wb down
	in_ns b ip link set wb name renamed
	in_ns b ip link set renamed up
	in_ns b ip link set vb1 down
	in_ns b ip link set vb1 name other
	in_ns b ip link set other up
	wait_for 5 attached_are renamed
	run -0 logged cap "wb is called renamed now"
	run -0 logged cap "vb1 is called other now, which is not asked for"
	send wa
	send va1
	in_ns b ip link set other down
	in_ns b ip link set other name vb9
	in_ns b ip link set vb9 up
	wait_for 5 attached_are renamed vb9
	send va1
	wait_for 5 accounted
	stop cap
	equal "of wb" "$(sent wb)" 100
	equal "of wb renamed" "$(sent renamed)" 100
	equal "while it fitted" "$(sent vb1)" 100
	equal "when it did not" "$(sent other)" 0
	equal "once it did" "$(sent vb9)" 100
}

@test "tap: a name that changes away and back in an instant leaves it tapped" {
	two_hosts gro=on
	tap -i 'w*'
	in_ns b ip link set wb down
	for _ in {1..20}; do
		printf 'link set wb name other\nlink set other name wb\n'
	done >"$BATS_TEST_TMPDIR/batch"
	in_ns b ip -batch "$BATS_TEST_TMPDIR/batch"
	in_ns b ip link set wb up
	run -0 logged cap "wb is called other now"
	wait_for 20 is_settled
	send wa
	wait_for 5 accounted
	stop cap
	equal "of wb" "$(sent wb)" 100
}

# wb is tapped, and still is when the daemon has read all that the kernel told.
is_settled() {
	attached_are wb
	equal "bytes told and not read" "$(in_ns b awk "\$3 == ${PIDS[cap]} && \$2 == 0 { n += \$5 }
		END { print n + 0 }" /proc/net/netlink)" 0
	attached_are wb
}

@test "tap: of one that is moved what was switched is restored where it is; back, it is tapped" {
	two_hosts gro=on
	more_veth 1
	new_ns c
	equal "before" "$(offload a wa)" on
	tap -i wb,vb1 --xdp-mode generic
	equal "while it is tapped" "$(offload a wa)" off
	send wa
	in_ns b ip link set wb netns "$(ns c)"
	wait_for 5 attached_are vb1
	run -0 logged cap "wb was moved to another network namespace"
	equal "once it is moved" "$(offload a wa)" on
	equal "XDP programs left on it" "$(in_ns c ip -j link show dev wb | jq '.[0].xdp.mode // 0')" 0
	configure_veth c wb 10.1.0.2/24
	pings 10.1.0.2
	in_ns c ip link set wb netns "$(ns b)"
	configure_veth b wb 10.1.0.2/24
	wait_for 5 attached_are vb1 wb
	equal "when it is tapped again" "$(offload a wa)" off
	send wa
	wait_for 5 accounted
	stop cap
	equal "here" "$(sent wb)" 200
}

# offload NS IF: does it take VLAN tags out on sending?
offload() {
	in_ns "$1" ethtool -k "$2" | sed -n 's/^tx-vlan-offload: //p'
}

@test "tap: of a pattern what may not be tapped is left out with a word, when it comes, too" {
	two_hosts gro=on
	more_veth 1
	more_veth 2
	more_veth 3
	clang -O2 -target bpf -c -o "$BATS_TEST_TMPDIR/pass.o" -x c - <<-'C'
		__attribute__((section("xdp"), used)) int somebody(void *ctx) { return 2; }
		char gpl[] __attribute__((section("license"), used)) = "GPL";
	C
	in_ns b ip link set vb2 name second
	in_ns b ip link set vb3 name third
	in_ns b ip link set second xdp obj "$BATS_TEST_TMPDIR/pass.o" sec xdp
	in_ns b ip route add default via 10.1.0.1
	tap -i '[vw]b*'
	attached_are vb1
	run -0 logged cap "refusing to tap wb: the default route goes over it"
	in_ns b ip link set second name vb5
	wait_for 5 logged cap "refusing to tap vb5: somebody else's XDP program is there"
	in_ns b ip route replace default via 10.2.3.1
	in_ns b ip link set third name vb6
	wait_for 5 logged cap "refusing to tap vb6: the default route goes over it"
	equal "XDP program on vb6" "$(in_ns b ip -j link show dev vb6 | jq '.[0].xdp.mode // 0')" 0
	attached_are vb1
	send va1
	wait_for 5 accounted
	stop cap
	equal "of vb1" "$(sent vb1)" 100
}

@test "tap: created and removed 100 times under traffic: nothing leaks, of the others nothing is missing" {
	local i fds memory

	two_hosts gro=on
	tap -i wb -i 'vb*'
	start gen a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --dst-port 9998 --size 128 --rate 2000 --count 60000 --json
	for i in {1..100}; do
		come_and_go "$i"
		[ "$i" != 20 ] || { fds=$(descriptors) memory=$(memory_kib); }
	done
	equal "descriptors" "$(descriptors)" "$fds"
	at_most "growth of memory, KiB" "$(($(memory_kib) - memory))" 512
	equal "pins" "$(pins)" 1
	ended gen
	wait_for 10 accounted
	stop cap
	equal "of all" "$("$HELPERS/genstat" "$OUT" | jq .distinct)" 61000
	equal "of those that came and went" "$(tshark -n -r "$OUT" \
		-Y 'udp.dstport == 9999 && frame.interface_name matches "^vb"' 2>/dev/null |
		wc -l)" 1000
	equal "pins left" "$(find "$XCAP_BPFFS/xcap" -type f | wc -l)" 0
}

# One of three names; packets of it are taken before it goes, or while it does.
come_and_go() {
	local n=$(($1 % 3))

	more_veth "$n"
	wait_for 5 attached_are "vb$n" wb
	send "va$n" 10
	in_ns a ip link del "va$n"
	wait_for 5 attached_are wb
}

@test "tap: after kill -9 what was tapped while running is tapped on, and all is accounted for" {
	two_hosts gro=on
	tap -i 'vb*' -i wb
	more_veth 1
	wait_for 5 attached_are vb1 wb
	send va1
	wait_for 5 accounted
	stop cap KILL || true
	tap -i 'vb*' -i wb
	attached_are vb1 wb
	send va1
	wait_for 5 accounted
	equal "seen, before and after" "$(status cap .account.seen)" 200
	stop cap
}
