"""Directories that are slow or hang, in front of a real slapd, on loopback.

    with Proxy(slapd.port, delay=2.0) as p: p.port      # every answer comes 2 s later
    with Proxy(slapd.port, delay=2.0, only_binds=True) as p: ...   # only those to binds as users
    with Proxy(None) as p: ...                          # takes connections, says nothing, ever
    p.connections                                       # how many were made
    p.answered                                          # octets of answers so far
    p.mute = True                                       # what is answered from now on gets lost
    p.mute_at = 5000                                    # … from so many octets of answers on
    p.hold = True                                       # answers to binds as users wait until it is False
    p.wait_held(64)                                     # until so many of them do
    p.binds                                             # answers to binds that came so far, held ones too
"""
import heapq
import itertools
import math
import selectors
import socket
import sys
import threading
import time


def is_bind_response(data):
    """Short ones only: 30 len 02 n id… 61 …"""
    return len(data) > 5 and data[0] == 0x30 and data[1] < 0x80 and data[2] == 2 and \
        data[4 + data[3]:5 + data[3]] == b"\x61"


class Proxy:
    def __init__(self, target_port, delay=0.0, only_binds=False):
        self.target_port = target_port
        self.delay = delay
        self.only_binds = only_binds
        self.connections = 0
        self.answered = 0
        self.mute = False
        self.mute_at = math.inf
        self.hold = False
        self.held = []  # (socket, bytes)
        self.binds = 0
        self.stopping = False
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.due = []  # (when, order, socket, bytes); empty bytes: end
        self.order = itertools.count()
        self.sockets = set()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        # what passes must not wait 5 ms for the turn of the test's own thread to end
        self.interval = sys.getswitchinterval()
        sys.setswitchinterval(0.0002)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        sys.setswitchinterval(self.interval)
        self.stopping = True
        self.thread.join(10)
        for s in self.sockets:
            s.close()
        self.listener.close()
        self.selector.close()

    def wait_held(self, n, timeout=180):
        until = time.monotonic() + timeout
        while len(self.held) < n:
            assert time.monotonic() < until, f"{len(self.held)} of {n} binds wait"
            time.sleep(0.01)

    def _accept(self):
        client, _ = self.listener.accept()
        self.connections += 1
        self.sockets.add(client)
        if self.target_port is None:
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port))
        except OSError:  # a directory that is down
            self.sockets.discard(client)
            client.close()
            return
        self.sockets.add(server)
        for s in (client, server):  # two small messages in a row: no 40 ms between them
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(client, selectors.EVENT_READ, (server, False))
        self.selector.register(server, selectors.EVENT_READ, (client, True))

    def _read(self, s, to, is_answer):
        try:
            data = s.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(s)
        delay = self.delay if is_answer and (not self.only_binds or is_bind_response(data)) else 0.0
        if is_answer:
            self.answered += len(data)
            if self.answered > self.mute_at:
                self.mute = True
            if is_bind_response(data):
                self.binds += 1
                if self.hold:
                    self.held.append((to, data))
                    return
            if self.mute:
                if data:
                    return
                delay = 0.0
        heapq.heappush(self.due, (time.monotonic() + delay, next(self.order), to, data))

    def _run(self):
        while not self.stopping:
            wait = 0.1
            if self.due:
                wait = max(0.0, min(wait, self.due[0][0] - time.monotonic()))
            for key, _ in self.selector.select(wait):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.fileobj, *key.data)
            while self.held and not self.hold:
                heapq.heappush(self.due, (0.0, next(self.order), *self.held.pop(0)))
            while self.due and self.due[0][0] <= time.monotonic():
                _, _, to, data = heapq.heappop(self.due)
                try:
                    if data:
                        to.sendall(data)
                    else:
                        to.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
