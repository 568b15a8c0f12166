"""Doubles of the places a sidecar calls. A test writes how they behave."""

import asyncio
import json

from aiohttp import web
from attrs import define
from running import CONFIG


@define
class Endpoint:
    """A model endpoint: `behave` is an aiohttp handler; what it was asked is kept."""

    url: str
    behave: object = None
    asked: list = None

    def classifier(self, **more):
        """CONFIG with this endpoint as an `llm` classifier."""
        keys = {"type": "llm", "base_url": self.url, "model": "router", **more}
        return f"{CONFIG}\nrouting: {json.dumps({'classifier': keys})}\n"


def says(text):
    """A handler that answers every chat completion with `text`."""

    async def answer(_request):
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": text}}]})

    return answer


async def hang(_request):
    """Far longer than anybody waits; the test server cancels it at its end."""
    await asyncio.sleep(30)


def answers(body, status=200):
    async def answer(_request):
        return web.Response(status=status, body=body)

    return answer
