"""`postroom lookup`, `postroom auth test`, `auth status`, `auth forget` against a running service."""
import base64
import os
import re
import socket

import pytest

from harness.slapd import BASE, SERVICE_PASSWORD


def test_lookup_alias_says_how_it_came_to_that(postroom):
    done = postroom.command("lookup", "alias", "sales@example.org")
    assert "carmen.ortega@example.org" in done.stdout.strip().split(","), done.stdout
    steps = done.stderr
    assert postroom.slapd.uri in steps
    assert BASE in steps and "sales@example.org" in steps and "(" in steps
    assert SERVICE_PASSWORD not in steps
    assert all(" ms  " in line for line in steps.splitlines()), steps


def test_lookup_user_shows_the_record(postroom):
    done = postroom.command("lookup", "-q", "user", "anna.berg")
    lines = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert lines["user"] == "anna.berg@example.org"
    assert lines["home"].endswith("/example.org/anna.berg")
    assert lines["source"] == f"uid=anna.berg,ou=people,{BASE}"
    assert lines["backend"] == "main" and done.stderr == ""


def test_what_a_user_wrote_is_one_harmless_line(make_instance, slapd):
    """Users may often change their own display name."""
    i = make_instance()
    dn = f"uid=anna.berg,ou=people,{BASE}"
    name = base64.b64encode("Anna \x1b]0;x\x07\nhome=/etc\x9b1mä".encode()).decode()
    slapd._tool("ldapmodify", f"dn: {dn}\nchangetype: modify\nreplace: displayName\ndisplayName:: {name}\n")
    try:
        for more in ([], ["-q"]):
            done = i.command("lookup", *more, "user", "anna.berg")
            lines = done.stdout.splitlines()
            assert r"display_name=Anna \x1b]0;x\x07\x0ahome=/etc\xc2\x9b1mä" in lines, done
            assert sum(line.startswith("home=") for line in lines) == 1
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout + done.stderr), done
    finally:
        slapd.modify(dn, {"displayName": []})


def test_everybody(postroom):
    """Every user of every section, by one name each."""
    done = postroom.command("lookup", "-q", "user", "*")
    names = done.stdout.splitlines()
    assert len(names) == len(set(names)) == 50 and "anna.berg@example.org" in names
    assert all(name.endswith("@example.org") for name in names) and done.stderr == ""


def test_a_part_of_everybody_is_no_answer(make_instance, slapd):
    i = make_instance()
    slapd.stop()
    try:
        done = i.command("lookup", "user", "*", check=False)
        assert done.returncode == 75 and done.stdout == "" and "directory failed" in done.stderr, done
    finally:
        slapd.start()


@pytest.mark.parametrize("table,key,status", [
    ("domain", "example.org", 0), ("domain", "elsewhere.example", 1),
    ("mailbox", "anna.berg@example.org", 0), ("mailbox", "nobody@example.org", 1),
    ("sender", "anna.berg@example.org", 0), ("user", "nobody", 1), ("user", "a*b", 1),
    ("alias", "anna.berg@example.org", 1), ("odd", "x", 2),
])
def test_exit_statuses(postroom, table, key, status):
    done = postroom.command("lookup", table, key, check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    assert bool(done.stdout) == (status == 0)


@pytest.mark.parametrize("table,key,words", [
    ("user", "nobody", "unknown user"), ("user", "a*b", "not a name"),
    ("domain", "elsewhere.example", "not a domain of ours"),
    ("mailbox", "nobody@example.org", "nobody has this mailbox"),
    ("alias", "nobody@example.org", "no alias and no group"),
    ("alias", "anna.berg@example.org", "stands for itself only"),
    ("sender", "nobody@example.org", "nobody may send as it"),
    ("transport", "anna.berg@example.org", "no other server has its mail"),
    ("owner", "sales@example.org", "no group, or one without an owner"),
])
def test_no_is_said_in_the_words_of_the_question(postroom, table, key, words):
    assert postroom.command("lookup", "-q", table, key, check=False).stderr == f"NOTFOUND {words}\n"


def test_the_record_ends_with_its_last_line(postroom):
    done = postroom.command("lookup", "-q", "user", "anna.berg")
    assert all(done.stdout.splitlines()) and done.stdout.endswith("\n"), done.stdout


def test_what_a_client_hears_is_said(postroom):
    done = postroom.command("auth", "test", "anna.berg", input="wrong\n", check=False)
    assert "an IMAP client hears [AUTHENTICATIONFAILED]" in done.stderr
    assert "wrong\n" not in done.stderr


def test_a_name_that_no_section_takes(postroom):
    done = postroom.command("auth", "test", "ELSEWHERE\\anna", "--no-password", check=False)
    assert done.returncode == 69 and "no section takes it" in done.stderr


def test_from_must_be_an_address(postroom):
    for wrong in ("nonsense", "192.0.2.0/24", "localhost"):
        done = postroom.command("auth", "test", "anna.berg", "--from", wrong, "--no-password",
                                check=False)
        assert done.returncode == 2 and "not an address" in done.stderr, (wrong, done)


def test_a_filter_is_shown_escaped(postroom):
    """What stands in the trace is what was asked."""
    done = postroom.command("lookup", "mailbox", "o'brien+x@example.org", check=False)
    assert "(" in done.stderr and "example.org" in done.stderr


def test_auth_test_right_wrong_and_unknown(postroom):
    right = postroom.command("auth", "test", "anna.berg", "--from", "192.0.2.7",
                             input="secret-anna.berg\n")
    assert "user=anna.berg@example.org" in right.stdout
    assert "bind" in right.stderr and f"uid=anna.berg,ou=people,{BASE}" in right.stderr
    wrong = postroom.command("auth", "test", "anna.berg", input="wrong-word\n", check=False)
    assert wrong.returncode == 69 and "DENY password refused" in wrong.stderr
    unknown = postroom.command("auth", "test", "nobody", input="wrong-word\n", check=False)
    assert unknown.returncode in (1, 69) and "unknown user" in unknown.stderr
    for done in (right, wrong, unknown):
        assert "secret-anna.berg" not in done.stderr and "wrong-word" not in done.stderr


def test_auth_test_without_password_shows_who(postroom):
    done = postroom.command("auth", "test", "anna.berg", "--no-password")
    assert "user=anna.berg@example.org" in done.stdout and "policy" in done.stderr


def test_trying_counts_against_nobody(make_instance):
    i = make_instance('auth {\n\tdefault_domain = "example.org"\n\tfailure_delay = 0\n'
                      '\tpenalty_address = 3\n\tpenalty_user = 3\n}\n')
    for n in range(8):
        done = i.command("auth", "test", "anna.berg", "--from", "192.0.2.9",
                         input=f"wrong{n}\n", check=False)
        assert done.returncode == 69
    done = i.command("auth", "test", "anna.berg", "--from", "192.0.2.9", input="secret-anna.berg\n")
    assert "user=anna.berg@example.org" in done.stdout


def test_status_and_forget(make_instance):
    i = make_instance()
    i.command("auth", "forget", "--all")
    i.command("lookup", "mailbox", "anna.berg@example.org")
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(i.socket("directory")))
        s.sendall(b"29:mailbox anna.berg@example.org,")
        assert b"OK " in s.recv(1000)
    text = i.command("auth", "status").stdout
    print(text)
    assert i.slapd.uri in text, text
    assert "main" in text and "cache" in text
    assert int(i.command("auth", "forget", "anna.berg@example.org").stdout) >= 1
    assert int(i.command("auth", "forget", "anna.berg@example.org").stdout) == 0


def test_only_root_may_ask(postroom):
    path = postroom.socket("auth-admin")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(path).st_uid == os.geteuid()


def test_garbage_and_halves_end_the_connection_alone(postroom):
    for junk in (b"\xff\x00\n", b"LOOKUP\n", b"LOOKUP\ta\tb\tc\td\te\tf\tg\th\ti\tj\n", b"x" * 400000,
                 b"STATUS\nSTATUS\n"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(180)
            s.connect(str(postroom.socket("auth-admin")))
            try:
                s.sendall(junk)
                while s.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert "service" in postroom.command("auth", "status").stdout


def test_an_outage_is_explained(make_instance, slapd):
    i = make_instance()
    i.command("lookup", "user", "anna.berg")
    slapd.stop()
    try:
        done = i.command("lookup", "user", "anna.berg")
        assert "user=anna.berg@example.org" in done.stdout and "from memory" in done.stderr, done
        done = i.command("auth", "test", "anna.berg", input="secret-anna.berg\n", check=False)
        assert done.returncode == 75 and "an IMAP client hears [UNAVAILABLE]" in done.stderr, done
        assert "directory failed" in done.stderr.splitlines()[-1]
    finally:
        slapd.start()


def test_a_login_in_an_outage_is_explained(make_instance, slapd):
    i = make_instance('auth {\n\tdefault_domain = "example.org"\n\toutage_login = 1h\n}\n')
    i.command("auth", "test", "anna.berg", input="secret-anna.berg\n")
    slapd.stop()
    try:
        done = i.command("auth", "test", "anna.berg", input="secret-anna.berg\n")
        assert "no backend answers: what is remembered counts" in done.stderr, done
        done = i.command("auth", "test", "anna.berg", input="wrong\n", check=False)
        assert done.returncode == 75
        assert "it is not the password that was right last" in done.stderr, done
    finally:
        slapd.start()


def test_a_group_that_nobody_may_send_as(postroom):
    done = postroom.command("lookup", "sender", "sales@example.org", check=False)
    assert done.returncode == 1
    assert f"cn=sales,ou=groups,{BASE}: its members may not send as it (group_send_as)" in done.stderr
