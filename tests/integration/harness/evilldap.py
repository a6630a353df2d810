"""A hostile LDAP server: it behaves until the stage that its mode names, and then it does not.

    with Evil("hang-bind", certs) as e:
        e.uri                # ldap://127.0.0.1:…
        e.connections, e.sent_bytes, e.requests

It knows one user, anna.berg@example.com, and it says yes to everybody whose
password is not b"wrong". MODES lists every mode with what a client must make of it: "ok" or "temp".
"""
import os
import random
import socket
import ssl
import threading
import time

USER = b"uid=anna.berg,ou=people,dc=example,dc=org"
STARTTLS = b"1.3.6.1.4.1.1466.20037"
NOTICE = b"1.3.6.1.4.1.1466.20036"
BIND, SEARCH, EXTENDED, UNBIND, ABANDON = 0x60, 0x63, 0x77, 0x42, 0x50
BIND_DONE, ENTRY, SEARCH_DONE, EXTENDED_DONE = 0x61, 0x64, 0x65, 0x78

# ---- BER ----


def length(n):
    if n < 0x80:
        return bytes([n])
    b = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(b)]) + b


def tlv(tag, *parts):
    body = b"".join(parts)
    return bytes([tag]) + length(len(body)) + body


def integer(n, tag=2):
    return tlv(tag, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def message(number, op):
    return tlv(0x30, integer(number), op)


def result(tag, code=0, text=b"", more=b""):
    return tlv(tag, integer(code, 10), tlv(4), tlv(4, text), more)


def entry(dn=USER, attributes=None):
    if attributes is None:
        attributes = {b"mail": [b"anna.berg@example.com"], b"uid": [b"anna.berg"]}
    return tlv(ENTRY, tlv(4, dn), tlv(0x30, *(
        tlv(0x30, tlv(4, k), tlv(0x31, *(tlv(4, v) for v in vs))) for k, vs in attributes.items())))


def take(data, at=0):
    """(tag, content, end) of the element at `at`."""
    tag, n = data[at], data[at + 1]
    at += 2
    if n & 0x80:
        size = n & 0x7f
        n = int.from_bytes(data[at:at + size], "big")
        at += size
    return tag, data[at:at + n], at + n


class Gone(Exception):
    pass


class Connection:
    def __init__(self, server, sock):
        self.server = server
        self.mode = server.mode
        self.sock = sock
        self.buffer = b""
        self.searches = 0

    def send(self, data):
        self.sock.sendall(data)
        self.server.sent_bytes += len(data)

    def hang(self):
        while not self.server.stopping.wait(0.05):
            pass
        raise Gone

    def exactly(self, n):
        while len(self.buffer) < n:
            got = self.sock.recv(65536)
            if not got:
                raise Gone
            self.buffer += got

    def request(self):
        """(number, tag, content) of the next request."""
        self.exactly(2)
        head = 2 + (self.buffer[1] & 0x7f if self.buffer[1] & 0x80 else 0)
        self.exactly(head)
        n = self.buffer[1] if head == 2 else int.from_bytes(self.buffer[2:head], "big")
        self.exactly(head + n)
        body, self.buffer = self.buffer[head:head + n], self.buffer[head + n:]
        _, number, end = take(body)
        tag, content, _ = take(body, end)
        self.server.requests += 1
        return int.from_bytes(number, "big"), tag, content

    # ---- stages ----

    def run(self):
        m = self.mode
        if m == "hang-accept":
            self.hang()
        if m == "half-closed-at-accept":
            self.sock.shutdown(socket.SHUT_WR)
            self.hang()
        if m == "banner":
            self.send(b"220 mail.example.com ESMTP\r\n")
        if m == "drip-from-accept":
            for b in b"\x30\x84\x00\x01\x00\x00" + b"\x02\x01\x01" * 1000:
                self.send(bytes([b]))
                time.sleep(0.05)
        while True:
            number, tag, content = self.request()
            if tag == EXTENDED:
                self.starttls(number)
            elif tag == BIND:
                self.bind(number, content)
            elif tag == SEARCH:
                self.search(number)
            elif tag == UNBIND:
                return

    def starttls(self, number):
        m = self.mode
        ok = message(number, result(EXTENDED_DONE))
        if m == "hang-starttls":
            self.hang()
        if m == "starttls-refused":
            self.send(message(number, result(EXTENDED_DONE, 52, b"no TLS today")))
            return
        if m == "starttls-answered-twice":
            self.send(ok + ok)
            self.hang()
        if m == "clear-behind-starttls":
            self.send(ok + message(number + 1, result(BIND_DONE)))
            self.hang()
        if m == "starttls-other-number":
            self.send(message(number + 7, result(EXTENDED_DONE)))
            self.hang()
        self.send(ok)
        if m == "hang-handshake":
            self.hang()
        if m == "garbage-handshake":
            self.send(os.urandom(4096))
            self.hang()
        self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)

    def bind(self, number, content):
        m = self.mode
        _, _, end = take(content)
        _, dn, end = take(content, end)
        _, password, _ = take(content, end)
        user = dn == USER
        if m == "hang-bind" or (m == "hang-user-bind" and user):
            self.hang()
        if m == "bind-answered-as-search":
            self.send(message(number, result(SEARCH_DONE)))
            self.hang()
        if m == "user-bind-answered-as-search" and user:
            self.send(message(number, result(SEARCH_DONE)))
            self.hang()
        if m == "user-bind-closed" and user:
            raise Gone
        if m == "user-bind-busy" and user:
            self.send(message(number, result(BIND_DONE, 51, b"busy")))
            return
        if m == "user-bind-unknown-code" and user:
            self.send(message(number, result(BIND_DONE, 4711)))
            return
        if m == "user-bind-referral" and user:
            uris = tlv(0xa3, *(tlv(4, b"ldap://127.0.0.1:%d/" % i) for i in range(1, 2000)))
            self.send(message(number, result(BIND_DONE, 10, b"", uris)))
            return
        if m == "user-bind-sasl-continue" and user:
            self.send(message(number, result(BIND_DONE, 14, b"", tlv(0x87, b"x" * 1000))))
            return
        if m == "yes-in-advance" and user:
            # yes to questions that are still to come, and no to this one
            self.send(b"".join(message(number + i, result(BIND_DONE)) for i in range(1, 50)))
            time.sleep(0.1)
            self.send(message(number, result(BIND_DONE, 49)))
            return
        code = 49 if password == b"wrong" else 0
        self.send(message(number, result(BIND_DONE, code)) * (2 if m == "every-answer-twice" else 1))
        if m == "notice-behind-bind" and not user:
            self.notice()
        if m == "half-closed-behind-bind" and not user:
            self.sock.shutdown(socket.SHUT_WR)
            self.hang()

    def notice(self):
        self.send(message(0, result(EXTENDED_DONE, 52, b"going down", tlv(0x8a, NOTICE))))

    def search(self, number):
        """The answer that everybody would give, or the mode's."""
        self.searches += 1
        done = message(number, result(SEARCH_DONE))
        found = message(number, entry())
        how = getattr(self, "search_" + self.mode.replace("-", "_"), None)
        if how is not None:
            how(number, found, done)
        elif self.mode == "every-answer-twice":
            self.send((found + done) * 2)
        else:
            self.send(found + done)

    def search_hang_search(self, number, found, done):
        self.hang()

    def search_hang_mid_entry(self, number, found, done):
        self.send(found[:20])
        self.hang()

    def search_closed_mid_entry(self, number, found, done):
        self.send(found[:20])
        raise Gone

    def search_no_end(self, number, found, done):
        self.send(found)
        self.hang()

    def search_drip(self, number, found, done):
        for b in found + done:
            self.send(bytes([b]))
            time.sleep(0.05)

    def search_endless_entries(self, number, found, done):
        block = message(number, entry(attributes={b"mail": [b"a" * 200]})) * 1000
        while not self.server.stopping.is_set():
            self.send(block)

    def search_endless_references(self, number, found, done):
        block = message(number, tlv(0x73, tlv(4, b"ldap://127.0.0.1:1/dc=example"))) * 1000
        while not self.server.stopping.is_set():
            self.send(block)

    def search_endless_noise(self, number, found, done):
        """Answers to questions nobody asked."""
        block = b"".join(message(100000 + i, entry()) for i in range(1000))
        while not self.server.stopping.is_set():
            self.send(block)

    def search_endless_value(self, number, found, done):
        self.send(b"\x30\x84\x7f\xff\xff\xff\x02\x01" + bytes([number & 0x7f])
                  + b"\x64\x84\x7f\xff\xff\xf0\x04\x84\x7f\xff\xff\x00")
        block = b"a" * 65536
        while not self.server.stopping.is_set():
            self.send(block)

    def search_huge_values(self, number, found, done):
        big = b"x" * (12 << 20)
        for _ in range(10):
            self.send(message(number, entry(attributes={b"mail": [big]})))
        self.send(done)

    def search_many_attributes(self, number, found, done):
        self.send(message(number, entry(
            attributes={b"mail;lang-x%d" % i: [b"v"] * 10 for i in range(5000)})) + done)

    def search_many_values(self, number, found, done):
        self.send(message(number, entry(attributes={b"mail": [b""] * 1000000})) + done)

    def search_unasked_answers(self, number, found, done):
        other = message(number + 1000, entry(dn=b"cn=evil")) + message(
            number + 1000, result(SEARCH_DONE))
        self.send(other + found + other + done + other)

    def search_bind_answer(self, number, found, done):
        self.send(message(number, result(BIND_DONE)))
        self.hang()

    def search_no_such_tag(self, number, found, done):
        self.send(message(number, tlv(0x7e, b"what is this")) + found + done)

    def search_notice(self, number, found, done):
        self.notice()
        self.hang()

    def search_unsolicited_other(self, number, found, done):
        self.send(message(0, result(EXTENDED_DONE, 0, b"", tlv(0x8a, b"1.2.3.4"))) + found + done)

    def search_half_closed(self, number, found, done):
        self.sock.shutdown(socket.SHUT_WR)
        self.hang()

    def search_half_closed_mid_entry(self, number, found, done):
        self.send(found[:20])
        self.sock.shutdown(socket.SHUT_WR)
        self.hang()

    def search_busy(self, number, found, done):
        self.send(message(number, result(SEARCH_DONE, 51)))

    def search_malformed_entry(self, number, found, done):
        """Whole messages, whose inside is wrong, another way each time."""
        r = random.Random(self.searches)
        broken = bytearray(found)
        for _ in range(3):
            broken[r.randrange(4, len(broken))] = r.randrange(256)
        self.send(bytes(broken) + done)

    def search_nested(self, number, found, done):
        deep = b""
        for _ in range(2000):
            deep = tlv(0x30, deep)
        self.send(message(number, tlv(ENTRY, tlv(4, USER), deep)) + done)

    def search_number_too_long(self, number, found, done):
        self.send(tlv(0x30, tlv(2, b"\0" * 200 + bytes([number & 0x7f])), entry()) + done)

    def search_negative_number(self, number, found, done):
        self.send(tlv(0x30, tlv(2, b"\xff"), entry()) + found + done)

    def search_length_beyond_end(self, number, found, done):
        """An attribute that says it is longer than its message."""
        e = bytearray(found)
        at = e.index(b"anna.berg@example.com") - 1
        e[at] = 0x7f
        self.send(bytes(e) + done)

    def search_garbage(self, number, found, done):
        self.send(os.urandom(8192))
        self.hang()

    def search_indefinite(self, number, found, done):
        self.send(b"\x30\x80" + integer(number) + entry() + b"\0\0" + done)

    def search_empty_messages(self, number, found, done):
        self.send(b"\x30\x00" * 1000)
        self.hang()


# What must come out: ok, temp, or any (both are right: the answer can still be read in part).
MODES = {
    "well": "ok",
    # hanging at every stage
    "hang-accept": "temp", "hang-starttls": "temp", "hang-handshake": "temp", "hang-bind": "temp",
    "hang-search": "temp", "hang-mid-entry": "temp", "hang-user-bind": "temp", "no-end": "temp",
    "drip": "temp", "drip-from-accept": "temp",
    # ends, and half ends
    "half-closed-at-accept": "temp", "half-closed-behind-bind": "temp", "half-closed": "temp",
    "half-closed-mid-entry": "temp", "closed-mid-entry": "temp", "user-bind-closed": "temp",
    "notice-behind-bind": "temp", "notice": "temp",
    # before and in TLS
    "banner": "temp", "starttls-refused": "temp", "starttls-answered-twice": "temp",
    "clear-behind-starttls": "temp", "starttls-other-number": "temp", "garbage-handshake": "temp",
    "wrong-certificate": "temp",
    # too much
    "endless-entries": "temp", "endless-references": "temp", "endless-noise": "temp",
    "endless-value": "temp", "huge-values": "temp", "many-attributes": "any", "many-values": "temp",
    # answers that belong to nothing, or to something else
    "every-answer-twice": "ok", "unasked-answers": "ok", "unsolicited-other": "any",
    "bind-answer": "temp", "bind-answered-as-search": "temp",
    "user-bind-answered-as-search": "temp", "no-such-tag": "any", "yes-in-advance": "any",
    # refusals that say nothing about the password
    "busy": "temp", "user-bind-busy": "temp", "user-bind-unknown-code": "temp",
    "user-bind-referral": "temp", "user-bind-sasl-continue": "temp",
    # BER that is none
    "malformed-entry": "any", "nested": "any", "number-too-long": "any", "negative-number": "any",
    "length-beyond-end": "any", "garbage": "temp", "indefinite": "any", "empty-messages": "temp",
}


class Evil:
    def __init__(self, mode, certs=None):
        self.mode = mode
        self.connections = 0
        self.requests = 0
        self.sent_bytes = 0
        self.stopping = threading.Event()
        self.threads = []
        self.sockets = []
        self.tls = None
        if certs is not None:
            cert, key = (certs.issue("evil", "evil.example.net") if mode == "wrong-certificate"
                         else (certs.cert, certs.key))
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(cert, key)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.uri = f"ldap://127.0.0.1:{self.listener.getsockname()[1]}"

    def _serve(self, sock):
        c = Connection(self, sock)
        try:
            c.run()
        except (OSError, Gone, IndexError):
            pass
        finally:
            c.sock.close()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.settimeout(180)
            self.connections += 1
            self.sockets.append(s)
            t = threading.Thread(target=self._serve, args=(s,), daemon=True)
            self.threads.append(t)
            t.start()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for t in self.threads:
            t.join(0.2)
