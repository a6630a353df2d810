"""What ./quickstart runs: a private slapd and a whole Postroom on loopback, a message from one
person to a group and back out over IMAP, each claim checked, and the settings for a mail program.

    demo.py BUILD-FOLDER DATA-FOLDER [--once]
"""
import argparse
import email
import email.message
import email.policy
import email.utils
import hashlib
import imaplib
import os
import re
import signal
import smtplib
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import instance, slapd as slapd_module  # noqa: E402
from harness.certs import Certs  # noqa: E402

SENDER = "anna.berg@example.org"
GROUP = "support@example.org"
# one sits in the group itself, the other in a group inside it
READERS = ["david.okafor@example.org", "yusuf.demir@example.org"]
# logs in late
NEWCOMER = "pavel.dvorak@example.org"
PORTS = {"imap_port": 10143, "imaps_port": 10993, "submission_port": 10587,
         "submissions_port": 10465, "lmtp_port": 10024}


class Wrong(Exception):
    pass


def step(text):
    print(f"  - {text}", flush=True)


def check(condition, text):
    if not condition:
        raise Wrong(text)
    step(text)


def port_is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def password(user):
    return slapd_module.password_of(user.split("@")[0])


def send(i, attachment):
    m = email.message.EmailMessage()
    m["From"] = f"Anna Berg <{SENDER}>"
    m["To"] = f"Support <{GROUP}>"
    m["Subject"] = "Grüße aus dem Quickstart"
    m["Message-ID"] = email.utils.make_msgid(domain="example.org")
    m.set_content("The attachment must arrive as it left.\n")
    m.add_attachment(attachment, maintype="application", subtype="octet-stream",
                     filename="report.bin")
    with i.smtp(SENDER, password(SENDER)) as c:
        c.send_message(m)
    return m["Message-ID"]


def read_attachment(i, user, message_id):
    until = time.monotonic() + 180
    while time.monotonic() < until:
        c = i.imap(user, password(user))
        try:
            c.select("INBOX", readonly=True)
            typ, data = c.search(None, "HEADER", "Message-ID", message_id)
            if typ == "OK" and data[0]:
                typ, data = c.fetch(data[0].split()[0], "(BODY.PEEK[])")
                parsed = email.message_from_bytes(data[0][1], policy=email.policy.default)
                part = next(p for p in parsed.walk() if p.get_filename() == "report.bin")
                return part.get_payload(decode=True)
        finally:
            c.logout()
        time.sleep(0.2)
    raise Wrong(f"the message did not reach {user} within 30 s")


def login_answer(i, user, pw):
    try:
        c = i.imap()
        try:
            c.login(user, pw)
            return "OK"
        finally:
            c.shutdown()
    except imaplib.IMAP4.error as e:
        return str(e)


def submission_code(i, user, pw):
    try:
        with i.smtp() as c:
            c.login(user, pw)
        return 235
    except smtplib.SMTPResponseException as e:
        return e.smtp_code


def prove_message(i, directory):
    attachment = os.urandom(300_000)
    digest = hashlib.sha256(attachment).hexdigest()
    message_id = send(i, attachment)
    step(f"{SENDER} submitted {message_id} to {GROUP} (STARTTLS, AUTH PLAIN)")
    for user in READERS:
        got = hashlib.sha256(read_attachment(i, user, message_id)).hexdigest()
        check(got == digest, f"{user} read it over IMAP with TLS; the attachment's SHA-256 is "
              f"{got[:16]}… again")
    log = directory.log_text()
    for user in [SENDER, *READERS]:
        dn = slapd_module.user_dn(user.split("@")[0])
        check(re.search(rf'BIND dn="{re.escape(dn)}" (mech=SIMPLE|method=128)', log),
              f"slapd's log shows the bind of {dn}")


def prove_directory(i, directory):
    user = READERS[0]
    uid = user.split("@")[0]
    directory.set_password(uid, "a-new-password")
    check(login_answer(i, user, "a-new-password") == "OK",
          "after a password change in slapd the new one works at once")
    check("AUTHENTICATIONFAILED" in login_answer(i, user, password(user)),
          "and the old one is refused")
    directory.set_password(uid, password(user))
    directory.stop()
    check(login_answer(i, READERS[1], password(READERS[1])) == "OK",
          f"with slapd stopped {READERS[1]}, who logged in a moment ago, is remembered")
    check("UNAVAILABLE" in login_answer(i, NEWCOMER, password(NEWCOMER)),
          f"{NEWCOMER}, who did not, hears [UNAVAILABLE]")
    code = submission_code(i, NEWCOMER, password(NEWCOMER))
    check(code == 454, f"and submission's AUTH says {code}")
    directory.start()
    until = time.monotonic() + 180
    while login_answer(i, NEWCOMER, password(NEWCOMER)) != "OK" and time.monotonic() < until:
        time.sleep(0.2)
    check(login_answer(i, NEWCOMER, password(NEWCOMER)) == "OK",
          "with slapd back, logins work again")


def print_settings(i, certs):
    print(f"""
A mail program (Thunderbird, Outlook …) on this machine can use it now:

    Your name / address   Anna Berg / {SENDER}
    User name, password   {SENDER} / {password(SENDER)}
                          (everybody's password is secret-<uid>; see config/ldap/example.ldif)
    Incoming IMAP         localhost, port {i.imaps_port} SSL/TLS (or {i.imap_port} STARTTLS), normal password
    Outgoing SMTP         localhost, port {i.submission_port} STARTTLS (or {i.submissions_port} SSL/TLS), normal password
    Authority to trust    {certs.ca}
    Groups to write to    {GROUP}, sales@example.org, engineering@example.org
    Log                   {i.log_path}
""", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("data")
    p.add_argument("--once", action="store_true")
    a = p.parse_args()
    os.environ["POSTROOM_BUILD"] = a.build
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    data = Path(a.data)
    certs = Certs(data / "certs")
    print("\nStarting a private slapd and Postroom on loopback")
    with slapd_module.Slapd(data / "slapd", ca=certs.ca, cert=certs.cert,
                            key=certs.key) as directory:
        step(f"slapd answers on {directory.uri}: 50 people, aliases, nested groups")
        i = instance.Instance(data / "postroom", directory, certs)
        for name, port in PORTS.items():
            if port_is_free(port):
                setattr(i, name, port)
        i.write_conf()
        i.start()
        try:
            users = "their own system users" if os.geteuid() == 0 else "this user"
            step(f"postroom runs as process {i.process.pid}, its roles under {users}")
            print("\nThe proof")
            prove_message(i, directory)
            prove_directory(i, directory)
            print("\nAll of it holds.")
            if not a.once:
                print_settings(i, certs)
                print("Ctrl-C ends it.", flush=True)
                try:
                    signal.pause()
                except KeyboardInterrupt:
                    print()
        except (Wrong, AssertionError) as e:
            print(f"\nFAILED: {e}\n\n{i.log_text()[-4000:]}", file=sys.stderr)
            return 1
        finally:
            i.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
