"""Submission under bad input: order, smuggling, injection, sizes, floods."""
import os
import time
import uuid

import pytest

from harness.rawsmtp import Raw, authenticated, messages_in_spool

ANNA = "anna.berg@example.org"
BEN = "carmen.ortega@example.org"

ORDER = [
    ([f"RCPT TO:<{BEN}>"], "503 5.5.1"),
    (["DATA"], "503 5.5.1"),
    (["BDAT 0 LAST"], "503 5.5.1"),
    ([f"MAIL FROM:<{ANNA}>", f"MAIL FROM:<{ANNA}>"], "503 5.5.1"),
    ([f"MAIL FROM:<{ANNA}>", "DATA"], "503 5.5.1"),
    ([f"MAIL FROM:<{ANNA}>", "RCPT TO:<nobody@example.org>", "DATA"], "554 5.5.1"),
    ([f"MAIL FROM:<{ANNA}>", "RSET", f"RCPT TO:<{BEN}>"], "503 5.5.1"),
    ([f"MAIL FROM:<{ANNA}>", "EHLO again", f"RCPT TO:<{BEN}>"], "503 5.5.1"),
    ([f"MAIL FROM:<{ANNA}>", "AUTH PLAIN AGEAYg=="], "503 5.5.1"),
    (["MAIL FROM:<nobody@elsewhere.org>", f"RCPT TO:<{BEN}>"], "503 5.5.1"),
    (["STARTTLS"], "503 5.5.1"),
    (["EXPN list"], "252 2.5.2"),
    (["VRFY anna"], "252 2.5.2"),
    (["HELP"], "214 2.0.0"),
    (["FROB"], "500 5.5.1"),
    ([""], "500 5.5.1"),
    (["NOOP \x01"], "500 5.5.2"),
    (["NOOP " + "x" * 3000], "500 5.5.6"),
    (["DATA now"], "501 5.5.4"),
    (["MAIL FROM:<a b@example.org>"], "501 5.1.7"),
    (["MAIL FROM:anna@example.org"], "501 5.1.7"),
    ([f"MAIL FROM:<{ANNA}> FOO=BAR"], "555 5.5.4"),
    ([f"MAIL FROM:<{ANNA}> SMTPUTF8=1"], "501 5.5.4"),
    ([f"MAIL FROM:<{ANNA}> SIZE=60000000"], "552 5.3.4"),
    ([f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{BEN}> NOTIFY=NEVER,DELAY"], "501 5.5.4"),
    ([f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{BEN}>", f"BDAT 2\r\nx\n", "DATA"], "503 5.5.1"),
    ([f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{BEN}>", f"BDAT 2\r\nx\n", f"RCPT TO:<{BEN}>"], "503 5.5.1"),
]


@pytest.mark.parametrize("commands,want", ORDER)
def test_order_and_syntax(postroom, commands, want):
    with authenticated(postroom, ANNA) as c:
        got = None
        for command in commands:
            if command.startswith("BDAT 2"):
                c.send(command)
                got = c.reply()[0]
            else:
                got = c.code(command)
        assert got == want
        assert c.code("RSET") == "250 2.0.0"
        c.envelope(ANNA, BEN)  # and the session still works


def test_starttls_injection(postroom):
    """What follows STARTTLS in clear is never run, neither before nor after the hand-shake."""
    with Raw(postroom) as c:
        c.command("EHLO x")
        c.send(b"STARTTLS\r\nNOOP\r\nEHLO injected\r\n")
        assert c.reply()[0] == 220
        assert c.buffer == b""
        c._wrap()
        assert c.code("HELP") == "214 2.0.0"  # the first reply is to the first command in TLS
        assert c.code(f"MAIL FROM:<{ANNA}>") == "503 5.5.1"  # the EHLO of before does not count


# What is not CR LF . CR LF ends nothing (the published variants of SMTP smuggling).
SMUGGLE = {
    "lf.lf": b"\n.\n", "lf.crlf": b"\n.\r\n", "crlf.lf": b"\r\n.\n", "cr.cr": b"\r.\r",
    "cr.crlf": b"\r.\r\n", "crlf.cr": b"\r\n.\r", "lf.cr": b"\n.\r", "cr.lf": b"\r.\n",
    "crcrlf.crcrlf": b"\r\r\n.\r\r\n", "lfcr.lfcr": b"\n\r.\n\r", "crlf..crlf": b"\r\n..\r\n",
    "crlf.space.crlf": b"\r\n. \r\n",
}


def ended(postroom, start):
    """The session that began behind start is over; what comes of the ones before may stand there."""
    sid = postroom.wait_log(r"ev=smtp\.connect sid=(\S+)", start=start)[1]
    postroom.wait_log(rf"ev=smtp\.end sid={sid} ", start=start)


@pytest.mark.parametrize("name", sorted(SMUGGLE))
@pytest.mark.parametrize("cut", [False, True])
def test_smuggling(postroom, name, cut):
    inner = (f"MAIL FROM:<{ANNA}>\r\nRCPT TO:<{BEN}>\r\nDATA\r\n"
             f"From: {ANNA}\r\nSubject: smuggled\r\n\r\nx\r\n").encode()
    start = len(postroom.log_text())
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        data = (f"From: {ANNA}\r\nSubject: outer\r\n\r\nfirst".encode() + SMUGGLE[name] + inner
                + b".\r\nNOOP\r\n")
        if cut:
            for k in range(len(data)):
                c.send(data[k:k + 1])
        else:
            c.send(data)
        code, lines = c.reply()
        assert code == 250 and "queued" in lines[0]
        assert c.reply() == (250, ["2.0.0 Ok"])  # the NOOP, and nothing in between
        assert c.code("QUIT") == "221 2.0.0"
    ended(postroom, start)
    assert postroom.log_text()[start:].count("ev=smtp.accept") == 1


@pytest.mark.parametrize("bad", [b"\n.\n", b"\r.\r", b"\n.\r\n"])
def test_bdat_is_not_ended_by_dots(postroom, bad):
    data = f"From: {ANNA}\r\n\r\nx".encode() + bad + b"\r\n.\r\nNOOP\r\n"
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA, BEN)
        c.send(b"BDAT %d LAST\r\n" % len(data) + data)
        assert "queued" in c.reply()[1][0]
        assert c.code("RSET") == "250 2.0.0"


def test_refused_bdat_is_swallowed(postroom):
    """The bytes of a chunk never become commands, whatever is wrong with it."""
    chunk = f"MAIL FROM:<{ANNA}>\r\nRCPT TO:<{BEN}>\r\nDATA\r\n".encode()
    with authenticated(postroom, ANNA) as c:
        c.send(b"BDAT %d\r\n" % len(chunk) + chunk)
        assert c.reply()[0] == 503
        assert c.code("RSET") == "250 2.0.0"
    with Raw(postroom) as c:
        c.command("EHLO x")
        c.send(b"BDAT %d LAST\r\n" % len(chunk) + chunk + b"NOOP\r\n")
        assert c.reply()[0] == 530
        assert c.reply() == (250, ["2.0.0 Ok"])


def test_nul_is_refused(postroom):
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        c.send(f"From: {ANNA}\r\n\r\na\0b\r\n.\r\n".encode())
        code, lines = c.reply()
        assert (code, lines[0][:5]) == (554, "5.6.0")


def test_header_too_large(postroom):
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        c.send(f"From: {ANNA}\r\n".encode() + b"X-Filler: y\r\n" * 30000 + b"\r\n.\r\n")
        code, lines = c.reply()
        assert (code, lines[0][:5]) == (554, "5.3.4")
        assert c.code("NOOP") == "250 2.0.0"


def test_too_many_hops(postroom):
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        c.send(b"Received: from a by b; now\r\n" * 60 + f"From: {ANNA}\r\n\r\n.\r\n".encode())
        code, lines = c.reply()
        assert (code, lines[0][:5]) == (554, "5.4.6")


def test_large_message_arrives_whole(postroom):
    subject = uuid.uuid4().hex
    body = b"".join(b"%08d " % k + b"z" * 60 + b"\r\n" for k in range(60000))  # 4 MiB
    with authenticated(postroom, "samir.aziz@example.org") as c:
        c.envelope("samir.aziz@example.org", "tove.nilsen@example.org")
        assert c.command("DATA")[0] == 354
        c.send(f"From: samir.aziz@example.org\r\nSubject: {subject}\r\n\r\n".encode() + body
               + b".\r\n")
        assert c.reply()[0] == 250
    got = postroom.wait_messages("tove.nilsen@example.org", 1)
    assert got[0].split(b"\r\n\r\n", 1)[1] == body


def test_pipelined_flood(postroom):
    with authenticated(postroom, ANNA) as c:
        c.send(b"NOOP\r\n" * 5000)
        for _ in range(5000):
            assert c.reply()[0] == 250


def test_whole_session_in_one_packet(postroom):
    message = f"From: {ANNA}\r\nSubject: one packet\r\n\r\nx\r\n.\r\n"
    one = f"MAIL FROM:<{ANNA}>\r\nRCPT TO:<{BEN}>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n"
    with authenticated(postroom, ANNA) as c:
        c.send((one + message) * 3 + "QUIT\r\n")
        codes = [c.reply()[0] for _ in range(16)]
        assert codes == [250, 250, 550, 354, 250] * 3 + [221]
        assert c.closed()


def test_client_that_hangs_up_behind_its_message(postroom):
    """The end of input behind a whole message does not lose it: it was acknowledged to nobody, but
    the reply is tried, and the message is there once."""
    start = len(postroom.log_text())
    with authenticated(postroom, ANNA) as c:
        c.send(f"MAIL FROM:<{ANNA}>\r\nRCPT TO:<{BEN}>\r\nDATA\r\nFrom: {ANNA}\r\n\r\nx\r\n.\r\n")
        assert [c.reply()[0] for _ in range(4)] == [250, 250, 354, 250]
    postroom.wait_log(r"ev=smtp\.accept", start=start)


def test_garbage_flood_ends(postroom):
    with Raw(postroom) as c:
        try:
            c.send(os.urandom(200000).replace(b"\0", b"x") + b"\n" * 1000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert c.closed()
    with Raw(postroom) as c:
        for _ in range(21):
            assert c.command("FROB")[0] == 500
        assert c.reply()[0] == 421
        assert c.closed()


def test_long_line_without_end(postroom):
    with Raw(postroom) as c:
        c.send(b"x" * 300000)
        assert c.reply()[0] == 500
        c.send(b"\r\n")
        assert c.code("NOOP") == "250 2.0.0"


def test_interrupted_data_is_not_stored(postroom):
    start = len(postroom.log_text())
    with authenticated(postroom, ANNA) as c:
        c.envelope(ANNA, BEN)
        assert c.command("DATA")[0] == 354
        c.send(f"From: {ANNA}\r\nSubject: half\r\n\r\n".encode() + b"x" * 100000)
    ended(postroom, start)
    assert "ev=smtp.accept" not in postroom.log_text()[start:]


def test_refused_messages_leave_nothing_in_the_spool(postroom):
    until = time.monotonic() + 180
    while messages_in_spool(postroom):  # what earlier tests sent goes out first
        assert time.monotonic() < until
        time.sleep(0.1)
    with authenticated(postroom, ANNA) as c:
        for header in ("From: x@elsewhere.org\r\n", "Subject: none\r\n"):
            c.envelope(ANNA, BEN)
            assert c.command("DATA")[0] == 354
            assert c.command(header + "\r\nx\r\n.")[0] in (550, 554)
    assert messages_in_spool(postroom) == []
