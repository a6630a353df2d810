"""What a next hop is given of messages beyond ASCII and of binary ones: Postfix with and without SMTPUTF8, and never
with BINARYMIME."""
import uuid

import pytest

from harness.instance import Instance
from harness.postfix import Postfix
from test_outbound import bounce, to_hop

pytestmark = pytest.mark.waits

ANNA = "anna.berg@example.org"


@pytest.fixture(scope="module", params=["no", "yes"])
def hop(request, work, slapd, certs):
    """An instance that gives all foreign mail to a Postfix, which throws it away."""
    d = work / f"utf8-{request.param}"
    with Postfix(d / "postfix", {
            "smtputf8_enable": request.param, "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject", "default_transport": "discard:",
            "relay_transport": "discard:"}) as p:
        i = Instance(d / "postroom", slapd, certs, settings=to_hop(f"[127.0.0.1]:{p.port}"))
        i.start()
        i.postfix, i.utf8 = p, request.param == "yes"
        yield i
        i.stop()


def send(i, rcpt, header="", body="", parameters="SMTPUTF8", bdat=False):
    """Anna's message; its subject."""
    subject = uuid.uuid4().hex
    octets = f"From: <{ANNA}>\r\nSubject: {subject}\r\n{header}\r\n{body}".encode()
    with i.smtp(ANNA) as c:
        c.ehlo()
        c.command_encoding = "utf-8"
        assert c.docmd("MAIL", f"FROM:<{ANNA}> {parameters}")[0] == 250
        assert c.docmd("RCPT", f"TO:<{rcpt}>")[0] == 250
        if bdat:
            c.send(b"BDAT %d LAST\r\n" % len(octets) + octets)
            assert c.getreply()[0] == 250
        else:
            assert c.data(octets)[0] == 250
    return subject


def test_address_beyond_ascii(hop):
    local = uuid.uuid4().hex[:8] + "ü"
    subject = send(hop, f"{local}@straße.example")
    if hop.utf8:
        hop.postfix.wait_log(f"to=<{local}@", "status=sent")
    else:
        text = bounce(hop, subject)
        assert "5.6.7" in text


def test_only_the_domain_is(hop):
    """It needs nothing: it goes in A-labels."""
    local = uuid.uuid4().hex[:8]
    send(hop, f"{local}@straße.example")
    log = hop.postfix.wait_log(f"to=<{local}@")
    assert f"to=<{local}@xn--strae-oqa.example>" in log or f"to=<{local}@straße.example>" in log


def test_header_beyond_ascii(hop):
    local = uuid.uuid4().hex[:8]
    subject = send(hop, f"{local}@far.example.com", header="Comments: grüße\r\n")
    if hop.utf8:
        hop.postfix.wait_log(f"to=<{local}@far.example.com>")
    else:
        assert "5.6.9" in bounce(hop, subject)


def test_not_needed_after_all(hop):
    """SMTPUTF8 in MAIL, and nothing in the message: every server may have it."""
    local = uuid.uuid4().hex[:8]
    send(hop, f"{local}@far.example.com", body="plain\r\n")
    hop.postfix.wait_log(f"to=<{local}@far.example.com>")


def test_binary(hop):
    local = uuid.uuid4().hex[:8]
    subject = send(hop, f"{local}@far.example.com", body="a\0b\rc", parameters="BODY=BINARYMIME", bdat=True)
    assert "5.6.3" in bounce(hop, subject)
    assert local not in hop.postfix.log_text()


def test_binary_of_lines(hop):
    local = uuid.uuid4().hex[:8]
    send(hop, f"{local}@far.example.com", body="a\r\nb\r\n", parameters="BODY=BINARYMIME", bdat=True)
    hop.postfix.wait_log(f"to=<{local}@far.example.com>")
