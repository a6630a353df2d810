"""The rows of bench/run about the auth service alone: its sockets, without IMAP or SMTP around them.

Where a row says "LDAP bind", nothing is remembered by either side: Postroom's cache is off, Dovecot's
is off by default. Dovecot has two ways to bind, and the better counts: one connection with one bind
at a time, or auth workers of which each has its own ("workers"; the setting is `blocking = yes`).
"late" rows go through bench/delay_proxy, which holds back every answer of the directory by 20 ms, in
front of both. Each measurement opens its connections before the clock starts.
"""
import copy
import shutil
import subprocess
import time

from harness import instance, slapd as slapd_module
from harness.authd import Authd
from harness.dovecot import Dovecot

OURS = "postroom"
DOVECOT = ("one connection", "workers")
BARE = "bare bind pool"
POSTMAP = ("postmap",)
DELAY_MS = 20
CACHED_USERS = 100000
# what the cache held when the rest came, so that the first pages are in nobody's share
CACHED_FIRST = 1000
TEAMS, TEAM = 100, 8
PARTS, PART = 50, 100
# what the table of Postfix asks
ADDRESS = "(|(mail={a})(mailLocalAddress={a}))"
SAME_FILTER = "".join(f'\n\t{name} = "{ADDRESS.format(a="%{address}")}"'
                      for name in ("mailbox_filter", "alias_filter"))


class AuthRows:
    def __init__(self, bench, people):
        self.b = bench
        self.people = people
        self.n = 2000 if bench.args.quick else 10000
        self.made = []
        # one operation a login, as Dovecot's auth_bind_userdn
        self.template = (f'user_dn = "uid=%{{local}},ou=people,{slapd_module.BASE}"\n'
                         '\tuser_dn_read = no')

    def run(self):
        for rows in (self.logins, self.late, self.lookups, self.group, self.memory):
            try:
                self.b.attempt(rows)
            finally:
                while self.made:
                    self.made.pop()()

    # ---- servers of our own ----

    def authd(self, name, sections, auth):
        a = Authd(self.b.dir / name, sections, auth=f"failure_delay = 0\n\t{auth}", level="info")
        a.start()
        self.made.append(a.stop)
        return a

    def dovecot(self, name, slapd, ldap_settings=""):
        d = Dovecot(self.b.dir / name, self.b.certs, slapd=slapd, ldap_settings=ldap_settings,
                    # so many that these are never the limit
                    settings="auth_worker_max_count = 64\n")
        d.start()
        self.made.append(d.stop)
        return d

    def dovecots(self, name, slapd):
        pair = (self.dovecot(f"dovecot-{name}", slapd),
                self.dovecot(f"dovecot-{name}-workers", slapd, "blocking = yes\n"))
        return {w: d.dir / "run" / "auth-client" for w, d in zip(DOVECOT, pair)}

    def delayed(self):
        """A slapd object whose every answer comes late."""
        port = instance.free_ports(1)[0]
        proxy = subprocess.Popen([self.b.build / "bench/delay_proxy", f"127.0.0.1:{port}",
                                  f"127.0.0.1:{self.b.slapd.port}", str(DELAY_MS)])
        self.made.append(lambda: (proxy.terminate(), proxy.wait()))
        late = copy.copy(self.b.slapd)
        late.port = port
        return late

    def tool(self, *args):
        return self.b.tool(self.b.build / "bench/bench_auth", *args)

    # ---- logins ----

    def login(self, path, flight, total, warm=None):
        return self.tool("--login", "bench{}@example.org", "--password", "secret", "--count",
                         self.people, "--in-flight", flight, "--total", total, "--warm",
                         4 * flight if warm is None else warm, path)["per_second"]

    def bare(self, flight):
        """The same binds without anything around them: our pool against the same slapd."""
        return self.tool("--bind", f"uid=bench{{}},ou=people,{slapd_module.BASE}", "--password",
                         "secret", "--ca", self.b.certs.ca, "--count", self.people, "--in-flight",
                         flight, "--total", self.n, "--warm", 20 * flight,
                         self.b.slapd.uri)["per_second"]

    def logins(self):
        kinds = {f: f"auth socket, PLAIN with an LDAP bind, {f} in flight" for f in (1, 20, 200)}
        pool = "auth socket, of the rate of the bare bind pool, 20 in flight"
        remembered = "auth socket, PLAIN, remembered by us, a bind by Dovecot, 20 in flight"
        if not any(map(self.b.wanted, (*kinds.values(), pool, remembered))):
            return
        section = instance.directory_section(self.b.slapd, extra=self.template)
        paths = self.dovecots("bind", self.b.slapd)
        paths[OURS] = self.authd("auth-bind", section, "cache_size = 0").path("auth")

        def measure(flight):
            n = self.n if flight > 1 else self.n // 4
            return lambda who: (self.bare(flight) if who == BARE
                                else self.login(paths[who], flight, n))

        for flight, name in kinds.items():
            self.b.row(name, "logins/s", "higher", measure(flight), DOVECOT)
        self.b.row(pool, "logins/s", "higher", measure(20), (BARE,), least=0.8)
        if self.b.wanted(remembered):
            cached = self.authd("auth-cached", section, "cache_size = 256M\n\tcache_login_ttl = 10m")
            # everybody once before the clock starts
            self.b.row(remembered, "logins/s", "higher",
                       lambda who: self.login(cached.path("auth"), 20, self.n * 4, self.people)
                       if who == OURS else measure(20)(who), DOVECOT)

    def late(self):
        name = f"auth socket, every LDAP answer {DELAY_MS} ms late, 200 in flight"
        if not self.b.wanted(name):
            return
        late = self.delayed()
        paths = self.dovecots("late", late)
        paths[OURS] = self.authd("auth-late", instance.directory_section(
            late, extra=self.template + "\n\tbind_connections_max = 200"),
            "cache_size = 0").path("auth")
        totals = {OURS: self.n, DOVECOT[0]: 200, DOVECOT[1]: 2000}
        warm = {OURS: 2000, DOVECOT[0]: 0, DOVECOT[1]: 400}
        self.b.row(name, "logins/s", "higher",
                   lambda who: self.login(paths[who], 200, totals[who], warm[who]), DOVECOT)

    # ---- lookups ----

    def entries(self, kind):
        """LDIF of the groups of 8, or of one of 50 groups of 100 with their people."""
        base = slapd_module.BASE

        def group(cn, members):
            return (f"dn: cn={cn},ou=groups,{base}\nobjectClass: groupOfNames\n"
                    "objectClass: postroomGroup\n"
                    f"cn: {cn}\nmail: {cn}@example.org\n"
                    + "".join(f"member: {dn}\n" for dn in members))

        def person(uid):
            return f"uid={uid},ou=people,{base}"

        if kind == "teams":
            return [group(f"team{t}", [
                person(f"bench{(t * TEAM + i) % self.people}") for i in range(TEAM)])
                for t in range(TEAMS)]
        members = [f"member{i}" for i in range(PARTS * PART)]
        return [f"dn: {person(u)}\nobjectClass: inetOrgPerson\nuid: {u}\ncn: M\nsn: M\n"
                f"mail: {u}@example.org\n" for u in members] + [
            group(f"part{p}", map(person, members[p * PART:(p + 1) * PART]))
            for p in range(PARTS)] + [
            group("all5000", [f"cn=part{p},ou=groups,{base}" for p in range(PARTS)])]

    def postmap(self, table, key, count, total):
        """Questions a second, without the time of the first, in which it starts and connects."""
        def run(n):
            begin = time.perf_counter()
            done = subprocess.run(
                ["postmap", "-q", "-", f"ldap:{table}"], text=True, capture_output=True, timeout=900,
                input="".join(key.replace("{}", str(i % count)) + "\n" for i in range(n)))
            if len(done.stdout.splitlines()) != n:
                raise RuntimeError(f"postmap: {done.stdout[-200:]}{done.stderr[-300:]}")
            return time.perf_counter() - begin
        first = run(1)
        return (total - 1) / (run(total) - first)

    def table(self):
        path = self.b.dir / "ldap-table.cf"
        path.write_text(
            # libldap checks the machine's own name where the URI says localhost
            f"server_host = ldap://127.0.0.1:{self.b.slapd.port}\nversion = 3\nbind = yes\n"
            f"bind_dn = {slapd_module.SERVICE_DN}\nbind_pw = {slapd_module.SERVICE_PASSWORD}\n"
            f"search_base = {slapd_module.BASE}\nresult_attribute = rfc822MailMember\n"
            "leaf_result_attribute = mail\n"
            f"query_filter = {ADDRESS.format(a='%s')}\n"
            "special_result_attribute = member\n"
            f"start_tls = yes\ntls_require_cert = yes\ntls_ca_cert_file = {self.b.certs.ca}\n")
        return path

    def same(self, server, table, key, count):
        """Both must say the same before it is measured how fast they say it."""
        with server.directory() as d:
            ours = d.addresses(key, "alias-large")
        theirs = subprocess.run(["postmap", "-q", key, f"ldap:{table}"], text=True,
                                capture_output=True, timeout=900).stdout.strip().split(",")
        if ours != sorted(theirs) or len(ours) != count:
            raise RuntimeError(f"{key}: {len(ours)} addresses by us, {len(theirs)} by postmap, "
                               f"{count} expected")

    def ours(self, server, key, count, flight, total, warm):
        return self.tool("--map", "alias-large", "--key", key, "--count", count, "--in-flight",
                         flight, "--total", total, "--warm", warm,
                         server.path("directory"))["per_second"]

    def lookups(self):
        kinds = (("a person's", "alias{}@example.org", self.people, 1),
                 ("a group of 8", "team{}@example.org", TEAMS, TEAM))
        rows = ("", ", one at a time", ", remembered")
        if not any(self.b.wanted(f"alias lookups, {k[0]}{r}") for k in kinds for r in rows):
            return
        self.b.slapd.add("\n".join(self.entries("teams")))
        section = instance.directory_section(self.b.slapd, extra=SAME_FILTER)
        asked = self.authd("auth-lookup", section, "cache_size = 0")
        remembered = self.authd("auth-lookup-cached", section, "cache_size = 256M\n\tcache_ttl = 1h")
        table = self.table()
        for name, key, count, size in kinds:
            self.same(asked, table, key.replace("{}", "7"), size)
            n = self.n // (1 if size == 1 else 4)
            for row, server, flight, total, warm in (
                    ("", asked, 20, n, 100), (", one at a time", asked, 1, n, 100),
                    (", remembered", remembered, 20, n * 10, count)):
                self.b.row(f"alias lookups, {name}{row}", "lookups/s", "higher",
                           lambda who, s=server, f=flight, t=total, w=warm: self.ours(
                               s, key, count, f, t, w) if who == OURS
                           else self.postmap(table, key, count, n // 2), POSTMAP)

    def group(self):
        name = f"alias lookups, {PARTS} groups of {PART} in one, one at a time"
        if not self.b.wanted(name):
            return
        self.b.slapd.add("\n".join(self.entries("nested")))
        section = instance.directory_section(self.b.slapd, extra=SAME_FILTER)
        asked = self.authd("auth-group", section, "cache_size = 0")
        table, key = self.table(), "all5000@example.org"
        self.same(asked, table, key, PARTS * PART)
        self.b.row(name, "lookups/s", "higher", lambda who: self.ours(asked, key, 1, 1, 20, 1)
                   if who == OURS else self.postmap(table, key, 1, 3), POSTMAP)

    # ---- memory ----

    def memory(self):
        name = f"memory of {CACHED_USERS:,} remembered users, each"
        if not self.b.wanted(name):
            return
        users = self.b.dir / "many.passwd"
        count = CACHED_USERS // (10 if self.b.args.quick else 1)
        users.write_text("".join(f"person{i}:{{PLAIN}}x:::Person Number {i}::\n"
                                 for i in range(count)))
        users.chmod(0o600)
        shutil.chown(users, "postroom-worker")
        postroom = instance.Instance(
            self.b.dir / "many", self.b.slapd, self.b.certs,
            directory_text=f'passwd_file "many" {{\n\tpath = "{users}"\n}}\n',
            settings=f'log {{\n\tlevel = info\n\tfile = "{self.b.dir}/many.log"\n}}\n'
            'auth {\n\tdefault_domain = "example.org"\n\tfailure_delay = 0\n\tcache_size = 1G\n'
            '\tcache_ttl = 1h\n\tcache_login_ttl = 1h\n}\n')
        postroom.log_path = self.b.dir / "many.log"
        postroom.start()
        self.made.append(postroom.stop)
        [pid] = postroom.pids("auth")
        self.fill(postroom, CACHED_FIRST)
        before = self.b.pss_kib(pid)
        self.fill(postroom, count)
        self.b.fact(name, "KiB PSS",
                    (self.b.pss_kib(pid) - before) / (count - CACHED_FIRST))

    def fill(self, postroom, count):
        """Each one logs in and gets a message."""
        common = ("--password", "x", "--count", count, "--in-flight", 50, "--total", count)
        self.tool("--login", "person{}@example.org", *common, postroom.socket("auth"))
        self.tool("--map", "mailbox", "--key", "person{}@example.org", *common,
                  postroom.socket("directory"))
