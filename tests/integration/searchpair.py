"""Two servers with the same messages, the same questions, and the differences.

    p = Pair(ours, theirs)               # two RawImap, logged in
    p.fill("mailbox", [Message(data, flags, when), …])
    p.select("mailbox")
    p.differences(["SEARCH ALL", …])     # [(question, our answer, their answer), …]
    p.close()
    Expected(path)                       # the differences that are known, with their reasons
"""
import fnmatch
import re
from dataclasses import dataclass


@dataclass
class Message:
    data: bytes
    flags: str = ""
    when: str = "20-Nov-2026 10:00:00 +0000"


def fill(imap, mailbox, messages):
    """By MULTIAPPEND, some at a time."""
    assert imap.ask(f"CREATE {mailbox}")[0].startswith("OK")
    for at in range(0, len(messages), 100):
        imap.send(f"a APPEND {mailbox}".encode() + b"".join(
            f' ({m.flags}) "{m.when}" {{{len(m.data)}+}}\r\n'.encode() + m.data
            for m in messages[at:at + 100]) + b"\r\n")
        done = imap.until("a")[-1]
        assert done.startswith("a OK"), done


def answer(imap, question):
    """What was said, without what may differ: the order of the numbers of a SEARCH and of the
    items of an ESEARCH, texts."""
    done, lines = imap.ask(question)
    if not done.startswith("OK"):
        return re.match(r"(?:NO|BAD)(?: \[[A-Z]+)?", done).group(0)
    said = [x[2:] for x in lines if re.match(r"\* (?:E?SEARCH|SORT|THREAD)\b", x)]
    said = [re.sub(r'\(TAG "[^"]*"\)', "", x).strip() for x in said]
    if not said:
        return "nothing"
    word, *rest = said[0].split()
    if word == "SEARCH":
        rest = map(str, sorted(map(int, rest)))
    if word == "ESEARCH":
        uid, rest = rest[:1] == ["UID"], rest[rest[:1] == ["UID"]:]
        rest = ["UID"] * uid + sorted(f"{a} {b}" for a, b in zip(rest[::2], rest[1::2]))
    return " ".join([word, *rest])


class Pair:
    def __init__(self, ours, theirs):
        self.both = (ours, theirs)

    def fill(self, mailbox, messages):
        for imap in self.both:
            fill(imap, mailbox, messages)

    def select(self, mailbox):
        for imap in self.both:
            assert imap.ask(f"SELECT {mailbox}")[0].startswith("OK")

    def differences(self, questions):
        out = []
        for q in questions:
            a, b = (answer(imap, q) for imap in self.both)
            if a != b:
                out.append((q, a, b))
        return out

    def close(self):
        for imap in self.both:
            imap.sock.close()


class Expected:
    """Lines of "question | RFC section | why"; the question may have "*" in it."""

    def __init__(self, path):
        self.entries, self.used = [], set()
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                question, rfc, why = (w.strip() for w in line.split("|"))
                assert re.match(r"RFC \d+ \S+", rfc) and why, f"no RFC section: {line}"
                self.entries.append((question, rfc, why))

    def covers(self, question):
        for i, (pattern, _, _) in enumerate(self.entries):
            if fnmatch.fnmatchcase(question, pattern.replace("[", "[[]")):
                self.used.add(i)
                return True
        return False

    def unused(self):
        return [e for i, e in enumerate(self.entries) if i not in self.used]
