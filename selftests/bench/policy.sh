#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What sets of filters, their policies, sampling and --decap cost a packet, in the kernel
# (BPF_PROG_TEST_RUN): the time of the mirror program less that of one without filters.
. "$(dirname "$0")/common.bash"

run=$("$XCAP_BIN/selftests/bench/policy_bench")
# ns FIELD
ns() {
	jq -r ".$1" <<<"$run"
}
result "policy: one filter, which matches" "$(ns one)" ns
result "policy: ten filters, the last of which matches" "$(ns ten)" ns
result "policy: 64 filters, the last of which matches" "$(ns all)" ns
result "policy: the first 60 bytes" "$(ns keep_bytes)" ns
result "policy: headers" "$(ns keep_headers)" ns
result "policy: headers, in VXLAN" "$(ns keep_headers_vxlan)" ns
result "policy: packets at random" "$(ns sample)" ns
result "policy: flows" "$(ns sample_flow)" ns
result "policy: --decap, no tunnel" "$(ns decap)" ns
result "policy: --decap, in VXLAN" "$(ns decap_vxlan)" ns
finish
