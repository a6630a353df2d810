"""A message file that is gone, cut or broken fails alone: the other messages come, the client hears NO
with a code, the log names the file, and the session goes on."""
import os
import re
import time

import pytest

from harness.instance import password_of
from harness.rawimap import RawImap

USER = "anna.berg"
BODY = "From: a@example.org\r\nSubject: number %d\r\n\r\ntext of %d\r\n"


@pytest.fixture(scope="module")
def mailbox(postroom):
    """Five messages in INBOX, and their files by UID."""
    c = RawImap("127.0.0.1", postroom.imap_port)
    assert c.ask(f"LOGIN {USER} {password_of(USER)}")[0].startswith("OK")
    files = {}
    folder = postroom.home(f"{USER}@example.org")
    for n in range(1, 6):
        text = BODY % (n, n) + ("x" * 76 + "\r\n") * (2000 if n == 5 else 1)
        before = set(folder.glob("msg/*/*"))
        c.send(f"a APPEND INBOX {{{len(text)}+}}\r\n{text}\r\n")
        assert c.until("a")[-1].startswith("a OK")
        [files[n]] = set(folder.glob("msg/*/*")) - before
    assert c.ask("SELECT INBOX")[0].startswith("OK")
    return c, files


def logged(postroom, path, reason):
    """One line names it. What roles log reaches the file a moment later."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        lines = [x for x in postroom.log_text().splitlines()
                 if "ev=imap.unreadable" in x and f"file={path} " in x]
        if lines:
            assert reason in lines[0], lines[0]
            return len(lines)
        time.sleep(0.05)
    raise AssertionError(f"no line names {path}")


def cool(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def test_cold_files_are_given(mailbox):
    """What is not in memory comes by way of the pool, whichever way it is sent."""
    c, files = mailbox
    answers = []
    for cold in (False, True):
        for path in files.values():
            if cold:
                cool(path)
        status, lines = c.ask("FETCH 1:5 (UID BODY.PEEK[])")
        assert status.startswith("OK")
        answers.append(lines)
    assert answers[0] == answers[1]
    assert "text of 5" in answers[1]


def test_one_unreadable_file(postroom, mailbox):
    c, files = mailbox
    files[2].unlink()
    status, lines = c.ask("FETCH 1:5 (UID BODY.PEEK[])")
    assert status.startswith("NO [EXPUNGEISSUED]"), status
    rows = [x for x in lines if re.match(r"\* \d+ FETCH ", x)]
    assert [x.split()[1] for x in rows] == ["1", "3", "4", "5"]
    assert logged(postroom, files[2], "it is not there") == 1
    with open(files[3], "r+b") as f:
        f.truncate(10)
    status, lines = c.ask("UID FETCH 3:5 (UID BODY.PEEK[TEXT])")
    assert status.startswith("NO [CORRUPTION]"), status
    assert sum(" FETCH (UID" in x for x in lines) == 2
    assert logged(postroom, files[3], "not what the index says") == 1
    # what the index knows is there, and the session too
    status, lines = c.ask("FETCH 1:5 (UID FLAGS ENVELOPE BODYSTRUCTURE)")
    assert status.startswith("OK") and len(lines) >= 5
    assert c.ask("FETCH 4 BODY[]")[0].startswith("OK")
    assert c.ask("COPY 1:5 Archive")[0].startswith("OK")
