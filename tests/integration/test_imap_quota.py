"""The quota that the directory gives a user holds for IMAP and for delivery, to the octet, and the
index counts it as `postroom store check` does."""
import time

import pytest

from harness import slapd as ldap
from harness.instance import Instance, directory_section

USER = "anna.berg"
ADDRESS = f"{USER}@example.org"
BODY = b"From: x@example.net\r\nSubject: %s\r\n\r\n" + b"x" * 1500 + b"\r\n"


@pytest.fixture(scope="module")
def slapd(work):
    with ldap.Slapd(work / "slapd") as s:
        for user in (USER, "tove.nilsen"):
            s.modify(ldap.user_dn(user), {"objectClass": [
                "inetOrgPerson", "inetLocalMailRecipient", "postroomAccount"]})
        s.modify(ldap.user_dn(USER), {"postroomQuota": ["4K:messages=10"]})
        yield s


@pytest.fixture(scope="module")
def postroom(work, slapd, certs):
    extra = 'quota_attribute = "postroomQuota"'
    i = Instance(work / "postroom", slapd, certs, settings="imap {\n\tuser_check = 1s\n}\n",
                 directory_text=directory_section(slapd, extra=extra))
    i.start()
    yield i
    i.stop()


def deliver(postroom, body):
    with postroom.lmtp() as c:
        c.ehlo_or_helo_if_needed()
        assert c.mail("x@example.net")[0] == 250
        assert c.rcpt(ADDRESS)[0] == 250
        assert c.docmd("DATA")[0] == 354
        c.send(body + b".\r\n")
        return c.getreply()


def test_full_for_append_copy_and_delivery(postroom):
    with postroom.imap(ADDRESS) as c:
        assert "QUOTA=RES-STORAGE" in c.capabilities or b"QUOTA" in c.capability()[1][0]
        typ, data = c.getquotaroot("INBOX")
        assert typ == "OK" and data[1] == [b'"User quota" (STORAGE 0 4 MESSAGE 0 10)']
        assert c.append("INBOX", None, None, BODY % b"1")[0] == "OK"
        assert deliver(postroom, BODY % b"2")[0] == 250
        typ, data = c.append("INBOX", None, None, BODY % b"3")
        assert typ == "NO" and b"[OVERQUOTA]" in data[0]
        code, text = deliver(postroom, BODY % b"4")
        assert code == 552 and text.startswith(b"5.2.2"), text
        assert c.select("INBOX")[1] == [b"2"]
        typ, data = c.copy("1", "Sent")
        assert typ == "NO" and b"[OVERQUOTA]" in data[0]
        # room again
        c.store("2", "+FLAGS", "(\\Deleted)")
        assert b"DELETED 1" in c.status("INBOX", "(DELETED DELETED-STORAGE)")[1][0]
        c.expunge()
        assert c.copy("1", "Sent")[0] == "OK"
        typ, data = c.getquota('"User quota"')
        assert data == [b'"User quota" (STORAGE 4 4 MESSAGE 2 10)']


def test_full_at_rcpt(postroom):
    """smtp says so at RCPT, of this mailbox alone, and of what would not fit."""
    with postroom.smtp("grace.lindqvist@example.org") as c:
        c.ehlo_or_helo_if_needed()
        # half a kilobyte is left
        for size, want in [("SIZE=5000", 552), ("SIZE=10", 250)]:
            assert c.mail("grace.lindqvist@example.org", [size])[0] == 250
            code, text = c.rcpt(ADDRESS)
            assert code == want and text.startswith(b"5.2.2" if want == 552 else b"2.1.5"), text
            assert c.rcpt("grace.lindqvist@example.org")[0] == 250
            c.rset()
    postroom.wait_log('ev=smtp.refuse .*reason="mailbox full"')


def test_full_found_at_delivery(work, slapd, certs):
    """Where RCPT does not ask: the sender gets a report."""
    extra = 'quota_attribute = "postroomQuota"'
    slapd.modify(ldap.user_dn("tove.nilsen"), {"postroomQuota": ["1K"]})
    with Instance(work / "unasked", slapd, certs, settings="smtp { quota_check = no }\n",
                  directory_text=directory_section(slapd, extra=extra)) as i:
        with i.smtp("grace.lindqvist@example.org") as c:
            text = b"From: grace.lindqvist@example.org\r\n\r\n" + b"x" * 3000 + b"\r\n"
            assert c.sendmail("grace.lindqvist@example.org", ["tove.nilsen@example.org"], text) == {}
        report = i.wait_messages("grace.lindqvist@example.org", 1, timeout=120)[0]
        assert b"Status: 5.2.2" in report and b"tove.nilsen@example.org" in report
        assert i.wait_messages("tove.nilsen@example.org", 0) == []


def await_quota(c, want):
    until = time.monotonic() + 180
    while True:
        data = c.getquotaroot("INBOX")[1][1]
        if data == want:
            return
        assert time.monotonic() < until, data
        time.sleep(0.1)


def test_a_limit_that_changes_while_a_session_lives(postroom, slapd):
    with postroom.imap(ADDRESS) as c:
        assert c.append("INBOX", None, None, BODY % b"5")[0] == "NO"
        slapd.modify(ldap.user_dn(USER), {"postroomQuota": ["1M"]})
        await_quota(c, [b'"User quota" (STORAGE 4 1024)'])
        assert c.append("INBOX", None, None, BODY % b"5")[0] == "OK"
        slapd.modify(ldap.user_dn(USER), {"postroomQuota": ["a lot"]})
        await_quota(c, [None])
        assert c.append("INBOX", None, None, BODY % b"6")[0] == "OK"
        slapd.modify(ldap.user_dn(USER), {"postroomQuota": ["messages=2"]})
        await_quota(c, [b'"User quota" (MESSAGE 4 2)'])
        assert b"[OVERQUOTA]" in c.append("INBOX", None, None, BODY % b"7")[1][0]
        # delivery asks for each recipient, and remembers the answer for seconds
        until = time.monotonic() + 180
        while deliver(postroom, BODY % b"8")[0] != 552:
            assert time.monotonic() < until
            time.sleep(0.5)


def test_another_user_has_none(postroom):
    with postroom.imap("grace.lindqvist@example.org") as c:
        assert c.getquotaroot("INBOX")[1][1] == [None]


def test_the_store_counts_the_same(postroom):
    assert postroom.command("store", "check", ADDRESS).returncode == 0
