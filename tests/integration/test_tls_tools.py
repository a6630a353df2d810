"""Debian's testssl, openssl s_client and telnet, as an administrator has them at hand: what TLS offers, and what not."""
import json
import os
import re
import subprocess
import uuid

import pytest

from harness.instance import password_of
from test_smtp_submission import arrived

pytestmark = pytest.mark.waits

ANNA = "anna.berg@example.org"
# How severe testssl finds what is meant to be so. CBC: docs/imap.md says for whom.
ACCEPTED = {
    "cipherlist_AVERAGE": "LOW",
    "engine_problem": "WARN",  # of testssl's own: no GOST
}
CHECKS = {
    "imap": (["-p", "-s"], {
        "SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered",
        "TLS1_2": "offered", "TLS1_3": "offered with final", "cipherlist_NULL": "not offered",
        "cipherlist_aNULL": "not offered", "cipherlist_EXPORT": "not offered", "cipherlist_LOW": "not offered",
        "cipherlist_3DES_IDEA": "not offered", "cipherlist_AVERAGE": "offered", "cipherlist_STRONG": "offered"}),
    "smtp": (["-H", "-I", "-C"], {
        "heartbleed": "not vulnerable, no heartbeat extension", "CCS": "not vulnerable",
        "CRIME_TLS": "not vulnerable (not using HTTP anyway)"}),
}


@pytest.fixture(scope="module")
def findings(postroom, work):
    """What testssl has to say, by protocol: both ports at once, by STARTTLS, and not a word to anybody but them."""
    running = {}
    for protocol, (options, _) in CHECKS.items():
        port = postroom.imap_port if protocol == "imap" else postroom.submission_port
        out = work / f"testssl.{protocol}"
        # what it asks of a name that cannot be there, to see what s_client can do, would go to the DNS; and a loaded
        # machine gets more time
        env = {**os.environ, "NXCONNECT": "127.0.0.1:0", "MAX_WAITSOCK": "60", "STARTTLS_SLEEP": "60",
               "CCS_MAX_WAITSOCK": "60", "HEARTBLEED_MAX_WAITSOCK": "60"}
        with open(out.with_suffix(".log"), "wb") as log:
            running[protocol] = out, subprocess.Popen(
                ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
                 "--jsonfile", out, "-t", protocol, *options, f"localhost:{port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
    said = {}
    try:
        for protocol, (out, p) in running.items():
            p.wait(240)
            said[protocol] = json.loads(out.read_text()), out.with_suffix(".log").read_text()
    finally:
        for _, p in running.values():
            p.kill()
            p.wait()
    return said


@pytest.mark.parametrize("protocol", CHECKS)
def test_testssl(findings, protocol):
    found, text = findings[protocol]
    by_id = {f["id"]: f["finding"] for f in found}
    wanted = CHECKS[protocol][1]
    assert {k: by_id.get(k) for k in wanted} == wanted, text
    assert [f for f in found if f["severity"] not in ("OK", "INFO", ACCEPTED.get(f["id"]))] == [], text


def s_client(postroom, *options, text=""):
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{postroom.imaps_port}", "-CAfile", postroom.certs.ca,
         "-verify_return_error", *options], input=text, capture_output=True, text=True, timeout=180)


@pytest.mark.parametrize("options", [
    ["-tls1_3", "-groups", "ffdhe2048"],  # costs a server much more than a client
    ["-tls1_3", "-groups", "ffdhe8192"],
    ["-tls1_2", "-cipher", "AESCCM"],  # half of them have short tags
    ["-tls1_2", "-cipher", "CAMELLIA:ARIA"],
    ["-tls1_2", "-cipher", "RSA"],  # no forward secrecy
], ids=" ".join)
def test_not_offered(postroom, options):
    done = s_client(postroom, *options)
    assert done.returncode != 0 and "alert handshake failure" in done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("options,cipher", [
    (["-tls1_3", "-groups", "P-256:X25519"], "TLS_AES_256_GCM_SHA384"),
    (["-tls1_3", "-groups", "P-521"], "TLS_AES_256_GCM_SHA384"),
    (["-tls1_2", "-cipher", "ECDHE+AES256+SHA:ECDHE+AESGCM"], "ECDHE-ECDSA-AES256-GCM-SHA384"),  # ours is the choice
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], "ECDHE-ECDSA-AES128-SHA"),  # Windows 8.1, OS X 10.10
], ids=" ".join)
def test_offered(postroom, options, cipher):
    done = s_client(postroom, *options)
    assert f"Cipher is {cipher}\n" in done.stdout and "Verification: OK" in done.stdout, done.stdout + done.stderr


def test_nothing_to_resume(postroom):
    """No tickets whose key could be stolen later, and no sessions by name."""
    for version in ("-tls1_2", "-tls1_3"):
        done = s_client(postroom, version, "-ign_eof", text="a LOGOUT\r\n")
        assert "a OK" in done.stdout and "Secure Renegotiation IS" in done.stdout, done.stdout + done.stderr
        assert "session ticket" not in done.stdout and not re.search(r"Session-ID: \w", done.stdout), done.stdout


def test_no_renegotiation(postroom):
    p = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"localhost:{postroom.imaps_port}", "-CAfile", postroom.certs.ca, "-tls1_2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in p.stdout:
            if line.startswith("* OK"):
                break
        p.stdin.write("R\n")
        p.stdin.flush()
        said = p.stdout.read()  # until it ends: its input stays open
        assert p.wait(180) != 0 and "RENEGOTIATING" in said and "no renegotiation" in said, said
    finally:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


class Telnet:
    """Somebody who types a line and reads what comes."""

    def __init__(self, port):
        self.p = subprocess.Popen(["timeout", "120", "telnet", "127.0.0.1", str(port)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()

    def type(self, *lines):
        self.p.stdin.write("".join(f"{line}\n" for line in lines))
        self.p.stdin.flush()

    def reply(self, pattern):
        """The lines up to the one that begins with the pattern."""
        said = []
        for line in self.p.stdout:
            said.append(line.rstrip("\r\n"))
            if re.match(pattern, said[-1]):
                return said
        raise AssertionError((pattern, said))


def test_telnet(postroom):
    """A message by hand, and read by hand."""
    subject = uuid.uuid4().hex
    with Telnet(postroom.submission_port) as t:
        t.reply(r"220 mail\.example\.org ")
        t.type("EHLO localhost")
        assert "250-STARTTLS" in t.reply("250 ")
        t.type("AUTH PLAIN")
        t.reply("530 5.7.0 ")  # no password in clear text
        t.type("QUIT")
        t.reply("221 2.0.0")
        t.reply("Connection closed by foreign host")
    with Telnet(postroom.lmtp_port) as t:
        t.reply(r"220 mail\.example\.org ")
        for line, answer in (("LHLO localhost", "250 "), (f"MAIL FROM:<{ANNA}>", "250 2.1.0"),
                             (f"RCPT TO:<{ANNA}>", "250 2.1.5"), ("DATA", "354 ")):
            t.type(line)
            t.reply(answer)
        t.type(f"From: {ANNA}", f"Subject: {subject}", "", "Typed by hand.", ".")
        t.reply("250 2.0.0")
        t.type("QUIT")
        t.reply("221 2.0.0")
        t.reply("Connection closed by foreign host")
    assert b"\r\nTyped by hand.\r\n" in arrived(postroom, ANNA, subject)
    with Telnet(postroom.imap_port) as t:
        t.reply(r"\* OK \[CAPABILITY ")
        for line in (f"a LOGIN {ANNA} {password_of(ANNA)}", "b EXAMINE INBOX"):
            t.type(line)
            t.reply(f"{line[0]} OK")
        t.type(f"c SEARCH SUBJECT {subject}")
        number = next(line.split()[-1] for line in t.reply("c OK") if line.startswith("* SEARCH "))
        t.type(f"d FETCH {number} BODY[TEXT]")
        assert "Typed by hand." in t.reply("d OK")
        t.type("e LOGOUT")
        t.reply("e OK")
        t.reply("Connection closed by foreign host")
