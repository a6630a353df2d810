"""`postroom lookup` and `postroom auth` against a scripted admin socket."""
import os
import socket
import threading

import pytest

from harness import instance
from harness.tiny import TinyMaster


@pytest.fixture
def folder(certs):
    TinyMaster.certs = certs
    d = instance.temp_dir("postroom-admin-")
    yield d
    instance.remove(d)


class Scripted:
    """One answer a connection; takes down what was asked."""

    def __init__(self, path, answers):
        self.asked = []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.answers = answers
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        for answer in self.answers:
            c, _ = self.sock.accept()
            data = b""
            while not data.endswith(b"\n"):
                data += c.recv(4096)
            self.asked.append(data)
            for i in range(0, len(answer), 3):
                c.sendall(answer[i:i + 3])
            c.close()

    def close(self):
        self.thread.join(5)
        self.sock.close()


@pytest.fixture
def master(folder):
    m = TinyMaster(folder)
    m.runtime.mkdir()
    return m


def test_lookup_shows_steps_and_value(master):
    s = Scripted(master.runtime / "auth-admin",
                 [b"STEP\t     0 ms  backend main\nSTEP\t     2 ms  search (mail=a)\nOK\ta@b.example\n"])
    done = master.command("lookup", "alias", "x@b.example")
    s.close()
    assert (done.returncode, done.stdout) == (0, "a@b.example\n")
    assert done.stderr == "     0 ms  backend main\n     2 ms  search (mail=a)\n"
    assert s.asked == [b"LOOKUP\talias\tx@b.example\n"]


def test_lookup_quiet_and_the_other_endings(master):
    answers = [b"STEP\tx\nOK\t1\x01n2\n", b"NOTFOUND\n", b"DENY\ttoo deep\n", b"TEMP\tno server\n",
               b"SYNTAX\tno such map\n", b"STEP\thalf", b""]
    s = Scripted(master.runtime / "auth-admin", answers)
    done = master.command("lookup", "-q", "user", "x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n2\n", "")
    codes = [master.command("lookup", "alias", "x") for _ in answers[1:]]
    s.close()
    assert [c.returncode for c in codes] == [1, 69, 75, 2, 75, 75]
    assert codes[1].stderr == "DENY too deep\n"
    assert "no answer" in codes[4].stderr and "no answer" in codes[5].stderr


def test_auth_test_sends_the_password_from_standard_input_only(master):
    s = Scripted(master.runtime / "auth-admin", [b"OK\tanna@example.org\n"] * 2)
    done = master.command("auth", "test", "anna", "--as-service", "smtp", "--from", "192.0.2.7",
                          stdin="tab\tin it\nsecond line")
    assert done.returncode == 0, done.stderr
    done = master.command("auth", "test", "anna", "--no-password", "-q")
    assert done.returncode == 0, done.stderr
    s.close()
    assert s.asked == [b"TEST\tanna\tsmtp\t192.0.2.7\t\tyes\ttab\x01tin it\n",
                       b"TEST\tanna\timap\t\t\tno\t\n"]


def test_auth_status_forget_and_usage(master):
    s = Scripted(master.runtime / "auth-admin", [b"OK\tcache users=1\x01n\n", b"OK\t3\n", b"OK\t9\n"])
    assert master.command("auth", "status").stdout == "cache users=1\n"
    assert master.command("auth", "forget", "anna").stdout == "3\n"
    assert master.command("auth", "forget", "--all").stdout == "9\n"
    s.close()
    assert s.asked == [b"STATUS\n", b"FORGET\tanna\n", b"FORGET\t\n"]
    for wrong in (("auth", "nonsense"), ("auth", "test"), ("auth", "test", "a", "b"),
                  ("auth", "test", "a", "--odd"), ("auth", "forget"), ("auth", "forget", "-x"),
                  ("auth", "status", "x"), ("lookup", "a", "b", "c"), ("lookup", "-q", "b")):
        assert master.command(*wrong).returncode == 2, wrong


def test_without_a_server(master):
    assert master.command("auth", "status").returncode == 75
    assert master.command("auth", "test", "x", "--no-password").returncode == 75
    assert master.command("lookup", "alias", "x").returncode == 75


def test_help_needs_no_configuration(master):
    master.conf.rename(master.conf.with_suffix(".away"))
    try:
        for args in (("auth", "--help"), ("auth", "test", "-h"), ("lookup", "--help"),
                     ("check", "--help"), ("pw", "--help"), ("store", "--help")):
            done = master.command(*args)
            assert done.returncode == 0 and f"usage: postroom {args[0]}" in done.stdout, args
        assert "usage: postroom auth test" in master.command("auth", "nonsense").stderr
    finally:
        master.conf.with_suffix(".away").rename(master.conf)


def test_who_cannot_ask_is_told_why(master):
    assert "is the server running" in master.command("auth", "status").stderr


def test_an_empty_standard_input_is_no_password(master):
    assert master.command("auth", "test", "anna", stdin="").returncode == 2
    assert not os.path.exists(master.runtime / "auth-admin")
