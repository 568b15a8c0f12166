"""`sidecar doctor` at the bedside of real sidecars, well and unwell."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from doubles import answers
from ports import free_port
from running import CONFIG, chat

from sidecar.cli import main

KEYED = """
model_providers:
  - {{model: openai/gpt-4o, default: true, base_url: "{url}", access_key: $A_KEY}}
"""


@pytest.fixture
def doctor(capsys):
    """`await doctor("--admin", …)`: (exit code, the findings by check, everything that was printed)."""

    async def run(*arguments):
        code = await asyncio.to_thread(main, ["doctor", *map(str, arguments), "--json"])
        out, errors = capsys.readouterr()
        checks = {}
        for finding in json.loads(out)["findings"]:
            checks.setdefault(finding["check"], []).append(finding)
        return code, checks, out + errors

    return run


def levels(findings):
    return [finding["level"] for finding in findings]


async def test_a_sidecar_that_is_well_is_fine_and_shows_no_key(start, endpoint, doctor):
    sidecar = await start(KEYED.format(url=endpoint.url), {"A_KEY": "canary"})
    for _ in range(4):
        async with sidecar.client.post("/v1/chat/completions", json=chat(), headers={"X-Session-Id": "s"}) as answer:
            assert answer.status == 200
    code, found, printed = await doctor("--admin", sidecar.admin)
    assert code == 0
    assert {level for check in found.values() for level in levels(check)} == {"ok"}
    assert found["keys"][0]["what"] == "All that the provider needs is set."
    assert found["providers"][0]["what"] == "Answer: openai/gpt-4o (4)."
    assert found["reach"][0]["what"] == f"Reached from here, without a key: {endpoint.url}."
    assert found["sessions"][0]["what"] == "Clients name sessions by x-session-id (4)."
    assert found["hit_rate"][0]["what"].startswith("75.0 % of 4 lookups")
    assert "canary" not in printed


async def test_clients_that_name_no_session_are_the_reason_for_no_hits(start, doctor):
    sidecar = await start()
    for _ in range(3):
        await sidecar.decide()
    _, found, _ = await doctor("--admin", sidecar.admin, "--no-call")
    (finding,) = found["hit_rate"]
    assert (finding["level"], "None of 3 requests named a session" in finding["what"]) == ("warning", True)
    assert "X-Session-Id" in finding["advice"]


async def test_a_new_session_id_for_each_request_is_the_reason_for_no_hits(start, doctor):
    sidecar = await start()
    for n in range(9):
        await sidecar.decide(X_Session_Id=f"s-{n}")
    _, found, _ = await doctor("--admin", sidecar.admin, "--no-call")
    assert "Nearly every lookup was the first of its session." in found["hit_rate"][0]["what"]


async def test_a_table_that_is_too_small_is_the_reason_for_no_hits(start, doctor):
    sidecar = await start(f"{CONFIG}\nrouting: {{session_max_entries: 2}}\n")
    for n in range(9):
        await sidecar.decide(X_Session_Id=f"s-{n % 3}")
    _, found, _ = await doctor("--admin", sidecar.admin, "--no-call")
    assert "The table of pins is too small" in found["hit_rate"][0]["what"]
    assert levels(found["table"]) == ["warning"]


async def test_sessions_that_match_no_route_and_are_not_pinned_are_the_reason_for_no_hits(start, doctor):
    sidecar = await start(f"{CONFIG}\nrouting: {{pin_unmatched: false}}\n")
    for _ in range(9):
        await sidecar.decide(chat("What is the capital of France?"), X_Session_Id="s")
    _, found, _ = await doctor("--admin", sidecar.admin, "--no-call")
    assert "routing.pin_unmatched is false" in found["hit_rate"][0]["what"]


async def test_a_provider_that_never_answers_is_a_problem_and_the_exit_code_1(start, doctor):
    url = f"http://127.0.0.1:{free_port()}/v1"
    sidecar = await start(KEYED.format(url=url), {"A_KEY": "canary"})
    async with sidecar.client.post("/v1/chat/completions", json=chat()) as answer:
        assert answer.status == 502
    code, found, _ = await doctor("--admin", sidecar.admin)
    assert code == 1
    (finding,) = found["providers"]
    assert (finding["level"], "has never answered" in finding["what"]) == ("problem", True)
    assert "connect" in finding["what"]
    assert f"{url} cannot be reached from here: no connection: Connection refused" in found["reach"][0]["what"]


async def test_a_key_that_the_provider_refuses_is_a_problem(start, doctor, endpoint):
    endpoint.behave = answers(b'{"error": {"message": "bad key"}}', 401)
    sidecar = await start(KEYED.format(url=endpoint.url), {"A_KEY": "canary"})
    async with sidecar.client.post("/v1/chat/completions", json=chat()):
        pass
    code, found, _ = await doctor("--admin", sidecar.admin)
    assert (code, levels(found["providers"])) == (1, ["problem"])
    assert "key_refused" in found["providers"][0]["what"]


async def test_a_variable_that_is_not_set_is_named(start, doctor, endpoint):
    sidecar = await start(KEYED.format(url=endpoint.url))
    code, found, _ = await doctor("--admin", sidecar.admin)
    assert (code, found["keys"][0]["what"]) == (0, "A_KEY not set: openai/gpt-4o cannot be called.")
    async with sidecar.client.post("/v1/chat/completions", json=chat()):
        pass
    code, found, _ = await doctor("--admin", sidecar.admin)
    assert (code, found["keys"][0]["what"].endswith(", and requests needed it.")) == (1, True)


async def test_no_call_calls_no_provider(start, doctor, aiohttp_server):
    called = []

    async def note(request):
        called.append(request.path)

    app = web.Application()
    app.router.add_get("/v1/models", note)
    provider = await aiohttp_server(app)
    sidecar = await start(KEYED.format(url=provider.make_url("/v1")))
    assert "reach" not in (await doctor("--admin", sidecar.admin, "--no-call"))[1]
    assert called == []


async def test_a_sidecar_that_an_operator_took_out_of_service_is_a_problem(start, doctor):
    sidecar = await start()
    async with sidecar.client.post(f"{sidecar.admin}/healthcheck/fail") as answer:
        assert answer.status == 200
    code, found, _ = await doctor("--admin", sidecar.admin, "--no-call")
    assert (code, levels(found["ready"])) == (1, ["problem"])
    assert "/healthcheck/ok" in found["ready"][0]["advice"]


async def test_the_admin_port_of_a_file_is_the_one_that_is_asked(start, doctor, tmp_path):
    sidecar = await start()
    path = tmp_path / "config.yaml"
    path.write_text(f"{CONFIG}\nadmin: {{port: {urlsplit(sidecar.admin).port}}}\n")
    code, found, _ = await doctor("--config", path, "--no-call")
    assert (code, levels(found["ready"])) == (0, ["ok"])
    assert "its models are those that are served" in found["configuration"][0]["what"]


async def test_without_a_sidecar_it_says_so_and_looks_at_the_file(doctor, tmp_path, endpoint):
    path = tmp_path / "config.yaml"
    path.write_text(KEYED.format(url=endpoint.url))
    code, found, _ = await doctor("--admin", "127.0.0.1:1", "--config", path)
    assert (code, levels(found["ready"]), levels(found["reach"])) == (1, ["problem"], ["ok"])
    assert "nothing listens at http://127.0.0.1:1" in found["ready"][0]["what"]
    assert "A_KEY" in found["configuration"][0]["what"]
    path.write_text("routin: {}\nrouting: {session_ttl_seconds: x}\n")
    code, found, _ = await doctor("--admin", "127.0.0.1:1", "--config", path)
    assert (code, levels(found["configuration"])) == (1, ["problem", "problem"])


async def test_it_is_readable_by_people(start, sidecar):
    served = await start()
    program = await sidecar("doctor", "--no-call", environ={"SIDECAR_ADMIN": served.admin})
    out, errors = await program.process.communicate()
    assert (program.process.returncode, errors) == (0, b"")
    assert out.decode().startswith(f"ok       ready         {served.admin} serves: version ")
