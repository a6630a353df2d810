"""An SMTP client that sends exactly what it is told, for the tests of bad input.

    c = Raw(instance)                    # connected, greeting read
    c.command("EHLO x")                  # (250, ["..."]) : code and lines
    c.starttls(); c.login("anna.berg@example.org")
    c.send(b"NOOP\\r\\nNOOP\\r\\n"); c.reply(); c.reply()
    c.closed()                           # the server hung up
"""
import base64
import socket

from .instance import password_of


class Closed(Exception):
    pass


class Raw:
    def __init__(self, instance, tls=None, timeout=180, greet=True, port=None):
        self.instance = instance
        port = port or (instance.submissions_port if tls == "implicit"
                        else instance.submission_port)
        self.sock = socket.create_connection(("localhost", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if tls == "implicit":
            self._wrap()
        if greet:
            self.greeting = self.reply()

    def _wrap(self):
        self.sock = self.instance.certs.context().wrap_socket(self.sock,
                                                              server_hostname="localhost")

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.buffer:
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                raise Closed()
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), line
        return line[:-1].decode("ascii")

    def reply(self):
        """(code, lines without code)."""
        lines = []
        while True:
            line = self.line()
            assert line[:3].isdigit() and line[3:4] in ("-", " ", ""), line
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), lines

    def command(self, text):
        self.send((text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.reply()

    def code(self, text):
        """ "550 5.1.1": the code and the enhanced status of the reply. """
        code, lines = self.command(text)
        word = lines[-1].split(" ")[0]
        return f"{code} {word}" if word.count(".") == 2 else str(code)

    def starttls(self):
        assert self.command("STARTTLS")[0] == 220
        self._wrap()
        return self.command("EHLO client.example.org")

    def login(self, user, password=None):
        text = f"\0{user}\0{password or password_of(user)}".encode()
        return self.command("AUTH PLAIN " + base64.b64encode(text).decode())

    def envelope(self, sender, *rcpts):
        assert self.code(f"MAIL FROM:<{sender}>") == "250 2.1.0"
        for r in rcpts:
            assert self.code(f"RCPT TO:<{r}>") == "250 2.1.5"

    def closed(self):
        try:
            while True:
                self.line()
        except Closed:
            return True
        except socket.timeout:
            return False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def authenticated(instance, user, tls="starttls"):
    c = Raw(instance, tls="implicit" if tls == "implicit" else None)
    c.command("EHLO client.example.org")
    if tls == "starttls":
        c.starttls()
    code, lines = c.login(user)
    assert code == 235, lines
    return c


def messages_in_spool(instance):
    """Names of the slots that hold a committed message."""
    out = []
    for p in (instance.spool / "slots").iterdir():
        try:
            if p.read_bytes()[:8] == b"PRSLOT1\n":
                out.append(p.name)
        except FileNotFoundError:
            pass
    return out
