"""Debian's Postfix, unchanged, as a private instance in a temporary directory, on loopback.

    p = Postfix(directory, {"smtpd_sasl_type": "dovecot", ...})
    p.start(); p.port; p.log_text(); p.wait_log("status=sent"); p.stop()

Needs root, as Postfix does. The system's own instance is not touched: configuration, queue, data and
log are below `directory`, and it is stopped by the pid in its own master.pid.
"""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .ports import free_ports

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
lmtp      unix - - n - - lmtp
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, directory, settings, port=None):
        self.dir = Path(directory)
        self.conf = self.dir / "conf"
        self.queue = self.dir / "queue"
        self.log_path = self.dir / "maillog"
        self.port = port or free_ports(1)[0]
        self.conf.mkdir(parents=True)
        self.queue.mkdir()
        data = self.dir / "data"
        data.mkdir()
        user = pwd.getpwnam("postfix")
        os.chown(data, user.pw_uid, user.pw_gid)
        main = {
            "compatibility_level": "3.6",
            "queue_directory": self.queue, "data_directory": data,
            "maillog_file": self.log_path, "maillog_file_prefixes": self.dir,
            "myhostname": "postfix.example.net", "mydestination": "", "mynetworks": "",
            "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
            "local_transport": "error:no local delivery", "alias_maps": "",
            "smtputf8_enable": "no", "biff": "no", "default_process_limit": "20",
        }
        main.update(settings)
        (self.conf / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in main.items()))
        (self.conf / "master.cf").write_text(MASTER.format(port=self.port))
        for name in ("dynamicmaps.cf", "postfix-files"):
            if Path("/etc/postfix", name).exists():
                shutil.copy(f"/etc/postfix/{name}", self.conf / name)

    def _run(self, verb):
        return subprocess.run(["/usr/sbin/postfix", "-c", str(self.conf), verb],
                              capture_output=True, text=True, timeout=180)

    def start(self):
        done = self._run("start")
        until = time.monotonic() + 180
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > until:
                    raise RuntimeError(f"{done.stdout}{done.stderr}\n{self.log_text()[-3000:]}")
                time.sleep(0.1)

    def stop(self):
        pid_file = self.queue / "pid" / "master.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text())
        try:
            os.kill(pid, signal.SIGTERM)
            for _ in range(200):
                os.kill(pid, 0)
                time.sleep(0.05)
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, *texts, timeout=180):
        until = time.monotonic() + timeout
        while True:
            log = self.log_text()
            if all(t in log for t in texts):
                return log
            assert time.monotonic() < until, f"no {texts} in:\n{log[-4000:]}"
            time.sleep(0.05)
