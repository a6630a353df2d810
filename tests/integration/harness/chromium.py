"""Debian's Chromium without a screen, driven through chromedriver by the WebDriver protocol.

    with Chromium(directory) as b:
        b.go("http://localhost:8080/")
        b.find("input[name=q]").type("hello\\n")
        b.find("#result", text="found").click()
        with b.frame("#preview"):
            b.find("p").text

A name other than localhost does not resolve in it. What is not there within WAIT seconds is an
AssertionError that tells the page's text, the console and, with POSTROOM_KEEP, a picture's path.
"""
import base64
import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from .program import Program

WAIT = 10
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that WebDriver gives elements

ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-default-apps", "--metrics-recording-only",
    "--no-default-browser-check", "--password-store=basic", "--window-size=1400,1000",
    "--lang=en-US", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost",
    "--disable-features=Translate,MediaRouter,OptimizationHints",
]


class WebDriverError(Exception):
    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Element:
    def __init__(self, browser, reference):
        self.browser, self.reference = browser, reference

    def _do(self, method, path, **body):
        return self.browser.command(method, f"/element/{self.reference}/{path}", **body)

    def click(self):
        self._do("POST", "click")

    def type(self, text):
        self._do("POST", "value", text=text)

    def clear(self):
        self._do("POST", "clear")

    def attribute(self, name):
        return self._do("GET", f"attribute/{name}")

    @property
    def text(self):
        return self._do("GET", "text")

    @property
    def shown(self):
        return self._do("GET", "displayed")


class Chromium:
    def __init__(self, directory, binary="/usr/bin/chromium"):
        self.dir = Path(directory)
        self.binary = binary
        self.driver = self.session = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        self.driver = Program("chromedriver", ["chromedriver", "--port=0"], self.dir)
        port = self.driver.wait_output(r"started successfully on port (\d+)")[1]
        self.base = f"http://127.0.0.1:{port}"
        got = self._request("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {
                "binary": self.binary,
                "args": [*ARGUMENTS, f"--user-data-dir={self.dir}/profile"]},
            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = got["sessionId"]
        return self

    def stop(self):
        if self.session:
            with contextlib.suppress(WebDriverError, OSError):
                self._request("DELETE", f"/session/{self.session}")
            self.session = None
        if self.driver:
            self.driver.stop()
            self.driver = None

    def _request(self, method, path, body=None):
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.base + path, data, method=method,
                                         headers={"Content-Type": "application/json"})
        # not through a proxy of the environment
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=180) as r:
                return json.load(r)["value"]
        except urllib.error.HTTPError as e:
            value = json.load(e)["value"]
            raise WebDriverError(value["error"], value["message"]) from None

    def command(self, method, path, **body):
        return self._request(method, f"/session/{self.session}{path}", body)

    def go(self, url):
        self.command("POST", "/url", url=url)

    @property
    def url(self):
        return self.command("GET", "/url")

    def run(self, script, *args):
        """What JavaScript in the page returns."""
        return self.command("POST", "/execute/sync", script=script, args=list(args))

    def all(self, css):
        found = self.command("POST", "/elements", using="css selector", value=css)
        return [Element(self, f[ELEMENT]) for f in found]

    def find(self, css, text=None, wait=WAIT):
        """The first element that is shown and has the text in it, as soon as there is one."""
        until = time.monotonic() + wait
        while True:
            # a page that changes meanwhile takes its elements away
            with contextlib.suppress(WebDriverError):
                for e in self.all(css):
                    if e.shown and (text is None or text in e.text):
                        return e
            if time.monotonic() > until:
                raise AssertionError(f"no {css} with {text!r}\n{self.story()}")
            time.sleep(0.05)

    def wait_gone(self, css, text=None, wait=WAIT):
        until = time.monotonic() + wait
        while True:
            with contextlib.suppress(WebDriverError):
                if not any(e.shown and (text is None or text in e.text) for e in self.all(css)):
                    return
            assert time.monotonic() < until, f"{css} stays\n{self.story()}"
            time.sleep(0.05)

    @contextlib.contextmanager
    def frame(self, css):
        """Inside the frame that the selector finds."""
        e = self.find(css)
        self.command("POST", "/frame", id={ELEMENT: e.reference})
        try:
            yield self
        finally:
            self.command("POST", "/frame", id=None)

    def console(self):
        """What the page logged since the last call."""
        return [f"{x['level']}: {x['message']}" for x in self.command("POST", "/se/log",
                                                                      type="browser")]

    def story(self):
        parts = []
        try:
            parts += [f"at {self.url}", "console:", *self.console()[-20:],
                      "page:", self.run("return document.body.innerText")[:3000]]
            if os.environ.get("POSTROOM_KEEP"):
                picture = self.dir / f"failure-{time.time_ns()}.png"
                picture.write_bytes(base64.b64decode(self.command("GET", "/screenshot")))
                parts.append(f"screen: {picture}")
        except (WebDriverError, OSError) as e:
            parts.append(f"no more to be heard: {e}")
        return "\n".join(parts)
