"""What a fault needs: a sidecar, providers, calls one by one, and a way to say what was seen."""

import asyncio
import json
import resource
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from attrs import define, field, frozen
from rawclient import Heard, connected, request

from . import places
from .formats import CHAT, asking
from .judging import OK, outcome
from .wishes import Wish

CODE, REASONING = (
    "Write a Python function that reverses a linked list.",
    "Analyze the trade-offs between SQL and NoSQL, step by step.",
)
MANY_DESCRIPTORS = 16_000


@frozen
class Seen:
    """What a fault came to. `held`: what must be seen, and whether it was. `facts`: figures, for people."""

    held: dict
    facts: dict = field(factory=dict)
    missing: str = ""
    """Why it could not be tried, where it could not."""


@define
class Stage:
    """`ports`: of the providers' models."""

    folder: Path
    stack: AsyncExitStack
    sidecar: places.Sidecar
    ports: dict
    doubles: object
    count: int = 0

    async def decide(self, session, prompt=CODE):
        """(status, model) of a decision, on a connection of its own."""
        async with connected(self.sidecar.port) as client:
            await client.send(deciding(session, prompt))
            heard = await client.heard()
        return heard.status, heard.json.get("model")

    async def models(self, sessions, prompt=CODE):
        """session -> model. Raises when one has no answer."""
        found = {}
        for session in sessions:
            status, model = await self.decide(session, prompt)
            assert status == 200, (session, status)
            found[session] = model
        return found

    async def call(self, *, stream=False, session="-", prompt=CODE, **wished):
        """(outcome, rawclient.Heard) of a proxied request."""
        self.count += 1
        wish = Wish(f"fault-{self.count}", session, **wished)
        async with connected(self.sidecar.port) as client:
            await client.send(calling(wish, prompt, stream=stream))
            heard = await client.heard()
        return outcome(wish, CHAT, stream=stream, heard=heard)[0], heard

    async def metric(self, name):
        """The sum of all series of that name."""
        _, text = await self.sidecar.ask("/metrics")
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    def logged(self):
        """How many lines the sidecar's log has."""
        return len(self.sidecar.log.read_text().splitlines())


def deciding(session, prompt=CODE):
    headers = ("content-type: application/json", f"x-session-id: {session}")
    return request("POST", f"/routing/v1/{CHAT}", *headers, body=asking(CHAT, prompt))


def calling(wish, prompt=CODE, *, stream=False):
    headers = (
        ("content-type: application/json", f"x-session-id: {wish.session}")
        if wish.session != "-"
        else ("content-type: application/json",)
    )
    return request("POST", f"/v1/{CHAT}", *headers, body=asking(CHAT, f"{prompt} {wish.prompt}", stream=stream))


@asynccontextmanager
async def staged(folder, *, redis=None, environ=None, ports=None, **more):
    """A sidecar before providers in a process of their own; `ports`: more providers, or others."""
    async with AsyncExitStack() as stack:
        made, doubles = await places.providers(stack, folder)
        sidecar = places.Sidecar(folder, stack, environ=environ or {})
        everybody = {**made, **(ports or {}), places.DEAD: places.free_port()}
        sidecar.write(places.config(everybody, folder, redis=redis, **more))
        await sidecar.start()
        yield Stage(folder, stack, sidecar, everybody, doubles)


async def patiently(client):
    """An answer in chunks, however long it takes: a thousand of them are slow on a machine that has other things to do."""
    head = await client.reader.readuntil(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = [(name, value.strip()) for name, _, value in (each.partition(":") for each in lines)]
    pieces, ending = [], "whole"
    try:
        while piece := await client.chunk():
            pieces.append(piece)
    except asyncio.IncompleteReadError as exc:
        pieces, ending = [*pieces, exc.partial], "cut"
    return Heard(int(line.split(" ")[1]), headers, b"".join(pieces), ending)


def allow_descriptors():
    """For this process, and those it starts: as many as the system lets it have, up to what is needed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, MANY_DESCRIPTORS) if most > 0 else MANY_DESCRIPTORS, most))


async def until_whole(stage, **asked):
    """Seconds until a call is answered whole."""
    began = time.monotonic()

    async def whole():
        return (await stage.call(**asked))[0] == OK

    await places.until(whole, "a whole answer")
    return time.monotonic() - began


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


def shown(seen):
    return json.dumps({"held": seen.held, **seen.facts}, default=str)


async def together(count, one):
    """`await one(n)` for each, all at once."""
    return await asyncio.gather(*(one(n) for n in range(count)))
