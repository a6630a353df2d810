"""mbsync and offlineimap: a Maildir tree and an account that both change, kept equal."""
import pytest

from harness.syncing import Mbsync, OfflineImap, ok, server_state

MAIL = (b"From: Ann <ann@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: Message %s\r\n"
        b"Date: Sat, 21 Nov 2026 08:00:00 +0100\r\nMessage-ID: <%s@example.org>\r\n\r\n"
        b"This is %s.\r\n")


def mail(name):
    return MAIL % ((name.encode(),) * 3)


def key(name):
    return f"<{name}@example.org>"


class Far:
    """The account, as another client of the user's changes it."""

    def __init__(self, session):
        self.c = session

    def append(self, box, *names, flags=""):
        for name in names:
            ok(self.c.append(box, flags, None, mail(name)))

    def _uid(self, box, name):
        ok(self.c.select(box))
        found = ok(self.c.uid("SEARCH", "HEADER", "Message-ID", key(name)))[0].split()
        assert len(found) == 1, (box, name, found)
        return found[0].decode()

    def flag(self, box, name, change, flags):
        ok(self.c.uid("STORE", self._uid(box, name), change, f"({flags})"))

    def remove(self, box, name):
        uid = self._uid(box, name)
        ok(self.c.uid("STORE", uid, "+FLAGS", r"(\Deleted)"))
        ok(self.c.uid("EXPUNGE", uid))

    def move(self, box, name, to):
        ok(self.c.uid("MOVE", self._uid(box, name), to))


USERS = iter(f"{name}@example.org" for name in (
    "nadia.rahmani", "oskar.nowak", "priya.menon", "quentin.moreau"))


@pytest.fixture(params=[Mbsync, OfflineImap])
def both(postroom, work, request):
    """A synchroniser and the account of a user who is not used otherwise, already equal, with
    seven messages and a folder."""
    program, user = request.param, next(USERS)
    far = Far(postroom.imap(user))
    far.append("INBOX", *"abcdefg")
    ok(far.c.create("Work/Plans"))
    far.append("Work/Plans", "p", "q")
    near = program(work / user.split("@")[0], postroom, user)
    near.sync()
    yield near, far
    far.c.logout()


def agree(near, far):
    """Both sides are the same; what that is."""
    state = server_state(far.c)
    assert near.state() == state
    return state


def test_three_rounds_in_which_both_sides_change(both):
    near, far = both
    state = agree(near, far)
    assert state["INBOX"] == {key(x): "" for x in "abcdefg"}
    assert state["Work/Plans"] == {key("p"): "", key("q"): ""}

    # flags, deletions and new messages; of one message both sides change another flag
    far.flag("INBOX", "a", "+FLAGS", r"\Seen")
    far.flag("INBOX", "b", "+FLAGS", r"\Answered \Flagged")
    far.remove("INBOX", "c")
    far.append("INBOX", "far1", flags=r"(\Draft)")
    ok(far.c.create("Far"))
    far.append("Far", "far2")
    near.change("INBOX", key("a"), add="F")
    near.change("INBOX", key("d"), add="RS")
    near.remove("INBOX", key("e"))
    near.add("INBOX", mail("near1"), "S")
    near.create("Near")
    near.add("Near", mail("near2"), "F")
    near.sync()
    state = agree(near, far)
    assert state["INBOX"] == {key("a"): "FS", key("b"): "FR", key("d"): "RS", key("f"): "",
                              key("g"): "", key("far1"): "D", key("near1"): "S"}
    assert state["Far"] == {key("far2"): ""} and state["Near"] == {key("near2"): "F"}

    # flags taken away, messages moved, both sides delete the same message
    far.flag("INBOX", "a", "-FLAGS", r"\Seen")
    far.flag("INBOX", "d", "FLAGS", r"\Seen")
    far.move("INBOX", "f", "Far")
    far.remove("INBOX", "near1")
    far.move("Near", "near2", "Work/Plans")
    near.change("INBOX", key("b"), remove="FR")
    near.move("INBOX", key("far1"), "Near")
    near.move("Work/Plans", key("p"), "INBOX")
    near.remove("INBOX", key("near1"))
    near.sync()
    state = agree(near, far)
    assert state["INBOX"] == {key("a"): "F", key("b"): "", key("d"): "S", key("g"): "",
                              key("p"): ""}
    assert state["Far"] == {key("far2"): "", key("f"): ""}
    assert state["Near"] == {key("far1"): "D"}
    assert state["Work/Plans"] == {key("q"): "", key("near2"): "F"}

    # one side changes a message that the other deletes elsewhere, folders in folders, many at once
    ok(far.c.create("Work/Plans/Old"))
    far.append("Work/Plans/Old", *(f"many{k}" for k in range(30)))
    ok(far.c.select("Work/Plans/Old"))
    ok(far.c.store("1:30", "+FLAGS", r"(\Seen)"))
    ok(far.c.store("5,10,15:20", "+FLAGS", r"(\Deleted)"))
    ok(far.c.expunge())
    for k in range(30):
        near.add("Far", mail(f"more{k}"), "S" if k % 2 else "")
    near.remove("INBOX", key("g"))
    far.append("INBOX", "last")
    near.sync()
    state = agree(near, far)
    assert len(state["Work/Plans/Old"]) == 22 and set(state["Work/Plans/Old"].values()) == {"S"}
    assert len(state["Far"]) == 32
    assert set(state["INBOX"]) == {key(x) for x in ("a", "b", "d", "p", "last")}


def test_a_round_without_changes_changes_nothing(both, postroom):
    near, far = both
    assert isinstance(near, Mbsync) or " cmd=COMPRESS result=0 " in postroom.log_text()

    def numbers():
        return [ok(far.c.status(box, "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"))[0]
                for box in ("INBOX", '"Work/Plans"', "Sent")]

    before, files = numbers(), sorted(near.maildir.glob("**/cur/*"))
    near.sync()
    assert numbers() == before
    assert sorted(near.maildir.glob("**/cur/*")) == files
