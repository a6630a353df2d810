"""Messages of realistic shape for benchmarks: threads, attachments, 2 to 60 KiB; the same ones for the
same number, so that every server gets the same mailbox."""
import base64
import email.utils
import os
import random
import socket
import time

BATCH = 100

WORDS = ("project budget meeting review schedule contract delivery customer report quarter figure "
         "draft version question answer agenda travel invoice order partner office server network "
         "update change release problem solution team market product service support").split()
TOPICS = ("Quarterly report", "Budget 2026", "Office move", "Server maintenance", "Travel plans",
          "Contract draft", "Team meeting", "Customer visit", "Invoice", "Release schedule")


def _lines(count):
    r = random.Random(0)
    return [" ".join(r.choice(WORDS) for _ in range(11)) for _ in range(count)]


# made once: 100,000 messages take their text from here
LINES = _lines(20000)
BASE64 = base64.encodebytes(random.Random(1).randbytes(1 << 20)).decode().split("\n")[:-1]


def text(r, size):
    """Lines from a random place on, about size octets."""
    n = max(1, size // 76)
    at = r.randrange(len(LINES) - n)
    return "\r\n".join(LINES[at:at + n])


def attachment(r, size):
    n = max(1, size // 57)
    at = r.randrange(len(BASE64) - n)
    return "\r\n".join(BASE64[at:at + n]) + "\r\n"


def date(i):
    return 1_700_000_000 + i * 600


def message(i):
    r = random.Random(i)
    thread = i // 4
    topic = TOPICS[thread % len(TOPICS)]
    first = i % 4 == 0
    when = email.utils.formatdate(date(i))
    head = [f"From: Person {i % 40} <person{i % 40}@example.net>",
            "To: Bench <bench0@example.org>, Team <team@example.net>",
            "Cc: " + ", ".join(f"Colleague {k} <colleague{k}@example.net>"
                               for k in range(r.randrange(4))) if r.random() < .5
            else "Reply-To: desk@example.net",
            f"Subject: {'' if first else 'Re: '}{topic} {thread}",
            f"Date: {when}", f"Message-ID: <m{i}@example.net>", "MIME-Version: 1.0",
            "Received: from a.example.net by mx.example.org; " + when,
            "Received: from b.example.net by a.example.net; " + when,
            "X-Mailer: Example 1.0"]
    if not first:
        head.append("In-Reply-To: <m%d@example.net>" % (i - 1))
        head.append("References: " + " ".join(f"<m{k}@example.net>" for k in range(i - i % 4, i)))
    body = text(r, r.randrange(1200, 8000))
    if i % 50 == 7:
        body += "\r\nthe needle in this haystack"
    if i % 3 == 0:
        data = attachment(r, r.randrange(2000, 38000))
        head.append('Content-Type: multipart/mixed; boundary="b%d"' % i)
        body = (f"--b{i}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n--b{i}\r\n"
                "Content-Type: application/pdf; name=\"paper.pdf\"\r\n"
                "Content-Disposition: attachment; filename=\"paper.pdf\"\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n"
                + data + f"--b{i}--\r\n")
    else:
        head.append("Content-Type: text/plain; charset=utf-8")
    return ("\r\n".join(head) + "\r\n\r\n" + body + "\r\n").encode()


def flags(i):
    """Most were read, some answered, flagged or passed on; every fifth is new."""
    r = random.Random(-1 - i)
    out = [] if i % 5 == 4 else ["\\Seen"]
    out += [f for f, p in (("\\Answered", .1), ("\\Flagged", .02), ("$Forwarded", .03)) if r.random() < p]
    return " ".join(out)


class Spool:
    """The messages as APPEND commands in one file, made once and sent to every server: many messages a
    command (RFC 3502), so that filling is not bound by a flush each."""

    def __init__(self, path):
        self.file = open(path, "w+b")
        self.count = 0
        self.batches = []  # first message, one behind the last, offset, octets

    def grow(self, count):
        while self.count < count:
            end = min(count, self.count + BATCH)
            at = self.file.seek(0, os.SEEK_END)
            out = [b"a APPEND INBOX"]
            for i in range(self.count, end):
                text = message(i)
                when = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(date(i) + 5))
                out.append(b' (%s) "%s" {%d+}\r\n' % (flags(i).encode(), when.encode(), len(text)))
                out.append(text)
            out.append(b"\r\n")
            size = self.file.write(b"".join(out))
            self.batches.append((self.count, end, at, size))
            self.count = end
        self.file.flush()

    def send(self, port, user, password, first, count):
        """Messages first … count-1; both at the border of a batch."""
        self.grow(count)
        with socket.create_connection(("127.0.0.1", port), timeout=300) as s:
            answer = s.makefile("rb")
            answer.readline()
            s.sendall(f"a LOGIN {user} {password}\r\n".encode())
            self._ok(answer)
            for begin, end, at, size in self.batches:
                if begin < first or end > count:
                    continue
                while size > 0:
                    sent = os.sendfile(s.fileno(), self.file.fileno(), at, size)
                    at, size = at + sent, size - sent
                self._ok(answer)

    @staticmethod
    def _ok(answer):
        line = answer.readline()
        while not line.startswith(b"a "):
            if not line:
                raise RuntimeError("connection closed")
            line = answer.readline()
        if not line.startswith(b"a OK"):
            raise RuntimeError(repr(line))

    def close(self):
        self.file.close()
