"""The helper process and PAM: what each result of a module becomes, modules that hang or die, and
what the conversation gives away."""
import time

import pytest

from harness.authworker import REASON, AuthWorker
from harness.pam import PamServices

SECTION = "pam", "system"


@pytest.fixture(scope="module")
def services(work):
    p = PamServices(work / "pam.d")
    p.trial("postroom")
    p.trial("mail-imap")
    p.script("script", 'read -r p; test "$PAM_USER" = anna && test "$p" = "s3cret word" && '
                       'test "$PAM_RHOST" = 192.0.2.7')
    return p


def section(services, **rows):
    rows = {"config_dir": str(services.dir), "users": "all", **rows}
    text = "".join(f"\t{k} = {v}\n" if isinstance(v, int) else f'\t{k} = "{v}"\n'
                   for k, v in rows.items())
    return f'pam "system" {{\n{text}}}\n'


@pytest.fixture(scope="module")
def worker(services, work):
    with AuthWorker(work / "w", section(services), "worker { timeout = 10s }") as w:
        yield w


@pytest.fixture
def client(worker):
    with worker.client() as c:
        yield c


def login(client, user, password="right", **more):
    return client.ask("login", *SECTION, user=user, password=password, service="imap",
                      **{"rip": "192.0.2.7", **more})


def test_login(client):
    a = login(client, "anna@example.org")
    assert a.err == "ok" and a.user["user"] == "anna@example.org"
    assert login(client, "anna").user["user"] == "anna@example.org"
    # the module's own delay, which would outlast the helper's time, does not hold it
    a = login(client, "anna", "wrong")
    assert a.err == "denied" and "auth:" in a.detail


def test_password_is_whole(client):
    """A C string ends at NUL: what lies behind must not be ignored."""
    assert login(client, "anna", "right\0more").err == "denied"
    assert login(client, "anna", "right ").err == "denied"
    assert login(client, "anna", "").err == "denied"


def test_other_domains_are_not_ours(client):
    """anna@other.example is not the machine's anna."""
    assert login(client, "anna@other.example").err == "notfound"
    assert client.ask("address", *SECTION, user="anna@other.example").err == "notfound"


# user, err, a word of PAM's text in the log's detail
RESULTS = [
    ("stranger", "notfound", "auth:"),
    ("tries", "denied", "auth:"),
    ("ended", "denied", "auth:"),
    ("unavail", "temp", "auth:"),
    ("expired", "denied", "account:"),
    ("change", "denied", "account:"),
    ("old", "denied", "account:"),
    ("denied", "denied", "account:"),
    ("broken", "temp", "account:"),
    ("two", "denied", "auth:"),
]
# what the client hears of them is only what stands behind a right password
REASONS = {"tries": REASON["LOCKED"], "ended": REASON["REFUSED"], "two": REASON["REFUSED"],
           "expired": REASON["ACCOUNT_EXPIRED"], "old": REASON["PASSWORD_EXPIRED"], "change": REASON["MUST_CHANGE"],
           "denied": REASON["DISABLED"]}


@pytest.mark.parametrize("user,err,stage", RESULTS)
def test_results(client, user, err, stage):
    a = login(client, user)
    assert a.err == err and a.detail.startswith(stage), a
    if user in REASONS:
        assert a.reason == REASONS[user], a


def test_wrong_password_does_not_tell_of_the_account(client):
    """The account stage is asked only behind a right password."""
    for user in ("expired", "change", "denied", "broken"):
        a = login(client, user, "wrong")
        assert a.err == "denied" and a.reason == REASON["PASSWORD"], a


def test_remote_host(client):
    assert login(client, "near").err == "ok"
    assert login(client, "near", rip="192.0.2.8").err == "denied"


def test_what_a_module_says_goes_to_the_log(client):
    a = login(client, "says", "wrong")
    assert "the cat is away" in a.detail


def test_pam_exec(services, work):
    """A real module of Debian's, which starts a program in the helper's cage."""
    with AuthWorker(work / "exec", section(services, service="script")) as w, w.client() as c:
        assert login(c, "anna", "s3cret word").err == "ok"
        assert login(c, "anna", "s3cret").err == "denied"
        assert login(c, "bert", "s3cret word").err == "denied"
        assert login(c, "anna", "s3cret word", rip="192.0.2.9").err == "denied"


def test_service_by_protocol(services, work):
    with AuthWorker(work / "named", section(services, service="mail-%{service}")) as w, w.client() as c:
        assert login(c, "anna").err == "ok"
        # no such file: PAM's "other" refuses, or there is none; either way nobody gets in
        a = c.ask("login", *SECTION, user="anna", password="right", service="smtp")
        assert a.err in ("denied", "temp"), a
        a = c.ask("login", *SECTION, user="anna", password="right", service="../w")
        assert a.err == "temp", a


def test_users_of_the_system(services, work):
    with AuthWorker(work / "nss", section(services, users="system")) as w, w.client() as c:
        # uid 65534, which every Debian has
        assert c.ask("user", *SECTION, user="nobody").user["user"] == "nobody@example.org"
        assert c.ask("members", *SECTION, user="nobody@example.org").user["user"] == "nobody@example.org"
        assert login(c, "nobody").err == "ok"
        for user in ("root", "daemon", "no-such-user"):
            assert c.ask("user", *SECTION, user=user).err == "notfound", user
            assert login(c, user).err == "notfound", user
        assert c.ask("list", *SECTION).err == "notfound"
        assert c.ask("domain", *SECTION, other="example.org").values == ["example.org"]
        assert c.ask("domain", *SECTION, other="example.com").err == "notfound"


def test_users_none(services, work):
    with AuthWorker(work / "none", section(services, users="none")) as w, w.client() as c:
        assert c.ask("user", *SECTION, user="anna").err == "notfound"
        assert login(c, "anna").err == "ok"


def test_username_template(services, work):
    with AuthWorker(work / "tmpl", section(services, username="%{local}")) as w, w.client() as c:
        a = login(c, "expired@other.example")
        assert a.err == "denied" and a.reason == REASONS["expired"]
        assert login(c, "anna@other.example").user["user"] == "anna@other.example"


def test_hanging_module_ends_the_helper(services, work):
    """Nothing else stops it; master starts another."""
    w = AuthWorker(work / "hang", section(services), "worker { timeout = 1s }").start()
    try:
        with w.client() as c:
            before = time.monotonic()
            c.post("login", *SECTION, user="hang", password="right")
            with pytest.raises((EOFError, ConnectionError)):
                c.answer()
            assert time.monotonic() - before > 0.9
    finally:
        assert w.process.wait(180) != 0
        w.process.stdout.close()
        w.process = None


def test_strangers_are_refused(worker):
    """Only auth's own user may ask, not even root."""
    for user in ("root", "postroom-smtp", "vmail"):
        with pytest.raises((EOFError, ConnectionError, BrokenPipeError)):
            worker.client(user)
    worker.wait_log("not the auth service")
    with worker.client() as c:
        assert login(c, "anna").err == "ok"


def test_garbage_ends_the_connection(worker):
    for text in (b"\n", b"HELLO\t1\n", b"ASK\n", b"ASK\tx\tlogin\tpam\tsystem\n",
                 b"ASK\t1\tdance\tpam\tsystem\n", b"ASK\t1\tlogin\tldap\tsystem\n",
                 b"ASK\t1\tlogin\tpam\tsystem\tnonsense\n", b"ASK\t1\tlogin\tpam\tsystem\tuser=\x01x\n",
                 b"\0\n", b"ASK\t1\tuser\tpam\tsystem\tuser=" + b"x" * 70000 + b"\n"):
        with worker.client() as c:
            c.sock.sendall(text)
            with pytest.raises((EOFError, ConnectionError)):
                c.line()
    with worker.client() as c:
        assert login(c, "anna").err == "ok"
