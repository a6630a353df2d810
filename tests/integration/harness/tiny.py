"""A master whose roles are all tests/unit/tiny_role: what master itself does, without the rest.

    with TinyMaster(directory) as m:
        m.ask("imap", "pid")      # a line to the gate's listening socket, and its answer
"""
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from .instance import build_dir
from .ports import free_ports

ROLES = ("auth", "gate", "imap", "lmtp", "smtp", "queue")


class Line:
    """One connection to a tiny role: lines there and back."""

    def __init__(self, address):
        if isinstance(address, tuple):
            self.s = socket.create_connection(address, timeout=180)
        else:
            self.s = socket.socket(socket.AF_UNIX)
            self.s.settimeout(180)
            self.s.connect(str(address))
        self.f = self.s.makefile("rb")

    def ask(self, text):
        self.s.sendall(text.encode() + b"\n")
        return self.f.readline().decode().rstrip("\n")

    def at_end(self):
        return self.f.read() == b""

    def close(self):
        self.f.close()
        self.s.close()


class TinyMaster:
    certs = None    # of harness.certs; a fixture sets it

    def __init__(self, directory, extra="", workers=1, env=None):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.build = build_dir()
        self.exe = self.build / "core/master/postroom"
        self.conf = self.dir / "postroom.conf"
        self.runtime = self.dir / "run"
        self.mail = self.dir / "mail"
        self.spool = self.dir / "spool"
        self.log_path = self.dir / "log"
        self.imap_port, self.smtp_port, self.lmtp_port = free_ports(3)
        self.workers = workers
        self.key = self.dir / "key.pem"
        self.key.write_bytes(Path(self.certs.key).read_bytes())
        self.key.chmod(0o600)
        self.env = env or {}
        self.process = None
        self.write_conf(extra)
        lib = self.dir / "libexec"
        lib.mkdir(exist_ok=True)
        for r in ROLES:
            link = lib / f"postroom-{r}"
            if not link.exists():
                link.symlink_to(self.build / "tests/unit/tiny_role")

    def write_conf(self, extra="", hostname="one.example.org"):
        self.conf.write_text(f"""
hostname = "{hostname}"
runtime_dir = "{self.runtime}"
mail_root = "{self.mail}"
spool_dir = "{self.spool}"
libexec_dir = "{self.dir}/libexec"
log {{ level = debug file = "{self.log_path}" }}
imap {{ workers = {self.workers} gate_workers = 1 }}
smtp {{ workers = 1 }}
lmtp {{ workers = 1 }}
tls {{ certificate = "{self.certs.cert}" key = "{self.key}" }}
directory "main" {{ uris = {{ "ldap://127.0.0.1:1" }} base = "dc=example,dc=org" }}
listen "imap" {{ protocol = imap address = {{ "127.0.0.1:{self.imap_port}" }} }}
listen "submission" {{ protocol = submission address = {{ "127.0.0.1:{self.smtp_port}" }} tls = starttls }}
listen "lmtp" {{ protocol = lmtp address = {{ "127.0.0.1:{self.lmtp_port}" }} }}
{extra}
""")
        self.conf.chmod(0o600)

    def spawn(self):
        err = open(self.dir / "stderr", "ab")
        p = subprocess.Popen([self.exe, "serve", "--config", self.conf], stderr=err,
                             stdin=subprocess.DEVNULL, env={**os.environ, **self.env})
        err.close()
        return p

    def start(self):
        at = self.log_end()
        self.process = self.spawn()
        self.wait_log(r"ev=master\.ready", timeout=120, start=at)
        return self

    def stop(self):
        if self.process is None:
            return
        p, self.process = self.process, None
        p.send_signal(signal.SIGTERM)
        try:
            code = p.wait(180)
        except subprocess.TimeoutExpired:
            p.kill()
            raise
        assert code == 0, self.stderr_text()
        assert "Sanitizer" not in self.stderr_text(), self.stderr_text()

    __enter__ = start

    def __exit__(self, *exc):
        self.stop()

    def command(self, *args, stdin=""):
        return subprocess.run([self.exe, "--config", self.conf, *args], capture_output=True,
                              text=True, timeout=100, input=stdin)

    def stderr_text(self):
        p = self.dir / "stderr"
        return p.read_text(errors="replace") if p.exists() else ""

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_end(self):
        return len(self.log_text())

    def wait_log(self, pattern, timeout=180, start=0):
        until = time.monotonic() + timeout
        while True:
            m = re.search(pattern, self.log_text()[start:])
            if m:
                return m
            assert self.process is None or self.process.poll() is None, self.stderr_text()
            assert time.monotonic() < until, \
                f"{pattern!r} not in the log:\n{self.log_text()[start:][-3000:]}{self.stderr_text()}"
            time.sleep(0.02)

    def line(self, role):
        """A connection to one of the role's listening sockets."""
        return Line({"gate": ("127.0.0.1", self.imap_port), "smtp": ("127.0.0.1", self.smtp_port),
                     "lmtp": ("127.0.0.1", self.lmtp_port),
                     "auth": self.runtime / "auth"}[role])

    def ask(self, role, text):
        c = self.line(role)
        try:
            return c.ask(text)
        finally:
            c.close()

    def pids(self, role):
        """Worker to process id, from what master logged last."""
        found = re.findall(rf"ev=master\.start child={role} worker=(\d+) child_pid=(\d+)",
                           self.log_text())
        return {int(w): int(p) for w, p in found}
