"""Every role is killed again and again while mail comes in by submission and port 25 and goes to users and to another
server, which loses some of its answers: what was acknowledged arrives at each user exactly once, and at the other server
at least once; what comes there again has an answer that was lost, or somebody who was killed then. Whatever was not
acknowledged arrives at a user at most once.

POSTROOM_SEED repeats a run's choices; POSTROOM_KILLS (of each role) and POSTROOM_KILL_MESSAGES make it longer."""
import datetime
import os
import random
import re
import signal
import threading
import time
from collections import Counter

import pytest

from harness.dns import Dns
from harness.lossy import LossySink
from harness.ports import free_ports
from harness.traffic import Traffic

pytestmark = pytest.mark.waits

ROLES = ("smtp", "queue", "relay", "lmtp", "imap", "auth", "gate", "resolver")
KILLS = int(os.environ.get("POSTROOM_KILLS", "6"))
MESSAGES = int(os.environ.get("POSTROOM_KILL_MESSAGES", "500"))
PACE = 0.5  # seconds between two kills, on the average

REMOTE = [f"r{n}@far.example.com" for n in range(6)]
# a result is on the disk 100 ms after it came; on a machine that does other things as well
DURABLE = 5

SETTINGS = """restart_wait_max = 1s
smtp {{ postmaster = "anna.berg@example.org" errors_per_minute = 0 connections_per_minute = 0 messages_per_minute = 0
	recipients_per_minute = 0 user_messages_per_minute = 0 user_recipients_per_minute = 0
	sender_known = refuse dns_failure = defer }}
dns_servers = {{ "{dns}" }}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{mx}" }} tls = none }}
outbound {{ enabled = yes smarthost = "sink" rest_min = 200ms rest_max = 500ms }}
relay "sink" {{ host = "[127.0.0.1]:{sink}" tls = none }}
"""


class Killer:
    def __init__(self, i, seed):
        self.i, self.random = i, random.Random(seed)
        self.killed = Counter()
        self.times = []  # (time.time() before and after it, role)

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
            before = time.time()
            try:
                os.kill(self.random.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.times.append((before, time.time(), role))
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


def results(text):
    """(queue id, recipient) -> when queue heard that the other server has the message."""
    found = {}
    for ts, qid, rcpt in re.findall(
            r"^ts=(\S+) .*ev=queue\.deliver .*qid=(\w+) rcpt=(\S+@far\.example\.com) res=ok", text, re.M):
        when = datetime.datetime.fromisoformat(ts.replace("Z", "+00:00")).timestamp()
        found.setdefault((qid, rcpt), []).append(when)
    return found


def unexplained(sink, killer, text):
    """Messages that came again without a reason."""
    known, bad = results(text), []
    assert len(known) > len(sink.arrivals) / 2, "queue's log is not understood"
    for (mid, rcpt), arrivals in sink.arrivals.items():
        for a, again in zip(arrivals, arrivals[1:]):
            assert a.qid == again.qid, (mid, rcpt)
            # relay may have been on its way for a while when queue was killed
            killed = any(role in ("relay", "queue") and killed_at >= a.began - DURABLE * (role == "queue")
                         and began <= again.at for began, killed_at, role in killer.times)
            if a.answered and not killed:
                bad.append((mid, rcpt, "nobody was killed, and the answer was not lost"))
            # what queue knew for a while it may not forget
            for when in known.get((a.qid, rcpt), []):
                if when < again.at - DURABLE and not any(
                        role == "queue" and killed_at >= when - 1 and began <= when + DURABLE
                        for began, killed_at, role in killer.times):
                    bad.append((mid, rcpt, "queue had the result"))
    return bad


def wait_remote(i, t, sink, timeout=180):
    """Until the other server has everything that was acknowledged for it, and nothing waits any more."""
    until = time.monotonic() + timeout
    while True:
        lost = [(mid, to) for mid, who in t.acknowledged.items() for to in who if "@" in to
                and not sink.arrivals.get((mid, to))]
        listed = i.command("queue", "list", check=False).stdout
        if not lost and listed == "The queue is empty.\n":
            return
        assert time.monotonic() < until, f"{len(lost)} lost, such as {lost[:5]}\n{listed[-2000:]}\n" \
            + i.log_text()[-4000:]
        time.sleep(0.3)


def test_nothing_acknowledged_is_lost_or_doubled(make_instance, work):
    seed = int(os.environ.get("POSTROOM_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    print(f"POSTROOM_SEED={seed}")
    (mx,) = free_ports(1)
    with LossySink(seed) as sink, Dns(work / "dns", ["far.example.net. 1 IN A 127.0.0.1"], zones=("example.net",)) as dns:
        i = make_instance(settings=SETTINGS.format(mx=mx, sink=sink.port, dns=dns.server))
        t = Traffic(i, seed, mx_port=mx, remote=REMOTE)
        killer = Killer(i, seed)
        under_way(i, t, killer)
        t.settle()
        wait_remote(i, t, sink)
        text = i.log_text()
        again = sum(len(a) - 1 for a in sink.arrivals.values())
        print(f"{len(sink.arrivals)} at the other server, {again} of them came again, {sink.lost_answers} answers lost")
        bad = unexplained(sink, killer, text)
    assert not bad, f"seed {seed}: {len(bad)} unexplained, such as {bad[:5]}"
    assert sink.lost_answers > 0 and again > 0
    assert len(t.acknowledged) >= MESSAGES and all(killer.killed[r] >= KILLS for r in ROLES)
    assert "ev=queue.corrupt" not in text and "ev=queue.lost" not in text and "ev=queue.report" not in text
    i.check_sanitizers()


def under_way(i, t, killer):
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
