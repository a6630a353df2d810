"""A private MIT Kerberos KDC on loopback, on free ports, all of its files below one folder.

    k = Kdc(tmp_path / "kdc")            # realm EXAMPLE.ORG; makes the database
    k.start()                            # or: with Kdc(...) as k
    k.principal("anna.berg", "secret-anna.berg")
    k.principal("ldap/localhost")        # random key
    k.keytab("ldap.keytab", "ldap/localhost")    # path of a keytab with these principals
    env = k.kinit("anna.berg", "secret-anna.berg")   # environment with her tickets
    env = k.env(KRB5_KTNAME="...")       # environment of a client or server of this realm
    k.stop(); k.start()                  # the database stays

"localhost" and 127.0.0.1 belong to the realm, and names are never looked up in the DNS.
"""
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from .ports import free_port

REALM = "EXAMPLE.ORG"

KRB5_CONF = """[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  ticket_lifetime = {lifetime}
  renew_lifetime = 0
  default_ccache_name = FILE:{dir}/ccache
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = {realm}
  .example.org = {realm}
"""

KDC_CONF = """[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {dir}/principal
    key_stash_file = {dir}/stash
    acl_file = {dir}/kadm5.acl
    max_life = 10h
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{dir}/kdc.log
  admin_server = FILE:{dir}/kadmin.log
  default = FILE:{dir}/krb5.log
"""


class KdcError(Exception):
    pass


class Kdc:
    def __init__(self, directory, realm=REALM, lifetime="10h"):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.realm = realm
        self.port = free_port()
        self.process = None
        self.krb5_conf = self.dir / "krb5.conf"
        values = {"realm": realm, "port": self.port, "dir": self.dir, "lifetime": lifetime}
        self.krb5_conf.write_text(KRB5_CONF.format(**values))
        (self.dir / "kdc.conf").write_text(KDC_CONF.format(**values))
        (self.dir / "kadm5.acl").write_text("")
        if not (self.dir / "principal").exists():
            self._run("/usr/sbin/kdb5_util", "create", "-s", "-r", realm, "-P", "master-secret")

    def env(self, **more):
        """os.environ with this realm's configuration, and more."""
        return {**os.environ, "KRB5_CONFIG": str(self.krb5_conf),
                "KRB5_KDC_PROFILE": str(self.dir / "kdc.conf"),
                **{k: str(v) for k, v in more.items()}}

    def _run(self, *command, stdin=None, env=None):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                              input=stdin, env=env or self.env(),
                              stdin=subprocess.DEVNULL if stdin is None else None)
        if done.returncode != 0:
            raise KdcError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def _kadmin(self, query):
        out = self._run("/usr/sbin/kadmin.local", "-r", self.realm, "-q", query)
        return out

    def full(self, name):
        return name if "@" in name else f"{name}@{self.realm}"

    def principal(self, name, password=None):
        """A new principal; with a random key when no password is given. Returns its full name."""
        key = f"-pw {password}" if password is not None else "-randkey"
        self._kadmin(f"addprinc {key} {self.full(name)}")
        return self.full(name)

    def keytab(self, path, *names):
        """A keytab with these principals, which are made with random keys when they are missing.
        A relative path is below the KDC's folder."""
        path = self.dir / path
        have = self._kadmin("listprincs").split()
        for name in names:
            if self.full(name) not in have:
                self.principal(name)
            self._kadmin(f"ktadd -norandkey -k {path} {self.full(name)}")
        if not path.exists():
            raise KdcError(f"no keytab {path}")
        return path

    def kinit(self, name, password=None, keytab=None, ccache=None):
        """Gets tickets; returns the environment of a process that has them."""
        ccache = ccache or self.dir / f"ccache-{name.replace('/', '_')}"
        env = self.env(KRB5CCNAME=f"FILE:{ccache}")
        if keytab is not None:
            self._run("kinit", "-k", "-t", keytab, self.full(name), env=env)
        else:
            self._run("kinit", self.full(name), stdin=password + "\n", env=env)
        return env

    def start(self, timeout=180):
        if self.process is not None:
            return self
        log = open(self.dir / "kdc.out", "ab")
        self.process = subprocess.Popen(
            ["/usr/sbin/krb5kdc", "-n", "-r", self.realm], env=self.env(), stdout=log,
            stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        until = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise KdcError("krb5kdc did not start:\n" + self.log_text()[-2000:])
                time.sleep(0.05)

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

    def log_text(self):
        return "".join((self.dir / name).read_text(errors="replace")
                       for name in ("kdc.out", "kdc.log") if (self.dir / name).exists())

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
