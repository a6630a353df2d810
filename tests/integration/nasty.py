"""Messages made to hurt a parser: deep, wide, broken, huge. {name: octets}, all with CRLF.

    for name, data in nasty.messages().items(): …
    nasty.EXPECTED[name](result)       # what mailparse's counts must be

Also a program: nasty.py DIR writes them as files.
"""
import base64
import sys
from pathlib import Path

DEPTH, PARTS = 50, 10000          # core/mail's limits (mime_limits_default)


def _multipart(boundary, parts, subtype="mixed"):
    head = f"Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n".encode()
    b = boundary.encode()
    body = b"".join(b"--" + b + b"\r\n" + p + b"\r\n" for p in parts)
    return head + body + b"--" + b + b"--\r\n"


def nested(depth):
    data = b"Content-Type: text/plain\r\n\r\nthe bottom"
    for i in range(depth):
        data = _multipart(f"level{i}", [data])
    return b"Subject: nested\r\nMIME-Version: 1.0\r\n" + data


def nested_messages(depth):
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"Subject: bottom\r\n\r\nthe bottom"


def wide(parts):
    one = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + one * parts + b"--b--\r\n"


def never_closed(depth):
    out = b""
    for i in range(depth):
        out += f"Content-Type: multipart/mixed; boundary=\"b{i:02}\"\r\n\r\n--b{i:02}\r\n".encode()
    return out + b"\r\nend"


def boundary_lines(lines):
    """Many boundaries that share a long beginning, and lines that match none of them quite."""
    stem = "x" * 60
    out = b""
    for i in range(DEPTH - 1):
        out += f"Content-Type: multipart/mixed; boundary=\"{stem}{i:02}\"\r\n\r\n--{stem}{i:02}\r\n".encode()
    return out + b"\r\n" + (b"--" + stem.encode() + b"zz\r\n") * lines


def boundary_in_header(parts):
    return (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
            b"--b\r\nContent-Type: message/rfc822\r\n" * parts)


def params(count):
    """RFC 2231 pieces out of order, twice, with holes, and without end."""
    pieces = "".join(f";\r\n name*{i}*=%{i % 256:02x}" for i in range(count, -1, -1))
    return ("Content-Type: application/x" + pieces + ";\r\n f*0*=utf-8''%;f*2=x;f*=;*=y;f**0=z;"
            "q=\"open\r\n\r\nbody").encode()


def long_line(octets):
    return b"Subject: " + b"x" * octets + b"\r\nFrom: a@example.org\r\n\r\nbody\r\n"


def long_fold(lines):
    return b"Subject: x\r\n" + b" y\r\n" * lines + b"From: a@example.org\r\n\r\nbody\r\n"


def addresses(count):
    to = b",\r\n ".join(b"user%d@example.org" % i for i in range(count))
    return b"From: a@example.org\r\nTo: " + to + b"\r\n\r\nbody\r\n"


def open_comments(count):
    return b"To: " + b"(" * count + b"\r\nFrom: " + b"a@b (,\"" * count + b"\r\n\r\nbody\r\n"


def open_groups(count):
    return b"To: " + b"g:" * count + b"\r\nCc: " + b"g:a@b;" * count + b"\r\n\r\nbody\r\n"


def fields(count):
    return b"".join(b"To: a%d@b\r\n" % i for i in range(count)) + b"\r\nbody\r\n"


def encoded_words(count):
    return (b"Subject: " + b"=?utf-8?q?=" * count + b"\r\n " + b"=?utf-8?b?w6k=?= " * count +
            b"\r\n\r\nbody\r\n")


def zeros(octets):
    return b"Subject: a\0b\r\n\0\0: x\r\n\r\n" + b"\0" * octets


def line_feeds(octets):
    return b"A: b\r\n\r\n" + b"\n" * octets


def junk_header(lines):
    return b"no colon here\r\n" * lines


def deep_base64(octets):
    return (b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
            base64.encodebytes(b"x" * octets).replace(b"\n", b"\r\n"))


def messages():
    return {
        "empty": b"",
        "nested-60": nested(60),
        "nested-49": nested(49),
        "messages-60": nested_messages(60),
        "messages-20000": nested_messages(20000),
        "wide-9999": wide(9999),
        "wide-30000": wide(30000),
        "never-closed-60": never_closed(60),
        "boundary-lines": boundary_lines(50000),
        "boundary-in-header": boundary_in_header(3000),
        "params": params(3000),
        "long-line": long_line(1024 * 1024),
        "long-fold": long_fold(250000),
        "addresses-100000": addresses(100000),
        "open-comments": open_comments(200000),
        "open-groups": open_groups(20000),
        "fields-100000": fields(100000),
        "encoded-words": encoded_words(50000),
        "zeros": zeros(1024 * 1024),
        "line-feeds": line_feeds(4 * 1024 * 1024),
        "junk-header": junk_header(100000),
        "deep-base64": deep_base64(1024 * 1024),
    }


# parts, depth, cut as the limits demand; what is not named has one part.
EXPECTED = {
    "nested-60": (50, 50, 1),
    "nested-49": (50, 50, 0),
    "messages-60": (50, 50, 1),
    "messages-20000": (50, 50, 1),
    "wide-9999": (10000, 2, 0),
    "wide-30000": (10000, 2, 1),
    "never-closed-60": (50, 50, 1),
    # the stem does not equal any boundary: all lines are text of the innermost part
    "boundary-lines": (50, 50, 0),
    "boundary-in-header": (6001, 3, 0),
    "deep-base64": (2, 2, 0),
}


if __name__ == "__main__":
    for name, data in messages().items():
        (Path(sys.argv[1]) / (name + ".eml")).write_bytes(data)
