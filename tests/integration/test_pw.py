"""`postroom pw`: hashes from a pipe and from a terminal, and what it says of mistakes."""
import os
import pty
import signal
import subprocess
import termios
import time

import pytest

from harness.instance import build_dir
from harness.ready import readable


def program():
    return next(p for p in build_dir().glob("**/postroom") if p.is_file())


def pw(*args, text="geheim\n"):
    return subprocess.run([program(), "pw", *args], input=text, capture_output=True, text=True, timeout=120)


def test_default_scheme():
    done = pw()
    assert done.returncode == 0 and done.stdout.startswith("{ARGON2ID}$argon2id$v=19$")
    assert pw("-t", done.stdout.strip()).returncode == 0
    assert pw("-t", done.stdout.strip(), text="Geheim\n").returncode == 1


def test_every_listed_scheme():
    schemes = [line for line in pw("-l", text="").stdout.splitlines() if "only read" not in line]
    assert {"ARGON2ID", "SSHA512", "SCRAM-SHA-256", "BLF-CRYPT"} <= set(schemes)
    for s in schemes:
        made = pw("-s", s.lower()).stdout.strip()
        assert made.startswith("{" + s + "}"), s
        assert "verified" in pw("-t", made).stdout


def test_only_the_first_line_counts():
    made = pw("-s", "SSHA", text="geheim\nmore\n").stdout.strip()
    assert pw("-t", made, text="geheim").returncode == 0


@pytest.mark.parametrize("args,text,code,says", [
    (("-s", "ROT13"), "x\n", 2, "no scheme ROT13"),
    (("-s", "DES-CRYPT"), "x\n", 2, "no scheme"),
    (("-t", "nonsense"), "x\n", 2, "known scheme"),
    (("-t", "{ROT13}x"), "x\n", 2, "known scheme"),
    (("-t", "{ARGON2ID}$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$aGFzaA"), "x\n", 2, "costs more"),
    ((), "", 1, "no password"),
    ((), "\n", 2, "cannot take"),
    ((), "x" * 2000 + "\n", 1, "too long"),
    (("-s",), "x\n", 2, "usage"),
    (("x",), "x\n", 2, "usage"),
])
def test_mistakes(args, text, code, says):
    done = pw(*args, text=text)
    assert done.returncode == code and says in done.stderr and done.stdout == "", done


def on_terminal(answers):
    """What the program prints on a terminal where somebody types the answers."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(program(), ["postroom", "pw", "-s", "SSHA"])
    out, until = b"", time.monotonic() + 180
    while time.monotonic() < until:
        if answers and out.count(b": ") > 2 - len(answers):
            os.write(fd, answers.pop(0).encode() + b"\n")
        if not readable([fd], 0.1):
            continue
        try:
            got = os.read(fd, 1000)
        except OSError:
            break
        if not got:
            break
        out += got
    os.close(fd)
    return out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_terminal_asks_twice_without_echo():
    out, code = on_terminal(["geheim", "geheim"])
    assert code == 0 and "geheim" not in out
    made = out.split()[-1]
    assert made.startswith("{SSHA}") and pw("-t", made).returncode == 0


def test_terminal_notices_a_typing_mistake():
    out, code = on_terminal(["geheim", "gehiem"])
    assert code == 1 and "differ" in out and "{SSHA}" not in out


@pytest.mark.parametrize("key,number", [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT), (None, signal.SIGTERM)])
def test_an_interrupted_prompt_leaves_the_terminal_echoing(key, number):
    def echoes():
        return bool(termios.tcgetattr(slave)[3] & termios.ECHO)

    def until(wanted):
        end = time.monotonic() + 180
        while echoes() != wanted and time.monotonic() < end:
            time.sleep(0.02)
        assert echoes() == wanted

    def on_a_terminal():
        os.login_tty(slave)
        # as a shell's own children have it, whatever started the tests
        for s in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(s, signal.SIG_DFL)

    fd, slave = pty.openpty()
    child = subprocess.Popen([program(), "pw", "-s", "SSHA"], preexec_fn=on_a_terminal, close_fds=False)
    try:
        until(False)
        os.write(fd, b"halb")
        os.write(fd, key) if key else child.send_signal(number)
        until(True)
        assert child.wait(180) == -number
    finally:
        child.kill()
        child.wait(180)
        os.close(slave)
        os.close(fd)
