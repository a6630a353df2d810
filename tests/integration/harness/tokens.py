"""A token service (RFC 7662) over HTTPS that does what its tokens say.

    with TokenService(certs) as t:
        t.url                                # https://localhost:PORT/introspect
        t.answers["tok"] = {"active": True, "username": "anna.berg"}
        t.asked                              # [(token, Authorization header), …]
    t.held["tok"] = threading.Event()    # until it is set nothing is answered
Tokens with a will of their own: hang, drip, huge, endless, redirect, junk, half, garbage, error,
denied, moved-body.
"""
import http.server
import json
import ssl
import threading
import time
import urllib.parse


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def _send(self, status, body, headers=(), length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in headers:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, seconds, chunk, pause):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        until = time.monotonic() + seconds
        self.wfile.write(b'{"active":true,"username":"')
        while time.monotonic() < until:
            self.wfile.write(chunk)
            time.sleep(pause)

    def do_POST(self):
        service = self.server.service
        form = urllib.parse.parse_qs(
            self.rfile.read(int(self.headers["Content-Length"])).decode())
        token = form["token"][0]
        service.asked.append((token, self.headers.get("Authorization")))
        good = json.dumps({"active": True, "username": service.user}).encode()
        self.close_connection = token != "tok" and token not in service.answers
        if token in service.held:
            service.held[token].wait(180)
        try:
            if token in service.answers:
                self._send(200, json.dumps(service.answers[token]).encode())
            elif token == "hang":
                service.stopping.wait(20)
            elif token == "drip":
                self._stream(20, b"a", 0.2)
            elif token == "endless":
                self._stream(20, b"a" * 65536, 0)
            elif token == "huge":
                self._send(200, b'{"active":true,"username":"' + b"a" * 1000, length=100 << 20)
                for _ in range(1600):
                    self.wfile.write(b"a" * 65536)
            elif token == "redirect":
                self._send(302, b"", [("Location", service.url + "?followed")])
            elif token == "moved-body":
                self._send(302, good, [("Location", service.url)])
            elif token == "junk":
                self._send(200, b"<html>active: true</html>")
            elif token == "half":
                self._send(200, good, length=len(good) + 10)
            elif token == "garbage":
                self.wfile.write(b"\x00\xff SSH-2.0-no\r\n\r\n" + good)
            elif token == "error":
                self._send(500, good)
            elif token == "denied":
                self._send(401, good)
            else:
                self._send(200, b'{"active":false}')
        except (OSError, ssl.SSLError):
            self.close_connection = True


class TokenService:
    def __init__(self, certs, user="anna.berg@example.org", cert=None, key=None):
        self.user = user
        self.answers, self.asked, self.held = {}, [], {}
        self.stopping = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert or certs.cert, key or certs.key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.service = self
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"https://localhost:{self.port}/introspect"
        self.server.handle_error = lambda *a: None

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
