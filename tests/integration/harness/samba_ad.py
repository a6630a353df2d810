"""An Active Directory domain controller: Samba of Debian's packages, provisioned for the test.

    ad = SambaAd(directory, certs)
    ad.start()
    ad.uri, ad.ldaps_uri            # ldap:// (with StartTLS) and ldaps:// on a loopback address
    ad.gc_uri, ad.gcs_uri           # the global catalogue
    ad.modify("CN=…", {"mail": ["a@example.org"]})      # as the administrator, over LDAP
    ad.lock("lena")                 # as many wrong passwords as the policy allows
    ad.krb5_conf, ad.keytab("postroom-svc")             # for GSSAPI
    ad.stop(); ad.start()           # the data stay

Samba's ports are fixed (389, 636, 3268, 3269), so it listens on a loopback address of its own.
Provisioning takes ten seconds; its result is kept as an archive in the build folder and unpacked by
later runs. Needs root for the ports. Everybody's password is password_of(account).

    account   userPrincipalName        mail                      what is special
    aberg     anna@corp.example.org    anna.berg@example.org     CN has a comma; proxyAddresses; hers
                                                                 are anna@example.org, aberg@example.com
    bhaddad   bilal@corp.example.org   bilal.haddad@example.org  publicDelegates: cortega
    cortega   carmen@corp.example.org  carmen.ortega@example.org
    dora      dora@corp.example.org    dora@example.org          disabled
    emil      …                        emil@example.org          account expired
    fritz     …                        fritz@example.org         password expired (the policy: two days)
    mona      …                        mona@example.org          must change the password
    lena      …                        lena@example.org          nothing, until ad.lock("lena")
    hugo      …                        hugo@example.org          no hour of the week allowed
    wanda     …                        wanda@example.org         may log on at one workstation only
    nomail    …                        -
    olga      …                        olga@example.org          altRecipient: cortega, deliverAndRedirect
    paul      …                        paul@example.org          targetAddress: elsewhere
    postroom-svc                                                 service account

    sales@example.org      aberg, bhaddad; also vertrieb@example.org by proxyAddresses
    support@example.org    the group sales, cortega, dora (disabled)
    red@, blue@example.org contain each other; aberg in red, bhaddad in blue
    board@example.org      cortega; members of sales only may post; managedBy bhaddad
    everyone@example.org   2,000 people p0000@example.org … p1999@example.org
    mail-masters           a group without an address: cortega
"""
import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

REALM = "AD.EXAMPLE.ORG"
DNS_DOMAIN = "ad.example.org"
NETBIOS = "EXAMPLE"
BASE = "DC=ad,DC=example,DC=org"
STAFF = f"OU=Staff,{BASE}"
GROUPS = f"OU=Groups,{BASE}"
SERVICE_DN = f"CN=Postroom,OU=Services,{BASE}"
SERVICE = "postroom-svc"
ADMIN = f"administrator@{DNS_DOMAIN}"
ADMIN_PASSWORD = "Adm1n-secret-x"
LOCKOUT = 5
CROWD = 2000


def password_of(account):
    return f"Secret-{account}-1"


def user_dn(cn):
    return f"CN={cn},{STAFF}"


PEOPLE = [  # account, CN as in a DN, mail, further attributes
    ("aberg", "Berg\\, Anna", "anna.berg@example.org",
     {"userPrincipalName": "anna@corp.example.org", "displayName": "Anna Berg",
      "proxyAddresses": ["SMTP:anna.berg@example.org", "smtp:anna@example.org",
                         "smtp:aberg@example.com", "sip:anna.berg@example.org",
                         "X500:/o=Example/cn=aberg"]}),
    ("bhaddad", "Bilal Haddad", "bilal.haddad@example.org",
     {"userPrincipalName": "bilal@corp.example.org",
      "proxyAddresses": ["SMTP:bilal.haddad@example.org", "smtp:bilal@example.org"]}),
    ("cortega", "Carmen Ortega", "carmen.ortega@example.org",
     {"userPrincipalName": "carmen@corp.example.org"}),
    ("dora", "Dora Disabled", "dora@example.org", {}),
    ("emil", "Emil Expired", "emil@example.org", {"accountExpires": "132223104000000000"}),
    ("fritz", "Fritz Frist", "fritz@example.org", {}),
    ("mona", "Mona Must", "mona@example.org", {}),
    ("lena", "Lena Lock", "lena@example.org", {}),
    ("hugo", "Hugo Hours", "hugo@example.org", {}),
    ("wanda", "Wanda Workstation", "wanda@example.org", {"userWorkstations": "PC17"}),
    ("nomail", "No Mail", None, {}),
    ("olga", "Olga Ortswechsel", "olga@example.org", {"deliverAndRedirect": "TRUE"}),
    ("paul", "Paul Pendler", "paul@example.org",
     {"targetAddress": "SMTP:paul@elsewhere.example.net"}),
]


class SambaAdError(Exception):
    pass


def _smb_conf(directory, address, krb5_port, kpasswd_port, tls):
    return f"""[global]
	netbios name = DC1
	realm = {REALM}
	workgroup = {NETBIOS}
	server role = active directory domain controller
	server services = ldap, kdc
	interfaces = {address}/8
	bind interfaces only = yes
	disable netbios = yes
	private dir = {directory}/private
	lock directory = {directory}
	state directory = {directory}/state
	cache directory = {directory}/cache
	pid directory = {directory}/run
	ncalrpc dir = {directory}/ncalrpc
	binddns dir = {directory}/bind-dns
	ntp signd socket directory = {directory}/ntp
	winbindd socket directory = {directory}/winbind
	old password allowed period = 0
	ldap server require strong auth = allow_sasl_over_tls
	logging = file
	log level = 1 auth_audit:3
	krb5 port = {krb5_port}
	kpasswd port = {kpasswd_port}
{tls}
[sysvol]
	path = {directory}/state/sysvol
[netlogon]
	path = {directory}/state/sysvol/{DNS_DOMAIN}/scripts
"""


def _free_address():
    """A loopback address on which nobody has Samba's ports, and nobody who picks like us either."""
    for _ in range(100):
        a = os.urandom(3)
        address = f"127.{64 + a[0] % 128}.{a[1]}.{1 + a[2] % 250}"
        held = []
        try:
            for port in (389, 636, 3268, 3269):
                s = socket.socket()
                held.append(s)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((address, port))
            return address
        except OSError:
            continue
        finally:
            for s in held:
                s.close()
    raise SambaAdError("no loopback address has ports 389, 636, 3268 and 3269 free")


class SambaAd:
    def __init__(self, directory, certs, cache=None):
        from .instance import build_dir
        from .ports import free_ports
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.certs = certs
        self.ca = certs.ca
        self.log_path = self.dir / "samba.log"
        self.conf = self.dir / "smb.conf"
        self.address = _free_address()
        self.krb5_port, self.kpasswd_port = free_ports(2)
        self.host = f"dc1.{DNS_DOMAIN}"
        # Samba reads keys of its own user only, and wants them inaccessible to others.
        self.cert, self.key = certs.issue(f"dc-{self.address}", self.host, f"IP:{self.address}")
        self.process = None
        self.named = False
        self.provision_seconds = 0.0
        if not (self.dir / "private").exists():
            self._provision(Path(cache) if cache else build_dir())
        tls = "".join(f"\ttls {k} = {v}\n" for k, v in
                      (("certfile", self.cert), ("keyfile", self.key), ("cafile", self.ca)))
        for name in ("run", "cache", "ncalrpc", "bind-dns", "ntp", "winbind"):
            (self.dir / name).mkdir(exist_ok=True)
        self.conf.write_text(_smb_conf(self.dir, self.address, self.krb5_port,
                                       self.kpasswd_port, tls))
        self.krb5_conf = self.dir / "krb5.conf"
        self.krb5_conf.write_text(
            f"[libdefaults]\n\tdefault_realm = {REALM}\n\tdns_lookup_realm = false\n"
            "\tdns_lookup_kdc = false\n\tdns_canonicalize_hostname = false\n\trdns = false\n"
            f"[realms]\n\t{REALM} = {{\n\t\tkdc = tcp/{self.address}:{self.krb5_port}\n"
            f"\t\tkdc = {self.address}:{self.krb5_port}\n\t}}\n"
            f"[domain_realm]\n\t{self.address} = {REALM}\n\t.{DNS_DOMAIN} = {REALM}\n")

    @property
    def uri(self):
        return f"ldap://{self.address}"

    @property
    def ldaps_uri(self):
        return f"ldaps://{self.address}"

    @property
    def gc_uri(self):
        return f"ldap://{self.address}:3268"

    @property
    def gcs_uri(self):
        return f"ldaps://{self.address}:3269"

    def _provision(self, cache):
        """From the archive of an earlier run of the same program and the same Samba, or anew."""
        begin = time.monotonic()
        samba = subprocess.run(["samba", "--version"], capture_output=True).stdout
        stamp = hashlib.sha256(Path(__file__).read_bytes() + samba).hexdigest()[:16]
        archive = cache / f"samba-ad-{stamp}.tar"
        if not archive.exists():
            scratch = self.dir / "provision"
            done = subprocess.run(["/usr/bin/python3", "-B", __file__, "provision", str(scratch)],
                                  capture_output=True, text=True, timeout=300)
            if done.returncode != 0:
                raise SambaAdError(f"provision: {done.stdout[-3000:]}{done.stderr[-3000:]}")
            part = archive.with_suffix(f".{os.getpid()}")
            with tarfile.open(part, "w") as t:
                for name in ("private", "state"):
                    t.add(scratch / name, name)
            part.chmod(0o600)
            for old in cache.glob("samba-ad-*.tar"):
                old.unlink(missing_ok=True)
            part.rename(archive)
            subprocess.run(["rm", "-rf", str(scratch)], check=True)
        with tarfile.open(archive) as t:
            t.extractall(self.dir)
        self.provision_seconds = time.monotonic() - begin

    def start(self, timeout=180):
        if self.process is not None:
            return self
        log = open(self.log_path, "ab")
        # -i would end at the end of its standard input
        self.process = subprocess.Popen(
            ["samba", "-s", str(self.conf), "-F", "--no-process-group", "-M", "single",
             "--debug-stdout"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        until = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection((self.address, 636), timeout=1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise SambaAdError("samba did not start:\n" + self.log_text()[-3000:])
                time.sleep(0.05)
        if not self.named:
            # the name by which Kerberos knows the LDAP server of our URIs
            self.change(f"dn: CN=DC1,OU=Domain Controllers,{BASE}\nchangetype: modify\n"
                        f"add: servicePrincipalName\nservicePrincipalName: ldap/{self.address}\n-\n")
            self.named = True
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

    def _tool(self, name, *args, who=ADMIN, password=ADMIN_PASSWORD, text=None):
        return subprocess.run(
            [name, "-x", "-H", self.ldaps_uri, "-D", who, "-w", password, *args], input=text,
            capture_output=True, text=True, timeout=120,
            env={**os.environ, "LDAPTLS_CACERT": str(self.ca)})

    def bind(self, who, password):
        """What the server says to a bind: "" when it is good, else the whole message."""
        done = self._tool("ldapsearch", "-s", "base", "-b", "", "1.1", who=who, password=password)
        return "" if done.returncode == 0 else done.stderr

    def search(self, filter, *attributes, base=BASE):
        done = self._tool("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", base, filter, *attributes)
        if done.returncode != 0:
            raise SambaAdError(done.stderr)
        return done.stdout

    def change(self, ldif):
        done = self._tool("ldapmodify", text=ldif)
        if done.returncode != 0:
            raise SambaAdError(f"{done.stderr}\n{ldif}")

    def modify(self, dn, attributes):
        """Replace each attribute's values by a list; an empty list removes it."""
        lines = [f"dn: {dn}", "changetype: modify"]
        for name, values in attributes.items():
            lines.append(f"replace: {name}")
            lines += [f"{name}: {v}" for v in values]
            lines.append("-")
        self.change("\n".join(lines) + "\n")

    def set_password(self, dn, password):
        quoted = base64.b64encode(f'"{password}"'.encode("utf-16-le")).decode()
        self.change(f"dn: {dn}\nchangetype: modify\nreplace: unicodePwd\nunicodePwd:: {quoted}\n-\n")

    def lock(self, account):
        for _ in range(LOCKOUT):
            assert self.bind(f"{NETBIOS}\\{account}", "wrong") != ""

    def unlock(self, dn):
        self.modify(dn, {"lockoutTime": ["0"]})

    def keytab(self, account, path=None):
        """The Kerberos keys of an account, as MIT's programs read them."""
        path = Path(path or self.dir / f"{account}.keytab")
        path.unlink(missing_ok=True)
        done = subprocess.run(["samba-tool", "domain", "exportkeytab", str(path),
                               f"--principal={account}", "-s", str(self.conf)],
                              capture_output=True, text=True, timeout=180)
        if done.returncode != 0 or not path.exists():
            raise SambaAdError(f"exportkeytab: {done.stdout}{done.stderr}")
        return path


# What Exchange adds to the schema, as far as Postroom reads it: name, syntax, single, of which class.
DN, TEXT, BOOLEAN = ("2.5.5.1", "127"), ("2.5.5.12", "64"), ("2.5.5.8", "1")
EXCHANGE = [("altRecipient", DN, True, "user"), ("deliverAndRedirect", BOOLEAN, True, "user"),
            ("targetAddress", TEXT, True, "user"), ("publicDelegates", DN, False, "user"),
            ("authOrig", DN, False, "group"), ("dLMemSubmitPerms", DN, False, "group"),
            ("msExchRequireAuthToSendTo", BOOLEAN, True, "group")]


def _extend_schema(samdb):
    import ldb
    schema = f"CN=Schema,CN=Configuration,{BASE}"
    for i, (name, (syntax, om), single, _) in enumerate(EXCHANGE):
        entry = {"dn": f"CN={name},{schema}", "objectClass": "attributeSchema",
                 "attributeID": f"2.25.4711.{i + 1}", "lDAPDisplayName": name,
                 "attributeSyntax": syntax, "oMSyntax": om, "isSingleValued": str(single).upper()}
        if syntax == DN[0]:
            entry["oMObjectClass"] = bytes.fromhex("2b0c0287731c00854a")
        samdb.add(entry)
    samdb.set_schema_update_now()
    for cls in ("user", "group"):
        m = ldb.Message(ldb.Dn(samdb, f"CN={cls},{schema}"))
        m["mayContain"] = ldb.MessageElement([n for n, _, _, c in EXCHANGE if c == cls],
                                             ldb.FLAG_MOD_ADD, "mayContain")
        samdb.modify(m)
    samdb.set_schema_update_now()


def _fill(samdb):
    import ldb
    from samba.dsdb import DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID as AS_IT_IS
    from samba.dsdb import UF_ACCOUNTDISABLE, UF_DONT_EXPIRE_PASSWD, UF_NORMAL_ACCOUNT

    def add(dn, **attributes):
        samdb.add({"dn": dn, **attributes})

    def set_password(dn, account):
        samdb.setpassword(f"(distinguishedName={ldb.binary_encode(dn)})", password_of(account))

    def replace(dn, name, value, controls=()):
        m = ldb.Message(ldb.Dn(samdb, dn))
        m[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
        samdb.modify(m, controls=[f"local_oid:{c}:0" for c in controls])

    # passwords that are too old after two days, but for accounts whose never are (a day or less
    # would count as never); a lockout that no test outlives
    replace(BASE, "maxPwdAge", "-1728000000000")
    replace(BASE, "minPwdAge", "0")
    replace(BASE, "lockoutThreshold", str(LOCKOUT))
    replace(BASE, "lockoutDuration", "-18000000000")
    replace(BASE, "lockOutObservationWindow", "-18000000000")
    for ou in ("Staff", "Groups", "Services", "Crowd"):
        add(f"OU={ou},{BASE}", objectClass="organizationalUnit")

    normal = UF_NORMAL_ACCOUNT | UF_DONT_EXPIRE_PASSWD
    replace(f"CN=Administrator,CN=Users,{BASE}", "userAccountControl", str(normal))
    add(SERVICE_DN, objectClass="user", sAMAccountName=SERVICE,
        userPrincipalName=f"{SERVICE}@{DNS_DOMAIN}",
        userAccountControl=str(normal | UF_ACCOUNTDISABLE))
    set_password(SERVICE_DN, SERVICE)
    replace(SERVICE_DN, "userAccountControl", str(normal))
    dns = {}
    for account, cn, mail, more in PEOPLE:
        dn = dns[account] = user_dn(cn)
        entry = {"userPrincipalName": f"{account}@corp.example.org", **more}
        if mail:
            entry["mail"] = mail
        add(dn, objectClass="user", sAMAccountName=account,
            userAccountControl=str(normal | UF_ACCOUNTDISABLE), **entry)
        set_password(dn, account)
        flags = UF_NORMAL_ACCOUNT if account in ("fritz", "mona") else normal
        if account == "dora":
            flags |= UF_ACCOUNTDISABLE
        replace(dn, "userAccountControl", str(flags))
    replace(dns["mona"], "pwdLastSet", "0")
    replace(dns["fritz"], "pwdLastSet", "132223104000000000", controls=[AS_IT_IS])
    replace(dns["hugo"], "logonHours", b"\0" * 21)

    def group(name, members, mail=None, **more):
        if mail:
            more["mail"] = mail
        # -2147483646: a global security group
        add(f"CN={name},{GROUPS}", objectClass="group", sAMAccountName=name,
            groupType="-2147483646", **({"member": members} if members else {}), **more)
        return f"CN={name},{GROUPS}"

    sales = group("sales", [dns["aberg"], dns["bhaddad"]], "sales@example.org",
                  proxyAddresses=["SMTP:sales@example.org", "smtp:vertrieb@example.org"])
    group("support", [sales, dns["cortega"], dns["dora"]], "support@example.org")
    red = group("red", [dns["aberg"]], "red@example.org")
    blue = group("blue", [dns["bhaddad"], red], "blue@example.org")
    m = ldb.Message(ldb.Dn(samdb, red))
    m["member"] = ldb.MessageElement(blue, ldb.FLAG_MOD_ADD, "member")
    samdb.modify(m)
    group("mail-masters", [dns["cortega"]])
    group("board", [dns["cortega"]], "board@example.org", dLMemSubmitPerms=sales,
          managedBy=dns["bhaddad"])
    replace(dns["olga"], "altRecipient", dns["cortega"])
    replace(dns["bhaddad"], "publicDelegates", dns["cortega"])

    crowd = []
    for i in range(CROWD):
        dn = f"CN=p{i:04d},OU=Crowd,{BASE}"
        crowd.append(dn)
        # 544: without a password, which is allowed to it
        add(dn, objectClass="user", sAMAccountName=f"p{i:04d}", mail=f"p{i:04d}@example.org",
            userAccountControl="544")
    group("everyone", crowd, "everyone@example.org")


def _provision_main(directory):
    import logging

    from samba import param
    from samba.auth import system_session
    from samba.provision import FILL_FULL, provision
    from samba.samdb import SamDB

    os.makedirs(directory)
    log = logging.getLogger("provision")
    conf = os.path.join(directory, "smb.conf")
    with open(conf, "w") as f:
        f.write(_smb_conf(directory, "127.0.0.1", 88, 464, ""))
    lp = param.LoadParm()
    lp.load(conf)
    done = provision(
        log, system_session(), smbconf=conf, targetdir=None, samdb_fill=FILL_FULL, realm=REALM,
        domain=NETBIOS, hostname="dc1", hostip="127.0.0.1", adminpass=ADMIN_PASSWORD,
        dns_backend="NONE", serverrole="active directory domain controller", lp=lp,
        use_ntvfs=False, skip_sysvolacl=True, dom_for_fun_level=4, backend_store="tdb",
        batch_mode=True)
    begin = time.monotonic()
    lp.set("dsdb:schema update allowed", "yes")
    _extend_schema(SamDB(url=done.paths.samdb, session_info=system_session(), lp=lp))
    samdb = SamDB(url=done.paths.samdb, session_info=system_session(), lp=lp)
    samdb.transaction_start()
    try:
        _fill(samdb)
    except BaseException:
        samdb.transaction_cancel()
        raise
    samdb.transaction_commit()
    print(f"filled in {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "provision":
        sys.exit("usage: samba_ad.py provision DIRECTORY")
    _provision_main(sys.argv[2])
