"""Every role is killed again and again while mail comes in by submission and port 25: what was acknowledged arrives
at each user exactly once, whatever was not acknowledged at most once.

POSTROOM_SEED repeats a run's choices; POSTROOM_KILLS (of each role) and POSTROOM_KILL_MESSAGES make it longer."""
import os
import random
import signal
import threading
import time
from collections import Counter

import pytest

from harness.instance import free_ports
from harness.traffic import Traffic

pytestmark = pytest.mark.waits

ROLES = ("smtp", "queue", "lmtp", "imap", "auth", "gate")
KILLS = int(os.environ.get("POSTROOM_KILLS", "8"))
MESSAGES = int(os.environ.get("POSTROOM_KILL_MESSAGES", "500"))
PACE = 0.5  # seconds between two kills, on the average

SETTINGS = """restart_wait_max = 1s
smtp {{ postmaster = "anna.berg@example.org" errors_per_minute = 0 connections_per_minute = 0 messages_per_minute = 0
	recipients_per_minute = 0 user_messages_per_minute = 0 user_recipients_per_minute = 0 }}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{mx}" }} tls = none }}
"""


class Killer:
    def __init__(self, i, seed):
        self.i, self.random = i, random.Random(seed)
        self.killed = Counter()
        self.times = []  # (time.time(), role)

    def run(self):
        """Random roles at random moments; master waits longer and longer before it starts one again that keeps
        dying, so those that run come first."""
        left = {r: KILLS for r in ROLES}
        until = time.monotonic() + 300
        while left:
            time.sleep(self.random.random() * 2 * PACE)
            assert time.monotonic() < until, f"not restarted: {left}"
            role = self.random.choice(sorted(left))
            pids = self.i.pids(role)
            if not pids:
                continue
            try:
                os.kill(self.random.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.times.append((time.time(), role))
            self.killed[role] += 1
            left[role] -= 1
            if left[role] == 0:
                del left[role]


class Reader(threading.Thread):
    """Somebody who reads mail all the time, and has to connect anew when a role dies."""

    def __init__(self, i, user):
        super().__init__(daemon=True)
        self.i, self.user, self.stop = i, user, threading.Event()

    def run(self):
        while not self.stop.is_set():
            try:
                with self.i.imap(self.user) as c:
                    for _ in range(20):
                        c.select("INBOX")
                        c.fetch("1:*", "(FLAGS)")
                        time.sleep(0.05)
            except Exception:  # noqa: BLE001 — any end is fine, it only has to work in the end
                time.sleep(0.1)


def test_nothing_acknowledged_is_lost_or_doubled(make_instance):
    seed = int(os.environ.get("POSTROOM_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    print(f"POSTROOM_SEED={seed}")
    (mx,) = free_ports(1)
    i = make_instance(settings=SETTINGS.format(mx=mx))
    t = Traffic(i, seed, mx_port=mx)
    killer = Killer(i, seed)
    readers = [Reader(i, u) for u in ("liam.byrne@example.org", "zoe.martin@example.org")]
    begin = time.monotonic()
    t.start(users=4, strangers=2)
    for r in readers:
        r.start()
    try:
        killer.run()
        t.finish(MESSAGES)
    finally:
        t.stop()
        for r in readers:
            r.stop.set()
    print(f"{len(t.acknowledged)} acknowledged of {t.tried} tried in {time.monotonic() - begin:.0f} s, "
          f"killed {dict(killer.killed)}")
    t.settle()
    assert len(t.acknowledged) >= MESSAGES and all(killer.killed[r] >= KILLS for r in ROLES)
    text = i.log_text()
    assert "ev=queue.corrupt" not in text and "ev=queue.lost" not in text
    i.check_sanitizers()
