#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What xcapd -r reads: PCAP and pcapng, plain and compressed, from files and pipes, whole and torn.

load helpers

# some_captures N: so many of each format, of Ethernet and in time order, into CAPTURES.
some_captures() {
	local file kind count type order

	requires_data ndpi
	CAPTURES=()
	for kind in pcap pcapng; do
		count=0
		for file in "$XCAP_DATA"/ndpi/*."$kind"; do
			[ "$count" -lt "$1" ] || break
			read -r type order < <(capinfos -T -r -E -o -M "$file" 2>/dev/null | cut -f 2-) || true
			[[ "$type $order" == "ether True" ]] || continue
			CAPTURES+=("$file")
			count=$((count + 1))
		done
	done
	at_least "captures" "${#CAPTURES[@]}" "$1"
}

# read_capture ARGUMENT...: into $OUT. Status and messages are xcapd's.
read_capture() {
	OUT=$BATS_TEST_TMPDIR/out.pcapng
	rm -f "$OUT"
	"$XCAP_BIN/xcapd" --speed max -w "$OUT" --run-dir "$RUN_DIR" --name reader -q "$@"
}

# Many captures in one, more than a block of any compression: $LARGE.
large_capture() {
	some_captures 40
	LARGE=$BATS_TEST_TMPDIR/large.pcap
	mergecap -F nsecpcap -w "$LARGE" "${CAPTURES[@]}"
	at_least "bytes of $LARGE" "$(stat -c %s "$LARGE")" 500000
}

# first_packets OUT FILE: what is in OUT are the first packets of FILE, and at least one.
first_packets() {
	local count

	count=$(packets "$1")
	at_least "packets" "$count" 1
	at_most "packets" "$count" "$(($(packets "$2") - 1))"
	editcap -F nsecpcap -r "$2" "$BATS_TEST_TMPDIR/first.pcap" "1-$count"
	same_packets "$BATS_TEST_TMPDIR/first.pcap" "$1"
}

@test "plain, gzip and zstd give the packets that tcpdump reads, whatever the file is called" {
	local file packed=$BATS_TEST_TMPDIR/capture.pcap

	some_captures 12
	for file in "${CAPTURES[@]}"; do
		for packer in cat "gzip -c" "zstd -qc"; do
			$packer <"$file" >"$packed"
			read_capture -r "$packed"
			same_packets "$file" "$OUT" || fail "$packer $file"
			$packer <"$file" | read_capture -r -
			same_packets "$file" "$OUT" || fail "$packer $file | xcapd -r -"
		done
	done
}

@test "gzip members and zstd frames may follow each other" {
	local file=$BATS_TEST_TMPDIR/members half

	large_capture
	half=$(($(stat -c %s "$LARGE") / 2))
	for packer in "gzip -c" "zstd -qc"; do
		{
			head -c "$half" "$LARGE" | $packer
			tail -c +$((half + 1)) "$LARGE" | $packer
		} >"$file"
		read_capture -r "$file"
		same_packets "$LARGE" "$OUT"
	done
	# As tar and tapes leave it.
	gzip -c "$LARGE" >"$file"
	truncate -s +1000 "$file"
	read_capture -r "$file"
	same_packets "$LARGE" "$OUT"
}

# 64 MiB of packets: more than the journal and all buffers on the way.
@test "a large compressed capture is read as a stream, at the pace of the reader" {
	local times=()

	large_capture
	while [ "${#times[@]}" -lt $((64000000 / $(stat -c %s "$LARGE"))) ]; do
		times+=("$LARGE")
	done
	mergecap -a -w "$BATS_TEST_TMPDIR/long.pcapng" "${times[@]}"
	zstd -q "$BATS_TEST_TMPDIR/long.pcapng" -o "$BATS_TEST_TMPDIR/long.zst"
	timeout 60 "$XCAP_BIN/xcapd" -r "$BATS_TEST_TMPDIR/long.zst" --speed max -w - -q \
		--journal-size 4MiB --run-dir "$RUN_DIR" | (sleep 1; cat) >"$BATS_TEST_TMPDIR/slow.pcapng"
	equal "packets" "$(packets "$BATS_TEST_TMPDIR/slow.pcapng")" \
		"$(packets "$BATS_TEST_TMPDIR/long.pcapng")"
}

@test "of a torn file what was before the tear is kept, and the error names it" {
	local file=$BATS_TEST_TMPDIR/torn kind size

	large_capture
	for kind in plain gzip zstd; do
		case $kind in
		plain) cat "$LARGE" ;;
		gzip) gzip -c "$LARGE" ;;
		zstd) zstd -qc "$LARGE" ;;
		esac >"$BATS_TEST_TMPDIR/whole"
		size=$(stat -c %s "$BATS_TEST_TMPDIR/whole")
		head -c $((size * 7 / 8)) "$BATS_TEST_TMPDIR/whole" >"$file"
		run -1 read_capture -r "$file"
		[[ $output == *"cannot read $file to its end: "*"cut short"* ]] || fail "$kind: $output"
		equal "$kind: lines" "${#lines[@]}" 1
		first_packets "$BATS_TEST_TMPDIR/out.pcapng" "$LARGE"
		# The time of reading instead of the recorded one changes nothing about that.
		run -1 read_capture -r - --stamp now <"$file"
		[[ $output == *"cannot read standard input to its end: "*"cut short"* ]] ||
			fail "$kind, standard input: $output"
		first_packets "$BATS_TEST_TMPDIR/out.pcapng" "$LARGE"
	done
}

@test "damage and what does not belong there are named" {
	local file=$BATS_TEST_TMPDIR/damaged

	large_capture
	gzip -c "$LARGE" >"$file"
	printf 'more' >>"$file"
	run -1 read_capture -r "$file"
	[[ $output == *"cannot read $file to its end: garbage follows the compressed data at byte "* ]]
	same_packets "$LARGE" "$BATS_TEST_TMPDIR/out.pcapng"
	# A bit of the checksum, which comes last.
	for packer in "gzip -c" "zstd -qc --check"; do
		$packer <"$LARGE" >"$file"
		printf '\377\377\377' | dd of="$file" bs=1 conv=notrunc status=none \
			seek=$(($(stat -c %s "$file") - 4))
		run -1 read_capture -r "$file"
		[[ $output == *"cannot read $file to its end: its ${packer%% *} data is damaged near"* ]] ||
			fail "$output"
		same_packets "$LARGE" "$BATS_TEST_TMPDIR/out.pcapng"
	done
	printf '\3757zXZ\0rest' >"$file"
	run -1 read_capture -r "$file"
	[[ $output == *"cannot read $file to its end: it is compressed by xz"*"only gzip and zstd"* ]]
	gzip -c "$XCAP_BIN/xcapctl" >"$file"
	run -1 read_capture -r "$file"
	[[ $output == *"cannot read $file to its end: neither pcapng nor PCAP"* ]]
	for empty in "" "$(gzip -c </dev/null | base64)"; do
		base64 -d <<<"$empty" >"$file"
		run -1 read_capture -r "$file"
		[[ $output == *"cannot read $file to its end: there is no capture in it"* ]] ||
			fail "$output"
	done
	# A header without packets is a capture.
	editcap -F pcap "$LARGE" "$file" 1-999999
	run -0 read_capture -r "$file"
	equal "packets" "$(packets "$BATS_TEST_TMPDIR/out.pcapng")" 0
}

@test "the file that is read is never the one that is written" {
	local file=$BATS_TEST_TMPDIR/recording.pcap link=$BATS_TEST_TMPDIR/link.pcap before

	some_captures 1
	cp "${CAPTURES[0]}" "$file"
	ln -s "$file" "$link"
	before=$(sha256sum <"$file")
	for names in "$file $file" "$file $link" "$link $file"; do
		# shellcheck disable=SC2086
		set -- $names
		run -78 "$XCAP_BIN/xcapd" -r "$1" -w "$2" --speed max --run-dir "$RUN_DIR" --name reader
		[[ $output == *"-r $1 and -w $2 are the same file: write to another"* ]] ||
			fail "$names: $output"
		equal "what was read" "$(sha256sum <"$file")" "$before"
	done
	run -78 "$XCAP_BIN/xcapd" -r - -w "$link" --run-dir "$RUN_DIR" --name reader <"$file"
	equal "what was read" "$(sha256sum <"$file")" "$before"
}
