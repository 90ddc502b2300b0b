# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# `xcapctl filter`: filters in the kernel beside tcpdump.
load helpers

CTL=$XCAP_BIN/xcapctl

# same_as_tcpdump HOOK EXPRESSION FILE: the same packets, or refused with the same words.
same_as_tcpdump() {
	local hook=$1 expression=$2 file=$3 words

	if ! tcpdump -r "$file" -w expected.pcap "$expression" 2>words; then
		words=$(sed -n 's/^tcpdump: //p' words)
		run -1 --separate-stderr "$CTL" filter test --hook "$hook" "$expression" "$file"
		equal "refusal of $expression" "$stderr" "xcapctl filter: $words"
		return
	fi
	if [[ $expression == *protochain* ]]; then
		run -1 "$CTL" filter test --hook "$hook" "$expression" "$file"
		[[ $output == *"the filter loops"* ]] || fail "$expression: $output"
		return
	fi
	run -0 --separate-stderr "$CTL" filter test --hook "$hook" -w out.pcap "$expression" "$file"
	[ "$output" = "matched $(packets expected.pcap) of $(packets "$file")" ] ||
		fail "$hook, '$expression' on $file: $output, tcpdump: $(packets expected.pcap)"
	[ "$(packets expected.pcap)" -eq 0 ] || same_packets expected.pcap out.pcap
	total=$((${total:-0} + 1))
}

# bytes HEX...
bytes() {
	local hex i

	for hex in "$@"; do
		for ((i = 0; i < ${#hex}; i += 2)); do
			# shellcheck disable=SC2059
			printf "\\x${hex:i:2}"
		done
	done
}

setup() {
	helpers_setup
	requires tcpdump
	cd "$BATS_TEST_TMPDIR" || return
}

@test "each expression lets through of the file it is telling on what tcpdump does" {
	local file expression hook=tcx

	[ -e "$XCAP_DATA/filters-on-files.tsv" ] || {
		requires_data ndpi
		same_as_tcpdump tcx "udp port 53" "$XCAP_DATA/ndpi/ipv6_2.pcap"
		return
	}
	while IFS=$'\t' read -r file expression; do
		same_as_tcpdump "$hook" "$expression" "$XCAP_DATA/libpcap-filter/$file"
		[ "$hook" = tcx ] && hook=xdp || hook=tcx
	done <"$XCAP_DATA/filters-on-files.tsv"
	at_least "comparisons" "$total" 120
}

@test "so do common expressions on captures with packets of every kind" {
	local expression file
	local -a files

	requires_data ndpi
	mapfile -t files < <(find "$XCAP_DATA" -name '*.pcap' -size -200k | sort | awk 'NR % 60 == 7')
	for file in "${files[@]}"; do
		for expression in "" "tcp port 443 or udp port 53" "vlan" "ip6 or arp" \
			"not port 80 and greater 100" "tcp[tcpflags] & tcp-syn != 0"; do
			same_as_tcpdump xdp "$expression" "$file"
			same_as_tcpdump tcx "$expression" "$file"
		done
	done
}

@test "frames that a test run does not take are run elsewhere, and counted" {
	# Frames of 13 and 20 bytes; the second says IPv4.
	bytes d4c3b2a1020004000000000000000000ffff000001000000 >short.pcap
	bytes 00000000000000000d0000000d000000 02000000000102000000000208 >>short.pcap
	bytes 00000000000000001400000014000000 0200000000010200000000020800450000000000 >>short.pcap
	run -0 --separate-stderr "$CTL" filter test "" short.pcap
	equal output "$output" "matched 2 of 2"
	[[ $stderr == *"1 of them ran by xdp"*"1 of them ran by libpcap"* ]]
	run -0 --separate-stderr "$CTL" filter test ip short.pcap
	equal output "$output" "matched 1 of 2"
}

@test "explain shows both programs, the first as tcpdump -d does" {
	run -0 "$CTL" filter explain "tcp port 443 and host 10.1.2.3"
	[ "${lines[0]}" = "classic BPF, by libpcap: 18 instructions" ]
	[ "${lines[1]}" = "(000) ldh      [12]" ]
	[[ $output == *"eBPF, for tcx: "*"call skb_load_bytes"*"exit"* ]]
	[[ $output == *"time per packet: "*" ns ("* ]]
	run -0 "$CTL" filter explain --hook xdp -y RAW "tcp port 443"
	[[ $output == *"eBPF, for xdp: "*"call xdp_load_bytes"* ]]
	run -1 "$CTL" filter explain "tcp prt 443"
	[[ $output == "xcapctl filter: syntax error"* || $output == *"can't parse filter expression"* ]]
	run -1 "$CTL" filter explain "ip6 protochain 6"
	[[ $output == *"the filter loops"* ]]
}

@test "an expression may stand in several words, as with tcpdump" {
	local file=$BATS_TEST_TMPDIR/some.pcap quoted

	requires_data ndpi
	cp "$XCAP_DATA/ndpi/dns-exf.pcap" "$file"
	quoted=$("$CTL" filter explain "udp port 53" | grep -v "^time")
	equal "explained" "$("$CTL" filter explain udp port 53 | grep -v "^time")" "$quoted"
	run -0 --separate-stderr "$CTL" filter test -w out.pcap udp port 53 "$file"
	equal "output" "$output" \
		"matched $(tcpdump -nr "$file" udp port 53 2>/dev/null | wc -l) of $(packets "$file")"
	run -1 "$CTL" filter test -w "$file" udp port 53 "$file"
	[[ $output == *"$file is read and cannot be written"* ]]
	cmp "$file" "$XCAP_DATA/ndpi/dns-exf.pcap"
}

@test "a packed capture is unpacked, what is damaged is an error" {
	local capture expected

	requires_data ndpi
	capture=$XCAP_DATA/ndpi/dns-exf.pcap
	expected="matched $(tcpdump -nr "$capture" udp port 53 2>/dev/null | wc -l) of $(packets "$capture")"
	gzip -c "$capture" >capture.gz
	zstd -qc "$capture" >no-suffix
	for file in capture.gz no-suffix; do
		run -0 --separate-stderr "$CTL" filter test udp port 53 "$file"
		equal "$file" "$output" "$expected"
	done
	run -0 --separate-stderr "$CTL" filter test udp port 53 - <capture.gz
	equal "standard input" "$output" "$expected"
	head -c $(($(stat -c %s capture.gz) / 2)) capture.gz >cut.gz
	run -1 --separate-stderr "$CTL" filter test -w out.pcap udp cut.gz
	[[ $stderr == *"cut.gz: "* ]] || fail "$stderr"
	printf '\xfd7zXZ\0more' >capture.xz
	run -1 "$CTL" filter test udp capture.xz
	equal "output" "$output" \
		"xcapctl filter: capture.xz is packed by xz, which is not read here: unpack it first"
}

@test "a wrong command line says what is missing" {
	run -2 "$CTL" filter
	[[ $output == *"filter: one of set, add, delete, list, test and explain is needed"* ]]
	run -2 "$CTL" filter try
	[[ $output == *"'try': one of set, add, delete, list, test and explain is needed"* ]]
	run -2 "$CTL" filter test ip
	[[ $output == *"test needs an EXPRESSION, and a FILE behind it"* ]]
	run -2 "$CTL" filter explain
	[[ $output == *"explain needs an EXPRESSION"* ]]
	run -2 "$CTL" filter explain -y NONE ip
	[[ $output == *"--linktype NONE: no such link type"* ]]
	run -1 "$CTL" filter test ip /nonexistent.pcap
	equal "output" "$output" "xcapctl filter: /nonexistent.pcap: No such file or directory"
	echo "no capture" >text
	run -1 "$CTL" filter test ip text
	[[ $output == "xcapctl filter: text: unknown file format"* ]]
}
