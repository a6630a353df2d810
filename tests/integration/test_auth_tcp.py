"""The auth service's sockets over TCP: only for hosts of auth.networks."""
import socket

from harness.ports import free_ports


def settings(ports, networks):
    return ('auth {\n\tdefault_domain = "example.org"\n\tfailure_delay = 0\n'
            f'\tlisten_tcp = "127.0.0.1:{ports[0]}"\n\tlisten_tcp_userdb = "127.0.0.1:{ports[1]}"\n'
            f'\tlisten_tcp_directory = "127.0.0.1:{ports[2]}"\n\tnetworks = {{ {networks} }}\n}}\n')


def ask(port, data, end):
    """What the service says until end, or until it hangs up."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=180) as s:
        try:
            s.sendall(data)
            while end not in got:
                more = s.recv(4096)
                if not more:
                    break
                got += more
        except ConnectionError:
            pass
    return got


QUESTIONS = [
    (0, b"VERSION\t1\t1\nCPID\t77\n", b"DONE\n"),
    (1, b"VERSION\t1\t0\nUSER\t1\tanna.berg\tservice=imap\n", b"USER\t1\tanna.berg@example.org\t"),
    (2, b"18:domain example.org,", b"OK example.org,"),
]


def test_from_a_network_that_may(make_instance):
    ports = free_ports(3)
    make_instance(settings=settings(ports, '"127.0.0.0/8"'))
    for which, data, end in QUESTIONS:
        assert end in ask(ports[which], data, end), which


def test_from_elsewhere_not_a_byte(make_instance):
    ports = free_ports(3)
    i = make_instance(settings=settings(ports, '"192.0.2.0/24", "::1"'))
    for which, data, end in QUESTIONS:
        assert ask(ports[which], data, end) == b"", which
    # the connection ends before its line is in the file
    i.wait_log(r'(?s)(reason="not in auth\.networks".*){3}')
    assert i.log_text().count('reason="not in auth.networks"') == 3
