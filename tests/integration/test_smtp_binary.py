"""BINARYMIME (RFC 3030): a binary part from BDAT to IMAP's BINARY, octet for octet."""
import re
import smtplib
import uuid

import pytest

from harness.instance import Instance
from harness.ports import free_ports

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
# every octet, bare CR and LF, what looks like the end of DATA, and no line end at the end
BLOB = bytes(range(256)) * 3 + b"\r\r\n.\r\n\n.\n\0\r" + b"x" * 5000 + b"\nQUIT\r\nlast"


@pytest.fixture(scope="module")
def mx(work, slapd, certs):
    port, = free_ports(1)
    i = Instance(work / "binary", slapd, certs, settings=f"""
smtp {{
	postmaster = "{ANNA}"
}}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = starttls }}
""")
    i.mx_port = port
    i.start()
    yield i
    i.stop()


def message(subject, blob=BLOB, encoding="binary"):
    return (f"From: <{ANNA}>\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/mixed; boundary=b1\r\n\r\n"
            "--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
            "--b1\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n").encode() + blob + b"\r\n--b1--"


def bdat(c, octets, last=True):
    c.send(b"BDAT %d%s\r\n" % (len(octets), b" LAST" if last else b"") + octets)
    return c.getreply()[0]


def begin(c, sender, *rcpts):
    assert c.docmd("MAIL", f"FROM:<{sender}> BODY=BINARYMIME")[0] == 250
    for r in rcpts:
        assert c.docmd("RCPT", f"TO:<{r}>")[0] == 250


def parts(i, user, subject, *items):
    """What FETCH says of the message with this subject."""
    i.wait_log(rf"ev=lmtp\.deliver .*rcpt={re.escape(user)} res=ok")
    for _ in range(200):
        with i.imap(user) as c:
            c.select("INBOX", readonly=True)
            found = c.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
            if found:
                assert len(found) == 1
                return [c.fetch(found[0], item)[1][0] for item in items]
    raise AssertionError(i.log_text()[-4000:])


@pytest.mark.parametrize("sizes", [[10 ** 6], [1, 5, 300, 1, 4000, 0, 10 ** 6]], ids=["one", "many"])
def test_octet_for_octet(mx, sizes):
    subject = uuid.uuid4().hex
    octets = message(subject)
    with mx.smtp(ANNA) as c:
        c.ehlo()
        assert c.has_extn("binarymime") and c.has_extn("chunking")
        begin(c, ANNA, BEN, ANNA)
        assert c.docmd("DATA")[0] == 503
        at = 0
        for n in sizes:
            assert bdat(c, octets[at:at + n], last=n == sizes[-1]) == 250
            at += n
    for user in (BEN, ANNA):
        binary, size = parts(mx, user, subject, "(BINARY.PEEK[2])", "(BINARY.SIZE[2])")
        assert binary[1] == BLOB
        assert f"BINARY.SIZE[2] {len(BLOB)}".encode() in size


def test_without_nul_kept_as_it_is(mx):
    subject = uuid.uuid4().hex
    blob = BLOB.replace(b"\0", b"")
    with smtplib.SMTP("127.0.0.1", mx.mx_port, "far.example.net", timeout=120) as c:
        c.ehlo()
        begin(c, "x@far.example.net", BEN)
        assert bdat(c, message(subject, blob)) == 250
    binary, whole = parts(mx, BEN, subject, "(BINARY.PEEK[2])", "(BODY.PEEK[])")
    assert binary[1] == blob
    assert whole[1].endswith(message(subject, blob))


def test_lines_are_a_message_like_others(mx):
    subject = uuid.uuid4().hex
    octets = message(subject, b"only\r\nlines", "7bit") + b"\r\n"
    with smtplib.SMTP("127.0.0.1", mx.mx_port, "far.example.net", timeout=120) as c:
        c.ehlo()
        begin(c, "x@far.example.net", BEN)
        assert bdat(c, octets) == 250
    whole, = parts(mx, BEN, subject, "(BODY.PEEK[])")
    assert whole[1].endswith(octets)


@pytest.mark.parametrize("octets", [
    b"Subject: \0\r\n\r\nx", b"Subject: a\nTo: b\r\n\r\nx", b"Subject: a\rTo: b\r\n\r\nx", b"Subject: a"],
    ids=["nul", "lf", "cr", "cut"])
def test_header_is_lines(mx, octets):
    with smtplib.SMTP("127.0.0.1", mx.mx_port, "far.example.net", timeout=120) as c:
        c.ehlo()
        begin(c, "x@far.example.net", BEN)
        assert bdat(c, octets) == 554
        assert c.noop()[0] == 250


def test_lmtp(mx):
    subject = uuid.uuid4().hex
    octets = message(subject)
    with smtplib.LMTP(mx.socket("lmtp")) as c:
        c.ehlo()
        assert c.has_extn("binarymime") and c.has_extn("chunking")
        assert bdat(c, b"QUIT\r\n") == 503
        begin(c, "", BEN)
        assert c.docmd("DATA")[0] == 503
        assert bdat(c, octets[:100], last=False) == 250
        assert bdat(c, octets[100:]) == 250
    binary, = parts(mx, BEN, subject, "(BINARY.PEEK[2])")
    assert binary[1] == BLOB
