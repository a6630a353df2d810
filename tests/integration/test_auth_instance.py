"""The auth service inside a whole Postroom: its user, its sockets, and who may ask what."""
import os
import pwd
import stat
import subprocess
import sys

import pytest

from harness.authd import AuthClient, MapClient, UserdbClient
from harness.instance import directory_section

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="needs the roles' own users")

# With the group that may open the socket: what decides is the peer's user.
ASK = ("import grp, os, socket, sys, pwd; u = pwd.getpwnam(sys.argv[2]); "
       "os.setgroups([grp.getgrnam('postroom').gr_gid]); os.setgid(u.pw_gid); os.setuid(u.pw_uid); "
       "s = socket.socket(socket.AF_UNIX); s.settimeout(180); s.connect(sys.argv[1]); "
       "s.send(b'VERSION\\t1\\t0\\nUSER\\t1\\tanna.berg\\tservice=imap\\n'); "
       "f = s.makefile('rb'); print(f.readline(), f.readline(), f.readline())")


def ask_as(user, path):
    return subprocess.run([sys.executable, "-c", ASK, str(path), user], capture_output=True,
                          text=True, timeout=120)


@AS_ROOT
def test_runs_as_its_own_user(postroom):
    pid = postroom.pids("auth")[0]
    status = open(f"/proc/{pid}/status").read()
    uid = str(pwd.getpwnam("postroom-auth").pw_uid)
    uids = next(x for x in status.splitlines() if x.startswith("Uid:")).split()[1:]
    assert uids == [uid] * 4


@AS_ROOT
def test_cannot_reach_mail(postroom):
    """The auth service never sees mail: under its user, mail_root is closed."""
    script = ("import os, sys, pwd; u = pwd.getpwnam('postroom-auth'); "
              "os.initgroups(u.pw_name, u.pw_gid); os.setgid(u.pw_gid); os.setuid(u.pw_uid); "
              "os.listdir(sys.argv[1])")
    postroom.mail.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", script, str(postroom.mail)],
                          capture_output=True, text=True, timeout=120)
    assert "PermissionError" in done.stderr


@AS_ROOT
@pytest.mark.parametrize("user,allowed", [("vmail", True), ("postroom-queue", True),
                                          ("postroom-gate", False), ("postroom-smtp", False),
                                          ("nobody", False)])
def test_who_may_ask_userdb(postroom, user, allowed):
    done = ask_as(user, postroom.socket("auth-userdb"))
    assert ("anna.berg@example.org" in done.stdout) == allowed, done


def test_sockets_answer(postroom):
    with AuthClient(postroom.socket("auth")) as c:
        assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
        n = c.last
        with UserdbClient(postroom.socket("auth-userdb")) as u:
            verb, user, fields = u.request(c, n)
            assert (verb, user) == ("USER", "anna.berg@example.org")
            assert fields["home"] == f"{postroom.mail}/example.org/anna.berg"
    with MapClient(postroom.socket("directory")) as m:
        assert m.lookup("domain", "example.org") == ("OK", "example.org")


def test_further_socket_for_a_neighbour(make_instance, tmp_path_factory):
    """Such as Postfix's private/auth: another path, with its own mode."""
    where = tmp_path_factory.mktemp("neighbour")
    path = where / "auth"
    i = make_instance(f'auth {{\n\tdefault_domain = "example.org"\n'
                      f'\textra_socket = {{ "{path}:0600:root:root" }}\n}}')
    st = os.stat(path)
    assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o600
    with AuthClient(path) as c:
        assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
    i.wait_log("ev=auth.login")


def test_a_reload_that_auth_refuses_fails(make_instance, slapd, certs):
    """It passes master, which does not know filters."""
    i = make_instance(start=False)
    i.start()
    good = directory_section(slapd)
    i.directory_text = directory_section(slapd, extra='user_filter = "(uid=%{usr})"')
    i.write_conf()
    at = len(i.log_text())
    done = i.command("reload", check=False)
    why = 'directory "main": user_filter: unknown variable %{usr}'
    assert done.returncode == 78 and done.stderr == f"postroom: not reloaded: auth: {why}\n", done
    i.wait_log(r"lvl=error role=master .*ev=master\.reload_refused child=auth .*%{usr}", start=at)
    # the older settings are in force
    with AuthClient(i.socket("auth")) as c:
        assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
    # a key that does not fit is refused by all who use it
    i.directory_text = good
    cert, _ = certs.issue(f"alone-{os.getpid()}", "localhost", "IP:127.0.0.1")
    i.write_conf()
    text = i.conf.read_text()
    i.conf.write_text(text.replace(str(certs.cert), str(cert)))
    done = i.command("reload", check=False)
    refused = {line.split(": ")[2] for line in done.stderr.splitlines()}
    assert done.returncode == 78 and refused == {"gate", "smtp"} and "tls: " in done.stderr, done
    i.conf.write_text(text)
    done = i.command("reload")
    assert done.stderr == ""
