"""Debian's Exim, unchanged, as a private instance in a temporary directory, on loopback.

    e = Exim(directory, certs, auth_socket, mechanisms=("PLAIN", "LOGIN"))
    e.start(); e.port; e.log_text(); e.queue(); e.stop()
    e = Exim(directory, certs, None, mechanisms=(), domains="far.example.net", route=("127.0.0.1", 2525))
    e.inject(sender, [recipient], text); e.deliver()

Its package conflicts with Postfix's, so build-aux/install-packages unpacks it below build-aux; the
user that it wants exists in a passwd file of its own (libnss-wrapper). Whoever logged in may send, so
may who connects from `networks`, and everybody to its `domains`; what it accepts stays in its queue
until deliver(), which sends it to `route`, a host and port, and what is for taken@ one of its domains
to nowhere. `options` are more lines of its main section. Needs root, as Exim does.
"""
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from .instance import SOURCE
from .ports import free_ports

EXIM = SOURCE / "build-aux/unpacked/exim4-daemon-heavy/usr/sbin/exim4"
WRAPPER = "libnss_wrapper.so"

CONFIG = """\
primary_hostname = exim.example.net
exim_path = {exim}
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/exim.pid
local_interfaces = <; [{address}]:{port}
daemon_smtp_ports = {port}
tls_on_connect_ports =
tls_advertise_hosts = *
tls_certificate = {cert}
tls_privatekey = {key}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
keep_environment = ^LD_PRELOAD : ^NSS_WRAPPER
never_users =
queue_only
log_selector = +smtp_protocol_error +tls_cipher
acl_smtp_rcpt = check_rcpt
domainlist local_domains = {domains}
hostlist relay_hosts = {networks}
{options}

begin acl
check_rcpt:
  accept authenticated = *
  accept domains = +local_domains
  accept hosts = +relay_hosts
  deny message = relaying is for users

begin routers
taken:
  driver = accept
  domains = +local_domains
  local_parts = taken
  transport = nowhere
{router}
begin transports
out:
  driver = smtp
  port = {route_port}
nowhere:
  driver = appendfile
  file = /dev/null
  user = Debian-exim

begin authenticators
{authenticators}
"""

STAYS = """\
none:
  driver = redirect
  data = :defer: stays here
"""

ROUTE = """\
hop:
  driver = manualroute
  domains = ! +local_domains
  transport = out
  route_list = * {host}
  self = send
"""

AUTHENTICATOR = """\
{name}:
  driver = dovecot
  public_name = {mechanism}
  server_socket = {socket}
  server_set_id = $auth1
"""


class Exim:
    def __init__(self, directory, certs, auth_socket, mechanisms=("PLAIN", "LOGIN"), address="127.0.0.1", port=None,
                 domains="", route=None, networks="", options=""):
        if not EXIM.exists():
            raise RuntimeError(f"{EXIM} is not there: run build-aux/install-packages test")
        self.dir = Path(directory)
        self.address, self.port = address, port or free_ports(1)[0]
        self.process = None
        for name in ("spool", "log"):
            (self.dir / name).mkdir(parents=True)
            os.chown(self.dir / name, 65534, 65534)
        (self.dir / "passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\n"
            "Debian-exim:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
            "mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n")
        (self.dir / "group").write_text("root:x:0:\nDebian-exim:x:65534:\nmail:x:8:\nadm:x:4:\n")
        self.conf = self.dir / "exim.conf"
        self.conf.write_text(CONFIG.format(
            exim=EXIM, dir=self.dir, address=address, port=self.port, domains=domains,
            networks=networks, options=options, cert=certs.cert, key=self._key(certs),
            router=(ROUTE.format(host=route[0]) if route else "") + STAYS, route_port=route[1] if route else 25,
            authenticators="".join(
                AUTHENTICATOR.format(name=m.lower().replace("-", "_"), mechanism=m,
                                     socket=auth_socket) for m in mechanisms)))

    def _key(self, certs):
        """It reads the key as its own user."""
        key = self.dir / "server.key"
        key.write_bytes(Path(certs.key).read_bytes())
        key.chmod(0o400)
        os.chown(key, 65534, 65534)
        return key

    def _env(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_PRELOAD": WRAPPER,
                "NSS_WRAPPER_PASSWD": str(self.dir / "passwd"),
                "NSS_WRAPPER_GROUP": str(self.dir / "group")}

    def _run(self, *args):
        return subprocess.run([EXIM, "-C", self.conf, *args], env=self._env(), capture_output=True,
                              text=True, timeout=120)

    def start(self, timeout=180):
        with open(self.dir / "output", "ab") as out:
            self.process = subprocess.Popen([EXIM, "-C", self.conf, "-bdf"], env=self._env(),
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        until = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise RuntimeError("exim did not start:\n" + self.log_text()[-3000:])
                time.sleep(0.05)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(180)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def log_text(self):
        names = [self.dir / "output", *(self.dir / "log" / f"{n}log" for n in ("main", "panic", "reject"))]
        return "".join(p.read_text(errors="replace") for p in names if p.exists())

    def wait_log(self, pattern, timeout=180):
        until = time.monotonic() + timeout
        while not (m := re.search(pattern, self.log_text())):
            assert time.monotonic() < until, f"{pattern!r} not in the log:\n{self.log_text()[-4000:]}"
            time.sleep(0.05)
        return m

    def inject(self, sender, recipients, text):
        """A message of its own users."""
        done = subprocess.run([EXIM, "-C", self.conf, "-odq", "-oi", "-f", sender, *recipients], env=self._env(),
                              input=text, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def deliver(self):
        """One try for everything that waits."""
        done = self._run("-qff")
        assert done.returncode == 0, done.stderr

    def bodies(self):
        return [p.read_bytes() for p in (self.dir / "spool" / "input").rglob("*-D")]

    def queue(self):
        """(sender, recipients) of every message in its queue."""
        found = []
        for block in self._run("-bp").stdout.strip().split("\n\n"):
            lines = [line.split() for line in block.splitlines()]
            if lines and lines[0]:
                sender = re.search(r"<(.*)>", " ".join(lines[0])).group(1)
                found.append((sender, sorted(w[-1] for w in lines[1:] if w)))
        return found
