"""SCRAM from both ends (RFC 5802, RFC 7677), written for the tests.

    stored("pencil")                     # "SCRAM-SHA-256$4096:salt$stored:server" for a directory
    c = Client("anna", "pencil")         # or sha="sha1", authzid="boss"
    c.first()                            # bytes for the server
    c.final(server_first)                # bytes; raises ValueError when the server cheats
    c.check(server_final)                # the server knows the password's keys
"""
import base64
import hashlib
import hmac
import os

NAMES = {"sha256": "SCRAM-SHA-256", "sha1": "SCRAM-SHA-1"}


def _keys(password, salt, iterations, sha):
    salted = hashlib.pbkdf2_hmac(sha, password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", sha)
    return client, hashlib.new(sha, client).digest(), hmac.digest(salted, b"Server Key", sha)


def stored(password, sha="sha256", iterations=4096, salt=None):
    salt = salt or os.urandom(16)
    _, key, server = _keys(password, salt, iterations, sha)
    b64 = lambda b: base64.b64encode(b).decode()
    return f"{NAMES[sha]}${iterations}:{b64(salt)}${b64(key)}:{b64(server)}"


class Client:
    def __init__(self, name, password, sha="sha256", authzid="", header=None):
        escape = lambda s: s.replace("=", "=3D").replace(",", "=2C")
        self.sha, self.password = sha, password
        self.nonce = base64.b64encode(os.urandom(12)).decode()
        self.header = header or f"n,{'a=' + escape(authzid) if authzid else ''},"
        self.bare = f"n={escape(name)},r={self.nonce}"

    def first(self):
        return (self.header + self.bare).encode()

    def final(self, server_first):
        text = server_first.decode()
        fields = dict(f.split("=", 1) for f in text.split(","))
        if not fields["r"].startswith(self.nonce) or fields["r"] == self.nonce:
            raise ValueError("the server's nonce is not made of ours")
        self.salt, self.iterations = base64.b64decode(fields["s"]), int(fields["i"])
        key, stored_key, self.server_key = _keys(self.password, self.salt, self.iterations,
                                                 self.sha)
        without = "c=" + base64.b64encode(self.header.encode()).decode() + ",r=" + fields["r"]
        self.message = f"{self.bare},{text},{without}".encode()
        signature = hmac.digest(stored_key, self.message, self.sha)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def check(self, server_final):
        want = base64.b64encode(hmac.digest(self.server_key, self.message, self.sha))
        if server_final != b"v=" + want:
            raise ValueError("the server does not know the keys")
