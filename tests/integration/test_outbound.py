"""Mail to other servers from end to end: submission, queue, relay, the next hop; and what happens when that is down,
slow, picky or not there at all."""
import email
import os
import re
import signal
import smtplib
import subprocess
import time
import uuid

import pytest

from harness.dns import Dns
from harness.instance import Instance
from harness.ports import free_ports
from harness.postfix import Postfix
from harness.relay import Peer
from test_smtp_submission import arrived

pytestmark = pytest.mark.waits

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"

QUEUE = "queue { reserve = 1M retry_min = 500ms retry_max = 1s }\n"


def outbound(more=""):
    return f"outbound {{ enabled = yes refused_networks = {{ }} rest_min = 300ms rest_max = 1s tls = none {more} }}\n"


def to_hop(host, more="", queue=QUEUE):
    """All mail to other servers goes to this one."""
    return queue + outbound(f'smarthost = "hop" {more}') + f'relay "hop" {{ host = "{host}" tls = none }}\n'


def send(i, rcpts, sender=ANNA, body="hello\r\n"):
    subject = uuid.uuid4().hex
    with i.smtp(ANNA) as c:
        refused = c.sendmail(sender, rcpts, f"From: {ANNA}\r\nSubject: {subject}\r\n\r\n{body}")
    assert refused == {}
    return subject


def until(condition, what, i, timeout=180):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"{what}\n{i.log_text()[-6000:]}"
        time.sleep(0.05)


def received(peer, subject):
    """The recipients that the peer got this message for, one by one."""
    return sorted(r for _, rcpts, text in list(peer.messages) if subject.encode() in text for r in rcpts)


def bounce(i, word, timeout=180):
    """The report in Anna's mailbox whose text has the word."""
    end = time.monotonic() + timeout
    while True:
        with i.imap(ANNA) as c:
            c.select("INBOX", readonly=True)
            for n in c.search(None, "BODY", f'"{word}"')[1][0].split():
                text = c.fetch(n, "(BODY.PEEK[])")[1][0][1].decode()
                if email.message_from_string(text).get_content_type() == "multipart/report":
                    return text
        assert time.monotonic() < end, i.log_text()[-6000:]
        time.sleep(0.1)


def test_out_by_mx_and_back_in(work, make_instance):
    """To Debian's Postfix by the domain's MX, from there by port 25 into a mailbox."""
    mx, = free_ports(1)
    with Postfix(work / "postfix", {
            "mynetworks": "127.0.0.0/8", "relayhost": f"[127.0.0.1]:{mx}",
            "virtual_alias_domains": "far.example.com",
            "virtual_alias_maps": f"inline:{{ {{ back@far.example.com = {BEN} }} }}"}) as postfix, \
            Dns(work / "dns", ["far.example.com. 60 IN MX 10 mx.far.example.com.",
                               "mx.far.example.com. 60 IN A 127.0.0.1"], zones=("example.com",)) as dns:
        i = make_instance(
            QUEUE + outbound(f"port = {postfix.port}") + f'dns_servers = {{ "{dns.server}" }}\n'
            f'listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{mx}" }} }}\n'
            f'smtp {{ postmaster = "{ANNA}" }}\n')
        subject = send(i, ["back@far.example.com"], body="out and back\r\n.dot\r\n")
        head, text = arrived(i, BEN, subject, timeout=120).split(b"\r\n\r\n", 1)
        assert text == b"out and back\r\n.dot\r\n"
        assert f"Return-Path: <{ANNA}>".encode() in head
        assert len(re.findall(rb"(?m)^Received:", head)) == 4
        # nobody there: Postfix refuses, and Anna hears why
        send(i, ["nobody@far.example.com"])
        report = bounce(i, "nobody@far.example.com")
        assert "Action: failed" in report and "Status: 5.1.1" in report


def test_each_recipient_has_its_own_result(make_instance):
    waits = ["450 4.2.0 a little later\r\n"]

    def rcpt(line):
        if b"<b@" in line:
            return b"550 5.1.1 nobody of that name\r\n"
        return waits.pop().encode() if b"<c@" in line and waits else b"250 2.1.5 ok\r\n"
    with Peer(what={"RCPT": rcpt}) as p:
        i = make_instance(to_hop(p.route))
        subject = send(i, ["a@far.example.com", "b@far.example.com", "c@far.example.com", BEN])
        arrived(i, BEN, subject)
        report = bounce(i, "nobody of that name")
        assert "b@far.example.com" in report and "a@far.example.com" not in report
        until(lambda: len(received(p, subject)) == 2, "c is still missing", i)
        assert received(p, subject) == ["a@far.example.com", "c@far.example.com"]
        assert p.messages[0][0].startswith(f"MAIL FROM:<{ANNA}>".encode())


def test_down_and_up_again(make_instance):
    """Who waits for a server that is down costs nothing but a try now and then, and holds up nobody."""
    port, = free_ports(1)
    i = make_instance(to_hop(f"[127.0.0.1]:{port}", queue="queue { reserve = 1M retry_min = 1h retry_max = 1h }\n"))
    subjects = [send(i, [f"r{n}@far.example.com", BEN]) for n in range(8)]
    for s in subjects:
        arrived(i, BEN, s)
    i.wait_log(r"ev=relay\.job .*Connection refused")
    until(lambda: "in line for hop" in i.command("queue", "list").stdout, "nobody stands in line", i)
    shown = i.command("queue", "list").stdout
    assert shown.count("@far.example.com") == 8
    tries = i.log_text().count("ev=relay.job")
    with Peer(address=("127.0.0.1", port)) as p:
        i.command("queue", "flush")
        until(lambda: sum(len(received(p, s)) for s in subjects) == 8, "not everything came", i)
        assert [received(p, s) for s in subjects] == [[f"r{n}@far.example.com"] for n in range(8)]
    assert tries <= 8


def test_sections_and_a_server_that_hangs(make_instance):
    """Each mail by its section; a server that says nothing holds up neither mailboxes nor the other servers."""
    with Peer() as partner, Peer() as own, Peer(what={"MAIL": Peer.HANG}) as slow:
        i = make_instance(
            QUEUE + outbound() +
            f'relay "partner" {{ host = "{partner.route}" domains = {{ ".example.com" }} }}\n'
            f'relay "slow" {{ host = "{slow.route}" domains = {{ "slow.example.com" }} }}\n'
            f'relay "own" {{ host = "{own.route}" sender_domains = {{ "example.org" }} }}\n')
        for n in range(8):
            send(i, [f"r{n}@slow.example.com"])
        subject = send(i, ["x@slow.example.com", "y@partner.example.com", "z@else.example.net", BEN])
        arrived(i, BEN, subject)
        until(lambda: received(partner, subject) and received(own, subject), "others wait", i)
        assert received(partner, subject) == ["y@partner.example.com"]
        assert received(own, subject) == ["z@else.example.net"]
        until(lambda: i.command("queue", "list").stdout.count("in line for slow") == 4, "nobody stands in line", i)
        assert len(slow.connections) == 5 and slow.messages == []


def test_relay_dies_on_the_way(make_instance):
    slow = [Peer.HANG]
    with Peer(what={"RCPT": lambda line: slow[0]}) as p:
        i = make_instance(to_hop(p.route))
        subject = send(i, ["a@far.example.com"])
        until(lambda: any(c.startswith(b"RCPT") for c in p.commands), "no RCPT", i)
        slow[0] = b"250 2.1.5 ok\r\n"
        for pid in i.pids("relay"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: received(p, subject) == ["a@far.example.com"], "it did not come", i)
        until(lambda: subject not in i.command("queue", "list").stdout, "still queued", i)


def test_nothing_is_lost_when_queue_and_relay_die(make_instance):
    """At least once each, and a second time only what was on its way when one of them died."""
    with Peer(ehlo=["PIPELINING", "8BITMIME"]) as p:
        i = make_instance(to_hop(p.route))
        sent, kills = [], 0
        with i.smtp(ANNA) as c:
            for n in range(60):
                subject = uuid.uuid4().hex
                try:
                    c.sendmail(ANNA, [f"r{n}@far.example.com"],
                               f"From: {ANNA}\r\nSubject: {subject}\r\n\r\nhello\r\n")
                    sent.append((subject, f"r{n}@far.example.com"))
                except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused):
                    c.rset()  # no acknowledgement while queue is away
                    time.sleep(0.1)
                if n % 15 == 9:
                    for pid in i.pids("queue" if kills % 2 == 0 else "relay"):
                        os.kill(pid, signal.SIGKILL)
                    kills += 1
        assert len(sent) >= 30
        until(lambda: all(received(p, s) for s, _ in sent), "something is lost", i, timeout=180)
        until(lambda: "far.example.com" not in i.command("queue", "list", check=False).stdout, "still queued", i)
        more = sum(len(received(p, s)) - 1 for s, _ in sent)
        assert all(set(received(p, s)) == {r} for s, r in sent) and more <= kills * 20


def test_server_takes_few_recipients_at_once(make_instance):
    taken = []

    def rcpt(line):
        taken.append(line)
        return b"250 2.1.5 ok\r\n" if len(taken) <= 2 else b"452 4.5.3 too many\r\n"
    with Peer(what={"RCPT": rcpt, "MAIL": lambda line: taken.clear() or b"250 2.1.0 ok\r\n"}) as p:
        i = make_instance(to_hop(p.route, queue="queue { reserve = 1M retry_min = 60s retry_max = 60s }\n"))
        subject = send(i, [f"r{n}@far.example.com" for n in range(5)])
        until(lambda: len(received(p, subject)) == 5, "not everybody", i)
        assert [len(rcpts) for _, rcpts, _ in p.messages] == [2, 2, 1]


def test_dns(work, make_instance):
    """A domain that takes no mail is a failure with its own codes; a DNS that does not answer is none."""
    with Peer() as p:
        dns = Dns(work / "dns-null", ["none.example.com. 60 IN MX 0 .", "up.example.com. 60 IN A 127.0.0.1"],
                  zones=("example.com",)).start()
        try:
            i = make_instance(QUEUE + outbound(f"port = {p.port} dns_timeout = 1s") +
                              f'dns_servers = {{ "{dns.server}" }}\n')
            send(i, ["x@none.example.com"])
            assert "Status: 5.1.10" in bounce(i, "x@none.example.com")
            send(i, ["x@missing.example.com"])
            assert "Status: 5.1.2" in bounce(i, "x@missing.example.com")
            dns.stop()
            subject = send(i, ["x@up.example.com"])
            i.wait_log(r"ev=queue\.deliver .*x@up\.example\.com.* res=defer")
            dns.start()
            until(lambda: received(p, subject) == ["x@up.example.com"], "it did not come", i)
        finally:
            dns.stop()


def test_smtp_sink(work, make_instance):
    port, = free_ports(1)
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{port}", "64"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        i = make_instance(to_hop(f"[127.0.0.1]:{port}"))
        rcpts = [f"r{n}@far.example.com" for n in range(230)]
        with i.smtp(ANNA) as c:
            for _ in range(3):
                c.sendmail(ANNA, rcpts, f"From: {ANNA}\r\nSubject: many\r\n\r\nhello\r\n")
        until(lambda: len(re.findall(r"ev=queue\.done", i.log_text())) == 3, "not done", i)
        until(lambda: len(re.findall(r"ev=relay\.rcpt .*code=250", i.log_text())) == 690, "not each logged once", i)
    finally:
        sink.terminate()
        sink.wait()
