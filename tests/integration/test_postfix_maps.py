"""Debian's Postfix, unchanged: every map of our directory socket, asked by postmap and in service."""
import os
import smtplib
import subprocess

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.instance import directory_section
from harness.postfix import Postfix
from harness.sink import Sink

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="Postfix's master needs root")

ANNA = "anna.berg@example.org"
AWAY = "yara.costa@example.org"
MAPS = ("domain", "mailbox", "alias", "sender", "transport")


@pytest.fixture(scope="module")
def sink():
    with Sink() as s:
        yield s


@pytest.fixture(scope="module")
def auth(work, slapd, sink):
    """One user's mail lives elsewhere: at the sink."""
    dn = ldap.user_dn("yara.costa")
    slapd.modify(dn, {"objectClass": ["inetOrgPerson", "inetLocalMailRecipient"],
                      "mailHost": ["away.example.net"]})
    extra = (f'transport_filter = "(&(mail=%{{address}})(mailHost=*))"\n'
             f'\ttransport_result = {{ "smtp:[127.0.0.1]:{sink.port}" }}\n\tgroup_send_as = "yes"')
    with Authd(work / "auth", directory_section(slapd, extra=extra)) as a:
        yield a


def table(auth, name):
    return f"socketmap:unix:{auth.path('directory')}:{name}"


@pytest.fixture(scope="module")
def postfix(work, auth, certs):
    with Postfix(work / "postfix", {
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": auth.path("auth"),
            "smtpd_sasl_security_options": "noanonymous",
            "smtpd_tls_cert_file": certs.cert, "smtpd_tls_key_file": certs.key,
            "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes",
            "virtual_mailbox_domains": table(auth, "domain"),
            "virtual_mailbox_maps": table(auth, "mailbox"),
            "virtual_alias_maps": table(auth, "alias"),
            "transport_maps": table(auth, "transport"),
            "virtual_transport": "discard:",
            "smtpd_sender_login_maps": table(auth, "sender"),
            "smtpd_sender_restrictions": "reject_sender_login_mismatch",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject_unauth_destination",
    }) as p:
        yield p


@pytest.fixture
def client(postfix, certs):
    c = smtplib.SMTP("127.0.0.1", postfix.port, timeout=120)
    c._host = "localhost"
    c.starttls(context=certs.context())
    c.login("anna.berg", "secret-anna.berg")
    yield c
    c.close()


def postmap(auth, name, key):
    done = subprocess.run(["postmap", "-q", key, table(auth, name)], capture_output=True, text=True,
                          timeout=180)
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize("name,key,want", [
    ("domain", "example.org", "example.org"),
    ("mailbox", "director@example.org", ANNA),
    ("mailbox", "Anna.Berg+tag@EXAMPLE.org", ANNA),
    ("alias", "director@example.org", ANNA),
    ("sender", "director@example.org", ANNA),
    ("transport", AWAY, "smtp:[127.0.0.1]:{port}")])
def test_postmap_finds(auth, sink, name, key, want):
    assert postmap(auth, name, key)[:2] == (0, want.format(port=sink.port))


def test_postmap_finds_groups(auth):
    for name in ("alias", "sender"):
        code, value, _ = postmap(auth, name, "sales@example.org")
        assert code == 0
        assert len(value.split(",")) == 8 and "tove.nilsen@example.org" in value.split(",")


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("key", ["nobody@example.org", "example.net", "*", "*@example.org", ")(uid=*"])
def test_postmap_finds_nothing(auth, name, key):
    assert postmap(auth, name, key) == (1, "", "")


def test_transport_leads_away(client, sink, postfix):
    before = len(sink.messages)
    client.sendmail(ANNA, [AWAY, "mei.zhang@example.org"], "Subject: where to\r\n\r\nhello\r\n")
    sender, recipients, text = sink.wait(before + 1)[-1]
    assert (sender, recipients) == (ANNA, [AWAY]) and b"Subject: where to" in text
    # the other one stays with the default
    postfix.wait_log("to=<mei.zhang@example.org>, relay=none")
    assert len(sink.messages) == before + 1


def test_member_of_a_group_sends_as_it(postfix, certs, client, auth):
    members = postmap(auth, "sender", "sales@example.org")[1].split(",")
    assert ANNA not in members
    client.mail("sales@example.org")
    assert client.rcpt("mei.zhang@example.org")[0] == 553
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=120) as c:
        c._host = "localhost"
        c.starttls(context=certs.context())
        c.login(members[0], ldap.password_of(members[0].split("@")[0]))
        c.mail("sales@example.org")
        assert c.rcpt("mei.zhang@example.org")[0] == 250


def test_without_the_directory_nothing_is_known(auth, slapd, client):
    slapd.stop()
    try:
        for name in MAPS:
            key = "unseen.example" if name == "domain" else "x.unseen@example.org"
            code, value, said = postmap(auth, name, key)
            assert code == 1 and value == "" and "error" in said, (name, code, value, said)
        client.mail("someone@example.net")
        assert 400 <= client.rcpt("y.unseen@example.org")[0] < 500
    finally:
        slapd.start()
