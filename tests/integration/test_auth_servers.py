"""Several directory servers: the next one within a second, the better one again when it is well,
without a lost question; found by SRV records; TLS that must be right."""
import re
import signal
import socket
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.certs import Certs
from harness.dns import Dns
from harness.instance import directory_section
from harness.slowldap import Proxy

pytestmark = pytest.mark.waits

WITHIN = 1.0  # seconds until the next server answers; measured where the best of several tries counts
LATE = 60.0  # on a machine that hardly moves; far below what a question to a silent server may take, see PATIENT
PATIENT = "search_timeout = 5m\n\tbind_timeout = 5m\n\tsetup_timeout = 5m"


@pytest.fixture(scope="module")
def other(work, certs):
    """A replica: the same data, another slapd."""
    with ldap.Slapd(work / "slapd-other", ca=certs.ca, cert=certs.cert, key=certs.key) as s:
        yield s


@pytest.fixture
def first(work, certs, request):
    """The preferred server, the test's own to kill."""
    d = work / f"first-{request.node.name[:40].replace('[', '-').replace(']', '')}"
    with ldap.Slapd(d, ca=certs.ca, cert=certs.cert, key=certs.key) as s:
        yield s


def section(slapd, *uris, extra=""):
    """slapd's section with these URIs; its own when there is none."""
    text = directory_section(slapd, extra=extra)
    if uris:
        text = text.replace(f'uris = {{ "{slapd.uri}" }}',
                            "uris = { %s }" % ", ".join(f'"{u}"' for u in uris))
    return text


def searches(slapd):
    return slapd.log_text().count("mail=director@example.org")


def wait_for(condition, timeout=180):
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def state(task):
    return (task / "stat").read_text().rsplit(")", 1)[1].split()[0]


def halt(slapd):
    """Stopped when this returns: a thread that still runs would answer."""
    slapd.process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{slapd.process.pid}/task")
    wait_for(lambda: all(state(t) == "T" for t in tasks.iterdir()))


def logged(auth, text):
    """When the log says this for the first time, in seconds."""
    line = next(x for x in auth.log_text().splitlines() if text in x)
    return datetime.fromisoformat(re.search(r"ts=(\S+)", line)[1]).timestamp()


class Traffic(threading.Thread):
    """Lookups and logins, one after the other, each timed, until stop()."""

    def __init__(self, auth):
        super().__init__()
        self.auth = auth
        self.stopping = False
        self.worst = 0.0
        self.count = 0
        self.wrong = []

    def run(self):
        with self.auth.directory(timeout=300) as m, self.auth.auth(timeout=300) as c:
            while not self.stopping:
                begin = time.monotonic()
                found = m.lookup("alias", "director@example.org")
                login = c.plain("anna.berg", "secret-anna.berg")
                self.worst = max(self.worst, time.monotonic() - begin)
                self.count += 1
                if found != ("OK", "anna.berg@example.org"):
                    self.wrong.append(found)
                if login.verb != "OK":
                    self.wrong.append(login)
                time.sleep(0.005)

    def wait(self, rounds):
        """Until it made so many more."""
        enough = self.count + rounds
        wait_for(lambda: self.count >= enough or not self.is_alive())
        assert self.is_alive()

    def stop(self):
        self.stopping = True
        self.join(180)
        assert not self.is_alive()


def uncached(text=""):
    return "failure_delay = 0\n\tcache_size = 0" + text


def test_killed_server(work, first, other):
    text = section(first, first.uri, other.uri, extra="failback_after = 500ms\n\t" + PATIENT)
    with Authd(work / "killed", text, auth=uncached()) as a:
        a.wait_log(f"res=used uri={first.uri}")
        t = Traffic(a)
        t.start()
        t.wait(5)
        first.process.kill()
        first.process.wait()
        a.wait_log(f"res=used uri={other.uri}")
        t.wait(5)
        first.process = None
        first.start()
        a.wait_log(f"res=used uri={first.uri} before={other.uri}")
        before = searches(first)
        wait_for(lambda: searches(first) > before)
        t.stop()
        assert t.wrong == []
        assert t.worst < LATE


def test_stopped_server(work, first, other):
    """SIGSTOP: its kernel still takes connections and bytes, and nothing ever comes back."""
    text = section(first, first.uri, other.uri, extra="failback_after = 500ms\n\t" + PATIENT)
    with Authd(work / "stopped", text, auth=uncached()) as a:
        a.wait_log(f"res=used uri={first.uri}")
        t = Traffic(a)
        t.start()
        t.wait(5)
        halt(first)
        try:
            a.wait_log(f"res=down uri={first.uri} reason=silent")
            t.wait(10)
        finally:
            first.process.send_signal(signal.SIGCONT)
        a.wait_log(f"res=used uri={first.uri} before={other.uri}")
        t.wait(10)
        t.stop()
        assert t.wrong == []
        assert t.worst < LATE


def test_stopped_from_the_start(work, first, other):
    halt(first)
    took = []
    try:
        while len(took) < 10 and min(took, default=WITHIN) >= WITHIN:
            with Authd(work / f"stopped2-{len(took)}", section(first, first.uri, other.uri, extra=PATIENT)) as a, \
                    a.auth(timeout=300) as c:
                begin = time.monotonic()
                assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
                took.append(time.monotonic() - begin)
        assert min(took) < WITHIN and max(took) < LATE, took
    finally:
        first.process.send_signal(signal.SIGCONT)


def test_stopped_while_binds_run(work, first, other):
    """Logins by DN only: no search tells that the server is silent, yet they move on."""
    text = section(first, first.uri, other.uri,
                   extra=f'user_dn = "uid=%{{local}},ou=people,{ldap.BASE}"\n\t{PATIENT}')
    with Authd(work / "stopped3", text, auth=uncached()) as a, a.auth(timeout=300) as c:
        assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
        halt(first)
        try:
            begin = time.monotonic()
            for i in range(20):
                c.begin("PLAIN", b"\0anna.berg\0secret-anna.berg", number=100 + i)
            assert c.reply().verb == "OK"
            assert all(c.reply().verb == "OK" for _ in range(19))
            assert time.monotonic() - begin < LATE
        finally:
            first.process.send_signal(signal.SIGCONT)


def test_fail_back_waits_and_drops_nothing(work, first, other):
    """The server in use answers late, so that questions are in flight when the better one is
    taken back; it is taken back after failback_after, not before."""
    port = first.port
    first.stop()
    with Proxy(other.port, delay=0.2) as slow:
        text = section(first, first.uri, f"ldap://127.0.0.1:{slow.port}",
                       extra=f"failback_after = 3s\n\t{PATIENT}").replace("starttls = yes", "starttls = no")
        with Authd(work / "failback", text, auth=uncached()) as a:
            a.wait_log(f"res=used uri=ldap://127.0.0.1:{slow.port}")
            runs = [Traffic(a) for _ in range(4)]
            for t in runs:
                t.start()
            for t in runs:
                t.wait(1)
            assert first.port == port
            first.start()
            a.wait_log(f"res=up uri={first.uri}")
            a.wait_log(f"res=used uri={first.uri}")
            for t in runs:
                t.wait(2)
                t.stop()
            # a line may be written some time after what it tells of
            assert logged(a, f"res=used uri={first.uri}") - logged(a, f"res=up uri={first.uri}") > 1
            assert [t.wrong for t in runs] == [[]] * 4


def test_everybody_down_is_told_at_once(work, slapd):
    text = section(slapd, "ldap://127.0.0.1:1", "ldap://127.0.0.1:2", extra=PATIENT)
    with Authd(work / "nobody", text) as a, a.auth() as c, a.directory() as m:
        begin = time.monotonic()
        for _ in range(5):
            assert c.plain("anna.berg", "x").temporary
            assert m.lookup("alias", "director@example.org")[0] == "TEMP"
        assert time.monotonic() - begin < LATE
        a.wait_log("no directory answers")


def test_no_storm_on_a_server_that_hangs_up(work, slapd):
    """The preferred server resets every connection: few attempts, and nobody feels it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    made = []

    def serve():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            made.append(time.monotonic())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()

    threading.Thread(target=serve, daemon=True).start()
    text = section(slapd, f"ldap://127.0.0.1:{listener.getsockname()[1]}", slapd.uri, extra=PATIENT)
    try:
        begin = time.monotonic()
        with Authd(work / "hangup", text, auth=uncached()) as a:
            t = Traffic(a)
            t.start()
            wait_for(lambda: len(made) >= 6)
            t.stop()
            took = time.monotonic() - begin
            assert t.wrong == [] and t.worst < LATE
            # 100, 200, 400, 800 ms, then about every second: never more in its time, however long a turn takes
            assert len(made) <= 8 + took / 0.6
            assert a.log_text().count("res=down") == 1
    finally:
        listener.close()


def test_binds_and_searches_of_one_section_beside_slow_binds(work, slapd, certs):
    """100 logins whose binds wait, at most 64 at once; searches of the same section are not held up."""
    with Proxy(slapd.port) as proxy:
        text = section(slapd, f"ldap://127.0.0.1:{proxy.port}",
                       extra=f'user_dn = "uid=%{{local}},ou=people,{ldap.BASE}"\n\t{PATIENT}').replace(
                           "starttls = yes", "starttls = no")
        with Authd(work / "same", text, auth=uncached()) as a, a.auth(timeout=300) as c, \
                a.directory() as m:
            assert m.lookup("alias", "director@example.org")[0] == "OK"
            proxy.hold = True
            for i in range(100):
                c.begin("PLAIN", b"\0anna.berg\0secret-anna.berg", number=i + 1)
            proxy.wait_held(64)
            for _ in range(100):
                assert m.lookup("alias", "director@example.org")[0] == "OK"
            assert "ev=auth.login" not in a.log_text() and len(proxy.held) == 64
            proxy.hold = False
            assert all(c.reply().verb == "OK" for _ in range(100))


# ---- DNS ----

def srv_section(slapd, dns, extra=""):
    return section(slapd, extra=extra).replace(
        f'uris = {{ "{slapd.uri}" }}', 'srv_domain = "example.org"'), \
        f'dns_servers = {{ "{dns.server}" }}'


@pytest.fixture(scope="module")
def named(certs):
    """A certificate for dc1 and dc2.example.org."""
    return certs.issue("dcs", "dc1.example.org", "DNS:dc2.example.org")


@pytest.fixture(scope="module")
def dcs(work, certs, named):
    cert, key = named
    with ldap.Slapd(work / "dc1", ca=certs.ca, cert=cert, key=key,
                    settings="include @SCHEMADIR@/dyngroup.schema") as one, \
            ldap.Slapd(work / "dc2", ca=certs.ca, cert=cert, key=key) as two:
        yield one, two


ADDRESSES = ["dc1.example.org. 1 IN A 127.0.0.1", "dc2.example.org. 1 IN A 127.0.0.1"]


def srv(name, priority, port, target):
    return f"{name}.example.org. 1 IN SRV {priority} 10 {port} {target}.example.org."


def test_servers_by_srv(work, dcs):
    """By priority; when DNS names others they are used; while DNS is away the old ones stay."""
    one, two = dcs
    with Dns(work / "dns1", ADDRESSES + [srv("_ldap._tcp", 20, two.port, "dc2"),
                                         srv("_ldap._tcp", 10, one.port, "dc1")]) as dns:
        text, settings = srv_section(one, dns)
        with Authd(work / "srv1", text, auth=uncached(), settings=settings) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
            a.wait_log(f"res=used uri=ldap://dc1.example.org:{one.port}")
            dns.replace(ADDRESSES + [srv("_ldap._tcp", 10, two.port, "dc2")])
            a.wait_log(f"res=used uri=ldap://dc2.example.org:{two.port}")
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
            dns.stop()
            a.wait_log("those known before stay")
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"


def test_site_before_domain(work, dcs):
    one, two = dcs
    with Dns(work / "dns2", ADDRESSES + [
            srv("_ldap._tcp", 0, one.port, "dc1"),
            srv("_ldap._tcp.Berlin._sites", 100, two.port, "dc2")]) as dns:
        text, settings = srv_section(one, dns, extra='srv_site = "Berlin"')
        with Authd(work / "srv2", text, auth=uncached(), settings=settings) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
            a.wait_log(f"res=used uri=ldap://dc2.example.org:{two.port}")
            halt(two)
            try:
                assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
                a.wait_log(f"res=used uri=ldap://dc1.example.org:{one.port}")
            finally:
                two.process.send_signal(signal.SIGCONT)


def test_ldaps_port_of_found_servers(work, dcs):
    one, _ = dcs
    with Dns(work / "dns3", ADDRESSES + [srv("_ldap._tcp", 0, one.port, "dc1")]) as dns:
        text, settings = srv_section(one, dns, extra=f"srv_ldaps_port = {one.tls_port}")
        with Authd(work / "srv3", text, settings=settings) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
            a.wait_log(f"res=used uri=ldaps://dc1.example.org:{one.tls_port}")


def test_urls_of_groups_name_found_servers(work, dcs):
    """A memberURL may name any server that DNS may name, and no other."""
    one, _ = dcs
    for name, host in (("own", "DC7.example.org"), ("port", "dc1.example.org:389"),
                       ("whole", "example.org"), ("far", "dc1.example.net"),
                       ("near", "dc1-example.org")):
        one.add(f"""dn: cn=url-{name},ou=groups,{ldap.BASE}
objectClass: groupOfURLs
objectClass: postroomGroup
cn: url-{name}
mail: url-{name}@example.org
memberURL: ldap://{host}/ou=people,{ldap.BASE}??one?(uid=anna.berg)

""")
    with Dns(work / "dns-urls", ADDRESSES + [srv("_ldap._tcp", 0, one.port, "dc1")]) as dns:
        text, settings = srv_section(one, dns)
        with Authd(work / "srv-urls", text, settings=settings) as a, a.directory() as m:
            for name in ("own", "port", "whole"):
                assert m.lookup("alias", f"url-{name}@example.org") == ("OK", "anna.berg@example.org")
            for name in ("far", "near"):
                assert m.lookup("alias", f"url-{name}@example.org")[0] == "TEMP"
            a.wait_log("a URL of another directory")


def test_srv_target_outside_the_domain_is_not_used(work, dcs):
    one, _ = dcs
    records = ["_ldap._tcp.example.org. 1 IN SRV 0 0 %d dc1.evil.example.net." % one.port,
               "dc1.evil.example.net. 1 IN A 127.0.0.1"]
    with Dns(work / "dns4", records, zones=("example.org", "example.net")) as dns:
        text, settings = srv_section(one, dns, extra="search_timeout = 1s")
        with Authd(work / "srv4", text, settings=settings) as a, a.auth() as c:
            a.wait_log("DNS names a server outside")
            assert c.plain("anna.berg", "secret-anna.berg").temporary
            assert "auth.connected" not in a.log_text()
        # allowed by name, it is asked, and its certificate is for another name
        text, settings = srv_section(one, dns, extra='srv_targets = { "evil.example.net" }')
        with Authd(work / "srv5", text, settings=settings) as a, a.auth() as c:
            a.wait_log("res=down")
            assert c.plain("anna.berg", "secret-anna.berg").temporary
            a.wait_log("certificate")


def test_one_name_on_many_ports(work, dcs):
    """Whoever answers for DNS names one host sixteen times: each port is one server, no more."""
    one, _ = dcs
    records = [srv("_ldap._tcp", 10, port, "dc1") for port in range(1, 16)]
    with Dns(work / "dns9", ADDRESSES + records + [
            srv("_ldap._tcp", 5, one.port, "dc1")]) as dns:
        text, settings = srv_section(one, dns)
        with Authd(work / "srv9", text, settings=settings) as a, a.auth() as c:
            a.wait_log(" servers=16 ")
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"


def test_no_dns_and_no_records(work, dcs):
    one, _ = dcs
    with Dns(work / "dns5", ADDRESSES) as dns:
        text, settings = srv_section(one, dns)
        with Authd(work / "srv6", text, settings=settings) as a, a.auth() as c:
            assert c.plain("anna.berg", "x").temporary
            a.wait_log("no server that may be used")
            dns.replace(ADDRESSES + [srv("_ldap._tcp", 0, one.port, "dc1")])
            a.wait_log("res=used")
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"


# ---- TLS ----

def expired(certs, directory):
    """A certificate of the same authority that ended in 2020."""
    directory.mkdir(exist_ok=True)
    key, csr, cert = (directory / f"old.{e}" for e in ("key", "csr", "pem"))
    conf = directory / "ca.conf"
    (directory / "index").write_text("")
    conf.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={directory}/index\nnew_certs_dir={directory}\n"
                    f"rand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n[p]\n"
                    "commonName=supplied\n[e]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for args in (["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                  key, "-out", csr, "-subj", "/CN=localhost"],
                 ["ca", "-batch", "-notext", "-config", conf, "-in", csr, "-out", cert, "-cert",
                  certs.ca, "-keyfile", certs.ca_key, "-startdate", "20200101000000Z",
                  "-enddate", "20200201000000Z"]):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


@pytest.mark.parametrize("kind", ["wrong-name", "expired", "unknown-ca"])
@pytest.mark.parametrize("tls", ["starttls", "ldaps"])
def test_certificate_that_is_not_right(work, certs, kind, tls):
    d = work / f"tls-{kind}-{tls}"
    if kind == "wrong-name":
        cert, key = certs.issue("other", "other.example.net")
    elif kind == "expired":
        cert, key = expired(certs, work / "expired")
    else:
        c = Certs(work / "other-ca")
        cert, key = c.cert, c.key
    with ldap.Slapd(d, cert=cert, key=key) as s:
        s.ca = certs.ca
        text = section(s, s.uri if tls == "starttls" else s.ldaps_uri)
        with Authd(work / f"auth-{kind}-{tls}", text) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").temporary
            a.wait_log("res=down")
            assert "certificate" in a.log_text() or "hostname" in a.log_text().lower()
            assert "cn=postroom" not in s.log_text()  # no password went there
        with Authd(work / f"insecure-{kind}-{tls}", text.replace(
                "base =", "verify = no\n\tbase =")) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
            a.wait_log("verify = no")


def test_client_certificate(work, certs):
    cert, key = certs.issue("client", "mail.example.org")
    with ldap.Slapd(work / "demand", ca=certs.ca, cert=certs.cert, key=certs.key,
                    client_certs="demand") as s:
        text = section(s)
        with Authd(work / "nocert", text) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").temporary
            a.wait_log("res=down")
        text = section(s, extra=f'client_certificate = "{cert}"\n\tclient_key = "{key}"')
        with Authd(work / "cert", text) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"


def test_client_key_of_another_certificate(work, slapd, certs):
    cert, _ = certs.issue("client", "mail.example.org")
    _, key = certs.issue("another", "mail2.example.org")
    text = section(slapd, extra=f'client_certificate = "{cert}"\n\tclient_key = "{key}"')
    with pytest.raises(RuntimeError, match="does not belong|private key"):
        Authd(work / "wrongkey", text).start()


def test_minimum_version(work, certs):
    with ldap.Slapd(work / "tls12", ca=certs.ca, cert=certs.cert, key=certs.key,
                    settings="TLSCipherSuite NORMAL:-VERS-ALL:+VERS-TLS1.2") as s:
        with Authd(work / "min12", section(s)) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
            a.wait_log("TLSv1.2")
        text = section(s, extra='tls_min_version = "1.3"')
        with Authd(work / "min13", text) as a, a.auth() as c:
            assert c.plain("anna.berg", "secret-anna.berg").temporary
            a.wait_log("res=down")


def test_ldapi_then_ldaps(work, slapd, other):
    text = section(slapd, slapd.ldapi_uri.replace("slapd/ldapi", "slapd/nothing"), other.ldaps_uri)
    with Authd(work / "ldapi", text) as a, a.auth() as c:
        assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
    with Authd(work / "ldapi2", section(slapd, slapd.ldapi_uri)) as a, a.auth() as c:
        assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
        assert "in clear" not in a.log_text()


def test_warning_of_passwords_in_clear(work, slapd):
    text = section(slapd, slapd.uri, "ldap://192.0.2.1").replace("starttls = yes", "starttls = no")
    with Authd(work / "clear", text) as a:
        a.wait_log("uri=ldap://192.0.2.1")
        assert a.log_text().count("in clear") == 1


def test_whole_instance_finds_its_servers(make_instance, work, dcs):
    """In its cage, as its own user: the resolver's thread works there too."""
    one, two = dcs
    with Dns(work / "dns7", ADDRESSES + [srv("_ldap._tcp", 10, one.port, "dc1"),
                                         srv("_ldap._tcp", 20, two.port, "dc2")]) as dns:
        text, settings = srv_section(one, dns)
        i = make_instance(settings=settings + "\n", directory_text=text)
        with i.imap("anna.berg") as m:
            assert m.select()[0] == "OK"
        i.wait_log(f"res=used uri=ldap://dc1.example.org:{one.port}")
        assert 'directory "main": example.org: answers, ' in i.command("check", "--online").stderr
        halt(one)
        try:
            with i.imap("bilal.haddad"):
                pass
            i.wait_log(f"res=used uri=ldap://dc2.example.org:{two.port}")
        finally:
            one.process.send_signal(signal.SIGCONT)


def test_reload_while_logins_run(work, dcs):
    """A reload makes new connections and a new search for servers; no login is lost by it."""
    one, _ = dcs
    with Dns(work / "dns8", ADDRESSES + [srv("_ldap._tcp", 10, one.port, "dc1")]) as dns:
        text, settings = srv_section(one, dns)
        with Authd(work / "reload", text, auth=uncached(), settings=settings) as a:
            t = Traffic(a)
            t.start()
            for n in range(2, 5):
                t.wait(5)
                a.reload()
                wait_for(lambda n=n: a.log_text().count("res=used") >= n)
            t.stop()
            assert t.wrong == []
