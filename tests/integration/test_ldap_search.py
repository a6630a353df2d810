"""Whole searches: pages, attributes that come in parts, referrals. Against slapd, and where it never
answers so by itself, against a scripted server."""
import os
import subprocess
from pathlib import Path

import pytest

from harness import ds389 as ds
from harness import samba_ad as ad
from harness.scripted import Done, Entry, Reference, Scripted, integer, string, tlv
from harness.slapd import ADMIN_DN, ADMIN_PASSWORD, BASE, SERVICE_DN, SERVICE_PASSWORD, Slapd

pytestmark = pytest.mark.waits

PROBE = Path(os.environ["POSTROOM_BUILD"]) / "tests/tools/ldap_probe"
PAGED = "1.2.840.113556.1.4.319"
SERVICE = ("--dn", SERVICE_DN, "--password", SERVICE_PASSWORD)


class Answer:
    def __init__(self, out):
        self.lines = out.splitlines()
        self.results = [line for line in self.lines if line.startswith("result ")]
        self.result = self.results[-1]
        self.err = self.result.split("err=")[1].split()[0]
        self.dns = [line[4:] for line in self.lines if line.startswith("dn: ")]

    def values(self, name):
        return [line.split(": ", 1)[1] for line in self.lines if line.startswith(name + ": ")]


def probe(*args):
    done = subprocess.run([PROBE, *map(str, args)], capture_output=True, text=True, timeout=180,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return Answer(done.stdout)


def people(n):
    return "".join(f"dn: uid=p{i},ou=crowd,{BASE}\nobjectClass: inetOrgPerson\nuid: p{i}\n"
                   f"cn: P {i}\nsn: P\nmail: p{i}@example.org\n\n" for i in range(n))


CROWD = 130


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server that gives 20 entries at most, but pages without end to the service account."""
    limits = (f'limits dn.exact="{SERVICE_DN}" size.soft=20 size.hard=20 size.pr=50 '
              "size.prtotal=unlimited\n")
    with Slapd(tmp_path_factory.mktemp("small") / "slapd", database_settings=limits) as d:
        d.add(f"dn: ou=crowd,{BASE}\nobjectClass: organizationalUnit\nou: crowd\n\n"
              + people(CROWD))
        yield d


def crowd(d, *args, scope="sub", filter="(uid=p*)"):
    return probe("--uri", d.uri, *SERVICE, *args, "search", f"ou=crowd,{BASE}", scope, filter,
                 "uid")


def test_the_limit_of_the_server_is_no_answer(small):
    a = crowd(small)
    assert a.err == "temp" and "limit" in a.result


def test_pages_bring_all_of_a_long_list(small):
    a = crowd(small, "--many", "--page", 30)
    assert a.err == "ok" and len(a.results) == 1
    assert sorted(a.values("uid")) == sorted(f"p{i}" for i in range(CROWD))


def test_an_answer_that_the_server_cuts_is_fetched_in_pages(small):
    a = crowd(small, "--page", 30)
    assert a.err == "ok" and len(set(a.dns)) == CROWD == len(a.dns)


def test_pages_get_smaller_where_the_server_wants_them_so(small):
    """size.pr=50: 51 entries a page are refused."""
    a = crowd(small, "--many", "--page", 500)
    assert a.err == "ok" and len(set(a.dns)) == CROWD == len(a.dns)


def test_pages_are_handed_out_one_by_one(small):
    a = crowd(small, "--many", "--page", 30, "--stream")
    assert [r.split("more=")[1][0] for r in a.results] == ["1", "1", "1", "1", "0"]
    assert len(set(a.dns)) == CROWD == len(a.dns)


def test_long_searches_take_turns(small):
    """slapd keeps one cookie a connection: a second paged search would end the first."""
    a = crowd(small, "--many", "--page", 30, "--times", 5)
    assert len(a.results) == 5 and all("err=ok" in r for r in a.results)
    assert len(a.dns) == 5 * CROWD


def test_more_than_asked_for_is_a_limit(small):
    assert crowd(small, "--page", 30, "--limit", 2).err == "limit"
    assert crowd(small, "--many", "--page", 30, "--limit", 60).err == "limit"
    assert crowd(small, "--many", "--page", 30, "--limit", CROWD).err == "ok"
    assert crowd(small, "--page", 30, "--limit", 2, filter="(uid=p7)").err == "ok"


def test_scopes(small):
    assert crowd(small, scope="base", filter="(objectClass=*)").dns == [f"ou=crowd,{BASE}"]
    assert len(crowd(small, scope="one", filter="(uid=p7*)").dns) == 11
    a = probe("--uri", small.uri, *SERVICE, "search", BASE, "one", "(uid=p7)", "uid")
    assert a.err == "ok" and a.dns == []


def test_a_base_that_is_missing(small):
    a = probe("--uri", small.uri, *SERVICE, "search", f"uid=none,{BASE}", "base",
              "(objectClass=*)")
    assert a.err == "notfound"
    a = probe("--uri", small.uri, *SERVICE, "search", f"ou=none,{BASE}", "sub", "(uid=p1)")
    assert a.err == "temp"


def test_a_server_that_does_not_page():
    def on_search(q):
        for i in range(5):
            yield Entry(f"cn={i},dc=x", {"cn": [str(i)]})
        yield Done()

    with Scripted(on_search) as s:
        a = probe("--uri", s.uri, "--many", "--page", 2, "search", "dc=x", "sub", "(cn=*)", "cn")
    assert a.err == "ok" and a.values("cn") == list("01234")
    assert len(s.searches) == 1 and PAGED in s.searches[0].controls


def page_control(cookie):
    return [(PAGED, tlv(0x30, integer(0), string(cookie)))]


def test_a_connection_lost_between_pages_is_temporary(small):
    def on_search(q):
        yield Entry("cn=1,dc=x", {"cn": ["1"]})
        if b"next" in q.controls[PAGED]:
            s.connections[-1].close()
        else:
            yield Done(controls=page_control("next"))

    with Scripted(on_search) as s:
        a = probe("--uri", s.uri, "--many", "--page", 2, "search", "dc=x", "sub", "(cn=*)", "cn")
    assert a.err == "temp"


def test_nobody_waits_for_a_turn_without_end():
    """The first search hangs on its second page: the other one has a deadline of its own."""
    def on_search(q):
        if PAGED not in q.controls:
            yield Done(4)
        elif b"next" not in q.controls[PAGED]:
            yield Done(controls=page_control("next"))

    with Scripted(on_search) as s:
        a = probe("--uri", s.uri, "--page", 20, "--times", 2, "search", "dc=x", "sub", "(cn=*)")
    assert len(a.results) == 2 and all("err=temp" in r for r in a.results)
    assert any("its turn" in r for r in a.results)


def test_empty_pages_come_to_an_end():
    def on_search(q):
        yield Done(controls=page_control("again"))

    with Scripted(on_search) as s:
        a = probe("--uri", s.uri, "--many", "--page", 2, "search", "dc=x", "sub", "(cn=*)", "cn")
    assert a.err == "temp" and "without end" in a.result
    assert len(s.searches) < 1200


def endless_entries(q):
    for _ in range(1000):
        yield Entry("cn=1,dc=x", {"cn": ["x" * 100000]})


def endless_references(q):
    for _ in range(5000):
        yield Reference("ldap://other/dc=x")


def endless_values(q):
    yield Entry("cn=1,dc=x", {"cn": [""] * 300000})


@pytest.mark.parametrize("on_search,why", [
    (endless_entries, "too large"), (endless_references, "more than 1000 references"),
    (endless_values, "more than 200000 values")])
def test_an_answer_without_measure_ends_before_its_time(on_search, why):
    """It is given up where it is too much, not when the time for the search is over."""
    a, searches = ranged(on_search)
    assert a.err == "temp" and why in a.result and a.dns == [] and len(searches) == 1


def test_many_values_are_an_answer():
    a, _ = ranged(lambda q: [Entry("cn=1,dc=x", {"cn": [str(i) for i in range(60000)]}), Done()])
    assert a.err == "ok" and len(a.values("cn")) == 60000


# ---- attributes in parts ----

class Ranged:
    """A group of `count` members, given in parts of `step` as Active Directory does."""

    def __init__(self, count, step, spoil=None):
        self.members = [f"cn=m{i},dc=x" for i in range(count)]
        self.step, self.spoil = step, spoil

    def __call__(self, q):
        start = 0
        for name in q.attrs:
            if name.lower().startswith("member;range="):
                start = int(name.split("=")[1].split("-")[0])
        if self.spoil and start:
            yield from self.spoil(start)
            return
        end = start + self.step
        part = self.members[start:end]
        last = "*" if end >= len(self.members) else end - 1
        attrs = {"cn": ["g"], "member": [], f"member;range={start}-{last}": part}
        if len(self.members) <= self.step:
            attrs = {"cn": ["g"], "member": self.members}
        yield Entry("cn=g,dc=x", attrs)
        yield Done()


def ranged(on_search, *args):
    with Scripted(on_search) as s:
        a = probe("--uri", s.uri, *args, "search", "dc=x", "sub", "(cn=g)", "cn", "member")
    return a, [q for q in s.searches if q.base]  # not the root entry, by which it is seen that the server lives


@pytest.mark.parametrize("count", [0, 1500, 1501, 6001])
def test_members_in_parts_arrive_whole(count):
    r = Ranged(count, 1500)
    a, searches = ranged(r)
    assert a.err == "ok" and a.values("member") == r.members and a.values("cn") == ["g"]
    assert not any("range" in line for line in a.lines)
    assert len(searches) == max(1, -(-count // 1500))
    assert all(q.base == "cn=g,dc=x" and q.scope == 0 for q in searches[1:])


def test_a_page_that_nobody_asked_for_has_no_next_one():
    """A cookie in the answer to a plain search: the same search again would bring the same entry."""
    def on_search(q):
        if q.scope == 0:
            yield Entry(q.base, {"member;range=1-*": ["cn=m1,dc=x"]})
        else:
            yield Entry("cn=g,dc=x", {"cn": ["g"], "member;range=0-0": ["cn=m0,dc=x"]})
        yield Done(controls=page_control("more"))

    a, searches = ranged(on_search)
    assert a.err == "ok" and a.dns == ["cn=g,dc=x"]
    assert a.values("member") == ["cn=m0,dc=x", "cn=m1,dc=x"] and len(searches) == 2


def test_parts_of_several_groups_and_attributes():
    def on_search(q):
        if q.scope == 0:
            name, start = q.attrs[0].split(";range=")
            start = int(start.split("-")[0])
            yield Entry(q.base, {f"{name};range={start}-*": [f"{q.base}/{name}/{start}"]})
        else:
            for g in "ab":
                yield Entry(f"cn={g},dc=x", {
                    "member;range=0-0": [f"cn={g},dc=x/member/0"],
                    "proxyAddresses;range=0-0": [f"cn={g},dc=x/proxyAddresses/0"]})
        yield Done()

    a, searches = ranged(on_search)
    assert a.err == "ok" and len(searches) == 5
    assert a.values("member") == [f"cn={g},dc=x/member/{i}" for g in "ab" for i in "01"]
    assert a.values("proxyAddresses") == [f"cn={g},dc=x/proxyAddresses/{i}"
                                          for g in "ab" for i in "01"]


def wrong_part(start):
    yield Entry("cn=g,dc=x", {"member;range=0-1499": ["cn=again"]})
    yield Done()


def gone(start):
    yield Done(32)


def error(start):
    yield Done(1, "too late")


def no_progress(start):
    yield Entry("cn=g,dc=x", {f"member;range={start}-{start - 1}": []})
    yield Done()


@pytest.mark.parametrize("spoil", [wrong_part, gone, error, no_progress])
def test_parts_that_do_not_get_on_are_temporary(spoil):
    a, searches = ranged(Ranged(4000, 1500, spoil))
    assert a.err == "temp" and len(searches) == 2


def test_a_part_that_is_none():
    def on_search(q):
        yield Entry("cn=g,dc=x", {"member;range=x-y": ["cn=1"]})
        yield Done()

    assert ranged(on_search)[0].err == "temp"


def test_members_that_went_meanwhile():
    def spoil(start):
        yield Entry("cn=g,dc=x", {"cn": ["g"]})
        yield Done()

    a, _ = ranged(Ranged(4000, 1500, spoil))
    assert a.err == "ok" and len(a.values("member")) == 1500


# ---- referrals ----

@pytest.fixture(scope="module")
def two(tmp_path_factory, certs):
    """`far` holds people; `near` refers to them from ou=far."""
    tmp = tmp_path_factory.mktemp("two")
    with Slapd(tmp / "far", ca=certs.ca, cert=certs.cert, key=certs.key) as far:
        far.add(f"dn: ou=far,{BASE}\nobjectClass: organizationalUnit\nou: far\n\n"
                f"dn: uid=fara,ou=far,{BASE}\nobjectClass: inetOrgPerson\nuid: fara\ncn: Fara\n"
                "sn: F\nmail: fara@example.org\n\n")
        with Slapd(tmp / "near", ca=certs.ca, cert=certs.cert, key=certs.key) as near:
            done = subprocess.run(
                ["ldapadd", "-x", "-M", "-H", near.ldapi_uri, "-D", ADMIN_DN, "-w",
                 ADMIN_PASSWORD], text=True, capture_output=True,
                input=f"dn: ou=far,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\n"
                      f"ou: far\nref: {far.uri}/ou=far,{BASE}\n")
            assert done.returncode == 0, done.stderr
            yield near, far


def find(near, *args, base=BASE, scope="sub", filter="(|(uid=fara)(uid=anna.berg))"):
    return probe("--uri", near.uri, *SERVICE, *args, "search", base, scope, filter, "uid")


def test_references_are_ignored_by_default(two):
    near, far = two
    before = far.log_text()
    a = find(near)
    assert a.err == "ok" and a.values("uid") == ["anna.berg"]
    assert far.log_text() == before


def test_references_are_followed_to_allowed_hosts(two):
    near, _ = two
    a = find(near, "--referrals", "--host", "localhost")
    assert a.err == "ok" and a.values("uid") == ["anna.berg", "fara"]
    a = find(near, "--referrals", "--host", "localhost", "--many", "--page", 1)
    assert a.err == "ok" and sorted(a.values("uid")) == ["anna.berg", "fara"]


def test_references_to_other_hosts_are_ignored(two):
    near, far = two
    before = far.log_text()
    a = find(near, "--referrals", "--host", "dc2.example.org", "--host", "*.localhost")
    assert a.err == "ok" and a.values("uid") == ["anna.berg"]
    assert far.log_text() == before


def test_a_base_that_is_elsewhere(two):
    near, _ = two
    where = {"base": f"uid=fara,ou=far,{BASE}", "scope": "base", "filter": "(objectClass=*)"}
    a = find(near, **where)
    assert a.err == "temp" and "elsewhere" in a.result
    a = find(near, "--referrals", "--host", "dc2.example.org", **where)
    assert a.err == "temp" and "elsewhere" in a.result
    a = find(near, "--referrals", "--host", "localhost", **where)
    assert a.err == "ok" and a.values("uid") == ["fara"]
    where["base"] = f"uid=nobody,ou=far,{BASE}"
    a = find(near, "--referrals", "--host", "localhost", **where)
    assert a.err != "ok" and a.dns == []


def test_a_reference_gets_the_same_tls(two, certs):
    near, far = two
    a = find(near, "--starttls", "--ca", certs.ca, "--referrals", "--host", "localhost")
    assert a.err == "ok" and "fara" in a.values("uid")
    assert far.log_text().count("TLS established") >= 1
    before = far.log_text().count("TLS established")
    a = probe("--uri", near.ldaps_uri, "--ca", certs.ca, *SERVICE, "--referrals", "--host",
              "localhost", "search", BASE, "sub", "(uid=fara)", "uid")
    assert a.err == "ok" and a.values("uid") == ["fara"]
    assert far.log_text().count("TLS established") == before + 1


def test_an_allowed_host_that_is_down_is_temporary(two):
    near, far = two
    far.stop()
    try:
        assert find(near, "--referrals", "--host", "localhost").err == "temp"
        assert find(near).err == "ok"
    finally:
        far.start()


def test_references_in_a_circle_end():
    def on_search(q):
        yield Reference(f"ldap://127.0.0.1:{s.port}/dc=x??sub")
        yield Done()

    with Scripted(on_search) as s:
        a = probe("--uri", s.uri, "--referrals", "--host", "127.0.0.1", "search", "dc=x", "sub",
                  "(cn=*)")
    assert a.err == "temp" and "circle" in a.result and len(s.searches) < 20


def test_a_referral_without_any_address_is_temporary():
    def on_search(q):
        yield Done(10)

    with Scripted(on_search) as s:
        a = probe("--uri", s.uri, "--referrals", "--host", "127.0.0.1", "search", "dc=x", "sub",
                  "(cn=*)")
    assert a.err == "temp"


# ---- the products themselves ----

AD = pytest.mark.skipif(os.getuid() != 0, reason="the domain controller's ports need root")


@AD
def test_a_group_of_2000_in_active_directory(samba_ad):
    args = ("--uri", samba_ad.ldaps_uri, "--ca", samba_ad.ca, "--dn", ad.SERVICE_DN, "--password",
            ad.password_of(ad.SERVICE), "search", ad.BASE, "sub",
            "(&(objectClass=group)(mail=everyone@example.org))")
    a = probe(*args, "member")
    assert a.err == "ok" and len(set(a.values("member"))) == ad.CROWD
    # a part asked for as such is completed from there on only by whoever asked
    a = probe(*args, "member;range=0-499")
    assert len(set(a.values("member"))) == ad.CROWD


@AD
def test_all_people_of_active_directory_from_its_root(samba_ad):
    """The root answers with references to other parts of the forest as well: ignored."""
    a = probe("--uri", samba_ad.ldaps_uri, "--ca", samba_ad.ca, "--dn", ad.SERVICE_DN, "--password",
              ad.password_of(ad.SERVICE), "--many", "--page", 500, "--stream", "search", ad.BASE,
              "sub", "(&(objectClass=user)(|(mail=p0*)(mail=p1*)))", "mail")
    assert a.err == "ok" and len(set(a.values("mail"))) == ad.CROWD and len(a.results) >= 4


def test_pages_of_389_directory_server(ds389):
    """Its limit is 100 entries, of a page as well."""
    a = probe("--uri", ds389.uri, "--dn", ds.SERVICE_DN, "--password", ds.SERVICE_PASSWORD,
              "--many", "--page", 500, "search", f"ou=crowd,{ds.BASE}", "one", "(uid=p*)", "uid")
    assert a.err == "ok" and len(set(a.values("uid"))) == 300, a.results
