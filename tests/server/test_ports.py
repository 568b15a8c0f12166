"""Ports that are taken alone, shared, and taken over; with real sockets, and the kernel that deals connections out."""

import socket
import sys
from contextlib import contextmanager, suppress

import pytest

from sidecar.server.ports import CannotBind, bound, steer

LOOPBACK = "127.0.0.1"


@contextmanager
def listening(port=0, *, beside=False):
    with bound(LOOPBACK, port, beside=beside) as (taken,):
        taken.listen(100)
        yield taken


def port_of(taken):
    return taken.getsockname()[1]


@contextmanager
def clients(port, count=40):
    made = [socket.create_connection((LOOPBACK, port)) for _ in range(count)]
    yield made
    for each in made:
        each.close()


def waiting(taken):
    """How many connections waited there. They are accepted, and closed."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            taken.accept()[0].close()
            count += 1
    return count


@contextmanager
def refused():
    with pytest.raises(CannotBind, match="Address already in use"):
        yield


def test_a_port_is_taken_alone_also_from_one_that_would_share_it():
    with listening() as first, refused(), bound(LOOPBACK, port_of(first)):
        pass


def test_beside_one_that_does_not_share_there_is_no_room():
    with (
        socket.create_server((LOOPBACK, 0)) as foreign,
        refused(),
        bound(LOOPBACK, port_of(foreign), beside=True),
    ):
        pass


def test_a_name_with_two_addresses_gets_one_port_on_both():
    with bound("localhost", 0) as sockets:
        assert len({port_of(each) for each in sockets}) == 1


def test_the_sockets_are_closed_in_the_end():
    with bound(LOOPBACK, 0) as (taken,):
        port = port_of(taken)
    with bound(LOOPBACK, port):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="nothing of the kind elsewhere")
def test_a_steered_socket_gets_all_new_connections_and_those_before_stay_where_they_are():
    with listening() as old, clients(port_of(old), 5), listening(port_of(old), beside=True) as new:
        steer(new)
        with clients(port_of(old)):
            assert (waiting(old), waiting(new)) == (5, 40)
        old.close()
        with clients(port_of(new)):
            assert waiting(new) == 40


@pytest.mark.skipif(sys.platform != "linux", reason="nothing of the kind elsewhere")
def test_one_after_the_other_takes_all():
    with listening() as first:
        port = port_of(first)
        with listening(port, beside=True) as second:
            steer(second)
            first.close()
            with listening(port, beside=True) as third:
                steer(third)
                with clients(port):
                    assert (waiting(second), waiting(third)) == (0, 40)


@pytest.mark.skipif(sys.platform != "linux", reason="nothing of the kind elsewhere")
def test_when_the_steered_one_is_gone_the_other_gets_them_again():
    with listening() as old:
        with listening(port_of(old), beside=True) as new:
            steer(new)
        with clients(port_of(old)):
            assert waiting(old) == 40


def test_what_cannot_be_steered_says_so():
    with socket.socket(socket.AF_UNIX) as other, pytest.raises(OSError, match=r"."):
        steer(other)
