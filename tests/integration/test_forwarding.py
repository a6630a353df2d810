"""Mail that goes on to other servers: with which sender, and where its bounces go."""
import re
import smtplib
import uuid

import pytest

from harness.instance import Instance, directory_section, temp_dir, remove
from harness.ports import free_ports
from harness.relay import Peer
from harness.slapd import Slapd
from test_lists import ANNA, BEN, PARTNER, group, person
from test_outbound import bounce, received, to_hop, until
from test_smtp_submission import arrived

TOVE = "tove.nilsen@example.org"
AGENCY = "agency@press.example.net"  # press@example.org is these two


@pytest.fixture(scope="module")
def far():
    """Every server but ours."""
    with Peer(what={"RCPT": lambda line: b"550 5.1.1 gone away\r\n" if b"<gone@" in line
                    else b"250 2.1.5 ok\r\n"}) as p:
        yield p


@pytest.fixture(scope="module")
def here(certs, far):
    d = temp_dir()
    port, = free_ports(1)
    secret = d / "srs"
    secret.write_text("the secret of this year\n")
    secret.chmod(0o600)
    with Slapd(d / "slapd", ca=certs.ca, cert=certs.cert, key=certs.key) as slapd:
        slapd.add("dn: cn=gone,ou=aliases,dc=example,dc=org\nobjectClass: postroomAlias\ncn: gone\n"
                  "mail: former@example.org\npostroomForward: gone@far.example.com\n\n"
                  + group("tour", [person("bilal.haddad"), "cn=gone,ou=aliases,dc=example,dc=org"],
                          owner=[person("anna.berg")]))
        i = Instance(
            d / "here", slapd, certs,
            directory_text=directory_section(slapd, extra='owner_attributes = { "owner" }'),
            settings=to_hop(far.route, queue="queue {\n\treserve = 1M\n\tretry_min = 500ms\n"
                            f"\tretry_max = 1s\n\tsrs_domain = \"example.org\"\n\tsrs_secret = \"{secret}\"\n}}\n")
            + f'smtp {{\n\tpostmaster = "{ANNA}"\n}}\n'
            f'listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = none }}\n')
        i.mx = port
        with i:
            yield i
    remove(d)


def from_outside(i, sender, rcpt):
    s = uuid.uuid4().hex
    with smtplib.SMTP("127.0.0.1", i.mx, timeout=120) as c:
        assert c.sendmail(sender, [rcpt], f"From: {PARTNER}\r\nSubject: {s}\r\n\r\nx\r\n") == {}
    return s


def sent_as(i, far, subject, rcpt):
    """The envelope sender that the other server saw."""
    until(lambda: received(far, subject) == [rcpt], f"{rcpt} got nothing", i)
    mail, = [m for m, _, text in list(far.messages) if subject.encode() in text]
    return re.match(rb"MAIL FROM:<([^>]*)>", mail).group(1).decode()


def test_srs_there_and_back(here, far):
    s = from_outside(here, PARTNER, "press@example.org")
    assert arrived(here, TOVE, s).startswith(f"Return-Path: <{PARTNER}>".encode())
    sender = sent_as(here, far, s, AGENCY)
    assert re.fullmatch(r"SRS0=[^=]{8}=[A-Z2-7]{2}=far\.example\.net=partner@example\.org", sender)
    s = from_outside(here, "", sender)
    assert sent_as(here, far, s, PARTNER) == ""
    # nobody else's address is let through
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        from_outside(here, "", sender.replace("partner", "victim"))


def test_own_senders_stay(here, far):
    s = uuid.uuid4().hex
    with here.smtp(ANNA) as c:
        c.sendmail(ANNA, ["press@example.org"], f"From: {ANNA}\r\nSubject: {s}\r\n\r\nx\r\n")
    assert sent_as(here, far, s, AGENCY) == ANNA
    s = from_outside(here, "", "press@example.org")
    assert sent_as(here, far, s, AGENCY) == ""


def test_bounces_of_a_group_go_to_its_owner(here):
    s = uuid.uuid4().hex
    with here.smtp(BEN) as c:
        c.sendmail(BEN, ["tour@example.org"], f"From: {BEN}\r\nSubject: {s}\r\n\r\nx\r\n")
    arrived(here, BEN, s)
    report = bounce(here, "gone away")
    assert "gone@far.example.com" in report
    with here.imap(BEN) as c:
        c.select("INBOX", readonly=True)
        assert c.search(None, "HEADER", "Content-Type", "multipart/report")[1] == [b""]
