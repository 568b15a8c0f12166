"""The command `sidecar` as its user meets it: what it prints, how it exits, what it does when told to stop."""

import asyncio
import json
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FREE = ("--port", "0", "--admin-port", "0")


by_its_name = pytest.mark.parametrize("by_name", [True], ids=["by its name"], indirect=True)


def decide(url, prompt, **headers):
    body = json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode()
    request = urllib.request.Request(f"{url}/routing/v1/chat/completions", body, headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise
        return json.load(answer)


async def output(program):
    out, errors = await asyncio.wait_for(program.process.communicate(), 60)
    return program.process.returncode, out.decode(), errors.decode()


@by_its_name
async def test_up_without_a_file_says_so_serves_and_stops_with_0(sidecar):
    program = await sidecar("up", *FREE)
    await program.until("sessions")
    assert "configuration: built-in" in program.printed[0]
    decision = await asyncio.to_thread(decide, program.url, "Write a function that sorts a list")
    assert decision["route"] == "code_generation"
    code, log = await program.end(signal.SIGTERM)
    assert (code, "Traceback" in log) == (0, False)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_is_clean_whichever_way_it_is_asked_for(sidecar, sign):
    program = await sidecar("up", ROOT / "config" / "sidecar.yaml", *FREE)
    await program.until("sessions")
    assert (await program.end(sign))[0] == 0


async def test_a_configuration_with_mistakes_is_refused_whole_with_78(sidecar, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: v0.4.0\nroutin: {}\nrouting:\n  session_ttl_seconds: 10m\n")
    for command in ("up", "check"):
        code, _, errors = await output(await sidecar(command, bad))
        assert code == 78
        assert "bad.yaml:2: " in errors
        assert "did you mean 'routing'" in errors
        assert "bad.yaml:4: routing.session_ttl_seconds" in errors


async def test_a_file_that_is_not_there_is_a_sentence_and_78(sidecar):
    code, _, errors = await output(await sidecar("up", "nowhere.yaml"))
    assert (code, "nowhere.yaml" in errors, "Traceback" in errors) == (78, True, False)


@by_its_name
async def test_a_port_that_is_taken_is_a_sentence_and_1(sidecar):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = await output(await sidecar("up", "--port", port, "--admin-port", 0))
    assert (code, f"127.0.0.1:{port}" in errors, "Traceback" in errors) == (1, True, False)


async def test_a_key_that_is_not_set_does_not_stop_the_start_and_is_told_once(sidecar):
    program = await sidecar("up", ROOT / "demos" / "session_pinning" / "config.yaml", *FREE)
    await program.until("sessions")
    _, errors = await program.end(signal.SIGTERM)
    assert errors.count("ANTHROPIC_API_KEY") == 1


async def test_check_prints_what_a_configuration_comes_to(sidecar):
    code, out, _ = await output(await sidecar("check", ROOT / "demos" / "session_pinning" / "config.yaml"))
    assert code == 0
    assert "→ anthropic/claude-sonnet-4-20250514, openai/gpt-4o" in out
    assert "openai/gpt-4o-mini (default, no key)" in out


async def test_an_entry_that_can_never_be_called_is_told(sidecar, tmp_path):
    config = tmp_path / "odd.yaml"
    config.write_text("model_providers: [{model: nobody/knows-it}]\n")
    code, _, errors = await output(await sidecar("check", config))
    assert (code, "nobody/knows-it is of no provider known here" in errors) == (0, True)


async def test_check_never_prints_a_key(sidecar):
    environ = {"OPENAI_API_KEY": "canary", "ANTHROPIC_API_KEY": "canary"}
    config = ROOT / "demos" / "session_pinning" / "config.yaml"
    code, out, errors = await output(await sidecar("check", config, environ=environ))
    assert (code, "canary" in out + errors) == (0, False)


async def test_route_takes_one_decision_and_shows_the_scores(sidecar):
    code, out, errors = await output(await sidecar("route", "Implement quicksort in Go", "--session", "run-1"))
    assert (code, errors) == (0, "")
    assert "route   code_generation" in out
    assert "session run-1" in out
    assert out.count("complex_reasoning") == 1


async def test_route_refuses_a_bad_session_id(sidecar):
    code, _, errors = await output(await sidecar("route", "hello", "--session", "a b"))
    assert (code, "--session must be" in errors) == (1, True)


async def test_version_is_said(sidecar):
    code, out, _ = await output(await sidecar("--version"))
    assert (code, out.split()[0]) == (0, "sidecar")
