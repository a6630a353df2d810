"""Debian's Exim as the server before us and as the next one: addresses and headers beyond ASCII, DSN, CHUNKING, binary
messages, with the extensions on offer and without."""
import os
import re
import smtplib
import time
import uuid

import pytest

from harness.exim import Exim
from harness.instance import Instance
from harness.ports import free_ports
from test_dsn import done, fields, reports, wait_reports
from test_outbound import bounce, to_hop
from test_smtp_submission import arrived

pytestmark = [pytest.mark.waits, pytest.mark.skipif(os.getuid() != 0, reason="Exim needs root")]

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
OTTO = "otto@far.example.com"
TAKEN = "taken@far.example.com"
ALL = "smtputf8_advertise_hosts = *\ndsn_advertise_hosts = *\nchunking_advertise_hosts = *\n"
NONE = "smtputf8_advertise_hosts =\ndsn_advertise_hosts =\nchunking_advertise_hosts =\npipelining_advertise_hosts =\n"


@pytest.fixture(scope="module", params=["all", "none"])
def pair(request, work, slapd, certs):
    """Postroom and Exim: each gives the other all mail for other domains."""
    d = work / f"exim-{request.param}"
    d.mkdir()
    (mx,) = free_ports(1)
    with Exim(d / "exim", certs, None, mechanisms=(), domains="far.example.com : xn--strae-oqa.example",
              route=("127.0.0.1", mx), networks="127.0.0.3",
              options=ALL if request.param == "all" else NONE) as e:
        i = Instance(d / "postroom", slapd, certs, settings=to_hop(f"[127.0.0.1]:{e.port}")
                     + f'smtp {{ postmaster = "{ANNA}" errors_per_minute = 0 user_messages_per_minute = 0 }}\n'
                     f'listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{mx}" }} tls = starttls }}\n')
        i.start()
        i.exim, i.all = e, request.param == "all"
        yield i
        i.stop()


def submit(i, rcpt, header="", body="hello\r\n", mail="SMTPUTF8 BODY=8BITMIME", rcpt_options="", bdat=False):
    """Anna's message; its subject."""
    subject = uuid.uuid4().hex
    octets = f"From: <{ANNA}>\r\nSubject: {subject}\r\n{header}\r\n{body}".encode()
    with i.smtp(ANNA) as c:
        c.ehlo()
        give(c, ANNA, rcpt, octets, mail, rcpt_options, bdat)
    return subject


def give(c, sender, rcpt, octets, mail, rcpt_options="", bdat=False):
    c.command_encoding = "utf-8"
    for verb, args in (("MAIL", f"FROM:<{sender}> {mail}"), ("RCPT", f"TO:<{rcpt}> {rcpt_options}")):
        code, said = c.docmd(verb, args.rstrip())
        assert code == 250, said
    if bdat:
        c.send(b"BDAT %d LAST\r\n" % len(octets) + octets)
        assert c.getreply()[0] == 250
    else:
        assert c.data(octets)[0] == 250


def by_exim(i, rcpt, text, sender=OTTO, mail="", rcpt_options=""):
    """From a user of Exim's to us."""
    with smtplib.SMTP("127.0.0.1", i.exim.port, timeout=120, source_address=("127.0.0.3", 0)) as c:
        c.ehlo()
        give(c, sender, rcpt, text, mail, rcpt_options)
    i.exim.deliver()


def held(i, subject, timeout=180):
    """The envelope and header, and the body, of the message that Exim keeps."""
    until = time.monotonic() + timeout
    while True:
        for p in (i.exim.dir / "spool" / "input").rglob("*-H"):
            try:
                text = p.read_text(errors="replace")
                if subject in text:
                    return text, p.with_name(p.name[:-1] + "D").read_bytes()
            except FileNotFoundError:
                pass
        assert time.monotonic() < until, i.log_text()[-4000:] + i.exim.log_text()
        time.sleep(0.05)


def test_what_exim_offers(pair):
    """If Debian's Exim learns more, or less, the tests here must."""
    with smtplib.SMTP("127.0.0.1", pair.exim.port, timeout=120) as c:
        c.ehlo()
        for word in ("smtputf8", "dsn", "chunking"):
            assert c.has_extn(word) == pair.all
        assert not c.has_extn("binarymime")


def test_address_beyond_ascii(pair):
    local = uuid.uuid4().hex[:8] + "ü"
    subject = submit(pair, f"{local}@straße.example", header="Comments: grüße\r\n")
    if pair.all:
        envelope, _ = held(pair, subject)
        assert f"\n{local}@xn--strae-oqa.example" in envelope and "-smtputf8" in envelope
        assert "Comments: grüße" in envelope
    else:
        report = bounce(pair, subject)
        assert "5.6.7" in report and "Diagnostic-Code: x-postroom; 553 5.6.7 the server exim.example.net does not" in report
        assert "Remote-MTA" not in report and " said: " not in report
        assert local not in pair.exim.log_text()


def test_header_beyond_ascii(pair):
    subject = submit(pair, OTTO, header="Comments: grüße\r\n")
    if pair.all:
        assert "-smtputf8" in held(pair, subject)[0]
    else:
        assert "5.6.9" in bounce(pair, subject)


def test_what_needs_nothing(pair):
    """A domain beyond ASCII goes in A-labels, and SMTPUTF8 in MAIL alone asks nothing of Exim."""
    subject = submit(pair, "otto@straße.example")
    envelope, _ = held(pair, subject)
    assert "\notto@xn--strae-oqa.example" in envelope and "-smtputf8" not in envelope
    body = held(pair, submit(pair, OTTO, body="8 bit: ü\r\n.dot\r\n"))[1]
    assert body.endswith("8 bit: ü\n.dot\n".encode())


def test_large(pair):
    """In chunks, or as DATA."""
    subject = submit(pair, OTTO, body=".line\r\n" * 30000)
    envelope, body = held(pair, subject)
    assert body.split(b"\n", 1)[1] == b".line\n" * 30000
    line = pair.exim.wait_log(rf".* {envelope.split('-H')[0]} <= .*\n")[0]
    assert (" K " in line) == pair.all, line


def test_binary(pair):
    subject = submit(pair, OTTO, body="a\0b\rc", mail="BODY=BINARYMIME", bdat=True)
    report = bounce(pair, subject)
    assert "5.6.3" in report and "Action: failed" in report
    subject = submit(pair, OTTO, body="a\r\nb\r\n", mail="BODY=BINARYMIME", bdat=True)
    assert held(pair, subject)[1].endswith(b"a\nb\n")


def test_success_is_told_once(pair):
    """By Exim, which delivered it, with what Anna gave; or by us, who passed it on."""
    subject = submit(pair, TAKEN, mail="RET=HDRS ENVID=e1", rcpt_options="NOTIFY=SUCCESS ORCPT=rfc822;Taken@example.com")
    if pair.all:
        held(pair, subject)  # it keeps what comes until it is told
        until = time.monotonic() + 180
        while not reports(pair, ANNA, subject):
            assert time.monotonic() < until, pair.exim.log_text()
            pair.exim.deliver()
            time.sleep(0.1)
    m, = wait_reports(pair, ANNA, subject)
    whole, rcpts = fields(m)
    assert whole["Original-Envelope-Id"] == "e1"
    assert rcpts[TAKEN]["Original-Recipient"].replace(" ", "") == "rfc822;Taken@example.com"
    assert rcpts[TAKEN]["Action"] == ("delivered" if pair.all else "relayed")
    assert ("exim.example.net" if pair.all else "mail.example.org") in whole["Reporting-MTA"]
    assert len(wait_reports(pair, ANNA, subject)) == 1


def test_exim_asks_for_a_report(pair):
    """Where it knows DSN; else nobody is told."""
    subject = uuid.uuid4().hex
    by_exim(pair, BEN, f"From: {OTTO}\r\nMessage-ID: <{subject}@exim>\r\nSubject: {subject}\r\n\r\nx\r\n".encode(),
            mail="RET=HDRS ENVID=abc+2B1" if pair.all else "",
            rcpt_options="NOTIFY=SUCCESS ORCPT=rfc822;Ben@example.org" if pair.all else "")
    arrived(pair, BEN, subject)
    done(pair, subject)  # and the report has gone to Exim, if there is one
    found = [b for b in pair.exim.bodies() if subject.encode() in b]
    assert len(found) == pair.all
    for text in found:
        assert b"Action: delivered" in text and b"Original-Envelope-Id: abc+1\n" in text
        assert b"Original-Recipient: rfc822; Ben@example.org\n" in text


def test_exim_sends_beyond_ascii(pair):
    """To us, with SMTPUTF8 in Exim's MAIL, in chunks; without SMTPUTF8 it has nothing of the kind to send, but 8 bits."""
    subject, sender = uuid.uuid4().hex, "jürgen@straße.example" if pair.all else OTTO
    name, topic = ("Jürgen", "grüße") if pair.all else ("J", "g")
    by_exim(pair, BEN, f"From: {name} <{sender}>\r\nSubject: {topic} {subject}\r\n\r\n.ü\r\n".encode(), sender=sender,
            mail="SMTPUTF8 BODY=8BITMIME" if pair.all else "")
    got = arrived(pair, BEN, subject).decode()
    kept = sender.replace("straße", "xn--strae-oqa")
    assert got.startswith(f"Return-Path: <{kept}>\r\n") and f"From: {name} <{sender}>\r\nSubject: {topic}" in got
    assert ("with UTF8SMTPS id" in got) == pair.all and ("with ESMTPS id" in got) != pair.all
    assert got.endswith("\r\n\r\n.ü\r\n")
    sent = re.search(rf"=> {re.escape(BEN)} .*", pair.exim.log_text())[0]
    assert " K " in sent and " X=TLS1.3" in sent, sent  # in chunks
