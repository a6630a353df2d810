"""A private MariaDB of Debian's packages, in a temporary directory, on a unix socket and a loopback port.

    d = MariaDb(directory)                 # MariaDb(directory, certs=Certs(...)) speaks TLS too
    d.start()
    d.socket, d.port
    d.sql("CREATE DATABASE mail; …")       # as the administrator; returns what the client prints
    d.add_user("postroom", "secret", "mail")
    d.stop(); d.start()                    # the data stay

The server refuses to run as root; started by root it runs as the system's mysql user. The system's
own instance, its files and its port are not touched.
"""
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

from .ports import free_ports


def as_user(name):
    """What to put before a command so that it runs as name; nothing when we are not root."""
    if os.getuid() != 0:
        return []
    return ["setpriv", f"--reuid={name}", f"--regid={name}", "--clear-groups"]


class MariaDb:
    USER = "mysql"

    def __init__(self, directory, certs=None):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.data = self.dir / "data"
        self.socket = self.dir / "sock"
        self.log_path = self.dir / "mariadb.log"
        self.port = free_ports(1)[0]
        self.certs = certs
        self.process = None
        self._prepare()

    def _give(self, path):
        if os.getuid() == 0:
            user = pwd.getpwnam(self.USER)
            os.chown(path, user.pw_uid, user.pw_gid)

    def _prepare(self):
        self.dir.chmod(0o755)
        self._give(self.dir)
        self.tls = []
        if self.certs:
            key = self.dir / "server.key"
            key.write_bytes(Path(self.certs.key).read_bytes())
            key.chmod(0o400)
            self._give(key)
            self.tls = [f"--ssl-ca={self.certs.ca}", f"--ssl-cert={self.certs.cert}",
                        f"--ssl-key={key}"]
        if self.data.exists():
            return
        self.data.mkdir()
        self._give(self.data)
        done = subprocess.run(
            [*as_user(self.USER), "mariadb-install-db", "--no-defaults",
             f"--datadir={self.data}", "--auth-root-authentication-method=normal",
             "--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=4M"],
            capture_output=True, text=True, cwd=self.dir, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"mariadb-install-db: {done.stdout}{done.stderr}")

    def start(self, timeout=180):
        if self.process is not None:
            return self
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*as_user(self.USER), "mariadbd", "--no-defaults", f"--datadir={self.data}",
                 f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
                 f"--pid-file={self.dir}/pid", "--skip-name-resolve", "--innodb-log-file-size=4M",
                 "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2", *self.tls],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir)
        until = time.monotonic() + timeout
        while True:
            done = self._client("SELECT 1")
            if done.returncode == 0:
                return self
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError("MariaDB did not start:\n" + done.stderr + self.log_text()[-3000:])
            time.sleep(0.1)

    def stop(self, hard=False):
        """hard: without a good-bye, as if the machine had lost power."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            try:
                self.process.wait(180)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _client(self, text, database=""):
        return subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch",
             "--skip-column-names", "--default-character-set=utf8mb4", *([database] if database else [])],
            input=text, capture_output=True, text=True, timeout=180)

    def sql(self, text, database=""):
        done = self._client(text, database)
        if done.returncode != 0:
            raise RuntimeError(f"{done.stderr}\n{text}")
        return done.stdout

    def add_user(self, name, password, database):
        """An account that may read database, from the socket and from loopback."""
        for host in ("localhost", "127.0.0.1"):
            self.sql(f"CREATE USER '{name}'@'{host}' IDENTIFIED BY '{password}';"
                     f"GRANT SELECT ON `{database}`.* TO '{name}'@'{host}';")
