#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Whose clock stamps packets: what is asked for, what can be had, and stamps as a network card gives
# them. A veth is no such card: it hands on the stamps of others, and says that it gives none.

load helpers

two_hosts() {
	new_ns a
	new_ns b
	veth_pair a wa b wb "$@"
}

# refused ARGUMENT...: xcapd on wb ends with 78 at once; what it said is in $output.
refused() {
	run -78 in_ns b "$XCAP_BIN/xcapd" --name cap --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" \
		-i wb -w "$BATS_TEST_TMPDIR/out.pcapng" "$@"
	equal "pins left" "$(find "$XCAP_BPFFS/xcap" -mindepth 1)" ""
}

# probe ARGUMENT...: dataplane_probe on wb, into $OUT.
probe() {
	OUT=$BATS_TEST_TMPDIR/out.pcap
	start probe b "$HELPERS/dataplane_probe" --name probe --bpffs "$XCAP_BPFFS" \
		--run-dir "$RUN_DIR" -i wb -w "$OUT" "$@"
	wait_for 10 unless_ended probe logged probe ready
	is_running probe || fail "the probe has ended"
}

# count COUNTER: frames of the probe, which has ended.
count() {
	awk -v what="$1" '$1 == "wb" && $2 == what { print $3 }' "$BATS_TEST_TMPDIR/probe.log"
}

# times: of the packets in $OUT, in ns.
times() {
	tcpdump -q -n -tt --time-stamp-precision=nano -r "$OUT" 2>/dev/null |
		sed -nE 's/^([0-9]+)\.([0-9]{9}) .*/\1\2/p'
}

# send AHEAD_S AGO_US: ten stamped frames; their stamps as CLOCK_MONOTONIC in $STAMPS.
send() {
	local stamp

	STAMPS=
	while read -r stamp; do
		STAMPS+=$((stamp - $1 * 1000000000))$'\n'
	done < <(in_ns a "$HELPERS/stamped_send" wa 10 "$1" "$2")
	STAMPS=${STAMPS%$'\n'}
}

idb_of() {
	tshark -n -r "$1" -T fields -e frame.interface_description | sort | uniq -c | tr -s ' '
}

@test "what a driver does not give is refused, and it is said what, where and what to do" {
	local type

	two_hosts
	for type in nic ptp adapter adapter_unsynced; do
		refused --time-stamp-type "$type"
		[[ $output == *"time stamps of wb's network card"* ]] || fail "where? $output"
		[[ $output == *"its driver gives no hardware time stamps"* ]] || fail "why? $output"
		[[ $output == *"--time-stamp-type kernel"* ]] || fail "what to do? $output"
	done
	echo "timestamp_source: ptp" >"$BATS_TEST_TMPDIR/xcapd.yaml"
	refused --config "$BATS_TEST_TMPDIR/xcapd.yaml"
	refused --mode tap -j nic
}

@test "auto falls back to the kernel and says so in log, status and capture" {
	local mode

	two_hosts addr=10.1.0.1/24,10.1.0.2/24
	for mode in mirror tap; do
		start_agent cap b -i wb --mode "$mode" -w "$BATS_TEST_TMPDIR/$mode.pcapng"
		run -0 logged cap "time stamps: kernel, its driver gives no hardware time stamps"
		equal "asked" "$(status cap '.interfaces[0].time_stamps.asked')" auto
		equal "source" "$(status cap '.interfaces[0].time_stamps.source')" kernel
		equal "reason" "$(status cap '.interfaces[0].time_stamps.reason')" \
			"its driver gives no hardware time stamps"
		in_ns a ping -q -c 3 -i 0.01 -W 1 10.1.0.2 >/dev/null || [ "$mode" = tap ]
		equal "no_stamp" "$(status cap '.interfaces[0].counters.no_stamp.frames')" 0
		stop cap
		equal "sources in $mode" "$(idb_of "$BATS_TEST_TMPDIR/$mode.pcapng" |
			cut -d ' ' -f 3-)" "time stamps: kernel"
		equal "tsresol" "$(tshark -n -r "$BATS_TEST_TMPDIR/$mode.pcapng" -T fields \
			-e frame.time_epoch -c 1 | cut -d . -f 2 | tr -d '\n' | wc -c)" 9
		rm "$BATS_TEST_TMPDIR/cap.log"
	done
}

@test "the kernel's stamps are had by each of their names" {
	local type

	two_hosts
	for type in kernel host host_lowprec host_hiprec; do
		start_agent cap b -i wb -w "$BATS_TEST_TMPDIR/out.pcapng" -j "$type"
		equal "asked" "$(status cap '.interfaces[0].time_stamps.asked')" kernel
		equal "reason" "$(status cap '.interfaces[0].time_stamps.reason')" null
		stop cap
	done
}

@test "the types that an interface can have are listed" {
	two_hosts
	run -0 --separate-stderr in_ns b "$XCAP_BIN/xcapd" --list-time-stamp-types -i wb
	equal "list" "$output" "Time stamp types for wb (use option -j to set):
  kernel (host)"
	[[ $stderr == *"wb's network card (nic): its driver gives no hardware time stamps"* ]] || fail "$stderr"
	run -1 in_ns b "$XCAP_BIN/xcapd" -J -i nowhere0
	[[ $output == *"there is no interface nowhere0"* ]] || fail "$output"
}

@test "status tells of the host's clock what adjtimex tells" {
	local expected

	two_hosts
	start_agent cap b -i wb -w "$BATS_TEST_TMPDIR/out.pcapng"
	expected=$(python3 -c '
import ctypes
timex = (ctypes.c_byte * 512)()
state = ctypes.CDLL("libc.so.6").adjtimex(ctypes.byref(timex))
longs = ctypes.cast(timex, ctypes.POINTER(ctypes.c_long))
ints = ctypes.cast(timex, ctypes.POINTER(ctypes.c_int))
print("true" if state != 5 and not ints[10] & 0x40 else "false", ints[40] or "null")')
	equal "clock" "$(status cap '"\(.clock.synchronised) \(.clock.tai_minus_utc_seconds)"')" \
		"$expected"
	equal "fields" "$(status cap '[.clock | .offset_seconds, .max_error_seconds,
		.estimated_error_seconds | type] | unique | join(" ")')" number
	equal "PTP clocks" "$(status cap '.clock.ptp_clocks | length')" \
		"$(find /sys/class/ptp -mindepth 1 | wc -l)"
	run -0 "$XCAP_BIN/xcapctl" --socket "$RUN_DIR/cap.sock" status
	[[ $output == *synchronised* && $output == *time_stamps* ]] || fail "not in the table: $output"
}

@test "mirror: a network card's stamps become the times of packets, to the nanosecond" {
	two_hosts
	probe --clock-ahead 1000
	send 1000 500
	wait_for 5 has_packets "$OUT" 10
	stop probe
	equal "handed" "$(count handed)" 10
	equal "no_stamp" "$(count no_stamp)" 0
	equal "times" "$(times)" "$STAMPS"
}

@test "mirror: stamps of another clock give way to the kernel's, and are counted" {
	local time stamp

	two_hosts
	probe --clock-ahead 1000
	send 1001 500
	wait_for 5 has_packets "$OUT" 10
	stop probe
	equal "handed" "$(count handed)" 10
	equal "no_stamp" "$(count no_stamp)" 10
	# They were sent half a millisecond after their stamps.
	while read -r time stamp; do
		at_least "time since its stamp" $((time - stamp)) 500000
		at_most "time since its stamp" $((time - stamp)) 1000000000
	done < <(paste <(times) <(echo "$STAMPS"))
}

@test "tap: the driver is asked, and what it has no stamp for has the kernel's" {
	two_hosts
	probe --mode tap --clock-ahead 1000
	run ! logged probe generic
	send 1000 500
	wait_for 5 has_packets "$OUT" 10
	stop probe
	equal "handed" "$(count handed)" 10
	# A veth copies what its XDP program is to see, and the stamp is lost by that.
	equal "no_stamp" "$(count no_stamp)" 10
}
