#!/bin/sh
# The files that are made of others at the build name real folders: no @NAME@ is left, and systemd's
# unit starts a program by its whole path. TAP.
n=0 bad=0
result() { # result STATUS WHAT
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else bad=1 && echo "not ok $n - $2"; fi
}
for f in docs/man/postroom.conf.5 config/systemd/postroom.service; do
	[ -s "$f" ] && ! grep -n '@[A-Za-z_]*@' "$f" | sed 's/^/# /' | grep .
	result $? "$f has no @NAME@"
done
for key in ExecStartPre ExecStart ExecReload; do
	grep -q "^$key=/.*/postroom [a-z]*$" config/systemd/postroom.service
	result $? "$key is a whole path"
done
echo "1..$n"
[ $bad = 0 ]
