"""IMAP as bytes, for tests that care how something is said.

    c = RawImap("127.0.0.1", port)            # or context=certs.context() for TLS at once
    c.greeting
    c.send(b"a LOGIN x y\r\n")
    c.line(), c.until("a"), c.eof()
    c.starttls(context)
"""
import socket
import ssl
import zlib

from .ready import usable


class RawImap:
    def __init__(self, host, port, context=None, timeout=180, greet=True):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            # a connection that just breaks must show as an error
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost",
                                            suppress_ragged_eofs=False)
        self.buffer = bytearray()
        self.deflate = self.inflate = None
        self.greeting = self.line() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

    def send_reading(self, data):
        """All of data, taking in what comes meanwhile: a server that waits until its answers are read does not hold
        this up. In one thread, since a TLS socket bears no second one."""
        left = memoryview(data)
        timeout = self.sock.gettimeout()
        blocked = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self.sock.settimeout(0)
        while left:
            try:
                left = left[self.sock.send(left[:65536]):]
            except blocked:
                pass
            try:
                self._receive()
            except blocked:
                assert usable(self.sock, timeout), "the server is stuck"
        self.sock.settimeout(timeout)

    def _receive(self):
        got = self.sock.recv(65536)
        if not got:
            raise EOFError(bytes(self.buffer))
        self.buffer += self.inflate.decompress(got) if self.inflate else got

    def line(self):
        while (end := self.buffer.find(b"\r\n")) < 0:
            self._receive()
        line = self.buffer[:end].decode("utf-8", "replace")
        del self.buffer[:end + 2]
        return line

    def until(self, tag):
        """The lines up to and with the tagged reply (or a continuation, with tag "+")."""
        out = []
        while True:
            out.append(self.line())
            if out[-1].startswith(tag + " ") or out[-1] == tag:
                return out

    def ask(self, command, tag="t"):
        """The tagged reply's text, and the lines before it."""
        self.send(f"{tag} {command}\r\n")
        lines = self.until(tag)
        return lines[-1][len(tag) + 1:], lines[:-1]

    def eof(self):
        """True when the server closes in order, with nothing more to say."""
        if self.buffer:
            return False
        return self.sock.recv(1) == b""

    def compress(self):
        assert self.ask("COMPRESS DEFLATE")[0].startswith("OK")
        self.deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.inflate = zlib.decompressobj(-15)

    def starttls(self, context):
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost",
                                        suppress_ragged_eofs=False)

    def peer_certificate(self):
        return self.sock.getpeercert(True) if isinstance(self.sock, ssl.SSLSocket) else None
