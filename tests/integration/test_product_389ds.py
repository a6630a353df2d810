"""389 Directory Server."""
import pytest

from harness.ds389 import BASE, password_of, user_dn


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
