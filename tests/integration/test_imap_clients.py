"""IMAP with clients that nobody here wrote: mbsync both ways, mutt, curl."""
import os
import re
import subprocess

import pytest

from harness.instance import password_of
from harness.syncing import Mbsync, ok, run

MAIL = (b"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: Message %d\r\n"
        b"Date: Sat, 21 Nov 2026 08:00:00 +0100\r\nMessage-ID: <%d@example.org>\r\n\r\nNumber %d.\r\n")


@pytest.fixture
def synced(postroom, work, request):
    """mbsync and a session of one user, with five messages on both sides."""
    user = request.param
    c = postroom.imap(user)
    for k in range(5):
        ok(c.append("INBOX", "", None, MAIL % (k, k, k)))
    m = Mbsync(work / user.split("@")[0], postroom, user)
    m.sync()
    assert len(m.files("INBOX")) == 5
    yield m, c
    c.logout()


@pytest.mark.parametrize("synced", ["ines.carvalho@example.org"], indirect=True)
def test_mbsync_takes_messages_both_ways(synced):
    m, c = synced
    ok(c.append("INBOX", r"(\Flagged)", None, MAIL % (6, 6, 6)))
    m.add("INBOX", MAIL % (7, 7, 7), "S")
    m.sync()
    assert len(m.files("INBOX")) == 7
    assert sum("F" in p.name.split(":2,")[-1] for p in m.files("INBOX")) == 1
    ok(c.select("INBOX"))
    n = ok(c.search(None, "SUBJECT", '"Message 7"'))[0].decode()
    got = ok(c.fetch(n, "(FLAGS BODY.PEEK[TEXT])"))
    assert b"\\Seen" in got[0][0] + got[1] and got[0][1] == b"Number 7.\r\n"
    m.sync()
    assert len(m.files("INBOX")) == 7


@pytest.mark.parametrize("synced", ["jonas.weber@example.org"], indirect=True)
def test_mbsync_takes_flags_and_deletions_both_ways(synced):
    m, c = synced
    ok(c.select("INBOX"))
    ok(c.store("1", "+FLAGS", r"(\Answered)"))
    ok(c.store("2", "+FLAGS", r"(\Deleted)"))
    ok(c.expunge())

    m.change("INBOX", "<3@example.org>", add="F")
    m.remove("INBOX", "<4@example.org>")
    m.sync()
    assert len(m.files("INBOX")) == 3
    assert m.state()["INBOX"]["<0@example.org>"] == "R"
    ok(c.noop())
    assert ok(c.search(None, "ALL")) == [b"1 2 3"]
    assert ok(c.search(None, "FLAGGED SUBJECT", '"Message 3"')) != [b""]
    assert ok(c.search(None, "SUBJECT", '"Message 4"')) == [b""]


@pytest.mark.parametrize("synced", ["kavya.raman@example.org"], indirect=True)
def test_mbsync_takes_folders_both_ways(synced):
    m, c = synced
    ok(c.create("Far/Away"))
    ok(c.append("Far/Away", "", None, MAIL % (1, 1, 1)))
    m.create("Near")
    m.add("Near", MAIL % (2, 2, 2))
    m.sync()
    assert len(m.files("Far/Away")) == 1
    assert ok(c.select("Near")) == [b"1"]


def test_mutt_reads_and_saves(postroom, work):
    user = "liam.byrne@example.org"
    c = postroom.imap(user)
    for k in range(3):
        ok(c.append("INBOX", "", None, MAIL % (k, k, k)))
    d = work / "mutt"
    d.mkdir()
    rc = d / "muttrc"
    rc.write_text(f"""
set folder = "imaps://localhost:{postroom.imaps_port}/"
set spoolfile = "+INBOX"
set imap_user = "{user}"
set imap_pass = "{password_of(user)}"
set ssl_ca_certificates_file = "{postroom.certs.ca}"
set certificate_file = "{postroom.certs.ca}"
set ssl_usesystemcerts = no
set ssl_verify_host = yes
set header_cache = ""
set move = no
set delete = yes
set confirmappend = no
set confirmcreate = no
set wait_key = no
set sleep_time = 0
push "<tag-pattern>~s 'Message 1'<enter><tag-prefix><save-message><kill-line>=Archive<enter><sync-mailbox><tag-pattern>.<enter><tag-prefix><set-flag>!<quit>"
""")
    done = subprocess.run(["script", "-qec", f"mutt -n -F {rc}", "/dev/null"], timeout=180,
                          capture_output=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, "HOME": str(d), "TERM": "xterm"})
    ok(c.select("INBOX"))
    assert ok(c.search(None, "ALL")) == [b"1 2"], done.stdout[-3000:]
    assert ok(c.search(None, "FLAGGED")) == [b"1 2"], done.stdout[-3000:]
    ok(c.select("Archive"))
    assert ok(c.search(None, "SUBJECT", '"Message 1"')) == [b"1"]
    c.logout()


def curl(postroom, user, url, *args):
    return run("curl", "-sS", "--cacert", postroom.certs.ca, "--user",
               f"{user}:{password_of(user)}", f"imaps://localhost:{postroom.imaps_port}/{url}", *args)


def test_curl_uploads_lists_fetches_and_searches(postroom, work):
    user = "mei.zhang@example.org"
    mail = work / "curl.eml"
    mail.write_bytes(MAIL % (9, 9, 9))
    curl(postroom, user, "INBOX", "-T", mail)
    assert b'"INBOX"' in curl(postroom, user, "")
    assert curl(postroom, user, "INBOX;MAILINDEX=1") == mail.read_bytes()
    assert curl(postroom, user, "INBOX;UID=1;SECTION=TEXT") == b"Number 9.\r\n"
    assert re.search(rb"\* SEARCH 1\r\n", curl(postroom, user, "INBOX?SUBJECT%20Message"))
    curl(postroom, user, "INBOX", "-X", r"STORE 1 +FLAGS \Deleted")
    assert b"* 1 EXPUNGE" in curl(postroom, user, "INBOX", "-X", "EXPUNGE")


def test_curl_with_starttls(postroom):
    user = "mei.zhang@example.org"
    out = run("curl", "-sS", "--ssl-reqd", "--cacert", postroom.certs.ca, "--user",
              f"{user}:{password_of(user)}", f"imap://localhost:{postroom.imap_port}/")
    assert b'"INBOX"' in out
