"""Mail from other servers: who is let in, to whom, what becomes of the message; real clients."""
import re
import subprocess
import uuid

import pytest

from harness.instance import Instance
from harness.ports import free_ports
from harness.rawsmtp import Raw
from test_smtp_submission import arrived

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
FAR = "sender@far.example.net"


@pytest.fixture(scope="module")
def mx(work, slapd, certs):
    port, clear, login = free_ports(3)
    i = Instance(work / "mx", slapd, certs, settings=f"""
smtp {{
	postmaster = "{ANNA}"
	mx_login = yes
}}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = starttls }}
listen "clear" {{ protocol = smtp address = {{ "127.0.0.1:{clear}" }} tls = none }}
""")
    i.mx_port, i.clear_port = port, clear
    i.start()
    yield i
    i.stop()


def swaks(i, *args, port=None):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port or i.mx_port),
         "--ehlo", "far.example.net", *args],
        capture_output=True, text=True, timeout=180)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("tls", [[], ["--tls"]], ids=["clear", "starttls"])
def test_swaks_delivers(mx, tls):
    subject = uuid.uuid4().hex
    code, text = swaks(mx, *tls, "--from", FAR, "--to", BEN, "--h-Subject", subject)
    assert code == 0, text
    head = arrived(mx, BEN, subject).split(b"\r\n\r\n", 1)[0]
    assert head.startswith(f"Return-Path: <{FAR}>\r\n".encode())
    kind = b"ESMTPS" if tls else b"ESMTP"
    assert re.search(rb"Received: from far\.example\.net \(\[127\.0\.0\.1\]\)\r\n(\t\(using .*\r\n)?"
                     rb"\tby mail\.example\.org with " + kind + rb" id [0-9a-f]{16};\r\n", head)


# swaks ends with 23: MAIL refused, 24: no recipient accepted, 26: the message refused
RELAY = [
    ([], FAR, BEN, 0, ""),
    ([], "<>", BEN, 0, ""),
    ([], FAR, "postmaster@example.org", 0, ""),
    ([], FAR, "nobody@example.org", 24, "550 5.1.1"),
    ([], FAR, "someone@elsewhere.example", 24, "550 5.7.1 Relaying denied"),
    ([], ANNA, "someone@elsewhere.example", 24, "550 5.7.1 Relaying denied"),
    ([], "<>", "someone@elsewhere.example", 24, "550 5.7.1 Relaying denied"),
    ([], FAR, "someone%elsewhere.example@example.org", 24, "550 5.1.1"),
    ([], FAR, "@example.org:someone@elsewhere.example", 24, "550 5.7.1"),
    (["--tls", "--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", "secret-anna.berg"],
     ANNA, BEN, 0, ""),
    (["--tls", "--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", "secret-anna.berg"],
     BEN, ANNA, 23, "553 5.7.1"),
    (["--tls", "--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", "secret-anna.berg"],
     ANNA, "someone@elsewhere.example", 24, "550 5.7.1 Relaying not available"),
]


@pytest.mark.parametrize("more,sender,rcpt,want,said", RELAY)
def test_swaks_relay(mx, more, sender, rcpt, want, said):
    code, text = swaks(mx, *more, "--from", sender, "--to", rcpt, "--h-From", ANNA)
    assert code == want, text
    assert said in text


def test_postmaster_mail_is_read(mx):
    subject = uuid.uuid4().hex
    code, text = swaks(mx, "--from", FAR, "--to", "postmaster@example.org", "--h-Subject", subject)
    assert code == 0, text
    arrived(mx, ANNA, subject)


def test_what_is_offered(mx):
    with Raw(mx, port=mx.clear_port) as c:
        code, lines = c.command("EHLO far.example.net")
        assert code == 250 and "STARTTLS" not in lines
        assert not any(line.startswith("AUTH") for line in lines)
        assert c.code("STARTTLS") == "454 4.7.0"
    with Raw(mx, port=mx.mx_port) as c:
        code, lines = c.command("EHLO far.example.net")
        assert "STARTTLS" in lines and not any(line.startswith("AUTH") for line in lines)
        assert any(line.startswith("AUTH ") for line in c.starttls()[1])


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r\r\n", b"\r\n.\n"])
def test_smuggling(mx, end):
    start = len(mx.log_text())
    with Raw(mx, port=mx.mx_port) as c:
        c.command("EHLO far.example.net")
        c.envelope(FAR, BEN)
        assert c.command("DATA")[0] == 354
        c.send(b"Subject: outer\r\n\r\nx" + end
               + f"MAIL FROM:<{ANNA}>\r\nRCPT TO:<{BEN}>\r\nDATA\r\nSubject: in\r\n\r\n".encode()
               + b"y\r\n.\r\nNOOP\r\n")
        assert c.reply()[1][0].startswith("5.6.0 ")
        assert c.reply() == (250, ["2.0.0 Ok"])
    assert "ev=smtp.accept" not in mx.log_text()[start:]


def test_smtp_source(mx):
    """Postfix's load generator: kept connections, several messages and recipients each."""
    start = len(mx.log_text())
    done = subprocess.run(
        ["smtp-source", "-s", "5", "-m", "20", "-l", "4000", "-f", FAR, "-t", BEN, "-d",
         f"127.0.0.1:{mx.mx_port}"], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    mx.wait_log(r"(?s)(ev=smtp\.accept.*){20}", start=start)
    assert mx.log_text()[start:].count("ev=smtp.accept") == 20


def test_long_sender_arrives(mx):
    """A list's sender (VERP) as long as MAIL takes it goes all the way to the mailbox."""
    domain = ".".join(["d" * 60] * 3 + ["example.net"])
    subject = uuid.uuid4().hex
    for local in ("v" * 256, '"' + "q " * 127 + '"'):
        with Raw(mx, port=mx.mx_port) as c:
            c.command("EHLO far.example.net")
            c.envelope(f"{local}@{domain}", BEN)
            assert c.command("DATA")[0] == 354
            c.send(f"Subject: {subject}\r\n\r\nx\r\n.\r\n".encode())
            assert c.reply()[0] == 250
        got = arrived(mx, BEN, subject)
        assert got.startswith(f"Return-Path: <{local}@{domain}>\r\n".encode())
        subject = uuid.uuid4().hex
