"""Binds: how the service account says who it is, and why a directory refused a user, as the LDAP
client understands it. Real servers; a scripted one where they cannot be made to say it."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import ds389 as ds
from harness import samba_ad as ad
from harness.instance import Instance, directory_section
from harness.kdc import Kdc
from harness.ready import readable
from harness.scripted import Done, Scripted, read
from harness.slapd import (BASE, SERVICE_DN, SERVICE_PASSWORD, Slapd, password_of, user_dn)

pytestmark = pytest.mark.waits

PROBE = Path(os.environ["POSTROOM_BUILD"]) / "tests/tools/ldap_probe"


def run(*args, env=None):
    return subprocess.run([PROBE, *map(str, args)], capture_output=True, text=True, timeout=180,
                          stdin=subprocess.DEVNULL, env=env)


def bind(*args):
    """reason, told, bound, expires, grace"""
    done = run(*args)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    m = re.search(r'err=(\S+) code=(\d+) reason="([^"]*)" told=(\d) bound=(\d) expires=(-?\d+) '
                  r"grace=(-?\d+)", done.stdout)
    return dict(err=m[1], code=int(m[2]), reason=m[3], told=m[4] == "1", bound=m[5] == "1",
                expires=int(m[6]), grace=int(m[7]))


# ---- why ----

@pytest.fixture(scope="module")
def policy(work, certs):
    with Slapd(work / "policy", overlays=("ppolicy",)) as d:
        yield d


@pytest.mark.parametrize("uid,reason,told,bound", [
    ("anna.berg", "fine", True, True),
    ("dora", "account locked", False, False),
    ("fritz", "password expired", True, False),
    ("grete", "fine", True, True),
    ("gerda", "fine", True, True),
    ("mona", "password must be changed", True, True)])
def test_openldap_says_why(policy, uid, reason, told, bound):
    a = bind("--uri", policy.uri, "bind", user_dn(uid), password_of(uid))
    assert (a["reason"], a["told"], a["bound"]) == (reason, told, bound)
    assert a["err"] == ("ok" if bound else "denied")
    assert (a["grace"] >= 0) == (uid == "grete")
    assert (0 < a["expires"] <= 86400) == (uid == "gerda")


@pytest.mark.parametrize("uid", ["anna.berg", "dora", "fritz", "grete", "gerda", "mona", "nobody"])
def test_openldap_tells_nobody_anything_without_the_password(policy, uid):
    a = bind("--uri", policy.uri, "bind", user_dn(uid), "wrong")
    assert a["err"] == "denied" and not a["told"] and not a["bound"]
    assert a["reason"] == ("account locked" if uid == "dora" else "password refused")


def test_openldap_locks_an_account(policy):
    for _ in range(5):
        assert bind("--uri", policy.uri, "bind", user_dn("lena"), "wrong")["err"] == "denied"
    for password in ("wrong", password_of("lena")):
        a = bind("--uri", policy.uri, "bind", user_dn("lena"), password)
        assert a["reason"] == "account locked" and not a["told"]


@pytest.mark.parametrize("uid,reason,told,bound", [
    ("carmen", "fine", True, True), ("dora", "account disabled", False, False),
    ("fritz", "password expired", True, False), ("gerda", "fine", True, True),
    ("mona", "password must be changed", True, True)])
def test_389_says_why(ds389, uid, reason, told, bound):
    a = bind("--uri", ds389.uri, "bind", ds.user_dn(uid), ds.password_of(uid))
    assert (a["reason"], a["told"], a["bound"]) == (reason, told, bound)
    assert (0 < a["expires"] <= 86400) == (uid in ("gerda", "mona"))


@pytest.mark.parametrize("uid", ["carmen", "fritz", "gerda", "mona", "nobody"])
def test_389_tells_nobody_anything_without_the_password(ds389, uid):
    a = bind("--uri", ds389.uri, "bind", ds.user_dn(uid), "wrong")
    assert a["err"] == "denied" and not a["told"] and a["reason"] in ("password refused",
                                                                     "no such user")


@pytest.mark.skipif(os.getuid() != 0, reason="the domain controller's ports need root")
@pytest.mark.parametrize("account,reason", [
    ("aberg", "fine"), ("dora", "account disabled"), ("emil", "account expired"),
    ("fritz", "password expired"), ("mona", "password must be changed"),
    ("hugo", "not at this time"), ("wanda", "not from this machine")])
def test_active_directory_says_why(samba_ad, account, reason):
    args = ("--uri", samba_ad.ldaps_uri, "--ca", samba_ad.ca, "bind", f"{ad.NETBIOS}\\{account}")
    a = bind(*args, ad.password_of(account))
    assert a["reason"] == reason and a["told"] and a["bound"] == (reason == "fine")
    a = bind(*args, "wrong")
    assert a["reason"] == "password refused" and not a["told"] and a["err"] == "denied"


@pytest.mark.skipif(os.getuid() != 0, reason="the domain controller's ports need root")
def test_active_directory_locks_an_account(samba_ad):
    dn = ad.user_dn("Lena Lock")
    samba_ad.lock("lena")
    try:
        for password in (ad.password_of("lena"), "wrong"):
            a = bind("--uri", samba_ad.ldaps_uri, "--ca", samba_ad.ca, "bind",
                     f"{ad.NETBIOS}\\lena", password)
            assert not a["told"] and a["err"] == "denied"
        assert a["reason"] in ("account locked", "password refused")
    finally:
        samba_ad.unlock(dn)


@pytest.mark.parametrize("code,err", [
    (0, "ok"), (49, "denied"), (32, "denied"), (53, "denied"), (50, "denied"), (19, "denied"),
    (51, "temp"), (52, "temp"), (80, "temp"), (8, "temp"), (1, "temp"), (14, "temp")])
def test_what_is_a_no_and_what_is_nobody_looked(code, err):
    with Scripted(on_bind=lambda *a: Done(code, "because")) as s:
        a = bind("--uri", s.uri, "bind", "cn=a", "secret")
    assert a["err"] == err and a["code"] == code and not (a["bound"] and code)
    assert "1.3.6.1.4.1.42.2.27.8.5.1" in s.binds[-1][2]


@pytest.mark.parametrize("value", [b"", b"\x30", b"\x30\x7f\x81\x01\x00", b"\xff" * 2000])
def test_a_garbled_control_changes_nothing(value):
    policy = [("1.3.6.1.4.1.42.2.27.8.5.1", value)] * 3
    with Scripted(on_bind=lambda *a: Done(49, "", controls=policy)) as s:
        a = bind("--uri", s.uri, "bind", "cn=a", "secret")
    assert a["err"] == "denied" and a["reason"] == "password refused" and not a["told"]


# ---- who we are ----

@pytest.fixture(scope="module")
def kdc(work):
    with Kdc(work / "kdc") as k:
        k.keytab("slapd.keytab", "ldap/localhost")
        k.keytab("service.keytab", "postroom", "somebody")
        yield k


@pytest.fixture(scope="module")
def directory(work, certs, kdc):
    """Takes the service account by Kerberos (bound to its certificate), by client certificate and by
    the peer of its local socket. Others may read nothing."""
    settings = (
        "sasl-host localhost\nsasl-realm EXAMPLE.ORG\nsasl-cbinding tls-endpoint\n"
        f'authz-regexp "^uid=([^,]+)(,cn=[^,]*)?,cn=gssapi,cn=auth$" "cn=$1,ou=services,{BASE}"\n'
        f'authz-regexp "^cn=service-client$" "{SERVICE_DN}"\n'
        f'authz-regexp "^gidNumber={os.getgid()}[+]uidNumber={os.getuid()},cn=peercred,'
        f'cn=external,cn=auth$" "{SERVICE_DN}"\n')
    with Slapd(work / "directory", ca=certs.ca, cert=certs.cert, key=certs.key, client_certs="try",
               settings=settings, env=kdc.env(KRB5_KTNAME=kdc.dir / "slapd.keytab")) as d:
        yield d


def search(d, *args, uri=None, env=None):
    done = run("--uri", uri or d.uri, *args, "search", BASE, "sub", "(uid=anna.berg)", "uid",
               env=env)
    assert "AddressSanitizer" not in done.stderr and done.returncode == 0, done.stderr[-3000:]
    return done


def kerberos(d, k, *args, uri=None, keytab="service.keytab", principal="postroom@EXAMPLE.ORG"):
    return search(d, "--method", "gssapi", "--keytab", k.dir / keytab, "--principal", principal,
                  *args, uri=uri, env=k.env(KRB5CCNAME="FILE:/nonexistent/ccache"))


@pytest.mark.parametrize("how", ["starttls", "ldaps"])
def test_kerberos_inside_tls(directory, kdc, certs, how):
    if how == "ldaps":
        done = kerberos(directory, kdc, "--ca", certs.ca, uri=directory.ldaps_uri)
    else:
        done = kerberos(directory, kdc, "--ca", certs.ca, "--starttls")
    assert "uid: anna.berg" in done.stdout, done.stdout + done.stderr
    assert re.search(r'BIND dn="cn=postroom,ou=services,[^"]*" mech=GSSAPI bind_ssf=0 '
                     r"ssf=\d{2,}", directory.log_text())


def test_kerberos_on_a_local_socket(directory, kdc):
    assert "uid: anna.berg" in kerberos(directory, kdc, uri=directory.ldapi_uri).stdout


def test_the_first_principal_of_the_keytab(directory, kdc, certs):
    done = kerberos(directory, kdc, "--ca", certs.ca, "--starttls", principal="")
    assert "uid: anna.berg" in done.stdout


def test_another_principal_is_another_account(directory, kdc, certs):
    done = kerberos(directory, kdc, "--ca", certs.ca, "--starttls",
                    principal="somebody@EXAMPLE.ORG")
    assert "uid: anna.berg" not in done.stdout and "err=ok" not in done.stdout


def test_kerberos_in_clear_is_refused(directory, kdc):
    before = directory.log_text().count("GSSAPI")
    done = kerberos(directory, kdc)
    assert "err=temp" in done.stdout and "needs TLS" in done.stderr
    assert directory.log_text().count("GSSAPI") == before


@pytest.mark.parametrize("keytab,principal,why", [
    ("none.keytab", "postroom@EXAMPLE.ORG", "keytab"),
    ("slapd.keytab", "postroom@EXAMPLE.ORG", "keytab"),
    ("service.keytab", "nobody@EXAMPLE.ORG", "keytab")])
def test_a_keytab_that_does_not_serve(directory, kdc, certs, keytab, principal, why):
    done = kerberos(directory, kdc, "--ca", certs.ca, "--starttls", keytab=keytab,
                    principal=principal)
    assert "err=temp" in done.stdout and why in done.stderr


def test_a_kdc_that_is_down_blocks_nobody(directory, kdc, certs):
    """The search fails in time, while the library still tries."""
    kdc.stop()
    try:
        done = kerberos(directory, kdc, "--ca", certs.ca, "--starttls")
        assert "err=temp" in done.stdout
    finally:
        kdc.start()
    done = kerberos(directory, kdc, "--ca", certs.ca, "--starttls")
    assert "uid: anna.berg" in done.stdout


def test_a_server_that_cannot_prove_who_it_is(work, certs, kdc):
    """It has another key of the realm: no ticket is any good to it."""
    kdc.keytab("stranger.keytab", "ldap/elsewhere")
    with Slapd(work / "stranger", ca=certs.ca, cert=certs.cert, key=certs.key,
               env=kdc.env(KRB5_KTNAME=kdc.dir / "stranger.keytab"),
               settings="sasl-host localhost\n") as d:
        done = kerberos(d, kdc, "--ca", certs.ca, "--starttls")
    assert "err=temp" in done.stdout and "service account" in done.stderr


def test_a_kdc_that_is_silent_blocks_nobody(directory, kdc):
    """The library waits for it on its own thread; a search in the loop ends in its time."""
    kdc.stop()
    try:
        with socket.create_server(("127.0.0.1", kdc.port)):
            begin = time.monotonic()
            done = kerberos(directory, kdc, uri=directory.ldapi_uri)
            took = time.monotonic() - begin
    finally:
        kdc.start()
    assert "err=temp" in done.stdout and took > 1


def test_tickets_are_renewed(work):
    """The server ends idle connections; every new one needs a ticket, long after the first ended."""
    with Kdc(work / "short", lifetime="3s") as k:
        k.keytab("slapd.keytab", "ldap/localhost")
        k.keytab("service.keytab", "postroom")
        settings = (
            "idletimeout 1\nsasl-host localhost\nsasl-realm EXAMPLE.ORG\n"
            f'authz-regexp "^uid=([^,]+)(,cn=[^,]*)?,cn=gssapi,cn=auth$" "cn=$1,ou=services,{BASE}"\n')
        with Slapd(work / "forgetful", settings=settings,
                   env=k.env(KRB5_KTNAME=k.dir / "slapd.keytab")) as d:
            for wait in (7000, 30000, 120000):  # a busy machine may not come to it
                start, issued = len(d.log_text()), len(k.log_text())
                done = kerberos(d, k, "--wait", wait, uri=d.ldapi_uri)
                assert "uid: anna.berg" in done.stdout, done.stderr
                binds = d.log_text()[start:].count("mech=GSSAPI bind_ssf")
                tickets = [line for line in k.log_text()[issued:].splitlines() if "AS_REQ" in line and "ISSUE" in line]
                if binds >= 2 and len(tickets) >= 2:
                    break
        assert binds >= 2 and len(tickets) >= 2


@pytest.mark.parametrize("code,why", [
    (0, "ended the Kerberos exchange early"), (14, "service account: Kerberos"),
    (49, "service account refused"), (7, "service account refused")])
def test_a_server_that_cuts_kerberos_short(work, kdc, code, why):
    """Success before it proved who it is is none; no token where one is due is an error."""
    with Scripted(on_bind=lambda *a: Done(code), path=work / f"short-{code}") as s:
        done = kerberos(None, kdc, uri=s.uri)
    assert "err=temp" in done.stdout and why in done.stderr and not s.searches


def test_the_binding_counts(work, certs, kdc, directory):
    """A relay that ends TLS itself, with a certificate of the same name, is found out by the server:
    the hash is of another certificate."""
    other = certs.issue("relay", "localhost", "IP:127.0.0.1")
    with Relay(directory.port, *other, certs.ca) as relay:
        uri = f"ldaps://localhost:{relay.port}"
        done = search(directory, "--dn", SERVICE_DN, "--password", SERVICE_PASSWORD, "--ca",
                      certs.ca, uri=uri)
        assert "uid: anna.berg" in done.stdout, done.stderr
        done = kerberos(directory, kdc, "--ca", certs.ca, uri=uri)
    assert "err=temp" in done.stdout and "service account refused" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="the domain controller's ports need root")
def test_kerberos_with_active_directory(samba_ad, tmp_path):
    keytab = samba_ad.keytab(ad.SERVICE, tmp_path / "keytab")
    for uri, more in ((samba_ad.ldaps_uri, ()), (samba_ad.uri, ("--starttls",))):
        done = run("--uri", uri, "--ca", samba_ad.ca, *more, "--method", "gssapi", "--keytab",
                   keytab, "--principal", f"{ad.SERVICE}@{ad.REALM}", "search", ad.BASE, "sub",
                   "(sAMAccountName=aberg)", "mail",
                   env={**os.environ, "KRB5_CONFIG": str(samba_ad.krb5_conf)})
        assert "mail: anna.berg@example.org" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="the cage needs root")
def test_the_auth_service_binds_by_kerberos_in_its_cage(directory, kdc, certs, work, monkeypatch):
    """As its own user, who may read the keytab and write no file, it looks users up."""
    monkeypatch.setenv("KRB5_CONFIG", str(kdc.krb5_conf))
    keytab = kdc.keytab("cage.keytab", "postroom")
    shutil.chown(keytab, "postroom-auth")
    keytab.chmod(0o400)
    before = directory.log_text().count("mech=GSSAPI")
    text = directory_section(directory)
    text = re.sub(r"\tbind_(dn|password) = .*\n", "", text).replace(
        "directory \"main\" {\n", 'directory "main" {\n\tbind_method = gssapi\n'
        f'\tbind_keytab = "{keytab}"\n\tbind_principal = "postroom@EXAMPLE.ORG"\n')
    assert "bind_method" in text and "bind_dn" not in text
    i = Instance(work / "caged", directory, certs, directory_text=text)
    i.start()
    try:
        found = i.command("lookup", "mailbox", "anna.berg@example.org").stdout
        assert "anna.berg@example.org" in found
        assert directory.log_text().count("mech=GSSAPI") > before
    finally:
        i.stop()


def test_external_on_a_local_socket(directory):
    done = search(directory, "--method", "external", uri=directory.ldapi_uri)
    assert "uid: anna.berg" in done.stdout
    assert f'BIND dn="{SERVICE_DN}" mech=EXTERNAL' in directory.log_text()


def test_external_by_certificate(directory, certs):
    cert, key = certs.issue("service-client", "service-client")
    done = search(directory, "--method", "external", "--ca", certs.ca, "--starttls", "--cert", cert,
                  "--key", key)
    assert "uid: anna.berg" in done.stdout, done.stderr
    done = search(directory, "--method", "external", "--ca", certs.ca, "--starttls")
    assert "err=temp" in done.stdout and "service account refused" in done.stderr


def test_external_in_clear_is_refused(directory):
    done = search(directory, "--method", "external")
    assert "err=temp" in done.stdout and "needs ldapi:// or TLS" in done.stderr


def test_none_is_anonymous(directory):
    done = search(directory, "--method", "none", "--dn", SERVICE_DN, "--password",
                  SERVICE_PASSWORD)
    assert "uid: anna.berg" not in done.stdout


def test_external_that_wants_more_steps(work):
    with Scripted(on_bind=lambda *a: Done(14), path=work / "steps") as s:
        done = search(None, "--method", "external", uri=s.uri)
    assert "err=temp" in done.stdout and "service account refused" in done.stderr
    assert not s.searches


class Relay:
    """Ends TLS with a certificate of its own and speaks TLS to the server behind: what the channel
    binding is there for."""

    def __init__(self, port, cert, key, ca):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.upstream = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ca = ca

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(raw,), daemon=True).start()

    def _relay(self, raw):
        try:
            client = self.context.wrap_socket(raw, server_side=True)
            server = socket.create_connection(("localhost", self.upstream))
            # StartTLS with the real one
            server.sendall(bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037")
            answer = b""
            while read(answer) is None:
                answer += server.recv(4096)
            server = ssl.create_default_context(cafile=self.ca).wrap_socket(
                server, server_hostname="localhost")
            while True:
                for s in readable([client, server], 10):
                    data = s.recv(65536)
                    if not data:
                        return
                    (server if s is client else client).sendall(data)
        except OSError:
            return
