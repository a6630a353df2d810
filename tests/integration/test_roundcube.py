"""Debian's Roundcube in a headless Chromium: what a user clicks, and what the server has then."""
import email
import email.policy
import re
import time

import pytest

from harness.chromium import Chromium
from harness.instance import password_of
from harness.roundcube import Roundcube
from harness.syncing import ok

pytestmark = pytest.mark.waits

USER = "carmen.ortega@example.org"
FRIEND = "david.okafor@example.org"

TEXT = "Am Fenster stand ein Schränkchen voller Bücher."


def mail(k, body=TEXT):
    return (f"From: David Okafor <{FRIEND}>\r\nTo: {USER}\r\nSubject: Letter {k}\r\n"
            f"Date: Sat, 21 Nov 2026 08:00:{k:02} +0000\r\nMessage-ID: <letter{k}@example.org>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n").encode()


@pytest.fixture(scope="module")
def account(postroom):
    """Another session of the same user."""
    c = postroom.imap(USER)
    for k in range(12):
        ok(c.append("INBOX", "", None, mail(k, TEXT if k == 7 else "Nothing much.")))
    yield c
    c.logout()


@pytest.fixture(scope="module")
def roundcube(postroom, work, account):
    with Roundcube(work / "roundcube", postroom) as r:
        yield r


@pytest.fixture(scope="module")
def chromium(roundcube, work):
    with Chromium(work / "chromium") as b:
        b.roundcube = roundcube
        yield b


def log_in(b, password):
    b.go(b.roundcube.url)
    b.find("input[name=_user]").type(USER)
    b.find("input[name=_pass]").type(password)
    b.find("#rcmloginsubmit").click()


@pytest.fixture(scope="module")
def browser(chromium):
    """Chromium, logged in."""
    log_in(chromium, password_of(USER))
    chromium.find("#messagelist")
    return chromium


@pytest.fixture(autouse=True)
def no_errors(roundcube):
    """Roundcube's logs stay empty, whatever a test does."""
    yield
    assert roundcube.new_errors() == ""


def inbox(b):
    b.go(b.roundcube.url + "?_task=mail&_mbox=INBOX")
    b.find("#messagelist tr.message")


def subjects(b):
    return b.run("return [...document.querySelectorAll('#messagelist tr.message td.subject a')]"
                 ".map(a => a.textContent.trim())")


def flags(c, subject):
    ok(c.select("INBOX"))
    n, = ok(c.search(None, "SUBJECT", f'"{subject}"'))[0].split()
    return ok(c.fetch(n.decode(), "(FLAGS)"))[0]


def test_the_wrong_password_is_refused(chromium):
    log_in(chromium, "wrong")
    chromium.find("#messagestack", text="Login failed")
    assert "AUTHENTICATE PLAIN: Authentication failed" in chromium.roundcube.new_errors()


def test_folders_and_messages_are_listed(browser, account):
    inbox(browser)
    assert subjects(browser) == [f"Letter {k}" for k in reversed(range(12))]
    for use in ("inbox", "drafts", "sent", "junk", "trash"):
        browser.find(f"#mailboxlist li.{use} a")
    browser.find("#mailboxlist li a", text="Archive")
    browser.find("#mailboxlist li.inbox .unreadcount", text="12")


def test_a_message_is_read(browser, account):
    inbox(browser)
    assert b"\\Seen" not in flags(account, "Letter 7")
    browser.find("#messagelist tr.message td.subject a", text="Letter 7").click()
    with browser.frame("#messagecontframe"):
        browser.find("#messagebody", text=TEXT)
        browser.find(".subject", text="Letter 7")
    browser.wait_gone("#messagelist tr.message.unread", text="Letter 7")
    assert b"\\Seen" in flags(account, "Letter 7")


@pytest.mark.parametrize("scope, text, found", [
    ("subject", "Letter 1", ["Letter 11", "Letter 10", "Letter 1"]),
    ("text", "schränkchen", ["Letter 7"]),
    ("from", "nobody", [])])
def test_the_server_searches(browser, account, scope, text, found):
    inbox(browser)
    # the choice of what to search in, as its menu keeps it
    browser.run("""
        rcmail.set_searchmods({[arguments[0]]: 1});
        document.querySelectorAll('input[name="s_mods[]"]').forEach(
            e => { e.checked = e.value == arguments[0]; });""", scope)
    browser.find("#mailsearchform").type(text + "\n")
    browser.find("#messagestack div", text=f"{len(found)} messages found" if found
                 else "Search returned no matches")
    assert subjects(browser) == found


def test_a_message_is_flagged_and_moved_to_the_trash(browser, account):
    inbox(browser)
    browser.find("#messagelist tr.message td.subject a", text="Letter 3").click()
    with browser.frame("#messagecontframe"):
        browser.find(".subject", text="Letter 3")
    browser.find("a.markmessage").click()
    browser.find("#markmessage-menu a.flag.active, .popover a.flag.active").click()
    browser.find("#messagelist tr.message.flagged td.subject a", text="Letter 3")
    until_server(browser, lambda: b"\\Flagged" in flags(account, "Letter 3"))
    browser.find("#messagelist-content ~ * a.delete, .toolbar a.delete").click()
    browser.wait_gone("#messagelist tr.message td.subject a", text="Letter 3")
    ok(account.select("Trash"))
    assert ok(account.search(None, "SUBJECT", '"Letter 3"')) == [b"1"]
    ok(account.select("INBOX"))
    assert ok(account.search(None, "SUBJECT", '"Letter 3"')) == [b""]


def until_server(browser, what, timeout=180):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "the server never heard of it\n" + browser.story()
        time.sleep(0.05)


def test_a_message_is_written_and_sent(browser, postroom, account):
    browser.go(browser.roundcube.url + "?_task=mail&_action=compose")
    browser.find("#compose_to input, ul.recipient-input input").type(FRIEND + ",")
    browser.find("#compose-subject").type("Grüße aus Roundcube")
    browser.find("#composebody").type("Erste Zeile.\n.\nDritte Zeile mit €.")
    browser.find("button.send, a.send").click()
    browser.find("#messagestack div", text="Message sent successfully")
    got, = postroom.wait_messages(FRIEND, 1)
    message = email.message_from_bytes(got, policy=email.policy.default)
    assert message["Subject"] == "Grüße aus Roundcube"
    assert message["To"].addresses[0].addr_spec == FRIEND
    assert message.get_content().splitlines()[:3] == ["Erste Zeile.", ".", "Dritte Zeile mit €."]
    until_server(browser, lambda: int(ok(account.select("Sent", readonly=True))[0]))
    copy = ok(account.fetch("1", "(FLAGS BODY.PEEK[])"))[0]
    assert b"\\Seen" in copy[0]
    assert email.message_from_bytes(copy[1])["Message-ID"] == message["Message-ID"]


def test_new_mail_appears_on_refresh(browser, postroom, account):
    inbox(browser)
    with postroom.lmtp() as c:
        c.sendmail(FRIEND, [USER], mail(40).replace(b"Letter 40", b"Just arrived"))
    browser.run("rcmail.command('checkmail')")
    browser.find("#messagelist tr.message.unread td.subject a", text="Just arrived")
