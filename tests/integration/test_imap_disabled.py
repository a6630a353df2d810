"""A user whom the directory disables or loses: live sessions end within imap.user_check, with one
question a user and interval, and never because the directory is away."""
import re
import socket
import time

import pytest

from harness import slapd as ldap
from harness.instance import Instance, directory_section, password_of
from harness.rawimap import RawImap

pytestmark = pytest.mark.waits

CHECK_SEC = 1
LATE_SEC = CHECK_SEC + 1.5
GONE = "tobi.gone"

POLICY = """
	enabled_attribute = "employeeType"
	enabled_values = { "active" }
	disabled_values = { "disabled" }
	services_attribute = "carLicense"
	networks_attribute = "departmentNumber"
"""


@pytest.fixture(scope="module")
def slapd(work):
    with ldap.Slapd(work / "slapd") as s:
        yield s


@pytest.fixture(scope="module")
def postroom(work, slapd, certs):
    i = Instance(work / "postroom", slapd, certs,
                 settings=f"imap {{\n\tuser_check = {CHECK_SEC}s\n\tworkers = 2\n}}\n",
                 directory_text=directory_section(slapd, extra=POLICY))
    i.start()
    yield i
    i.stop()


@pytest.fixture
def change(slapd):
    changed = {}

    def make(uid, attributes):
        changed.setdefault(uid, set()).update(attributes)
        slapd.modify(ldap.user_dn(uid), attributes)

    yield make
    for uid, names in changed.items():
        slapd.modify(ldap.user_dn(uid), {n: [] for n in names})


def login(postroom, user, password=None):
    c = RawImap("127.0.0.1", postroom.imap_port)
    reply, _ = c.ask(f"LOGIN {user} {password or password_of(user)}")
    assert reply.startswith("OK"), reply
    return c


def bye(c, timeout=60):
    """The BYE line; everything before it is dropped."""
    c.sock.settimeout(timeout)
    while True:
        line = c.line()
        if line.startswith("* BYE"):
            assert c.eof()
            return line


def alive(c):
    return c.ask("NOOP")[0].startswith("OK")


def test_disabled_user_is_out_and_refused(postroom, change):
    idle, selected, idling = (login(postroom, "anna.berg") for _ in range(3))
    other = login(postroom, "bilal.haddad")
    assert selected.ask("SELECT INBOX")[0].startswith("OK")
    assert idling.ask("SELECT INBOX")[0].startswith("OK")
    idling.send("i IDLE\r\n")
    assert idling.until("+")
    start = len(postroom.log_text())
    change("anna.berg", {"employeeType": ["disabled"]})
    for c in (idle, selected, idling):
        assert re.fullmatch(r"\* BYE \[CONTACTADMIN\] This account .*: account disabled", bye(c))
    assert alive(other)
    # at the first question, not at the end of the cache's time
    c = RawImap("127.0.0.1", postroom.imap_port)
    reply, _ = c.ask(f"LOGIN anna.berg {password_of('anna.berg')}")
    assert reply.startswith("NO [CONTACTADMIN]"), reply
    log = postroom.log_text()[start:]
    assert len(re.findall(r'ev=imap\.dismiss sid=\S+ user=anna\.berg@\S+ '
                          r'reason="account disabled"', log)) == 3
    assert len(re.findall(r"ev=auth\.check res=deny user=anna\.berg@", log)) == 1


def test_service_taken_away(postroom, change):
    c = login(postroom, "carmen.ortega")
    change("carmen.ortega", {"carLicense": ["smtp"]})
    assert "[AUTHORIZATIONFAILED]" in bye(c)


def test_network_of_the_login_stays(postroom, change):
    """The check does not know from where a session came; that was looked at when it began."""
    change("david.okafor", {"departmentNumber": ["127.0.0.0/8"]})
    c = login(postroom, "david.okafor")
    time.sleep(LATE_SEC)
    assert alive(c)


def test_deleted_user_is_out(postroom, slapd):
    slapd.add(f"dn: {ldap.user_dn(GONE)}\nobjectClass: inetOrgPerson\nuid: {GONE}\ncn: Tobi\n"
              f"sn: Gone\nmail: {GONE}@example.org\nuserPassword: {ldap.ssha('secret-tobi')}\n")
    c = login(postroom, GONE, "secret-tobi")
    time.sleep(LATE_SEC)
    assert alive(c)
    slapd.delete(ldap.user_dn(GONE))
    assert re.fullmatch(r"\* BYE \[CONTACTADMIN\] This account .*: unknown user", bye(c))


def test_command_ends_before_the_session(postroom, change):
    """In the middle of a command: BYE stands behind its tagged line, never inside a response."""
    c = login(postroom, "bilal.haddad")
    body = b"Subject: x\r\n\r\n" + b"0123456789abcde\r\n" * 400_000
    c.send(f"a APPEND INBOX {{{len(body)}+}}\r\n".encode() + body + b"\r\n")
    assert c.until("a")[-1].startswith("a OK")
    assert c.ask("SELECT INBOX")[0].startswith("OK")
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    c.send(b"f FETCH 1:* BODY.PEEK[]\r\n")
    change("bilal.haddad", {"employeeType": ["disabled"]})
    postroom.wait_log(r"ev=imap\.dismiss sid=\S+ user=bilal")
    lines = c.until("f")
    assert lines[-1].startswith("f OK")
    assert "* BYE [CONTACTADMIN]" in bye(c)


def test_directory_away_ends_nobody(postroom, slapd):
    c = login(postroom, "tove.nilsen")
    start = len(postroom.log_text())
    slapd.stop()
    try:
        for _ in range(2):
            postroom.wait_log(r"ev=imap\.check user=tove\.nilsen@\S+ err=temp", start=start)
            start = len(postroom.log_text())
        assert alive(c)
    finally:
        slapd.start()
    assert alive(c)


def test_one_question_a_user_and_interval(postroom, slapd):
    many = [login(postroom, "david.okafor") for _ in range(10)]
    start, begin = len(slapd.log_text()), time.monotonic()
    time.sleep(4 * CHECK_SEC)
    searches = re.findall(r'SRCH base=.* filter=".*david\.okafor', slapd.log_text()[start:])
    # every 0.7 of the time, and some at the edge; the name is searched for a second time
    most = (time.monotonic() - begin) / (0.7 * CHECK_SEC) + 2
    assert 1 <= len(searches) <= 2 * most, len(searches)
    assert all(alive(c) for c in many)


def test_switched_on_by_reload(make_instance, slapd):
    """Without the setting nobody is asked about; with it, those too who were there before."""
    i = make_instance("imap {\n\tuser_check = 0\n}\n", slapd=slapd,
                      directory_text=directory_section(slapd, extra=POLICY))
    uid = "tove.nilsen"
    c = login(i, uid)
    slapd.modify(ldap.user_dn(uid), {"employeeType": ["disabled"]})
    try:
        time.sleep(LATE_SEC)
        assert alive(c)
        i.write_conf(f"imap {{\n\tuser_check = {CHECK_SEC}s\n}}\n")
        i.reload()
        assert "[CONTACTADMIN]" in bye(c)
    finally:
        slapd.modify(ldap.user_dn(uid), {"employeeType": []})
