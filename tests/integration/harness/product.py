"""The configurations in docs/directory, as the tests of each directory product use them.

    text = section("openldap", uris=[d.uri], ca=d.ca, password_file=path)
    said(instance, "anna", "secret")     # "OK", or what the client is told: "AUTHENTICATIONFAILED"
"""
import imaplib
import re
import smtplib

from .authd import AuthClient, MapClient, UserdbClient
from .instance import SOURCE


def section(page, uris, ca, password_file, extra=""):
    """The block of a page, with the servers and files of the test instead of its own."""
    text = (SOURCE / "docs" / "directory" / f"{page}.md").read_text()
    blocks = re.findall(r"^```conf\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) == 1, f"{page}.md has {len(blocks)} configurations"
    block = blocks[0]
    for name, value in (("uris", "{ " + ", ".join(f'"{u}"' for u in uris) + " }"),
                        ("ca", f'"{ca}"'), ("bind_password", f'"{password_file}"')):
        block, n = re.subn(rf"^(\t{name} *= ).*$", lambda m: m[1] + value, block, flags=re.M)
        assert n == 1, (page, name)
    return block.rstrip()[:-1] + f"{extra}\n}}\n"


def password_file(directory, password):
    path = directory / "service.password"
    path.write_text(password + "\n")
    path.chmod(0o600)
    return path


def _code(error):
    m = re.search(r"\[([A-Z-]+)\]", str(error))
    assert m, error
    return m[1]


def said(instance, name, password):
    """What an IMAP client is told."""
    c = instance.imap()
    try:
        c.login(c._quote(name), password)
        return "OK"
    except imaplib.IMAP4.error as e:
        return _code(e)
    finally:
        c.shutdown()


def said_as(instance, name, password, other):
    """The same with SASL PLAIN and an authorisation identity."""
    c = instance.imap()
    try:
        c.authenticate("PLAIN", lambda _: f"{other}\0{name}\0{password}".encode())
        return "OK"
    except imaplib.IMAP4.error as e:
        return _code(e)
    finally:
        c.shutdown()


def smtp_said(instance, name, password):
    """The code that submission answers to a login."""
    c = instance.smtp()
    try:
        return c.login(name, password)[0]
    except smtplib.SMTPAuthenticationError as e:
        return e.smtp_code
    finally:
        c.close()


def who(instance, name, password):
    """The one name of the user who logs in, as the auth socket's clients learn it."""
    with AuthClient(instance.socket("auth")) as a:
        r = a.plain(name, password)
        assert r.verb == "OK", r
        return r.fields["user"]


def lookup(instance, table, key):
    with MapClient(instance.socket("directory")) as m:
        return m.lookup(table, key)


def addresses(instance, key, table="alias"):
    with MapClient(instance.socket("directory")) as m:
        return m.addresses(key, table)


def users(instance):
    with UserdbClient(instance.socket("auth-userdb"), timeout=180) as u:
        found, rest = u.list()
        assert not rest, rest
        return found
