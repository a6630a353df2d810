"""Mail to user+tag with lmtp.detail = create: into the mailbox that the tag names, over LMTP and by
way of submission and the queue; never where a sender has no business."""
import time

import pytest

from harness.instance import Instance

USER = "anna.berg"
ADDRESS = f"{USER}@example.org"
BODY = b"From: x@example.net\r\nSubject: tagged\r\n\r\nHello\r\n"


@pytest.fixture(scope="module")
def postroom(work, slapd, certs):
    i = Instance(work / "postroom", slapd, certs, settings="""
lmtp {
	detail = "create"
	detail_mailboxes_max = 9
}
imap {
	separator = "."
}
""")
    i.start()
    yield i
    i.stop()


def deliver(postroom, *tags):
    with postroom.lmtp() as c:
        c.ehlo_or_helo_if_needed()
        assert c.mail("x@example.net")[0] == 250
        for tag in tags:
            assert c.rcpt(f"{USER}{tag}@example.org")[0] == 250
        assert c.docmd("DATA")[0] == 354
        c.send(BODY + b".\r\n")
        assert [c.getreply()[0] for _ in tags] == [250] * len(tags)


def messages(c, mailbox):
    typ, data = c.status(mailbox, "(MESSAGES)")
    return int(data[0].rsplit(b" ", 1)[1].rstrip(b")")) if typ == "OK" else None


def names(c, command=b"LIST"):
    data = (c.list if command == b"LIST" else c.lsub)()[1]
    return {line.rsplit(b" ", 1)[1].strip(b'"').decode() for line in data if line}


def test_tags_name_mailboxes(postroom):
    with postroom.imap(ADDRESS) as c:
        before = names(c)
        assert {"Trash", "Sent", "Drafts", "Junk"} <= before
        deliver(postroom, "", "+lists.work", "+lists.work", "+Junk", "+inbox")
        assert messages(c, "INBOX") == 2
        assert messages(c, "lists.work") == 2
        assert messages(c, "Junk") == 1
        assert "lists.work" in names(c, b"LSUB")
        assert names(c) == before | {"lists", "lists.work"}


def test_where_a_sender_has_no_business(postroom):
    odd = ["+Sent", "+Trash", "+Drafts", "+Trash.x", "+", "+%", "+*", "+~root", "+#x"]
    with postroom.imap(ADDRESS) as c:
        before, inbox = names(c), messages(c, "INBOX")
        deliver(postroom, *odd)
        assert messages(c, "INBOX") == inbox + len(odd)
        for box in ("Sent", "Trash", "Drafts"):
            assert messages(c, box) == 0
        assert names(c) == before


def test_no_more_than_the_limit(postroom):
    with postroom.imap(ADDRESS) as c:
        many, inbox = len(names(c)), messages(c, "INBOX")
        deliver(postroom, *[f"+t{k}" for k in range(12)])
        assert len(names(c)) == 9 > many
        assert messages(c, "INBOX") == inbox + 12 - (9 - many)


def test_through_submission_and_the_queue(postroom):
    with postroom.smtp(ADDRESS) as s:
        s.sendmail(ADDRESS, [f"{USER}+lists.work@example.org"],
                   BODY.replace(b"x@example.net", ADDRESS.encode()))
    with postroom.imap(ADDRESS) as c:
        until = time.monotonic() + 180
        while messages(c, "lists.work") != 3:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_the_store_is_whole(postroom):
    assert postroom.command("store", "check", ADDRESS).returncode == 0
