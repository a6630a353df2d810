"""The private databases that other tests use: they start, answer over TLS, stop and keep their data."""
import os
import subprocess

import pytest

from harness.mariadb import MariaDb
from harness.postgres import Postgres


@pytest.fixture(scope="module")
def mariadb(work, certs):
    with MariaDb(work / "mariadb", certs) as d:
        d.sql("CREATE DATABASE mail; CREATE TABLE mail.users (name VARCHAR(80)); "
              "INSERT INTO mail.users VALUES ('åse');")
        d.add_user("postroom", "secret", "mail")
        yield d


@pytest.fixture(scope="module")
def postgres(work, certs):
    with Postgres(work / "postgres", certs) as d:
        d.create_database("mail")
        d.add_user("postroom", "secret", "mail")
        d.sql("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('åse')", "mail")
        yield d


def my_client(d, certs, password):
    return subprocess.run(
        ["mariadb", "--no-defaults", "--host=127.0.0.1", f"--port={d.port}", "--user=postroom",
         f"--password={password}", "--batch", "--skip-column-names", f"--ssl-ca={certs.ca}",
         "--default-character-set=utf8mb4",
         "-e", "SELECT name, (SELECT variable_value <> '' FROM information_schema.session_status "
         "WHERE variable_name = 'ssl_cipher') FROM mail.users"],
        capture_output=True, text=True, timeout=120)


def pg_client(d, certs, password):
    return subprocess.run(
        [d.bin / "psql", "-X", "-q", "-A", "-t", "-c",
         "SELECT name, ssl FROM users, pg_stat_ssl WHERE pid = pg_backend_pid()",
         f"host=localhost hostaddr=127.0.0.1 port={d.port} user=postroom dbname=mail "
         f"sslmode=verify-full sslrootcert={certs.ca}"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PGPASSWORD": password})


def test_mariadb(mariadb, certs):
    done = my_client(mariadb, certs, "secret")
    assert done.stdout.split() == ["åse", "1"], done.stderr
    assert my_client(mariadb, certs, "wrong").returncode != 0
    mariadb.stop(hard=True)
    assert my_client(mariadb, certs, "secret").returncode != 0
    mariadb.start()
    assert my_client(mariadb, certs, "secret").stdout.split() == ["åse", "1"]


def test_postgres(postgres, certs):
    done = pg_client(postgres, certs, "secret")
    assert done.stdout.strip() == "åse|t", done.stderr
    assert pg_client(postgres, certs, "wrong").returncode != 0
    postgres.stop(hard=True)
    assert pg_client(postgres, certs, "secret").returncode != 0
    postgres.start()
    assert pg_client(postgres, certs, "secret").stdout.strip() == "åse|t"
