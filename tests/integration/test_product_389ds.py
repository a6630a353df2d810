"""389 Directory Server."""
import pytest

from harness import product
from harness.ds389 import BASE, CROWD, SERVICE_PASSWORD, password_of, user_dn
from harness.instance import Instance

pytestmark = pytest.mark.waits


@pytest.mark.parametrize("uid,right,wrong", [
    ("carmen", "", "(49)"), ("dora", "(53); Account locked", "(53); Account locked"),
    ("fritz", "(49); Password expired", "(49)")])
def test_the_server_says_why(ds389, uid, right, wrong):
    """What the other tests build on."""
    assert right in ds389.bind(user_dn(uid), password_of(uid))
    assert (ds389.bind(user_dn(uid), password_of(uid)) == "") == (right == "")
    said = ds389.bind(user_dn(uid), "wrong")
    assert wrong in said and "expired" not in said


def test_the_server_keeps_member_of(ds389):
    found = ds389.search(f"(memberOf=cn=support,ou=groups,{BASE})", "uid")
    assert sorted(line.split()[1] for line in found.splitlines() if line.startswith("uid:")) \
        == ["anna", "bilal", "carmen"]


@pytest.fixture(scope="module", params=["starttls", "ldaps"])
def postroom(request, work, certs, ds389):
    uri = {"starttls": ds389.uri, "ldaps": ds389.ldaps_uri}[request.param]
    text = product.section("389ds", [uri], ds389.ca,
                           product.password_file(work, SERVICE_PASSWORD))
    with Instance(work / request.param, None, certs, directory_text=text) as i:
        yield i


ANNA = "anna.berg@example.org"


def test_the_log_says_what_the_client_does_not_hear(postroom):
    """First, before these passwords are remembered."""
    start = len(postroom.log_text())
    product.said(postroom, "dora", password_of("dora"))
    postroom.wait_log(r'ev=auth\.login [^\n]*res=deny [^\n]*detail="[^"]*inactivated', start=start)
    start = len(postroom.log_text())
    product.said(postroom, "gerda", password_of("gerda"))
    postroom.wait_log(r"ev=auth\.login [^\n]*res=ok [^\n]*password_expires=\d", start=start)


def test_the_settings_fit_the_directory(postroom):
    """The preset's filters find users, mailboxes and domains."""
    done = postroom.command("check", "--online", check=False)
    assert done.returncode == 0, done.stderr
    assert ": answers, " in done.stderr and "mailbox_filter" in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["anna", ANNA, "anna@example.org", "aberg@example.com"])
def test_every_name_is_the_same_user(postroom, name):
    assert product.who(postroom, name, password_of("anna")) == ANNA
    assert product.said(postroom, name, password_of("anna")) == "OK"


@pytest.mark.parametrize("name", ["nobody", "sales", "vertrieb@example.org", "anna@example.net"])
def test_names_of_nobody(postroom, name):
    assert product.said(postroom, name, password_of("anna")) == "AUTHENTICATIONFAILED"


@pytest.mark.parametrize("uid,code", [("dora", "AUTHENTICATIONFAILED"), ("fritz", "EXPIRED"),
                                      ("mona", "EXPIRED"), ("gerda", "OK")])
def test_what_is_said_after_the_right_password_only(postroom, uid, code):
    assert product.said(postroom, uid, password_of(uid)) == code
    assert product.said(postroom, uid, "wrong") == "AUTHENTICATIONFAILED"
    assert product.smtp_said(postroom, uid, password_of(uid)) == (235 if code == "OK" else 535)


def test_an_account_that_is_enabled_again_works_at_once(postroom, ds389):
    """That it was refused says nothing about the password."""
    assert product.said(postroom, "dora", password_of("dora")) == "AUTHENTICATIONFAILED"
    ds389.modify(user_dn("dora"), {"nsAccountLock": []})
    try:
        assert product.said(postroom, "dora", password_of("dora")) == "OK"
    finally:
        ds389.modify(user_dn("dora"), {"nsAccountLock": ["true"]})


def test_locked_is_said_to_nobody(postroom, ds389):
    assert product.said(postroom, "lena", password_of("lena")) == "OK"
    ds389.lock("lena")
    try:
        start = len(postroom.log_text())
        assert product.said(postroom, "lena", "wrong") == "AUTHENTICATIONFAILED"
        postroom.wait_log(r'ev=auth\.login [^\n]*reason="[^"]*locked', start=start)
    finally:
        ds389.modify(user_dn("lena"), {"accountUnlockTime": [], "passwordRetryCount": []})


def test_masters_by_group(postroom, ds389):
    dn = f"cn=mail-masters,ou=groups,{BASE}"
    ds389.add(f"dn: {dn}\nobjectClass: groupOfNames\ncn: mail-masters\nmember: {user_dn('carmen')}\n")
    try:
        assert product.said_as(postroom, "carmen", password_of("carmen"), ANNA) == "OK"
        assert product.said_as(postroom, "bilal", password_of("bilal"), ANNA) != "OK"
    finally:
        ds389.change(f"dn: {dn}\nchangetype: delete\n")


def test_mailboxes(postroom):
    for address in (ANNA, "anna@example.org", "ABERG@example.com", "anna+tag@example.org"):
        assert product.lookup(postroom, "mailbox", address) == ("OK", ANNA)
    for address in ("nobody@example.org", "sales@example.org"):
        assert product.lookup(postroom, "mailbox", address)[0] == "NOTFOUND"
    assert product.lookup(postroom, "domain", "example.org") == ("OK", "example.org")
    assert product.lookup(postroom, "domain", "example.net")[0] == "NOTFOUND"


def test_groups_and_forwarding(postroom):
    assert product.addresses(postroom, "bilal.haddad@example.org") == ["bilal@elsewhere.example.net"]
    sales = [ANNA, "bilal@elsewhere.example.net"]
    assert product.addresses(postroom, "sales@example.org") == sales
    assert product.addresses(postroom, "vertrieb@example.org") == sales
    assert product.addresses(postroom, "support@example.org") \
        == sorted(sales + ["carmen.ortega@example.org", "outside@example.net"])


def test_group_by_url(postroom):
    """More entries than the service account gets without pages."""
    assert product.addresses(postroom, "crowd@example.org") \
        == [f"p{i:03d}@example.org" for i in range(CROWD)]


def test_every_user_by_pages(postroom):
    assert len(product.users(postroom)) == CROWD + 8
