"""A user whom the directory disables or loses: live sessions end within imap.user_check, with one
question a user and interval, and never because the directory is away."""
import re
import socket
import time
from collections import Counter

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


def bye(c, timeout=180):
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
    dismissed = r'ev=imap\.dismiss sid=\S+ user=anna\.berg@\S+ reason="account disabled"'
    postroom.wait_log(rf"(?s)({dismissed}.*){{3}}", start=start)
    log = postroom.log_text()[start:]
    assert len(re.findall(dismissed, log)) == 3
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


def test_what_200_users_cost_the_directory(make_instance, slapd):
    """One question a user in 0.7 of the time, however many sessions: no bind, one search, and a second one for who logged
    in by another name than his address. The time is a tenth of the default, so the load is ten times that."""
    users, check = 200, 6
    slapd.add("\n".join(
        f"dn: {ldap.user_dn(f'live{n:03}')}\nobjectClass: inetOrgPerson\nuid: live{n:03}\ncn: Live\nsn: Live\n"
        f"mail: live{n:03}@example.org\nuserPassword: secret-live{n:03}\n" for n in range(users)))
    i = make_instance(f"imap {{\n\tuser_check = {check}s\n\tworkers = 2\n\tconnections_per_address = 400\n}}\n",
                      slapd=slapd, directory_text=directory_section(slapd, extra=POLICY))
    by_address = range(users // 2)
    sessions = [login(i, f"live{n:03}" + "@example.org" * (n in by_address), f"secret-live{n:03}") for n in range(users)]
    sessions += [login(i, "live000@example.org", "secret-live000") for _ in range(9)]
    begin, start = time.monotonic(), len(slapd.log_text())
    while True:
        time.sleep(0.2)
        log = slapd.log_text()[start:]
        took = time.monotonic() - begin
        searches = Counter(int(n) for n in re.findall(r'SRCH base=.* filter=".*uid=live(\d+)\b', log))
        if took >= check and len(searches) == users:
            break
        assert took < check + 60, len(searches)
    questions = {n: count if n in by_address else (count + 1) // 2 for n, count in searches.items()}
    times = took / (0.7 * check)
    # one more than can be begun in that time, and one that had to be asked again of a directory that was slow
    assert max(questions.values()) <= int(times) + 2, questions
    assert sum(questions.values()) <= 1.25 * times * users, (sum(questions.values()), times)
    assert len(re.findall(r"SRCH base=", log)) <= sum(searches.values()) + 20 + took  # whether it lives
    assert 'BIND dn="uid=' not in log
    assert all(alive(c) for c in sessions)
    for c in sessions:
        c.sock.close()


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
