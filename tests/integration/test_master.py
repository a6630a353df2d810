"""postroom serve: start, restart, reload, stop, and what it refuses. Every role is a tiny one."""
import os
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from harness import instance as instance_module
from harness.tiny import ROLES, TinyMaster

pytestmark = pytest.mark.waits

ROOT = os.geteuid() == 0
# a new hostname is one of those
WAITS = "postroom: some of what was changed counts when the server is started again, not before (postroom(8), reload)\n"


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill_master(m):
    """Returns when its roles, which hold the sockets, are gone, too."""
    pids = [p for r in ROLES for p in m.pids(r).values()]
    assert len(pids) == len(ROLES)
    m.process.kill()
    m.process.wait()
    m.process = None
    until = time.monotonic() + 180
    while any(alive(p) for p in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def folder(certs):
    TinyMaster.certs = certs
    d = instance_module.temp_dir("postroom-master-")
    yield d
    instance_module.remove(d)


def test_every_role_gets_its_sockets(folder):
    with TinyMaster(folder, workers=2) as m:
        log = m.log_text()
        got = {r: sorted(re.findall(rf"role={r} pid=\d+ ev=tiny\.listener protocol=(\S+)", log))
               for r in ROLES}
        assert got == {
            "auth": ["auth", "auth", "auth-admin", "auth-userdb", "directory"],
            "gate": ["imap"],
            "imap": ["handover", "handover"],
            "lmtp": ["lmtp", "lmtp"],
            "smtp": ["sendmail", "submission"],
            "queue": ["queue-admin", "slots"],
        }
        # each imap worker has one of its own
        assert len(set(re.findall(r"role=imap pid=(\d+) ev=tiny\.listener", log))) == 2
        assert re.search(r"role=smtp pid=\d+ ev=tiny\.listener protocol=submission tls=1", log)


@pytest.mark.skipif(not ROOT, reason="owners of sockets need root")
def test_owners_and_modes(folder):
    import grp
    import pwd
    with TinyMaster(folder) as m:
        for name, owner, mode in (
                (".", "root", 0o751), ("sendmail", "root", 0o666), ("gate", "root", 0o750), ("auth", "root", 0o660),
                ("auth-userdb", "root", 0o660), ("directory", "root", 0o660), ("auth-admin", "root", 0o600),
                ("queue-admin", "root", 0o600),
                ("lmtp", "root", 0o660), ("slots", "postroom-smtp", 0o600),
                ("gate/auth", "postroom-gate", 0o600), ("gate/imap.0", "postroom-gate", 0o600)):
            st = os.stat(m.runtime / name)
            assert (pwd.getpwuid(st.st_uid).pw_name, stat.S_IMODE(st.st_mode)) == (owner, mode), name
            assert grp.getgrgid(st.st_gid).gr_name == "postroom", name
        assert pwd.getpwuid(os.stat(m.mail).st_uid).pw_name == "vmail"
        assert stat.S_IMODE(os.stat(m.mail).st_mode) == 0o700
        assert pwd.getpwuid(os.stat(m.spool).st_uid).pw_name == "postroom-queue"
        assert stat.S_IMODE(os.stat(m.spool).st_mode) == 0o700


def test_parents_of_folders_let_the_roles_through(folder):
    """Whatever the umask: a first start makes /var/lib/postroom above the mail."""
    m = TinyMaster(folder)
    m.mail, m.spool = folder / "lib" / "postroom" / "mail", folder / "spool" / "of" / "it"
    m.write_conf()
    with m:
        for d in (m.mail.parents[1], m.mail.parent, m.spool.parents[1], m.spool.parent):
            assert stat.S_IMODE(d.stat().st_mode) == 0o755, d
        for d in (m.mail, m.spool):
            assert stat.S_IMODE(d.stat().st_mode) == 0o700, d


def test_dead_role_comes_back_with_growing_waits(folder):
    with TinyMaster(folder) as m:
        waits = []
        for _ in range(4):
            before, at = m.ask("smtp", "pid"), m.log_end()
            begin = time.monotonic()
            os.kill(int(before), signal.SIGKILL)
            m.wait_log(r"role=smtp .*ev=role\.ready", start=at)
            waits.append(time.monotonic() - begin)
            assert m.ask("smtp", "pid") != before
            m.wait_log(rf"ev=master\.died child=smtp worker=0 child_pid={before} signal=9", start=at)
            # the others were told
            m.wait_log(rf"role=queue .*ev=tiny\.child_died child=smtp child_pid={before}", start=at)
        for wait, least in zip(waits, (0.1, 0.2, 0.4, 0.8)):
            assert wait >= least


def test_connections_wait_in_the_backlog_while_a_role_restarts(folder):
    with TinyMaster(folder) as m:
        old = m.line("smtp")
        pid = int(old.ask("pid"))
        os.kill(pid, signal.SIGKILL)
        assert old.at_end()
        new = m.line("smtp")          # nobody accepts yet, nobody refuses
        assert int(new.ask("pid")) != pid
        new.close()
        old.close()


def test_reload_reaches_every_role_and_drops_no_session(folder):
    with TinyMaster(folder) as m:
        sessions = [m.line(r) for r in ("gate", "smtp", "lmtp", "auth")]
        assert {s.ask("hostname") for s in sessions} == {"one.example.org"}
        at = m.log_end()
        m.write_conf(hostname="two.example.org")
        assert m.command("reload").returncode == 0
        for r in ROLES:
            m.wait_log(rf"role={r} .*ev=tiny\.reload hostname=two\.example\.org", start=at)
        assert {s.ask("hostname") for s in sessions} == {"two.example.org"}
        # a role that starts later has them too
        os.kill(int(m.ask("smtp", "pid")), signal.SIGKILL)
        m.wait_log(r"role=smtp .*ev=role\.ready", start=at)
        assert m.ask("smtp", "hostname") == "two.example.org"


def test_reload_refuses_a_broken_file(folder):
    with TinyMaster(folder) as m:
        session = m.line("gate")
        assert session.ask("hostname") == "one.example.org"
        at = m.log_end()
        m.conf.write_text(m.conf.read_text().replace("one.example.org", "three.example.org")
                          + "no_such_setting = 1\n")
        assert m.process.poll() is None
        m.process.send_signal(signal.SIGHUP)
        m.wait_log(r"lvl=error .*ev=master\.reload_refused .*no_such_setting", start=at)
        assert session.ask("hostname") == "one.example.org"
        assert "tiny.reload" not in m.log_text()[at:]
        os.kill(int(m.ask("smtp", "pid")), signal.SIGKILL)
        m.wait_log(r"role=smtp .*ev=role\.ready", start=at)
        assert m.ask("smtp", "hostname") == "one.example.org"
        m.write_conf(hostname="four.example.org")
        m.process.send_signal(signal.SIGHUP)
        m.wait_log(r"role=gate .*ev=tiny\.reload hostname=four", start=at)
        assert session.ask("hostname") == "four.example.org"


def test_reload_says_who_refuses(folder):
    with TinyMaster(folder) as m:
        at = m.log_end()
        m.write_conf(hostname="smtp.example.org")       # the tiny smtp does not like it
        done = m.command("reload")
        assert done.returncode == 78
        # whatever a role says is one line, and nothing that a terminal obeys
        assert done.stderr == WAITS + "postroom: not reloaded: smtp: hostname: not to the taste of smtp" \
            "\\x1b[1m\\x0aauth: \\xc2\\x9b!\n"
        m.wait_log(r"lvl=error .*ev=master\.reload_refused child=smtp worker=0 reason=\"hostname: not",
                   start=at)
        m.wait_log(r"ev=master\.reloaded res=refused", start=at)
        assert m.ask("lmtp", "hostname") == "smtp.example.org"
        # one that dies of it has refused it, too
        m.write_conf(hostname="imap-dies.example.org")
        at = m.log_end()
        done = m.command("reload")
        assert done.returncode == 78
        assert done.stderr == WAITS + "postroom: not reloaded: imap: it ended instead of answering\n"
        # what a role refused is not the next one's fault
        m.write_conf(hostname="fine.example.org")
        m.wait_log(r"role=imap .*ev=role\.ready", start=at)
        done = m.command("reload")
        assert (done.returncode, done.stderr) == (0, WAITS)
        m.wait_log(r"ev=master\.reloaded res=ok", start=at)


def test_reload_says_what_master_refuses(folder):
    """The command itself does not read secrets."""
    with TinyMaster(folder) as m:
        m.key.rename(folder / "elsewhere")
        done = m.command("reload")
        assert done.returncode == 78
        assert done.stderr.startswith("postroom: not reloaded: ") and "key" in done.stderr
        (folder / "elsewhere").rename(m.key)
        assert m.command("reload").returncode == 0


@pytest.mark.parametrize("old,new", [
    ('listen "lmtp" { protocol = lmtp address = { "', 'listen "lmtp" { protocol = lmtp address = { "127.0.0.1:0", "'),
    ("lmtp { workers = 1 }", "lmtp { workers = 2 }"),
    ("smtp { workers = 1 }", "smtp { workers = 1 message_max = 1M }"),
    ("smtp { workers = 1 }", "smtp { workers = 1 }\noutbound { enabled = yes }"),
    ("mail_root = \"", "mail_root = \"/srv"),
    ('hostname = "', 'user_resolver = "nobody"\nhostname = "'),
    ('hostname = "', 'hostname = "mx.'),
    ("imap { ", 'imap { mailboxes_default = { "Sent Items:\\\\Sent" } '),
    ("smtp { workers = 1 }", "smtp { workers = 1 }\nstore { open_max = 100 }"),
])
def test_reload_says_what_waits_for_a_start(folder, old, new):
    with TinyMaster(folder) as m:
        before, at = m.conf.read_text(), m.log_end()
        m.conf.write_text(before.replace(old, new, 1))
        done = m.command("reload")
        assert done.returncode == 0, done
        assert done.stderr == WAITS, done
        m.wait_log(r"lvl=warn .*ev=master\.reload reason=.changed addresses", start=at)
        assert m.command("reload").stderr == ""


def test_reload_waits_for_every_role(folder):
    with TinyMaster(folder) as m:
        at = m.log_end()
        slow = int(m.ask("smtp", "pid"))
        os.kill(slow, signal.SIGSTOP)
        reload = [m.exe, "--config", m.conf, "reload"]
        first = subprocess.Popen(reload)
        m.wait_log(r"role=gate .*ev=tiny\.reload hostname=one", start=at)
        # a second one, before all have answered the first
        m.write_conf(hostname="two.example.org")
        second = subprocess.Popen(reload)
        for r in set(ROLES) - {"smtp"}:
            m.wait_log(rf"role={r} .*ev=tiny\.reload hostname=two", start=at)
        assert first.poll() is None and second.poll() is None
        assert "ev=master.reloaded" not in m.log_text()[at:]
        os.kill(slow, signal.SIGCONT)
        assert (first.wait(180), second.wait(180)) == (0, 0)
        assert m.ask("smtp", "hostname") == "two.example.org"
        state = m.runtime / "master.reload"
        assert state.read_text() == "2 2 1\n" and state.stat().st_mode & 0o777 == 0o600
    assert not state.exists()


def state_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def halt(pid):
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 180
    while state_of(pid) != "T":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_reload_waits_for_the_one_behind_it(folder):
    """What became of the first is not known any more once the second has begun."""
    with TinyMaster(folder) as m:
        at = m.log_end()
        smtp, lmtp = (int(m.ask(r, "pid")) for r in ("smtp", "lmtp"))
        m.write_conf(hostname="smtp.example.org")
        halt(smtp)
        first = subprocess.Popen([m.exe, "--config", m.conf, "reload"], stderr=subprocess.PIPE, text=True)
        m.wait_log(r"role=lmtp .*ev=tiny\.reload", start=at)
        halt(first.pid)
        os.kill(smtp, signal.SIGCONT)
        m.wait_log(r"ev=master\.reloaded res=refused", start=at)
        at = m.log_end()
        halt(lmtp)
        m.process.send_signal(signal.SIGHUP)
        m.wait_log(r"role=smtp .*ev=tiny\.reload", start=at)
        os.kill(first.pid, signal.SIGCONT)
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(0.7)
        os.kill(lmtp, signal.SIGCONT)
        said = first.communicate(timeout=180)[1]
        assert first.returncode == 78 and said.startswith("postroom: not reloaded: smtp: "), said


def test_reload_waits_for_a_role_that_is_not_running(folder):
    with TinyMaster(folder) as m:
        at = m.log_end()
        program = folder / "libexec/postroom-imap"
        program.rename(folder / "kept")
        program.symlink_to("/bin/false")
        os.kill(m.pids("imap")[0], signal.SIGKILL)
        m.wait_log(r"ev=master\.died child=imap worker=0 child_pid=\d+ status=1", start=at)
        done = m.command("reload")
        assert done.returncode == 78
        assert done.stderr == "postroom: not reloaded: imap: it does not start; see the log\n"
        program.unlink()
        (folder / "kept").rename(program)
        at = m.log_end()
        done = m.command("reload")
        assert (done.returncode, done.stderr) == (0, "")
        m.wait_log(r"role=imap .*ev=role\.ready", start=at)


def test_reload_while_the_server_starts(folder):
    """The signal is kept for later, where it would be the end of a program that is not ready for it."""
    m = TinyMaster(folder)
    os.mkfifo(m.log_path, 0o640)
    p = m.spawn()
    try:
        pid = m.runtime / "master.pid"
        until = time.monotonic() + 180
        while not pid.exists() or pid.read_text() != f"{p.pid}\n":
            assert p.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        p.send_signal(signal.SIGHUP)
        with open(m.log_path, errors="replace") as log:     # master waits for a reader
            assert any("ev=master.reloaded res=ok" in line for line in log), p.wait(180)
            p.send_signal(signal.SIGTERM)
            assert "ev=master.end" in log.read()
        assert p.wait(180) == 0
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()


def test_reload_is_not_told_of_an_older_server(folder):
    with TinyMaster(folder) as m:
        m.write_conf(hostname="smtp.example.org")
        assert m.command("reload").returncode == 78
        kill_master(m)
        m.write_conf(hostname="one.example.org")
        m.start()
        assert m.command("reload").returncode == 0


def test_reload_keeps_the_runtime_folder(folder):
    other = folder / "other"
    other.mkdir(mode=0o750)
    (other / "master.pid").write_text("1\n")    # of another server
    with TinyMaster(folder) as m:
        at = m.log_end()
        m.conf.write_text(m.conf.read_text().replace(f'"{m.runtime}"', f'"{other}"'))
        m.process.send_signal(signal.SIGHUP)
        m.wait_log(r"ev=master\.reload .*when the server is started again", start=at)
        m.wait_log(r"role=gate .*ev=tiny\.reload", start=at)
    assert (other / "master.pid").exists()
    assert not (m.runtime / "master.pid").exists()
    assert not (m.runtime / "auth").exists()


def test_reload_opens_a_rotated_log_again(folder):
    with TinyMaster(folder) as m:
        rotated = folder / "log.1"
        m.log_path.rename(rotated)
        m.process.send_signal(signal.SIGHUP)
        m.wait_log(r"role=gate .*ev=tiny\.reload")
        size = rotated.stat().st_size
        m.ask("smtp", "pid")
        assert rotated.stat().st_size == size


def test_orderly_stop(folder):
    m = TinyMaster(folder, workers=2)
    m.start()
    at = m.log_end()
    m.stop()
    ends = re.findall(r"ev=master\.ended child=(\w+)", m.log_text()[at:])
    asked = re.findall(r"role=(\w+) pid=\d+ ev=tiny\.stop", m.log_text()[at:])
    for order in (ends, asked):
        assert sorted(order[:4]) == ["gate", "imap", "imap", "smtp"]
        assert order[4:] == ["queue", "lmtp", "auth"]
    assert "master.died" not in m.log_text()[at:]
    assert m.log_text().rstrip().splitlines()[-1].split("ev=")[1].startswith("master.end ")
    assert os.listdir(m.runtime) == ["gate"] and os.listdir(m.runtime / "gate") == []


def test_role_that_hangs_is_left_behind(folder):
    """A role that does not finish ends itself after 10 s; master waits for it."""
    m = TinyMaster(folder, env={"TINY_HANG": "1"})
    m.start()
    pid = m.pids("auth")[0]
    for r in ROLES[1:]:            # only auth is left to hang: the rest has its own end
        os.kill(m.pids(r)[0], signal.SIGSTOP)
    os.kill(pid, 0)
    at = m.log_end()
    for r in ROLES[1:]:
        os.kill(m.pids(r)[0], signal.SIGKILL)
    begin = time.monotonic()
    m.process.send_signal(signal.SIGTERM)
    assert m.process.wait(180) == 0
    took = time.monotonic() - begin
    m.process = None
    assert took > 9
    assert re.search(r"ev=role\.stop reason=\"sessions did not end in time\"", m.log_text()[at:])


def test_master_killed_takes_its_roles_along(folder):
    m = TinyMaster(folder).start()
    kill_master(m)
    # stale sockets and the old pid file are no obstacle
    with m:
        assert m.ask("gate", "hello") == "hello"


def test_second_instance_is_refused(folder):
    with TinyMaster(folder) as m:
        second = m.spawn()
        assert second.wait(180) == 1
        assert "another postroom runs" in m.stderr_text()
        (folder / "stderr").write_text("")
        assert m.ask("gate", "still there") == "still there"
        assert os.path.exists(m.runtime / "auth")


def test_port_in_use_is_an_error(folder):
    m = TinyMaster(folder)
    with socket.create_server(("127.0.0.1", m.imap_port)):
        p = m.spawn()
        assert p.wait(180) == 1
    assert f"cannot listen on 127.0.0.1:{m.imap_port}: Address already in use" in m.stderr_text()
    assert not os.path.exists(m.runtime / "auth") and not os.path.exists(m.runtime / "master.pid")


def test_stop_command_waits(folder):
    m = TinyMaster(folder).start()
    assert m.command("stop").returncode == 0
    assert m.process.wait(180) == 0
    m.process = None
    assert m.command("stop").returncode == 1
    assert "not running" in m.command("reload").stderr


def test_another_runtime_dir_is_told(folder):
    with TinyMaster(folder) as m:
        text = m.conf.read_text()
        m.conf.write_text(text.replace(f'"{m.runtime}"', f'"{m.runtime}2"'))
        for command in ("reload", "stop"):
            done = m.command(command)
            assert done.returncode == 1
            assert f"not running: nobody holds {m.runtime}2/master.pid" in done.stderr
            assert "another runtime_dir" in done.stderr
        m.conf.write_text(text)
        assert m.command("reload").returncode == 0


@pytest.mark.skipif(not ROOT, reason="asks for system users as root")
def test_missing_user_is_a_clear_error(folder):
    m = TinyMaster(folder, extra='user_gate = "postroom-nobody-has"\n')
    p = m.spawn()
    assert p.wait(180) == 1
    assert "the system user postroom-nobody-has is missing" in m.stderr_text()


def test_without_root_it_says_so(folder):
    if not ROOT:
        with TinyMaster(folder) as m:
            m.wait_log(r"lvl=warn .*ev=master\.separation")
        return
    d = folder / "plain"
    d.mkdir()
    m = TinyMaster(d)
    for path in (d, *d.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    m.process = subprocess.Popen(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", m.exe, "serve", "--config",
         m.conf], stdin=subprocess.DEVNULL, stderr=open(d / "stderr", "wb"))
    m.wait_log(r"ev=master\.ready")
    assert len(re.findall(r"lvl=warn .*ev=master\.separation uid=65534", m.log_text())) == 1
    assert m.ask("gate", "uid") == "65534"
    # walls that need no root stand all the same
    assert m.ask("gate", "try exec /bin/true") == "EPERM"
    m.stop()


def test_lookup_speaks_socketmap(folder):
    """The command against a scripted service in the place of the directory socket."""
    import threading
    m = TinyMaster(folder)
    m.runtime.mkdir()
    answers = {b"alias a@example.org": b"OK b@example.org,c@example.org",
               b"alias nobody@example.org": b"NOTFOUND ", b"mailbox x": b"TEMP try later",
               b"domain odd": b"HUH"}
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(m.runtime / "directory"))
        s.listen()

        def serve():
            for _ in range(4):
                c, _ = s.accept()
                data = c.recv(1000)
                n, rest = data.split(b":", 1)
                assert rest[int(n):] == b","
                a = answers[rest[:int(n)]]
                reply = b"%d:%s," % (len(a), a)
                for i in range(len(reply)):
                    c.sendall(reply[i:i + 1])
                c.close()

        t = threading.Thread(target=serve)
        t.start()
        done = m.command("lookup", "alias", "a@example.org")
        assert (done.returncode, done.stdout) == (0, "b@example.org,c@example.org\n")
        assert m.command("lookup", "alias", "nobody@example.org").returncode == 1
        assert m.command("lookup", "mailbox", "x").returncode == 75
        assert m.command("lookup", "domain", "odd").returncode == 69
        t.join()
    assert m.command("lookup", "domain", "x").returncode == 75
    assert m.command("lookup", "domain").returncode == 2


def test_help_lists_every_command(folder):
    m = TinyMaster(folder)
    out = m.command("--help").stdout
    for name in ("serve", "check", "config", "reload", "stop", "lookup", "auth", "store"):
        assert re.search(rf"^  {name} ", out, re.M)
    assert m.command("no-such-command").returncode == 2
    assert m.command("check").returncode == 0
    assert "hostname" in m.command("config", "-n").stdout
