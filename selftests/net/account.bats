#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The account of packets: of each interface, in every place that tells it, in every run.

load helpers

two_hosts() {
	new_ns a
	new_ns b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24 "$@"
}

# generate NS1 IF1 NS2 IF2 ARGUMENT...: numbered packets from IF1 to IF2.
generate() {
	local ns=$1 if=$2 mac

	mac=$(mac "$3" "$4")
	shift 4
	in_ns "$ns" "$XCAP_BIN/xcap-gen" -i "$if" --dst-mac "$mac" "$@" >/dev/null
}

# The equations of one interface, and of the agent, in the daemon's JSON.
EQUATIONS='def balanced: .seen == .self + .other_direction + .filtered + .sampled_out + .cut
		+ ([.dropped[]] | add) - .dropped.nic + .delivered + .pending + (.in_rings // 0)
		and .arrived == .seen + .dropped.nic
		and .pending >= 0 and (.in_rings // 0) >= 0;
	(.interfaces | all(.account | balanced)) and (.account | balanced)'

# balanced AGENT: whatever is going on at this moment.
balanced() {
	"$XCAP_BIN/xcapctl" --socket "$RUN_DIR/$1.sock" status --json \
		>"$BATS_TEST_TMPDIR/status.json"
	jq -e "$EQUATIONS" "$BATS_TEST_TMPDIR/status.json" >"$BATS_TEST_TMPDIR/jq.out" ||
		fail "$1: $(jq -c '[.interfaces[].account, .account]' "$BATS_TEST_TMPDIR/status.json")"
}

# account AGENT IF FIELD
account() {
	status "$1" ".interfaces[] | select(.name == \"$2\") | .account.$3"
}

settled() {
	equal "pending" "$(status "$1" '[.account.in_rings, .account.pending,
		(.interfaces[].account.pending)] | add')" 0
}

# delivered AGENT IF COUNT: so many were taken, and nothing is on the way.
delivered() {
	settled "$1" && equal "delivered" "$(account "$1" "$2" delivered)" "$3"
}

# statistics FILE: "IF RECEIVED DROPPED ACCEPTED OS_DROPPED DELIVERED" of each Interface Statistics
# Block, as Wireshark reads them, "-" for what is not told.
statistics() {
	tshark -n -r "$1" -X 'read_format:MIME Files Format' -V 2>"$BATS_TEST_TMPDIR/tshark.err" |
		awk '
			function flush() {
				if (isb)
					print name[id], n[4], n[5], n[6], n[7], n[8]
				isb = 0
			}
			/^    Block: /		{ flush(); idb = /Interface Description/ }
			/^    Block: Interface Statistics/ {
				isb = 1
				for (i = 4; i <= 8; i++)
					n[i] = "-"
			}
			idb && /Option: Interface Name = /	{ name[count++] = $NF; idb = 0 }
			isb && /^            Interface: / { id = $2 }
			isb && /Option: Number of /	{ value = $NF }
			isb && /Code: Number of /	{ gsub(/[()]/, "", $NF); n[$NF] = value }
			END				{ flush() }'
}

# The same of a large file: only what is not packets is shown to Wireshark.
statistics_at_end() {
	perl -e 'binmode STDIN;
		while (read(STDIN, $head, 8) == 8) {
			($type, $len) = unpack("VV", $head);
			read(STDIN, $rest, $len - 8);
			print $head, $rest if $type != 6;
		}' <"$1" >"$BATS_TEST_TMPDIR/end.pcapng"
	statistics "$BATS_TEST_TMPDIR/end.pcapng"
}

# told AGENT IF: the same numbers out of the agent's status.
told() {
	status "$1" ".interfaces[] | select(.name == \"$2\") | .name as \$name | .account |
		[\$name, .seen, .dropped.nic, .seen - .self - .other_direction - .filtered,
		([.dropped[]] | add) - .dropped.nic, .delivered] | join(\" \")"
}

@test "of each interface: status, maps and the file's statistics tell the same" {
	local file=$BATS_TEST_TMPDIR/out.pcapng

	two_hosts
	new_ns c
	veth_pair c wc b xb
	start_agent cap b -i wb -i xb -i lo -w "$file"
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	generate c wc b xb --count 500 --rate 10000
	wait_for 5 delivered cap xb 500
	balanced cap
	at_least "seen" "$(account cap wb seen)" 6
	equal "idle" "$(account cap lo seen)" 0
	for if in wb xb lo; do
		told cap "$if"
	done >"$BATS_TEST_TMPDIR/told"
	for if in wb xb lo; do
		"$XCAP_BIN/xcapctl" maps --json --bpffs "$XCAP_BPFFS" | jq -r --arg name "$if" \
			'.instances[].interfaces[] | select(.name == $name) | .counters |
			"\($name) \(.seen.frames) 0 \(.handed.frames) 0 \(.handed.frames)"'
	done >"$BATS_TEST_TMPDIR/maps"
	diff "$BATS_TEST_TMPDIR/told" "$BATS_TEST_TMPDIR/maps"
	stop cap INT
	readable "$file"
	statistics "$file" >"$BATS_TEST_TMPDIR/isb"
	diff <(sort "$BATS_TEST_TMPDIR/told") <(sort "$BATS_TEST_TMPDIR/isb")
	capinfos "$file" | grep -q 'Number of stat entries = 1'
}

@test "what is not wanted is told apart from what is lost" {
	local file=$BATS_TEST_TMPDIR/out.pcapng

	two_hosts
	start_agent cap b -i wb -Q in -w "$file"
	in_ns a ping -q -c 5 -i 0.2 10.1.0.2
	wait_for 5 settled cap
	balanced cap
	told cap wb >"$BATS_TEST_TMPDIR/told"
	at_least "other direction" "$(account cap wb other_direction)" 5
	stop cap INT
	diff "$BATS_TEST_TMPDIR/told" <(statistics "$file")
	equal "packets" "$(packets "$file")" "$(cut -d ' ' -f 6 "$BATS_TEST_TMPDIR/told")"
}

@test "an empty file tells why it is empty" {
	local file=$BATS_TEST_TMPDIR/out.pcapng

	two_hosts
	start_agent cap b -i wb -Q out -w "$file"
	generate a wa b wb --count 100 --rate 10000
	wait_for 5 saw cap wb 100
	stop cap INT
	equal "statistics" "$(statistics "$file")" "wb 100 0 0 0 0"
	equal "packets" "$(packets "$file")" 0
}

saw() {
	[ "$(account "$1" "$2" seen)" -ge "$3" ]
}

# The rings are full while nobody reads them.
stalled() {
	kill -STOP "${PIDS[cap]}"
	generate a wa b wb --count 60000 --size 200
	kill -CONT "${PIDS[cap]}"
}

@test "mirror: the account holds while rings are full, and says so at once" {
	local file=$BATS_TEST_TMPDIR/out.pcapng before

	two_hosts gro=on
	start_agent cap b -i wb -Q in -B 1 -w "$file"
	before=$(counter b wb rx_packets)
	stalled
	balanced cap
	wait_for 5 logged cap 'wb lost'
	stalled
	for _ in {1..20}; do
		balanced cap
	done
	wait_for 10 settled cap
	balanced cap
	equal "seen" "$(account cap wb seen)" $(($(counter b wb rx_packets) - before))
	at_least "ring full" "$(account cap wb dropped.ring_full)" 1000
	equal "alerts" "$(status cap '.alerts[] | "\(.interface) \(.reason)"')" "wb ring_full"
	equal "lines" "$(logged cap '(ring_full' | wc -l)" 1
	logged cap '(ring_full' | grep -q -- '--buffer-size'
	told cap wb >"$BATS_TEST_TMPDIR/told"
	stop cap INT
	equal "statistics" "$(statistics_at_end "$file")" "$(<"$BATS_TEST_TMPDIR/told")"
	grep -q "^  $(cut -d ' ' -f 5 "$BATS_TEST_TMPDIR/told") ring_full" "$BATS_TEST_TMPDIR/cap.log"
}

@test "tap: the account holds while sockets are full" {
	local file=$BATS_TEST_TMPDIR/out.pcapng

	two_hosts gro=on
	start_agent cap b -i wb --mode tap -w "$file"
	stalled
	balanced cap
	stalled
	wait_for 10 settled cap
	balanced cap
	at_least "lost" "$(status cap '[.account.dropped[]] | add')" 1000
	told cap wb >"$BATS_TEST_TMPDIR/told"
	stop cap INT
	equal "statistics" "$(statistics_at_end "$file")" "$(<"$BATS_TEST_TMPDIR/told")"
}

@test "the account holds while the journal is full, and the loss is said" {
	new_ns agg
	two_hosts gro=on
	uplink_network agg a b
	pki cap
	start_agent cap b -i wb -Q in --journal-size 4MiB --when-full drop-newest
	generate a wa b wb --count 40000 --size 1000 --rate 100000
	wait_for 5 saw cap wb 40000
	balanced cap
	at_least "lost" "$(status cap .account.dropped.journal_full)" 10000
	equal "taken" "$(account cap wb delivered)" 40000
	wait_for 5 logged cap '(journal_full'
	equal "alerts" "$(status cap '.alerts[] | "\(.interface) \(.reason)"')" "null journal_full"
}

@test "a merged file has the agents' own numbers, over restarts and kills" {
	local file=$BATS_TEST_TMPDIR/merged.pcapng

	new_ns agg
	two_hosts
	uplink_network agg a b
	pki agent-a agent-b
	start_aggregator agg -w "$file"
	start_agent agent-a a -i wa -Q out
	start_agent agent-b b -i wb -Q in --lanes 2
	generate a wa b wb --count 1000 --rate 10000
	wait_for 10 delivered agent-b wb 1000
	# Killed, it goes on counting; ended, it begins anew, and the file has the sum.
	stop agent-b KILL || true
	generate a wa b wb --count 500 --rate 10000
	start_agent agent-b b -i wb -Q in --lanes 2
	wait_for 10 delivered agent-b wb 1500
	balanced agent-b
	stop agent-b
	start_agent agent-b b -i wb -Q in --lanes 2
	generate a wa b wb --count 250 --rate 10000
	wait_for 10 delivered agent-b wb 250
	balanced agent-b
	stop agent-a
	stop agent-b
	stop aggregator
	readable "$file"
	equal "agent-b" "$(statistics_of "$file" agent-b/wb)" "agent-b/wb 1750 0 1750 0 1750"
	equal "agent-a" "$(statistics_of "$file" agent-a/wa)" "agent-a/wa 0 0 0 0 0"
	"$XCAP_BIN/xcapctl" cat "$STORE" >"$BATS_TEST_TMPDIR/cat.pcapng"
	equal "cat" "$(statistics_of "$BATS_TEST_TMPDIR/cat.pcapng" agent-b/wb)" \
		"agent-b/wb 1750 0 1750 0 1750"
}

statistics_of() {
	local interface=${2//\//\\/}

	statistics_at_end "$1" | awk "/^$interface /"
}

@test "a file that is replayed keeps its statistics" {
	local file=$BATS_TEST_TMPDIR/out.pcapng again=$BATS_TEST_TMPDIR/again.pcapng

	two_hosts
	start_agent cap b -i wb -Q in -w "$file"
	in_ns a ping -q -c 3 -i 0.2 10.1.0.2
	wait_for 5 settled cap
	stop cap INT
	start_agent again - -r "$file" -w "$again" --speed max || true
	ended again
	same_packets "$file" "$again"
	equal "statistics" "$(statistics "$again")" "$(statistics "$file")"
}

@test "statistics at a recording's end wait for room in the journal" {
	local file=$BATS_TEST_TMPDIR/out.pcapng slow=$BATS_TEST_TMPDIR/slow.pcapng

	two_hosts
	start_agent cap b -i wb -Q in -w "$file"
	generate a wa b wb --count 6000 --size 1400 --rate 20000
	wait_for 5 delivered cap wb 6000
	stop cap INT
	"$XCAP_BIN/xcapd" -r "$file" --speed max -w - -q --journal-size 4MiB --run-dir "$RUN_DIR" |
		(sleep 1 && cat) >"$slow"
	equal "statistics" "$(statistics_at_end "$slow")" "wb 6000 0 6000 0 6000"
}

@test "what the host drops of what was captured is not a loss" {
	local before

	two_hosts
	start_agent cap b -i wb -w "$BATS_TEST_TMPDIR/out.pcapng"
	before=$(counter b wb rx_dropped)
	# A protocol that nobody speaks.
	for _ in {1..10}; do
		head -c 60 /dev/zero | sed 's/^\x00\{14\}/\xff\xff\xff\xff\xff\xff\x02\x02\x02\x02\x02\x02\x88\xb5/' |
			in_ns a socat -u - INTERFACE:wa
	done
	wait_for 5 delivered cap wb 10
	equal "dropped" "$(counter b wb rx_dropped)" $((before + 10))
	equal "in status" "$(status cap '.interfaces[].nic.rx_dropped')" 10
	equal "lost" "$(status cap '[.account.dropped[]] | add')" 0
	balanced cap
}

@test "an interface that is given up leaves the account in order" {
	new_ns agg
	two_hosts
	new_ns c
	veth_pair c wc b xb
	start_agent cap b -i wb -i xb -Q in -w "$BATS_TEST_TMPDIR/1.pcapng"
	generate c wc b xb --count 100 --rate 10000
	wait_for 5 delivered cap xb 100
	stop cap KILL || true
	start_agent cap b -i wb -Q in -w "$BATS_TEST_TMPDIR/2.pcapng"
	generate a wa b wb --count 50 --rate 10000
	wait_for 5 delivered cap wb 50
	balanced cap
	stop cap KILL || true
	# Its counters begin anew, and so does what is taken of it.
	start_agent cap b -i wb -i xb -Q in -w "$BATS_TEST_TMPDIR/3.pcapng"
	generate c wc b xb --count 30 --rate 10000
	wait_for 5 delivered cap xb 30
	equal "seen" "$(account cap xb seen)" 30
	balanced cap
}

attached() {
	equal "attached" "$(status "$1" '[.interfaces[] | select(.attached) | .name] | sort | join(" ")')" "$2"
}

# gone_counter FIELD: by the daemon, and by what is in the kernel.
gone_counter() {
	local value

	value=$(status agent-b ".gone_interfaces.counters.$1.frames")
	equal "gone in maps" "$("$XCAP_BIN/xcapctl" maps --json --bpffs "$XCAP_BPFFS" |
		jq ".instances[] | select(.name == \"agent-b\") | .gone.counters.$1.frames")" "$value"
	echo "$value"
}

# In what the aggregator has stored so far.
stored() {
	"$XCAP_BIN/xcapctl" cat "$STORE" >"$BATS_TEST_TMPDIR/cat.pcapng" &&
		equal "stored" "$(statistics_of "$BATS_TEST_TMPDIR/cat.pcapng" "$1")" "$2"
}

@test "of an interface that comes and vanishes while it runs: the account holds, its last numbers are told" {
	local file=$BATS_TEST_TMPDIR/merged.pcapng seen handed lost

	new_ns agg
	two_hosts
	uplink_network agg a b
	pki agent-b
	start_aggregator agg -w "$file"
	start_agent agent-b b -i 'wb,x*' -Q in --lanes 2 -B 64
	generate a wa b wb --count 50 --rate 10000
	new_ns c
	veth_pair c wc b xb gro=on
	wait_for 5 attached agent-b "wb xb"
	generate c wc b xb --count 500 --rate 10000
	wait_for 5 delivered agent-b xb 500
	balanced agent-b
	# It goes while the lanes have most of its packets yet to take.
	kill -STOP "${PIDS[agent-b]}"
	generate c wc b xb --count 100000
	in_ns b ip link del xb
	kill -CONT "${PIDS[agent-b]}"
	for _ in {1..20}; do
		balanced agent-b
	done
	wait_for 5 attached agent-b wb
	wait_for 10 settled agent-b
	balanced agent-b
	seen=$(gone_counter seen)
	handed=$(gone_counter handed)
	lost=$(gone_counter ring_full)
	at_least "seen" "$seen" 100500
	equal "seen in all" "$(status agent-b .account.seen)" $((seen + $(account agent-b wb seen)))
	# While the agent goes on, without a packet to bring them.
	wait_for 10 stored agent-b/xb "agent-b/xb $seen 0 $((handed + lost)) $lost $handed"
	# Back, it counts anew, and the file has the sum; also where nothing comes.
	veth_pair c wc b xb gro=on
	wait_for 5 attached agent-b "wb xb"
	generate c wc b xb --count 70 --rate 10000
	wait_for 5 delivered agent-b xb 70
	veth_pair c wd b xd
	wait_for 5 attached agent-b "wb xb xd"
	in_ns b ip link set xd down
	in_ns b ip link del xd
	wait_for 5 attached agent-b "wb xb"
	balanced agent-b
	stop agent-b
	stop aggregator
	readable "$file"
	equal "xb" "$(statistics_of "$file" agent-b/xb)" \
		"agent-b/xb $((seen + 70)) 0 $((handed + lost + 70)) $lost $((handed + 70))"
	equal "wb" "$(statistics_of "$file" agent-b/wb)" "agent-b/wb 50 0 50 0 50"
	statistics_of "$file" agent-b/xd | grep -q .
}
