"""Every "never sees" of the architecture's table, tried: as root, under each role's user, against a
running server; what /proc says about each process; and the walls inside, by a role that answers
"is this possible?" from the same cage."""
import fcntl
import grp
import os
import pwd
import re
import subprocess

import pytest

from harness import instance as instance_module
from harness.tiny import TinyMaster

if os.geteuid() != 0:
    pytest.skip("separation of users needs root", allow_module_level=True)

USERS = {"auth": "postroom-auth", "gate": "postroom-gate", "imap": "vmail", "lmtp": "vmail",
         "smtp": "postroom-smtp", "queue": "postroom-queue", "relay": "postroom-relay",
         "resolver": "postroom-resolver"}
USER = "anna.berg@example.org"

# Runs under a role's user: prints OK or the error's name.
PROBE = r"""
import errno, os, socket, sys
what, arg = sys.argv[1:3]
try:
    if what == "read":
        os.close(os.open(arg, os.O_RDONLY))
    elif what == "list":
        os.listdir(arg)
    elif what == "write":
        os.close(os.open(arg + "/probe", os.O_WRONLY | os.O_CREAT, 0o600))
        os.unlink(arg + "/probe")
    elif what == "connect":
        socket.socket(socket.AF_UNIX).connect(arg)
    elif what == "connect-seqpacket":
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(arg)
    elif what == "userdb":
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(180)
        s.connect(arg)
        s.sendall(b"VERSION\t1\t1\nCPID\t%d\nUSER\t1\tanna.berg@example.org\tservice=imap\n" % os.getpid())
        got = b""
        while b"USER\t1\t" not in got and b"FAIL" not in got and b"NOTFOUND" not in got:
            d = s.recv(4096)
            if not d:
                break
            got += d
        if b"USER\t1\t" not in got:
            raise OSError(errno.EACCES, "")
    print("OK")
except ConnectionError as e:
    print("EACCES" if what == "userdb" else errno.errorcode[e.errno])
except OSError as e:
    print(errno.errorcode.get(e.errno, "?"))
"""


def probe(user, what, arg):
    done = subprocess.run(
        ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}",
         f"--groups={grp.getgrnam('postroom').gr_gid}", "/usr/bin/python3", "-c", PROBE, what, str(arg)],
        capture_output=True, text=True, timeout=120, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def server(work, slapd, certs):
    """All roles, with one message at rest."""
    postroom = instance_module.Instance(work / "all-roles", slapd, certs,
                                        "outbound { enabled = yes }\ndnsbl \"list.example.com\" { }\n").start()
    refused = postroom.lmtp().sendmail("s@example.org", [USER], b"Subject: rest\r\n\r\nat rest\r\n")
    assert not refused
    postroom.wait_messages(USER, 1)
    yield postroom
    postroom.stop()


def test_relay_runs_only_when_it_is_asked_for(postroom):
    assert postroom.pids("relay") == [] and not os.path.exists(postroom.socket("relay"))


def message_of(server):
    return next(p for p in (server.home(USER) / "msg").rglob("*") if p.is_file())


def paths(server):
    """What somebody must not see, by a name."""
    return {
        "mail": ("read", message_of(server)),
        "index": ("read", server.home(USER) / "index.mdb"),
        "mail root": ("list", server.mail),
        "writing mail": ("write", server.home(USER)),
        "spool": ("list", server.spool),
        "writing the spool": ("write", server.spool),
        "configuration": ("read", server.conf),
        "LDAP credentials": ("read", server.slapd.dir / "service.password"),
        "TLS key": ("read", server.certs.key),
        "users of auth-userdb": ("userdb", server.socket("auth-userdb")),
        "hand-over socket": ("connect-seqpacket", server.socket("gate/imap.0")),
        "gate's auth socket": ("connect", server.socket("gate/auth")),
        "relay's jobs": ("connect-seqpacket", server.socket("relay")),
        "spool slots": ("connect-seqpacket", server.socket("slots")),
        "smtp's resolver": ("connect-seqpacket", server.socket("resolver")),
        "writing the runtime folder": ("write", server.runtime),
        "writing gate's folder": ("write", server.runtime / "gate"),
    }


COMMON = ["configuration", "LDAP credentials", "TLS key", "writing the runtime folder",
          "writing gate's folder"]
MAIL = ["mail", "index", "mail root", "writing mail"]
SPOOL = ["spool", "writing the spool"]
NEVER = {
    "auth": COMMON + MAIL + SPOOL + ["hand-over socket", "spool slots", "users of auth-userdb"],
    "gate": COMMON + MAIL + SPOOL + ["spool slots", "users of auth-userdb"],
    "imap": COMMON + SPOOL + ["hand-over socket", "gate's auth socket", "spool slots"],
    "lmtp": COMMON + SPOOL + ["hand-over socket", "gate's auth socket", "spool slots"],
    "smtp": COMMON + MAIL + SPOOL + ["hand-over socket", "gate's auth socket",
                                     "users of auth-userdb", "relay's jobs"],
    "relay": COMMON + MAIL + SPOOL + ["hand-over socket", "gate's auth socket", "spool slots",
                                      "users of auth-userdb", "relay's jobs"],
    "resolver": COMMON + MAIL + SPOOL + ["hand-over socket", "gate's auth socket", "spool slots",
                                         "users of auth-userdb", "relay's jobs", "smtp's resolver"],
    "queue": COMMON + MAIL + ["hand-over socket", "gate's auth socket", "spool slots", "smtp's resolver"],
}


@pytest.mark.parametrize("role", NEVER)
def test_never_sees(server, role):
    seen = {}
    for name in NEVER[role]:
        what, arg = paths(server)[name]
        assert os.path.exists(arg), arg
        seen[name] = probe(USERS[role], what, arg)
    assert set(seen.values()) == {"EACCES"}, seen


def test_the_probe_can_succeed(server):
    """The same questions get a yes from those who may: the probe is not blind."""
    allowed = {"imap": MAIL + ["users of auth-userdb"], "queue": SPOOL + ["users of auth-userdb"],
               "gate": ["hand-over socket", "gate's auth socket"], "smtp": ["spool slots", "smtp's resolver"]}
    allowed["queue"].append("relay's jobs")
    for role, names in allowed.items():
        for name in names:
            assert probe(USERS[role], *paths(server)[name]) == "OK", (role, name)


def test_no_role_reads_the_memory_of_another_user(server):
    for role in USERS:
        for other in USERS:
            if USERS[role] == USERS[other]:
                continue
            pid = server.pids(other)[0]
            assert probe(USERS[role], "read", f"/proc/{pid}/mem") == "EACCES", (role, other)


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@pytest.mark.parametrize("role", USERS)
def test_proc_shows_the_cage(server, role):
    pids = server.pids(role)
    assert pids
    user = pwd.getpwnam(USERS[role])
    for pid in pids:
        s = status(pid)
        assert s["Uid"].split() == [str(user.pw_uid)] * 4
        assert s["Gid"].split() == [str(user.pw_gid)] * 4
        assert s["Groups"].split() == [str(grp.getgrnam("postroom").gr_gid)]
        assert s["NoNewPrivs"] == "1"
        assert int(s["CapEff"], 16) == 0 and int(s["CapPrm"], 16) == 0
        # auth talks to directories by name, through libraries of many kinds
        assert s["Seccomp"] == ("0" if role == "auth" else "2"), s["Seccomp"]
        root = os.readlink(f"/proc/{pid}/root")
        assert root == (str(server.runtime / "gate") if role == "gate" else "/")
        with open(f"/proc/{pid}/limits") as f:
            size = re.search(r"^Max file size\s+(\S+)", f.read(), re.M).group(1)
        want = {"gate": "0", "auth": "0", "relay": "0", "resolver": "0",
                "smtp": str(50 * 1024 * 1024 + 2 * 1024 * 1024)}
        assert size == want.get(role, "unlimited")


def test_the_store_spreads_its_homes(server):
    """The mark on their folder is set from inside the cage."""
    if subprocess.check_output(["stat", "-f", "-c", "%t", server.mail]).strip() != b"ef53":
        pytest.skip("the file system knows no such mark")
    homes = os.open(server.mail / "example.org", os.O_RDONLY)
    flags = fcntl.ioctl(homes, 0x80086601, b"\0" * 8)  # FS_IOC_GETFLAGS
    os.close(homes)
    assert int.from_bytes(flags[:4], "little") & 0x20000  # FS_TOPDIR_FL


def test_gate_holds_no_file_of_the_disk(server):
    """Its descriptors: sockets, the loop's own, pipes, /dev/null; certificates are in memory."""
    for pid in server.pids("gate"):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            assert target.startswith(("socket:", "anon_inode:", "pipe:")) \
                or target == "/dev/null", (fd, target)


@pytest.fixture(scope="module")
def tiny(certs):
    d = instance_module.temp_dir("postroom-cages-")
    TinyMaster.certs = certs
    with TinyMaster(d) as m:
        (m.mail / "user").mkdir()
        os.chown(m.mail / "user", pwd.getpwnam("vmail").pw_uid, -1)
        yield m
    instance_module.remove(d)


def test_inside_the_cage_of_gate(tiny):
    ask = tiny.line("gate").ask
    assert ask("uid") == str(pwd.getpwnam("postroom-gate").pw_uid)
    assert ask(f"try open {tiny.conf}") in ("ENOENT", "EPERM", "EACCES")
    assert ask("try open /proc/self/status") in ("ENOENT", "EPERM")
    assert ask("try open /../../etc/passwd") in ("ENOENT", "EPERM")
    assert ask("try create /x") in ("EPERM", "EACCES")
    assert ask("try write 1") == "EFBIG"
    assert ask("try exec /bin/true") == "EPERM"
    assert ask("try socket inet") == "EPERM"
    assert ask("try socket inet6") == "EPERM"
    assert ask("try root") == "EPERM"
    assert ask("try connect /auth") == "OK"
    assert ask(f"try connect {tiny.runtime}/directory") == "ENOENT"
    assert ask("try connect /../directory") == "ENOENT"


def test_inside_the_cage_of_the_store(tiny):
    """imap and lmtp: below the mail root everything, elsewhere nothing, world-readable or not."""
    ask = tiny.line("lmtp").ask
    assert ask("uid") == str(pwd.getpwnam("vmail").pw_uid)
    assert ask(f"try create {tiny.mail}/user/f") == "OK"
    assert ask(f"try rename {tiny.mail}/user/f") == "OK"
    # EAGAIN: allowed, and the disk would have to be asked
    assert ask(f"try open-cached {tiny.mail}/user") in ("OK", "EAGAIN")
    assert ask("try open /etc/passwd") == "EACCES"
    assert ask("try open-cached /etc/passwd") in ("EACCES", "EAGAIN")
    assert ask(f"try open {tiny.mail}/../postroom.conf") == "EACCES"
    assert ask("try create /tmp/postroom-cage-probe") == "EACCES"
    assert ask("try create /dev/shm/postroom-cage-probe") == "EACCES"
    assert ask("try exec /bin/true") == "EPERM"
    assert ask("try socket inet") == "EPERM"
    assert ask("try root") == "EPERM"
    assert ask(f"try connect {tiny.runtime}/auth-userdb") == "OK"


def test_inside_the_cage_of_smtp(tiny):
    ask = tiny.line("smtp").ask
    assert ask("uid") == str(pwd.getpwnam("postroom-smtp").pw_uid)
    assert ask("try open /etc/passwd") in ("EPERM", "EACCES")
    assert ask("try create /tmp/postroom-cage-probe") in ("EPERM", "EACCES")
    assert ask("try exec /bin/true") == "EPERM"
    assert ask("try socket inet") == "EPERM"
    assert ask("try root") == "EPERM"
    assert ask(f"try write {52 * 1024 * 1024}") == "OK"
    assert ask(f"try write {52 * 1024 * 1024 + 1}") == "EFBIG"
    assert ask(f"try connect {tiny.runtime}/directory") == "OK"


def test_the_same_tries_succeed_outside_a_cage(tiny):
    """auth has the weakest cage: what fails elsewhere fails because of a wall."""
    ask = tiny.line("auth").ask
    assert ask("try open /etc/passwd") == "OK"
    assert ask("try socket inet") == "OK"
    assert ask("try write 1") == "OK"
    assert ask("try root") == "EPERM"
