"""One postroom-authworker alone, in a temporary directory, and a client in auth's place.

    w = AuthWorker(directory, 'passwd_file "local" { path = "…" }')
    w.start()
    with w.client() as c:
        c.ask("login", "passwd_file", "local", user="anna", password="x")   # -> Answer
    w.stop()

Started as root, the helper runs as its own user and the client connects as auth's.
"""
import os
import pwd
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from .authd import Lines, escape, unescape
from .instance import SOURCE, build_dir

# numbers of enum auth_reason, by name: REASON["PASSWORD"]
REASON = {name: n for n, name in enumerate(
    re.findall(r"^\tREASON_(\w+)", (SOURCE / "auth-ldap/backend/reason.h").read_text(), re.M))}


class Answer:
    """users: dicts; values: texts; keys: {"256": [...]}; err: "ok" …; reason: number; detail."""

    def __init__(self):
        self.users, self.values, self.keys = [], [], {}
        self.err = self.detail = None
        self.reason = 0

    @property
    def user(self):
        assert len(self.users) == 1, self
        return self.users[0]

    def __repr__(self):
        return f"{self.err} {self.reason} {self.detail!r} {self.users} {self.values}"


class Client(Lines):
    last = 0

    def hello(self):
        assert self.line() == "HELLO\t1"
        return self

    def post(self, kind, section, title, **fields):
        self.last += 1
        line = f"ASK\t{self.last}\t{kind}\t{section}\t{escape(title)}"
        for key, value in fields.items():
            line += f"\t{key}={escape(value)}"
        self.sock.sendall(line.encode("utf-8", "surrogateescape") + b"\n")

    def answer(self):
        a = Answer()
        while a.err is None:
            word, number, *rest = self.line().split("\t")
            assert int(number) == self.last
            rest = [unescape(r) for r in rest]
            if word == "USER":
                a.users.append(dict(r.split("=", 1) for r in rest))
            elif word == "VALUE":
                a.values.append(rest[0])
            elif word == "KEYS":
                a.keys[rest[0]] = rest[1:]
            else:
                assert word == "END"
                a.err, a.reason, a.detail = rest[0], int(rest[1]), rest[2]
        return a

    def ask(self, kind, section, title, **fields):
        self.post(kind, section, title, **fields)
        return self.answer()


class AuthWorker:
    def __init__(self, directory, sections, settings=""):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.socket = self.dir / "auth-worker"
        self.conf = self.dir / "authworker.conf"
        self.log = []
        self.process = None
        self.write_conf(sections, settings)

    def write_conf(self, sections, settings=""):
        default = "" if "auth {" in settings else 'auth { default_domain = "example.org" }\n'
        self.conf.write_text(f'runtime_dir = "{self.dir}"\n{default}{settings}\n{sections}\n')
        self.conf.chmod(0o600)

    def start(self):
        build = build_dir()
        program = next(p for p in build.glob("**/postroom-authworker") if p.is_file())
        run_role = next(p for p in build.glob("**/tools/run_role") if p.is_file())
        self.process = subprocess.Popen(
            [run_role, self.conf, program, f"auth-worker=unix:{self.socket}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1"})
        self.log = []
        # the helper may not write files: its log goes through a pipe
        self.reader = threading.Thread(target=self.log.extend, args=(self.process.stderr,), daemon=True)
        self.reader.start()
        first = self.process.stdout.readline()
        if not first.startswith("ready"):
            self.process.kill()
            raise AssertionError("the helper did not start:\n" + self.log_text())
        return self

    def client(self, user="postroom-auth"):
        """Connected as auth's user."""
        if os.getuid() != 0:
            return Client(self.socket).hello()
        os.seteuid(pwd.getpwnam(user).pw_uid)
        try:
            c = Client(self.socket)
        finally:
            os.seteuid(0)
        return c.hello()

    def log_text(self):
        return "".join(self.log)

    def wait_log(self, text, timeout=180):
        until = time.monotonic() + timeout
        while text not in self.log_text():
            assert time.monotonic() < until, f"{text!r} not in:\n{self.log_text()[-3000:]}"
            time.sleep(0.02)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        code = self.process.wait(180)
        self.process.stdout.close()
        self.reader.join(5)
        self.process.stderr.close()
        self.process = None
        text = self.log_text()
        assert "Sanitizer" not in text and "runtime error" not in text, text[-6000:]
        assert code == 0, f"{code}\n{text[-3000:]}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
