#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What the aggregator does with frames, right and wrong ones, sent by a client that does as told.

load helpers

setup() {
	helpers_setup
	pki a b
}

# client AGENT STEP...: see wire_client.c; with the options in OPTIONS.
client() {
	local -a TLS
	local agent=$1
	shift

	tls_options "$agent"
	# shellcheck disable=SC2086 # several words
	timeout 200 "$HELPERS/wire_client" "${TLS[@]}" ${OPTIONS-} "127.0.0.1:$AGGREGATOR_PORT" "$@"
}

# client_in_background NAME AGENT STEP...: output in NAME.out.
client_in_background() {
	local -a TLS
	local name=$1 agent=$2
	shift 2

	tls_options "$agent"
	# shellcheck disable=SC2086 # several words
	start "$name" - "$HELPERS/wire_client" "${TLS[@]}" ${OPTIONS-} \
		"127.0.0.1:$AGGREGATOR_PORT" "$@"
}

# of_stream AGENT FIELD: of the aggregator's status.
of_stream() {
	status aggregator ".streams[] | select(.agent == \"$1\") | $2"
}

refused() {
	status aggregator ".refused.$1"
}

status_is() {
	local value

	value=$(status aggregator "$1")
	[ "$value" = "$2" ] || fail "$1 is $value, not $2"
}

# contents FILE...: "AGENT SEQUENCE INDEX" of each packet, sorted.
contents() {
	local file

	for file in "$@"; do
		tshark -n -r "$file" -T fields -e data.data
	done | perl -lne 'print pack("H*", $_) =~ s/\0.*//r' | sort
}

# expected AGENT FIRST LAST PACKETS: the same for frames FIRST to LAST.
expected() {
	local sequence index

	for ((sequence = $2; sequence <= $3; sequence++)); do
		for ((index = 0; index < $4; index++)); do
			echo "$1 $sequence $index"
		done
	done
}

# The second agent is not affected by what the first one does.
b_goes_on() {
	client b up frames=3 acked
}

@test "a frame is acknowledged once it is durable, and is there after a restart" {
	start_aggregator -
	run -0 client a up frames=5 acked
	[[ $output == *"ack 5"* ]]
	equal frames "$(of_stream a .frames)" 5
	equal packets "$(of_stream a .packets)" 50
	equal connected "$(of_stream a .connected)" false
	stop aggregator KILL || true
	start_aggregator -
	run -0 client a up again=3 frames=1 acked
	[[ $output == *"ack 5"*"ack 6"* ]]
	equal duplicates "$(of_stream a .duplicates)" 1
	equal frames "$(of_stream a .frames)" 1
	stop aggregator
}

@test "a frame with a bad checksum is refused by its number, and the connection goes on" {
	start_aggregator -
	run -0 client a up frames=2 bad-payload nacked=damaged frames=2 next=3 frames=1 next=6 acked
	[[ $output == *"nack 3 damaged"* ]]
	equal nacks "$(of_stream a .nacks)" 1
	equal frames "$(of_stream a .frames)" 5
	b_goes_on
}

@test "a frame of an unknown type is kept, a critical one refused" {
	start_aggregator -
	run -0 client a up type=200 acked type=!201 nacked=unknown_type
	[[ $output == *"nack 2 unknown_type"* ]]
	equal frames "$(of_stream a .frames)" 1
}

@test "an oversized frame ends the connection, and both sides know why" {
	start_aggregator -
	run -0 client a up frames=1 acked oversized ended
	[[ $output == *"refused a frame that is too large"* ]]
	logged aggregator "refused agent a at 127.0.0.1"
	logged aggregator "a frame that is too large"
	equal refused "$(refused bad_frame)" 1
	b_goes_on
}

@test "a damaged header ends the connection, and the frames before it stay" {
	start_aggregator -
	run -0 client a up frames=3 bad-header ended
	[[ $output == *"refused what came is not a frame, or its header is damaged"* ]]
	run -0 client a up acked
	[[ $output == *"ack 3"* ]]
	b_goes_on
}

@test "another protocol version is told to both sides" {
	start_aggregator -
	run -0 client a connect tls hello=7 ended
	[[ $output == *"hello 1..1 xcap-aggregator"* ]]
	[[ $output == *"refused agent a (wire_client on test) speaks protocol versions 7 to 7"* ]]
	logged aggregator "speaks protocol versions 7 to 7, this aggregator"
	equal refused "$(refused version)" 1
	b_goes_on
}

@test "an agent opens no stream but its own" {
	start_aggregator -
	run -0 client a connect tls hello open=b ended
	[[ $output == *"refused the certificate is of agent a, which may not open a stream of agent b"* ]]
	logged aggregator "the certificate is of agent a, which may not open a stream of agent b"
	equal refused "$(refused identity)" 1
	equal streams "$(status aggregator '.streams | length')" 0
	# Nor once it has opened its own.
	run -0 client a up open=b ended
	[[ $output == *"which may not open a stream of agent b"* ]]
	b_goes_on
}

@test "a client of another authority, or with none, is refused and told why" {
	start_aggregator -
	PKI=$BATS_TEST_TMPDIR/other pki a
	cp "$BATS_TEST_TMPDIR/other/a.crt" "$PKI/stranger.crt"
	cp "$BATS_TEST_TMPDIR/other/a.key" "$PKI/stranger.key"
	OPTIONS="--agent a" run client stranger connect tls hello open ended
	[[ $output == *"closed "*alert* ]]
	wait_for 5 status_is .refused.tls 1
	logged aggregator "refused 127.0.0.1"
	b_goes_on
}

@test "garbage is refused at once, silence after ten seconds, others go on" {
	start_aggregator -
	client_in_background silent a connect ended=20000
	client_in_background half-way a connect tls ended=20000
	run client a connect garbage ended
	wait_for 5 status_is .refused.tls 1
	logged aggregator "not TLS"
	b_goes_on
	sleep 8
	is_running silent
	is_running half-way
	wait_for 4 status_is .refused.handshake_timeout 2
	ended silent
	ended half-way
	logged aggregator "no TLS handshake within 10 s"
	logged aggregator "no HELLO and OPEN within 10 s"
	b_goes_on
}

@test "half a frame leaves nothing behind" {
	start_aggregator -
	client a up frames=2 acked half close
	run -0 client a up acked frames=1 acked
	[[ $output == *"ack 2"*"ack 3"* ]]
	equal damaged "$(status aggregator '[.store.journals[].failures] | add')" 0
}

@test "frames of a number that is not open end the connection" {
	start_aggregator -
	run -0 client a up unopened ended
	[[ $output == *"a stats frame of stream number 77, which is not open"* ]]
	equal refused "$(refused protocol)" 1
}

@test "a second connection for a stream ends the first" {
	start_aggregator -
	client_in_background first a up frames=2 acked pause=20000
	wait_for 5 grep -q "ack 2" "$BATS_TEST_TMPDIR/first.out"
	run -0 client a up frames=1 acked
	[[ $output == *"ack 2"*"ack 3"* ]]
	wait_for 5 grep -q closed "$BATS_TEST_TMPDIR/first.out"
	logged aggregator "is opened again by"
	equal streams "$(status aggregator '.streams | length')" 1
}

@test "what a sender declares lost closes the sequence and is counted" {
	start_aggregator -
	run -0 client a up frames=1 loss=7 frames=1 acked
	[[ $output == *"ack 9"* ]]
	equal lost "$(of_stream a .lost.journal_full)" 70
	logged aggregator "stream a/0@01000000 has lost 70 packets on its way here (journal_full)"
	equal packets "$(of_stream a .packets)" 20
	equal durable "$(of_stream a .durable_sequence)" 9
}

@test "the end of a stream is stored" {
	start_aggregator -
	client a up frames=1 bye acked
	equal ended "$(of_stream a .ended)" true
}

@test "what comes is in the merged file within a second, and each packet names its agent" {
	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	client a interval=1 up frames=2 mark acked
	client b interval=1 up frames=2 mark acked bye acked
	client a up next=3 bye acked
	wait_for 1 has_packets "$BATS_TEST_TMPDIR/merged.pcapng" 40
	stop aggregator
	readable "$BATS_TEST_TMPDIR/merged.pcapng"
	equal interfaces "$(tshark -n -r "$BATS_TEST_TMPDIR/merged.pcapng" -T fields \
		-e frame.interface_name | sort | uniq -c | xargs)" "20 a/eth9 20 b/eth9"
}

@test "kill -9 again and again: the merged files have each packet once, in order" {
	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	client_in_background a a quiet packets=20 interval=10 run=400 bye acked
	client_in_background b b quiet packets=7 interval=7 run=600 bye acked
	for wait in 0.3 1.2 0.05 0.7 1.5; do
		sleep "$wait"
		stop aggregator KILL || true
		start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	done
	ended a
	ended b
	stop aggregator
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
	readable "$BATS_TEST_TMPDIR/merged.pcapng"
	{
		expected a 1 400 20
		expected b 1 600 7
	} | sort >"$BATS_TEST_TMPDIR/expected"
	contents "$BATS_TEST_TMPDIR"/merged*.pcapng >"$BATS_TEST_TMPDIR/found"
	diff "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/found" | head
	cmp "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/found"
}

@test "late packets and other link types go to files beside the output" {
	local now=$(($(date +%s) * 1000000000))

	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	OPTIONS="--base $now" client a up frames=5 acked bye acked
	wait_for 5 status_is .reader.packets 50
	OPTIONS="--base $((now - 3000000000))" client b up frames=2 acked bye acked
	wait_for 5 status_is .reader.late_packets 20
	OPTIONS="--base $((now + 500000000)) --lane 1" client a link-type=101 up frames=1 bye acked
	wait_for 5 status_is .reader.packets 60
	stop aggregator
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
	equal main "$(packets "$BATS_TEST_TMPDIR/merged.pcapng")" 50
	equal late "$(packets "$BATS_TEST_TMPDIR/merged.late.pcapng")" 20
	equal raw "$(packets "$BATS_TEST_TMPDIR/merged.linktype101.pcapng")" 10
}

@test "late packets of before a crash are in one of the files, and only once" {
	local now=$(($(date +%s) * 1000000000))

	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	OPTIONS="--base $now" client a up frames=5 acked bye acked
	OPTIONS="--base $((now - 3000000000))" client b up frames=2 acked bye acked
	wait_for 1 status_is .reader.late_packets 20
	equal "checkpoints: at the start, and for the new file" \
		"$(status aggregator .reader.checkpoints)" 2
	stop aggregator KILL || true
	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	wait_for 5 status_is ".reader.packets + .reader.late_packets" 70
	stop aggregator
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
	{
		expected a 1 5 10
		expected b 1 2 10
	} | sort >"$BATS_TEST_TMPDIR/expected"
	contents "$BATS_TEST_TMPDIR"/merged*.pcapng | cmp - "$BATS_TEST_TMPDIR/expected"
}

@test "what is older than the file's last packet is late after a restart too" {
	local now=$(($(date +%s) * 1000000000))

	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	OPTIONS="--base $now" client a up frames=5 acked bye acked
	wait_for 5 status_is .reader.packets 50
	stop aggregator
	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	OPTIONS="--base $((now - 3000000000))" client b up frames=2 acked bye acked
	wait_for 5 status_is .reader.late_packets 20
	stop aggregator
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
	equal packets "$(packets "$BATS_TEST_TMPDIR/merged.pcapng")" 50
}

@test "an agent that falls silent holds up the others for merge-wait only" {
	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng" --merge-wait 1s
	client_in_background b b up mark pause=20000
	wait_for 5 status_is .connections 1
	wait_for 5 status_is .reader.streams 1
	client a up frames=5 acked bye acked
	sleep 0.5
	[ "$(status aggregator .reader.packets)" -lt 50 ]
	wait_for 3 status_is .reader.packets 50
	equal "left out" "$(status aggregator .reader.streams_left_out)" 1
	logged aggregator "stream b/0@01000000 says nothing: the merge goes on without it"
	stop aggregator
}

@test "another aggregator may relay streams of any agent" {
	start_aggregator -
	OPTIONS="--agent a" run -0 client aggregator up frames=2 acked
	equal packets "$(of_stream a .packets)" 20
}

@test "without io_uring it ends with 69 and names the cause" {
	local -a TLS

	requires strace
	tls_options aggregator
	run -69 env ASAN_OPTIONS=detect_leaks=0 strace -f -o /dev/null -e inject=io_uring_setup:error=EPERM \
		"$XCAP_BIN/xcap-aggregator" "${TLS[@]}" --listen 127.0.0.1:0 --run-dir "$RUN_DIR" \
		--store "$BATS_TEST_TMPDIR/store"
	[[ $output == *"kernel.io_uring_disabled"* ]]
}

@test "standard output is a live capture, and ends with its reader" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	tcpdump -n -r "$BATS_TEST_TMPDIR/pipe" --print -w "$BATS_TEST_TMPDIR/taken.pcap" \
		>"$BATS_TEST_TMPDIR/tcpdump.out" 2>&1 3>&- &
	PIDS[tcpdump]=$!
	tls_options aggregator
	STORE=$BATS_TEST_TMPDIR/store
	# shellcheck disable=SC2016 # for the inner shell
	start aggregator - sh -c 'exec "$@" >"$0"' "$BATS_TEST_TMPDIR/pipe" \
		"$XCAP_BIN/xcap-aggregator" --listen "127.0.0.1:$AGGREGATOR_PORT" \
		--store "$STORE" --run-dir "$RUN_DIR" "${TLS[@]}" -w -
	wait_for 10 listens aggregator - "$AGGREGATOR_PORT"
	client a up frames=5 acked bye acked
	lines() { [ "$(wc -l <"$BATS_TEST_TMPDIR/tcpdump.out")" -ge "$1" ]; }
	wait_for 1 lines 50
	kill "${PIDS[tcpdump]}"
	client b up frames=5 acked bye acked || true
	ended aggregator || true
	equal status "${STATUS[aggregator]}" 1
	logged aggregator "writing - has ended: Broken pipe"
}

@test "an output of live streams has no replayed packets, and the other way round" {
	start_aggregator - -w "$BATS_TEST_TMPDIR/live.pcapng"
	client a up frames=2 acked bye acked
	OPTIONS="--replay --lane 1 --base 1000000000000000000" client a up frames=3 acked bye acked
	stop aggregator
	equal live "$(packets "$BATS_TEST_TMPDIR/live.pcapng")" 20
	start_aggregator - --replay -w "$BATS_TEST_TMPDIR/replay.pcapng"
	client b up frames=2 acked bye acked
	OPTIONS="--replay --lane 2 --base 1000000000000000000" client a up frames=4 acked bye acked
	stop aggregator
	equal replayed "$(packets "$BATS_TEST_TMPDIR/replay.pcapng")" 40
}

small_tmpfs() {
	mkdir -p "$1"
	mount -t tmpfs -o "size=$2" tmpfs "$1"
	defer umount -l "$1"
}

@test "a full store refuses frames, agents keep them, and nothing is missing afterwards" {
	small_tmpfs "$BATS_TEST_TMPDIR/disk" 24m
	STORE=$BATS_TEST_TMPDIR/disk/store start_aggregator - --segment-size 2MiB --workers 1 \
		-w "$BATS_TEST_TMPDIR/merged.pcapng"
	fallocate -l 12M "$BATS_TEST_TMPDIR/disk/filler"
	client_in_background a a quiet packets=40 size=1400 interval=2 run=300 bye acked
	wait_for 20 grep -q "nack .* store" "$BATS_TEST_TMPDIR/a.out"
	logged aggregator "cannot store frames in"
	equal failing "$(status aggregator '.store.journals[0].failing')" true
	is_running a
	rm "$BATS_TEST_TMPDIR/disk/filler"
	ended a
	equal failing "$(status aggregator '.store.journals[0].failing')" false
	equal durable "$(of_stream a .durable_sequence)" 301
	equal packets "$(of_stream a .packets)" 12000
	logged aggregator "storing in"
	stop aggregator
	in_time_order "$BATS_TEST_TMPDIR/merged.pcapng"
	expected a 1 300 40 | sort >"$BATS_TEST_TMPDIR/expected"
	contents "$BATS_TEST_TMPDIR/merged.pcapng" | cmp - "$BATS_TEST_TMPDIR/expected"
}

@test "an output whose disk is full does not hold up agents, and catches up" {
	small_tmpfs "$BATS_TEST_TMPDIR/disk" 4m
	fallocate -l 3500k "$BATS_TEST_TMPDIR/disk/filler"
	start_aggregator - -w "$BATS_TEST_TMPDIR/disk/merged.pcapng"
	client a quiet packets=40 size=1400 interval=2 run=40 bye acked
	equal durable "$(of_stream a .durable_sequence)" 41
	wait_for 5 status_is .reader.blocked true
	logged aggregator "cannot write $BATS_TEST_TMPDIR/disk/merged.pcapng"
	rm "$BATS_TEST_TMPDIR/disk/filler"
	wait_for 5 status_is .reader.blocked false
	wait_for 5 has_packets "$BATS_TEST_TMPDIR/disk/merged.pcapng" 1600
	stop aggregator
	readable "$BATS_TEST_TMPDIR/disk/merged.pcapng"
	equal packets "$(packets "$BATS_TEST_TMPDIR/disk/merged.pcapng")" 1600
}

@test "what waits for an agent that is gone is in the file after the next start" {
	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng"
	client_in_background b b up mark pause=30000
	wait_for 5 grep -q hello "$BATS_TEST_TMPDIR/b.out"
	wait_for 5 status_is .connections 1
	client a up frames=5 acked
	stop aggregator
	logged aggregator "packets wait in the store"
	kill "${PIDS[b]}"
	before=$(packets "$BATS_TEST_TMPDIR/merged.pcapng")
	[ "$before" -lt 50 ]
	start_aggregator - -w "$BATS_TEST_TMPDIR/merged.pcapng" --merge-wait 500ms
	wait_for 10 has_packets "$BATS_TEST_TMPDIR/merged.pcapng" 50
	stop aggregator
	readable "$BATS_TEST_TMPDIR/merged.pcapng"
	expected a 1 5 10 | sort >"$BATS_TEST_TMPDIR/expected"
	contents "$BATS_TEST_TMPDIR/merged.pcapng" | cmp - "$BATS_TEST_TMPDIR/expected"
}

@test "an aggregator without packets leaves an empty capture that is valid" {
	start_aggregator - -w "$BATS_TEST_TMPDIR/empty.pcapng"
	stop aggregator
	readable "$BATS_TEST_TMPDIR/empty.pcapng"
	equal packets "$(packets "$BATS_TEST_TMPDIR/empty.pcapng")" 0
}

@test "two hundred connections are served side by side" {
	local i

	start_aggregator -
	for ((i = 0; i < 200; i++)); do
		OPTIONS="--lane $i" client_in_background "c$i" a up frames=5 acked pause=60000
	done
	wait_for 60 status_is .connections 200
	acked() { equal acked "$(grep -lx 'ack 5' "$BATS_TEST_TMPDIR"/c*.out | wc -l)" 200; }
	wait_for 20 acked
	equal frames "$(status aggregator '[.streams[].frames] | add')" 1000
	stop aggregator
}

@test "exit codes tell a port in use, a certificate that is none and a store not permitted" {
	local -a TLS other
	start_aggregator -
	tls_options aggregator
	other=("$XCAP_BIN/xcap-aggregator" --run-dir "$RUN_DIR" --name other --store
		"$BATS_TEST_TMPDIR/other")
	run -1 "${other[@]}" "${TLS[@]}" --listen "127.0.0.1:$AGGREGATOR_PORT"
	[[ $output == *"cannot listen at 127.0.0.1:$AGGREGATOR_PORT"* ]]
	run -1 "${other[@]}" "${TLS[@]}" --listen 127.0.0.1:0 --store "$STORE"
	[[ $output == *"another aggregator uses it"* ]]
	run -78 "${other[@]}" --ca "$PKI/ca.crt" --cert "$PKI/ca.key" --key "$PKI/aggregator.key"
	[[ $output == *"ca.key"* ]]
	run -78 "${other[@]}" "${TLS[@]}" --listen no-port-here:x:y
	# The test's own folder is closed to others.
	open=$(mktemp -d)
	defer rm -rf "$open"
	cp "$PKI"/ca.crt "$PKI"/aggregator.* "$open"
	chmod 755 "$open"
	chown 65534 "$open"/*
	PKI=$open tls_options aggregator
	cp "$XCAP_BIN/xcap-aggregator" "$open"
	run -77 setpriv --reuid 65534 --clear-groups "$open/xcap-aggregator" --run-dir /tmp \
		--name "xcap-test-$$" "${TLS[@]}" --listen 127.0.0.1:0 --store /root/store
	[[ $output == *"cannot create store /root/store: Permission denied"* ]]
}
