# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For suites about interfaces that come, change and go: two hosts, an agent on one, what it has.

# Namespaces a and b with the veth pair wa, wb between them, addressed.
two_hosts() {
	new_ns a
	new_ns b
	veth_pair a wa b wb addr=10.1.0.1/24,10.1.0.2/24 "$@"
}

# capture ARGUMENT...: an agent "cap" in namespace b that writes $OUT.
capture() {
	OUT=$BATS_TEST_TMPDIR/out.pcapng
	start_agent cap b -w "$OUT" "$@"
}

# more_veth N: the pair vaN in a, vbN in b, addressed 10.2.N.1 and .2.
more_veth() {
	veth_pair a "va$1" b "vb$1" "addr=10.2.$1.1/24,10.2.$1.2/24"
}

# attached: the interfaces that are captured, sorted, on a line.
attached() {
	status cap '[.interfaces[] | select(.attached) | .name] | sort | join(" ")'
}

attached_are() {
	equal "attached" "$(attached)" "$*"
}

missing_are() {
	equal "missing" "$(status cap '[.missing_interfaces[]] | join(" ")')" "$*"
}

pings() {
	in_ns a ping -q -c "${2:-5}" -i 0.01 -W 2 "$1" >/dev/null
}

# icmp NAME: how many packets of a ping are in $OUT under this name of an interface.
icmp() {
	tshark -n -r "$OUT" -Y "icmp && frame.interface_name == \"$1\"" 2>/dev/null | wc -l
}

# links NS IF: programs at tcx of an interface.
links() {
	hooked "$1" "$2"
}

pins() {
	find "$XCAP_BPFFS/xcap" -path '*/if_*' -type d | wc -l
}

descriptors() {
	find "/proc/${PIDS[cap]}/fd" -mindepth 1 | wc -l
}

# Of its own; rings and journals are shared with the kernel or the next daemon, and bounded.
memory_kib() {
	awk '/^RssAnon:/ { print $2 }' "/proc/${PIDS[cap]}/status"
}

balanced() {
	equal "in rings and pending" \
		"$(status cap '"\(.account.in_rings) \(.account.pending)"')" "0 0"
}
