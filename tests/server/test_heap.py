"""That memory does not grow with the number of requests."""

import gc

from provider import CHAT_EVENTS, END, EVENTS_HEAD, KEYS, before, chunk, entry, serving
from running import chat

REQUESTS = 150
"""More than the console remembers."""


async def stream(call):
    await call.send(EVENTS_HEAD, *map(chunk, CHAT_EVENTS), END)


async def requested(sidecar, provider, times):
    """Twice so many requests; how many objects there are then."""
    for _ in range(times):
        await sidecar.decide(chat(), X_Session_Id="s")
        async with sidecar.client.post("/v1/chat/completions", json=chat(stream=True)) as answer:
            assert answer.status == 200
            await answer.read()
    provider.requests.clear()
    gc.collect()
    return len(gc.get_objects())


async def test_what_requests_leave_behind_does_not_grow_with_them(start):
    async with serving(stream) as provider:
        sidecar = await start(before(entry(provider)), KEYS)
        few = await requested(sidecar, provider, REQUESTS)
        many = await requested(sidecar, provider, REQUESTS)
    assert many - few < REQUESTS / 2  # timers that were called off stay until there are a hundred
