"""Domains, mailboxes, aliases, groups, senders and users, by socketmap and auth-userdb."""
import os
import subprocess
import sys
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.instance import directory_section

BASE = ldap.BASE


@pytest.fixture(scope="module")
def auth(work, slapd):
    with Authd(work / "auth", directory_section(slapd)) as a:
        yield a


@pytest.fixture
def maps(auth):
    with auth.directory() as m:
        yield m


def group(name, members, mail=None, cls="groupOfNames"):
    lines = "".join(f"member: {m}\n" for m in members)
    return (f"dn: cn={name},ou=groups,{BASE}\nobjectClass: {cls}\nobjectClass: postroomGroup\n"
            f"cn: {name}\nmail: {mail or name + '@example.org'}\n{lines}\n")


def test_domains(maps):
    assert maps.lookup("domain", "example.org") == ("OK", "example.org")
    assert maps.lookup("domain", "EXAMPLE.com") == ("OK", "example.com")
    assert maps.lookup("domain", "example.net")[0] == "NOTFOUND"
    for bad in ("*", ")(dc=*", "", ".", "a..b", "example.org)", "x" * 300):
        assert maps.lookup("domain", bad)[0] == "NOTFOUND"


def test_mailboxes(maps):
    assert maps.lookup("mailbox", "bilal.haddad@example.org") == ("OK", "bilal.haddad@example.org")
    assert maps.lookup("mailbox", "Bilal.Haddad@EXAMPLE.com") == ("OK", "bilal.haddad@example.org")
    assert maps.lookup("mailbox", "bilal.haddad+lists@example.org")[0] == "OK"
    assert maps.lookup("mailbox", "nobody@example.org")[0] == "NOTFOUND"
    assert maps.lookup("mailbox", "sales@example.org")[0] == "NOTFOUND"


def test_alias_of_a_person(maps):
    assert maps.addresses("director@example.org") == ["anna.berg@example.org"]
    assert maps.lookup("alias", "anna.berg@example.org")[0] == "NOTFOUND"
    assert maps.lookup("alias", "anna.berg+tag@example.org")[0] == "NOTFOUND"
    assert maps.lookup("alias", "nobody@example.org")[0] == "NOTFOUND"


def test_group_by_member_dn(maps):
    got = maps.addresses("sales@example.org")
    assert len(got) == 8 and "tove.nilsen@example.org" in got
    assert maps.addresses("sales+tag@example.org") == got


def test_nested_groups_without_doubles(maps):
    support = maps.addresses("support@example.org")
    assert len(support) == 9 and len(set(support)) == 9
    everyone = maps.addresses("everyone-outside@example.org")
    assert everyone == sorted(set(support) | set(maps.addresses("sales@example.org")))


def test_groups_that_contain_each_other(maps):
    both = ["rania.khoury@example.org", "stefan.popescu@example.org"]
    assert maps.addresses("red@example.org") == both
    assert maps.addresses("blue@example.org") == both


def test_deleted_member_is_left_out(maps):
    assert maps.addresses("leads@example.org") == ["bilal.haddad@example.org",
                                                   "carmen.ortega@example.org"]


def test_alias_entries(maps):
    assert maps.addresses("abuse@example.org") == ["anna.berg@example.org",
                                                   "bilal.haddad@example.org"]
    assert maps.addresses("info@example.org") == maps.addresses("sales@example.org")
    assert maps.addresses("press@example.org") == ["agency@press.example.net",
                                                   "tove.nilsen@example.org"]


def test_aliases_in_a_circle_stand_for_nobody(maps):
    assert maps.lookup("alias", "ping@example.org")[0] == "NOTFOUND"
    assert maps.lookup("alias", "pong@example.org")[0] == "NOTFOUND"


def test_senders(maps):
    assert maps.lookup("sender", "director@example.org") == ("OK", "anna.berg@example.org")
    assert maps.lookup("sender", "anna.berg@example.org") == ("OK", "anna.berg@example.org")
    assert maps.lookup("sender", "sales@example.org")[0] == "NOTFOUND"
    assert maps.lookup("sender", "nobody@example.org")[0] == "NOTFOUND"


@pytest.mark.parametrize("key", ["*", ")(mail=*", "*@example.org", "a)(b@example.org", "@example.org",
                                 "a@", "", " ", "a b@example.org", "a\\2a@example.org",
                                 pytest.param("x" * 5000, id="5000")])
def test_hostile_keys_never_reach_the_directory(maps, slapd, key):
    before = slapd.log_text().count(" SRCH ")
    for table in ("mailbox", "alias", "alias-large", "sender"):
        assert maps.lookup(table, key)[0] == "NOTFOUND"
    assert slapd.log_text().count(" SRCH ") == before


def test_unknown_map_and_missing_key(maps):
    assert maps.lookup("passwd", "x")[0] == "PERM"
    maps.sock.sendall(b"5:alias,")
    assert maps.answer()[0] == "PERM"


def test_pipelined_questions_are_answered_in_order(maps):
    people = ["anna.berg", "nobody", "sales", "director", "mei.zhang"]
    asked = []
    for i in range(500):
        asked.append(people[i % 5])
        maps.ask("alias" if i % 2 else "mailbox", f"{people[i % 5]}@example.org")
    for i, who in enumerate(asked):
        status, value = maps.answer()
        if i % 2 == 0:
            assert (status == "OK") == (who in ("anna.berg", "director", "mei.zhang")), (i, who)
        else:
            assert (status == "OK") == (who in ("sales", "director")), (i, who)


@pytest.mark.parametrize("raw", [b"x", b"5alias,", b"01:a,", b":", b"3:abcd,", b"99999999999999999999:",
                                 pytest.param(b"9000:" + b"x" * 9001, id="9000")])
def test_broken_netstrings_end_the_connection(auth, raw):
    with auth.directory() as m, auth.directory() as other:
        m.sock.sendall(raw)
        with pytest.raises((EOFError, ConnectionError)):
            m.answer()
        assert other.lookup("domain", "example.org")[0] == "OK"


def test_postmap_asks_unchanged(auth):
    def postmap(table, key):
        done = subprocess.run(["postmap", "-q", key, f"socketmap:unix:{auth.path('directory')}:{table}"],
                              capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout.strip(), done.stderr
    assert postmap("alias", "director@example.org")[:2] == (0, "anna.berg@example.org")
    assert postmap("domain", "example.org")[:2] == (0, "example.org")
    assert postmap("mailbox", "nobody@example.org")[:2] == (1, "")


def test_member_search_failure_is_temporary(auth, maps, slapd):
    """A part of a group is never an answer."""
    n = 40
    slapd.add(group("many", [ldap.user_dn("anna.berg")] + [f"uid=gone{i},ou=people,{BASE}" for i in range(n)]))
    assert maps.addresses("many@example.org") == ["anna.berg@example.org"]
    slapd.stop()
    try:
        status, text = maps.lookup("alias", "many@example.org")
        assert status == "TEMP" and text
    finally:
        slapd.start()
    until = time.monotonic() + 180
    while maps.lookup("alias", "many@example.org")[0] != "OK":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_long_answers_are_refused_except_by_alias_large(maps, slapd):
    """Postfix 3.7 takes 100,000 bytes at most."""
    n = 4000
    text = "".join(f"postroomForward: recipient-number-{i:06}@far-away.example.net\n" for i in range(n))
    slapd.add(f"dn: cn=huge,ou=aliases,{BASE}\nobjectClass: postroomAlias\ncn: huge\n"
              f"mail: huge@example.org\n{text}\n")
    status, value = maps.lookup("alias", "huge@example.org")
    assert status == "PERM"
    got = maps.addresses("huge@example.org", "alias-large")
    assert len(got) == n and len(",".join(got)) > 100000
    assert maps.lookup("domain", "example.org")[0] == "OK"


def test_limits_of_depth_and_size(work, slapd):
    chain = "".join(
        f"dn: cn=deep{i},ou=aliases,{BASE}\nobjectClass: postroomAlias\ncn: deep{i}\n"
        f"mail: deep{i}@example.org\npostroomForward: deep{i + 1}@example.org\n\n" for i in range(8))
    last = (f"dn: cn=deep8,ou=aliases,{BASE}\nobjectClass: postroomAlias\ncn: deep8\n"
            f"mail: deep8@example.org\npostroomForward: anna.berg@example.org\n\n")
    slapd.add(chain + last)
    extra = "depth_max = 5\n\texpansion_max = 7"
    with Authd(work / "auth-limits", directory_section(slapd, extra=extra)) as a, a.directory() as m:
        assert m.addresses("deep5@example.org") == ["anna.berg@example.org"]
        assert m.lookup("alias", "deep0@example.org")[0] == "PERM"
        assert m.lookup("alias", "sales@example.org")[0] == "PERM"  # eight people
        assert m.addresses("red@example.org")


def test_users_by_userdb(auth):
    home = f"{auth.dir}/mail/example.org/anna.berg"
    with auth.userdb() as u:
        assert u.hello[0].startswith("VERSION\t1\t") and u.hello[1].startswith("SPID\t")
        want = ("USER", "anna.berg@example.org", {"home": home})
        assert u.user("anna.berg") == want
        assert u.user("director@example.org") == want
        assert u.user("director@example.org", service="lmtp") == want
        assert u.user("sales@example.org", service="lmtp")[0] == "NOTFOUND"
        assert u.user("anna.berg+tag@example.org", service="lmtp")[0] == "NOTFOUND"
        for bad in ("*", ")(uid=*", "", "a\nb", "a\tb", "\0"):
            assert u.user(bad)[0] == "NOTFOUND"
        u.send("PASS\t77\tanna.berg\tservice=imap")
        assert u.line() == "PASS\t77\tuser=anna.berg@example.org"
        u.send("PASS\t78\tnobody\tservice=imap")
        assert u.line() == "NOTFOUND\t78"


def test_list_names_everybody(auth):
    with auth.userdb() as u:
        users, rest = u.list()
        assert rest == [] and len(users) == 50 and len(set(users)) == 50
        assert "anna.berg@example.org" in users


def test_request_confirms_a_login_once(auth):
    with auth.auth(pid=1234) as c, auth.userdb() as u:
        n = int(c.plain("anna.berg", "secret-anna.berg").id)
        assert u.request(c, n, pid=1235)[0] == "FAIL"
        assert u.request(c, n + 1)[0] == "FAIL"
        assert u.request(c, n, cookie="0" * 32)[0] == "FAIL"
        verb, user, fields = u.request(c, n)
        assert (verb, user) == ("USER", "anna.berg@example.org")
        assert fields["home"].endswith("/mail/example.org/anna.berg")
        assert u.request(c, n)[0] == "FAIL"


def test_request_refuses_what_failed_or_is_under_way(auth):
    with auth.auth() as c, auth.userdb() as u:
        n = int(c.plain("anna.berg", "wrong").id)
        assert u.request(c, n)[0] == "FAIL"
        c.begin("LOGIN", number=50)
        c.reply()
        assert u.request(c, 50)[0] == "FAIL"
        c.plain("anna.berg", "secret-anna.berg", params="service=smtp\tnologin", number=60)
        assert u.request(c, 60)[0] == "FAIL"


def test_request_dies_with_the_connection(auth):
    with auth.userdb() as u:
        with auth.auth() as c:
            n = int(c.plain("anna.berg", "secret-anna.berg").id)
        until = time.monotonic() + 180
        while u.request(c, n)[0] != "FAIL":
            assert time.monotonic() < until
            time.sleep(0.05)


def test_request_keys_are_per_connection(auth):
    with auth.auth(pid=7) as a, auth.auth(pid=7) as b, auth.userdb() as u:
        assert a.plain("anna.berg", "secret-anna.berg", number=1).verb == "OK"
        assert b.plain("mei.zhang", "secret-mei.zhang", number=1).verb == "OK"
        assert u.request(b, 1)[1] == "mei.zhang@example.org"
        assert u.request(a, 1)[1] == "anna.berg@example.org"


@pytest.mark.skipif(os.getuid() != 0, reason="takes another user's identity")
def test_userdb_is_for_our_roles_only(auth):
    """`nobody` may connect, and hears nothing."""
    script = ("import os, socket, sys; os.setgid(65534); os.setuid(65534); "
              "s = socket.socket(socket.AF_UNIX); s.settimeout(180); s.connect(sys.argv[1]); "
              "s.send(b'VERSION\\t1\\t0\\nUSER\\t1\\tanna.berg\\tservice=imap\\n'); "
              "print(repr(s.recv(1000)))")
    os.chmod(auth.path("auth-userdb"), 0o666)
    done = subprocess.run([sys.executable, "-c", script, str(auth.path("auth-userdb"))],
                          capture_output=True, text=True, timeout=120)
    ended = "ConnectionReset" in done.stderr or "BrokenPipe" in done.stderr
    assert done.stdout.strip() == "b''" or (ended and not done.stdout), done
    auth.wait_log("not one of imap, lmtp, queue and root")


def test_home_from_the_directory(auth, slapd):
    root = f"{auth.dir}/mail"
    dn = ldap.user_dn("pavel.dvorak")
    slapd.modify(dn, {"objectClass": ["inetOrgPerson", "inetLocalMailRecipient", "postroomAccount"]})
    with auth.userdb() as u, auth.auth() as c:
        for bad in ("/etc", f"{root}/../../etc", f"{root}/a/./b", f"{root}/a//b", f"{root}/a/",
                    root, f"{root}x/a", "relative/path"):
            slapd.modify(dn, {"postroomHome": [bad]})
            assert u.user("pavel.dvorak")[0] == "FAIL", bad
            assert c.plain("pavel.dvorak", "secret-pavel.dvorak").temporary, bad
        slapd.modify(dn, {"postroomHome": [f"{root}/special/pavel"]})
        assert u.user("pavel.dvorak")[2] == {"home": f"{root}/special/pavel"}
        assert c.plain("pavel.dvorak", "secret-pavel.dvorak").verb == "OK"
        # the same folder for two
        other = ldap.user_dn("lena.hoffmann")
        slapd.modify(other, {"objectClass": ["inetOrgPerson", "inetLocalMailRecipient",
                                             "postroomAccount"],
                             "postroomHome": [f"{root}/special/pavel"]})
        assert u.user("lena.hoffmann")[0] == "FAIL"
        assert u.user("pavel.dvorak")[0] == "FAIL"
        slapd.modify(other, {"postroomHome": [f"{root}/example.org/marco.bianchi"]})
        assert u.user("marco.bianchi")[0] == "USER"
        assert u.user("lena.hoffmann")[0] == "FAIL"
        slapd.modify(other, {"postroomHome": []})
        assert u.user("lena.hoffmann")[0] == "USER"


def test_sections_by_domain(work, slapd):
    """A section with domains is asked about those only, and says that they are ours."""
    text = (directory_section(slapd, "first", extra='domains = { "example.com" }')
            + directory_section(slapd, "second", extra='domains = { "example.org", "other.example" }'))
    mark = len(slapd.log_text())
    with Authd(work / "auth-sections", text) as a, a.directory() as m:
        assert m.lookup("domain", "other.example")[0] == "OK"
        assert m.lookup("domain", "third.example")[0] == "NOTFOUND"
        assert " SRCH " not in slapd.log_text()[mark:]
        assert m.lookup("mailbox", "anna.berg@example.org") == ("OK", "anna.berg@example.org")
        assert m.lookup("mailbox", "anna.berg@third.example")[0] == "NOTFOUND"


def test_directory_cannot_name_users_of_another(work, slapd):
    """An entry in one directory whose mail lies in the other's domain is nobody's login."""
    text = (directory_section(slapd, "tenant", extra='domains = { "example.com" }')
            + directory_section(slapd, "owner", extra='domains = { "example.org" }'))
    with Authd(work / "auth-tenants", text) as a, a.auth() as c, a.userdb() as u:
        # found through the tenant's directory, but says that it is anna.berg@example.org
        r = c.plain("anna.berg@example.com", "secret-anna.berg")
        assert r.verb == "FAIL" and not r.temporary
        a.wait_log("another backend's")
        assert u.user("anna.berg@example.com")[0] == "FAIL"
        assert c.plain("anna.berg@example.org", "secret-anna.berg").verb == "OK"


def test_unusable_settings_are_refused_at_start(work, slapd):
    for extra, text in (('user_filter = "(uid=%{nonsense})"', "user_filter"),
                        ('alias_filter = "mail=%{address}"', "alias_filter"),
                        ('user_dn = "uid=%{local"', "user_dn")):
        a = Authd(work / "auth-bad", directory_section(slapd, extra=extra))
        with pytest.raises(RuntimeError) as e:
            a.start()
        assert text in str(e.value)
    a = Authd(work / "auth-bad", directory_section(slapd).replace(slapd.uri, "http://x"))
    with pytest.raises(RuntimeError):
        a.start()


def test_example_ldif_is_what_its_maker_prints():
    made = subprocess.run([str(ldap.LDAP_FILES / "make-example")], capture_output=True, text=True,
                          check=True).stdout
    assert made == (ldap.LDAP_FILES / "example.ldif").read_text()
