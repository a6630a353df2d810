"""IMAP before login, against a whole instance: every form of a login, refusals, and what a
directory that is away makes of them."""
import base64
import os
import re
import signal
import time

import pytest

from harness.instance import password_of
from harness.rawimap import RawImap
from harness.rawsmtp import Raw

USER = "anna.berg@example.org"
PASSWORD = password_of(USER)


@pytest.fixture
def client(postroom):
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        yield c


def plain(user, password, authzid=""):
    return base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()


def logged_in(c, reply):
    """The tagged reply is imap's, and the session works."""
    assert re.match(r"t OK \[CAPABILITY [^]]*IMAP4rev1", reply), reply
    assert c.ask("SELECT INBOX", "s")[0].startswith("OK [READ-WRITE]")
    reply, before = c.ask("LOGOUT", "z")
    assert reply.startswith("OK") and before[-1].startswith("* BYE")
    assert c.eof()
    return True


def test_greeting_names_capabilities(client):
    m = re.fullmatch(r"\* OK \[CAPABILITY ([^]]+)\] .*", client.greeting)
    assert m, client.greeting
    tokens = m.group(1).split()
    assert tokens[0] == "IMAP4rev1"
    assert {"LITERAL+", "ID", "SASL-IR", "STARTTLS", "AUTH=PLAIN", "AUTH=LOGIN"} <= set(tokens)
    reply, before = client.ask("CAPABILITY")
    assert reply.startswith("OK") and before == ["* CAPABILITY " + m.group(1)]


def test_id_before_login(client):
    reply, before = client.ask('ID ("name" "test" "version" NIL)')
    assert reply.startswith("OK") and before == ['* ID ("name" "Postroom")']
    assert client.ask("ID NIL")[0].startswith("OK")
    assert client.ask('ID ("name")')[0].startswith("BAD")


def test_id_with_atoms(client):
    """Before login and after it."""
    for _ in range(2):
        reply, before = client.ask("ID (name x version NIL)")
        assert reply.startswith("OK") and before == ['* ID ("name" "Postroom")']
        client.ask(f"LOGIN {USER} {PASSWORD}")


@pytest.mark.parametrize("command", [
    f"t LOGIN {USER} {PASSWORD}\r\n",
    f't login "{USER}" "{PASSWORD}"\r\n',
    f"t LOGIN anna.berg {PASSWORD}\r\n",
    f't LOGIN {USER} "{PASSWORD}"\n',
])
def test_login_forms(client, command):
    client.send(command)
    assert logged_in(client, client.until("t")[-1])


def test_login_with_literals_that_wait(client):
    client.send(f"t LOGIN {{{len(USER)}}}\r\n")
    assert client.line().startswith("+ ")
    client.send(f"{USER} {{{len(PASSWORD)}}}\r\n")
    assert client.line().startswith("+ ")
    client.send(PASSWORD + "\r\n")
    assert logged_in(client, client.until("t")[-1])


def test_login_with_literals_that_do_not_wait(client):
    client.send(f"t LOGIN {{{len(USER)}+}}\r\n{USER} {{{len(PASSWORD)}+}}\r\n{PASSWORD}\r\n")
    assert logged_in(client, client.until("t")[-1])


def test_authenticate_plain_at_once(client):
    client.send(f"t AUTHENTICATE PLAIN {plain(USER, PASSWORD)}\r\n")
    assert logged_in(client, client.until("t")[-1])


def test_authenticate_each_mechanism(postroom):
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        c.send("t AUTHENTICATE PLAIN\r\n")
        assert c.line() == "+ "
        c.send(plain(USER, PASSWORD) + "\r\n")
        assert logged_in(c, c.until("t")[-1])
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        c.send("t AUTHENTICATE LOGIN\r\n")
        assert c.line().startswith("+ ")
        c.send(base64.b64encode(USER.encode()) + b"\r\n")
        assert c.line().startswith("+ ")
        c.send(base64.b64encode(PASSWORD.encode()) + b"\r\n")
        assert logged_in(c, c.until("t")[-1])


def test_authenticate_given_up(client):
    client.send("t AUTHENTICATE PLAIN\r\n")
    assert client.line() == "+ "
    client.send("*\r\n")
    assert client.until("t")[-1].startswith("t BAD")
    reply, _ = client.ask("AUTHENTICATE GSSAPI")
    assert reply.startswith("NO")
    client.send(f"t LOGIN {USER} {PASSWORD}\r\n")
    assert logged_in(client, client.until("t")[-1])


def test_a_response_of_any_length_is_answered(client):
    """By the command's tag, or the client waits for ever."""
    for n in (20000, 60000, 200000):
        client.send("t AUTHENTICATE PLAIN\r\n")
        assert client.line() == "+ "
        client.send("A" * n + "\r\n")
        assert client.until("t")[-1].startswith(("t BAD", "t NO [AUTH")), n
    assert client.ask("NOOP")[0].startswith("OK")


def test_wrong_password_and_unknown_user_sound_alike(client):
    wrong, _ = client.ask(f"LOGIN {USER} wrong")
    unknown, _ = client.ask(f"LOGIN nobody.here@example.org {PASSWORD}")
    assert wrong.startswith("NO [AUTHENTICATIONFAILED]")
    assert wrong == unknown
    client.send(f"t LOGIN {USER} {PASSWORD}\r\n")
    assert logged_in(client, client.until("t")[-1])


@pytest.mark.parametrize("user,password", [
    (USER, ""), ("", PASSWORD), ("*", PASSWORD), (")(uid=*", PASSWORD),
    ("anna.berg)(|(uid=*", PASSWORD), ("anna\nberg", PASSWORD), ("anna.berg\t", PASSWORD),
])
def test_hostile_names_fail_and_never_reach_the_directory(client, slapd, user, password):
    before = len(slapd.log_text())
    u, p = user.encode(), password.encode()
    client.send(b"t LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\n" % (len(u), u, len(p), p))
    reply = client.until("t")[-1]
    assert reply.startswith(("t NO [AUTHENTICATIONFAILED]", "t BAD")), reply
    time.sleep(0.2)
    said = slapd.log_text()[before:]
    assert "uid=*" not in said and "BIND dn=\"uid=anna" not in said, said


def test_nul_in_a_name_is_refused(client):
    client.send(b"t LOGIN {4+}\r\nan\0a secret\r\n")
    assert client.until("t")[-1].startswith("t BAD")
    assert client.ask("NOOP")[0].startswith("OK")


def test_input_behind_login_goes_along(client):
    client.send(f"t LOGIN {USER} {PASSWORD}\r\nb SELECT INBOX\r\nc NOOP\r\nd LOGOUT\r\n")
    assert client.until("t")[-1].startswith("t OK")
    assert client.until("b")[-1].startswith("b OK")
    assert client.until("c")[-1].startswith("c OK")
    assert client.until("d")[-1].startswith("d OK")
    assert client.eof()


def test_half_closed_client_gets_its_answers(postroom):
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        c.send(f"t LOGIN {USER} {PASSWORD}\r\nb NOOP\r\n")
        c.sock.shutdown(1)
        assert c.until("t")[-1].startswith("t OK")
        assert c.until("b")[-1].startswith("b OK")


@pytest.mark.parametrize("garbage", [
    b"\0\0\0\0\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n",
    b"a LOGIN {99999999999999999999}\r\n", b"a LOGIN {1000000}\r\n", b"a " + b"x" * 200000 + b"\r\n",
    b"((((((((((((((((\r\n",
])
def test_garbage_is_answered_and_survived(postroom, garbage):
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        c.send(garbage)
        assert " BAD " in c.line()
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        assert c.ask("NOOP")[0].startswith("OK")


def test_too_many_bad_commands_end_it(client):
    for _ in range(10):
        client.send("t WHAT\r\n")
        assert client.until("t")[-1].startswith("t BAD")
    assert client.line().startswith("* BYE")
    assert client.eof()


def test_directory_away_is_unavailable_not_a_refusal(make_instance, slapd):
    i = make_instance("auth {\n\tcache_size = 0\n}\n")
    with RawImap("127.0.0.1", i.imap_port) as c:
        assert c.ask("LOGIN pavel.dvorak secret-pavel.dvorak")[0].startswith("OK")
    slapd.stop()
    try:
        with RawImap("127.0.0.1", i.imap_port) as c:
            reply, _ = c.ask("LOGIN pavel.dvorak secret-pavel.dvorak")
            assert reply.startswith("NO [UNAVAILABLE]"), reply
    finally:
        slapd.start()
    until = time.monotonic() + 180
    while True:
        with RawImap("127.0.0.1", i.imap_port) as c:
            reply, _ = c.ask("LOGIN pavel.dvorak secret-pavel.dvorak")
        if reply.startswith("OK"):
            break
        assert time.monotonic() < until, reply
        time.sleep(0.2)


def test_login_timeout_and_connections_per_address(make_instance):
    i = make_instance('imap {\n\tlogin_timeout = 15s\n\tconnections_per_address = 3\n'
                      '\tgate_workers = 1\n}\n')
    held = [RawImap("127.0.0.1", i.imap_port) for _ in range(3)]
    with RawImap("127.0.0.1", i.imap_port) as c:
        assert c.greeting.startswith("* BYE [LIMIT]") and c.eof()
    for c in held:
        assert c.line().startswith("* BYE")
        assert c.eof()
        c.sock.close()
    with RawImap("127.0.0.1", i.imap_port) as c:
        assert c.ask(f"LOGIN {USER} {PASSWORD}")[0].startswith("OK")
        time.sleep(15.5)
        assert c.ask("NOOP")[0].startswith("OK")


def test_limits_hold_over_all_workers(make_instance, certs):
    i = make_instance('imap {\n\tconnections_per_address = 6\n\tconnections_per_user = 2\n'
                      '\tgate_workers = 3\n\tworkers = 2\n}\n')
    held = [RawImap("127.0.0.1", i.imap_port) for _ in range(12)]
    good = [c for c in held if c.greeting.startswith("* OK")]
    assert len(good) == 6
    for c in held:
        if c not in good:
            assert c.greeting == "* BYE [LIMIT] Too many connections from your address"
            assert c.eof()
            c.sock.close()
    # behind TLS as well
    with RawImap("127.0.0.1", i.imaps_port, certs.context()) as c:
        assert c.greeting.startswith("* BYE [LIMIT]")
    i.wait_log(r"ev=gate\.refused rip=127\.0\.0\.1 reason=connections_per_address limit=6")
    replies = [c.ask(f"LOGIN {USER} {PASSWORD}")[0] for c in good]
    assert [r[:2] for r in replies] == ["OK", "OK", "NO", "NO", "NO", "NO"], replies
    assert replies[2].startswith("NO [LIMIT]")
    i.wait_log(r"ev=imap\.refused sid=\S+ user=\S+ reason=connections_per_user limit=2")
    # a gate that dies takes its counts with it
    for pid in i.pids("gate"):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 180
    while True:
        try:
            with RawImap("127.0.0.1", i.imap_port) as c:
                if c.greeting.startswith("* OK"):
                    break
        except (OSError, EOFError):
            pass
        assert time.monotonic() < until
        time.sleep(0.1)


def in_memory(pid, secrets):
    """Which of them would stand in a core dump of the process."""
    found, seen = set(), 0
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            first, end = (int(v, 16) for v in span.split("-"))
            # a sanitizer's shadow is huge, and holds nothing of the process
            if not rights.startswith("rw") or end - first > 1 << 25:
                continue
            try:
                mem.seek(first)
                part = mem.read(end - first)
            except OSError:
                continue
            seen += len(part)
            found.update(s for s in secrets if s in part)
    assert seen > 1 << 18
    return found


def test_no_password_stays_in_memory(make_instance):
    """libldap and libsasl2 do not wipe all of theirs: of auth, only the line counts."""
    i = make_instance()
    name, password = "gone.with.the.wind", "4Nk3-qZ9w-unmistakable"
    whole = plain(name, password)
    secrets = [password.encode(), whole.encode()]
    with RawImap("127.0.0.1", i.imap_port) as c:
        assert c.ask(f"LOGIN {name} {password}")[0].startswith("NO")
        assert c.ask(f"AUTHENTICATE PLAIN {whole}")[0].startswith("NO")
        assert c.ask("NOOP")[0].startswith("OK")
        for pid in i.pids("gate"):
            assert in_memory(pid, [name.encode()] + secrets) <= {name.encode()}
    with Raw(i, tls="implicit") as c:
        c.command("EHLO x")
        assert c.command(f"AUTH PLAIN {whole}")[0] == 535
        assert c.command("AUTH PLAIN")[0] == 334
        assert c.command(whole)[0] == 535
        for pid in i.pids("smtp"):
            assert not in_memory(pid, secrets)
    for pid in i.pids("auth"):
        assert not in_memory(pid, secrets[1:])
