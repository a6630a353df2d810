"""Nasty messages: the parser ends, keeps its limits, and says something well-formed. Times are
printed, not judged; a test that is no longer linear shows itself by its minutes."""
import imaplib
import os
import re
import subprocess
from pathlib import Path

import pytest

import mimecompare
import nasty

MESSAGES = nasty.messages()


def mailparse(path):
    tool = Path(os.environ["POSTROOM_BUILD"]) / "tests/tools/mailparse"
    done = subprocess.run([tool, path], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    response, counts = done.stdout.rstrip(b"\n").rsplit(b"\n", 1)
    m = re.match(rb"parts=(\d+) depth=(\d+) cut=(\d) us=(\d+) ", counts)
    return response, tuple(int(x) for x in m.groups())


@pytest.mark.parametrize("name", MESSAGES)
def test_nasty(name, tmp_path):
    path = tmp_path / "m"
    path.write_bytes(MESSAGES[name])
    response, (parts, depth, cut, us) = mailparse(path)
    print(f"{name}: {len(MESSAGES[name])} octets, {parts} parts, {us} us")
    assert (parts, depth, cut) == nasty.EXPECTED.get(name, (1, 1, 0))
    # balanced and whole: the same reader that reads Dovecot's answers
    values = mimecompare.parse_response(response)[1]
    assert set(values) == {"ENVELOPE", "BODYSTRUCTURE", "BODY"}
    assert len(values["ENVELOPE"]) == 10


def envelope(name, tmp_path):
    path = tmp_path / "m"
    path.write_bytes(MESSAGES[name])
    return mimecompare.parse_response(mailparse(path)[0])[1]["ENVELOPE"]


def test_no_address_is_lost(tmp_path):
    assert len(envelope("addresses-100000", tmp_path)[5]) == 100000
    assert len(envelope("fields-100000", tmp_path)[5]) == 100000


def test_long_subject_is_whole(tmp_path):
    assert len(envelope("long-line", tmp_path)[1]) == 1024 * 1024


def test_text_of_leaf_is_exact(tmp_path):
    """NUL and lone line feeds count as what they are: one octet each."""
    for name in ("zeros", "line-feeds"):
        path = tmp_path / name
        path.write_bytes(MESSAGES[name])
        body = mimecompare.parse_response(mailparse(path)[0])[1]["BODY"]
        assert body[6] == len(MESSAGES[name]) - MESSAGES[name].index(b"\r\n\r\n") - 4


@pytest.fixture
def mailbox(postroom, monkeypatch):
    # a structure of 10,000 parts is one long line
    monkeypatch.setattr(imaplib, "_MAXLINE", 100_000_000)
    imap = postroom.imap("carmen.ortega@example.org")
    imap.create("nasty")
    yield imap
    imap.logout()


@pytest.mark.parametrize("name", [n for n in MESSAGES if MESSAGES[n]])
def test_nasty_through_the_server(mailbox, name):
    """Appended, its structure fetched and parsed, searched, and back octet for octet."""
    data = MESSAGES[name]
    # imaplib makes CR LF of bare line feeds; the server gets what len says
    want = mimecompare.crlf(data)
    assert mailbox.append("nasty", None, None, want)[0] == "OK"
    kind, count = mailbox.select("nasty")
    n = count[0].decode()
    values = mimecompare.fetch(mailbox, n, ["ENVELOPE", "BODYSTRUCTURE"])[int(n)]
    assert len(values["ENVELOPE"]) == 10
    kind, parts = mailbox.fetch(n, "(RFC822.SIZE BODY.PEEK[])")
    assert kind == "OK" and parts[0][1] == want
    kind, hits = mailbox.search(None, n, "TEXT", '"no such words"')
    assert kind == "OK" and hits == [b""]
    kind, parts = mailbox.fetch(n, "(BODY.PEEK[1.1.1.MIME] BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert kind == "OK"
