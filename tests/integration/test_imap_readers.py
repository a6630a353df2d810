"""fetchmail, neomutt, s-nail, curl and openssl s_client: what they do beyond a first look, each asserted on the server too."""
import os
import re
import subprocess
import time

import pytest

from harness.instance import password_of
from harness.program import Program
from harness.syncing import ok, run

MAIL = (b"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: Message %d\r\n"
        b"Date: Sat, 21 Nov 2026 08:00:00 +0100\r\nMessage-ID: <%d@example.org>\r\n\r\nNumber %d.\r\n")


def mail(k):
    return MAIL % (k, k, k)


def until(what, timeout=180):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


class Fetchmail:
    """What it fetches goes, by a script, into one file a message."""

    def __init__(self, directory, postroom, user, options="", tls="implicit"):
        self.dir = directory
        self.inbox = directory / "inbox"
        self.inbox.mkdir(parents=True)
        script = directory / "mda"
        script.write_text(f'#!/bin/sh\nf=$(mktemp {self.inbox}/.XXXXXX) && cat >"$f" '
                          f'&& mv "$f" "{self.inbox}/m$(basename "$f")"\n')
        script.chmod(0o755)
        port = postroom.imaps_port if tls == "implicit" else postroom.imap_port
        how = "ssl" if tls == "implicit" else 'sslproto "TLS1.2+"'
        self.rc = directory / "fetchmailrc"
        self.rc.write_text(
            f'poll localhost protocol IMAP port {port} timeout 30\n'
            f'user "{user}" password "{password_of(user)}" {how} sslcertck '
            f'sslcertfile "{postroom.certs.ca}" {options} mda "{script}"\n')
        self.rc.chmod(0o600)
        self.command = ["fetchmail", "-v", "--nosyslog", "-f", self.rc, "--pidfile",
                        directory / "pid"]

    def run(self):
        """0: fetched something, 1: nothing there."""
        done = subprocess.run([str(a) for a in self.command], capture_output=True, text=True,
                              timeout=180, env={**os.environ, "HOME": str(self.dir)})
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return done.returncode

    def subjects(self):
        return sorted(re.search(r"(?m)^Subject: (.*?)\r?$", p.read_text())[1]
                      for p in self.inbox.glob("m*"))


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_fetchmail_takes_all_and_leaves_nothing(postroom, work, tls):
    user = {"implicit": "rosa.delgado@example.org", "starttls": "samir.aziz@example.org"}[tls]
    c = postroom.imap(user)
    for k in range(5):
        ok(c.append("INBOX", "", None, mail(k)))
    f = Fetchmail(work / tls, postroom, user, "nokeep fetchall", tls)
    assert f.run() == 0
    assert f.subjects() == [f"Message {k}" for k in range(5)]
    body = next(f.inbox.glob("m*")).read_text().split("\n\n", 1)[1]
    assert re.fullmatch(r"Number \d\.\r?\n", body)
    assert ok(c.select("INBOX")) == [b"0"]
    assert f.run() == 1
    c.logout()


def test_fetchmail_keeps_and_fetches_only_what_is_new(postroom, work):
    user = "tove.nilsen@example.org"
    c = postroom.imap(user)
    for k in range(3):
        ok(c.append("INBOX", "", None, mail(k)))
    f = Fetchmail(work / "keep", postroom, user, "keep")
    assert f.run() == 0
    ok(c.select("INBOX"))
    assert ok(c.search(None, "SEEN")) == [b"1 2 3"]
    assert f.run() == 1
    ok(c.append("INBOX", "", None, mail(3)))
    assert f.run() == 0
    assert f.subjects() == [f"Message {k}" for k in range(4)]
    c.logout()


def test_fetchmail_idle_fetches_what_arrives(postroom, work):
    user = "ursula.keller@example.org"
    f = Fetchmail(work / "idle", postroom, user, "keep idle")
    p = Program("fetchmail", f.command, work / "idle" / "program")
    try:
        p.wait_output(r"IMAP> A\d+ IDLE")
        for k in range(2):
            with postroom.lmtp() as c:
                c.sendmail("x@example.net", [user], mail(k))
            until(lambda: len(f.subjects()) == k + 1)
    finally:
        p.stop()
    assert f.subjects() == ["Message 0", "Message 1"]


class Neomutt:
    """neomutt with a header cache, so that it asks for changes only."""

    def __init__(self, directory, postroom, user):
        self.dir = directory
        directory.mkdir()
        self.rc = directory / "neomuttrc"
        self.rc.write_text(f"""
set folder = "imaps://localhost:{postroom.imaps_port}/"
set spoolfile = "+INBOX"
set imap_user = "{user}"
set imap_pass = "{password_of(user)}"
set imap_condstore = yes
set imap_qresync = yes
set ssl_ca_certificates_file = "{postroom.certs.ca}"
set certificate_file = "{postroom.certs.ca}"
set ssl_usesystemcerts = no
set ssl_verify_host = yes
set header_cache = "{directory}/cache"
set message_cachedir = "{directory}/cache"
set move = no
set delete = yes
set confirmappend = no
set confirmcreate = no
set wait_key = no
set sleep_time = 0
set smtp_url = "smtps://{user}@localhost:{postroom.submissions_port}/"
set smtp_pass = "{password_of(user)}"
set from = "{user}"
set use_from = yes
set copy = no
""")

    def press(self, keys):
        """What the screen shows while it is run with these keys, the last of which end it."""
        done = subprocess.run(
            ["script", "-qec", f"neomutt -n -F {self.rc} -e 'push \"{keys}\"'", "/dev/null"],
            timeout=180, capture_output=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self.dir), "TERM": "xterm"})
        return done.stdout[-3000:]


def select(c, box):
    ok(c.select(box, readonly=True))
    return {re.search(rb"Subject: ([^\r]*)", d[1])[1].decode():
            set(re.search(rb"FLAGS \(([^)]*)\)", d[0])[1].split())
            for d in ok(c.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
            if isinstance(d, tuple)}


def test_neomutt_comes_back_to_a_mailbox_that_changed(postroom, work):
    user = "victor.dumont@example.org"
    c = postroom.imap(user)
    for k in range(6):
        ok(c.append("INBOX", "", None, mail(k)))
    m = Neomutt(work / "neomutt", postroom, user)
    screen = m.press("<tag-pattern>~s \\\"Message 1\\\"<enter><tag-prefix><set-flag>!"
                     "<sync-mailbox><quit>")
    assert b"\\Flagged" in select(c, "INBOX")["Message 1"], screen

    ok(c.select("INBOX"))
    ok(c.store("1", "+FLAGS", r"(\Deleted)"))
    ok(c.expunge())
    ok(c.store("2", "+FLAGS", r"(\Flagged)"))
    ok(c.append("INBOX", "", None, mail(6)))
    # it sees what was flagged, what has gone and what is new
    screen = m.press("<tag-pattern>~F<enter><tag-prefix><save-message><kill-line>=Archive<enter>"
                     "<sync-mailbox><tag-pattern>~s \\\"Message 6\\\"<enter><tag-prefix>"
                     "<set-flag>!<sync-mailbox><quit>")
    inbox = select(c, "INBOX")
    assert set(inbox) == {"Message 3", "Message 4", "Message 5", "Message 6"}, screen
    assert b"\\Flagged" in inbox["Message 6"], screen
    assert set(select(c, "Archive")) == {"Message 1", "Message 2"}, screen
    c.logout()


def test_neomutt_sends(postroom, work):
    user, to = "wanda.kowalska@example.org", "xavier.ribeiro@example.org"
    m = Neomutt(work / "sends", postroom, user)
    run("neomutt", "-n", "-F", m.rc, "-s", "By neomutt", "--", to, input=b"hello\n",
        env={**os.environ, "HOME": str(m.dir), "TERM": "dumb"})
    got, = postroom.wait_messages(to, 1)
    assert b"Subject: By neomutt\r\n" in got and got.endswith(b"\r\n\r\nhello\r\n")


@pytest.fixture(scope="module")
def curl(postroom):
    user = "yusuf.demir@example.org"

    def do(url, *args, scheme="imaps"):
        port = postroom.imaps_port if scheme == "imaps" else postroom.imap_port
        return run("curl", "-sS", "--ssl-reqd", "--cacert", postroom.certs.ca, "--user",
                   f"{user}:{password_of(user)}", f"{scheme}://localhost:{port}/{url}", *args)

    return do


def test_curl_makes_renames_and_deletes_a_folder(curl):
    curl("", "-X", "CREATE Reports")
    curl("", "-X", "RENAME Reports Notes")
    assert b'"Notes"' in curl("", "-X", 'LIST "" N*') and b"Reports" not in curl("")
    curl("", "-X", "DELETE Notes")
    assert b"Notes" not in curl("")


def test_curl_uploads_and_fetches_eight_megabytes(curl, work):
    big = work / "big.eml"
    big.write_bytes(b"Subject: big\r\n\r\n" + b"0123456789abcdef0123456789abcdef\r\n" * 250000)
    curl("", "-X", "CREATE Big")
    curl("Big", "-T", big)
    assert curl("Big;MAILINDEX=1") == big.read_bytes()
    assert curl("Big;UID=1", scheme="imap") == big.read_bytes()
    assert b"RFC822.SIZE %d" % big.stat().st_size in curl("Big", "-X", "FETCH 1 RFC822.SIZE")


def test_curl_takes_part_of_a_message_and_checks_uidvalidity(curl, work):
    small = work / "small.eml"
    small.write_bytes(mail(1))
    curl("", "-X", "CREATE Parts")
    curl("Parts", "-T", small)
    assert curl("Parts;UID=1;PARTIAL=0.4") == b"From"
    validity = re.search(rb"UIDVALIDITY (\d+)", curl("", "-X", "STATUS Parts (UIDVALIDITY)"))[1]
    assert curl(f"Parts;UIDVALIDITY={validity.decode()};UID=1") == mail(1)
    with pytest.raises(AssertionError):
        curl(f"Parts;UIDVALIDITY={int(validity) + 1};UID=1")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_curl_logs_in(curl, mechanism):
    assert b'"INBOX"' in curl("", "--login-options", f"AUTH={mechanism}")


def test_curl_hears_that_the_password_is_wrong(postroom):
    done = subprocess.run(
        ["curl", "-sS", "--cacert", postroom.certs.ca, "--user", "yusuf.demir@example.org:wrong",
         f"imaps://localhost:{postroom.imaps_port}/"], capture_output=True, timeout=180)
    assert done.returncode == 67, done.stderr


# ---- s-nail ----

def test_s_nail_reads_copies_flags_and_deletes(postroom, work):
    user = "giulia.romano@example.org"
    c = postroom.imap(user)
    for k in range(3):
        ok(c.append("INBOX", "", None, mail(k)))
    d = work / "nail"
    d.mkdir()
    rc = d / "mailrc"
    rc.write_text(f"""set v15-compat
set tls-verify=strict tls-ca-file={postroom.certs.ca} tls-ca-no-defaults
set password={password_of(user)}
set imap-auth=login
""")
    url = f"imaps://{user.replace('@', '%40')}@localhost:{postroom.imaps_port}/INBOX"
    done = subprocess.run(["s-nail", "-n", "-#", "-f", url], capture_output=True, text=True, timeout=180,
                          input="from *\ntype 2\ncopy 1 @Archive\nflag 3\ndelete 2\nquit\n",
                          env={**os.environ, "HOME": str(d), "MAILRC": str(rc)})
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert all(f"Message {k}" in said for k in range(3)) and "Number 1." in said, said
    ok(c.select("INBOX"))
    assert ok(c.uid("SEARCH", "ALL")) == [b"1 3"], said
    assert ok(c.uid("SEARCH", "FLAGGED")) == [b"3"], said
    ok(c.select("Archive"))
    assert ok(c.search(None, "SUBJECT", '"Message 0"')) == [b"1"], said
    c.logout()


# ---- by hand ----

@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_by_hand_with_s_client(postroom, tls):
    """All of it at once, as it comes from a pipe."""
    user = "hanna.virtanen@example.org"
    c = postroom.imap(user)
    ok(c.append("Drafts", "", None, mail(7)))
    c.logout()
    port = postroom.imaps_port if tls == "implicit" else postroom.imap_port
    done = subprocess.run(
        ["openssl", "s_client", "-quiet", "-crlf", "-verify_return_error", "-CAfile", postroom.certs.ca,
         "-connect", f"localhost:{port}", *(["-starttls", "imap"] if tls == "starttls" else [])],
        capture_output=True, text=True, timeout=180,
        input=f"a LOGIN {user} {password_of(user)}\nb EXAMINE Drafts\nc FETCH * BODY[TEXT]\nd LOGOUT\n")
    said = done.stdout + done.stderr
    assert re.search(r"(?m)^a OK \[CAPABILITY IMAP4rev1 .*\] ", done.stdout), said
    assert re.search(r"(?m)^b OK \[READ-ONLY\] ", done.stdout), said
    assert "Number 7." in done.stdout and re.search(r"(?m)^\* BYE ", done.stdout), said
    assert re.search(r"(?m)^d OK ", done.stdout), said
