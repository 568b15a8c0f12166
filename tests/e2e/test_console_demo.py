"""The console's demo has life in it, and leaves nothing running."""

import asyncio
import os
import re
import sys
from pathlib import Path

import aiohttp
import pytest

DEMO = Path(__file__).parents[2] / "demos" / "console" / "demo.sh"


async def test_the_console_demo_shows_sessions_that_keep_their_model():
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        DEMO,
        env={"PATH": path, "HOME": os.environ.get("HOME", "/")},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        admin = re.fullmatch(r"console  (http://127\.0\.0\.1:\d+)/\n", line)[1]
        async with aiohttp.ClientSession(admin) as client:
            async with asyncio.timeout(30):
                while (told := await _recent(client))["hits"] == 0:  # noqa: ASYNC110 - another process has no event
                    await asyncio.sleep(0.1)
            assert told["pins"]
            assert {decision["status"] for decision in told["decisions"]} == {200}
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 60) == 0
            with pytest.raises(aiohttp.ClientConnectionError):
                await _recent(client)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _recent(client):
    async with client.get("/recent") as answer:
        return await answer.json()
