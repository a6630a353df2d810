"""What ./quickstart shows a newcomer holds."""
import subprocess
import sys

from harness import demo
from harness.instance import build_dir


def test_the_proof_holds(work):
    shown = subprocess.run([sys.executable, "-B", demo.__file__, build_dir(), work / "demo", "--once"],
                           text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    assert shown.returncode == 0 and "All of it holds." in shown.stdout, shown.stdout + shown.stderr
