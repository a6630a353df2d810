"""Ports for the servers of a test. Below the range from which the kernel serves clients, so that nobody's connection
takes one before its server has bound it; and locked until this process ends, so that tests that run beside each other
never choose the same, also while a server is being restarted."""
import fcntl
import os
import random
import socket
from pathlib import Path

LOCKS = Path(os.environ.get("TMPDIR", "/tmp")) / f"postroom-ports-{os.getuid()}.lock"
FIRST = 10000
held = set()


def _lock_file():
    """One descriptor for all ports: a lock on the octet of that number. Closed, it would let go of all."""
    if not hasattr(_lock_file, "file"):
        _lock_file.file = open(LOCKS, "wb")
    return _lock_file.file


def _last():
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # where the kernel's range begins low, the lock must do
    return first - 1 if first > FIRST + 5000 else FIRST + 20000


def _free(port):
    """Nobody listens there, by TCP or UDP, on any address."""
    for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM),
                         (socket.AF_INET6, socket.SOCK_STREAM)):
        try:
            s = socket.socket(family, kind)
        except OSError:  # a kernel without IPv6
            continue
        with s:
            if kind == socket.SOCK_STREAM:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("", port))
            except OSError:
                return False
    return True


def free_ports(n):
    """n ports, all different, for this process alone."""
    last = _last()
    found = []
    for _ in range(5000):
        if len(found) == n:
            return found
        port = random.randint(FIRST, last)
        if port in held:
            continue
        try:
            fcntl.lockf(_lock_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):  # another process has it
            continue
        if _free(port):
            held.add(port)
            found.append(port)
        else:
            fcntl.lockf(_lock_file(), fcntl.LOCK_UN, 1, port)
    raise RuntimeError(f"no free ports between {FIRST} and {last}")


def free_port():
    return free_ports(1)[0]
