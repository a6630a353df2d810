"""Guessing passwords: who is slowed down and blocked, over all services, and what fail2ban reads."""
import imaplib
import os
import smtplib
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from harness import slapd as ldap
from harness.authd import Authd, Lines, unescape
from harness.instance import directory_section

pytestmark = pytest.mark.waits

PERSON = "anna.berg"
GOOD = ldap.password_of(PERSON)
OTHER = "olga.sokolova"
CONFIG = Path(__file__).resolve().parents[2] / "config/fail2ban"


def imap(i, certs, user, password):
    c = imaplib.IMAP4("127.0.0.1", i.imap_port)
    try:
        c.starttls(ssl.create_default_context(cafile=str(certs.ca)))
        c.login(user, password)
        return True
    except imaplib.IMAP4.error:
        return False
    finally:
        c.shutdown()


def smtp(i, certs, user, password):
    c = smtplib.SMTP("127.0.0.1", i.submission_port, local_hostname="localhost", timeout=120)
    try:
        c._host = "localhost"
        c.starttls(context=ssl.create_default_context(cafile=str(certs.ca)))
        c.login(user, password)
        return True
    except smtplib.SMTPAuthenticationError as e:
        assert e.smtp_code == 535
        return False
    finally:
        c.close()


def test_counted_across_services(make_instance, certs):
    i = make_instance('auth {\n\tdefault_domain = "example.org"\n\tfailure_delay = 0\n'
                      '\tpenalty_user = 6\n\tpenalty_block = 1m\n}\n')
    for n in range(3):
        assert not imap(i, certs, PERSON, f"guess-i{n}")
        assert not smtp(i, certs, PERSON, f"guess-s{n}")
    assert not imap(i, certs, PERSON, GOOD)
    assert not smtp(i, certs, PERSON, GOOD)
    # nobody else is
    assert imap(i, certs, OTHER, ldap.password_of(OTHER))
    i.wait_log("ev=auth.block rip=127.0.0.1")


@pytest.fixture
def start(work, slapd):
    made = []

    def make(auth):
        a = Authd(work / f"penalty-{time.monotonic_ns()}", directory_section(slapd), auth=auth)
        made.append(a)
        return a.start()

    yield make
    for a in made:
        a.stop()


def plain(c, name, password, rip):
    return c.plain(name, password, params=f"service=imap\trip={rip}")


def plain_begin(c, name, password, rip, number):
    c.begin("PLAIN", f"\0{name}\0{password}".encode(), params=f"service=imap\trip={rip}", number=number)


def test_address_and_its_64_are_blocked(start, slapd):
    a = start("failure_delay = 0\n\tpenalty_address = 10\n\tpenalty_block = 1m")
    with a.auth() as c:
        for n in range(10):
            net = f"2001:db8:0:7::{n + 1:x}"
            assert plain(c, f"guess{n}", "x", net).verb == "FAIL"
        before = slapd.log_text().count("BIND dn=")
        assert plain(c, PERSON, GOOD, "2001:db8:0:7:ffff::1").verb == "FAIL"
        assert slapd.log_text().count("BIND dn=") == before
        assert plain(c, PERSON, GOOD, "2001:db8:0:8::1").verb == "OK"


def admin(a, *fields):
    """What the admin socket answers."""
    with Lines(a.path("auth-admin")) as s:
        s.send("\t".join(fields))
        return unescape(s.line())


def test_one_address_of_ipv4_is_shown_and_forgotten(start):
    """/32: the next address is another client. Status names it; forget ends its block."""
    a = start("failure_delay = 0\n\tpenalty_address = 10\n\tpenalty_block = 1h")
    with a.auth() as c:
        for n in range(10):
            assert plain(c, f"guess{n}", "x", "192.0.2.7").verb == "FAIL"
        assert plain(c, PERSON, GOOD, "192.0.2.7").verb == "FAIL"
        assert plain(c, PERSON, GOOD, "192.0.2.6").verb == "OK"
        shown = [line for line in admin(a, "STATUS").splitlines() if line.startswith("blocked ")]
        assert len(shown) == 1 and "192.0.2.7" in shown[0], shown
        word, forgotten = admin(a, "FORGET", "192.0.2.7").split("\t")
        assert word == "OK" and int(forgotten) >= 1
        assert "\nblocked " not in admin(a, "STATUS")
        assert plain(c, PERSON, GOOD, "192.0.2.7").verb == "OK"


def test_a_block_ends(start):
    a = start("failure_delay = 0\n\tpenalty_user = 6\n\tpenalty_block = 1s")
    with a.auth() as c:
        for n in range(6):
            begin = time.monotonic()
            assert plain(c, PERSON, f"guess{n}", "198.51.100.3").verb == "FAIL"
        until = begin + 60
        while plain(c, PERSON, GOOD, "198.51.100.3").verb != "OK":
            assert time.monotonic() < until
            time.sleep(0.05)
        assert time.monotonic() - begin > 0.7


def test_trusted_proxies_are_not(start):
    a = start('failure_delay = 0\n\tpenalty_address = 5\n\tpenalty_user = 5\n'
              '\ttrusted_networks = { "10.0.0.0/24" }')
    with a.auth() as c:
        for n in range(20):
            assert plain(c, PERSON, f"guess{n}", "10.0.0.5").verb == "FAIL"
        assert plain(c, PERSON, GOOD, "10.0.0.5").verb == "OK"
    assert "auth.guess" not in a.log_text()


def test_refusals_get_slower(start):
    a = start("failure_delay = 100ms\n\tpenalty_delay_max = 800ms")
    with a.auth() as c:
        took = []
        for n in range(6):
            begin = time.monotonic()
            assert plain(c, PERSON, f"guess{n}", "198.51.100.3").verb == "FAIL"
            took.append(time.monotonic() - begin)
        # 100, 200, 400 and 800 ms, which begin when the loop last looked at the clock
        assert took[0] > 0.05 and took[1] > 0.15 and took[2] > 0.3 and took[5] > 0.6
    # who is right does not wait
    a = start("failure_delay = 60s\n\tpenalty_delay_max = 60s")
    with a.auth() as c:
        plain_begin(c, PERSON, "guess", "198.51.100.3", 1)
        a.wait_log("ev=auth.login res=deny")
        plain_begin(c, PERSON, GOOD, "198.51.100.4", 2)
        r = c.reply()
        assert (r.verb, r.id) == ("OK", "2")


HOSTILE = [
    "x rip=198.51.100.66 failures=1",
    "x\" rip=198.51.100.66 failures=1 \"",
    "ev=auth.guess rip=198.51.100.66 failures=1",
    "ts=2026-11-21T08:00:00.000Z lvl=info role=auth pid=1 ev=auth.guess rip=198.51.100.66 failures=1",
    "\x01nts=2026-11-21T08:00:00.000Z lvl=info role=auth pid=1 ev=auth.guess rip=198.51.100.66 "
    "failures=1 ",
    "host postroom[1]: ts=x lvl=info role=auth pid=1 ev=auth.guess rip=198.51.100.66 failures=1",
]


def test_fail2ban_reads_the_log_and_nobody_forges_it(start, tmp_path):
    a = start("failure_delay = 0")
    with a.auth() as c:
        assert plain(c, PERSON, "x", "198.51.100.7").verb == "FAIL"
        assert plain(c, "nobody-here", "x", "2001:db8::9").verb == "FAIL"
        assert plain(c, PERSON, GOOD, "198.51.100.8").verb == "OK"
        for name in HOSTILE:
            wire = name.replace("\n", "\x01n")
            assert c.plain(name.replace("\x01n", "\n"), "x",
                           params=f"service=imap\trip=198.51.100.7\tsession={wire}").verb == "FAIL"
            # in the place of the address
            assert c.plain(PERSON, "y", params=f"service=imap\trip={wire}").verb == "FAIL"
    a.wait_log("2001:db8::9")
    a.stop()
    log = tmp_path / "postroom.log"
    log.write_text("".join(x + "\n" for x in a.log_text().splitlines() if x.startswith("ts=")))
    done = subprocess.run(["fail2ban-regex", "--print-all-matched", "-v", str(log),
                           str(CONFIG / "postroom.conf")],
                          capture_output=True, text=True, timeout=180,
                          env={**os.environ, "TZ": "UTC"})
    assert done.returncode == 0, done.stderr
    assert "198.51.100.7" in done.stdout and "2001:db8::9" in done.stdout
    found = [x.split()[1] for x in done.stdout.splitlines()
             if x.startswith("|      ") and len(x.split()) > 2]
    assert set(found) == {"198.51.100.7", "2001:db8::9"}, found
    assert len(found) == 2 + len(HOSTILE)
