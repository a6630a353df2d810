"""Limits per minute and the checks of other servers' behaviour, over all workers, as they are set
by default; floods and slow senders."""
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

from harness.instance import Instance
from harness.ports import free_ports
from harness.rawsmtp import Raw, authenticated
from harness.ready import readable

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
FAR = "sender@far.example.net"


@pytest.fixture(scope="module")
def mx(work, slapd, certs):
    port, = free_ports(1)
    i = Instance(work / "limits", slapd, certs, settings=f"""
smtp {{
	workers = 2
	postmaster = "{ANNA}"
	errors_max = 15
	messages_per_minute = 5
	errors_per_minute = 30
	user_messages_per_minute = 4
	greet_delay = 300ms
	command_timeout = 5s
	data_timeout = 5s
}}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = starttls }}
""")
    i.mx_port = port
    i.start()
    yield i
    i.stop()


def far(i):
    c = Raw(i, port=i.mx_port)
    c.command("EHLO far.example.net")
    return c


@pytest.fixture(scope="module")
def balanced(work, slapd, certs):
    port, = free_ports(1)
    i = Instance(work / "balanced", slapd, certs, settings=f"""
smtp {{
	postmaster = "{ANNA}"
	proxy_networks = {{ "127.0.0.0/8" }}
}}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = starttls }}
""")
    i.mx_port = port
    i.start()
    yield i
    i.stop()


@pytest.mark.parametrize("version,family,client", [
    (1, "TCP4", "203.0.113.9"), (1, "TCP6", "2001:db8::9"), (2, "AF_INET", "203.0.113.9")])
def test_swaks_behind_a_balancer(balanced, version, family, client):
    start = len(balanced.log_text())
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(balanced.mx_port), "--ehlo",
         "far.example.net", "--tls", "--from", FAR, "--to", BEN, "--proxy-version", str(version),
         "--proxy-family", family, "--proxy-source", client, "--proxy-source-port", "4711",
         "--proxy-dest", client, "--proxy-dest-port", "25"],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    balanced.wait_log(rf"ev=smtp\.connect .*peer={client} ", start=start)


def test_handshake_right_behind_the_header(balanced):
    """Balancers send the header and the first of TLS in one piece."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = balanced.certs.context().wrap_bio(into, out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection(("127.0.0.1", balanced.submissions_port), timeout=180) as s:
        s.sendall(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 465\r\n" + out.read())
        greeting = None
        while not greeting:
            into.write(s.recv(65536))
            try:
                if not tls.version():
                    tls.do_handshake()
                    s.sendall(out.read())
                greeting = tls.read(1000)
            except ssl.SSLWantReadError:
                s.sendall(out.read())
        assert greeting.startswith(b"220 ")


def test_no_header_no_greeting(balanced):
    with Raw(balanced, port=balanced.mx_port, greet=False) as c:
        c.send("EHLO far.example.net\r\n")
        assert c.closed()


def test_early_talker(mx):
    for _ in range(5):  # on a busy machine "early" may be too late
        with Raw(mx, port=mx.mx_port, greet=False) as c:
            c.send("EHLO far.example.net\r\n")
            code, lines = c.reply()
            if code == 220:
                continue
            assert lines[0].startswith("5.5.0 ")
            assert c.closed()
            break
    mx.wait_log("reason=\"?early talker")


def test_pipelined_data(mx):
    with far(mx) as c:
        c.send(f"MAIL FROM:<{FAR}>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n"
               f"MAIL FROM:<{ANNA}>\r\nRCPT TO:<{BEN}>\r\nDATA\r\nSubject: in\r\n\r\n.\r\n")
        assert [c.reply()[0] for _ in range(3)] == [250, 550, 554]
        assert c.closed()


def test_sender_without_domain(mx):
    with far(mx) as c:
        assert c.code("MAIL FROM:<root@localhost>") == "504 5.5.2"
        assert c.code(f"MAIL FROM:<{FAR}>") == "250 2.1.0"


def test_slow_sender(mx):
    """A dribble is no progress: neither a line nor a message may take for ever."""
    with far(mx) as c:
        begin = time.monotonic()
        while not readable([c.sock], 0.3):
            assert time.monotonic() - begin < 60
            c.send("M")
        assert c.reply()[1][0].startswith("4.4.2 ")
    with Raw(mx, port=mx.mx_port) as c:  # … nor silence
        assert c.reply()[1][0].startswith("4.4.2 ")


def test_silent_handshake_ends(mx):
    """Who connects to the port for TLS and says nothing does not stay."""
    with socket.create_connection(("127.0.0.1", mx.submissions_port), timeout=180) as s:
        assert s.recv(1) == b""


def test_messages_per_minute(mx):
    """In both workers together."""
    got, begin = [], time.monotonic()
    while got[-1:] != ["450 4.7.1"] and time.monotonic() - begin < 60:
        with far(mx) as c:
            got.append(c.code(f"MAIL FROM:<{FAR}>"))
    most = 5 + (time.monotonic() - begin) / 12  # the tests above began two
    assert 3 <= got.count("250 2.1.0") <= most and got[-1] == "450 4.7.1", got


def test_messages_of_a_user_per_minute(mx):
    got, begin = [], time.monotonic()
    while got[-1:] != ["450 4.7.1"] and time.monotonic() - begin < 60:
        with authenticated(mx, ANNA) as c:
            got.append(c.code(f"MAIL FROM:<{ANNA}>"))
    most = 4 + (time.monotonic() - begin) / 15
    assert 4 <= got.count("250 2.1.0") <= most and got[-1] == "450 4.7.1", got


def test_refusals_per_minute(mx):
    """Harvesting addresses ends: at first one connection, then the address."""
    for begun in range(10):  # a busy machine gives back some of the minute's meanwhile
        with Raw(mx, port=mx.mx_port, greet=False) as c:
            greeting = c.reply()
            if greeting[0] == 421:
                assert greeting[1] == ["4.7.0 Too many errors, closing connection"]
                assert c.closed()
                break
            codes = []
            while codes[-1:] != [421]:
                codes.append(c.command("FROB")[0] if len(codes) < 16 else c.reply()[0])
            assert len(codes) > 5
    assert begun >= 2 and greeting[0] == 421


def test_reload(work, slapd, certs):
    """Networks and limits are the new ones."""
    (port,) = free_ports(1)
    text = (f'listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} }}\noutbound {{ enabled = yes }}\n'
            'smtp {\n\tpostmaster = "anna.berg@example.org" %s\n}\n')
    with Instance(work / "reload", slapd, certs, settings=text % "") as i:
        def answers():
            with smtplib.SMTP("127.0.0.1", port, "far.example.net", timeout=120) as c:
                c.ehlo()
                return c.docmd("MAIL", "FROM:<x@far.example.net>")[0], c.docmd("RCPT", "TO:<otto@far.example.com>")[0]

        def after(more):
            start = len(i.log_text())
            i.write_conf(text % more)
            i.reload()
            workers = len(i.pids("smtp"))
            until = time.monotonic() + 180
            while i.log_text()[start:].count("ev=smtp.reload res=ok") < workers:
                assert time.monotonic() < until, i.log_text()[start:]
                time.sleep(0.05)
            return answers()
        assert answers() == (250, 550)
        assert after('relay_networks = { "127.0.0.0/8" }') == (250, 250)
        assert after('relay_networks = { "192.0.2.0/24" }') == (250, 550)
        assert (450, 503) in (after("messages_per_minute = 1"), answers(), answers())
