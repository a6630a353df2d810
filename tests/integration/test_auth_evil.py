"""A directory that is hostile (harness/evilldap.py): whatever it does, its users' logins end in time,
as a temporary error where it did not say yes or no; memory stays bounded, it sees few connections,
and the users of another section notice nothing."""
import threading
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.evilldap import MODES, Evil
from harness.instance import directory_section

LOGIN_MS = 20_000  # setup, search and bind time-outs of one second each, a retry, a busy machine; not: for ever
RSS_MAX_MB = 700  # with the sanitizer's own memory, which holds freed blocks for a while
NEAR_MS = 800


PATIENT = "\n\t".join(f"{what}_timeout = 5m" for what in ("setup", "search", "bind"))
HASTY = PATIENT.replace("5m", "1s")


def two_sections(slapd, certs, evil, tls, timeouts):
    healthy = directory_section(slapd, "healthy", extra='domains = { "example.org" }\n\t' + PATIENT)
    return f"""directory "evil" {{
	domains = {{ "example.com" }}
	uris = {{ "{evil.uri}" }}
	starttls = {"yes" if tls else "no"}
	ca = "{certs.ca}"
	base = "{ldap.BASE}"
	bind_dn = "{ldap.SERVICE_DN}"
	bind_password = "{slapd.dir}/service.password"
	{timeouts}
}}
{healthy}"""


def rss_mb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) // 1024


class Neighbour(threading.Thread):
    """The healthy section's users, all the while."""

    def __init__(self, auth):
        super().__init__()
        self.auth = auth
        self.stopping = False
        self.ms = []
        self.wrong = []
        self.rss = 0

    def run(self):
        with self.auth.directory(timeout=300) as m, self.auth.auth(timeout=300) as c:
            n = 0
            while not self.stopping:
                begin = time.perf_counter()
                found = m.lookup("alias", "director@example.org")
                if n % 5 == 0 and c.plain("anna.berg", "secret-anna.berg").verb != "OK":
                    self.wrong.append("login")
                self.ms.append((time.perf_counter() - begin) * 1000)
                if found != ("OK", "anna.berg@example.org"):
                    self.wrong.append(found)
                self.rss = max(self.rss, rss_mb(self.auth.pid))
                n += 1
                time.sleep(0.01)


def outcome(reply):
    return "temp" if reply.temporary else {"OK": "ok", "FAIL": "denied"}[reply.verb]


def suffer(work, slapd, certs, mode, tls):
    with Evil(mode, certs if tls else None) as evil:
        # who does answer has his time, however busy the machine is
        text = two_sections(slapd, certs, evil, tls, PATIENT if MODES[mode] == "ok" else HASTY)
        auth = "failure_delay = 0\n\tcache_size = 0"
        begin = time.monotonic()
        with Authd(work / f"{mode}-{tls}", text, auth=auth) as a, a.auth(timeout=300) as c:
            near = Neighbour(a)
            near.start()
            got = []
            for i, password in enumerate((b"right", b"wrong")):
                asked = time.monotonic()
                c.begin("PLAIN", b"\0anna.berg@example.com\0" + password, number=i + 1)
                got.append(outcome(c.reply()))
                assert (time.monotonic() - asked) * 1000 < LOGIN_MS
            while len(near.ms) < 5 and near.is_alive():
                time.sleep(0.01)
            near.stopping = True
            near.join(300)
            assert near.wrong == [] and len(near.ms) >= 5
            ms = sorted(near.ms)
            print(f"\n{mode}: {got}, neighbour's worst {ms[-1]:.0f} ms of {len(ms)}, rss {near.rss} "
                  f"MiB, {evil.sent_bytes >> 20} MiB sent, {evil.connections} connections")
            assert ms[len(ms) // 2] < NEAR_MS  # less than one of the time-outs
            assert near.rss < RSS_MAX_MB
            assert evil.connections < 30 + 2 * (time.monotonic() - begin)  # one that fails is tried again after a second
            return got


@pytest.mark.parametrize("mode", MODES)
def test_hostile_directory(work, slapd, certs, mode):
    tls = "starttls" in mode or "handshake" in mode or "certificate" in mode
    got = suffer(work, slapd, certs, mode, tls)
    want = MODES[mode]
    if want == "ok":
        assert got == ["ok", "denied"]
    elif want == "temp":
        assert got == ["temp", "temp"]
    else:
        # whatever it makes of the right password, the wrong one is never right
        assert got[0] in ("ok", "temp", "denied") and got[1] in ("temp", "denied")


@pytest.mark.parametrize("mode", ["endless-entries", "hang-bind", "garbage"])
def test_hostile_directory_behind_tls(work, slapd, certs, mode):
    assert suffer(work, slapd, certs, mode, True)[0] == "temp"
