"""Small messages as they come in the wild and worse, for comparisons with another server's answers.
{name: octets}; the name's first word says what it is about.

    for name, data in wild.messages().items(): …

CR LF throughout, but where the name begins with "lf". Nothing here is large: see nasty.py for that.
"""
import random

TEXT = "Content-Type: text/plain\n\n"


def crlf(text):
    data = text if isinstance(text, bytes) else text.encode()
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def multipart(*parts, boundary="b", head="", end="--b--\n", subtype="mixed"):
    return (f"MIME-Version: 1.0\nContent-Type: multipart/{subtype}; boundary={boundary}\n{head}\n" +
            "".join(f"--b\n{p}\n" for p in parts) + end)


def leaf(fields, body="text\n"):
    return f"MIME-Version: 1.0\n{fields}\n\n{body}"


# ---- ENVELOPE: RFC 5322 3.4, RFC 2047 ----

ADDRESSES = {
    "plain": "a@example.org",
    "named": "Ann Example <a@example.org>",
    "quoted": r'"Ann \"Q\" Example, Dr." <a@example.org>',
    "comment": "a@example.org (Ann (nested) Example)",
    "comments": "(one) Ann (two) <a@example.org> (three)",
    "group": "Friends: a@example.org, Bob <b@example.org>;",
    "groups": "A: a@example.org;, c@example.org, B: ;, d@example.org",
    "group-open": "Friends: a@example.org, b@example.org",
    "undisclosed": "undisclosed-recipients:;",
    "route": "<@one.example,@two.example:a@example.org>",
    "literal": "a@[192.0.2.1]",
    "quoted-local": '"a b"@example.org',
    "encoded": "=?utf-8?q?J=C3=BCrgen?= <a@example.org>",
    "encoded-quoted": '"=?utf-8?q?J=C3=BCrgen?=" <a@example.org>',
    "list": "a@example.org,,b@example.org, ,c@example.org,",
    "folded": "Ann\n Example\n <a@example.org>,\n\tb@example.org",
    "dots": "Ann X. Example <a.b.c@example.org>",
    "upper": "ANN <A@EXAMPLE.ORG>",
}

FIELDS = {
    "empty": "Subject:\nFrom:\nTo:\nDate:\nMessage-ID:\nIn-Reply-To:",
    "absent": "X-Nothing: here",
    "sender": "From: a@example.org\nSender: s@example.org\nReply-To: r@example.org",
    "reply": "From: a@example.org\nIn-Reply-To: <1@x> (comment) <2@x>\nMessage-ID: <3@x>",
    "id-bare": "Message-ID: bare@x\nFrom: a@example.org",
    "encoded": "Subject: =?utf-8?b?w6k=?= =?iso-8859-1?q?=E9?= plain",
    "encoded-broken": "Subject: =?utf-8?b?w6k=? =?utf-8?x?a?= =??q?a?= =?utf-8?q?a b?=",
    "folded": "Subject: one\n two\n\tthree\nFrom: a@example.org",
    "spaces": "Subject:    leading and trailing   \nFrom:a@example.org",
    "odd-date": "Date: yesterday\nFrom: a@example.org",
    "old-date": "Date: Sat, 21 Nov 98 08:00 EST\nFrom: a@example.org",
    "quotes": 'Subject: a "quoted" \\ back\nFrom: a@example.org',
    "case": "sUBJECT: case\nfROM: a@example.org\nMESSAGE-id: <1@x>",
    "long": "Subject: " + "x" * 2000,
}

# ---- fields that are none: RFC 5322 2.2 ----

BROKEN = {
    "no-colon": "From: a@example.org\nthis is no field\nSubject: after\n\nbody\n",
    "no-body": "From: a@example.org\nSubject: no empty line\n",
    "no-end": "From: a@example.org\nSubject: no line end",
    "no-header": "\nbody alone\n",
    "space-before-colon": "Subject : spaced\nFrom : a@example.org\n\nbody\n",
    "only-newline": "\n",
    "content-twice": leaf("Content-Type: text/html\nContent-Type: text/plain"),
    "blank-line": "From: a@example.org\n \nSubject: behind a blank one\n\nbody\n",
}

# ---- Content-*: RFC 2045 5, 6; RFC 2183; RFC 2231 ----

TYPES = {
    "none": "Subject: x",
    "upper": "CONTENT-TYPE: TEXT/HTML; CHARSET=UTF-8",
    "quoted": r'Content-Type: text/plain; charset="utf-8"; name="a \"b\" \\ c.txt"',
    "comment": "Content-Type: text/(x)plain (y); charset (z) = utf-8",
    "spaces": "Content-Type: text / plain ; charset = utf-8",
    "type-only": "Content-Type: text",
    "no-subtype": "Content-Type: text/",
    "no-type": "Content-Type: /plain",
    "empty": "Content-Type:",
    "application": "Content-Type: application/octet-stream; name=a.bin",
    "image": "Content-Type: image/png; name=\"a.png\"\nContent-Transfer-Encoding: base64",
    "param-semicolon": "Content-Type: text/plain;; charset=utf-8;",
    "param-flowed": "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes",
    "param-folded": "Content-Type: text/plain;\n charset=utf-8;\n\tname=\"a\n b.txt\"",
    "2231-encoded": "Content-Type: text/plain; name*=utf-8''%e2%82%ac.txt",
    "2231-pieces": "Content-Type: text/plain; name*0=\"a\"; name*1=\"b\"; name*2=c",
    "2231-both": "Content-Type: text/plain; name*0*=utf-8''%e2; name*1*=%82%ac; name*2=.txt",
    "2231-order": "Content-Type: text/plain; name*1=b; name*0=a",
    "2231-gap": "Content-Type: text/plain; name*0=a; name*2=c",
    "2231-twice": "Content-Disposition: attachment; filename=old; filename*=utf-8''n%65w",
    "disposition": "Content-Disposition: attachment; filename=\"a b.txt\"; size=12",
    "disposition-bare": "Content-Disposition: inline",
    "disposition-empty": "Content-Disposition:",
    "language": "Content-Language: en, de, fr",
    "location": "Content-Location: http://example.org/\n  a/b",
    "md5": "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==",
    "id": "Content-ID: <1@x>\nContent-Description: =?utf-8?q?=C3=A9?= description",
}

# ---- Content-Transfer-Encoding: RFC 2045 6 ----

ENCODINGS = {
    "base64": ("base64", "SGVsbG8=\n"),
    "base64-upper": ("BASE64", "SGVsbG8=\n"),
    "base64-comment": ("base64 (really)", "SGVsbG8=\n"),
    "base64-lines": ("base64", "SGVs\nbG8s\nIHdv\ncmxk\n"),
    "base64-spaces": ("base64", " SG Vs\tbG8= \n\n"),
    "base64-joined": ("base64", "SGVs\nbG8=\n"),
    "base64-zero": ("base64", "AAECAwA=\n"),
    "base64-empty": ("base64", ""),
    "qp": ("quoted-printable", "caf=C3=A9 =3D\n"),
    "qp-soft": ("quoted-printable", "one =\ntwo=\n\nthree\n"),
    "qp-space": ("quoted-printable", "trailing  \nspace\t\nend"),
    "qp-soft-space": ("quoted-printable", "soft= \nbreak\n"),
    "qp-empty": ("quoted-printable", ""),
    "7bit": ("7bit", "text\n"),
    "8bit": ("8bit", "é\n"),
    "binary": ("binary", "é\n"),
    "unknown": ("x-unknown", "text\n"),
    "uuencode": ("x-uuencode", "begin 644 a\n#0V%T\n`\nend\n"),
}

# ---- multiparts: RFC 2046 5.1 ----

A, B = "Content-Type: text/plain\n\nfirst", "Content-Type: text/html\n\n<p>second"
BOUNDARIES = {
    "plain": multipart(A, B),
    "empty-lines": multipart(A + "\n\n", "\n\n" + B),
    "preamble": multipart(A, head="\nThis is a preamble.\n", end="--b--\nepilogue\n"),
    "no-end": multipart(A, B, end=""),
    "end-no-newline": multipart(A, B, end="--b--"),
    "quoted": multipart(A, boundary='"b"'),
    "trailing-space": multipart(A, end="--b \n\nx\n--b-- \n"),
    "prefix": multipart(A + "\n--bb\nno boundary", B),
    "no-parts": multipart(end=""),
    "closed-at-once": multipart(),
    "missing": leaf("Content-Type: multipart/mixed", "--b\n\nx\n--b--\n"),
    "header-only": multipart("Content-Type: text/plain", B),
    "no-header": multipart("\njust text", B),
    "digest": multipart("\nSubject: in a digest\n\nx\n", "Content-Type: text/plain\n\ntext",
                        subtype="digest"),
    "alternative": multipart(A, B, subtype="alternative"),
    "language": multipart(A, head="Content-Language: en\nContent-Disposition: inline; a=b\n"
                          "Content-Location: x\n"),
    "nested": multipart(multipart(A, B).replace("--b", "--c").replace("=b", "=c"), A),
    "inner-open": multipart("Content-Type: multipart/mixed; boundary=c\n\n--c\n" + A, B),
    "inner-same": multipart(multipart(A, end=""), B),
    "related": multipart(B, "Content-Type: image/gif\nContent-ID: <i@x>\n"
                         "Content-Transfer-Encoding: base64\n\nR0lGODdh\n", subtype="related"),
    "after-end": multipart(A, end="--b--\n--b\n\nbehind the end\n--b--\n"),
}

# ---- message/*: RFC 2046 5.2, RFC 6532 3.7 ----

INNER = "From: i@example.org\nSubject: inner\n\ninner text\n"
MESSAGES = {
    "rfc822": leaf("Content-Type: message/rfc822", INNER),
    "rfc822-mixed": multipart(A, "Content-Type: message/rfc822\n\n" + INNER),
    "rfc822-multipart": multipart(A, "Content-Type: message/rfc822\n\n" + multipart(
        A, B).replace("--b", "--c").replace("=b", "=c")),
    "rfc822-twice": leaf("Content-Type: message/rfc822",
                         "Subject: one\nContent-Type: message/rfc822\n\n" + INNER),
    "rfc822-header": multipart("Content-Type: message/rfc822\n\nSubject: header only", A),
    "rfc822-disposition": multipart("Content-Type: message/rfc822; name=x\n"
                                    "Content-Disposition: attachment; filename=x.eml\n\n" + INNER),
    "global": multipart(A, "Content-Type: message/global\n\nFrom: Jürgen <jürgen@example.org>\n"
                        "Subject: Grüße\n\ninner é\n"),
    "partial": leaf("Content-Type: message/partial; id=\"1@x\"; number=1; total=2", INNER),
    "external": leaf("Content-Type: message/external-body; access-type=local-file; name=\"/x\"",
                     "Content-Type: text/plain\n\n"),
    "delivery-status": multipart(A, "Content-Type: message/delivery-status\n\n"
                                 "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x\n",
                                 subtype="report; report-type=delivery-status"),
    "rfc822-headers": multipart(A, "Content-Type: text/rfc822-headers\n\nSubject: x\n",
                                subtype="report"),
}

# ---- octets above 127 where none should be; line ends ----

EIGHT = {
    "latin1": "Subject: Grüße\nFrom: Jürgen <a@example.org>\n\nbody\n".encode("latin-1"),
    "utf8": "Subject: Grüße\nFrom: Jürgen <a@example.org>\n\nbody\n".encode(),
    "param": leaf('Content-Type: text/plain; name="é.txt"').encode(),
    "param-latin1": leaf('Content-Type: text/plain; name="é.txt"').encode("latin-1"),
    "disposition": leaf("Content-Disposition: attachment; filename=\"日本.txt\"").encode(),
}


SOUND = [TYPES[name] for name in TYPES
         if name not in ("empty", "no-subtype", "no-type", "param-semicolon", "2231-gap",
                         "disposition-empty", "image")]


def random_multipart(pick, depth=0):
    """Parts of all kinds, some inner multiparts without an end."""
    if depth > 3 or pick.random() < 0.4:
        encoding, body = pick.choice(list(ENCODINGS.values()))
        return f"{pick.choice(SOUND)}\nContent-Transfer-Encoding: {encoding}\n\n{body}"
    if pick.random() < 0.25:
        return "Content-Type: message/rfc822\n\nSubject: s\n" + random_multipart(pick, depth + 1)
    b = f"b{depth}{pick.randint(10, 99)}"
    out = f"Content-Type: multipart/mixed; boundary={b}\n\n"
    for _ in range(pick.randint(1, 3)):
        out += f"--{b}\n{random_multipart(pick, depth + 1)}\n"
    return out + (f"--{b}--\n" if pick.random() < 0.7 else "")


def messages():
    out = {}
    for name, address in ADDRESSES.items():
        out[f"address {name}"] = crlf(
            f"From: {address}\nTo: {address}\nCc: x@example.org, {address}\n\nbody\n")
    for name, fields in FIELDS.items():
        out[f"envelope {name}"] = crlf(f"{fields}\n\nbody\n")
    for name, text in BROKEN.items():
        out[f"broken {name}"] = crlf(text)
    for name, fields in TYPES.items():
        out[f"type {name}"] = crlf(leaf(fields))
    for name, (encoding, body) in ENCODINGS.items():
        fields = f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}"
        out[f"encoding {name}"] = crlf(leaf(fields, body))
        out[f"encoding-part {name}"] = crlf(multipart(A, f"{fields}\n\n{body}"))
    for name, text in BOUNDARIES.items():
        out[f"boundary {name}"] = crlf(text)
    for name, text in MESSAGES.items():
        out[f"message {name}"] = crlf(text)
    for name, data in EIGHT.items():
        out[f"eight {name}"] = crlf(data)
    for name in ("plain", "nested", "no-end"):
        out[f"lf {name}"] = BOUNDARIES[name].encode()
    out["lf mixed"] = crlf(BOUNDARIES["plain"]).replace(b"first\r\n", b"first\n")
    pick = random.Random(4)
    for i in range(60):
        out[f"random {i}"] = crlf(f"Subject: random {i}\nMIME-Version: 1.0\n" + random_multipart(pick))
    return out
