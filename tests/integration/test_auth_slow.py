"""Directories that are slow or hang hold up nobody else. What is slow waits until the test lets it go on. The p99 of
lookups beside that stays under 20 ms, on a machine where it is under 2 beside nothing."""
import re
import socket
import threading
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd, Lines, unescape
from harness.instance import directory_section
from harness.slowldap import Proxy

LOGINS = 200
LOOKUPS = 1000
ROUND = 250
P99_MS = 20
SETUP_SEC = 20


def two_sections(slapd, certs, uri, more=""):
    """example.com's directory behind `uri`, example.org's healthy."""
    healthy = directory_section(slapd, "healthy", extra='domains = { "example.org" }')
    return f"""directory "slow" {{
	domains = {{ "example.com" }}
	uris = {{ "{uri}" }}
	starttls = no
	ca = "{certs.ca}"
	base = "{ldap.BASE}"
	bind_dn = "{ldap.SERVICE_DN}"
	bind_password = "{slapd.dir}/service.password"
	user_dn = "uid=%{{local}},ou=people,{ldap.BASE}"
	{more}
}}
{healthy}"""


class Lookups(threading.Thread):
    """1,000 alias lookups, one after the other, each timed."""

    def __init__(self, auth):
        super().__init__()
        self.auth = auth
        self.ms = []
        self.error = None

    def run(self):
        try:
            with self.auth.directory() as m:
                for i in range(LOOKUPS):
                    begin = time.perf_counter()
                    status, value = m.lookup("alias", "director@example.org")
                    self.ms.append((time.perf_counter() - begin) * 1000)
                    assert (status, value) == ("OK", "anna.berg@example.org")
        except Exception as e:  # noqa: BLE001 - reported by the test
            self.error = e

    def p99(self):
        """Of the best quarter: what else the machine does at times is not measured."""
        parts = [sorted(self.ms[i:i + ROUND]) for i in range(0, LOOKUPS, ROUND)]
        return min(p[int(ROUND * 0.99) - 1] for p in parts)


def look_up(auth):
    """The p99 in ms."""
    lookups = Lookups(auth)
    lookups.start()
    lookups.join()
    assert lookups.error is None, lookups.error
    print(f"\np99 {lookups.p99():.2f} ms")
    return lookups.p99()


def best_look_up(auth, tries=5):
    found = []
    while len(found) < tries and min(found, default=P99_MS) >= P99_MS:
        found.append(look_up(auth))
    return min(found)


def begin_logins(client, count=LOGINS):
    for i in range(count):
        client.begin("PLAIN", b"\0anna.berg@example.com\0secret-anna.berg", number=i + 1)


def end_logins(client):
    got = [client.reply() for _ in range(LOGINS)]
    assert len({r.id for r in got}) == LOGINS
    return got


@pytest.mark.alone
def test_lookups_beside_200_binds_that_wait(work, slapd, certs):
    with Proxy(slapd.port) as proxy:
        text = two_sections(slapd, certs, f"ldap://127.0.0.1:{proxy.port}", "bind_timeout = 5m")
        with Authd(work / "slow", text) as a, a.auth(timeout=300) as c, a.directory() as warm:
            a.wait_log("directory=slow res=used")
            assert warm.lookup("alias", "director@example.org")[0] == "OK"
            alone = look_up(a)
            proxy.hold = True
            begin_logins(c)
            proxy.wait_held(64)
            beside = best_look_up(a)
            assert beside < P99_MS or alone > P99_MS / 10, (beside, alone)
            assert "ev=auth.login" not in a.log_text() and len(proxy.held) == 64  # all that while
            proxy.hold = False
            got = end_logins(c)
            assert all(r.verb == "OK" for r in got)
            assert all(r.fields["user"] == "anna.berg@example.com" for r in got)
            # each bind on its own connection: 200 over 64
            assert 64 < proxy.connections <= 66


@pytest.mark.alone
def test_lookups_beside_200_binds_that_hang_in_the_hand_shake(work, slapd, certs):
    with Proxy(None) as proxy:
        text = two_sections(slapd, certs, f"ldaps://127.0.0.1:{proxy.port}", f"setup_timeout = {SETUP_SEC}s")
        with Authd(work / "hang", text) as a, a.auth(timeout=300) as c, a.directory() as warm:
            assert warm.lookup("alias", "director@example.org")[0] == "OK"
            alone = look_up(a)
            begin_logins(c)
            beside = look_up(a)
            # no lookup stood behind a hand-shake
            assert beside < P99_MS or (alone > P99_MS / 10 and beside < SETUP_SEC * 1000), (beside, alone)
            assert proxy.connections > 0
            assert all(r.temporary for r in end_logins(c))
            # known to be down now: the next one does not wait for the hand-shake's whole time
            took = []
            while len(took) < 3 and min(took, default=SETUP_SEC) >= SETUP_SEC:
                begin = time.monotonic()
                assert c.plain("anna.berg@example.com", "x", number=9999 + len(took)).temporary
                took.append(time.monotonic() - begin)
            assert min(took) < SETUP_SEC, took


@pytest.mark.waits
def test_silent_server_is_left_for_the_next(work, slapd, certs):
    """The first takes connections and says nothing: the second answers, and nothing blocks."""
    with Proxy(None) as proxy:
        text = directory_section(slapd, extra="search_timeout = 1s").replace(
            f'"{slapd.uri}"', f'"ldap://127.0.0.1:{proxy.port}", "{slapd.uri}"')
        with Authd(work / "silent", text) as a, a.auth() as c:
            until = time.monotonic() + 180
            while (r := c.plain("anna.berg", "secret-anna.berg")).temporary:  # its time was up with the first server's
                assert time.monotonic() < until
            assert r.verb == "OK"


@pytest.mark.waits
def test_bind_deadline_is_temporary(work, slapd, certs):
    with Proxy(slapd.port, delay=3.0) as proxy:
        text = two_sections(slapd, certs, f"ldap://127.0.0.1:{proxy.port}",
                            "bind_timeout = 1s\n\tsearch_timeout = 10s")
        with Authd(work / "deadline", text) as a, a.auth() as c:
            a.wait_log("directory=slow res=used")  # the service account's bind took its 3 s
            begin = time.monotonic()
            assert c.plain("anna.berg@example.com", "secret-anna.berg").temporary
            assert time.monotonic() - begin > 0.7
            a.wait_log("no answer in time")


@pytest.mark.waits
def test_bind_queue_is_bounded(work, slapd, certs):
    with Proxy(slapd.port) as proxy:
        text = two_sections(slapd, certs, f"ldap://127.0.0.1:{proxy.port}",
                            "bind_queue_max = 10\n\tbind_connections_max = 2\n\tbind_timeout = 5m")
        with Authd(work / "queue", text) as a, a.auth(timeout=300) as c:
            a.wait_log("directory=slow res=used")
            proxy.hold = True
            begin_logins(c, 2)
            proxy.wait_held(2)
            c.begin_many("PLAIN", b"\0anna.berg@example.com\0secret-anna.berg", range(3, 41))
            refused = [c.reply() for _ in range(28)]  # ten stand in line
            assert all(r.temporary for r in refused), refused
            proxy.hold = False
            assert all(c.reply().verb == "OK" for _ in range(12))
            a.wait_log("too many logins wait")


def status(auth, section, what):
    with Lines(auth.path("auth-admin")) as admin:
        admin.send("STATUS")
        text = unescape(admin.line())
    return int(re.search(rf"directory={section} .*{what}=(\d+)", text)[1])


def bind_connections(auth, section):
    return status(auth, section, "bind_connections")


def wait_for(condition, timeout=180):
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.waits
def test_the_pool_grows_and_shrinks(work, slapd, certs):
    with Proxy(slapd.port) as proxy:
        text = two_sections(slapd, certs, f"ldap://127.0.0.1:{proxy.port}",
                            "bind_connections_min = 2\n\tbind_connections_max = 6\n"
                            "\tbind_idle_timeout = 200ms\n\tbind_timeout = 5m")
        with Authd(work / "grows", text) as a, a.auth(timeout=300) as c:
            a.wait_log("directory=slow res=used")
            proxy.hold = True
            begin_logins(c, 40)
            proxy.wait_held(6)
            assert bind_connections(a, "slow") == 6
            proxy.hold = False
            assert all(c.reply().verb == "OK" for _ in range(40))
            wait_for(lambda: bind_connections(a, "slow") <= 2)
            time.sleep(0.5)  # and no further
            assert bind_connections(a, "slow") == 2
            assert c.plain("anna.berg@example.com", "secret-anna.berg", number=99).verb == "OK"


@pytest.mark.waits
def test_client_that_leaves_does_not_keep_its_binds(work, slapd, certs):
    with Proxy(slapd.port) as proxy:
        text = two_sections(slapd, certs, f"ldap://127.0.0.1:{proxy.port}",
                            "bind_connections_max = 2\n\tbind_queue_max = 50\n\tbind_timeout = 5m")
        with Authd(work / "leaver", text) as a:
            a.wait_log("directory=slow res=used")
            proxy.hold = True
            with a.auth() as c:
                for i in range(50):
                    c.begin("PLAIN", b"\0anna.berg@example.com\0x", number=i + 1)
                proxy.wait_held(2)
                wait_for(lambda: status(a, "slow", "binds_waiting") == 48)
            wait_for(lambda: status(a, "slow", "binds_waiting") == 0)
            before = proxy.binds
            with a.auth(timeout=300) as c:
                c.begin("PLAIN", b"\0anna.berg@example.com\0secret-anna.berg", number=1)
                proxy.hold = False
                assert c.reply().verb == "OK"
            assert proxy.binds - before == 1  # nobody's but its own


@pytest.mark.waits
def test_lost_connection_is_replaced_without_a_failure(work, slapd, certs):
    """slapd restarted between two logins: the stale connections are no reason for a failure."""
    with ldap.Slapd(work / "slapd-lost") as s:
        text = directory_section(s)
        with Authd(work / "lost", text) as a, a.auth() as c, a.directory() as m:
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
            a.wait_log("res=used")
            used = a.log_text().count("res=used")
            s.stop()
            a.wait_log("res=down")
            s.start()
            until = time.monotonic() + 180
            while a.log_text().count("res=used") == used:  # a probe found it again
                assert time.monotonic() < until
                time.sleep(0.05)
            assert c.plain("anna.berg", "secret-anna.berg").verb == "OK"
            assert m.lookup("alias", "director@example.org")[0] == "OK"


@pytest.mark.waits
@pytest.mark.parametrize("noise", [
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 64, b"\x30\x84\xff\xff\xff\xff\x02\x01\x01",
    b"\x30\x80\x02\x01\x01\x61\x00\x00", b"\x30\x0c\x02\x01\x63\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
    b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00", b"\x30\x03\x02\x01\x01", b""],
    ids=["http", "zeros", "4GiB", "indefinite", "other-id", "cut", "no-operation", "closed"])
def test_directory_that_talks_nonsense(work, slapd, noise):
    """Whatever a server sends, the answer is temporary and the service lives."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = []

    def serve():
        while not stopping:
            try:
                s, _ = listener.accept()
                s.settimeout(2)
                s.recv(4096)
                s.sendall(noise)
                s.close()
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    text = directory_section(slapd, extra="search_timeout = 1s").replace(
        slapd.uri, f"ldap://127.0.0.1:{listener.getsockname()[1]}").replace(
        "starttls = yes", "starttls = no")
    try:
        with Authd(work / f"noise-{time.monotonic_ns()}", text) as a, a.auth() as c, \
                a.directory() as m:
            assert c.plain("anna.berg", "secret-anna.berg").temporary
            assert m.lookup("alias", "sales@example.org")[0] == "TEMP"
            assert c.plain("*", "x").verb == "FAIL"
    finally:
        stopping.append(1)
        listener.close()


@pytest.mark.waits
def test_no_storm_of_connections(work, slapd):
    """A server that takes the service account's bind and hangs up, every time."""
    listener = socket.create_server(("127.0.0.1", 0))
    made = []

    def serve():
        while True:
            try:
                s, _ = listener.accept()
                made.append(1)
                s.settimeout(2)
                s.recv(4096)
                s.sendall(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00")
                s.close()
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    text = directory_section(slapd).replace(
        slapd.uri, f"ldap://127.0.0.1:{listener.getsockname()[1]}").replace(
        "starttls = yes", "starttls = no")
    try:
        begin = time.monotonic()
        with Authd(work / "storm", text) as a, a.directory() as m:
            while time.monotonic() - begin < 2 or not made:
                assert m.lookup("alias", "sales@example.org")[0] == "TEMP"
                time.sleep(0.01)
            assert len(made) < 15 * (time.monotonic() - begin)
    finally:
        listener.close()
