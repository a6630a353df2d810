"""The queue: expansion through the directory, retries, reports, restarts."""
import email
import email.policy
import os
import re
import signal
import smtplib
import time

import pytest

SENDER = "anna.berg@example.org"
SALES = ["carmen.ortega", "rosa.delgado", "samir.aziz", "tove.nilsen", "ursula.keller",
         "victor.dumont", "wanda.kowalska", "xavier.ribeiro"]
SUPPORT = ["david.okafor", "yusuf.demir", "zoe.martin", "adam.fischer", "beatriz.santos",
           "chidi.eze", "daria.ivanova", "emil.johansson", "fatima.zahra"]


def submit(i, rcpts, subject, sender=SENDER, conn=None):
    text = (f"From: {sender}\r\nTo: {rcpts[0]}\r\nSubject: {subject}\r\n"
            f"Message-ID: <{subject}@test>\r\n\r\nHello\r\n").encode()
    c = conn or i.smtp(sender)
    assert c.sendmail(sender, rcpts, text) == {}
    if conn is None:
        c.quit()


def of_subject(bodies, subject):
    return [b for b in bodies if f"Subject: {subject}\r\n".encode() in b]


def wait_subject(i, user, subject, count=1, timeout=180):
    until = time.monotonic() + timeout
    while True:
        bodies = of_subject(i.wait_messages(user, 0), subject)
        if len(bodies) >= count or time.monotonic() > until:
            assert len(bodies) == count, (user, subject, len(bodies), i.log_text()[-4000:])
            return bodies
        time.sleep(0.1)


def report_in(bodies):
    for b in bodies:
        m = email.message_from_bytes(b, policy=email.policy.default)
        if m.get_content_type() == "multipart/report":
            return m
    return None


def wait_report(i, user, timeout=180):
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        m = report_in(i.wait_messages(user, 0))
        if m is not None:
            return m
        time.sleep(0.1)
    raise AssertionError("no report\n" + i.log_text()[-4000:])


def test_a_nested_group_reaches_each_member_once(postroom):
    submit(postroom, ["everyone-outside@example.org", "sales@example.org",
                      "carmen.ortega@example.org"], "nested")
    for user in SALES + SUPPORT:
        wait_subject(postroom, f"{user}@example.org", "nested")
    time.sleep(0.5)
    for user in SALES + SUPPORT:
        wait_subject(postroom, f"{user}@example.org", "nested")
    m = postroom.wait_log(r"ev=queue\.done .*rcpts=(\d+)")
    assert int(m.group(1)) == len(SALES + SUPPORT)


def test_groups_in_a_circle_end(postroom):
    submit(postroom, ["red@example.org"], "circle")
    for user in ("rania.khoury", "stefan.popescu"):
        wait_subject(postroom, f"{user}@example.org", "circle")


def test_aliases_and_tags(postroom):
    submit(postroom, ["billing@example.org", "elena.petrova+x@example.org"], "alias")
    bodies = wait_subject(postroom, "elena.petrova@example.org", "alias", count=2)
    assert all(b.startswith(b"Return-Path: <anna.berg@example.org>\r\n") for b in bodies)


def test_one_session_id_follows_the_message(postroom):
    submit(postroom, ["umar.siddiqui@example.org"], "traced")
    wait_subject(postroom, "umar.siddiqui@example.org", "traced")
    sid, qid = postroom.wait_log(r"ev=queue\.deliver sid=(\w+) qid=(\w+) rcpt=umar\.siddiqui").groups()
    for ev in ("queue.accept", "queue.expand", "queue.done"):
        postroom.wait_log(rf"ev={re.escape(ev)} .*sid={sid} .*qid={qid}")
    postroom.wait_log(rf"role=lmtp .*ev=lmtp\.deliver .*qid={qid}")
    postroom.wait_log(rf"role=smtp .*sid={sid}")


def test_a_foreign_member_is_reported_and_the_others_get_it(postroom):
    submit(postroom, ["press@example.org"], "foreign", sender="yara.costa@example.org")
    wait_subject(postroom, "tove.nilsen@example.org", "foreign")
    m = wait_report(postroom, "yara.costa@example.org")
    assert m["Return-Path"] == "<>" and m["Auto-Submitted"] == "auto-replied"
    parts = list(m.iter_parts())
    assert [p.get_content_type() for p in parts] == [
        "text/plain", "message/delivery-status", "message/rfc822"]
    status = parts[1].as_bytes().decode()
    assert "Final-Recipient: rfc822; agency@press.example.net" in status
    assert "Original-Recipient" not in status  # nobody gave one
    assert "<press@example.org>" in parts[0].get_content()
    assert "Action: failed" in status and "Status: 5.7.1" in status
    assert parts[2].get_payload(0)["Subject"] == "foreign"


def test_a_user_who_left_is_reported(make_instance, slapd):
    """Known when the message was accepted, unknown when it is delivered."""
    i = make_instance(settings='queue {\n reserve = 1M\n retry_min = 300ms\n retry_max = 1s\n}\n')
    dn = "uid=zdenek.svoboda,ou=people,dc=example,dc=org"
    for pid in i.pids("lmtp"):
        os.kill(pid, signal.SIGSTOP)
    try:
        submit(i, ["zdenek.svoboda@example.org"], "left", sender="wim.devries@example.org")
        i.wait_log(r"ev=queue\.expand ")
        slapd.modify(dn, {"mail": ["somebody.else@example.org"]})
    finally:
        for pid in i.pids("lmtp"):
            os.kill(pid, signal.SIGCONT)
    try:
        i.wait_log(r"ev=queue\.deliver .*res=(ok|fail)")
        log = i.log_text()
        if re.search(r"ev=queue\.deliver .*rcpt=zdenek\.svoboda\S* res=fail", log):
            m = wait_report(i, "wim.devries@example.org")
            assert b"5.1.1" in m.as_bytes()
        else:
            pytest.fail("delivered to an address that nobody has\n" + log[-3000:])
    finally:
        slapd.modify(dn, {"mail": ["zdenek.svoboda@example.org"]})


def test_lmtp_away_then_back(make_instance):
    i = make_instance()
    for pid in i.pids("lmtp"):
        os.kill(pid, signal.SIGSTOP)
    c = i.smtp(SENDER)
    for k in range(5):
        submit(i, ["vera.lukic@example.org"], f"away{k}", conn=c)
    c.quit()
    assert "ev=queue.done" not in i.log_text()
    for pid in i.pids("lmtp"):
        os.kill(pid, signal.SIGKILL)
    for k in range(5):
        wait_subject(i, "vera.lukic@example.org", f"away{k}")


def test_directory_away_is_never_a_report(make_instance, slapd):
    i = make_instance()
    marco = "marco.bianchi@example.org"
    c = i.smtp(marco)
    submit(i, ["noor.hassan@example.org"], "before", conn=c, sender=marco)
    wait_subject(i, "noor.hassan@example.org", "before")
    for pid in i.pids("queue"):
        os.kill(pid, signal.SIGSTOP)
    submit(i, ["support@example.org", "noor.hassan@example.org"], "during", conn=c, sender=marco)
    c.quit()
    slapd.stop()
    try:
        start = len(i.log_text())
        for pid in i.pids("queue"):
            os.kill(pid, signal.SIGCONT)
        i.wait_log(r"ev=queue\.(expand|deliver) .*res=defer", timeout=180, start=start)
    finally:
        start = len(i.log_text())
        slapd.start()
    i.wait_log(r"ev=auth\.directory .*res=up", start=start)  # before that nobody can log in
    for user in SUPPORT + ["noor.hassan"]:
        wait_subject(i, f"{user}@example.org", "during", timeout=180)
    assert report_in(i.wait_messages(marco, 0)) is None


def test_what_waits_survives_a_restart(make_instance):
    i = make_instance()
    for pid in i.pids("lmtp"):
        os.kill(pid, signal.SIGSTOP)
    submit(i, ["sales@example.org"], "survives")
    i.wait_log(r"ev=queue\.expand .*count=8")
    time.sleep(0.3)
    kill_all(i)
    i.start()
    for user in SALES:
        wait_subject(i, f"{user}@example.org", "survives")


def kill_all(i):
    """SIGKILL for master and every role, as when the machine loses power (but for the cache)."""
    pids = [p for r in ("auth", "gate", "imap", "lmtp", "smtp", "queue") for p in i.pids(r)]
    i.kill()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    until = time.monotonic() + 180
    while any(os.path.exists(f"/proc/{p}") and
              open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[0] != "Z" for p in pids):
        assert time.monotonic() < until
        time.sleep(0.02)
    i.log_path.rename(i.log_path.with_suffix(".before"))


def test_below_the_reserve_mail_is_answered_452(make_instance):
    i = make_instance(settings="queue {\n reserve = 1024G\n}\n")
    c = i.smtp(SENDER)
    c.ehlo_or_helo_if_needed()
    code, text = c.mail(SENDER)
    if code == 250:
        code, text = c.rcpt("olga.sokolova@example.org")
    if code == 250:
        code, text = c.docmd("DATA")
    assert code == 452 and text.startswith(b"4.3.1"), (code, text)
    c.quit()


def test_submission_says_who_is_unknown(postroom):
    c = postroom.smtp(SENDER)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        c.sendmail(SENDER, ["nobody@example.org"], b"Subject: x\r\n\r\nx\r\n")
    c.quit()
