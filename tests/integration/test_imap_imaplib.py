"""IMAP over TLS through gate and imap, as Python's imaplib speaks it: one behaviour a test."""
import contextlib
import imaplib
import os
import re
import signal
import socket
import threading
import time

import pytest

from harness.instance import password_of

MAIL = (b"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: Hello\r\n"
        b"Date: Sat, 21 Nov 2026 08:00:00 +0100\r\nMessage-ID: <1@example.org>\r\n\r\nHi.\r\n")


def ok(answer):
    typ, data = answer
    assert typ == "OK", data
    return data


def flags_of(c, n):
    return set(re.search(rb"FLAGS \(([^)]*)\)", ok(c.fetch(str(n), "(FLAGS)"))[0])[1].split())


@pytest.fixture
def users():
    """Two users of the sample organisation that no other test of this module uses."""
    users.n = getattr(users, "n", 0)
    return ("anna.berg@example.org", "bilal.haddad@example.org")


@pytest.fixture
def anna(postroom, request):
    """A session of a fresh folder of Anna's, selected."""
    c = postroom.imap("anna.berg@example.org")
    folder = request.node.name.split("[")[0]
    ok(c.create(folder))
    ok(c.select(folder))
    c.folder = folder
    yield c
    try:
        c.logout()
    except (imaplib.IMAP4.error, OSError):
        pass


def test_every_file_of_the_corpus_comes_back_octet_for_octet(postroom, corpus, anna):
    for path in corpus:
        ok(anna.append(anna.folder, "", None, b"x"))  # imaplib turns bare LF into CR LF
    ok(anna.select(anna.folder))
    ok(anna.store("1:*", "+FLAGS.SILENT", r"(\Deleted)"))
    ok(anna.expunge())
    with raw(postroom, "anna.berg@example.org") as s:
        for path in corpus:
            data = path.read_bytes()
            s.send(b"a APPEND %s {%d+}\r\n" % (anna.folder.encode(), len(data)) + data + b"\r\n")
            assert b"a OK [APPENDUID" in s.until(b"a ")
        s.send(b"s SELECT %s\r\n" % anna.folder.encode())
        s.until(b"s ")
        for n, path in enumerate(corpus, 1):
            data = path.read_bytes()
            s.send(b"f FETCH %d (RFC822.SIZE BODY.PEEK[])\r\n" % n)
            head = s.line()
            size = int(re.search(rb"\{(\d+)\}", head)[1])
            assert size == len(data) and b"RFC822.SIZE %d" % size in head, path
            assert s.exactly(size) == data, path
            s.until(b"f ")


class raw:
    """A connection without a library: what arrives is taken as it is."""

    def __init__(self, postroom, user, tls=True):
        self.postroom, self.user, self.tls = postroom, user, tls

    def __enter__(self):
        s = socket.create_connection(
            ("localhost", self.postroom.imaps_port if self.tls else self.postroom.imap_port), 30)
        if self.tls:
            s = self.postroom.certs.context().wrap_socket(s, server_hostname="localhost")
        self.s = s
        self.buf = b""
        self.line()
        self.send(f"l LOGIN {self.user} {password_of(self.user)}\r\n".encode())
        assert b"l OK" in self.until(b"l ")
        return self

    def __exit__(self, *exc):
        self.s.close()

    def send(self, data):
        self.s.sendall(data)

    def more(self):
        got = self.s.recv(65536)
        if not got:
            raise EOFError(self.buf[-500:])
        self.buf += got

    def line(self):
        while b"\n" not in self.buf:
            self.more()
        out, self.buf = self.buf.split(b"\n", 1)
        return out + b"\n"

    def exactly(self, n):
        while len(self.buf) < n:
            self.more()
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def until(self, start):
        """Everything up to and with the line that begins so."""
        out = b""
        while True:
            line = self.line()
            out += line
            if line.startswith(start):
                return out


def test_capabilities_after_login(postroom):
    c = postroom.imap("carmen.ortega@example.org")
    caps = ok(c.capability())[0].split()
    assert b"IMAP4rev1" in caps and b"IDLE" in caps and b"LITERAL+" in caps
    assert not any(x.startswith((b"AUTH=", b"STARTTLS", b"LOGINDISABLED")) for x in caps)
    c.logout()


def test_a_client_that_enables_the_second_revision(postroom):
    """RFC 9051: names in UTF-8, ESEARCH, nothing of what is recent; beside it, the first one."""
    c, old = (postroom.imap("carmen.ortega@example.org") for _ in range(2))
    assert "IMAP4REV2" in c.capabilities
    c.enable("IMAP4rev2")
    assert c.response("ENABLED")[1] == [b"IMAP4rev2"]
    c._encoding = "utf-8"
    ok(c.create('"Entwürfe"'))
    assert any('"Entwürfe"'.encode() in line for line in ok(c.list()))
    assert any(b'"Entw&APw-rfe"' in line for line in ok(old.list()))
    ok(c.append('"Entwürfe"', "", None, MAIL))
    ok(c.select('"Entwürfe"'))
    assert c.response("RECENT")[1] == [None] and c.response("LIST")[1] != [None]
    assert ok(c.search(None, "ALL")) == [None]
    assert re.search(rb'\(TAG "[^"]+"\) ALL 1$', c.response("ESEARCH")[1][0])
    assert ok(old.select("Entw&APw-rfe")) == [b"1"]
    assert ok(old.search(None, "ALL")) == [b"1"]
    c.logout()
    ok(old.close())
    ok(old.delete("Entw&APw-rfe"))
    old.logout()


def test_default_mailboxes_have_their_special_use(postroom):
    c = postroom.imap("carmen.ortega@example.org")
    lines = b"\n".join(ok(c.list()))
    for name in (b"Drafts", b"Junk", b"Sent", b"Trash", b"Archive"):
        assert re.search(rb'\(\\HasNoChildren \\%s\) "/" "%s"' % (name, name), lines), lines
    c.logout()


def test_append_fetch_store_expunge(anna):
    ok(anna.append(anna.folder, r"(\Flagged)", '"21-Nov-2026 09:00:00 +0100"', MAIL))
    ok(anna.noop())
    assert ok(anna.fetch("1", "(BODY[] INTERNALDATE)"))[0][1] == MAIL
    assert flags_of(anna, 1) >= {b"\\Flagged", b"\\Seen"}
    ok(anna.store("1", "FLAGS", r"(\Deleted $Label)"))
    assert flags_of(anna, 1) >= {b"\\Deleted", b"$Label"}
    assert ok(anna.expunge()) == [b"1"]
    assert ok(anna.search(None, "ALL")) == [b""]


def test_authenticate_and_namespace(postroom):
    user = "carmen.ortega@example.org"
    c = postroom.imap()
    ok(c.authenticate("PLAIN", lambda _: f"\0{user}\0{password_of(user)}".encode()))
    assert ok(c.namespace()) == [b'(("" "/")) NIL NIL']
    c.logout()


def test_utf8_is_enabled_by_the_list_from_before_login(postroom):
    """imaplib asks for capabilities once, before login, and takes no news from the answer to it."""
    c = postroom.imap("carmen.ortega@example.org")
    assert {"ENABLE", "IDLE"} <= set(c.capabilities)
    ok(c.enable("UTF8=ACCEPT"))
    assert c.utf8_enabled
    ok(c.create('"Grüße & mehr"'))
    assert '"Grüße & mehr"'.encode() in b"\n".join(ok(c.list()))
    mail = "From: Zoë <zoë@example.org>\r\nSubject: Grüße\r\n\r\nHallo\r\n".encode()
    c.utf8_enabled = False  # or imaplib writes "UTF8 (" into the message itself
    ok(c.append('"Grüße & mehr"', r"(\Seen)", None, mail))
    c.utf8_enabled = True
    ok(c.select('"Grüße & mehr"'))
    assert ok(c.search(None, 'SUBJECT "grüße"')) == [b"1"]
    assert ok(c.fetch("1", "(BODY.PEEK[])"))[0][1] == mail
    c.logout()


def test_uid_commands(anna):
    for _ in range(4):
        ok(anna.append(anna.folder, "", None, MAIL))
    ok(anna.create("uids"))
    ok(anna.select(anna.folder))
    ok(anna.uid("STORE", "2,4", "+FLAGS.SILENT", r"(\Flagged)"))
    assert ok(anna.uid("SEARCH", None, "FLAGGED")) == [b"2 4"]
    ok(anna.uid("STORE", "1,3", "+FLAGS.SILENT", r"(\Deleted)"))
    ok(anna.uid("EXPUNGE", "3"))
    assert ok(anna.uid("SEARCH", None, "ALL")) == [b"1 2 4"]
    ok(anna.uid("COPY", "2:4", "uids"))
    ok(anna.uid("MOVE", "2", "uids"))
    assert ok(anna.uid("FETCH", "1:*", "(UID)")) == [b"1 (UID 1)", b"2 (UID 4)"]
    assert ok(anna.select("uids")) == [b"3"]


def test_a_mailbox_opened_for_reading_stays_as_it_is(anna):
    ok(anna.append(anna.folder, "", None, MAIL))
    ok(anna.select(anna.folder, readonly=True))
    assert ok(anna.fetch("1", "(BODY[TEXT])"))[0][1] == b"Hi.\r\n"
    assert anna._simple_command("STORE", "1", "+FLAGS", r"(\Deleted)")[0] == "NO"
    assert anna._simple_command("EXPUNGE")[0] == "NO"
    ok(anna.unselect())
    ok(anna.select(anna.folder))
    assert ok(anna.search(None, "UNSEEN UNDELETED")) == [b"1"]


def test_close_takes_the_deleted_away_and_unselect_does_not(anna):
    for _ in range(2):
        ok(anna.append(anna.folder, "", None, MAIL))
    ok(anna.select(anna.folder))
    ok(anna.store("1", "+FLAGS", r"(\Deleted)"))
    ok(anna.unselect())
    assert ok(anna.select(anna.folder)) == [b"2"]
    ok(anna.check())
    ok(anna.close())
    assert ok(anna.select(anna.folder)) == [b"1"]


def test_sort_by_subject_and_size(anna):
    for subject, size in ((b"Re: beta", 30), (b"Alpha", 20), (b"[list] gamma", 10)):
        ok(anna.append(anna.folder, "", None, b"Subject: " + subject + b"\r\n\r\n" + b"x" * size))
    ok(anna.select(anna.folder))
    assert ok(anna.sort("SUBJECT", "UTF-8", "ALL")) == [b"2 1 3"]
    assert ok(anna.sort("REVERSE SIZE", "US-ASCII", "NOT", "SUBJECT", "alpha")) == [b"1 3"]
    assert ok(anna.uid("SORT", "(SIZE)", "UTF-8", "ALL")) == [b"3 2 1"]


def test_renaming_inbox_moves_its_messages(postroom):
    user = "priya.menon@example.org"
    c = postroom.imap(user)
    for _ in range(3):
        ok(c.append("INBOX", r"(\Seen)", None, MAIL))
    ok(c.rename("INBOX", "Old"))
    assert ok(c.select("INBOX")) == [b"0"]
    assert ok(c.select("Old")) == [b"3"]
    assert ok(c.search(None, "SEEN")) == [b"1 2 3"]
    ok(c.subscribe("Old"))
    ok(c.unsubscribe("Old"))
    assert b"Old" not in b"".join(x or b"" for x in ok(c.lsub()))
    c.logout()


def test_copy_and_move_keep_flags_and_date(anna):
    ok(anna.create("target"))
    ok(anna.append(anna.folder, r"(\Answered $One)", '"20-Nov-2020 09:00:00 -0300"', MAIL))
    ok(anna.noop())
    ok(anna.copy("1", "target"))
    ok(anna._simple_command("MOVE", "1", "target"))
    ok(anna.noop())
    ok(anna.select("target"))
    for n in ("1", "2"):
        got = ok(anna.fetch(n, "(FLAGS INTERNALDATE)"))[0]
        assert b"\\Answered" in got and b"$One" in got and b'"20-Nov-2020 09:00:00 -0300"' in got
    ok(anna.select(anna.folder))
    assert ok(anna.search(None, "ALL")) == [b""]


def test_mailboxes_subscriptions_and_status(anna):
    ok(anna.create("tree/branch/leaf"))
    ok(anna.subscribe("tree/branch/leaf"))
    assert b"tree/branch/leaf" in b"".join(ok(anna.lsub()))
    ok(anna.rename("tree", "wood"))
    assert b'"wood/branch/leaf"' in b"\n".join(ok(anna.list('""', "wood*")))
    ok(anna.append("wood/branch/leaf", "", None, MAIL))
    assert b"MESSAGES 1" in ok(anna.status("wood/branch/leaf", "(MESSAGES UNSEEN)"))[0]
    ok(anna.delete("wood/branch/leaf"))
    assert anna.status("wood/branch/leaf", "(MESSAGES)")[0] == "NO"
    assert b"tree/branch/leaf" in b"".join(ok(anna.lsub()))


def test_names_beyond_ascii(anna):
    name = "&AMQ-rger und &U,BTFw-"
    ok(anna.create(f'"{name}"'))
    assert name.encode() in b"\n".join(ok(anna.list()))
    ok(anna.select(f'"{name}"'))
    ok(anna.close())
    ok(anna.delete(f'"{name}"'))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "a//b", "&AC4ALg-/x", "&AGE-",
                                  "&2AA-", "a\u0001b"])
def test_names_that_would_leave_the_home_are_refused(postroom, name):
    user = "david.okafor@example.org"
    c = postroom.imap(user)
    assert c.create(f'"{name}"')[0] == "NO"
    assert c.select(f'"{name}"')[0] == "NO"
    assert c.append(f'"{name}"', "", None, MAIL)[0] == "NO"
    c.logout()
    above = {p.name for p in postroom.home(user).parent.iterdir()}
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+", n) for n in above), above


def test_idle_sees_the_other_sessions(postroom, anna):
    with raw(postroom, "anna.berg@example.org") as s:
        s.send(b"s SELECT %s\r\ni IDLE\r\n" % anna.folder.encode())
        s.until(b"+ ")
        ok(anna.append(anna.folder, "", None, MAIL))
        assert b"* 1 EXISTS" in s.until(b"* 1 EXISTS")
        ok(anna.noop())
        ok(anna.store("1", "+FLAGS", r"(\Flagged \Deleted)"))
        assert b"\\Flagged" in s.until(b"* 1 FETCH")
        ok(anna.expunge())
        s.until(b"* 1 EXPUNGE")
        s.send(b"DONE\r\n")
        assert b"i OK" in s.until(b"i ")


def test_idle_sees_a_delivery_by_lmtp(postroom):
    user = "elena.petrova@example.org"
    with raw(postroom, user) as s:
        s.send(b"s SELECT INBOX\r\ni IDLE\r\n")
        s.until(b"+ ")
        with postroom.lmtp() as c:
            c.sendmail("x@example.net", [user], MAIL)
        s.until(b"* 1 EXISTS")


def test_sequence_numbers_stay_during_fetch(anna, postroom):
    for _ in range(3):
        ok(anna.append(anna.folder, "", None, MAIL))
    ok(anna.noop())
    other = postroom.imap("anna.berg@example.org")
    ok(other.select(anna.folder))
    ok(other.store("1", "+FLAGS", r"(\Deleted)"))
    ok(other.expunge())
    typ, data = anna.fetch("3", "(UID)")
    assert typ == "OK" and data == [b"3 (UID 3)"]
    assert anna.fetch("1", "(FLAGS)")[0] == "NO"
    ok(anna.noop())
    assert ok(anna.fetch("2", "(UID)")) == [b"2 (UID 3)"]
    other.logout()


def test_copy_of_what_another_client_expunged(anna, postroom):
    """By numbers it is no success and copies nothing; by UIDs the rest is copied."""
    for _ in range(3):
        ok(anna.append(anna.folder, "()", None, MAIL))
    ok(anna.noop())
    ok(anna.create('"Copied"'))
    other = postroom.imap("anna.berg@example.org")
    ok(other.select(anna.folder))
    ok(other.store("1", "+FLAGS", r"(\Deleted)"))
    ok(other.expunge())
    status, why = anna.copy("1:2", "Copied")
    assert status == "NO" and b"[EXPUNGEISSUED]" in why[0]
    assert b"MESSAGES 0" in ok(anna.status("Copied", "(MESSAGES)"))[0]
    ok(other.store("1", "+FLAGS", r"(\Deleted)"))
    ok(other.expunge())
    ok(anna.uid("COPY", "1:3", "Copied"))
    assert b"MESSAGES 1" in ok(anna.status("Copied", "(MESSAGES)"))[0]
    ok(anna.delete('"Copied"'))
    other.logout()


def test_oversized_literals(postroom):
    with raw(postroom, "femi.adeyemi@example.org") as s:
        s.send(b"a APPEND INBOX {999999999}\r\n")
        assert b"a NO [TOOBIG]" in s.until(b"a ")
        s.send(b"b SELECT {100000}\r\n")
        assert b"b BAD" in s.until(b"b ")
        s.send(b"c SELECT {100000+}\r\n" + b"x" * 100000 + b"\r\nd NOOP\r\n")
        assert b"c BAD" in s.until(b"c ")
        assert b"d OK" in s.until(b"d ")


def test_garbage_ends_with_bye(postroom):
    with raw(postroom, "femi.adeyemi@example.org") as s:
        s.send(b"\x00\xff garbage\r\n" * 100)
        with pytest.raises(EOFError):
            while True:
                s.more()
        assert b"* BYE" in s.buf
    postroom.imap("femi.adeyemi@example.org").logout()


def test_a_client_that_vanishes_during_append_leaves_nothing(postroom):
    user = "grace.lindqvist@example.org"
    with raw(postroom, user) as s:
        s.send(b"a APPEND INBOX {1000000}\r\n")
        s.until(b"+ ")
        s.send(b"x" * 500000)
    c = postroom.imap(user)
    assert ok(c.select("INBOX")) == [b"0"]
    c.logout()
    until = time.monotonic() + 180
    while any((postroom.home(user) / "tmp").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_long_fetch_does_not_hold_up_noop(postroom):
    user = "hiroshi.tanaka@example.org"
    c = postroom.imap(user)
    big = b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 100000
    for _ in range(10):
        ok(c.append("INBOX", "", None, big))
    done = threading.Event()

    def fetch():
        d = postroom.imap(user)
        d.select("INBOX")
        while not done.is_set():
            d.fetch("1:*", "(BODY.PEEK[])")
        d.logout()

    t = threading.Thread(target=fetch)
    t.start()
    try:
        for _ in range(100):
            ok(c.noop())
        assert t.is_alive()
    finally:
        done.set()
        t.join()
    c.logout()


def test_search_in_charsets(anna):
    subject = "=?iso-8859-1?Q?Stra=DFe_=FCber?="
    ok(anna.append(anna.folder, "", None, f"Subject: {subject}\r\n\r\n".encode()
                   + "Grüße aus Köln\r\n".encode()))
    ok(anna.noop())
    for key, text in (("SUBJECT", "straße ÜBER"), ("BODY", "KÖLN")):
        anna.literal = text.encode()
        assert ok(anna.search("UTF-8", key)) == [b"1"]
        anna.literal = text.encode("iso-8859-1")
        assert ok(anna.search("ISO-8859-1", key)) == [b"1"]
    assert anna.search("X-UNKNOWN", "SUBJECT", "x")[0] == "NO"


def test_logins_of_one_user_are_limited(make_instance):
    i = make_instance("imap {\n\tconnections_per_user = 2\n\tworkers = 1\n}\n")
    user = "anna.berg@example.org"
    a, b = i.imap(user), i.imap(user)
    with pytest.raises(imaplib.IMAP4.error):
        i.imap(user)
    a.logout()
    b.noop()
    until = time.monotonic() + 180
    while True:
        try:
            i.imap(user).logout()
            break
        except imaplib.IMAP4.error:  # the first session's end is not counted yet
            assert time.monotonic() < until
            time.sleep(0.1)
    b.logout()


def test_idle_hears_of_a_delivery(make_instance):
    """The index file itself tells of what another process did."""
    i = make_instance("imap {\n\tworkers = 2\n}\n")
    user = "anna.berg@example.org"
    with i.lmtp() as c:
        c.sendmail("x@example.net", [user], MAIL)
    with raw(i, user) as s:
        s.send(b"s SELECT INBOX\r\ni IDLE\r\n")
        s.until(b"+ ")
        with i.lmtp() as c:  # lmtp is another process with the same home open
            c.sendmail("x@example.net", [user], MAIL)
        s.until(b"* 2 EXISTS")


def worker_of(postroom, start):
    """The process of imap that took the login after this offset of the log."""
    return int(postroom.wait_log(r"pid=(\d+) ev=imap\.begin", start=start)[1])


@contextlib.contextmanager
def elsewhere(i, user):
    """A session in another worker than the user's preferred one: an offer that this one dies over goes to the other."""
    until = time.monotonic() + 180
    while True:
        start = len(i.log_text())
        with raw(i, user):
            preferred = worker_of(i, start)
        others = set(i.pids("imap")) - {preferred}
        os.kill(preferred, signal.SIGSTOP)
        killer = threading.Timer(1, os.kill, (preferred, signal.SIGKILL))
        killer.start()
        start = len(i.log_text())
        with raw(i, user) as s:
            killer.join()
            other = worker_of(i, start)
            if other in others:
                yield s, other, start
                return
        # the offer came when its successor was there already
        assert time.monotonic() < until, "all logins go to one worker"


@pytest.fixture
def two_workers(make_instance):
    """Two sessions of one user in different processes, INBOX with two messages selected."""
    i = make_instance("imap {\n\tworkers = 2\n}\n")
    user = "anna.berg@example.org"
    with i.lmtp() as c:
        for _ in range(2):
            c.sendmail("x@example.net", [user], MAIL)
    with contextlib.ExitStack() as stack:
        a, other, start = stack.enter_context(elsewhere(i, user))
        i.wait_log(r"role=imap pid=\d+ ev=role\.ready", start=start)
        # and later ones to the preferred worker's successor, once the gate has found it
        until = time.monotonic() + 180
        while True:
            start = len(i.log_text())
            b = stack.enter_context(raw(i, user))
            if worker_of(i, start) != other:
                break
            assert time.monotonic() < until, "all logins go to one worker"
            time.sleep(0.2)
        for s in a, b:
            s.send(b"s SELECT INBOX\r\n")
            assert b"* 2 EXISTS" in s.until(b"s OK")
        yield a, b


def change_everything(s):
    """What another session must hear of, step by step."""
    s.send(b"x STORE 1 +FLAGS.SILENT (\\Flagged $Work)\r\n")
    s.until(b"x OK")
    yield br"* 1 FETCH (FLAGS (\Flagged"
    s.send(b"x APPEND INBOX {%d+}\r\n%s\r\n" % (len(MAIL), MAIL))
    s.until(b"x OK")
    yield b"* 3 EXISTS"
    s.send(b"x STORE 2 +FLAGS.SILENT (\\Deleted)\r\ny EXPUNGE\r\n")
    s.until(b"y OK")
    yield b"* 2 EXPUNGE"


def test_idle_hears_of_another_worker(two_workers):
    a, b = two_workers
    b.send(b"i IDLE\r\n")
    b.until(b"+ ")
    for news in change_everything(a):
        b.until(news)
    b.send(b"DONE\r\n")
    b.until(b"i OK")


def test_noop_hears_of_another_worker(two_workers):
    a, b = two_workers
    for news in change_everything(a):
        b.send(b"n NOOP\r\n")
        assert news in b.until(b"n OK")
    b.send(b"f UID FETCH 1:* (UID FLAGS)\r\n")
    assert b.until(b"f OK").count(b"FETCH") == 2


def test_stop_says_bye(make_instance):
    i = make_instance()
    with raw(i, "anna.berg@example.org") as s:
        s.send(b"s SELECT INBOX\r\n")
        s.until(b"s ")
        i.stop()
        assert b"* BYE [UNAVAILABLE] " in s.until(b"* BYE")
