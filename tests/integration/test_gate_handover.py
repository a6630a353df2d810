"""imap does not believe the gate: forged hand-overs are refused, whoever sends them."""
import array
import os
import pwd
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

from harness.instance import password_of
from harness.rawimap import RawImap

OFFER, ACK, NAK = 1, 2, 3
BUSY, DENIED, FAILED = 0, 1, 2


def u64(n):
    return struct.pack("<Q", n)


def text(b):
    return struct.pack("<I", len(b)) + b


def offer(cookie=b"0" * 32, request=1, version=1, pid=1, number=7, tag=b"a1"):
    deadline = int(time.monotonic() * 1000) + 180_000
    return struct.pack("<I", OFFER) + b"".join((
        u64(version), u64(number), u64(deadline), text(b"0011223344556677"), text(tag),
        text(cookie), u64(pid), u64(request), u64(1), u64(0), text(b""), text(b"127.0.0.1"),
        u64(4711), text(b"127.0.0.1"), u64(143), text(b"")))


def send(path, packet):
    """Sends the packet with one end of a socket pair, prints what came of both."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(180)
    try:
        s.connect(path)
    except PermissionError:
        return b"", b""
    ours, theirs = socket.socketpair()
    try:
        s.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                              array.array("i", [theirs.fileno()]))])
        reply = s.recv(1000)
    except (ConnectionResetError, BrokenPipeError):
        reply = b""
    theirs.close()
    ours.settimeout(180)
    try:
        client = ours.recv(1000)
    except ConnectionResetError:
        client = b""
    return reply, client


def send_as(uid, path, packet):
    """The same from a process with that uid."""
    code = ("import os,sys; sys.path[:0] = %r; import test_gate_handover as t; os.setgroups([%d]);"
            "os.setresgid(%d, %d, %d); os.setresuid(%d, %d, %d);"
            "r, c = t.send(%r, bytes.fromhex(%r)); print(r.hex() + ':' + c.hex())")
    gid = os.stat(path).st_gid
    done = subprocess.run(
        [sys.executable, "-c", code % (sys.path, gid, gid, gid, gid, uid, uid, uid, path,
                                       packet.hex())],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    reply, client = done.stdout.strip().split(":")
    return bytes.fromhex(reply), bytes.fromhex(client)


def gate_uid():
    return pwd.getpwnam("postroom-gate").pw_uid if os.geteuid() == 0 else os.geteuid()


def imap_socket(postroom):
    return postroom.socket("gate/imap.0")


@pytest.mark.parametrize("ticket", [
    {},
    {"cookie": b"f" * 32, "request": 2**32 - 1},
    {"request": 0},
], ids=["unknown", "other-cookie", "request-0"])
def test_a_wrong_ticket_is_denied(postroom, ticket):
    packet = offer(**ticket)
    reply, client = send_as(gate_uid(), imap_socket(postroom), packet) \
        if os.geteuid() == 0 else send(imap_socket(postroom), packet)
    assert reply == struct.pack("<I", NAK) + u64(7) + u64(DENIED)
    assert client == b""  # not a byte, and closed


@pytest.mark.parametrize("packet", [
    b"", b"\1", struct.pack("<I", OFFER), struct.pack("<I", ACK) + u64(7), offer()[:-3],
    offer() + b"x", offer(version=2), offer(tag=b"a\r\n* OK"), struct.pack("<I", 99)],
    ids=range(9))
def test_garbage_closes_the_channel(postroom, packet):
    if os.geteuid() == 0:
        reply, client = send_as(gate_uid(), imap_socket(postroom), packet or b"\0")
    else:
        reply, client = send(imap_socket(postroom), packet or b"\0")
    assert reply == b"" and client == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="one uid for all roles without root")
def test_other_uids_are_not_heard(postroom):
    start = len(postroom.log_text())
    for user in ("root", "postroom-smtp", "postroom-queue", "vmail"):
        uid = pwd.getpwnam(user).pw_uid
        reply, client = send_as(uid, imap_socket(postroom), offer())
        assert reply == b"" and client == b"", user
    # the others could not even connect; root can, and is not heard either
    postroom.wait_log(r"ev=handover\.foreign uid=0\b", start=start)
    assert "ev=auth" not in postroom.log_text()[start:]


def test_an_imap_that_hangs_is_unavailable(postroom, certs):
    """The gate gives up after 10 s and keeps the client, with TLS and without; imap, awake again, takes no stale offer."""
    user = "david.okafor@example.org"
    workers = postroom.pids("imap")
    start = len(postroom.log_text())
    with RawImap("127.0.0.1", postroom.imaps_port, certs.context()) as tls, \
            RawImap("127.0.0.1", postroom.imap_port) as plain:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            for c in tls, plain:
                c.send(f"a LOGIN {user} {password_of(user)}\r\n")
            for c in tls, plain:
                reply = c.until("a")[-1]
                assert reply.startswith("a NO [UNAVAILABLE]"), reply
                assert time.monotonic() - begin > 8
                assert c.ask("NOOP", "b")[0].startswith("OK")
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        until = time.monotonic() + 180
        while postroom.log_text()[start:].count('reason="too late"') < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert len(re.findall(r'ev=handover\.refused sid=\w+ reason="too late"', postroom.log_text()[start:])) == 2
        assert "ev=imap.begin" not in postroom.log_text()[start:]
        # not a byte of imap's came in between, and the client may try again
        for c in tls, plain:
            assert c.ask("NOOP", "c")[0].startswith("OK")
            assert c.ask(f"LOGIN {user} {password_of(user)}", "d")[0].startswith("OK")
