"""Senders that never give up, and what they were promised: for tests that break a running server.

    t = Traffic(i, seed, mx_port=i.mx_port, remote=["r0@far.example.com"])
    t.start(users=4, strangers=2)
    …                               # kill, fill the disk
    t.finish(200)                   # go on until 200 messages were acknowledged in all
    t.settle()                      # every one of them is where it belongs, none of them twice

A message counts as acknowledged when the client read the 250 behind its last octet. The clients that log in
send to users and to `remote`; strangers come to mx_port and send to users. Whatever else a client hears must be
temporary or the end of the connection: anything that begins with 5 is kept in `errors`.
"""
import random
import re
import smtplib
import threading
import time
from collections import Counter

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
SENDERS = ("mei.zhang", "nadia.rahmani", "oskar.nowak", "priya.menon", "quentin.moreau", "rosa.delgado")
SIZES = (10, 1000, 20000)


class Traffic:
    def __init__(self, i, seed, mx_port=None, remote=(), sizes=SIZES, pause=0.05):
        self.i, self.mx_port, self.remote, self.sizes, self.pause = i, mx_port, list(remote), sizes, pause
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.acknowledged = {}  # Message-ID -> who gets it
        self.tried = 0
        self.temporary = 0
        self.errors = []
        self.enough = None
        self.stopped = False
        self.threads = []

    def start(self, users=len(SENDERS), strangers=0):
        clients = [(f"{u}@example.org", True) for u in SENDERS[:users]]
        clients += [(f"stranger{n}@far.example.net", False) for n in range(strangers)]
        self.threads = [threading.Thread(target=self._client, args=c, daemon=True) for c in clients]
        for t in self.threads:
            t.start()
        return self

    def finish(self, enough, timeout=240):
        self.enough = enough
        until = time.monotonic() + timeout
        for t in self.threads:
            t.join(timeout=max(0.1, until - time.monotonic()))
            assert not t.is_alive(), f"{len(self.acknowledged)} of {enough} acknowledged: no end\n" \
                + self.i.log_text()[-4000:]

    def stop(self):
        self.stopped = True
        for t in self.threads:
            t.join(timeout=180)

    def _work(self, user):
        """The next Message-ID, where it goes, who gets it, its size; None at the end."""
        with self.lock:
            if self.stopped or self.enough is not None and len(self.acknowledged) >= self.enough:
                return None
            self.tried += 1
            targets = self.random.sample(sorted(TARGETS), self.random.randint(1, 3))
            remote = []
            if user and self.remote:
                remote = self.random.sample(self.remote, self.random.randint(0, min(2, len(self.remote))))
            who = {u for t in targets for u in TARGETS[t]} | set(remote)
            return f"kill-{self.tried}@test", targets + remote, who, self.random.choice(self.sizes)

    def _connect(self, sender, user):
        if user:
            conn = self.i.smtp(sender)
        else:
            conn = smtplib.SMTP("127.0.0.1", self.mx_port, "far.example.net", timeout=120)
        return conn

    def _client(self, sender, user):
        conn = None
        while (work := self._work(user)) is not None:
            try:
                conn = conn or self._connect(sender, user)
                if self._send(conn, sender, *work):
                    time.sleep(self.pause * (0.5 + self.random.random()))
                    continue
            except (OSError, smtplib.SMTPException) as e:
                self._note(e)
            if conn is not None:
                conn.close()
            conn = None
            time.sleep(0.1)
        if conn is not None:
            conn.close()

    def _send(self, conn, sender, mid, targets, who, size):
        text = (f"From: {sender}\r\nTo: x\r\nMessage-ID: <{mid}>\r\nSubject: kill\r\n\r\n"
                + ("z" * 70 + "\r\n") * (size // 72 + 1)).encode()
        refused = conn.sendmail(sender, targets, text)
        if not refused:
            with self.lock:
                self.acknowledged[mid] = who
            return True
        # some were refused, and the others will get it: nothing was promised to all
        self._note(smtplib.SMTPRecipientsRefused(refused))
        return False

    def _note(self, e):
        answers = []
        if isinstance(e, smtplib.SMTPResponseException):
            answers = [(e.smtp_code, e.smtp_error)]
        elif isinstance(e, smtplib.SMTPRecipientsRefused):
            answers = list(e.recipients.values())
        with self.lock:
            self.temporary += any(400 <= code < 500 for code, _ in answers)
            self.errors += [a for a in answers if 500 <= a[0] < 600]

    def users(self):
        return sorted({u for to in TARGETS.values() for u in to})

    def found(self):
        """user -> Counter of the Message-IDs in the INBOX."""
        return {u: message_ids(self.i, u) for u in self.users()}

    def lost(self, found):
        return [(mid, u) for mid, to in self.acknowledged.items() for u in to
                if "@" not in u and found[u][mid] == 0]

    def settle(self, timeout=180, quiet=2):
        """Until nothing is missing, and nothing comes any more; then nothing is there twice."""
        until = time.monotonic() + timeout
        while True:
            found = self.found()
            lost = self.lost(found)
            if not lost or time.monotonic() > until:
                break
            time.sleep(0.3)
        assert not lost, f"{len(lost)} lost, such as {lost[:5]}\n" + self.about(lost[0][0])
        self._wait_quiet(quiet)
        doubled = [(mid, u, n) for u, c in self.found().items() for mid, n in c.items() if n > 1]
        assert not doubled, f"{len(doubled)} doubled, such as {doubled[:5]}\n" + self.about(doubled[0][0])
        assert not self.errors, self.errors[:5]

    def _wait_quiet(self, seconds, timeout=180):
        until = time.monotonic() + timeout
        last, since = -1, time.monotonic()
        while time.monotonic() < until and time.monotonic() - since < seconds:
            n = len(re.findall(r"ev=lmtp\.deliver", self.i.log_text()))
            if n != last:
                last, since = n, time.monotonic()
            time.sleep(0.2)

    def about(self, mid):
        """What the log says of a message; and the errors in it."""
        text = self.i.log_text()
        ids = set(re.findall(rf"qid=(\w+)[^\n]*{re.escape(mid)}", text))
        lines = [x for x in text.splitlines() if mid in x or any(q in x for q in ids)]
        return "\n".join(lines[-40:] + sorted(set(re.findall(r"lvl=error.*", text)))[-20:])


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
