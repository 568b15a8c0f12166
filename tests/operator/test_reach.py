"""Whether providers can be reached from here, within a bound and without a key."""

import socket
import ssl
import threading
import time

import pytest
import trustme
from ports import free_port

from sidecar.operator.reach import Reached, reach


@pytest.mark.parametrize("status", [200, 401, 503])
def test_any_answer_shows_that_somebody_is_there(admin, status):
    admin.answers["GET", "/v1/models"] = (status, b"")
    url = f"{admin.port.url}/v1"
    assert reach([url, url]) == [Reached(url, status)]
    assert admin.asked == [("GET", "/v1/models", b"")]


def test_all_are_asked_at_once_and_none_longer_than_the_bound():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        found = reach([f"http://127.0.0.1:{port}/{n}" for n in range(30)], limit_s=0.3)
    assert time.monotonic() - began < 5  # one after the other: 9
    assert {each.trouble for each in found} == {"no answer within 0.3 s"}


def test_what_cannot_be_reached_says_why():
    closed = f"http://127.0.0.1:{free_port()}"
    refused, unknown = reach([closed, "https://provider.invalid/v1"])
    assert refused.trouble == "no connection: Connection refused"
    assert unknown.trouble in ("its name cannot be resolved", "no answer within 3 s")


@pytest.mark.parametrize(("scheme", "said"), [("https", "TLS failed: "), ("http", "does not speak HTTP")])
def test_what_speaks_something_else_is_told(scheme, said):
    def speak():
        connection, _ = server.accept()
        with connection:
            connection.recv(2000)
            connection.sendall(b"SSH-2.0-x\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=speak)
        thread.start()
        (found,) = reach([f"{scheme}://127.0.0.1:{server.getsockname()[1]}"])
        thread.join()
    assert said in found.trouble


def test_a_certificate_that_nobody_trusts_is_told():
    def speak():
        with server.accept()[0] as connection, pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=speak)
        thread.start()
        (found,) = reach([f"https://127.0.0.1:{server.getsockname()[1]}"])
        thread.join()
    assert found.trouble.startswith("its certificate is not trusted here: ")


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/v1", "http://127.0.0.1:1/\xe4"])
def test_what_is_no_url_is_told_at_once(url):
    assert reach([url], 60) == [Reached(url, None, "it is no URL")]
