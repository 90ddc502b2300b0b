# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For the benchmarks: namespaces and daemons by the suites' helpers, and how to tell a result.
set -eu -o pipefail

bats_require_minimum_version() {
	:
}
skip() {
	echo "# skipped: $1" >&2
	exit 0
}

BATS_TEST_TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/xcap-bench.XXXXXX")
export BATS_TEST_NUMBER=1
# shellcheck source=selftests/net/helpers.bash
. "$(dirname "${BASH_SOURCE[0]}")/../net/helpers.bash"

bench_ends() {
	helpers_teardown >&2
	rm -rf "$BATS_TEST_TMPDIR"
}
# Daemons of a benchmark are in one namespace.
export AGGREGATOR_IP=127.0.0.1

trap bench_ends EXIT
trap 'exit 130' INT TERM
helpers_setup

# calc FORMAT EXPRESSION: arithmetic with fractions.
calc() {
	awk "BEGIN { printf \"$1\", $2 }"
}

# quartile NUMBER...: the lower one.
quartile() {
	printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 3) / 4)] }'
}

# median NUMBER...
median() {
	printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# result WHAT NUMBER UNIT [TARGET] [PEER NUMBER]: TARGET as "<= 0.5" or ">= 3", of the number, or,
# as "<= 0.5 x" or ">= 3 x", of its ratio to the peer's. A target that is missed fails the script.
result() {
	local what=$1 number=$2 unit=$3 target=${4-} peer=${5-} peer_number=${6-} ratio='' verdict=''
	local judged=$number

	if [ -n "$peer" ]; then
		ratio=$(awk -v a="$number" -v b="$peer_number" \
			'BEGIN { if (b + 0) printf "%.2f", a / b; else print "-" }')
		peer="$peer $peer_number"
	fi
	[[ $target != *x ]] || judged=$ratio
	if [ -n "$target" ]; then
		read -r operator limit _ <<<"$target"
		verdict=$(awk -v a="$judged" -v b="$limit" -v op="$operator" \
			'BEGIN { print (op == "<=" ? a + 0 <= b + 0 : a + 0 >= b + 0) ? "ok" : "MISSED" }')
	fi
	printf '%-48s %12s  %-18s %-22s %-6s %s\n' "$what" "$number $unit" "$target" "$peer" \
		"$ratio" "$verdict"
	[ "$verdict" != MISSED ] || missed=1
}
missed=0

# wrong MESSAGE: more than a missed target.
wrong() {
	echo "# $*"
	missed=1
}

# The last line of a script: fails if a target was missed.
finish() {
	trap - EXIT
	# A script that does not come this far shows its daemons' logs.
	export BATS_TEST_COMPLETED=1
	helpers_teardown >&2
	rm -rf "$BATS_TEST_TMPDIR"
	exit "$missed"
}

# bench_link [veth_pair's options]: namespaces a and b, interfaces va and vb; what arrives at vb
# goes to an open UDP port that nobody reads. $MAC is vb's.
bench_link() {
	new_ns a
	new_ns b
	veth_pair a va b vb addr=10.200.0.1/24,10.200.0.2/24 gro=on "$@"
	MAC=$(mac b vb)
	start sink b "$HELPERS/sink" 9
	wait_for 5 in_ns b sh -c 'ss -Huln "sport = :9" | grep -q .'
}

# generate ARGUMENT...: xcap-gen from a to b; its JSON.
generate() {
	in_ns a "$XCAP_BIN/xcap-gen" -i va --dst-mac "$MAC" --json "$@"
}

# received CMD...: packets that vb received while CMD ran; CMD's output is dropped.
received() {
	local before

	before=$(counter b vb rx_packets)
	"$@" >/dev/null
	echo $(($(counter b vb rx_packets) - before))
}

# warm_up_memory MIB: the first touch of a guest's memory is slow.
warm_up_memory() {
	dd if=/dev/zero of=/dev/shm/xcap-warm bs=1M count="$1" status=none
	rm -f /dev/shm/xcap-warm
}
