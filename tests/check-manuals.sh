#!/bin/sh
# Every manual page passes mandoc's lint; the page of postroom.conf is the generated one. TAP.
src=${srcdir:-.}
command -v mandoc >/dev/null || { echo "1..0 # SKIP mandoc is not installed"; exit 0; }
pages="$src/docs/man/*.8 docs/man/*.5"
n=0 bad=0
for p in $pages; do
	n=$((n + 1))
	out=$(mandoc -T lint -W warning "$p" 2>&1 | grep -v 'referenced manual not found')
	if [ -z "$out" ]; then
		echo "ok $n - ${p##*/}"
	else
		bad=1
		echo "$out" | sed 's/^/# /'
		echo "not ok $n - ${p##*/}"
	fi
done
echo "1..$n"
[ $n -ge 8 ] && [ $bad = 0 ]
