"""Everything FETCH says of a message beside Dovecot's answers: ENVELOPE, BODYSTRUCTURE, BODY, each section
of each part, BINARY of each leaf; over the corpus, the wild messages and the smaller nasty ones. What
differs stands in mime-differences.txt with the RFC's section."""
import base64
import binascii
import itertools
import quopri
import re
from pathlib import Path

import pytest

import mimecompare
import nasty
import wild
from harness.dovecot import Dovecot
from harness.instance import password_of
from harness.rawimap import RawImap

EXPECTED = Path(__file__).parent / "mime-differences.txt"
USER = "carmen.ortega"
PARTS_MAX, NASTY_BYTES_MAX, DIFFERENCES_MAX = 15, 100_000, 20
WHOLE = ["RFC822.SIZE", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]",
         "BODY.PEEK[TEXT]<3.20>", "BODY.PEEK[HEADER.FIELDS (SUBJECT from X-None Content-Type)]",
         "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT from RECEIVED)]", "BODY.PEEK[7.7]", "BODY.PEEK[1.1.1]"]


def all_messages(corpus):
    out = mimecompare.messages(corpus)
    out += [(f"wild:{name}", data) for name, data in wild.messages().items()]
    out += [(f"nasty:{name}", data) for name, data in nasty.messages().items()
            if data and len(data) <= NASTY_BYTES_MAX]
    return out


def parts_of(body, path=""):
    """[(path, is a leaf, is a message)] of a BODYSTRUCTURE."""
    if not body:
        return
    if isinstance(body[0], list):
        if path:
            yield path, False, False
        for n, part in enumerate(itertools.takewhile(lambda b: isinstance(b, list), body), 1):
            yield from parts_of(part, f"{path}.{n}" if path else str(n))
    elif len(body) > 8 and isinstance(body[7], list) and isinstance(body[8], list):
        path = path or "1"
        yield path, False, True
        inner = body[8]
        yield from parts_of(inner, path if inner and isinstance(inner[0], list) else path + ".1")
    else:
        yield path or "1", True, False


def sections(parts):
    out = list(WHOLE)
    for path, _, message in parts:
        out += [f"BODY.PEEK[{path}]", f"BODY.PEEK[{path}.MIME]"]
        if message:
            out += [f"BODY.PEEK[{path}.HEADER]", f"BODY.PEEK[{path}.TEXT]",
                    f"BODY.PEEK[{path}.HEADER.FIELDS (SUBJECT)]"]
    return out


def put_all(imap, named):
    for i, (name, data) in enumerate(named):
        imap.send(f"a{i} APPEND sections {{{len(data)}+}}\r\n".encode() + data + b"\r\n")
        done = imap.until(f"a{i}")[-1]
        assert done.startswith(f"a{i} OK"), (name, done)


def structures(imap, named):
    assert imap.ask("CREATE sections")[0].startswith("OK")
    put_all(imap, named)
    assert imap.ask("SELECT sections")[0].startswith("OK")
    _, values = mimecompare.ask(imap, "FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY)")
    return {name: values[i + 1] for i, (name, _) in enumerate(named)}


def contents(imap, named, parts):
    """{name: {item: octets}}, with "NO" for a BINARY that was refused."""
    out = {}
    for number, (name, _) in enumerate(named, 1):
        done, values = mimecompare.ask(imap, f"FETCH {number} ({' '.join(sections(parts[name]))})")
        assert done.startswith(b"OK"), (name, done)
        out[name] = values[number]
        for path, is_leaf, _ in parts[name]:
            if is_leaf:
                done, values = mimecompare.ask(imap, f"FETCH {number} (BINARY.PEEK[{path}])")
                out[name][f"BINARY[{path}]"] = (
                    values[number][f"BINARY[{path}]"] if done.startswith(b"OK") else "NO")
    return out


@pytest.fixture(scope="module")
def named(corpus):
    return all_messages(corpus)


@pytest.fixture(scope="module")
def both(work, certs, postroom, named):
    """Per server: structures, contents; asked for what Dovecot's structure names."""
    ours = RawImap("127.0.0.1", postroom.imap_port)
    assert ours.ask(f"LOGIN {USER} {password_of(USER)}")[0].startswith("OK")
    with Dovecot(work / "dovecot-sections", certs) as d:
        theirs = RawImap("127.0.0.1", d.imap_port)
        assert theirs.ask("LOGIN sections@example.org pass")[0].startswith("OK")
        a, b = structures(ours, named), structures(theirs, named)
        parts = {name: list(parts_of(b[name]["BODYSTRUCTURE"]))[:PARTS_MAX] for name, _ in named}
        yield (a, contents(ours, named, parts)), (b, contents(theirs, named, parts)), ours, parts
        theirs.sock.close()
    ours.sock.close()


def test_corpus_is_whole(corpus):
    names = [n for n, _ in mimecompare.messages(corpus)]
    assert len(corpus) >= 80 and sum(n.startswith("real.mbox:") for n in names) >= 29


def test_all_is_as_dovecots(both, named):
    (a, x), (b, y), _, _ = both
    expected = mimecompare.Expected(EXPECTED)
    new, same = [], 0
    for name, _ in named:
        have = {path for path, _, _ in parts_of(a[name]["BODYSTRUCTURE"])}
        pairs = mimecompare.differences(a[name], b[name])
        for item in sorted(set(x[name]) | set(y[name])):
            ours, theirs = x[name].get(item, "absent"), y[name].get(item, "absent")
            same += ours == theirs
            if ours != theirs:
                path = re.match(r"B\w+\[([0-9.]*[0-9])?", item)
                absent = ours is None and path and path.group(1) not in have
                pairs.append(("absent " * bool(absent) + item, ours, theirs))
        new += [f"{name} {item}\n  ours   {p!r:.300}\n  theirs {q!r:.300}"
                for item, p, q in pairs if not expected.covers(name, item)]
    assert not new, f"{len(new)} differences, {same} equal:\n" + "\n".join(new)
    assert not expected.unused(), "entries without a difference"
    assert len(expected.entries) <= DIFFERENCES_MAX
    assert same > 4000


def test_sizes_are_right(both, named):
    """What BINARY.SIZE says is what BINARY has; Dovecot counts other line ends."""
    (_, x), _, imap, parts = both
    checked = 0
    for number, (name, _) in enumerate(named, 1):
        for path, is_leaf, _ in parts[name]:
            octets = x[name].get(f"BINARY[{path}]") if is_leaf else "NO"
            if octets != "NO":
                _, values = mimecompare.ask(imap, f"FETCH {number} (BINARY.SIZE[{path}])")
                assert values[number][f"BINARY.SIZE[{path}]"] == len(octets or b""), (name, path)
                checked += 1
    assert checked > 300


def test_decoded_parts_equal_pythons(both, named):
    """Sound parts against the standard library's decoders."""
    (_, x), _, _, parts = both
    checked = 0
    for name, _ in named:
        for path, is_leaf, _ in parts[name]:
            raw, octets = x[name].get(f"BODY[{path}]"), x[name].get(f"BINARY[{path}]")
            mime = x[name].get(f"BODY[{path}.MIME]")
            if not is_leaf or not mime or not isinstance(octets, bytes) or raw is None:
                continue
            how = re.findall(rb"(?mi)^content-transfer-encoding: *([a-z0-9-]+)", mime)
            # the root of a message that is no MIME, and what no decoder knows
            if how[1:] or (how and not re.search(rb"(?mi)^(content-type|mime-version):", mime)):
                continue
            how = how[0].lower() if how else b"7bit"
            if how == b"base64":
                try:
                    want = base64.b64decode(re.sub(rb"\s", b"", raw), validate=True)
                except binascii.Error:
                    continue
            elif how == b"quoted-printable":
                want = quopri.decodestring(raw)
                if re.search(rb"=(?![0-9A-Fa-f]{2}|\r?\n|$)|[ \t]\r?\n|[ \t=]$", raw):
                    continue
            else:
                want = raw
            assert octets == want, (name, path)
            checked += 1
    assert checked > 200


def test_previews_are_text(both, named):
    _, _, imap, _ = both
    _, values = mimecompare.ask(imap, "FETCH 1:* (PREVIEW)")
    for number, (name, _) in enumerate(named, 1):
        text = values[number]["PREVIEW"].decode()
        assert len(text) <= 200 and text == text.strip(), name
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", text), (name, text)
