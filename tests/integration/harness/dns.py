"""A private unbound on loopback with records of our own.

    with Dns(work / "dns", ["_ldap._tcp.example.org. 1 IN SRV 0 0 389 dc1.example.org.",
                            "dc1.example.org. 1 IN A 127.0.0.1"]) as d:
        d.server                     # "127.0.0.1@40053", for dns_servers
        d.replace([...])             # other records, at once
"""
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from .ports import free_port


class SignedZone:
    """A zone signed with a key of its own: z.file for Dns(signed=[z]), z.anchor its DS record."""

    def __init__(self, directory, name, records):
        self.dir, self.name = Path(directory), name
        self.dir.mkdir(parents=True, exist_ok=True)
        plain = self.dir / f"{name}.zone"
        plain.write_text(f"{name}. 60 IN SOA ns.{name}. hostmaster.{name}. 1 3600 600 86400 60\n"
                         f"{name}. 60 IN NS ns.{name}.\nns.{name}. 60 IN A 127.0.0.1\n"
                         + "".join(f"{r}\n" for r in records))

        def run(*args):
            return subprocess.run(args, cwd=self.dir, check=True, capture_output=True, text=True).stdout.strip()
        key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name)
        self.file = self.dir / f"{name}.signed"
        run("ldns-signzone", "-f", str(self.file), str(plain), key)
        self.anchor = run("ldns-key2ds", "-n", "-2", f"{key}.key")

    def break_signatures_of(self, kind):
        """As somebody would who changes an answer on its way."""
        text = self.file.read_text()
        self.file.write_text(re.sub(rf"(?m)(\tRRSIG\t{kind} .* )(\S{{20}})(\S+)$",
                                    lambda m: m[1] + m[2][::-1] + m[3], text))


class Dns:
    def __init__(self, directory, records, zones=("example.org",), signed=()):
        self.signed = signed
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.zones = zones
        self.records = records
        self.process = None

    @property
    def server(self):
        return f"127.0.0.1@{self.port}"

    def start(self):
        zones = "".join(f'\tlocal-zone: "{z}." static\n' for z in self.zones)
        data = "".join(f"\tlocal-data: '{r}'\n" for r in self.records)
        conf = self.dir / "unbound.conf"
        conf.write_text(
            f'server:\n\tinterface: 127.0.0.1@{self.port}\n\tdo-daemonize: no\n\tusername: ""\n'
            f'\tchroot: ""\n\tdirectory: "{self.dir}"\n\tpidfile: ""\n\tuse-syslog: no\n'
            f'\tmodule-config: "iterator"\n\tnum-threads: 1\n\tdo-ip6: no\n{zones}{data}'
            + "".join(f'auth-zone:\n\tname: "{z.name}"\n\tzonefile: "{z.file}"\n\tfallback-enabled: no\n'
                      for z in self.signed) +
            "remote-control:\n\tcontrol-enable: no\n")
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/unbound", "-d", "-c", conf], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 180
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise RuntimeError("unbound: " + (self.dir / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(180)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def replace(self, records):
        self.stop()
        self.records = records
        self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
