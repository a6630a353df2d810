#!/bin/sh
# Every capability that imap advertises names a test program that has and runs its test. TAP.
src=${srcdir:-.}/tests/unit
list=$(./postroom-imap --capabilities) || exit 99
# has LINE: "token program test"
has() {
	# shellcheck disable=SC2086
	set -- $1
	grep -qE "^[[:space:]]*TEST\($3\)," "$src/test_imap_$2.c" 2>/dev/null
}
n=0 bad=0
while read -r line; do
	n=$((n + 1))
	if has "$line"; then
		echo "ok $n - ${line%% *}"
	else
		bad=1
		echo "not ok $n - ${line%% *}: no such test: ${line#* }"
	fi
done <<END
$list
END
n=$((n + 1))
if has "X nowhere none" || has "X session none"; then
	bad=1
	echo "not ok $n - a test that is none is seen"
else
	echo "ok $n - a test that is none is seen"
fi
echo "1..$n"
exit $bad
