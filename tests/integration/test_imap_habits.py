"""How some clients that cannot be run here go about it, command by command: Outlook and Apple Mail."""
import re
import socket
import time

from harness.instance import password_of
from test_imap_compress import packed
from test_imap_imaplib import MAIL, raw

USER = "carmen.ortega@example.org"
OUTLOOK = 'imap {\n\tmailboxes_default = { "Drafts:\\\\Drafts", "Junk Email:\\\\Junk", ' \
          '"Sent Items:\\\\Sent", "Deleted Items:\\\\Trash" }\n}\n'


class Link(raw):
    """A connection that asks command by command, from the greeting on."""

    def __enter__(self):
        s = socket.create_connection(("localhost", self.postroom.imaps_port), 30)
        self.s = self.postroom.certs.context().wrap_socket(s, server_hostname="localhost")
        self.buf, self.n = b"", 0
        assert b"* OK [CAPABILITY IMAP4rev1 " in self.line()
        return self

    def ask(self, command):
        """What comes up to the tagged line, which is OK."""
        self.n += 1
        tag = b"o%03d" % self.n
        self.send(tag + b" " + command + b"\r\n")
        got = self.until(tag + b" ")
        assert b"\r\n" + tag + b" OK" in b"\r\n" + got, (command, got)
        return got


def test_outlook_finds_its_names_and_keeps_its_link(make_instance):
    """Plain IMAP4rev1, folders by name, a copy into Sent Items, then IDLE on one link for long."""
    postroom = make_instance(OUTLOOK)
    with Link(postroom, USER) as c:
        assert b"IDLE" in c.ask(b"CAPABILITY")
        assert b" OK [CAPABILITY IMAP4rev1 " in c.ask(f"LOGIN {USER} {password_of(USER)}".encode())
        assert b"UIDPLUS" in c.ask(b"CAPABILITY")
        assert b'* LIST (\\Noselect) "/" ""\r\n' in c.ask(b'LIST "" ""')
        listed = c.ask(b'LIST "" "*"')
        for name, use in ((b"Sent Items", b"Sent"), (b"Deleted Items", b"Trash"),
                          (b"Junk Email", b"Junk"), (b"Drafts", b"Drafts")):
            assert re.search(rb'\* LIST \([^)]*\\%s[^)]*\) "/" "%s"\r\n' % (use, name), listed)
        assert b'"Sent Items"' in c.ask(b'LSUB "" "*"')
        c.ask(b'CREATE "Outbox"')
        c.ask(b'SUBSCRIBE "Outbox"')
        c.send(b'a APPEND "Sent Items" (\\Seen) {%d}\r\n' % len(MAIL))
        assert c.line().startswith(b"+ ")
        c.send(MAIL + b"\r\n")
        assert b"a OK" in c.until(b"a ")
        c.ask(b'SELECT "Sent Items"')
        assert b"UID 1 FLAGS (\\Seen" in c.ask(b"UID FETCH 1:* (UID FLAGS)")
        c.ask(b"UID FETCH 1 (UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER])")
        c.ask(b"SELECT INBOX")
        for n in range(2):
            c.send(b"i IDLE\r\n")
            assert c.line().startswith(b"+ ")
            time.sleep(1)
            with postroom.lmtp() as lmtp:
                lmtp.sendmail("x@example.net", [USER], MAIL)
            assert c.line() == b"* %d EXISTS\r\n" % (n + 1)
            assert b"RECENT" in c.line()
            c.send(b"DONE\r\n")
            assert b"i OK" in c.until(b"i ")
            c.ask(b"UID FETCH %d:* (UID FLAGS)" % (n + 1))


def test_apple_sends_many_commands_at_once(postroom):
    """Compressed, and without waiting; the answers come whole and by their tags."""
    with packed(postroom, USER) as c:
        c.send(b"a APPEND INBOX {%d+}\r\n%s {%d+}\r\n%s\r\n" % (len(MAIL), MAIL, len(MAIL), MAIL))
        assert b"a OK" in c.until(b"a ")
        commands = [
            b'ID ("name" "Mac OS X Mail" "version" "16.0" "event" "back-fill")',
            b"ENABLE CONDSTORE",
            b'LIST "" "*" RETURN (SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN))',
            b"SELECT INBOX (CONDSTORE)",
            b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)",
            b"UID SEARCH RETURN (MIN MAX COUNT ALL) UNDELETED",
            b"FETCH 1:2 (UID INTERNALDATE RFC822.SIZE FLAGS BODY.PEEK[HEADER] MODSEQ)",
            b"STATUS Sent (MESSAGES UIDNEXT HIGHESTMODSEQ)",
            b"UID STORE 1:2 +FLAGS.SILENT (\\Seen)",
            b"UID FETCH 1 (BODYSTRUCTURE)",
            b"CHECK",
        ] + [b"NOOP"] * 20
        c.send(b"".join(b"%d.7 %s\r\n" % (n, x) for n, x in enumerate(commands)))
        said = b"\r\n" + c.until(b"%d.7 " % (len(commands) - 1))
        tags = re.findall(rb"(?<=\r\n)(\d+)\.7 (\w+)", said)
        assert sorted(tags) == sorted((b"%d" % n, b"OK") for n in range(len(commands))), said
        answers = dict(zip((t for t, _ in tags), re.split(rb"(?<=\r\n)\d+\.7 [^\n]*\n", said)))
        assert answers[b"2"].count(b"* STATUS ") == answers[b"2"].count(b"* LIST ") >= 6
        assert b"HIGHESTMODSEQ" in answers[b"3"]
        assert answers[b"4"].count(b"MODSEQ (") == 2
        assert b"UID MIN 1 MAX 2 COUNT 2 ALL 1:2" in answers[b"5"]
        assert answers[b"6"].count(b"Subject: Hello") == 2
        c.send(b"i IDLE\r\n")
        assert c.line().startswith(b"+ ")
        c.send(b"DONE\r\nn NOOP\r\n")
        assert b"i OK" in c.until(b"i ") and b"n OK" in c.until(b"n ")


def test_a_large_attachment_comes_in_pieces(postroom):
    """As every client takes it that shows how far it is; each piece costs the piece alone."""
    line = b"".join(b"%08d" % n for n in range(9)) + b"\r\n"
    attachment = line * 110_000
    mail = (b"From: a@example.org\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
            b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
            b"--b\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n"
            b"--b\r\nContent-Type: application/x-data; name=\"x.bin\"\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + attachment + b"\r\n--b--\r\n")
    piece = 64 * 1024
    with raw(postroom, USER) as c:
        c.send(b"c CREATE large\r\na APPEND large {%d+}\r\n" % len(mail) + mail + b"\r\n")
        assert b"a OK" in c.until(b"a ")
        c.send(b"s SELECT large\r\n")
        c.until(b"s ")
        got, began = b"", time.monotonic()
        while True:
            c.send(b"f UID FETCH 1 (UID BODY.PEEK[2]<%d.%d>)\r\n" % (len(got), piece))
            head = c.line()
            # behind the end there is an empty piece
            m = re.search(rb"BODY\[2\]<%d> (?:\{(\d+)\}|(\"\"))" % len(got), head)
            assert m, head
            if m[2] or m[1] == b"0":
                break
            got += c.exactly(int(m[1]))
            assert b"f OK" in c.until(b"f ")
        assert got == attachment
        assert time.monotonic() - began < 60
