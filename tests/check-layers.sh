#!/bin/sh
# An include only points down: core/base, config, core/event, core/sasl, core/dns and core/mail, core/store
# and core/authclient, core/role, core/gate and core/master, the roles. Neighbours of one layer and
# the roles among each other share nothing; delivery/spool is the library of smtp and queue,
# delivery/relay that of queue and relay (whose own code is delivery/remote), delivery/resolver that of
# smtp and the role of that name. TAP.
cd "${srcdir:-.}" || exit 99

level() {
	case $1 in
	core/base) echo 0 ;;
	config) echo 1 ;;
	core/event) echo 2 ;;
	core/sasl | core/dns | core/http | core/mail | core/passwd) echo 3 ;;
	core/store | core/authclient) echo 4 ;;
	core/role) echo 5 ;;
	core/gate | core/master | delivery/spool | delivery/relay | delivery/resolver) echo 6 ;;
	imap/gate | imap/grammar | delivery/smtp | delivery/queue | delivery/lmtp | delivery/remote | delivery/sendmail) echo 7 ;;
	imap/session) echo 8 ;;
	imap/append | imap/fetch | imap/mailbox | imap/search) echo 9 ;;
	imap) echo 10 ;;
	auth-ldap/ldap | auth-ldap/name) echo 7 ;;
	auth-ldap/backend) echo 8 ;;
	auth-ldap/directory | auth-ldap/worker) echo 9 ;;
	auth-ldap/front) echo 10 ;;
	auth-ldap/server) echo 11 ;;
	auth-ldap) echo 12 ;;
	*) echo none ;;
	esac
}

# The folder that a file belongs to.
unit() {
	case $1 in
	*/*) echo "${1%/*}" ;;
	*) echo . ;;
	esac
}

# "file include" lines of the C files given on standard input.
includes() {
	xargs awk '/^[ \t]*#[ \t]*include[ \t]*"/ {
		gsub(/^[^"]*"|".*$/, ""); print FILENAME, $0 }' /dev/null
}

check() {
	while read -r file inc; do
		[ "$inc" = config.h ] && continue
		from=$(unit "$file") to=$(unit "$inc")
		[ "$from" = "$to" ] && continue
		a=$(level "$from") b=$(level "$to")
		if [ ! -f "$inc" ]; then
			echo "$file: \"$inc\" is not a path from the root"
		elif [ "$a" = none ] || [ "$b" = none ] || [ "$b" -ge "$a" ]; then
			echo "$file includes $inc"
		fi
	done
}

n=0 bad=0
for dir in core/base config core/event core/sasl core/dns core/http core/mail core/passwd core/store core/authclient core/role \
	core/gate core/master auth-ldap imap delivery/spool delivery/relay delivery/resolver delivery/smtp delivery/queue \
	delivery/lmtp; do
	n=$((n + 1))
	out=$(find "$dir" -name '*.[ch]' | sort | includes | check)
	if [ -z "$out" ]; then
		echo "ok $n - $dir"
	else
		bad=1
		echo "$out" | sed 's/^/# /'
		echo "not ok $n - $dir"
	fi
done
# a folder of code that this list does not know would go unchecked
n=$((n + 1))
out=$(find core config delivery imap auth-ldap -name '*.[ch]' | while read -r f; do
	[ "$(level "$(unit "$f")")" = none ] && echo "$f"
done)
[ -z "$out" ] || bad=1
[ -z "$out" ] && echo "ok $n - every folder has a layer" || {
	echo "$out" | sed 's/^/# /'
	echo "not ok $n - every folder has a layer"
}
# the check itself sees an include that points up
n=$((n + 1))
if [ -n "$(echo core/base/str.c imap/imap.h | check)" ] &&
	[ -n "$(echo core/event/loop.c core/store/store.h | check)" ] &&
	[ -z "$(echo core/event/loop.c core/base/str.h | check)" ]; then
	echo "ok $n - an include that points up is seen"
else
	bad=1
	echo "not ok $n - an include that points up is seen"
fi
echo "1..$n"
exit $bad
