"""Logins on the auth socket: every one a bind in a real directory."""
import base64
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.certs import Certs
from harness.instance import directory_section, patient

PERSON = "anna.berg"
GOOD = ldap.password_of(PERSON)
CANONICAL = "anna.berg@example.org"


@pytest.fixture(scope="module")
def auth(work, slapd):
    """By search and bind, over StartTLS."""
    with Authd(work / "auth", directory_section(slapd)) as a:
        yield a


def section(slapd, uri, *, starttls="no", ca=None, more=""):
    (slapd.dir / "service.password").exists() or directory_section(slapd)
    ca = f'ca = "{ca}"' if ca else ""
    return f"""directory "main" {{
	uris = {{ {uri} }}
	starttls = {starttls}
	{ca}
	base = "{ldap.BASE}"
	bind_dn = "{ldap.SERVICE_DN}"
	bind_password = "{slapd.dir}/service.password"
	{patient(more)}
	{more}
}}
"""


PATIENT = "search_timeout = 5m\n\tbind_timeout = 5m\n\tsetup_timeout = 5m"
TEMPLATE = f'user_dn = "uid=%{{local}},ou=people,{ldap.BASE}"'


def test_handshake_is_said_at_once(auth):
    with auth.auth() as c:
        verbs = [h.split("\t")[0] for h in c.hello]
        assert verbs == ["VERSION", "MECH", "MECH", "SPID", "CUID", "COOKIE", "DONE"]
        assert c.hello[0].split("\t")[1] == "1"
        assert {h.split("\t")[1] for h in c.hello if h.startswith("MECH")} == {"PLAIN", "LOGIN"}
        assert len(c.cookie) == 32
    with auth.auth() as other:
        assert other.cookie != c.cookie


@pytest.mark.parametrize("name", [PERSON, "ANNA.Berg", CANONICAL, "director@example.org",
                                  "anna.berg@example.com"])
def test_every_name_of_a_user_ends_in_one(auth, name):
    with auth.auth() as c:
        r = c.plain(name, GOOD)
        assert r.verb == "OK" and r.fields["user"] == CANONICAL


def test_a_login_is_a_bind_as_the_user(auth, slapd):
    before = slapd.log_text().count(f'BIND dn="{ldap.user_dn(PERSON)}" method=128')
    with auth.auth() as c:
        assert c.plain(PERSON, GOOD).verb == "OK"
    assert slapd.log_text().count(f'BIND dn="{ldap.user_dn(PERSON)}" method=128') > before


def test_login_mechanism(auth):
    with auth.auth() as c:
        c.begin("LOGIN")
        r = c.reply()
        assert r.verb == "CONT" and base64.b64decode(r.rest[0]) == b"Username:"
        c.send(f"CONT\t{r.id}\t" + base64.b64encode(PERSON.encode()).decode())
        r = c.reply()
        assert r.verb == "CONT" and base64.b64decode(r.rest[0]) == b"Password:"
        c.send(f"CONT\t{r.id}\t" + base64.b64encode(GOOD.encode()).decode())
        r = c.reply()
        assert r.verb == "OK" and r.fields["user"] == CANONICAL


def test_plain_without_initial_response(auth):
    with auth.auth() as c:
        c.begin("PLAIN")
        r = c.reply()
        assert r.verb == "CONT" and r.rest == [""]
        c.send(f"CONT\t{r.id}\t" + base64.b64encode(f"\0{PERSON}\0{GOOD}".encode()).decode())
        assert c.reply().verb == "OK"


@pytest.mark.parametrize("name,password", [
    (PERSON, "wrong"), (PERSON, ""), ("nobody.here", "x"), ("long.gone@example.org", "x"),
    ("", "x"), (PERSON, GOOD + "\0x")])
def test_refused(auth, name, password):
    with auth.auth() as c:
        r = c.plain(name, password)
        assert r.verb == "FAIL" and not r.temporary
        assert "reason" not in r.fields and "code" not in r.fields


HOSTILE = ["*", ")(uid=*", "anna.berg)(uid=*", "a*", "(", ")", "\\", "anna.berg\\2a", " anna.berg",
           "anna.berg ", "anna berg", "anna.berg\n", "an\tna", "\x01", "a,b", 'a"b', "a;b", "a<b",
           "uid=anna.berg,ou=people,dc=example,dc=org", "../etc", ".", "@", "@example.org", "a@",
           "a@b@c", "anna.berg@example.org@", "a@.", "a@x..y", b"\xff\xfe", b"anna\xc0\xafberg",
           b"n" * 4000, "anna.berg@" + "d" * 300]


@pytest.mark.parametrize("mode", ["filter", "template"])
def test_hostile_names_never_reach_the_directory(start, slapd, mode):
    a = start(section(slapd, f'"{slapd.uri}"', more=TEMPLATE if mode == "template" else ""))
    with a.auth() as c:
        assert c.plain(PERSON, GOOD).verb == "OK"  # connections are up, the log is settled
        a.wait_log("ev=auth.login res=ok")
        before = [line for line in slapd.log_text().splitlines() if " SRCH " in line or " BIND " in line]
        for name in HOSTILE:
            r = c.plain(name, "x")
            assert r.verb == "FAIL" and not r.temporary, name
        # an embedded NUL ends the name inside PLAIN and leaves one part too many
        r = c.plain("anna\0berg", "x")
        assert r.verb == "FAIL" and not r.temporary
        after = [line for line in slapd.log_text().splitlines() if " SRCH " in line or " BIND " in line]
    new = after[len(before):]
    # the pool may still open its second connection, which binds as nobody: no operation at all
    assert [line for line in new if ldap.SERVICE_DN not in line] == []


def test_an_empty_password_is_logged_with_its_name(auth):
    with auth.auth() as c:
        assert c.plain("sofia.rossi", "").verb == "FAIL"
        auth.wait_log('name=sofia.rossi reason="empty name or password"')


def test_empty_password_never_becomes_a_bind(auth, slapd):
    before = slapd.log_text().count(" BIND ")
    with auth.auth() as c:
        assert c.plain(PERSON, "").verb == "FAIL"
        c.begin("LOGIN", PERSON.encode())
        r = c.reply()
        c.send(f"CONT\t{r.id}\t")
        assert c.reply().verb == "FAIL"
    assert slapd.log_text().count(" BIND ") == before


@pytest.mark.parametrize("password", [b"\0", b"\0" + GOOD.encode(), GOOD.encode() + b"\0",
                                      GOOD.encode() + b"\0x"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_nul_in_a_password_is_neither_cut_nor_asked_about(auth, slapd, mechanism, password):
    before = slapd.log_text().count(f'BIND dn="{ldap.user_dn(PERSON)}"')
    with auth.auth() as c:
        if mechanism == "PLAIN":
            c.begin("PLAIN", b"\0" + PERSON.encode() + b"\0" + password)
        else:
            c.begin("LOGIN", PERSON.encode())
            r = c.reply()
            c.send(f"CONT\t{r.id}\t" + base64.b64encode(password).decode())
        r = c.reply()
        assert r.verb == "FAIL" and not r.temporary
    assert slapd.log_text().count(f'BIND dn="{ldap.user_dn(PERSON)}"') == before


def test_password_is_never_logged(auth):
    with auth.auth() as c:
        c.plain(PERSON, "Tr0ub4dor-unlogged")
        c.plain("nobody", "Tr0ub4dor-unlogged")
        assert c.plain(PERSON, GOOD).verb == "OK"
    text = auth.log_text()
    assert "Tr0ub4dor-unlogged" not in text and GOOD not in text
    assert base64.b64encode(b"Tr0ub4dor-unlogged").decode() not in text
    assert ldap.SERVICE_PASSWORD not in text


def test_one_log_line_per_decision(auth):
    with auth.auth() as c:
        c.plain(PERSON, "wrong", params="service=imap\tsession=5e55105e55105e55\trip=192.0.2.7")
    auth.wait_log("sid=5e55105e55105e55")
    lines = [line for line in auth.log_text().splitlines()
             if "5e55105e55105e55" in line and "ev=auth.login" in line]
    assert len(lines) == 1
    for part in ("ev=auth.login", "res=deny", "service=imap", f"name={PERSON}", "rip=192.0.2.7",
                 'reason="password refused"', "uid=anna.berg,ou=people", "ms="):
        assert part in lines[0]


def test_password_change_counts_at_once(auth, slapd):
    user = "wim.devries"
    with auth.auth() as c:
        assert c.plain(user, ldap.password_of(user)).verb == "OK"
        slapd.set_password(user, "brand-new")
        assert c.plain(user, ldap.password_of(user)).verb == "FAIL"
        assert c.plain(user, "brand-new").verb == "OK"


def test_two_matches_are_refused_and_named(auth, slapd):
    slapd.modify(ldap.user_dn("noor.hassan"), {"mailLocalAddress": ["twice@example.org"]})
    slapd.modify(ldap.user_dn("olga.sokolova"), {"mailLocalAddress": ["twice@example.org"]})
    with auth.auth() as c:
        for password in (ldap.password_of("noor.hassan"), ldap.password_of("olga.sokolova")):
            r = c.plain("twice@example.org", password)
            assert r.verb == "FAIL" and not r.temporary
    auth.wait_log("more than one entry")
    line = [x for x in auth.log_text().splitlines() if "more than one entry" in x][-1]
    assert "uid=noor.hassan" in line and "uid=olga.sokolova" in line


def test_authorisation_identity(auth):
    with auth.auth() as c:
        assert c.plain(PERSON, GOOD, authzid=PERSON).verb == "OK"
        assert c.plain(PERSON, GOOD, authzid=CANONICAL).verb == "OK"
        r = c.plain(PERSON, GOOD, authzid="bilal.haddad@example.org")
        assert r.verb == "FAIL" and r.fields["code"] == "authz_fail"
        assert c.plain(PERSON, "wrong", authzid=CANONICAL).verb == "FAIL"


def test_unknown_mechanism(auth):
    with auth.auth() as c:
        for mechanism in ("ANONYMOUS", "EXTERNAL", "GSSAPI", "X" * 200):
            c.begin(mechanism, b"")
            r = c.reply()
            assert r.verb == "FAIL" and not r.temporary


def test_malformed_base64(auth):
    with auth.auth() as c:
        c.send("AUTH\t1\tPLAIN\tservice=imap\tresp=not*base64")
        assert c.reply().verb == "FAIL"
        assert c.plain(PERSON, GOOD, number=2).verb == "OK"


def test_many_logins_on_one_connection(auth):
    users = ["jonas.weber", "kavya.raman", "liam.byrne", "mei.zhang"]
    with auth.auth() as c:
        want = {}
        for i in range(1, 101):
            user = users[i % 4]
            good = i % 3 != 0
            want[str(i)] = "OK" if good else "FAIL"
            password = ldap.password_of(user) if good else "no"
            c.begin("PLAIN", f"\0{user}\0{password}".encode(), number=i)
        got = {}
        for _ in range(100):
            r = c.reply()
            got[r.id] = r.verb
        assert got == want


def test_cancelled_login_gets_no_answer(auth):
    with auth.auth() as c:
        c.begin("LOGIN")
        r = c.reply()
        c.send(f"CANCEL\t{r.id}")
        c.send(f"CONT\t{r.id}\tYW5uYQ==")
        assert c.plain(PERSON, GOOD).id == "2"


@pytest.mark.parametrize("line", [
    "AUTH\t1\tPLAIN", "AUTH\tx\tPLAIN\tservice=imap", "AUTH\t1", "AUTH", "CONT", "CANCEL\t-1",
    "VERSION\t2\t0", "CPID\t1", pytest.param("A" * 40000, id="endless"),
    "AUTH\t99999999999\tPLAIN\tservice=imap"])
def test_broken_lines_end_the_connection_alone(auth, line):
    with auth.auth() as c, auth.auth() as other:
        c.send(line)
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                c.line()
        assert other.plain(PERSON, GOOD).verb == "OK"


def test_number_in_use_ends_the_connection(auth):
    with auth.auth() as c:
        c.begin("LOGIN", number=5)
        assert c.reply().verb == "CONT"
        c.begin("LOGIN", number=5)
        with pytest.raises((EOFError, ConnectionError)):
            c.line()


def test_auth_before_the_greeting_is_refused(auth):
    from harness.authd import Lines
    with Lines(auth.path("auth")) as c:
        c.send("AUTH\t1\tPLAIN\tservice=imap\tresp=AGEAYg==")
        with pytest.raises((EOFError, ConnectionError)):
            while True:
                c.line()


def test_failures_are_delayed_and_successes_not(start, slapd):
    a = start(directory_section(slapd), auth="failure_delay = 700ms")
    with a.auth() as c:
        assert c.plain(PERSON, GOOD).verb == "OK"
        for name in (PERSON, "nobody", "*"):
            begin = time.monotonic()
            assert c.plain(name, "wrong").verb == "FAIL"
            assert time.monotonic() - begin > 0.5
    a = start(directory_section(slapd), auth="failure_delay = 60s")
    with a.auth() as c:
        c.begin("PLAIN", f"\0{PERSON}\0wrong".encode(), number=1)
        a.wait_log("ev=auth.login res=deny")
        for n in range(2, 7):
            c.begin("PLAIN", f"\0{PERSON}\0{GOOD}".encode(), number=n)
        got = [c.reply() for _ in range(2, 7)]
        assert sorted((r.id, r.verb) for r in got) == [(str(n), "OK") for n in range(2, 7)], got


def test_bind_by_template_needs_no_search(start, slapd):
    a = start(section(slapd, f'"{slapd.uri}"', more=TEMPLATE + "\n\tuser_dn_read = no"))
    before = slapd.log_text().count(" SRCH ")
    with a.auth() as c:
        r = c.plain(PERSON, GOOD)
        assert r.verb == "OK" and r.fields["user"] == CANONICAL
        assert c.plain("Anna.Berg@Example.ORG", GOOD).fields["user"] == CANONICAL
        assert c.plain(PERSON, "wrong").verb == "FAIL"
        assert c.plain("nobody", "wrong").verb == "FAIL"
        assert c.plain("änna", "wrong").verb == "FAIL"
    assert slapd.log_text().count(" SRCH ") == before


def test_template_without_domain_does_not_make_up_users(start, slapd):
    """uid=%{local} says nothing about the domain: only one of the section's is taken."""
    a = start(section(slapd, f'"{slapd.uri}"', more=TEMPLATE))
    with a.auth() as c:
        r = c.plain("anna.berg@elsewhere.example", GOOD)
        assert r.verb == "FAIL" and not r.temporary
    a.stop()
    a.write_conf(section(slapd, f'"{slapd.uri}"',
                         more=TEMPLATE + '\n\tdomains = { "one.example", "two.example" }'))
    a.start()
    with a.auth() as c:
        for domain in ("one.example", "two.example"):
            r = c.plain(f"anna.berg@{domain}", GOOD)
            assert r.fields["user"] == "anna.berg@one.example"
        assert c.plain("anna.berg@example.org", GOOD).verb == "FAIL"


@pytest.mark.parametrize("way", ["plain", "starttls", "ldaps", "ldapi"])
def test_ways_to_the_directory(start, slapd, certs, way):
    uri, starttls = {"plain": (slapd.uri, "no"), "starttls": (slapd.uri, "yes"),
                     "ldaps": (slapd.ldaps_uri, "yes"), "ldapi": (slapd.ldapi_uri, "yes")}[way]
    mark = len(slapd.log_text())
    a = start(section(slapd, f'"{uri}"', starttls=starttls, ca=certs.ca))
    with a.auth() as c:
        assert c.plain(PERSON, GOOD).verb == "OK"
        assert c.plain(PERSON, "wrong").verb == "FAIL"
    log = slapd.log_text()[mark:]
    assert ("TLS established" in log) == (way in ("starttls", "ldaps"))
    if way == "starttls":  # nothing but StartTLS was said in clear
        ops = [x for x in log.splitlines() if " op=0 " in x and "RESULT" not in x]
        assert ops and all("STARTTLS" in x or "1.3.6.1.4.1.1466.20037" in x for x in ops)


@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
def test_wrong_authority_is_refused(start, slapd, work, scheme):
    other = Certs(work / "other-ca")
    uri = slapd.ldaps_uri if scheme == "ldaps" else slapd.uri
    mark = len(slapd.log_text())
    a = start(section(slapd, f'"{uri}"', starttls="yes", ca=other.ca))
    with a.auth() as c:
        assert c.plain(PERSON, GOOD).temporary
    a.wait_log("res=down")
    a.wait_log("certificate")
    assert " BIND " not in slapd.log_text()[mark:]


def test_wrong_name_in_certificate_is_refused(work, certs, start):
    cert, key = certs.issue("elsewhere", "ldap.elsewhere.example")
    with ldap.Slapd(work / "slapd-elsewhere", ca=certs.ca, cert=cert, key=key) as other:
        a = start(directory_section(other))
        with a.auth() as c:
            assert c.plain(PERSON, GOOD).temporary
        a.stop()
        a.write_conf(directory_section(other, extra="verify = no"))
        a.start()
        with a.auth() as c:
            assert c.plain(PERSON, GOOD).verb == "OK"


def test_wrong_service_password_is_temporary(start, slapd, work):
    secret = work / "wrong.password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    text = section(slapd, f'"{slapd.uri}"').replace(f"{slapd.dir}/service.password", str(secret))
    a = start(text)
    with a.auth() as c:
        assert c.plain(PERSON, GOOD).temporary
    a.wait_log("service account refused")


def test_wrong_base_is_temporary_and_named(start, slapd):
    a = start(directory_section(slapd, extra='user_base = "ou=poeple,%{base}"'))
    with a.auth() as c, a.directory() as m:
        assert c.plain(PERSON, GOOD).temporary
        assert m.lookup("mailbox", CANONICAL)[0] == "TEMP"
    a.wait_log(f'(base \\"ou=poeple,{ldap.BASE}\\" is not there, or the service account')


def test_second_server_takes_over(start, slapd):
    a = start(section(slapd, f'"ldap://127.0.0.1:1", "{slapd.uri}"', more=PATIENT))
    with a.auth(timeout=300) as c:
        begin = time.monotonic()
        assert c.plain(PERSON, GOOD).verb == "OK"
        assert time.monotonic() - begin < 60  # not a time-out


def test_directory_down_is_temporary_and_up_again_works(work, certs, start):
    with ldap.Slapd(work / "slapd-updown", ca=certs.ca, cert=certs.cert, key=certs.key) as s:
        a = start(directory_section(s, extra=PATIENT))
        with a.auth() as c, a.directory() as m, a.userdb() as u:
            assert c.plain(PERSON, GOOD).verb == "OK"
            s.stop()
            for _ in range(3):
                begin = time.monotonic()
                r = c.plain(PERSON, GOOD)
                assert r.temporary and r.fields["code"] == "temp_fail"
                assert m.lookup("mailbox", CANONICAL)[0] == "TEMP"
                assert m.lookup("alias", "sales@example.org")[0] == "TEMP"
                assert m.lookup("domain", "example.org")[0] == "TEMP"
                assert u.user(PERSON)[0] == "FAIL"
                assert time.monotonic() - begin < 60  # no time-out
            # what needs no directory is answered all the same
            assert not c.plain("*", "x").temporary
            s.start()
            until = time.monotonic() + 180
            while c.plain(PERSON, GOOD).verb != "OK":
                assert time.monotonic() < until
                time.sleep(0.1)
            assert m.lookup("mailbox", CANONICAL) == ("OK", CANONICAL)


def test_reload_takes_new_settings_and_keeps_connections(start, slapd):
    a = start(directory_section(slapd, extra='user_filter = "(uid=%{user}-of-nobody)"'))
    with a.auth() as c:
        assert c.plain(PERSON, GOOD).verb == "FAIL"
        a.write_conf(directory_section(slapd))
        a.reload()
        a.wait_log("ev=auth.reload res=ok")
        assert c.plain(PERSON, GOOD).verb == "OK"


def test_client_that_floods_harms_nobody(start, slapd):
    a = start(directory_section(slapd, extra=PATIENT))
    with a.auth() as flood, a.auth(timeout=300) as other:
        line = b"AUTH\t%d\tPLAIN\tservice=imap\tresp=AHgAeA==\n"
        flood.sock.settimeout(0.2)
        try:
            for start_at in range(1, 20001, 500):
                flood.sock.sendall(b"".join(line % i for i in range(start_at, start_at + 500)))
        except OSError:
            pass  # it was made to wait
        assert other.plain(PERSON, GOOD).verb == "OK"
