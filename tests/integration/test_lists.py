"""Mail to groups: who may write to them, from where; whose bounces come to whom."""
import base64
import hashlib
import hmac
import smtplib
import time
import uuid

import pytest

from harness.instance import Instance, directory_section, free_ports
from harness.slapd import Slapd
from test_sendmail import Sendmail
from test_smtp_submission import arrived

BASE = "dc=example,dc=org"
ANNA = "anna.berg@example.org"
BEN = "bilal.haddad@example.org"
MEI = "mei.zhang@example.org"
PARTNER = "partner@far.example.net"


def person(uid):
    return f"uid={uid},ou=people,{BASE}"


def group(name, members, **attributes):
    lines = "".join(f"member: {m}\n" for m in members) + "".join(
        f"{k}: {v}\n" for k, values in attributes.items() for v in values)
    return (f"dn: cn={name},ou=groups,{BASE}\nobjectClass: groupOfNames\nobjectClass: postroomGroup\n"
            f"cn: {name}\nmail: {name}@example.org\n{lines}\n")


def alias(name, targets):
    return (f"dn: cn={name},ou=aliases,{BASE}\nobjectClass: postroomAlias\ncn: {name}\n"
            f"mail: {name}@example.org\n" + "".join(f"postroomForward: {t}\n" for t in targets) + "\n")


ENTRIES = (group("open", [person("bilal.haddad")])
           + group("staff", [person("bilal.haddad"), person("mei.zhang")], postroomPoster=["users"])
           + group("board", [person("bilal.haddad")], postroomPoster=["members", PARTNER])
           + group("sealed", [person("bilal.haddad")], postroomPoster=["nobody"])
           + group("owned", [person("bilal.haddad"), f"cn=inner,ou=groups,{BASE}"],
                   owner=[person("anna.berg")])
           + group("inner", [person("mei.zhang")], owner=[person("carmen.ortega")]))
SECRETS = ["the secret of this year", "the secret of last year"]


@pytest.fixture(scope="module")
def lists_slapd(work, certs):
    with Slapd(work / "slapd", ca=certs.ca, cert=certs.cert, key=certs.key) as s:
        s.add(ENTRIES)
        yield s


@pytest.fixture(scope="module")
def lists(work, lists_slapd, certs):
    outside, inside = free_ports(2)
    secrets = work / "srs"
    secrets.write_text("\n".join(SECRETS) + "\n")
    secrets.chmod(0o600)
    i = Instance(work / "lists", lists_slapd, certs,
                 directory_text=directory_section(lists_slapd, extra='owner_attributes = { "owner" }'),
                 settings=f"""
queue {{
	reserve = 1M
	srs_domain = "srs.example.org"
	srs_secret = "{secrets}"
}}
smtp {{
	postmaster = "{ANNA}"
	relay_networks = {{ "127.0.0.2/32" }}
}}
alias "root" {{ to = {{ "{BEN}", "mei.zhang" }} }}
alias "cron" {{ to = {{ "root" }} }}
alias "press@example.org" {{ to = {{ "cron" }} }}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{outside}" }} tls = none }}
listen "inside" {{ protocol = smtp address = {{ "127.0.0.2:{inside}" }} tls = none }}
""")
    i.outside, i.inside = outside, inside
    i.start()
    yield i
    i.stop()


def mx(i, inside=False):
    if inside:
        return smtplib.SMTP("127.0.0.2", i.inside, timeout=120, source_address=("127.0.0.2", 0))
    return smtplib.SMTP("127.0.0.1", i.outside, timeout=120)


def answer(c, sender, rcpt):
    c.ehlo("client.example.net")
    c.mail(sender)
    code, text = c.rcpt(rcpt)
    c.rset()
    return code, text.decode()


@pytest.mark.parametrize("sender,group,code", [
    (PARTNER, "open", 250), ("", "open", 250), (ANNA, "open", 250),
    (PARTNER, "staff", 550), ("", "staff", 550),
    (ANNA, "staff", 550),              # so says a stranger
    (PARTNER, "board", 250), ("x@far.example.net", "board", 550), (BEN, "board", 550),
    (PARTNER, "board+tag", 250), (BEN, "board+tag", 550), (BEN, "\"board\"", 550),
    (PARTNER, "sealed", 550),
    (ANNA, "leads", 250),              # a group without rules
    (PARTNER, "postmaster", 250),
])
def test_strangers(lists, sender, group, code):
    with mx(lists) as c:
        got, text = answer(c, sender, f"{group}@example.org")
    assert got == code, text
    if code == 550:
        assert text == "5.7.2 You may not write to this list"


@pytest.mark.parametrize("sender,group,code", [
    (ANNA, "staff", 250), (PARTNER, "staff", 550), ("", "staff", 550), (BEN, "board", 250),
    (ANNA, "board", 550), (PARTNER, "board", 250), (ANNA, "sealed", 550),
])
def test_networks_of_ours(lists, sender, group, code):
    with mx(lists, inside=True) as c:
        got, text = answer(c, sender, f"{group}@example.org")
    assert got == code, text


@pytest.mark.parametrize("user,sender,group,code", [
    (ANNA, ANNA, "staff", 250), (ANNA, "director@example.org", "staff", 250), (ANNA, "", "staff", 250),
    (ANNA, ANNA, "board", 550), (BEN, BEN, "board", 250), (ANNA, ANNA, "sealed", 550),
])
def test_users(lists, user, sender, group, code):
    c = lists.smtp(user)
    got, text = answer(c, sender, f"{group}@example.org")
    c.quit()
    assert got == code, text


def test_local_programs(lists):
    s = uuid.uuid4().hex
    sendmail = Sendmail(lists)
    text = f"Subject: {s}\n\nx\n".encode()
    assert sendmail.run("-f", ANNA, "staff", text=text) == (0, "")
    arrived(lists, MEI, s)
    code, said = sendmail.run("-f", "cron@far.example.net", "staff", text=text)
    assert code == 69 and "You may not write to this list" in said


def test_the_rest_of_the_message_goes_on(lists):
    """One closed group among the recipients: the others get it."""
    s = uuid.uuid4().hex
    with mx(lists) as c:
        refused = c.sendmail(PARTNER, ["staff@example.org", MEI],
                             f"From: {PARTNER}\r\nSubject: {s}\r\n\r\nx\r\n")
    assert list(refused) == ["staff@example.org"] and refused["staff@example.org"][0] == 550
    arrived(lists, MEI, s)


def test_silent_directory_is_451(work, certs, make_instance):
    with Slapd(work / "slapd-away", ca=certs.ca, cert=certs.cert, key=certs.key) as s:
        s.add(ENTRIES)
        port, = free_ports(1)
        i = make_instance(f"""
smtp {{
	postmaster = "{ANNA}"
}}
auth {{
	default_domain = "example.org"
	cache_ttl = 0
	cache_negative_ttl = 0
}}
listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} tls = none }}
""", slapd=s)
        with smtplib.SMTP("127.0.0.1", port, timeout=180) as c:
            assert answer(c, PARTNER, "staff@example.org")[0] == 550
            s.stop()
            assert answer(c, PARTNER, "staff@example.org")[0] == 451


@pytest.mark.parametrize("name,sender,want", [
    ("owned", PARTNER, ANNA), ("owned", "", ""), ("inner", PARTNER, "carmen.ortega@example.org"),
    ("open", PARTNER, PARTNER)])
def test_owner_is_the_sender(lists, name, sender, want):
    s = uuid.uuid4().hex
    with mx(lists) as c:
        c.sendmail(sender, [f"{name}@example.org"], f"From: {PARTNER}\r\nSubject: {s}\r\n\r\nx\r\n")
    for user in {"owned": [BEN, MEI], "inner": [MEI], "open": [BEN]}[name]:
        assert arrived(lists, user, s).startswith(f"Return-Path: <{want}>\r\n".encode())


def test_list_and_member_are_one_recipient(lists):
    s = uuid.uuid4().hex
    with mx(lists) as c:
        c.sendmail(PARTNER, [BEN, "owned@example.org"],
                   f"From: {PARTNER}\r\nSubject: {s}\r\n\r\nx\r\n")
    arrived(lists, BEN, s)
    assert arrived(lists, MEI, s).startswith(f"Return-Path: <{ANNA}>".encode())


def srs0(address, secret=SECRETS[0], age=0):
    """As the queue makes it, by another hand."""
    local, domain = address.split("@")
    day = int(time.time()) // 86400 - age
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    text = f"{digits[day // 32 % 32]}{digits[day % 32]}={domain}={local}"
    mac = hmac.new(secret.encode(), text.lower().encode(), hashlib.sha1).digest()
    return f"SRS0={base64.b64encode(mac)[:8].decode()}={text}@srs.example.org"


@pytest.mark.parametrize("secret", SECRETS)
def test_srs_leads_back(lists, secret):
    s = uuid.uuid4().hex
    address = srs0(BEN, secret, age=3)
    for rcpt in (address, address.lower(), address.replace("srs.example", "SRS.Example")):
        s = uuid.uuid4().hex
        with mx(lists) as c:
            c.sendmail("", [rcpt], f"Subject: {s}\r\n\r\nbounce\r\n")
        arrived(lists, BEN, s)


@pytest.mark.parametrize("address", [
    srs0(BEN, "a stranger's secret"), srs0(BEN, age=30), srs0(BEN).replace("bilal", "anna"),
    "SRS0=@srs.example.org", "ben@srs.example.org"])
def test_srs_of_others_is_refused(lists, address):
    with mx(lists) as c:
        code, text = answer(c, "", address)
    assert code == 550, text


@pytest.mark.parametrize("address,want", [
    ("root@example.org", [BEN, MEI]), ("Root+disk@example.org", [BEN, MEI]),
    ("root@example.com", [BEN, "mei.zhang@example.com"]), ("cron@example.org", [BEN, MEI]),
    ("press@example.org", [BEN, MEI])])
def test_aliases_of_the_settings(lists, address, want):
    assert sorted(lists.command("lookup", "alias", address).stdout.strip().split(",")) == want


def test_alias_counts_in_domains_of_ours_only(lists):
    assert lists.command("lookup", "alias", "root@far.example.net", check=False).returncode != 0
    with mx(lists) as c:
        assert answer(c, PARTNER, "root@far.example.net")[0] == 550
        assert answer(c, PARTNER, "root@example.org")[0] == 250
        assert answer(c, PARTNER, "rooty@example.org")[0] == 550


def test_mail_to_root(lists):
    """What cron does."""
    s = uuid.uuid4().hex
    assert Sendmail(lists).run("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root",
                               text=f"To: root\nSubject: {s}\n\nx\n".encode()) == (0, "")
    assert b"From: \"CronDaemon\" <" in arrived(lists, BEN, s)
    arrived(lists, MEI, s)
