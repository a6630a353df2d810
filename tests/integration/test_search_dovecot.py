"""SEARCH, SORT and THREAD beside Dovecot's: the same messages, the same questions, and the same
answers, but for those that search-differences.txt names."""
import random
from pathlib import Path

import pytest

import mimecompare
from harness.dovecot import Dovecot
from harness.rawimap import RawImap
from harness.instance import password_of
from searchpair import Expected, Message, Pair

EXPECTED = Path(__file__).parent / "search-differences.txt"
THREADS = "THREAD REFERENCES UTF-8"
USER = "carmen.ortega"


@pytest.fixture(scope="module")
def pair(work, certs, postroom):
    ours = RawImap("127.0.0.1", postroom.imap_port)
    assert ours.ask(f"LOGIN {USER} {password_of(USER)}")[0].startswith("OK")
    with Dovecot(work / "dovecot", certs) as d:
        theirs = RawImap("127.0.0.1", d.imap_port)
        assert theirs.ask("LOGIN search@example.org pass")[0].startswith("OK")
        p = Pair(ours, theirs)
        yield p
        p.close()


@pytest.fixture(scope="module")
def expected():
    return Expected(EXPECTED)


def check(pair, expected, questions):
    new = [f"{q}\n  ours   {a:.600}\n  theirs {b:.600}" for q, a, b in pair.differences(questions)
           if not expected.covers(q)]
    assert not new, f"{len(new)} differences:\n" + "\n".join(new)


# ---- THREAD ----

class Mail:
    """One made for THREAD: ids are numbers of their case."""

    def __init__(self, case):
        self.case = case

    def id(self, n):
        return f"<m{n}.{self.case}@example.org>"

    def message(self, own, refs=(), subject="", day=1, reply_to=()):
        text = f"From: a@example.org\r\nDate: {day} Nov 2026 10:00:00 +0000\r\n"
        if own is not None:
            text += f"Message-ID: {self.id(own)}\r\n"
        if refs:
            text += "References:" + "".join(f"\r\n {self.id(n)}" for n in refs) + "\r\n"
        if reply_to:
            text += "In-Reply-To: " + " ".join(map(self.id, reply_to)) + "\r\n"
        if subject is not None:
            text += f"Subject: {subject}\r\n"
        return Message(f"{text}\r\nText\r\n".encode())


SUBJECTS = ["Lunch", "Re: Lunch", "Fwd: lunch", "[list] Lunch", "Re: [list] LUNCH (fwd)",
            "Re[2]: Lunch", "[fwd: Lunch]", "Plans", "RE: Plans", "=?utf-8?q?Caf=C3=A9?=",
            "Re: =?iso-8859-1?b?Y2Fm6Q==?=", "Re: ", "[only]", "", None]


def random_case(case, pick):
    """Ids that answer each other as it comes: loops, absent parents; sometimes the same id twice,
    and subjects that belong together."""
    m, out = Mail(case), []
    ids = list(range(pick.randint(4, 20)))
    pick.shuffle(ids)
    twice, by_subject = case % 3 == 1, case % 2 == 1
    for i in range(pick.randint(3, len(ids) - 1)):
        own = pick.choice(ids) if twice else ids[i]
        refs = [pick.choice(ids) for _ in range(pick.randint(0, 4))]
        if not twice:
            refs = [n for n in refs if n != own]
        subject = f"subject of {own}.{case}"
        if by_subject:
            subject = pick.choice(SUBJECTS)
            for word in ("unch", "lans", "LUNCH"):
                subject = subject and subject.replace(word, f"{word} {case}")
        kind = pick.randint(0, 9)
        out.append(m.message(None if kind == 0 else own, refs if kind < 8 else (), subject,
                             pick.randint(1, 28), refs if kind > 6 else ()))
    return out


@pytest.fixture(scope="module")
def threads(pair):
    pick, boxes, messages = random.Random(5), {}, []
    for case in range(60):
        made = random_case(case, pick)
        boxes[f"random-{case}"] = (len(messages) + 1, len(messages) + len(made))
        messages += made
    pair.fill("threads", messages)
    pair.select("threads")
    return boxes


def test_threads(pair, expected, threads):
    check(pair, expected, [f"{THREADS} {a}:{b}" for a, b in threads.values()])
