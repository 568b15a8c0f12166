"""
The admin port of several workers: the same paths as of one, asked of all.

    answered here       / /config_dump /listeners /reload /quitquitquit
    summed up           /metrics /stats /recent /clusters /memory /server_info /ready /live
    told to all         /logging /reopen_logs /drain_listeners
    handed to one       /pins /route, since pins are in a store that all of them share

/healthcheck/fail is kept here alone: no worker's readiness is asked for but through here.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from sidecar.admin.answers import json_answer
from sidecar.admin.app import Handler
from sidecar.admin.clusters import Clusters, in_text
from sidecar.admin.console import HEADERS, Console
from sidecar.admin.dryrun import DryRun
from sidecar.admin.dump import InForce
from sidecar.admin.listeners import LOOK_S, Listeners
from sidecar.admin.pins import PinsApi
from sidecar.admin.process import Orders, Process, memory, set_level
from sidecar.admin.readiness import Part, Readiness
from sidecar.admin.state import State
from sidecar.admin.stats import Stats
from sidecar.server import merging
from sidecar.server.line import Answer
from sidecar.server.team import Team
from sidecar.telemetry.merge import Merged
from sidecar.telemetry.recent import Recent

WELL_CONFIGURED = ("[+] config:", "[+] config (")


def _refused(answers: dict[int, Answer]) -> web.Response | None:
    """The first answer that is an error, as it was."""
    for answer in answers.values():
        if answer.status >= 400:  # noqa: PLR2004 - HTTP's own boundary
            return web.Response(status=answer.status, body=answer.body, content_type="application/json")
    return None


def _json(answers: dict[int, Answer]) -> dict[int, Any]:
    return {number: msgspec.json.decode(answer.body) for number, answer in answers.items()}


class ReadinessOfAll(Readiness):
    """`config`: how the configuration is, which is read here; a worker's own line is shown where it is not well."""

    def __init__(self, state: State, team: Team, config: Part) -> None:
        super().__init__(state, {"config": config})
        self._all = state
        self._team = team

    async def ready(self, request: web.Request) -> web.Response:
        """200 only while all workers serve, 503 while one of them does not; ?verbose says how each part is."""
        answers = await self._team.ask("GET", "/ready?verbose")
        lines = []
        if "verbose" in request.query:
            parts = merging.parts(_texts(answers))
            shown = [line for line in parts if not line.startswith(WELL_CONFIGURED)]
            lines = [self._workers(answers), *shown, *self.verbose()]
        why = self._why_not(answers)
        return web.Response(status=503 if why else 200, text="\n".join([*lines, why or "OK", ""]))

    def _why_not(self, answers: dict[int, Answer | None]) -> str | None:
        if not self._all.is_ready:
            return self._all.shown
        for number, answer in answers.items():
            if answer is None:
                return f"worker {number} does not answer"
            if answer.status != 200:  # noqa: PLR2004 - HTTP's own
                return f"worker {number}: {answer.body.decode().splitlines()[-1]}"
        return None

    def _workers(self, answers: dict[int, Answer | None]) -> str:
        serving = sum(answer is not None and answer.status == 200 for answer in answers.values())  # noqa: PLR2004
        well = "+" if serving == self._team.count else "-"
        return f"[{well}] workers: {serving} of {self._team.count} serve, {self._team.restarts()} restarts"

    async def live(self, request: web.Request) -> web.Response:
        """200 for as long as the event loops turn: this one's and that of every worker."""
        silent = [number for number, answer in (await self._team.ask("GET", "/live")).items() if answer is None]
        # One that ended a moment ago is no sign of a loop that hangs: it is being started again.
        silent = [number for number in silent if number in {member.line.number for member in self._team.members()}]
        if not silent:
            return await super().live(request)
        return web.Response(status=503, text=f"worker {silent[0]} does not answer\n")


def _texts(answers: dict[int, Answer | None]) -> dict[int, str]:
    return {number: answer.body.decode() for number, answer in answers.items() if answer is not None}


class StatsOfAll(Stats):
    def __init__(self, merged: Merged, team: Team, own: Callable[[], None]) -> None:
        super().__init__(merged)
        self._team = team
        self._own = own

    async def stats(self, request: web.Request) -> web.Response:
        """Every number by name, over all workers; ?filter=REGEX, ?usedonly, ?format=text|json|prometheus."""
        await self._read()
        return await super().stats(request)

    async def prometheus(self, request: web.Request) -> web.Response:
        """The metrics of all workers as Prometheus or OpenMetrics text; ?name[]=NAME for single ones."""
        await self._read()
        return await super().prometheus(request)

    async def _read(self) -> None:
        self._own()
        await self._team.numbers()


class ConsoleOfAll(Console):
    def __init__(self, team: Team) -> None:
        super().__init__(Recent(time.time), dict)  # the parent answers no client: nothing recent is its own
        self._team = team

    async def recent(self, _request: web.Request) -> web.Response:
        """The last 15 minutes in steps of 5 s, the latest decisions and live pins by model, over all workers."""
        snapshots = _json(await self._team.told("GET", "/recent"))
        body = msgspec.json.encode(merging.recents(list(snapshots.values())))
        return web.Response(body=body, content_type="application/json", headers=HEADERS)


class ClustersOfAll:
    def __init__(self, team: Team) -> None:
        self._team = team

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/clusters", _with_words_of(Clusters.clusters, self.clusters))]

    async def clusters(self, request: web.Request) -> web.Response:
        answers = _json(await self._team.told("GET", "/clusters?format=json"))
        found = merging.clusters([answer["clusters"] for answer in answers.values()])
        if request.query.get("format") == "json":
            return json_answer({"clusters": found})
        return web.Response(text=in_text(found))


class ListenersOfAll(Listeners):
    """Each worker closes its own socket; a graceful drain is over with the last of them."""

    def __init__(self, state: State, patience_s: float, team: Team) -> None:
        super().__init__(state, patience_s)
        self._team = team

    async def close_all(self) -> None:
        await self._team.ask("POST", "/drain_listeners")

    async def _drained(self) -> None:
        await self._team.ask("POST", "/drain_listeners?graceful")
        while await self._some_listens():  # noqa: ASYNC110 - no worker tells us that it was the last
            await asyncio.sleep(LOOK_S)
        await self.close_clients()

    async def _some_listens(self) -> bool:
        answers = await self._team.ask("GET", "/listeners")
        return any(answer is not None and answer.body for answer in answers.values())


class ProcessOfAll(Process):
    def __init__(  # noqa: PLR0917 - those of Process, and whom to ask
        self,
        team: Team,
        state: State,
        in_force: Callable[[], InForce],
        listeners: Listeners,
        orders: Orders,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(state, in_force, listeners, orders, clock)
        self._team = team
        self._now = clock

    async def server_info(self, request: web.Request) -> web.Response:
        """Version, state, uptime, what it was started with, and its workers."""
        answer = await super().server_info(request)
        workers = [
            {
                "worker": member.line.number,
                "pid": member.process.pid,
                "uptime_seconds": round(self._now() - member.began_s, 3),
            }
            for member in self._team.members()
        ]
        told = msgspec.json.decode(answer.body) if isinstance(answer.body, bytes) else {}
        return json_answer({**told, "worker_restarts": self._team.restarts(), "workers": workers})

    async def memory(self, _request: web.Request) -> web.Response:
        """Memory in bytes over all processes, and what Python says in each."""
        answers = await self._team.told("GET", "/memory")
        each = {"parent": memory(), **{str(number): found for number, found in _json(answers).items()}}
        sums = {name: sum(found[name] for found in each.values()) for name in each["parent"] if name.endswith("_bytes")}
        return json_answer({**sums, "processes": each})

    async def logging(self, request: web.Request) -> web.Response:
        """Lists the loggers; ?level=LEVEL sets the level of all, ?LOGGER=LEVEL of one, in all workers."""
        answers = await self._team.told("POST", request.path_qs)
        if (refused := _refused(answers)) is not None:
            return refused
        for name, level in request.query.items():
            set_level(None if name == "level" else name, level)
            if name == "level":
                self._team.levels.clear()
            self._team.levels[name] = level
        return web.Response(body=next(iter(answers.values())).body, content_type="text/plain", charset="utf-8")

    async def reopen_logs(self, _request: web.Request) -> web.Response:
        """Opens log files again, after they were rotated, in all workers."""
        await self._team.told("POST", "/reopen_logs")
        return web.Response(text="OK\n")


class HandedOn:
    """What any one worker can answer for all."""

    def __init__(self, team: Team) -> None:
        self._team = team

    def routes(self) -> list[web.RouteDef]:
        each = self._by_one
        return [
            web.get("/pins", each(PinsApi.page)),
            web.get("/pins/export", each(PinsApi.export), allow_head=False),
            web.post("/pins/import", each(PinsApi.take_up)),
            web.post("/pins/move", each(PinsApi.move)),
            web.get("/pins/{session:(?s:.+)}", each(PinsApi.story)),
            web.put("/pins/{session:(?s:.+)}", each(PinsApi.put)),
            web.delete("/pins/{session:(?s:.+)}", each(PinsApi.delete)),
            web.post("/route", each(DryRun.route)),
        ]

    def _by_one(self, original: Any) -> Handler:
        async def handed_on(request: web.Request) -> web.StreamResponse:
            return await self._team.one().hand_on(request)

        return _with_words_of(original, handed_on)


def _with_words_of(original: Any, handler: Handler) -> Handler:
    """For /help: the same path says the same."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    handle.__doc__ = original.__doc__
    return handle
