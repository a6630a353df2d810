"""One session works through 100,000 messages, and another on the same worker does not notice: the
p99 of its NOOP stays under 20 ms; where the machine needs more than 2 for NOOPs beside nothing, it
is answered many times while one command runs. Slow readers cost bounded memory."""
import os
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from harness import instance as instance_module
from harness.instance import Instance, password_of
from harness.rawimap import RawImap
from harness.ready import readable

pytestmark = pytest.mark.alone

# sanitizers make everything slower: the time is a promise of the optimized build
PLAIN = os.environ.get("POSTROOM_BUILD_PLAIN")
MESSAGES = 100_000 if PLAIN else 5_000
P99_MS = 20 if PLAIN else 200
MANY = 5
USER, OTHER = "anna.berg", "bilal.haddad"
IDLERS = 50
LARGE = 50 * 1024 * 1024 - 1000  # what imap.message_max allows


def message(n, size):
    text = (f"From: Person {n % 17} <p{n % 17}@example.org>\r\nTo: anna.berg@example.org\r\n"
            f"Subject: {'Re: ' if n % 3 else ''}plan {n % 11}\r\n"
            f"Date: {n % 28 + 1} Nov 2026 08:00:00 +0100\r\nMessage-ID: <{n}@example.org>\r\n"
            f"In-Reply-To: <{n - n % 3}@example.org>\r\n\r\n").encode()
    line = b"The quick brown fox number %05d jumps over the lazy dog and writes mail.\r\n" % n
    return text + line * (size // len(line))


def use_build(i, folder):
    i.build = Path(folder).resolve()
    for link in (i.dir / "libexec").glob("*"):
        link.unlink()
    i.libexec()


@pytest.fixture(scope="module")
def undisturbed():
    """What else runs on the machine shall not be measured: this session goes before all others."""
    group = Path("/proc/self/autogroup")
    try:
        group.write_text("-20")
    except OSError:
        yield
        return
    yield
    group.write_text("0")


@pytest.fixture(scope="module")
def fair(slapd, certs, undisturbed):
    d = instance_module.temp_dir()
    i = Instance(d, slapd, certs, settings="imap {\n\tworkers = 1\n\tgate_workers = 1\n}\n"
                 "log {\n\tlevel = info\n\tfile = \"" + str(d / "log") + "\"\n}\n")
    if PLAIN:
        use_build(i, PLAIN)
    i.start()
    fill(i)
    yield i
    i.stop()
    instance_module.remove(d)


def connect(i, user, select=True):
    c = RawImap("127.0.0.1", i.imap_port, timeout=120)
    assert c.ask(f"LOGIN {user} {password_of(user)}")[0].startswith("OK")
    if select:
        assert c.ask("SELECT INBOX")[0].startswith("OK")
    return c


def append(c, body, mailbox="INBOX"):
    c.send(f"a APPEND {mailbox} {{{len(body)}+}}\r\n".encode() + body + b"\r\n")
    assert c.until("a")[-1].startswith("a OK")


def fill(i):
    """By APPEND and COPY into itself: many entries, few files."""
    c = connect(i, USER, False)
    for n in range(100):
        append(c, message(n, 2000 + n * 300))
    c.ask("SELECT INBOX")
    have = 100
    while have < MESSAGES:
        more = min(have, MESSAGES - have)
        assert c.ask(f"COPY 1:{more} INBOX")[0].startswith("OK")
        have += more
    c.ask("CREATE Large")
    append(c, message(1, LARGE), "Large")
    c.ask("LOGOUT")


class Nooper(threading.Thread):
    """NOOP again and again; the times in ms."""

    def __init__(self, i, user):
        super().__init__()
        self.c = connect(i, user)
        self.times, self.over = [], False

    def run(self):
        while not self.over:
            began = time.perf_counter()
            self.c.send("n NOOP\r\n")
            while b"n OK" not in self.c.buffer:
                self.c.buffer += self.c.sock.recv(65536)
            self.c.buffer.clear()
            self.times.append((time.perf_counter() - began) * 1000)
            time.sleep(0.001)

    def p99(self):
        t = sorted(self.times)
        return t[int(len(t) * 0.99)] if t else 0.0


def drain(c, tag):
    """Read as fast as can be, without looking, until the tagged line."""
    end, tail = f"\r\n{tag} ".encode(), b"\r\n"
    while True:
        got = c.sock.recv(1 << 20)
        assert got
        tail = tail[-200:] + got
        at = tail.find(end, max(0, len(tail) - 400))
        if at >= 0 and tail.endswith(b"\r\n"):
            return tail[at + 2:].decode()


COMMANDS = [
    "SEARCH BODY nosuchtext",
    "SEARCH SUBJECT nosuchtext",
    "FETCH 1:* (ENVELOPE)",
    "FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT X-NONE)])",
    "STORE 1:* +FLAGS (\\Flagged)",
    "STORE 1:* -FLAGS.SILENT (\\Flagged)",
    "COPY 1:* Archive",
    "SORT (SUBJECT DATE) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL",
]


def disturbed(i):
    """Other work takes so much of the machine that a p99 tells nothing of us: it is not small beside
    nothing either."""
    n = Nooper(i, OTHER)
    n.start()
    while len(n.times) < 300:
        time.sleep(0.05)
    n.over = True
    n.join()
    print(f"beside nothing: p99 {n.p99():.1f} ms")
    return n.p99() > P99_MS / 10


def fair_enough(i, mailbox, command, before=None):
    """Whether the p99 beside the command is small, again and again until there are enough NOOPs for
    one. Other load of the machine can only make it worse: the best of five counts. On a machine that
    is too busy for a figure one round of the command saw many of them answered."""
    c = connect(i, USER, False)
    assert c.ask(f"SELECT {mailbox}")[0].startswith("OK")
    found, during = [], 0
    while len(found) < 5 and not (found and min(found) < P99_MS):
        n = Nooper(i, OTHER)
        n.start()
        began = time.monotonic()
        rounds = 0
        # a mailbox that grows cannot be copied to for ever
        while (len(n.times) < 300 or time.monotonic() - began < 1) and \
                (rounds < 4 or not command.startswith("COPY")):
            rounds += 1
            if before:
                before()
            already = len(n.times)
            c.send("x " + command.replace("?", "-+"[rounds % 2]) + "\r\n")
            reply = drain(c, "x")
            during = max(during, len(n.times) - already)
            if not reply.startswith("x OK"):
                break
        n.over = True
        n.join()
        assert reply.startswith("x OK"), reply
        found.append(n.p99())
        print(f"{command}: {len(n.times)} NOOPs, p99 {n.p99():.1f} ms, max {max(n.times):.1f} ms, {during} in one command")
    return min(found) < P99_MS or (during >= MANY and disturbed(i))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c.split()[:2]))
def test_noop_beside(fair, command):
    assert fair_enough(fair, "INBOX", command)


@pytest.fixture
def idlers(fair):
    """Sessions in IDLE that are told of every change in INBOX, and read it."""
    links, over = [], threading.Event()

    def read():
        room = bytearray(1 << 18)
        while not over.is_set():
            for s in readable([c.sock for c in links], 0.1):
                s.recv_into(room)

    for _ in range(IDLERS):
        c = connect(fair, USER)
        c.send("i IDLE\r\n")
        c.until("+")
        links.append(c)
    reader = threading.Thread(target=read)
    reader.start()
    yield
    over.set()
    reader.join()
    for c in links:
        c.sock.close()


def test_noop_beside_many_who_are_told(fair, idlers):
    """One STORE has fifty sessions say what changed, each of them 16,000 lines."""
    command = f"STORE 1:{min(16_000, MESSAGES)} ?FLAGS.SILENT (\\Answered)"
    assert fair_enough(fair, "INBOX", command)


def memory_kib(pid, what="Rss"):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{what}:\s+(\d+)", text, re.M).group(1))


@pytest.mark.parametrize("command", ["SEARCH BODY nosuchtext", "SEARCH TEXT nosuchtext"])
def test_noop_beside_one_large_message(fair, command):
    """On the pool: the loop goes on, and of the file no copy is made."""
    [pid] = fair.pids("imap")
    used = [memory_kib(pid, "Anonymous")]

    def before():
        used.append(memory_kib(pid, "Anonymous"))

    c = connect(fair, USER, False)
    assert c.ask("SELECT Large")[0].startswith("OK")
    assert fair_enough(fair, "Large", command, before)
    c.send(f"x {command}\r\n")
    end = threading.Thread(target=drain, args=(c, "x"))
    end.start()
    while end.is_alive():
        before()
        time.sleep(0.02)
    print(f"{command}: {len(used)} looks, {used[0]} to {max(used)} KiB")
    assert len(used) > 3
    if PLAIN:
        assert max(used) - used[0] < 4096


def cool(i, user):
    """The user's message files leave the page cache."""
    for path in i.home(f"{user}@example.org").glob("msg/*/*"):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


@pytest.mark.parametrize("mailbox, command", [
    ("INBOX", "SEARCH BODY nosuchtext"),
    ("INBOX", "FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-NONE)]"),
    ("INBOX", "FETCH 1:1000 BODY.PEEK[]"),
    ("Large", "FETCH 1 BODY.PEEK[]"),
])
def test_noop_beside_cold_files(fair, mailbox, command):
    assert fair_enough(fair, mailbox, command, lambda: cool(fair, USER))


def test_slow_reader_costs_bounded_memory(fair):
    """500 MB asked for by clients who do not read."""
    [imap] = fair.pids("imap")
    [gate] = fair.pids("gate")
    slow = []
    for what in ("FETCH 1:* BODY.PEEK[]",) * 4:
        c = RawImap("127.0.0.1", fair.imap_port)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.ask(f"LOGIN {USER} {password_of(USER)}")
        c.ask("SELECT INBOX")
        slow.append((c, what))
    before = memory_kib(imap) + memory_kib(gate)
    for c, what in slow:
        c.send(f"x {what}\r\n" * 3)
    time.sleep(3)
    after = memory_kib(imap) + memory_kib(gate)
    print(f"{before} KiB before, {after} KiB after")
    assert after - before < 4 * 2048
    other = connect(fair, OTHER)
    assert other.ask("NOOP")[0].startswith("OK")


@pytest.mark.skipif(not PLAIN, reason="sanitizers have memory of their own")
def test_idle_sessions_give_back_memory(make_instance, certs):
    """All kinds: in IDLE, silent between two commands, and each of both compressed."""
    i = make_instance("imap {\n\tworkers = 1\n\tgate_workers = 1\n"
                      "\tconnections_per_address = 1000\n\tconnections_per_user = 1000\n}\n",
                      start=False)
    use_build(i, PLAIN)
    i.start()
    pids = i.pids("imap") + i.pids("gate")
    context, sessions = certs.context(), []

    def begin(idle, compressed):
        c = RawImap("127.0.0.1", i.imaps_port, context)
        assert c.ask(f"LOGIN {USER} {password_of(USER)}")[0].startswith("OK")
        if compressed:
            c.compress()
        assert c.ask("SELECT INBOX")[0].startswith("OK")
        if idle:
            c.send("i IDLE\r\n")
            assert c.until("+")
        sessions.append(c)

    def settled():
        time.sleep(6)  # buffers are given back after some seconds of silence
        return sum(memory_kib(p, "Pss") for p in pids)

    for n in range(20):
        begin(n % 2 == 0, n % 4 > 1)
    before = settled()
    for n in range(200):
        begin(n % 2 == 0, n % 4 > 1)
    each = (settled() - before) / 200
    print(f"an idle TLS session: {each:.1f} KiB")
    assert each < 27
