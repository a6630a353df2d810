"""IMAP after login under bad input: sizes, floods, names, sets, slow and vanishing clients. After each test
the server is the same processes as before, another session was answered in time all the while, and the
store checks clean."""
import random
import re
import socket
import ssl
import struct
import threading
import time

import pytest

from harness.instance import Instance, password_of
from harness.rawimap import RawImap

BAD = "liam.byrne@example.org"
GOOD = "mei.zhang@example.org"
MANY = "bilal.haddad@example.org"
# another session's NOOP on a machine that also runs sanitizers and the rest of the suite
IN_TIME = 120.0  # not: for ever
MIB = 1 << 20


def login(postroom, certs, user, timeout=180):
    c = RawImap("127.0.0.1", postroom.imaps_port, certs.context(), timeout=timeout)
    assert c.ask(f"LOGIN {user} {password_of(user)}")[0].startswith("OK")
    return c


@pytest.fixture(scope="module")
def postroom(work, slapd, certs):
    """One worker, so that its other sessions would be disturbed; short limits."""
    i = Instance(work / "postroom", slapd, certs,
                 settings="imap {\n\tworkers = 1\n\twrite_timeout = 6s\n\tmessage_max = 4M\n}\n")
    i.start()
    yield i
    i.stop()


class Neighbour(threading.Thread):
    """A session of the same user that asks NOOP again and again and remembers the longest wait."""

    def __init__(self, postroom, certs, user):
        super().__init__(daemon=True)
        self.c = login(postroom, certs, user)
        self.done = threading.Event()
        self.worst, self.count, self.error = 0.0, 0, None

    def run(self):
        try:
            while not self.done.is_set():
                begin = time.monotonic()
                text = self.c.ask("NOOP")[0]
                assert text.startswith("OK"), text
                self.worst = max(self.worst, time.monotonic() - begin)
                self.count += 1
                time.sleep(0.02)
        except Exception as e:  # noqa: BLE001 - told by the test's thread
            self.error = e

    def stop(self):
        self.done.set()
        self.join(180)
        self.c.sock.close()


@pytest.fixture(autouse=True)
def unharmed(postroom, certs):
    pids = {r: sorted(postroom.pids(r)) for r in ("gate", "imap")}
    neighbour = Neighbour(postroom, certs, BAD)
    neighbour.start()
    yield neighbour
    neighbour.stop()
    assert neighbour.error is None, neighbour.error
    assert neighbour.count > 0 and neighbour.worst < IN_TIME, neighbour.worst
    assert {r: sorted(postroom.pids(r)) for r in ("gate", "imap")} == pids
    with login(postroom, certs, GOOD) as c:
        assert c.ask("SELECT INBOX")[0].startswith("OK")
    for user in (BAD, GOOD):
        done = postroom.command("store", "check", user)
        assert " 0 problems" in done.stdout, done.stdout


@pytest.fixture
def bad(postroom, certs):
    with login(postroom, certs, BAD) as c:
        yield c


def still_works(c):
    assert c.ask("NOOP", tag="works")[0].startswith("OK")


# sizes

REFUSED = [
    ("APPEND INBOX {4194305}", "NO [TOOBIG]"),
    ("APPEND INBOX (\\Seen) {99999999999}", "NO [TOOBIG]"),
    ("APPEND INBOX {9223372036854775807}", "NO [TOOBIG]"),
    ("APPEND INBOX {99999999999999999999}", "NO [TOOBIG]"),
    ("APPEND {70000}", "BAD [LIMIT]"),
    ("SELECT {70000}", "BAD [LIMIT]"),
    ("SELECT {99999999999999999999}", "BAD [LIMIT]"),
    ("SEARCH TEXT {4294967296}", "BAD [LIMIT]"),
    ("SEARCH SUBJECT {65000}", "+"),
    ("APPEND INBOX (\\Nonsense) {5}", "BAD"),
    ("APPEND INBOX () \"1-Foo-2026 00:00:00 +0000\" {5}", "BAD"),
    ("UID REPLACE x INBOX {5}", "BAD"),
]


def test_literals_are_refused_before_they_are_sent(bad):
    for command, want in REFUSED:
        bad.send(f"a {command}\r\n")
        line = bad.line()
        assert line.startswith(want if want == "+" else f"a {want}"), (command, line)
        if want == "+":
            bad.send(b"x" * 65000 + b"\r\n")
            assert bad.until("a")[-1].startswith(("a OK", "a BAD No mailbox"))
        still_works(bad)


@pytest.mark.parametrize("command,size,want", [
    ("SELECT", 70000, "BAD [LIMIT]"),
    ("SEARCH CHARSET UTF-8 TEXT", 7 * MIB, "BAD [LIMIT]"),
    ("APPEND INBOX", 5 * MIB, "NO [TOOBIG]"),
])
def test_a_literal_that_comes_unasked_is_swallowed(bad, command, size, want):
    bad.send(b"a %s {%d+}\r\n" % (command.encode(), size))
    for _ in range(size // MIB):
        bad.send(b"x NOOP\r\n" * (MIB // 8))
    bad.send(b"y" * (size % MIB) + b"\r\n")
    lines = bad.until("a")
    assert len(lines) == 1 and lines[0].startswith(f"a {want}"), lines
    still_works(bad)


def test_what_is_more_than_can_be_swallowed_ends_the_session(bad):
    # twice message_max, and a little: Python's TLS reads nothing any more once a write failed
    bad.send(b"a SELECT {999999999+}\r\n")
    for _ in range((8 << 20) // 65536 + 1):
        bad.send(b"x" * 65536)
    assert bad.line().startswith("* BYE")
    with pytest.raises((EOFError, OSError)):
        bad.line()


def test_a_line_without_end(bad):
    bad.send(b"a NOOP " + b"x" * 3000000)
    bad.send(b"\r\n")
    assert bad.line().startswith("a BAD [LIMIT]")
    still_works(bad)


# floods

def test_many_commands_at_once(bad):
    n = 20000
    bad.send_reading(b"n NOOP\r\n" * n)
    for _ in range(n):
        assert bad.line().startswith("n OK")
    still_works(bad)


FLOODS = [
    "SEARCH " + "(" * 30000,
    "SEARCH " + "(" * 2000 + "ALL" + ")" * 2000,
    "SEARCH " + "NOT " * 12000 + "ALL",
    "SEARCH " + "OR ALL " * 8000 + "ALL",
    "SEARCH " + " ".join(["ALL"] * 10000),
    "FETCH 1 (" + "(" * 30000,
    "FETCH 1 BODY[" + "1." * 20000 + "MIME]",
    "FETCH 1 (" + " ".join(["BODY[HEADER]"] * 4000) + ")",
    "FETCH 1 BODY[HEADER.FIELDS (" + " ".join(["X"] * 20000) + ")]",
    "LIST \"\" " + "%*" * 20000,
    "LIST (" * 8000,
    "ID (" + "\"a\" \"b\" " * 5000 + "\"a\" \"b\")",
    "ENABLE " + " ".join(["X"] * 20000),
    "STATUS INBOX (" + " ".join(["MESSAGES"] * 5000) + ")",
    "FETCH " + ",".join(str(n) for n in range(1, 25000, 2)) + " FLAGS",
    "FETCH " + ",".join(["*:1"] * 12000) + " FLAGS",
]


def test_floods_in_one_command(bad):
    """Answered, with whatever, although it would be a deep or a long walk."""
    bad.ask("SELECT INBOX")
    for command in FLOODS:
        text = bad.ask(command)[0]
        assert text.startswith(("BAD", "NO", "OK")), (command[:60], text)
        still_works(bad)


def test_empty_literals_without_end(bad):
    """Each is a line of the command: there is a limit for all of them together."""
    bad.send(b"a SEARCH" + b" SUBJECT {0+}\r\n" * 20000 + b"\r\n")
    text = bad.until("a")[-1]
    assert text.startswith("a BAD"), text
    still_works(bad)


def test_continuations_without_end(bad):
    """The same with a question each time."""
    bad.send(b"a SEARCH")
    text = "+"
    for _ in range(6000):
        bad.send(b" NOT" * 20 + b" SUBJECT {0}\r\n")
        text = bad.line()
        if not text.startswith("+"):
            break
    assert text.startswith("a BAD"), text
    still_works(bad)


# sets and numbers

NUMBERS = [
    ("FETCH 1, FLAGS", "BAD"),
    ("FETCH ,1 FLAGS", "BAD"),
    ("FETCH 1,,1 FLAGS", "BAD"),
    ("FETCH 1: FLAGS", "BAD"),
    ("FETCH :1 FLAGS", "BAD"),
    ("FETCH 1:1:1 FLAGS", "BAD"),
    ("FETCH 0 FLAGS", "BAD"),
    ("FETCH 0:* FLAGS", "BAD"),
    ("FETCH -1 FLAGS", "BAD"),
    ("FETCH +1 FLAGS", "BAD"),
    ("FETCH 01 FLAGS", "OK"),
    ("FETCH *:* FLAGS", "OK"),
    ("FETCH *:1 FLAGS", "OK"),
    ("FETCH ** FLAGS", "BAD"),
    ("FETCH 4294967295 FLAGS", "BAD"),
    ("FETCH 4294967296 FLAGS", "BAD"),
    ("FETCH 18446744073709551617 FLAGS", "BAD"),
    ("FETCH 99999999999999999999 FLAGS", "BAD"),
    ("FETCH 1:99999999999999999999 FLAGS", "BAD"),
    ("UID FETCH 99999999999999999999 FLAGS", "BAD"),
    ("UID FETCH 4294967295 FLAGS", "OK"),
    ("UID FETCH 4294967295:* FLAGS", "OK"),
    ("UID FETCH 0 FLAGS", "BAD"),
    ("UID FETCH 1:4294967295 FLAGS", "OK"),
    ("FETCH 1 BODY[0]", "BAD"),
    ("FETCH 1 BODY[1.0]", "BAD"),
    ("FETCH 1 BODY[99999999999999999999]", "BAD"),
    ("FETCH 1 BODY[4294967295]", "OK"),
    ("FETCH 1 BODY[]<0.0>", "BAD"),
    ("FETCH 1 BODY[]<99999999999999999999.1>", "BAD"),
    ("FETCH 1 BODY.PEEK[]<9223372036854775807.9223372036854775807>", "OK"),
    ("FETCH 1 BODY[]<-1.5>", "BAD"),
    ("SEARCH LARGER 99999999999999999999", "BAD"),
    ("SEARCH LARGER 9223372036854775807", "OK"),
    ("SEARCH LARGER -1", "BAD"),
    ("SEARCH UID 1,", "BAD"),
    ("SEARCH SINCE 32-Jan-2024", "BAD"),
    ("SEARCH SINCE 29-Feb-2023", "BAD"),
    ("SEARCH SINCE 1-Jan-99999", "BAD"),
    ("STORE 0 FLAGS ()", "BAD"),
    ("STORE 1, FLAGS ()", "BAD"),
    ("STORE 1 FLAGS (\\Recent)", "BAD"),
    ("STORE 1 FLAGS (\\Made\\Up)", "BAD"),
    ("COPY 1, INBOX", "BAD"),
    ("UID EXPUNGE 0", "BAD"),
    ("MOVE 99999999999999999999 Trash", "BAD"),
    ("FETCH 1 RFC822.SIZE FLAGS", "BAD"),
    ("FETCH 1 ()", "BAD"),
    ("UID UID FETCH 1 FLAGS", "BAD"),
    ("UID NOOP", "BAD"),
]


def test_sets_and_numbers(bad):
    bad.ask("CREATE numbers")
    assert bad.ask("APPEND numbers {2+}\r\nhi")[0].startswith("OK")
    assert bad.ask("SELECT numbers")[0].startswith("OK")
    for command, want in NUMBERS:
        text, lines = bad.ask(command)
        assert text.startswith(want), (command, text, lines)
        still_works(bad)


# names

ODD = [bytes([n]) for n in range(1, 256)]


def test_mailbox_names_with_every_odd_byte(bad):
    """Each is made or refused; what was made is listed, in a form that opens it again, and leads
    nowhere but into this home."""
    made = 0
    for byte in ODD:
        for name in (b"odd" + byte + b"x", byte, b"odd/" + byte):
            bad.send(b"c CREATE {%d+}\r\n" % len(name) + name + b"\r\n")
            text = bad.until("c")[-1]
            assert text.startswith(("c OK", "c NO", "c BAD")), (name, text)
            if text.startswith("c OK"):
                made += 1
                bad.send(b"s STATUS {%d+}\r\n" % len(name) + name + b" (MESSAGES)\r\n")
                assert bad.until("s")[-1].startswith("s OK"), name
            if not 0x20 <= byte[0] < 0x7f:
                # neither control characters nor what is no modified UTF-7
                assert not text.startswith("c OK"), name
    assert made > 150
    lines = bad.ask('LIST "" "odd*"')[1]
    names = [re.search(r'"/" (.*)$', x)[1] for x in lines if "\\Noselect" not in x]
    assert len(names) >= 80
    for name in names:
        assert bad.ask(f"STATUS {name} (MESSAGES)")[0].startswith("OK"), name
        assert bad.ask(f"DELETE {name}")[0].startswith(("OK", "NO")), name


ELSEWHERE = [
    "../../etc/passwd", "/etc/passwd", "a//b", "a/", "..", ".", "a/../b", "INBOX/../../x",
    "&", "&&", "&AGE", "&AGE-", "&2AA-", "&3gA-", "&AAA-", "&AC8-", "x" * 2000, "a/" * 300 + "a",
]


def test_mailbox_names_that_lead_elsewhere(bad, postroom):
    for name in ELSEWHERE:
        lead_elsewhere(bad, postroom, name)
    still_works(bad)


def lead_elsewhere(bad, postroom, name):
    before = sorted(p.name for p in postroom.home(BAD).iterdir())
    for command in (f'CREATE "{name}"', f'SELECT "{name}"', f'RENAME INBOX "{name}"',
                    f'APPEND "{name}" {{2+}}\r\nhi', f'LIST "" "{name}"', f'SUBSCRIBE "{name}"'):
        assert bad.ask(command)[0].startswith(("OK", "NO", "BAD")), command
    assert sorted(p.name for p in postroom.home(BAD).iterdir()) == before
    bad.ask(f'UNSUBSCRIBE "{name}"')
    if bad.ask(f'STATUS "{name}" (MESSAGES)')[0].startswith("OK"):
        bad.ask(f'RENAME "{name}" back')
        bad.ask("DELETE back")


# many

def test_keywords_have_a_limit(bad):
    bad.ask("CREATE keywords")
    bad.ask("APPEND keywords {2+}\r\nhi")
    assert bad.ask("SELECT keywords")[0].startswith("OK")
    texts = [bad.ask(f"STORE 1 +FLAGS (kw{n})")[0] for n in range(200)]
    refused = [n for n, t in enumerate(texts) if not t.startswith("OK")]
    assert refused and refused[0] >= 60, texts
    assert all(texts[n].startswith("NO [LIMIT]") for n in refused), texts[refused[0]]
    assert refused == list(range(refused[0], 200))
    # those that are there can be used, APPEND and COPY are told the same
    assert bad.ask("STORE 1 FLAGS (kw0 kw1)")[0].startswith("OK")
    assert bad.ask("APPEND keywords (more) {2+}\r\nhi")[0].startswith("NO [LIMIT]")
    assert bad.ask("STORE 1 FLAGS (" + " ".join(f"z{n}" for n in range(5000)) + ")")[0].startswith(
        ("NO [LIMIT]", "BAD"))
    assert bad.ask("STORE 1 FLAGS (" + "k" * 5000 + ")")[0].startswith(("NO", "BAD"))
    lines = bad.ask("FETCH 1 FLAGS")[1]
    assert lines == ["* 1 FETCH (FLAGS (kw0 kw1))"] or "kw0 kw1" in lines[-1], lines


def test_thousands_of_mailboxes(postroom, certs):
    """They stay: their owner is nobody else's, so that the tests behind this one check less."""
    n = 500
    with login(postroom, certs, MANY) as c:
        c.send("".join(f"m CREATE many/{k}/x/y/z\r\n" for k in range(n)))
        texts = [c.until("m")[-1] for _ in range(n)]
        assert all(t.startswith("m OK") for t in texts), texts[-1]
        assert len(c.ask('LIST "" "many/%"')[1]) == n
        assert len(c.ask('LIST "" "many/*"')[1]) == 4 * n
        for k in range(0, n, 100):
            assert c.ask(f"DELETE many/{k}/x/y/z")[0].startswith("OK")
        assert len(c.ask('LIST "" "many/%/x/y/z"')[1]) == n - n // 100
        still_works(c)
    done = postroom.command("store", "check", MANY)
    assert " 0 problems" in done.stdout, done.stdout


# clients that are slow or go away

def leftovers(postroom, user):
    return list((postroom.home(user) / "tmp").iterdir())


VANISHING = [
    b"a APPEND INBOX (\\Seen) {2000000+}\r\n",
    b"a APPEND INBOX {5+}\r\nhello (\\Seen) {2000000+}\r\n",
    b"a APPEND INBOX CATENATE (TEXT {5+}\r\nhello TEXT {2000000+}\r\n",
    b"a UID REPLACE 1 INBOX {2000000+}\r\n",
]


@pytest.mark.parametrize("start", VANISHING)
def test_a_client_that_vanishes_during_append(postroom, bad, certs, start):
    if b"REPLACE" in start:
        assert bad.ask("APPEND INBOX {2+}\r\nhi")[0].startswith("OK")
    for part, how in ((0, "close"), (1, "reset"), (70000, "close"), (1_999_999, "reset"), (2_000_000, "close")):
        vanish(postroom, bad, certs, start + b"x" * part, how)


def vanish(postroom, bad, certs, data, how):
    exists = [x for x in bad.ask("EXAMINE INBOX")[1] if x.endswith("EXISTS")]
    with login(postroom, certs, BAD) as c:
        assert c.ask("SELECT INBOX")[0].startswith("OK")
        c.send(data)
        if how == "reset":
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.sock.close()
    until = time.monotonic() + 180
    while leftovers(postroom, BAD):
        assert time.monotonic() < until, leftovers(postroom, BAD)
        time.sleep(0.05)
    assert [x for x in bad.ask("EXAMINE INBOX")[1] if x.endswith("EXISTS")] == exists


def test_a_slow_sender_is_served(bad):
    """An octet at a time, for longer than write_timeout allows a pause."""
    bad.ask("CREATE slow")
    for octet in b"s APPEND slow (\\Seen) {12+}\r\nSubject: a\r\n\r\n":
        bad.send(bytes([octet]))
        time.sleep(0.16)
    assert bad.until("s")[-1].startswith("s OK")
    bad.ask("DELETE slow")


STOPS = (b"a SEL", b"a SELECT {10}\r\nabc", b"a SELECT {10+}\r\nabc", b"a APPEND INBOX {1000}\r\nabc",
         b"a SELECT {1000000+}\r\nabc")


def test_clients_that_stop_are_sent_away(postroom, certs, bad):
    """In the middle of a command, of a literal and of a message: write_timeout (6 s here) without an
    octet, then BYE; and nothing stays. Nor does one stay that reads nothing of what it asked for."""
    message = b"x" * (2 * MIB)
    bad.ask("CREATE unread")
    bad.send(b"a APPEND unread {%d+}\r\n" % len(message) + message + b"\r\n")
    assert bad.until("a")[-1].startswith("a OK")
    start = len(postroom.log_text())
    deaf = login(postroom, certs, BAD)
    assert deaf.ask("SELECT unread")[0].startswith("OK")
    deaf.send(b"f FETCH 1 BODY.PEEK[]\r\n" * 30)
    clients = []
    for what in STOPS:
        clients.append(login(postroom, certs, BAD))
        clients[-1].send(what)
    for c in clients:
        hears_bye(c)
    until = time.monotonic() + 180
    while leftovers(postroom, BAD):
        assert time.monotonic() < until
        time.sleep(0.05)
    postroom.wait_log(r"ev=(imap\.drop|gate\.\w+) .*(reads nothing|stuck|write)", timeout=180, start=start)
    deaf.sock.close()
    bad.ask("DELETE unread")


def hears_bye(c):
    c.sock.settimeout(180)
    line = c.line()
    while not line.startswith("* BYE"):
        assert line.startswith("+"), line
        line = c.line()
    with pytest.raises((EOFError, ConnectionError, ssl.SSLError)):
        c.line()
    c.sock.close()


def test_what_stands_behind_starttls_in_clear_is_never_run(postroom, certs):
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        c.send(b"a STARTTLS\r\nb LOGIN %s %s\r\nc CREATE injected\r\n"
               % (BAD.encode(), password_of(BAD).encode()))
        assert c.line().startswith("a OK")
        assert c.buffer == b""
        try:
            c.starttls(certs.context())
            text = c.ask("CAPABILITY", tag="d")[0]
            assert text.startswith("OK")
        except OSError:
            pass  # to hang up is allowed too
    with login(postroom, certs, BAD) as c:
        assert c.ask('LIST "" injected')[1] == []
        assert c.ask("STARTTLS")[0].startswith("BAD")


def test_noise(postroom, certs):
    """Bytes of all kinds, and commands with a few bytes changed: the session goes on or is ended
    with BYE."""
    r = random.Random(4)
    commands = [b"SELECT INBOX", b"FETCH 1:* (FLAGS BODY[HEADER.FIELDS (FROM)]<0.9>)", b"SEARCH OR NOT SEEN 1:*",
                b"APPEND INBOX (\\Seen) {3+}\r\nabc", b'LIST "" {1+}\r\n*', b"STORE 1 +FLAGS.SILENT (a)",
                b"UID SEARCH CHARSET UTF-8 SUBJECT \"x\"", b"IDLE", b"DONE", b"STATUS INBOX (UNSEEN)"]
    for _ in range(30):
        with login(postroom, certs, BAD) as c:
            data = b""
            for k in range(30):
                line = bytearray(b"t%d " % k + r.choice(commands) + b"\r\n")
                for _ in range(r.randrange(4)):
                    line[r.randrange(len(line))] = r.randrange(256)
                data += bytes(line)
            try:
                c.send(data + b"\r\nz LOGOUT\r\n")
                c.sock.settimeout(180)
                while not c.line().startswith(("z OK", "* BYE")):
                    pass
            except (EOFError, TimeoutError, OSError):
                pass  # a literal took what came behind it, or BYE went under
