"""`postroom store check USER` beside a running server: nothing in a healthy home, damage by its name."""
import os
import pwd
import time

USER = "anna.berg@example.org"
OTHER = "bilal.haddad@example.org"
MAIL = b"From: a@example.org\r\nSubject: check\r\n\r\nbody\r\n"


def append(postroom, user, n):
    with postroom.imap(user) as c:
        for _ in range(n):
            typ, data = c.append("INBOX", None, None, MAIL)
            assert typ == "OK", data


def files(home):
    return sorted(p for p in home.glob("msg/*/*") if p.is_file())


def test_healthy_home_of_a_running_server(postroom):
    append(postroom, USER, 5)
    with postroom.imap(USER) as c:
        c.select("INBOX")
        c.store("1:2", "+FLAGS", r"(\Seen $Mine)")
        c.copy("2:3", "Trash")
        c.store("4", "+FLAGS", r"(\Deleted)")
        c.expunge()
        c.create("a/b")
        c.rename("a", "c")
    done = postroom.command("store", "check", USER)
    assert "5 messages" in done.stdout and " 0 problems" in done.stdout, done.stdout
    # while somebody is logged in and writing
    with postroom.imap(USER) as c:
        c.select("INBOX")
        for i in range(5):
            c.append("INBOX", None, None, MAIL)
            c.store("1", "+FLAGS" if i % 2 else "-FLAGS", r"(\Flagged)")
            assert " 0 problems" in postroom.command("store", "check", USER).stdout


def test_damage_is_named_and_the_status_says_so(postroom):
    append(postroom, OTHER, 2)
    home = postroom.home(OTHER)
    first, second = files(home)
    first.unlink()
    os.truncate(second, 3)
    done = postroom.command("store", "check", OTHER, check=False)
    assert done.returncode == 1
    assert "body-missing: " in done.stdout and "body-size: " in done.stdout, done.stdout
    assert " 2 problems" in done.stdout


def test_home_by_its_path(postroom):
    append(postroom, USER, 1)
    done = postroom.command("store", "check", "--home", postroom.home(USER))
    assert " 0 problems" in done.stdout


def test_no_file_of_roots_stays_in_a_home(postroom):
    append(postroom, USER, 1)
    postroom.command("store", "check", "--repair", USER)
    home = postroom.home(USER)
    owner = pwd.getpwnam("vmail").pw_uid if os.geteuid() == 0 else os.geteuid()
    for p in [home, *home.rglob("*")]:
        assert p.stat().st_uid == owner, p


def test_unknown_user_and_no_home(postroom):
    done = postroom.command("store", "check", "nobody.here@example.org", check=False)
    assert done.returncode == 1 and "no such user" in done.stderr
    done = postroom.command("store", "check", "--home", postroom.mail / "none", check=False)
    assert done.returncode == 1 and "no mail" in done.stderr
    assert postroom.command("store", "check", check=False).returncode == 2
    assert postroom.command("store", "nonsense", USER, check=False).returncode == 2


def test_replaced_index_is_opened_again(postroom):
    """An index put back from a backup while the server runs: served, never written over."""
    user = "carmen.ortega@example.org"
    append(postroom, user, 1)
    home = postroom.home(user)
    index = home / "index.mdb"
    stat = index.stat()
    copy = home / "copy"
    copy.write_bytes(index.read_bytes())
    os.chown(copy, stat.st_uid, stat.st_gid)
    copy.chmod(0o600)
    (home / "index.mdb-lock").unlink()
    copy.rename(index)
    until = time.monotonic() + 180
    while True:
        with postroom.imap(user) as c:
            typ, _ = c.append("INBOX", None, None, MAIL)
        if typ == "OK" or time.monotonic() > until:
            break
    assert typ == "OK"
    assert " 0 problems" in postroom.command("store", "check", user).stdout
