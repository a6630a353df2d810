#!/bin/sh
# Functions that no file may call, and foreign libraries outside their wrapper. TAP.
cd "${srcdir:-.}" || exit 99

sources() {
	find core config auth-ldap imap delivery tests bench -name '*.[ch]' | sort
}

# The code with comments and strings blanked out, as "file:line:code".
code() {
	xargs awk 'FNR == 1 { inside = 0 }
	{
		line = $0; out = ""
		while (line != "") {
			if (inside) {
				p = index(line, "*/")
				if (p == 0) { line = ""; break }
				line = substr(line, p + 2); inside = 0
				continue
			}
			if (match(line, /"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047|\/\*|\/\//) == 0) {
				out = out line; break
			}
			token = substr(line, RSTART, 2)
			out = out substr(line, 1, RSTART - 1)
			if (token == "//") break
			if (token == "/*") { inside = 1; line = substr(line, RSTART + 2); continue }
			out = out " "
			line = substr(line, RSTART + RLENGTH)
		}
		if (out != "") print FILENAME ":" FNR ":" out
	}' /dev/null
}

n=0 bad=0
report() { # name, findings
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		bad=1
		echo "$2" | sed 's/^/# /'
		echo "not ok $n - $1"
	fi
}

all=$(sources | code)
for f in strcpy strcat sprintf vsprintf strncpy strncat strtok atoi atol atoll sscanf gets system \
	popen alloca setjmp longjmp; do
	case $f in
	setjmp | longjmp) found=$(echo "$all" | grep -v '^tests/' | grep -E "[^A-Za-z0-9_]$f *\(") ;;
	*) found=$(echo "$all" | grep -E "[^A-Za-z0-9_]$f *\(") ;;
	esac
	report "nobody calls $f" "$found"
done
report "strchr searches no literal set (a NUL is in each): ascii_is_among" \
	"$(echo "$all" | grep -v '^tests/' | grep -E '[^A-Za-z0-9_]strchr *\( *,')"
report "nobody includes ctype.h" "$(sources | xargs grep -nE '#[ \t]*include <ctype\.h>')"

# header, files that may include it
foreign() {
	report "$1 stays in its wrapper" "$(sources | xargs grep -nE "#[ \t]*include <$1" /dev/null |
		grep -vE "^($2):")"
}
foreign 'ev\.h' 'core/event/loop\.c'
foreign 'openssl/' 'core/event/tls\.c|core/(base|passwd)/digest\.c|bench/[a-z_]*\.c|tests/unit/test_sasl\.c'
foreign 'unbound' 'core/dns/dns\.c'
foreign 'zlib\.h' 'core/event/deflate\.c'
foreign 'lmdb\.h' 'core/store/kv_lmdb\.c|delivery/queue/state\.c'
foreign 'ldap|lber' 'auth-ldap/ldap/[a-z_]*\.[ch]|tests/unit/ldap_syntax\.h'
foreign '(argon2|crypt)\.h' 'core/passwd/(argon2|crypt)\.c'
foreign 'security/' 'auth-ldap/worker/pam\.c|tests/integration/harness/pam_trial\.c'
foreign 'mysql' 'auth-ldap/worker/sql_mysql\.c'
foreign '(libpq|postgresql)' 'auth-ldap/worker/sql_pgsql\.c'
foreign 'sasl/' 'core/sasl/[a-z_]*\.[ch]'
foreign 'curl/' 'core/http/http\.c'
foreign 'json-c/' 'auth-ldap/server/token\.c'
foreign 'gssapi' 'core/sasl/exchange\.c|auth-ldap/ldap/[a-z_]*\.[ch]'
foreign 'confuse' 'config/[a-z_]*\.[ch]'
foreign 'unicode/' 'core/mail/charset[a-z_]*\.c'
foreign '(seccomp|linux/seccomp|linux/landlock)\.h' 'core/role/cage\.c'
foreign 'sys/epoll\.h' 'core/event/loop\.c|bench/[a-z_]*\.c'
foreign 'pthread\.h' 'core/event/(pool|connect)\.c|core/sasl/exchange\.c|core/base/(codec|hmap)\.c|delivery/queue/state\.c|tests/.*|bench/.*'
foreign 'cmocka\.h' 'tests/unit/[a-z0-9_]*\.[ch]'

# sizes: what outgrows these is split
report "no .c file over 1,000 lines" "$(find core config auth-ldap imap delivery tests bench -name '*.c' |
	xargs wc -l | awk '$1 > 1000 && $2 != "total"')"
report "no header over 250 lines" "$(find core config auth-ldap imap delivery -name '*.h' |
	xargs wc -l | awk '$1 > 250 && $2 != "total"')"

# the check itself sees what it looks for
probe=$(mktemp) || exit 99
cat >"$probe" <<'END'
int a = strcpy(b, c); /* strcat( */
/* sprintf(x)
 gets(y) */ const char *s = "atoi(z)"; // system(
END
seen=$(echo "$probe" | code | grep -cE '[^A-Za-z0-9_](strcpy|strcat|sprintf|gets|atoi|system) *\(')
rm -f "$probe"
[ "$seen" = 1 ] && report "calls are seen, comments and strings are not" "" ||
	report "calls are seen, comments and strings are not" "$seen lines instead of 1"
echo "1..$n"
exit $bad
