"""The configurations that docs/smtp.md gives: each as it stands there, with this test's addresses, ports and files in
it, and Debian's Postfix and Exim, swaks and openssl on the other side."""
import re
import smtplib
import subprocess
import time
import uuid

import pytest

from harness.authd import Authd
from harness.dns import Dns
from harness.exim import Exim
from harness.instance import SOURCE, Instance, directory_section, temp_dir
from harness.ports import free_ports
from harness.postfix import Postfix
from harness.sink import Sink
from harness.slapd import BASE, SERVICE_DN, SERVICE_PASSWORD, password_of
from test_sendmail import Sendmail

pytestmark = pytest.mark.waits

ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
FAR = "otto@far.example.com"
PORTS = {"*:25": "mx_port", "127.0.0.1:25": "mx_port", "*:587": "submission_port", "*:465": "submissions_port",
         "*:993": "imaps_port"}


def documented(title):
    """The block that begins with this line."""
    text = (SOURCE / "docs" / "smtp.md").read_text()
    blocks = [b for b in re.findall(r"^```conf\n(.*?)^```$", text, re.M | re.S) if b.startswith(f"# {title}\n")]
    assert len(blocks) == 1, (title, len(blocks))
    return blocks[0]


class Setup(Instance):
    """values: what stands in a line of the document, "name = value", instead of its value; sections: lines for the end
    of a section, that only a test needs."""

    def __init__(self, title, slapd, certs, values=None, sections=None, more=""):
        self.title, self.values, self.sections, self.more = title, values or {}, sections or {}, more
        (self.mx_port,) = free_ports(1)
        super().__init__(temp_dir(), slapd, certs)

    def secret(self, name, text):
        path = self.dir / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    def write_conf(self, settings=None):
        text = documented(self.title)
        if self.slapd is not None:
            self.values = {"certificate": self.certs.cert, "key": self.certs.key, "ca": self.certs.ca, "base": BASE,
                           "bind_dn": SERVICE_DN, "bind_password": self.secret("ldap.password", SERVICE_PASSWORD),
                           **self.values}
            text = replaced(text, r'uris = \{ ".*" \}', f'uris = {{ "{self.slapd.uri}" }}')
        for name, value in self.values.items():
            text = replaced(text, rf'(?m)^(\s*){name} = ".*"$', f'{name} = "{value}"')
        for name, lines in self.sections.items():
            text = replaced(text, rf"(?m)^{name} {{$", f"{name} {{\n\t{lines}")
        for address, port in PORTS.items():
            text = text.replace(f'"{address}"', f'"127.0.0.1:{getattr(self, port)}"')
        assert '":' not in text and '"*' not in text, text
        self.conf.write_text(
            f'runtime_dir = "{self.runtime}"\nmail_root = "{self.mail}"\nspool_dir = "{self.spool}"\n'
            f'libexec_dir = "{self.libexec()}"\nlog {{ level = debug file = "{self.log_path}" }}\n'
            "queue { reserve = 1M retry_min = 500ms retry_max = 2s }\n" + text + self.more)
        self.conf.chmod(0o600)

    def _ready(self):
        text = self.log_text()
        return "ev=master.ready" in text and all(
            re.search(rf"role={r} .*ev=role\.ready", text) for r in ("auth", "smtp", "queue", "relay"))


def replaced(text, pattern, by):
    text, n = re.subn(pattern, lambda m: (m[1] if m.groups() else "") + by, text)
    assert n == 1, (pattern, n)
    return text


@pytest.fixture
def setup(slapd, certs):
    made = []

    def make(title, with_slapd=True, **kw):
        i = Setup(title, slapd if with_slapd else None, certs, **kw)
        made.append(i)
        checked = i.command("check", check=False)
        assert checked.returncode == 0, checked.stderr
        return i.start()
    yield make
    for i in made:
        i.stop()


def swaks(port, sender, rcpt, subject, *more):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), "--ehlo", "client.far.example.com", "--from", sender,
         "--to", rcpt, "--header", f"Subject: {subject}", "--body", "hello", *more],
        capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def submit(i, sender, rcpt, subject):
    """As a mail client would."""
    return swaks(i.submission_port, sender, rcpt, subject, "--tls", "--auth", "PLAIN", "--auth-user", sender,
                 "--auth-password", password_of(sender.split("@")[0]), "--header", f"From: {sender}")


def in_mailbox(i, user, subject, timeout=180):
    until = time.monotonic() + timeout
    while True:
        with i.imap(user) as c:
            c.select("INBOX", readonly=True)
            found = c.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
            if found:
                return c.fetch(found[0], "(BODY.PEEK[])")[1][0][1]
        assert time.monotonic() < until, i.log_text()[-6000:]
        time.sleep(0.1)


def at_sink(sink, subject, i, timeout=180):
    until = time.monotonic() + timeout
    while True:
        for sender, rcpts, text in list(sink.messages):
            if f"Subject: {subject}\r\n".encode() in text:
                return sender, rcpts, text
        assert time.monotonic() < until, i.log_text()[-6000:]
        time.sleep(0.05)


def new():
    return uuid.uuid4().hex


def s_client(port, ca, *more):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(ca), "-verify_return_error",
         "-verify_hostname", "localhost", "-brief", "-ign_eof", *more], input="QUIT\r\n", capture_output=True,
        text=True, timeout=120)
    return done.stdout + done.stderr


def their_postfix(directory, port, sink, back, certs, **settings):
    """The other side: its users' mail ends in the sink, and what it has for example.org comes to us."""
    return Postfix(directory, {
        "mynetworks": "127.0.0.3/32", "virtual_mailbox_domains": "far.example.com",
        "virtual_mailbox_maps": f"inline:{{ {FAR}=x }}", "virtual_transport": f"smtp:[127.0.0.1]:{sink}",
        "transport_maps": f"inline:{{ {{ example.org = smtp:[127.0.0.1]:{back} }} }}",
        "smtp_tls_security_level": "encrypt", "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certs.cert,
        "smtpd_tls_key_file": certs.key, "smtpd_tls_loglevel": "1", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
        "queue_run_delay": "1s", "smtp_tls_policy_maps": f"inline:{{ {{ [127.0.0.1]:{sink} = none }} }}", **settings}, port=port)


def back_by(peer_port, rcpt, subject, sender=FAR):
    """From a user of the other side, who is in its network."""
    with smtplib.SMTP("127.0.0.1", peer_port, timeout=120, source_address=("127.0.0.3", 0)) as c:
        assert c.sendmail(sender, [rcpt], f"From: {sender}\r\nSubject: {subject}\r\n\r\nback\r\n".encode()) == {}


def test_server_on_the_internet(setup, work, certs):
    """Postfix and Exim are the internet; who has which domain says the DNS."""
    (port,) = free_ports(1)
    records = ["far.example.com. 60 IN MX 10 mx.far.example.com.", "mx.far.example.com. 60 IN A 127.0.0.1",
               "away.example.com. 60 IN MX 10 mx.away.example.com.", "mx.away.example.com. 60 IN A 127.0.0.2"]
    with Sink() as sink, Dns(work / "dns", records, zones=("example.com",)) as dns:
        i = setup("A server on the internet", more=f'dns_servers = {{ "{dns.server}" }}\n',
                  sections={"outbound": f"port = {port} refused_networks = {{ }} rest_min = 300ms rest_max = 1s"})
        p = their_postfix(work / "postfix", port, sink.port, i.mx_port, certs)
        with p, Exim(work / "exim", certs, None, mechanisms=(), address="127.0.0.2", port=p.port,
                     domains="away.example.com", route=("127.0.0.1", i.mx_port)) as e:
            carried(i, p, e, sink)
            abused(i, certs)


def carried(i, p, e, sink):
    s = new()
    submit(i, ANNA, FAR, s)
    sender, rcpts, text = at_sink(sink, s, i)
    assert (sender, rcpts) == (ANNA, [FAR]) and b"with ESMTPSA" in text
    s = new()
    back_by(p.port, BEN, s)
    head = in_mailbox(i, BEN, s)
    assert head.startswith(f"Return-Path: <{FAR}>\r\n".encode()) and b"with ESMTPS " in head
    s = new()
    submit(i, ANNA, "emil@away.example.com", s)
    until = time.monotonic() + 180
    while not e.queue():
        assert time.monotonic() < until, i.log_text()[-4000:] + e.log_text()
        time.sleep(0.1)
    assert e.queue() == [(ANNA, ["emil@away.example.com"])] and any(b"hello" in b for b in e.bodies())
    e.wait_log(r"<= anna\.berg@example\.org .* P=esmtps X=TLS1\.3")
    s = new()
    e.inject("emil@away.example.com", [BEN], f"Subject: {s}\n\nfrom exim\n".encode())
    e.deliver()
    assert b"from exim" in in_mailbox(i, BEN, s)


def abused(i, certs):
    """It is no open relay, its certificate is the right one, and mail for nobody is refused at RCPT."""
    for sender, rcpt, answer in ((FAR, "somebody@other.example.com", "550 5.7.1 "), (FAR, "nobody@example.org", "550 5.1.1 "),
                                 ("x@none.example.com", BEN, "550 5.1.8 ")):
        done = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(i.mx_port), "--ehlo", "a.example.com",
                               "--from", sender, "--to", rcpt], capture_output=True, text=True, timeout=180)
        assert done.returncode == 24 and f"<** {answer}" in done.stdout, done.stdout
    assert "Verification: OK" in s_client(i.mx_port, certs.ca, "-starttls", "smtp")
    assert "Verification: OK" in s_client(i.submissions_port, certs.ca)


@pytest.fixture(scope="module")
def accounts(work, slapd):
    """The smarthost's own logins."""
    with Authd(work / "provider-auth", directory_section(slapd)) as a:
        a.path("auth").chmod(0o666)
        yield a


def provider_settings(accounts):
    return {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_tls_auth_only": "yes",
            "smtpd_sasl_path": accounts.path("auth"),
            "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject",
            "smtpd_recipient_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject"}


def test_behind_a_smarthost(setup, work, certs, accounts):
    """Postfix is the provider: it takes nothing without a login, and that only over TLS."""
    (port,) = free_ports(1)
    with Sink() as sink:
        i = setup("Behind a smarthost", values={"host": f"[localhost]:{port}", "password": secret_in(work)},
                  sections={"outbound": f'tls_ca = "{certs.ca}" rest_min = 300ms rest_max = 1s'})
        with their_postfix(work / "provider", port, sink.port, i.mx_port, certs, **provider_settings(accounts)) as p:
            s = new()
            submit(i, BEN, FAR, s)
            assert at_sink(sink, s, i)[:2] == (BEN, [FAR])
            p.wait_log(f"sasl_username={ANNA}", "TLSv1.3")
            s = new()
            back_by(p.port, BEN, s)
            assert b"with ESMTPS " in in_mailbox(i, BEN, s)
            # what stays here does not go there
            s = new()
            submit(i, ANNA, BEN, s)
            in_mailbox(i, BEN, s)
            assert not any(s.encode() in text for _, _, text in sink.messages)


def secret_in(work, text=password_of("anna.berg")):
    path = work / f"secret-{new()}"
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def test_a_smarthost_that_is_another(setup, work, certs, accounts):
    """Whose certificate has another name gets neither password nor message: it waits, and goes when he is himself."""
    (port,) = free_ports(1)
    wrong = certs.issue("stranger", "stranger.example.net")
    with Sink() as sink:
        i = setup("Behind a smarthost", values={"host": f"[localhost]:{port}", "password": secret_in(work)},
                  sections={"outbound": f'tls_ca = "{certs.ca}" rest_min = 300ms rest_max = 1s'})
        s = new()
        with their_postfix(work / "stranger", port, sink.port, i.mx_port, certs, smtpd_tls_cert_file=wrong[0],
                           smtpd_tls_key_file=wrong[1], **provider_settings(accounts)) as p:
            submit(i, BEN, FAR, s)
            i.wait_log(r"ev=queue\.deliver .*res=defer")
            assert "sasl_username" not in p.log_text() and sink.messages == []
        with their_postfix(work / "himself", port, sink.port, i.mx_port, certs, **provider_settings(accounts)):
            i.command("queue", "flush")
            at_sink(sink, s, i)


def test_null_client(setup, work, certs):
    """The organisation's server is Postfix; root and cron's users send through sendmail and port 25."""
    (port,) = free_ports(1)
    with Sink() as sink:
        i = setup("A null client", with_slapd=False, values={"host": f"[localhost]:{port}"},
                  sections={"outbound": f'tls_ca = "{certs.ca}" rest_min = 300ms rest_max = 1s'})
        with their_postfix(work / "mail", port, sink.port, sink.port, certs, mynetworks="127.0.0.0/8",
                           smtp_tls_security_level="may", smtp_tls_policy_maps="",
                           smtpd_recipient_restrictions="check_recipient_access inline:{ {nobody@far.example.com = 550 "
                           "5.1.1 no such user} }, permit_mynetworks, reject") as p:
            s = new()
            code, said = Sendmail(i).run("-i", "root", text=f"Subject: {s}\n\ncron says\n".encode())
            assert (code, said) == (0, "")
            sender, rcpts, _ = at_sink(sink, s, i)
            assert rcpts == ["root@example.org"] and sender.endswith("@example.org")
            s = new()
            swaks(i.mx_port, ANNA, FAR, s)
            assert at_sink(sink, s, i)[:2] == (ANNA, [FAR])
            p.wait_log("TLSv1.3")
            # what fails comes back to the sender, there
            s = new()
            swaks(i.mx_port, ANNA, "nobody@far.example.com", s)
            until = time.monotonic() + 180
            while not any(to == [ANNA] and b"nobody@far.example.com" in text for _, to, text in sink.messages):
                assert time.monotonic() < until, i.log_text()[-5000:]
                time.sleep(0.1)
            assert not (i.mail.exists() and any(i.mail.iterdir())), "something was delivered here"
