"""Services of PAM in a folder of their own, so that the machine's /etc/pam.d stays as it is.

    p = PamServices(directory)
    p.trial("postroom")                       # pam_trial.c: what happens is the user's name
    p.script("checked", "test \"$PAM_USER\" = anna && read p && test \"$p\" = secret")
    p.dir                                     # for pam { config_dir = … }
"""
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


class PamServices:
    def __init__(self, directory):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o755)

    def service(self, name, text):
        (self.dir / name).write_text(text)

    def trial(self, name):
        module = self.dir / "pam_trial.so"
        if not module.exists():
            subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", module,
                            HERE / "pam_trial.c", "-lpam"], check=True)
        self.service(name, f"auth required {module}\naccount required {module}\n")

    def script(self, name, body):
        """pam_exec runs it with the password on its standard input."""
        script = self.dir / f"{name}.sh"
        script.write_text("#!/bin/sh\n" + body + "\n")
        script.chmod(0o755)
        # pam_exec calls every failure a system's error; pam_deny makes a refusal of it
        self.service(name, f"auth [success=done default=ignore] pam_exec.so expose_authtok quiet {script}\n"
                           "auth requisite pam_deny.so\naccount required pam_permit.so\n")
