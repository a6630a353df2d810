"""The checks of smtp that ask the DNS: names of clients, greetings, domains, lists; a DNS that lies, and one that
says nothing. Clients are of 198.51.100.0/24 and 2001:db8::/32 by PROXY headers."""
import os
import re
import signal
import socket
import time
import uuid

import pytest

from harness.dns import Dns
from harness.instance import Instance, free_ports
from harness.rawsmtp import Raw
from test_sendmail import Sendmail
from test_smtp_submission import arrived

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
FAR = "sender@good.example.net"
REVERSE4 = "100.51.198.in-addr.arpa"
REVERSE6 = "8.b.d.0.1.0.0.2.ip6.arpa"
SIX = "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"

RECORDS = [
    f"9.{REVERSE4}. 60 IN PTR mx.good.example.net.",
    "mx.good.example.net. 60 IN A 198.51.100.9",
    "mx.good.example.net. 60 IN AAAA 2001:db8::9",
    f"{SIX}.{REVERSE6}. 60 IN PTR mx.good.example.net.",
    "good.example.net. 60 IN MX 10 mx.good.example.net.",
    "null.example.net. 60 IN MX 0 .",
    "address.example.net. 60 IN A 198.51.100.77",
    # a name of somebody else's, a name that is none, a loop, thousands
    f"10.{REVERSE4}. 60 IN PTR mx.good.example.net.",
    f"11.{REVERSE4}. 60 IN PTR bad\\(name\\).example.net.",
    f"12.{REVERSE4}. 60 IN PTR one.loop.example.net.",
    "one.loop.example.net. 60 IN CNAME two.loop.example.net.",
    "two.loop.example.net. 60 IN CNAME one.loop.example.net.",
] + [f"13.{REVERSE4}. 60 IN PTR n{i}.many.example.net." for i in range(1000)] + [
    "30.100.51.198.black.example.com. 60 IN A 127.0.0.4",
    "30.100.51.198.black.example.com. 60 IN TXT \"see https://black.example.com/\"",
    "31.100.51.198.black.example.com. 60 IN A 198.51.100.99",
    "32.100.51.198.black.example.com. 60 IN A 127.0.0.4",
    "32.100.51.198.white.example.com. 60 IN A 127.0.1.3",
    f"{SIX.replace('9', '8', 1)}.8.b.d.0.1.0.0.2.black.example.com. 60 IN A 127.0.0.2",
]


@pytest.fixture(scope="module")
def dns(work):
    with Dns(work / "dns", RECORDS, zones=("example.net", "example.com", REVERSE4, REVERSE6)) as d:
        yield d


def instance(work, slapd, certs, name, servers, checks):
    port, = free_ports(1)
    i = Instance(work / name, slapd, certs, settings=f"""
dns_servers = {{ "{servers}" }}
smtp {{
	workers = 2
	postmaster = "{ANNA}"
	proxy_networks = {{ "127.0.0.0/8" }}
	errors_per_minute = 0
	{checks}
}}
dnsbl "black.example.com" {{ weight = 2 reply = {{ "127.0.0.2-11" }} }}
dnswl "white.example.com" {{ weight = 3 reply = {{ "127.0.1-9.1-3" }} }}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = starttls }}
""")
    i.mx_port = port
    return i


@pytest.fixture(scope="module")
def mx(work, slapd, certs, dns):
    i = instance(work, slapd, certs, "checks", dns.server, """
	client_ptr = refuse
	client_confirmed = defer
	helo_known = log
	sender_known = refuse
	check_timeout = 20s
	check_exempt_networks = { "198.51.100.200/32" }""")
    i.start()
    yield i
    i.stop()


def connect(i, client, port=None):
    c = Raw(i, port=port or i.mx_port, greet=False)
    family = "TCP6" if ":" in client else "TCP4"
    c.send(f"PROXY {family} {client} {client} 4711 25\r\n")
    c.greeting = c.reply()
    return c


def rcpt(i, client, helo="mx.good.example.net", sender=FAR, to=BEN):
    with connect(i, client) as c:
        c.command(f"EHLO {helo}")
        assert c.code(f"MAIL FROM:<{sender}>") == "250 2.1.0"
        code, lines = c.command(f"RCPT TO:<{to}>")
        return f"{code} {lines[0]}"


CASES = [
    ("198.51.100.9", FAR, BEN, "250 2.1.5"),
    ("2001:db8::9", FAR, BEN, "250 2.1.5"),
    ("198.51.100.9", "a@address.example.net", BEN, "250 2.1.5"),
    ("198.51.100.9", "", BEN, "250 2.1.5"),
    ("198.51.100.9", "a@nobody.example.net", BEN, "550 5.1.8"),
    ("198.51.100.9", "a@null.example.net", BEN, "550 5.7.27"),
    ("198.51.100.9", "a@one.loop.example.net", BEN, "250 2.1.5"),
    ("198.51.100.99", FAR, BEN, "550 5.7.25 Your address has no name"),
    ("2001:db8::99", FAR, BEN, "550 5.7.25 Your address has no name"),
    ("198.51.100.10", FAR, BEN, "450 4.7.25 The name of your address"),
    ("198.51.100.11", FAR, BEN, "550 5.7.25 Your address has no name"),
    ("198.51.100.12", FAR, BEN, "250 2.1.5"),  # the loop is a failure of the DNS, which passes
    ("198.51.100.13", FAR, BEN, "450 4.7.25 The name of your address"),
    ("198.51.100.30", FAR, BEN, "554 5.7.1 Your address is on a block list: black.example.com "
                                "(see https://black.example.com/)"),
    ("2001:db8::8", FAR, BEN, "554 5.7.1 Your address is on a block list: black.example.com"),
    ("198.51.100.30", FAR, "postmaster@example.org", "250 2.1.5"),
    ("198.51.100.31", FAR, BEN, "550 5.7.25"),  # a list that answers nonsense counts 0
    ("198.51.100.32", "a@null.example.net", BEN, "250 2.1.5"),  # allow-listed: all is well
    ("198.51.100.200", "a@null.example.net", BEN, "250 2.1.5"),
]


@pytest.mark.parametrize("client,sender,to,want", CASES)
def test_checks(mx, client, sender, to, want):
    assert rcpt(mx, client, sender=sender, to=to).startswith(want)


def test_only_logged(mx):
    start = len(mx.log_text())
    assert rcpt(mx, "198.51.100.9", helo="unknown.example.net").startswith("250 2.1.5")
    mx.wait_log(r'ev=smtp\.check .*check=helo value=unknown\.example\.net reason="helo unknown" res=pass', start=start)


def test_names_in_the_trace(mx):
    """Received and Authentication-Results of ours; those that only claim to be are gone."""
    for client, name, result in [("198.51.100.9", "mx.good.example.net", "pass"),
                                 ("198.51.100.200", "unknown", "permerror")]:
        subject = uuid.uuid4().hex
        with connect(mx, client) as c:
            c.command("EHLO mx.good.example.net")
            c.envelope(FAR, BEN)
            assert c.command("DATA")[0] == 354
            c.send(f"Authentication-Results: mail.example.org; iprev=pass policy.iprev=203.0.113.1\r\n"
                   f"Subject: {subject}\r\n\r\nx\r\n.\r\n")
            assert c.reply()[0] == 250
        head = arrived(mx, BEN, subject).split(b"\r\n\r\n", 1)[0].decode()
        assert f"Received: from mx.good.example.net ({name} [{client}])\r\n" in head
        assert re.findall(r"iprev=(\w+) policy\.iprev=(\S+)", head) == [(result, client)]


def test_login_in_the_trace(mx):
    subject = uuid.uuid4().hex
    with connect(mx, "198.51.100.9", mx.submission_port) as c:
        c.command("EHLO client.example.org")
        c.starttls()
        assert c.login(ANNA)[0] == 235
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        c.send(f"From: {ANNA}\r\nSubject: {subject}\r\n\r\nx\r\n.\r\n")
        assert c.reply()[0] == 250
    head = arrived(mx, BEN, subject).split(b"\r\n\r\n", 1)[0].decode()
    assert f"Authentication-Results: mail.example.org;\r\n\tauth=pass smtp.auth={ANNA}\r\n" in head


def test_everything_while_the_client_talks(mx):
    """Pipelined, cut, and with many recipients: each command has its reply, each recipient its own."""
    with connect(mx, "198.51.100.9") as c:
        c.command("EHLO mx.good.example.net")
        c.send(f"MAIL FROM:<{FAR}>\r\nRCPT TO:<{BEN}>\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<{ANNA}>\r\n"
               f"RSET\r\nMAIL FROM:<a@null.example.net>\r\nRCPT TO:<{BEN}>\r\nQUIT\r\n")
        assert [c.reply()[0] for _ in range(8)] == [250, 250, 550, 250, 250, 250, 550, 221]


def test_resolver_dies(mx):
    """A resolver that is gone is a DNS that fails; master starts it again."""
    for pid in mx.pids("resolver"):
        os.kill(pid, signal.SIGKILL)
    assert rcpt(mx, "198.51.100.9").startswith("250 2.1.5")
    until = time.monotonic() + 180
    while not rcpt(mx, "198.51.100.99").startswith("550 5.7.25"):
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture(scope="module")
def silent():
    """A DNS server that takes questions and never answers."""
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        yield f"127.0.0.1@{s.getsockname()[1]}"


@pytest.mark.parametrize("failure,want", [("pass", "250 2.1.5"), ("defer", "450 4.4.3")])
def test_silent_dns(work, slapd, certs, silent, failure, want):
    """It holds up the first RCPT of a session for its time, and nothing else."""
    i = instance(work, slapd, certs, f"silent-{failure}", silent, f"""
	client_ptr = refuse
	helo_known = refuse
	sender_known = refuse
	dns_failure = {failure}
	check_timeout = 1s""")
    with i:
        with connect(i, "198.51.100.9") as c, connect(i, "198.51.100.10") as other:
            c.command("EHLO mx.good.example.net")
            c.send(f"MAIL FROM:<{FAR}>\r\nRCPT TO:<{BEN}>\r\n")
            assert c.reply()[0] == 250
            for _ in range(20):  # the worker serves others meanwhile
                assert other.command("NOOP")[0] == 250
            code, lines = c.reply()
            assert f"{code} {lines[0]}".startswith(want)


def test_recipients_elsewhere(work, slapd, certs, dns):
    """A user's, a network's and a local program's recipients have their domains looked up; a route's are not."""
    i = Instance(work / "recipients", slapd, certs, settings=f"""
dns_servers = {{ "{dns.server}" }}
smtp {{ recipient_known = refuse check_timeout = 20s }}
outbound {{ enabled = yes }}
relay "hop" {{ host = "[127.0.0.1]:9" domains = {{ ".inside.example.net" }} }}
""")
    with i:
        start = len(i.log_text())
        with Raw(i) as c:
            c.command("EHLO client.example.org")
            c.starttls()
            assert c.login(ANNA)[0] == 235
            assert c.code(f"MAIL FROM:<{ANNA}>") == "250 2.1.0"
            for to, want in [("a@good.example.net", "250 2.1.5"), ("a@address.example.net", "250 2.1.5"),
                             ("a@typo.example.net", "550 5.1.2"), ("a@null.example.net", "556 5.1.10"),
                             ("a@one.loop.example.net", "250 2.1.5"), ("a@host.inside.example.net", "250 2.1.5"),
                             (BEN, "250 2.1.5"), ("nobody@example.org", "550 5.1.1")]:
                assert c.code(f"RCPT TO:<{to}>") == want, to
        for value, reason, res in [("typo", "recipient domain unknown", "refuse"),
                                   ("null", "recipient null mx", "refuse"), ("one.loop", "no answer", "pass")]:
            i.wait_log(rf'ev=smtp\.check .*user={ANNA} .*check="recipient domain" value={value}\.example\.net '
                       rf'reason="{reason}" res={res}', start=start)
        i.wait_log(r'ev=smtp\.refuse .*code=556 status=5\.1\.10 reason="recipient null mx"', start=start)
        code, said = Sendmail(i).run("-i", "a@typo.example.net", text=b"Subject: s\n\nx\n")
        assert code != 0 and "550 5.1.2" in said


def test_no_resolver_where_nothing_asks(work, slapd, certs):
    i = Instance(work / "none", slapd, certs)
    with i:
        assert i.pids("resolver") == [] and not os.path.exists(i.socket("resolver"))


@pytest.mark.parametrize("line,why", [
    ('smtp { client_ptr = maybe }', "smtp.client_ptr: there is no maybe"),
    ('smtp { recipient_known = yes }', "smtp.recipient_known: there is no yes"),
    ('smtp { dns_failure = refuse }', "smtp.dns_failure: there is no refuse"),
    ('smtp { check_exempt_networks = { "x" } }', 'smtp.check_exempt_networks: "x" is no network'),
    ('dnsbl "zen" { }', 'dnsbl "zen": "zen" is no zone'),
    ('dnsbl "a" { zone = "zen..org" }', '"zen..org" is no zone'),
    ('dnsbl "a.org" { reply = { "127.0.0.300" } }', 'reply "127.0.0.300" is no answer'),
    ('dnswl "a.org" { reply = { "10.0.0.1" } }', 'reply "10.0.0.1" is no answer'),
    ('dnsbl "a.org" { weight = 0 }', "must lie between 1 and 1000"),
])
def test_settings(work, slapd, certs, line, why):
    i = Instance(work / "settings", slapd, certs, settings=line + "\n")
    done = i.command("check", check=False)
    assert done.returncode != 0 and why in done.stdout + done.stderr
