#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Where the agent runs and what its memory is made of: CPUs, huge pages, zero-copy.

load helpers

setup() {
	helpers_setup
	cd "$BATS_TEST_TMPDIR" || return
	new_ns a
	new_ns b
	veth_pair a wa b wb queues=2
}

# cpus_of THREAD: on which a thread of that name may run.
cpus_of() {
	local task

	for task in /proc/"${PIDS[agent-b]}"/task/*; do
		[ "$(cat "$task/comm")" != "$1" ] ||
			awk '/^Cpus_allowed_list/ { print $2 }' "$task/status"
	done
}

# at least two CPUs, the first two that tests may use.
two_cpus() {
	mapfile -t CPUS < <(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status | tr , '\n' |
		awk -F - '{ for (i = $1; i <= (NF > 1 ? $2 : $1); i++) print i }')
	[ "${#CPUS[@]}" -ge 2 ] || skip_or_fail "this machine has one CPU"
}

# packets_come: what is sent from wa is captured whole.
packets_come() {
	in_ns a "$XCAP_BIN/xcap-gen" -i wa --dst-mac "$(mac b wb)" --dst-ip 10.1.0.2 \
		--src-ip 10.1.0.1 --count 1000 --rate 10000 >/dev/null
	wait_for 5 captured 1000
}
captured() {
	[ "$(status agent-b '[.lanes[].packets] | add')" -ge "$1" ]
}

@test "--cpus pins the lanes, in the order given, and nothing else" {
	local all

	two_cpus
	all=$(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status)
	start_agent agent-b b -i wb --mode tap --lanes 2 --cpus "${CPUS[1]},${CPUS[0]}" -w /dev/null
	equal "lane 0" "$(cpus_of xcapd-lane0)" "${CPUS[1]}"
	equal "lane 1" "$(cpus_of xcapd-lane1)" "${CPUS[0]}"
	equal "control" "$(awk '/^Cpus_allowed_list/ { print $2 }' "/proc/${PIDS[agent-b]}/status")" \
		"$all"
	packets_come
	stop agent-b
	# More CPUs than lanes, and fewer.
	start_agent agent-b b -i wb --cpus "${CPUS[0]}" --cpus "${CPUS[1]}" -w /dev/null
	equal "both" "$(cpus_of xcapd-lane0 | sed 's/[-,]/\n/')" \
		"$(printf '%s\n' "${CPUS[0]}" "${CPUS[1]}")"
	stop agent-b
	start_agent agent-b b -i wb --lanes 2 --cpus "${CPUS[1]}" -w /dev/null
	equal "lane 0 of one CPU" "$(cpus_of xcapd-lane0)" "${CPUS[1]}"
	equal "lane 1 of one CPU" "$(cpus_of xcapd-lane1)" "${CPUS[1]}"
	stop agent-b
	# A veth has no interrupts to follow.
	start_agent agent-b b -i wb --mode tap -w /dev/null
	equal "unpinned" "$(cpus_of xcapd-lane0)" "$all"
}

@test "CPUs that are not there, or not to be had, are named" {
	run -2 "$XCAP_BIN/xcapd" -i wb -w /dev/null --cpus 0-x
	[[ $output == *'--cpus takes '*'not "0-x"'* ]]
	echo kept >kept
	run -78 in_ns b "$XCAP_BIN/xcapd" -i wb -w kept --run-dir "$RUN_DIR" --name x \
		--bpffs "$XCAP_BPFFS" --cpus 1000
	[[ $output == *"--cpus: there is no CPU 1000, or xcapd may not run on it"* ]]
	[[ $output != *"capturing on"* ]]
	equal "the file" "$(cat kept)" kept
	two_cpus
	run -78 in_ns b taskset -c "${CPUS[0]}" "$XCAP_BIN/xcapd" -i wb -w /dev/null \
		--run-dir "$RUN_DIR" --name x --bpffs "$XCAP_BPFFS" --cpus "${CPUS[1]}"
	[[ $output == *"--cpus: there is no CPU ${CPUS[1]}, or "* ]]
	equal "pins left" "$(find "$XCAP_BPFFS" -mindepth 2 | wc -l)" 0
}

# huge_kib: of the agent's memory, in huge pages that were reserved.
huge_kib() {
	awk '/^Private_Hugetlb/ { sum += $2 } END { print sum + 0 }' \
		"/proc/${PIDS[agent-b]}/smaps"
}

@test "the frame memory is in huge pages where some are reserved, and else not" {
	local before

	before=$(cat /proc/sys/vm/nr_hugepages)
	defer sh -c "echo $before >/proc/sys/vm/nr_hugepages"
	echo $((before + 16)) >/proc/sys/vm/nr_hugepages
	[ "$(cat /proc/sys/vm/nr_hugepages)" -ge $((before + 16)) ] ||
		skip_or_fail "no 32 MiB in one piece for huge pages"
	start_agent agent-b b -i wb --mode tap --umem-size 16MiB -v -w /dev/null
	equal "KiB in huge pages" "$(huge_kib)" 32768
	packets_come
	equal "announcements" "$(logged agent-b "2 in huge pages" | grep -c level=debug)" 1
	stop agent-b
	# Enough of them for one queue.
	start_agent agent-b b -i wb --mode tap --umem-size 32MiB -v -w /dev/null
	equal "KiB in huge pages" "$(huge_kib)" 32768
	packets_come
	equal "announcements" "$(logged agent-b "1 in huge pages" | grep -c level=debug)" 1
	stop agent-b
	echo "$before" >/proc/sys/vm/nr_hugepages
	[ "$(awk '/HugePages_Free/ { print $2 }' /proc/meminfo)" = 0 ] || return 0
	start_agent agent-b b -i wb --mode tap --umem-size 16MiB -w /dev/null
	equal "KiB in huge pages" "$(huge_kib)" 0
	packets_come
}

# How the sockets were bound, as strace shows it.
binds() {
	grep -o 'sxdp_flags=[A-Z_|0-9x]*' "$BATS_TEST_TMPDIR/strace"
}

@test "zero-copy is tried, demanded or left alone as told" {
	requires strace
	# veth's driver has none.
	run -69 in_ns b timeout 20 "$XCAP_BIN/xcapd" -i wb --mode tap -w /dev/null --run-dir "$RUN_DIR" \
		--name x --bpffs "$XCAP_BPFFS" --zero-copy on
	[[ $output == *"zero-copy AF_XDP is not possible on wb queue 0"*"--zero-copy auto"* ]]
	equal "pins left" "$(find "$XCAP_BPFFS" -mindepth 2 | wc -l)" 0
	run -2 "$XCAP_BIN/xcapd" -i wb -w /dev/null --zero-copy on
	[[ $output == *"--zero-copy on is for --mode tap"* ]]
	for when in auto off; do
		start "$when" b strace -f -e trace=bind -o "$BATS_TEST_TMPDIR/strace" \
			"$XCAP_BIN/xcapd" --name agent-b --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" \
			-i wb --mode tap --zero-copy "$when" -w /dev/null
		wait_for 10 unless_ended "$when" logged "$when" "capturing on wb"
		[ "$when" = off ] || binds | grep -q XDP_ZEROCOPY || fail "auto: zero-copy is not tried"
		[ "$when" = auto ] || ! binds | grep -q XDP_ZEROCOPY || fail "off: zero-copy is tried"
		binds | grep -q XDP_COPY || fail "$when: $(cat "$BATS_TEST_TMPDIR/strace")"
		kill -TERM "$(pgrep -P "${PIDS[$when]}")"
		ended "$when"
	done
}
