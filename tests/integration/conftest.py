"""Fixtures for all integration tests. Everything lives in one temporary folder a module."""
import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import instance as instance_module  # noqa: E402
from harness.authd import Authd  # noqa: E402
from harness.certs import Certs  # noqa: E402
from harness.ds389 import Ds389  # noqa: E402
from harness.samba_ad import SambaAd  # noqa: E402
from harness.slapd import Slapd  # noqa: E402

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"


@pytest.fixture(scope="session")
def certs():
    d = instance_module.temp_dir("postroom-certs-")
    yield Certs(d)
    instance_module.remove(d)


@pytest.fixture(scope="module")
def work():
    """A folder that the roles' users can reach; kept when POSTROOM_KEEP is set."""
    d = instance_module.temp_dir()
    yield d
    if not os.environ.get("POSTROOM_KEEP"):
        instance_module.remove(d)


@pytest.fixture(scope="module")
def slapd(work, certs):
    """A running slapd with the sample organisation, StartTLS and ldaps."""
    with Slapd(work / "slapd", ca=certs.ca, cert=certs.cert, key=certs.key) as s:
        yield s


@pytest.fixture
def start(work):
    """start(section, ...) runs a postroom-auth of the test's own."""
    made = []

    def make(*sections, **kw):
        a = Authd(work / f"auth-{time.monotonic_ns()}", "\n".join(sections), **kw)
        made.append(a)
        return a.start()

    yield make
    for a in made:
        a.stop()


@pytest.fixture(scope="module")
def postroom(work, slapd, certs):
    """One running instance, shared by a module's tests; they use different users."""
    i = instance_module.Instance(work / "postroom", slapd, certs)
    i.start()
    yield i
    i.stop()


@pytest.fixture(scope="session")
def samba_ad(certs):
    """A running Active Directory domain controller, shared by all modules: what a test changes
    there, it changes back."""
    d = instance_module.temp_dir("postroom-ad-")
    with SambaAd(d, certs) as ad:
        yield ad
    instance_module.remove(d)


@pytest.fixture(scope="session")
def ds389(certs):
    """A running 389 Directory Server, shared by all modules: what a test changes there, it changes
    back."""
    d = instance_module.temp_dir("postroom-389-")
    with Ds389(d, certs) as ds:
        yield ds
    instance_module.remove(d)


@pytest.fixture
def make_instance(slapd, certs):
    """make_instance(settings="…") starts an instance of the test's own."""
    made = []

    def make(settings="", start=True, **kw):
        d = instance_module.temp_dir()
        i = instance_module.Instance(d, kw.pop("slapd", slapd), certs, settings, **kw)
        made.append(i)
        return i.start() if start else i

    yield make
    for i in made:
        i.stop()
        if not os.environ.get("POSTROOM_KEEP"):
            instance_module.remove(i.dir)


@pytest.fixture(scope="session")
def mariadb(certs):
    """A running MariaDB for all tests; each makes its own tables anew."""
    from harness.mariadb import MariaDb
    d = instance_module.temp_dir("postroom-mariadb-")
    with MariaDb(d / "db", certs) as m:
        yield m
    instance_module.remove(d)


@pytest.fixture(scope="session")
def postgres(certs):
    """A running PostgreSQL for all tests; each makes its own tables anew."""
    from harness.postgres import Postgres
    d = instance_module.temp_dir("postroom-postgres-")
    with Postgres(d / "db", certs) as p:
        yield p
    instance_module.remove(d)


@pytest.fixture(scope="session")
def corpus():
    if not CORPUS.is_dir():
        pytest.skip("../shared/corpus is not there: nothing to compare")
    return sorted(CORPUS.glob("*.eml"))
