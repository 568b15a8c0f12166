"""What holds for every path of the admin port, over real sockets."""

import asyncio
import logging
import socket

import aiohttp
import pytest
from aiohttp import web

from sidecar.admin.app import AdminApp
from sidecar.admin.guard import Guard
from sidecar.errors import ModelNotFound


class Toys:
    def routes(self):
        return [
            web.get("/toys", self.toys),
            web.post("/toys/break", self.smash),
            web.get("/toys/lost", self.lost),
            web.get("/toys/bug", self.bug),
            web.get(r"/toys/named/{name:(?s:.{1,9})}", self.toys),
        ]

    async def toys(self, _request):
        """Shows all toys. The second sentence is not for the page of help."""
        return web.Response(text="ball\n")

    async def smash(self, _request):
        """Breaks
        one.
        """
        return web.Response(text="OK\n")

    async def lost(self, _request):
        """Is never found."""
        raise ModelNotFound("toy is not configured")

    async def bug(self, _request):
        """Has a bug."""
        raise ZeroDivisionError


async def ask(client, method, path, **headers):
    async with client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}) as answer:
        return answer.status, await answer.text(), answer.headers


async def error(client, method, path, **headers):
    async with client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}) as answer:
        found = (await answer.json())["error"]
        assert set(found) == {"code", "message"}
        return answer.status, found["code"]


async def test_help_names_every_path_with_its_method_and_a_sentence(port):
    _, text, _ = await ask(await port(Toys()), "GET", "/help")
    rows = [line.split(None, 2) for line in text.splitlines()]
    assert rows == [
        ["GET", "/toys", "Shows all toys"],
        ["POST", "/toys/break", "Breaks one"],
        ["GET", "/toys/lost", "Is never found"],
        ["GET", "/toys/bug", "Has a bug"],
        ["GET", "/toys/named/{name}", "Shows all toys"],
        ["GET", "/help", "This page"],
    ]


async def test_a_path_that_is_not_there_points_to_help(port):
    client = await port(Toys())
    status, text, _ = await ask(client, "GET", "/stots")
    assert (status, "/help" in text) == (404, True)
    assert await error(client, "POST", "/stots") == (404, "not_found")


async def test_head_is_answered_where_get_is_and_has_no_body(port):
    status, text, headers = await ask(await port(Toys()), "HEAD", "/toys")
    assert (status, text, headers["Content-Length"]) == (200, "", "5")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_path_that_changes_something_takes_nothing_but_its_method(port, method):
    status, _, headers = await ask(await port(Toys()), method, "/toys/break")
    assert (status, headers["Allow"]) == (405, "POST")


async def test_a_path_that_is_read_allows_no_post(port):
    client = await port(Toys())
    assert await error(client, "POST", "/toys") == (405, "method_not_allowed")
    assert (await ask(client, "POST", "/toys"))[2]["Allow"] == "GET, HEAD"


async def test_what_goes_wrong_has_its_own_status_and_code(port):
    assert await error(await port(Toys()), "GET", "/toys/lost") == (404, "model_not_found")


async def test_a_bug_is_a_500_that_tells_nothing_but_the_log(port, caplog):
    with caplog.at_level(logging.ERROR, "sidecar.admin"):
        status, text, _ = await ask(await port(Toys()), "GET", "/toys/bug")
    assert (status, "ZeroDivision" in text, "ZeroDivision" in caplog.text) == (500, False, True)


async def test_a_page_in_a_browser_neither_changes_nor_reads_anything_across_sites(port):
    client = await port(Toys())
    assert await error(client, "POST", "/toys/break", Origin="https://evil.example") == (403, "cross_site")
    assert await error(client, "POST", "/toys/break", Sec_Fetch_Site="cross-site") == (403, "cross_site")
    assert await error(client, "GET", "/toys", Host="rebound.example") == (403, "foreign_host")
    own = f"http://127.0.0.1:{client._base_url.port}"
    assert (await ask(client, "POST", "/toys/break", Origin=own, Sec_Fetch_Site="same-origin"))[0] == 200


async def test_what_was_changed_is_in_the_log_without_what_was_named(port, caplog):
    class Sessions:
        def routes(self):
            return [web.delete("/toys/{name}", self.forget), web.get("/toys/{name}", self.forget)]

        async def forget(self, _request):
            """Forgets."""
            return web.Response(status=204)

    client = await port(Sessions())
    with caplog.at_level(logging.INFO, "sidecar.admin"):
        await ask(client, "DELETE", "/toys/canary-ball")
        await ask(client, "GET", "/toys/canary-ball")
    assert [record.getMessage() for record in caplog.records] == ["DELETE /toys/{name} answered 204"]


@pytest.mark.parametrize(
    "garbage", [b"canary\r\n\r\n", b"GET /canary HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\x00: canary\r\n\r\n"]
)
async def test_what_is_no_http_is_refused_and_not_in_the_log(start, caplog, garbage):
    sidecar = await start()
    caplog.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sidecar.admin.rpartition(":")[2]))
    writer.write(garbage)
    assert (await reader.read()).startswith(b"HTTP/1.0 400")
    writer.close()
    await writer.wait_closed()
    assert caplog.records == []


async def test_no_answer_is_kept_guessed_at_or_lent_to_another_site(port):
    client = await port(Toys())
    for path in ("/toys", "/nothing", "/toys/bug"):
        _, _, headers = await ask(client, "GET", path)
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_no_answer_says_which_library_of_which_version_serves(port):
    client = await port(Toys())
    for path in ("/toys", "/nothing", "/toys/bug"):
        assert "Server" not in (await ask(client, "GET", path))[2]


def own_address():
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


async def test_another_machine_sees_nothing_but_probes_and_metrics():
    address = own_address()
    if address is None or address.startswith("127."):
        pytest.skip("this machine has no address but loopback: test_guard has the rule")
    runner = web.AppRunner(AdminApp([Toys()], Guard("0.0.0.0")).build(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()
    base = f"http://{address}:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(base) as client:
        assert await error(client, "GET", "/toys") == (403, "not_from_loopback")
        assert await error(client, "GET", "/help") == (403, "not_from_loopback")
        assert await error(client, "GET", "/toys", Host="127.0.0.1", X_Forwarded_For="127.0.0.1") == (
            403,
            "not_from_loopback",
        )
        assert await error(client, "GET", "/ready") == (404, "not_found")  # there is no such group here
    await runner.cleanup()


async def test_without_a_host_nobody_is_told_anything(port):
    client = await port(Toys())
    reader, writer = await asyncio.open_connection("127.0.0.1", client._base_url.port)
    writer.write(b"GET /toys HTTP/1.0\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 403")
    writer.close()
    await writer.wait_closed()
