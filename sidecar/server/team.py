"""The workers that serve now, as whoever answers for all of them asks them."""

import asyncio
from collections.abc import Callable, Sequence

from sidecar.errors import Unavailable
from sidecar.server.line import Answer, Line, WorkerSilent
from sidecar.server.seat import NUMBERS
from sidecar.server.workers import Worker
from sidecar.telemetry.merge import decoded


class Team:
    """`members` gives them by number; `count`: how many there should be."""

    def __init__(self, members: Callable[[], Sequence[Worker]], restarts: Callable[[], int], count: int) -> None:
        self.members = members
        self.restarts = restarts
        self.count = count
        self.levels: dict[str, str] = {}
        """What operators have said to /logging, for workers that begin later."""

    async def ask(self, method: str, path_qs: str) -> dict[int, Answer | None]:
        """All at once; None for one that does not answer."""
        lines = [member.line for member in self.members()]
        answers = await asyncio.gather(*(_asked(line, method, path_qs) for line in lines))
        return {line.number: answer for line, answer in zip(lines, answers, strict=True)}

    async def told(self, method: str, path_qs: str) -> dict[int, Answer]:
        """As `ask`, by those that answer. Raises Unavailable when nobody does."""
        found = {number: answer for number, answer in (await self.ask(method, path_qs)).items() if answer is not None}
        if not found:
            raise Unavailable("no worker answers now")
        return found

    async def numbers(self) -> None:
        """Reads the numbers of all. One that does not answer keeps those it had."""
        await asyncio.gather(*(_read(member) for member in self.members()))

    async def greet(self, line: Line) -> None:
        """Brings a worker that has just begun to the state of the others."""
        if self.levels:
            await _asked(line, "POST", "/logging?" + "&".join(f"{name}={level}" for name, level in self.levels.items()))

    def one(self) -> Line:
        """Raises Unavailable."""
        for member in self.members():
            return member.line
        raise Unavailable("no worker serves now")


async def _asked(line: Line, method: str, path_qs: str) -> Answer | None:
    try:
        return await line.ask(method, path_qs)
    except WorkerSilent:
        return None


async def _read(member: Worker) -> None:
    answer = await _asked(member.line, "GET", NUMBERS)
    if answer is not None and answer.status == 200:  # noqa: PLR2004 - HTTP's own
        member.share.read(decoded(answer.body))
