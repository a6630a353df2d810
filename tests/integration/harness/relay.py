"""postroom-relay alone, jobs for it, and a server for it to talk to that behaves as badly as a test wants.

    with Relay(directory, 'outbound { … }') as r, Peer(ehlo=["PIPELINING"]) as p:
        done = r.job(p.route, b"Subject: x\\r\\n\\r\\nhi\\r\\n", ["otto@example.net"])
        done.rcpts[0].code, done.end, p.messages
"""
import os
import re
import signal
import socket
import socketserver
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from .instance import build_dir


class Relay:
    def __init__(self, directory, settings="", hostname="relay.example.org"):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.conf = self.dir / "relay.conf"
        self.conf.write_text(
            f'hostname = "{hostname}"\nruntime_dir = "{self.dir}"\npasswd_file "x" {{ path = "/nonexistent" }}\n'
            + settings)
        self.conf.chmod(0o600)
        self.socket = self.dir / "relay"
        self.log = self.dir / "log"
        self.process = None

    def __enter__(self):
        build = build_dir()
        with open(self.log, "ab") as log:  # the role itself may not write into files
            self.cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
        self.process = subprocess.Popen(
            [build / "tests/tools/run_role", self.conf, build / "postroom-relay",
             f"relay=seqpacket:{self.socket}"], stdout=subprocess.PIPE, stderr=self.cat.stdin, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("ready "), self.log.read_text()
        self.pid = int(line.split()[1])
        return self

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(180)
        self.process.stdout.close()
        self.cat.stdin.close()
        self.cat.wait(180)
        assert exc[0] is not None or code == 0, self.log.read_text()

    def start_job(self, route, message, rcpts, *options, section="", sender="anna@example.org"):
        path = self.dir / f"message-{time.monotonic_ns()}"
        path.write_bytes(message)
        return subprocess.Popen([build_dir() / "tests/tools/relay_job", self.socket, path, route, section,
                                 sender, *rcpts, *options], stdout=subprocess.PIPE)

    def job(self, *args, timeout=180, **more):
        p = self.start_job(*args, **more)
        out = p.communicate(timeout=timeout)[0].decode("utf-8", "replace")
        assert p.returncode == 0
        return parse(out)

    def log_text(self):
        return self.log.read_text()


def parse(out):
    done = SimpleNamespace(rcpts={}, end=None, ends=[], text=out)
    for line in out.splitlines():
        m = re.match(r"rcpt (\d+) (\d+) (\S+) (\S+) (\S+) passed=(\d) (.*)", line)
        if m:
            done.rcpts[int(m[1])] = SimpleNamespace(
                code=int(m[2]), status=m[3], host=m[4], address=m[5], passed=m[6] == "1", text=m[7])
        m = re.match(r'end (\S+) (\d+) (\S+) (\S+) (\S+) tls="(.*?)" (.*)', line)
        if m:
            done.end = SimpleNamespace(how=m[1], code=int(m[2]), status=m[3], host=m[4], address=m[5],
                                       tls=m[6], text=m[7])
            done.ends.append(done.end)
    return done


class _Session(socketserver.BaseRequestHandler):
    """what: {"EHLO": bytes, "RCPT": callable(line) -> bytes, "DATA": HANG, ".": CLOSE …}; default: 250."""

    def setup(self):
        self.peer = self.server.peer
        self.sock, self.buffer, self.tls = self.request, b"", False
        self.sock.settimeout(180)

    def line(self):
        while b"\n" not in self.buffer:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line + b"\n"

    def exactly(self, n):
        while len(self.buffer) < n:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError
            self.buffer += got
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def say(self, verb, line, default):
        what = self.peer.what.get(verb, default)
        if callable(what):
            what = what(line)
        if what == Peer.HANG:
            self.peer.stopped.wait(600)
            raise EOFError
        if what == Peer.CLOSE:
            raise EOFError
        while isinstance(what, Endless):
            self.sock.sendall(what.bytes)
            time.sleep(what.pause)
        self.sock.sendall(what)
        return what

    def ehlo(self, line):
        words = [w for w in self.peer.ehlo if not (self.tls and w == "STARTTLS")]
        lines = [self.peer.name, *words]
        return "".join(f"250{' ' if i == len(lines) - 1 else '-'}{w}\r\n"
                       for i, w in enumerate(lines)).encode()

    def handle(self):
        self.peer.connections.append(self.client_address)
        try:
            if self.peer.implicit:
                self.start_tls()
            self.talk()
        except (OSError, EOFError, ValueError):
            pass

    def start_tls(self):
        self.sock = self.peer.tls.wrap_socket(self.sock, server_side=True)
        self.tls, self.buffer = True, b""

    def talk(self):
        sender, rcpts, chunks = None, [], b""
        self.say("CONNECT", b"", b"220 " + self.peer.name.encode() + b" ESMTP\r\n")
        while True:
            line = self.line()
            self.peer.commands.append(line.rstrip(b"\r\n"))
            verb = line.split(b":")[0].split()[0].decode().upper()
            if verb in ("EHLO", "HELO"):
                self.say(verb, line, self.ehlo(line) if verb == "EHLO" else b"250 x\r\n")
            elif verb == "STARTTLS":
                if self.say(verb, line, b"220 go\r\n").startswith(b"220"):
                    self.start_tls()
            elif verb == "MAIL":
                sender, rcpts, chunks = line, [], b""
                self.say(verb, line, b"250 2.1.0 ok\r\n")
            elif verb == "RCPT":
                if self.say(verb, line, b"250 2.1.5 ok\r\n").startswith(b"2"):
                    rcpts.append(line.partition(b"<")[2].partition(b">")[0].decode())
            elif verb == "DATA":
                if self.say(verb, line, b"354 go\r\n").startswith(b"354"):
                    text = b""
                    while not (text == b".\r\n" or text.endswith(b"\r\n.\r\n")):
                        text += self.line()
                    if rcpts:
                        self.peer.messages.append((sender, rcpts, text[:-3]))
                    self.say(".", line, b"250 2.0.0 taken\r\n")
            elif verb == "BDAT":
                chunks += self.exactly(int(line.split()[1]))
                if b"LAST" in line:
                    self.peer.messages.append((sender, rcpts, chunks))
                self.say("." if b"LAST" in line else verb, line, b"250 2.0.0 got it\r\n")
            elif verb == "AUTH":
                self.auth(line)
            elif verb == "QUIT":
                self.say(verb, line, b"221 bye\r\n")
                return
            else:
                self.say(verb, line, b"250 ok\r\n")

    def auth(self, line):
        for challenge in self.peer.challenges:
            self.sock.sendall(b"334 " + challenge + b"\r\n")
            self.peer.commands.append(self.line().rstrip(b"\r\n"))
        self.say("AUTH", line, b"235 2.7.0 ok\r\n")


class Endless:
    def __init__(self, data, pause=0):
        self.bytes, self.pause = data, pause


Trickle = Endless


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Peer:
    HANG, CLOSE = object(), object()

    def __init__(self, ehlo=("PIPELINING", "8BITMIME", "SIZE 1000000"), what=None, tls=None, implicit=False,
                 name="mx.example.net", address=("127.0.0.1", 0), challenges=()):
        self.ehlo, self.what, self.tls, self.implicit, self.name = ehlo, what or {}, tls, implicit, name
        self.challenges = challenges
        self.messages, self.commands, self.connections = [], [], []
        self.stopped = threading.Event()
        self.server = _Server(address, _Session, bind_and_activate=True)
        self.server.peer = self
        self.port = self.server.server_address[1]
        self.route = f"[{self.server.server_address[0]}]:{self.port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05},
                                       daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
