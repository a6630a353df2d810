"""Debian's Dovecot 2.3 as a private server on loopback: for comparisons in tests and bench/.

    d = Dovecot(directory, certs, slapd=None, mail="sdbox")   # or "maildir"; ldap_settings="…"
    d.start(); d.imap_port, d.imaps_port, d.lmtp_socket; d.stop()

Without slapd everybody's password is "pass"; with it each login binds as uid=%n of the sample
organisation. Everything lies below `directory`, nothing of the system's is read or written. Needs
root, as Dovecot's own users (dovecot, dovenull) and vmail do.
"""
import imaplib
import os
import pwd
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import slapd as slapd_module
from .ports import free_ports

CONF = """
protocols = imap lmtp
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
auth_verbose = no
mail_location = {location}
mail_home = {dir}/home/%d/%n
mail_uid = vmail
mail_gid = vmail
first_valid_uid = 1
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Lu
mail_max_userip_connections = 20000
default_process_limit = 1500
default_client_limit = 6000
mail_plugins =
postmaster_address = postmaster@example.org
lda_mailbox_autocreate = yes
# As its documentation advises for many logins: login processes are kept.
service imap-login {{
  service_count = 0
  process_min_avail = 2
  vsz_limit = 1G
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap_port}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {imaps_port}
    ssl = yes
  }}
}}
service imap {{
  service_count = 100
  process_min_avail = 2
  # for a mailbox of a million messages
  vsz_limit = 4G
}}
service lmtp {{
  process_min_avail = 2
  unix_listener {lmtp} {{
    mode = 0666
  }}
}}
service stats {{
  client_limit = 6000
}}
service anvil {{
  client_limit = 6000
}}
service auth {{
  client_limit = 6000
}}
{auth}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""

STATIC = """
passdb {{
  driver = static
  args = password=pass
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home={dir}/home/%d/%n
}}
"""

LDAP = """
passdb {{
  driver = ldap
  args = {dir}/ldap.conf
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home={dir}/home/%d/%n allow_all_users=yes
}}
"""

LDAP_CONF = """
uris = {uri}
ldap_version = 3
tls = {tls}
tls_ca_cert_file = {ca}
tls_require_cert = hard
auth_bind = yes
auth_bind_userdn = uid=%n,ou=people,{base}
base = {base}
"""


class Dovecot:
    def __init__(self, directory, certs, slapd=None, mail="sdbox", settings="",
                 ldap_settings=""):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True)
        self.dir.chmod(0o755)
        self.imap_port, self.imaps_port = free_ports(2)
        self.lmtp_socket = self.dir / "lmtp"
        self.process = None
        vmail = pwd.getpwnam("vmail")
        (self.dir / "home").mkdir()
        os.chown(self.dir / "home", vmail.pw_uid, vmail.pw_gid)
        location = {"sdbox": "sdbox:~/mail", "maildir": "maildir:~/Maildir"}[mail]
        if slapd:
            (self.dir / "ldap.conf").write_text(LDAP_CONF.format(
                # libldap checks the machine's own name where the URI says localhost
                uri=f"ldap://127.0.0.1:{slapd.port}", tls="yes" if slapd.cert else "no", ca=slapd.ca or "",
                base=slapd_module.BASE) + ldap_settings)
        auth = (LDAP if slapd else STATIC).format(dir=self.dir)
        self.conf = self.dir / "dovecot.conf"
        self.conf.write_text(CONF.format(
            dir=self.dir, location=location, cert=certs.cert, key=certs.key,
            imap_port=self.imap_port, imaps_port=self.imaps_port, lmtp=self.lmtp_socket,
            auth=auth) + settings)

    def start(self, timeout=180):
        self.process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(self.conf)],
                                        stdin=subprocess.DEVNULL)
        until = time.monotonic() + timeout
        while True:
            try:
                with imaplib.IMAP4("127.0.0.1", self.imap_port):
                    return self
            except (OSError, imaplib.IMAP4.error):
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise RuntimeError("dovecot did not start: " + self.log_text()[-2000:])
                time.sleep(0.05)

    def log_text(self):
        p = self.dir / "log"
        return p.read_text(errors="replace") if p.exists() else ""

    def pids(self):
        """All its processes: the master and its children."""
        out = [self.process.pid]
        for p in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(p.read_text().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    out.append(int(p.parent.name))
            except (OSError, ValueError):
                continue
        return out

    def stop(self):
        if self.process is None:
            return
        services = self.pids()[1:]
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(180)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        # one that still closes thousands of sessions keeps its socket, and the next start fails
        until = time.monotonic() + 180
        while any(Path(f"/proc/{pid}").exists() for pid in services) and time.monotonic() < until:
            time.sleep(0.05)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def imap(self, user, password="pass"):
        c = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=120)
        c.login(user, password)
        return c

    def lmtp_ready(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.lmtp_socket))
            return s.recv(100).startswith(b"220")
