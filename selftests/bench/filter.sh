#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a filter costs a packet, in the kernel (BPF_PROG_TEST_RUN): its time less that of the empty
# filter, which matches everything. The peer is bpf_filter(), which tcpdump -r calls; the kernel's
# own filter of a socket cannot be run alone, and over a socket the socket would be measured.
. "$(dirname "$0")/common.bash"

EXPRESSION=${EXPRESSION:-"tcp port 443 and host 10.1.2.3"}

run=$("$XCAP_BIN/selftests/bench/filter_bench" "$EXPRESSION")
# ns FIELD
ns() {
	jq -r ".$1" <<<"$run"
}
echo "# $EXPRESSION"
result "filter: tcx, a packet that matches" "$(ns tcx)" ns "<= 40" bpf_filter "$(ns libpcap)"
result "filter: tcx, another host's" "$(ns tcx_other)" ns "<= 40" bpf_filter "$(ns libpcap_other)"
result "filter: XDP, a packet that matches" "$(ns xdp)" ns "<= 40" bpf_filter "$(ns libpcap)"
result "filter: XDP, another host's" "$(ns xdp_other)" ns "<= 40" bpf_filter "$(ns libpcap_other)"
result "filter: tcx, with vlan, the tag beside it" "$(ns tagged)" ns
result "filter: XDP, headers in pieces" "$(ns pieces)" ns
finish
