"""The rows of bench/run about idle sessions: N of them over TLS, each in IDLE in its INBOX, held by
bench_login. A figure is what they add, for each, to a server that was just started: its proportional set
size, and what the kernel holds (slabs, page tables, kernel stacks; the clients' own sockets are in it, the
same for all, and a row says what they and an accepted socket cost where nothing else is). Dovecot stands
here twice: as it is, with a process for each session, and with imap_hibernate_timeout, which hands sessions
without traffic to one process for all.
"""
import contextlib
import re
import select
import socket
import subprocess
import time
from pathlib import Path

from harness.dovecot import Dovecot

OURS = "postroom"
HIBERNATING = "hibernating"
HIBERNATE = """
imap_hibernate_timeout = 1s
service imap {
  idle_kill = 2s
  extra_groups = dovecot
  unix_listener imap-master {
    user = dovecot
  }
}
service imap-hibernate {
  client_limit = 19000
  unix_listener imap-hibernate {
    mode = 0660
    group = dovecot
  }
}
service imap-login {
  client_limit = 19000
}
service anvil {
  client_limit = 19000
}
service auth {
  client_limit = 19000
}
service stats {
  client_limit = 19000
}
"""
KERNEL = ("SUnreclaim", "SReclaimable", "KernelStack", "PageTables", "Percpu")


INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")


@contextlib.contextmanager
def many_inotify_instances():
    """Dovecot needs one for each session in IDLE, and hibernates none without; the kernel's default is 128."""
    before = INSTANCES.read_text()
    INSTANCES.write_text("30000")
    try:
        yield
    finally:
        INSTANCES.write_text(before)


def until_closed(n):
    """The kernel keeps each connection of the row before for a minute."""
    for _ in range(70):
        if int(re.search(r" tw (\d+)", Path("/proc/net/sockstat").read_text())[1]) < n // 100:
            return
        time.sleep(1)


def kernel_kib():
    """What is in use. Names and inodes that are only remembered, and pages of slabs in which nothing lies any
    more, are given back first: else what follows on many sessions finds its room made, and seems to cost less."""
    Path("/proc/sys/vm/drop_caches").write_text("2")
    for cache in Path("/sys/kernel/slab").glob("*/shrink"):
        if not cache.parent.is_symlink():
            cache.write_text("1")
    lines = (line.split() for line in open("/proc/meminfo"))
    return sum(int(line[1]) for line in lines if line[0].rstrip(":") in KERNEL)


def settled(read, wait=2, most=60):
    """A figure that no longer moves."""
    last = read()
    for _ in range(most // wait):
        time.sleep(wait)
        now = read()
        if abs(now - last) < 512:
            return now
        last = now
    return last


class IdleRows:
    def __init__(self, bench, users):
        self.b = bench
        self.users = users
        self.kernel = {}

    def run(self):
        with many_inotify_instances():
            self.b.attempt(self.rows)

    def rows(self):
        sizes = (100, 200) if self.b.args.quick else (1000, 10000)
        if not any(self.b.wanted(self.name(n)) for n in sizes):
            return
        d = self.b.dovecots[HIBERNATING] = Dovecot(
            self.b.dir / HIBERNATING, self.b.certs, slapd=self.b.slapd, settings=HIBERNATE)
        try:
            d.start()
            for n, theirs in zip(sizes, (("sdbox", HIBERNATING), (HIBERNATING,))):
                self.b.row(self.name(n), "KiB PSS", "lower", lambda who, n=n: self.memory(who, n),
                           theirs=theirs, runs=1)
                self.b.row(f"kernel's memory of these {n:,}, each", "KiB", "lower",
                           lambda who, n=n: self.kernel[who, n], theirs=theirs, runs=1)
            self.alone(sizes[-1] // 2)  # one process holds both ends
        finally:
            self.b.dovecots.pop(HIBERNATING).stop()

    @staticmethod
    def name(n):
        return f"memory of {n:,} idle TLS sessions, each"

    def alone(self, n):
        """The client's socket and the accepted one, each waited for; no server has less than the second."""
        name = f"kernel's memory of {n:,} connections alone, with their clients' sockets, each"
        if not self.b.wanted(name):
            return
        with contextlib.ExitStack() as held:
            listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
            polls = [held.enter_context(select.epoll()) for _ in range(2)]
            until_closed(n)
            before = settled(kernel_kib)
            for _ in range(n):
                ends = socket.create_connection(listener.getsockname()), listener.accept()[0]
                for end, poll in zip(ends, polls):
                    poll.register(held.enter_context(end), select.EPOLLIN)
            self.b.fact(name, "KiB", (settled(kernel_kib) - before) / n)

    def memory(self, who, n):
        """Against the server as it was just started: nothing freed earlier is used again."""
        server = self.b.postroom if who == OURS else self.b.dovecots[who]
        server.stop()
        server.start()

        def pss():
            return self.b.pss_kib(server.process.pid)

        until_closed(n)
        before, kernel = settled(pss), settled(kernel_kib)
        holder = subprocess.Popen(
            [self.b.build / "bench/bench_login", "--idle", str(n), "--tls", "--user",
             "bench{}@example.org", "--password", "secret", "--count", str(self.users),
             f"127.0.0.1:{self.b.imap_port(who, True)}"], stdout=subprocess.PIPE, text=True,
            stdin=subprocess.PIPE)
        try:
            line = holder.stdout.readline()
            if "idle" not in line:
                raise RuntimeError(f"bench_login: {line}")
            time.sleep(25)  # what is closed after 20 s without use is part of being idle
            after = settled(pss)
            self.kernel[who, n] = (settled(kernel_kib) - kernel) / n
            return (after - before) / n
        finally:
            holder.stdin.close()
            holder.terminate()
            holder.wait()
            # its sessions end with it, and not while the next server is measured
            server.stop()
            server.start()
