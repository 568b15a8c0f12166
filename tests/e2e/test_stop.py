"""What a stop of the real program does to streams that are running."""

import asyncio
import json
import signal

from provider import CHAT_EVENTS, END, EVENTS_HEAD, KEYS, before, chunk, entry, serving
from rawclient import connected, request
from running import chat

ASK = request(
    "POST", "/v1/chat/completions", "content-type: application/json", body=json.dumps(chat(stream=True)).encode()
)


async def test_a_running_stream_finishes_after_sigterm_and_the_program_ends_with_0(sidecar, tmp_path):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await gate.wait()
        await call.send(*map(chunk, CHAT_EVENTS[1:]), END)

    async with serving(story) as provider:
        config = tmp_path / "config.yaml"
        config.write_text(before(entry(provider)))
        program = await sidecar("up", config, "--port", "0", "--admin-port", "0", environ=KEYS)
        await program.until("sessions")
        async with connected(int(program.url.rpartition(":")[2])) as client:
            await client.send(ASK)
            heard = asyncio.ensure_future(client.heard())
            await provider.began.wait()
            program.process.send_signal(signal.SIGTERM)
            while b"stopping" not in await program.process.stderr.readline():
                pass
            gate.set()
            assert ((await heard).body, (await heard).ending) == (b"".join(CHAT_EVENTS), "whole")
        code, log = await program.end()
    assert (code, "Traceback" in log) == (0, False)
