"""Debian's Exim, unchanged: its dovecot authenticator asks our auth socket."""
import os
import re
import smtplib
import subprocess
import time

import pytest

from harness.authd import Authd
from harness.exim import Exim
from harness.instance import directory_section

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="Exim needs root")

ANNA = "anna.berg@example.org"


@pytest.fixture(scope="module")
def auth(work, slapd):
    with Authd(work / "auth", directory_section(slapd)) as a:
        yield a


@pytest.fixture(scope="module")
def exim(work, auth, certs):
    auth.path("auth").chmod(0o666)
    with Exim(work / "exim", certs, auth.path("auth")) as e:
        yield e


def connect(exim, certs):
    c = smtplib.SMTP("127.0.0.1", exim.port, timeout=120)
    c._host = "localhost"
    c.starttls(context=certs.context())
    c.ehlo()
    return c


@pytest.fixture
def client(exim, certs):
    c = connect(exim, certs)
    yield c
    c.close()


def test_offers_our_mechanisms_within_tls_only(exim, client):
    assert set(client.esmtp_features["auth"].split()) == {"PLAIN", "LOGIN"}
    plain = smtplib.SMTP("127.0.0.1", exim.port, timeout=120)
    plain.ehlo()
    assert "auth" not in plain.esmtp_features
    plain.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("name", ["anna.berg", ANNA])
def test_login(client, auth, mechanism, name):
    before = len(auth.log_text())
    client.user, client.password = name, "secret-anna.berg"
    method = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}[mechanism]
    assert client.auth(mechanism, method)[0] == 235
    until = time.monotonic() + 180
    while not (said := re.search(r"ev=auth\.login .*", auth.log_text()[before:])):
        assert time.monotonic() < until
        time.sleep(0.02)
    # who asked and from where comes from Exim
    line = said[0]
    assert "service=smtp" in line and "rip=127.0.0.1" in line and "res=ok" in line


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("name,password", [("anna.berg", "wrong"), ("nobody", "x"), ("*", "x"),
                                           ("anna.berg", "secret-anna.berg\t"), (")(uid=*", "x")])
def test_wrong_login_is_535(client, mechanism, name, password):
    client.user, client.password = name, password
    method = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}[mechanism]
    with pytest.raises(smtplib.SMTPAuthenticationError) as e:
        client.auth(mechanism, method)
    assert e.value.smtp_code == 535
    client.mail(ANNA)
    assert client.rcpt("out@example.net")[0] == 550


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_sends(exim, mechanism):
    to = f"{mechanism.lower()}@example.net"
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(exim.port), "--tls", "--auth", mechanism,
         "--auth-user", "anna.berg", "--auth-password", "secret-anna.berg", "--from", ANNA,
         "--to", to, "--body", "hello"], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (ANNA, [to]) in exim.queue()
    # the name that it logs is the one that our answer gave, not the one that was typed
    assert f"A={mechanism.lower()}:{ANNA}" in exim.log_text()


def test_directory_down_is_a_temporary_failure(exim, slapd, certs):
    slapd.stop()
    try:
        c = connect(exim, certs)
        with pytest.raises(smtplib.SMTPAuthenticationError) as e:
            c.login("anna.berg", "secret-anna.berg")
        assert e.value.smtp_code == 435, e.value
        c.close()
    finally:
        slapd.start()
    until = time.monotonic() + 180
    while True:
        c = connect(exim, certs)
        try:
            c.login("anna.berg", "secret-anna.berg")
            break
        except smtplib.SMTPAuthenticationError as e:
            assert 400 <= e.smtp_code < 500 and time.monotonic() < until, e
            time.sleep(0.2)
        finally:
            c.close()
