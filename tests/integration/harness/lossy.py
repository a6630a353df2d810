"""A next hop that takes mail and now and then loses its answer, and remembers every message that it took.

    with LossySink(seed, port) as s:
        s.arrivals[("kill-1@test", "r0@far.example.com")]   # [Arrival(qid, began, at, answered)]

A message counts as taken when its last octet came, whether the answer reached anybody or not. Of `lose` of them the
connection is closed instead of the answer; at `break_off` of the others it is closed in the middle of the data; and
`defer` of the recipients are told to come again.
"""
import random
import re
import socketserver
import threading
import time
from collections import defaultdict
from dataclasses import dataclass


@dataclass
class Arrival:
    qid: str
    began: float  # when it was asked for: whoever sent it lived then; time.time()
    at: float  # when it was there
    answered: bool


class _Session(socketserver.StreamRequestHandler):
    timeout = 60

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        try:
            self.talk()
        except OSError:
            pass

    def talk(self):
        sink, recipients = self.server.sink, []
        self.say("220 sink.far.example.com ESMTP")
        for raw in self.rfile:
            verb = raw.split(b":")[0].split(b" ")[0].strip().upper()
            if verb == b"EHLO":
                self.say("250-sink.far.example.com\r\n250-PIPELINING\r\n250 8BITMIME")
            elif verb == b"MAIL":
                recipients = []
                self.say("250 2.1.0 ok")
            elif verb == b"RCPT":
                if sink.chance(sink.defer):
                    self.say("451 4.3.0 come again")
                else:
                    recipients.append(raw.partition(b"<")[2].partition(b">")[0].decode())
                    self.say("250 2.1.5 ok")
            elif verb == b"DATA":
                if not recipients:
                    self.say("554 5.5.1 nobody to take it")
                elif not self.data(sink, recipients):
                    return
            elif verb == b"QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 ok")

    def data(self, sink, recipients):
        began = time.time()
        self.say("354 go on")
        if sink.chance(sink.break_off):
            return False
        text = b""
        while not text.endswith(b"\r\n.\r\n") and text != b".\r\n":
            more = self.rfile.readline()
            if not more:
                return False
            text += more
        return sink.take(began, text, recipients, lambda: self.say("250 2.0.0 taken"))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


class LossySink:
    def __init__(self, seed=0, port=0, lose=0.05, break_off=0.03, defer=0.03):
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.lose, self.break_off, self.defer = lose, break_off, defer
        self.arrivals = defaultdict(list)
        self.lost_answers = 0
        self.server = _Server(("127.0.0.1", port), _Session)
        self.server.sink = self
        self.port = self.server.server_address[1]

    def chance(self, p):
        with self.lock:
            return self.random.random() < p

    def take(self, began, text, recipients, answer):
        """Returns whether the connection goes on."""
        mid = re.search(rb"^Message-ID: <(.*?)>", text, re.M | re.I)[1].decode()
        qid = re.search(rb"\bid ([0-9a-f]{16})\b", text)[1].decode()
        lose = self.chance(self.lose)
        with self.lock:
            mine = [Arrival(qid, began, time.time(), False) for _ in recipients]
            for rcpt, a in zip(recipients, mine):
                self.arrivals[(mid, rcpt)].append(a)
            self.lost_answers += lose
        if lose:
            return False
        answer()
        for a in mine:
            a.answered = True
        return True

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
