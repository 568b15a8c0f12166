"""The real program killed again and again, with pins kept in a file."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Iterator
from itertools import count

import aiohttp
from attrs import define, field

from sidecar.stores import snapfile

INTERVAL_S = 0.2
LATE_S = 0.8
"""How late a machine that runs other tests besides may be."""
KILLS = 4
MODELS = ("openai/gpt-4o", "openai/gpt-4o-mini")
CONFIG = f"""
model_providers: [{{model: {MODELS[0]}, default: true}}, {{model: {MODELS[1]}}}]
routing: {{session_cache: {{snapshot: pins, snapshot_interval_s: {INTERVAL_S}}}}}
"""
KEYS = {"OPENAI_API_KEY": "k"}
OTHERS = 1000
"""Pins that make a snapshot take some time, so that a kill may fall into one."""


@define
class Client:
    """
    Sessions, each of which asks for one model first and for the other ever after. `known`: session -> its model, and
    when it was answered first, Unix time.
    """

    url: str = ""
    known: dict = field(factory=dict)
    names: Iterator = field(factory=count)
    slowest_s: float = 0.0
    """Of all answers: what a busy machine makes of milliseconds."""

    async def ask(self, http, session, model):
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        url = f"{self.url}/routing/v1/chat/completions"
        began = time.monotonic()
        async with http.post(url, json=body, headers={"x-session-id": session}) as answer:
            told = await answer.json()
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        return told

    async def talk(self, http):
        """New sessions and later requests of old ones, until nobody answers."""
        while True:
            session, model = f"s{next(self.names)}", random.choice(MODELS)  # noqa: S311
            try:
                assert (await self.ask(http, session, model))["model"] == model
                self.known[session] = model, time.time()
                earlier = random.choice(list(self.known))  # noqa: S311
                await self.ask(http, earlier, self.other(earlier))
                await asyncio.sleep(0.01)
            except aiohttp.ClientError:
                return

    def other(self, session):
        return MODELS[self.known[session][0] == MODELS[0]]

    def forget_since(self, when):
        """Sessions that began later may have another model now, or none."""
        self.known = {session: known for session, known in self.known.items() if known[1] < when}

    async def check(self, http):
        """That every session we know keeps its model."""
        for session, (model, _) in self.known.items():
            answer = await self.ask(http, session, self.other(session))
            assert (answer["model"], answer["pinned"]) == (model, True)


def exported():
    """So many pins, as the admin port takes them."""
    at = "2026-01-31T08:15:00Z"
    pin = {"models": [MODELS[0]], "reason": "routed", "decided_at": at, "expires_in_seconds": 500}
    lines = [{"format": "sidecar-pins", "version": 1, "exported_at": "2100-01-01T00:00:00Z"}]
    lines += [{"session_id": f"other-{n}", **pin} for n in range(OTHERS)]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def test_a_program_that_is_killed_again_and_again_loses_one_interval_at_most(sidecar, tmp_path):
    config, path = tmp_path / "config.yaml", tmp_path / "pins"
    config.write_text(CONFIG)
    client, logs = Client(), []

    async def up():
        program = await sidecar("up", config, "--port", "0", "--admin-port", "0", environ=KEYS)
        await program.until("sessions")
        client.url = program.url
        return program

    async with aiohttp.ClientSession() as http:
        program = await up()
        admin = next(line for line in program.printed if line.startswith("admin")).split()[1]
        async with http.post(f"{admin}pins/import", data=exported()) as answer:
            assert (await answer.json())["imported"] == OTHERS
        for _ in range(KILLS):
            talking = [asyncio.create_task(client.talk(http)) for _ in range(3)]
            await asyncio.sleep(2 * INTERVAL_S + random.uniform(0, 2 * INTERVAL_S))  # noqa: S311
            killed_at = time.time()
            _, log = await program.end(signal.SIGKILL)
            await asyncio.gather(*talking)
            logs.append(log)
            read = snapfile.understood(path.read_bytes())
            assert killed_at - read.began_at_s < INTERVAL_S + LATE_S + 5 * client.slowest_s
            assert sum(pin.key.startswith(b"0:0:other-") for pin in read.pins()) == OTHERS
            client.forget_since(read.began_at_s)
            assert client.known
            program = await up()
            await client.check(http)

        # Stopped in peace it loses nothing.
        talking = [asyncio.create_task(client.talk(http)) for _ in range(3)]
        await asyncio.sleep(INTERVAL_S / 2)
        code, log = await program.end(signal.SIGTERM)
        await asyncio.gather(*talking)
        program = await up()
        await client.check(http)
        last_code, last_log = await program.end(signal.SIGTERM)
    assert (code, last_code) == (0, 0)
    assert not [line for line in "".join([*logs, log, last_log]).splitlines() if "WARNING" in line or "ERROR" in line]
    assert path.stat().st_mode & 0o777 == 0o600
