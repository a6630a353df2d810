"""The acknowledge path by strace: what is said to be stored was synced before it was said."""
import os
import re
import subprocess
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("POSTROOM_BUILD") or Path(__file__).resolve().parents[2] / "build")
CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)$")


def trace(tmp_path, *args):
    """The system calls of one run of store_writer, in the order in which they ended."""
    out = tmp_path / "trace"
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", TSAN_OPTIONS="report_bugs=0")
    subprocess.run(
        ["strace", "-f", "-y", "-s", "300", "-o", str(out), "-e",
         "trace=openat,write,pwrite64,pwritev,writev,rename,renameat,renameat2,link,linkat,"
         "fsync,fdatasync,msync",
         str(BUILD / "tests/tools/store_writer"), str(tmp_path), *args],
        check=True, env=env, timeout=120, stdout=subprocess.PIPE)
    unfinished, calls = {}, []
    for line in out.read_text(errors="replace").splitlines():
        pid, rest = line.split(None, 1)
        if rest.endswith("<unfinished ...>"):
            unfinished[pid] = rest[:-len("<unfinished ...>")]
        elif rest.startswith("<..."):
            calls.append(unfinished.pop(pid, "") + rest.split("resumed>", 1)[1])
        else:
            calls.append(rest)
    return [c for c in calls if not re.search(r"= -1 E(?!XIST)", c)]


def first(calls, start, pattern):
    for i in range(start, len(calls)):
        if re.search(pattern, calls[i]):
            return i
    pytest.fail(f"no {pattern} after call {start}:\n" + "\n".join(calls[start:start + 40]))


def test_append_syncs_body_then_index_then_answers(tmp_path):
    calls = trace(tmp_path, "append", "3")
    at = 0
    for n in (1, 2, 3):
        wrote = first(calls, at, r"^write\(\d+<.*/tmp/[0-9a-f]{16}>, \"Subject: w")
        renamed = first(calls, wrote, r"^renameat2\(.*/tmp/[0-9a-f]{16}.*/msg/\d{4}-\d\d/[0-9a-f]{16}"
                                      r".*RENAME_NOREPLACE\)\s+= 0")
        synced = first(calls, renamed, r"^f(data)?sync\(\d+<.*/msg/\d{4}-\d\d/[0-9a-f]{16}>")
        index = first(calls, synced, r"^fdatasync\(\d+<.*/index\.mdb>")
        answered = first(calls, index, rf'^write\(1<.*>, "ok {n}\\n"')
        # nothing of the index is written between the answer before and the body's sync
        early = [c for c in calls[wrote:synced] if re.match(r"p?write.*/index\.mdb>", c)]
        assert early == [], "the index named a body that was not durable"
        # LMDB's meta page goes out through a descriptor that syncs each write
        meta = [i for i in range(index, answered)
                if re.match(r"pwrite64\(\d+<.*/index\.mdb>", calls[i])]
        assert meta, "no meta page was written before the answer"
        at = answered
    assert any("index.mdb" in c and "O_DSYNC" in c for c in calls if c.startswith("openat"))


def test_delivery_to_two_homes_syncs_both_before_the_answer(tmp_path):
    calls = trace(tmp_path, "deliver", "0", "1")
    wrote = first(calls, 0, r"^write\(\d+<.*/tmp/[0-9a-f]{16}>, \"Subject: n0")
    renamed = first(calls, wrote, r"^renameat2\(.*/msg/")
    body = first(calls, renamed, r"^fsync\(\d+<.*/u/(alice|bob)/msg/")
    linked = first(calls, body, r"^link(at)?\(.*/msg/.*/msg/")
    link_synced = first(calls, linked, r"^fsync\(\d+<.*/msg/")
    answered = first(calls, link_synced, r'^write\(1<.*>, "ok 0\\n"')
    for user in ("alice", "bob"):
        assert any(re.match(rf"fdatasync\(\d+<.*/u/{user}/index\.mdb>", c)
                   for c in calls[body:answered]), f"{user}'s index was not synced"
    taker = "alice" if "/u/alice/" in calls[body] else "bob"
    other = "bob" if taker == "alice" else "alice"
    last = max(i for i in range(answered) if re.match(
        rf"fdatasync\(\d+<.*/u/{other}/index\.mdb>", calls[i]))
    assert last > link_synced, "an index named a link that was not durable"


def test_delivery_to_one_home_syncs_body_then_index_then_answers(tmp_path):
    """Number 3 goes to each of them by itself; bob's home has nothing else to do."""
    calls = trace(tmp_path, "deliver", "3", "4")
    wrote = first(calls, 0, r"^write\(\d+<.*/u/bob/tmp/[0-9a-f]{16}>, \"Subject: n3")
    renamed = first(calls, wrote, r"^renameat2\(.*/u/bob/tmp/.*/u/bob/msg/")
    synced = first(calls, renamed, r"^fsync\(\d+<.*/u/bob/msg/\d{4}-\d\d/[0-9a-f]{16}>")
    index = first(calls, synced, r"^fdatasync\(\d+<.*/u/bob/index\.mdb>")
    answered = first(calls, index, r'^write\(1<.*>, "ok 3\\n"')
    early = [c for c in calls[wrote:synced] if re.match(r"p?write.*/u/bob/index\.mdb>", c)]
    assert early == [], "the index named a body that was not durable"
    assert [c for c in calls[index:answered] if re.match(r"pwrite64\(\d+<.*/u/bob/index\.mdb>", c)], \
        "no meta page was written before the answer"
    assert not [c for c in calls if c.startswith("link")]


def test_no_commit_goes_without_its_sync(tmp_path):
    """Never MDB_NOSYNC, NOMETASYNC, WRITEMAP or MAPASYNC: no msync, one sync a commit."""
    calls = trace(tmp_path, "append", "5")
    assert not [c for c in calls if c.startswith("msync(") and "MS_ASYNC" in c]
    syncs = [c for c in calls if re.match(r"fdatasync\(\d+<.*/index\.mdb>", c)]
    assert len(syncs) >= 5
