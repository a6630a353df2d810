"""Mechanisms through a whole instance with clients that people use: GNU SASL, curl, mbsync, Python;
Kerberos tickets of an MIT KDC, client certificates, tokens; and the reply codes."""
import base64
import ctypes
import os
import re
import subprocess
import time

import pytest

from harness import instance as instance_module
from harness import slapd as ldap
from harness.authd import Authd
from harness.instance import directory_section
from harness.kdc import Kdc
from harness.rawimap import RawImap
from harness.rawsmtp import Raw
from harness.scram import Client, stored
from harness.tokens import TokenService

PERSON = "anna.berg"
GOOD = ldap.password_of(PERSON)
CANONICAL = "anna.berg@example.org"
EXTRA = """secret_attributes = { "carLicense" }
	certificate_filter = "(&(objectClass=inetOrgPerson)(uid=%{certificate_cn}))"
"""


@pytest.fixture(scope="module")
def kdc(work):
    with Kdc(work / "kdc") as k:
        k.principal(PERSON, "ticket-password")
        k.principal("nobody.here", "ticket-password")
        k.principal("host/client", "ticket-password")
        yield k


@pytest.fixture(scope="module")
def tokens(certs):
    with TokenService(certs) as t:
        t.answers["t-good"] = {"active": True, "username": PERSON}
        yield t


@pytest.fixture(scope="module")
def server(slapd, certs, kdc, tokens):
    d = instance_module.temp_dir()
    slapd.modify(ldap.user_dn(PERSON), {"carLicense": [stored(GOOD), stored(GOOD, "sha1")]})
    keytab = kdc.keytab("mail.keytab", "imap/localhost", "smtp/localhost")
    keytab.chmod(0o644)  # the test's only
    (kdc.dir).chmod(0o755)
    settings = f"""
auth {{
	default_domain = "example.org"
	failure_delay = 0
	sasl_mechanisms = {{ "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1", "GSSAPI", "EXTERNAL", "OAUTHBEARER", "XOAUTH2" }}
	sasl_without_tls = {{ "SCRAM-SHA-256", "GSSAPI" }}
	gssapi_keytab = "{keytab}"
	gssapi_hostname = "localhost"
	oauth_introspection_url = "{tokens.url}"
	oauth_ca = "{certs.ca}"
}}
smtp {{
	sasl_mechanisms = {{ "PLAIN", "LOGIN", "SCRAM-SHA-256", "GSSAPI", "EXTERNAL", "OAUTHBEARER" }}
}}
"""
    old = os.environ.get("KRB5_CONFIG")
    os.environ["KRB5_CONFIG"] = str(kdc.krb5_conf)
    i = instance_module.Instance(d, slapd, certs, settings,
                                 directory_text=directory_section(slapd, extra=EXTRA),
                                 tls=f'client_ca = "{certs.ca}"')
    i.start()
    yield i
    i.stop()
    if old is None:
        del os.environ["KRB5_CONFIG"]
    else:
        os.environ["KRB5_CONFIG"] = old
    instance_module.remove(d)


def run(*command, env=None, stdin=""):
    return subprocess.run([str(c) for c in command], input=stdin, capture_output=True, text=True,
                          timeout=180, env=env)


def capabilities(i, context=None):
    port = i.imaps_port if context else i.imap_port
    with RawImap("127.0.0.1", port, context) as c:
        return re.search(r"\[CAPABILITY ([^]]*)\]", c.greeting).group(1).split()


def client_context(certs, stem, name):
    cert, key = certs.issue(stem, name)
    context = certs.context()
    context.load_cert_chain(cert, key)
    return context


def test_what_is_offered(server, certs):
    # a client on this machine may type a password in clear; certificates come with TLS only
    assert {"AUTH=PLAIN", "AUTH=SCRAM-SHA-256", "AUTH=GSSAPI", "SASL-IR"} <= set(
        capabilities(server))
    tls = capabilities(server, certs.context())
    assert "AUTH=XOAUTH2" in tls and "AUTH=EXTERNAL" not in tls
    assert "AUTH=EXTERNAL" in capabilities(server, client_context(certs, "anna", PERSON))
    with Raw(server) as c:
        assert not [line for line in c.command("EHLO x")[1] if line.startswith("AUTH")]
        c.starttls()
        lines = [line for line in c.command("EHLO x")[1] if line.startswith("AUTH")]
        assert lines == ["AUTH PLAIN LOGIN SCRAM-SHA-256 GSSAPI OAUTHBEARER"]


def gsasl(server, certs, kind, mechanism, password=GOOD, name=PERSON):
    port = server.submission_port if kind == "smtp" else server.imap_port
    return run("gsasl", f"--{kind}", "--connect", f"localhost:{port}", "--mechanism", mechanism,
               "--authentication-id", name, "--authorization-id", "", "--password", password,
               "--starttls", "--x509-ca-file", certs.ca, "--no-client-first",
               "--hostname", "localhost", "--quality-of-protection", "qop-auth", "--no-cb",
               stdin=". LOGOUT\n" if kind == "imap" else "QUIT\n")


@pytest.mark.parametrize("kind,mechanism", [("imap", "SCRAM-SHA-256"), ("imap", "SCRAM-SHA-1"),
                                            ("smtp", "SCRAM-SHA-256"), ("imap", "PLAIN")])
def test_gnu_sasl(server, certs, kind, mechanism):
    done = gsasl(server, certs, kind, mechanism)
    said = done.stdout + done.stderr
    assert "Client authentication finished" in said, said
    done = gsasl(server, certs, kind, mechanism, "wrong")
    assert "Client authentication finished" not in done.stdout + done.stderr or \
        re.search(r"NO \[AUTHENTICATIONFAILED\]|535 5.7.8", done.stdout), done.stdout


def test_mbsync_with_scram(server, certs, tmp_path):
    conf = tmp_path / "mbsyncrc"
    conf.write_text(f"""IMAPAccount a
Host localhost
Port {server.imaps_port}
User {PERSON}
Pass {GOOD}
SSLType IMAPS
CertificateFile {certs.ca}
AuthMechs SCRAM-SHA-256

IMAPStore far
Account a

MaildirStore near
Path {tmp_path}/mail/
Inbox {tmp_path}/mail/INBOX

Channel c
Far :far:
Near :near:
Create Near
""")
    (tmp_path / "mail").mkdir()
    done = run("mbsync", "-V", "-c", conf, "c", env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SCRAM-SHA-256" in done.stdout + done.stderr
    server.wait_log("mech=SCRAM-SHA-256")


def curl(server, url, user, *more, env=None, certs=None):
    return run("curl", "-sSv", "--max-time", "20", "--ssl-reqd", "--cacert", server.certs.ca,
               "-u", user, *more, url, env=env)


def test_kerberos_over_imap(server, kdc):
    env = kdc.kinit(PERSON, "ticket-password")
    done = curl(server, f"imaps://localhost:{server.imaps_port}/INBOX?ALL", ":",
                "--login-options", "AUTH=GSSAPI", env=env)
    assert done.returncode == 0, done.stderr
    assert "AUTHENTICATE GSSAPI" in done.stderr and " OK " in done.stderr
    server.wait_log(f"mech=GSSAPI name={PERSON}@EXAMPLE.ORG user={CANONICAL}")


def test_a_master_by_kerberos(make_instance, server, kdc):
    text = server.directory_text.replace("certificate_filter",
                                         f'master_filter = "(uid={PERSON})"\n\tcertificate_filter')
    i = make_instance(server.settings, directory_text=text, tls=server.tls, slapd=server.slapd)
    env = kdc.kinit(PERSON, "ticket-password")
    for other, works in (("samir.aziz", True), ("nobody.here", False)):
        done = curl(i, f"imaps://localhost:{i.imaps_port}/INBOX?ALL", ":", "--login-options",
                    "AUTH=GSSAPI", "--sasl-authzid", other, env=env)
        assert (done.returncode == 0) == works, done.stderr
    i.wait_log(f"mech=GSSAPI name={PERSON}@EXAMPLE.ORG authzid=samir.aziz "
               "user=samir.aziz@example.org")
    done = curl(server, f"imaps://localhost:{server.imaps_port}/INBOX?ALL", ":", "--login-options",
                "AUTH=GSSAPI", "--sasl-authzid", "samir.aziz", env=env)
    assert "NO [AUTHORIZATIONFAILED]" in done.stderr, done.stderr


def test_kerberos_over_smtp(server, kdc, tmp_path):
    env = kdc.kinit(PERSON, "ticket-password")
    message = tmp_path / "message"
    message.write_text(f"From: {CANONICAL}\nTo: {CANONICAL}\nSubject: by ticket\n\nhello\n")
    done = curl(server, f"smtp://localhost:{server.submission_port}", ":", "--login-options",
                "AUTH=GSSAPI", "--mail-from", CANONICAL, "--mail-rcpt", CANONICAL,
                "--upload-file", message, env=env)
    assert done.returncode == 0, done.stderr
    assert "AUTH GSSAPI" in done.stderr and "235 2.7.0" in done.stderr


@pytest.mark.parametrize("principal", ["nobody.here", "host/client"])
def test_a_ticket_of_nobody(server, kdc, principal):
    env = kdc.kinit(principal, "ticket-password")
    done = curl(server, f"imaps://localhost:{server.imaps_port}/INBOX?ALL", ":",
                "--login-options", "AUTH=GSSAPI", env=env)
    assert done.returncode != 0
    assert "NO [AUTHENTICATIONFAILED]" in done.stderr


def ticket_for(service, env, monkeypatch):
    """The first token of a GSSAPI exchange with it."""
    class Buffer(ctypes.Structure):
        _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]

    for name in ("KRB5_CONFIG", "KRB5CCNAME"):
        monkeypatch.setenv(name, env[name])
    gss = ctypes.CDLL("libgssapi_krb5.so.2")
    minor, context, name = ctypes.c_uint32(), ctypes.c_void_p(), ctypes.c_void_p()
    text = ctypes.create_string_buffer(service.encode())
    given = Buffer(len(service), ctypes.cast(text, ctypes.c_void_p))
    kind = ctypes.c_void_p.in_dll(gss, "GSS_C_NT_HOSTBASED_SERVICE")
    status = gss.gss_import_name(ctypes.byref(minor), ctypes.byref(given), kind,
                                 ctypes.byref(name))
    assert status == 0, hex(status)
    token, mutual = Buffer(0, None), 2
    status = gss.gss_init_sec_context(
        ctypes.byref(minor), None, ctypes.byref(context), name, None, mutual, 0, None, None,
        None, ctypes.byref(token), None, None)
    assert status == 1, hex(status)  # to be continued
    return ctypes.string_at(token.value, token.length)


def test_a_refused_reload_leaves_the_keytab(slapd, kdc, work, monkeypatch):
    """Another keytab, which is good, and a section that is none: neither counts."""
    keytabs = [kdc.keytab("imap.keytab", "imap/localhost"),
               kdc.keytab("other.keytab", "smtp/other.example.org")]
    for path in (kdc.dir, *keytabs):
        path.chmod(0o755)  # the test's only
    env = kdc.kinit(PERSON, "ticket-password")
    good, bad = directory_section(slapd), directory_section(slapd, extra='user_filter = "%{usr}"')
    settings = ['failure_delay = 0\n\tgssapi_hostname = "localhost"\n\tsasl_mechanisms = '
                f'{{ "PLAIN", "GSSAPI" }}\n\tgssapi_keytab = "{k}"' for k in keytabs]
    monkeypatch.setenv("KRB5_CONFIG", str(kdc.krb5_conf))
    # of an exchange that its client gives up libkrb5 keeps a name
    monkeypatch.setenv("LSAN_OPTIONS", "detect_leaks=0")

    def answer(c):
        c.begin("GSSAPI", ticket_for("imap@localhost", env, monkeypatch))
        return c.reply().verb

    with Authd(work / "keytabs", good, auth=settings[0]) as a, a.auth() as c:
        assert answer(c) == "CONT"
        a.write_conf(bad, auth=settings[1])
        a.reload()
        a.wait_log("ev=auth.settings")
        assert answer(c) == "CONT"
        a.write_conf(good, auth=settings[1])
        a.reload()
        a.wait_log("ev=auth.reload res=ok")
        assert answer(c) == "FAIL"


def test_what_is_no_ticket(server, certs):
    with RawImap("127.0.0.1", server.imaps_port, certs.context()) as c:
        for garbage in (b"", b"\x60" + b"\xff" * 300, os.urandom(2000), b"\0"):
            text = base64.b64encode(garbage).decode() or "="
            c.send(f"t AUTHENTICATE GSSAPI {text}\r\n")
            line = c.line()
            if line.startswith("+"):
                c.send("\r\n")
                line = c.line()
            assert line.startswith("t NO [AUTHENTICATIONFAILED]"), line
        assert c.ask(f"LOGIN {PERSON} {GOOD}")[0].startswith("OK")


def test_tokens_with_curl(server, tokens, tmp_path):
    url = f"imaps://localhost:{server.imaps_port}/INBOX?ALL"
    done = curl(server, url, CANONICAL, "--oauth2-bearer", "t-good")
    assert done.returncode == 0, done.stderr
    assert "AUTHENTICATE OAUTHBEARER" in done.stderr
    with RawImap("127.0.0.1", server.imaps_port, server.certs.context()) as c:  # curl prefers RFC's
        text = base64.b64encode(f"user={PERSON}\x01auth=Bearer t-good\x01\x01".encode()).decode()
        assert c.ask("AUTHENTICATE XOAUTH2 " + text)[0].startswith("OK")
    done = curl(server, url, CANONICAL, "--oauth2-bearer", "t-bad")
    assert done.returncode != 0 and "NO [AUTHENTICATIONFAILED]" in done.stderr
    message = tmp_path / "message"
    message.write_text(f"From: {CANONICAL}\nTo: {CANONICAL}\nSubject: by token\n\nhello\n")
    done = curl(server, f"smtp://localhost:{server.submission_port}", CANONICAL,
                "--oauth2-bearer", "t-good", "--mail-from", CANONICAL, "--mail-rcpt", CANONICAL,
                "--upload-file", message)
    assert done.returncode == 0 and "AUTH OAUTHBEARER" in done.stderr, done.stderr


def external(c, authzid=""):
    c.send("t AUTHENTICATE EXTERNAL "
           f"{base64.b64encode(authzid.encode()).decode() or '='}\r\n")
    return c.until("t")[-1]


def test_certificates_over_imap(server, certs):
    with RawImap("127.0.0.1", server.imaps_port, client_context(certs, "anna", PERSON)) as c:
        assert external(c, "samir.aziz").startswith("t NO [AUTHORIZATIONFAILED]")
        assert external(c).startswith("t OK")
    # by STARTTLS too
    with RawImap("127.0.0.1", server.imap_port) as c:
        assert c.ask("STARTTLS")[0].startswith("OK")
        c.starttls(client_context(certs, "anna", PERSON))
        assert external(c).startswith("t OK")
    with RawImap("127.0.0.1", server.imaps_port, client_context(certs, "nobody", "nobody")) as c:
        assert external(c).startswith("t NO [AUTHENTICATIONFAILED]")
    with RawImap("127.0.0.1", server.imaps_port, certs.context()) as c:
        assert external(c).startswith("t NO [CANNOT]")
        assert c.ask(f"LOGIN {PERSON} {GOOD}")[0].startswith("OK")


def test_a_certificate_of_somebody_else(server, certs, work):
    """Its name is right; nobody trusts who signed it."""
    foreign = type(certs)(work / "foreign")
    cert, key = foreign.issue("anna", PERSON)
    context = certs.context()
    context.load_cert_chain(cert, key)
    assert "AUTH=EXTERNAL" not in capabilities(server, context)
    with RawImap("127.0.0.1", server.imaps_port, context) as c:
        assert external(c).startswith("t NO [CANNOT]")
        assert c.ask(f"LOGIN {PERSON} {GOOD}")[0].startswith("OK")


def test_certificates_over_smtp(server, certs):
    with Raw(server) as c:
        c.command("EHLO x")
        assert c.command("STARTTLS")[0] == 220
        c.sock = client_context(certs, "anna", PERSON).wrap_socket(
            c.sock, server_hostname="localhost")
        lines = c.command("EHLO x")[1]
        assert any(line.startswith("AUTH") and "EXTERNAL" in line for line in lines)
        assert c.command("AUTH EXTERNAL =")[0] == 235


def test_scram_over_smtp_step_by_step(server):
    with Raw(server) as c:
        c.command("EHLO x")
        c.starttls()
        c.command("EHLO x")
        for password, want in (("wrong", 535), (GOOD, 235)):
            client = Client(PERSON, password)
            code, lines = c.command("AUTH SCRAM-SHA-256 "
                                    + base64.b64encode(client.first()).decode())
            assert code == 334
            code, lines = c.command(base64.b64encode(
                client.final(base64.b64decode(lines[0]))).decode())
            if want == 235:
                assert code == 334
                client.check(base64.b64decode(lines[0]))
                code, lines = c.command("")
            assert code == want, lines
            assert want == 235 or lines[0].startswith("5.7.8")


def test_an_exchange_given_up(server, certs):
    with RawImap("127.0.0.1", server.imaps_port, certs.context()) as c:
        c.send("t AUTHENTICATE SCRAM-SHA-256\r\n")
        assert c.line() == "+ "
        c.send(base64.b64encode(Client(PERSON, GOOD).first()).decode() + "\r\n")
        assert c.line().startswith("+ ")
        c.send("*\r\n")
        assert c.line().startswith("t BAD")
        c.send("t AUTHENTICATE OAUTHBEARER " + base64.b64encode(
            b"n,,\x01auth=Bearer no\x01\x01").decode() + "\r\n")
        assert c.line().startswith("+ ")
        c.send("AQ==\r\n")
        assert c.line().startswith("t NO [AUTHENTICATIONFAILED]")
        assert c.ask(f"LOGIN {PERSON} {GOOD}")[0].startswith("OK")


@pytest.mark.parametrize("domains,allowed", [('"EXAMPLE.ORG=example.com"', True),
                                             ('"OTHER.EXAMPLE=example.org"', False)])
def test_realms_stand_for_domains(make_instance, server, kdc, domains, allowed):
    settings = server.settings.replace("gssapi_hostname",
                                       f"gssapi_domains = {{ {domains} }}\n\tgssapi_hostname")
    i = make_instance(settings, directory_text=server.directory_text,
                      tls=server.tls, slapd=server.slapd)
    env = kdc.kinit(PERSON, "ticket-password")
    done = curl(i, f"imaps://localhost:{i.imaps_port}/INBOX?ALL", ":", "--login-options",
                "AUTH=GSSAPI", env=env)
    assert (done.returncode == 0) == allowed, done.stderr
    if allowed:
        i.wait_log(f"mech=GSSAPI [^\n]*user={CANONICAL}")
    else:
        i.wait_log("a principal of another realm")


def test_a_reload_brings_a_mechanism(make_instance):
    """Also over connections between our own parts that are older than the reload."""
    i = make_instance('auth {\n\tsasl_mechanisms = { "PLAIN" }\n}\n')
    with RawImap("127.0.0.1", i.imap_port) as c:
        assert c.ask(f"LOGIN {PERSON} {GOOD}")[0].startswith("OK")
    i.conf.write_text(i.conf.read_text().replace('{ "PLAIN" }', '{ "PLAIN", "LOGIN" }'))
    i.reload()
    i.wait_log("ev=auth.reload res=ok")
    until = time.monotonic() + 180
    while "AUTH=LOGIN" not in capabilities(i):
        assert time.monotonic() < until
        time.sleep(0.1)
    with RawImap("127.0.0.1", i.imap_port) as c:
        c.send("t AUTHENTICATE LOGIN\r\n")
        assert c.line().startswith("+ ")
        c.send(base64.b64encode(PERSON.encode()).decode() + "\r\n")
        assert c.line().startswith("+ ")
        c.send(base64.b64encode(GOOD.encode()).decode() + "\r\n")
        assert c.line().startswith("t OK")
    with Raw(i, tls="implicit") as c:
        c.command("EHLO x")
        assert c.command("AUTH LOGIN")[0] == 334
