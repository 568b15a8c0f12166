"""What goes on meanwhile. Each is a task that counts what it did, and keeps what went otherwise than it had to."""

import asyncio
import os
import signal
import time
from collections import Counter

import aiohttp
from attrs import define, field

from . import filling
from .places import SOAK, SOAK_TTL_S, config

TAKE_OVER_S = 60
REDIS_AWAY_S = 1.5


@define
class Trouble:
    """`config_of`: version -> the configuration's text."""

    sidecar: object
    ports: dict
    redis: object = None
    did: Counter = field(factory=Counter)
    wrong: list = field(factory=list)
    version: int = 0
    fills: bool = False
    """Whether the caches of one that took over are filled."""
    changing: asyncio.Lock = field(factory=asyncio.Lock)
    """Held while one sidecar takes over from another: a signal would go to the one that leaves."""

    def text(self):
        routing = {**SOAK, "session_ttl_seconds": SOAK_TTL_S[self.version % 2]}
        redis = self.redis.url if self.redis else None
        return config(self.ports, self.sidecar.folder, version=self.version, redis=redis, routing=routing)

    async def reload(self, every_s):
        """By signal, by the admin port, by the file alone; and now and then a bad one, which is to change nothing."""
        ways = (self.by_signal, self.by_post, self.by_file, self.badly)
        while True:
            for way in ways:
                await asyncio.sleep(every_s)
                async with self.changing:
                    await self.tried(way)

    async def tried(self, way):
        try:
            await way()
            self.did[f"reload {way.__name__.replace('_', ' ')}"] += 1
        except (aiohttp.ClientError, AssertionError, OSError) as exc:
            self.wrong.append(f"{way.__name__}: {exc!r}")

    async def by_signal(self):
        self.next_version()
        os.kill(self.sidecar.pid, signal.SIGHUP)

    async def by_post(self):
        self.next_version()
        status, text = await self.sidecar.ask("/reload", "POST")
        assert status == 200, text

    async def by_file(self):
        self.next_version()

    def next_version(self):
        self.version += 1
        self.sidecar.write(self.text())

    async def badly(self):
        self.sidecar.write("model_providers: 7\n")
        status, text = await self.sidecar.ask("/reload", "POST")
        self.sidecar.write(self.text())
        assert status == 422, text

    async def scrape(self, every_s=2.0):
        while True:
            await asyncio.sleep(every_s)
            for path in ("/metrics", "/pins?limit=1000", "/ready?verbose"):
                async with self.changing:  # in between, the one that leaves may answer, and say so
                    await self.scraped(path)

    async def scraped(self, path):
        try:
            status, text = await self.sidecar.ask(path)
        except aiohttp.ClientError as exc:
            self.wrong.append(f"{path}: {exc!r}")
            return
        self.did["scrape"] += 1
        if status != 200:
            self.wrong.append(f"{path}: {status} {text[:200]}")

    async def rotate(self, every_s=5.0):
        """As logrotate does; what was rotated is thrown away."""
        log = self.sidecar.folder / "access.log"
        while True:
            await asyncio.sleep(every_s)
            async with self.changing:
                log.rename(log.with_suffix(".1"))
                await self.sidecar.ask("/reopen_logs", "POST")
                self.did["log rotated"] += 1

    async def kill_redis(self, every_s):
        while True:
            await asyncio.sleep(every_s)
            async with self.changing:  # a new process that finds no Redis does not know what the old one knew
                self.redis.kill()
                await asyncio.sleep(REDIS_AWAY_S)
                await asyncio.to_thread(self.redis.start)
            self.did["Redis killed and started"] += 1

    async def take_over(self, times_s):
        """At these times, in seconds from now."""
        began = time.monotonic()
        for at_s in times_s:
            await asyncio.sleep(began + at_s - time.monotonic())
            async with self.changing:
                await self.replaced()

    async def replaced(self):
        old = self.sidecar.process
        await self.sidecar.start("--take-over")
        try:
            async with asyncio.timeout(TAKE_OVER_S):
                code = await old.process.wait()
        except TimeoutError:
            code = "none"
        self.did["taken over"] += 1
        if code != 0:
            self.wrong.append(f"the one that was taken over from ended with {code}")
        if self.fills:
            await filling.fill(self.sidecar)
