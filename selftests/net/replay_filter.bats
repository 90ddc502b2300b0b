#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# xcapd -r FILE EXPRESSION: what comes through is what tcpdump -r finds in the file.

load helpers

setup() {
	helpers_setup
	cd "$BATS_TEST_TMPDIR" || return
}

# read_capture ARGUMENT...: into out.pcapng. Status and messages are xcapd's.
read_capture() {
	rm -f out.pcapng
	"$XCAP_BIN/xcapd" --speed max -w out.pcapng --run-dir "$RUN_DIR" --name reader -q "$@"
}

# same_as_tcpdump EXPRESSION FILE: the same packets, or refused with the same words. We sort them by
# time. Of damaged files tcpdump cuts packets at the file's snapshot length: so are ours then.
same_as_tcpdump() {
	local snaplen

	if ! tcpdump -r "$2" -w expected.pcap "$1" 2>words; then
		run -1 read_capture -r "$2" "$1"
		[[ $output == *"$(sed -n 's/^tcpdump: //p' words)"* ]] || fail "'$1': $output"
		refused=$((${refused:-0} + 1))
		return
	fi
	read_capture -r "$2" "$1"
	total=$((${total:-0} + 1))
	if [ "$(packets expected.pcap)" -eq 0 ]; then
		equal "'$1' of $2" "$(packets out.pcapng)" 0
		return
	fi
	snaplen=$(sed -n 's/.*snapshot length //p' words)
	editcap -F nsecpcap -s "$snaplen" out.pcapng out.pcap
	same_packets expected.pcap out.pcap --unordered
}

@test "each expression lets through of the file it is telling on what tcpdump does" {
	local file expression

	[ -e "$XCAP_DATA/filters-on-files.tsv" ] || {
		requires_data ndpi
		same_as_tcpdump "udp port 53" "$XCAP_DATA/ndpi/ipv6_2.pcap"
		return
	}
	while IFS=$'\t' read -r file expression; do
		same_as_tcpdump "$expression" "$XCAP_DATA/libpcap-filter/$file"
	done <"$XCAP_DATA/filters-on-files.tsv"
	at_least "comparisons" "$total" 120
	at_least "refused" "$refused" 20
}

@test "so do common expressions on captures of every link type" {
	local expression file type
	local -A files=()

	[ -d "$XCAP_DATA/tcpdump" ] || requires_data tcpdump
	while read -r file; do
		type=$(capinfos -T -r -E -M "$file" 2>/dev/null | cut -f 2)
		[ -z "$type" ] || files[$type]=$file
	done < <(find "$XCAP_DATA" -name '*.pcap' -size -100k | sort | awk 'NR % 3 == 0')
	for file in "${files[@]}"; do
		for expression in "" "not ip6 and greater 100" "vlan or link[0] & 1 != 0"; do
			same_as_tcpdump "$expression" "$file"
		done
	done
	[ ! -e "$XCAP_DATA/filters-on-files.tsv" ] || at_least "link types" "${#files[@]}" 8
}

# times FILE: of its packets, sorted.
times() {
	tshark -n -r "$1" -T fields -e frame.time_epoch | sort
}

@test "times keep their resolution, and a compressed file is filtered like a plain one" {
	local file format

	requires_data ndpi
	mapfile -t files < <(find "$XCAP_DATA/ndpi" -name '*.pcap' | sort | head -n 12)
	mergecap -F nsecpcap -w all.pcap "${files[@]}"
	# Nanoseconds that are not those of microseconds.
	editcap -F nsecpcap -t 0.000000123 all.pcap shifted.pcap
	tcpdump -r shifted.pcap -w expected.pcap --time-stamp-precision nano "udp or ip6" 2>/dev/null
	at_least "packets" "$(packets expected.pcap)" 10
	for format in pcap nsecpcap pcapng; do
		editcap -F "$format" shifted.pcap file
		for packer in cat "gzip -c" "zstd -qc"; do
			$packer <file | read_capture -r - "udp or ip6"
			same_packets expected.pcap out.pcapng --unordered
			[ "$format" = pcap ] || diff <(times expected.pcap) <(times out.pcapng) ||
				fail "times of $format differ"
		done
	done
}

# count FILE [EXPRESSION]: tcpdump's.
count() {
	tcpdump -n -r "$1" --count "${@:2}" 2>/dev/null | awk '{ print $1 }'
}

# file_with EXPRESSION: a capture of Ethernet with packets that match, and others.
file_with() {
	local file

	requires_data ndpi
	while read -r file; do
		[ "$(count "$file" "$1")" -gt 0 ] || continue
		[ "$(count "$file" "not ($1)")" -eq 0 ] || echo "$file"
	done < <(find "$XCAP_DATA/ndpi" -name '*.pcap' -size -100k | sort) | head -n 1
}

@test "each interface of a pcapng is judged by its own link type" {
	local expression="ip and ip[8] > 60" ether

	ether=$(file_with "$expression")
	tcpdump -r "$ether" -w ether.pcap 2>/dev/null
	# The same packets without their Ethernet headers.
	tcpdump -r "$ether" -w ip.pcap "ip" 2>/dev/null
	editcap -F pcap -C 14 -L -T rawip ip.pcap raw.pcap
	mergecap -F pcapng -a -w both.pcapng ether.pcap raw.pcap
	read_capture -r both.pcapng "$expression"
	tcpdump -r ether.pcap -w expected.pcap "$expression" 2>/dev/null
	at_least "packets" "$(packets expected.pcap)" 1
	same_packets expected.pcap out.pcapng
	tcpdump -r raw.pcap -w expected.pcap "$expression" 2>/dev/null
	same_packets expected.pcap out.linktype101.pcapng
	# What raw IP has not: the packets before are kept, and the error says where it was.
	run -1 read_capture -r both.pcapng "ether host 1:2:3:4:5:6 or ip"
	[[ $output == *"cannot read both.pcapng to its end: the filter"*"of link type 101: "* ]] ||
		fail "$output"
	tcpdump -r ether.pcap -w expected.pcap "ip" 2>/dev/null
	same_packets expected.pcap out.pcapng
}

@test "what does not match is filtered in the account, and stays away from the aggregator" {
	local all expected file expression="greater 90"

	file=$(file_with "$expression")
	tcpdump -r "$file" -w all.pcap 2>/dev/null
	tcpdump -r "$file" -w expected.pcap "$expression" 2>/dev/null
	all=$(packets all.pcap)
	expected=$(packets expected.pcap)
	at_least "packets" "$expected" 1
	at_least "others" "$((all - expected))" 1
	pki reader
	start_aggregator - --replay -w merged.pcapng
	# It does not end while we look.
	mkfifo pipe
	exec {hold}<>pipe
	start_agent reader - -r pipe --speed max "$expression"
	cat all.pcap >pipe
	wait_for 10 eval "[ \"\$(status reader .account.delivered)\" = $expected ]"
	equal "filtered" "$(status reader .account.filtered)" "$((all - expected))"
	equal "seen" "$(status reader .account.seen)" "$all"
	equal "not accounted for" "$(status reader '.account | .seen - .filtered - .delivered
		- .pending - ([.dropped[]] | add)')" 0
	equal "in rings" "$(status reader .account.in_rings)" 0
	stop reader
	exec {hold}>&-
	logged reader "$expected packets captured"
	logged reader "$expected packets received by filter"
	stop aggregator
	same_packets expected.pcap merged.pcapng
	equal "if_filter" "$(capinfos merged.pcapng 2>/dev/null | sed -n 's/.*Filter string = //p')" \
		"$expression"
}

@test "xcapd -d prints the filter of the interface as tcpdump -d does" {
	local expression

	new_ns a
	in_ns a ip tuntap add dev tun0 mode tun
	for expression in "" "tcp port 443 and host 10.1.2.3" "vlan and ip6 or arp" "len > 100"; do
		run -0 --separate-stderr "$XCAP_BIN/xcapd" -d "$expression"
		equal "'$expression'" "$output" "$(tcpdump -d -y EN10MB "$expression" 2>/dev/null)"
	done
	run -0 --separate-stderr in_ns a "$XCAP_BIN/xcapd" -d -i tun0 tcp port 80
	equal "raw IP" "$output" "$(tcpdump -d -y RAW tcp port 80 2>/dev/null)"
	run -1 --separate-stderr "$XCAP_BIN/xcapd" -d -i nothing0 ip
	[[ $stderr == *"no filter for interface nothing0: No such device"* ]]
	run -2 "$XCAP_BIN/xcapd" -d tcp prt 80
	run -2 "$XCAP_BIN/xcapd" -d -r file ip
	[[ $output == *"-d is for the filter of an interface: leave out -r"* ]]
}
