"""The rows of bench/run about one large mailbox: messages of realistic shape (bench/messages.py) in INBOX
of one user, the same in each server, and one session that asks (bench/bench_talk.c).

"cold" rows: what Dovecot derived from the messages (dovecot.index.cache) is dropped before each
measurement, and before SORT and THREAD Postroom's imap processes, which remember their answers, are
started anew; the files stay in the page cache, and both sides answer a session that has just logged in and
selected. Commands that change the mailbox work on copies or are taken back outside the time measured. An answer that is NO or BAD, or short of what was asked, or that differs in its numbers from server to
server, is no figure: the row fails. Rows of an extension appear when both sides advertise it.
"""
import contextlib
import os
import re
import signal
import subprocess
import time
from collections import namedtuple

OURS = "postroom"
THEIRS = ("sdbox", "maildir")
# nobody else's mailbox in bench/run
USER, PASSWORD = "bench999@example.org", "secret"
# as Thunderbird asks for them
HEADERS = ("BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority "
           "References Newsgroups In-Reply-To Content-Type Reply-To)]")
CHANGES = 1000
# up to here each message is one of its own; more are copies of these
DISTINCT = 100_000
# by one COPY
COPIED = 20_000
# a measurement that takes longer is not made again in the scale's plot
LONG_MS = 3000

Answer = namedtuple("Answer", "ms octets fetches expunges numbers cpu_ms tagged last")


class Talk:
    """One session of bench_talk."""

    def __init__(self, program, port, user=USER):
        self.p = subprocess.Popen([program, f"127.0.0.1:{port}"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._answer("greeting")
        self.cmd(f"LOGIN {user} {PASSWORD}")

    def _answer(self, text):
        line = self.p.stdout.readline().decode("utf-8", "replace")
        if not line.endswith("\n"):
            raise RuntimeError(f"{text}: {self.p.stderr.read()[-300:]}")
        figures, tagged, last = line[:-1].split("\t", 2)
        us, octets, fetches, expunges, numbers, cpu = map(int, figures.split())
        return Answer(us / 1000, octets, fetches, expunges, numbers, cpu / 1000, tagged, last)

    def cmd(self, text):
        self.p.stdin.write(text.encode() + b"\n")
        self.p.stdin.flush()
        a = self._answer(text)
        if not a.tagged.startswith("OK"):
            raise RuntimeError(f"{text[:100]}: {a.tagged[:200]}")
        return a

    def has(self, capability):
        return capability in self.cmd("CAPABILITY").last.split()

    def count(self, mailbox):
        return int(re.search(r"MESSAGES (\d+)", self.cmd(f"STATUS {mailbox} (MESSAGES)").last)[1])

    def close(self):
        self.p.stdin.close()
        self.p.wait()
        self.p.stdout.close()
        self.p.stderr.close()


class Mailbox:
    """The operations on INBOX with so many messages. row(name, unit, better, measure, **more) is called
    for each; measure(who) → one figure."""

    def __init__(self, bench, n, clients, row):
        self.b = bench
        self.n = n
        self.many = max(1, min(n // 10, 10000))
        self.clients = clients
        self.row = row
        self.same = {}
        self.client_ms = self.all_ms = 0

    def run(self, cold=True):
        parts = [self.reading, self.searching, self.cold, self.resync, self.changing]
        for rows in parts if cold else [x for x in parts if x != self.cold]:
            self.b.attempt(rows)

    def ask(self, who, command, fetches=None, numbers=None, agree=False):
        """The time of a command whose answer is whole."""
        a = self.clients[who].cmd(command)
        if fetches is not None and a.fetches != fetches:
            raise RuntimeError(f"{command}: {a.fetches} FETCH responses, not {fetches}")
        if numbers is not None and a.numbers != numbers:
            raise RuntimeError(f"{command}: {a.numbers} numbers, not {numbers}")
        if agree and self.same.setdefault(command, a.numbers) != a.numbers:
            raise RuntimeError(f"{command}: {a.numbers} numbers, {self.same[command]} elsewhere")
        self.client_ms += a.cpu_ms
        self.all_ms += a.ms
        return a

    def ms(self, name, command, before=(), target=None, **checks):
        def measure(who):
            for x in before:
                self.clients[who].cmd(x)
            return self.ask(who, command, **checks).ms
        self.row(name, "ms", "lower", measure, target=target)

    def both_have(self, capability):
        return all(c.has(capability) for c in self.clients.values())

    def reading(self):
        n = self.n
        self.ms("SELECT", "SELECT INBOX", before=("SELECT INBOX", "UNSELECT"))
        self.ms("STATUS", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)",
                before=("SELECT INBOX", "UNSELECT"))
        self.ms("FETCH FLAGS", "UID FETCH 1:* (FLAGS)", before=("SELECT INBOX",), fetches=n, target=3)
        self.ms("FETCH sizes and dates",
                "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)", fetches=n, target=5)
        self.ms("FETCH ENVELOPE", "FETCH 1:* ENVELOPE", fetches=n, target=4)
        self.ms("FETCH BODYSTRUCTURE", "FETCH 1:* BODYSTRUCTURE", fetches=n, target=1)
        self.ms("FETCH header fields", f"FETCH 1:* {HEADERS}", fetches=n, target=3)
        for k in (1000, 10000):
            if k <= n:
                self.row(f"FETCH {k:,} bodies", "MB/s", "higher", self.throughput(k), target=2)

    def throughput(self, k):
        def measure(who):
            a = self.ask(who, f"FETCH 1:{k} BODY.PEEK[]", fetches=k)
            return a.octets / a.ms / 1e3
        return measure

    def searching(self):
        some = min(5000, self.n)
        self.ms("SEARCH SUBJECT", 'SEARCH SUBJECT "Quarterly"', agree=True, target=4)
        self.ms("SEARCH FROM", 'SEARCH FROM "person1"', agree=True)
        self.ms("SEARCH FROM SINCE", 'SEARCH FROM "person1" SINCE 1-Jan-2024', agree=True)
        self.ms("SEARCH SENTSINCE", "SEARCH SENTSINCE 1-Jan-2024", agree=True)
        self.ms("SEARCH UNSEEN", "SEARCH UNSEEN", agree=True)
        self.ms("SEARCH FLAGGED KEYWORD", "SEARCH OR FLAGGED KEYWORD $Forwarded", agree=True)
        self.ms(f"SEARCH BODY, {some:,} of them", f'SEARCH 1:{some} BODY "needle"', agree=True, target=2)
        if self.both_have("SORT"):
            self.ms("SORT (REVERSE DATE)", "SORT (REVERSE DATE) UTF-8 ALL", numbers=self.n, target=1.5)
            self.ms("SORT (SUBJECT)", "SORT (SUBJECT) UTF-8 ALL", numbers=self.n)
        for kind, target in (("REFERENCES", 2), ("ORDEREDSUBJECT", None)):
            if self.both_have(f"THREAD={kind}"):
                self.ms(f"THREAD {kind}", f"THREAD {kind} UTF-8 ALL", numbers=self.n, target=target)

    # cold

    def reconnect(self, who, command):
        self.clients[who].close()
        if who == OURS and command.startswith(("SORT", "THREAD")):
            self.restart_ours()
        elif who != OURS:
            time.sleep(0.2)  # its process leaves the mailbox
            for f in self.b.dovecots[who].dir.glob("home/**/dovecot.index.cache"):
                f.unlink()
        self.clients[who] = Talk(self.b.build / "bench/bench_talk", self.b.imap_port(who))
        self.clients[who].cmd("SELECT INBOX")

    def restart_ours(self):
        """They remember orders and threads."""
        before = set(self.b.postroom.pids("imap"))
        for pid in before:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while True:
            now = set(self.b.postroom.pids("imap"))
            if len(now) == len(before) and not now & before:
                break
            if time.monotonic() > deadline:
                raise RuntimeError("imap did not start again")
            time.sleep(0.05)
        time.sleep(0.2)

    def cold(self):
        """Medians of three at most: Dovecot reads all its messages again each time."""
        n, m = self.n, self.many
        rows = [("FETCH sizes and dates",
                 "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)", {"fetches": n}, 10),
                ("FETCH ENVELOPE", "FETCH 1:* ENVELOPE", {"fetches": n}, 10),
                ("FETCH header fields", f"FETCH 1:* {HEADERS}", {"fetches": n}, 10),
                (f"FETCH {m:,} BODYSTRUCTURE", f"FETCH 1:{m} BODYSTRUCTURE", {"fetches": m}, 10),
                ("SEARCH SUBJECT", 'SEARCH SUBJECT "Quarterly"', {"agree": True}, 20)]
        if self.both_have("SORT"):
            rows.append(("SORT (REVERSE DATE)", "SORT (REVERSE DATE) UTF-8 ALL", {"numbers": n}, 20))
        if self.both_have("THREAD=REFERENCES"):
            rows.append(("THREAD REFERENCES", "THREAD REFERENCES UTF-8 ALL", {"numbers": n}, 10))
        for name, command, checks, target in rows:
            def measure(who, command=command, checks=checks):
                self.reconnect(who, command)
                return self.ask(who, command, **checks).ms
            self.row(f"{name}, cold", "ms", "lower", measure, runs=min(3, self.b.args.runs),
                     target=target)
        warm(self.clients)

    # what others changed meanwhile

    def resync(self):
        """SELECT with QRESYNC by a client that was away while so many messages changed, one at a time."""
        # one of them takes Dovecot's Maildir a third of a second in a mailbox of a million
        changes = min(CHANGES, self.n) if self.n <= DISTINCT else CHANGES // 10
        name = f"QRESYNC after {changes:,} changes"
        if not self.b.wanted(name) or not self.both_have("QRESYNC"):
            return
        signs = dict.fromkeys(self.clients, "+")
        for c in self.clients.values():
            c.cmd("SELECT INBOX")
            c.cmd("UID STORE 1:* -FLAGS.SILENT ($Changed)")

        def measure(who):
            c = self.clients[who]
            c.cmd("SELECT INBOX")
            status = c.cmd("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)").last
            known = [re.search(rf"{k} (\d+)", status)[1] for k in ("UIDVALIDITY", "HIGHESTMODSEQ")]
            for k in range(changes):
                c.cmd(f"STORE {1 + k * (self.n // changes)} {signs[who]}FLAGS.SILENT ($Changed)")
            signs[who] = "-" if signs[who] == "+" else "+"
            d = Talk(self.b.build / "bench/bench_talk", self.b.imap_port(who))
            d.cmd("ENABLE QRESYNC")
            a = d.cmd("SELECT INBOX (QRESYNC (%s %s))" % tuple(known))
            d.close()
            if a.fetches != changes:
                raise RuntimeError(f"told of {a.fetches} changes, not {changes}")
            return a.ms

        self.row(name, "ms", "lower", measure)

    # what changes the mailbox

    def on_copies(self, command, there, left, expunges=None, prepare=()):
        """In a mailbox with copies of many messages, which is deleted behind the measurement; there
        and left are what the mailboxes Moved and Copies must hold then."""
        def measure(who):
            c = self.clients[who]
            c.cmd("SELECT INBOX")
            c.cmd("CREATE Copies")
            c.cmd("CREATE Moved")
            try:
                c.cmd(f"COPY 1:{self.many} Copies")
                c.cmd("SELECT Copies")
                for x in prepare:
                    c.cmd(x)
                a = self.ask(who, command)
                c.cmd("SELECT INBOX")
                if c.count("Moved") != there or c.count("Copies") != left:
                    raise RuntimeError(f"{command}: not all of it was done")
                if a.expunges != self.many:
                    raise RuntimeError(f"{command}: {a.expunges} EXPUNGE responses")
                return a.ms
            finally:
                c.cmd("UNSELECT")
                c.cmd("DELETE Copies")
                c.cmd("DELETE Moved")
        return measure

    def copy(self, who):
        c = self.clients[who]
        c.cmd("SELECT INBOX")
        c.cmd("CREATE Copies")
        try:
            took = self.ask(who, f"COPY 1:{self.many} Copies").ms
            if c.count("Copies") != self.many:
                raise RuntimeError("COPY: not all of it was done")
            return took
        finally:
            c.cmd("DELETE Copies")

    def store(self, who):
        c = self.clients[who]
        c.cmd("SELECT INBOX")
        c.cmd("UID STORE 1:* -FLAGS.SILENT (\\Seen)")
        return self.ask(who, "UID STORE 1:* +FLAGS (\\Seen)", fetches=self.n).ms

    def changing(self):
        m = self.many
        self.row("STORE +FLAGS", "ms", "lower", self.store, target=1.5)
        self.row(f"COPY {m:,}", "ms", "lower", self.copy)
        self.row(f"MOVE {m:,}", "ms", "lower", self.on_copies("MOVE 1:* Moved", m, 0), target=10)
        self.row(f"EXPUNGE {m:,}", "ms", "lower", self.on_copies(
            "EXPUNGE", 0, 0, prepare=("STORE 1:* +FLAGS.SILENT (\\Deleted)",)), target=10)


def warm(clients):
    """Derived data of the incumbent is there: what follows are its warm figures."""
    for c in clients.values():
        c.cmd("SELECT INBOX")
        c.cmd(f"FETCH 1:* (ENVELOPE BODYSTRUCTURE {HEADERS})")


@contextlib.contextmanager
def flushing(dovecots, what):
    """Their mail_fsync is `what` meanwhile: "never" while they are only filled, "always" for changes
    of flags that are as durable as ours (as it comes, Dovecot flushes new messages only)."""
    texts = {d: d.conf.read_text() for d in dovecots}
    for more in (f"mail_fsync = {what}\n", ""):
        for d, text in texts.items():
            d.stop()
            d.conf.write_text(text + more)
            d.start()
        if more:
            yield


class Filler:
    """INBOX of USER, the same in every server, grown as far as asked for."""

    def __init__(self, bench, spool):
        self.b = bench
        self.spool = spool
        self.n = 0
        self.clients = {}

    def grow(self, n):
        servers = (OURS, *THEIRS)
        for who in servers:
            begin = time.monotonic()
            if who in self.clients:
                self.clients.pop(who).close()
            if self.n < min(n, DISTINCT):
                with flushing([self.b.dovecots[who]] if who != OURS else [], "never"):
                    self.spool.send(self.b.imap_port(who), USER, PASSWORD, self.n, min(n, DISTINCT))
            c = self.clients[who] = Talk(self.b.build / "bench/bench_talk", self.b.imap_port(who))
            c.cmd("SELECT INBOX")
            have = max(self.n, min(n, DISTINCT))
            while have < n:
                more = min(have, n - have, COPIED)
                c.cmd(f"COPY 1:{more} INBOX")
                have += more
            if c.count("INBOX") != n:
                raise RuntimeError(f"{who}: {c.count('INBOX')} messages, not {n}")
            self.b.say(f"{n:,} messages: {who}, {time.monotonic() - begin:.1f} s")
        self.n = n
        warm(self.clients)

    def close(self):
        for c in self.clients.values():
            c.close()


class ImapRows:
    def __init__(self, bench, spool):
        self.b = bench
        self.spool = spool
        self.n = bench.args.messages or (2000 if bench.args.quick else 100000)

    def run(self):
        self.b.attempt(self.rows)

    def rows(self):
        filler = Filler(self.b, self.spool)
        filler.grow(self.n)
        prefix = f"{self.n:,} messages: "
        m = Mailbox(self.b, self.n, filler.clients,
                    lambda name, *a, **kw: self.b.row(prefix + name, *a, **kw))
        m.run()
        if m.all_ms:
            self.b.fact(f"{self.n:,} messages: the client's own share of the time", "%",
                        100 * m.client_ms / m.all_ms)
        filler.close()


class SessionRows:
    """Many sessions at once, by bench_imap."""

    def __init__(self, bench):
        self.b = bench

    def run(self):
        self.b.attempt(self.mixed)
        self.b.attempt(self.appends)

    def imap_tool(self, who, clients, *more):
        return self.b.tool(
            self.b.build / "bench/bench_imap", "--clients", clients, "--seconds",
            2 if self.b.args.quick else 8, "--user", "bench8{}@example.org", "--password", PASSWORD,
            "--count", clients, *more, f"127.0.0.1:{self.b.imap_port(who)}")["commands_per_second"]

    def mixed(self):
        """Log in, list, select, fetch, store, append, expunge, log out, again and again."""
        def row(name):
            self.b.row(name, "commands/s", "higher", lambda who: self.imap_tool(who, 50),
                       runs=min(3, self.b.args.runs), target=3)

        row("50 mixed IMAP clients")
        durable = "50 mixed IMAP clients, flags and EXPUNGE flushed by both"
        if self.b.wanted(durable):
            with flushing(self.b.dovecots.values(), "always"):
                row(durable)

    def appends(self):
        for clients in (1, 10):
            self.b.row(f"APPEND, 8 KiB, {clients} session{'s'[:clients > 1]}", "messages/s", "higher",
                       lambda who, clients=clients: self.imap_tool(who, clients, "--append"),
                       runs=min(3, self.b.args.runs))


class Scale:
    """The same operations at several sizes of the mailbox, for the plot in docs/performance.md."""

    def __init__(self, bench, spool, sizes):
        self.b = bench
        self.spool = spool
        self.sizes = sizes
        self.series = {}  # name → {"unit", server → [figure for each size]}

    def run(self):
        filler = Filler(self.b, self.spool)
        try:
            for place, n in enumerate(self.sizes):
                filler.grow(n)
                Mailbox(self.b, n, filler.clients,
                        lambda *a, place=place, **kw: self.point(place, *a, **kw)).run(cold=False)
        finally:
            filler.close()

    def point(self, place, name, unit, better, measure, **_):
        if not self.b.wanted(name):
            return
        # one curve, whatever the number in the row's name
        name = re.sub(r"^(\w+) [\d,]+$|, [\d,]+ of them$", r"\1", name)
        name = re.sub(r" after [\d,]+ changes", " after changes", name)
        row = self.series.setdefault(name, {"unit": unit, "better": better})
        for who in (OURS, *THEIRS):
            try:
                figures = [measure(who)]
                while len(figures) < 3 and not (unit == "ms" and figures[0] > LONG_MS):
                    figures.append(measure(who))
            except Exception as e:  # noqa: BLE001 - told at the end; the other points count
                self.b.problem(f"{name} at {self.sizes[place]:,}: {who}", e)
                continue
            row.setdefault(who, [None] * len(self.sizes))[place] = sorted(figures)[len(figures) // 2]
        self.b.save()
        self.b.say(f"{self.sizes[place]:,}: {name}: " + ", ".join(
            f"{w} {row[w][place]:.4g}" for w in (OURS, *THEIRS) if row.get(w) and row[w][place])
            + f" {unit}")
