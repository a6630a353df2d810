"""FreeIPA's preset at a 389 Directory Server with entries as FreeIPA has them. This is not FreeIPA:
Debian 12 has no package of it."""
import pytest

from harness import product
from harness.ds389 import BASE, SERVICE_PASSWORD
from harness.instance import Instance

pytestmark = pytest.mark.waits

USERS = f"cn=users,cn=accounts,{BASE}"
GROUPS = f"cn=groups,cn=accounts,{BASE}"
SERVICE = f"uid=postroom,cn=sysaccounts,cn=etc,{BASE}"
# passwordMustChange is on
NOT_NEW = "passwordExpirationTime: 20380101000000Z\n"


def container(dn):
    return f"dn: {dn}\nobjectClass: nsContainer\ncn: {dn.split(',')[0][3:]}\n\n"


def person(uid, base=USERS, more=""):
    return (f"dn: uid={uid},{base}\nobjectClass: inetOrgPerson\nobjectClass: mailRecipient\n"
            f"objectClass: krbPrincipalAux\nuid: {uid}\ncn: {uid}\nsn: {uid}\n"
            f"mail: {uid}@ipa.example.org\nkrbPrincipalName: {uid}@IPA.EXAMPLE.ORG\n"
            f"userPassword: secret-{uid}\n{NOT_NEW}{more}\n")


@pytest.fixture(scope="module")
def entries(ds389):
    """Users a second time below cn=compat, as FreeIPA shows them."""
    dns = [f"cn=accounts,{BASE}", USERS, GROUPS, f"cn=etc,{BASE}", f"cn=sysaccounts,cn=etc,{BASE}",
           f"cn=compat,{BASE}", f"cn=users,cn=compat,{BASE}"]
    ds389.add("".join(map(container, dns))
              + f"dn: {SERVICE}\nobjectClass: account\nobjectClass: simpleSecurityObject\n"
                f"uid: postroom\nuserPassword: {SERVICE_PASSWORD}\n{NOT_NEW}\n"
              + person("alba", more="mailAlternateAddress: a@ipa.example.org\n")
              + person("alba", f"cn=users,cn=compat,{BASE}")
              + person("otto", more="nsAccountLock: TRUE\n")
              + person("edda", more="krbPrincipalExpiration: 20200101000000Z\n")
              + f"dn: cn=team,{GROUPS}\nobjectClass: groupOfNames\nobjectClass: mailGroup\ncn: team\n"
                f"mail: team@ipa.example.org\nmember: uid=alba,{USERS}\n\n"
                f"dn: cn=all,{GROUPS}\nobjectClass: groupOfNames\nobjectClass: mailGroup\ncn: all\n"
                f"mail: all@ipa.example.org\nmember: cn=team,{GROUPS}\nmember: uid=otto,{USERS}\n")
    aci = (f"aci: (targetattr != \"userPassword\")(version 3.0; acl \"ipa\"; "
           f"allow (read, search, compare) userdn = \"ldap:///{SERVICE}\";)")
    ds389.change(f"dn: {BASE}\nchangetype: modify\nadd: aci\n{aci}\n-\n")
    yield
    ds389.change(f"dn: {BASE}\nchangetype: modify\ndelete: aci\n{aci}\n-\n")
    for name in ("accounts", "etc", "compat"):
        ds389.delete_tree(f"cn={name},{BASE}")


@pytest.fixture(scope="module")
def postroom(work, certs, ds389, entries):
    text = product.section("freeipa", [ds389.uri], ds389.ca,
                           product.password_file(work, SERVICE_PASSWORD))
    auth = 'auth {\n\tdefault_domain = "ipa.example.org"\n\tfailure_delay = 0\n}\n'
    with Instance(work / "postroom", None, certs, auth,
                  directory_text=text.replace('"example.org"', '"ipa.example.org"')) as i:
        yield i


ALBA = "alba@ipa.example.org"


def test_the_settings_fit_the_directory(postroom):
    """The preset's filters find users, mailboxes and domains."""
    done = postroom.command("check", "--online", check=False)
    assert done.returncode == 0, done.stderr
    assert ": answers, " in done.stderr and "mailbox_filter" in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["alba", ALBA, "a@ipa.example.org", "alba@IPA.EXAMPLE.ORG"])
def test_every_name_is_the_same_user(postroom, name):
    assert product.who(postroom, name, "secret-alba") == ALBA


@pytest.mark.parametrize("uid", ["otto", "nobody"])
def test_switched_off(postroom, uid):
    assert product.said(postroom, uid, f"secret-{uid}") == "AUTHENTICATIONFAILED"


def test_account_expired(postroom):
    """The server itself lets this one in."""
    assert product.said(postroom, "edda", "wrong") == "AUTHENTICATIONFAILED"
    assert product.said(postroom, "edda", "secret-edda") == "CONTACTADMIN"


def test_groups(postroom):
    assert product.addresses(postroom, "team@ipa.example.org") == [ALBA]
    assert ALBA in product.addresses(postroom, "all@ipa.example.org")
    assert product.lookup(postroom, "domain", "ipa.example.org")[0] == "OK"
