# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the programs say of themselves and what the documents say of them is the same.
load helpers

MAN=$TOP/Documentation/man

# helped PROGRAM: its long options, by --help; of xcapctl those of its commands too.
helped() {
	"$XCAP_BIN/$1" --help | grep -oE '(^|[ ,|[])--[a-z][a-z-]+' | tr -d ' ,|[' | sort -u
}

# documented PROGRAM: the long options that head a paragraph of its page.
documented() {
	grep -hE '^\.It .*Fl Fl ' "$MAN/$1.8" | grep -oE 'Fl Fl [a-z][a-z-]+' |
		sed 's/Fl Fl /--/' | sort -u
}

@test "every option in --help is in the man page, and the other way round" {
	local program failed=

	for program in xcapd xcap-aggregator xcapctl xcap-gen; do
		[ -n "$(helped "$program")" ] || fail "$program has no options"
		diff <(helped "$program") <(documented "$program") || {
			echo "^ $program: < only in --help, > only in the man page"
			failed=1
		}
	done
	[ -z "$failed" ]
}

@test "the man pages render without a warning" {
	local page

	for page in "$MAN"/*.8; do
		run -0 mandoc -T lint -W warning "$page"
		[ -z "$output" ]
		run -0 mandoc -T utf8 "$page"
		at_least "lines of $page" "${#lines[@]}" 40
	done
}

@test "each program tells its version, and what it does not know" {
	local program

	for program in xcapd xcap-aggregator xcapctl xcap-gen; do
		run -0 "$XCAP_BIN/$program" --version
		[[ $output =~ [0-9]+\.[0-9]+\.[0-9]+ ]]
		run -2 "$XCAP_BIN/$program" --no-such-option
		[[ $output == *no-such-option* ]]
	done
}

@test "links between the documents lead somewhere" {
	local file link failed=

	for file in "$TOP"/*.md "$TOP"/Documentation/*.md; do
		while IFS= read -r link; do
			[ -e "$(dirname "$file")/$link" ] || {
				echo "$file: no such file: $link"
				failed=1
			}
		done < <(grep -oE '\]\([^)]+\)' "$file" | sed 's/^](//; s/)$//; s/#.*//' |
			grep -v '://' | grep .)
	done
	[ -z "$failed" ]
}

@test "every target of the Makefile that help names is there" {
	local target
	local -a targets

	run -0 make -C "$TOP" --no-print-directory help
	mapfile -t targets < <(grep -oE 'make [a-z-]+' <<<"$output" | cut -d ' ' -f 2)
	at_least targets "${#targets[@]}" 12
	for target in "${targets[@]}"; do
		grep -qE "^([a-z-]+ )*$target( [a-z-]+)*:" "$TOP/Makefile" || fail "no target $target"
	done
}
