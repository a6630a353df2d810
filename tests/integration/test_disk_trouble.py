"""The disk below spool or homes is full, or answers with input/output errors, while mail comes in: clients hear
"later" or nothing, and what was acknowledged arrives, once."""
import os
import pwd
import random
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from harness.instance import free_ports
from harness.traffic import Traffic

pytestmark = pytest.mark.waits

SETTINGS = """restart_wait_max = 500ms
lmtp {{ workers = 1 }}
queue {{ reserve = 0 retry_min = 300ms retry_max = 1s slots_ahead = 8 }}
smtp {{ workers = 1 postmaster = "anna.berg@example.org" errors_per_minute = 0 connections_per_minute = 0 messages_per_minute = 0
	recipients_per_minute = 0 user_messages_per_minute = 0 user_recipients_per_minute = 0 }}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{mx}" }} tls = none }}
"""


def prepared(make_instance):
    mx = free_ports(1)[0]
    i = make_instance(settings=SETTINGS.format(mx=mx), start=False)
    i.mx_port = mx
    return i


def traffic(i):
    seed = int(os.environ.get("POSTROOM_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    print(f"POSTROOM_SEED={seed}")
    return Traffic(i, seed, mx_port=i.mx_port)


def wait_for(what, text, timeout=180):
    until = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < until, text
        time.sleep(0.05)


@contextmanager
def small_disk(folder, megabytes, owner):
    folder.mkdir()
    who = pwd.getpwnam(owner)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700,uid={who.pw_uid},gid={who.pw_gid}",
                    "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """To the last page."""
    with open(folder / "ballast", "ab", buffering=0) as f:
        for step in (1 << 20, 4096):
            try:
                while True:
                    f.write(b"x" * step)
            except OSError:
                pass


@pytest.mark.parametrize("where, megabytes, owner", [("spool", 24, "postroom-queue"), ("mail", 48, "vmail")])
def test_full_disk(make_instance, where, megabytes, owner):
    i = prepared(make_instance)
    folder = i.dir / where
    with small_disk(folder, megabytes, owner):
        i.start()
        t = traffic(i).start(users=2, strangers=2)
        try:
            wait_for(lambda: len(t.acknowledged) >= 30, "no traffic")
            fill(folder)
            start, before = len(i.log_text()), t.temporary
            until = time.monotonic() + 2
            while time.monotonic() < until:
                fill(folder)
                time.sleep(0.05)
            if where == "spool":
                wait_for(lambda: t.temporary > before, "nobody was told to come later")
            else:
                i.wait_log(r"ev=queue\.deliver .*res=defer", timeout=120, start=start)
            (folder / "ballast").unlink()
            had = len(t.acknowledged)
            t.finish(had + 30)
            t.settle()
        finally:
            t.stop()
            i.stop()


FAULTS = [  # in whom, which calls, from which one on and how often
    ("smtp", "fdatasync", "1+2"),
    ("smtp", "pwritev", "2+3"),
    ("lmtp", "fsync", "1+3"),
    ("lmtp", "fdatasync", "2+2"),
    ("lmtp", "pwrite64,pwritev,write", "5+7"),
    ("queue", "fdatasync", "2"),
    ("queue", "fsync", "1+2"),
    ("queue", "pwrite64", "3"),
]


def inject(i, role, calls, when):
    """Input/output errors for a while. They are answered by strace; the call itself is not made."""
    out = i.dir / f"strace-{role}-{calls.split(',')[0]}"
    (pid, *_) = i.pids(role)
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", out, "-p", str(pid), "-e", f"trace={calls}",
         "-e", f"inject={calls}:error=EIO:when={when}"], stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: tracer.poll() is not None or out.exists() and "(INJECTED)" in out.read_text(),
                 f"no call of {calls} in {role}")
        time.sleep(0.4)
    finally:
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)
        tracer.wait(180)
    assert "(INJECTED)" in out.read_text(), (role, calls)


def test_input_output_errors(make_instance):
    i = prepared(make_instance).start()
    t = traffic(i).start(users=2, strangers=2)
    try:
        for role, calls, when in FAULTS:
            had = len(t.acknowledged)
            wait_for(lambda: len(t.acknowledged) >= had + 5 and i.pids(role), "no traffic: " + i.log_text()[-3000:])
            inject(i, role, calls, when)
            if role == "lmtp":  # it does not trust these homes for half a minute; a new one tries
                for pid in i.pids(role):
                    os.kill(pid, signal.SIGKILL)
        t.finish(len(t.acknowledged) + 20)
        t.settle()
        text = i.log_text()
        assert "ev=queue.corrupt" not in text and "ev=queue.lost" not in text
    finally:
        t.stop()
