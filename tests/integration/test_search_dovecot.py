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
    new = [f"{q}\n  ours   {a:.300}\n  theirs {b:.300}" for q, a, b in pair.differences(questions)
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


# ---- SEARCH and SORT ----

FLAGS = ["", "\\Seen", "\\Answered \\Seen", "\\Flagged", "\\Deleted", "\\Draft $Junk", "Work",
         "\\Seen \\Flagged Work"]
KEYS = ["ALL", "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "NEW", "OLD", "RECENT", "SEEN",
        "UNANSWERED", "UNDELETED", "UNDRAFT", "UNFLAGGED", "UNSEEN", "KEYWORD Work",
        "UNKEYWORD Work", "KEYWORD $junk", "KEYWORD nosuch", "1:10,40,*", "40:30", "*", "UID 5:20",
        "UID 9999:*", "OLDER 1", "YOUNGER 1", "OLDER 864000", "YOUNGER 8640000",
        "OLDER 86400000", "(SEEN FLAGGED)", "NOT (SEEN FLAGGED)", "NOT NOT SEEN",
        "OR SEEN NOT KEYWORD Work", "OR (1:20 SEEN) (50:60 UNSEEN)", "1:* NOT 3:5 UNSEEN"]
KEYS += [f"{k} {n}" for k in ("LARGER", "SMALLER") for n in (0, 1, 600, 1023, 5000, 4294967295)]
KEYS += [f"{k} {d}" for k in ("BEFORE", "ON", "SINCE")
         for d in ("1-Oct-2026", "07-Oct-2026", '"20-Oct-2026"', "1-Jan-1970", "31-Dec-2037")]
# of those that have one right date
KEYS += [f"(SENT{k} {d} HEADER Date : NOT SUBJECT fixture)" for k in ("BEFORE", "ON", "SINCE")
         for d in ("1-Jan-1990", "1-Jan-2000", "1-Jul-2005", "15-Oct-2009", "1-Jan-2030")]
FIELDS = ["Subject", "From", "To", "Cc", "Bcc", "Date", "Message-ID", "Received", "X-Mailer",
          "Content-Type", "MIME-Version", "List-Id", "References", "Sender", "Reply-To"]
WORDS = ["", "RE:", "test", "example", "@", "<", "com>", "2004", "=?", "iso-8859", "text/plain",
         "BOUNDARY", "\\\"", "\\\\", "é", "É", "ü", "ß", "(", "java", "user@"]
NAMES = ["", "test", "example", "heinz m", "MÜLLER", "é", "2004", "user@", ".edu", "nosuch"]
TEXTS = ["picture", "RE:", "test", "example.com", "=?", "blueball", ".png", "Mozilla", "base64",
         "MESSAGE", "é", "ß", "Schmürgen", "nosuch"]
# without two days side by side: see the odd ones
SIMPLE_KEYS = [k for k in KEYS if not k.startswith(("BEFORE", "ON", "SINCE"))]
SORT_KEYS = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "REVERSE ARRIVAL",
             "REVERSE CC", "REVERSE DATE", "REVERSE FROM", "REVERSE SIZE", "REVERSE SUBJECT",
             "REVERSE TO", "SUBJECT REVERSE DATE", "FROM SUBJECT", "CC TO SIZE", "DISPLAYFROM",
             "DISPLAYTO", "REVERSE DISPLAYFROM SUBJECT"]


@pytest.fixture(scope="module")
def wild(pair, corpus):
    """The corpus, with flags, keywords and times; what has raw octets of an unknown charset in its
    header is among the odd ones."""
    out = []
    for _, data in mimecompare.messages(corpus):
        if data.split(b"\r\n\r\n")[0].isascii():
            i = len(out)
            out.append(Message(data, FLAGS[i % len(FLAGS)],
                               f"{i % 28 + 1:02}-Oct-2026 {i % 24:02}:30:00 +0000"))
    assert len(out) > 80
    pair.fill("wild", out)


@pytest.fixture
def ask(pair, expected, wild):
    pair.select("wild")
    return lambda questions: check(pair, expected, questions)


def test_keys(ask):
    ask([f"SEARCH {k}" for k in KEYS] + [f"SEARCH NOT {k}" for k in KEYS])


def test_headers(ask):
    ask([f'SEARCH CHARSET UTF-8 HEADER {f} "{w}"' for f in FIELDS for w in WORDS] +
        [f'SEARCH CHARSET UTF-8 SUBJECT "{w}"' for w in WORDS] +
        [f'SEARCH CHARSET UTF-8 {k} "{w}"' for k in ("FROM", "TO", "CC", "BCC") for w in NAMES])


def test_texts(ask):
    ask([f'SEARCH CHARSET UTF-8 {k} "{w}"' for k in ("BODY", "TEXT") for w in TEXTS])


def test_sort(ask):
    ask([f"SORT ({k}) UTF-8 {w}" for k in SORT_KEYS for w in ("ALL", "OR SEEN FLAGGED")])


def test_return(ask):
    ask([f"{command} RETURN ({what}) {rest}"
         for what in ("", "MIN", "MAX", "COUNT", "ALL", "MIN MAX", "MIN MAX COUNT ALL")
         for command, rest in [("SEARCH", "SEEN"), ("UID SEARCH", "SEEN"),
                               ("SEARCH", "KEYWORD none"), ("SORT", "(REVERSE SIZE) UTF-8 SEEN"),
                               ("UID SORT", "(DATE) UTF-8 KEYWORD none")]])


def test_saved(ask):
    ask(["SEARCH RETURN (SAVE) SEEN", "SEARCH $", "SEARCH NOT $ UNFLAGGED", "UID SEARCH UID $",
         "SEARCH RETURN (SAVE MIN) FLAGGED", "SEARCH $", "SEARCH RETURN (SAVE MIN MAX) ALL",
         "SEARCH $", "SORT RETURN (SAVE COUNT) (SUBJECT) UTF-8 SEEN", "SORT (DATE) UTF-8 $",
         "THREAD REFERENCES UTF-8 $", "SEARCH RETURN (SAVE) KEYWORD none", "SEARCH $"])


def test_threads_of_corpus(ask):
    ask([f"THREAD {a} UTF-8 {k}" for a in ("REFERENCES", "ORDEREDSUBJECT")
         for k in ("ALL", "SEEN", "1:60")])


def random_key(pick, depth):
    kind = pick.randint(0, 5)
    if depth == 0 or kind < 2:
        return pick.choice(SIMPLE_KEYS)
    if kind == 2:
        return f"NOT {random_key(pick, depth - 1)}"
    if kind == 3:
        return f"OR {random_key(pick, depth - 1)} {random_key(pick, depth - 1)}"
    if kind == 4:
        return f"SUBJECT {pick.choice('aeiou')}"
    return "(" + " ".join(random_key(pick, depth - 1) for _ in range(pick.randint(1, 3))) + ")"


def test_random_keys(ask):
    pick = random.Random(9)
    ask([f"SEARCH {random_key(pick, 4)}" for _ in range(200)])


def test_refused(ask):
    ask(["SEARCH", "SEARCH ()", "SEARCH OR SEEN", "SEARCH NOT", "SEARCH 0", "SEARCH (SEEN",
         "SEARCH LARGER x", "SEARCH ON 2-Foo-2026", "SEARCH HEADER x", "SEARCH CHARSET UTF-8",
         "SEARCH CHARSET x-none ALL",
         "SEARCH RETURN (FOO) ALL", "SORT () UTF-8 ALL", "SORT (FOO) UTF-8 ALL",
         "SORT (REVERSE) UTF-8 ALL", "SORT (DATE) ALL", "SORT (DATE) x-none ALL",
         "THREAD FOO UTF-8 ALL", "THREAD REFERENCES UTF-8"])


# ---- what is answered otherwise ----

ODD = [
    Message("Subject: Grüße\r\nTo: Heinz Müller <h@x>\r\n\r\n".encode("latin-1")),
    Message(b"Subject: no date\r\n\r\n"),
    Message(b"Date: 1 Nov 2020 aa:bb\r\nDate: 1 Nov 2020 10:00:00 +0000\r\n\r\n"),
    Message(b"Subject: from Tokyo\r\n\r\n", when="02-Nov-2025 05:30:00 +0900"),
    Message(b"Subject: one\r\n\ttwo   three\r\n\r\n"),
    Message(b"From: joe@example.org (the \"plumber\")\r\nTo: Someone\r\n\r\n"),
    Message(b"Subject: from the future\r\n\r\n", when="01-Jan-2040 10:00:00 +0000"),
]
ODD_QUESTIONS = [
    "SEARCH 9999:*",
    "SEARCH UNKEYWORD \\Seen",
    "SEARCH ON 32-Jan-2026",
    'SEARCH CHARSET UTF-8 SUBJECT "ü"',
    'SEARCH CHARSET UTF-8 TO "müller"',
    "SEARCH SENTBEFORE 1-Jan-2030",
    "SEARCH ON 2-Nov-2025",
    "SEARCH ON 1-Nov-2025",
    'SEARCH HEADER Subject "one\ttwo"',
    'SEARCH SUBJECT "two   three"',
    'SEARCH FROM "(the"',
    'SEARCH FROM "<"',
    'SEARCH TO "MISSING_DOMAIN"',
    "SEARCH SINCE 1-Jan-2040",
    "SEARCH NOT (OR SINCE 1-Oct-2020 SINCE 31-Dec-2060 SUBJECT from)",
]


def test_odd_ones(pair, expected):
    pair.fill("odd", ODD)
    pair.select("odd")
    check(pair, expected, ODD_QUESTIONS)
    assert not expected.unused(), "entries without a difference"
