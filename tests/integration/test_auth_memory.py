"""What the auth service remembers: answers, passwords that were right, passwords that were wrong;
and what of it helps while no directory answers."""
import base64
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.instance import directory_section
from harness.slowldap import Proxy

pytestmark = pytest.mark.waits

PERSON = "anna.berg"
GOOD = ldap.password_of(PERSON)
CANONICAL = "anna.berg@example.org"


def settings(**kw):
    values = {"failure_delay": "0", "cache_size": "16M", **kw}
    return "\n\t".join(f"{k} = {v}" for k, v in values.items())


@pytest.fixture
def start(work, slapd):
    """start(…settings of auth…) runs an Authd of the test's own."""
    made = []

    def make(sections=None, **kw):
        a = Authd(work / f"memory-{time.monotonic_ns()}", sections or directory_section(slapd),
                  auth=settings(**kw))
        made.append(a)
        return a.start()

    yield make
    for a in made:
        a.stop()


@pytest.fixture
def own_slapd(work, certs):
    """One that the test may stop."""
    with ldap.Slapd(work / f"slapd-{time.monotonic_ns()}", ca=certs.ca, cert=certs.cert,
                    key=certs.key) as s:
        yield s


def binds(slapd, person):
    return slapd.log_text().count(f'BIND dn="{ldap.user_dn(person)}" method=128')


def test_a_second_login_asks_nobody(start, slapd):
    a = start()
    with a.auth() as c:
        assert c.plain("yusuf.demir", ldap.password_of("yusuf.demir")).verb == "OK"
        before = binds(slapd, "yusuf.demir")
        assert before > 0
        for _ in range(20):
            assert c.plain("yusuf.demir", ldap.password_of("yusuf.demir")).verb == "OK"
        assert binds(slapd, "yusuf.demir") == before
        # by another name it is another question
        assert c.plain("yusuf.demir@example.org", ldap.password_of("yusuf.demir")).verb == "OK"


def test_a_changed_password_works_at_once_and_the_old_one_stops(start, own_slapd):
    a = start(directory_section(own_slapd), cache_login_ttl="1500ms")
    with a.auth() as c:
        assert c.plain(PERSON, GOOD).verb == "OK"
        own_slapd.set_password(PERSON, "brand-new")
        assert c.plain(PERSON, "brand-new").verb == "OK"
        # the new one took the old one's place
        assert c.plain(PERSON, GOOD).verb == "FAIL"
        # somebody who did not come with his new one yet
        begin = time.monotonic()
        assert c.plain("olga.sokolova", ldap.password_of("olga.sokolova")).verb == "OK"
        own_slapd.set_password("olga.sokolova", "newer")
        while c.plain("olga.sokolova", ldap.password_of("olga.sokolova")).verb == "OK":
            assert time.monotonic() - begin < 60
            time.sleep(0.05)
        assert time.monotonic() - begin > 0.5
        assert c.plain("olga.sokolova", "newer").verb == "OK"


def test_a_new_user_is_found_after_the_negative_time(start, own_slapd):
    a = start(directory_section(own_slapd), cache_negative_ttl="1s")
    with a.auth() as c, a.userdb() as u, a.directory() as m:
        assert c.plain("late.comer", "late").verb == "FAIL"
        assert u.user("late.comer@example.org", service="lmtp")[0] == "NOTFOUND"
        assert m.lookup("mailbox", "late.comer@example.org")[0] == "NOTFOUND"
        own_slapd.add(f"""dn: uid=late.comer,ou=people,{ldap.BASE}
objectClass: inetOrgPerson
uid: late.comer
cn: Late Comer
sn: Comer
mail: late.comer@example.org
userPassword: late

""")
        begin = time.monotonic()
        while c.plain("late.comer", "late").verb != "OK":
            assert time.monotonic() - begin < 60
            time.sleep(0.05)
        time.sleep(max(0, begin + 1.1 - time.monotonic()))
        assert u.user("late.comer@example.org", service="lmtp")[0] == "USER"
        assert m.lookup("mailbox", "late.comer@example.org") == ("OK", "late.comer@example.org")


def test_equal_logins_are_one_bind(start, slapd):
    with Proxy(slapd.port, delay=1.0) as proxy:
        section = directory_section(slapd).replace(
            slapd.uri, f"ldap://127.0.0.1:{proxy.port}").replace(
            "starttls = yes", "starttls = no")
        a = start(section + "\n" if "starttls = no" in section else
                  section.replace("base =", "starttls = no\n\tbase ="))
        before = binds(slapd, "noor.hassan")
        good = ldap.password_of("noor.hassan")
        with a.auth() as c:
            for i in range(50):
                c.begin("PLAIN", f"\0noor.hassan\0{good}".encode(), number=i + 1)
            for i in range(50):
                c.begin("PLAIN", b"\0noor.hassan\0wrong", number=100 + i)
            got = [c.reply() for _ in range(100)]
        assert {int(r.id) for r in got if r.verb == "OK"} == set(range(1, 51))
        assert {int(r.id) for r in got if r.verb == "FAIL" and not r.temporary} == \
            set(range(100, 150))
        assert binds(slapd, "noor.hassan") - before == 2


def test_the_same_wrong_password_is_asked_about_once(start, slapd):
    a = start(wrong_password_ttl="1m")
    with a.auth() as c:
        before = binds(slapd, "marco.bianchi")
        for _ in range(30):
            assert c.plain("marco.bianchi", "of-last-year").verb == "FAIL"
        assert binds(slapd, "marco.bianchi") - before == 1
        a.wait_log("the same wrong password again")
        # another one is another question, and the right one is let in
        assert c.plain("marco.bianchi", "of-the-year-before").verb == "FAIL"
        assert c.plain("marco.bianchi", ldap.password_of("marco.bianchi")).verb == "OK"
        assert binds(slapd, "marco.bianchi") - before == 3


def test_a_wrong_password_is_not_remembered_for_ever(start, slapd):
    a = start(wrong_password_ttl="500ms")
    with a.auth() as c:
        assert c.plain("marco.bianchi", "of-last-year").verb == "FAIL"
        before, begin = binds(slapd, "marco.bianchi"), time.monotonic()
        while binds(slapd, "marco.bianchi") == before:
            assert time.monotonic() - begin < 60
            time.sleep(0.1)
            assert c.plain("marco.bianchi", "of-last-year").verb == "FAIL"


def test_nobody_can_tell_what_is_remembered(start):
    """A stranger hears the same of a wrong password, a remembered one, a block and an unknown name."""
    a = start(penalty_user="5")
    with a.auth() as c:
        def said(name, password):
            r = c.plain(name, password, params="service=imap\trip=203.0.113.5")
            return [r.verb] + [f for f in r.rest if not f.startswith("user=")]
        first = said("lena.hoffmann", "x")
        assert said("lena.hoffmann", "x") == first
        assert said("nobody-here", "x") == first
        for i in range(6):
            assert said("lena.hoffmann", f"guess{i}") == first
        assert said("lena.hoffmann", ldap.password_of("lena.hoffmann")) == first  # blocked now
    a.wait_log("too many failures before")


def test_outage_by_default_resolves_addresses_and_lets_nobody_in(start, own_slapd):
    a = start(directory_section(own_slapd), cache_ttl="0", cache_login_ttl="0")
    with a.auth() as c, a.directory() as m, a.userdb() as u:
        assert c.plain(PERSON, GOOD).verb == "OK"
        assert m.lookup("mailbox", CANONICAL) == ("OK", CANONICAL)
        sales = m.addresses("sales@example.org")
        assert u.user(CANONICAL, service="lmtp")[0] == "USER"
        assert m.lookup("mailbox", "unknown@example.org")[0] == "NOTFOUND"
        for name in ("alias", "transport"):
            assert m.lookup(name, CANONICAL)[0] == "NOTFOUND"
        own_slapd.stop()
        assert m.lookup("mailbox", CANONICAL) == ("OK", CANONICAL)
        # all that Postfix asks about mail to a user
        for name, key in (("alias", CANONICAL), ("transport", CANONICAL),
                          ("transport", "example.org"), ("transport", "*")):
            assert m.lookup(name, key)[0] == "NOTFOUND", (name, key)
        assert m.lookup("transport", "olga.sokolova@example.org")[0] == "TEMP"
        assert m.addresses("sales@example.org") == sales
        assert u.user(CANONICAL, service="lmtp")[0] == "USER"
        assert m.lookup("mailbox", "olga.sokolova@example.org")[0] == "TEMP"
        assert c.plain(PERSON, GOOD).temporary
        a.wait_log("from=memory")
        own_slapd.start()


def test_outage_lets_known_users_in_when_allowed(start, own_slapd):
    a = start(directory_section(own_slapd), cache_login_ttl="0", outage_login="1h",
              cache_negative_ttl="0")
    b = start(directory_section(own_slapd), cache_login_ttl="0", outage_login="1s",
              cache_negative_ttl="0")
    with a.auth() as c, b.auth() as soon:
        assert c.plain(PERSON, GOOD).verb == "OK"
        assert soon.plain(PERSON, GOOD).verb == "OK"
        seen = time.monotonic()
        assert c.plain("nobody-here", "x").verb == "FAIL"
        own_slapd.stop()
        assert c.plain(PERSON, GOOD).verb == "OK"
        assert c.plain(PERSON, "wrong").temporary
        assert c.plain("olga.sokolova", ldap.password_of("olga.sokolova")).temporary
        assert c.plain("nobody-here", "x").temporary  # never a "no" from memory
        a.wait_log("ev=auth.outage res=ok from=memory name=anna.berg")
        time.sleep(max(0, seen + 1.1 - time.monotonic()))
        assert soon.plain(PERSON, GOOD).temporary
        own_slapd.start()


def found_in_memory(pid, needle):
    """Where it stands in the writable memory of a process, as it is or as PLAIN has it."""
    sent = base64.b64encode(b"\0" + PERSON.encode() + b"\0" + needle)
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            where, mode, *_ = line.split()
            if not mode.startswith("rw") or "[stack]" in line:
                continue
            start_at, end = (int(x, 16) for x in where.split("-"))
            if end - start_at > 64 << 20:
                continue  # the sanitizer's shadow
            try:
                mem.seek(start_at)
                data = mem.read(end - start_at)
            except OSError:
                continue
            data = data.replace(b"\x80" + bytes([len(needle)]) + needle, b"")
            at = data.find(needle)
            if at >= 0:
                found.append((line, data[max(0, at - 100):at + 60]))
            if sent in data:
                found.append((line, sent))
    return found


def test_no_password_in_memory_or_log(start):
    """But for what libldap sent (freed by it, not wiped): a simple bind's [0] and length stand before."""
    a = start()
    secret = "a-password-that-stands-nowhere-else"
    with a.auth() as c:
        assert c.plain(PERSON, secret).verb == "FAIL"
        # The connection lives on, as those of gate and smtp do.
        until = time.monotonic() + 180  # what is wiped behind the answer
        while found := found_in_memory(a.pid, secret.encode()):
            assert time.monotonic() < until, found
            time.sleep(0.3)
    assert secret not in a.log_text()
