"""The helper process and passwd-files: hashes of other programs, changes while it runs, lines that are
wrong, files that others can read, and a large file."""
import os
import pwd
import subprocess
import time

import pytest

from harness.authworker import REASON, AuthWorker
from harness.sqldata import hash_of

SECTION = "passwd_file", "local"
PASSWORD = "s3cret"


def doveadm(scheme, password=PASSWORD):
    return subprocess.run(["doveadm", "-c", "/dev/null", "pw", "-s", scheme, "-p", password],
                          capture_output=True, text=True, check=True).stdout.strip()


def put(path, text, mode=0o640):
    """As an editor does it: a new file in the old one's place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(mode)
    if os.getuid() == 0:
        os.chown(new, 0, pwd.getpwnam("postroom-worker").pw_gid)
    new.rename(path)


@pytest.fixture
def users(tmp_path_factory, work, request):
    return work / f"users-{request.node.name[:40]}".replace("[", "-").replace("]", "")


@pytest.fixture
def start(work, users):
    made = []

    def go(text=None, settings="", **kw):
        if text is not None:
            put(users, text, **kw)
        w = AuthWorker(work / f"w-{users.name}", f'passwd_file "local" {{ path = "{users}" }}', settings)
        made.append(w)
        w.start()
        c = w.client()
        made.append(c)
        return w, c

    yield go
    for m in reversed(made):
        m.stop() if isinstance(m, AuthWorker) else m.sock.close()


def login(c, user, password=PASSWORD):
    return c.ask("login", *SECTION, user=user, password=password)


SCHEMES = ["SSHA", "SSHA256", "SSHA512", "SHA", "SHA256", "SHA512", "SMD5", "PLAIN-MD5", "LDAP-MD5", "PBKDF2",
           "SCRAM-SHA-256", "SCRAM-SHA-1", "ARGON2ID", "ARGON2I", "BLF-CRYPT", "SHA512-CRYPT",
           "SHA256-CRYPT", "MD5-CRYPT", "CRYPT", "PLAIN", "CLEARTEXT", "SSHA256.HEX", "SHA512.B64"]


def test_hashes_of_doveadm(start):
    text = "".join(f"user{n}:{doveadm(s)}\n" for n, s in enumerate(SCHEMES))
    w, c = start(text)
    for n, scheme in enumerate(SCHEMES):
        assert login(c, f"user{n}").err == "ok", scheme
        a = login(c, f"user{n}", "s3creT")
        assert (a.err, a.reason) == ("denied", REASON["PASSWORD"]), scheme


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if "." not in s])
def test_doveadm_takes_our_hashes(scheme):
    made = hash_of(scheme, PASSWORD)
    for password, code in ((PASSWORD, 0), ("wrong", 1)):
        done = subprocess.run(["doveadm", "-c", "/dev/null", "pw", "-t", made, "-p", password],
                              capture_output=True, text=True)
        assert (done.returncode == 0) == (code == 0), (made, password, done)


def test_hashes_of_other_programs(start):
    unix = subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True)
    ldap = subprocess.run(["/usr/sbin/slappasswd", "-h", "{SSHA}", "-s", PASSWORD], capture_output=True,
                          text=True, check=True)
    w, c = start(f"a:{unix.stdout.strip()}\nb:{ldap.stdout.strip()}\n")
    assert login(c, "a").err == login(c, "b").err == "ok"
    assert login(c, "a", "x").err == login(c, "b", "x").err == "denied"


FIELDS = f"""# comment

anna:{{PLAIN}}{PASSWORD}:1000:1000:Anna Berg,Room 1:/srv/mail/anna:/bin/sh:quota=1G aliases=a.berg@example.org,info@example.com services=imap,lmtp networks=2001:db8::/32,192.0.2.0/24 userdb_mail=maildir:~/x
Bert@Example.COM:{{PLAIN}}{PASSWORD}::::::
carl:{{PLAIN}}{PASSWORD}:::::: enabled=no
dora:{{PLAIN}}{PASSWORD}:::::: expires=2027-01-31
emil:{{PLAIN}}{PASSWORD}:::::: nologin
locked:!$6$abcdefgh$q0UH.sx5:::::
"""


def test_fields(start):
    w, c = start(FIELDS)
    a = login(c, "anna@example.org")
    assert a.user == {
        "user": "anna@example.org", "source": "anna@example.org", "display_name": "Anna Berg",
        "home": "/srv/mail/anna", "quota": "1G", "aliases": "a.berg@example.org,info@example.com",
        "services": "imap,lmtp", "services_given": "1", "networks": "2001:db8::/32,192.0.2.0/24"}
    assert login(c, "anna").user["user"] == "anna@example.org"
    assert login(c, "bert@example.com").user["user"] == "bert@example.com"
    assert login(c, "bert").err == login(c, "anna@example.com").err == "notfound"
    for user in ("carl", "emil"):
        assert login(c, user).user["disabled"] == "1"
    assert login(c, "dora").user["expires"] == "1801353600"
    assert login(c, "locked").err == login(c, "locked", "!").err == "denied"
    a = c.ask("address", *SECTION, user="info@example.com")
    assert a.user["user"] == "anna@example.org"
    assert c.ask("members", *SECTION, user="a.berg@example.org").user["user"] == "anna@example.org"
    assert c.ask("sender", *SECTION, user="a.berg@example.org").user["user"] == "anna@example.org"
    for domain in ("example.org", "example.com"):
        assert c.ask("domain", *SECTION, other=domain).values == [domain]
    assert c.ask("domain", *SECTION, other="example.net").err == "notfound"
    assert sorted(u["user"] for u in c.ask("list", *SECTION).users) == [
        "anna@example.org", "bert@example.com", "carl@example.org", "dora@example.org",
        "emil@example.org", "locked@example.org"]
    a = c.ask("secret", *SECTION, user="anna")
    assert set(a.keys) == {"1", "256"}


def test_salts_of_readable_passwords_stay(start):
    """A salt that changed would tell a stranger that there is such a user."""
    text = f"anna:{{PLAIN}}{PASSWORD}::::::aliases=a.berg@example.org\nbert:{{PLAIN}}{PASSWORD}\n"
    w, c = start(text, settings='auth {\n\tdefault_domain = "example.org"\n\tscram_iterations = 5000\n}\n')
    first = {u: c.ask("secret", *SECTION, user=u).keys for u in ("anna", "bert", "a.berg")}
    assert all(keys["256"][0] == keys["1"][0] == "5000" for keys in first.values())
    assert len({keys[kind][1] for keys in first.values() for kind in ("1", "256")}) == 6
    assert c.ask("secret", *SECTION, user="Anna@EXAMPLE.org").keys == first["anna"]
    c.sock.close()
    w.stop()
    w.start()
    again = w.client()
    assert {u: again.ask("secret", *SECTION, user=u).keys for u in first} == first
    again.sock.close()


BAD = f"""nopassword
empty:
:{{PLAIN}}{PASSWORD}
unknown:{{ROT13}}{PASSWORD}
cut:{{SSHA}}abc
typo:{{PLAIN}}{PASSWORD}::::::enabeld=no
when:{{PLAIN}}{PASSWORD}::::::expires=soon
flag:{{PLAIN}}{PASSWORD}::::::enabled=perhaps
alias:{{PLAIN}}{PASSWORD}::::::aliases=@
user:{{PLAIN}}{PASSWORD}::::::user=root
nets:{{PLAIN}}{PASSWORD}::::::networks=,
a b:{{PLAIN}}{PASSWORD}
twice:{{PLAIN}}{PASSWORD}
twice@example.org:{{PLAIN}}other
good:{{PLAIN}}{PASSWORD}
x:{{PLAIN}}{PASSWORD}::::::aliases=both@example.org
y:{{PLAIN}}{PASSWORD}::::::aliases=both@example.org
last:{{PLAIN}}{PASSWORD}"""


def test_bad_lines_count_for_nobody(start):
    w, c = start(BAD)
    assert login(c, "good").err == login(c, "last").err == login(c, "x").err == "ok"
    for user in ("nopassword", "empty", "unknown", "cut", "typo", "when", "flag", "alias", "user", "nets"):
        for password in (PASSWORD, "", "x"):
            assert login(c, user, password).err == "notfound", user
    for password in (PASSWORD, "other"):
        a = login(c, "twice", password)
        assert (a.err, a.reason) == ("denied", REASON["AMBIGUOUS"])
    assert c.ask("address", *SECTION, user="both@example.org").err == "denied"
    w.wait_log("line=14 ")
    log = w.log_text()
    for line in list(range(1, 13)) + [14]:
        assert f"line={line} " in log, line
    assert "line=15 " not in log and PASSWORD not in log


def test_changes_are_seen(start, users):
    w, c = start(f"anna:{{PLAIN}}{PASSWORD}\n")
    assert login(c, "anna").err == "ok"
    put(users, "anna:{PLAIN}other\nbert:{PLAIN}new\n")
    assert login(c, "anna").err == "denied"
    assert login(c, "anna", "other").err == login(c, "bert", "new").err == "ok"
    with open(users, "a") as f:
        f.write("carl:{PLAIN}more\n")
    assert login(c, "carl", "more").err == "ok"


def test_file_that_is_not_there_is_temporary(start, users):
    w, c = start()
    assert login(c, "anna").err == "temp"
    put(users, f"anna:{{PLAIN}}{PASSWORD}\n")
    assert login(c, "anna").err == "ok"
    users.unlink()
    assert login(c, "anna").err == login(c, "nobody").err == "temp"
    put(users, f"anna:{{PLAIN}}{PASSWORD}\n")
    assert login(c, "anna").err == "ok"


def test_file_that_others_can_read_is_refused(start, users):
    w, c = start(f"anna:{{PLAIN}}{PASSWORD}\n", mode=0o644)
    assert login(c, "anna").err == "temp"
    w.wait_log("others can read it")
    users.chmod(0o640)
    assert login(c, "anna").err == "ok"
    users.chmod(0o641)
    assert login(c, "anna").err == "temp"


def test_hundred_thousand_users(start, users):
    made = hash_of("SSHA256", PASSWORD)
    w, c = start("".join(f"user{n}:{made}:::::\n" for n in range(100000)))
    before = time.monotonic()
    assert login(c, "user99999").err == "ok"
    first = time.monotonic() - before
    before = time.monotonic()
    for n in range(0, 100000, 1000):
        assert login(c, f"user{n}").err == "ok"
    hundred = time.monotonic() - before
    assert len(c.ask("list", *SECTION).users) == 100000
    # the file is not read for each; figures are in docs/backends.md
    assert hundred < max(20, 50 * first), (first, hundred)
    print(f"load {first:.3f} s, a login {hundred * 10:.2f} ms")
