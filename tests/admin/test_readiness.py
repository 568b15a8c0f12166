"""Probes, and an operator's word on them."""

from sidecar.admin.readiness import Readiness
from sidecar.admin.state import State


async def ask(client, path, method="GET"):
    async with client.request(method, path) as answer:
        return answer.status, await answer.text()


async def test_ready_is_200_only_while_serving(port):
    state = State()
    client = await port(Readiness(state, {}))
    assert await ask(client, "/ready") == (503, "starting\n")
    state.name = "serving"
    assert await ask(client, "/ready") == (200, "OK\n")
    state.name = "draining"
    assert await ask(client, "/ready") == (503, "draining\n")
    assert await ask(client, "/live") == (200, "OK\n")


async def test_an_operator_takes_it_out_of_service_and_back(port):
    client = await port(Readiness(State("serving"), {}))
    assert await ask(client, "/healthcheck/fail", "POST") == (200, "OK\n")
    assert await ask(client, "/ready") == (503, "failed by an operator\n")
    assert await ask(client, "/live") == (200, "OK\n")
    assert await ask(client, "/healthcheck/ok", "POST") == (200, "OK\n")
    assert await ask(client, "/ready") == (200, "OK\n")


async def test_an_operators_ok_makes_nothing_ready_that_is_not(port):
    client = await port(Readiness(State("draining", is_failed=True), {}))
    await ask(client, "/healthcheck/ok", "POST")
    assert await ask(client, "/ready") == (503, "draining\n")


async def test_verbose_says_how_each_part_is_and_only_the_state_decides(port):
    parts = {"keys": lambda: (False, "missing for openai/gpt-4o"), "config": lambda: (True, "generation 1")}
    client = await port(Readiness(State("serving"), parts))
    said = "[-] keys: missing for openai/gpt-4o\n[+] config: generation 1\n"
    assert await ask(client, "/ready?verbose") == (200, said + "OK\n")
    await ask(client, "/healthcheck/fail", "POST")
    assert await ask(client, "/ready?verbose") == (503, said + "failed by an operator\n")


async def test_a_sidecar_that_serves_is_ready_and_says_how_its_parts_are(start):
    sidecar = await start()
    assert await ask(sidecar.client, f"{sidecar.admin}/ready?verbose") == (
        200,
        f"[+] listener: 127.0.0.1:{sidecar.port}\n"
        "[+] classifier: embedded, circuit closed\n"
        "[+] pins: 0 of at most 10000\n"
        "[+] store: memory, in this process\n"
        "[+] keys: all set\n"
        "[+] config: generation 1\n"
        "OK\n",
    )
