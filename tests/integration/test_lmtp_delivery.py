"""LMTP into the store: users, tags, replies by recipient, trace fields, sizes, networks."""
import os
import re
import smtplib
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

MESSAGE = b"From: x@example.net\r\nTo: y@example.org\r\nSubject: %s\r\n\r\nHello %s\r\n"


def message(subject):
    s = subject.encode()
    return MESSAGE % (s, s)


def send(conn, rcpts, body, sender="x@example.net"):
    """All replies: those to RCPT, and those after the data."""
    conn.ehlo_or_helo_if_needed()
    assert conn.mail(sender)[0] == 250
    to_rcpt = [conn.rcpt(r) for r in rcpts]
    results = []
    if any(code == 250 for code, _ in to_rcpt):
        code, text = conn.docmd("DATA")
        assert code == 354, text
        conn.send(re.sub(rb"(\A|\r\n)\.", rb"\1..", body) + b".\r\n")
        results = [conn.getreply() for code, _ in to_rcpt if code == 250]
    else:
        conn.rset()
    return to_rcpt, results


def test_each_recipient_has_its_own_reply(postroom):
    with postroom.lmtp() as c:
        rcpt, results = send(c, ["grace.lindqvist@example.org", "nobody@example.org",
                                 "femi.adeyemi+lists@example.org", "hiro@example.org",
                                 "x@elsewhere.example"], message("each"))
    assert [code for code, _ in rcpt] == [250, 550, 250, 250, 550]
    assert rcpt[1][1].startswith(b"5.1.1")
    assert [code for code, _ in results] == [250, 250, 250]
    for user in ("grace.lindqvist", "femi.adeyemi", "hiroshi.tanaka"):
        bodies = postroom.wait_messages(f"{user}@example.org", 1)
        assert bodies[-1].endswith(message("each"))


def test_trace_fields_stand_in_front(postroom):
    with postroom.lmtp() as c:
        send(c, ["ines.carvalho@example.org"], message("trace"), sender="anna.berg@example.org")
    body = postroom.wait_messages("ines.carvalho@example.org", 1)[0]
    head = body[:body.index(b"From:")].decode()
    assert head.startswith("Return-Path: <anna.berg@example.org>\r\nReceived: from ")
    assert "by mail.example.org with LMTP id " in head
    assert "for <ines.carvalho@example.org>; " in head


def test_dots_and_odd_line_ends_arrive_as_sent(postroom):
    text = b"Subject: dots\r\n\r\n.\r\n..\r\n...x\r\nbare\n.\nlf\r.\rcr\r\n\r\n.last\r\n"
    with postroom.lmtp() as c:
        _, results = send(c, ["jonas.weber@example.org"], text)
    assert results[0][0] == 250
    assert postroom.wait_messages("jonas.weber@example.org", 1)[0].endswith(b"\r\n" + text)


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r"])
def test_only_crlf_dot_crlf_ends_the_data(postroom, end):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(180)
        s.connect(postroom.socket("lmtp"))
        f = s.makefile("rb")
        s.sendall(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<kavya.raman@example.org>\r\nDATA\r\n")
        while not f.readline().startswith(b"354"):
            pass
        s.sendall(b"Subject: x\r\n\r\nbody" + end + b"MAIL FROM:<evil@example.net>\r\n")
        s.settimeout(0.3)
        with pytest.raises(TimeoutError):
            s.recv(1)  # nothing was answered: it is all text
        s.settimeout(180)
        s.sendall(b"\r\n.\r\nNOOP\r\n")
        f = s.makefile("rb")
        assert f.readline().startswith(b"250 2.0.0 Delivered")
        assert f.readline().startswith(b"250")


def test_a_large_message_is_streamed(postroom):
    line = bytes(range(32, 126)) + b"\r\n"
    text = b"Subject: large\r\n\r\n" + line * 60000
    with postroom.lmtp() as c:
        _, results = send(c, ["liam.byrne@example.org", "mei.zhang@example.org"], text)
    assert [code for code, _ in results] == [250, 250]
    for user in ("liam.byrne", "mei.zhang"):
        assert postroom.wait_messages(f"{user}@example.org", 1)[0].endswith(text)
    files = [f for u in ("liam.byrne", "mei.zhang")
             for f in (postroom.home(f"{u}@example.org") / "msg").rglob("*") if f.is_file()]
    assert len({f.stat().st_ino for f in files}) == 1, "one body, linked"


def test_too_large_is_refused(make_instance):
    i = make_instance(settings="smtp {\n message_max = 100K\n}\n")
    with i.lmtp() as c:
        c.ehlo()
        limit = 100 * 1024 + 8192  # and what submission adds on the way
        assert c.esmtp_features["size"] == str(limit)
        assert c.mail("x@example.net", [f"SIZE={limit + 1}"])[0] == 552
        _, results = send(c, ["nadia.rahmani@example.org", "oskar.nowak@example.org"],
                          b"Subject: x\r\n\r\n" + b"x" * 76 + b"\r\n" + b"y" * 120000 + b"\r\n")
        assert [code for code, _ in results] == [552, 552]
        _, results = send(c, ["nadia.rahmani@example.org"], message("fits"))
        assert results[0][0] == 250
    assert len(i.wait_messages("nadia.rahmani@example.org", 1)) == 1


def test_tcp_for_named_networks_only(postroom, make_instance):
    with smtplib.LMTP("127.0.0.1", postroom.lmtp_port) as c:
        _, results = send(c, ["priya.menon@example.org"], message("tcp"))
        assert results[0][0] == 250
    head = postroom.wait_messages("priya.menon@example.org", 1)[0]
    assert b"([127.0.0.1])" in head
    i = make_instance(settings='lmtp {\n networks = { "192.0.2.0/24" }\n}\n')
    with pytest.raises(smtplib.SMTPConnectError) as e:
        smtplib.LMTP("127.0.0.1", i.lmtp_port)
    assert e.value.smtp_code == 421


def test_a_directory_out_of_reach_is_temporary(make_instance, slapd):
    i = make_instance()
    try:
        slapd.stop()
        with i.lmtp() as c:
            rcpt, _ = send(c, ["quentin.moreau@example.org", "nobody@example.org"],
                           message("away"))
        assert [code for code, _ in rcpt] == [451, 451]
        assert rcpt[0][1].startswith(b"4.4.3")
    finally:
        slapd.start()
    i.wait_log(r"ev=lmtp\.rcpt .*res=defer")
    with i.lmtp() as c:
        until_ok(lambda: send(c, ["quentin.moreau@example.org"], message("back")))
    assert len(i.wait_messages("quentin.moreau@example.org", 1)) == 1


def until_ok(fn, tries=100):
    for _ in range(tries):
        rcpt, results = fn()
        if results and results[0][0] == 250:
            return
        assert all(code < 500 for code, _ in rcpt + results), (rcpt, results)
        time.sleep(0.1)
    raise AssertionError(f"never taken: {rcpt} {results}")


AS_QUEUE = """
import smtplib, sys
c = smtplib.LMTP(sys.argv[1])
c.ehlo()
assert "xdeliveryid" in c.esmtp_features, c.esmtp_features
for k in range(3):
    c.mail("")
    for r, i in (("rosa.delgado", 1), ("samir.aziz", 2)):
        assert c.rcpt(r + "@example.org", ["XDELIVERYID=0000019000000000.kill.%d" % i])[0] == 250
    assert c.docmd("DATA")[0] == 354
    c.send(b"Subject: once\\r\\n\\r\\nx\\r\\n.\\r\\n")
    print([c.getreply()[0] for _ in range(2)])
"""


def test_a_delivery_id_is_delivered_once(postroom):
    as_queue = {"user": "postroom-queue", "group": "postroom-queue", "extra_groups": ["postroom"]} \
        if os.geteuid() == 0 else {}
    done = subprocess.run([sys.executable, "-c", AS_QUEUE, postroom.socket("lmtp")],
                          capture_output=True, text=True, timeout=180, **as_queue)
    assert done.stdout == "[250, 250]\n" * 3, done.stdout + done.stderr
    for user in ("rosa.delgado", "samir.aziz"):
        assert len(postroom.wait_messages(f"{user}@example.org", 1)) == 1


def test_delivery_ids_are_for_the_queue_alone(postroom):
    if os.geteuid() != 0:
        return  # without separation of users everybody here is the queue
    with postroom.lmtp() as c:
        c.ehlo()
        assert "xdeliveryid" not in c.esmtp_features
        c.mail("x@example.net")
        code, text = c.rcpt("tove.nilsen@example.org", ["XDELIVERYID=0000019000000000.x.1"])
        assert code == 550 and text.startswith(b"5.7.1")


def test_many_at_once(postroom):
    def one(k):
        with postroom.lmtp() as c:
            return [send(c, ["ursula.keller@example.org", "victor.dumont@example.org"],
                         message(f"many {k} {n}"))[1] for n in range(5)]

    with ThreadPoolExecutor(10) as pool:
        for results in pool.map(one, range(10)):
            assert all(code == 250 for r in results for code, _ in r)
    for user in ("ursula.keller", "victor.dumont"):
        bodies = postroom.wait_messages(f"{user}@example.org", 50)
        found = {re.search(rb"Subject: (many \d+ \d+)", b).group(1) for b in bodies}
        assert len(bodies) == 50 and len(found) == 50


@pytest.mark.parametrize("line,reply", [
    (b"EHLO x", b"500"), (b"MAIL FROM:<a@b>", b"503"), (b"RCPT TO:<a@b>", b"503"),
    (b"DATA", b"503"), (b"\x00\xff\x00", b"500"), (b"LHLO", b"501"), (b"VRFY root", b"252"),
    (b"NOOP", b"250"), (b"MAIL FROM:<*)(uid=*@example.org>", b"501"), (b"x" * 70000, b"500"),
])
def test_bad_input_is_answered(postroom, line, reply):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(180)
        s.connect(postroom.socket("lmtp"))
        f = s.makefile("rb")
        assert f.readline().startswith(b"220")
        s.sendall(line + b"\r\n")
        assert f.readline().startswith(reply)
        s.sendall(b"QUIT\r\n")
        assert f.readline().startswith(b"221")


LOCK = """
import ctypes, sys
l = ctypes.CDLL("liblmdb.so.0")
env, txn = ctypes.c_void_p(), ctypes.c_void_p()
assert l.mdb_env_create(ctypes.byref(env)) == 0
assert l.mdb_env_set_mapsize(env, ctypes.c_size_t(1 << 30)) == 0
assert l.mdb_env_open(env, sys.argv[1].encode(), 0x4000, 0o600) == 0  # MDB_NOSUBDIR
assert l.mdb_txn_begin(env, None, 0, ctypes.byref(txn)) == 0
print("locked", flush=True)
sys.stdin.read()
l.mdb_txn_abort(txn)
"""


def test_one_locked_home_holds_up_nobody_else(make_instance):
    i = make_instance(settings="lmtp {\n store_timeout = 12s\n}\n")
    both = ["wanda.kowalska@example.org", "xavier.ribeiro@example.org"]
    with i.lmtp() as c:
        assert [code for code, _ in send(c, both, message("before"))[1]] == [250, 250]
    index = i.home(both[0]) / "index.mdb"
    locker = subprocess.Popen([sys.executable, "-c", LOCK, index], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    try:
        assert locker.stdout.readline() == "locked\n"
        with i.lmtp() as c:
            begin = time.monotonic()
            _, results = send(c, [both[0], both[1]], message("during"))
            took = time.monotonic() - begin
            assert [code for code, _ in results] == [451, 250]
            assert took > 11, took
            _, results = send(c, [both[1]], message("other"))
            assert results[0][0] == 250
    finally:
        locker.communicate("")
    assert len(i.wait_messages(both[1], 3)) == 3
    with i.lmtp() as c:
        until_ok(lambda: send(c, [both[0]], message("after")))
