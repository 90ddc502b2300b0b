#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# From the kernel's time stamp to durable in the store, at 10,000 packets/s; and what an idle agent
# takes of the processor and of memory.
. "$(dirname "$0")/common.bash"

# cpu_ms NAME: of a daemon, so far.
cpu_ms() {
	awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000 / tick }' \
		"/proc/${PIDS[$1]}/stat"
}

memory_mb() {
	awk -v field="$2:" '$1 == field { printf "%.1f", $2 / 1024 }' "/proc/${PIDS[$1]}/status"
}

idle() {
	local before seconds=10

	before=$(cpu_ms "$1")
	sleep "$seconds"
	result "latency: $1, idle, CPU" \
		"$(calc %.2f "($(cpu_ms "$1") - $before) / $seconds / 10")" % "$2"
	result "latency: $1, idle, anonymous memory" "$(memory_mb "$1" RssAnon)" MB "$3"
	result "latency: $1, idle, resident (rings are mapped twice)" "$(memory_mb "$1" VmRSS)" MB
}

bench_link
pki agent
start_aggregator b
start_agent agent b -i vb --stats=0
idle agent "<= 1" "<= 50"
idle aggregator "" ""
generate --rate 10000 --duration 10 >/dev/null
for share in p50 p95 p99; do
	case $share in p95) target="<= 25" ;; *) target= ;; esac
	result "latency: kernel to durable at 10,000/s, $share" \
		"$(status aggregator ".latency.${share}_seconds * 10000 | round / 10")" ms "$target"
done
stop agent
stop aggregator
finish
