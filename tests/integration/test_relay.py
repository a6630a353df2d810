"""postroom-relay against servers that behave, and servers that do not: each stage hangs, hangs up, floods or
talks nonsense, and queue hears one clear word for each recipient."""
import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

from harness.authd import Authd
from harness.dns import Dns, SignedZone
from harness.ports import free_port, free_ports
from harness.exim import Exim
from harness.instance import directory_section
from harness.postfix import Postfix
from harness.relay import Endless, Peer, Relay, Trickle, parse

# Servers that answer have their time, however busy the machine is; of those that do not, little is enough.
FAST = """outbound { dns_timeout = 20s connect_timeout = 20s greeting_timeout = 30s helo_timeout = 30s
mail_timeout = 30s rcpt_timeout = 30s data_timeout = 30s body_timeout = 30s end_timeout = 30s
quit_timeout = 300ms %s }
"""
HASTY = FAST.replace("30s", "1s")
UNHURRIED = FAST.replace("30s", "5s")  # where all but one stage must have its time
TEXT = b"Subject: hi\r\n\r\nhello\r\n.dot\r\n"


def server_tls(cert, key):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(cert, key)
    return c


@pytest.fixture(scope="module")
def relay(tmp_path_factory):
    with Relay(tmp_path_factory.mktemp("relay"), FAST % "") as r:
        yield r


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    with Relay(tmp_path_factory.mktemp("hasty"), HASTY % "") as r:
        yield r


def test_delivers(relay):
    with Peer() as p:
        done = relay.job(p.route, TEXT.replace(b"\r\n", b"\n"), ["a@example.net", "b@example.net"])
        assert [done.rcpts[i].code for i in (0, 1)] == [250, 250]
        assert (done.rcpts[0].status, done.rcpts[0].host, done.rcpts[0].address) == ("2.0.0", "127.0.0.1", "127.0.0.1")
        assert (done.end.how, done.end.tls) == ("ok", "")
        assert p.messages == [(b"MAIL FROM:<anna@example.org> SIZE=24\r\n", ["a@example.net", "b@example.net"],
                               TEXT.replace(b"\r\n.", b"\r\n.."))]


def test_chunks_and_dsn(relay):
    with Peer(ehlo=["PIPELINING", "CHUNKING", "DSN", "8BITMIME"]) as p:
        big = TEXT + b"x" * 70 * 1000 * 10
        done = relay.job(p.route, big, ["a@example.net"], "dsn", "flags=1")
        assert done.rcpts[0].code == 250 and done.rcpts[0].passed
        assert p.messages[0][0] == b"MAIL FROM:<anna@example.org> BODY=8BITMIME RET=HDRS ENVID=QQ1\r\n"
        assert p.messages[0][2] == big + b"\r\n"
        assert b"RCPT TO:<a@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@example.net" in p.commands


def test_connection_is_kept_and_left(relay):
    with Peer() as p:
        done = relay.job(p.route, TEXT, ["a@example.net"], "times=3")
        assert [e.how for e in done.ends] == ["ok"] * 3
        assert len(p.messages) == 3 and len(p.connections) == 1
    # a kept connection that died meanwhile costs nothing
    with Peer(what={"MAIL": lambda line: Peer.CLOSE if len(p.messages) == 1 and len(p.connections) == 1
                    else b"250 ok\r\n"}) as p:
        done = relay.job(p.route, TEXT, ["a@example.net"], "times=2")
        assert [e.how for e in done.ends] == ["ok"] * 2, done.text
        assert len(p.messages) == 2 and len(p.connections) == 2


def test_connections_end_and_extensions_are_left(tmp_path):
    """reuse_max, chunking and pipelining, and an address of ours that is none here."""
    with Peer(ehlo=["PIPELINING", "CHUNKING"]) as p, \
            Relay(tmp_path / "r", FAST % "reuse_max = 2 chunking = no pipelining = no") as r:
        done = r.job(p.route, TEXT, ["a@example.net"], "times=5")
        assert [e.how for e in done.ends] == ["ok"] * 5, done.text
        assert len(p.messages) == 5 and len(p.connections) == 3
        assert not any(c.startswith(b"BDAT") for c in p.commands)
    with Peer() as p, Relay(tmp_path / "q", FAST % 'source_ipv4 = "192.0.2.1"') as r:
        done = r.job(p.route, TEXT, ["a@example.net"])
        assert (done.end.how, done.end.code // 100) == ("temp", 4) and p.connections == [], done.text


def test_results_are_each_recipients_own(relay):
    def rcpt(line):
        return {b"b": b"550 5.1.1 nobody here\r\n", b"c": b"450-4.2.0 wait\r\n450 4.2.0 a little\r\n"}.get(
            line[9:10], b"250 ok\r\n")
    with Peer(what={"RCPT": rcpt}) as p:
        done = relay.job(p.route, TEXT, ["a@x.net", "b@x.net", "c@x.net"])
        assert [(done.rcpts[i].code, done.rcpts[i].status) for i in range(3)] == [
            (250, "2.0.0"), (550, "5.1.1"), (450, "4.2.0")]
        assert done.rcpts[2].text == "wait a little" and done.end.how == "ok"


def test_damaged_message_is_not_delivered(relay):
    for ehlo in (["PIPELINING"], ["CHUNKING"]):
        with Peer(ehlo=ehlo) as p:
            done = relay.job(p.route, TEXT, ["a@example.net"], "crc=bad")
            assert (done.end.how, done.rcpts, p.messages) == ("corrupt", {}, [])


def badly(how):
    return {"hang": Peer.HANG, "close": Peer.CLOSE, "garbage": b"\x00\xff garbage\r\n",
            "endless line": Endless(b"220 " + b"x" * 5000), "endless reply": Endless(b"250-x\r\n" * 100),
            "421": b"421 4.3.2 bye\r\n"}[how]


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".", "STARTTLS"])
@pytest.mark.parametrize("how", ["hang", "close", "garbage", "endless line", "endless reply", "421"])
def test_hostile(hasty, stage, how):
    with Peer(ehlo=["STARTTLS"] if stage == "STARTTLS" else [], what={stage: badly(how)}) as p:
        done = hasty.job(p.route, TEXT, ["a@example.net", "b@example.net"])
        if (stage, how) == (".", "421"):
            assert (done.rcpts[0].code, done.end.how) == (421, "ok")
        else:
            assert done.end.how == "temp" and done.end.code // 100 == 4 and not done.rcpts, done.text
            assert done.end.address == "127.0.0.1"
        # nobody is offered the message again behind queue's back
        assert len(p.messages) <= 1


@pytest.fixture(scope="module")
def hurried(tmp_path_factory, certs):
    """Sections "s0" to "s2", whose hosts tests put where their peer listens: on a port each."""
    d = tmp_path_factory.mktemp("hurried")
    (d / "secret").write_text("pass word\n")
    (d / "secret").chmod(0o600)
    ports = free_ports(3)
    with Relay(d, UNHURRIED % f'tls_ca = "{certs.ca}" idle_timeout = 200ms' + "".join(
            f'relay "s{n}" {{ host = "[127.0.0.1]:{port}" username = "us" password = "{d / "secret"}" tls = encrypt }}\n'
            for n, port in enumerate(ports))) as r:
        r.ports = ports
        yield r


@pytest.mark.parametrize("how", ["hang", "close", "garbage", "endless line", "endless reply", "421"])
@pytest.mark.parametrize("stage", ["EHLO", "AUTH", "BDAT"])
def test_hostile_inside_tls(hurried, certs, stage, how):
    """The second EHLO, the login, and a chunk."""
    greeted = []

    def ehlo(line):
        greeted.append(line)
        return b"250-mx.example.net\r\n250 STARTTLS\r\n" if len(greeted) % 2 else badly(how)
    n = ["EHLO", "AUTH", "BDAT"].index(stage)
    with Peer(ehlo=["STARTTLS", "AUTH PLAIN", "CHUNKING", "PIPELINING"], tls=server_tls(certs.cert, certs.key),
              address=("127.0.0.1", hurried.ports[n]), what={stage: ehlo if stage == "EHLO" else badly(how)}) as p:
        done = hurried.job("", TEXT + b"x" * 300000, ["a@example.net"], section=f"s{n}")
        assert done.end.how == "temp" and done.end.code // 100 == 4 and not done.rcpts, done.text
        assert p.messages == [] and len(p.connections) <= 2
        assert any(c.startswith(b"MAIL") for c in p.commands) == (stage == "BDAT")


@pytest.mark.parametrize("how", ["hang", "close", "garbage", "endless line", "endless reply", "421"])
@pytest.mark.parametrize("stage", ["RSET", "QUIT"])
def test_hostile_at_the_end(hurried, stage, how):
    """Between messages, and at good-bye: what was taken stays taken, and the connection ends."""
    with Peer(ehlo=["PIPELINING"], what={stage: badly(how), "RCPT": lambda line:
                                         b"550 5.1.1 no\r\n" if b"<b@" in line else b"250 2.1.5 ok\r\n"}) as p:
        done = hurried.job(p.route, TEXT, ["a@example.net"])
        assert (done.rcpts[0].code, done.end.how) == (250, "ok"), done.text
        done = hurried.job(p.route, TEXT, ["b@example.net"])  # leaves a RSET behind
        assert (done.rcpts[0].code, done.end.how) == (550, "ok"), done.text
        done = hurried.job(p.route, TEXT, ["c@example.net"])
        assert (done.rcpts[0].code, done.end.how) == (250, "ok"), done.text
        assert len(p.messages) == 2
        end = time.monotonic() + 180
        while sockets_to(hurried.pid, p.port):
            assert time.monotonic() < end, "the connection was kept"
            time.sleep(0.05)


def sockets_to(pid, port):
    """Of this process, connected to this port of ours."""
    mine = {os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd") if os.path.lexists(f"/proc/{pid}/fd/{n}")}
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return [r for r in rows if r[2].endswith(f":{port:04X}") and f"socket:[{r[9]}]" in mine]


def test_trickle(hasty):
    """A deadline is for the whole reply: a word now and then does not move it."""
    with Peer(what={"EHLO": Trickle(b"250-x\r\n", 0.05)}) as p:
        done = hasty.job(p.route, TEXT, ["a@example.net"])
        assert done.end.how == "temp" and "EHLO" in done.end.text, done.text


def test_many_hosts_that_lead_nowhere(tmp_path):
    records = [f"many.example.com. 60 IN MX {i} h{i}.example.com." for i in range(60)]
    with Dns(tmp_path / "dns", records, zones=("example.com",)) as d, \
            Relay(tmp_path / "r", f'dns_servers = {{ "{d.server}" }}\n' + FAST % "tries_max = 5") as r:
        done = r.job("many.example.com", TEXT, ["x@many.example.com"])
        assert (done.end.how, done.end.host) == ("temp", "h4.example.com"), done.text
    # of more than are kept the best are, wherever they stand
    crowd = [f"crowd.example.com. 60 IN MX {100 - i} c{i}.example.com." for i in range(100)]
    with Dns(tmp_path / "dns1", crowd, zones=("example.com",)) as d, \
            Relay(tmp_path / "r1", f'dns_servers = {{ "{d.server}" }}\n' + FAST % "tries_max = 1") as r:
        done = r.job("crowd.example.com", TEXT, ["x@crowd.example.com"])
        assert (done.end.how, done.end.host) == ("temp", "c99.example.com"), done.text
    records = records[:3]
    with Dns(tmp_path / "dns2", records, zones=("example.com",)) as d, \
            Relay(tmp_path / "r2", f'dns_servers = {{ "{d.server}" }}\n' + FAST % "") as r:
        done = r.job("many.example.com", TEXT, ["x@many.example.com"])
        assert (done.end.how, done.end.status) == ("denied", "5.4.4"), done.text


def test_no_answer_to_tls(relay):
    """Opportunistic: a hand-shake that fails is no reason to keep the mail, once more in clear."""
    with Peer(ehlo=["STARTTLS"], what={"STARTTLS": b"220 go\r\nINJECTED\r\n"}) as p:
        done = relay.job(p.route, TEXT, ["a@example.net"])
        assert done.end.how == "temp" and "between STARTTLS and TLS" in done.end.text
    with Peer(ehlo=["STARTTLS"], tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as p:  # has no certificate
        done = relay.job(p.route, TEXT, ["a@example.net"])
        assert (done.end.how, done.end.tls) == ("ok", "") and len(p.connections) == 2, done.text


def test_refused_connection_and_bad_routes(relay):
    done = relay.job(f"[127.0.0.1]:{free_port()}", TEXT, ["a@example.net"])
    assert (done.end.how, done.end.status) == ("temp", "4.4.1")
    for route in ("192.0.2.1", "[]", "a b", "[x]:0", "x:99999", "[127.0.0.1", "x/y"):
        done = relay.job(route, TEXT, ["a@example.net"])
        assert done.text == "refused\n" or done.end.how == "syntax", (route, done.text)
    done = relay.job("[127.0.0.1]:25", TEXT, ["a@example.net"], section="none")
    assert done.end.how == "syntax"


def test_ourselves(relay):
    with Peer(name="relay.example.org") as p:
        done = relay.job(p.route, TEXT, ["a@example.net"])
        assert (done.end.how, done.end.status) == ("denied", "5.4.6")


def test_smuggling(relay):
    """Nothing but our own end of data looks like one, however the message is built."""
    evil = (b"Subject: x\r\n\r\n" + b"".join(e + b".%smail FROM:<evil@x>" % f for e in (b"\n", b"\r", b"\r\n", b"\n\r")
                                             for f in (b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n")))
    for ehlo in (["PIPELINING"], ["CHUNKING"]):
        with Peer(ehlo=ehlo) as p:
            done = relay.job(p.route, evil, ["a@example.net"])
            assert done.end.how == "ok" and len(p.messages) == 1
            text = p.messages[0][2]
            assert not re.search(rb"\r(?!\n)|(?<!\r)\n", text)
            assert not any(c.startswith(b"mail") for c in p.commands)
            if ehlo == ["PIPELINING"]:
                assert b"\r\n.\r\n" not in text


def test_cancel(relay):
    with Peer(what={"EHLO": Peer.HANG}) as p:
        assert relay.job(p.route, TEXT, ["a@example.net"], "cancel=100").text == "cancelled\n"


def test_smtp_sink(relay, tmp_path):
    port = free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", "-N", f"127.0.0.1:{port}", "16"])
    try:
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        done = relay.job(f"[127.0.0.1]:{port}", TEXT, [f"r{i}@example.net" for i in range(100)])
        assert done.end.how == "ok" and {r.code for r in done.rcpts.values()} == {250}
    finally:
        sink.terminate()
        sink.wait()


# ---- TLS ----

def test_tls_levels(tmp_path, certs):
    good = server_tls(certs.cert, certs.key)
    with Relay(tmp_path / "r", FAST % f'tls_ca = "{certs.ca}"' + """
tls_policy "localhost" { tls = verify }
relay "encrypt" { tls = encrypt }
relay "verify" { tls = verify }
relay "other" { tls = verify tls_names = { "mail.example.net" } host = "[localhost]:%d" }
relay "none" { tls = none }
relay "implicit" { tls = verify tls_implicit = yes }
""" % 1) as r:
        with Peer(ehlo=["STARTTLS"], tls=good) as p:
            done = r.job(p.route, TEXT, ["a@x.net"])
            assert re.match(r"TLSv1.3 \S+$", done.end.tls)
            assert b"MAIL FROM:<anna@example.org>" in p.commands and p.commands.count(b"EHLO relay.example.org") == 2
            done = r.job(p.route, TEXT, ["a@x.net"], section="verify")
            assert done.end.tls.endswith(" verified")
            done = r.job(p.route, TEXT, ["a@x.net"], section="none")
            assert (done.end.how, done.end.tls) == ("ok", "")
        with Peer(ehlo=[]) as p:
            for section in ("encrypt", "verify"):
                done = r.job(p.route, TEXT, ["a@x.net"], section=section)
                assert (done.end.how, done.end.status) == ("temp", "4.7.4"), done.text
            assert p.messages == [] and not any(c.startswith(b"MAIL") for c in p.commands)
        with Peer(implicit=True, tls=good) as p:
            done = r.job(p.route, TEXT, ["a@x.net"], section="implicit")
            assert done.end.how == "ok" and done.end.tls.endswith(" verified")
        bad = server_tls(*certs.issue("bad", "mail.example.net"))
        with Peer(ehlo=["STARTTLS"], tls=bad) as p:
            done = r.job(p.route, TEXT, ["a@x.net"], section="verify")
            assert (done.end.how, done.end.status) == ("temp", "4.7.5") and "certificate" in done.end.text
            assert r.job(p.route, TEXT, ["a@x.net"]).end.how == "ok"
            assert r.job(p.route, TEXT, ["a@x.net"], section="encrypt").end.how == "ok"


def test_in_clear_only_where_tls_failed(tmp_path, certs):
    """The next address of the same server gets its own chance of TLS."""
    port = free_port()
    with Dns(tmp_path / "dns", ["two.example.com. 60 IN A 127.0.0.1", "two.example.com. 60 IN A 127.0.0.2"],
             zones=("example.com",)) as d, \
            Peer(address=("127.0.0.1", port), ehlo=["STARTTLS"], tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
                 what={"MAIL": b"421 4.3.2 not now\r\n"}), \
            Peer(address=("127.0.0.2", port), ehlo=["STARTTLS"], tls=server_tls(certs.cert, certs.key)), \
            Relay(tmp_path / "r", f'dns_servers = {{ "{d.server}" }}\n' +
                  FAST % f'port = {port} idle_timeout = 0s refused_networks = {{ }} addresses = {{ "ipv4" }}') as r:
        for _ in range(6):
            done = r.job("two.example.com", TEXT, ["x@example.com"])
            assert (done.end.how, done.end.address) == ("ok", "127.0.0.2") and done.end.tls, done.text


def test_stop_waits_for_jobs_and_reload_keeps_them(tmp_path):
    with Peer(what={"DATA": lambda line: time.sleep(1) or b"354 go\r\n"}) as p:
        with Relay(tmp_path / "r", 'outbound { connect_timeout = 5s }') as r:
            job = r.start_job(p.route, TEXT, ["a@example.net"])
            while not any(c.startswith(b"DATA") for c in p.commands):
                time.sleep(0.02)
            r.process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
            r.process.send_signal(signal.SIGTERM)
            done = parse(job.communicate(timeout=180)[0].decode())
            assert done.end.how == "ok" and len(p.messages) == 1, done.text


def test_kept_connection_is_none_of_older_settings(tmp_path):
    """A connection that was in use at a reload asks no less of TLS than the new settings do."""
    with Relay(tmp_path / "r", 'outbound { connect_timeout = 5s }\nrelay "x" { tls = may }\n') as r:
        def reload(line):
            if len(p.messages) == 1:
                r.conf.write_text(r.conf.read_text().replace("tls = may", "tls = encrypt"))
                r.process.send_signal(signal.SIGHUP)
                deadline = time.monotonic() + 180
                while "ev=relay.reload" not in r.log_text() and time.monotonic() < deadline:
                    time.sleep(0.02)
            return b"250 2.0.0 taken\r\n"

        with Peer(what={".": reload}) as p:
            assert r.job(p.route, TEXT, ["a@example.net"], section="x").end.how == "ok"
            assert "ev=relay.reload" in r.log_text()
            done = r.job(p.route, TEXT, ["a@example.net"], section="x")
            assert (done.end.how, done.end.status) == ("temp", "4.7.4"), done.text
            assert len(p.messages) == 1 and len(p.connections) == 2


def test_smarthost_login(tmp_path, certs):
    secret = tmp_path / "secret"
    secret.write_text("pass word\n")
    secret.chmod(0o600)
    good = server_tls(certs.cert, certs.key)
    with Peer(ehlo=["STARTTLS", "AUTH PLAIN LOGIN"], tls=good) as p, \
            Peer(ehlo=["STARTTLS", "AUTH LOGIN"], tls=good, challenges=[b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"]) as q, \
            Peer(ehlo=["AUTH PLAIN"]) as clear, \
            Peer(ehlo=["STARTTLS", "AUTH PLAIN"], tls=good, what={"AUTH": b"535 5.7.8 no\r\n"}) as refuses:
        sections = "".join(
            f'relay "{name}" {{ host = "[127.0.0.1]:{peer.port}" username = "us@example.org" password = "{secret}" }}\n'
            for name, peer in (("p", p), ("q", q), ("clear", clear), ("refuses", refuses)))
        with Relay(tmp_path / "r", FAST % f'tls_ca = "{certs.ca}"' + sections +
                   f'relay "open" {{ host = "[127.0.0.1]:{clear.port}" username = "us" password = "{secret}" '
                   f'tls = may plaintext_login = yes }}') as r:
            done = r.job("anything.example", TEXT, ["a@x.net"], section="p")
            assert done.end.how == "ok" and done.end.tls.endswith("verified")
            assert b"AUTH PLAIN AHVzQGV4YW1wbGUub3JnAHBhc3Mgd29yZA==" in p.commands
            done = r.job("", TEXT, ["a@x.net"], section="q")
            assert done.end.how == "ok", done.text
            assert q.commands[-6:-4] == [b"dXNAZXhhbXBsZS5vcmc=", b"cGFzcyB3b3Jk"] or b"cGFzcyB3b3Jk" in q.commands
            # never in clear, unless the settings say so
            done = r.job("", TEXT, ["a@x.net"], section="clear")
            assert done.end.how == "temp" and not any(c.startswith(b"AUTH") for c in clear.commands)
            assert r.job("", TEXT, ["a@x.net"], section="open").end.how == "ok"
            done = r.job("", TEXT, ["a@x.net"], section="refuses")
            assert done.end.how == "temp" and done.end.code // 100 == 4 and "no" in done.end.text
            assert "pass word" not in r.log_text() and "cGFzcyB3b3Jk" not in r.log_text()


# ---- DNS ----

def test_mx(tmp_path):
    port = free_port()
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    records = [
        "ordered.example.com. 1 IN MX 20 b.example.com.", "ordered.example.com. 1 IN MX 10 a.example.com.",
        "equal.example.com. 1 IN MX 10 a.example.com.", "equal.example.com. 1 IN MX 10 b.example.com.",
        "down.example.com. 1 IN MX 10 nobody.example.com.", "down.example.com. 1 IN MX 20 gone.example.com.", "down.example.com. 1 IN MX 30 c.example.com.",
        "null.example.com. 1 IN MX 0 .", "loop.example.com. 1 IN MX 10 relay.example.org.", "loop.example.com. 1 IN MX 20 a.example.com.",
        "backup.example.com. 1 IN MX 10 a.example.com.", "backup.example.com. 1 IN MX 20 relay.example.org.",
        "a.example.com. 1 IN A 127.0.0.1", "b.example.com. 1 IN A 127.0.0.2", "c.example.com. 1 IN A 127.0.0.3",
        "nobody.example.com. 1 IN A 127.0.0.9", "plain.example.com. 1 IN A 127.0.0.2", "empty.example.com. 1 IN TXT x",
        "six.example.com. 1 IN AAAA ::1", "six.example.com. 1 IN A 127.0.0.1",
        "lies.example.com. 1 IN MX 1 lies.example.com.", "lies.example.com. 1 IN A 127.0.0.66",
        "partly.example.com. 1 IN MX 1 lies.example.com.", "partly.example.com. 1 IN MX 2 a.example.com.",
        "alias.example.com. 1 IN MX 10 cname.example.com.", "cname.example.com. 1 IN CNAME a.example.com.",
    ]
    with Dns(tmp_path / "dns", records, zones=("example.com", "example.org")) as d, \
            Peer(address=("127.0.0.1", port), name="a.example.com") as a, \
            Peer(address=("127.0.0.2", port), name="b.example.com") as b, \
            Peer(address=("127.0.0.3", port), name="c.example.com") as c, \
            Relay(tmp_path / "r", f'dns_servers = {{ "{d.server}" }}\n' +
                  FAST % f'port = {port} idle_timeout = 0s source_ipv4 = "127.0.0.4" '
                  'refused_networks = { "127.0.0.66/32", "::1/128" }') as r:
        done = r.job("ordered.example.com", TEXT, ["x@ordered.example.com"])
        assert (done.end.how, done.end.host, done.end.address) == ("ok", "a.example.com", "127.0.0.1"), done.text
        assert a.connections[-1][0] == "127.0.0.4"
        done = r.job("down.example.com", TEXT, ["x@down.example.com"])
        assert (done.end.how, done.end.host) == ("ok", "c.example.com"), done.text
        seen = {r.job("equal.example.com", TEXT, ["x@equal.example.com"]).end.host for _ in range(20)}
        assert seen == {"a.example.com", "b.example.com"}
        assert r.job("plain.example.com", TEXT, ["x@plain.example.com"]).end.host == "plain.example.com"
        assert r.job("backup.example.com", TEXT, ["x@backup.example.com"]).end.host == "a.example.com"
        assert r.job("six.example.com", TEXT, ["x@six.example.com"]).end.address == "127.0.0.1"  # ::1 is refused
        for domain, status in (("null.example.com", "5.1.10"), ("loop.example.com", "5.4.6"), ("missing.example.com", "5.1.2"),
                               ("empty.example.com", "5.4.4"), ("lies.example.com", "5.4.4")):
            done = r.job(domain, TEXT, ["x@" + domain])
            assert (done.end.how, done.end.status) == ("denied", status), (domain, done.text)
        assert r.job("partly.example.com", TEXT, ["x@partly.example.com"]).end.host == "a.example.com"
        # a server that refuses for now: the next one is asked
        a.what["CONNECT"] = b"554 not today\r\n"
        assert r.job("ordered.example.com", TEXT, ["x@ordered.example.com"]).end.host == "b.example.com"
        # nobody knows: later
        d.stop()
        done = r.job("other.example.com", TEXT, ["x@other.example.com"])
        assert (done.end.how, done.end.status) == ("temp", "4.4.3"), done.text
        d.start()


def hash_of(cert, what):
    der = ["openssl", "x509", "-in", str(cert), "-outform", "DER"]
    if what == "key":
        pem = subprocess.run(["openssl", "x509", "-in", str(cert), "-pubkey", "-noout"], capture_output=True).stdout
        data = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem, capture_output=True).stdout
    else:
        data = subprocess.run(der, capture_output=True).stdout
    return hashlib.sha256(data).hexdigest()


def test_dane(tmp_path, certs):
    """RFC 7672: right and wrong records, unusable ones, authorities, unsigned and forged zones."""
    port = free_port()
    cert, key = certs.issue("dane", "right.example.com", "DNS:ta.example.com")
    chain = tmp_path / "chain.pem"  # an authority must be in the chain that the server shows
    chain.write_bytes(cert.read_bytes() + certs.ca.read_bytes())
    tls = server_tls(chain, key)
    right, wrong, ca = hash_of(cert, "key"), "00" * 32, hash_of(certs.ca, "cert")
    tlsa = {"right": [f"3 1 1 {right}"], "wrong": [f"3 1 1 {wrong}"], "both": [f"3 1 1 {wrong}", f"3 1 1 {right}"],
            "unusable": [f"1 1 1 {right}", "3 1 9 00"], "plain": [f"3 1 1 {right}"], "without": [],
            "clear": [f"1 1 1 {right}"], "named": [f"2 0 1 {ca}"], "ta": [f"2 0 1 {ca}"],
            "empty": ["\\# 3 030101"], "useless": [f"1 1 1 {right}"]}
    where = {"plain": "127.0.0.2", "clear": "127.0.0.2", "without": "127.0.0.2", "empty": "127.0.0.2"}
    records = ["alias.example.com. 60 IN CNAME right.example.com.", "cname.example.com. 60 IN MX 10 alias.example.com.",
               "ca.example.com. 60 IN MX 10 right-ca.example.com.", "right-ca.example.com. 60 IN A 127.0.0.1",
               f"_{port}._tcp.right-ca.example.com. 60 IN TLSA 2 0 1 {ca}"]
    for name, data in tlsa.items():
        records += [f"{name}.example.com. 60 IN A {where.get(name, '127.0.0.1')}"]
        records += [f"_{port}._tcp.{name}.example.com. 60 IN TLSA {d}" for d in data]
    # the name that DANE-TA compares: the server's, or the domain's
    signed = SignedZone(tmp_path / "zones", "example.com", records)
    forged = SignedZone(tmp_path / "zones", "example.net", [
        "forged.example.net. 60 IN A 127.0.0.2", f"_{port}._tcp.forged.example.net. 60 IN TLSA 3 1 1 {right}"])
    forged.break_signatures_of("TLSA")
    plain = ["unsigned.example.org. 60 IN A 127.0.0.2", f"_{port}._tcp.unsigned.example.org. 60 IN TLSA 3 1 1 {wrong}"]
    anchors = tmp_path / "anchors"
    anchors.write_text(f"{signed.anchor}\n{forged.anchor}\n")
    with Dns(tmp_path / "dns", plain, signed=[signed, forged]) as d, \
            Peer(address=("127.0.0.1", port), ehlo=["STARTTLS"], tls=tls), \
            Peer(address=("127.0.0.2", port), ehlo=[]) as clear, \
            Relay(tmp_path / "r", f'dns_servers = {{ "{d.server}" }}\ndns_trust_anchor = "{anchors}"\n' +
                  FAST % f'port = {port} idle_timeout = 0s tls = dane addresses = {{ "ipv4" }} refused_networks = {{ }}' +
                  'tls_policy "without.example.com" { tls = dane-only }\n'
                  'tls_policy "useless.example.com" { tls = dane-only }\n') as r:
        def job(domain):
            done = r.job(domain, TEXT, ["x@" + domain])
            assert done.end.how in ("ok", "temp"), done.text
            return (done.end.how, done.end.tls.split(" ")[-1] if done.end.how == "ok" else done.end.status, done.text)
        for name in ("right", "both", "cname", "ta"):
            assert job(f"{name}.example.com")[:2] == ("ok", "dane"), name
        assert job("wrong.example.com")[:2] == ("temp", "4.7.5")
        how, check, text = job("unusable.example.com")
        assert how == "ok" and check.startswith("TLS_"), text  # encrypted, not judged
        # records oblige, even unusable ones
        assert job("plain.example.com")[:2] == ("temp", "4.7.4")
        assert job("clear.example.com")[:2] == ("temp", "4.7.4")
        assert job("empty.example.com")[:2] == ("temp", "4.7.4")
        how, status, text = job("useless.example.com")
        assert (how, status) == ("temp", "4.7.5") and "no TLSA record can be used" in text, text
        assert job("without.example.com")[:2] == ("temp", "4.7.5")
        assert job("ca.example.com")[:2] == ("temp", "4.7.5")  # right authority, another name
        assert job("named.example.com")[:2] == ("temp", "4.7.5")
        assert clear.messages == []
        assert job("forged.example.net")[:2] == ("temp", "4.7.5")
        assert clear.messages == []
        # without DNSSEC records bind nobody
        assert job("unsigned.example.org")[:2] == ("ok", "")


# ---- real servers ----

@pytest.fixture(scope="module")
def auth(work, slapd):
    with Authd(work / "relay-auth", directory_section(slapd)) as a:
        a.path("auth").chmod(0o666)
        yield a


def smarthost(port, certs, tmp_path, mechanisms):
    secret = tmp_path / "secret"
    secret.write_text("secret-anna.berg\n")
    secret.chmod(0o600)
    return (f'outbound {{ tls_ca = "{certs.ca}" }}\nrelay "host" {{ host = "[localhost]:{port}" tls = verify '
            f'username = "anna.berg@example.org" password = "{secret}" sasl_mechanisms = {{ {mechanisms} }} }}')


LONG = b"Subject: gr\xc3\xbc\xc3\x9fe\r\n\r\n" + b".\r\n..\r\nline \xc3\xa4\r\n" * 20000


def test_postfix(tmp_path, work, auth, certs):
    socket_path = auth.path("auth")
    with Postfix(work / "relay-postfix", {
            "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": f"unix:{socket_path}", "smtpd_sasl_auth_enable": "yes",
            "smtpd_tls_auth_only": "yes", "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certs.cert,
            "smtpd_tls_key_file": certs.key, "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "smtpd_recipient_restrictions": "check_recipient_access inline:{{bad@example.net = 550 5.1.1 no such user}}",
            "default_transport": "discard:", "smtputf8_enable": "yes"}) as p:
        with Relay(tmp_path / "r", smarthost(p.port, certs, tmp_path, '"PLAIN", "LOGIN"')) as r:
            done = r.job("", LONG, ["a@example.net", "bad@example.net", "c@example.net"], "flags=1", "dsn", "times=2",
                         section="host")
            assert [e.how for e in done.ends] == ["ok", "ok"], done.text + p.log_text()
            assert [done.rcpts[i].code for i in range(3)] == [250, 550, 250] and done.rcpts[0].passed
            assert done.end.tls.endswith("verified")
            p.wait_log("to=<a@example.net>", "to=<c@example.net>", "status=sent")
            log = p.log_text()
            assert "sasl_method=PLAIN, sasl_username=anna.berg@example.org" in log
            # one connection for both, and no syntax that Postfix complains about
            assert log.count(" connect from ") == 2 and "improper command" not in log  # the first: is it there?
            assert set(re.findall(r"lost connection after (\S+)", log)) <= {"CONNECT"}
            # 8-bit, with an address beyond ASCII
            done = r.job("", LONG, ["j\u00fcrgen@example.net"], "flags=3", section="host")
            assert done.rcpts[0].code == 250, done.text
        # relay took its leave: all three in chunks, and nothing as DATA
        assert " data=" not in p.wait_log(" bdat=")


def test_exim(tmp_path, work, auth, certs):
    with Exim(work / "relay-exim", certs, auth.path("auth"), mechanisms=("LOGIN",)) as e, \
            Relay(tmp_path / "r", smarthost(e.port, certs, tmp_path, '"LOGIN", "PLAIN"')) as r:
        done = r.job("", LONG, ["a@example.net", "b@example.net"], "flags=1", section="host")
        assert done.end.how == "ok" and {x.code for x in done.rcpts.values()} == {250}, done.text + e.log_text()
        assert done.end.tls.endswith("verified")
        assert "A=login:anna.berg@example.org" in e.log_text() or "anna.berg" in e.log_text()
        body = next((work / "relay-exim/spool/input").rglob("*-D")).read_bytes()
        assert b"..\nline \xc3\xa4\n.\n..\n" in body and body.count(b"line ") == 20000
