"""The demos do what their READMEs say, and leave nothing running."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

DEMOS = Path(__file__).parents[2] / "demos"
CLAUDE, GPT = "anthropic/claude-sonnet-4-20250514", "openai/gpt-4o"


def environ(**more):
    """The demo looks for a Python that has the sidecar: it finds the one that runs these tests."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": os.environ.get("HOME", "/"), **more}


async def run(script, **more):
    process = await asyncio.create_subprocess_exec(
        script, env=environ(**more), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode()


def steps(out):
    return re.findall(r"→ (\S+) \(pinned=(\w+)\)", out)


VARIED = [(model, "false") for model in (CLAUDE, GPT, CLAUDE, GPT, CLAUDE)]
KEPT = [(CLAUDE, "false")] + [(CLAUDE, "true")] * 4


async def test_the_pinning_demo_shows_models_that_vary_and_then_one_model(tmp_path):
    code, out = await run(DEMOS / "session_pinning" / "demo.sh", TMPDIR=str(tmp_path))
    assert (code, steps(out)) == (0, VARIED + KEPT), out
    assert f"✗ Models varied: {CLAUDE}, {GPT}" in out
    assert f"✓ All 5 steps routed to {CLAUDE}" in out
    assert not list(tmp_path.iterdir())


async def test_a_second_run_against_the_same_sidecar_shows_the_same(sidecar):
    program = await sidecar("up", DEMOS / "session_pinning" / "config.yaml", "--port", "0", "--admin-port", "0")
    await program.until("sessions")
    for _ in range(2):
        code, out = await run(DEMOS / "session_pinning" / "demo.sh", SIDECAR_URL=program.url)
        assert (code, steps(out)) == (0, VARIED + KEPT)


async def test_the_pinning_demo_fails_when_nothing_varies(sidecar, tmp_path):
    config = tmp_path / "one.yaml"
    config.write_text("model_providers: [{model: openai/gpt-4o, default: true}]\n")
    program = await sidecar("up", config, "--port", "0", "--admin-port", "0")
    await program.until("sessions")
    code, out = await run(DEMOS / "session_pinning" / "demo.sh", SIDECAR_URL=program.url)
    assert (code, "Expected the models to vary" in out) == (1, True)


async def test_without_a_sidecar_the_demo_says_so():
    code, out = await run(DEMOS / "session_pinning" / "demo.sh", SIDECAR_URL="http://127.0.0.1:9")
    assert (code, "No sidecar at http://127.0.0.1:9" in out) == (2, True)


async def test_the_sidecar_of_an_interrupted_demo_is_stopped(tmp_path):
    slow = tmp_path / "slow.sh"
    lib = DEMOS / "lib.sh"
    slow.write_text(
        f"set -euo pipefail\nhere={DEMOS / 'session_pinning'}\nsource {lib}\n"
        f'start_sidecar {sys.executable} "$here/config.yaml"\necho "pid $sidecar_pid"\nwait "$sidecar_pid"\n'
    )
    # Not ignored, as it is in all that a script starts by `&`, and so perhaps in these tests.
    process = await asyncio.create_subprocess_exec(
        "env", "--default-signal=INT", "bash", slow, env=environ(TMPDIR=str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    pid = int((await asyncio.wait_for(process.stdout.readline(), 60)).split()[1])
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.wait(), 60)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_every_call_of_the_decision_api_demo_gets_the_answer_beside_it():
    code, out = await run(DEMOS / "model_routing_service" / "demo.sh")
    assert (code, out.count("\n── ")) == (0, 13), out
    assert "✗" not in out


async def test_the_decision_api_demo_fails_when_an_answer_is_another(sidecar):
    program = await sidecar("up", "--port", "0", "--admin-port", "0")  # built in: no alias `fast`, other candidates
    await program.until("sessions")
    code, out = await run(DEMOS / "model_routing_service" / "demo.sh", SIDECAR_URL=program.url)
    assert (code, "✗ expected 200" in out) == (1, True)
