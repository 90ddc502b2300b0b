#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Who may talk to whom: a wrong certificate gets a clear error in the logs of both sides, and the
# other agents go on.

load helpers

# An aggregator on loopback, a good agent that ships to it all the time, one packet to send.
authority() {
	requires_data ndpi
	FILE=$(find "$XCAP_DATA/ndpi" -name '*.pcap' -size +0 -printf '%s %p\n' | sort -n | head -n 1 |
		cut -d ' ' -f 2-)
	pki good other
	start_aggregator -
	# A stream without an end.
	mkfifo "$BATS_TEST_TMPDIR/endless"
	# shellcheck disable=SC2016 # expanded by the inner shell
	start endless - bash -c 'exec sleep 1000 >"$1"' - "$BATS_TEST_TMPDIR/endless"
	start_agent good - -r "$BATS_TEST_TMPDIR/endless" --speed max -q
}

# leaf NAME SUBJECT EXTENSIONS [OPENSSL_X509_ARGUMENT...]: a certificate of our CA made by openssl.
leaf() {
	local name=$1 subject=$2 extensions=$3
	shift 3

	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
		-keyout "$PKI/$name.key" -out "$PKI/$name.csr" 2>/dev/null
	openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" \
		-set_serial "0x$(openssl rand -hex 8)" -extfile <(printf '%b' "$extensions") "$@" \
		-out "$PKI/$name.crt" 2>/dev/null
	chmod 600 "$PKI/$name.key"
}

# agent NAME PORT [CERTIFICATE]: ships FILE; its log is NAME.log.
agent() {
	tls_options "${3:-other}"
	start "$1" - "$XCAP_BIN/xcapd" -r "$FILE" --speed max -q --name "$1" --run-dir "$RUN_DIR" \
		--aggregator "127.0.0.1:$2" "${TLS[@]}"
}

# server NAME PORT ARGUMENT...: openssl's server with NAME's certificate.
server() {
	local name=$1 port=$2
	shift 2

	# It ends with its standard input.
	start "$name-server" - bash -c 'sleep 1000 | "$@"' - openssl s_server -accept "127.0.0.1:$port" -cert "$PKI/$name.crt" \
		-key "$PKI/$name.key" -CAfile "$PKI/ca.crt" -Verify 1 "$@"
	wait_for 5 listens "$name-server" - "$port"
}

is_up() {
	equal "uplink" "$(status "$1" '.lanes[0].uplink')" up
}

others_go_on() {
	wait_for 5 is_up good
	is_running aggregator
}

@test "an agent of another authority is refused, and both logs say why" {
	authority
	"$XCAP_BIN/xcapctl" pki init "$BATS_TEST_TMPDIR/foreign" >/dev/null
	"$XCAP_BIN/xcapctl" pki issue "$BATS_TEST_TMPDIR/foreign" agent stranger >/dev/null
	cp "$BATS_TEST_TMPDIR/foreign/stranger".* "$PKI"
	agent stranger "$AGGREGATOR_PORT" stranger
	wait_for 10 logged aggregator "unknown CA"
	wait_for 10 logged stranger "cannot ship to 127.0.0.1:$AGGREGATOR_PORT"
	others_go_on
}

@test "an aggregator of another authority is refused, and both logs say why" {
	authority
	"$XCAP_BIN/xcapctl" pki init "$BATS_TEST_TMPDIR/foreign" >/dev/null
	"$XCAP_BIN/xcapctl" pki issue "$BATS_TEST_TMPDIR/foreign" agent stranger >/dev/null
	tls_options other
	start agent - "$XCAP_BIN/xcapd" -r "$FILE" --speed max -q --run-dir "$RUN_DIR" --name agent \
		--aggregator "127.0.0.1:$AGGREGATOR_PORT" --ca "$BATS_TEST_TMPDIR/foreign/ca.crt" \
		--cert "$BATS_TEST_TMPDIR/foreign/stranger.crt" \
		--key "$BATS_TEST_TMPDIR/foreign/stranger.key"
	wait_for 10 logged agent "CA"
	wait_for 10 logged aggregator "refused"
	others_go_on
}

@test "a server's name counts only in its SANs, not in the CN" {
	authority
	leaf incn "/CN=127.0.0.1" \
		"subjectAltName=URI:xcap:aggregator:incn\nextendedKeyUsage=serverAuth"
	server incn 9301
	agent agent 9301
	wait_for 10 logged agent "the CN does not count"
	others_go_on
}

@test "a server under another name is refused with the names it has" {
	authority
	"$XCAP_BIN/xcapctl" pki issue "$PKI" aggregator elsewhere --san elsewhere.example >/dev/null
	tls_options elsewhere
	start elsewhere - "$XCAP_BIN/xcap-aggregator" --name elsewhere --run-dir "$RUN_DIR" \
		--listen 127.0.0.1:9302 --store "$BATS_TEST_TMPDIR/elsewhere" "${TLS[@]}"
	wait_for 10 listens elsewhere - 9302
	agent agent 9302
	wait_for 10 logged agent "elsewhere.example"
	wait_for 10 logged elsewhere "refused"
	others_go_on
}

@test "an expired certificate is refused on either side, with the date" {
	authority
	leaf expired "/CN=expired" \
		"subjectAltName=URI:xcap:aggregator:expired,IP:127.0.0.1\nextendedKeyUsage=serverAuth" \
		-days -1
	server expired 9303
	agent agent 9303
	wait_for 10 logged agent "expired on"
	leaf old "/CN=old" "subjectAltName=URI:xcap:agent:old\nextendedKeyUsage=clientAuth" -days -1
	agent old "$AGGREGATOR_PORT" old
	wait_for 10 logged aggregator "expired on"
	wait_for 10 logged old "expired"
	others_go_on
}

@test "an agent's certificate does not make a server" {
	authority
	server good 9304
	agent agent 9304
	wait_for 10 logged agent "cannot ship to 127.0.0.1:9304"
	run -0 logged agent "server"
	tls_options good
	run -78 "$XCAP_BIN/xcap-aggregator" --name fake --run-dir "$RUN_DIR" \
		--listen 127.0.0.1:9305 --store "$BATS_TEST_TMPDIR/fake" "${TLS[@]}"
	[[ $output == *good.crt* ]]
	others_go_on
}

@test "TLS 1.2 is too old, from either side" {
	authority
	server aggregator 9306 -tls1_2
	agent agent 9306
	wait_for 10 logged agent "TLS 1.3"
	run ! openssl s_client -connect "127.0.0.1:$AGGREGATOR_PORT" -tls1_2 \
		-cert "$PKI/other.crt" -key "$PKI/other.key" </dev/null
	wait_for 10 logged aggregator "TLS 1.3"
	others_go_on
}

@test "a server that talks garbage, or nothing, is told from a good one" {
	authority
	start garbage - socat TCP-LISTEN:9307,bind=127.0.0.1,fork SYSTEM:'echo hello; sleep 1'
	wait_for 5 listens garbage - 9307
	agent agent 9307
	wait_for 10 logged agent "not TLS"
	start silent - socat TCP-LISTEN:9308,bind=127.0.0.1,fork SYSTEM:'sleep 60'
	wait_for 5 listens silent - 9308
	agent patient 9308
	wait_for 15 logged patient "has sent nothing"
	others_go_on
}
