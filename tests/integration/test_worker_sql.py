"""The helper process on real databases: each of MariaDB and PostgreSQL answers the same questions the
same way; names that are SQL stay names; a server that is away is never "no such user"."""
import time

import pytest

from harness.authworker import REASON, AuthWorker
from harness.instance import remove, temp_dir
from harness.sqldata import PASSWORD, fill, sql_section

SECTION = "sql", "accounts"


@pytest.fixture(scope="module", params=["mysql", "pgsql"])
def database(request):
    return request.param, request.getfixturevalue("mariadb" if request.param == "mysql" else "postgres")


@pytest.fixture(scope="module")
def worker(database, work):
    driver, server = database
    fill(driver, server)
    w = AuthWorker(work / driver, sql_section(work, driver, server), "worker { timeout = 10s }")
    w.start()
    yield w
    w.stop()


@pytest.fixture
def client(worker):
    with worker.client() as c:
        yield c


def login(client, user, password=PASSWORD):
    return client.ask("login", *SECTION, user=user, password=password, service="imap",
                      rip="192.0.2.7")


def test_login(client):
    a = login(client, "anna@example.org")
    assert a.err == "ok", a
    assert a.user["user"] == "anna@example.org" and a.user["quota"] == "1G"
    assert a.user["display_name"] == "Anna Ätna" and "disabled" not in a.user
    assert login(client, "anna").err == "ok"
    a = login(client, "anna@example.org", "wrong")
    assert (a.err, a.reason) == ("denied", REASON["PASSWORD"]) and a.user["user"] == "anna@example.org"
    assert login(client, "anna@example.org", "").err == "denied"


def test_schemes(client):
    for user in ("bert", "carl", "dora"):
        assert login(client, f"{user}@example.org").err == "ok", user
        assert login(client, f"{user}@example.org", "x").err == "denied", user


def test_unknown(client):
    assert login(client, "nobody@example.org").err == "notfound"
    assert client.ask("user", *SECTION, user="nobody").err == "notfound"
    assert client.ask("address", *SECTION, user="nobody@example.org").err == "notfound"


def test_states_of_a_user(client):
    assert login(client, "off@example.org").user["disabled"] == "1"
    a = login(client, "late@example.org")
    assert a.user["expires"] == "1577836800"
    a = login(client, "some@example.org")
    assert a.user["services"] == "imap,!smtp" and a.user["services_given"] == "1"
    assert a.user["networks"] == "192.0.2.0/24"


def test_damaged_records(client, worker):
    a = login(client, "odd@example.org")
    assert a.err == "denied" and a.reason == REASON["ENTRY"] and "{ROT13}" in a.detail
    worker.wait_log("ev=authworker.password")
    assert "rot13secret" not in worker.log_text()
    a = login(client, "when@example.org")
    assert a.err == "denied" and a.reason == REASON["ENTRY"] and "expires" in a.detail
    assert login(client, "void@example.org").err == "denied"
    a = login(client, "twice@example.org")
    assert (a.err, a.reason) == ("denied", REASON["AMBIGUOUS"])


INJECTIONS = ["x' OR '1'='1", "x' UNION SELECT '{PLAIN}x','anna@example.org' -- ", "anna'; DROP TABLE users; --",
              "anna\\", "$1", "?", "%", "_", "anna'/*", "x\u2019 OR 1=1", "%{domain}"]


@pytest.mark.parametrize("name", INJECTIONS)
def test_names_that_are_sql(client, name):
    for user in (name, f"{name}@example.org"):
        a = login(client, user, "x")
        assert a.err == "notfound" and not a.users, a
        assert client.ask("members", *SECTION, user=user).err == "notfound"
    assert client.ask("domain", *SECTION, other=name).err == "notfound"
    for field in ("service", "rip", "lip"):
        a = client.ask("login", *SECTION, **{"user": "anna", "password": PASSWORD, field: name})
        assert a.err == "ok", a


def test_secret(client):
    a = client.ask("secret", *SECTION, user="dora@example.org")
    assert a.err == "ok" and set(a.keys) == {"256"}
    assert a.keys["256"][0] == "4096" and len(a.keys["256"][2]) == 64
    a = client.ask("secret", *SECTION, user="bert@example.org")
    assert set(a.keys) == {"256", "1"} and len(a.keys["1"][3]) == 40
    a = client.ask("secret", *SECTION, user="anna@example.org")
    assert a.err == "ok" and not a.keys


def test_addresses(client):
    a = client.ask("address", *SECTION, user="anna@example.org")
    assert a.user["user"] == "anna@example.org"
    a = client.ask("members", *SECTION, user="sales@example.org")
    assert a.err == "ok" and sorted(a.values) == ["anna@example.org", "x@elsewhere.example,bert@example.org"]
    a = client.ask("members", *SECTION, user="bert@example.org")
    assert not a.values and a.user["user"] == "bert@example.org"
    a = client.ask("sender", *SECTION, user="sales@example.org")
    assert a.values == ["anna@example.org"]
    a = client.ask("sender", *SECTION, user="anna@example.org")
    assert not a.values and a.user["user"] == "anna@example.org"
    assert client.ask("sender", *SECTION, user="nobody@example.org").err == "notfound"
    a = client.ask("domain", *SECTION, other="example.org")
    assert a.values == ["example.org"]
    assert client.ask("domain", *SECTION, other="example.com").err == "notfound"
    assert client.ask("catchall", *SECTION, other="catch.example").values == ["anna@example.org"]
    assert client.ask("catchall", *SECTION, other="example.org").err == "notfound"


def test_list(client):
    a = client.ask("list", *SECTION)
    assert a.err == "ok"
    users = [u["user"] for u in a.users]
    assert len(users) == 12 and len(set(users)) == 11 and "anna@example.org" in users


def test_unknown_section_is_temporary(client):
    assert client.ask("user", "sql", "other", user="anna").err == "temp"


def test_server_away_is_temporary(client, database):
    driver, server = database
    server.stop()
    try:
        a = login(client, "anna@example.org")
        assert a.err == "temp" and not a.users
        a = login(client, "nobody@example.org")
        assert a.err == "temp"
        assert client.ask("members", *SECTION, user="sales@example.org").err == "temp"
        assert client.ask("domain", *SECTION, other="example.com").err == "temp"
        assert client.ask("list", *SECTION).err == "temp"
    finally:
        server.start()
    assert login(client, "anna@example.org").err == "ok"
    assert login(client, "nobody@example.org").err == "notfound"


def test_lost_connection_is_made_anew(client, database):
    """A restart between two questions costs the second one nothing."""
    driver, server = database
    assert login(client, "anna@example.org").err == "ok"
    server.stop()
    server.start()
    assert login(client, "anna@example.org").err == "ok"


def test_wrong_query_is_temporary(database, work):
    driver, server = database
    text = sql_section(work, driver, server, user_query="SELECT password FROM nowhere WHERE u = %{user}")
    with AuthWorker(work / f"{driver}-wrong", text) as w, w.client() as c:
        a = login(c, "anna")
        assert a.err == "temp" and "nowhere" in a.detail
        w.wait_log("ev=authworker.sql")


def test_rows_max(database, work):
    driver, server = database
    text = sql_section(work, driver, server, rows_max=1)
    with AuthWorker(work / f"{driver}-rows", text) as w, w.client() as c:
        a = c.ask("members", *SECTION, user="sales@example.org")
        assert a.err == "temp" and "rows_max" in a.detail
        assert len(c.ask("list", *SECTION).users) >= 9


def test_slow_query_is_temporary(database, work):
    driver, server = database
    sleep = "SLEEP(3)" if driver == "mysql" else "pg_sleep(3)"
    text = sql_section(work, driver, server, query_timeout="1s",
                       user_query=f"SELECT password, address AS user, {sleep} FROM users WHERE address = %{{address}}")
    with AuthWorker(work / f"{driver}-slow", text) as w, w.client() as c:
        assert login(c, "anna").err == "temp"  # the answer came after that
        assert c.ask("domain", *SECTION, other="example.org").err == "ok"


@pytest.mark.parametrize("tls,host,expected", [
    ("verify", "localhost", "ok"), ("verify", "127.0.0.1", "ok"), ("require", "127.0.0.1", "ok"),
    ("none", "127.0.0.1", "ok")])
def test_tls(database, work, certs, tls, host, expected):
    driver, server = database
    text = sql_section(work, driver, server, host=host, port=server.port, tls=tls,
                       ca=str(certs.ca) if tls == "verify" else "")
    with AuthWorker(work / f"{driver}-{tls}-{host}", text) as w, w.client() as c:
        a = login(c, "anna@example.org")
        assert a.err == expected, (a, w.log_text()[-2000:])


def test_tls_of_a_stranger(database, work):
    """verify with another CA than the server's: no connection."""
    driver, server = database
    text = sql_section(work, driver, server, host="localhost", port=server.port, tls="verify")
    with AuthWorker(work / f"{driver}-stranger", text) as w, w.client() as c:
        a = login(c, "anna@example.org")
        assert a.err == "temp" and "certificate" in a.detail.lower(), a
