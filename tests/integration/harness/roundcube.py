"""Debian's Roundcube with SQLite against an instance, served by PHP's own web server.

    with Roundcube(directory, instance) as r:
        r.url          # "http://localhost:40123/"
        r.log_text()   # its errors, and PHP's

Configuration, database, logs and sessions lie in `directory`; of /etc/roundcube
only the package's defaults are read.
"""
import socket
import sqlite3
import time
from pathlib import Path

from .ports import free_ports
from .program import Program

CODE = Path("/var/lib/roundcube")  # links to all parts of the package
DEFAULTS = "/etc/roundcube/defaults.inc.php"
SCHEMA = CODE / "SQL/sqlite.initial.sql"


class Roundcube:
    def __init__(self, directory, instance, settings=""):
        self.dir = Path(directory)
        self.instance = instance
        self.settings = settings
        self.port, = free_ports(1)
        self.url = f"http://localhost:{self.port}/"
        self.server = None
        self.seen = 0

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc):
        self.stop()

    def _configure(self):
        for name in ("config", "logs", "temp", "sessions"):
            (self.dir / name).mkdir(parents=True)
        database = self.dir / "roundcube.sqlite"
        with sqlite3.connect(database) as c:
            c.executescript(SCHEMA.read_text())
        i = self.instance
        tls = f"['ssl' => ['cafile' => '{i.certs.ca}', 'verify_peer' => true]]"
        (self.dir / "config" / "defaults.inc.php").write_text(
            f"<?php include '{DEFAULTS}';\n")
        (self.dir / "config" / "config.inc.php").write_text(f"""<?php
$config['db_dsnw'] = 'sqlite:///{database}?mode=0600';
$config['imap_host'] = 'ssl://localhost:{i.imaps_port}';
$config['imap_conn_options'] = {tls};
$config['smtp_host'] = 'tls://localhost:{i.submission_port}';
$config['smtp_conn_options'] = {tls};
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';
$config['log_dir'] = '{self.dir}/logs/';
$config['temp_dir'] = '{self.dir}/temp/';
$config['des_key'] = 'only-for-these-tests-xyz';
$config['language'] = 'en_US';
$config['plugins'] = [];
$config['skin'] = 'elastic';
$config['identities_level'] = 0;
$config['smtp_log'] = false;
$config['draft_autosave'] = 0;
$config['refresh_interval'] = 60;
{self.settings}
""")

    def start(self):
        self._configure()
        self.server = Program(
            "php", ["php", "-S", f"localhost:{self.port}", "-t", CODE,
                    "-d", f"session.save_path={self.dir}/sessions", "-d", "date.timezone=UTC",
                    "-d", f"error_log={self.dir}/logs/php", "-d", "display_errors=0"],
            self.dir / "php",
            env={"ROUNDCUBE_CONFIG_DIR": f"{self.dir}/config", "PHP_CLI_SERVER_WORKERS": 3})
        until = time.monotonic() + 180
        while True:
            try:
                socket.create_connection(("localhost", self.port), 1).close()
                return self
            except OSError:
                self.server.check_alive()
                assert time.monotonic() < until, self.log_text()
                time.sleep(0.03)

    def log_text(self):
        logs = sorted((self.dir / "logs").iterdir())
        return "\n".join(f"{p.name}:\n{p.read_text(errors='replace')[-3000:]}" for p in logs) \
            + self.server.text()[-1500:]

    def new_errors(self):
        """What went wrong since the last call, for Roundcube or PHP."""
        text = "".join(p.read_text(errors="replace") for p in sorted((self.dir / "logs").iterdir()))
        out, self.seen = text[self.seen:], len(text)
        return out

    def stop(self):
        if self.server:
            self.server.stop()
            self.server = None
