"""Who is a user of a directory, and what its entry says: bases, names, policy, keys, masters."""
import base64
import hashlib
import hmac
import os
import time

import pytest

from harness import slapd as ldap
from harness.authd import Authd
from harness.instance import directory_section, patient

ANNA, BILAL, CARMEN, DAVID = "anna.berg", "bilal.haddad", "carmen.ortega", "david.okafor"
GOOD = ldap.password_of


def section(slapd, more, name="main", base=ldap.BASE):
    (slapd.dir / "service.password").exists() or directory_section(slapd)
    return f"""directory "{name}" {{
	uris = {{ "{slapd.uri}" }}
	starttls = no
	base = "{base}"
	bind_dn = "{ldap.SERVICE_DN}"
	bind_password = "{slapd.dir}/service.password"
	{patient(more)}
	{more}
}}
"""


@pytest.fixture
def change(slapd):
    """change(uid, {attribute: [values]}), taken back after the test."""
    changed = {}

    def make(uid, attributes):
        changed.setdefault(uid, set()).update(attributes)
        slapd.modify(ldap.user_dn(uid), attributes)

    yield make
    for uid, names in changed.items():
        slapd.modify(ldap.user_dn(uid), {n: [] for n in names})


def login(a, name, password=None, **kw):
    with a.auth() as c:
        return c.plain(name, GOOD(name) if password is None else password, **kw)


def wait_for(condition, timeout=180):
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


# attributes that every inetOrgPerson may have, for what a mail schema would have
POLICY = """enabled_attribute = "employeeType"
	enabled_values = { "active" }
	disabled_values = { "disabled" }
	expiry_attribute = "employeeNumber"
	expiry_format = "auto"
	services_attribute = "carLicense"
	networks_attribute = "departmentNumber"
	quota_attribute = "roomNumber"
	display_name_attribute = "cn"
	userdb_attributes = { "title=title" }
"""


@pytest.mark.parametrize("mode", ["filter", "template"])
@pytest.mark.parametrize("attributes,params,reason", [
    ({"employeeType": ["disabled"]}, "service=imap", "account disabled"),
    ({"employeeType": ["active"]}, "service=imap", None),
    ({"employeeNumber": ["20200101000000Z"]}, "service=imap", "account expired"),
    ({"employeeNumber": ["132857856000000000"]}, "service=imap", "account expired"),
    ({"employeeNumber": ["18000"]}, "service=imap", "account expired"),
    ({"employeeNumber": ["20990101000000Z"]}, "service=imap", None),
    ({"carLicense": ["imap"]}, "service=imap", None),
    ({"carLicense": ["imap"]}, "service=smtp", "not allowed for this service"),
    ({"carLicense": ["!smtp"]}, "service=smtp", "not allowed for this service"),
    ({"carLicense": ["!smtp"]}, "service=imap", None),
    ({"departmentNumber": ["192.0.2.0/24", "2001:db8::/32"]}, "service=imap\trip=192.0.2.9", None),
    ({"departmentNumber": ["192.0.2.0/24"]}, "service=imap\trip=198.51.100.1",
     "not allowed from this network"),
])
def test_policy(start, slapd, change, mode, attributes, params, reason):
    more = POLICY
    if mode == "template":
        more += f'user_dn = "uid=%{{local}},ou=people,{ldap.BASE}"\n'
    change(ANNA, attributes)
    a = start(section(slapd, more))
    right = login(a, ANNA, params=params + "\tsecured")
    assert (right.verb == "OK") == (reason is None), right
    wrong = login(a, ANNA, "wrong", params=params + "\tsecured")
    assert wrong.verb == "FAIL" and "code" not in wrong.fields and "authz" not in wrong.fields
    if reason:
        a.wait_log(f'reason="{reason}"')
        code = "user_disabled" if reason.startswith("account") else "authz_fail"
        assert not right.temporary and right.fields["code"] == code


@pytest.mark.parametrize("attributes", [
    {"employeeType": ["perhaps"]}, {"employeeNumber": ["soon"]}, {"employeeNumber": ["0"]},
    {"carLicense": ["imap", "everything*"]}, {"departmentNumber": ["everywhere"]}])
def test_what_is_not_understood_is_not_allowed(start, slapd, change, attributes):
    change(ANNA, attributes)
    a = start(section(slapd, POLICY))
    r = login(a, ANNA)
    assert r.verb == "FAIL" and not r.temporary
    name = next(iter(attributes))
    a.wait_log(f"{name}: ")
    with a.directory() as d:  # and mail waits for the administrator
        assert d.lookup("mailbox", f"{ANNA}@example.org")[0] in ("TEMP", "TIMEOUT")
    assert login(a, BILAL).verb == "OK"


def test_what_the_entry_says_reaches_userdb(start, slapd, change):
    change(ANNA, {"roomNumber": ["2G"], "title": ["a\tb"]})
    a = start(section(slapd, POLICY))
    with a.userdb() as u:
        verb, user, fields = u.user(ANNA)
    assert verb == "USER" and user == f"{ANNA}@example.org"
    assert fields["title"] == "a\tb"


def test_template_without_reading_is_one_operation(start, slapd):
    a = start(section(slapd, f"""user_dn = "uid=%{{local}},ou=people,{ldap.BASE}"
	user_dn_read = no"""))
    assert login(a, ANNA).verb == "OK"
    before = slapd.log_text().count(" SRCH ")
    assert login(a, BILAL).verb == "OK"
    assert slapd.log_text().count(" SRCH ") == before


@pytest.mark.parametrize("more,base,works", [
    ('user_base = "ou=people,%{base}"\nscope = one', ldap.BASE, True),
    ("scope = one", ldap.BASE, False),
    ("scope = one", f"ou=people,{ldap.BASE}", True),
    ('user_base = "ou=groups,%{base}"', ldap.BASE, False),
    ("", "%{domain|dc}", True),
    ("scope = base", f"uid={ANNA},ou=people,{ldap.BASE}", True),
    ("scope = base", f"uid={BILAL},ou=people,{ldap.BASE}", False),
])
def test_bases_and_scopes(start, slapd, more, base, works):
    a = start(section(slapd, more, base=base))
    r = login(a, ANNA)
    assert (r.verb == "OK") == works and not r.temporary


def test_a_base_that_is_not_there_is_no_user(start, slapd):
    a = start(section(slapd, 'user_base = "ou=%{domain},%{base}"'))
    r = login(a, ANNA)
    assert r.verb == "FAIL" and not r.temporary


def test_modifiers(start, slapd):
    a = start(section(slapd, 'user_filter = "(&(mail=%{user|first:4}*)(uid=%{local}))"'))
    assert login(a, ANNA).verb == "OK"
    wait_for(lambda: f'filter="(&(mail=anna*)(uid={ANNA}))"' in slapd.log_text())


def test_netbios_names(start, slapd):
    other = section(slapd, 'user_filter = "(&(uid=%{user})(cn=nobody))"\n\t'
                    'netbios_domain = "OTHER"', "other")
    a = start(section(slapd, 'netbios_domain = "EXAMPLE"'), other)
    r = login(a, f"EXAMPLE\\{ANNA}", GOOD(ANNA))
    assert r.verb == "OK" and r.fields["user"] == f"{ANNA}@example.org"
    assert login(a, f"example\\{ANNA}", GOOD(ANNA)).verb == "OK"
    for name in (f"OTHER\\{ANNA}", f"NOBODY\\{ANNA}", f"EXAMPLE\\\\{ANNA}", f"\\{ANNA}",
                 f"EXAMPLE\\{ANNA}@example.org"):
        r = login(a, name, GOOD(ANNA))
        assert r.verb == "FAIL" and not r.temporary, name
    with a.directory() as d:  # no address is spelt like that
        assert d.lookup("mailbox", f"EXAMPLE\\{ANNA}@example.org")[0] == "NOTFOUND"


def test_login_domains_are_no_mail_domains(start, slapd, change):
    change(ANNA, {"title": [f"{ANNA}@corp.internal"]})
    a = start(section(slapd, """domains = { "example.org" }
	login_domains = { "corp.internal" }
	user_filter = "(|(uid=%{user})(title=%{user}))"
"""))
    r = login(a, f"{ANNA}@corp.internal", GOOD(ANNA))
    assert r.verb == "OK" and r.fields["user"] == f"{ANNA}@example.org"
    with a.directory() as d:
        assert d.lookup("domain", "example.org")[0] == "OK"
        assert d.lookup("domain", "corp.internal")[0] == "NOTFOUND"


def test_fallback_of_the_one_name(start, slapd):
    a = start(section(slapd, """user_attribute = "title"
	user_attribute_fallback = "uid" """))
    r = login(a, ANNA)
    assert r.verb == "OK" and r.fields["user"] == f"{ANNA}@example.org"


def test_two_matches_are_named_in_the_log(start, slapd):
    a = start(section(slapd, 'user_filter = "(|(uid=%{user})(uid=bilal.haddad))"'))
    r = login(a, ANNA)
    assert r.verb == "FAIL" and not r.temporary
    a.wait_log("more than one entry matches")
    line = next(x for x in a.log_text().splitlines() if "more than one entry" in x)
    assert ldap.user_dn(ANNA) in line and ldap.user_dn(BILAL) in line
    assert login(a, BILAL).verb == "OK"


@pytest.mark.parametrize("value", ["*", ")(uid=*", "*)(&", "a\\2a", "a,b", "a b"])
def test_services_cannot_be_injected(start, slapd, value):
    """The name of the service comes from whoever may use the socket; it is escaped all the same."""
    a = start(section(slapd, 'user_filter = "(&(uid=%{user})(cn=%{service}))"'))
    r = login(a, ANNA, params=f"service={value}\tsecured")
    assert r.verb == "FAIL"
    log = slapd.log_text().splitlines()
    for line in log:
        if " SRCH " in line and f"uid={ANNA}" in line and "filter=" in line:
            assert "cn=*)" not in line


# ---- SCRAM ----

def scram_keys(password, salt, iterations, name):
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
    client = hmac.new(salted, b"Client Key", name).digest()
    server = hmac.new(salted, b"Server Key", name).digest()
    return hashlib.new(name, client).digest(), server


def scram_value(password, name="sha256", form="dovecot"):
    salt = os.urandom(12)
    stored, server = scram_keys(password, salt, 4096, name)
    b64 = lambda x: base64.b64encode(x).decode()
    scheme = "SCRAM-SHA-256" if name == "sha256" else "SCRAM-SHA-1"
    if form == "dovecot":
        return f"{{{scheme}}}4096,{b64(salt)},{b64(stored)},{b64(server)}"
    return f"{scheme}$4096:{b64(salt)}${b64(stored)}:{b64(server)}"


def scram_login(a, user, password, mechanism="SCRAM-SHA-256", name="sha256"):
    """The client's side of RFC 5802; also checks that the server knew the keys."""
    with a.auth() as c:
        bare = f"n={user},r=fyko+d2lbbFgONRv9qkxdawL"
        c.begin(mechanism, f"n,,{bare}".encode())
        r = c.reply()
        if r.verb != "CONT":
            return r
        first = base64.b64decode(r.rest[0]).decode()
        got = dict(x.split("=", 1) for x in first.split(","))
        salt, count = base64.b64decode(got["s"]), int(got["i"])
        without = f"c=biws,r={got['r']}"
        message = f"{bare},{first},{without}".encode()
        salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, count)
        key = hmac.new(salted, b"Client Key", name).digest()
        signature = hmac.new(hashlib.new(name, key).digest(), message, name).digest()
        proof = base64.b64encode(bytes(x ^ y for x, y in zip(key, signature))).decode()
        c.send(f"CONT\t{r.id}\t" + base64.b64encode(f"{without},p={proof}".encode()).decode())
        r = c.reply()
        if r.verb == "CONT":
            server = hmac.new(salted, b"Server Key", name).digest()
            want = base64.b64encode(hmac.new(server, message, name).digest()).decode()
            assert base64.b64decode(r.rest[0]).decode() == f"v={want}"
            c.send(f"CONT\t{r.id}\t")
            r = c.reply()
        return r


SCRAM = 'sasl_mechanisms = { "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-1" }\n\tfailure_delay = 0'


@pytest.mark.parametrize("form", ["dovecot", "rfc5803"])
@pytest.mark.parametrize("mechanism,name", [("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-1", "sha1")])
def test_scram_with_keys_of_the_directory(start, slapd, change, form, mechanism, name):
    change(DAVID, {"description": [scram_value("scram-secret", name, form)]})
    a = start(section(slapd, 'secret_attributes = { "description" }'), auth=SCRAM)
    r = scram_login(a, DAVID, "scram-secret", mechanism, name)
    assert r.verb == "OK" and r.fields["user"] == f"{DAVID}@example.org"
    assert scram_login(a, DAVID, "wrong", mechanism, name).verb == "FAIL"
    assert scram_login(a, ANNA, "x", mechanism, name).verb == "FAIL"  # no keys
    assert scram_login(a, "nobody", "x", mechanism, name).verb == "FAIL"
    value = slapd.log_text()
    assert "scram-secret" not in a.log_text() and "scram-secret" not in value


def test_scram_is_bound_by_policy(start, slapd, change):
    change(DAVID, {"description": [scram_value("scram-secret")], "employeeType": ["disabled"]})
    a = start(section(slapd, POLICY + 'secret_attributes = { "description" }'), auth=SCRAM)
    assert scram_login(a, DAVID, "scram-secret").verb == "FAIL"
    a.wait_log('reason="account disabled"')


# ---- masters ----

def test_masters(start, slapd, change):
    change(ANNA, {"title": ["mail master"]})
    a = start(section(slapd, 'master_filter = "(title=mail master)"'))
    r = login(a, ANNA, GOOD(ANNA), authzid=BILAL)
    assert r.verb == "OK" and r.fields["user"] == f"{BILAL}@example.org"
    r = login(a, ANNA, "wrong", authzid=BILAL)
    assert r.verb == "FAIL" and "authz" not in r.fields
    r = login(a, CARMEN, GOOD(CARMEN), authzid=BILAL)
    assert r.verb == "FAIL" and not r.temporary
    a.wait_log('reason="may not act as another user"')
    assert login(a, CARMEN, GOOD(CARMEN), authzid=f"{CARMEN}@example.org").verb == "OK"


def test_nobody_is_a_master_by_default(start, slapd):
    a = start(section(slapd, ""))
    assert login(a, ANNA, GOOD(ANNA), authzid=BILAL).verb == "FAIL"
