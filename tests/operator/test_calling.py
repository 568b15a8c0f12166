"""The admin port, called: where it is, and every way in which it can fail."""

import socket
import threading

import pytest
from ports import free_port

from sidecar.cli import main
from sidecar.config.models import Admin, ServerTls
from sidecar.operator.calling import AdminPort, BadAddress, NoSidecar, NotASidecar, Refused, Silent, admin_url, in_path


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default():
    environ, file = {"SIDECAR_ADMIN": "http://127.0.0.1:2"}, Admin(port=3)
    assert admin_url("http://127.0.0.1:1", environ, file) == "http://127.0.0.1:1"
    assert admin_url(None, environ, file) == "http://127.0.0.1:2"
    assert admin_url(None, {}, file) == "http://127.0.0.1:3"
    assert admin_url(None, {"SIDECAR_ADMIN": ""}) == "http://127.0.0.1:9901"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost:80", "http://localhost:80"),
        ("http://[::1]:9901/", "http://[::1]:9901"),
        ("10.0.0.1", "http://10.0.0.1:9901"),
        ("https://sidecar.svc", "https://sidecar.svc:9901"),
    ],
)
def test_an_address_may_be_short(given, url):
    assert admin_url(given, {}) == url


def test_a_sidecar_that_listens_everywhere_is_asked_on_loopback():
    assert admin_url(None, {}, Admin(address="0.0.0.0", port=1)) == "http://127.0.0.1:1"
    assert admin_url(None, {}, Admin(address="::", port=1)) == "http://[::1]:1"
    tls = ServerTls("tls.crt", "tls.key")
    assert admin_url(None, {}, Admin(address="::", port=1, tls=tls)) == "https://[::1]:1"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "https://",
        "ftp://a",
        "http://",
        "http://a/pins",
        "http://a?b",
        "http://u:p@a",
        "a:99999",
        "a b",
        "[::1",
        "ä",
    ],
)
def test_what_is_no_address_is_refused_and_named(given):
    with pytest.raises(BadAddress, match=r"^--admin must be the admin port's address, such as"):
        admin_url(given, {})
    if given:
        with pytest.raises(BadAddress, match=r"^SIDECAR_ADMIN must be"):
            admin_url(None, {"SIDECAR_ADMIN": given})


def test_where_nothing_listens_the_error_says_what_to_do():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NoSidecar, match=r"nothing listens at .*: is `sidecar up` running"):
        AdminPort(url).get("/recent")


def test_a_name_that_cannot_be_resolved_is_an_error_in_a_sentence():
    with pytest.raises(NoSidecar, match="cannot be reached: "):
        AdminPort("http://sidecar.invalid:9901").get("/recent")


def test_who_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Silent, match=r"did not answer within 0\.1 s"):
        AdminPort(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.1).get("/recent")


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n", b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"])
def test_who_speaks_something_else_or_breaks_off_is_no_sidecar(said):
    def speak():
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises((NotASidecar, NoSidecar)):
            AdminPort(f"http://127.0.0.1:{server.getsockname()[1]}").get("/recent")
        thread.join()


@pytest.mark.parametrize(
    "answer", [(200, b"<html>"), (404, b"not here"), (404, {"detail": "no"}), (302, b"{}"), (200, b"[" * 100_000)]
)
def test_another_program_at_that_port_is_told_from_a_sidecar(admin, answer):
    admin.answers["GET", "/recent"] = answer
    with pytest.raises(NotASidecar, match=f"answers /recent with HTTP {answer[0]}"):
        admin.port.get("/recent", limit=1)


def test_another_program_has_nothing_to_download(admin):
    admin.answers["GET", "/pins/export"] = (302, b"")
    with pytest.raises(NotASidecar, match="answers /pins/export with HTTP 302"):
        list(admin.port.download("/pins/export"))


def test_what_the_admin_port_refuses_it_refuses_in_its_own_words(admin):
    admin.answers["PUT", "/pins/a"] = (400, {"error": {"code": "invalid_request", "message": "no such model"}})
    with pytest.raises(Refused, match=r"^no such model$") as refused:
        admin.port.call("PUT", "/pins/a", body={"model": "x"})
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")
    assert admin.asked == [("PUT", "/pins/a", b'{"model": "x"}')]


def test_parameters_without_a_value_are_left_out(admin):
    admin.answers["GET", "/pins"] = (200, {"pins": []})
    assert admin.port.get("/pins", model="a/b c", route=None, source="") == {"pins": []}
    assert admin.asked[0][1] == "/pins?model=a%2Fb+c&source="


def test_an_answer_without_content_is_none(admin):
    admin.answers["DELETE", "/pins/a"] = (204, b"")
    assert admin.port.call("DELETE", "/pins/a") is None


def test_a_session_id_is_one_piece_of_a_path_whatever_is_in_it():
    assert in_path("a/b?c#d%") == "a%2Fb%3Fc%23d%25"


@pytest.mark.parametrize("answer", [{}, [], {"pins": [{}], "next": None, "total": 1}, {"pins": 3, "total": "x"}])
@pytest.mark.parametrize("command", [["pins"], ["top"], ["pins", "get", "a"]])
def test_answers_of_another_version_are_told_and_are_no_traceback(admin, capsys, command, answer):
    for path in ("/pins", "/pins/a", "/recent", "/clusters", "/server_info"):
        admin.answers["GET", path] = (200, answer)
    assert main([*command, "--admin", admin.port.url]) == 1
    assert "is it of another version?" in capsys.readouterr().err


def test_the_doctor_tells_answers_of_another_version_too(admin, capsys):
    admin.answers["GET", "/ready"] = (200, b"OK\n")
    admin.answers["GET", "/server_info"] = (200, {"name": "x"})
    assert main(["doctor", "--no-call", "--admin", admin.port.url]) == 1
    assert "is it of another version?" in capsys.readouterr().err
