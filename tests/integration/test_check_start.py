"""`postroom check` says before a start what the start, or every mail program, would complain of."""
import datetime
import os
import shutil
import subprocess

import pytest

from harness.certs import Certs


class Dated(Certs):
    """An authority and certificates that begin and end days from now."""
    def __init__(self, directory, begin, end):
        super().__init__(directory)
        now = datetime.datetime.now(datetime.timezone.utc)
        self.begins, self.ends = (now + datetime.timedelta(days=d) for d in (begin, end))
        work = directory / "ca"
        work.mkdir()
        (work / "index").write_text("")
        (work / "serial").write_text("01\n")
        (work / "conf").write_text(
            f"[ca]\ndefault_ca = c\n[c]\ndatabase = {work}/index\nserial = {work}/serial\n"
            f"new_certs_dir = {work}\ndefault_md = sha256\npolicy = p\ncopy_extensions = none\n"
            "[p]\ncommonName = supplied\n[x]\nsubjectAltName = DNS:mail.example.org\n")
        csr, self.cert = work / "csr", work / "cert.pem"
        stamp = "%Y%m%d%H%M%SZ"
        for args in (["req", "-new", "-key", self.key, "-subj", "/CN=mail.example.org", "-out", csr],
                     ["ca", "-batch", "-notext", "-config", work / "conf", "-extensions", "x",
                      "-cert", self.ca, "-keyfile", self.ca_key, "-in", csr, "-out", self.cert,
                      "-startdate", self.begins.strftime(stamp),
                      "-enddate", self.ends.strftime(stamp)]):
            subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


@pytest.fixture
def checked(make_instance):
    """checked(change, certs=None): `postroom check` of a good file with some text replaced."""
    def run(*changes, certs=None):
        i = make_instance(start=False)
        text = i.conf.read_text()
        if certs is not None:
            text = text.replace(str(i.certs.cert), str(certs.cert)).replace(
                str(i.certs.key), str(certs.key))
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        i.conf.write_text(text)
        return i.command("check", check=False)
    return run


@pytest.mark.parametrize("begin,end,text", [
    (-9, -2, "tls.certificate ended on {ends}: renew it, then run postroom reload"),
    (-9, 5, "tls.certificate ends on {ends}: renew it, then run postroom reload"),
    (3, 90, "tls.certificate begins on {begins} only: is this machine's clock right?"),
    (-9, 90, None),
])
def test_certificate_in_its_time(checked, tmp_path, begin, end, text):
    """A warning: an expired certificate must not keep the server from starting."""
    certs = Dated(tmp_path, begin, end)
    done = checked(certs=certs)
    days = {"begins": certs.begins.date(), "ends": certs.ends.date()}
    assert done.returncode == 0 and done.stdout.endswith(": ok\n"), done
    assert done.stderr == (f"warning: {text.format(**days)}\n" if text else ""), done


def test_certificate_of_another_name(checked):
    done = checked(('hostname = "mail.example.org"', 'hostname = "mx.example.org"'))
    assert done.returncode == 0 and done.stdout.endswith(": ok\n"), done
    assert done.stderr == ("warning: tls.certificate does not name hostname, mx.example.org: "
                           "programs that connect by that name refuse it\n"), done


@pytest.mark.parametrize("broken,text", [
    ("cert", "tls: certificate: none that can be read (PEM)"),
    ("key", "tls: private key: none that can be read (PEM, without a passphrase)"),
    ("other", "tls: the key does not belong to the certificate"),
    ("rsa", "tls: the key does not belong to the certificate"),
])
def test_certificate_and_key(checked, tmp_path, broken, text):
    certs = Certs(tmp_path)
    if broken == "cert":
        certs.cert = certs.key
    elif broken == "key":
        certs.key = tmp_path / "x.key"
        certs.key.write_bytes(certs.cert.read_bytes())
        certs.key.chmod(0o600)
    elif broken == "rsa":
        certs.key = tmp_path / "rsa.key"
        subprocess.run(["openssl", "genrsa", "-out", certs.key, "2048"], check=True, capture_output=True)
        certs.key.chmod(0o600)
    else:
        certs.key = certs.issue("other", "mail.example.org")[1]
    done = checked(certs=certs)
    assert done.returncode == 1 and text in done.stderr and "ok" not in done.stdout, done


@pytest.mark.parametrize("address", ["143", "localhost:143", "*:70000", "unix:"])
def test_addresses_that_are_none(checked, address):
    done = checked(("listen \"imap\" { protocol = imap address = { ",
                    f'listen "imap" {{ protocol = imap address = {{ "{address}", '))
    assert done.returncode == 1 and f'listen "imap": address "{address}": ' in done.stderr, done
    assert "ok" not in done.stdout


@pytest.mark.parametrize("setting,text", [
    ('listen_tcp = "12345"', 'auth.listen_tcp "12345": not an address'),
    ('extra_socket = { "/tmp/x:999:root:root" }',
     'auth.extra_socket "/tmp/x:999:root:root": want path:mode:user:group'),
])
def test_other_sockets(checked, setting, text):
    done = checked(("auth {", "auth {\n\t" + setting))
    assert done.returncode == 1 and text in done.stderr, done


def test_folder_of_the_log(checked):
    done = checked(('\tfile = "', '\tfile = "/nonexistent'))
    assert done.returncode == 1 and "ok" not in done.stdout, done
    assert done.stderr.startswith("log.file: /nonexistent/") and "No such file" in done.stderr, done


@pytest.mark.skipif(os.geteuid() != 0, reason="users count for root only")
@pytest.mark.parametrize("setting,user", [("mail_root", "vmail"), ("spool_dir", "postroom-queue")])
def test_folders_of_root(checked, tmp_path, setting, user):
    """The mount point of a new disk, for instance."""
    done = checked((f'{setting} = "', f'{setting} = "{tmp_path}" #'))
    assert done.returncode == 0 and done.stderr == (
        f"warning: {setting}: {tmp_path} belongs to another user than {user}, who must be able to "
        f"write there: chown {user} {tmp_path}\n"), done
    shutil.chown(tmp_path, user)
    assert checked((f'{setting} = "', f'{setting} = "{tmp_path}" #')).stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="users count for root only")
def test_missing_users(checked):
    done = checked(('hostname = "mail', 'user_gate = "nosuchuser"\nhostname = "mail'),
                   ("auth {", 'auth {\n\textra_socket = { "/tmp/x:0660:nosuchuser:root" }'))
    assert done.returncode == 1 and "ok" not in done.stdout, done
    assert "the system user nosuchuser is missing; make it with: " in done.stderr
    assert 'auth.extra_socket "/tmp/x:0660:nosuchuser:root": no such user or group' in done.stderr
