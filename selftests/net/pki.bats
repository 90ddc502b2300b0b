#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# xcapctl pki: what it makes, judged by openssl, and what it refuses.

load helpers

setup() {
	helpers_setup
	requires openssl
	DIR=$BATS_TEST_TMPDIR/ca-dir
}

ctl() {
	"$XCAP_BIN/xcapctl" pki "$@"
}

# field FILE OPTION...: of a certificate, as openssl x509 prints it.
field() {
	openssl x509 -in "$1" -noout "${@:2}"
}

# says TEXT...: each of them is in what the last command printed.
says() {
	local text

	for text in "$@"; do
		if [[ $output != *"$text"* ]]; then
			echo "not there: $text"
			echo "$output"
			return 1
		fi
	done
}

seconds() {
	date -d "$(field "$1" "$2" | cut -d= -f2)" +%s
}

@test "what a CA issues satisfies openssl in its role only, with either algorithm" {
	local algorithm

	for algorithm in ecdsa-p256 ed25519; do
		ctl init "$DIR-$algorithm" --algorithm "$algorithm"
		ctl issue "$DIR-$algorithm" agent edge-1
		ctl issue "$DIR-$algorithm" aggregator centre --san centre.example --san 192.0.2.1
		cd "$DIR-$algorithm"
		openssl verify -x509_strict -CAfile ca.crt -purpose sslclient edge-1.crt centre.crt
		openssl verify -x509_strict -CAfile ca.crt -purpose sslserver centre.crt
		openssl verify -CAfile ca.crt -verify_hostname centre.example centre.crt
		openssl verify -CAfile ca.crt -verify_ip 192.0.2.1 centre.crt
		run ! openssl verify -CAfile ca.crt -verify_hostname centre centre.crt
		run ! openssl verify -x509_strict -CAfile ca.crt -purpose sslserver edge-1.crt
	done
	run ! openssl verify -CAfile "$DIR-ed25519/ca.crt" "$DIR-ecdsa-p256/edge-1.crt"
}

@test "an agent's certificate says who it is and that it is a client" {
	ctl init "$DIR"
	ctl issue "$DIR" agent edge-1.site_a
	run -0 field "$DIR/edge-1.site_a.crt" -text
	says "Version: 3" "Subject: CN = edge-1.site_a" "URI:xcap:agent:edge-1.site_a" "CA:FALSE" \
		"TLS Web Client Authentication" "Digital Signature" "X509v3 Subject Key Identifier" \
		"X509v3 Authority Key Identifier" "ecdsa-with-SHA256" "NIST CURVE: P-256"
	[[ $output != *"Server Authentication"* ]]
	[[ $output != *DNS:* ]]
}

@test "an aggregator's certificate holds each host as name or address" {
	ctl init "$DIR"
	ctl issue "$DIR" aggregator centre --san a.example --san 192.0.2.1 --san 2001:db8::1 \
		--san '*.b.example'
	run -0 field "$DIR/centre.crt" -ext subjectAltName,extendedKeyUsage
	says "TLS Web Server Authentication, TLS Web Client Authentication" \
		"URI:xcap:aggregator:centre, DNS:a.example, IP Address:192.0.2.1," \
		"IP Address:2001:DB8:0:0:0:0:0:1, DNS:*.b.example"
}

@test "the CA may sign certificates, but none of another CA" {
	ctl init "$DIR"
	run -0 field "$DIR/ca.crt" -text
	says "X509v3 Basic Constraints: critical" "CA:TRUE, pathlen:0" "X509v3 Key Usage: critical" \
		"Certificate Sign, CRL Sign" "X509v3 Subject Key Identifier"
	[[ $output != *"Extended Key Usage"* ]]
}

@test "an Ed25519 CA issues Ed25519 unless told otherwise" {
	ctl init "$DIR" --algorithm ed25519
	ctl issue "$DIR" agent a
	ctl issue "$DIR" agent b --algorithm ecdsa-p256
	run -0 field "$DIR/a.crt" -text
	says "Public Key Algorithm: ED25519" "Signature Algorithm: ED25519"
	run -0 field "$DIR/b.crt" -text
	says "NIST CURVE: P-256" "Signature Algorithm: ED25519"
}

@test "keys are for their owner alone, whatever the umask, and belong to their certificates" {
	local name

	umask 0
	ctl init "$DIR"
	ctl issue "$DIR" agent edge-1
	[ "$(stat -c %a "$DIR")" = 700 ]
	for name in ca edge-1; do
		[ "$(stat -c %a "$DIR/$name.key")" = 600 ]
		[ "$(stat -c %a "$DIR/$name.crt")" = 644 ]
		[ "$(openssl pkey -in "$DIR/$name.key" -pubout)" = "$(field "$DIR/$name.crt" -pubkey)" ]
	done
	[ "$(find "$DIR" -type f | wc -l)" = 4 ]
}

@test "serial numbers are 128 random bits" {
	ctl init "$DIR"
	ctl issue "$DIR" agent a
	ctl issue "$DIR" agent b
	run -0 field "$DIR/a.crt" -serial
	[[ $output =~ ^serial=[0-9A-F]{32}$ ]]
	[ "$output" != "$(field "$DIR/b.crt" -serial)" ]
	[ "$output" != "$(field "$DIR/ca.crt" -serial)" ]
}

@test "a certificate is valid from a little before now for 90 days, or as told, or as its CA" {
	local day=86400 now

	now=$(date +%s)
	ctl init "$DIR" --days 100
	ctl issue "$DIR" agent a
	ctl issue "$DIR" agent b --days 7
	run -0 ctl issue "$DIR" agent c --days 101
	says "as its CA"
	[ $(($(seconds "$DIR/a.crt" -enddate) - now - 90 * day)) -le 60 ]
	[ $(($(seconds "$DIR/a.crt" -enddate) - now - 90 * day)) -ge 0 ]
	[ $(($(seconds "$DIR/b.crt" -enddate) - now - 7 * day)) -le 60 ]
	[ "$(seconds "$DIR/c.crt" -enddate)" = "$(seconds "$DIR/ca.crt" -enddate)" ]
	[ $((now - $(seconds "$DIR/a.crt" -startdate))) -ge 600 ]
	[ $((now - $(seconds "$DIR/a.crt" -startdate))) -le $day ]
	[ "$(seconds "$DIR/a.crt" -startdate)" -ge "$(seconds "$DIR/ca.crt" -startdate)" ]
}

@test "a CA is valid for ten years" {
	ctl init "$DIR"
	[ $(($(seconds "$DIR/ca.crt" -enddate) - $(date +%s) - 3650 * 86400)) -le 0 ]
	[ $(($(seconds "$DIR/ca.crt" -enddate) - $(date +%s) - 3649 * 86400)) -ge 0 ]
}

@test "what is there is replaced only with --force" {
	ctl init "$DIR"
	ctl issue "$DIR" agent a
	(cd "$DIR" && sha256sum ./* >"$BATS_TEST_TMPDIR/before")
	run -1 ctl init "$DIR"
	says "ca.crt exists" "--force"
	run -1 ctl issue "$DIR" agent a
	says "a.crt exists" "--force"
	(cd "$DIR" && sha256sum --quiet -c "$BATS_TEST_TMPDIR/before")
	rm "$DIR/a.crt"
	run -1 ctl issue "$DIR" agent a
	says "a.key exists"
	ctl issue "$DIR" agent a --force
	openssl verify -CAfile "$DIR/ca.crt" "$DIR/a.crt"
	ctl init "$DIR" --force
	run ! openssl verify -CAfile "$DIR/ca.crt" "$DIR/a.crt"
	ctl issue --force "$DIR" agent a
	openssl verify -CAfile "$DIR/ca.crt" "$DIR/a.crt"
	[ "$(openssl pkey -in "$DIR/a.key" -pubout)" = "$(field "$DIR/a.crt" -pubkey)" ]
}

@test "of many that make the same certificate at once, one does, and its files belong together" {
	local i pids=()

	ctl init "$DIR"
	for i in 1 2 3 4 5 6 7 8; do
		ctl issue "$DIR" agent a >"$BATS_TEST_TMPDIR/out$i" 2>"$BATS_TEST_TMPDIR/err$i" &
		pids+=($!)
	done
	wait "${pids[@]}" || true
	[ "$(grep -l 'valid until' "$BATS_TEST_TMPDIR"/out? | wc -l)" = 1 ]
	[ "$(grep -lE 'exists' "$BATS_TEST_TMPDIR"/err? | wc -l)" = 7 ]
	[ "$(openssl pkey -in "$DIR/a.key" -pubout)" = "$(field "$DIR/a.crt" -pubkey)" ]
	[ "$(find "$DIR" -type f | wc -l)" = 4 ]
}

@test "names that are no ids, or the CA's own, are refused" {
	local name

	ctl init "$DIR"
	for name in "" A a/b ../a "a b" "ü" "$(printf '%065d' 0)" ca; do
		run -2 ctl issue "$DIR" agent "$name"
		says "name '$name'"
	done
	ctl issue "$DIR" agent -- -a
	ctl issue "$DIR" agent "$(printf '%064d' 0)"
	[ "$(find "$DIR" -type f | wc -l)" = 6 ]
}

@test "hosts that are neither names nor addresses are refused" {
	local host

	ctl init "$DIR"
	for host in "" "a b" a..b a:9227 '[::1]' 192.0.2.256 -a.example 'a*.example' fe80::1%eth0 \
		"a,DNS:b" "ü.example"; do
		run -2 ctl issue "$DIR" aggregator centre --san "$host"
		says "--san $host: neither a DNS name nor an IP address"
	done
	[ ! -e "$DIR/centre.crt" ]
}

@test "wrong usage ends with 2 and says what is right" {
	local days

	ctl init "$DIR"
	run -2 ctl
	says "init or issue is needed" "--help"
	run -2 ctl frobnicate
	says "unknown command 'frobnicate'"
	run -2 ctl init
	says "init needs DIR"
	run -2 ctl init "$DIR" more
	says "init needs DIR"
	run -2 ctl issue "$DIR" agent
	says "issue needs DIR, agent or aggregator, and NAME"
	run -2 ctl issue "$DIR" server a
	says "'server': agent or aggregator is needed"
	run -2 ctl issue "$DIR" aggregator a
	says "needs --san HOST"
	run -2 ctl issue "$DIR" agent a --san a.example
	says "--san is for aggregators"
	run -2 ctl init "$DIR" --san a.example
	says "--san is for"
	run -2 ctl init "$DIR" --bits 4096
	says "unknown option --bits"
	run -2 ctl init "$DIR" -x
	says "unknown option -x"
	run -2 ctl init "$DIR" --days
	says "--days needs a value"
	run -2 ctl init "$DIR" --algorithm rsa
	says "--algorithm rsa: ecdsa-p256 or ed25519 is needed"
	for days in 0 -1 36501 1.5 9d "" 99999999999999999999; do
		run -2 ctl init "$DIR" --days "$days"
		says "--days $days: a number from 1 to 36500 is needed"
	done
}

@test "--help prints every option, on stdout, and ends with 0" {
	run -0 --separate-stderr ctl --help
	[ -z "$stderr" ]
	says "pki init DIR" "pki issue DIR agent NAME" "--san" "--algorithm" "--days" "--force"
	run -0 ctl issue --help
	says "pki issue DIR agent NAME"
}

@test "a folder without a CA is named, and how to make one" {
	run -1 ctl issue "$DIR" agent a
	says "cannot open $DIR/ca.crt: No such file or directory" "xcapctl pki init"
}

@test "a CA that cannot be used is refused" {
	ctl init "$DIR"
	ctl init "$DIR-other"
	chmod 640 "$DIR/ca.key"
	run -1 ctl issue "$DIR" agent a
	says "$DIR/ca.key: others may use this key (mode 0640): chmod 600 $DIR/ca.key"
	cp "$DIR-other/ca.key" "$DIR/ca.key"
	chmod 600 "$DIR/ca.key"
	run -1 ctl issue "$DIR" agent a
	says "the CA's key does not belong to its certificate"
	echo nonsense >"$DIR/ca.crt"
	run -1 ctl issue "$DIR" agent a
	says "the CA's certificate cannot be read"
	ctl issue "$DIR-other" agent a
	cp "$DIR-other/a.crt" "$DIR-other/ca.crt"
	cp "$DIR-other/a.key" "$DIR-other/ca.key"
	run -1 ctl issue "$DIR-other" agent b
	says "not one of a CA"
	[ ! -e "$DIR/a.crt" ]
	[ ! -e "$DIR-other/b.crt" ]
}

@test "an expired CA issues nothing" {
	mkdir -m 700 "$DIR"
	cd "$DIR"
	openssl req -newkey rsa:2048 -nodes -keyout ca.key -out "$BATS_TEST_TMPDIR/request" \
		-subj /CN=old 2>/dev/null
	chmod 600 ca.key
	cd "$BATS_TEST_TMPDIR"
	cat >openssl.cnf <<-EOF
		[ca]
		default_ca = old
		[old]
		new_certs_dir = .
		database = index
		rand_serial = yes
		default_md = sha256
		policy = any
		x509_extensions = authority
		[any]
		commonName = supplied
		[authority]
		basicConstraints = critical,CA:TRUE
	EOF
	touch index
	openssl ca -batch -config openssl.cnf -selfsign -keyfile "$DIR/ca.key" -in request \
		-out "$DIR/ca.crt" -startdate 20200101000000Z \
		-enddate 20210101000000Z 2>/dev/null
	cd "$DIR"
	run -1 ctl issue . agent a
	says "expired"
	[ ! -e a.crt ]
}

@test "a CA made by openssl, with an RSA key, can issue too" {
	mkdir -m 700 "$DIR"
	cd "$DIR"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=ours 2>/dev/null
	chmod 600 ca.key
	ctl issue . agent a
	openssl verify -CAfile ca.crt a.crt
}

@test "a full disk leaves no half certificate behind" {
	ctl init "$DIR"
	mkdir "$BATS_TEST_TMPDIR/full"
	mount -t tmpfs -o size=12k tmpfs "$BATS_TEST_TMPDIR/full"
	defer umount "$BATS_TEST_TMPDIR/full"
	cp "$DIR/ca.crt" "$DIR/ca.key" "$BATS_TEST_TMPDIR/full/"
	# Room for the key, not for the certificate.
	run -1 ctl issue "$BATS_TEST_TMPDIR/full" agent a
	says "cannot write $BATS_TEST_TMPDIR/full/a.crt: No space left on device"
	[ "$(ls -A "$BATS_TEST_TMPDIR/full")" = "$(printf 'ca.crt\nca.key')" ]
}

@test "a folder that cannot be made is named" {
	touch "$BATS_TEST_TMPDIR/file"
	run -1 ctl init "$BATS_TEST_TMPDIR/file/pki"
	says "cannot create $BATS_TEST_TMPDIR/file/pki: Not a directory"
	run -1 ctl init "$BATS_TEST_TMPDIR/no/such"
	says "No such file or directory"
	run -1 ctl init "$BATS_TEST_TMPDIR/file"
	says "$BATS_TEST_TMPDIR/file"
}
