"""A private 389 Directory Server of Debian's packages, on loopback.

    d = Ds389(directory, certs)
    d.start()
    d.uri, d.ldaps_uri, d.ldapi_uri
    d.modify(dn, {"mail": ["a@example.org"]}); d.add(ldif)      # as cn=Directory Manager
    d.bind(dn, password)            # "" when it is good, else what the server said
    d.stop(); d.start()             # the data stay

dscreate wants systemd's places below /etc, so the server's own template of its configuration
(dse.ldif) is filled in here, and ns-slapd is started with it. Passwords are password_of(uid).

    uid      mail                      what is special
    anna     anna.berg@example.org     mailAlternateAddress: anna@example.org, aberg@example.com
    bilal    bilal.haddad@example.org  mailForwardingAddress: bilal@elsewhere.example.net
    carmen   carmen.ortega@example.org
    dora     dora@example.org          nsAccountLock: true
    fritz    fritz@example.org         password expired
    gerda    gerda@example.org         password expires within a day
    mona     mona@example.org          must change the password
    lena     lena@example.org          nothing, until LOCKOUT wrong passwords
    p000 … p299 @example.org           a crowd; the service account gets more than 100 by pages only

    sales@example.org      groupOfUniqueNames and mailGroup: anna, bilal; also vertrieb@example.org
    support@example.org    groupOfNames: the group sales, carmen, and outside@example.net by
                           mgrpRFC822MailMember
    crowd@example.org      groupOfURLs: everybody below ou=crowd
"""
import base64
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
from pathlib import Path

from .ports import free_ports

BASE = "dc=example,dc=org"
ADMIN_DN = "cn=Directory Manager"
ADMIN_PASSWORD = "admin-secret"
SERVICE_DN = f"cn=postroom,ou=services,{BASE}"
SERVICE_PASSWORD = "postroom-service"
LOCKOUT = 5
CROWD = 300

SHARE = Path("/usr/share/dirsrv")
SYSTEM = Path("/etc/dirsrv")


def password_of(uid):
    return f"secret-{uid}"


def user_dn(uid):
    return f"uid={uid},ou=people,{BASE}"


CONFIG = f"""dn: cn=config
changetype: modify
replace: nsslapd-pwpolicy-local
nsslapd-pwpolicy-local: on
-
replace: passwordLockout
passwordLockout: on
-
replace: passwordMaxFailure
passwordMaxFailure: {LOCKOUT}
-
replace: passwordLockoutDuration
passwordLockoutDuration: 3600
-
replace: passwordResetFailureCount
passwordResetFailureCount: 3600
-
replace: passwordExp
passwordExp: on
-
replace: passwordMaxAge
passwordMaxAge: 8640000
-
replace: passwordWarning
passwordWarning: 86400
-
replace: passwordSendExpiringTime
passwordSendExpiringTime: on
-
replace: passwordStorageScheme
passwordStorageScheme: SSHA512
-
replace: nsslapd-accesslog-logbuffering
nsslapd-accesslog-logbuffering: off
-

dn: cn=userRoot,cn=ldbm database,cn=plugins,cn=config
changetype: add
objectClass: top
objectClass: extensibleObject
objectClass: nsBackendInstance
nsslapd-suffix: {BASE}
cn: userRoot

dn: cn="{BASE}",cn=mapping tree,cn=config
changetype: add
objectClass: top
objectClass: extensibleObject
objectClass: nsMappingTree
cn: {BASE}
cn: "{BASE}"
nsslapd-state: backend
nsslapd-backend: userRoot

"""

DATA = f"""dn: {BASE}
objectClass: top
objectClass: domain
objectClass: domainRelatedObject
dc: example
associatedDomain: example.org
aci: (targetattr != "userPassword")(version 3.0; acl "postroom reads"; allow (read, search, compare) userdn = "ldap:///{SERVICE_DN}";)

dn: ou=people,{BASE}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{BASE}
objectClass: organizationalUnit
ou: groups

dn: ou=crowd,{BASE}
objectClass: organizationalUnit
ou: crowd

dn: ou=services,{BASE}
objectClass: organizationalUnit
ou: services

dn: {SERVICE_DN}
objectClass: applicationProcess
objectClass: simpleSecurityObject
objectClass: extensibleObject
cn: postroom
userPassword: {SERVICE_PASSWORD}
nsSizeLimit: 100
nsPagedSizeLimit: 1000
passwordExpirationTime: 20380101000000Z

"""


def _person(uid, name, mail, more=(), ou="people", password=True):
    lines = [f"dn: uid={uid},ou={ou},{BASE}", "objectClass: inetOrgPerson",
             "objectClass: mailRecipient", f"uid: {uid}", f"cn: {name}",
             f"sn: {name.split()[-1]}", f"mail: {mail}", *more]
    if password:
        lines.append(f"userPassword: {password_of(uid)}")
    return "\n".join(lines) + "\n\n"


def _soon():
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 43200))


def _people():
    yield _person("anna", "Anna Berg", "anna.berg@example.org",
                  ["mailAlternateAddress: anna@example.org",
                   "mailAlternateAddress: aberg@example.com"])
    yield _person("bilal", "Bilal Haddad", "bilal.haddad@example.org",
                  ["mailForwardingAddress: bilal@elsewhere.example.net"])
    yield _person("carmen", "Carmen Ortega", "carmen.ortega@example.org")
    yield _person("dora", "Dora Disabled", "dora@example.org", ["nsAccountLock: true"])
    yield _person("fritz", "Fritz Frist", "fritz@example.org",
                  ["passwordExpirationTime: 20200101000000Z"])
    yield _person("gerda", "Gerda Grenze", "gerda@example.org",
                  [f"passwordExpirationTime: {_soon()}"])
    yield _person("lena", "Lena Lock", "lena@example.org")
    for i in range(CROWD):
        yield _person(f"p{i:03d}", f"P {i:03d}", f"p{i:03d}@example.org", ou="crowd",
                      password=False)


GROUPS = f"""dn: cn=sales,ou=groups,{BASE}
objectClass: groupOfUniqueNames
objectClass: mailGroup
cn: sales
mail: sales@example.org
mailAlternateAddress: vertrieb@example.org
uniqueMember: {user_dn("anna")}
uniqueMember: {user_dn("bilal")}

dn: cn=support,ou=groups,{BASE}
objectClass: groupOfNames
objectClass: mailGroup
cn: support
mail: support@example.org
member: cn=sales,ou=groups,{BASE}
member: {user_dn("carmen")}
mgrpRFC822MailMember: outside@example.net

dn: cn=crowd,ou=groups,{BASE}
objectClass: groupOfURLs
objectClass: mailGroup
cn: crowd
mail: crowd@example.org
memberURL: ldap:///ou=crowd,{BASE}??one?(objectClass=inetOrgPerson)

"""

PLUGIN = """dn: cn=MemberOf Plugin,cn=plugins,cn=config
changetype: modify
replace: nsslapd-pluginEnabled
nsslapd-pluginEnabled: on
-
replace: memberOfGroupAttr
memberOfGroupAttr: member
memberOfGroupAttr: uniqueMember
-
replace: memberOfAutoAddOC
memberOfAutoAddOC: nsMemberOf
-
"""


class Ds389Error(Exception):
    pass


class Ds389:
    def __init__(self, directory, certs):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.certs = certs
        self.ca = certs.ca
        self.port, self.tls_port = free_ports(2)
        self.conf = self.dir / "etc"
        self.log_path = self.dir / "log" / "access"
        self.process = None
        self.fresh = not self.conf.exists()
        if self.fresh:
            self._prepare()

    @property
    def uri(self):
        return f"ldap://localhost:{self.port}"

    @property
    def ldaps_uri(self):
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ldapi_uri(self):
        return "ldapi://" + urllib.parse.quote(str(self.dir / "ldapi"), safe="")

    def _run(self, *command, text=None):
        done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True,
                              timeout=600)
        if done.returncode != 0:
            raise Ds389Error(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def _prepare(self):
        for name in ("etc", "log", "db", "run", "lock", "ldif", "bak", "tmp"):
            (self.dir / name).mkdir()
        shutil.copytree(SYSTEM / "schema", self.conf / "schema")
        shutil.copy(SHARE / "data" / "60kerberos.ldif", self.conf / "schema")
        for name in ("certmap.conf", "slapd-collations.conf"):
            shutil.copy(SYSTEM / "config" / name, self.conf / name)
        # its keys live in a database of NSS
        bundle = self.dir / "tmp" / "server.p12"
        self._run("openssl", "pkcs12", "-export", "-in", self.certs.cert, "-inkey", self.certs.key,
                  "-name", "Server-Cert", "-out", bundle, "-passout", "pass:")
        self._run("certutil", "-N", "-d", self.conf, "--empty-password")
        self._run("pk12util", "-i", bundle, "-d", self.conf, "-W", "", "-K", "")
        self._run("certutil", "-A", "-d", self.conf, "-n", "CA", "-t", "CT,,", "-a", "-i",
                  self.certs.ca)
        bundle.unlink()
        import grp
        import pwd
        text = (SHARE / "data" / "template-dse.ldif").read_text()
        for name, value in {
                "schema_dir": self.conf / "schema", "lock_dir": self.dir / "lock",
                "tmp_dir": self.dir / "tmp", "cert_dir": self.conf, "ldif_dir": self.dir / "ldif",
                "bak_dir": self.dir / "bak", "run_dir": self.dir / "run",
                "inst_dir": self.dir / "run", "log_dir": self.dir / "log", "fqdn": "localhost",
                "ds_port": self.port, "ds_user": pwd.getpwuid(os.getuid()).pw_name,
                "rootdn": ADMIN_DN, "ds_passwd": self._run("pwdhash", ADMIN_PASSWORD).strip(),
                "ldapi_enabled": "on", "ldapi": self.dir / "ldapi", "ldapi_autobind": "on",
                "ds_suffix": BASE, "config_dir": self.conf, "db_dir": self.dir / "db",
                "db_home_dir": self.dir / "db", "db_lib": "bdb"}.items():
            text = text.replace(f"%{name}%", str(value))
        # listens on loopback only, from its first second on, and speaks TLS
        text = text.replace("nsslapd-localhost: localhost\n",
                            "nsslapd-localhost: localhost\nnsslapd-listenhost: 127.0.0.1\n"
                            "nsslapd-securelistenhost: 127.0.0.1\nnsslapd-security: on\n"
                            f"nsslapd-securePort: {self.tls_port}\n", 1)
        (self.conf / "dse.ldif").write_text(text)

    def start(self, timeout=180):
        if self.process is not None:
            return self
        with open(self.dir / "log" / "output", "ab") as log:
            self.process = subprocess.Popen(
                ["ns-slapd", "-D", str(self.conf), "-i", str(self.dir / "run" / "pid"), "-d", "0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + timeout
        while self._tool("ldapsearch", "-s", "base", "-b", "", "1.1").returncode != 0:
            if self.process.poll() is not None or time.monotonic() > until:
                text = self._tool("ldapsearch", "-s", "base", "-b", "", "1.1").stderr
                self.stop()
                raise Ds389Error("ns-slapd did not start:\n" + text + self.error_text()[-3000:])
            time.sleep(0.1)
        if self.fresh:
            self._fill()
        return self

    def _fill(self):
        self.fresh = False
        self.change(CONFIG)
        self.add(DATA + "".join(_people()))
        # a password that the administrator set while this holds must be changed by its owner
        self.modify("cn=config", {"passwordMustChange": ["on"]})
        self.add(_person("mona", "Mona Must", "mona@example.org"))
        self.change(PLUGIN)
        self.stop()
        self.start()
        self.add(GROUPS)

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

    def error_text(self):
        return "".join(p.read_text(errors="replace") for p in
                       (self.dir / "log" / "errors", self.dir / "log" / "output") if p.exists())

    def _tool(self, name, *args, who=ADMIN_DN, password=ADMIN_PASSWORD, text=None):
        # libldap's programs put the machine's name for "localhost" before they check it
        return subprocess.run(
            [name, "-x", "-ZZ", "-H", f"ldap://127.0.0.1:{self.port}", "-D", who, "-w", password, *args], input=text,
            capture_output=True, text=True, timeout=180,
            env={**os.environ, "LDAPTLS_CACERT": str(self.ca)})

    def bind(self, who, password):
        """With the controls of a password policy."""
        done = self._tool("ldapsearch", "-e", "ppolicy", "-s", "base", "-b", "", "1.1", who=who,
                          password=password)
        return "" if done.returncode == 0 else done.stderr

    def search(self, filter, *attributes, base=BASE):
        done = self._tool("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", base, filter, *attributes)
        if done.returncode != 0:
            raise Ds389Error(done.stderr)
        return done.stdout

    def change(self, ldif):
        done = self._tool("ldapmodify", text=ldif)
        if done.returncode != 0:
            raise Ds389Error(f"{done.stderr}\n{ldif[:2000]}")

    def add(self, ldif):
        done = self._tool("ldapadd", text=ldif)
        if done.returncode != 0:
            raise Ds389Error(f"{done.stderr}\n{ldif[:2000]}")

    def delete_tree(self, dn):
        done = self._tool("ldapdelete", "-r", dn)
        if done.returncode != 0:
            raise Ds389Error(done.stderr)

    def modify(self, dn, attributes):
        """Replace each attribute's values by a list; an empty list removes it."""
        lines = [f"dn: {dn}", "changetype: modify"]
        for name, values in attributes.items():
            lines.append(f"replace: {name}")
            lines += [f"{name}:: {base64.b64encode(v.encode()).decode()}" for v in values]
            lines.append("-")
        self.change("\n".join(lines) + "\n")

    def lock(self, uid):
        for _ in range(LOCKOUT):
            assert self.bind(user_dn(uid), "wrong") != ""
