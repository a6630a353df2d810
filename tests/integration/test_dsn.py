"""DSN from end to end (RFC 3461 to 3464): what senders ask for, through submission, queue, lmtp and relay; reports read by
Python's email package, field by field; Debian's Postfix as the sender and as the next hop, with and without DSN."""
import email
import email.policy
import email.utils
import re
import smtplib
import time
import uuid

import pytest

from harness.instance import Instance, directory_section
from harness.ports import free_ports
from harness.postfix import Postfix
from harness.relay import Peer

pytestmark = pytest.mark.waits

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
TEAM = "red@example.org"  # a group of two, and of itself

# What each kind of recipient of ours and of the next hop comes to.
BOX, FAR, GONE, LATE = BEN, "taken@far.example.com", "gone@far.example.com", "late@far.example.com"


def settings(hop, delay="0", more=""):
    return (f"queue {{ reserve = 1M retry_min = 60s retry_max = 60s delay_notice = {delay} {more} }}\n"
            'outbound { enabled = yes refused_networks = { } rest_min = 300ms rest_max = 1s tls = none smarthost = "hop" }\n'
            f'relay "hop" {{ host = "{hop}" tls = none }}\n')


def answers(line):
    if b"<gone@" in line:
        return b"550 5.1.1 nobody of that name\r\n"
    return b"450 4.2.0 a little later\r\n" if b"<late@" in line else b"250 2.1.5 ok\r\n"


def send(i, rcpts, mail=(), rcpt=(), sender=ANNA, body="hello\r\n", extra=""):
    """One message; returns its subject, which no other has."""
    subject = uuid.uuid4().hex
    with i.smtp(ANNA) as c:
        text = f"From: {ANNA}\r\nMessage-ID: <{subject}@test>\r\nSubject: {subject}\r\n{extra}\r\n{body}"
        assert c.sendmail(sender, rcpts, text, mail_options=mail, rcpt_options=rcpt) == {}
    return subject


def delivery_log(i):
    return "\n".join(re.findall(r".*role=(?:smtp|queue|relay|lmtp) .*", i.log_text()))[-8000:]


def reports(i, user, subject):
    """The reports in a mailbox about the message with this subject."""
    found = []
    with i.imap(user) as c:
        c.select("INBOX", readonly=True)
        for n in c.search(None, "BODY", f'"{subject}"')[1][0].split():
            m = email.message_from_bytes(c.fetch(n, "(BODY.PEEK[])")[1][0][1], policy=email.policy.default)
            if m.get_content_type() == "multipart/report":
                found.append(m)
    return found


def wait_reports(i, user, subject, count=1, timeout=180):
    end = time.monotonic() + timeout
    while True:
        found = reports(i, user, subject)
        if len(found) >= count:
            assert len(found) == count, [m.as_string() for m in found]
            return found
        assert time.monotonic() < end, delivery_log(i)
        time.sleep(0.1)


def done(i, subject, timeout=180):
    """Nothing of the message and of its reports is in the queue any more."""
    sid, qid = i.wait_log(rf"ev=smtp\.accept sid=(\w+) qid=(\w+) .*msgid=\S*{subject}").groups()
    end = time.monotonic() + timeout
    while True:
        log = i.log_text()
        all_of = {qid, *re.findall(rf"ev=queue\.report sid={sid} .*report=(\w+)", log)}
        if all(re.search(rf"ev=queue\.done .*qid={q}", log) for q in all_of):
            return
        assert time.monotonic() < end, delivery_log(i)
        time.sleep(0.05)


def fields(report):
    """Those of the message, and of each recipient by its final address."""
    first, *others = report.get_payload(1).get_payload()
    return first, {r["Final-Recipient"].split(";")[1].strip(): r for r in others}


def near(date, seconds=600):
    return abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < seconds


@pytest.fixture(scope="module")
def hop():
    with Peer(ehlo=["PIPELINING", "8BITMIME"], what={"RCPT": answers}) as p:
        yield p


@pytest.fixture(scope="module")
def postroom(work, slapd, certs, hop):
    i = Instance(work / "postroom", slapd, certs, settings(hop.route, delay="1s"))
    i.start()
    yield i
    i.stop()


def test_every_field_of_a_failure(postroom, hop):
    subject = send(postroom, [GONE], mail=["RET=FULL", "ENVID=order+2B17"],
                   rcpt=["NOTIFY=FAILURE", "ORCPT=rfc822;Gone+2Bx@example.com"], body="the body\r\n")
    m, = wait_reports(postroom, ANNA, subject)
    assert m["From"] == "Mail Delivery System <MAILER-DAEMON@mail.example.org>"
    assert m["To"].addresses[0].addr_spec == ANNA and m["Return-Path"] == "<>"
    assert m["Subject"] == "Your message could not be delivered"
    assert m["Auto-Submitted"] == "auto-replied" and m["MIME-Version"] == "1.0"
    assert m["References"] == f"<{subject}@test>"
    assert re.fullmatch(r"<\w{16}@mail\.example\.org>", m["Message-ID"])
    assert near(m["Date"])
    assert m.get_param("report-type") == "delivery-status"
    text, status, back = m.get_payload()
    assert [p.get_content_type() for p in (text, status, back)] == [
        "text/plain", "message/delivery-status", "message/rfc822"]
    words = " ".join(text.get_content().split())
    assert f'Your message "{subject}" could not be delivered' in words
    assert f"<{GONE}> There is no such mailbox." in words
    assert "said: 550 5.1.1 nobody of that name" in words
    whole, rcpts = fields(m)
    assert whole["Original-Envelope-Id"] == "order+17"
    assert whole["Reporting-MTA"] == "dns; mail.example.org"
    assert near(whole["Arrival-Date"])
    r = rcpts.pop(GONE)
    assert not rcpts
    assert r["Original-Recipient"] == "rfc822; Gone+x@example.com"
    assert r["Final-Recipient"] == f"rfc822; {GONE}"
    assert r["Action"] == "failed" and r["Status"] == "5.1.1"
    assert r["Remote-MTA"] == "dns; [127.0.0.1]"  # the way to the peer has no name
    assert r["Diagnostic-Code"] == "smtp; 550 5.1.1 nobody of that name"
    assert near(r["Last-Attempt-Date"]) and r["Will-Retry-Until"] is None
    assert back.get_payload(0)["Subject"] == subject
    assert back.get_payload(0).get_payload() == "the body\r\n"


@pytest.mark.parametrize("notify", ["", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE,DELAY"])
def test_notify(postroom, hop, notify):
    """Each NOTIFY with four outcomes of one message."""
    wants = set(notify.split(",")) if notify else {"FAILURE", "DELAY"}
    expected = {BOX: "delivered" if "SUCCESS" in wants else None, FAR: "relayed" if "SUCCESS" in wants else None,
                GONE: "failed" if "FAILURE" in wants else None, LATE: "delayed" if "DELAY" in wants else None}
    expected = {k: v for k, v in expected.items() if v}
    subject = send(postroom, [BOX, FAR, GONE, LATE], rcpt=[f"NOTIFY={notify}"] if notify else [])
    end, seen = time.monotonic() + 180, {}
    while len(seen) < len(expected):
        assert time.monotonic() < end, (seen, delivery_log(postroom))
        time.sleep(0.1)
        for m in reports(postroom, ANNA, subject):
            for address, r in fields(m)[1].items():
                seen[address] = r["Action"]
    # the notice of delay is due after a second: then nothing more may come
    qid = postroom.wait_log(rf"ev=smtp\.accept .*qid=(\w+) .*msgid=\S*{subject}")[1]
    postroom.wait_log(rf"ev=queue\.deliver .*qid={qid} rcpt={LATE} res=defer")
    postroom.wait_log(rf"ev=queue\.deliver .*qid={qid} rcpt={BOX} res=ok")
    if "DELAY" not in wants:
        time.sleep(1.5)
    final = [r for m in reports(postroom, ANNA, subject) for r in fields(m)[1].values()]
    assert {r["Final-Recipient"].split("; ")[1]: r["Action"] for r in final} == expected
    assert len(final) == len(expected)
    for r in final:
        if r["Action"] == "delayed":
            assert email.utils.parsedate_to_datetime(r["Will-Retry-Until"]).timestamp() > time.time() + 86400
            assert r["Status"] == "4.2.0"
        if r["Action"] in ("delivered", "relayed"):
            assert r["Status"].startswith("2.")
    postroom.command("queue", "delete", qid)


def test_an_address_of_several(postroom):
    subject = send(postroom, [TEAM], rcpt=["NOTIFY=SUCCESS", "ORCPT=rfc822;Red@example.org"])
    m, = wait_reports(postroom, ANNA, subject)
    _, rcpts = fields(m)
    assert list(rcpts) == [TEAM]
    assert rcpts[TEAM]["Action"] == "expanded" and rcpts[TEAM]["Original-Recipient"] == "rfc822; Red@example.org"
    done(postroom, subject)
    assert len(reports(postroom, ANNA, subject)) == 1
    # and an address of one
    subject = send(postroom, ["billing@example.org"], rcpt=["NOTIFY=SUCCESS"])
    m, = wait_reports(postroom, ANNA, subject)
    assert {k: v["Action"] for k, v in fields(m)[1].items()} == {"elena.petrova@example.org": "delivered"}


@pytest.mark.parametrize("ret,size,whole", [("", 10, True), ("RET=FULL", 10, True), ("RET=HDRS", 10, False),
                                            ("RET=FULL", 1100000, False)])
def test_what_comes_back(postroom, ret, size, whole):
    line = "x" * 70 + "\r\n"
    subject = send(postroom, [GONE], mail=[ret] if ret else [], body=line * (size // 72 + 1))
    m, = wait_reports(postroom, ANNA, subject)
    back = m.get_payload(2)
    assert back.get_content_type() == ("message/rfc822" if whole else "text/rfc822-headers")
    assert subject in back.as_string() and ("xxx" in back.as_string()) == whole


def test_report_that_fails_is_for_the_postmaster(make_instance, hop):
    i = make_instance(settings(hop.route, more=f'postmaster = "{BEN}"')
                      + f'listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{free_ports(1)[0]}" }} }}\n'
                      + f'smtp {{ postmaster = "{ANNA}" relay_networks = {{ "127.0.0.0/8" }} }}\n')
    port = int(re.search(r'"mx".*:(\d+)"', i.conf.read_text())[1])
    subject = uuid.uuid4().hex
    with smtplib.SMTP("127.0.0.1", port) as c:
        c.sendmail("gone@far.example.com", ["gone@far.example.com"],
                   f"From: {ANNA}\r\nSubject: {subject}\r\n\r\nx\r\n")
    m, = wait_reports(i, BEN, subject)
    assert m["Subject"] == "A report could not be delivered" and m["To"].addresses[0].addr_spec == BEN
    inner = m.get_payload(2).get_payload(0)
    assert inner["Subject"] == "Your message could not be delivered"
    assert inner.get_payload(2).get_payload(0)["Subject"] == subject
    assert reports(i, ANNA, subject) == []


def test_postfix_as_the_sender(work, make_instance):
    """Postfix asks us for reports, and gets them by port 25: of success by us alone."""
    ours, = free_ports(1)
    with Postfix(work / "out", {"mynetworks": "127.0.0.0/8", "relayhost": f"[127.0.0.1]:{ours}",
                                "virtual_alias_domains": "far.example.com",
                                "virtual_alias_maps": f"inline:{{ {{ otto@far.example.com = {ANNA} }} }}"}) as postfix:
        i = make_instance(settings(f"[127.0.0.1]:{postfix.port}")
                          + f'listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{ours}" }} }}\n'
                          + f'smtp {{ postmaster = "{ANNA}" }}\n')
        subject = uuid.uuid4().hex
        with smtplib.SMTP("127.0.0.1", postfix.port) as c:
            c.sendmail("otto@far.example.com", [BEN], f"From: otto@far.example.com\r\nSubject: {subject}\r\n\r\nx\r\n",
                       mail_options=["ENVID=abc+2B1", "RET=HDRS"],
                       rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Ben@example.org"])
        # we tell Otto, by Postfix, which sends it to Anna
        m, = wait_reports(i, ANNA, subject)
        whole, rcpts = fields(m)
        assert whole["Reporting-MTA"] == "dns; mail.example.org" and whole["Original-Envelope-Id"] == "abc+1"
        assert rcpts[BEN]["Action"] == "delivered"
        assert rcpts[BEN]["Original-Recipient"] == "rfc822; Ben@example.org"
        assert m.get_payload(2).get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize("dsn", [True, False])
def test_postfix_as_the_next_hop(work, make_instance, dsn):
    """With DSN it tells of what it delivered, with what the sender gave; without it we say that we passed the message on."""
    ours, = free_ports(1)
    with Postfix(work / f"hop-{dsn}", {
            "mynetworks": "127.0.0.0/8", "relayhost": f"[127.0.0.1]:{ours}",
            "smtpd_discard_ehlo_keywords": "" if dsn else "dsn",
            "virtual_mailbox_domains": "far.example.com", "virtual_transport": "discard:"}) as postfix:
        i = make_instance(settings(f"[127.0.0.1]:{postfix.port}")
                          + f'listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{ours}" }} }}\n'
                          + f'smtp {{ postmaster = "{ANNA}" }}\n')
        subject = send(i, [FAR], mail=["ENVID=e1", "RET=HDRS"], rcpt=["NOTIFY=SUCCESS", "ORCPT=rfc822;Far@example.com"])
        m, = wait_reports(i, ANNA, subject)
        whole, rcpts = fields(m)
        assert whole["Original-Envelope-Id"] == "e1"
        assert rcpts[FAR]["Original-Recipient"].replace(" ", "") == "rfc822;Far@example.com"
        assert whole["Reporting-MTA"] == f"dns; {'postfix.example.net' if dsn else 'mail.example.org'}"
        assert rcpts[FAR]["Action"] == ("delivered" if dsn else "relayed")
        if not dsn:
            assert rcpts[FAR]["Remote-MTA"].startswith("dns; ")
        time.sleep(0.5)
        assert len(reports(i, ANNA, subject)) == 1


LIST = """\
dn: cn=outsider,ou=aliases,dc=example,dc=org
objectClass: postroomAlias
cn: outsider
mail: outsider@example.org
postroomForward: gone@far.example.com

dn: cn=crew,ou=groups,dc=example,dc=org
objectClass: groupOfNames
objectClass: postroomGroup
cn: crew
mail: crew@example.org
member: uid=bilal.haddad,ou=people,dc=example,dc=org
member: cn=outsider,ou=aliases,dc=example,dc=org
owner: uid=mei.zhang,ou=people,dc=example,dc=org
"""


def test_a_list_ends_what_the_sender_asked_for(make_instance, slapd, hop):
    """For the sender it was delivered; what becomes of members, the owner hears."""
    slapd.add(LIST)
    i = make_instance(settings(hop.route), directory_text=directory_section(
        slapd, extra='owner_attributes = { "owner" }'))
    subject = send(i, ["crew@example.org"], mail=["ENVID=mine"], rcpt=["NOTIFY=SUCCESS,FAILURE",
                                                                      "ORCPT=rfc822;Crew@example.org"])
    m, = wait_reports(i, ANNA, subject)
    whole, rcpts = fields(m)
    assert whole["Original-Envelope-Id"] == "mine" and list(rcpts) == ["crew@example.org"]
    assert rcpts["crew@example.org"]["Action"] == "delivered"
    m, = wait_reports(i, "mei.zhang@example.org", subject)
    whole, rcpts = fields(m)
    assert whole["Original-Envelope-Id"] is None and list(rcpts) == [GONE]
    assert rcpts[GONE]["Action"] == "failed" and rcpts[GONE]["Original-Recipient"] is None
    assert "crew@" not in str(rcpts[GONE])
    done(i, subject)
    assert len(reports(i, ANNA, subject)) == 1
    said = [c for c in hop.commands if b"MAIL" in c and b"mei.zhang" in c]
    assert said and all(b"ENVID" not in c for c in said)


def test_beyond_ascii(postroom):
    """The next hop has no SMTPUTF8; the report is of RFC 6533's types."""
    subject = uuid.uuid4().hex
    with postroom.smtp(ANNA) as c:
        c.ehlo()
        c.sendmail(ANNA, ["göne@far.example.com"],
                   f"From: {ANNA}\r\nSubject: Grüße {subject}\r\n\r\nhello\r\n".encode(),
                   mail_options=["SMTPUTF8", "RET=HDRS"], rcpt_options=["ORCPT=utf-8;g\\x{F6}ne@far.example.com"])
    end = time.monotonic() + 180
    while True:
        found = [b for b in postroom.wait_messages(ANNA, 0) if subject.encode() in b and b"multipart/report" in b]
        if found:
            break
        assert time.monotonic() < end, delivery_log(postroom)
        time.sleep(0.1)
    text = found[0].decode("utf-8")
    m = email.message_from_bytes(found[0], policy=email.policy.default)
    assert m.get_param("report-type") == "global-delivery-status"
    assert [p.get_content_type() for p in m.get_payload()] == [
        "text/plain", "message/global-delivery-status", "message/global-headers"]
    assert f'Your message "Grüße {subject}"' in " ".join(m.get_payload(0).get_content().split())
    assert "\r\nOriginal-Recipient: utf-8; göne@far.example.com\r\n" \
        "Final-Recipient: utf-8; göne@far.example.com\r\nAction: failed\r\nStatus: 5.6.7\r\n" in text
