"""Addresses and headers beyond ASCII (RFC 6531, RFC 6532): port 25 and submission to IMAP, real peers in front."""
import smtplib
import subprocess
import unicodedata
import uuid

import pytest

from harness import slapd as slapd_module
from harness.instance import Instance
from harness.ports import free_ports
from harness.postfix import Postfix
from test_smtp_submission import arrived

ANNA = "anna.berg@example.org"
CARMEN = "carmen.ortega@example.org"
BEN = "bilal.haddad@example.org"
UTF8_ANNA = "änna.bérg@example.org"
GROUP = "gruppe-ü@example.org"
IDN = "carmen@bücher.example"
FAR = "jürgen@straße.example"
FAR_KEPT = "jürgen@xn--strae-oqa.example"  # domains are kept in A-labels


@pytest.fixture(scope="module")
def mx(work, slapd, certs):
    person = ["inetOrgPerson", "inetLocalMailRecipient", "postroomAccount"]
    slapd.modify(slapd_module.user_dn("anna.berg"),
                 {"objectClass": person, "postroomAddress": [UTF8_ANNA]})
    slapd.modify(slapd_module.user_dn("carmen.ortega"),
                 {"objectClass": person, "postroomAddress": ["carmen@xn--bcher-kva.example"]})
    slapd.modify(slapd_module.BASE, {
        "associatedDomain": ["example.org", "example.com", "xn--bcher-kva.example"]})
    slapd.add(f"""dn: cn=gruppe,ou=groups,{slapd_module.BASE}
objectClass: postroomAlias
cn: gruppe
mail: gruppe@example.org
postroomAddress: {GROUP}
postroomForward: {UTF8_ANNA}
postroomForward: {IDN}
""")
    port, = free_ports(1)
    i = Instance(work / "utf8", slapd, certs, settings=f"""
smtp {{
	postmaster = "{ANNA}"
}}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = starttls }}
""")
    i.mx_port = port
    i.start()
    yield i
    i.stop()


def far(i):
    """A client as another server is one, greeted."""
    c = smtplib.SMTP("127.0.0.1", i.mx_port, "far.example.net", timeout=120)
    c.ehlo()
    return c


def send(c, sender, rcpts, subject, header=""):
    """Replies to the recipients, then to the message."""
    c.command_encoding = "utf-8"
    code, text = c.docmd("MAIL", f"FROM:<{sender}> SMTPUTF8 BODY=8BITMIME")
    assert code == 250, text
    replies = [c.docmd("RCPT", f"TO:<{r}>")[0] for r in rcpts]
    if 250 not in replies:
        c.rset()
        return replies
    message = f"From: Jürgen <{sender}>\r\nTo: <{rcpts[0]}>\r\n{header}Subject: {subject}\r\n\r\ngrüße\r\n"
    return replies + [c.data(message.encode())[0]]


def test_delivered_and_read(mx):
    subject = uuid.uuid4().hex
    with far(mx) as c:
        assert c.has_extn("smtputf8")
        assert send(c, FAR, [UTF8_ANNA, IDN, "nobödy@example.org", "x@straße.example"], subject) == \
            [250, 250, 550, 550, 250]
    for user in (ANNA, CARMEN):
        got = arrived(mx, user, subject).decode()
        assert got.startswith(f"Return-Path: <{FAR_KEPT}>\r\n")
        assert "with UTF8LMTP id" in got and "with UTF8SMTP id" in got
        assert f"From: Jürgen <{FAR}>\r\nTo: <{UTF8_ANNA}>\r\n" in got
        assert got.endswith("\r\n\r\ngrüße\r\n")


def test_imap_utf8_accept(mx):
    """A client that says UTF8=ACCEPT gets the addresses as they are in ENVELOPE too."""
    subject = "Grüße " + uuid.uuid4().hex
    with far(mx) as c:
        assert send(c, FAR, [UTF8_ANNA], subject) == [250, 250]
    arrived(mx, ANNA, subject.split()[1])
    with mx.imap(ANNA) as c:
        assert c.enable("UTF8=ACCEPT")[0] == "OK"
        c.select("INBOX", readonly=True)
        found = c.uid("SEARCH", "SUBJECT", f'"{subject}"')[1][0].split()
        assert len(found) == 1
        parts = c.uid("FETCH", found[0], "(ENVELOPE)")[1]
        envelope = b"".join(b for p in parts for b in (p if isinstance(p, tuple) else [p])).decode()
        for text in (subject, "Jürgen", "jürgen", "straße.example", "änna.bérg"):
            assert text in envelope


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_one_spelling(mx, form):
    subject, tagged = uuid.uuid4().hex, uuid.uuid4().hex
    address = unicodedata.normalize(form, UTF8_ANNA)
    with far(mx) as c:
        # twice, and once more with a tag: the first two are one recipient
        assert send(c, FAR, [address, UTF8_ANNA], subject) == [250, 250, 250]
        assert send(c, FAR, [unicodedata.normalize(form, "änna.bérg+x@example.org")],
                    tagged) == [250, 250]
    arrived(mx, ANNA, subject)  # exactly one
    arrived(mx, ANNA, tagged)


def test_alias_to_utf8(mx):
    """A message that needs nothing itself goes to addresses that do."""
    subject, second = uuid.uuid4().hex, uuid.uuid4().hex
    with far(mx) as c:
        c.sendmail("x@far.example.net", ["gruppe@example.org"], f"Subject: {subject}\r\n\r\nx\r\n")
        assert send(c, "", [GROUP], second) == [250, 250]
    for user in (ANNA, CARMEN):
        arrived(mx, user, subject)
        arrived(mx, user, second)


def test_submission(mx):
    subject = uuid.uuid4().hex
    with mx.smtp(ANNA) as c:
        c.ehlo()
        assert c.has_extn("smtputf8")
        assert send(c, UTF8_ANNA, [BEN], subject) == [250, 250]
        assert send(c, UTF8_ANNA, [BEN], "x", header=f"Sender: <{FAR}>\r\n") == [250, 550]
        c.command_encoding = "utf-8"
        assert c.docmd("MAIL", "FROM:<ännä@example.org> SMTPUTF8")[0] == 553
        assert c.docmd("MAIL", f"FROM:<{UTF8_ANNA}>")[0] == 553
    got = arrived(mx, BEN, subject).decode()
    assert "with UTF8SMTPSA id" in got and f"<{UTF8_ANNA}>" in got


def test_smtplib_send_message(mx):
    from email.message import EmailMessage
    m = EmailMessage()
    subject = uuid.uuid4().hex
    m["From"], m["To"], m["Subject"] = UTF8_ANNA, BEN, subject
    m.set_content("grüße")
    with mx.smtp(ANNA) as c:
        assert c.send_message(m) == {}
    assert f"From: {UTF8_ANNA}" in arrived(mx, BEN, subject).decode()


def test_postfix_sends(mx, work):
    with Postfix(work / "postfix", {
            "smtputf8_enable": "yes", "relayhost": f"[127.0.0.1]:{mx.mx_port}",
            "mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtp_tls_security_level": "none"}) as p:
        subject = uuid.uuid4().hex
        with smtplib.SMTP("127.0.0.1", p.port, timeout=120) as c:
            c.ehlo()
            assert send(c, FAR, [UTF8_ANNA], subject) == [250, 250]
        p.wait_log("status=sent")
    got = arrived(mx, ANNA, subject).decode()
    assert "with UTF8SMTP id" in got and f"From: Jürgen <{FAR}>" in got


def test_swaks_without_the_parameter(mx):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(mx.mx_port), "--ehlo", "far.example.net",
         "--from", "x@far.example.net", "--to", UTF8_ANNA],
        capture_output=True, timeout=180)
    assert done.returncode == 24 and b"553 5.6.7" in done.stdout, done


def test_lmtp_takes_it(mx):
    with smtplib.LMTP(mx.socket("lmtp")) as c:
        c.ehlo()
        assert c.has_extn("smtputf8")
        c.command_encoding = "utf-8"
        assert c.docmd("MAIL", "FROM:<>")[0] == 250
        assert c.docmd("RCPT", f"TO:<{UTF8_ANNA}>")[0] == 553
        c.rset()
        subject = uuid.uuid4().hex
        assert send(c, FAR, [UTF8_ANNA], subject)[0] == 250
    arrived(mx, ANNA, subject)
