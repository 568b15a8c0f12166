"""A sidecar that runs in this process on real sockets, as a test talks to it."""

import asyncio
import json
from collections import OrderedDict
from copy import copy
from functools import cache

import aiohttp
from attrs import define

from sidecar import server
from sidecar.classifiers.embedded import Known
from sidecar.server.deciding import Reader

CONFIG = """
model_providers:
  - {model: openai/gpt-4o-mini, default: true}
  - {model: openai/gpt-4o}
  - {model: anthropic/claude-sonnet}
model_aliases:
  fast: {target: gpt-4o-mini}
routing_preferences:
  - name: code_generation
    description: generating new code, writing functions, or creating boilerplate
    models: [anthropic/claude-sonnet, openai/gpt-4o]
  - name: complex_reasoning
    description: complex reasoning tasks, multi-step analysis, or detailed explanations
    models: [openai/gpt-4o, openai/gpt-4o-mini]
"""

CODE = "Write a Python function that reverses a linked list"
REASONING = "Analyze the trade-offs between SQL and NoSQL databases"


def chat(prompt=CODE, **more):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], **more}


read_once = cache(Known)
"""The weights take 40 ms to read, most of a start."""


def serve(config, **more):
    """As the sidecar's own, with weights that are read once for all tests; what is made of routes is each sidecar's."""
    known = copy(read_once())
    known.prepared = OrderedDict()
    return server.serve(config, reader=Reader(known), **more)


@define
class Running:
    """A sidecar, and a client of it."""

    client: aiohttp.ClientSession
    admin: str
    port: int

    async def decide(self, body=None, *, form="chat/completions", **headers):
        """One decision: (status, JSON, headers). Keyword arguments are headers, `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"data": body} if isinstance(body, bytes) else {"json": chat() if body is None else body}
        async with self.client.post(f"/routing/v1/{form}", headers=named, **sent) as answer:
            return answer.status, json.loads(await answer.read()), answer.headers

    async def metrics(self):
        """Sample name and labels, as exposed -> value."""
        async with self.client.get(f"{self.admin}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    async def total(self, name):
        """The sum of all series of one name."""
        found = await self.metrics()
        return sum(value for series, value in found.items() if series.partition("{")[0] == name)

    async def shows(self, series, value):
        """
        Waits until a series has a value, and gives all of them: what a request comes to may be counted a moment after
        its client has its answer.
        """
        for _ in range(1000):
            if (found := await self.metrics()).get(series) == value:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"{series} is {found.get(series)}, not {value}")
