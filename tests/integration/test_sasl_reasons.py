"""What clients hear of a refused login: a reason after the right password, where the directory gives
one, and the same for everybody else."""
import base64
import time

import pytest

from harness import instance as instance_module
from harness import slapd as ldap
from harness.instance import directory_section
from harness.rawimap import RawImap
from harness.rawsmtp import Raw
from harness.slapd import Slapd


@pytest.fixture(scope="module")
def policies(work, certs):
    with Slapd(work / "policies", ca=certs.ca, cert=certs.cert, key=certs.key,
               overlays=("ppolicy",)) as s:
        s.modify(ldap.user_dn("rosa.delgado"), {"carLicense": ["smtp"]})
        yield s


@pytest.fixture(scope="module")
def server(policies, certs):
    d = instance_module.temp_dir()
    i = instance_module.Instance(
        d, policies, certs,
        directory_text=directory_section(policies, extra='services_attribute = "carLicense"'))
    i.start()
    yield i
    i.stop()
    instance_module.remove(d)


def imap(server, user, password):
    with RawImap("127.0.0.1", server.imap_port) as c:
        return c.ask(f"LOGIN {user} {password}")[0]


def smtp(server, user, password):
    with Raw(server) as c:
        c.command("EHLO x")
        c.starttls()
        c.command("EHLO x")
        text = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        code, lines = c.command(f"AUTH PLAIN {text}")
        return f"{code} {lines[0]}"


def test_an_expired_password(server):
    assert imap(server, "fritz", "secret-fritz") == "NO [EXPIRED] Password expired"
    assert smtp(server, "fritz", "secret-fritz").startswith("535 5.7.8 Password has expired")
    assert imap(server, "fritz", "wrong") == "NO [AUTHENTICATIONFAILED] Authentication failed"
    assert smtp(server, "fritz", "wrong") == "535 5.7.8 Authentication credentials invalid"


def test_a_password_that_must_be_changed(server):
    assert imap(server, "mona", "secret-mona") == "NO [EXPIRED] Password must be changed"
    # the bind succeeded: nothing that the server said says more
    server.wait_log(r'name=mona [^\n]*reason="password must be changed" told=EXPIRED ms=')


def test_grace_and_coming_expiry_are_logged(server):
    assert imap(server, "grete", "secret-grete").startswith("OK")
    server.wait_log(r"lvl=warn [^\n]*ev=auth.login [^\n]*name=grete [^\n]*grace=\d")
    assert imap(server, "gerda", "secret-gerda").startswith("OK")
    server.wait_log(r"lvl=warn [^\n]*ev=auth.login [^\n]*name=gerda [^\n]*password_expires=\d+")


def test_a_service_that_is_not_the_users(server):
    rosa = ldap.password_of("rosa.delgado")
    assert imap(server, "rosa.delgado", rosa) == \
        "NO [AUTHORIZATIONFAILED] Not allowed for this service"
    assert imap(server, "rosa.delgado", "wrong") == \
        "NO [AUTHENTICATIONFAILED] Authentication failed"
    assert smtp(server, "rosa.delgado", rosa).startswith("235 ")


def test_unknown_wrong_and_locked_sound_the_same(server):
    for _ in range(ldap.LOCKOUT + 1):
        imap(server, "lena", f"wrong-{time.monotonic_ns()}")
    heard = {imap(server, user, password) for user, password in [
        ("lena", "secret-lena"), ("lena", "wrong"), ("dora", "wrong"), ("nobody.here", "x"),
        ("anna.berg", "wrong"), ("x@elsewhere.example", "y")]}
    assert heard == {"NO [AUTHENTICATIONFAILED] Authentication failed"}
    heard = {smtp(server, user, password) for user, password in [
        ("lena", "secret-lena"), ("dora", "wrong"), ("nobody.here", "x"), ("anna.berg", "wrong")]}
    assert heard == {"535 5.7.8 Authentication credentials invalid"}
    server.wait_log(r'ev=auth.login [^\n]*name=lena [^\n]*reason="account locked"')


def test_no_directory(server, policies):
    policies.stop()
    try:
        assert imap(server, "kavya.raman", "whatever").startswith("NO [UNAVAILABLE]")
        assert smtp(server, "kavya.raman", "whatever").startswith("454 4.7.0")
    finally:
        policies.start()
