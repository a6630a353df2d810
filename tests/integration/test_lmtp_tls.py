"""LMTP over TCP with TLS, by STARTTLS and from the first octet on (LMTPS): Debian's Postfix, smtplib, and bytes that have
no business there."""
import contextlib
import smtplib
import socket
import ssl
import uuid

import pytest

from harness.instance import Instance
from harness.ports import free_ports
from harness.postfix import Postfix
from test_smtp_submission import arrived

pytestmark = pytest.mark.waits

ANNA = "anna.berg@example.org"


@pytest.fixture(scope="module")
def postroom(work, slapd, certs):
    ports = free_ports(2)
    i = Instance(work / "lmtp-tls", slapd, certs, settings=f"""
listen "lmtp-starttls" {{ protocol = lmtp address = {{ "127.0.0.1:{ports[0]}" }} tls = starttls }}
listen "lmtps" {{ protocol = lmtp address = {{ "127.0.0.1:{ports[1]}" }} tls = implicit }}
""")
    i.starttls_port, i.lmtps_port = ports
    i.start()
    yield i
    i.stop()


@pytest.mark.parametrize("how", ["starttls", "implicit"])
def test_postfix(postroom, work, certs, how):
    """It demands a certificate with the server's name."""
    port = postroom.starttls_port if how == "starttls" else postroom.lmtps_port
    subject = uuid.uuid4().hex
    with Postfix(work / f"postfix-{how}", {
            "mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "virtual_mailbox_domains": "example.org", "virtual_transport": f"lmtp:inet:localhost:{port}",
            "lmtp_tls_security_level": "secure", "lmtp_tls_secure_cert_match": "localhost", "lmtp_tls_CAfile": certs.ca,
            "lmtp_host_lookup": "native", "lmtp_tls_wrappermode": "no" if how == "starttls" else "yes",
            "lmtp_tls_loglevel": "1"}) as p:
        with smtplib.SMTP("127.0.0.1", p.port, timeout=120) as c:
            c.sendmail("x@example.net", [ANNA], f"Subject: {subject}\r\n\r\n.Hello\r\n".encode() + b"x" * 60 + b"\r\n" * 9000)
        p.wait_log("Verified TLS connection established", "status=sent (250 2.0.0 Delivered", timeout=120)
    assert b"with LMTPS id" in arrived(postroom, ANNA, subject)


def starttls(i):
    s = socket.create_connection(("127.0.0.1", i.starttls_port), timeout=120)
    f = s.makefile("rb")
    assert f.readline().startswith(b"220 ")
    return s, f


def reply(f):
    lines = [f.readline()]
    while lines[-1][3:4] == b"-":
        lines.append(f.readline())
    return b"".join(lines)


def test_what_is_offered(postroom, certs):
    with smtplib.LMTP("localhost", postroom.starttls_port) as c:
        c.ehlo()
        assert c.has_extn("starttls") and c.docmd("STARTTLS", "now")[0] == 501
        assert c.starttls(context=certs.context())[0] == 220
        c.ehlo()
        assert not c.has_extn("starttls") and c.docmd("STARTTLS")[0] == 503
        assert c.sendmail("x@example.net", [ANNA], b"Subject: inside\r\n\r\nx\r\n") == {}
    with smtplib.LMTP("localhost", postroom.lmtp_port) as c:
        c.ehlo()
        assert not c.has_extn("starttls") and c.docmd("STARTTLS")[0] == 502
        c.ehlo()
    with smtplib.LMTP(postroom.socket("lmtp")) as c:
        c.ehlo()
        assert not c.has_extn("starttls")


def test_nothing_said_in_clear_counts(postroom, certs):
    s, f = starttls(postroom)
    s.sendall(b"LHLO x\r\nMAIL FROM:<x@example.net>\r\nRCPT TO:<%s>\r\nSTARTTLS\r\nLHLO y\r\nMAIL FROM:<evil@example.net>\r\n"
              % ANNA.encode())
    assert b"STARTTLS" in reply(f) and reply(f)[:3] == b"250" and reply(f)[:3] == b"250" and reply(f)[:3] == b"220"
    with certs.context().wrap_socket(s, server_hostname="localhost") as t:
        g = t.makefile("rb")
        t.sendall(b"RCPT TO:<%s>\r\nMAIL FROM:<>\r\nNOOP\r\n" % ANNA.encode())
        assert [reply(g)[:3] for _ in range(3)] == [b"503", b"503", b"250"]


def test_no_handshake(postroom):
    """What is none ends the connection, and no other; silence does not hold up the end."""
    start = len(postroom.log_text())
    s, f = starttls(postroom)
    s.sendall(b"LHLO x\r\nSTARTTLS\r\n")
    reply(f)
    assert reply(f)[:3] == b"220"
    s.sendall(b"MAIL FROM:<>\r\n" * 100)
    with contextlib.suppress(ConnectionResetError):
        while s.recv(65536):  # an alert, perhaps
            pass
    postroom.wait_log(r"ev=lmtp\.lost .*state=tls", start=start)
    with socket.create_connection(("127.0.0.1", postroom.lmtps_port), timeout=120) as t:
        t.sendall(b"LHLO x\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert not t.recv(65536).startswith(b"220")
    with pytest.raises((ssl.SSLError, OSError)):  # nobody has that CA
        ssl.create_default_context().wrap_socket(socket.create_connection(("127.0.0.1", postroom.lmtps_port), timeout=120),
                                                 server_hostname="localhost")
    postroom.silent = socket.create_connection(("127.0.0.1", postroom.lmtps_port), timeout=120)
    with postroom.lmtp() as c:
        assert c.ehlo()[0] == 250


def test_new_certificate(postroom, certs):
    """A reload brings it."""
    def fingerprint():
        with certs.context().wrap_socket(socket.create_connection(("127.0.0.1", postroom.lmtps_port), timeout=120),
                                         server_hostname="localhost") as t:
            assert t.recv(100).startswith(b"220 ")
            return t.getpeercert(binary_form=True)
    before = fingerprint()
    cert, key = certs.issue("renewed", "localhost")
    postroom.conf.write_text(postroom.conf.read_text().replace(str(certs.cert), str(cert)).replace(str(certs.key), str(key)))
    start = len(postroom.log_text())
    postroom.reload()
    postroom.wait_log(r"ev=lmtp\.reload res=ok", start=start, timeout=120)
    assert fingerprint() != before
