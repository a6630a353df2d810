"""The rows of bench/run about the auth service alone: its sockets, without IMAP or SMTP around them.

Where a row says "LDAP bind", nothing is remembered by either side: Postroom's cache is off, Dovecot's
is off by default. "slow" rows go through bench/delay_proxy, which holds back every answer of the
directory by 20 ms, in front of both.
"""
import copy
import subprocess
import time

from harness import instance, slapd as slapd_module
from harness.authd import Authd
from harness.dovecot import Dovecot

OURS = "postroom"
DELAY_MS = 20
CACHED_USERS = 100000


class AuthRows:
    def __init__(self, bench, users):
        self.b = bench
        self.users = users
        self.n = 500 if bench.args.quick else 10000
        self.made = []
        # one operation a login, as Dovecot's auth_bind_userdn
        self.template = (f'user_dn = "uid=%{{local}},ou=people,{slapd_module.BASE}"\n'
                         '\tuser_dn_read = no')

    def run(self):
        try:
            self.logins()
            self.slow()
            self.lookups()
            self.memory()
        finally:
            for stop in reversed(self.made):
                stop()

    # ---- servers of our own ----

    def authd(self, name, sections, auth):
        a = Authd(self.b.dir / name, sections, auth=f"failure_delay = 0\n\t{auth}", level="info")
        a.start()
        self.made.append(a.stop)
        return a

    def delayed(self):
        """A slapd object whose every answer comes late."""
        port = instance.free_ports(1)[0]
        proxy = subprocess.Popen([self.b.build / "bench/delay_proxy", f"127.0.0.1:{port}",
                                  f"127.0.0.1:{self.b.slapd.port}", str(DELAY_MS)])
        self.made.append(lambda: (proxy.terminate(), proxy.wait()))
        late = copy.copy(self.b.slapd)
        late.port = port
        return late

    # ---- logins ----

    def tool(self, *args):
        return self.b.tool(self.b.build / "bench/bench_auth", *args)

    def login(self, path, flight, total):
        return self.tool("--login", "bench{}@example.org", "--password", "secret", "--count",
                         self.users, "--in-flight", flight, "--total", total, path)["per_second"]

    def bare(self, flight):
        """The same binds without anything around them: our pool against the same slapd."""
        return self.tool("--bind", f"uid=bench{{}},ou=people,{slapd_module.BASE}", "--password",
                         "secret", "--ca", self.b.certs.ca, "--count", self.users, "--in-flight",
                         flight, "--total", self.n, self.b.slapd.uri)["per_second"]

    def logins(self):
        plain = self.authd("auth-bind", instance.directory_section(
            self.b.slapd, extra=self.template), "cache_size = 0")

        def measure(flight):
            def one(who):
                if who == "bare bind pool":
                    return self.bare(flight)
                path = (plain.path("auth") if who == OURS
                        else self.b.dovecots[who].dir / "run" / "auth-client")
                return self.login(path, flight, self.n if flight > 1 else self.n // 4)
            return one

        for flight in (1, 20, 200):
            self.b.row(f"auth socket, PLAIN with an LDAP bind, {flight} in flight", "logins/s",
                       "higher", measure(flight))
        self.b.row("auth socket, of the rate of the bare bind pool, 20 in flight", "logins/s",
                   "higher", measure(20), ("bare bind pool",), least=0.8)
        cached = self.authd("auth-cached", instance.directory_section(
            self.b.slapd, extra=self.template), "cache_size = 256M\n\tcache_login_ttl = 10m")
        self.b.row("auth socket, PLAIN, remembered by us, a bind by Dovecot, 20 in flight",
                   "logins/s", "higher",
                   lambda who: self.login(cached.path("auth"), 20, self.n * 2) if who == OURS
                   else measure(20)(who))

    def slow(self):
        name = f"auth socket, every LDAP answer {DELAY_MS} ms late, 200 in flight"
        if not self.b.wanted(name):
            return
        late = self.delayed()
        ours = self.authd("auth-slow", instance.directory_section(
            late, extra=self.template + "\n\tbind_connections_max = 200"), "cache_size = 0")
        dovecot = Dovecot(self.b.dir / "dovecot-slow", self.b.certs, slapd=late)
        dovecot.start()
        self.made.append(dovecot.stop)
        self.b.row(name, "logins/s", "higher", lambda who: self.login(
            ours.path("auth") if who == OURS else dovecot.dir / "run" / "auth-client", 200,
            2000 if who == OURS else 400), ("sdbox",))

    # ---- lookups ----

    def lookups(self):
        table = self.b.dir / "ldap-table.cf"
        table.write_text(
            f"server_host = ldap://127.0.0.1:{self.b.slapd.port}\nversion = 3\nbind = yes\n"
            f"bind_dn = {slapd_module.SERVICE_DN}\nbind_pw = {slapd_module.SERVICE_PASSWORD}\n"
            f"search_base = {slapd_module.BASE}\nresult_attribute = mail\n"
            "query_filter = (|(mail=%s)(mailLocalAddress=%s))\n"
            "special_result_attribute = member\n"
            f"start_tls = yes\ntls_require_cert = yes\ntls_ca_cert_file = {self.b.certs.ca}\n")
        section = instance.directory_section(self.b.slapd)
        asked = self.authd("auth-lookup", section, "cache_size = 0")
        remembered = self.authd("auth-lookup-cached", section, "cache_size = 256M\n\tcache_ttl = 10m")

        def postmap(key, total):
            begin = time.perf_counter()
            done = subprocess.run(["postmap", "-q", "-", f"ldap:{table}"], text=True,
                                  input=f"{key}\n" * total, capture_output=True, timeout=900)
            if len(done.stdout.splitlines()) != total:
                raise RuntimeError(done.stderr[-300:])
            return total / (time.perf_counter() - begin)

        def lookup(server, key, total):
            return lambda who: self.tool(
                "--map", "alias-large", "--key", key, "--in-flight", 20, "--total", total,
                server.path("directory"))["per_second"] if who == OURS else postmap(
                    key, max(1, total if server is asked else total // 20))

        for name, key, total in (("a person's", "director@example.org", self.n),
                                 ("a group of 8", "sales@example.org", self.n)):
            self.b.row(f"alias lookups, {name}", "lookups/s", "higher",
                       lookup(asked, key, total), ("postmap",))
            self.b.row(f"alias lookups, {name}, remembered", "lookups/s", "higher",
                       lookup(remembered, key, total * 10), ("postmap",))
        self.group(lookup(asked, "all5000@example.org", 20))

    def group(self, measure):
        """50 groups of 100 people in one group."""
        name = "alias lookups, a nested group of 5,000"
        if not self.b.wanted(name):
            return
        base = slapd_module.BASE
        people, groups = [], []
        for g in range(50):
            members = [f"uid=member{g * 100 + i},ou=people,{base}" for i in range(100)]
            people += [f"dn: {dn}\nobjectClass: inetOrgPerson\nuid: {dn[4:].split(',')[0]}\n"
                       f"cn: M\nsn: M\nmail: {dn[4:].split(',')[0]}@example.org\n" for dn in members]
            groups.append(f"dn: cn=part{g},ou=groups,{base}\nobjectClass: groupOfNames\n"
                          f"cn: part{g}\n" + "".join(f"member: {dn}\n" for dn in members))
        groups.append(f"dn: cn=all5000,ou=groups,{base}\nobjectClass: groupOfNames\n"
                      "objectClass: inetLocalMailRecipient\ncn: all5000\n"
                      "mailLocalAddress: all5000@example.org\n"
                      + "".join(f"member: cn=part{g},ou=groups,{base}\n" for g in range(50)))
        self.b.slapd.add("\n".join(people + groups))
        self.b.row(name, "lookups/s", "higher", measure, ("postmap",))

    # ---- memory ----

    def memory(self):
        name = f"memory of {CACHED_USERS:,} remembered users, each"
        if not self.b.wanted(name):
            return
        users = self.b.dir / "many.passwd"
        count = 5000 if self.b.args.quick else CACHED_USERS
        users.write_text("".join(f"person{i}:{{PLAIN}}x:::Person Number {i}::\n"
                                 for i in range(count)))
        users.chmod(0o600)
        postroom = instance.Instance(
            self.b.dir / "many", self.b.slapd, self.b.certs,
            directory_text=f'passwd_file "many" {{ file = "{users}" }}\n',
            settings=f'log {{\n\tlevel = info\n\tfile = "{self.b.dir}/many.log"\n}}\n'
            'auth {\n\tdefault_domain = "example.org"\n\tcache_size = 1G\n\tcache_ttl = 1h\n}\n')
        postroom.log_path = self.b.dir / "many.log"
        postroom.start()
        self.made.append(postroom.stop)
        if count and postroom.socket("directory"):
            self.fill(postroom, 1000)
        before = self.pss(postroom)
        self.fill(postroom, count)
        after = self.pss(postroom)
        self.b.fact(name, "KiB PSS", (after - before) / (count - 1000))

    def fill(self, postroom, count):
        self.tool("--map", "mailbox", "--key", "person{}@example.org", "--count", count,
                  "--in-flight", 50, "--total", count, postroom.socket("directory"))

    def pss(self, postroom):
        return sum(self.b.pss_kib(pid) for pid in postroom.pids("auth"))
