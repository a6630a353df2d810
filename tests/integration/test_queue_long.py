"""A long queue: what waits costs little, and hides nothing of what is new. POSTROOM_QUEUE_MESSAGES makes it longer."""
import os
import pwd
import re
import subprocess
import time

import pytest

from test_queue_delivery import submit, wait_subject

pytestmark = pytest.mark.waits

COUNT = int(os.environ.get("POSTROOM_QUEUE_MESSAGES", "5000"))
FEW = 1000
# octets for each; the sanitizers keep what was freed, too
PLAIN = os.environ.get("POSTROOM_BUILD_PLAIN")
EACH_MAX = 400 if PLAIN else 4000
SETTINGS = "queue {\n reserve = 1M\n retry_min = 1h\n retry_max = 4h\n slots_ahead = 8\n}\n"


def fill(i, count, recipient, seconds):
    subprocess.run([i.build / "tests/tools/queue_fill", i.spool, str(count), recipient, str(seconds)], check=True)
    owner = pwd.getpwnam("postroom-queue")
    for folder in (i.spool, i.spool / "slots"):
        for p in os.scandir(folder):
            os.chown(p.path, owner.pw_uid, owner.pw_gid)


def private_bytes(pid):
    """What the process has for itself: neither code nor the pages of a file."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Anonymous:\s+(\d+)", f.read(), re.M)[1]) * 1024


def start_with(i, count):
    """Starts with so many messages that wait; something new is delivered. Returns what the queue then has for itself."""
    start = len(i.log_text())
    i.start()
    m = i.wait_log(r"ev=queue\.start messages=(\d+) ms=(\d+)", timeout=180, start=start)
    print(f"{m[1]} messages known after {m[2]} ms")
    assert int(m[1]) == count
    # what is new does not stand in line behind what waits, and nobody is asked about that
    submit(i, ["vera.lukic@example.org"], f"beside-{count}")
    wait_subject(i, "vera.lukic@example.org", f"beside-{count}")
    i.wait_log(r"ev=queue\.deliver ", start=start)
    text = i.log_text()[start:]
    assert len(re.findall(r"ev=queue\.deliver ", text)) == 1
    assert not re.search(r"ev=queue\.(adopt|record|corrupt|lost)", text)
    (pid,) = i.pids("queue")
    return pid, private_bytes(pid)


def test_what_waits_costs_little(make_instance, monkeypatch):
    if PLAIN:
        monkeypatch.setenv("POSTROOM_BUILD", PLAIN)
    i = make_instance(settings=SETTINGS)
    i.stop()
    fill(i, FEW, "umar.siddiqui@example.org", 7200)
    _, few = start_with(i, FEW)
    i.stop()
    fill(i, COUNT - FEW, "umar.siddiqui@example.org", 7200)
    pid, many = start_with(i, COUNT)
    print(f"{(many - few) / (COUNT - FEW):.0f} octets for each")
    assert many - few < (COUNT - FEW) * EACH_MAX
    listing = i.command("queue", "list").stdout
    assert re.search(rf"^{COUNT} messages, ", listing, re.M)
    assert listing.count("umar.siddiqui@example.org>: 451 4.3.0 Cannot store the message now") == COUNT
    assert i.pids("queue") == [pid]


def flush(i, count=None):
    """As soon as queue is there to hear it: the log of the run before stands in the file, too."""
    until = time.monotonic() + 180
    while (done := i.command("queue", "flush", check=False)).returncode != 0:
        assert time.monotonic() < until, done.stderr
        time.sleep(0.05)
    assert count is None or done.stdout == f"{count} messages will be tried now\n"


def test_all_that_waits_is_delivered_once_when_its_time_comes(make_instance):
    """Also over a restart in the middle of it."""
    count, user = 600, "umar.siddiqui@example.org"
    i = make_instance(settings=SETTINGS)
    i.stop()
    fill(i, count, user, 3600)
    i.start()
    flush(i, count)
    until = time.monotonic() + 180
    while len(re.findall(r"ev=queue\.done ", i.log_text())) < 100:
        assert time.monotonic() < until, i.log_text()[-3000:]
        time.sleep(0.02)
    i.stop()
    i.start()
    flush(i)
    until = time.monotonic() + 180
    while i.command("queue", "list").stdout != "The queue is empty.\n":
        assert time.monotonic() < until, i.log_text()[-3000:]
        time.sleep(0.2)
    with i.imap(user) as c:
        assert c.select("INBOX", readonly=True) == ("OK", [str(count).encode()])
