"""Two-way synchronisers of a Maildir tree and an account, and both sides' state side by side.

    m = Mbsync(directory, instance, "anna.berg@example.org")     # or OfflineImap
    m.sync()
    m.add("INBOX", message, "S"); m.change("INBOX", "<1@x>", add="F"); m.remove("INBOX", "<1@x>")
    m.state() == server_state(imaplib_session)

A state is {mailbox: {Message-ID: Maildir flag letters}}.
"""
import os
import re
import subprocess
import time

from .instance import password_of

LETTERS = {b"\\Seen": "S", b"\\Answered": "R", b"\\Flagged": "F", b"\\Draft": "D"}


def message_id(data):
    return re.search(rb"(?im)^Message-ID: *(<[^>]*>)", data)[1].decode()


def ok(answer):
    typ, data = answer
    assert typ == "OK", data
    return data


def server_state(c):
    """What the account holds; messages marked \\Deleted count as gone."""
    out = {}
    for line in ok(c.list()):
        name = re.search(rb'"/" "?([^"]*)"?$', line)[1].decode()
        if b"\\Noselect" in line or b"\\NonExistent" in line:
            continue
        out[name] = {}
        if int(ok(c.select(f'"{name}"', readonly=True))[0]) == 0:
            continue
        for part in ok(c.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")):
            if not isinstance(part, tuple):
                continue
            flags = re.search(rb"FLAGS \(([^)]*)\)", part[0])[1].split()
            if b"\\Deleted" not in flags:
                key = message_id(part[1])
                assert key not in out[name], f"{key} is in {name} twice"
                out[name][key] = "".join(sorted(LETTERS[f] for f in flags if f in LETTERS))
    c.unselect() if "UNSELECT" in c.capabilities else c.close()
    return out


def run(*args, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True, timeout=120, **kw)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:].decode(errors="replace")
    return done.stdout + done.stderr


class Maildirs:
    """Maildirs below self.maildir, one a mailbox, in folders like the mailboxes' names."""

    def __init__(self, directory):
        self.dir = directory
        directory.mkdir()
        self.maildir = directory / "mail"
        self.maildir.mkdir()

    def files(self, name):
        d = self.maildir / name
        return sorted(p for sub in ("cur", "new") for p in (d / sub).iterdir())

    def create(self, name):
        for sub in ("cur", "new", "tmp"):
            (self.maildir / name / sub).mkdir(parents=True)

    def add(self, name, data, flags=""):
        p = self.maildir / name / "cur" / f"{time.time_ns()}.test:2,{flags}"
        p.write_bytes(data.replace(b"\r\n", b"\n"))
        return p

    def find(self, name, key):
        return next(p for p in self.files(name) if message_id(p.read_bytes()) == key)

    def change(self, name, key, add="", remove=""):
        p = self.find(name, key)
        base, _, flags = p.name.partition(":2,")
        letters = "".join(sorted((set(flags) | set(add)) - set(remove)))
        target = self.maildir / name / "cur" / f"{base}:2,{letters}"
        p.rename(target)
        return target

    def remove(self, name, key):
        self.find(name, key).unlink()

    def move(self, name, key, to):
        """As a mail reader does: a new file name in the other folder."""
        p = self.find(name, key)
        flags = p.name.partition(":2,")[2]
        self.add(to, p.read_bytes(), flags)
        p.unlink()

    def state(self):
        out = {}
        for cur in self.maildir.glob("**/cur"):
            box = out[str(cur.parent.relative_to(self.maildir))] = {}
            for p in self.files(cur.parent):
                key = message_id(p.read_bytes())
                assert key not in box, f"{key} is in {cur.parent} twice"
                box[key] = "".join(c for c in p.name.partition(":2,")[2] if c in "DFRS")
        return out


class Mbsync(Maildirs):
    def __init__(self, directory, postroom, user, more=""):
        super().__init__(directory)
        self.rc = directory / "mbsyncrc"
        self.rc.write_text(f"""
IMAPAccount a
Host localhost
Port {postroom.imaps_port}
User {user}
Pass {password_of(user)}
SSLType IMAPS
SystemCertificates no
CertificateFile {postroom.certs.ca}
{more}

IMAPStore far
Account a

MaildirStore near
Path {self.maildir}/
Inbox {self.maildir}/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
""")

    def sync(self):
        return run("mbsync", "-c", self.rc, "-a", env={**os.environ, "HOME": str(self.dir)})


class OfflineImap(Maildirs):
    def __init__(self, directory, postroom, user):
        super().__init__(directory)
        self.rc = directory / "offlineimaprc"
        self.rc.write_text(f"""
[general]
accounts = a
metadata = {directory}/metadata
maxsyncaccounts = 1
fsync = False
socktimeout = 30

[Account a]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {self.maildir}
sep = /
nametrans = lambda name: name

[Repository far]
type = IMAP
remotehost = localhost
remoteport = {postroom.imaps_port}
remoteuser = {user}
remotepass = {password_of(user)}
auth_mechanisms = PLAIN
ssl = yes
sslcacertfile = {postroom.certs.ca}
maxconnections = 2
usecompression = yes
expunge = yes
subscribedonly = no
""")

    def sync(self):
        return run("offlineimap", "-o", "-c", self.rc, "-u", "basic",
                   env={**os.environ, "HOME": str(self.dir)})
