"""The bench of instructions: what goes in step with the sidecar, and what is told."""

import asyncio

import pytest
from bench.harness import callgrind, lockstep, table, traffic
from bench.harness.candidates import JSON, Ask, Unavailable
from bench.harness.rounds import Wrong


@pytest.mark.parametrize("wire", traffic.Wire)
@pytest.mark.parametrize("pieces", [0, 3, 10])
async def test_a_provider_in_step_answers_whole_and_in_pieces(wire, pieces):
    provider, steps = lockstep.Provider(), []
    async with provider.serving() as port:
        body = traffic.request("m", wire=wire, stream=pieces > 0)
        request = Ask(port, traffic.PATHS[wire], JSON, body, ()).request

        def requests():
            for number in range(3):
                steps.append((number, provider.streams.empty()))
                yield request

        await lockstep.ask(port, requests(), provider, pieces)
    assert steps == [(0, True), (1, True), (2, True)]


async def test_who_does_not_answer_rightly_is_not_counted():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        request = Ask(port, "/", JSON, b"{}", ()).request
        with pytest.raises(Wrong, match="503"):
            await lockstep.ask(port, [request], lockstep.Provider())


def test_without_valgrind_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="apt-get install valgrind"):
        callgrind.check()


def test_instructions_are_told_beside_those_of_another_tree():
    said = "\n".join(table.instruction_lines({"decision": 90_000.0}, {"decision": 100_000.0}))
    assert said.endswith("90,000     100,000   0.900")
    assert "base" not in "\n".join(table.instruction_lines({"decision": 90_000.0}, None))
