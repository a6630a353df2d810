"""A private PostgreSQL of Debian's packages, in a temporary directory, on a unix socket and a loopback port.

    d = Postgres(directory)                # Postgres(directory, certs=Certs(...)) speaks TLS too
    d.start()
    d.socket_dir, d.port                   # libpq: host=SOCKET_DIR port=PORT, or host=127.0.0.1
    d.sql("CREATE TABLE …", "mail")        # as the administrator; returns what the client prints
    d.create_database("mail"); d.add_user("postroom", "secret", "mail")
    d.stop(); d.start()                    # the data stay

The server refuses to run as root; started by root it runs as the system's postgres user. Passwords
are asked for by SCRAM-SHA-256 on TCP and on the socket, but for the administrator on the socket.
"""
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

from .ports import free_ports
from .mariadb import as_user


def programs():
    """Debian keeps each version's programs in a folder of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                   key=lambda p: int(p.parts[4]))
    if not found:
        raise RuntimeError("no PostgreSQL below /usr/lib/postgresql")
    return found[-1].parent


class Postgres:
    USER = "postgres"

    def __init__(self, directory, certs=None):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.bin = programs()
        self.data = self.dir / "data"
        self.socket_dir = self.dir
        self.log_path = self.dir / "postgres.log"
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
            self.tls = ["-c", "ssl=on", "-c", f"ssl_cert_file={self.certs.cert}",
                        "-c", f"ssl_key_file={key}", "-c", f"ssl_ca_file={self.certs.ca}"]
        if self.data.exists():
            return
        done = subprocess.run(
            [*as_user(self.USER), self.bin / "initdb", "-D", self.data, "-A", "trust",
             "-U", self.USER, "-N", "-E", "UTF8", "--locale=C.UTF-8"],
            capture_output=True, text=True, cwd=self.dir, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"initdb: {done.stdout}{done.stderr}")
        hba = self.data / "pg_hba.conf"
        hba.write_text(f"local all {self.USER} trust\nlocal all all scram-sha-256\n"
                       "host all all 127.0.0.1/32 scram-sha-256\n")

    def start(self, timeout=180):
        if self.process is not None:
            return self
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*as_user(self.USER), self.bin / "postgres", "-D", self.data, "-k", self.dir,
                 "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                 "-c", "shared_buffers=16MB", "-c", "log_connections=on", *self.tls],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir)
        until = time.monotonic() + timeout
        while True:
            done = self._client("SELECT 1", "postgres")
            if done.returncode == 0:
                return self
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError("PostgreSQL did not start:\n" + done.stderr
                                   + self.log_text()[-3000:])
            time.sleep(0.1)

    def stop(self, hard=False):
        """At once, also while clients are connected. hard: as if the machine had lost power."""
        if self.process is None:
            return
        if self.process.poll() is None:
            # SIGINT is its "fast" shutdown; SIGQUIT leaves recovery to the next start.
            self.process.send_signal(signal.SIGQUIT if hard else signal.SIGINT)
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

    def _client(self, text, database):
        return subprocess.run(
            [self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
             "-h", self.dir, "-p", str(self.port), "-U", self.USER, "-d", database],
            input=text, capture_output=True, text=True, timeout=180)

    def sql(self, text, database="postgres"):
        done = self._client(text, database)
        if done.returncode != 0:
            raise RuntimeError(f"{done.stderr}\n{text}")
        return done.stdout

    def create_database(self, name):
        self.sql(f'CREATE DATABASE "{name}"')

    def add_user(self, name, password, database):
        """An account that may read all tables of database, also those made later."""
        self.sql(f"CREATE USER \"{name}\" PASSWORD '{password}'")
        self.sql(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{name}";'
                 f'ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO "{name}"',
                 database)
