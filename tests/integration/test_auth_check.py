"""`postroom check`: whatever the auth service would refuse at its start is found before, and said
with the section and the setting."""
import os
import re
from pathlib import Path

import pytest

from harness.certs import Certs
from harness.evilldap import Evil
from harness.instance import directory_section
from harness.slapd import BASE, SERVICE_PASSWORD
from harness.slowldap import Proxy


@pytest.fixture
def checked(make_instance, slapd):
    """checked(directory="", auth="", change=None): the outcome of `postroom check`."""
    def run(directory="", auth="", change=None, online=False):
        text = directory_section(slapd, extra=directory)
        i = make_instance(f'auth {{ default_domain = "example.org" {auth} }}\n', start=False,
                          directory_text=change(text) if change else text)
        return i.command("check", *(["--online"] if online else []), check=False)
    return run


def test_good_settings(checked):
    done = checked()
    assert done.returncode == 0 and done.stdout.endswith(": ok\n") and done.stderr == "", done


@pytest.mark.parametrize("extra,text", [
    ('user_filter = "(uid=%{usr})"', 'directory "main": user_filter: unknown variable %{usr}'),
    ('user_filter = "(uid=%{user}"', "user_filter: not a filter"),
    ('user_filter = "(uid%{user})"', "user_filter: not a filter: no = in: uid%{user}"),
    ('user_filter = "(&(uid=%{user})objectClass=person)"',
     "user_filter: not a filter: each part of (&…), (|…), (!…) wants ( ) of its own, not so: objectClass=person)"),
    ('user_base = "people.example.org"', 'directory "main": user_base: not a DN'),
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
    ("outage_login = 1h cache_size = 0", "auth.outage_login needs memory"),
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


ROOT = Path(__file__).resolve().parents[2]
# of Postfix's, Exim's and slapd's own files on these pages
FOREIGN = re.compile(r"smtpd_|virtual_|transport_maps|server_|public_name|driver|userdn")


@pytest.mark.parametrize("page", ["directory.md", "mechanisms.md", "backends.md"])
def test_settings_on_the_pages_are_settings(page):
    known = {name for table in ROOT.glob("config/table*.h")
             for name in re.findall(r"\(\s*([a-z_]+), ", table.read_text())}
    lines = [re.sub(r'"[^"]*"', '""', line) for line in (ROOT / "docs" / page).read_text().splitlines()
             if line.startswith("    ")]
    shown = {name for line in lines for name in re.findall(r"(?:^|[{ ])([a-z][a-z_]+) += ", line)}
    assert len(shown) > 5
    assert [name for name in sorted(shown - known) if not FOREIGN.match(name)] == []


# ---- what only the directory can say ----

def test_online_names_what_was_found(checked, slapd):
    done = checked(online=True)
    assert done.returncode == 0 and done.stdout.endswith(": ok\n"), done
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f'directory "main": {slapd.uri}: answers, '), done
    assert f'directory "main": base "{BASE}": is there' in lines
    assert sum(": finds " in line for line in lines) == 3, done
    assert SERVICE_PASSWORD not in done.stderr


def test_online_counts_against_nothing_else(checked):
    """Without it no server is asked."""
    done = checked(change=lambda t: t.replace("uris = { ", 'uris = { "ldap://127.0.0.1:1", '))
    assert done.returncode == 0 and done.stderr == "", done


@pytest.mark.parametrize("setting,value,text", [
    ("base", "dc=exmaple,dc=org",
     'base "dc=exmaple,dc=org": is not there, or the service account may not see it'),
    ("user_base", "ou=poeple,%{base}", f'user_base "ou=poeple,{BASE}": is not there'),
    ("bind_dn", f"cn=psotroom,ou=services,{BASE}",
     f"service account refused: Invalid credentials (bind_dn cn=psotroom,ou=services,{BASE}, "
     "bind_password)"),
    ("user_filter", "(udi=%{user})", "user_filter (udi=*): finds nothing there"),
    ("user_attribute", "email", "which has no: email"),
    ("schema", "active-directory", "finds nothing there"),
    ("uris", "ldap://127.0.0.1:1", "ldap://127.0.0.1:1: no directory answers: "
     "127.0.0.1:1: Connection refused"),
    ("uris", "ldap://no-such-host.invalid", "no directory answers: no-such-host.invalid:389: "),
])
def test_online_says_what_is_wrong(checked, setting, value, text):
    def change(t):
        value_text = f'{{ "{value}" }}' if setting == "uris" else f'"{value}"'
        line = f"{setting} = {value_text}\n"
        t, n = re.subn(rf"\t{setting} = .*\n", lambda m: line, t)
        return t if n else t.replace('directory "main" {\n', 'directory "main" {\n' + line)
    done = checked(change=change, online=True)
    assert done.returncode == 1 and text in done.stderr and "ok" not in done.stdout, done


def test_online_refused_password_and_strange_authority(checked, slapd, work, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("not-it\n")
    secret.chmod(0o600)
    done = checked(change=lambda t: re.sub(r"bind_password = .*", f'bind_password = "{secret}"', t),
                   online=True)
    assert done.returncode == 1 and "service account refused: Invalid credentials" in done.stderr
    assert "not-it" not in done.stderr
    other = Certs(work / "stranger")
    done = checked(change=lambda t: t.replace(str(slapd.ca), str(other.ca)), online=True)
    assert done.returncode == 1 and ": answers" not in done.stderr, done
    assert "certificate: " in done.stderr and ", by an authority in ca)" in done.stderr, done
    done = checked(change=lambda t: t.replace(slapd.uri, slapd.uri.replace("ldap:", "ldaps:")),
                   online=True)
    assert done.returncode == 1 and "(does it speak TLS on this port?)" in done.stderr, done


def test_online_names_what_it_waited_for(checked, slapd):
    with Proxy(None) as silent:
        done = checked("setup_timeout = 500ms", online=True,
                       change=lambda t: t.replace(slapd.uri, f"ldap://127.0.0.1:{silent.port}"))
    assert done.returncode == 1 and "no directory answers: no answer to StartTLS" in done.stderr, done


@pytest.mark.parametrize("mode", ["hang-search", "drip", "endless-entries", "huge-values", "nested",
                                  "half-closed-mid-entry"])
def test_online_bears_a_hostile_server(checked, slapd, certs, mode):
    with Evil(mode, certs) as e:
        text = (f'directory "main" {{ uris = {{ "{e.uri}" }} ca = "{certs.ca}" base = "{BASE}" '
                'bind_method = none connect_timeout = 2s setup_timeout = 2s search_timeout = 500ms }\n')
        done = checked(online=True, change=lambda t: text)
    assert done.returncode == 1 and e.uri in done.stderr and "ok" not in done.stdout, done
    assert "Sanitizer" not in done.stderr, done


def test_online_asks_every_server(checked, slapd):
    done = checked(change=lambda t: t.replace("uris = { ", 'uris = { "ldap://127.0.0.1:1", '),
                   online=True)
    assert done.returncode == 1 and "ldap://127.0.0.1:1: no directory answers" in done.stderr, done
    assert f"{slapd.uri}: answers" in done.stderr and "user_filter" in done.stderr, done


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
