"""A private slapd with the sample organisation of config/ldap, on loopback.

    d = Slapd(tmp_path, certs=Certs(...))      # or without certs: no StartTLS, no ldaps
    d.start()
    d.uri                  # "ldap://localhost:40123"
    d.ldaps_uri            # with certs only
    d.ldapi_uri            # "ldapi://%2F..."
    d.set_password("anna.berg", "new")
    d.modify("uid=...", {"mail": ["a@example.org"]})
    d.stop(); d.start()    # the data stay
    d.log_text()           # slapd's "stats" log: every bind, search and result

More of slapd: overlays=("memberof", "ppolicy", "dynlist") loads these, and with them the entries of
OVERLAY_LDIF; client_certs="try" or "demand" asks clients for a certificate; settings= are further
lines for the head of slapd.conf, database_settings= for its end (limits, overlays); env= is its environment; quiet=True: no log, as
Debian's. Several instances of
the same entries are replicas that a test may stop one by one.

Everybody's password is secret-<uid>; the service account is SERVICE_DN with
SERVICE_PASSWORD. Also a program, for ./quickstart:

    python3 -m harness.slapd DIR [--port N] [--tls-port N] [--ca F --cert F --key F]

runs until it is ended by a signal and prints one line once it answers.
"""
import argparse
import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

from .ports import free_port

BASE = "dc=example,dc=org"
ADMIN_DN = f"cn=admin,{BASE}"
ADMIN_PASSWORD = "admin-secret"
SERVICE_DN = f"cn=postroom,ou=services,{BASE}"
SERVICE_PASSWORD = "postroom-service"
DOMAIN = "example.org"

SOURCE = Path(__file__).resolve().parents[3]
LDAP_FILES = SOURCE / "config" / "ldap"
SCHEMA_DIR = "/etc/ldap/schema"
MODULE_DIR = "/usr/lib/ldap"


OVERLAYS = {
    # writes memberOf when a group is written, so not for the entries that slapadd loads
    "memberof": ("", "overlay memberof\nmemberof-refint TRUE\n"),
    "ppolicy": ("", f"overlay ppolicy\nppolicy_default cn=default,ou=policies,{BASE}\n"
                    "ppolicy_use_lockout\n"),
    "dynlist": ("include @SCHEMADIR@/dyngroup.schema\n",
                "overlay dynlist\ndynlist-attrset groupOfURLs memberURL member\n"),
}
LOCKOUT = 5

# Accounts of which ppolicy has something to say, by uid; the password is secret-<uid>:
# dora   switched off by the administrator       lena   nothing, until LOCKOUT wrong passwords
# fritz  password expired                        grete  expired, but ten more logins are granted
# gerda  password expires within the day         mona   must change the password
PPOLICY_PEOPLE = {
    "dora": "pwdAccountLockedTime: 000001010000Z\n",
    "fritz": "pwdChangedTime: 20200101000000Z\n",
    "grete": f"pwdChangedTime: 20200101000000Z\npwdPolicySubentry: cn=grace,ou=policies,{BASE}\n",
    "gerda": "pwdChangedTime: @SOON@\n",
    "lena": "",
    "mona": "pwdReset: TRUE\n",
}


def _policy(name, more=""):
    return (f"dn: cn={name},ou=policies,{BASE}\nobjectClass: device\nobjectClass: pwdPolicy\n"
            f"cn: {name}\npwdAttribute: userPassword\npwdLockout: TRUE\n"
            f"pwdMaxFailure: {LOCKOUT}\npwdLockoutDuration: 0\npwdMustChange: TRUE\n"
            f"pwdMaxAge: 8640000\npwdExpireWarning: 86400\n{more}\n")


def overlay_ldif(overlay):
    """Entries for an overlay; they are loaded with slapadd, so operational attributes are given."""
    if overlay == "ppolicy":
        # half a day before the end of pwdMaxAge
        soon = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 8640000 + 43200))
        text = f"dn: ou=policies,{BASE}\nobjectClass: organizationalUnit\nou: policies\n\n" \
            + _policy("default") + _policy("grace", "pwdGraceAuthnLimit: 10\n")
        for uid, more in PPOLICY_PEOPLE.items():
            text += (f"dn: {user_dn(uid)}\nobjectClass: inetOrgPerson\nuid: {uid}\n"
                     f"cn: {uid.capitalize()}\nsn: {uid.capitalize()}\nmail: {uid}@{DOMAIN}\n"
                     f"userPassword: {ssha(password_of(uid))}\n{more.replace('@SOON@', soon)}\n")
        return text
    if overlay == "dynlist":
        return (f"dn: cn=norway,ou=groups,{BASE}\nobjectClass: groupOfURLs\n"
                f"objectClass: postroomGroup\ncn: norway\nmail: norway@{DOMAIN}\n"
                f"memberURL: ldap:///ou=people,{BASE}??one?(uid=tove.nilsen)\n\n")
    return ""


def password_of(uid):
    """The password with which example.ldif has this user."""
    return f"secret-{uid}"


def user_dn(uid):
    return f"uid={uid},ou=people,{BASE}"


def ssha(password):
    salt = os.urandom(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest()
                                       + salt).decode()


class SlapdError(Exception):
    pass


class Slapd:
    """One instance below `directory`, which is made. ca, cert, key: PEM files of TLS."""

    def __init__(self, directory, ca=None, cert=None, key=None, port=None, tls_port=None,
                 ldif=None, host="localhost", overlays=(), client_certs=None, settings="",
                 database_settings="", env=None, quiet=False):
        self.env = env
        self.quiet = quiet
        self.dir = Path(directory)
        self.ca, self.cert, self.key = ca, cert, key
        self.host = host
        self.port = port or free_port()
        self.tls_port = (tls_port or free_port()) if cert else None
        self.log_path = self.dir / "slapd.log"
        self.conf = self.dir / "slapd.conf"
        self.ldif = Path(ldif) if ldif else LDAP_FILES / "example.ldif"
        self.overlays = overlays
        self.client_certs = client_certs
        self.settings, self.database_settings = settings, database_settings
        self.process = None
        self.used_by = []  # those that have to find it again after an outage
        self._prepare()

    # where it listens
    @property
    def uri(self):
        return f"ldap://{self.host}:{self.port}"

    @property
    def ldaps_uri(self):
        return f"ldaps://{self.host}:{self.tls_port}"

    @property
    def ldapi_uri(self):
        return "ldapi://" + urllib.parse.quote(str(self.dir / "ldapi"), safe="")

    def _prepare(self):
        data = self.dir / "data"
        data.mkdir(parents=True, exist_ok=True)
        tls = ""
        if self.cert:
            tls = f"TLSCertificateFile {self.cert}\nTLSCertificateKeyFile {self.key}\n"
            if self.ca:
                tls += f"TLSCACertificateFile {self.ca}\n"
            if self.client_certs:
                tls += f"TLSVerifyClient {self.client_certs}\n"
        text = (LDAP_FILES / "slapd.conf.in").read_text()
        head = "".join(f"{OVERLAYS[o][0]}moduleload {o}\n" for o in self.overlays)
        if self.quiet:
            head += "loglevel none\n"
        text = text.replace("@TLS@", f"{head}{self.settings}\n@TLS@")
        # after the access rules: an overlay ends the part of the database itself
        text += "\n" + self.database_settings + "".join(OVERLAYS[o][1] for o in self.overlays)
        for name, value in {"DIR": self.dir, "TLS": tls, "SCHEMADIR": SCHEMA_DIR,
                            "MODULEDIR": MODULE_DIR, "ADMIN_PASSWORD": ADMIN_PASSWORD,
                            "POSTROOM_SCHEMA": LDAP_FILES / "postroom.schema"}.items():
            text = text.replace(f"@{name}@", str(value))
        self.conf.write_text(text)
        os.chmod(self.conf, 0o600)
        if not (data / "data.mdb").exists():
            self._load(self.ldif)
            more = "".join(overlay_ldif(o) for o in self.overlays)
            if more:
                path = self.dir / "overlays.ldif"
                path.write_text(more)
                self._load(path)

    def _load(self, ldif):
        done = subprocess.run(["/usr/sbin/slapadd", "-q", "-f", self.conf, "-l", ldif],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SlapdError(f"slapadd: {done.stdout}{done.stderr}")

    def start(self, timeout=180):
        if self.process is not None:
            return self
        urls = [f"ldap://127.0.0.1:{self.port}/", self.ldapi_uri + "/"]
        if self.tls_port:
            urls.append(f"ldaps://127.0.0.1:{self.tls_port}/")
        log = open(self.log_path, "ab")
        # -d keeps it in the foreground, so the pid is ours; 256: stats
        level = "0" if self.quiet else "256"
        self.process = subprocess.Popen(
            ["/usr/sbin/slapd", "-d", level, "-f", str(self.conf), "-h", " ".join(urls)],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
        log.close()
        until = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise SlapdError("slapd did not start:\n" + self.log_text()[-2000:])
                time.sleep(0.05)
        for who in self.used_by:
            who.await_directory()
        return self

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
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

    # changes, as the administrator
    def _tool(self, name, ldif):
        done = subprocess.run(
            [name, "-x", "-H", self.ldapi_uri, "-D", ADMIN_DN, "-w", ADMIN_PASSWORD],
            input=ldif, capture_output=True, text=True,
            env={**os.environ, "LDAPNOINIT": "1"})
        if done.returncode != 0:
            raise SlapdError(f"{name}: {done.stderr}\n{ldif}")

    def add(self, ldif):
        """Add the entries of an LDIF text."""
        self._tool("ldapadd", ldif)

    def modify(self, dn, attributes):
        """Replace each attribute's values by a list; an empty list removes it."""
        lines = [f"dn: {dn}", "changetype: modify"]
        for name, values in attributes.items():
            lines.append(f"replace: {name}")
            lines += [f"{name}: {v}" for v in values]
            lines.append("-")
        self._tool("ldapmodify", "\n".join(lines) + "\n")

    def rename(self, dn, rdn):
        """rdn takes the place of the first part of dn; the rest of the entry stays."""
        self._tool("ldapmodify",
                   f"dn: {dn}\nchangetype: modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1\n")

    def delete(self, dn):
        self._tool("ldapmodify", f"dn: {dn}\nchangetype: delete\n")

    def set_password(self, user, password):
        """user: a uid of the sample organisation, or a DN."""
        dn = user if "=" in user else user_dn(user)
        self.modify(dn, {"userPassword": [ssha(password)]})


def main():
    p = argparse.ArgumentParser()
    p.add_argument("dir")
    p.add_argument("--port", type=int)
    p.add_argument("--tls-port", type=int)
    for name in ("--ca", "--cert", "--key"):
        p.add_argument(name)
    a = p.parse_args()
    d = Slapd(a.dir, ca=a.ca, cert=a.cert, key=a.key, port=a.port, tls_port=a.tls_port)
    done = []
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: done.append(1))
    d.start()
    print(f"slapd pid={d.process.pid} {d.uri}", flush=True)
    try:
        while not done and d.process.poll() is None:
            time.sleep(0.2)
    finally:
        d.stop()
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
