"""Active Directory, as Samba's domain controller is one."""
import os
import subprocess

import pytest

from harness import samba_ad as ad

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="the domain controller's ports need root")


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
                   timeout=30)
    done = subprocess.run(["ldapsearch", "-Q", "-LLL", "-Y", "GSSAPI", "-H", samba_ad.uri, "-b",
                           ad.SERVICE_DN, "-s", "base", "sAMAccountName"], env=env, timeout=30,
                          capture_output=True, text=True)
    assert f"sAMAccountName: {ad.SERVICE}" in done.stdout, done.stderr
