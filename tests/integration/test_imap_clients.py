"""IMAP with clients that nobody here wrote: mbsync both ways, mutt, curl."""
import os
import re
import subprocess
import time

import pytest

from harness.instance import password_of

MAIL = (b"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: Message %d\r\n"
        b"Date: Sat, 21 Nov 2026 08:00:00 +0100\r\nMessage-ID: <%d@example.org>\r\n\r\nNumber %d.\r\n")


def ok(answer):
    typ, data = answer
    assert typ == "OK", data
    return data


def run(*args, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True, timeout=120, **kw)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


class Mbsync:
    """A maildir that mbsync keeps equal to a user's mailboxes."""

    def __init__(self, postroom, user, directory):
        self.dir = directory
        directory.mkdir()
        self.maildir = directory / "mail"
        self.maildir.mkdir()
        self.rc = directory / "mbsyncrc"
        self.rc.write_text(f"""
IMAPAccount a
Host localhost
Port {postroom.imaps_port}
User {user}
Pass {password_of(user)}
SSLType IMAPS
SystemCertificates no
CertificateFile {postroom.certs.ca}

IMAPStore far
Account a

MaildirStore near
Path {self.maildir}/
Inbox {self.maildir}/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
""")

    def sync(self):
        run("mbsync", "-c", self.rc, "-a", env={**os.environ, "HOME": str(self.dir)})

    def files(self, name):
        d = self.maildir / name
        return sorted(p for sub in ("cur", "new") for p in (d / sub).iterdir())

    def add(self, name, data, flags=""):
        d = self.maildir / name / "cur"
        p = d / f"{time.time_ns()}.test:2,{flags}"
        p.write_bytes(data)
        return p


def with_flag(path, letter):
    base, flags = path.name.split(":2,") if ":2," in path.name else (path.name, "")
    target = path.parent.parent / "cur" / f"{base}:2,{''.join(sorted(set(flags) | {letter}))}"
    path.rename(target)
    return target


@pytest.fixture
def synced(postroom, work, request):
    """mbsync and a session of one user, with five messages on both sides."""
    user = request.param
    c = postroom.imap(user)
    for k in range(5):
        ok(c.append("INBOX", "", None, MAIL % (k, k, k)))
    m = Mbsync(postroom, user, work / user.split("@")[0])
    m.sync()
    assert len(m.files("INBOX")) == 5
    yield m, c
    c.logout()


@pytest.mark.parametrize("synced", ["ines.carvalho@example.org"], indirect=True)
def test_mbsync_takes_messages_both_ways(synced):
    m, c = synced
    ok(c.append("INBOX", r"(\Flagged)", None, MAIL % (6, 6, 6)))
    m.add("INBOX", MAIL.replace(b"\r\n", b"\n") % (7, 7, 7), "S")
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

    def local(k):
        return next(p for p in m.files("INBOX") if b"Message %d\n" % k in p.read_bytes())

    with_flag(local(3), "F")
    local(4).unlink()
    m.sync()
    assert len(m.files("INBOX")) == 3
    assert "R" in local(0).name.split(":2,")[-1]
    ok(c.noop())
    assert ok(c.search(None, "ALL")) == [b"1 2 3"]
    assert ok(c.search(None, "FLAGGED SUBJECT", '"Message 3"')) != [b""]
    assert ok(c.search(None, "SUBJECT", '"Message 4"')) == [b""]


@pytest.mark.parametrize("synced", ["kavya.raman@example.org"], indirect=True)
def test_mbsync_takes_folders_both_ways(synced):
    m, c = synced
    ok(c.create("Far/Away"))
    ok(c.append("Far/Away", "", None, MAIL % (1, 1, 1)))
    for sub in ("cur", "new", "tmp"):
        (m.maildir / "Near" / sub).mkdir(parents=True)
    m.add("Near", MAIL.replace(b"\r\n", b"\n") % (2, 2, 2))
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
    done = subprocess.run(["script", "-qec", f"mutt -n -F {rc}", "/dev/null"], timeout=60,
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
