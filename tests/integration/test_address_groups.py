"""What addresses stand for: every kind of group, forwarding, routing, catch-all, result templates; who
may send as an address and who may post to a group. One slapd, several ways to read it."""
import base64
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.instance import directory_section
from harness.slapd import Slapd

BASE = ldap.BASE
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
# Attributes of other products, for entries of the tests.
SCHEMA = """include @SCHEMADIR@/dyngroup.schema
include @SCHEMADIR@/nis.schema
attributetype ( 2.16.840.1.113730.3.1.17 NAME 'mailForwardingAddress' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 2.16.840.1.113730.3.1.16 NAME 'mailDeliveryOption' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 2.25.1.1 NAME 'maildrop' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 2.25.1.2 NAME 'sendAsMembers' EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 )
objectclass ( 2.25.1.10 NAME 'otherMail' SUP top AUXILIARY MAY ( mail $ mailForwardingAddress $ mailDeliveryOption $ proxyAddresses $ maildrop $ sendAsMembers $ memberURL $ rfc822MailMember $ owner ) )
"""


def person(uid):
    return f"uid={uid},{PEOPLE}"


def mail(uid):
    return f"{uid}@example.org"


def entry(dn, classes, **attributes):
    text = f"dn: {dn}\n" + "".join(f"objectClass: {c}\n" for c in classes)
    for name, values in attributes.items():
        for v in [values] if isinstance(values, str) else values:
            text += f"{name}:: {base64.b64encode(v.encode()).decode()}\n"
    return text + "\n"


def group(name, classes=("groupOfNames", "postroomGroup", "otherMail"), **attributes):
    return entry(f"cn={name},{GROUPS}", classes, cn=name, mail=mail(name), **attributes)


# URLs as directories have them: what finds anna.berg (or odd), and what is none
ODD_URLS = {
    "attributes": f"ldap:///{PEOPLE}?mail,cn?one?(uid=anna.berg)",
    "upper": f"LDAP:///{PEOPLE}??ONE?(uid=anna.berg)",
    "ours": f"ldap://localhost/{PEOPLE}??one?(uid=anna.berg)",
    "extension": f"ldap:///{PEOPLE}??one?(uid=anna.berg)?x-more=1",
    "no-base": "ldap:///??sub?(uid=anna.berg)",
    "blank": f" ldap:///{PEOPLE}??one?(uid=anna.berg)",
    "escaped": f"ldap:///{PEOPLE.replace(',', '%2c')}??one?%28uid=anna.b%65rg%29",
    "escaped-value": f"ldap:///{PEOPLE}??one?(cn=Odd,%20Name%20\\2b%20x)",
    "and-of-one": f"ldap:///{PEOPLE}??one?(%26(uid=anna.berg))",
    "critical": f"ldap:///{PEOPLE}??one?(uid=anna.berg)?!x-more=1",
    "bare": f"ldap:///{PEOPLE}??one?uid=anna.berg",
    "open": f"ldap:///{PEOPLE}??one?(uid=anna.berg",
    "two": f"ldap:///{PEOPLE}??one?(uid=anna.berg)(uid=mei.zhang)",
    "nonsense-inside": f"ldap:///{PEOPLE}??one?((uid))",
    "not-a-dn": "ldap:///people??one?(uid=anna.berg)",
    "label": f"ldap:///{PEOPLE}??one?(uid=anna.berg) all of us",
    "nul": f"ldap:///{PEOPLE}??one?(uid=anna%00berg)",
    "half-escape": f"ldap:///{PEOPLE}??one?(uid=anna%2)",
    "http": "http://localhost/",
}
NO_URLS = ("critical", "bare", "open", "two", "nonsense-inside", "not-a-dn", "label", "nul",
           "half-escape", "http")

ENTRIES = (
    group("unique", ("groupOfUniqueNames", "postroomGroup"),
          uniqueMember=[person("anna.berg") + "#'0101'B", person("mei.zhang")])
    + group("posix", ("posixGroup", "postroomGroup"), gidNumber="1000",
            memberUid=["anna.berg", "bilal.haddad", "gone", "a)(uid=*"])
    + group("rfc822", member=person("mei.zhang"),
            rfc822MailMember=["Someone@Elsewhere.example", mail("sales"), mail("anna.berg")])
    + group("dynamic", ("groupOfURLs", "postroomGroup"),
            memberURL=[f"ldap:///{PEOPLE}??one?(title=Head%20of*)",
                       f"ldap:///{person('anna.berg')}"])
    + group("dynamic-nested", ("groupOfURLs", "postroomGroup"),
            memberURL=[f"ldap:///{GROUPS}??sub?(|(cn=leads)(cn=dynamic-nested))"])
    + group("dynamic-bad", ("groupOfURLs", "postroomGroup"),
            memberURL=[f"ldap:///{PEOPLE}??one?(uid=anna.berg)", "ldap:///x??near?"])
    + group("dynamic-far", ("groupOfURLs", "postroomGroup"),
            memberURL=[f"ldap://elsewhere.example/{PEOPLE}??one?(uid=anna.berg)"])
    + group("dynamic-gone", ("groupOfURLs", "postroomGroup"),
            memberURL=[f"ldap:///ou=gone,{BASE}??sub?(uid=*)", f"ldap:///{person('mei.zhang')}"])
    + group("no-members", ("groupOfURLs", "postroomGroup"))
    + group("with-empty", member=[f"cn=no-members,{GROUPS}", person("anna.berg")])
    + entry(f"cn=Odd\\, Name \\2B x,{PEOPLE}", ("inetOrgPerson",), cn="Odd, Name + x", sn="Odd",
            mail="odd@example.org")
    + group("odd-members", member=[f"CN=Odd\\2C Name \\+ x, {PEOPLE}",
                                   person("mei.zhang").upper(), person("anna.berg")])
    + entry(f"cn=Tom #'s desk,{PEOPLE}", ("inetOrgPerson",), cn="Tom #'s desk", sn="Tom",
            mail="tom@example.org")
    + group("hash-members", member=f"cn=Tom #'s desk,{PEOPLE}")
    + "".join(group(f"url-{n}", ("groupOfURLs", "postroomGroup"), memberURL=url)
              for n, url in ODD_URLS.items())
    + group("team", member=[person("anna.berg"), person("mei.zhang")])
    + group("team-all", member=[f"cn=team,{GROUPS}", person("bilal.haddad"), person("mei.zhang")])
    # forwarding
    + entry(person("fay"), ("inetOrgPerson", "otherMail"), uid="fay", cn="Fay", sn="Fay",
            mail=mail("fay"), mailForwardingAddress="fay@elsewhere.example")
    + entry(person("kim"), ("inetOrgPerson", "otherMail"), uid="kim", cn="Kim", sn="Kim",
            mail=mail("kim"), mailForwardingAddress=["kim@elsewhere.example", mail("Kim")])
    + entry(person("lou"), ("inetOrgPerson", "otherMail"), uid="lou", cn="Lou", sn="Lou",
            mail=mail("lou"), mailForwardingAddress="lou@elsewhere.example",
            mailDeliveryOption=["mailbox", "forward"])
    + entry(person("max"), ("inetOrgPerson", "otherMail"), uid="max", cn="Max", sn="Max",
            mail=mail("max"), mailForwardingAddress="max@elsewhere.example",
            mailDeliveryOption="mailbox")
    + entry(person("pia"), ("inetOrgPerson", "otherMail"), uid="pia", cn="Pia", sn="Pia",
            mail=mail("pia"), mailForwardingAddress=mail("paul"))
    + entry(person("paul"), ("inetOrgPerson", "otherMail"), uid="paul", cn="Paul", sn="Paul",
            mail=mail("paul"), mailForwardingAddress=[mail("pia"), mail("paul")])
    + group("forwarders", member=[person(u) for u in ("fay", "kim", "lou", "max")])
    # routing
    + "".join(entry(person(uid), ("inetOrgPerson", "inetLocalMailRecipient"), uid=uid, cn=uid, sn=uid,
                    mail=mail(uid), **more) for uid, more in {
        "here": {"mailHost": "mail.example.org"},
        "here2": {"mailHost": "Old-Name.example.org"},
        "there": {"mailHost": "mx2.example.org"},
        "there26": {"mailHost": "mx2.example.org:26"},
        "v6": {"mailHost": "[2001:db8::1]:26"},
        "odd-host": {"mailHost": "mx2.example.org, evil"},
        "rewritten": {"mailRoutingAddress": "rw@inside.example.net"},
        "relayed": {"mailHost": "mx2.example.org", "mailRoutingAddress": "relayed@mx2.example.org"},
        "self": {"mailLocalAddress": "self@inside.example.org",
                 "mailRoutingAddress": "self@inside.example.org"},
    }.items())
    # catch-all
    + entry(f"cn=catch,ou=aliases,{BASE}", ("postroomAlias",), cn="catch",
            mail="@caught.example", postroomForward=[mail("anna.berg"), "x@elsewhere.example"])
    + entry(f"cn=known,ou=aliases,{BASE}", ("postroomAlias",), cn="known",
            mail="known@caught.example", postroomForward=mail("mei.zhang"))
    + entry(f"cn=typo,ou=aliases,{BASE}", ("postroomAlias",), cn="typo", mail=mail("typo"),
            postroomForward=["misspelt@caught.example", "other@caught.example", "far@away.example"])
    # results
    + entry(person("drop"), ("inetOrgPerson", "otherMail"), uid="drop", cn="Drop", sn="Drop",
            mail=mail("drop"), maildrop=["one@inside.example", "two@inside.example"])
    + group("results", member=[person("drop"), person("anna.berg")])
    + group("terminal", member=person("anna.berg"), maildrop="stop@here.example")
    + entry(person("prox"), ("inetOrgPerson", "otherMail"), uid="prox", cn="Prox", sn="Prox",
            mail=mail("prox"), proxyAddresses=["SMTP:prox@example.org", "smtp:p.rox@example.org",
                                               "X500:/o=x"])
    # rights
    + entry(person("boss"), ("inetOrgPerson", "postroomAccount"), uid="boss", cn="Boss", sn="Boss",
            mail=mail("boss"), postroomSender=[person("mei.zhang"), mail("director"), "tove.nilsen"])
    + group("desk", member=[person("mei.zhang"), f"cn=leads,{GROUPS}"], sendAsMembers="TRUE",
            owner=person("anna.berg"))
    + group("desk-closed", member=[person("mei.zhang")], sendAsMembers="FALSE",
            owner="cn=gone,dc=example,dc=org")
    + group("assistants", member=person("boss"), postroomSender=f"cn=leads,{GROUPS}")
    + group("broken", member=person("boss"), postroomSender="ldap://elsewhere.example/o=x??sub?(a=b)")
    + "".join(group(f"post-{n}", member=person("mei.zhang"), owner=person("anna.berg"),
                    postroomPoster=values) for n, values in {
        "everyone": "everyone", "users": "users", "members": "members", "owner": "owner",
        "nobody": "nobody", "dn": person("carmen.ortega"), "group": f"cn=leads,{GROUPS}",
        "address": ["partner@far.example", mail("director")], "lost": "uid=gone,dc=example,dc=org",
        "garbage": "(&%$", "mixed": ["members", "partner@far.example"],
    }.items())
)


@pytest.fixture(scope="module")
def directory(work, certs):
    with Slapd(work / "groups-slapd", ca=certs.ca, cert=certs.cert, key=certs.key,
               overlays=("memberof",), settings=SCHEMA,
               database_settings="index memberOf,memberUid eq\n") as d:
        d.add(ENTRIES)
        yield d


MORE = """local_hosts = { "old-name.example.org" }
	catch_all_filter = "(mail=@%{domain})"
	group_send_as = "sendAsMembers\""""


@pytest.fixture(scope="module")
def auth(work, directory):
    with Authd(work / "groups-auth", directory_section(directory, extra=MORE),
               auth="failure_delay = 0\n\tcache_size = 0", settings='hostname = "mail.example.org"') as a:
        yield a


@pytest.fixture
def maps(auth):
    with auth.directory() as m:
        yield m


def mails(*uids):
    return sorted(mail(u) for u in uids)


# ---- groups ----

def test_unique_names_with_their_uid(maps):
    assert maps.addresses(mail("unique")) == mails("anna.berg", "mei.zhang")


def test_members_by_name(maps):
    assert maps.addresses(mail("posix")) == mails("anna.berg", "bilal.haddad")


def test_members_by_address(maps):
    sales = maps.addresses(mail("sales"))
    assert maps.addresses(mail("rfc822")) == sorted(
        sales + mails("anna.berg", "mei.zhang") + ["Someone@Elsewhere.example"])


def test_members_by_url(maps):
    heads = mails("bilal.haddad", "carmen.ortega", "david.okafor", "elena.petrova")
    assert maps.addresses(mail("dynamic")) == sorted(heads + mails("anna.berg"))
    assert maps.addresses(mail("dynamic-nested")) == mails("bilal.haddad", "carmen.ortega")


@pytest.mark.parametrize("name", ["dynamic-bad", "dynamic-far", "dynamic-gone"])
def test_a_url_that_cannot_be_asked_is_no_part_of_an_answer(maps, name):
    assert maps.lookup("alias", mail(name))[0] == "TEMP"


@pytest.mark.parametrize("name", ODD_URLS)
def test_odd_urls(maps, auth, name):
    """One that is none is never an empty group, and the log names it."""
    got = maps.lookup("alias", mail(f"url-{name}"))
    if name in NO_URLS:
        assert got[0] == "TEMP"
        auth.wait_log(f"key=url-{name}@example.org")
    else:
        assert got == ("OK", mail("odd" if name == "escaped-value" else "anna.berg"))


def test_a_group_without_members_stands_for_nobody(maps):
    assert maps.lookup("alias", mail("no-members"))[0] == "NOTFOUND"
    assert maps.addresses(mail("with-empty")) == mails("anna.berg")


def test_a_dn_that_looks_as_if_it_had_a_uid(maps):
    assert maps.addresses(mail("hash-members")) == ["tom@example.org"]


def test_spellings_of_a_dn(maps):
    assert maps.addresses(mail("odd-members")) == mails("anna.berg", "mei.zhang", "odd")


@pytest.mark.parametrize("batch", [0, 2, 1000])
def test_asked_together_or_alone_members_are_the_same(work, directory, maps, batch):
    names = ["sales", "everyone-outside", "leads", "odd-members", "red", "forwarders"]
    text = directory_section(directory, extra=f"member_batch = {batch}")
    with Authd(work / f"batch-{batch}", text) as a, a.directory() as m:
        for name in names:
            assert m.addresses(mail(name)) == maps.addresses(mail(name)), name


def test_many_members_take_few_searches(maps, directory):
    before = directory.log_text().count(" SRCH base=")
    assert len(maps.addresses(mail("sales"))) == 8
    time.sleep(0.1)
    assert directory.log_text().count(" SRCH base=") - before == 2


def test_members_by_memberof(work, directory, maps):
    """Where the entries name their groups, one search finds the members; the same for groups inside."""
    names = ["team", "team-all", "forwarders", "odd-members"]
    extra = 'members_filter = "(memberOf=%{dn})"'
    with Authd(work / "memberof", directory_section(directory, extra=extra)) as a, a.directory() as m:
        for name in names:
            assert m.addresses(mail(name)) == maps.addresses(mail(name)), name
        mark = len(directory.log_text())
        m.addresses(mail("team+again"))
        time.sleep(0.1)
        assert "memberOf=cn=team," in directory.log_text()[mark:]
        assert "uid=mei.zhang" not in directory.log_text()[mark:]


# ---- forwarding and routing ----

def test_forwarding(maps):
    assert maps.addresses(mail("fay")) == ["fay@elsewhere.example"]
    assert maps.addresses(mail("kim")) == ["kim@elsewhere.example", mail("kim")]
    assert maps.addresses(mail("lou")) == ["lou@elsewhere.example", mail("lou")]
    assert maps.lookup("alias", mail("max"))[0] == "NOTFOUND"
    assert maps.addresses(mail("forwarders")) == sorted(
        ["fay@elsewhere.example", "kim@elsewhere.example", "lou@elsewhere.example"]
        + mails("kim", "lou", "max"))


def test_forwarding_in_a_circle_keeps_the_copy(maps):
    assert maps.addresses(mail("pia")) == mails("paul")
    assert maps.lookup("alias", mail("paul"))[0] == "NOTFOUND"


def test_who_forwards_is_still_a_mailbox(maps):
    assert maps.lookup("mailbox", mail("fay")) == ("OK", mail("fay"))


def test_tags(maps):
    assert maps.addresses("director+lists@example.org") == [mail("anna.berg+lists")]
    assert maps.addresses("sales+lists@example.org") == maps.addresses(mail("sales"))
    assert maps.lookup("alias", "anna.berg+lists@example.org")[0] == "NOTFOUND"


def test_transports(maps):
    for uid in ("here", "here2", "anna.berg", "nobody"):
        assert maps.lookup("transport", mail(uid))[0] == "NOTFOUND", uid
    assert maps.lookup("transport", mail("there")) == ("OK", "smtp:[mx2.example.org]")
    assert maps.lookup("transport", mail("there+tag")) == ("OK", "smtp:[mx2.example.org]")
    assert maps.lookup("transport", mail("there26")) == ("OK", "smtp:[mx2.example.org]:26")
    assert maps.lookup("transport", mail("v6")) == ("OK", "smtp:[2001:db8::1]:26")
    assert maps.lookup("transport", mail("odd-host"))[0] == "TEMP"
    assert maps.lookup("transport", "relayed@mx2.example.org") == ("OK", "smtp:[mx2.example.org]")


def test_routing_addresses(maps):
    assert maps.addresses(mail("rewritten")) == ["rw@inside.example.net"]
    assert maps.addresses(mail("relayed")) == ["relayed@mx2.example.org"]
    assert maps.lookup("alias", mail("self"))[0] == "NOTFOUND"


# ---- catch-all ----

def test_catch_all(maps):
    caught = sorted([mail("anna.berg"), "x@elsewhere.example"])
    assert maps.addresses("whoever@caught.example") == caught
    assert maps.addresses("who+ever@caught.example") == caught
    assert maps.addresses("known@caught.example") == mails("mei.zhang")
    assert maps.addresses("known+tag@caught.example") == mails("mei.zhang")
    assert maps.addresses(mail("typo")) == sorted(caught + ["far@away.example"])
    assert maps.lookup("alias", "whoever@example.org")[0] == "NOTFOUND"


def test_nothing_is_caught_by_default(work, directory):
    with Authd(work / "no-catch", directory_section(directory)) as a, a.directory() as m:
        assert m.lookup("alias", "whoever@caught.example")[0] == "NOTFOUND"


# ---- results ----

def test_results(work, directory):
    extra = ('leaf_result = { "%{maildrop}", "%{uid}@%{domain|upper}", "%{uid}@mail.%{domain}" }'
             '\n\talias_result = { "%{maildrop|local}@copy.%{domain}" }')
    # an unknown modifier is refused at start, with the setting's name
    bad = extra.replace("domain|upper", "domain|twice")
    with pytest.raises(RuntimeError, match="leaf_result"):
        Authd(work / "results-bad", directory_section(directory, extra=bad)).start()
    extra = ('leaf_result = { "%{maildrop}", "%{uid}@mail.%{domain}" }')
    with Authd(work / "results", directory_section(directory, extra=extra)) as a, a.directory() as m:
        assert m.addresses(mail("results")) == ["anna.berg@mail.example.org", "one@inside.example",
                                                "two@inside.example"]
        assert m.addresses(mail("drop")) == ["one@inside.example", "two@inside.example"]
    extra = 'alias_result = { "%{maildrop|local}@copy.%{domain}" }'
    with Authd(work / "results2", directory_section(directory, extra=extra)) as a, a.directory() as m:
        assert m.addresses(mail("drop")) == ["one@copy.example.org", "two@copy.example.org"]
        assert m.addresses(mail("terminal")) == [mail("anna.berg"), "stop@copy.example.org"]


def test_terminal_results(work, directory):
    extra = 'terminal_result = { "%{maildrop}" }'
    with Authd(work / "terminal", directory_section(directory, extra=extra)) as a, a.directory() as m:
        assert m.addresses(mail("terminal")) == ["stop@here.example"]
        assert m.addresses(mail("results")) == sorted(["one@inside.example", "two@inside.example",
                                                       mail("anna.berg")])


def test_transport_results(work, directory):
    extra = 'transport_result = { "lmtp:inet:%{mailHost}:24", "smtp:[%{uid}.example.net]" }'
    with Authd(work / "transports", directory_section(directory, extra=extra)) as a, a.directory() as m:
        assert m.lookup("transport", mail("there")) == ("OK", "lmtp:inet:mx2.example.org:24")
        assert m.lookup("transport", mail("anna.berg")) == ("OK", "smtp:[anna.berg.example.net]")


def test_proxy_addresses(work, directory):
    extra = ('mailbox_filter = "(|(mail=%{address})(proxyAddresses=smtp:%{address}))"\n'
             '\talias_attributes = { mail, proxyAddresses }')
    with Authd(work / "proxy", directory_section(directory, extra=extra)) as a, a.directory() as m:
        assert m.addresses("P.Rox@example.org") == mails("prox")
        assert m.lookup("mailbox", "p.rox@example.org") == ("OK", mail("prox"))
        assert m.lookup("sender", "p.rox@example.org") == ("OK", mail("prox"))
        assert m.lookup("mailbox", "/o=x@example.org")[0] == "NOTFOUND"


# ---- who may send as it ----

def senders(maps, key):
    status, value = maps.lookup("sender", key)
    assert status in ("OK", "NOTFOUND"), (status, value)
    return sorted(value.split(",")) if status == "OK" else []


def test_senders(maps):
    assert senders(maps, mail("boss")) == mails("anna.berg", "boss", "mei.zhang", "tove.nilsen")
    assert senders(maps, mail("boss+tag")) == senders(maps, mail("boss"))
    assert senders(maps, mail("fay")) == mails("fay")  # wherever her mail is forwarded
    assert senders(maps, mail("sales")) == []
    assert senders(maps, mail("nobody")) == []
    assert senders(maps, "whoever@caught.example") == []


def test_members_of_a_group_as_senders(work, directory, maps):
    assert senders(maps, mail("desk")) == mails("bilal.haddad", "carmen.ortega", "mei.zhang")
    assert senders(maps, mail("desk-closed")) == []
    assert senders(maps, mail("assistants")) == mails("bilal.haddad", "carmen.ortega")
    extra = "group_send_as = yes"
    with Authd(work / "send-as", directory_section(directory, extra=extra)) as a, a.directory() as m:
        assert senders(m, mail("desk-closed")) == mails("mei.zhang")
        assert senders(m, mail("forwarders")) == mails("fay", "kim", "lou", "max")
        assert m.lookup("sender", mail("dynamic-gone"))[0] == "TEMP"


def test_a_delegation_that_cannot_be_read_is_temporary(maps):
    assert maps.lookup("sender", mail("broken"))[0] == "TEMP"


# ---- who may post ----

@pytest.mark.parametrize("name,may,may_not", [
    ("sales", ["who@ever.example", mail("anna.berg")], []),
    ("post-everyone", ["who@ever.example"], []),
    ("post-users", [mail("anna.berg"), mail("director"), mail("anna.berg+tag")],
     ["who@ever.example", mail("nobody"), "<>"]),
    ("post-members", [mail("mei.zhang")], [mail("anna.berg"), "who@ever.example"]),
    ("post-owner", [mail("anna.berg"), mail("director")], [mail("mei.zhang")]),
    ("post-nobody", [], [mail("anna.berg"), mail("mei.zhang")]),
    ("post-dn", [mail("carmen.ortega")], [mail("anna.berg")]),
    ("post-group", [mail("carmen.ortega"), mail("bilal.haddad")], [mail("anna.berg")]),
    ("post-address", ["Partner@far.example", mail("anna.berg")], [mail("mei.zhang")]),
    ("post-lost", [], [mail("anna.berg")]),
    ("post-garbage", [], [mail("anna.berg")]),
    ("post-mixed", [mail("mei.zhang"), "partner@far.example"], [mail("anna.berg")]),
])
def test_posting(maps, name, may, may_not):
    for sender in may:
        assert maps.lookup("post", f"{mail(name)} {sender}")[0] == "OK", sender
    for sender in may_not:
        assert maps.lookup("post", f"{mail(name)} {sender}")[0] == "PERM", sender


def test_posting_to_no_group(maps):
    assert maps.lookup("post", f"{mail('nobody')} {mail('anna.berg')}")[0] == "NOTFOUND"
    assert maps.lookup("post", f"{mail('mei.zhang')} {mail('anna.berg')}")[0] == "NOTFOUND"


def test_owners(maps):
    assert maps.lookup("owner", mail("desk")) == ("OK", mail("anna.berg"))
    for name in ("desk-closed", "sales", "nobody", "mei.zhang"):
        assert maps.lookup("owner", mail(name))[0] == "NOTFOUND", name


# ---- outages ----

def test_an_outage_is_never_an_answer(work, directory):
    with Authd(work / "outage", directory_section(directory, extra=MORE),
               auth="failure_delay = 0\n\tcache_size = 0") as a, a.directory() as m:
        assert m.addresses(mail("desk"))
        directory.stop()
        try:
            for table, key in (("alias", mail("desk")), ("alias", mail("nobody")),
                               ("alias", "whoever@caught.example"), ("sender", mail("boss")),
                               ("sender", mail("nobody")), ("transport", mail("there")),
                               ("post", f"{mail('post-members')} {mail('mei.zhang')}"),
                               ("post", f"{mail('post-everyone')} {mail('mei.zhang')}"),
                               ("owner", mail("desk"))):
                assert m.lookup(table, key)[0] == "TEMP", (table, key)
        finally:
            directory.start()
