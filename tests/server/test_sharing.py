import socket

import pytest

from sidecar.server import CannotBind
from sidecar.server.sharing import reserved


def listener(port):
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.bind(("127.0.0.1", port))
    taken.listen()
    return taken


def test_a_free_port_is_taken_and_several_may_listen_on_it():
    with reserved("127.0.0.1", 0) as (address, port), listener(port), listener(port):
        assert address == "127.0.0.1"


def test_a_port_that_others_share_is_not_ours_to_share():
    expected = pytest.raises(CannotBind, match="already in use")
    with reserved("127.0.0.1", 0) as (_, port), listener(port), expected, reserved("127.0.0.1", port):
        pass


def test_a_port_is_free_again_afterwards():
    with reserved("127.0.0.1", 0) as (_, port):
        pass
    with reserved("127.0.0.1", port) as (_, again):
        assert again == port


def test_a_name_that_has_no_address_is_told():
    with (
        pytest.raises(CannotBind, match=r"cannot listen on no\.such\.host\.invalid:0"),
        reserved("no.such.host.invalid", 0),
    ):
        pass


def test_a_name_of_loopback_has_one_port_for_all_its_addresses():
    with reserved("localhost", 0) as (_, port):
        assert port > 0
