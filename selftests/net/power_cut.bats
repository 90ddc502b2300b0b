#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The power goes while a journal is written. Its file system is in a loop file on XFS: a reflink
# clone of that file is the disk as a power cut at that moment leaves it. What was synced is in
# it; what was only in memory is not.

load helpers

# A disk for the journal: $DISK is its file, $STORE where it is mounted.
make_disk() {
	requires mkfs.xfs mkfs.ext4 losetup
	local dir=$BATS_TEST_TMPDIR

	mkdir "$dir/xfs" "$dir/store" "$dir/clone"
	truncate -s 2G "$dir/xfs.img"
	mkfs.xfs -q -m reflink=1 "$dir/xfs.img"
	mount -o loop "$dir/xfs.img" "$dir/xfs"
	defer umount "$dir/xfs"
	DISK=$dir/xfs/disk.img
	STORE=$dir/store
	truncate -s 400M "$DISK"
	mkfs.ext4 -q -F "$DISK"
	mount -o loop "$DISK" "$STORE"
	defer umount "$STORE"
}

# acknowledged LINES: so many have been printed.
acknowledged() {
	[ "$(wc -l <"$BATS_TEST_TMPDIR/append.out")" -ge "$1" ]
}

# cut N: the power, for the Nth time. First what was acknowledged, then what the disk holds.
cut() {
	cp "$BATS_TEST_TMPDIR/append.out" "$BATS_TEST_TMPDIR/acknowledged.$1"
	cp --reflink=always "$DISK" "$BATS_TEST_TMPDIR/xfs/clone.$1.img"
}

# check N: start from that disk again.
check() {
	local clone=$BATS_TEST_TMPDIR/clone status=0

	mount -o loop "$BATS_TEST_TMPDIR/xfs/clone.$1.img" "$clone"
	"$HELPERS/journal_power" check "$clone/journal" <"$BATS_TEST_TMPDIR/acknowledged.$1" ||
		status=$?
	umount "$clone"
	return "$status"
}

@test "every acknowledged sequence survives a power cut" {
	make_disk
	start append - "$HELPERS/journal_power" append "$STORE/journal"
	for i in 1 2 3 4 5 6 7 8; do
		wait_for 20 acknowledged $((i * i * 100))
		cut "$i"
	done
	kill_daemon append
	for i in 1 2 3 4 5 6 7 8; do
		check "$i"
	done
}

@test "without fdatasync a power cut loses what was acknowledged, and the test above notices" {
	requires "${CC:-cc}"
	local program=$BATS_TEST_TMPDIR/without_sync

	make_disk
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -DXCAP_TEST_NO_SYNC -O1 -pthread -I"$TOP" -o "$program" \
		"$TOP"/selftests/net/journal_power.c "$TOP"/common/journal*.c \
		"$TOP"/common/{segment,segment_file,stream,stream_table,frame,message,crc32c,buf,loop}.c \
		-luring -ljansson -lisal
	start append - env XCAP_TEST_NO_SYNC=1 "$program" append "$STORE/journal"
	wait_for 20 acknowledged 500
	cut 1
	kill_daemon append
	run check 1
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *acknowledged* ]]
}
