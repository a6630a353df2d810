"""A site of two servers with one directory: mailHost says which of them has a mailbox."""
import pytest

from harness import slapd as ldap
from harness.instance import directory_section
from harness.ports import free_ports
from test_outbound import QUEUE, bounce, outbound, send
from test_smtp_submission import arrived

pytestmark = pytest.mark.waits

OTHER = "kavya.raman@example.org"
HERE = "jonas.weber@example.org"


@pytest.fixture
def second_port(slapd):
    """Of the second server's port 25, which has the mailbox of OTHER."""
    port, = free_ports(1)
    dn = ldap.user_dn("kavya.raman")
    slapd.modify(dn, {"mailHost": [f"127.0.0.1:{port}"]})
    yield port
    slapd.modify(dn, {"mailHost": []})


def start_second(make_instance, slapd, port, extra):
    i = make_instance(
        QUEUE + outbound() + f'listen "mx" {{ protocol = smtp address = {{ "127.0.0.1:{port}" }} }}\n'
        'smtp { postmaster = "anna.berg@example.org" }\n',
        start=False, directory_text=directory_section(slapd, extra=extra))
    i.conf.write_text(i.conf.read_text().replace('hostname = "mail.example.org"', 'hostname = "mx2.example.org"'))
    return i.start()


def test_mail_goes_where_the_mailbox_is(slapd, make_instance, second_port):
    second = start_second(make_instance, slapd, second_port, 'local_hosts = { "127.0.0.1" }')
    first = make_instance(QUEUE + outbound())
    subject = send(first, [OTHER, HERE])
    assert b"by mx2.example.org" in arrived(second, OTHER, subject, timeout=120)
    arrived(first, HERE, subject)
    with first.imap(OTHER) as c:
        assert c.select("INBOX", readonly=True)[1] == [b"0"]
    # who lives there writes to who lives there
    arrived(second, OTHER, send(second, [OTHER]))


def test_two_servers_that_both_believe_the_other_has_it(slapd, make_instance, second_port):
    """The second does not know that it is meant: its mail would come back to itself for ever."""
    second = start_second(make_instance, slapd, second_port, "")
    send(second, [OTHER])
    report = bounce(second, "kavya.raman")
    assert "Action: failed" in report and "Status: 5.4.6" in report
