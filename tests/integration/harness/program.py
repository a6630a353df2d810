"""A program under test in a process group of its own, with its output in a file.

    p = Program("chromedriver", [...], directory)   # started; HOME and TMPDIR lie in directory
    p.wait_output(r"on port (\\d+)")[1]
    p.stop()                                        # and all that it started
"""
import os
import re
import signal
import subprocess
import time
from pathlib import Path


class Program:
    def __init__(self, name, command, directory, env=None, pass_fds=()):
        self.name = name
        self.dir = Path(directory)
        home, tmp = self.dir / "home", self.dir / "tmp"
        for d in home, tmp:
            d.mkdir(parents=True, exist_ok=True)
            d.chmod(0o700)
        self.log_path = self.dir / f"{name}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [str(a) for a in command], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, pass_fds=pass_fds,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home),
                     "TMPDIR": str(tmp), "XDG_RUNTIME_DIR": str(tmp),
                     **{k: str(v) for k, v in (env or {}).items()}})

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        return self.log_path.read_text(errors="replace")

    def check_alive(self):
        code = self.process.poll()
        assert code is None, f"{self.name} ended with {code}:\n{self.text()[-3000:]}"

    def wait_output(self, pattern, timeout=180):
        """Until what it wrote matches the regular expression."""
        until = time.monotonic() + timeout
        while True:
            m = re.search(pattern, self.text())
            if m:
                return m
            self.check_alive()
            assert time.monotonic() < until, f"{self.name}: no {pattern!r}:\n{self.text()[-3000:]}"
            time.sleep(0.03)

    def pids(self):
        """All living processes of its session."""
        out = []
        for p in Path("/proc").glob("[0-9]*"):
            try:
                fields = (p / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == self.pid and fields[0] != "Z":
                out.append(int(p.name))
        return out

    def stop(self, timeout=5):
        if self.process is None:
            return
        for sig in signal.SIGTERM, signal.SIGKILL:
            for pid in self.pids():
                try:
                    os.kill(pid, sig)
                except ProcessLookupError:
                    pass
            until = time.monotonic() + timeout
            while self.pids() and time.monotonic() < until:
                self.process.poll()
                time.sleep(0.02)
        self.process.wait(180)
        self.process = None
