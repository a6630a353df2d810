"""`postroom queue` and mailq: what waits and why, hold, release, retry, delete, flush."""
import grp
import json
import os
import pwd
import re
import subprocess
import time

import pytest

from harness.instance import Instance
from test_queue_delivery import submit, wait_subject

USER = "vera.lukic@example.org"
OTHER = "umar.siddiqui@example.org"
SETTINGS = "queue {\n reserve = 1M\n retry_min = 1h\n retry_max = 1h\n}\n"


@pytest.fixture(scope="module")
def i(work, slapd, certs):
    with Instance(work / "queue-admin", slapd, certs, settings=SETTINGS) as i:
        yield i


def queue(i, *args, status=0):
    done = i.command("queue", *args, check=False)
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    return done


def listed(i, *args):
    return [json.loads(line) for line in queue(i, "list", "--json").stdout.splitlines()]


def defer(i, user, *subjects):
    """Messages that were tried once and wait for an hour: the user's home cannot be opened.
    The user had no mail before."""
    home = i.home(user)
    if not home.parent.exists():
        home.parent.mkdir()
        owner = i.mail.stat()
        os.chown(home.parent, owner.st_uid, owner.st_gid)
    home.write_text("in the way")
    for s in subjects:
        start = len(i.log_text())
        submit(i, [user], s)
        i.wait_log(r"ev=queue\.deliver .*res=defer", start=start)
    until = time.monotonic() + 180
    while [m["state"] for m in listed(i)] != ["waiting"] * len(subjects):
        assert time.monotonic() < until, listed(i)
        time.sleep(0.05)
    return home


def by_subject(i, subject):
    """The queue id: the sessions of a test's messages have one each."""
    found = [p.name for p in (i.spool / "slots").iterdir()
             if f"Subject: {subject}\r\n".encode() in p.read_bytes()]
    assert len(found) == 1
    return found[0]


def test_an_empty_queue(i):
    assert queue(i, "list").stdout == "The queue is empty.\n"
    assert queue(i, "list", "--json").stdout == ""
    assert queue(i, "flush").stdout == "0 messages will be tried now\n"


def test_why_a_message_waits_and_its_retry(i):
    home = defer(i, USER, "why")
    (m,) = listed(i)
    now = time.time()
    assert m["sender"] == "anna.berg@example.org" and m["size"] > 50
    assert now - 60 < m["received"] <= now + 1 and now + 2000 < m["next"] < now + 4600
    assert (m["recipients_total"], m["recipients_open"]) == (1, 1)
    (r,) = m["recipients"]
    assert (r["address"], r["state"], r["tries"]) == (USER, "waiting", 1)
    assert r["reply"].startswith("451 4.")
    text = queue(i, "list").stdout
    assert re.match(rf"{m['id']}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {m['size']} bytes  "
                    r"<anna\.berg@example\.org>\n    waiting, next try ", text)
    assert f"    <{USER}>: {r['reply']}\n" in text
    assert text.endswith(f"1 messages, {m['size']} bytes\n")
    assert f"<{USER}> waiting, 1 tries, next 2" in queue(i, "show", m["id"]).stdout
    assert json.loads(queue(i, "show", "--json", m["id"]).stdout) == m
    home.unlink()
    assert queue(i, "retry", m["id"]).stdout == f"{m['id']}: will be tried now\n"
    wait_subject(i, USER, "why")
    assert listed(i) == []


def test_held_and_deleted_stay_so_over_a_restart(i):
    """What was deleted is in the log, and nobody is told."""
    home = defer(i, OTHER, "held", "gone", "free")
    held, gone, free = (by_subject(i, s) for s in ("held", "gone", "free"))
    assert queue(i, "hold", held).stdout == f"{held}: held\n"
    done = queue(i, "delete", "0123456789abcdef", gone, status=1)
    assert "no such message" in done.stderr and done.stdout == f"{gone}: deleted\n"
    assert re.search(rf"ev=queue\.delete sid=\w+ qid={gone} sender=anna\.berg@example\.org "
                     rf"rcpt={re.escape(OTHER)} reason=", i.log_text())
    home.unlink()
    start = len(i.log_text())
    i.stop()
    i.start()
    i.wait_log(r"ev=queue\.start messages=2", start=start)
    assert {m["id"]: m["state"] for m in listed(i)} == {held: "held", free: "waiting"}
    assert queue(i, "flush").stdout == "1 messages will be tried now\n"
    wait_subject(i, OTHER, "free")
    assert [(m["id"], m["state"]) for m in listed(i)] == [(held, "held")]
    assert "held; release it" in queue(i, "retry", held, status=69).stderr
    assert queue(i, "release", held).stdout == f"{held}: released\n"
    wait_subject(i, OTHER, "held")
    wait_subject(i, OTHER, "gone", count=0)
    assert listed(i) == [] and "ev=queue.report" not in i.log_text()


@pytest.mark.parametrize("args", [
    [], ["eat"], ["show"], ["hold"], ["flush", "x"], ["list", "x"], ["hold", "--json", "x"],
    ["list", "--xml"], ["delete", "--all"]])
def test_wrong_usage(i_stopped, args):
    done = i_stopped.command("queue", *args, check=False)
    assert done.returncode == 2 and "usage: postroom queue list" in done.stderr


@pytest.fixture(scope="module")
def i_stopped(work, slapd, certs):
    return Instance(work / "queue-stopped", slapd, certs)


def test_mailq_is_another_name(i, tmp_path):
    link = tmp_path / "mailq"
    link.symlink_to(next(p for p in i.build.glob("**/postroom") if p.is_file()))
    done = subprocess.run([link, "--config", i.conf], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "The queue is empty.\n")
    done = subprocess.run([link, "--config", i.conf, "--json"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    done = subprocess.run([link, "-v"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage: postroom queue list" in done.stderr


def test_no_server(i_stopped):
    done = i_stopped.command("queue", "list", check=False)
    assert done.returncode == 75 and "is the server running" in done.stderr


def test_nobody_but_root(i):
    nobody, group = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
    path = i.runtime / "queue-admin"
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True,
                          preexec_fn=lambda: (os.setgroups([]), os.setgid(group),
                                              os.setuid(nobody)))
    assert "PermissionError" in done.stderr
