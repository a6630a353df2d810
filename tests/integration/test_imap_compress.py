"""COMPRESS=DEFLATE through gate and imap, with zlib as the other end: one behaviour a test."""
import time
import zlib

import pytest

from test_imap_imaplib import MAIL, raw

USER = "carmen.ortega@example.org"


class packed(raw):
    """The same connection, compressed from the answer to COMPRESS on."""

    def __enter__(self):
        super().__enter__()
        self.out = self.inflate = None
        self.send(b"z COMPRESS DEFLATE\r\n")
        assert b"z OK" in self.until(b"z ")
        assert self.buf == b""
        self.out = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.inflate = zlib.decompressobj(-15)
        return self

    def send(self, data):
        if getattr(self, "out", None) is not None:
            data = self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH)
        super().send(data)

    def more(self):
        if getattr(self, "inflate", None) is None:
            return super().more()
        got = self.s.recv(65536)
        if not got:
            raise EOFError(self.buf[-500:])
        self.buf += self.inflate.decompress(got)
        return None


def test_mail_goes_and_comes_compressed(postroom):
    folder = b"packed"
    body = MAIL + b"".join(b"line %d of many\r\n" % n for n in range(60000))
    with packed(postroom, USER) as s:
        s.send(b"a CREATE %s\r\nb APPEND %s {%d+}\r\n" % (folder, folder, len(body)) + body + b"\r\n")
        s.until(b"a ")
        assert b"b OK [APPENDUID" in s.until(b"b ")
        s.send(b"c SELECT %s\r\nd FETCH 1 BODY.PEEK[]\r\n" % folder)
        s.until(b"c ")
        assert b"BODY[] {%d}" % len(body) in s.line()
        assert s.exactly(len(body)) == body
        assert b"d OK" in s.until(b"d ")


def test_idle_hears_of_mail_after_the_server_gave_its_memory_back(postroom):
    with packed(postroom, USER) as s:
        s.send(b"a SELECT INBOX\r\ni IDLE\r\n")
        s.until(b"a ")
        assert s.line().startswith(b"+ ")
        time.sleep(6.5)  # two rounds of the timer
        with raw(postroom, USER) as other:
            other.send(b"a APPEND INBOX {%d+}\r\n%s\r\n" % (len(MAIL), MAIL))
            assert b"a OK" in other.until(b"a ")
        assert b" EXISTS" in s.line()
        assert b" RECENT" in s.line()
        s.send(b"DONE\r\nb STATUS INBOX (MESSAGES)\r\n")
        assert b"i OK" in s.until(b"i ")
        assert b"b OK" in s.until(b"b ")


def test_a_line_that_is_a_bomb_is_refused(postroom):
    with packed(postroom, USER) as s:
        bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
        wire = bomb.compress(b"x" * 50_000_000 + b"\r\n") + bomb.flush(zlib.Z_SYNC_FLUSH)
        assert len(wire) < 100_000
        s.s.sendall(wire)
        assert b"BAD [LIMIT]" in s.line()
        s.send(b"n NOOP\r\n")
        assert b"n OK" in s.until(b"n ")


def test_nonsense_ends_only_its_own_session(postroom):
    start = len(postroom.log_text())
    with packed(postroom, USER) as other:
        with packed(postroom, USER) as s:
            s.s.sendall(b"\xff" * 100)
            with pytest.raises((EOFError, OSError)):
                s.line()
        other.send(b"n NOOP\r\n")
        assert b"n OK" in other.until(b"n ")
    postroom.wait_log(r'ev=imap.drop sid=\S+ reason="bad compressed data"', start=start)
