"""A whole Postroom whose users come from an LDAP directory, a passwd-file, PAM, MariaDB and PostgreSQL
at once: logins, mail and addresses of each, one backend that is down or hangs beside the others, and
how far the helper processes can reach."""
import imaplib
import os
import pwd
import re
import signal
import smtplib
import threading
import time
from pathlib import Path

import pytest

from harness import scram as scram_module
from harness.instance import SOURCE, Instance, password_of
from harness.pam import PamServices
from harness.sqldata import PASSWORD, QUERIES, fill, hash_of, sql_section

LDAP_USER = "anna.berg@example.org"
# user, password, title of the section that knows it
USERS = [
    (LDAP_USER, password_of(LDAP_USER), "main"),
    ("frida@example.org", "file-secret", "local"),
    ("piet@pam.example", "right", "system"),
    ("bert@example.org", PASSWORD, "accounts"),
    ("paula@pg.example", PASSWORD, "people"),
]


def put_users(path, text):
    path.write_text(text)
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 0, pwd.getpwnam("postroom-worker").pw_gid)


def pam_section(services, **rows):
    rows = {"config_dir": str(services.dir), "users": "all", "username": "%{local}",
            "domains": "{ \"pam.example\" }", **rows}
    return 'pam "system" {\n' + "".join(
        f"\t{k} = {v}\n" if v[0] == "{" else f'\t{k} = "{v}"\n' for k, v in rows.items()) + "}\n"


@pytest.fixture(scope="module")
def services(work):
    p = PamServices(work / "pam.d")
    p.trial("postroom")
    return p


@pytest.fixture(scope="module")
def all_kinds(work, slapd, certs, services, mariadb, postgres):
    fill("mysql", mariadb)
    fill("pgsql", postgres)
    postgres.sql(f"INSERT INTO users VALUES ('paula@pg.example', '{hash_of('SSHA256')}');"
                 "INSERT INTO domains VALUES ('pg.example');"
                 "INSERT INTO aliases VALUES ('team@pg.example', 'paula@pg.example');"
                 f"INSERT INTO aliases VALUES ('team@pg.example', '{LDAP_USER}')", "mail")
    users = work / "users"
    put_users(users, f"frida:{hash_of('SHA512-CRYPT', 'file-secret')}::::::"
                     "aliases=f.berg@example.org\n"
                     f"anna.berg:{{PLAIN}}shadowed\n")
    settings = f"""
worker {{ processes = 5 timeout = 8s }}
passwd_file "local" {{ path = "{users}" }}
""" + pam_section(services) \
        + sql_section(work, "mysql", mariadb, "accounts") \
        + sql_section(work, "pgsql", postgres, "people").replace(
            'sql "people" {', 'sql "people" {\n\tdomains = { "pg.example" }')
    i = Instance(work / "all", slapd, certs, settings)
    i.start()
    i.users_file = users
    yield i
    i.stop()


@pytest.mark.parametrize("user,password,title", USERS, ids=[u[2] for u in USERS])
def test_login_and_mail(all_kinds, user, password, title):
    """Who logs in is who gets the mail."""
    i = all_kinds
    with i.lmtp() as c:
        c.sendmail("x@example.net", [user], f"Subject: to {title}\n\nhello {user}\n")
    text = i.wait_messages(user, 1, password=password)[0].decode()
    assert f"Subject: to {title}" in text
    assert i.home(user).is_dir()
    for wrong in (password + "x", "", password[:-1]):
        with pytest.raises(imaplib.IMAP4.error) as e:
            i.imap(user, wrong or '""')
        assert "AUTHENTICATIONFAILED" in str(e.value)


@pytest.mark.parametrize("user,password,title", USERS, ids=[u[2] for u in USERS])
def test_explained(all_kinds, user, password, title):
    """lookup names the section that answered."""
    done = all_kinds.command("lookup", "user", user)
    assert user in done.stdout and title in done.stdout + done.stderr, done


def test_submission(all_kinds):
    i = all_kinds
    for user, password, title in USERS:
        with i.smtp() as c:
            c.login(user, password)
            c.sendmail(user, [USERS[0][0]], f"From: {user}\nSubject: from {title}\n\nx\n")
    until = time.monotonic() + 180
    while True:
        text = b"".join(i.wait_messages(LDAP_USER, 2)).decode()
        if all(f"Subject: from {title}" in text for _, _, title in USERS):
            return
        assert time.monotonic() < until
        time.sleep(0.2)


def test_aliases_across_backends(all_kinds):
    """An alias in a database with members of the directory and of its own."""
    done = all_kinds.command("lookup", "-q", "alias", "team@pg.example")
    assert sorted(done.stdout.strip().split(",")) == sorted([LDAP_USER, "paula@pg.example"])
    done = all_kinds.command("lookup", "-q", "mailbox", "f.berg@example.org")
    assert "user=frida@example.org\n" in done.stdout and "backend=local\n" in done.stdout
    for domain in ("example.org", "pg.example", "pam.example"):
        assert all_kinds.command("lookup", "-q", "domain", domain).stdout.strip() == domain
    assert all_kinds.command("lookup", "-q", "domain", "nowhere.example", check=False).returncode == 1


def test_the_first_backend_counts(all_kinds):
    """anna.berg is in the directory, so the passwd-file's line for her is never asked."""
    with pytest.raises(imaplib.IMAP4.error):
        all_kinds.imap(LDAP_USER, "shadowed")


def test_injection(all_kinds):
    i = all_kinds
    for user in ("x' OR '1'='1", "bert@example.org' -- ", "bert@example.org'/*", "%", "_ert@example.org"):
        with i.imap() as c:
            with pytest.raises(imaplib.IMAP4.error) as e:
                c.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
            assert "AUTHENTICATIONFAILED" in str(e.value), user


def test_database_down_is_temporary(all_kinds, mariadb):
    """Not "wrong password", and no other backend's users suffer."""
    i = all_kinds
    mariadb.stop()
    try:
        # nobody who is remembered
        for user in ("carl@example.org", "nobody-at-all@example.org"):
            with pytest.raises(imaplib.IMAP4.error) as e:
                i.imap(user, PASSWORD)
            assert "UNAVAILABLE" in str(e.value)
            with i.smtp() as c:
                with pytest.raises(smtplib.SMTPAuthenticationError) as f:
                    c.login(user, PASSWORD)
                assert f.value.smtp_code == 454, f.value
        # also of an address that nobody asked about before
        done = i.command("lookup", "-q", "mailbox", "newcomer@example.org", check=False)
        assert done.returncode == 75, done
        for user, password, title in USERS:
            if title != "accounts":
                i.imap(user, password).logout()
    finally:
        mariadb.start()
    i.imap("carl@example.org", PASSWORD).logout()


def test_hanging_module_holds_up_nobody_else(all_kinds):
    i = all_kinds
    answers = []

    def hang(n):
        try:
            i.imap(f"hang{n}@pam.example", "right")
        except imaplib.IMAP4.error as e:
            answers.append(str(e))

    threads = [threading.Thread(target=hang, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    time.sleep(0.5)
    for user, password, title in USERS:
        if title == "system":
            continue
        c = i.imap()
        c.login(user, password)
        c.logout()
    for t in threads:
        t.join(180)
    assert len(answers) == 8 and all("UNAVAILABLE" in a for a in answers), answers
    # the helpers that hung were ended, and others are there
    i.wait_log(r"ev=master\.died child=authworker .*signal=14")
    until = time.monotonic() + 180
    while True:
        try:
            i.imap("piet@pam.example", "right").logout()
            return
        except imaplib.IMAP4.error as e:
            assert "UNAVAILABLE" in str(e) and time.monotonic() < until, e


def test_killed_helpers_come_back(all_kinds):
    i = all_kinds
    until = time.monotonic() + 180
    while len(before := i.pids("authworker")) < 5:
        assert time.monotonic() < until
        time.sleep(0.05)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    i.imap("frida@example.org", "file-secret").logout()
    until = time.monotonic() + 180
    while len(set(i.pids("authworker")) - set(before)) < 5:
        assert time.monotonic() < until
        time.sleep(0.05)
    i.imap("paula@pg.example", PASSWORD).logout()


def test_reload_brings_new_sections(all_kinds, work):
    """A second passwd-file, without a restart."""
    i = all_kinds
    more = work / "more"
    put_users(more, "gerda@more.example:{PLAIN}more-secret\n")
    at = len(i.log_text())
    old = i.settings
    i.write_conf(old + f'passwd_file "more" {{ path = "{more}" domains = {{ "more.example" }} }}\n')
    i.reload()
    i.wait_log(r"ev=master\.reload ", start=at)
    i.wait_log(r"role=auth .*ev=auth\.reload", start=at)
    i.imap("gerda@more.example", "more-secret").logout()
    i.imap("frida@example.org", "file-secret").logout()
    i.write_conf(old)
    i.reload()


def status_of(pid):
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="users are kept apart only as root")


def only_file(work, slapd, certs, name, settings):
    """Without any directory."""
    users = work / f"{name}-users"
    put_users(users, "frida:{PLAIN}file-secret\n")
    return Instance(work / name, slapd, certs,
                    f'passwd_file "local" {{ path = "{users}" }}\n' + settings, directory_text="\n")


@needs_root
def test_cage_of_a_passwd_file(work, slapd, certs):
    with only_file(work, slapd, certs, "only", "") as i:
        i.imap("frida@example.org", "file-secret").logout()
        pids = i.pids("authworker")
        assert len(pids) == 4
        for pid in pids:
            s = status_of(pid)
            assert s["Uid"].split() == [str(pwd.getpwnam("postroom-worker").pw_uid)] * 4
            assert s["NoNewPrivs"].strip() == "1" and s["Seccomp"].strip() == "2"
            assert int(s["CapEff"], 16) == 0
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max file size +0 +0 ", limits), limits
        st = os.stat(i.socket("auth-worker"))
        assert (st.st_mode & 0o777, pwd.getpwuid(st.st_uid).pw_name) == (0o600, "postroom-auth")


@needs_root
def test_cage_with_pam(work, slapd, certs, services):
    import grp
    settings = pam_section(services) + 'worker { processes = 2 groups = { "shadow" } }\n'
    with only_file(work, slapd, certs, "pam", settings) as i:
        i.imap("piet@pam.example", "right").logout()
        for pid in i.pids("authworker"):
            s = status_of(pid)
            assert s["Uid"].split()[0] == str(pwd.getpwnam("postroom-worker").pw_uid)
            assert s["NoNewPrivs"].strip() == "1"
            assert str(grp.getgrnam("shadow").gr_gid) in s["Groups"].split()


@needs_root
def test_reload_gives_helpers_what_new_sections_need(work, slapd, certs, services):
    """The cage of a passwd-file's helpers has no way out: others take their place."""
    def wait_cage(i, seccomp, without):
        until = time.monotonic() + 180
        while True:
            try:
                now = {pid: status_of(pid)["Seccomp"].strip() for pid in i.pids("authworker")}
            except OSError:
                now = {}
            if len(now) == 4 and not now.keys() & set(without) and set(now.values()) == {seccomp}:
                return list(now)
            assert time.monotonic() < until
            time.sleep(0.05)

    with only_file(work, slapd, certs, "grow", "") as i:
        i.imap("frida@example.org", "file-secret").logout()
        caged = wait_cage(i, "2", [])
        old = i.settings
        i.write_conf(old + pam_section(services))
        i.reload()
        free = wait_cage(i, "0", caged)
        i.imap("piet@pam.example", "right").logout()
        i.imap("frida@example.org", "file-secret").logout()
        i.write_conf(old)
        i.reload()
        wait_cage(i, "2", free)
        i.imap("frida@example.org", "file-secret").logout()


@needs_root
def test_no_helpers_without_sections(postroom):
    assert postroom.pids("authworker") == []
    assert not os.path.exists(postroom.socket("auth-worker"))


def scram(i, user, password):
    """Logs in by IMAP's AUTHENTICATE SCRAM-SHA-256; the server proves that it knows the keys."""
    client, steps = scram_module.Client(user, password), []

    def answer(challenge):
        steps.append(challenge)
        if len(steps) == 1:
            return client.first()
        if len(steps) == 2:
            return client.final(challenge)
        client.check(challenge)
        return b""

    c = i.imap()
    c.authenticate("SCRAM-SHA-256", answer)
    assert len(steps) >= 3, "the server's proof is missing"
    c.logout()


def test_scram_with_keys_of_a_passwd_file(work, slapd, certs):
    settings = ('auth {\n\tdefault_domain = "example.org"\n\tfailure_delay = 0\n'
                '\tsasl_mechanisms = { PLAIN, SCRAM-SHA-256 }\n}\n')
    with only_file(work, slapd, certs, "scram", settings) as i:
        users = work / "scram-users"
        put_users(users, f"frida:{hash_of('SCRAM-SHA-256', 'file-secret')}\n"
                         "greta:{PLAIN}plain-secret\n" f"hashed:{hash_of('SSHA', 'x')}\n")
        for user, password in (("frida@example.org", "file-secret"), ("greta", "plain-secret")):
            scram(i, user, password)
            with pytest.raises(imaplib.IMAP4.error) as e:
                scram(i, user, "wrong")
            assert "AUTHENTICATIONFAILED" in str(e.value)
        for user in ("hashed", "nobody"):
            with pytest.raises((imaplib.IMAP4.error, ValueError)):
                scram(i, user, "x")
        i.imap("frida@example.org", "file-secret").logout()


def test_status_shows_the_helpers(all_kinds):
    text = all_kinds.command("auth", "status").stdout
    assert re.search(r"^workers processes=5 ", text, re.M), text
    for kind, title in (("passwd_file", "local"), ("pam", "system"), ("sql", "accounts"), ("sql", "people")):
        assert re.search(rf"^{kind} {title} asked=\d+", text, re.M), text


def test_documentation_shows_what_is_tested():
    text = (SOURCE / "docs" / "backends.md").read_text()
    for name, query in QUERIES.items():
        assert not query or f'{name} = "{query}"' in text, name
    assert "auth [success=done default=ignore] pam_exec.so expose_authtok quiet" in text


def test_check_finds_mistakes(work, slapd, certs, services):
    i = only_file(work, slapd, certs, "check", "")
    assert "ok" in i.command("check").stdout
    file = re.search(r'path = "([^"]+)"', i.settings).group(1)
    cases = [
        (lambda: os.chmod(file, 0o644), "others can read it"),
        (lambda: os.unlink(file), "No such file"),
    ]
    for change, text in cases:
        change()
        done = i.command("check", check=False)
        assert done.returncode == 1 and text in done.stderr, done
    for settings, text in [
            ('passwd_file "a" { path = "/etc/passwd" }\n', "others can read it"),
            ('passwd_file "a" { path = "/etc/shadow" default_scheme = ROT13 }\n', "no such scheme"),
            (f'pam "a" {{ config_dir = "{services.dir}" service = "nothing" }}\n', "nothing: No such file"),
            ('sql "a" { driver = mysql host = localhost database = d user_query = "SELECT 1" '
             'ca = "/nonexistent" }\n', "/nonexistent: No such file"),
            ('sql "a" { driver = oracle }\n', "driver must be mysql or pgsql")]:
        i.write_conf(settings)
        done = i.command("check", check=False)
        assert done.returncode != 0 and text in done.stderr, (settings, done)
