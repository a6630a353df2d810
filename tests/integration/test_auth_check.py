"""`postroom check`: whatever the auth service would refuse at its start is found before, and said
with the section and the setting."""
import os

import pytest

from harness.instance import directory_section


@pytest.fixture
def checked(make_instance, slapd):
    """checked(directory="", auth="", change=None): the outcome of `postroom check`."""
    def run(directory="", auth="", change=None):
        text = directory_section(slapd, extra=directory)
        i = make_instance(f'auth {{ default_domain = "example.org" {auth} }}\n', start=False,
                          directory_text=change(text) if change else text)
        return i.command("check", check=False)
    return run


def test_good_settings(checked):
    done = checked()
    assert done.returncode == 0 and done.stdout.endswith(": ok\n") and done.stderr == "", done


@pytest.mark.parametrize("extra,text", [
    ('user_filter = "(uid=%{usr})"', 'directory "main": user_filter: unknown variable %{usr}'),
    ('user_filter = "(uid=%{user}"', "user_filter: not a filter"),
    ('user_filter = "(mail=anna.berg@example.org)"', "user_filter: the same for every question"),
    ('certificate_filter = "(uid=anna.berg)"', "certificate_filter: the same for every question"),
    ('master_filter = "(memberOf=%{oter})"', "master_filter: unknown variable %{oter}"),
    ('catch_all_filter = "(mail=@%{domain}"', "catch_all_filter: not a filter"),
    ('members_filter = "(memberOf=%{user})"', "members_filter: the same for every question"),
    ('member_name_filter = "(uid=%{x})"', "member_name_filter: unknown variable %{x}"),
    ('transport_filter = "mail=x"', "transport_filter: not a filter"),
    ('alias_result = { "%{uid" }', 'alias_result: "%{uid" is no result template'),
    ('userdb_attributes = { "uidNumber" }', "userdb_attributes: each is a key=attribute"),
    ('disabled_values = { "bit:two" }', "behind bit: stands a number"),
    ("bind_connections_min = 10 bind_connections_max = 5", "bind_connections_min is more"),
    ('client_certificate = "/etc/ssl/certs/ca-certificates.crt"', "need each other"),
    ('bind_method = gssapi bind_keytab = "/nonexistent"',
     'directory "main": bind_keytab: /nonexistent: No such file'),
])
def test_directories(checked, extra, text):
    done = checked(extra)
    assert done.returncode == 1 and text in done.stderr and "ok" not in done.stdout, done


@pytest.mark.parametrize("auth,text", [
    ('backends = { "main", "typo" }', 'auth.backends: "typo" is no section'),
    ('sasl_mechanisms = { "GSSAPI" } gssapi_keytab = "/nonexistent"',
     "auth.gssapi_keytab: /nonexistent: No such file"),
    ('sasl_mechanisms = { "PLAIN", "SCRAM-SHA-256" }', "SCRAM needs secret_attributes"),
    ('sasl_mechanisms = { "PLAIN", "EXTERNAL" }', "EXTERNAL needs certificate_filter"),
])
def test_auth(checked, auth, text):
    done = checked(auth=auth)
    assert done.returncode in (1, 78) and text in done.stderr, done


@pytest.mark.parametrize("uri", ["ldap://localhost:99999", "ldap://localhost:389/dc=x"])
def test_uris_are_named(checked, slapd, uri):
    done = checked(change=lambda t: t.replace(slapd.uri, uri))
    assert done.returncode == 1 and f'uris: "{uri}" is not ldap://' in done.stderr, done


def test_authorities_that_are_none(checked, slapd):
    done = checked(change=lambda t: t.replace(slapd.ca.name, slapd.cert.name.replace(".pem", ".key")))
    assert done.returncode == 1 and "CA certificates: none that can be read" in done.stderr, done


def test_what_is_allowed_but_unwise_is_said(checked):
    done = checked("verify = no")
    assert done.returncode == 0 and "verify = no" in done.stderr, done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_keytabs_are_tried_as_the_user_who_reads_them(checked, tmp_path):
    keytab = tmp_path / "keytab"
    keytab.write_bytes(b"")
    keytab.chmod(0o600)
    done = checked(f'bind_method = gssapi bind_keytab = "{keytab}"')
    assert done.returncode == 1 and f"{keytab}: Permission denied" in done.stderr, done


def test_a_file_that_cannot_be_read(make_instance):
    i = make_instance(start=False)
    i.conf.unlink()
    done = i.command("check", check=False)
    assert done.returncode == 78 and "No such file" in done.stderr, done
