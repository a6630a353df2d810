"""XCLIENT from a proxy of ours: swaks says it, over TLS too; others may not."""
import smtplib
import ssl
import subprocess
import uuid

import pytest

from harness.instance import Instance, password_of
from harness.ports import free_ports
from test_smtp_submission import arrived

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
FAR = "sender@far.example.net"


@pytest.fixture(scope="module")
def mx(work, slapd, certs):
    port, = free_ports(1)
    i = Instance(work / "xclient", slapd, certs, settings=f"""
smtp {{
	postmaster = "{ANNA}"
	xclient_networks = {{ "127.0.0.1/32" }}
	xclient_login = yes
	messages_per_minute = 2
	relay_networks = {{ "192.0.2.0/28" }}
}}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = starttls }}
""")
    i.mx_port = port
    i.start()
    yield i
    i.stop()


def swaks(i, *args, port=None, local="127.0.0.1"):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port or i.mx_port), "--local-interface",
         local, "--ehlo", "proxy.example.org", *args],
        capture_output=True, text=True, timeout=180)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("tls", [[], ["--tls"]], ids=["clear", "starttls"])
def test_client_is_the_one_named(mx, tls):
    subject = uuid.uuid4().hex
    address = "203.0.113.9" if tls else "203.0.113.10"
    code, text = swaks(mx, *tls, "--xclient-addr", address, "--xclient-name", "mx.far.example.net",
                       "--xclient-helo", "mx.far.example.net", "--from", FAR, "--to", BEN,
                       "--h-Subject", subject)
    assert code == 0, text
    assert "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in text
    head = arrived(mx, BEN, subject).split(b"\r\n\r\n", 1)[0]
    assert b"[" + address.encode() + b"])\r\n" in head and b"127.0.0.1" not in head
    mx.wait_log(rf"ev=smtp\.xclient .*by=127\.0\.0\.1 peer={address} ")


def test_limits_are_of_the_one_named(mx):
    def send(address):
        return swaks(mx, "--xclient-addr", address, "--from", FAR, "--to", BEN)[0]
    assert [send("203.0.113.20") for _ in range(3)] == [0, 0, 23]
    assert send("203.0.113.21") == 0


def test_networks_are_of_the_one_named(mx):
    subject = uuid.uuid4().hex
    code, text = swaks(mx, "--xclient-addr", "192.0.2.3", "--from", FAR, "--to", BEN, "--data",
                       f"Subject: {subject}\\n\\nx\\n")
    assert code == 0, text
    assert b"\r\nMessage-ID: " in arrived(mx, BEN, subject)


def test_login(mx):
    subject = uuid.uuid4().hex
    args = ["--tls", "--xclient-addr", "203.0.113.30", "--xclient-login", ANNA, "--to", BEN]
    code, text = swaks(mx, *args, "--from", ANNA, "--h-Subject", subject,
                       port=mx.submission_port)
    assert code == 0, text
    assert b"with ESMTPSA id" in arrived(mx, BEN, subject)
    assert swaks(mx, *args, "--from", BEN, port=mx.submission_port)[0] == 23
    # without the name the new client is nobody, whoever logged in before
    code, text = swaks(mx, "--tls", "--xclient-addr", "203.0.113.31", "--from", ANNA, "--to", BEN,
                       port=mx.submission_port)
    assert code == 23 and "530 5.7.0" in text, text


def test_others_may_not(mx):
    code, text = swaks(mx, "--xclient-addr", "192.0.2.3", "--xclient-optional", "--from", FAR,
                       "--to", BEN, local="127.0.0.2")
    assert code == 0 and "Host did not advertise XCLIENT" in text, text
    with smtplib.SMTP("127.0.0.1", mx.mx_port, source_address=("127.0.0.2", 0), timeout=120) as c:
        assert c.docmd("XCLIENT", "ADDR=192.0.2.3")[0] == 550


def test_password_for_the_one_named(mx):
    """A login after XCLIENT is judged by the new client's address."""
    subject = uuid.uuid4().hex
    code, text = swaks(mx, "--tls", "--xclient-addr", "203.0.113.40", "--auth-user", ANNA,
                       "--auth-password", password_of(ANNA), "--from", ANNA, "--to", BEN,
                       "--h-Subject", subject, port=mx.submission_port)
    assert code == 0, text
    arrived(mx, BEN, subject)
    mx.wait_log(r"ev=smtp\.auth .*res=ok peer=203\.0\.113\.40")


def test_login_before_starttls_is_forgotten(mx):
    with smtplib.SMTP("127.0.0.1", mx.mx_port, timeout=180) as s:
        assert s.ehlo("proxy.example.org")[0] == 250
        assert s.docmd("XCLIENT", f"ADDR=203.0.113.41 LOGIN={ANNA}")[0] == 220
        assert s.ehlo("phone.example.net")[0] == 250
        assert s.mail(BEN)[0] == 553  # a user's rules
        assert s.starttls(context=ssl._create_unverified_context())[0] == 220
        assert s.ehlo("phone.example.net")[0] == 250
        assert s.mail(BEN)[0] == 250  # anybody's: to our own users
        assert s.rcpt("x@far.example.net")[0] == 550
