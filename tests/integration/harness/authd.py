"""postroom-auth alone, in a temporary directory, and clients for its three sockets.

    a = Authd(directory, directory_section(slapd))
    a.start()
    with a.auth() as c:
        c.plain("anna.berg", "secret-anna.berg")   # -> Reply("OK", {"user": "anna.berg@…"})
    with a.directory() as d:
        d.lookup("alias", "sales@example.org")      # -> ("OK", "a@…,b@…")
    with a.userdb() as u:
        u.user("anna.berg")                         # -> ("USER", "anna.berg@…", {"home": …})
    a.stop()

POSTROOM_BUILD names the build folder. The role runs as the caller, without master.
"""
import base64
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from .instance import build_dir


def escape(s):
    for raw, name in (("\x01", "1"), ("\0", "0"), ("\t", "t"), ("\r", "r"), ("\n", "n")):
        s = s.replace(raw, "\x01" + name)
    return s


def unescape(s):
    for raw, name in (("\0", "0"), ("\t", "t"), ("\r", "r"), ("\n", "n"), ("\x01", "1")):
        s = s.replace("\x01" + name, raw)
    return s


class Lines:
    """A unix socket with lines."""

    def __init__(self, path, timeout=180):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, line):
        self.sock.sendall(line.encode() + b"\n" if isinstance(line, str) else line)

    def line(self):
        while b"\n" not in self.buffer:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError(self.buffer)
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode("utf-8", "surrogateescape")


class Reply:
    def __init__(self, line):
        self.line = line
        self.verb, self.id, *rest = line.split("\t")
        self.fields = {}
        for f in rest:
            key, _, value = f.partition("=")
            self.fields[key] = unescape(value)
        self.rest = rest

    @property
    def temporary(self):
        return self.verb == "FAIL" and "temp" in self.fields

    def __repr__(self):
        return repr(self.line)


class AuthClient(Lines):
    def __init__(self, path, pid=4711, timeout=180):
        super().__init__(path, timeout)
        self.pid = pid
        self.hello = []
        while not self.hello or self.hello[-1] != "DONE":
            self.hello.append(self.line())
        self.cookie = next(h.split("\t")[1] for h in self.hello if h.startswith("COOKIE\t"))
        self.send(f"VERSION\t1\t1\nCPID\t{pid}")
        self.last = 0

    def begin(self, mechanism, response=None, params="service=imap", number=None,
              clear=False):
        """Send AUTH; returns its number. clear: the client came without TLS."""
        number, line = self.auth_line(mechanism, response, params, number, clear)
        self.send(line)
        return number

    def begin_many(self, mechanism, response, numbers):
        """All of them at once, however slow the machine is."""
        lines = [self.auth_line(mechanism, response, number=n)[1] for n in numbers]
        self.send("\n".join(lines))

    def auth_line(self, mechanism, response=None, params="service=imap", number=None, clear=False):
        if not clear and "secured" not in params.split("\t"):
            params += "\tsecured"
        if number is None:
            self.last += 1
            number = self.last
        line = f"AUTH\t{number}\t{mechanism}\t{params}"
        if response is not None:
            line += "\tresp=" + base64.b64encode(response).decode()
        return number, line

    def reply(self):
        return Reply(self.line())

    def plain(self, name, password, authzid="", **kw):
        to_bytes = lambda v: v if isinstance(v, bytes) else v.encode()
        self.begin("PLAIN", b"\0".join(map(to_bytes, (authzid, name, password))), **kw)
        return self.reply()


class UserdbClient(Lines):
    def __init__(self, path, timeout=180):
        super().__init__(path, timeout)
        self.hello = [self.line(), self.line()]
        self.send("VERSION\t1\t0")
        self.last = 0

    def _answer(self):
        verb, _, *rest = self.line().split("\t")
        name = unescape(rest[0]) if rest else ""
        fields = dict(f.partition("=")[::2] for f in rest[1:])
        return verb, name, {k: unescape(v) for k, v in fields.items()}

    def user(self, name, service="imap"):
        self.last += 1
        self.send(f"USER\t{self.last}\t{escape(name)}\tservice={service}")
        return self._answer()

    def request(self, client, number, cookie=None, pid=None):
        self.last += 1
        self.send(f"REQUEST\t{self.last}\t{pid or client.pid}\t{number}\t"
                  f"{cookie or client.cookie}")
        return self._answer()

    def list(self):
        self.last += 1
        self.send(f"LIST\t{self.last}\tservice=admin")
        users = []
        while True:
            verb, _, *rest = self.line().split("\t")
            if verb == "DONE":
                return users, rest
            users.append(unescape(rest[0]))


class MapClient:
    def __init__(self, path, timeout=180):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def ask(self, table, key):
        q = f"{table} {key}".encode("utf-8", "surrogateescape")
        self.sock.sendall(str(len(q)).encode() + b":" + q + b",")

    def answer(self):
        while True:
            head, colon, rest = self.buffer.partition(b":")
            if colon and len(rest) > int(head):
                n = int(head)
                assert rest[n:n + 1] == b","
                self.buffer = rest[n + 1:]
                status, _, value = rest[:n].decode().partition(" ")
                return status, value
            got = self.sock.recv(65536)
            if not got:
                raise EOFError(self.buffer)
            self.buffer += got

    def lookup(self, table, key):
        self.ask(table, key)
        return self.answer()

    def addresses(self, key, table="alias"):
        status, value = self.lookup(table, key)
        assert status == "OK", (status, value)
        return sorted(value.split(","))


class Authd:
    def __init__(self, directory, sections, auth="failure_delay = 0", settings="", level="debug"):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.build = build_dir()
        self.conf = self.dir / "auth.conf"
        self.log_path = self.dir / "auth.log"
        self.process = None
        self.pid = None
        self.level = level
        self.write_conf(sections, auth, settings)

    def write_conf(self, sections, auth="failure_delay = 0", settings=""):
        """Without cache_size in auth nothing is remembered: every answer is the directory's."""
        domain = "" if "default_domain" in auth else '\tdefault_domain = "example.org"\n'
        if "cache_size" not in auth:
            domain += "\tcache_size = 0\n"
        self.conf.write_text(
            f'runtime_dir = "{self.dir}/run"\nmail_root = "{self.dir}/mail"\n'
            f"log {{\n\tlevel = {self.level}\n}}\nauth {{\n{domain}\t{auth}\n}}\n"
            f"{sections}\n{settings}\n")
        self.conf.chmod(0o600)

    def path(self, name):
        return self.dir / name

    def start(self, timeout=180):
        # The role may not write files, so its log goes through a pipe.
        with open(self.log_path, "ab") as log:
            self.copier = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
        env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99"}
        self.process = subprocess.Popen(
            [self.build / "tests/tools/run_role", self.conf, self.build / "postroom-auth",
             f"auth=unix:{self.path('auth')}", f"auth-userdb=unix:{self.path('auth-userdb')}",
             f"directory=unix:{self.path('directory')}",
             f"auth-admin=unix:{self.path('auth-admin')}"],
            stdout=subprocess.PIPE, stderr=self.copier.stdin, env=env, text=True)
        self.copier.stdin.close()
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.process.wait(timeout)
            self.process = None
            self.copier.wait(timeout)
            raise RuntimeError("postroom-auth did not start:\n" + self.log_text()[-3000:])
        self.pid = int(line.split()[1])
        return self

    def stop(self):
        """Ends in order; fails when a sanitizer complained or the role died."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(180)
        self.process.stdout.close()
        self.process = None
        self.copier.wait(180)
        log = self.log_text()
        assert status == 0, f"postroom-auth ended with {status}:\n{log[-6000:]}"

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *exc):
        if kind is None:
            self.stop()
        elif self.process is not None:
            self.process.kill()
            self.process.wait()

    def log_text(self):
        """The lines that are there, whole ones only."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return text[:text.rfind("\n") + 1]

    def wait_log(self, text, timeout=180):
        until = time.monotonic() + timeout
        while text not in self.log_text():
            assert time.monotonic() < until, f"no {text!r} in:\n{self.log_text()[-3000:]}"
            time.sleep(0.02)

    def auth(self, **kw):
        return AuthClient(self.path("auth"), **kw)

    def userdb(self, **kw):
        return UserdbClient(self.path("auth-userdb"), **kw)

    def directory(self, **kw):
        return MapClient(self.path("directory"), **kw)
