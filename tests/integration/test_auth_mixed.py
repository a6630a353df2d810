"""The auth service where several of its parts meet: renames and homes, sections of which one is
down, an outage after a change of the password, odd passwords, the times of shadowExpire."""
import base64
import socket
import time
import unicodedata

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.instance import directory_section

OK, TEMP, NOTFOUND = "OK", "TEMP", "NOTFOUND"
PAVEL, LENA, ANNA = "pavel.dvorak", "lena.hoffmann", "anna.berg"


def mail(uid):
    return f"{uid}@example.org"


def good(uid):
    return ldap.password_of(uid)


@pytest.fixture
def directory(work, certs):
    """directory(…) starts a slapd of the test's own."""
    made = []

    def make(**kw):
        d = ldap.Slapd(work / f"slapd-{time.monotonic_ns()}", ca=certs.ca, cert=certs.cert,
                       key=certs.key, **kw)
        made.append(d)
        return d.start()

    yield make
    for d in made:
        d.stop()


# ---- homes ----

def give_home(d, uid, home):
    d.modify(ldap.user_dn(uid), {
        "objectClass": ["inetOrgPerson", "inetLocalMailRecipient", "postroomAccount"],
        "postroomHome": [home]})


def rename(d, uid, to):
    d.rename(ldap.user_dn(uid), f"uid={to}")
    d.modify(ldap.user_dn(to), {"mail": [mail(to)]})


def test_a_renamed_user_keeps_the_home(directory, start):
    d = directory()
    a = start(directory_section(d))
    home = f"{a.dir}/mail/homes/17"
    give_home(d, PAVEL, home)
    with a.auth() as c, a.userdb() as u, a.directory() as m:
        assert c.plain(PAVEL, good(PAVEL)).fields["user"] == mail(PAVEL)
        assert u.user(mail(PAVEL), service="lmtp") == ("USER", mail(PAVEL), {"home": home})
        rename(d, PAVEL, "pavel.novak")
        # mail for the new name may come before the first login
        assert u.user(mail("pavel.novak"), service="lmtp") == \
            ("USER", mail("pavel.novak"), {"home": home})
        a.wait_log(f"ev=auth.home_passes_on home={home} from={mail(PAVEL)} to={mail('pavel.novak')}")
        assert c.plain("pavel.novak", good(PAVEL)).fields["user"] == mail("pavel.novak")
        refused = c.plain(PAVEL, good(PAVEL))
        assert refused.verb == "FAIL" and not refused.temporary
        assert m.lookup("mailbox", mail(PAVEL))[0] == NOTFOUND
        # whoever gets the old name gets a home of his own
        rename(d, LENA, PAVEL)
        assert u.user(mail(PAVEL), service="lmtp")[2] == {"home": f"{a.dir}/mail/example.org/{PAVEL}"}
    assert a.log_text().count("ev=auth.home_passes_on") == 1


def test_a_renamed_user_with_what_is_remembered(directory, start):
    """With the caches as they are by default: the old name may live on for a minute, the new one
    has the home at once."""
    d = directory()
    a = start(directory_section(d), auth="failure_delay = 0\n\tcache_size = 16M")
    home = f"{a.dir}/mail/homes/17"
    give_home(d, PAVEL, home)
    with a.auth() as c, a.userdb() as u:
        assert c.plain(PAVEL, good(PAVEL)).verb == OK
        assert u.user(mail(PAVEL), service="lmtp")[0] == "USER"
        rename(d, PAVEL, "pavel.novak")
        assert c.plain("pavel.novak", good(PAVEL)).fields["user"] == mail("pavel.novak")
        assert u.user(mail("pavel.novak"), service="lmtp")[2] == {"home": home}
        a.wait_log("ev=auth.home_passes_on")


def test_a_home_stays_with_whom_nobody_can_ask_about(directory, start):
    """Two directories that give the same home: the second user waits until the first one's
    directory says that he is gone."""
    one, two = directory(), directory()
    a = start(directory_section(one, "one", extra='domains = { "example.org" }')
              + directory_section(two, "two", extra='domains = { "other.example" }'))
    home = f"{a.dir}/mail/homes/17"
    give_home(one, PAVEL, home)
    two.modify(ldap.user_dn(LENA), {"mail": ["lena@other.example"]})
    give_home(two, LENA, home)
    lena = "lena@other.example"
    with a.auth() as c:
        assert c.plain(PAVEL, good(PAVEL)).verb == OK
        assert c.plain(lena, good(LENA)).temporary
        a.wait_log("home is another user's")
        one.stop()
        assert c.plain(lena, good(LENA)).temporary
        assert "home_passes_on" not in a.log_text()
        one.start()
        one.delete(ldap.user_dn(PAVEL))
        until = time.monotonic() + 180
        while c.plain(lena, good(LENA)).verb != OK:
            assert time.monotonic() < until
            time.sleep(0.1)
        a.wait_log(f"ev=auth.home_passes_on home={home} from={mail(PAVEL)} to={lena}")


# ---- several directories, one down ----

def test_one_directory_of_several_is_down(directory, start):
    up, down = directory(), directory()
    down.modify(ldap.user_dn(LENA), {"mail": ["lena@other.example"]})
    up.add(f"""dn: cn=mixed,ou=groups,{ldap.BASE}
objectClass: groupOfNames
objectClass: postroomGroup
cn: mixed
mail: mixed@example.org
member: {ldap.user_dn(ANNA)}
postroomForward: lena@other.example

""")
    a = start(directory_section(down, "down", extra='domains = { "other.example" }')
              + directory_section(up, "up", extra='domains = { "example.org" }'))
    with a.auth() as c, a.directory() as m, a.userdb() as u:
        assert c.plain("lena@other.example", good(LENA)).verb == OK
        assert m.addresses("mixed@example.org") == [mail(ANNA), "lena@other.example"]
        down.stop()
        # the other domain goes on, and what is in the settings is known
        assert c.plain(mail(ANNA), good(ANNA)).verb == OK
        assert c.plain(ANNA, good(ANNA)).verb == OK
        wrong = c.plain(ANNA, "wrong")
        assert wrong.verb == "FAIL" and not wrong.temporary
        assert m.lookup("mailbox", mail(ANNA)) == (OK, mail(ANNA))
        assert m.lookup("mailbox", mail("nobody"))[0] == NOTFOUND
        assert m.lookup("domain", "other.example")[0] == OK
        assert m.lookup("domain", "third.example")[0] == NOTFOUND
        # what needs the one that is down waits: no "no", no part of an answer, no "allowed"
        assert c.plain("lena@other.example", good(LENA)).temporary
        assert c.plain("nobody@other.example", "x").temporary
        assert m.lookup("mailbox", "lena@other.example")[0] == TEMP
        assert m.lookup("alias", "mixed@example.org")[0] == TEMP
        assert m.lookup("sender", "lena@other.example")[0] == TEMP
        assert m.lookup("post", "mixed@example.org lena@other.example")[0] == TEMP
        assert u.list()[1] == ["fail"]
        down.start()
        until = time.monotonic() + 180
        while m.lookup("alias", "mixed@example.org")[0] != OK:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert c.plain("lena@other.example", good(LENA)).verb == OK


def test_sections_in_order_with_the_first_one_down(directory, start):
    """Without domains a later section's word is a guess."""
    up, down = directory(), directory()
    down.delete(ldap.user_dn(ANNA))
    a = start(directory_section(down, "first") + directory_section(up, "second"))
    with a.auth() as c, a.directory() as m:
        assert c.plain(ANNA, good(ANNA)).verb == OK
        down.stop()
        assert c.plain(ANNA, good(ANNA)).temporary
        assert m.lookup("mailbox", mail(ANNA))[0] == TEMP
        assert m.lookup("domain", "example.org")[0] == TEMP


# ---- an outage after a change ----

def test_an_outage_after_a_change_of_the_password(directory, start):
    d = directory()
    a = start(directory_section(d), auth="failure_delay = 0\n\tcache_size = 16M\n\toutage_login = 1h")
    with a.auth() as c:
        for name in (ANNA, mail(ANNA), "director@example.org"):
            assert c.plain(name, good(ANNA)).verb == OK
        d.set_password(ANNA, "brand-new")
        assert c.plain(mail(ANNA), "brand-new").verb == OK
        d.stop()
        for name in (ANNA, "director@example.org"):
            # within cache_login_ttl; what the outage adds is seen below
            assert c.plain(name, good(ANNA)).verb == OK
        a.stop()
    d.start()
    a = start(directory_section(d), auth="failure_delay = 0\n\tcache_size = 16M\n\toutage_login = 1h"
              "\n\tcache_login_ttl = 0")
    with a.auth() as c:
        assert c.plain(ANNA, "brand-new").verb == OK
        assert c.plain(mail(ANNA), "brand-new").verb == OK
        d.set_password(ANNA, "newest")
        assert c.plain(mail(ANNA), "newest").verb == OK
        d.stop()
        assert c.plain(mail(ANNA), "newest").verb == OK
        assert c.plain(ANNA, "brand-new").temporary  # by no name of hers
        assert c.plain(mail(ANNA), "brand-new").temporary
        # guesses are counted, and who made too many waits
        rip = "service=imap\tsecured\trip=203.0.113.9"
        for n in range(10):
            assert c.plain(mail(ANNA), f"guess{n}", params=rip).temporary
        blocked = c.plain(mail(ANNA), "newest", params=rip)
        assert blocked.verb == "FAIL" and not blocked.temporary
        a.wait_log("ev=auth.block rip=203.0.113.9")
        assert c.plain(mail(ANNA), "newest").verb == OK
        d.start()


# ---- the end of an account, as shadowExpire has it ----

@pytest.mark.parametrize("days,works", [(-1, False), (0, False), (1, True), (None, True)])
def test_shadow_expire(directory, start, days, works):
    """The first day on which the account is no more, in UTC, as pam_unix takes it; -1 is never."""
    d = directory(settings="include @SCHEMADIR@/nis.schema")
    today = int(time.time()) // 86400
    if int(time.time()) % 86400 > 86400 - 120:
        time.sleep(121)  # not over midnight
        today += 1
    d.modify(ldap.user_dn(ANNA), {
        "objectClass": ["inetOrgPerson", "inetLocalMailRecipient", "shadowAccount"],
        "shadowExpire": [-1 if days is None else today + days]})
    a = start(directory_section(d))
    with a.auth() as c, a.directory() as m:
        r = c.plain(ANNA, good(ANNA))
        assert (r.verb == OK) == works
        if not works:
            assert r.fields["code"] == "user_disabled" and r.fields["reason"] == "Account expired"
            a.wait_log('reason="account expired" told=CONTACTADMIN')
        assert "code" not in c.plain(ANNA, "wrong").fields
        assert m.lookup("mailbox", mail(ANNA)) == (OK, mail(ANNA))  # mail waits for nobody's renewal


# ---- passwords ----

PASSWORDS = ["pä$$wörd-ß-日本語-🔑", "x" * 10240, " blank at both ends ", 'quote" and \\ back', "\x01\x7f\t",
             unicodedata.normalize("NFD", "Zoë")]

LOGIN_MAX = 1024  # what the library takes by this mechanism


def odd_password(d, uid, password):
    d.modify(ldap.user_dn(uid), {"userPassword": [ldap.ssha(password)]})


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("password", PASSWORDS, ids=range(len(PASSWORDS)))
def test_a_password_reaches_the_directory_as_it_is(slapd, start, mechanism, password):
    a = start(directory_section(slapd))
    odd_password(slapd, PAVEL, password)

    def login(password):
        if mechanism == "PLAIN":
            return c.plain(PAVEL, password)
        c.begin("LOGIN", PAVEL.encode())
        r = c.reply()
        c.send(f"CONT\t{r.id}\t" + base64.b64encode(password.encode()).decode())
        return c.reply()

    with a.auth() as c:
        if mechanism == "LOGIN" and len(password) > LOGIN_MAX:
            assert login(password).verb == "FAIL"
            a.wait_log('reason="malformed response" detail="a name or password that is too long"')
            password = password[:LOGIN_MAX]
            odd_password(slapd, PAVEL, password)
        assert login(password).verb == OK
        for other in (password + "x", password[:-1], unicodedata.normalize("NFC", password)):
            if other != password:
                assert login(other).verb == "FAIL"
    assert password not in a.log_text()


def imap_login(i, line):
    """The answer to one LOGIN, as bytes."""
    with socket.create_connection(("127.0.0.1", i.imaps_port), timeout=120) as plain, \
            i.certs.context().wrap_socket(plain, server_hostname="localhost") as s:
        f = s.makefile("rwb")
        f.readline()
        f.write(line)
        f.flush()
        return f.readline()


@pytest.mark.parametrize("password", PASSWORDS[:2], ids=["utf8", "10KiB"])
def test_odd_passwords_of_whole_clients(postroom, slapd, password):
    raw, uid = password.encode(), LENA if len(password) < 100 else PAVEL
    odd_password(slapd, uid, password)
    for tried, words in ((raw, b"a OK"), (raw[:-1] + b"!", b"a NO [AUTHENTICATIONFAILED]")):
        if len(raw) > 8192:
            words = b"a BAD [TOOBIG]"
        line = b"a LOGIN %s {%d+}\r\n%s\r\n" % (uid.encode(), len(raw), tried)
        assert imap_login(postroom, line).startswith(words)
    both = base64.b64encode(b"\0" + uid.encode() + b"\0" + raw)
    assert imap_login(postroom, b"a AUTHENTICATE PLAIN %s\r\n" % both).startswith(b"a OK")
    with postroom.smtp() as s:
        s.ehlo()
        code, text = s.docmd("AUTH PLAIN " + both.decode())
        # RFC 4954 4: lines of up to 12,288 octets
        assert code == 235 if len(both) < 12000 else code in (500, 535, 501), (code, text)
