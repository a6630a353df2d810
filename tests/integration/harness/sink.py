"""An SMTP server that takes everything and keeps it, as the next hop of a server under test.

    with Sink() as s:
        s.port, s.wait(1)        # [(sender, [recipients], bytes)]
"""
import socketserver
import threading
import time


class _Session(socketserver.StreamRequestHandler):
    timeout = 30

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 sink.example.net ESMTP")
        sender, recipients = None, []
        for raw in self.rfile:
            line = raw.decode("utf-8", "replace").strip()
            verb = line.split(":")[0].split(" ")[0].upper()
            if verb == "MAIL":
                sender, recipients = line.partition("<")[2].partition(">")[0], []
            elif verb == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0])
            elif verb == "DATA":
                self.say("354 go on")
                text = b""
                while not text.endswith(b"\r\n.\r\n") and text != b".\r\n":
                    more = self.rfile.readline()
                    if not more:
                        return
                    text += more
                self.server.messages.append((sender, sorted(recipients), text[:-3]))
            elif verb == "QUIT":
                self.say("221 bye")
                return
            self.say("250 ok")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Sink:
    def __init__(self):
        self.server = _Server(("127.0.0.1", 0), _Session)
        self.server.messages = self.messages = []
        self.port = self.server.server_address[1]

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def wait(self, count, timeout=180):
        until = time.monotonic() + timeout
        while len(self.messages) < count:
            assert time.monotonic() < until, self.messages
            time.sleep(0.05)
        return self.messages
