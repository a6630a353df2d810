"""The rows of bench/run about mail on its way, beside Debian's Postfix with Dovecot behind it, on the same directory.

Reception: a message's time ends when the server that keeps the mailboxes has said so in its log, and the rate is that of
all messages from the first connection on to the last of these lines; at the end the mailboxes are counted. Postfix asks
the directory for mailboxes, aliases and senders through proxymap and for logins through Dovecot, which binds; it hands
over by LMTP to a Dovecot of its own with sdbox. Both write their usual log, with one line or more a message.
Relaying: from a program in a network of ours to smtp-sink, which takes everything. Queue: 100,000 messages that wait
for their next try in an hour or more; Postfix's deferred queue is made of copies of one message that it deferred itself.
"""
import os
import pwd
import re
import shutil
import smtplib
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from harness import instance, slapd as slapd_module
from harness.dovecot import Dovecot
from harness.ports import free_ports
from harness.postfix import Postfix

OURS = "postroom"
POSTFIX = "postfix"
USERS = 100
PASSWORD = "secret"
SIZES = (("8 KiB", 8192), ("64 KiB", 65536), ("1 MiB", 1 << 20))
# so that the slower side takes one to three seconds
MESSAGES = {("8 KiB", 1): 150, ("8 KiB", 20): 600, ("8 KiB", 100): 600,
            ("64 KiB", 1): 100, ("64 KiB", 20): 300, ("64 KiB", 100): 400,
            ("1 MiB", 1): 20, ("1 MiB", 20): 60, ("1 MiB", 100): 100}
LIST = 1000
WAITING = 100_000
LINKS = 10_000
RUNS = 3

LIMITS = """smtp {{
	postmaster = "bench1@example.org"
	recipients_max = 1000
	connections_per_address = 100000
	connections_per_minute = 0
	messages_per_minute = 0
	recipients_per_minute = 0
	user_messages_per_minute = 0
	user_recipients_per_minute = 0
	{more}
}}
queue {{
	reserve = 1M
}}
log {{
	level = info
	file = "{log}"
}}
auth {{
	default_domain = "example.org"
	failure_delay = 0
	cache_login_ttl = 0
}}
imap {{
	plaintext_login = yes
}}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{mx}" }} tls = starttls }}
"""
# for Postfix; everybody's login is a bind, as with us
DOVECOT = """
service auth {{
  unix_listener {dir}/postfix-auth {{
    mode = 0666
  }}
}}
service lmtp {{
  process_limit = 200
}}
"""
SUBMISSION = """\
127.0.0.1:{port} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
"""
TABLE = """\
server_host = ldap://127.0.0.1:{port}
version = 3
bind = yes
bind_dn = {dn}
bind_pw = {password}
search_base = {base}
query_filter = {filter}
result_attribute = {attribute}
start_tls = yes
tls_require_cert = yes
tls_ca_cert_file = {ca}
"""


class Lines:
    """How many lines of a growing file say something, from now on."""

    def __init__(self, path, *texts):
        self.path, self.texts, self.count, self.rest = Path(path), [t.encode() for t in texts], 0, b""
        self.offset = self.path.stat().st_size if self.path.exists() else 0

    def more(self):
        with open(self.path, "rb") as f:
            f.seek(self.offset)
            new = f.read()
        self.offset += len(new)
        *lines, self.rest = (self.rest + new).split(b"\n")
        self.count += sum(all(t in line for t in self.texts) for line in lines)
        return self.count

    def wait(self, count, what, timeout=120):
        until = time.monotonic() + timeout
        while self.more() < count:
            if time.monotonic() > until:
                raise RuntimeError(f"{what}: {self.count} of {count} after {timeout} s")
            time.sleep(0.005)
        return time.monotonic()


class Ours:
    """A Postroom for these rows."""

    name = OURS

    def __init__(self, bench, name, more="", settings=""):
        self.b, (self.mx_port,) = bench, free_ports(1)
        log = bench.dir / f"{name}.log"
        self.i = instance.Instance(
            bench.dir / name, bench.slapd, bench.certs,
            directory_text=instance.directory_section(
                bench.slapd, extra=f'user_dn = "uid=%{{local}},ou=people,{slapd_module.BASE}"\n\tuser_dn_read = no'),
            settings=LIMITS.format(log=log, mx=self.mx_port, more=more) + settings)
        self.i.log_path = log
        self.submission_port, self.start, self.stop = self.i.submission_port, self.i.start, self.i.stop

    def delivered(self):
        return Lines(self.i.log_path, "ev=lmtp.deliver ", " res=ok")

    def relayed(self):
        return Lines(self.i.log_path, "ev=queue.deliver ", " res=ok")

    def imap_port(self):
        return self.i.imap_port

    def list_command(self):
        exe = next(p for p in self.b.build.glob("**/postroom") if p.is_file())
        return [exe, "queue", "--config", self.i.conf, "list"]

    def manager(self):
        (pid,) = self.i.pids("queue")
        return pid


class Theirs:
    """Postfix, and a Dovecot that keeps the mailboxes."""

    name = POSTFIX

    def __init__(self, bench, name, **settings):
        self.b, (self.submission_port,) = bench, free_ports(1)
        d = bench.dir / name
        self.dovecot = Dovecot(d / "dovecot", bench.certs, slapd=bench.slapd, settings=DOVECOT.format(dir=d / "dovecot"))
        tables = {"mailbox": ("(mail=%s)", "mail"), "alias": ("(|(mail=%s)(mailLocalAddress=%s))", "mail")}
        for table, (text, attribute) in tables.items():
            path = d / f"{table}.cf"
            path.write_text(TABLE.format(port=bench.slapd.port, dn=slapd_module.SERVICE_DN, ca=bench.certs.ca,
                                         password=slapd_module.SERVICE_PASSWORD, base=slapd_module.BASE,
                                         filter=text, attribute=attribute))
            path.chmod(0o644)
        d.chmod(0o755)
        self.p = Postfix(d / "postfix", {
            "default_process_limit": "200", "smtpd_client_connection_count_limit": "0",
            "smtpd_tls_cert_file": bench.certs.cert, "smtpd_tls_key_file": bench.certs.key,
            "smtpd_tls_security_level": "may", "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": d / "dovecot" / "postfix-auth", "smtpd_tls_auth_only": "yes",
            "virtual_mailbox_domains": "example.org",
            "virtual_mailbox_maps": f"proxy:ldap:{d}/mailbox.cf",
            "virtual_alias_maps": f"proxy:ldap:{d}/alias.cf",
            "smtpd_sender_login_maps": f"proxy:ldap:{d}/alias.cf",
            "virtual_transport": f"lmtp:unix:{self.dovecot.lmtp_socket}",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "message_size_limit": "52428800", **settings})
        with open(self.p.conf / "master.cf", "a") as f:
            f.write(SUBMISSION.format(port=self.submission_port))
        self.mx_port = self.p.port

    def start(self):
        self.dovecot.start()
        self.p.start()

    def stop(self):
        self.p.stop()
        self.dovecot.stop()

    def delivered(self):
        return Lines(self.dovecot.dir / "log", "saved mail to INBOX")

    def relayed(self):
        return Lines(self.p.log_path, "postfix/smtp", "status=sent")

    def imap_port(self):
        return self.dovecot.imap_port

    def list_command(self):
        return ["/usr/sbin/postqueue", "-c", self.p.conf, "-p"]

    def manager(self):
        (pid,) = (int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline")
                  if self.is_manager(p))
        return pid

    def is_manager(self, cmdline):
        try:
            return cmdline.read_bytes().startswith(b"qmgr\0") and \
                os.readlink(cmdline.parent / "cwd") == str(self.p.queue)
        except OSError:
            return False


class MailRows:
    """What the three parts have in common: two servers that run for the time of their rows."""

    def __init__(self, bench):
        self.b = bench
        self.both = {}

    def row(self, name, unit, better, measure, **more):
        self.b.row(name, unit, better, measure, theirs=(POSTFIX,), runs=more.pop("runs", min(RUNS, self.b.args.runs)),
                   **more)

    def count(self, n):
        return max(1, n // 10) if self.b.args.quick else n

    def run(self):
        if any(self.b.wanted(name) for name in self.names()):
            self.b.attempt(self.rows)

    def started(self, stack, *servers):
        self.both = {s.name: s for s in servers}
        for s in servers:
            s.start()
            stack.callback(s.stop)


class ReceptionRows(MailRows):
    """Submission and port 25, until the message is in the mailbox."""

    TO_LIST = f"one message to {LIST:,} local recipients, until all have it"

    def kinds(self):
        for what in ("submission", "reception on port 25"):
            for size, octets in SIZES:
                for connections in (1, 20, 100):
                    for kept in (False, True):
                        name = f"{what}, {size}, {connections} connection{'s'[:connections > 1]}, " \
                            + ("kept" if kept else "new for each")
                        yield name, what, size, octets, connections, kept

    def names(self):
        return [name for name, *_ in self.kinds()] + [self.TO_LIST]

    def rows(self):
        self.expected = dict.fromkeys((OURS, POSTFIX), 0)
        last = f"bench{LIST}"
        self.b.slapd.add(f"dn: uid={last},ou=people,{slapd_module.BASE}\nobjectClass: inetOrgPerson\nuid: {last}\n"
                         f"cn: Bench\nsn: Bench\nmail: {last}@example.org\n")
        with ExitStack() as stack:
            self.started(stack, Ours(self.b, "mail"), Theirs(self.b, "rival"))
            for name, *kind in self.kinds():
                target = 5 if name.startswith("submission, 8 KiB, 20 ") else None
                self.row(name, "msg/s", "higher", lambda who, kind=kind: self.rate(who, *kind), target=target)
            if self.b.wanted(self.TO_LIST):
                for who in self.both:  # the first message makes the mailbox
                    self.list(who)
            self.row(self.TO_LIST, "rcpt/s", "higher", self.list, target=5)
            self.b.attempt(self.compare)

    def bench_smtp(self, port, messages, octets, connections, *more):
        return self.b.tool(self.b.build / "bench/bench_smtp", "--json", "--connections", connections, "--messages",
                           messages, "--size", octets, *more, f"127.0.0.1:{port}")

    def timed(self, who, recipients, send):
        """Deliveries a second, from the client's start on."""
        lines = self.both[who].delivered()
        self.expected[who] += recipients
        done = send(self.both[who])
        begin = time.monotonic() - done["seconds"]
        return recipients / (lines.wait(recipients, who) - begin)

    def rate(self, who, what, size, octets, connections, kept):
        n = max(connections, self.count(MESSAGES[size, connections]))
        to = ("--to", "bench{}@example.org", "--count", USERS, "--per-connection", 0 if kept else 1)
        if what == "submission":
            return self.timed(who, n, lambda s: self.bench_smtp(
                s.submission_port, n, octets, connections, *to, "--tls", "starttls", "--login", "bench{}@example.org",
                "--password", PASSWORD, "--from", "bench{}@example.org"))
        return self.timed(who, n, lambda s: self.bench_smtp(
            s.mx_port, n, octets, connections, *to, "--from", "someone@example.net"))

    def list(self, who):
        return self.timed(who, LIST, lambda s: self.bench_smtp(
            s.mx_port, 1, 8192, 1, "--to", "bench{}@example.org", "--count", LIST, "--recipients", LIST,
            "--from", "someone@example.net"))

    def compare(self):
        """Nothing was only said to be delivered."""
        for who, server in self.both.items():
            from imap_rows import Talk
            found = 0
            for user in range(1, USERS + 1):
                t = Talk(self.b.build / "bench/bench_talk", server.imap_port(), f"bench{user}@example.org")
                found += t.count("INBOX")
                t.close()
            others = self.expected[who] - found  # of the list, in mailboxes that are not counted
            if others < 0 or others % (LIST - USERS) != 0 or others > (RUNS + 1) * LIST:
                raise RuntimeError(f"{who}: {found} messages in {USERS} mailboxes, {self.expected[who]} sent")


class RelayingRows(MailRows):
    """From a program of ours through the server to smtp-sink."""

    def kinds(self):
        for size, octets in SIZES[:2]:
            for connections in (1, 20, 100):
                yield (f"relaying to smtp-sink, {size}, {connections} connection{'s'[:connections > 1]}", octets,
                       connections, MESSAGES[size, connections])

    def names(self):
        return [name for name, *_ in self.kinds()]

    def rows(self):
        with ExitStack() as stack:
            port = self.sink(stack)
            ours = Ours(self.b, "relaying", more='relay_networks = { "127.0.0.0/8" }',
                        settings=f'relay "sink" {{ host = "[127.0.0.1]:{port}" tls = none }}\n'
                        'outbound { enabled = yes smarthost = "sink" }\n')
            theirs = Theirs(self.b, "rival-relaying", relayhost=f"[127.0.0.1]:{port}", mynetworks="127.0.0.0/8")
            self.started(stack, ours, theirs)
            for name, octets, connections, messages in self.kinds():
                self.row(name, "msg/s", "higher", lambda who, o=octets, c=connections, m=messages:
                         self.rate(who, o, c, max(c, self.count(m))), target=3 if connections == 20 else None)

    def sink(self, stack):
        (port,) = free_ports(1)
        p = subprocess.Popen(["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "500"])
        stack.callback(lambda: (p.terminate(), p.wait()))
        wait_port(port)
        return port

    def rate(self, who, octets, connections, messages):
        lines = self.both[who].relayed()
        done = self.b.tool(self.b.build / "bench/bench_smtp", "--json", "--connections", connections, "--messages",
                           messages, "--size", octets, "--to", "user{}@far.example.net", "--count", USERS, "--from",
                           "bench1@example.org", f"127.0.0.1:{self.both[who].mx_port}")
        begin = time.monotonic() - done["seconds"]
        return messages / (lines.wait(messages, who) - begin)


class QueueRows(MailRows):
    """A long queue of messages that wait."""

    def titles(self):
        n = f"{self.waiting:,} messages waiting: "
        return [n + "start until a new message is delivered", n + "start until they are listed",
                n + "list of the queue", n + "memory of the queue's manager"]

    def names(self):
        self.waiting = self.count(WAITING)
        return self.titles()

    def rows(self):
        self.names()
        self.figures = {}
        with ExitStack() as stack:
            ours, theirs = Ours(self.b, "waiting"), Theirs(self.b, "rival-waiting", maximal_backoff_time="4h")
            self.both = {s.name: s for s in (ours, theirs)}
            for s, fill in ((ours, self.fill_ours), (theirs, self.fill_theirs)):
                self.b.say(f"{s.name}: {self.waiting:,} messages into the queue")
                begin = time.monotonic()
                fill(s)
                self.b.say(f"{s.name}: filled in {time.monotonic() - begin:.0f} s")
            delivery, ready, listing, memory = self.titles()
            # seconds with Postfix, and as many to come to an end
            self.row(delivery, "ms", "lower", lambda who: self.start(stack, who, self.until_delivered), runs=1)
            self.row(ready, "ms", "lower", lambda who: self.start(stack, who, self.until_listed), runs=1)
            self.row(listing, "ms", "lower", lambda who: self.list(stack, who))
            self.row(memory, "MiB PSS", "lower", lambda who: self.memory(stack, who), runs=1)

    def fill_ours(self, s):
        s.start()  # makes the folders
        s.stop()
        subprocess.run([self.b.build / "tests/tools/queue_fill", s.i.spool, str(self.waiting),
                        "bench{}@example.org", "7200", "2000"], check=True)
        owner = pwd.getpwnam("postroom-queue")
        for folder in (s.i.spool, s.i.spool / "slots"):
            for p in os.scandir(folder):
                os.chown(p.path, owner.pw_uid, owner.pw_gid)

    def fill_theirs(self, s):
        """A message that it defers itself, and copies of it."""
        s.p.start()  # without Dovecot
        with smtplib.SMTP("127.0.0.1", s.p.port, timeout=30) as c:
            c.sendmail("bench1@example.org", ["bench2@example.org"], b"Subject: later\r\n\r\n" + b"wait a while\r\n" * 130)
        s.p.wait_log("status=deferred", timeout=60)
        time.sleep(1)
        s.p.stop()
        (message,) = (s.p.queue / "deferred").glob("*/*")
        log = s.p.queue / "defer" / message.parent.name / message.name
        reason, later = log.read_bytes(), time.time() + 7200
        owner = pwd.getpwnam("postfix")
        new, text = s.p.queue / "copy", message.read_bytes()
        for n in range(self.waiting):
            inode = self.write(new, text, 0o700, owner, later)
            # of the time and the inode, as postsuper wants it at each start
            name = f"{n * 7919 % 1000000:05X}{inode:X}"
            os.rename(new, self.made(s, "deferred", name, owner))
            if n % LINKS == 0:  # one inode for many of the same text
                self.write(s.p.queue / f"reason-{n}", reason, 0o600, owner, later)
            os.link(s.p.queue / f"reason-{n - n % LINKS}", self.made(s, "defer", name, owner))
        message.unlink()
        log.unlink()

    @staticmethod
    def write(path, text, mode, owner, time):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, mode)
        try:
            os.write(fd, text)
            os.fchown(fd, owner.pw_uid, owner.pw_gid)
            os.utime(fd, (time, time))
            return os.fstat(fd).st_ino
        finally:
            os.close(fd)

    @staticmethod
    def made(s, kind, name, owner):
        folder = s.p.queue / kind / name[0]
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        return folder / name

    def start(self, stack, who, until):
        """Milliseconds from the command that starts it, with Dovecot running already."""
        s = self.both[who]
        self.end(who)
        subprocess.run(["sync"], check=True)
        if who == POSTFIX:
            s.dovecot.start()
        begin = time.monotonic()
        if who == POSTFIX:
            s.p.start()
        else:
            s.i.start()
        self.running = who
        stack.callback(self.end, who)
        return (until(s) - begin) * 1000

    def end(self, who):
        s = self.both[who]
        if who == OURS and s.i.process or who == POSTFIX and s.dovecot.process:
            s.stop()

    def until_delivered(self, s):
        lines = s.delivered()
        wait_port(s.mx_port)
        with smtplib.SMTP("127.0.0.1", s.mx_port, timeout=60) as c:
            c.sendmail("someone@example.net", ["bench3@example.org"], b"Subject: now\r\n\r\nnow\r\n")
        return lines.wait(1, s.name)

    def listed(self, s):
        done = subprocess.run(s.list_command(), capture_output=True, text=True, timeout=300)
        m = re.search(r"in (\d+) Request|(\d+) messages, ", done.stdout[-300:])
        return int(m[1] or m[2]) if done.returncode == 0 and m else 0

    def until_listed(self, s):
        until = time.monotonic() + 120
        while self.listed(s) < self.waiting:
            if time.monotonic() > until:
                raise RuntimeError(f"{s.name}: the list is not whole")
            time.sleep(0.01)
        return time.monotonic()

    def list(self, stack, who):
        s = self.both[who]
        self.ensure(stack, who)
        begin = time.monotonic()
        n = self.listed(s)
        if n < self.waiting:
            raise RuntimeError(f"{who}: {n} listed")
        return (time.monotonic() - begin) * 1000

    def memory(self, stack, who):
        self.ensure(stack, who)
        return self.b.pss_kib(self.both[who].manager()) / 1024

    def ensure(self, stack, who):
        s = self.both[who]
        if not (s.i.process if who == OURS else s.dovecot.process):
            self.start(stack, who, self.until_listed)


def wait_port(port, timeout=60):
    until = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)
