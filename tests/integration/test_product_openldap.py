"""OpenLDAP, with the overlays that its users have."""
import os
import subprocess

import pytest

from harness import slapd as ldap
from harness.slapd import Slapd


@pytest.fixture(scope="module")
def openldap(work, certs):
    with Slapd(work / "openldap", ca=certs.ca, cert=certs.cert, key=certs.key,
               overlays=("memberof", "ppolicy", "dynlist")) as d:
        d.add(f"dn: cn=staff,ou=groups,{ldap.BASE}\nobjectClass: groupOfNames\ncn: staff\n"
              f"member: {ldap.user_dn('anna.berg')}\nmember: {ldap.user_dn('bilal.haddad')}\n")
        yield d


def tool(d, name, *args, who=ldap.ADMIN_DN, password=ldap.ADMIN_PASSWORD):
    done = subprocess.run([name, "-x", "-e", "ppolicy", "-H", d.ldapi_uri, "-D", who, "-w", password,
                           *args], capture_output=True, text=True, timeout=30,
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
