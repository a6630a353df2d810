"""The same users in MariaDB and in PostgreSQL, and the sql section that finds them: docs/backends.md
shows this section."""
import os
import subprocess
from pathlib import Path

from .instance import build_dir

PASSWORD = "s3cret'1"
DATABASE = "mail"

QUERIES = {
    "user_query": "SELECT password, address AS user, quota, enabled, expires, services, networks, display_name "
                  "FROM users WHERE address = %{address}",
    "mailbox_query": "",
    "alias_query": "SELECT target FROM aliases WHERE address = %{address}",
    "catchall_query": "SELECT target FROM catchalls WHERE domain = %{domain}",
    "domain_query": "SELECT 1 FROM domains WHERE domain = %{domain}",
    "sender_query": "SELECT login FROM senders WHERE address = %{address}",
    "list_query": "SELECT address AS user, quota FROM users",
}

TABLES = """
DROP TABLE IF EXISTS users; DROP TABLE IF EXISTS aliases; DROP TABLE IF EXISTS senders;
DROP TABLE IF EXISTS domains; DROP TABLE IF EXISTS catchalls;
CREATE TABLE users (address VARCHAR(200), password VARCHAR(300), quota VARCHAR(20), enabled BOOLEAN,
  expires VARCHAR(40), services VARCHAR(100), networks VARCHAR(200), display_name VARCHAR(100));
CREATE TABLE aliases (address VARCHAR(200), target VARCHAR(1000));
CREATE TABLE senders (address VARCHAR(200), login VARCHAR(200));
CREATE TABLE domains (domain VARCHAR(200));
CREATE TABLE catchalls (domain VARCHAR(200), target VARCHAR(200));
INSERT INTO domains VALUES ('example.org'), ('catch.example');
INSERT INTO aliases VALUES ('sales@example.org', 'anna@example.org'),
  ('sales@example.org', 'x@elsewhere.example,bert@example.org');
INSERT INTO senders VALUES ('sales@example.org', 'anna@example.org');
INSERT INTO catchalls VALUES ('catch.example', 'anna@example.org');
"""


def hash_of(scheme, password=PASSWORD):
    """As `postroom pw` makes it."""
    exe = next(p for p in build_dir().glob("**/postroom") if p.is_file())
    return subprocess.run([exe, "pw", "-s", scheme], input=password + "\n", capture_output=True,
                          text=True, check=True).stdout.strip()


def users():
    """address, password, quota, enabled, expires, services, networks, display_name"""
    ok = hash_of("SSHA256")
    return [
        ("anna@example.org", hash_of("SHA512-CRYPT"), "1G", True, None, None, None, "Anna Ätna"),
        ("bert@example.org", "{PLAIN}" + PASSWORD, None, True, None, None, None, None),
        ("carl@example.org", hash_of("ARGON2ID"), None, None, None, None, None, None),
        ("dora@example.org", hash_of("SCRAM-SHA-256"), None, True, "", "", "", ""),
        ("off@example.org", ok, None, False, None, None, None, None),
        ("late@example.org", ok, None, True, "2020-01-01", None, None, None),
        ("some@example.org", ok, None, True, None, "imap,!smtp", "192.0.2.0/24", None),
        ("odd@example.org", "{ROT13}rot13secret", None, True, None, None, None, None),
        ("when@example.org", ok, None, True, "soon", None, None, None),
        ("void@example.org", None, None, True, None, None, None, None),
        ("twice@example.org", ok, None, True, None, None, None, None),
        ("twice@example.org", ok, None, True, None, None, None, None),
    ]


def literal(v):
    if v is None:
        return "NULL"
    if isinstance(v, bool):
        return "TRUE" if v else "FALSE"
    return "'" + v.replace("'", "''") + "'"


def fill(driver, server):
    if driver == "mysql":
        server.sql(f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4")
    elif not server.sql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'").strip():
        server.create_database(DATABASE)
    text = ("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES';" if driver == "mysql" else "") + TABLES
    for u in users():
        text += f"INSERT INTO users VALUES ({', '.join(map(literal, u))});\n"
    if not getattr(server, "postroom_account", False):
        server.add_user("postroom", "db-secret", DATABASE)
        server.postroom_account = True
    server.sql(text, DATABASE)
    if driver == "pgsql":
        server.sql('GRANT SELECT ON ALL TABLES IN SCHEMA public TO "postroom"', DATABASE)


def sql_section(work, driver, server, title="accounts", **change):
    secret = Path(work) / f"{driver}.password"
    if not secret.exists():
        secret.write_text("db-secret\n")
        secret.chmod(0o600)
    rows = {"driver": driver, "database": DATABASE, "user": "postroom", "password": str(secret),
            "host": str(server.socket if driver == "mysql" else server.socket_dir), **QUERIES}
    if driver == "pgsql":
        rows["port"] = server.port
    rows.update(change)
    text = f'sql "{title}" {{\n'
    for key, value in rows.items():
        if value == "":
            continue
        plain = isinstance(value, int) or key.endswith("_timeout")
        text += f"\t{key} = {value}\n" if plain else f'\t{key} = "{value}"\n'
    return text + "}\n"
