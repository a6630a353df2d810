"""An LDAP server that says what a test tells it to, on loopback: for answers that no server here
gives by itself (parts of attributes as Active Directory cuts them, referrals, odd binds).

    def on_search(q):                     # q.base, q.scope, q.filter (bytes of BER), q.attrs
        yield Entry("cn=g,dc=x", {"member;range=0-1": ["a", "b"]})
        yield Reference("ldap://other/dc=x")
        yield Done(0)                     # code, text, referrals, controls [(oid, value)]
    with Scripted(on_search=on_search) as s:
        s.port, s.searches, s.binds
    # on_bind(dn, password, controls) -> Done(...); without it every bind succeeds. path= makes it a
    # socket in the file system (ldapi); s.uri says where
"""
import socket
import threading
import urllib.parse
from dataclasses import dataclass, field


# ---- BER, as far as LDAP needs it ----

def tlv(tag, *content):
    body = b"".join(content)
    n = len(body)
    if n < 128:
        size = bytes([n])
    else:
        octets = n.to_bytes((n.bit_length() + 7) // 8, "big")
        size = bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + size + body


def integer(value, tag=2):
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def string(value, tag=4):
    return tlv(tag, value.encode() if isinstance(value, str) else value)


def read(data, at=0):
    """(tag, content, offset behind) of the element at this offset, or None: not whole."""
    if len(data) < at + 2:
        return None
    tag, n, start = data[at], data[at + 1], at + 2
    if n >= 128:
        octets = n & 127
        n = int.from_bytes(data[start:start + octets], "big")
        start += octets
    if len(data) < start + n:
        return None
    return tag, data[start:start + n], start + n


def children(content):
    at, out = 0, []
    while at < len(content):
        tag, value, at = read(content, at)
        out.append((tag, value))
    return out


# ---- messages ----

@dataclass
class Query:
    base: str
    scope: int
    size_limit: int
    filter: bytes
    attrs: list
    controls: dict


@dataclass
class Entry:
    dn: str
    attrs: dict

    def encode(self):
        return tlv(0x64, string(self.dn), tlv(0x30, *(
            tlv(0x30, string(name), tlv(0x31, *map(string, values)))
            for name, values in self.attrs.items())))


@dataclass
class Reference:
    uri: str

    def encode(self):
        return tlv(0x73, string(self.uri))


@dataclass
class Done:
    code: int = 0
    text: str = ""
    referrals: list = field(default_factory=list)
    controls: list = field(default_factory=list)

    def encode(self, tag=0x65):
        more = [tlv(0xa3, *map(string, self.referrals))] if self.referrals else []
        return tlv(tag, integer(self.code, 10), string(""), string(self.text), *more)


class Scripted:
    def __init__(self, on_search=None, on_bind=None, path=None):
        self.on_search, self.on_bind = on_search, on_bind
        self.searches, self.binds = [], []
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen()
            self.uri = "ldapi://" + urllib.parse.quote(str(path), safe="")
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
            self.uri = f"ldap://127.0.0.1:{self.port}"
        self.connections = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self.connections:
            s.close()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(s)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        data = b""
        while True:
            found = read(data)
            if found is not None:
                data = data[found[2]:]
                self._message(s, found[1])
                continue
            try:
                more = s.recv(65536)
            except OSError:
                return
            if not more:
                return
            data += more

    def _message(self, s, content):
        (_, msgid), (tag, body), *rest = children(content)
        controls = {}
        for t, value in rest:
            if t == 0xa0:
                for _, control in children(value):
                    parts = children(control)
                    controls[parts[0][1].decode()] = parts[-1][1] if parts[-1][0] == 4 else b""

        def send(encoded, extra=()):
            if extra:
                encoded += tlv(0xa0, *(tlv(0x30, string(oid), string(value))
                                       for oid, value in extra))
            try:
                s.sendall(tlv(0x30, tlv(2, msgid), encoded))
            except OSError:
                pass

        if tag == 0x60:
            _, (_, dn), (_, password) = children(body)[:3]  # a SASL bind: BER in password
            self.binds.append((dn.decode(), password, controls))
            done = self.on_bind(*self.binds[-1]) if self.on_bind else Done()
            send(done.encode(0x61), done.controls)
        elif tag == 0x63:
            p = children(body)
            q = Query(p[0][1].decode(), p[1][1][0], int.from_bytes(p[3][1], "big"), p[6][1],
                      [v.decode() for _, v in children(p[7][1])], controls)
            self.searches.append(q)
            for answer in self.on_search(q):
                if isinstance(answer, bytes):
                    s.sendall(answer)
                else:
                    send(answer.encode(), getattr(answer, "controls", ()))
