"""Debian's Postfix, unchanged, delivers to our LMTP sockets: over a unix socket with an owner that
Postfix's daemons may open, and over TCP."""
import os
import smtplib
import time

import pytest

from harness.instance import Instance
from harness.postfix import Postfix
from harness.slapd import Slapd


def postfix(directory, target, **more):
    return Postfix(directory, {
        "mynetworks": "127.0.0.0/8",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "virtual_mailbox_domains": "example.org",
        "virtual_transport": f"lmtp:{target}",
        "minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s",
        **more,
    })


def send(p, rcpts, subject):
    with smtplib.SMTP("127.0.0.1", p.port, timeout=120) as c:
        text = f"From: x@example.net\r\nTo: y\r\nSubject: {subject}\r\n\r\n.Hello\r\n"
        assert c.sendmail("x@example.net", rcpts, text.encode()) == {}


@pytest.fixture(scope="module")
def with_socket(work, slapd, certs):
    """Postfix's daemons keep their primary group only, so they get a socket of their own."""
    folder = work / "for-postfix"
    folder.mkdir()
    folder.chmod(0o755)
    i = Instance(work / "postroom", slapd, certs,
                 f'lmtp {{\n extra_socket = {{ "{folder}/lmtp:0660:postfix:postfix" }}\n}}\n')
    i.postfix_socket = folder / "lmtp"
    i.start()
    yield i
    i.stop()


def test_by_unix_socket(with_socket, work):
    i = with_socket
    assert os.stat(i.postfix_socket).st_mode & 0o777 == 0o660
    with postfix(work / "unix", f"unix:{i.postfix_socket}") as p:
        send(p, ["anna.berg@example.org", "hiro@example.org", "nobody@example.org"], "by unix")
        log = p.wait_log("to=<anna.berg@example.org>", "to=<hiro@example.org>",
                         "to=<nobody@example.org>", "status=bounced")
    lines = [line for line in log.splitlines() if "for-postfix/lmtp" in line]
    assert sum("status=sent (250 2.0.0 Delivered" in line for line in lines) == 2, log
    assert sum("550 5.1.1" in line for line in lines) == 1, log
    for user in ("anna.berg", "hiroshi.tanaka"):
        body = i.wait_messages(f"{user}@example.org", 1)[0]
        assert b"Subject: by unix" in body and body.endswith(b"\r\n\r\n.Hello\r\n")
        assert body.startswith(
            b"Return-Path: <x@example.net>\r\nReceived: from postfix.example.net")


def test_by_tcp(with_socket, work):
    i = with_socket
    with postfix(work / "tcp", f"inet:127.0.0.1:{i.lmtp_port}") as p:
        for k in range(20):
            send(p, ["grace.lindqvist@example.org", "ines.carvalho@example.org"], f"tcp {k}")
        for user in ("grace.lindqvist", "ines.carvalho"):
            assert len(i.wait_messages(f"{user}@example.org", 20)) == 20
        assert "status=deferred" not in p.log_text()


def test_a_directory_out_of_reach_is_deferred(with_socket, slapd, work):
    i = with_socket
    with postfix(work / "away", f"unix:{i.postfix_socket}") as p:
        slapd.stop()
        try:
            send(p, ["jonas.weber@example.org"], "deferred")
            p.wait_log("to=<jonas.weber@example.org>", "status=deferred", "451 4.4.3")
        finally:
            slapd.start()
        p.wait_log("status=sent")
        assert "status=bounced" not in p.log_text()
    assert len(i.wait_messages("jonas.weber@example.org", 1)) == 1


def test_known_users_and_groups_get_mail_while_no_directory_answers(work, certs):
    """With the maps of docs/directory.md."""
    folder = work / "for-postfix-outage"
    folder.mkdir()
    folder.chmod(0o755)
    settings = f"""auth {{
	default_domain = "example.org"
	cache_ttl = 100ms
	cache_negative_ttl = 100ms
}}
lmtp {{
	extra_socket = {{ "{folder}/lmtp:0660:postfix:postfix" }}
}}
"""
    with Slapd(work / "slapd-outage", ca=certs.ca, cert=certs.cert, key=certs.key) as d, \
            Instance(work / "outage", d, certs, settings) as i:
        os.chmod(i.socket("directory"), 0o666)
        maps = f"socketmap:unix:{i.socket('directory')}"
        with postfix(work / "postfix-outage", f"unix:{folder}/lmtp",
                     virtual_mailbox_domains=f"{maps}:domain", virtual_mailbox_maps=f"{maps}:mailbox",
                     virtual_alias_maps=f"{maps}:alias", virtual_alias_domains="",
                     transport_maps=f"{maps}:transport") as p:
            for count in (1, 2):
                send(p, ["anna.berg@example.org", "sales@example.org"], "outage")
                until = time.monotonic() + 60
                while p.log_text().count("status=sent") < 9 * count:
                    assert time.monotonic() < until, p.log_text()[-3000:]
                    time.sleep(0.05)
                time.sleep(0.2)
                if count == 1:
                    d.stop()
            assert "status=deferred" not in p.log_text()
