"""The mechanisms on the auth socket: SCRAM from stored keys, tokens, certificates; who is offered
what; and who may act as whom."""
import base64
import json
import re
import threading
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd, escape
from harness.instance import directory_section
from harness.ready import readable
from harness.scram import Client, stored
from harness.tokens import TokenService

PERSON = "anna.berg"
GOOD = ldap.password_of(PERSON)
CANONICAL = "anna.berg@example.org"
ALL = "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-1 EXTERNAL OAUTHBEARER XOAUTH2"
EXTRA = """secret_attributes = { "carLicense" }
	certificate_filter = "(&(objectClass=inetOrgPerson)(uid=%{certificate_cn}))"
	master_filter = "(uid=samir.aziz)"
"""


def mechanisms(names=ALL):
    return "sasl_mechanisms = { " + ", ".join(f'"{n}"' for n in names.split()) + " }"


@pytest.fixture(scope="module")
def tokens(certs):
    with TokenService(certs) as t:
        yield t


@pytest.fixture(scope="module")
def settings(work, certs, tokens):
    secret = work / "client.secret"
    secret.write_text("client:secret\n")
    secret.chmod(0o600)
    oauth = f"""oauth_introspection_url = "{tokens.url}"
	oauth_client_id = "post room"
	oauth_client_secret = "{secret}"
	oauth_ca = "{certs.ca}"
	oauth_discovery_url = "https://id.example.org/.well-known/openid-configuration"
"""
    def make(names=ALL, delay="0", more="", patience="30s"):
        return (f"failure_delay = {delay}\n\t{mechanisms(names)}\n\t{oauth}"
                f"\toauth_timeout = {patience}\n\t{more}")
    make.tls = f'tls {{\n\tclient_ca = "{certs.ca}"\n}}\n'
    return make


@pytest.fixture(scope="module")
def auth(work, slapd, settings):
    slapd.modify(ldap.user_dn(PERSON), {"carLicense": [stored(GOOD), stored(GOOD, "sha1", 5000)]})
    with Authd(work / "auth", directory_section(slapd, extra=EXTRA), auth=settings(),
               settings=settings.tls) as a:
        yield a


@pytest.fixture(scope="module")
def hasty(work, slapd, settings):
    """Waits for a token service no longer than this."""
    with Authd(work / "hasty", directory_section(slapd, extra=EXTRA), auth=settings(patience="700ms"),
               settings=settings.tls) as a:
        yield a


def cont(c, reply):
    assert reply.verb == "CONT", reply
    return base64.b64decode(reply.rest[0] if reply.rest else "")


def answer(c, number, data):
    c.send(f"CONT\t{number}\t" + base64.b64encode(data).decode())
    return c.reply()


def scram(c, client, name="SCRAM-SHA-256", initial=True, **kw):
    """The last reply."""
    if initial:
        number = c.begin(name, client.first(), **kw)
        r = c.reply()
    else:
        number = c.begin(name, **kw)
        assert cont(c, c.reply()) == b""
        r = answer(c, number, client.first())
    if r.verb == "FAIL":
        return r
    r = answer(c, number, client.final(cont(c, r)))
    if r.verb == "FAIL":
        return r
    client.check(cont(c, r))
    return answer(c, number, b"")


def test_greeting_says_what_mechanisms_are(auth):
    with auth.auth() as c:
        mech = {h.split("\t")[1]: h.split("\t")[2:] for h in c.hello if h.startswith("MECH")}
    assert set(mech) == set(ALL.split())
    assert mech["PLAIN"] == ["plaintext"] and mech["XOAUTH2"] == ["plaintext"]
    assert mech["SCRAM-SHA-256"] == ["dictionary", "mutual-auth"] and mech["EXTERNAL"] == []


@pytest.mark.parametrize("sha,name", [("sha256", "SCRAM-SHA-256"), ("sha1", "SCRAM-SHA-1")])
@pytest.mark.parametrize("initial", [True, False])
def test_scram(auth, sha, name, initial):
    with auth.auth() as c:
        r = scram(c, Client(PERSON, GOOD, sha), name, initial)
        assert r.verb == "OK" and r.fields["user"] == CANONICAL
        r = scram(c, Client(PERSON, "wrong", sha), name, initial)
        assert r.verb == "FAIL" and not r.temporary and "code" not in r.fields


@pytest.mark.parametrize("name", ["director@example.org", "ANNA.BERG@example.org"])
def test_scram_by_another_name_of_the_user(auth, name):
    with auth.auth() as c:
        assert scram(c, Client(name, GOOD)).fields.get("user") == CANONICAL


@pytest.mark.parametrize("password", ["", "\0", "\0" + GOOD, GOOD + "\0x"])
def test_scram_with_odd_passwords(auth, password):
    with auth.auth() as c:
        assert scram(c, Client(PERSON, password)).verb == "FAIL"


def first_reply(c, name, mechanism="SCRAM-SHA-256"):
    client = Client(name, "x", "sha256" if "256" in mechanism else "sha1")
    c.begin(mechanism, client.first())
    text = cont(c, c.reply()).decode()
    return dict(f.split("=", 1) for f in text.split(","))


def test_nobody_can_tell_whether_a_user_has_keys(auth, slapd, work, settings):
    with auth.auth() as c:
        # a user without keys, one who is not there, one of a foreign domain, no name at all
        names = ["samir.aziz", "nobody.here", "x@elsewhere.example", "a=b,c", "ø@example.org"]
        shown = [first_reply(c, n) for n in names]
        assert all(len(base64.b64decode(s["s"])) == 16 and s["i"] == "4096" for s in shown)
        assert len({s["s"] for s in shown}) == len(names)
        assert [first_reply(c, n)["s"] for n in names] == [s["s"] for s in shown]
        # what a directory takes for one name has one salt, whether somebody has it or not
        for name in ("\uff2eobody.here", "nob\u00f6dy.here", "nobody.here\u00a0",
                     "nobody\u200b.here@example.org", "Nobody.Here"):
            assert first_reply(c, name)["s"] == shown[1]["s"], name
        assert first_reply(c, "n\u00f6body.there")["s"] != shown[1]["s"]
        assert first_reply(c, "nobody.here", "SCRAM-SHA-1")["s"] not in [s["s"] for s in shown]
        assert scram(c, Client("nobody.here", "x")).verb == "FAIL"
        assert scram(c, Client("samir.aziz", ldap.password_of("samir.aziz"))).verb == "FAIL"
    # and another process makes up the same
    with Authd(work / "again", directory_section(slapd, extra=EXTRA), auth=settings(),
               settings=settings.tls) as a, a.auth() as c:
        assert [first_reply(c, n)["s"] for n in names] == [s["s"] for s in shown]


def test_no_proof_is_looked_at_while_a_client_is_blocked(work, slapd, settings):
    """The server's signature would tell a guesser who is blocked that the guess was right."""
    rip = "service=imap\tsecured\trip=203.0.113.77"
    with Authd(work / "blocked", directory_section(slapd, extra=EXTRA),
               auth=settings(more="penalty_user = 3"), settings=settings.tls) as a, a.auth() as c:
        assert scram(c, Client(PERSON, GOOD), params=rip).verb == "OK"
        for n in range(3):
            assert scram(c, Client(PERSON, f"guess{n}"), params=rip).verb == "FAIL"
        client = Client(PERSON, GOOD)
        number = c.begin("SCRAM-SHA-256", client.first(), params=rip)
        assert answer(c, number, client.final(cont(c, c.reply()))).verb == "FAIL"
        a.wait_log('reason="too many failures before"')
        assert scram(c, Client(PERSON, GOOD)).verb == "OK"  # from elsewhere


def test_keys_of_one_section_let_nobody_into_another(work, slapd, settings):
    """Two sections know the name, the second alone has keys for it."""
    sections = (directory_section(slapd, "first") +
                directory_section(slapd, "second", extra=EXTRA))
    with Authd(work / "sections", sections, auth=settings(), settings=settings.tls) as a, \
            a.auth() as c:
        assert c.plain(PERSON, GOOD).verb == "OK"
        assert scram(c, Client(PERSON, GOOD)).verb == "FAIL"


@pytest.mark.parametrize("first", [
    b"", b"n", b"n,,", b"n,,n=,r=x", b"n,,n=anna.berg", b"n,,n=anna.berg,r=",
    b"p=tls-unique,,n=anna.berg,r=x", b"n,,m=x,n=anna.berg,r=x", b"n,,n=an\0na,r=x",
    b"n,,n=a=2Xb,r=x", b"n,,n= anna.berg,r=x", b"n,,n=" + b"a" * 5000 + b",r=x", b"\xff" * 100])
def test_scram_refuses_a_malformed_first_message(auth, first):
    with auth.auth() as c:
        c.begin("SCRAM-SHA-256", first)
        r = c.reply()
        assert r.verb == "FAIL" and not r.temporary
        assert c.plain(PERSON, GOOD).verb == "OK"


def test_scram_refuses_a_changed_exchange(auth):
    with auth.auth() as c:
        client = Client(PERSON, GOOD)
        number = c.begin("SCRAM-SHA-256", client.first())
        final = client.final(cont(c, c.reply()))
        for bad in (final.replace(b"c=biws", b"c=eSws"), final[:-8] + b"AAAA" + final[-4:],
                    final.replace(b",r=", b",r=x"), b"", b"c=biws"):
            number = c.begin("SCRAM-SHA-256", Client(PERSON, GOOD).first())
            cont(c, c.reply())
            assert answer(c, number, bad).verb == "FAIL", bad
        # something instead of the empty answer to the server's signature
        client = Client(PERSON, GOOD)
        number = c.begin("SCRAM-SHA-256", client.first())
        r = answer(c, number, client.final(cont(c, c.reply())))
        client.check(cont(c, r))
        assert answer(c, number, b"more").verb == "FAIL"


def bearer(token, authzid=""):
    a = f"a={authzid}" if authzid else ""
    return f"n,{a},\x01host=localhost\x01port=143\x01auth=Bearer {token}\x01\x01".encode()


def xoauth2(token, user):
    return f"user={user}\x01auth=Bearer {token}\x01\x01".encode()


def test_tokens(auth, tokens):
    tokens.answers["t-good"] = {"active": True, "username": PERSON, "exp": time.time() + 60}
    with auth.auth() as c:
        c.begin("OAUTHBEARER", bearer("t-good"))
        assert c.reply().fields["user"] == CANONICAL
        c.begin("OAUTHBEARER", bearer("t-good", CANONICAL))
        assert c.reply().fields["user"] == CANONICAL
        c.begin("XOAUTH2", xoauth2("t-good", CANONICAL))
        assert c.reply().fields["user"] == CANONICAL
    # asked once, with our name and password
    asked = [a for a in tokens.asked if a[0] == "t-good"]
    assert len(asked) == 1
    assert base64.b64decode(asked[0][1].split()[1]) == b"post%20room:client%3Asecret"
    assert "t-good" not in auth.log_text()


def test_a_token_is_remembered_no_longer_than_it_is_good(auth, tokens):
    with auth.auth() as c:
        for seconds in (5, 30, 120):  # a busy machine may come to it too late
            token, end = f"t-{seconds}", int(time.time()) + seconds
            tokens.answers[token] = {"active": True, "username": PERSON, "exp": end}
            number = c.begin("OAUTHBEARER", bearer(token))
            r = c.reply()
            if r.verb == "OK":
                break
            answer(c, number, b"\x01")
        assert r.verb == "OK"
        tokens.answers[token] = {"active": False}
        time.sleep(max(0, end + 0.2 - time.time()))
        c.begin("OAUTHBEARER", bearer(token))
        assert c.reply().verb == "CONT"


@pytest.mark.parametrize("mechanism,dummy", [("OAUTHBEARER", b"\x01"), ("XOAUTH2", b"")])
def test_a_refused_token_is_explained_and_then_refused(auth, mechanism, dummy):
    with auth.auth() as c:
        number = c.begin(mechanism, bearer("nope") if mechanism == "OAUTHBEARER"
                         else xoauth2("nope", PERSON))
        said = json.loads(cont(c, c.reply()))
        assert said == {"status": "invalid_token", "openid-configuration":
                        "https://id.example.org/.well-known/openid-configuration"}
        r = answer(c, number, dummy)
        assert r.verb == "FAIL" and not r.temporary
    auth.wait_log("detail=\"the token is not active\"")


def test_a_token_is_for_its_user_only(auth, tokens):
    tokens.answers["t-anna"] = {"active": True, "username": PERSON}
    tokens.answers["t-samir"] = {"active": True, "username": "samir.aziz"}
    tokens.answers["t-nobody"] = {"active": True, "username": "nobody.here"}
    tokens.answers["t-star"] = {"active": True, "username": "*)(uid=*"}
    with auth.auth() as c:
        c.begin("XOAUTH2", xoauth2("t-anna", "samir.aziz"))
        r = c.reply()
        assert r.verb == "FAIL" and r.fields["code"] == "authz_fail"
        c.begin("OAUTHBEARER", bearer("t-samir", CANONICAL))  # a master
        assert c.reply().fields["user"] == CANONICAL
        for token in ("t-nobody", "t-star"):
            c.begin("OAUTHBEARER", bearer(token))
            assert c.reply().verb == "FAIL"


@pytest.mark.parametrize("token", ["hang", "drip", "endless", "huge", "redirect", "moved-body",
                                   "junk", "half", "garbage", "error", "denied"])
def test_a_bad_token_service_is_a_temporary_failure(auth, hasty, tokens, token):
    silent = token in ("hang", "drip")
    asker = hasty if silent else auth
    with asker.auth() as c, asker.auth() as other:
        times, first, until = 0, False, time.monotonic() + 180
        while not first:
            assert time.monotonic() < until
            c.begin("OAUTHBEARER", bearer(token))
            assert other.plain(PERSON, GOOD).verb == "OK"
            # nobody waits for a silent one; on a busy machine its time may be over as soon
            first = not silent or not readable([c.sock], 0)
            times += 1
            r = c.reply()
            assert r.temporary, r
    # no redirect was followed; what has no time may be given up before it was asked
    asked = [t for t, _ in tokens.asked].count(token)
    assert 0 < asked <= times if silent else asked == times


def test_a_token_service_with_a_wrong_certificate(work, slapd, certs, settings):
    cert, key = certs.issue("other", "mail.example.net")
    with TokenService(certs, cert=cert, key=key) as t:
        text = re.sub(r'introspection_url = "[^"]*"', f'introspection_url = "{t.url}"', settings())
        with Authd(work / "wrong", directory_section(slapd, extra=EXTRA), auth=text,
                   settings=settings.tls) as a, a.auth() as c:
            c.begin("OAUTHBEARER", bearer("anything"))
            assert c.reply().temporary
        assert t.asked == []


@pytest.mark.parametrize("first", [b"", b"n,,", b"n,,\x01\x01", b"n,,\x01auth=Basic x\x01\x01",
                                   b"n,,\x01auth=Bearer \x01\x01", b"n,,\x01auth=Bearer a&b\x01\x01",
                                   b"n,,\x01auth=Bearer a\0\x01\x01", b"\x01" * 500])
def test_malformed_tokens_are_asked_of_nobody(auth, tokens, first):
    before = len(tokens.asked)
    with auth.auth() as c:
        c.begin("OAUTHBEARER", first)
        assert c.reply().verb == "FAIL"
        c.begin("XOAUTH2", first)
        assert c.reply().verb == "FAIL"
    assert len(tokens.asked) == before


CERTIFICATE = "service=imap\tsecured\tvalid-client-cert\tcert_username="


def test_external(auth):
    with auth.auth() as c:
        c.begin("EXTERNAL", b"", params=CERTIFICATE + escape("CN=anna.berg"))
        assert c.reply().fields["user"] == CANONICAL
        c.begin("EXTERNAL", b"", params=CERTIFICATE + "CN=*")
        r = c.reply()
        assert r.verb == "FAIL" and not r.temporary
        c.begin("EXTERNAL", b"samir.aziz", params=CERTIFICATE + "CN=anna.berg")
        assert c.reply().fields["code"] == "authz_fail"
        c.begin("EXTERNAL", b"", params="service=imap\tsecured\tcert_username=CN=anna.berg")
        assert c.reply().verb == "FAIL"
        c.begin("EXTERNAL", b"", params="service=imap\tsecured\tvalid-client-cert")
        assert c.reply().verb == "FAIL"


def test_masters_act_for_others(auth):
    samir = ldap.password_of("samir.aziz")
    with auth.auth() as c:
        assert c.plain("samir.aziz", samir, authzid=PERSON).fields["user"] == CANONICAL
        r = c.plain(PERSON, GOOD, authzid="samir.aziz")
        assert r.verb == "FAIL" and r.fields["code"] == "authz_fail" and r.fields["reason"]
        # without the password nothing is said
        r = c.plain(PERSON, "wrong", authzid="samir.aziz")
        assert r.verb == "FAIL" and "code" not in r.fields
        r = scram(c, Client(PERSON, GOOD, authzid="samir.aziz"))
        assert r.verb == "FAIL" and r.fields["code"] == "authz_fail"
        assert scram(c, Client(PERSON, GOOD, authzid=PERSON)).verb == "OK"


def bare_login(c, name, password):
    c.begin("LOGIN", name.encode())
    return answer(c, c.reply().id, password.encode())


def token_of(name):
    return "t-of-" + name.replace("\\", "-")


# how anna.berg logs in by each mechanism: with her name as it is typed, as another one
WAYS = {
    "PLAIN": lambda c, name, other: c.plain(name, GOOD, authzid=other),
    "SCRAM-SHA-256": lambda c, name, other: scram(c, Client(name, GOOD, authzid=other)),
    "SCRAM-SHA-1": lambda c, name, other: scram(c, Client(name, GOOD, "sha1", authzid=other),
                                                "SCRAM-SHA-1"),
    "EXTERNAL": lambda c, name, other: (c.begin("EXTERNAL", other.encode(),
                                                params=CERTIFICATE + "CN=anna.berg"), c.reply())[1],
    "OAUTHBEARER": lambda c, name, other: (c.begin("OAUTHBEARER", bearer(token_of(name), other)),
                                           c.reply())[1],
    "XOAUTH2": lambda c, name, other: (c.begin("XOAUTH2", xoauth2(token_of(name), other or name)),
                                       c.reply())[1],
    "LOGIN": lambda c, name, other: bare_login(c, name, GOOD),
}


@pytest.fixture(scope="module")
def masterful(auth, work, slapd, settings, tokens):
    for name in (PERSON, "EXAMPLE\\anna.berg"):
        tokens.answers[token_of(name)] = {"active": True, "username": name}
    extra = EXTRA.replace("samir.aziz", PERSON) + 'netbios_domain = "EXAMPLE"\n'
    with Authd(work / "masterful", directory_section(slapd, extra=extra), auth=settings(),
               settings=settings.tls) as a:
        yield a


@pytest.mark.parametrize("other", ["samir.aziz", "SAMIR.aziz@example.org", "Example\\samir.aziz"])
@pytest.mark.parametrize("mechanism", [m for m in WAYS if m != "LOGIN"])
def test_masters_by_every_mechanism(masterful, mechanism, other):
    with masterful.auth() as c:
        r = WAYS[mechanism](c, PERSON, other)
        assert r.verb == "OK" and r.fields["user"] == "samir.aziz@example.org", r
        masterful.wait_log('detail="master anna.berg@example.org"')
        for nobody in ("nobody.here", "*", "OTHER\\samir.aziz"):
            r = WAYS[mechanism](c, PERSON, nobody)
            assert r.verb == "FAIL" and r.fields["code"] == "authz_fail", (nobody, r)


@pytest.mark.parametrize("mechanism", WAYS)
def test_netbios_names_by_every_mechanism(masterful, mechanism):
    with masterful.auth() as c:
        r = WAYS[mechanism](c, "EXAMPLE\\anna.berg", "")
        assert r.verb == "OK" and r.fields["user"] == CANONICAL, r


def test_offered_by_service_and_line(work, slapd, settings):
    text = settings("PLAIN SCRAM-SHA-256", more='sasl_without_tls = { "SCRAM-SHA-256" }')
    with Authd(work / "offer", directory_section(slapd, extra=EXTRA), auth=text,
               settings='smtp {\n\tsasl_mechanisms = { "PLAIN" }\n}\n') as a, a.auth() as c:
        far = "rip=192.0.2.7\tlip=198.51.100.1"
        assert c.plain(PERSON, GOOD, params=f"service=imap\t{far}", clear=True).verb == "FAIL"
        assert c.plain(PERSON, GOOD, params=f"service=imap\t{far}\tsecured").verb == "OK"
        assert c.plain(PERSON, GOOD, params="service=imap\trip=127.0.0.1", clear=True).verb == "OK"
        assert scram(c, Client(PERSON, GOOD), params=f"service=imap\t{far}", clear=True).verb == "OK"
        assert scram(c, Client(PERSON, GOOD), params=f"service=smtp\t{far}\tsecured").verb == "FAIL"
        assert c.plain(PERSON, GOOD, params=f"service=smtp\t{far}\tsecured").verb == "OK"
        c.begin("LOGIN")
        assert c.reply().verb == "FAIL"
        c.begin("NTLM", b"x")
        assert c.reply().verb == "FAIL"
        a.wait_log('reason="mechanism not on offer"')


def test_a_reload_with_an_unknown_mechanism_changes_nothing(work, slapd, settings):
    section = directory_section(slapd, extra=EXTRA)
    a = Authd(work / "reload", section, auth=settings("PLAIN"))
    with a, a.auth() as c:
        a.write_conf(section, auth=settings("PLAIN LOGIN GSSAPI2", delay="60s"))
        a.reload()
        a.wait_log('"GSSAPI2" is no mechanism')
        begun = time.monotonic()
        assert c.plain(PERSON, "wrong").verb == "FAIL"
        assert time.monotonic() - begun < 55
        c.begin("LOGIN")
        assert c.reply().verb == "FAIL"
        a.write_conf(section, auth=settings("PLAIN LOGIN"))
        a.reload()
        a.wait_log("ev=auth.reload res=ok")
        c.begin("LOGIN")
        assert c.reply().verb == "CONT"


def test_a_reload_with_a_keytab_that_is_not_there_changes_nothing(work, slapd, settings):
    section = directory_section(slapd, extra=EXTRA)
    a = Authd(work / "keytab", section, auth=settings("PLAIN"))
    with a, a.auth() as c:
        a.write_conf(section, auth=settings("PLAIN LOGIN GSSAPI",
                                            more='gssapi_keytab = "/nonexistent/smtp.keytab"'))
        a.reload()
        a.wait_log('reason="auth.gssapi_keytab: /nonexistent/smtp.keytab: No such file')
        c.begin("LOGIN")
        assert c.reply().verb == "FAIL"
        assert "ev=auth.reload res=ok" not in a.log_text()


def test_a_token_asked_of_the_service_before_a_reload_is_not_remembered(work, slapd, settings, tokens):
    """Its settings may not count any more: another service, another audience."""
    tokens.answers["t-late"] = {"active": True, "username": PERSON}
    tokens.held["t-late"] = threading.Event()
    section = directory_section(slapd, extra=EXTRA)
    a = Authd(work / "late", section, auth=settings("PLAIN OAUTHBEARER"))
    with a, a.auth() as c, a.auth() as other:
        c.begin("OAUTHBEARER", bearer("t-late"))
        while "t-late" not in [t for t, _ in tokens.asked]:
            time.sleep(0.02)
        a.reload()
        a.wait_log("ev=auth.reload res=ok")
        tokens.held.pop("t-late").set()
        assert c.reply().verb == "OK"
        tokens.answers["t-late"] = {"active": False}
        other.begin("OAUTHBEARER", bearer("t-late"))
        assert other.reply().verb == "CONT"


def test_what_a_stranger_hears_is_always_the_same(work, slapd, settings):
    with Authd(work / "same", directory_section(slapd, extra=EXTRA),
               auth=settings(delay="400ms"), settings=settings.tls) as a, a.auth() as c:
        heard, times = set(), []
        # each name once: the delay grows with the failures of a name
        for name in ("rosa.delgado", "nobody.here", "x@elsewhere.example", "no such name"):
            begun = time.monotonic()
            r = c.plain(name, "wrong", params=f"service=imap\tsecured\trip=192.0.2.{len(times)}")
            times.append(time.monotonic() - begun)
            heard.add((r.verb, *[f for f in r.rest if not f.startswith("user=")]))
        for name in (PERSON, "nobody.else", "mei.zhang"):
            client = Client(name, "wrong")
            number = c.begin("SCRAM-SHA-256", client.first(),
                             params=f"service=imap\tsecured\trip=198.51.100.{len(times)}")
            final = client.final(cont(c, c.reply()))
            begun = time.monotonic()
            r = answer(c, number, final)
            times.append(time.monotonic() - begun)
            heard.add((r.verb, *[f for f in r.rest if not f.startswith("user=")]))
        assert heard == {("FAIL",)}
        assert min(times) > 0.38, times
        # nor is one kind slower: the best of those that there are, and of the others
        assert min(times[0], times[4], times[6]) < 0.7 and min(times[1:4] + [times[5]]) < 0.7, times


def test_the_log_says_why_and_no_secret(auth):
    sid = "5a7c5a7c5a7c5a7c"
    with auth.auth() as c:
        c.plain(PERSON, "Tr0ub4dor-unlogged")
        client = Client(PERSON, "Tr0ub4dor-unlogged")
        number = c.begin("SCRAM-SHA-256", client.first())
        final = client.final(cont(c, c.reply()))
        assert answer(c, number, final).verb == "FAIL"
        assert scram(c, Client(PERSON, GOOD), params=f"service=imap\tsession={sid}").verb == "OK"
    auth.wait_log(f"sid={sid}")
    text = auth.log_text()
    assert re.search(r"ev=auth.login .*res=ok .*mech=SCRAM-SHA-256 name=anna.berg "
                     r"user=anna.berg@example.org dn=\S+ backend=main", text)
    assert re.search(r"ev=auth.login .*res=deny .*mech=SCRAM-SHA-256 .*reason=\"password refused\"",
                     text)
    for secret in ("Tr0ub4dor-unlogged", GOOD, final.decode().rsplit("p=")[-1], "client:secret"):
        assert secret not in text
