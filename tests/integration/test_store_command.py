"""postroom store check: finds the home as the server does, and says what is wrong with it."""
import os
import pwd

import pytest

USER = "bilal.haddad@example.org"


@pytest.fixture(scope="module")
def home(postroom):
    refused = postroom.lmtp().sendmail("s@example.org", [USER], b"Subject: one\r\n\r\nbody\r\n")
    assert not refused
    postroom.wait_messages(USER, 1)
    return postroom.home(USER)


def test_healthy_home(postroom, home):
    done = postroom.command("store", "check", USER)
    assert done.stdout == f"{home}: 6 mailboxes, 1 messages, 1 entries, 1 files, 0 problems\n"


def test_login_name_and_path_mean_the_same_home(postroom, home):
    for name in ([USER.split("@")[0]], ["--home", home]):
        assert str(home) in postroom.command("store", "check", *name).stdout


def test_unknown_user(postroom, home):
    done = postroom.command("store", "check", "nobody@example.org", check=False)
    assert (done.returncode, "no such user" in done.stderr) == (1, True)
    done = postroom.command("store", "repair", USER, check=False)
    assert done.returncode == 2


def test_without_a_server(make_instance):
    i = make_instance()
    assert not i.lmtp().sendmail("s@example.org", [USER], b"Subject: one\r\n\r\nbody\r\n")
    i.wait_messages(USER, 1)
    i.stop()
    home = i.home(USER)
    message = next(p for p in (home / "msg").rglob("*") if p.is_file())
    assert ", 0 problems" in i.command("store", "check", "--home", home).stdout
    message.unlink()
    done = i.command("store", "check", "--home", home, check=False)
    assert done.returncode == 1
    assert ", 1 problems" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
def test_opens_the_home_as_the_mail_user(postroom, home):
    postroom.command("store", "check", USER)
    uid = pwd.getpwnam("vmail").pw_uid
    assert {os.stat(p).st_uid for p in (home, *home.rglob("*"))} == {uid}
