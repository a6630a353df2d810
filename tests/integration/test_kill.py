"""Every role is killed again and again while mail comes in: what was acknowledged arrives at each
recipient exactly once, whatever was not acknowledged at most once.

POSTROOM_SEED repeats a run's choices; POSTROOM_KILLS and POSTROOM_KILL_MESSAGES make it longer."""
import os
import random
import re
import signal
import smtplib
import threading
import time
from collections import Counter

import pytest

pytestmark = pytest.mark.waits

ROLES = ("smtp", "queue", "lmtp", "imap", "auth", "gate")
KILLS = int(os.environ.get("POSTROOM_KILLS", "20"))
MESSAGES = int(os.environ.get("POSTROOM_KILL_MESSAGES", "1000"))
SUBMITTERS = 6
SPREAD = 60  # seconds over which the kills are spread

LEADS = ["bilal.haddad", "carmen.ortega"]
SUPPORT_DAY = ["yusuf.demir", "zoe.martin", "adam.fischer", "beatriz.santos"]
TARGETS = {  # what a message is sent to, and who gets it
    "leads@example.org": LEADS,
    "support-day@example.org": SUPPORT_DAY,
    "abuse@example.org": ["anna.berg", "bilal.haddad"],
    "hiro@example.org": ["hiroshi.tanaka"],
    "grace.lindqvist@example.org": ["grace.lindqvist"],
    "jonas.weber+kill@example.org": ["jonas.weber"],
    "kavya.raman@example.org": ["kavya.raman"],
    "liam.byrne@example.org": ["liam.byrne"],
}


class Run:
    def __init__(self, i, seed):
        self.i = i
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.acknowledged = {}  # Message-ID -> users
        self.tried = 0
        self.killed = Counter()
        self.kills_over = False
        self.stop = threading.Event()
        self.errors = []

    def wanted(self):
        """The next Message-ID, its targets, and its users; None at the end."""
        with self.lock:
            if self.kills_over and len(self.acknowledged) >= MESSAGES or self.stop.is_set():
                return None
            self.tried += 1
            targets = self.random.sample(sorted(TARGETS), self.random.randint(1, 3))
            size = self.random.choice((10, 1000, 20000))
            return f"kill-{self.tried}@test", targets, size

    def submitter(self, user):
        conn = None
        while (work := self.wanted()) is not None:
            mid, targets, size = work
            text = (f"From: {user}\r\nTo: x\r\nMessage-ID: <{mid}>\r\nSubject: kill\r\n\r\n"
                    + ("z" * 70 + "\r\n") * (size // 72 + 1)).encode()
            try:
                if conn is None:
                    conn = self.i.smtp(user)
                    conn.timeout = 30
                refused = conn.sendmail(user, targets, text)
                if not refused:
                    with self.lock:
                        self.acknowledged[mid] = {u for t in targets for u in TARGETS[t]}
                    self.pace()
                    continue
                conn.rset()
            except smtplib.SMTPResponseException as e:
                self.expect_temporary(e.smtp_code, e.smtp_error)
            except smtplib.SMTPRecipientsRefused as e:
                for code, answer in e.recipients.values():
                    self.expect_temporary(code, answer)
            except (OSError, smtplib.SMTPException):
                pass
            if conn is not None:
                conn.close()
            conn = None
            time.sleep(0.1)
        if conn is not None:
            conn.close()

    def pace(self):
        """While kills go on, messages are spread over them."""
        if not self.kills_over:
            time.sleep(self.random.random() * 2 * SPREAD * SUBMITTERS / MESSAGES * 0.5)

    def expect_temporary(self, code, answer):
        if 500 <= code < 600:
            self.errors.append((code, answer))

    def reader(self, user):
        """Somebody who reads mail all the time, and has to connect anew when a role dies."""
        while not self.stop.is_set():
            try:
                with self.i.imap(user) as c:
                    for _ in range(20):
                        c.select("INBOX")
                        c.fetch("1:*", "(FLAGS)")
                        time.sleep(0.05)
            except Exception:  # noqa: BLE001 — any end is fine, it only has to work in the end
                time.sleep(0.1)

    def killer(self):
        """Random roles at random moments; master waits longer and longer before it starts one
        again that keeps dying, so those that run come first."""
        left = {r: KILLS for r in ROLES}
        until = time.monotonic() + 300
        while left:
            time.sleep(self.random.random() * 2 * SPREAD / (KILLS * len(ROLES)))
            assert time.monotonic() < until, f"not restarted: {left}"
            role = self.random.choice(sorted(left))
            pids = self.i.pids(role)
            if not pids:
                continue
            try:
                os.kill(self.random.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.killed[role] += 1
            left[role] -= 1
            if left[role] == 0:
                del left[role]
        with self.lock:
            self.kills_over = True


def message_ids(i, user):
    with i.imap(f"{user}@example.org") as c:
        typ, data = c.select("INBOX", readonly=True)
        assert typ == "OK"
        if int(data[0]) == 0:
            return Counter()
        typ, data = c.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        assert typ == "OK"
        text = b"".join(part for d in data if isinstance(d, tuple) for part in d)
        return Counter(m.decode() for m in re.findall(rb"<(kill-\d+@test)>", text))


def missing(i, run, users):
    found = {u: message_ids(i, u) for u in users}
    return found, [(mid, u) for mid, to in run.acknowledged.items() for u in to
                   if found[u][mid] == 0]


def wait_quiet(i, seconds=3, timeout=60):
    """Nothing is delivered any more."""
    until = time.monotonic() + timeout
    last, since = -1, time.monotonic()
    while time.monotonic() < until:
        n = len(re.findall(r"ev=lmtp\.deliver", i.log_text()))
        if n != last:
            last, since = n, time.monotonic()
        elif time.monotonic() - since > seconds:
            return
        time.sleep(0.3)


def test_nothing_acknowledged_is_lost_or_doubled(make_instance):
    seed = int(os.environ.get("POSTROOM_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    print(f"POSTROOM_SEED={seed}")
    i = make_instance(settings="restart_wait_max = 1s\n")
    run = Run(i, seed)
    submitters = [threading.Thread(target=run.submitter, args=(f"{u}@example.org",))
                  for u in ("mei.zhang", "nadia.rahmani", "oskar.nowak", "priya.menon",
                            "quentin.moreau", "rosa.delgado")[:SUBMITTERS]]
    readers = [threading.Thread(target=run.reader, args=(f"{u}@example.org",), daemon=True)
               for u in ("liam.byrne", "zoe.martin")]
    begin = time.monotonic()
    for t in submitters + readers:
        t.start()
    try:
        run.killer()
        for t in submitters:
            t.join(timeout=180)
            assert not t.is_alive(), "submissions do not come to an end"
    finally:
        run.stop.set()
    took = time.monotonic() - begin
    users = sorted({u for to in TARGETS.values() for u in to})
    until = time.monotonic() + 90
    while True:
        found, lost = missing(i, run, users)
        if not lost or time.monotonic() > until:
            break
        time.sleep(0.5)
    wait_quiet(i)
    found, lost = missing(i, run, users)
    doubled = [(mid, u, n) for u, c in found.items() for mid, n in c.items() if n > 1]
    print(f"{len(run.acknowledged)} acknowledged of {run.tried} tried in {took:.0f} s, "
          f"killed {dict(run.killed)}")
    text = i.log_text()
    print("\n".join(sorted(set(re.findall(r"lvl=error.*", text)))[:20]))
    assert not lost, f"seed {seed}: {len(lost)} lost, such as {lost[:5]}"
    assert not doubled, f"seed {seed}: {len(doubled)} doubled, such as {doubled[:5]}"
    assert not run.errors, run.errors[:5]
    assert len(run.acknowledged) >= MESSAGES
    assert all(run.killed[r] >= KILLS for r in ROLES)
    assert "ev=queue.corrupt" not in text and "ev=queue.lost" not in text
    i.check_sanitizers()
