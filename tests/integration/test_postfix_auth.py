"""Debian's Postfix, unchanged: its submission authenticates against our auth socket, and its domains,
mailboxes, aliases and senders come from our directory socket."""
import base64
import os
import re
import smtplib
import ssl
import subprocess
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.instance import directory_section
from harness.postfix import Postfix
from harness.scram import Client, stored

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="Postfix's master needs root")

ANNA = "anna.berg@example.org"


@pytest.fixture(scope="module")
def auth(work, slapd, certs):
    slapd.modify(ldap.user_dn("anna.berg"), {"carLicense": [stored("secret-anna.berg")]})
    section = directory_section(slapd, extra='secret_attributes = { "carLicense" }\n'
                                '\tcertificate_filter = "(uid=%{certificate_cn})"')
    with Authd(work / "auth", section, auth="""failure_delay = 0
	sasl_mechanisms = { "PLAIN", "LOGIN", "SCRAM-SHA-256", "EXTERNAL" }""",
               settings=f'tls {{\n\tclient_ca = "{certs.ca}"\n}}\n') as a:
        yield a


@pytest.fixture(scope="module")
def postfix(work, auth, certs):
    maps = f"socketmap:unix:{auth.path('directory')}"
    with Postfix(work / "postfix", {
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": auth.path("auth"),
            "smtpd_sasl_security_options": "noanonymous",
            "smtpd_tls_cert_file": certs.cert, "smtpd_tls_key_file": certs.key,
            "smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes",
            "virtual_mailbox_domains": f"{maps}:domain",
            "virtual_mailbox_maps": f"{maps}:mailbox",
            "virtual_alias_maps": f"{maps}:alias",
            "virtual_transport": "discard:",
            "smtpd_sender_login_maps": f"{maps}:sender",
            "smtpd_sender_restrictions": "reject_sender_login_mismatch",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject_unauth_destination",
    }) as p:
        yield p


@pytest.fixture
def client(postfix, certs):
    c = smtplib.SMTP("127.0.0.1", postfix.port, timeout=120)
    c._host = "localhost"
    c.starttls(context=certs.context())
    c.ehlo()
    yield c
    c.close()


def test_offers_our_mechanisms(client):
    assert set(client.esmtp_features["auth"].split()) >= {"PLAIN", "LOGIN"}


@pytest.mark.parametrize("password,want", [("secret-anna.berg", 235), ("wrong", 535)])
def test_scram_through_postfix(client, password, want):
    offered = client.esmtp_features["auth"].split()
    assert "SCRAM-SHA-256" in offered and "EXTERNAL" not in offered
    scram = Client("anna.berg", password)
    encode = lambda b: base64.b64encode(b).decode()
    code, text = client.docmd("AUTH", "SCRAM-SHA-256 " + encode(scram.first()))
    assert code == 334
    code, text = client.docmd(encode(scram.final(base64.b64decode(text))))
    if want == 235:
        assert code == 334
        scram.check(base64.b64decode(text))
        code, text = client.docmd("")
    assert code == want, text


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_login_binds_in_the_directory(client, slapd, mechanism):
    before = slapd.log_text().count(f'BIND dn="{ldap.user_dn("anna.berg")}" method=128')
    client.user, client.password = "anna.berg", "secret-anna.berg"
    method = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}[mechanism]
    code, _ = client.auth(mechanism, method)
    assert code == 235
    assert slapd.log_text().count(f'BIND dn="{ldap.user_dn("anna.berg")}" method=128') > before


@pytest.mark.parametrize("name,password", [("anna.berg", "wrong"), ("nobody", "x"), ("*", "x"),
                                           (")(uid=*", "x")])
def test_wrong_login_is_535(client, name, password):
    with pytest.raises(smtplib.SMTPAuthenticationError) as e:
        client.login(name, password)
    assert e.value.smtp_code == 535


def test_swaks_sends_to_a_group(postfix, auth):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(postfix.port), "--tls",
         "--auth", "PLAIN", "--auth-user", "anna.berg", "--auth-password", "secret-anna.berg",
         "--from", ANNA, "--to", "support@example.org", "--body", "hello"],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    log = postfix.wait_log("orig_to=<support@example.org>", "sasl_username=anna.berg@example.org")
    with auth.directory() as m:
        people = m.addresses("support@example.org")
    until = time.monotonic() + 180
    while True:
        got = set(re.findall(r"to=<([^>]*)>, orig_to=<support@example.org>.*status=sent",
                             postfix.log_text()))
        if got == set(people):
            break
        assert time.monotonic() < until, (got, log[-2000:])
        time.sleep(0.1)


def test_unknown_recipient_is_550(client):
    client.login("anna.berg", "secret-anna.berg")
    client.mail(ANNA)
    code, text = client.rcpt("nobody@example.org")
    assert code == 550 and b"unknown" in text
    assert client.rcpt("mei.zhang@example.org")[0] == 250
    assert client.rcpt("press@example.org")[0] == 250


def test_sender_must_be_the_users_own(client):
    client.login("anna.berg", "secret-anna.berg")
    client.mail("bilal.haddad@example.org")
    assert client.rcpt("mei.zhang@example.org")[0] == 553
    client.rset()
    client.mail("director@example.org")
    assert client.rcpt("mei.zhang@example.org")[0] == 250


def test_directory_down_is_a_temporary_failure(postfix, slapd, certs):
    slapd.stop()
    try:
        c = smtplib.SMTP("127.0.0.1", postfix.port, timeout=120)
        c._host = "localhost"
        c.starttls(context=ssl.create_default_context(cafile=str(certs.ca)))
        with pytest.raises(smtplib.SMTPAuthenticationError) as e:
            c.login("anna.berg", "secret-anna.berg")
        # and recipients of ours are not called unknown meanwhile
        assert e.value.smtp_code == 454, e.value
        c.rset()
        code = c.mail(ANNA)[0]
        if code == 250:
            code = c.rcpt("mei.zhang@example.org")[0]
        assert 400 <= code < 500
        c.close()
    finally:
        slapd.start()
    until = time.monotonic() + 180
    while True:
        c = smtplib.SMTP("127.0.0.1", postfix.port, timeout=120)
        c._host = "localhost"
        c.starttls(context=ssl.create_default_context(cafile=str(certs.ca)))
        try:
            c.login("anna.berg", "secret-anna.berg")
            c.close()
            break
        except smtplib.SMTPAuthenticationError:
            c.close()
            assert time.monotonic() < until
            time.sleep(0.2)
