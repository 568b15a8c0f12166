"""
Caches filled at once, so that memory can be judged after two minutes and not after a quarter of an hour.

What a sidecar remembers of sessions is bounded in number: so many are asked about, each twice, that the largest of those
caches is full. Their pins live for a minute (`places.SOAK`); what remembers them after that is full, and then empty again,
another minute later.
"""

import asyncio
import time

from rawclient import connected

from sidecar.listener import naming
from sidecar.telemetry import pseudonym

from .stage import deciding

SESSIONS = 100 + max(naming.REMEMBERED, pseudonym.REMEMBERED)
AT_ONCE = 16
STEADY_S = 120.0
"""From when the caches are full until memory is judged."""


async def fill(sidecar):
    """Raises AssertionError when a decision is refused. Notes when the process that serves was full."""
    pid = sidecar.pid
    await asyncio.gather(*(_fill(sidecar.port, f"filling-{pid}-{share}") for share in range(AT_ONCE)))
    sidecar.full_at[pid] = time.monotonic()


async def _fill(port, name):
    async with connected(port) as client:
        for number in range(SESSIONS // AT_ONCE + 1):
            for _ in range(2):
                await client.send(deciding(f"{name}-{number}"))
                assert (await client.heard()).status == 200
