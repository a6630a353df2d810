"""Our MIME parser beside Dovecot's: every message of the corpus, every item."""
import os
import subprocess
from pathlib import Path

import pytest

import mimecompare
from harness.dovecot import Dovecot

HERE = Path(__file__).parent
EXPECTED = HERE / "mime-differences.txt"
MOST_DIFFERENCES = 10


@pytest.fixture(scope="module")
def theirs(work, certs, corpus):
    """What Dovecot says: {name: values}."""
    named = mimecompare.messages(corpus)
    with Dovecot(work / "dovecot", certs) as d:
        imap = d.imap("mime@example.org")
        for name, data in named:
            kind, answer = imap.append("INBOX", None, None, data)
            assert kind == "OK", (name, answer)
        imap.select("INBOX")
        values = mimecompare.fetch(imap)
        imap.logout()
    return {name: values[i + 1] for i, (name, _) in enumerate(named)}


def mailparse(directory, named):
    """What our parser says, without a server: {name: values}."""
    tool = Path(os.environ["POSTROOM_BUILD"]) / "tests/tools/mailparse"
    directory.mkdir()
    out = {}
    for i, (name, data) in enumerate(named):
        path = directory / str(i)
        path.write_bytes(data)
        done = subprocess.run([tool, path], capture_output=True, timeout=60)
        assert done.returncode == 0, (name, done.stderr)
        out[name] = mimecompare.parse_response(done.stdout)[1]
    return out


def compare(ours, theirs):
    """Fails with every difference that mime-differences.txt does not name. Also for our server."""
    expected = mimecompare.Expected(EXPECTED)
    new = []
    for name in theirs:
        for item, a, b in mimecompare.differences(ours[name], theirs[name]):
            if not expected.covers(name, item):
                new.append(f"{name} {item}\n  ours   {a!r:.300}\n  theirs {b!r:.300}")
    assert not new, f"{len(new)} differences:\n" + "\n".join(new)
    assert not expected.unused(), "entries without a difference"
    assert len(expected.entries) <= MOST_DIFFERENCES


def test_structure_equals_dovecots(work, corpus, theirs):
    compare(mailparse(work / "messages", mimecompare.messages(corpus)), theirs)


def test_our_server_says_the_same(postroom, corpus, theirs):
    """The same over IMAP: what the store kept at APPEND is what clients get."""
    imap = postroom.imap("carmen.ortega@example.org")
    assert imap.create("mime")[0] == "OK"
    named = mimecompare.messages(corpus)
    for name, data in named:
        kind, answer = imap.append("mime", None, None, data)
        assert kind == "OK", (name, answer)
    imap.select("mime")
    values = mimecompare.fetch(imap)
    imap.logout()
    compare({name: values[i + 1] for i, (name, _) in enumerate(named)}, theirs)


def test_corpus_is_whole(corpus):
    names = [n for n, _ in mimecompare.messages(corpus)]
    assert len(corpus) >= 80 and sum(n.startswith("real.mbox:") for n in names) >= 29
