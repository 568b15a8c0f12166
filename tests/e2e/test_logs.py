"""The program's two logs: where they go, what becomes of them when nobody takes them, and what the file says of them."""

import asyncio
import json
import os
import signal
import sys

import aiohttp
import pytest

PROVIDERS = "model_providers: [{model: openai/gpt-4o, default: true}]\n"
FREE = ("--port", "0", "--admin-port", "0")


@pytest.fixture
def configured(tmp_path):
    """A configuration file with these keys of `telemetry`."""

    def write(**telemetry):
        path = tmp_path / "config.yaml"
        path.write_text(PROVIDERS + json.dumps({"telemetry": telemetry})[1:-1] + "\n")
        return path

    return write


async def healthy(url, times):
    async with aiohttp.ClientSession() as client:
        for _ in range(times):
            async with client.get(f"{url}/healthz") as answer:
                assert answer.status == 200


async def test_an_access_log_that_cannot_be_opened_is_a_sentence_and_1(sidecar, configured, tmp_path):
    path = tmp_path / "nowhere" / "access.log"
    program = await sidecar("up", configured(access_log=str(path)), *FREE)
    out, errors = await asyncio.wait_for(program.process.communicate(), 60)
    assert (program.process.returncode, out) == (1, b"")
    assert errors.decode() == f"sidecar: telemetry.access_log: cannot write to {path}: No such file or directory\n"


async def test_standard_output_that_nobody_reads_holds_no_request_and_no_stop(configured, tmp_path):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.cli", "up", configured(access_log="stdout"), *FREE,
        cwd=tmp_path, stdout=writing, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.close(writing)
    try:
        url = await _url(reading)
        await healthy(url, 600)  # each with a line of 200 bytes; a pipe holds 64 KiB
        process.send_signal(signal.SIGTERM)
        errors = (await asyncio.wait_for(process.communicate(), 10))[1].decode()
        assert (process.returncode, "bytes not written to standard output" in errors) == (0, True)
    finally:
        os.close(reading)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _url(reading):
    """Where the program listens, of what it prints at its start; the rest stays in the pipe."""
    said = b""
    async with asyncio.timeout(30):
        while b"sessions" not in said:
            try:
                said += os.read(reading, 4096)
            except BlockingIOError:
                await asyncio.sleep(0.01)
    return next(line.split()[1] for line in said.decode().splitlines() if line.startswith("answers")).removesuffix(
        "/v1"
    )


async def test_a_reader_of_standard_output_that_goes_away_is_told_once(sidecar, configured):
    program = await sidecar("up", configured(access_log="stdout"), *FREE)
    await program.until("sessions")
    program.close_output()
    for _ in range(3):
        await healthy(program.url, 10)
        await asyncio.sleep(0.2)
    program.process.send_signal(signal.SIGTERM)
    errors = (await asyncio.wait_for(program.process.stderr.read(), 10)).decode()
    assert (await program.process.wait(), errors.count("Broken pipe")) == (0, 1)


async def test_the_file_says_how_the_log_is_written(sidecar, configured):
    program = await sidecar("up", configured(log_format="json", log_level="info"), *FREE)
    await program.until("sessions")
    code, errors = await program.end(signal.SIGTERM)
    events = [json.loads(line) for line in errors.splitlines()]
    assert code == 0
    assert {event["level"] for event in events} == {"info"}
    assert events[-1]["message"] == "stopped"


async def test_the_file_says_what_is_not_worth_a_line(sidecar, configured):
    program = await sidecar("up", configured(log_level="warning"), *FREE)
    await program.until("sessions")
    assert await program.end(signal.SIGTERM) == (0, "")


async def test_the_command_line_wins_over_the_files_level(sidecar, configured):
    program = await sidecar("up", configured(log_level="debug"), *FREE, "--log-level", "error")
    await program.until("sessions")
    assert await program.end(signal.SIGTERM) == (0, "")
