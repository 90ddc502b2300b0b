# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What xcapd does not start with: said in one line, and everything is as it was.
load helpers

setup() {
	helpers_setup
	cd "$BATS_TEST_TMPDIR" || return
	new_ns a
	new_ns b
	veth_pair a wa b wb
}

# refused STATUS WORDS ARGUMENT...: it ends with that status, and its last line has the words.
refused() {
	local status=$1 words=$2
	shift 2

	run "-$status" in_ns b timeout 20 "$XCAP_BIN/xcapd" --run-dir "$RUN_DIR" --bpffs "$XCAP_BPFFS" --name x "$@"
	[[ ${lines[-1]} == *"$words"* ]] || fail "$*: $output"
	[[ $output != *"capturing on"* ]] || fail "$*: $output"
}

@test "the last capture stays in its file when the next one cannot start" {
	echo kept >kept.pcapng
	refused 1 "there is no interface nosuch" -i nosuch -w kept.pcapng
	refused 1 "cannot read nosuch.pcap: No such file" -r nosuch.pcap -w kept.pcapng
	refused 2 "syntax error" -i wb -w kept.pcapng tcp prt 80
	refused 2 "the filter loops" -i wb -w kept.pcapng ip6 protochain 6
	refused 69 "zero-copy AF_XDP is not possible on wb" -i wb --mode tap --zero-copy on \
		-w kept.pcapng
	equal "the file" "$(cat kept.pcapng)" kept
	# And is gone once another has begun, also without a packet.
	start_agent agent-b b -i wb -w kept.pcapng udp port 9
	wait_for 5 [ ! -s kept.pcapng ]
	stop agent-b
	equal "packets" "$(packets kept.pcapng)" 0
}

@test "a list that allows nobody is refused, at the start and at SIGHUP" {
	printf '# nobody yet\n\n' >list
	refused 78 "--allow: there is no address in ./list: everything would be captured" \
		-i wb -w /dev/null --allow ./list
	# Nobody who is denied is fine.
	echo 192.0.2.1 >one
	printf 'interface: wb\nwrite: /dev/null\nallow: ./one\ndeny: ./list\n' >xcapd.yaml
	start_agent agent-b b --config xcapd.yaml
	cp list one
	kill -HUP "${PIDS[agent-b]}"
	wait_for 5 grep -q "SIGHUP: everything stays as it was" agent-b.log
	grep -q "there is no address in ./one" agent-b.log
	equal "allowed" "$("$XCAP_BIN/xcapctl" maps --bpffs "$XCAP_BPFFS" --json --instance agent-b |
		jq .instances[].prefixes.allow_ipv4)" 1
}

@test "two filters of one name are refused, at the start and at SIGHUP" {
	refused 78 "two filters are called dns: the second would replace the first" -i wb \
		-w /dev/null --named-filter 'dns: udp port 53' --named-filter 'dns: tcp port 53'
	refused 78 "two filters are called default: " -i wb -w /dev/null --named-filter 'default: arp' \
		ip
	printf 'interface: wb\nwrite: /dev/null\nnamed_filter: ["dns: udp port 53"]\n' >xcapd.yaml
	start_agent agent-b b --config xcapd.yaml
	sed -i 's/]/, "dns: tcp port 53"]/' xcapd.yaml
	kill -HUP "${PIDS[agent-b]}"
	wait_for 5 grep -q "the filters stay as they were: two filters are called dns" agent-b.log
	equal "filters" "$(status agent-b '[.filters.filters[].expression] | join(",")')" "udp port 53"
}

@test "an instance of another run directory is in the way, and that is said" {
	start_agent x b -i wb -w /dev/null
	RUN_DIR=$BATS_TEST_TMPDIR/other refused 1 \
		'is in use by another xcapd, with another --run-dir' -i wb -w /dev/null
	refused 1 "instance x is running already" -i wb -w /dev/null
}

@test "a wrong filter is told with its file and line, and its name" {
	local folder long
	folder=$(printf 'folder-%.0s' {1..20})

	printf 'interface: wb\nwrite: /dev/null\nfilter: tcp prt 80\n' >one.yaml
	refused 78 "one.yaml:3: the filter 'tcp prt 80': " --config one.yaml
	refused 78 "xcapd: the filter 'udp prt': " --config one.yaml udp prt
	mkdir "$folder"
	mv one.yaml "$folder"
	long=$folder/one.yaml:3
	refused 78 "xcapd: ...${long: -80}: the filter 'tcp prt 80': " --config "$folder/one.yaml"
	printf 'interface: wb\nwrite: /dev/null\nnamed_filter: ["a: tcp", "b: tcp prt"]\n' >two.yaml
	refused 78 "two.yaml:3: the filter b, 'tcp prt': " --config two.yaml
	sed -i 's/b:/b/' two.yaml
	refused 78 "two.yaml:3: --named-filter: a named filter is NAME: EXPRESSION, not 'b tcp prt'" \
		--config two.yaml
	refused 2 "xcapd: the filter c, 'udp prt': " -i wb -w - --named-filter 'c: udp prt'
}

# warned WORDS ARGUMENT...: of these options one changes nothing, and that is all that is wrong.
warned() {
	local words=$1
	shift

	start_agent w b -i wb -w /dev/null "$@"
	stop w
	equal "warnings of $*" "$(grep -c level=warning w.log)" 1
	grep -q "level=warning .*$words" w.log
	rm w.log
}

@test "an option of the command line that changes nothing is told" {
	warned "umem-size is for capturing in mode tap" --umem-size 4MiB
	warned "xdp-mode is for capturing in mode tap" --xdp-mode generic
	warned "tc-mode is for capturing in mode mirror" --mode tap --tc-mode clsact
	warned "ring-size is for capturing in mode mirror and pcap" --mode tap --ring-size 1MiB
	warned "buffer-size is for all rings together, and counts" -B 4 --ring-size 1MiB
	requires_data ndpi
	run -0 "$XCAP_BIN/xcapd" -r "$XCAP_DATA/ndpi/dns-exf.pcap" -w /dev/null --speed max \
		--run-dir "$RUN_DIR" --ring-size 1MiB
	[[ $output == *"ring-size is for capturing"* ]]
	# A preset, or a file for several modes, is none of that.
	printf 'umem_size: 4MiB\nring_size: 1MiB\n' >xcapd.yaml
	for mode in mirror tap; do
		start_agent q b -i wb -w /dev/null --mode "$mode" --preset memory --config xcapd.yaml
		stop q
	done
	equal "warnings" "$(grep -c level=warning q.log)" 0
}
