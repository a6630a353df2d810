"""A whole Postroom in a temporary directory, on loopback ports, against a private slapd.

    i = Instance(directory, slapd, certs, settings="imap {\n idle_timeout = 1h\n}")
    i.start()
    i.imap_port, i.imaps_port, i.submission_port, i.submissions_port, i.lmtp_port
    i.socket("auth")          # path of a socket below runtime_dir
    i.pids("imap")            # process ids of a role's workers
    i.log_text(), i.wait_log("ev=queue.done")
    i.stop()                  # checks that the end was orderly and no sanitizer complained

As root the roles run under their system users (build-aux/create-users made them) in their
cages; otherwise all run as the caller. POSTROOM_BUILD names the build folder.
"""
import imaplib
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import slapd as slapd_module
from .ports import free_ports

SOURCE = Path(__file__).resolve().parents[3]


def build_dir():
    b = os.environ.get("POSTROOM_BUILD")
    if not b:
        raise RuntimeError("POSTROOM_BUILD does not name the build folder")
    return Path(b).resolve()


def temp_dir(prefix="postroom-"):
    """A folder that the roles' users can pass through (pytest's own is 0700)."""
    d = Path(tempfile.mkdtemp(prefix=prefix))
    d.chmod(0o755)
    return d


def patient(extra):
    """The time-outs of a directory that answers, but for those that extra has."""
    return "\n\t".join(f"{t}_timeout = 60s" for t in ("setup", "search", "bind") if f"{t}_timeout" not in extra)


def directory_section(slapd, name="main", extra=""):
    """The directory section for harness.slapd's sample organisation, by search and bind. A directory that answers has
    its time, however busy the machine is, unless extra says otherwise."""
    uri = slapd.uri
    ca = f'ca = "{slapd.ca}"' if slapd.ca else ""
    starttls = "yes" if slapd.cert else "no"
    secret = slapd.dir / "service.password"
    if not secret.exists():
        secret.write_text(slapd_module.SERVICE_PASSWORD + "\n")
        secret.chmod(0o600)
    return f"""
directory "{name}" {{
	uris = {{ "{uri}" }}
	starttls = {starttls}
	{ca}
	base = "{slapd_module.BASE}"
	bind_dn = "{slapd_module.SERVICE_DN}"
	bind_password = "{secret}"
	{patient(extra)}
	{extra}
}}
"""


class Instance:
    def __init__(self, directory, slapd, certs, settings="", directory_text=None, listens=None,
                 tls=""):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.slapd = slapd
        self.certs = certs
        self.build = build_dir()
        self.conf = self.dir / "postroom.conf"
        self.log_path = self.dir / "log"
        self.runtime = self.dir / "run"
        self.mail = self.dir / "mail"
        self.spool = self.dir / "spool"
        (self.imap_port, self.imaps_port, self.submission_port, self.submissions_port,
         self.lmtp_port) = free_ports(5)
        self.settings = settings
        self.directory_text = directory_text
        self.listens = listens
        self.tls = tls  # more lines of that section
        self.process = None
        self.write_conf()

    def write_conf(self, settings=None):
        if settings is not None:
            self.settings = settings
        # what tests give may repeat sections that stand here: theirs win
        given = set(re.findall(r"^(\w+) \{", self.settings, re.M))
        text = f"""
runtime_dir = "{self.runtime}"
mail_root = "{self.mail}"
spool_dir = "{self.spool}"
libexec_dir = "{self.libexec()}"
hostname = "mail.example.org"
tls {{
	certificate = "{self.certs.cert}"
	key = "{self.certs.key}"
	{self.tls}
}}
"""
        if "log" not in given:
            text += f'log {{\n\tlevel = debug\n\tfile = "{self.log_path}"\n}}\n'
        if "auth" not in given:
            text += 'auth {\n\tdefault_domain = "example.org"\n\tfailure_delay = 0\n}\n'
        if "queue" not in given:
            text += "queue {\n\treserve = 1M\n\tretry_min = 500ms\n\tretry_max = 2s\n}\n"
        if "smtp" not in given:  # tests and benchmarks are faster than people
            text += "smtp {\n\terrors_per_minute = 0\n\tuser_messages_per_minute = 0\n" \
                "\tuser_recipients_per_minute = 0\n}\n"
        text += self.directory_text or directory_section(self.slapd)
        text += self.listens or f"""
listen "imap" {{ protocol = imap address = {{ "127.0.0.1:{self.imap_port}" }} tls = starttls }}
listen "imaps" {{ protocol = imap address = {{ "127.0.0.1:{self.imaps_port}" }} tls = implicit }}
listen "submission" {{ protocol = submission address = {{ "127.0.0.1:{self.submission_port}" }} tls = starttls }}
listen "submissions" {{ protocol = submission address = {{ "127.0.0.1:{self.submissions_port}" }} tls = implicit }}
listen "lmtp" {{ protocol = lmtp address = {{ "127.0.0.1:{self.lmtp_port}" }} }}
"""
        text += self.settings
        self.conf.write_text(text)
        self.conf.chmod(0o600)

    def libexec(self):
        """The role programs lie in different folders of the build: gather links to them."""
        d = self.dir / "libexec"
        d.mkdir(exist_ok=True)
        for p in self.build.glob("**/postroom-*"):
            if p.is_file() and os.access(p, os.X_OK) and not (d / p.name).exists():
                (d / p.name).symlink_to(p)
        return d

    def command(self, *args, check=True, **kw):
        """Run `postroom ARGS` with this instance's configuration."""
        exe = next(p for p in self.build.glob("**/postroom") if p.is_file())
        done = subprocess.run([exe, args[0], "--config", self.conf, *map(str, args[1:])],
                              capture_output=True, text=True, timeout=180, **kw)
        if check and done.returncode != 0:
            raise AssertionError(f"postroom {args}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, timeout=180):
        exe = next(p for p in self.build.glob("**/postroom") if p.is_file())
        self.stderr = open(self.dir / "stderr", "ab")
        self.process = subprocess.Popen(
            [exe, "serve", "--config", self.conf], stdin=subprocess.DEVNULL,
            stdout=self.stderr, stderr=self.stderr,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:quarantine_size_mb=8"})
        until = time.monotonic() + timeout
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > until:
                text = self.stderr_text()[-3000:] + self.log_text()[-6000:]
                self.kill()
                raise AssertionError("postroom did not start:\n" + text)
            time.sleep(0.03)
        if isinstance(self.slapd, slapd_module.Slapd):
            self.slapd.used_by.append(self)
        return self

    def await_directory(self):
        """A directory that was away is tried again after a moment: until then all that is asked of it is
        a temporary failure."""
        until = time.monotonic() + 180
        while self.process is not None and self.process.poll() is None and time.monotonic() < until:
            nobody = f"nobody-{time.monotonic_ns()}"
            if self.command("lookup", "-q", "user", nobody, check=False).returncode != 75:
                break
            time.sleep(0.1)

    def _forget(self):
        self.process = None
        if isinstance(self.slapd, slapd_module.Slapd) and self in self.slapd.used_by:
            self.slapd.used_by.remove(self)

    def _ready(self):
        """Every role's workers said that they run."""
        text = self.log_text()
        return all(f"role={r} " in text and re.search(rf"role={r} .*ev=role\.ready", text)
                   for r in ("auth", "gate", "imap", "lmtp", "smtp", "queue"))

    def pids(self, role):
        """The living processes of a role, by their name below our own process."""
        if self.process is None:
            return []
        out = []
        for p in Path("/proc").glob("[0-9]*"):
            try:
                stat = (p / "stat").read_text()
                if int(stat.rsplit(")", 1)[1].split()[1]) != self.process.pid:
                    continue
                if os.path.basename((p / "cmdline").read_bytes().split(b"\0")[0].decode()) \
                        == f"postroom-{role}":
                    out.append(int(p.name))
            except (OSError, ValueError):
                continue
        return out

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def kill(self):
        """The end without a good-bye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._forget()

    def stop(self, timeout=180):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            text = self.log_text()[-3000:]
            self.kill()
            raise AssertionError("postroom did not stop:\n" + text)
        finally:
            self._forget()
            self.stderr.close()
        assert code == 0, f"postroom ended with {code}:\n{self.stderr_text()[-3000:]}"
        self.check_sanitizers()

    def check_sanitizers(self):
        text = self.stderr_text()
        assert "Sanitizer" not in text and "runtime error" not in text, text[-6000:]

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def stderr_text(self):
        p = self.dir / "stderr"
        return p.read_text(errors="replace") if p.exists() else ""

    def _log(self):
        """The lines that are there, whole ones only."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return text[:text.rfind("\n") + 1]

    def log_text(self):
        """What is logged so far: master writes some milliseconds after the answer. For what must be
        there wait_log is better."""
        time.sleep(0.03)
        return self._log()

    def wait_log(self, pattern, timeout=180, start=0):
        """Until the log (from offset start) matches the regular expression."""
        until = time.monotonic() + timeout
        while True:
            m = re.search(pattern, self._log()[start:])
            if m:
                return m
            assert time.monotonic() < until, \
                f"{pattern!r} not in the log:\n{self._log()[start:][-4000:]}"
            time.sleep(0.03)

    def socket(self, name):
        return str(self.runtime / name)

    def home(self, user):
        local, domain = user.split("@")
        return self.mail / domain / local

    # clients, as the standard library has them
    def imap(self, user=None, password=None, tls="implicit"):
        ctx = self.certs.context()
        if tls == "implicit":
            c = imaplib.IMAP4_SSL("localhost", self.imaps_port, ssl_context=ctx, timeout=120)
        else:
            c = imaplib.IMAP4("localhost", self.imap_port, timeout=120)
            if tls == "starttls":
                c.starttls(ctx)
        if user:
            c.login(user, password or password_of(user))
        return c

    def smtp(self, user=None, password=None, tls="starttls"):
        ctx = self.certs.context()
        if tls == "implicit":
            c = smtplib.SMTP_SSL("localhost", self.submissions_port, context=ctx, timeout=120)
        else:
            c = smtplib.SMTP("localhost", self.submission_port, timeout=120)
            if tls == "starttls":
                c.starttls(context=ctx)
        if user:
            c.login(user, password or password_of(user))
        return c

    def lmtp(self):
        c = smtplib.LMTP(self.socket("lmtp"))
        c.sock.settimeout(180)
        return c

    def wait_messages(self, user, count, mailbox="INBOX", timeout=180, password=None):
        """The bodies in a mailbox as soon as it holds count messages."""
        until = time.monotonic() + timeout
        with self.imap(user, password) as c:
            while True:
                typ, data = c.select(mailbox, readonly=True)
                assert typ == "OK", data
                n = int(data[0])
                if n >= count:
                    break
                assert time.monotonic() < until, f"{user} has {n} of {count} messages\n" \
                    + self.log_text()[-4000:]
                time.sleep(0.1)
            if n == 0:
                return []
            typ, d = c.fetch("1:*", "(BODY.PEEK[])")
            assert typ == "OK", d
            return [part[1] for part in d if isinstance(part, tuple)]


def password_of(user):
    return slapd_module.password_of(user.split("@")[0])


def remove(directory):
    shutil.rmtree(directory, ignore_errors=True)
