"""Debian's Postfix on another machine, as it were: a whole Postroom's sockets by TCP."""
import os
import smtplib
import subprocess

import pytest

from harness.instance import Instance
from harness.ports import free_ports
from harness.postfix import Postfix

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="Postfix's master needs root")

ANNA = "anna.berg@example.org"


@pytest.fixture(scope="module")
def ports(work, slapd, certs):
    """Of the sockets auth and directory."""
    found = free_ports(2)
    auth = (f'auth {{\n\tdefault_domain = "example.org"\n\tfailure_delay = 0\n'
            f'\tlisten_tcp = "127.0.0.1:{found[0]}"\n'
            f'\tlisten_tcp_directory = "127.0.0.1:{found[1]}"\n}}\n')
    with Instance(work / "postroom", slapd, certs, auth):
        yield found


@pytest.fixture(scope="module")
def postfix(work, ports, certs):
    maps = f"socketmap:inet:127.0.0.1:{ports[1]}"
    with Postfix(work / "postfix", {
            "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:127.0.0.1:{ports[0]}",
            "smtpd_tls_cert_file": certs.cert, "smtpd_tls_key_file": certs.key,
            "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes",
            "virtual_mailbox_domains": f"{maps}:domain",
            "virtual_mailbox_maps": f"{maps}:mailbox", "virtual_alias_maps": f"{maps}:alias",
            "virtual_transport": "discard:", "smtpd_sender_login_maps": f"{maps}:sender",
            "smtpd_sender_restrictions": "reject_sender_login_mismatch",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject_unauth_destination",
    }) as p:
        yield p


@pytest.fixture
def client(postfix, certs):
    c = smtplib.SMTP("127.0.0.1", postfix.port, timeout=120)
    c._host = "localhost"
    c.starttls(context=certs.context())
    yield c
    c.close()


@pytest.mark.parametrize("name,key,value", [
    ("alias", "director@example.org", ANNA), ("mailbox", ANNA, ANNA), ("domain", "example.org", "example.org"),
    ("sender", "director@example.org", ANNA), ("alias", "nobody@example.org", "")])
def test_postmap(ports, name, key, value):
    done = subprocess.run(["postmap", "-q", key, f"socketmap:inet:127.0.0.1:{ports[1]}:{name}"],
                          capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0 if value else 1, value), done.stderr


def test_login_and_sender(client):
    with pytest.raises(smtplib.SMTPAuthenticationError) as e:
        client.login("anna.berg", "wrong")
    assert e.value.smtp_code == 535
    assert client.login("anna.berg", "secret-anna.berg")[0] == 235
    client.mail("mei.zhang@example.org")
    assert client.rcpt("mei.zhang@example.org")[0] == 553
    client.rset()
    client.mail("director@example.org")
    assert client.rcpt("mei.zhang@example.org")[0] == 250
    assert client.rcpt("nobody@example.org")[0] == 550
