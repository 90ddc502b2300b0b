# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For the suites: `load helpers` first. Run one by `selftests/run net:NAME`, or by
# `selftests/net/isolated bats selftests/net/NAME.bats`.
#
# For each test there are
#   $XCAP_BIN     folder of the built programs
#   $RUN_DIR      for --run-dir, empty
#   $XCAP_BPFFS   for --bpffs: a BPF file system of the test's own, unmounted with all its pins
#   $PKI          where pki() puts keys and certificates
# and what a test makes, it takes back with defer.

bats_require_minimum_version 1.5.0

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export TOP XCAP_BIN="${XCAP_BIN:-$TOP/${O:-build}}" XCAP_DATA="${XCAP_DATA:-$TOP/../shared/data}"
export HELPERS="$XCAP_BIN/selftests/net"
export LC_ALL=C
# How many times the time that is enough on a machine of its own: for emulated processors.
PATIENCE=${XCAP_TEST_PATIENCE:-1}
BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-$((300 * PATIENCE))}

# Address of the aggregator in the network of the uplinks, by custom; in its certificate.
AGGREGATOR_IP=10.99.0.1
AGGREGATOR_PORT=9227

setup() {
	[ -n "${XCAP_ISOLATED-}" ] || fail "run this by selftests/net/isolated bats $BATS_TEST_FILENAME"
	helpers_setup
}

teardown() {
	helpers_teardown
}

# A suite with a setup() or teardown() of its own calls these in it.
helpers_setup() {
	DEFERRED=()
	declare -gA PIDS=() STATUS=()
	RUN_DIR=$BATS_TEST_TMPDIR/run
	PKI=$BATS_TEST_TMPDIR/pki
	XCAP_BPFFS=$BATS_TEST_TMPDIR/bpf
	mkdir -p "$RUN_DIR" "$XCAP_BPFFS"
	mount -t bpf bpf "$XCAP_BPFFS"
	defer umount -l "$XCAP_BPFFS"
	export RUN_DIR PKI XCAP_BPFFS
}

helpers_teardown() {
	local i log

	if [ -z "${BATS_TEST_COMPLETED-}" ]; then
		for log in "$BATS_TEST_TMPDIR"/*.log; do
			[ -s "$log" ] && echo "--- ${log##*/}" && tail -n 40 "$log"
		done
	fi
	for ((i = ${#DEFERRED[@]} - 1; i >= 0; i--)); do
		eval "${DEFERRED[i]}" >>"$BATS_TEST_TMPDIR/teardown" 2>&1 || true
	done
	DEFERRED=()
}

# --- the test's own flow -------------------------------------------------------------------------

fail() {
	echo "$*" >&2
	return 1
}

# defer CMD...: at the end of the test, last first, whatever became of the test.
defer() {
	DEFERRED+=("$(printf '%q ' "$@")")
}

# wait_for SECONDS CMD...: until CMD is true, asked every 20 ms. CMD may be a function.
wait_for() {
	local seconds=$(($1 * PATIENCE)) begin=${EPOCHREALTIME/./}
	shift

	until "$@" >"$BATS_TEST_TMPDIR/wait_for" 2>&1; do
		if [ $((${EPOCHREALTIME/./} - begin)) -gt $((seconds * 1000000)) ]; then
			echo "waited ${seconds} s in vain for: $*" >&2
			cat "$BATS_TEST_TMPDIR/wait_for" >&2
			return 1
		fi
		sleep 0.02
	done
}

# requires TOOL...: the test is skipped without them, and fails where nothing may be skipped.
requires() {
	local tool

	for tool in "$@"; do
		command -v "$tool" >/dev/null || skip_or_fail "$tool is not installed"
	done
}

# requires_data FOLDER: a folder of the set of captures, or random packets in its place: what is
# right for them is computed as for the others.
requires_data() {
	local kind n folder
	local -A names=([ipv6]=4in6tunnel [ip]=badpackets [udp]=gtp_c [syslog]=http_auth)

	[ ! -d "$XCAP_DATA/$1" ] || return 0
	requires randpkt
	export XCAP_DATA=$BATS_SUITE_TMPDIR/captures
	folder=$XCAP_DATA/$1
	[ ! -d "$folder" ] || return 0
	echo "# no captures at hand (XCAP_DATA): random packets instead" >&3
	mkdir -p "$folder"
	for kind in arp bgp dns eth giop icmp ip ipv6 megaco nbns sctp syslog udp; do
		for n in {1..9}; do
			randpkt -b 1400 -c 40 -t "$kind" "$XCAP_DATA/random.pcap" >/dev/null
			tcpdump -n -r "$XCAP_DATA/random.pcap" -w "$folder/${kind}_$n.pcap" \
				"greater 60" 2>/dev/null
		done
		# By these names suites look for some.
		[ -z "${names[$kind]-}" ] || mv "$folder/${kind}_1.pcap" "$folder/${names[$kind]}.pcap"
	done
}

# requires_kernel VERSION WHAT: an older kernel than VERSION cannot do what the test is about. Such
# a skip counts as failed as well, except in selftests/kernel/run.
requires_kernel() {
	printf '%s\n%s\n' "$1" "$(uname -r)" | sort -V -C || skip_or_fail "$2 needs Linux $1"
}

skip_or_fail() {
	[ "${XCAP_REQUIRE_ALL-}" != 1 ] || fail "$1"
	skip "$1"
}

# equal WHAT A B: A is B, or the test fails and says what both are.
equal() {
	[ "$2" = "$3" ] || fail "$1: $2, expected $3"
}

# at_most WHAT A B, at_least WHAT A B: numbers, also with a fraction.
at_most() {
	awk -v a="$2" -v b="$3" 'BEGIN { exit !(a + 0 <= b + 0) }' || fail "$1: $2, above $3"
}
at_least() {
	awk -v a="$2" -v b="$3" 'BEGIN { exit !(a + 0 >= b + 0) }' || fail "$1: $2, below $3"
}

# --- namespaces ----------------------------------------------------------------------------------

# The full name of a test's namespace.
ns() {
	echo "$1-$$-$BATS_TEST_NUMBER"
}

# hooked NS IF: how many programs are at tcx of an interface; of clsact, where there is no tcx.
hooked() {
	local direction count=0

	if printf '6.6\n%s\n' "$(uname -r)" | sort -V -C; then
		in_ns "$1" "$HELPERS/tcx_count" "$2"
		return
	fi
	for direction in ingress egress; do
		count=$((count + $(in_ns "$1" tc filter show dev "$2" "$direction" | grep -c 'id [0-9]')))
	done
	echo "$count"
}

# new_ns NAME: a network namespace with lo up; IPv6 neither announces nor checks anything.
new_ns() {
	local name

	name=$(ns "$1")
	ip netns add "$name"
	defer ip netns del "$name"
	in_ns "$1" ip link set lo up
	in_ns "$1" sysctl -q -w net.ipv6.conf.{all,default}.accept_dad=0 \
		net.ipv6.conf.{all,default}.accept_ra=0 \
		net.ipv6.conf.{all,default}.router_solicitations=0
}

# in_ns NAME CMD...: as `ip netns exec`, which would hide our mounts. CMD is a program.
in_ns() {
	local name

	name=$(ns "$1")
	shift
	nsenter --net="/run/netns/$name" -- "$@"
}

# veth_pair NS1 IF1 NS2 IF2 [mtu=N] [addr=A/LEN,B/LEN] [offloads=off] [queues=N] [gro=on] [ipv6=on]
#
# Without addr= there is not a packet but the test's own. offloads=off: what one side sends is what
# the other sees, byte for byte (checksums complete, tags in band, no super-packets). gro=on makes
# both ends take frames that XDP redirects into them. IPv6 is off unless asked for or addressed.
veth_pair() {
	local ns1=$1 if1=$2 ns2=$3 if2=$4 mtu=1500 addr='' offloads=on queues=1 gro='' ipv6='' side
	local -a side_ns side_if side_addr
	shift 4

	for argument in "$@"; do
		case $argument in
		mtu=*) mtu=${argument#*=} ;;
		addr=*) addr=${argument#*=} ;;
		offloads=*) offloads=${argument#*=} ;;
		queues=*) queues=${argument#*=} ;;
		gro=*) gro=${argument#*=} ;;
		ipv6=*) ipv6=${argument#*=} ;;
		*) fail "veth_pair: what is $argument?" ;;
		esac
	done
	[[ $addr == *:* ]] && ipv6=on
	ip link add name "$if1" mtu "$mtu" netns "$(ns "$ns1")" numtxqueues "$queues" \
		numrxqueues "$queues" type veth peer name "$if2" mtu "$mtu" \
		netns "$(ns "$ns2")" numtxqueues "$queues" numrxqueues "$queues"
	side_ns=("$ns1" "$ns2")
	side_if=("$if1" "$if2")
	IFS=, read -ra side_addr <<<"$addr"
	for side in 0 1; do
		configure_veth "${side_ns[side]}" "${side_if[side]}" "${side_addr[side]-}"
	done
	# Last: the other end looks at this one when it is brought up, and when this changes.
	if [ "$gro" = on ]; then
		in_ns "$ns1" ethtool -K "$if1" gro on >/dev/null
		in_ns "$ns2" ethtool -K "$if2" gro on >/dev/null
	fi
}

# One end, with the variables of veth_pair.
configure_veth() {
	local ns=$1 if=$2 address=$3

	in_ns "$ns" ip link set "$if" addrgenmode none
	[ "$ipv6" = on ] || in_ns "$ns" sysctl -q -w "net.ipv6.conf.$if.disable_ipv6=1"
	if [ "$offloads" = off ]; then
		in_ns "$ns" ethtool -K "$if" tx off gso off tso off gro off txvlan off rxvlan off \
			>/dev/null
	fi
	[ -z "$address" ] || in_ns "$ns" ip address add "$address" dev "$if"
	in_ns "$ns" ip link set "$if" up
}

# mac NS IF, counter NS IF rx_packets|tx_bytes|...: of an interface.
mac() {
	in_ns "$1" ip -j link show dev "$2" | jq -r '.[0].address'
}
counter() {
	in_ns "$1" ip -j -s link show dev "$2" |
		jq -r --arg side "${3%%_*}" --arg what "${3#*_}" '.[0].stats64[$side][$what]'
}

# uplink_network NS...: NS1 gets 10.99.0.1 (where the aggregator listens), the others 10.99.0.2, 3,
# ... on a bridge of their own, interface "uplink" in each.
uplink_network() {
	local ns i=0

	new_ns hub
	in_ns hub ip link add br0 type bridge
	in_ns hub sysctl -q -w net.ipv6.conf.br0.disable_ipv6=1
	in_ns hub ip link set br0 up
	for ns in "$@"; do
		i=$((i + 1))
		veth_pair hub "port$i" "$ns" uplink addr=,10.99.0.$i/24
		in_ns hub ip link set "port$i" master br0
	done
}

# --- daemons -------------------------------------------------------------------------------------

# pki AGENT...: a CA, a certificate for the aggregator and one for each agent, under $PKI.
pki() {
	local agent ctl=$XCAP_BIN/xcapctl

	"$ctl" pki init "$PKI" >>"$BATS_TEST_TMPDIR/pki.out"
	"$ctl" pki issue "$PKI" aggregator aggregator --san 127.0.0.1 --san ::1 --san localhost \
		--san "$AGGREGATOR_IP" >>"$BATS_TEST_TMPDIR/pki.out"
	for agent in "$@"; do
		"$ctl" pki issue "$PKI" agent "$agent" >>"$BATS_TEST_TMPDIR/pki.out"
	done
}

# tls_options NAME: --ca, --cert and --key into the array TLS.
tls_options() {
	TLS=(--ca "$PKI/ca.crt" --cert "$PKI/$1.crt" --key "$PKI/$1.key")
}

# start NAME NS CMD...: in the background; stdout to NAME.out, stderr to NAME.log in
# $BATS_TEST_TMPDIR. NS "-" is the suite's own. Its end is deferred.
start() {
	local name=$1 ns=$2
	local -a enter=()
	shift 2

	[ "$ns" = - ] || enter=(nsenter --net="/run/netns/$(ns "$ns")" --)
	# A group of its own, so that nothing it starts outlives the test.
	setsid "${enter[@]}" "$@" </dev/null >"$BATS_TEST_TMPDIR/$name.out" \
		2>>"$BATS_TEST_TMPDIR/$name.log" 3>&- &
	PIDS[$name]=$!
	unset "STATUS[$name]"
	defer kill_daemon "$name"
}

is_running() {
	kill -0 "${PIDS[$1]}" 2>/dev/null
}

# stop NAME [SIGNAL]: ask it to end, wait for that; its exit status is the result, and in
# ${STATUS[NAME]}. Not through `run`: only the shell that started it can wait for it.
stop() {
	kill "-${2:-TERM}" "${PIDS[$1]}" 2>/dev/null || true
	ended "$1"
}

# ended NAME: wait for its end; status as for stop.
ended() {
	local status=0

	wait "${PIDS[$1]}" || status=$?
	STATUS[$1]=$status
	return "$status"
}

kill_daemon() {
	if [ -z "${STATUS[$1]-}" ]; then
		kill -TERM "${PIDS[$1]}" 2>/dev/null || true
		for _ in {1..150}; do
			is_running "$1" || break
			sleep 0.02
		done
	fi
	kill -KILL -- "-${PIDS[$1]}" 2>/dev/null || true
}

# start_aggregator NS [ARGUMENT...]: at $AGGREGATOR_IP:$AGGREGATOR_PORT (in NS "-", on 127.0.0.1)
# with $STORE, and wait until it listens. Its name is "aggregator".
start_aggregator() {
	local ns=$1 address=$AGGREGATOR_IP
	local -a TLS
	shift

	[ "$ns" != - ] || address=127.0.0.1
	STORE=${STORE:-$BATS_TEST_TMPDIR/store}
	tls_options aggregator
	start aggregator "$ns" "$XCAP_BIN/xcap-aggregator" --listen "$address:$AGGREGATOR_PORT" \
		--store "$STORE" --run-dir "$RUN_DIR" "${TLS[@]}" "$@"
	wait_for 10 unless_ended aggregator listens aggregator "$ns" "$AGGREGATOR_PORT"
	is_running aggregator || fail "the aggregator has ended"
}

# unless_ended NAME CMD...: for wait_for; of a daemon that has ended nothing need be waited for.
unless_ended() {
	! is_running "$1" || "${@:2}"
}

listens() {
	is_running "$1" || fail "$1 has ended"
	if [ "$2" = - ]; then
		ss -Htln "sport = :$3"
	else
		in_ns "$2" ss -Htln "sport = :$3"
	fi | grep -q .
}

# start_agent NAME NS ARGUMENT...: xcapd with --name NAME; with NAME's certificate and the
# aggregator where there is one under $PKI and -w is not given. Waits until it answers.
start_agent() {
	local name=$1 ns=$2 address=$AGGREGATOR_IP
	local -a TLS=()
	shift 2

	[ "$ns" != - ] || address=127.0.0.1
	if [ -e "$PKI/$name.crt" ] && [[ " $* " != *" -w "* ]]; then
		tls_options "$name"
		TLS+=(--aggregator "$address:$AGGREGATOR_PORT")
	fi
	start "$name" "$ns" "$XCAP_BIN/xcapd" --name "$name" --run-dir "$RUN_DIR" \
		--bpffs "$XCAP_BPFFS" "${TLS[@]}" "$@"
	wait_for 10 unless_ended "$name" answers "$name"
	is_running "$name" || fail "$name has ended"
}

answers() {
	is_running "$1" || fail "$1 has ended"
	"$XCAP_BIN/xcapctl" --socket "$RUN_DIR/$1.sock" status --json
}

# status NAME [FILTER]: what a daemon says of itself, through jq.
status() {
	"$XCAP_BIN/xcapctl" --socket "$RUN_DIR/$1.sock" status --json | jq -r "${2:-.}"
}

# logged NAME TEXT: a line with this text is in the daemon's log.
logged() {
	grep -F -- "$2" "$BATS_TEST_TMPDIR/$1.log"
}

# --- captures ------------------------------------------------------------------------------------

# packets FILE: how many there are, says capinfos.
packets() {
	capinfos -T -r -c -M "$1" | cut -f 2
}

# has_packets FILE COUNT: at least so many; for wait_for on a file that grows.
has_packets() {
	[ "$(tcpdump -n -r "$1" --count 2>/dev/null | awk '/packet/ { print $1 }')" -ge "$2" ]
}

# same_packets A B [--unordered] [--no-original]: the same bytes in the same order, times aside.
# Both are read by tcpdump, so that no decoder of ours is asked about our own output.
same_packets() {
	local a=$1 b=$2
	shift 2

	"$HELPERS/pcapcmp" "$@" <(as_pcap "$a") <(as_pcap "$b") || fail "$a and $b differ"
}

as_pcap() {
	tcpdump -r "$1" -w - 2> >(grep -v '^reading from file' >&2)
}

# of_interface FILE NAME OUT [in|out]: what was seen on one interface, into a file of its own.
of_interface() {
	local filter="frame.interface_name == \"$2\""

	case ${4-} in
	in) filter+=" && frame.packet_flags_direction == 1" ;;
	out) filter+=" && frame.packet_flags_direction == 2" ;;
	esac
	tshark -n -r "$1" -Y "$filter" -w "$3"
}

# in_time_order FILE: no packet is older than the one before it.
in_time_order() {
	tshark -n -r "$1" -T fields -e frame.time_epoch |
		awk '{ t = sprintf("%24s", $1) }
			t < last { print "packet " NR ":" t " after" last; exit bad = 1 }
			{ last = t }' || fail "$1 is not in time order"
}

# readable FILE: capinfos and tshark read it to the end without complaint.
readable() {
	local complaints

	complaints=$({ capinfos "$1" >/dev/null && tshark -n -r "$1" >/dev/null; } 2>&1 |
		grep -v 'Running as user' || true)
	[ -z "$complaints" ] || fail "$1: $complaints"
}
