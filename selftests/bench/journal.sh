#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The durable journal alone, 64 KiB frames of 16 streams: how fast it goes, what it costs at a
# steady 350 MB/s, and how soon a frame is durable; on tmpfs and on the disk of TMPDIR.
. "$(dirname "$0")/common.bash"

# journal WHERE DIR FASTEST: with the rate that is to be reached at the least.
journal() {
	local where=$1 dir=$2 fastest=$3 run rate

	# The first touch of a guest's memory is several times slower than the second.
	"$XCAP_BIN/selftests/bench/journal_bench" "$dir" 1 >/dev/null
	run=$("$XCAP_BIN/selftests/bench/journal_bench" "$dir" 4)
	result "journal: $where, flat out" "$(jq .mb_per_second <<<"$run")" MB/s ">= $fastest"
	result "journal: $where, flat out, CPU, its own thread" "$(jq .thread_us_per_mb <<<"$run")" us/MB
	result "journal: $where, flat out, CPU, with the kernel's" "$(jq .us_per_mb <<<"$run")" us/MB
	result "journal: $where, flat out, fdatasync" "$(jq .syncs <<<"$run")" calls
	for rate in 100 "$fastest"; do
		run=$("$XCAP_BIN/selftests/bench/journal_bench" "$dir" 4 65536 16 "$rate")
		result "journal: $where, $rate MB/s, CPU, its own thread" \
			"$(jq '.thread_cpu * 1000 | round / 10' <<<"$run")" % "<= 50"
		result "journal: $where, $rate MB/s, CPU, with the kernel's" "$(jq '.cpu * 1000 | round / 10' <<<"$run")" %
		result "journal: $where, $rate MB/s, fdatasync" "$(jq .syncs <<<"$run")" calls
		result "journal: $where, $rate MB/s, append to durable, p50" \
			"$(jq .latency_us.p50 <<<"$run")" us
		result "journal: $where, $rate MB/s, append to durable, p95" \
			"$(jq .latency_us.p95 <<<"$run")" us
	done
}

mkdir "$BATS_TEST_TMPDIR/tmpfs" "$BATS_TEST_TMPDIR/disk"
mount -t tmpfs -o size=1g tmpfs "$BATS_TEST_TMPDIR/tmpfs"
defer umount "$BATS_TEST_TMPDIR/tmpfs"
journal tmpfs "$BATS_TEST_TMPDIR/tmpfs" 350
journal disk "$BATS_TEST_TMPDIR/disk" 200
finish
