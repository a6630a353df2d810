"""Submission when something is missing or slow: directory, queue, disk, clients; and limits."""
import os
import re
import signal
import subprocess
import time

import pytest

from harness.rawsmtp import Raw, authenticated
from harness.slapd import Slapd

pytestmark = pytest.mark.waits

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
WIM = "wim.devries@example.org"
ROSA = "rosa.delgado@example.org"
MESSAGE = f"From: {ANNA}\r\nSubject: x\r\n\r\nx\r\n."


def test_directory_stopped(make_instance, certs, work):
    with Slapd(work / "slapd-stopped", ca=certs.ca, cert=certs.cert, key=certs.key) as d:
        i = make_instance(slapd=d)
        with authenticated(i, ANNA) as c:
            c.envelope(ANNA)
            d.stop()
            # answers that the service remembers may go on for a while: nobody asked for these
            assert c.code("RCPT TO:<wim.devries@example.org>") == "451 4.4.3"
            assert c.code("RCPT TO:<nobody.at.all@example.org>") == "451 4.4.3"
            assert c.code("RSET") == "250 2.0.0"
            with Raw(i, tls="implicit") as other:
                other.command("EHLO x")
                assert other.login("bilal.haddad@example.org")[0] == 454
            d.start()
            until = time.monotonic() + 180
            while c.code(f"MAIL FROM:<{ANNA}>") != "250 2.1.0":
                c.command("RSET")
                assert time.monotonic() < until
                time.sleep(0.5)
            until = time.monotonic() + 180
            while c.code("RCPT TO:<wim.devries@example.org>") != "250 2.1.5":
                assert time.monotonic() < until
                time.sleep(0.5)


def test_mail_to_known_addresses_goes_on_without_a_directory(make_instance, certs, work):
    """To a mailbox and to an alias, that were asked about a while ago."""
    with Slapd(work / "slapd-outage", ca=certs.ca, cert=certs.cert, key=certs.key) as d:
        i = make_instance(slapd=d, settings="""auth {
	default_domain = "example.org"
	failure_delay = 0
	cache_ttl = 100ms
	cache_negative_ttl = 100ms
}
""")
        def wait(user, count):
            until = time.monotonic() + 60
            while len([p for p in (i.home(user) / "msg").rglob("*") if p.is_file()]) < count:
                assert time.monotonic() < until, (user, count, i.log_text()[-3000:])
                time.sleep(0.05)

        with authenticated(i, ANNA) as c:
            for count in (1, 2):
                for to, member in ((WIM, WIM), ("sales@example.org", ROSA)):
                    c.envelope(ANNA, to)
                    c.code("DATA")
                    assert c.code(MESSAGE) == "250 2.0.0", (count, to)
                    wait(member, count)
                time.sleep(0.2)
                if count == 1:
                    d.stop()


def test_queue_dies_while_a_message_comes(make_instance):
    i = make_instance()
    with authenticated(i, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        c.send(f"From: {ANNA}\r\nSubject: x\r\n\r\n")
        (pid,) = i.pids("queue")
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 180
        while os.path.exists(f"/proc/{pid}"):  # it still has its sockets
            assert time.monotonic() < until
            time.sleep(0.01)
        assert c.code("x\r\n.") == "451 4.3.0"
        until = time.monotonic() + 180
        while c.code(f"MAIL FROM:<{ANNA}>") != "250 2.1.0":
            c.command("RSET")
            assert time.monotonic() < until
            time.sleep(0.2)
        assert c.code(f"RCPT TO:<{BEN}>") == "250 2.1.5"
        assert c.command("DATA")[0] == 354
        assert c.code(MESSAGE) == "250 2.0.0"


def test_no_disk_space(make_instance):
    i = make_instance("queue {\n\treserve = 1000G\n}\n")
    with authenticated(i, ANNA) as c:
        until = time.monotonic() + 180
        while True:
            code = c.code(f"MAIL FROM:<{ANNA}>")
            if code == "452 4.3.1":
                break
            c.command("RSET")
            assert time.monotonic() < until, code
            time.sleep(0.2)


LIMITS = """smtp {
	workers = 1
	message_max = 64K
	header_max = 4K
	recipients_max = 3
	connections_per_address = 2
	login_timeout = 6s
	command_timeout = 5s
	data_timeout = 5s
	errors_max = 3
}
"""


@pytest.fixture(scope="module")
def limited(work, slapd, certs):
    from harness import instance
    i = instance.Instance(work / "limited", slapd, certs, LIMITS)
    i.start()
    yield i
    i.stop()


def test_message_too_large(limited):
    with authenticated(limited, ANNA) as c:
        assert c.code(f"MAIL FROM:<{ANNA}> SIZE=70000") == "552 5.3.4"
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        c.send(f"From: {ANNA}\r\n\r\n".encode() + b"y" * 70000)
        assert c.code("\r\n.") == "552 5.3.4"
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        assert c.code(MESSAGE) == "250 2.0.0"


def test_message_just_below_the_limit_arrives(limited):
    """What the server adds to a message on its way does not make it too large."""
    head = f"From: {ANNA}\r\nSubject: to the brim\r\n\r\n".encode()
    lines = b"y" * 62 + b"\r\n"
    body = lines * ((65536 - len(head)) // len(lines))
    body += b"z" * (65536 - len(head) - len(body) - 2) + b"\r\n"
    before = len(limited.log_text())
    with authenticated(limited, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        c.send(head + body)
        code, lines = c.command(".")
        assert code == 250
    qid = lines[0].split()[-1]
    limited.wait_log(rf"queue\.deliver.*{qid}.*res=ok", start=before)


def test_endless_message_is_cut_off(limited):
    with authenticated(limited, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        try:
            c.send(f"From: {ANNA}\r\n\r\n".encode() + b"y" * 3000000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert c.closed()


def test_recipients_max(limited):
    with authenticated(limited, ANNA) as c:
        c.envelope(ANNA, BEN, "carmen.ortega@example.org", "info@example.org")
        assert c.code("RCPT TO:<press@example.org>") == "452 4.5.3"
        assert c.command("DATA")[0] == 354
        assert c.code(MESSAGE) == "250 2.0.0"


def test_connections_per_address(limited):
    with Raw(limited), Raw(limited), Raw(limited) as third:
        assert third.greeting[0] == 421
    until = time.monotonic() + 180
    while True:
        with Raw(limited) as again:
            if again.greeting[0] == 220:
                break
        assert time.monotonic() < until


def test_errors_max(limited):
    with Raw(limited) as c:
        for _ in range(4):
            assert c.command("FROB")[0] == 500
        assert c.reply()[0] == 421


def test_login_timeout(limited):
    with Raw(limited) as c:
        said = []
        while said[-1:] != [421]:
            assert len(said) < 100 and all(code == 250 for code in said)
            time.sleep(0.4)
            try:
                c.send("NOOP\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass  # its last words are there to be read
            said.append(c.reply()[0])
        assert len(said) > 1


def test_command_timeout(limited):
    with authenticated(limited, ANNA) as c:
        assert c.reply()[0] == 421
        assert c.closed()


def test_silent_client_in_hand_shake(limited):
    with Raw(limited, greet=False) as c:
        assert c.reply()[0] == 220
        c.send("STARTTLS\r\n")
        assert c.reply()[0] == 220
        assert c.closed()


def test_slow_sender(limited):
    """A byte now and then does not keep a message open."""
    with authenticated(limited, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        until = time.monotonic() + 180
        with pytest.raises((BrokenPipeError, ConnectionResetError, OSError)):
            while time.monotonic() < until:
                c.send(b"x")
                time.sleep(0.3)


def test_shutdown_says_421(make_instance):
    i = make_instance()
    with authenticated(i, ANNA) as c:
        (i.process).send_signal(signal.SIGTERM)
        assert c.reply()[0] == 421
        assert c.closed()
    i.process.wait(180)
    i.process = None


def test_sync_comes_before_the_reply(make_instance):
    """The slot is written, synced, queue is told, and only then a byte goes to the client."""
    i = make_instance("smtp {\n\tworkers = 1\n}\n")
    with authenticated(i, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        out = i.dir / "strace"
        (pid,) = i.pids("smtp")
        tracer = subprocess.Popen(["strace", "-f", "-y", "-o", str(out), "-p", str(pid), "-e",
                                   "trace=pwritev,fdatasync,write,writev,sendmsg,sendto"],
                                  stderr=subprocess.PIPE, text=True)
        tracer.stderr.readline()  # "attached"
        time.sleep(0.5)
        assert c.code(MESSAGE) == "250 2.0.0"
        tracer.send_signal(signal.SIGINT)
        tracer.wait(180)
    lines = out.read_text().splitlines()

    def first(*words):
        return next(k for k, line in enumerate(lines) if all(w in line for w in words))

    written = first("pwritev", "/slots/")
    slot = re.search(r"/slots/(\w+)", lines[written]).group(1)
    synced = first("fdatasync(", f"/slots/{slot}>) = 0")
    told = first("sendmsg(", f"{slot}\", iov_len=20")
    answered = first("write(", "<socket:", r'"\27\3\3')  # a TLS record
    assert written < synced < told < answered, "\n".join(lines)
