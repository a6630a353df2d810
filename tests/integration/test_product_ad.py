"""Active Directory, as Samba's domain controller is one."""
import os
import subprocess

import pytest

from harness import product
from harness import samba_ad as ad
from harness.authd import MapClient
from harness.instance import Instance

pytestmark = [pytest.mark.waits, pytest.mark.skipif(
    os.getuid() != 0, reason="the domain controller's ports need root")]


@pytest.mark.parametrize("account,code", [("aberg", None), ("dora", "533"), ("emil", "701"),
                                          ("fritz", "532"), ("mona", "773"), ("hugo", "530"),
                                          ("wanda", "531")])
def test_the_controller_says_why(samba_ad, account, code):
    """What the other tests build on: the sub-code follows the right password only."""
    good = samba_ad.bind(f"{ad.NETBIOS}\\{account}", ad.password_of(account))
    if code is None:
        assert good == ""
    else:
        assert f"data {code}," in good
    assert "data 52e," in samba_ad.bind(f"{ad.NETBIOS}\\{account}", "wrong")


def test_the_controller_takes_tickets(samba_ad, tmp_path):
    env = {**os.environ, "KRB5_CONFIG": str(samba_ad.krb5_conf), "KRB5CCNAME": str(tmp_path / "cc"),
           "LDAPTLS_CACERT": str(samba_ad.ca)}
    keytab = samba_ad.keytab(ad.SERVICE, tmp_path / "keytab")
    subprocess.run(["kinit", "-k", "-t", keytab, f"{ad.SERVICE}@{ad.REALM}"], env=env, check=True,
                   timeout=120)
    done = subprocess.run(["ldapsearch", "-Q", "-LLL", "-Y", "GSSAPI", "-H", samba_ad.uri, "-b",
                           ad.SERVICE_DN, "-s", "base", "sAMAccountName"], env=env, timeout=120,
                          capture_output=True, text=True)
    assert f"sAMAccountName: {ad.SERVICE}" in done.stdout, done.stderr


@pytest.fixture(scope="module", params=["starttls", "ldaps"])
def postroom(request, work, certs, samba_ad):
    uri = {"starttls": samba_ad.uri, "ldaps": samba_ad.ldaps_uri}[request.param]
    text = product.section("active-directory", [uri], samba_ad.ca,
                           product.password_file(work, ad.password_of(ad.SERVICE)))
    with Instance(work / request.param, None, certs, directory_text=text) as i:
        yield i


PASSWORD = ad.password_of("aberg")
ANNA = "anna.berg@example.org"


def test_the_settings_fit_the_directory(postroom):
    """The preset's filters find users, mailboxes and domains."""
    done = postroom.command("check", "--online", check=False)
    assert done.returncode == 0, done.stderr
    assert ": answers, " in done.stderr and "mailbox_filter" in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["aberg", "ABerg", "EXAMPLE\\aberg", "example\\aberg",
                                  "anna@corp.example.org", ANNA, "anna@example.org",
                                  "aberg@example.com"])
def test_every_name_is_the_same_user(postroom, name):
    assert product.who(postroom, name, PASSWORD) == ANNA
    assert product.said(postroom, name, PASSWORD) == "OK"


@pytest.mark.parametrize("name", ["anna", "OTHER\\aberg", "sip:anna.berg@example.org", "aberg@corp.example.org",
                                  "anna@example.net", "sales", "sales@example.org", "DC1$"])
def test_names_of_nobody(postroom, name):
    assert product.said(postroom, name, PASSWORD) == "AUTHENTICATIONFAILED"


def test_user_without_mail_is_named_by_principal(postroom):
    assert product.who(postroom, "nomail", ad.password_of("nomail")) == "nomail@corp.example.org"


@pytest.mark.parametrize("account,code", [
    ("dora", "CONTACTADMIN"), ("emil", "CONTACTADMIN"), ("fritz", "EXPIRED"), ("mona", "EXPIRED"),
    ("hugo", "AUTHORIZATIONFAILED"), ("wanda", "AUTHORIZATIONFAILED")])
def test_what_is_said_after_the_right_password_only(postroom, account, code):
    assert product.said(postroom, account, ad.password_of(account)) == code
    assert product.said(postroom, account, "wrong") == "AUTHENTICATIONFAILED"
    assert product.smtp_said(postroom, account, ad.password_of(account)) == 535


def test_locked_is_said_to_nobody(postroom, samba_ad):
    dn = ad.user_dn("Lena Lock")
    assert product.said(postroom, "lena", ad.password_of("lena")) == "OK"
    samba_ad.lock("lena")
    try:
        before = len(postroom.log_text())
        # another password than the one remembered, and the right one
        assert product.said(postroom, "lena", "wrong") == "AUTHENTICATIONFAILED"
        postroom.wait_log(r'ev=auth\.login .*res=deny.*locked', start=before)
    finally:
        samba_ad.unlock(dn)


def test_repeated_wrong_passwords_lock_nobody(postroom, samba_ad):
    for _ in range(ad.LOCKOUT + 2):
        assert product.said(postroom, "cortega", "same-old-password") == "AUTHENTICATIONFAILED"
    assert samba_ad.bind("EXAMPLE\\cortega", ad.password_of("cortega")) == ""


def test_changed_password(postroom, samba_ad):
    dn = ad.user_dn("Bilal Haddad")
    samba_ad.set_password(dn, "Another-1-secret")
    try:
        assert product.said(postroom, "bhaddad", "Another-1-secret") == "OK"
    finally:
        samba_ad.set_password(dn, ad.password_of("bhaddad"))


def test_masters_by_group(postroom):
    assert product.said_as(postroom, "cortega", ad.password_of("cortega"), ANNA) == "OK"
    assert product.said_as(postroom, "bhaddad", ad.password_of("bhaddad"), ANNA) != "OK"


def test_mailboxes_and_proxy_addresses(postroom):
    for address in (ANNA, "anna@example.org", "ABERG@example.com", "anna+tag@example.org"):
        assert product.lookup(postroom, "mailbox", address) == ("OK", ANNA)
    for address in ("nobody@example.org", "sales@example.org", "anna@corp.example.org"):
        assert product.lookup(postroom, "mailbox", address)[0] == "NOTFOUND"
    assert product.lookup(postroom, "mailbox", "nomail@corp.example.org")[0] == "OK"
    assert product.lookup(postroom, "alias", "anna@example.org") == ("OK", ANNA)


def test_domains(postroom):
    assert product.lookup(postroom, "domain", "example.com") == ("OK", "example.com")
    assert product.lookup(postroom, "domain", "example.net")[0] == "NOTFOUND"


def test_groups(postroom):
    sales = [ANNA, "bilal.haddad@example.org"]
    assert product.addresses(postroom, "sales@example.org") == sales
    assert product.addresses(postroom, "vertrieb@example.org") == sales
    assert set(sales) | {"carmen.ortega@example.org"} <= set(
        product.addresses(postroom, "support@example.org"))
    assert product.addresses(postroom, "red@example.org") == sales
    assert product.addresses(postroom, "blue@example.org") == sales


def test_group_of_two_thousand(postroom):
    with MapClient(postroom.socket("directory")) as m:
        got = m.addresses("everyone@example.org", table="alias-large")
    assert got == [f"p{i:04d}@example.org" for i in range(ad.CROWD)]


def test_senders(postroom):
    assert product.lookup(postroom, "sender", "anna@example.org") == ("OK", ANNA)
    assert product.addresses(postroom, "sales@example.org", "sender") \
        == [ANNA, "bilal.haddad@example.org"]
    assert product.lookup(postroom, "sender", "nobody@example.org")[0] == "NOTFOUND"


def test_delegates_and_posting_rights_of_exchange(postroom):
    assert product.addresses(postroom, "bilal@example.org", "sender") \
        == ["bilal.haddad@example.org", "carmen.ortega@example.org"]
    assert product.lookup(postroom, "post", f"board@example.org {ANNA}") == ("OK", "ok")
    assert product.lookup(postroom, "post", "board@example.org carmen.ortega@example.org")[0] \
        == "PERM"
    assert product.lookup(postroom, "owner", "board@example.org") \
        == ("OK", "bilal.haddad@example.org")


def test_forwarding_of_exchange(postroom):
    assert product.addresses(postroom, "olga@example.org") \
        == ["carmen.ortega@example.org", "olga@example.org"]
    assert product.addresses(postroom, "paul@example.org") == ["paul@elsewhere.example.net"]


def test_referrals_of_the_root_are_not_followed(postroom, samba_ad):
    """Each search above began at the root; nothing of it looked for the names in its referrals."""
    assert samba_ad.search("(sAMAccountName=nobody)", "cn").count("# refldap") > 0
    assert product.lookup(postroom, "mailbox", "x.nobody@example.org")[0] == "NOTFOUND"
    assert "CN=Configuration" not in postroom.log_text()
    assert "res=temp" not in postroom.log_text()
