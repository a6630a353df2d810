"""Waits for sockets and other descriptors, whatever their numbers: select.select takes none above 1,023."""
import select


def readable(things, timeout):
    """Those of `things` that can be read, or have ended, within `timeout` seconds."""
    poll = select.poll()
    by_fd = {t if isinstance(t, int) else t.fileno(): t for t in things}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    return [by_fd[fd] for fd, _ in poll.poll(timeout * 1000)]


def usable(thing, timeout):
    """Whether it can be read or written within `timeout` seconds."""
    poll = select.poll()
    poll.register(thing, select.POLLIN | select.POLLOUT)
    return bool(poll.poll(timeout * 1000))
