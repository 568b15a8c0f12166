"""
Three sidecars behind a Service that spreads requests at random, one Redis: every session has one model, whatever is
killed. Real processes. With -s it prints what was counted.

Each request has a prompt that, routed by itself, would give one of two models, at random: a session that is routed
twice shows it. The sidecars' own metrics say how often that was.
"""

import asyncio
import json
import random
import re
from collections import defaultdict
from itertools import pairwise

import aiohttp
import pytest
from rawclient import request
from redis_servers import redis_server
from running import CODE, CONFIG, REASONING, chat

SESSIONS, TURNS, AT_FIRST = 500, 20, 3
AT_ONCE = 48
BODIES = [json.dumps(chat(prompt)).encode() for prompt in (CODE, REASONING)]
MODELS = {"anthropic/claude-sonnet", "openai/gpt-4o"}


class Fleet:
    """Sidecars of one configuration, each known by its number, and a Service before them."""

    def __init__(self, run, config, client):
        self.run, self.config, self.client = run, config, client
        self.programs, self.ports, self.admins = {}, {}, {}
        self.idle = defaultdict(list)
        """Connections to each that nobody uses now."""
        self.chance = random.Random(5)  # noqa: S311 - the same story each time

    async def start(self, number):
        program = await self.run("up", self.config, "--port", "0", "--admin-port", "0")
        await program.until("sessions")
        self.programs[number], self.ports[number] = program, int(program.url.rpartition(":")[2])
        admin = re.search(
            r"http://127\.0\.0\.1:\d+", next(line for line in program.printed if line.startswith("admin"))
        )
        self.admins[number] = admin[0]

    async def kill(self, number):
        del self.ports[number]
        program = self.programs.pop(number)
        program.process.kill()
        await program.process.wait()
        self.hang_up(number)

    async def ask(self, number, session=None, body=None):
        """The model that a sidecar names; the prompt is any unless `body` says."""
        headers = () if session is None else (f"x-session-id: {session}",)
        data = self.chance.choice(BODIES) if body is None else body
        status, answer = await self._exchange(
            number, request("POST", "/routing/v1/chat/completions", *headers, body=data)
        )
        assert status == 200
        return answer["model"]

    async def _exchange(self, number, data):
        """(status, JSON). By hand: with ten thousand requests, aiohttp's client would be half of the time."""
        idle, port = self.idle[number], self.ports[number]
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(re.search(rb"(?i)\ncontent-length: (\d+)", head)[1]))
        except BaseException:
            writer.close()
            raise
        idle.append((reader, writer))
        return int(head.split(b" ", 2)[1]), json.loads(body)

    def hang_up(self, number):
        while self.idle[number]:
            self.idle[number].pop()[1].close()

    async def ask_any(self, session):
        """(number, model). A Service tries another when the one it chose has just been killed."""
        while True:
            number = self.chance.choice(list(self.ports))
            try:
                return number, await self.ask(number, session)
            except (OSError, EOFError):
                assert number not in self.ports, "a sidecar that nobody killed"

    async def verdicts(self):
        """Classifications by all sidecars that are there."""
        return sum([await self._sum(number, "sidecar_classifier_verdicts_total") for number in self.admins])

    async def _sum(self, number, name):
        async with self.client.get(f"{self.admins[number]}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))

    async def until_store(self, is_up):
        for number in self.ports:
            for _ in range(1000):
                async with self.client.get(f"{self.admins[number]}/ready?verbose") as answer:
                    if ("[+] store: redis, up\n" in await answer.text()) is is_up:
                        break
                await asyncio.sleep(0.02)
            else:
                raise AssertionError(f"the store of {number} is not {'up' if is_up else 'down'}")


class Sessions:
    """What models each was given, and which sidecars know it."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.names = [f"s{n}" for n in range(SESSIONS)]
        self.models = defaultdict(list)
        self.known_to = defaultdict(set)
        self.asked_a_stranger = set()
        """Those of which, in an outage, a sidecar was asked that did not know them."""
        self.gate = asyncio.Semaphore(AT_ONCE)

    async def begin(self):
        """The first requests of each, at once, one to each sidecar."""

        async def first(session):
            async with self.gate:
                numbers = list(self.fleet.ports)[:AT_FIRST]
                models = await asyncio.gather(*(self.fleet.ask(number, session) for number in numbers))
                self.models[session] += models
                self.known_to[session].update(numbers)

        await asyncio.gather(*map(first, self.names))

    async def go_on(self, turns, *, outage=False):
        async def some(session):
            async with self.gate:
                for _ in range(turns):
                    number, model = await self.fleet.ask_any(session)
                    if outage and number not in self.known_to[session]:
                        self.asked_a_stranger.add(session)
                    self.known_to[session].add(number)
                    self.models[session].append(model)

        await asyncio.gather(*map(some, self.names))

    def forgotten_by(self, number):
        for known in self.known_to.values():
            known.discard(number)

    def changed(self):
        """Session -> how often its model changed."""
        changes = {
            session: sum(one != other for one, other in pairwise(models)) for session, models in self.models.items()
        }
        return {session: count for session, count in changes.items() if count}


@pytest.fixture(params=[0, 1000], ids=["asking", "with copies"])
async def fleet(request, sidecar, tmp_path):
    with redis_server(tmp_path / "redis") as server:
        # Patient, for a busy machine may take its time; a Redis that is killed refuses at once.
        cache = {"type": "redis", "url": server.url, "command_timeout": "5s", "flight_wait": "5s"}
        cache["copies"] = request.param
        cache["breaker"] = {"failures": 3, "cooldown_seconds": 0.2}
        config = tmp_path / "shared.yaml"
        config.write_text(f"{CONFIG}\nrouting: {json.dumps({'session_cache': cache})}\n")
        async with aiohttp.ClientSession() as client:
            fleet = Fleet(sidecar, config, client)
            await asyncio.gather(*map(fleet.start, range(3)))
            yield fleet, server
            for number in range(3):
                fleet.hang_up(number)


async def test_a_session_keeps_its_model_over_three_sidecars_whatever_is_killed(fleet):
    fleet, redis = fleet
    assert {await fleet.ask(0, body=body) for body in BODIES} == MODELS, "routed by themselves, they differ"
    sessions, apart = Sessions(fleet), await fleet.verdicts()

    await sessions.begin()
    at_once = sessions.changed()
    await sessions.go_on(6)
    verdicts = await fleet.verdicts() - apart
    spread = sessions.changed()

    gone = asyncio.ensure_future(sessions.go_on(4))
    await asyncio.sleep(0.3)
    await fleet.kill(1)
    sessions.forgotten_by(1)
    await gone
    await fleet.start(1)
    await sessions.go_on(3)
    sidecar_lost = sessions.changed()

    await asyncio.to_thread(redis.kill)
    await sessions.go_on(2, outage=True)
    await asyncio.to_thread(redis.start)
    await fleet.until_store(is_up=True)
    await sessions.go_on(2)
    redis_lost = sessions.changed()
    agreed = await _agreed(fleet, sessions)

    print(  # noqa: T201 - asked for with -s
        f"\n{SESSIONS} sessions x {TURNS} requests over three sidecars; changes of model in a session:"
        f"\n  first {AT_FIRST} at once, one to each sidecar      {sum(at_once.values())}, {verdicts:g} classifications"
        f"\n  spread at random                          {sum(spread.values())}"
        f"\n  one sidecar killed, started again         {sum(sidecar_lost.values())}"
        f"\n  Redis killed, started again empty         {sum(redis_lost.values())} in {len(redis_lost)} sessions,"
        f" of {len(sessions.asked_a_stranger)} that a sidecar was asked for meanwhile that did not know them"
    )
    assert {len(models) for models in sessions.models.values()} == {TURNS}
    assert (at_once, spread, sidecar_lost) == ({}, {}, {})
    assert verdicts == SESSIONS
    assert set(redis_lost) <= sessions.asked_a_stranger
    assert agreed == len(sessions.asked_a_stranger)
    assert {model for models in sessions.models.values() for model in models} == MODELS


async def _agreed(fleet, sessions):
    """Of the sessions that may not have had one model meanwhile, those that have one for every sidecar again."""

    async def one(session):
        async with sessions.gate:
            return len({await fleet.ask(number, session) for number in fleet.ports}) == 1

    return sum(await asyncio.gather(*map(one, sessions.asked_a_stranger)))
