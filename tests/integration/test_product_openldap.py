"""OpenLDAP, with the overlays that its users have."""
import os
import subprocess

import pytest

from harness import product
from harness import slapd as ldap
from harness.instance import Instance
from harness.slapd import LOCKOUT, Slapd


@pytest.fixture(scope="module")
def openldap(work, certs):
    with Slapd(work / "openldap", ca=certs.ca, cert=certs.cert, key=certs.key,
               overlays=("memberof", "ppolicy", "dynlist")) as d:
        d.add(f"dn: cn=staff,ou=groups,{ldap.BASE}\nobjectClass: groupOfNames\ncn: staff\n"
              f"member: {ldap.user_dn('anna.berg')}\nmember: {ldap.user_dn('bilal.haddad')}\n")
        yield d


def tool(d, name, *args, who=ldap.ADMIN_DN, password=ldap.ADMIN_PASSWORD):
    done = subprocess.run([name, "-x", "-e", "ppolicy", "-H", d.ldapi_uri, "-D", who, "-w", password,
                           *args], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "LDAPNOINIT": "1"})
    return done.stdout + done.stderr


def bind(d, uid, password):
    return tool(d, "ldapwhoami", who=ldap.user_dn(uid), password=password)


@pytest.mark.parametrize("uid,right", [
    ("anna.berg", "dn:uid=anna.berg"), ("dora", "(49); Account locked"),
    ("fritz", "(49); Password expired"), ("grete", "grace logins remain"),
    ("gerda", "Password expires in"), ("mona", "Password must be changed")])
def test_the_server_says_why(openldap, uid, right):
    """What the other tests build on."""
    assert right in bind(openldap, uid, ldap.password_of(uid))
    said = bind(openldap, uid, "wrong")
    assert "(49)" in said and "expire" not in said and "must be changed" not in said


def test_the_server_keeps_groups(openldap):
    found = tool(openldap, "ldapsearch", "-LLL", "-b", ldap.BASE,
                 f"(memberOf=cn=staff,ou=groups,{ldap.BASE})", "uid")
    assert "uid: anna.berg" in found and "uid: bilal.haddad" in found
    found = tool(openldap, "ldapsearch", "-LLL", "-b", ldap.BASE, "(cn=norway)", "member")
    assert f"member: {ldap.user_dn('tove.nilsen')}" in found


@pytest.fixture(scope="module", params=["starttls", "ldaps"])
def postroom(request, work, certs, openldap):
    uri = {"starttls": openldap.uri, "ldaps": openldap.ldaps_uri}[request.param]
    text = product.section("openldap", [uri], openldap.ca,
                           product.password_file(work, ldap.SERVICE_PASSWORD))
    with Instance(work / request.param, None, certs, directory_text=text) as i:
        yield i


ANNA = "anna.berg@example.org"


def test_grace_logins_and_warnings_are_logged(postroom):
    """First, before these passwords are remembered."""
    start = len(postroom.log_text())
    assert product.said(postroom, "gerda", ldap.password_of("gerda")) == "OK"
    postroom.wait_log(r"ev=auth\.login [^\n]*res=ok [^\n]*password_expires=\d", start=start)
    start = len(postroom.log_text())
    assert product.said(postroom, "grete", ldap.password_of("grete")) == "OK"
    postroom.wait_log(r"ev=auth\.login [^\n]*res=ok [^\n]*grace=\d", start=start)


def test_the_settings_fit_the_directory(postroom):
    """The preset's filters find users, mailboxes and domains."""
    done = postroom.command("check", "--online", check=False)
    assert done.returncode == 0, done.stderr
    assert ": answers, " in done.stderr and "mailbox_filter" in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["anna.berg", "Anna.Berg", ANNA, "director@example.org"])
def test_every_name_is_the_same_user(postroom, name):
    assert product.who(postroom, name, "secret-anna.berg") == ANNA
    assert product.said(postroom, name, "secret-anna.berg") == "OK"


@pytest.mark.parametrize("name", ["nobody", "sales", "sales@example.org", "anna.berg@example.net"])
def test_names_of_nobody(postroom, name):
    assert product.said(postroom, name, "secret-anna.berg") == "AUTHENTICATIONFAILED"


@pytest.mark.parametrize("uid,code", [("dora", "AUTHENTICATIONFAILED"), ("fritz", "EXPIRED"),
                                      ("mona", "EXPIRED"), ("gerda", "OK")])
def test_what_is_said_after_the_right_password_only(postroom, uid, code):
    assert product.said(postroom, uid, ldap.password_of(uid)) == code
    assert product.said(postroom, uid, "wrong") == "AUTHENTICATIONFAILED"
    assert product.smtp_said(postroom, uid, ldap.password_of(uid)) == (235 if code == "OK" else 535)


def test_locked_is_said_to_nobody(postroom, openldap):
    assert product.said(postroom, "lena", ldap.password_of("lena")) == "OK"
    for _ in range(LOCKOUT):
        bind(openldap, "lena", "wrong")
    try:
        start = len(postroom.log_text())
        assert product.said(postroom, "lena", "wrong again") == "AUTHENTICATIONFAILED"
        postroom.wait_log(r'ev=auth\.login [^\n]*reason="[^"]*locked', start=start)
    finally:
        openldap.modify(ldap.user_dn("lena"), {"pwdAccountLockedTime": []})


def test_masters_by_group(postroom, openldap):
    dn = f"cn=mail-masters,ou=groups,{ldap.BASE}"
    openldap.add(f"dn: {dn}\nobjectClass: groupOfNames\ncn: mail-masters\n"
                 f"member: {ldap.user_dn('carmen.ortega')}\n")
    try:
        assert product.said_as(postroom, "carmen.ortega", "secret-carmen.ortega", ANNA) == "OK"
        assert product.said_as(postroom, "mei.zhang", "secret-mei.zhang", ANNA) != "OK"
    finally:
        openldap.delete(dn)


def test_groups(postroom):
    assert len(product.addresses(postroom, "sales@example.org")) == 8
    # groups in a group, and one by URL that dynlist fills in as well
    assert len(product.addresses(postroom, "support@example.org")) == 9
    assert product.addresses(postroom, "norway@example.org") == ["tove.nilsen@example.org"]


def test_senders(postroom):
    assert product.lookup(postroom, "sender", "director@example.org") == ("OK", ANNA)
    assert product.addresses(postroom, "sales@example.org", "sender") \
        == product.addresses(postroom, "sales@example.org")
    assert product.lookup(postroom, "sender", "nobody@example.org")[0] == "NOTFOUND"
