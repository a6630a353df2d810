"""Debian's Thunderbird with an account here: every step is asserted in its own state and on the
server. One Thunderbird and one user for the module; the tests use different messages."""
import re
import time

import pytest

from harness.syncing import ok
from harness.thunderbird import Thunderbird

pytestmark = pytest.mark.waits

USER = "anna.berg@example.org"
FRIEND = "bilal.haddad@example.org"


def mail(subject, body="Hello from the tests.\r\n", sender=FRIEND):
    return (f"From: Bilal Haddad <{sender}>\r\nTo: {USER}\r\nSubject: {subject}\r\n"
            f"Date: Sat, 21 Nov 2026 08:00:00 +0100\r\n"
            f"Message-ID: <{re.sub('[^a-z0-9]', '-', subject.lower())}@example.org>\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}").encode()


def deliver(postroom, data):
    with postroom.lmtp() as c:
        assert c.sendmail(FRIEND, [USER], data) == {}


@pytest.fixture(scope="module")
def account(postroom):
    """Another session of the same user, which looks and changes things from outside."""
    with postroom.imap(USER) as c:
        yield Account(c)


class Account:
    def __init__(self, session):
        self.c = session

    def mailboxes(self):
        lines = b"\n".join(ok(self.c.list()))
        return set(re.findall(rb'(?m)"/" "?([^"\n]*?)"?$', lines))

    def find(self, box, subject):
        """The UID of the message with this subject, or None."""
        ok(self.c.select(box))
        uids = ok(self.c.uid("SEARCH", "SUBJECT", f'"{subject}"'))[0].split()
        assert len(uids) <= 1, (box, subject, uids)
        return uids[0].decode() if uids else None

    def flags(self, box, subject):
        got = ok(self.c.uid("FETCH", self.find(box, subject), "(FLAGS)"))[0]
        return set(re.search(rb"FLAGS \(([^)]*)\)", got)[1].decode().split())

    def wait(self, what, timeout=180):
        until = time.monotonic() + timeout
        while not what():
            assert time.monotonic() < until, "it never came true on the server"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def thunderbird(postroom, work):
    deliver(postroom, mail("Waiting"))
    with Thunderbird(work / "thunderbird", postroom, USER) as t:
        t.run("main.gTabmail.currentAbout3Pane.displayFolder(folder('INBOX').URI);")
        t.wait("return header(folder('INBOX'), 'Waiting') != null;")
        yield t
        outside = {p for p in t.sockets() if p not in ("0100007F", "0" * 24 + "01000000")}
        assert not outside, f"it talked to {outside}"


def settle(postroom, thunderbird):
    """Until it has fetched what it wants to have and idles again. News in the answer to another
    command of its own (EXISTS, EXPUNGE) it keeps to itself until the next IDLE or check."""
    thunderbird.wait("return headers(folder('INBOX')).every("
                     "h => h.flags & Ci.nsMsgMessageFlags.Offline);")
    size, since = -1, time.monotonic()
    while time.monotonic() - since < 1.5:
        if postroom.log_path.stat().st_size != size:
            size, since = postroom.log_path.stat().st_size, time.monotonic()
        time.sleep(0.05)


@pytest.fixture
def arrived(postroom, thunderbird, account, request):
    """A message of the test's own that lies in Thunderbird's INBOX; its subject."""
    subject = request.node.name.split("[")[0].replace("_", " ")
    settle(postroom, thunderbird)
    deliver(postroom, mail(subject))
    thunderbird.wait("return header(folder('INBOX'), args[0]) != null;", subject)
    return subject


def test_it_is_logged_in_and_has_the_folders(thunderbird, account):
    names = set(thunderbird.wait("const p = paths(server.rootFolder); return p.length > 5 && p;"))
    assert {n.encode() for n in names} | {b"INBOX"} == account.mailboxes() | {b"INBOX"}
    uses = thunderbird.run("""
        const of = flag => server.rootFolder.getFolderWithFlags(flag)?.name;
        return [of(Flags.SentMail), of(Flags.Drafts), of(Flags.Trash), of(Flags.Junk),
                of(Flags.Archive)];""")
    assert uses == ["Sent", "Drafts", "Trash", "Junk", "Archive"]


def test_it_uses_what_is_offered(postroom, thunderbird):
    for command in ("COMPRESS", "ENABLE", "NAMESPACE", "ID", "GETQUOTAROOT"):
        postroom.wait_log(f" cmd={command} result=0 ")


def test_new_mail_is_seen_through_idle(postroom, thunderbird, account):
    """Nothing else would tell: mail is not asked for at intervals."""
    assert thunderbird.run("""
        return [server.doBiff, server.QueryInterface(Ci.nsIImapIncomingServer).useIdle];
        """) == [False, True]
    settle(postroom, thunderbird)
    before = thunderbird.run("return folder('INBOX').getTotalMessages(false);")
    deliver(postroom, mail("It came by itself"))
    thunderbird.wait("return header(folder('INBOX'), 'It came by itself') != null;")
    assert thunderbird.run("return folder('INBOX').getTotalMessages(false);") == before + 1


def test_a_message_is_opened_and_read(thunderbird, account, arrived):
    assert "\\Seen" not in account.flags("INBOX", arrived)
    text = thunderbird.run("""
        const pane = main.gTabmail.currentAbout3Pane;
        const h = header(folder("INBOX"), args[0]);
        pane.selectMessage(h);
        const shown = () => {
            const b = pane.messageBrowser.contentWindow.getMessagePaneBrowser();
            const text = b?.contentDocument?.body?.textContent ?? "";
            return pane.messageBrowser.contentWindow.gMessage == h && text;
        };
        for (let k = 0; k < 200 && !/from the tests/.test(shown()); k++) {
            await new Promise(r => main.setTimeout(r, 50));
        }
        return shown();""", arrived)
    assert "Hello from the tests." in text
    thunderbird.wait("return header(folder('INBOX'), args[0]).isRead;", arrived)
    account.wait(lambda: "\\Seen" in account.flags("INBOX", arrived))


def test_a_flag_is_set_here_and_there(postroom, thunderbird, account, arrived):
    thunderbird.run("""
        const h = header(folder("INBOX"), args[0]);
        folder("INBOX").markMessagesFlagged([h], true);
        folder("INBOX").addKeywordsToMessages([h], "$label1");""", arrived)
    account.wait(lambda: {"\\Flagged", "$label1"} <= account.flags("INBOX", arrived))
    settle(postroom, thunderbird)
    ok(account.c.uid("STORE", account.find("INBOX", arrived), "FLAGS", r"(\Answered)"))
    thunderbird.wait("""
        const h = header(folder("INBOX"), args[0]);
        return h.flags & Ci.nsMsgMessageFlags.Replied && !h.isFlagged
            && !h.getStringProperty("keywords").includes("$label1");""", arrived)


def test_a_message_is_moved(thunderbird, account, arrived):
    thunderbird.run("""
        await finished(l => MailServices.copy.copyMessages(folder("INBOX"),
            [header(folder("INBOX"), args[0])], folder("Archive"), true, l, null, false));
        folder("Archive").updateFolder(null);""", arrived)
    thunderbird.wait("""return header(folder("Archive"), args[0])
                     && !header(folder("INBOX"), args[0]);""", arrived)
    assert account.find("Archive", arrived) and not account.find("INBOX", arrived)


def test_a_deleted_message_goes_to_the_trash(thunderbird, account, arrived):
    thunderbird.run("""
        await finished(l => folder("INBOX").deleteMessages(
            [header(folder("INBOX"), args[0])], null, false, false, l, false));""", arrived)
    thunderbird.wait("return !header(folder('INBOX'), args[0]);", arrived)
    account.wait(lambda: account.find("Trash", arrived))
    assert not account.find("INBOX", arrived)


def test_an_expunge_elsewhere_takes_it_away(postroom, thunderbird, account, arrived):
    settle(postroom, thunderbird)
    uid = account.find("INBOX", arrived)
    ok(account.c.uid("STORE", uid, "+FLAGS", r"(\Deleted)"))
    ok(account.c.uid("EXPUNGE", uid))
    thunderbird.wait("return !header(folder('INBOX'), args[0]);", arrived)


def test_a_folder_is_made_renamed_and_deleted(thunderbird, account):
    thunderbird.run("server.rootFolder.createSubfolder('Pläne & Notizen', null);")
    thunderbird.wait("return paths(server.rootFolder).includes('Pläne & Notizen');")
    account.wait(lambda: b"Pl&AOQ-ne &- Notizen" in account.mailboxes())
    thunderbird.run("folder('Pläne & Notizen').rename('Später', null);")
    account.wait(lambda: b"Sp&AOQ-ter" in account.mailboxes())
    thunderbird.wait("return paths(server.rootFolder).includes('Später');")
    assert not any(n.startswith(b"Pl") for n in account.mailboxes())


def test_the_server_searches_for_it(thunderbird, postroom, account):
    settle(postroom, thunderbird)
    deliver(postroom, mail("Needle", "A rare word: Zwetschgenmännchen.\r\n"))
    thunderbird.wait("return header(folder('INBOX'), 'Needle') != null;")
    found = thunderbird.run("""
        const session = Cc["@mozilla.org/messenger/searchSession;1"]
            .createInstance(Ci.nsIMsgSearchSession);
        session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folder("INBOX"));
        const term = session.createTerm();
        const value = term.value;
        value.attrib = term.attrib = Ci.nsMsgSearchAttrib.Body;
        value.str = "zwetschgenmännchen";
        term.op = Ci.nsMsgSearchOp.Contains;
        term.value = value;
        session.appendTerm(term);
        const subjects = [];
        await new Promise(done => {
            session.registerListener({
                onSearchHit(h) { subjects.push(h.mime2DecodedSubject); },
                onSearchDone(code) { done(code); },
                onNewSearch() {},
            });
            session.search(null);
        });
        return subjects;""")
    assert found == ["Needle"]


def test_a_message_is_written_and_sent(thunderbird, postroom, account):
    thunderbird.run("""
        const fields = Cc["@mozilla.org/messengercompose/composefields;1"]
            .createInstance(Ci.nsIMsgCompFields);
        fields.to = args[0];
        fields.subject = "Written in Thunderbird";
        fields.body = "Grüße aus dem Test.\\n";
        const params = Cc["@mozilla.org/messengercompose/composeparams;1"]
            .createInstance(Ci.nsIMsgComposeParams);
        params.type = Ci.nsIMsgCompType.New;
        params.format = Ci.nsIMsgCompFormat.PlainText;
        params.identity = MailServices.accounts.defaultAccount.defaultIdentity;
        params.composeFields = fields;
        const ready = new Promise(r => {
            Services.ww.registerNotification(function opened(w, topic) {
                if (topic != "domwindowopened") return;
                w.addEventListener("compose-editor-ready", () => {
                    Services.ww.unregisterNotification(opened);
                    r(w);
                }, { once: true });
            });
        });
        MailServices.compose.OpenComposeWindowWithParams(null, params);
        const w = await ready;
        await w.GenericSendMessage(Ci.nsIMsgCompDeliverMode.Now);""", FRIEND)
    got, = postroom.wait_messages(FRIEND, 1)
    assert b"Subject: Written in Thunderbird\r\n" in got and b"User-Agent: Mozilla Thunderbird" in got
    assert re.search("Gr(ü|=C3=BC)(ß|=C3=9F)e aus dem Test".encode(), got)
    account.wait(lambda: account.find("Sent", "Written in Thunderbird"))
    assert "\\Seen" in account.flags("Sent", "Written in Thunderbird")
    thunderbird.run("folder('Sent').updateFolder(null);")
    thunderbird.wait("return header(folder('Sent'), 'Written in Thunderbird') != null;")
