"""Debian's Thunderbird with one IMAP account of an instance, driven through its Marionette port.

    with Thunderbird(directory, instance, "anna.berg@example.org") as t:
        t.run("return folder('INBOX').getTotalMessages(false);")
        t.wait("return folder('INBOX').getTotalMessages(false) == 3;")
        t.screenshot(path)

run() executes JavaScript with the rights of the program; it may use `await`, gets its further
arguments as `args`, and PRELUDE stands before it. The profile trusts the instance's authority,
holds the password in the login store, lets no name resolve to anything but loopback and has
everything switched off that would talk to somebody else. It is shown on an Xvfb of its own.
"""
import base64
import json
import os
import socket
import subprocess
import time
from pathlib import Path

from .instance import password_of
from .program import Program

BINARY = "/usr/lib/thunderbird/thunderbird"

PRELUDE = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { MailUtils } = ChromeUtils.importESModule("resource:///modules/MailUtils.sys.mjs");
const server = MailServices.accounts.accounts.map(a => a.incomingServer)
	.find(s => s.type == "imap");
const Flags = Ci.nsMsgFolderFlags;
const folder = path => path.split("/").reduce((f, n) => f.getChildNamed(n), server.rootFolder);
const paths = f => f.subFolders.flatMap(
	s => [s.name, ...paths(s).map(p => s.name + "/" + p)]);
const headers = f => [...f.messages];
const header = (f, subject) => headers(f).find(h => h.mime2DecodedSubject == subject);
const main = Services.wm.getMostRecentWindow("mail:3pane");
const listener = done => ({
	QueryInterface: ChromeUtils.generateQI(["nsIUrlListener", "nsIMsgCopyServiceListener"]),
	OnStartRunningUrl() {}, OnStopRunningUrl(url, code) { done(code); },
	onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
	onStopCopy(code) { done(code); },
	OnStartCopy() {}, OnProgress() {}, SetMessageKey() {}, GetMessageId() { return null; },
	OnStopCopy(code) { done(code); },
});
// start(listener) begins something; it must end well
const finished = async start => {
	const code = await new Promise(done => start(listener(done)));
	if (!Components.isSuccessCode(code)) {
		throw new Error("it ended with 0x" + code.toString(16));
	}
};
"""

# Nobody else is asked for anything; nothing comes up in front of the window.
PREFS = {
    "app.donation.eoy.version.viewed": 999,
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "app.update.disabledForTesting": True,
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "dom.push.connection.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "geo.enabled": False,
    "intl.locale.requested": "en-US",
    "mail.chat.enabled": False,
    "mail.cloud_files.enabled": False,
    "mail.inappnotifications.enabled": False,
    "mail.instrumentation.askUser": False,
    "mail.provider.enabled": False,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spam.version": 1,
    "mail.winsearch.firstRunDone": True,
    "mailnews.auto_config_url": "",
    "mailnews.start_page.enabled": False,
    "mailnews.start_page.override_url": "",
    "mailnews.start_page.url": "",
    "mailnews.start_page_override.mstone": "ignore",
    "messenger.startup.action": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.forceResolve": "127.0.0.1",
    "network.manage-offline-status": False,
    "network.prefetch-next": False,
    "network.proxy.type": 0,
    "network.trr.mode": 5,
    "security.OCSP.enabled": 0,
    "services.settings.server": "http://localhost:9/",
    "signon.rememberSignons": True,
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
    "toolkit.telemetry.unified": False,
    # as few processes as it can do with
    "dom.ipc.processCount": 1,
    "dom.ipc.processPrelaunch.enabled": False,
    "gfx.webrender.software": True,
    "media.rdd-process.enabled": False,
    "marionette.port": 0,
}


def account_prefs(instance, user):
    """An account as its own dialogue would make it. New mail is never asked for at intervals:
    what arrives is seen through IDLE."""
    return {
        "mail.account.account1.identities": "id1",
        "mail.account.account1.server": "server1",
        "mail.account.account2.server": "server2",
        "mail.account.lastKey": 2,
        "mail.accountmanager.accounts": "account1,account2",
        "mail.accountmanager.defaultaccount": "account1",
        "mail.accountmanager.localfoldersserver": "server2",
        "mail.identity.id1.compose_html": False,
        "mail.identity.id1.fullName": "Somebody",
        "mail.identity.id1.smtpServer": "smtp1",
        "mail.identity.id1.useremail": user,
        "mail.identity.id1.valid": True,
        "mail.server.server1.authMethod": 3,
        "mail.server.server1.check_new_mail": False,
        "mail.server.server1.hostname": "localhost",
        "mail.server.server1.login_at_startup": False,
        "mail.server.server1.name": user,
        "mail.server.server1.port": instance.imaps_port,
        "mail.server.server1.socketType": 3,
        "mail.server.server1.type": "imap",
        "mail.server.server1.use_idle": True,
        "mail.server.server1.userName": user,
        "mail.server.server2.hostname": "Local Folders",
        "mail.server.server2.name": "Local Folders",
        "mail.server.server2.type": "none",
        "mail.server.server2.userName": "nobody",
        "mail.smtpserver.smtp1.authMethod": 3,
        "mail.smtpserver.smtp1.hostname": "localhost",
        "mail.smtpserver.smtp1.port": instance.submission_port,
        "mail.smtpserver.smtp1.try_ssl": 2,
        "mail.smtpserver.smtp1.username": user,
        "mail.smtpservers": "smtp1",
        "mail.smtp.defaultserver": "smtp1",
    }


class MarionetteError(Exception):
    pass


class Marionette:
    """The protocol: messages are "LENGTH:JSON"; [0, id, name, parameters] is answered by
    [1, id, error, result]."""

    def __init__(self, port, timeout):
        self.s = socket.create_connection(("127.0.0.1", port), timeout)
        self.buf = b""
        self.id = 0
        hello = self._receive()
        assert hello.get("marionetteProtocol") == 3, hello

    def _more(self):
        got = self.s.recv(65536)
        if not got:
            raise MarionetteError("the connection was closed")
        self.buf += got

    def _receive(self):
        while b":" not in self.buf:
            self._more()
        length, self.buf = self.buf.split(b":", 1)
        while len(self.buf) < int(length):
            self._more()
        text, self.buf = self.buf[:int(length)], self.buf[int(length):]
        return json.loads(text)

    def command(self, name, **parameters):
        self.id += 1
        text = json.dumps([0, self.id, name, parameters]).encode()
        self.s.sendall(b"%d:" % len(text) + text)
        kind, number, error, result = self._receive()
        assert (kind, number) == (1, self.id)
        if error:
            raise MarionetteError(f"{error['error']}: {error['message']}\n{error['stacktrace']}")
        return result

    def close(self):
        self.s.close()


class Thunderbird:
    def __init__(self, directory, instance, user, timeout=120):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.instance, self.user, self.timeout = instance, user, timeout
        self.profile = self.dir / "profile"
        self.xvfb = self.program = self.marionette = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc):
        self.stop()

    def _make_profile(self):
        self.profile.mkdir(mode=0o700)
        prefs = {**PREFS, **account_prefs(self.instance, self.user)}
        (self.profile / "user.js").write_text("".join(
            f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in prefs.items()))
        db = f"sql:{self.profile}"
        for args in (["-N", "-d", db, "--empty-password"],
                     ["-A", "-d", db, "-n", "test authority", "-t", "C,,", "-i",
                      self.instance.certs.ca]):
            done = subprocess.run(["certutil", *map(str, args)], capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr

    def _start_display(self):
        r, w = os.pipe()
        self.xvfb = Program("xvfb", ["Xvfb", "-displayfd", w, "-screen", "0", "1280x1024x24",
                                     "-nolisten", "tcp"], self.dir / "x", pass_fds=(w,))
        os.close(w)
        with os.fdopen(r, "rb") as f:
            number = f.readline().strip()
        assert number, self.xvfb.text()
        return ":" + number.decode()

    def _wait_port(self):
        """It writes down where it listens."""
        port = self.profile / "MarionetteActivePort"
        until = time.monotonic() + self.timeout
        while not port.exists() or not port.read_text().strip():
            self.program.check_alive()
            assert time.monotonic() < until, self.program.text()[-3000:]
            time.sleep(0.05)
        return int(port.read_text())

    def start(self):
        self._make_profile()
        display = self._start_display()
        self.program = Program(
            "thunderbird", [BINARY, "--no-remote", "--profile", self.profile, "--marionette",
                            "--remote-allow-system-access"], self.dir / "tb",
            env={"DISPLAY": display, "MOZ_DISABLE_CONTENT_SANDBOX": 1, "MOZ_CRASHREPORTER_DISABLE": 1,
                 "NO_AT_BRIDGE": 1, "GTK_A11Y": "none", "GSETTINGS_BACKEND": "memory",
                 "DBUS_SESSION_BUS_ADDRESS": "disabled:"})
        self.marionette = Marionette(self._wait_port(), self.timeout)
        self.marionette.command("WebDriver:NewSession", acceptInsecureCerts=False)
        self.marionette.command("Marionette:SetContext", value="chrome")
        self.marionette.command("WebDriver:SetTimeouts", script=self.timeout * 1000)
        self._store_passwords()
        return self

    def _store_passwords(self):
        self.run("""
            for (const origin of ["imap://localhost", "smtp://localhost"]) {
                const login = Cc["@mozilla.org/login-manager/loginInfo;1"]
                    .createInstance(Ci.nsILoginInfo);
                login.init(origin, null, origin, args[0], args[1], "", "");
                await Services.logins.addLoginAsync(login);
            }""", self.user, password_of(self.user))

    def run(self, script, *args):
        """What the script returns. An error tells what Thunderbird has on its screen and console."""
        text = f"const args = [...arguments]; return (async () => {{ {PRELUDE}\n{script}\n}})();"
        try:
            return self.marionette.command("WebDriver:ExecuteScript", script=text, args=list(args),
                                           sandbox="system", newSandbox=True)["value"]
        except (MarionetteError, OSError) as e:
            raise AssertionError(f"{e}\n{self.story()}") from e

    def wait(self, script, *args, timeout=180):
        """Until the script returns something true, which is returned."""
        until = time.monotonic() + timeout
        while True:
            got = self.run(script, *args)
            if got:
                return got
            if time.monotonic() > until:
                raise AssertionError(f"never true: {script}\n{self.story()}")
            time.sleep(0.05)

    def screenshot(self, path):
        got = self.marionette.command("WebDriver:TakeScreenshot", full=True, hash=False)
        Path(path).write_bytes(base64.b64decode(got["value"]))

    def console(self):
        """The last lines of the error console."""
        return "\n".join(self.marionette.command(
            "WebDriver:ExecuteScript", args=[], sandbox="system", script="""
            return Services.console.getMessageArray().slice(-25)
                .map(m => String(m.message || m).slice(0, 300));""")["value"])

    def story(self):
        """What helps to understand a failure."""
        parts = []
        try:
            parts.append("console:\n" + self.console())
            if os.environ.get("POSTROOM_KEEP"):
                picture = self.dir / f"failure-{time.time_ns()}.png"
                self.screenshot(picture)
                parts.append(f"screen: {picture}")
        except (MarionetteError, OSError) as e:
            parts.append(f"no more to be heard: {e}")
        parts.append("its output:\n" + self.program.text()[-1500:])
        parts.append("the server's log:\n" + self.instance.log_text()[-3000:])
        return "\n".join(parts)

    def sockets(self):
        """(address, port) of every peer that its processes are connected to by TCP."""
        inodes = set()
        for pid in self.program.pids():
            try:
                for fd in Path(f"/proc/{pid}/fd").iterdir():
                    target = os.readlink(fd)
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
            except OSError:
                continue
        peers = set()
        for table in "tcp", "tcp6", "udp", "udp6":
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                f = line.split()
                if f[9] in inodes and not f[2].endswith(":0000"):
                    peers.add(f[2].split(":")[0])
        return peers

    def stop(self):
        if self.marionette:
            try:
                self.marionette.command("Marionette:Quit", flags=["eForceQuit"])
                self.program.process.wait(180)
            except (MarionetteError, OSError, subprocess.TimeoutExpired):
                pass
            self.marionette.close()
        for p in self.program, self.xvfb:
            if p:
                p.stop()
        self.marionette = self.program = self.xvfb = None
