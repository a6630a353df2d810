"""Messages of realistic shape for benchmarks: threads, attachments, 2 to 60 KiB; the same ones for the
same number, so that every server gets the same mailbox."""
import base64
import email.utils
import random
import smtplib
import threading

WORDS = ("project budget meeting review schedule contract delivery customer report quarter figure "
         "draft version question answer agenda travel invoice order partner office server network "
         "update change release problem solution team market product service support").split()
TOPICS = ("Quarterly report", "Budget 2026", "Office move", "Server maintenance", "Travel plans",
          "Contract draft", "Team meeting", "Customer visit", "Invoice", "Release schedule")


def text(r, size):
    out, line, n = [], [], 0
    while n < size:
        line.append(r.choice(WORDS))
        if len(line) == 11:
            out.append(" ".join(line))
            n += len(out[-1]) + 2
            line = []
    return "\r\n".join(out)


def message(i):
    r = random.Random(i)
    thread = i // 4
    topic = TOPICS[thread % len(TOPICS)]
    first = i % 4 == 0
    when = email.utils.formatdate(1_700_000_000 + i * 600)
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
        data = base64.encodebytes(r.randbytes(r.randrange(2000, 38000))).decode()
        head.append('Content-Type: multipart/mixed; boundary="b%d"' % i)
        body = (f"--b{i}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n--b{i}\r\n"
                "Content-Type: application/pdf; name=\"paper.pdf\"\r\n"
                "Content-Disposition: attachment; filename=\"paper.pdf\"\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n"
                + data.replace("\n", "\r\n") + f"--b{i}--\r\n")
    else:
        head.append("Content-Type: text/plain; charset=utf-8")
    return ("\r\n".join(head) + "\r\n\r\n" + body + "\r\n").encode()


def deliver(lmtp_socket, user, count, connections=8):
    """Deliver messages 0 … count-1 by LMTP, in stripes over several connections."""
    errors = []

    def one(k):
        try:
            with smtplib.LMTP(lmtp_socket) as c:
                c.ehlo("bench")
                for i in range(k, count, connections):
                    c.sendmail("person@example.net", [user], message(i))
        except Exception as e:  # noqa: BLE001 - reported by the caller's thread
            errors.append(e)

    threads = [threading.Thread(target=one, args=(k,)) for k in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
