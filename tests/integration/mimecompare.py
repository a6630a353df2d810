"""Comparing ENVELOPE and BODYSTRUCTURE between servers, item by item.

    values = fetch(imap)                 # {number: {"ENVELOPE": …, "BODYSTRUCTURE": …, "BODY": …}}
    values = parse_response(b"* 1 FETCH (…)")
    differences(ours, theirs)            # [("BODYSTRUCTURE.1.params", ours, theirs), …]
    messages(corpus)                     # [(name, octets with CRLF), …]; real.mbox is split
    Expected(path)                       # the differences that are known, with their reasons
"""
import fnmatch
import re
from pathlib import Path

ITEMS = ("ENVELOPE", "BODYSTRUCTURE", "BODY")


class _Reader:
    """One parenthesised IMAP value; NIL is None, numbers are int, strings bytes, lists list."""

    def __init__(self, data):
        self.d = data
        self.i = 0

    def value(self):
        d = self.d
        c = d[self.i:self.i + 1]
        if c == b"(":
            self.i += 1
            out = []
            while d[self.i:self.i + 1] != b")":
                if d[self.i:self.i + 1] == b" ":
                    self.i += 1
                out.append(self.value())
            self.i += 1
            return out
        if c == b'"':
            m = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.S).match(d, self.i)
            self.i = m.end()
            return re.sub(rb"\\(.)", rb"\1", m.group(1), flags=re.S)
        if c in (b"{", b"~"):
            m = re.compile(rb"~?\{(\d+)\}\r\n").match(d, self.i)
            self.i = m.end() + int(m.group(1))
            return d[m.end():self.i]
        m = re.compile(rb"[^ ()\"{]+").match(d, self.i)
        if not m:
            raise ValueError(f"no value at {self.i}: {d[self.i:self.i + 40]!r}")
        self.i = m.end()
        word = m.group(0)
        if word.upper() == b"NIL":
            return None
        return int(word) if word.isdigit() else word


def parse_response(data):
    """"* 7 FETCH (NAME value …)" -> (7, {"NAME": value})."""
    m = re.match(rb"\* (\d+) FETCH \(", data)
    reader, out = _Reader(data), {}
    reader.i = m.end()
    name = re.compile(rb" ?([A-Z0-9.]+(?:\[[^\]]*\])?(?:<\d+>)?) ")
    while data[reader.i:reader.i + 1] != b")":
        n = name.match(data, reader.i)
        reader.i = n.end()
        out[n.group(1).decode().upper()] = reader.value()
    return int(m.group(1)), out


def ask(raw, command):
    """A FETCH on a RawImap: (the tagged reply's text, {number: {name: value}})."""
    raw.send(f"t {command}\r\n".encode())
    out = {}

    def more():
        got = raw.sock.recv(1 << 20)
        assert got, "hung up"
        raw.buffer += got

    while True:
        at = 0
        while True:  # up to a line end that is no literal's
            while (end := raw.buffer.find(b"\r\n", at)) < 0:
                more()
            m = re.search(rb"\{(\d+)\}$", raw.buffer[at:end])
            at = end + 2
            if not m:
                break
            at += int(m.group(1))
            while len(raw.buffer) < at:
                more()
        line = bytes(raw.buffer[:at - 2])
        del raw.buffer[:at]
        if line.startswith(b"t "):
            return line[2:], out
        if re.match(rb"\* \d+ FETCH ", line):
            number, values = parse_response(line)
            out.setdefault(number, {}).update(values)


def fetch(imap, numbers="1:*", items=ITEMS):
    """From the selected mailbox. imaplib cuts responses at literals: they are put together."""
    kind, parts = imap.fetch(numbers, f"({' '.join(items)})")
    assert kind == "OK", parts
    out, line = {}, b""
    for part in parts:
        if isinstance(part, tuple):
            line += part[0] + b"\r\n" + part[1]
            continue
        line += part
        number, values = parse_response(b"* " + re.sub(rb"^(\d+) ", rb"\1 FETCH ", line))
        out.setdefault(number, {}).update(values)
        line = b""
    return out


def crlf(data):
    return re.sub(rb"\r\n|\r|\n", b"\r\n", data)  # as imaplib does it


def _mbox(data):
    """mboxcl: Content-Length where it is right, else up to the next "From " line."""
    at = 0
    while at < len(data):
        begin = data.index(b"\n", at) + 1
        head_end = data.find(b"\n\n", begin)
        head = data[begin:head_end + 1] if head_end >= 0 else b""
        m = re.search(rb"(?mi)^content-length: *(\d+)", head)
        end = head_end + 2 + int(m.group(1)) if m else -1
        if end != len(data) and not re.match(rb"\n*From ", data[end:end + 10] if end > 0 else b""):
            found = data.find(b"\nFrom ", begin)
            end = found + 1 if found >= 0 else len(data)
        yield data[begin:end]
        m = re.compile(rb"\n*").match(data, end)
        at = m.end()


def messages(corpus):
    out = []
    for path in corpus:
        out.append((path.name, crlf(path.read_bytes())))
    mbox = Path(corpus[0]).parent / "real.mbox"
    for i, data in enumerate(_mbox(mbox.read_bytes())):
        out.append((f"real.mbox:{i}", crlf(data)))
    return out


def _name_body(value, path, out):
    """A body structure as a flat {path: value}, so that a difference has a name."""
    if not value:
        out[path] = value
    elif isinstance(value[0], list):
        n = 0
        while n < len(value) and isinstance(value[n], list):
            _name_body(value[n], f"{path}.{n + 1}", out)
            n += 1
        out[f"{path}.parts"] = n
        for name, v in zip(("subtype", "params", "disposition", "language", "location"), value[n:]):
            out[f"{path}.{name}"] = v
        out[f"{path}.fields"] = len(value) - n
    else:
        names = ["type", "subtype", "params", "id", "description", "encoding", "size"]
        is_message = len(value) > 7 and isinstance(value[7], list)
        if is_message:
            names += ["envelope", "body", "lines"]
        elif len(value) > 7 and isinstance(value[7], int):
            names += ["lines"]
        names += ["md5", "disposition", "language", "location"]
        for name, v in zip(names, value):
            if name == "body":
                _name_body(v, path + ".m", out)
            elif name == "envelope":
                _name_envelope(v, path + ".envelope", out)
            else:
                out[f"{path}.{name}"] = v
        out[f"{path}.fields"] = len(value)


def _name_envelope(value, path, out):
    names = ("date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to",
             "message-id")
    for name, v in zip(names, value):
        out[f"{path}.{name}"] = v
    out[f"{path}.fields"] = len(value)


def flat(values):
    out = {}
    for item in ITEMS:
        if item == "ENVELOPE":
            _name_envelope(values[item], item, out)
        else:
            _name_body(values[item], item, out)
    return out


def differences(ours, theirs):
    a, b = flat(ours), flat(theirs)
    return [(k, a.get(k, "absent"), b.get(k, "absent"))
            for k in sorted(set(a) | set(b)) if a.get(k, "absent") != b.get(k, "absent")]


def _any(text, patterns):
    return any(fnmatch.fnmatchcase(text, p.replace("[", "[[]")) for p in patterns.split())


class Expected:
    """mime-differences.txt: one line each, "files | items | RFC section | why"; files and items
    are patterns with spaces between them."""

    def __init__(self, path):
        self.entries = []
        for line in Path(path).read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                name, item, rfc, why = (w.strip() for w in line.split("|"))
                assert re.match(r"RFC \d+ \S+", rfc), f"no RFC section: {line}"
                self.entries.append((name, item, rfc, why))
        self.used = set()

    def covers(self, name, item):
        for i, (n, it, _, _) in enumerate(self.entries):
            if _any(name, n) and _any(item, it):
                self.used.add(i)
                return True
        return False

    def unused(self):
        return [e for i, e in enumerate(self.entries) if i not in self.used]
