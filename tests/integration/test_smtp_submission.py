"""Submission as clients do it: smtplib, swaks, curl, mutt; logins, rights, recipients."""
import base64
import re
import smtplib
import subprocess
import time
import uuid

import pytest

from harness.instance import password_of
from harness.rawsmtp import Raw, authenticated

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"


def text(sender=ANNA, subject=None, more="", body="Hello\r\n"):
    subject = subject or uuid.uuid4().hex
    return subject, f"From: {sender}\r\nTo: {BEN}\r\nSubject: {subject}\r\n{more}\r\n{body}"


def arrived(i, user, subject, timeout=180):
    """The message with this subject in the user's INBOX, once it is there; exactly one."""
    until = time.monotonic() + timeout
    while True:
        with i.imap(user) as c:
            c.select("INBOX", readonly=True)
            _, found = c.search(None, "SUBJECT", f'"{subject}"')
            uids = found[0].split()
            if uids:
                assert len(uids) == 1
                return c.fetch(uids[0], "(BODY.PEEK[])")[1][0][1]
        assert time.monotonic() < until, i.log_text()[-4000:]
        time.sleep(0.1)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_smtplib_message_arrives(postroom, tls):
    subject, message = text(body="Line\r\n.dot\r\n..dots\r\n\r\nend\r\n")
    with postroom.smtp(ANNA, tls=tls) as c:
        assert c.sendmail(ANNA, [BEN], message) == {}
    got = arrived(postroom, BEN, subject)
    head, body = got.split(b"\r\n\r\n", 1)
    assert body == b"Line\r\n.dot\r\n..dots\r\n\r\nend\r\n"
    assert b" with ESMTPSA id " in head


def test_missing_date_and_message_id_are_added(postroom):
    subject, message = text()
    with postroom.smtp(ANNA) as c:
        c.sendmail(ANNA, [BEN], message)
    head = arrived(postroom, BEN, subject).split(b"\r\n\r\n", 1)[0].decode()
    assert len(re.findall(r"(?m)^Date: \w\w\w, \d?\d \w\w\w \d{4} [\d:]{8} [+-]\d{4}\r?$", head)) == 1
    assert len(re.findall(r"(?m)^Message-ID: <[^<>@\s]+@mail\.example\.org>\r?$", head)) == 1


def test_own_date_and_message_id_stay(postroom):
    subject, message = text(more="Date: Sat, 21 Nov 2026 08:00:00 +0100\r\nMessage-Id: <own@x>\r\n")
    with postroom.smtp(ANNA) as c:
        c.sendmail(ANNA, [BEN], message)
    head = arrived(postroom, BEN, subject).split(b"\r\n\r\n", 1)[0]
    assert head.lower().count(b"date:") == 1 and head.lower().count(b"\nmessage-id:") == 1
    assert b"<own@x>" in head


def test_bcc_is_taken_out(postroom):
    subject, message = text(more="Bcc: secret@example.org,\r\n hidden@example.org\r\nX-Kept: 1\r\n")
    with postroom.smtp(ANNA) as c:
        c.sendmail(ANNA, [BEN], message)
    got = arrived(postroom, BEN, subject)
    assert b"Bcc" not in got and b"hidden" not in got and b"X-Kept: 1" in got


def test_group_reaches_nested_members(postroom):
    subject, message = text()
    with postroom.smtp(ANNA) as c:
        assert c.sendmail(ANNA, ["support@example.org"], message) == {}
    for user in ("david.okafor@example.org", "yusuf.demir@example.org"):
        assert b"Hello" in arrived(postroom, user, subject)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(postroom, mechanism):
    subject = uuid.uuid4().hex
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(postroom.submission_port), "--tls",
         "--auth", mechanism, "--auth-user", ANNA, "--auth-password", password_of(ANNA),
         "--from", ANNA, "--to", BEN, "--h-Subject", subject, "--body", "by swaks"],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"by swaks" in arrived(postroom, BEN, subject)


def test_swaks_wrong_password(postroom):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(postroom.submissions_port),
         "--tls-on-connect", "--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", "wrong",
         "--from", ANNA, "--to", BEN],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 28, done.stdout + done.stderr
    assert "535 5.7.8" in done.stdout


def test_curl(postroom, tmp_path):
    subject, message = text(body="by curl\r\n")
    f = tmp_path / "m.eml"
    f.write_text(message, newline="")
    done = subprocess.run(
        ["curl", "-sS", "--cacert", postroom.certs.ca, "--mail-from", ANNA, "--mail-rcpt", BEN,
         "--user", f"{ANNA}:{password_of(ANNA)}", "-T", str(f),
         f"smtps://localhost:{postroom.submissions_port}"],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert b"by curl" in arrived(postroom, BEN, subject)


def test_mutt(postroom, tmp_path):
    subject = uuid.uuid4().hex
    rc = tmp_path / "muttrc"
    rc.write_text(
        f'set smtp_url = "smtp://{ANNA}@localhost:{postroom.submission_port}/"\n'
        f'set smtp_pass = "{password_of(ANNA)}"\nset ssl_starttls = yes\n'
        f'set ssl_force_tls = yes\nset certificate_file = "{postroom.certs.ca}"\n'
        f'set ssl_ca_certificates_file = "{postroom.certs.ca}"\n'
        f'set from = "{ANNA}"\nset use_from = yes\nset copy = no\nset ssl_usesystemcerts = no\n')
    done = subprocess.run(["mutt", "-n", "-F", str(rc), "-s", subject, "--", BEN],
                          input="by mutt\n", capture_output=True, text=True, timeout=180,
                          env={"HOME": str(tmp_path), "TERM": "dumb", "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"by mutt" in arrived(postroom, BEN, subject)


def test_ehlo_before_tls_offers_no_login(postroom):
    with Raw(postroom) as c:
        code, lines = c.command("EHLO x")
        assert code == 250
        words = [line.split(" ")[0] for line in lines[1:]]
        assert sorted(words) == ["8BITMIME", "BINARYMIME", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES", "LIMITS",
                                 "PIPELINING", "SIZE", "SMTPUTF8", "STARTTLS"]


def test_ehlo_with_tls(postroom):
    with Raw(postroom) as c:
        c.command("EHLO x")
        code, lines = c.starttls()
        assert "AUTH PLAIN LOGIN" in lines and "STARTTLS" not in lines
        assert "SIZE 52428800" in lines
        assert "SMTPUTF8" in lines and "DSN" in lines


@pytest.mark.parametrize("command", [
    "AUTH PLAIN AGEAYg==", f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{BEN}>", "DATA", "VRFY anna"])
def test_nothing_before_starttls(postroom, command):
    with Raw(postroom) as c:
        c.command("EHLO x")
        assert c.code(command) == "530 5.7.0"


@pytest.mark.parametrize("command", [f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{BEN}>", "DATA"])
def test_nothing_before_auth(postroom, command):
    with Raw(postroom, tls="implicit") as c:
        c.command("EHLO x")
        assert c.code(command) == "530 5.7.0"


@pytest.mark.parametrize("user,password", [
    (ANNA, "wrong"), (ANNA, ""), ("nobody@example.org", "x"), ("*", "secret-anna.berg"),
    (")(uid=*", "x"), ("anna.berg)(uid=*", "secret-anna.berg"), ("anna.berg\r\n", "x"),
    ("", ""), ("anna.berg@example.org ", "secret-anna.berg")])
def test_login_refused(postroom, slapd, user, password):
    before = len(slapd.log_text())
    with Raw(postroom, tls="implicit") as c:
        c.command("EHLO x")
        plain = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        assert c.code("AUTH PLAIN " + plain) == "535 5.7.8"
    assert "(uid=*)" not in slapd.log_text()[before:]


def test_login_with_nul_in_name(postroom):
    with Raw(postroom, tls="implicit") as c:
        c.command("EHLO x")
        plain = base64.b64encode(b"\0anna\0.berg\0secret-anna.berg").decode()
        assert c.code("AUTH PLAIN " + plain).startswith("5")


def test_login_exchanges(postroom):
    b64 = lambda s: base64.b64encode(s.encode()).decode()  # noqa: E731
    with Raw(postroom, tls="implicit") as c:
        c.command("EHLO x")
        assert c.code("AUTH NOSUCH") == "504 5.5.4"
        assert c.code("AUTH") == "501 5.5.4"
        assert c.code("AUTH PLAIN !!!") == "501 5.5.2"
        assert c.command("AUTH PLAIN") == (334, [""])
        assert c.code("*") == "501 5.7.0"
        code, lines = c.command("AUTH LOGIN")
        assert (code, base64.b64decode(lines[0]).lower()[:4]) == (334, b"user")
        assert c.code("not base64!") == "501 5.5.2"
        code, lines = c.command("auth login")
        assert code == 334
        code, lines = c.command(b64(ANNA))
        assert (code, base64.b64decode(lines[0]).lower()[:4]) == (334, b"pass")
        assert c.code(b64(password_of(ANNA))) == "235 2.7.0"
        assert c.code("AUTH PLAIN AGEAYg==") == "503 5.5.1"


def test_plain_with_continuation(postroom):
    with Raw(postroom, tls="implicit") as c:
        c.command("EHLO x")
        assert c.command("AUTH PLAIN") == (334, [""])
        plain = base64.b64encode(f"\0{ANNA}\0{password_of(ANNA)}".encode()).decode()
        assert c.code(plain) == "235 2.7.0"


def test_failed_logins_end_the_connection(postroom):
    with Raw(postroom, tls="implicit") as c:
        c.command("EHLO x")
        for _ in range(5):
            assert c.code("AUTH PLAIN " + base64.b64encode(b"\0x\0y").decode()) == "535 5.7.8"
        assert c.reply()[0] == 421
        assert c.closed()


def test_mail_from_must_be_own(postroom):
    with authenticated(postroom, ANNA) as c:
        assert c.code(f"MAIL FROM:<{BEN}>") == "553 5.7.1"
        assert c.code("MAIL FROM:<x@elsewhere.org>") == "553 5.7.1"
        assert c.code("MAIL FROM:<*@example.org>") == "553 5.7.1"
        assert c.code("MAIL FROM:<director@example.org>") == "250 2.1.0"


HEADER_CASES = [
    (f"From: {ANNA}\r\n", "250 2.0.0"),
    ("From: Anna <ANNA.BERG@EXAMPLE.ORG>\r\n", "250 2.0.0"),
    ("From: director@example.org\r\n", "250 2.0.0"),
    (f"From: {ANNA}\r\nSender: director@example.org\r\n", "250 2.0.0"),
    (f"From: {BEN}\r\n", "550 5.7.1"),
    (f"From: {ANNA}, {BEN}\r\nSender: {ANNA}\r\n", "550 5.7.1"),
    (f"From: \"{ANNA}\" <{BEN}>\r\n", "550 5.7.1"),
    (f"From: {BEN} ({ANNA})\r\n", "550 5.7.1"),
    (f"From: {ANNA}\r\nSender: {BEN}\r\n", "550 5.7.1"),
    ("From: president@whitehouse.example\r\n", "550 5.7.1"),
    (f"From: {ANNA}\r\nFrom: {BEN}\r\n", "554 5.6.0"),
    (f"From: g: {ANNA};\r\n", "554 5.6.0"),
    ("Subject: no from\r\n", "554 5.6.0"),
    ("From: Anna\r\n", "554 5.6.0"),
    (f"From: {ANNA}\r\nthis is no field\r\n", "554 5.6.0"),
]


@pytest.mark.parametrize("header,want", HEADER_CASES)
def test_header_addresses_must_be_own(postroom, header, want):
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        assert c.code(header.replace("\r\n", "\r\n") + "\r\nbody\r\n.") == want
        assert c.code("NOOP") == "250 2.0.0"


def test_null_sender_is_allowed_when_from_is_own(postroom):
    with authenticated(postroom, ANNA) as c:
        c.envelope("", BEN)
        assert c.command("DATA")[0] == 354
        assert c.code(f"From: {ANNA}\r\n\r\nbody\r\n.") == "250 2.0.0"
        c.envelope("", BEN)
        assert c.command("DATA")[0] == 354
        assert c.code(f"From: {BEN}\r\n\r\nbody\r\n.") == "550 5.7.1"


RCPT_CASES = [
    (BEN, "250 2.1.5"), (BEN.upper(), "250 2.1.5"), ("bilal.haddad+tag@example.org", "250 2.1.5"),
    ("oskar@example.org", "250 2.1.5"), ("info@example.org", "250 2.1.5"),
    ("everyone-outside@example.org", "250 2.1.5"), ("Postmaster", "250 2.1.5"),
    ("postmaster@example.org", "250 2.1.5"), (f"@a.org,@b.org:{BEN}", "250 2.1.5"),
    ("\"bilal.haddad\"@example.org", "250 2.1.5"),
    ("nobody@example.org", "550 5.1.1"), ("nobody+tag@example.org", "550 5.1.1"),
    ("*@example.org", "550 5.1.1"), ("bilal*@example.org", "550 5.1.1"),
    ("user%gmail.com@example.org", "550 5.1.1"), ("\"x y\"@example.org", "550 5.1.1"),
    ("x@gmail.com", "550 5.7.1"), ("x@[127.0.0.1]", "550 5.7.1"), ("x@sub.example.org", "550 5.7.1"),
    (")(uid=*@example.org", "501 5.1.3"), ("a@b@example.org", "501 5.1.3"),
    ("a b@example.org", "501 5.1.3"), ("", "501 5.1.3"), ("a@-x.org", "501 5.1.3"),
    ("\u00e4@example.org", "553 5.6.7"),
]


@pytest.mark.parametrize("rcpt,want", RCPT_CASES)
def test_recipients(postroom, rcpt, want):
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA)
        assert c.code(f"RCPT TO:<{rcpt}>".encode()) == want


def test_foreign_recipient_says_why(postroom):
    with postroom.smtp(ANNA) as c:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as e:
            c.sendmail(ANNA, ["someone@gmail.com"], text()[1])
    assert b"Relaying not available" in e.value.recipients["someone@gmail.com"][1]


def test_one_good_recipient_of_three(postroom):
    subject, message = text()
    with postroom.smtp(ANNA) as c:
        refused = c.sendmail(ANNA, [BEN, "nobody@example.org", "x@gmail.com"], message)
    assert {k: v[0] for k, v in refused.items()} == {"nobody@example.org": 550, "x@gmail.com": 550}
    assert arrived(postroom, BEN, subject)


def test_bdat(postroom):
    subject, message = text(body=".\r\n..\r\nchunks\r\n")
    data = message.encode()
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA, BEN)
        for k in range(0, len(data), 50):
            piece = data[k:k + 50]
            c.send(b"BDAT %d\r\n" % len(piece) + piece)
            assert c.reply()[0] == 250
        assert c.code("BDAT 0 LAST") == "250 2.0.0"
    assert arrived(postroom, BEN, subject).endswith(b"\r\n\r\n.\r\n..\r\nchunks\r\n")


def test_session_id_follows_a_message(postroom):
    subject, message = text()
    start = len(postroom.log_text())
    with postroom.smtp(ANNA) as c:
        c.sendmail(ANNA, [BEN], message)
    m = postroom.wait_log(r"ev=smtp\.accept sid=(\w+) qid=(\w+)", start=start)
    postroom.wait_log(rf"role=auth .*sid={m.group(1)}", start=start)
    postroom.wait_log(rf"role=queue .*sid={m.group(1)} .*qid={m.group(2)}", start=start)
