"""postroom-sendmail: mail of programs on this machine, through mutt, s-nail, swaks and by itself."""
import os
import pwd
import re
import subprocess
import threading
import time
import uuid

import pytest

from harness.instance import temp_dir, remove
from test_smtp_submission import arrived

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
CARMEN = "carmen.ortega@example.org"
DAVID = "david.okafor@example.org"
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="separation of users needs root")


class Sendmail:
    """The command as it would be installed, called as its own name for one instance."""

    def __init__(self, i, wait=30):
        self.i = i
        self.path = i.libexec() / "postroom-sendmail"
        program = next(p for p in i.build.glob("**/postroom") if p.is_file())
        self.env = {**os.environ, "POSTROOM_RUNTIME_DIR": str(i.runtime),
                    "POSTROOM_PROGRAM": str(program), "POSTROOM_SENDMAIL_WAIT": str(wait)}
        self.env.pop("NAME", None)

    def run(self, *args, text=b"", user=None, name=None):
        """(exit code, standard output and error)"""
        argv = [name or "sendmail", *args]
        # not below a folder that only root reads
        done = subprocess.run(argv, executable=self.path.resolve(), input=text, env=self.env,
                              user=user, capture_output=True, timeout=120, cwd="/")
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture(scope="module")
def sendmail(postroom):
    return Sendmail(postroom)


def mark():
    return uuid.uuid4().hex


def login():
    return pwd.getpwuid(os.getuid()).pw_name


def test_plain(postroom, sendmail):
    s = mark()
    code, said = sendmail.run("-i", BEN, text=f"Subject: {s}\n\nHello\n.\nno end".encode())
    assert (code, said) == (0, "")
    got = arrived(postroom, BEN, s)
    head, body = got.split(b"\r\n\r\n", 1)
    assert body == b"Hello\r\n.\r\nno end\r\n"
    assert head.startswith(f"Return-Path: <{login()}@example.org>\r\n".encode())
    assert re.search(rb"\r\nReceived: from localhost \(uid %d\)\r\n\tby mail\.example\.org with ESMTP "
                     rb"id [0-9a-f]{16};" % os.getuid(), head)
    assert re.search(rb"\r\nFrom: .*<?%s@example\.org>?\r\n" % login().encode(), head)
    assert b"\r\nDate: " in head and b"\r\nMessage-ID: <" in head


def test_a_dot_ends_without_i(postroom, sendmail):
    s = mark()
    assert sendmail.run(BEN, text=f"Subject: {s}\n\na\n..b\n.\nnever\n".encode()) == (0, "")
    assert arrived(postroom, BEN, s).split(b"\r\n\r\n", 1)[1] == b"a\r\n..b\r\n"


def test_crlf_and_no_header(postroom, sendmail):
    s = mark()
    assert sendmail.run("-oi", BEN, text=f"Subject: {s}\r\n\r\nx\r\n".encode()) == (0, "")
    assert arrived(postroom, BEN, s).split(b"\r\n\r\n", 1)[1] == b"x\r\n"
    assert sendmail.run("-oi", "-FSubject " + s, BEN, text=b"only text\n") == (0, "")
    with postroom.imap(BEN) as c:
        until = time.monotonic() + 180
        found = []
        while not found:
            assert time.monotonic() < until
            c.select("INBOX", readonly=True)
            found = c.search(None, "FROM", f'"Subject {s}"')[1][0].split()
        got = c.fetch(found[0], "(BODY.PEEK[])")[1][0][1]
    assert got.endswith(b"\r\n\r\nonly text\r\n")


def test_t_reads_the_header(postroom, sendmail):
    s = mark()
    text = (f"To: Anna Berg <{ANNA}>,\n\t\"Haddad, Bilal\" <{BEN}>\nCc: (boss) Team: {CARMEN};\n"
            f"bcc : {DAVID}\nSubject: {s}\nFrom: root\n\nbody\n").encode()
    assert sendmail.run("-t", "-oi", "-f", "<>", text=text) == (0, "")
    for user in (ANNA, BEN, CARMEN, DAVID):
        got = arrived(postroom, user, s)
        assert got.startswith(b"Return-Path: <>\r\n")
        assert DAVID.encode() not in got
        assert got.count(b"From: ") == 1


def test_t_and_arguments(postroom, sendmail):
    s = mark()
    text = f"To: {ANNA}\nSubject: {s}\n\nbody\n".encode()
    assert sendmail.run("-t", "-f", BEN, "--", CARMEN, text=text) == (0, "")
    assert arrived(postroom, ANNA, s).startswith(f"Return-Path: <{BEN}>".encode())
    arrived(postroom, CARMEN, s)


def test_resent_fields_count_alone(postroom, sendmail):
    s = mark()
    text = f"To: nobody@example.org\nResent-To: {ANNA}\nSubject: {s}\n\nbody\n".encode()
    assert sendmail.run("-t", text=text) == (0, "")
    arrived(postroom, ANNA, s)


@pytest.mark.parametrize("args,text,code,said", [
    ((), b"x\n", 64, "recipients are missing"),
    (("-K", BEN), b"x\n", 64, "-K"),
    (("-bd",), b"", 64, "-b"),
    (("-f", "a@b.org, c@d.org", BEN), b"x\n", 64, "sender"),
    (("-t",), b"Subject: x\n\nTo: not a header\n", 65, "no recipients"),
    (("-t",), b"To: Anna <>\n\nx\n", 65, "cannot be read"),
    (("Anna <>",), b"x\n", 65, "no address"),
    ((BEN,), b"a\0b\n", 65, "NUL"),
    (("nobody@example.org",), b"x\n", 67, "No such user"),
    ((BEN, "nobody@example.org"), b"Subject: half\n\nx\n", 67, "No such user"),
    (("b@-example.org",), b"x\n", 65, "501"),
    (("a..b@example.org",), b"x\n", 67, "No such user"),
], ids=str)
def test_exit_codes(postroom, sendmail, args, text, code, said):
    got, out = sendmail.run(*args, text=text)
    assert got == code, out
    assert said in out


def test_half_a_list_is_nobody(postroom, sendmail):
    """A refused recipient stops the message for all: who sends it again makes no second copy."""
    s = mark()
    text = f"Subject: {s}\n\nx\n".encode()
    assert sendmail.run(ANNA, "nobody@example.org", text=text)[0] == 67
    assert sendmail.run(ANNA, text=text)[0] == 0
    arrived(postroom, ANNA, s)  # exactly one


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "2>/dev/full"])
def test_nobody_hears_it(postroom, sendmail, closed):
    """What is said on a standard error that is closed is not said to the server."""
    s = mark()
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", str(sendmail.path.resolve()),
                           "-v", "-i", BEN], input=f"Subject: {s}\n\nx\n".encode(),
                          env=sendmail.env, timeout=120, cwd="/")
    assert done.returncode == 0
    assert arrived(postroom, BEN, s).endswith(b"\r\n\r\nx\r\n")


def test_large(postroom, sendmail):
    s = mark()
    line = b"0123456789" * 7 + b"\n"
    text = f"Subject: {s}\n\n".encode() + line * (10 * 1024 * 1024 // len(line))
    assert sendmail.run("-i", DAVID, text=text) == (0, "")
    got = arrived(postroom, DAVID, s, timeout=180)
    assert got.split(b"\r\n\r\n", 1)[1] == text.split(b"\n\n", 1)[1].replace(b"\n", b"\r\n")


def test_too_large(postroom, sendmail):
    line = b"x" * 999 + b"\n"
    code, said = sendmail.run("-i", DAVID, text=b"Subject: x\n\n" + line * 53000)
    assert code == 65 and "larger than the server takes" in said


@needs_root
def test_any_user_may(postroom, sendmail):
    s = mark()
    d = temp_dir()
    copy = Sendmail(postroom)
    copy.path = d / "sendmail"
    copy.path.write_bytes(sendmail.path.resolve().read_bytes())
    copy.path.chmod(0o755)
    try:
        got = copy.run(BEN, text=f"Subject: {s}\n\nx\n".encode(), user="nobody")
        assert got == (0, "")
        head = arrived(postroom, BEN, s)
        assert b"(uid %d)" % pwd.getpwnam("nobody").pw_uid in head
        assert b"Return-Path: <nobody@example.org>" in head
        # but nothing else below runtime_dir
        for name in ("queue-admin", "auth-admin", "slots", "directory", "lmtp"):
            done = subprocess.run(
                ["/usr/bin/python3", "-c", "import socket,sys\n"
                 "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if sys.argv[2] == 'slots' "
                 "else socket.SOCK_STREAM)\ns.connect(sys.argv[1])", postroom.socket(name), name],
                user="nobody", capture_output=True, text=True, cwd="/")
            assert "PermissionError" in done.stderr, (name, done.stderr)
    finally:
        remove(d)


def test_bs(postroom, sendmail):
    s = mark()
    done = subprocess.run(
        ["swaks", "--pipe", f"{sendmail.path} -bs", "--from", ANNA, "--to", BEN,
         "--h-Subject", s, "--ehlo", "localhost"], env=sendmail.env, capture_output=True, text=True,
        timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "XORIGIN example.org" in done.stdout
    assert b"(uid " in arrived(postroom, BEN, s)


def test_bs_without_waiting(postroom, sendmail):
    """All at once, with line feeds only, as scripts do it."""
    s = mark()
    text = f"HELO x\nMAIL FROM:<{ANNA}>\nRCPT TO:<bilal.haddad>\nDATA\nSubject: {s}\n\nx\r\n.\r\n" \
        "AUTH PLAIN x\nSTARTTLS\nQUIT\n"
    code, said = sendmail.run("-bs", text=text.encode())
    assert code == 0
    codes = re.findall(r"^(\d{3}) ", said, re.M)
    assert codes == ["220", "250", "250", "250", "354", "250", "503", "454", "221"], said
    arrived(postroom, BEN, s)


def test_mailq_and_bp_agree(postroom, sendmail):
    want = postroom.command("queue", "list")
    for got in (sendmail.run("-bp", "-C", str(postroom.conf)),
                sendmail.run("-C", str(postroom.conf), name="mailq")):
        assert got == (want.returncode, want.stdout)


def test_newaliases_and_flush(postroom, sendmail):
    for args, name in ((["-bi"], None), ([], "newaliases")):
        code, said = sendmail.run(*args, name=name)
        assert code == 0 and "nothing to do" in said
    assert sendmail.run("-q", "-C", str(postroom.conf))[0] == 0


def test_mutt(postroom, sendmail, work):
    s = mark()
    rc = work / "muttrc"
    rc.write_text(f'set sendmail="{sendmail.path} -oem -oi"\nset use_envelope_from=yes\n'
                  f'set from="{ANNA}"\nset realname="Anna Berg"\nset copy=no\n')
    done = subprocess.run(["mutt", "-n", "-F", rc, "-s", s, "-b", CARMEN, "--", BEN],
                          input="Hello from mutt\n", text=True, capture_output=True, timeout=180,
                          env={**sendmail.env, "HOME": str(work)})
    assert done.returncode == 0, done.stdout + done.stderr
    got = arrived(postroom, BEN, s)
    assert got.startswith(f"Return-Path: <{ANNA}>".encode())
    assert b"Hello from mutt\r\n" in got and CARMEN.encode() not in got
    arrived(postroom, CARMEN, s)


def test_s_nail(postroom, sendmail, work):
    s = mark()
    done = subprocess.run(
        ["s-nail", "-:/", "-S", f"mta={sendmail.path}", "-r", ANNA, "-s", s, "-S", "v15-compat",
         BEN], input="Hello from s-nail\n", text=True, capture_output=True, timeout=180,
        env={**sendmail.env, "HOME": str(work), "MAILRC": "/dev/null"})
    assert done.returncode == 0, done.stdout + done.stderr
    got = arrived(postroom, BEN, s)
    assert got.startswith(f"Return-Path: <{ANNA}>".encode())
    assert b"Hello from s-nail\r\n" in got


def test_php(postroom, sendmail):
    s = mark()
    done = subprocess.run(
        ["php", "-n", "-d", f"sendmail_path={sendmail.path} -t -i", "-r",
         f'exit(mail("{BEN}", "{s}", "a\\n.\\nb", "From: {ANNA}\\r\\nBcc: {CARMEN}") ? 0 : 1);'],
        env=sendmail.env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    got = arrived(postroom, BEN, s)
    assert got.split(b"\r\n\r\n", 1)[1].rstrip(b"\r\n") == b"a\r\n.\r\nb"
    assert CARMEN.encode() not in got
    arrived(postroom, CARMEN, s)


@needs_root
def test_only_named_users(make_instance):
    i = make_instance("smtp {\n\tlocal_users = { \"daemon\", \"no-such-user\" }\n"
                      "\tlocal_domain = \"example.com\"\n}\n")
    sendmail = Sendmail(i)
    d = temp_dir()
    try:
        copy = Sendmail(i)
        copy.path = d / "sendmail"
        copy.path.write_bytes(sendmail.path.resolve().read_bytes())
        copy.path.chmod(0o755)
        s = mark()
        code, said = copy.run(BEN, text=b"x\n", user="nobody")
        assert code == 77 and "may not send" in said, said
        for user in ("daemon", "root"):
            t = s + user
            assert copy.run(BEN, text=f"Subject: {t}\n\nx\n".encode(), user=user) == (0, "")
            assert f"Return-Path: <{user}@example.com>".encode() in arrived(i, BEN, t)
    finally:
        remove(d)
    i.wait_log("no such system user")


def test_waits_for_the_server(make_instance):
    """Nobody there: 75 after a while. Somebody comes meanwhile: the message goes out."""
    i = make_instance(start=False)
    i.runtime.mkdir(exist_ok=True)
    code, said = Sendmail(i, wait=0).run(BEN, text=b"x\n")
    assert code == 75 and "No such file" in said, said
    s = mark()
    result = []
    t = threading.Thread(target=lambda: result.append(
        Sendmail(i, wait=60).run(BEN, text=f"Subject: {s}\n\nx\n".encode())))
    t.start()
    i.start()
    t.join(90)
    assert result == [(0, "")], result
    arrived(i, BEN, s)
