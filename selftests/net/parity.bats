# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# One table drives command line, environment, file, --help and --print-config: they and the man
# pages agree to the letter. (documentation.bats compares the long options.)
load helpers

MAN=$TOP/Documentation/man

# settings PROGRAM: the keys of its configuration file.
settings() {
	"$XCAP_BIN/$1" --print-config | grep -oE '^(# )?[a-z_]+:' | tr -d '# :'
}

# help_texts PROGRAM: with those of its commands.
help_texts() {
	local command

	"$XCAP_BIN/$1" --help
	[ "$1" != xcapctl ] || for command in status maps cat filter pki; do
		"$XCAP_BIN/xcapctl" "$command" --help
	done
}

@test "short options are the same in --help and in the man page" {
	local program

	for program in xcapd xcap-aggregator xcapctl xcap-gen; do
		diff <(help_texts "$program" |
			sed -nE 's/^ +(-[A-Za-z]), (--[a-z-]+).*/\1 \2/p' | sort -u) \
			<(sed -nE 's/^\.It Fl ([A-Za-z]) , Fl Fl ([a-z-]+).*/-\1 --\2/p' \
				"$MAN/$program.8" | sort -u) ||
			fail "^ $program: < in --help, > in the man page"
	done
}

@test "every option of every command of xcapctl is in its man page" {
	local command option

	for command in status maps cat filter pki; do
		"$XCAP_BIN/xcapctl" "$command" --help >"$BATS_TEST_TMPDIR/help"
		grep -q -- --help "$BATS_TEST_TMPDIR/help" || fail "$command --help names no --help"
		while read -r option; do
			# --version of a command comes with its table; the page has that of xcapctl.
			grep -qE "^\.It .*Fl Fl ${option#--}( |\$)" "$MAN/xcapctl.8" ||
				fail "xcapctl $command $option is not in the man page"
		done < <(grep -oE '(^|[ [])--[a-z][a-z-]+' "$BATS_TEST_TMPDIR/help" | tr -d ' [' |
			sort -u)
	done
}

@test "help fits a terminal of 80 columns" {
	local program

	for program in xcapd xcap-aggregator xcapctl; do
		run ! bash -c "'$XCAP_BIN/$program' --help | grep -nE '.{80}| \$'"
	done
}

@test "every setting of the file is an option and the other way round" {
	local program

	for program in xcapd xcap-aggregator; do
		diff <(settings "$program" | tr _ - | sort) \
			<("$XCAP_BIN/$program" --help | sed -nE 's/^  (-., |    )--([a-z-]+).*/\2/p' |
				grep -vxE 'help|version|config|print-config|check-config|detach|list-interfaces|list-time-stamp-types|json|dump-filter' |
				sort) || fail "^ $program: < settings, > options"
	done
}

@test "a configuration that is printed gives the same when it is read" {
	local program

	for program in xcapd xcap-aggregator; do
		"$XCAP_BIN/$program" --print-config --name n1 --run-dir "$RUN_DIR" -w 'a "b": c' \
			--stats=3 --log-level debug >"$BATS_TEST_TMPDIR/first.yaml"
		"$XCAP_BIN/$program" --print-config --config "$BATS_TEST_TMPDIR/first.yaml" \
			>"$BATS_TEST_TMPDIR/second.yaml"
		diff <(sed 's/ *# [^#]*$//' "$BATS_TEST_TMPDIR/first.yaml") \
			<(sed 's/ *# [^#]*$//' "$BATS_TEST_TMPDIR/second.yaml")
		grep -q '^stats: 3s  *# command line$' "$BATS_TEST_TMPDIR/first.yaml"
		grep -q "^stats: 3s  *# $BATS_TEST_TMPDIR/first.yaml:" "$BATS_TEST_TMPDIR/second.yaml"
	done
}

@test "every setting is taken from the environment" {
	local program setting value

	for program in xcapd xcap-aggregator; do
		while IFS=: read -r setting value; do
			env "XCAP_${setting^^}=$value" "$XCAP_BIN/$program" --print-config |
				grep -qE "^$setting: .* # environment\$" ||
				fail "$program does not take XCAP_${setting^^}=$value"
		done < <("$XCAP_BIN/$program" --print-config --stats=5 -w x |
			sed -nE 's/^([a-z_]+): "?([^" ]+).*/\1:\2/p')
	done
}

@test "the examples of the man pages are valid" {
	local program

	for program in xcapd xcap-aggregator; do
		sed -n '/^\.Ss Configuration/,/^\.Sh/{/^\.Bd/,/^\.Ed/{/^[^.]/p}}' "$MAN/$program.8" \
			>"$BATS_TEST_TMPDIR/$program.yaml"
		at_least "lines of the example" "$(wc -l <"$BATS_TEST_TMPDIR/$program.yaml")" 4
		run -0 "$XCAP_BIN/$program" --config "$BATS_TEST_TMPDIR/$program.yaml" --check-config
		[ -z "$output" ]
	done
}

@test "a wrong command line gives 2, a wrong file or environment 78, on one line" {
	local program file=$BATS_TEST_TMPDIR/wrong.yaml

	printf '# one\nlog_levle: info\n' >"$file"
	for program in xcapd xcap-aggregator; do
		run -2 "$XCAP_BIN/$program" --log-levle info
		equal "$program: lines" "${#lines[@]}" 1
		[[ $output == *"--log-levle; did you mean --log-level?"* ]]
		run -2 "$XCAP_BIN/$program" --name x # and nothing else that is needed
		equal "$program: lines" "${#lines[@]}" 1
		run -78 "$XCAP_BIN/$program" --config "$file"
		equal message "$output" \
			"$program: $file:2:1: log_levle: unknown key; did you mean log_level?"
		run -78 "$XCAP_BIN/$program" --config "$file" --check-config
		run -78 "$XCAP_BIN/$program" --config /does/not/exist
		XCAP_LOG_LEVLE=info run -78 "$XCAP_BIN/$program" -w x
		[[ $output == *"XCAP_LOG_LEVLE: no such setting; did you mean XCAP_LOG_LEVEL?" ]]
		XCAP_LOG_LEVEL=loud run -78 "$XCAP_BIN/$program" -w x
		[[ $output == *'XCAP_LOG_LEVEL: "loud" is none of error, warning, info, debug'* ]]
	done
}
