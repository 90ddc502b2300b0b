#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What --preset and the sizes change, by their effect: frames, maps, memory.

load helpers

PRESETS=(balanced throughput latency memory)

two_hosts() {
	new_ns agg
	new_ns a
	new_ns b
	uplink_network agg b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24 gro=on
	start sink b socat -u UDP-RECV:9999,rcvbuf=4096 "EXEC:sleep 1000"
	pki agent-b
	start_aggregator agg
}

# send RATE LENGTH: for two seconds.
send() {
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --dst-port 9999 --rate "$1" --size "$2" --duration 2 >/dev/null
}

lane() {
	status agent-b "[.lanes[].$1] | add"
}

# between WHAT VALUE LOW HIGH
between() {
	at_least "$1" "$2" "$3"
	at_most "$1" "$2" "$4"
}

# frames_of ARGUMENT...: bytes of a frame under load, FRAME_BYTES, and milliseconds that it was open
# where packets are few, FRAME_MS: as many as half the packets in it.
frames_of() {
	start_agent agent-b b -i wb -Q in "$@"
	send 20000 1400
	FRAME_BYTES=$(($(lane bytes) / $(lane frames)))
	stop agent-b
	start_agent agent-b b -i wb -Q in "$@"
	send 2000 64
	FRAME_MS=$(($(lane packets) / $(lane frames) / 2))
	stop agent-b
	echo "# $*: $FRAME_BYTES bytes a frame, $FRAME_MS ms" >&3
}

@test "presets set the size of a frame and how long it stays open" {
	two_hosts
	frames_of --preset balanced
	between "bytes" "$FRAME_BYTES" 50000 65536
	between "ms" "$FRAME_MS" 17 35
	frames_of --preset throughput
	between "bytes" "$FRAME_BYTES" 150000 262144
	between "ms" "$FRAME_MS" 200 600
	frames_of --preset latency
	between "bytes" "$FRAME_BYTES" 12000 16384
	between "ms" "$FRAME_MS" 6 16
	frames_of --preset memory
	between "bytes" "$FRAME_BYTES" 25000 32768
	between "ms" "$FRAME_MS" 17 35
}

@test "an option of its own wins over the preset, wherever it comes from" {
	printf 'preset: throughput\nbatch_size: 64KiB\n' >"$BATS_TEST_TMPDIR/xcapd.yaml"
	two_hosts
	export XCAP_BATCH_TIMEOUT=40ms
	frames_of --config "$BATS_TEST_TMPDIR/xcapd.yaml" --ring-size 2MiB
	between "bytes" "$FRAME_BYTES" 50000 65536
	between "ms" "$FRAME_MS" 36 70
	run -0 --separate-stderr "$XCAP_BIN/xcapd" --config "$BATS_TEST_TMPDIR/xcapd.yaml" \
		--ring-size 2MiB --print-config
	for expected in 'preset: throughput *# .*xcapd.yaml:1' 'batch_size: 64KiB *# .*xcapd.yaml:2' \
		'batch_timeout: 40ms *# environment' 'ring_size: 2MiB *# command line' \
		'journal_size: 256MiB *# preset throughput'; do
		grep -qx "$expected" <<<"$output" || fail "no line $expected in $output"
	done
}

# ring_bytes: of one CPU's map; journal_bytes: of the journal's file.
ring_bytes() {
	bpftool -j map show pinned "$XCAP_BPFFS/xcap/agent-b/ring_0" | jq .max_entries
}
journal_bytes() {
	stat -c %s "$RUN_DIR/agent-b/lane0.journal"
}

@test "presets and options set the sizes of rings and journals" {
	local name
	local -A ring=([balanced]=8 [throughput]=16 [latency]=8 [memory]=1)
	local -A journal=([balanced]=64 [throughput]=256 [latency]=64 [memory]=16)

	requires bpftool
	[ "$(nproc)" -le 16 ] || ring[balanced]=$((128 / $(nproc))) ring[latency]=$((128 / $(nproc)))
	new_ns a
	new_ns b
	veth_pair a wa b wb
	for name in "${PRESETS[@]}"; do
		start_agent agent-b b -i wb -w /dev/null --preset "$name"
		equal "$name: ring" "$(ring_bytes)" $((ring[$name] << 20))
		between "$name: journal" "$(journal_bytes)" $((journal[$name] << 20)) \
			$(((journal[$name] + 1) << 20))
		stop agent-b
	done
	start_agent agent-b b -i wb -w /dev/null --preset memory --ring-size 4MiB --journal-size 8MiB
	equal "ring" "$(ring_bytes)" $((4 << 20))
	between "journal" "$(journal_bytes)" $((8 << 20)) $((9 << 20))
	stop agent-b
	# All CPUs together.
	start_agent agent-b b -i wb -w /dev/null --preset memory -B $((2 * $(nproc)))
	equal "ring" "$(ring_bytes)" $((2 << 20))
}

# tap_memory ARGUMENT...: MEMORY, kB that belong to an agent alone: mostly the frame memory, all of
# which the kernel takes at once.
tap_memory() {
	start_agent agent-b b -i wb --mode tap -w /dev/null "$@"
	MEMORY=$(awk '/RssAnon/ { print $2 }' "/proc/${PIDS[agent-b]}/status")
	stop agent-b
}

@test "presets and options set the frame memory of a tap" {
	local name rest
	local -A umem=([balanced]=32 [throughput]=32 [latency]=32 [memory]=2)

	new_ns a
	new_ns b
	veth_pair a wa b wb
	tap_memory --umem-size 1MiB
	rest=$((MEMORY - 1024))
	for name in "${PRESETS[@]}"; do
		tap_memory --preset "$name"
		between "$name: kB" $((MEMORY - rest)) $((umem[$name] * 1024 - 500)) \
			$((umem[$name] * 1024 + 500))
	done
	tap_memory --preset memory --umem-size 5MiB
	between "of its own: kB" $((MEMORY - rest)) 3600 4600
}
