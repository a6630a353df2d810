"""A throw-away certificate authority for the tests, made with the openssl command.

    c = Certs(directory)      # makes ca.pem, server.pem, server.key (localhost, 127.0.0.1, ::1, mail.example.org)
    c.ca, c.cert, c.key       # paths
    c.context()               # an ssl.SSLContext that trusts this authority
    c.issue("other", "mail.example.net")  -> (cert, key)

Also a program, for ./quickstart: certs.py DIR
"""
import ssl
import subprocess
import sys
from pathlib import Path


def _openssl(*args, text=None):
    done = subprocess.run(["openssl", *map(str, args)], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args[0]}: {done.stderr}")


class Certs:
    def __init__(self, directory, days=30):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.days = days
        self.ca = self.dir / "ca.pem"
        self.ca_key = self.dir / "ca.key"
        if not self.ca.exists():
            _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", self.ca_key, "-out", self.ca, "-days", days,
                     "-subj", "/CN=Postroom test authority",
                     "-addext", "basicConstraints=critical,CA:TRUE",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign")
            self.ca_key.chmod(0o600)
        self.cert, self.key = self.issue(
            "server", "localhost", "DNS:mail.example.org", "IP:127.0.0.1", "IP:::1")

    def issue(self, stem, name, *more):
        cert, key = self.dir / f"{stem}.pem", self.dir / f"{stem}.key"
        if cert.exists():
            return cert, key
        csr, ext = self.dir / f"{stem}.csr", self.dir / f"{stem}.ext"
        ext.write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n"
                       f"subjectAltName={','.join((f'DNS:{name}',) + more)}\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", key, "-out", csr, "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.ca_key,
                 "-CAcreateserial", "-days", self.days, "-extfile", ext, "-out", cert)
        key.chmod(0o600)
        csr.unlink()
        ext.unlink()
        return cert, key

    def context(self):
        return ssl.create_default_context(cafile=str(self.ca))


if __name__ == "__main__":
    c = Certs(sys.argv[1])
    print(c.ca, c.cert, c.key)
