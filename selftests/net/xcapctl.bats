# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What xcapctl itself does, and `xcapctl status`: against daemons that are one line of socat.
load helpers

CTL=$XCAP_BIN/xcapctl

# daemon NAME ANSWER: listens as an instance of that name and gives every request the same answer.
daemon() {
	printf '%s\n' "$2" >"$BATS_TEST_TMPDIR/$1.answer"
	start "$1" - socat "UNIX-LISTEN:$RUN_DIR/$1.sock,fork" \
		"SYSTEM:head -n 1 >>$BATS_TEST_TMPDIR/$1.requests; cat $BATS_TEST_TMPDIR/$1.answer"
	wait_for 5 test -S "$RUN_DIR/$1.sock"
}

@test "status asks the only daemon there is" {
	daemon a1 '{"ok": true, "result": {"name": "a1", "lanes": [{"lane": 0, "packets": 12}]}}'
	run -0 "$CTL" --run-dir "$RUN_DIR" status
	[ "$output" = "name:  a1

lanes:
  lane  packets
     0       12" ]
	equal request "$(cat "$BATS_TEST_TMPDIR/a1.requests")" '{"command":"status"}'
}

@test "status --json prints what the daemon said" {
	daemon a1 '{"ok": true, "result": {"name": "a1", "x": [1, 2.5]}}'
	run -0 --separate-stderr "$CTL" status --json --run-dir "$RUN_DIR"
	equal answer "$(jq -c . <<<"$output")" '{"name":"a1","x":[1,2.5]}'
	[ -z "$stderr" ]
}

@test "of several daemons one is chosen, and the error lists them" {
	daemon a1 '{"ok": true, "result": "one"}'
	daemon b2 '{"ok": true, "result": "two"}'
	run -2 "$CTL" --run-dir "$RUN_DIR" status
	[[ $output == *"choose with --instance: a1, b2" ]]
	run -0 "$CTL" --run-dir "$RUN_DIR" --instance b2 status
	equal "of --instance" "$output" two
	run -0 "$CTL" status --instance a1 --run-dir "$RUN_DIR"
	equal "of --instance behind the command" "$output" one
	run -0 "$CTL" --socket "$RUN_DIR/b2.sock" status
	equal "of --socket" "$output" two
}

@test "a daemon that is not there, is dead or silent gives 69 and says so" {
	run -69 "$CTL" --run-dir "$RUN_DIR" status
	[[ $output == *"no daemon runs here: no socket in $RUN_DIR"* ]]
	run -69 "$CTL" --run-dir "$RUN_DIR" --instance gone status
	[[ $output == *"no daemon runs there: no socket $RUN_DIR/gone.sock" ]]
	daemon dead '{}'
	stop dead KILL || true
	run -69 "$CTL" --run-dir "$RUN_DIR" status
	[[ $output == *"the daemon is gone: nobody listens at $RUN_DIR/dead.sock" ]]
	start silent - socat "UNIX-LISTEN:$RUN_DIR/silent.sock" "EXEC:sleep 60"
	wait_for 5 test -S "$RUN_DIR/silent.sock"
	run -69 "$CTL" --socket "$RUN_DIR/silent.sock" status
	[[ $output == *"no answer within 5 s from $RUN_DIR/silent.sock" ]]
}

@test "what a daemon refuses is an error in its own words" {
	daemon a1 '{"ok": false, "error": "unknown command \"status\""}'
	run -1 --separate-stderr "$CTL" --run-dir "$RUN_DIR" status
	[ -z "$output" ]
	equal message "$stderr" 'xcapctl status: unknown command "status"'
}

@test "somebody else's daemon gives 77" {
	daemon a1 '{"ok": true, "result": 1}'
	chmod 600 "$RUN_DIR/a1.sock"
	# All the way there may be walked.
	chmod o+x "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR"/* "$BATS_TEST_TMPDIR" "$RUN_DIR"
	cp "$CTL" "$RUN_DIR/ctl"
	run -77 setpriv --reuid=65534 --regid=65534 --clear-groups "$RUN_DIR/ctl" \
		--socket "$RUN_DIR/a1.sock" status
	[[ $output == *"only the daemon's user and root may talk to $RUN_DIR/a1.sock"* ]]
}

@test "a wrong command line gives 2 and says what was meant" {
	run -2 "$CTL"
	[[ $output == *"a command is missing"* ]]
	run -2 "$CTL" sttaus
	[[ $output == *"unknown command sttaus; did you mean status?"* ]]
	run -2 "$CTL" --instnace x status
	[[ $output == *"unknown option --instnace; did you mean --instance?"* ]]
	run -2 "$CTL" --instance
	[[ $output == *"a value is missing: --instance"* ]]
	run -2 "$CTL" --socket x pki
	[[ $output == *"--socket means nothing to pki"* ]]
	run -2 "$CTL" status --instance a --socket b
	[[ $output == *"--instance and --socket exclude each other"* ]]
	run -2 "$CTL" status --jsn
	[[ $output == *"unknown option --jsn; did you mean --json?"* ]]
	run -2 "$CTL" status now
	[[ $output == *'unexpected argument "now"'* ]]
}

@test "help is there for every command, both ways" {
	local command

	run -0 "$CTL" --help
	for command in status maps cat pki; do
		[[ $output == *$'\n'"  $command "* ]] || fail "--help does not list $command"
	done
	for command in status maps cat pki; do
		run -0 "$CTL" help "$command"
		[[ ${output,,} == *"usage: xcapctl $command"* ]] || fail "help $command: $output"
		run -0 "$CTL" "$command" --help
		[[ ${output,,} == *"usage: xcapctl $command"* ]] || fail "$command --help: $output"
	done
}

@test "output that cannot be written is an error" {
	run -1 bash -c "'$CTL' --help >/dev/full"
	[[ $output == *"cannot write standard output"* ]]
}

@test "variables of the daemons do not disturb the tool" {
	XCAP_SNAPSHOT_LENGTH=5 XCAP_NONSENSE=1 run -69 "$CTL" --run-dir "$RUN_DIR" status
	[[ $output == *"no daemon runs here"* ]]
}
