"""TLS in front of the gate: STARTTLS and implicit, injection, strangers without TLS, the end of a
session, a new certificate."""
import os
import re
import socket
import ssl
import subprocess
import time

import pytest

from harness.instance import password_of
from harness.ports import free_ports
from harness.rawimap import RawImap

USER = "bilal.haddad@example.org"
PASSWORD = password_of(USER)


def test_starttls_then_login(postroom, certs):
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        assert "STARTTLS" in c.greeting
        reply, _ = c.ask("STARTTLS")
        assert reply.startswith("OK")
        c.starttls(certs.context())
        reply, before = c.ask("CAPABILITY")
        assert "STARTTLS" not in before[0] and "AUTH=PLAIN" in before[0]
        assert c.ask("STARTTLS")[0].startswith("BAD")
        assert c.ask(f"LOGIN {USER} {PASSWORD}")[0].startswith("OK")
        assert c.ask("SELECT INBOX")[0].startswith("OK")


@pytest.mark.parametrize("injected", [
    "i NOOP\r\n", f"i LOGIN {USER} {PASSWORD}\r\n", "i LOGIN {4", "\x16\x03\x01"])
def test_bytes_before_the_hand_shake_are_nobodys(postroom, certs, injected):
    with RawImap("127.0.0.1", postroom.imap_port) as c:
        c.send("t STARTTLS\r\n" + injected)
        assert c.until("t")[-1].startswith("t OK")
        c.starttls(certs.context())
        c.send("n NOOP\r\n")
        # the first reply inside TLS is to the first command inside TLS
        assert c.line().startswith("n OK")
        assert c.ask("SELECT INBOX")[0].startswith("BAD")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_implicit_tls(postroom, certs, version):
    context = certs.context()
    context.minimum_version = context.maximum_version = version
    with RawImap("127.0.0.1", postroom.imaps_port, context) as c:
        assert "STARTTLS" not in c.greeting and "AUTH=PLAIN" in c.greeting
        assert c.ask(f"LOGIN {USER} {PASSWORD}")[0].startswith("OK")


def test_old_tls_is_refused(postroom, certs):
    context = certs.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        RawImap("127.0.0.1", postroom.imaps_port, context)


def test_logout_ends_with_close_notify(postroom, certs):
    with RawImap("127.0.0.1", postroom.imaps_port, certs.context()) as c:
        assert c.ask(f"LOGIN {USER} {PASSWORD}")[0].startswith("OK")
        reply, before = c.ask("LOGOUT")
        assert before[-1].startswith("* BYE") and reply.startswith("OK")
        assert c.eof()  # an end without close_notify would be an error here


def test_clear_text_on_the_tls_port(postroom):
    with RawImap("127.0.0.1", postroom.imaps_port, greet=False) as c:
        c.send("t NOOP\r\n" * 3)
        try:
            assert b"OK" not in c.sock.recv(1000)
        except ConnectionResetError:
            pass


@pytest.fixture
def own_address():
    """An address of this machine that is not loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("198.51.100.1", 9))
            address = s.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if not address.startswith("127."):
        yield address
        return
    address = "192.0.2.77"
    subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)
    yield address
    subprocess.run(["ip", "addr", "del", address + "/32", "dev", "lo"], check=True)


def test_no_password_without_tls(make_instance, certs, own_address):
    port, other = free_ports(2)
    i = make_instance(listens=f"""
listen "imap" {{ protocol = imap address = {{ "{own_address}:{port}" }} tls = starttls }}
listen "bare" {{ protocol = imap address = {{ "{own_address}:{other}" }} tls = none }}
""")
    with RawImap(own_address, port) as c:
        assert "LOGINDISABLED" in c.greeting and "AUTH=" not in c.greeting
        before = len(i.log_text())
        assert c.ask(f"LOGIN {USER} {PASSWORD}")[0].startswith("NO [PRIVACYREQUIRED]")
        assert c.ask("AUTHENTICATE PLAIN")[0].startswith("NO [PRIVACYREQUIRED]")
        assert "ev=auth" not in i.log_text()[before:]
        assert c.ask("STARTTLS")[0].startswith("OK")
        c.starttls(certs.context())
        assert c.ask(f"LOGIN {USER} {PASSWORD}")[0].startswith("OK")
    with RawImap(own_address, other) as c:
        assert "LOGINDISABLED" in c.greeting and "STARTTLS" not in c.greeting
        assert c.ask("STARTTLS")[0].startswith("BAD")


def test_a_reload_brings_the_new_certificate(make_instance, certs):
    i = make_instance()
    with RawImap("127.0.0.1", i.imaps_port, certs.context()) as old:
        assert old.ask(f"LOGIN {USER} {PASSWORD}")[0].startswith("OK")
        first = old.peer_certificate()
        new_cert, new_key = certs.issue(f"again-{os.getpid()}", "localhost", "IP:127.0.0.1")
        text = i.conf.read_text().replace(str(certs.cert), str(new_cert))
        i.conf.write_text(text.replace(str(certs.key), str(new_key)))
        i.reload()
        until = time.monotonic() + 180
        while True:
            with RawImap("127.0.0.1", i.imaps_port, certs.context()) as c:
                if c.peer_certificate() != first:
                    break
            assert time.monotonic() < until
            time.sleep(0.1)
        # the old session goes on
        assert old.ask("SELECT INBOX")[0].startswith("OK")


def test_the_session_id_follows_the_client(postroom, certs):
    start = len(postroom.log_text())
    with RawImap("127.0.0.1", postroom.imaps_port, certs.context()) as c:
        assert c.ask(f"LOGIN {USER} {PASSWORD}")[0].startswith("OK")
        c.ask("LOGOUT")
    sid = postroom.wait_log(r"role=gate .*ev=gate\.login sid=(\w+) res=ok", start=start).group(1)
    postroom.wait_log(rf"role=auth .*sid={sid}", start=start)
    postroom.wait_log(rf"role=imap .*sid={sid}", start=start)
    postroom.wait_log(rf"role=gate .*ev=gate\.end sid={sid}", start=start)
    assert not re.search(re.escape(PASSWORD), postroom.log_text())
