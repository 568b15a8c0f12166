"""
Pins from one sidecar to another: a line of JSON each, after one that says what this is.

    {"format": "sidecar-pins", "version": 1, "exported_at": "2026-01-31T08:15:00Z"}
    {"session_id": …}                                                                 `pin_json.PinJson`

Neither side ever has all of it in memory, and neither keeps the event loop to itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec
from attrs import define, evolve, field
from msgspec import Struct
from msgspec.structs import replace

from sidecar.admin.body import decoded
from sidecar.admin.pin_json import PinJson, Time, held_of, pin_json
from sidecar.config.catalog import Catalog
from sidecar.errors import RequestError
from sidecar.routing.decision import Held
from sidecar.routing.session import SessionKey, is_session_id
from sidecar.routing.watch import MoveReason, PinWatch, tell
from sidecar.stores import PinStore

PIECE_BYTES = 64 * 1024
MAX_LINE_BYTES = 64 * 1024
MOST_TOLD = 1000
"""Refused lines that the answer tells of one by one; the others are counted."""
_AT_ONCE = 50
"""Lines, four milliseconds' worth, before the event loop may run something else."""


class Header(Struct):
    """The first line."""

    format: Literal["sidecar-pins"]
    version: Literal[1]
    exported_at: Time


async def exported(store: PinStore, now: float, since: float | None = None) -> AsyncIterator[bytes]:
    """
    Every live pin, the least recently used first, in pieces of about `PIECE_BYTES`; with `since` those only whose
    sessions have had their model for no longer. Both are Unix time.
    """
    piece = bytearray(_line(Header("sidecar-pins", 1, datetime.fromtimestamp(now, UTC))))
    async for key, held in store.scan():
        if since is not None and held.age_s > now - since:
            continue
        piece += _line(pin_json(key, held))
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _line(content: Struct) -> bytes:
    return msgspec.json.encode(content) + b"\n"


@define
class Outcome:
    """What became of the lines of an import."""

    imported: int = 0
    kept: int = 0
    """Sessions that had a pin and kept it."""
    refused: int = 0
    told: list[tuple[int, str]] = field(factory=list)
    """(line, why) of the first `MOST_TOLD` that were refused."""

    def refuse(self, line: int, why: str) -> None:
        self.refused += 1
        if len(self.told) < MOST_TOLD:
            self.told.append((line, why))


class Import:
    """Takes up exported pins. `overwrite`: a session that has a pin gets the imported one. `clock`: Unix time."""

    def __init__(
        self, store: PinStore, catalog: Catalog, watch: PinWatch, clock: Callable[[], float], *, overwrite: bool
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._watch = watch
        self._clock = clock
        self._overwrite = overwrite

    async def read(self, lines: AsyncIterator[bytes]) -> Outcome:
        """Raises RequestError when the first line is no header; whatever is wrong with another refuses that line."""
        outcome, header = Outcome(), None
        number = 0
        async for line in lines:
            number += 1
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
            if header is None:
                header = _header(line)
            elif line.strip() or len(line) > MAX_LINE_BYTES:
                await self._take(line, number, header, outcome)
        if header is None:
            raise _no_export("the body is empty")
        return outcome

    async def _take(self, line: bytes, number: int, header: Header, outcome: Outcome) -> None:
        try:
            key, held = self._understood(line, max(0.0, self._clock() - header.exported_at.timestamp()))
        except RequestError as exc:
            outcome.refuse(number, exc.message)
            return
        moved = await self._store.restore(key, held, overwrite=self._overwrite)
        if moved is None:
            outcome.kept += 1
            return
        outcome.imported += 1
        tell(self._watch, moved, held.pin, MoveReason.OPERATOR)

    def _understood(self, line: bytes, passed_s: float) -> tuple[SessionKey, Held]:
        """Raises RequestError."""
        if len(line) > MAX_LINE_BYTES:
            raise RequestError(f"longer than {MAX_LINE_BYTES} bytes")
        told = decoded(line, PinJson)
        if not is_session_id(told.session_id):
            raise RequestError("session_id: not visible ASCII characters")
        held = held_of(told, passed_s)
        if held.expires_in_s <= 0:
            raise RequestError("expired")
        key = SessionKey(told.session_id, told.tenant, told.lane, told.source)
        return key, replace(held, pin=evolve(held.pin, candidates=self._offered(told.models)))

    def _offered(self, models: list[str]) -> tuple[str, ...]:
        """A pin may lose a lower candidate, but not its model."""
        found = [self._catalog.resolve(model) for model in models]
        if found[0] is None:
            raise RequestError("models[0]: no configured provider offers this model")
        return tuple(dict.fromkeys(model for model in found if model is not None))


def _header(line: bytes) -> Header:
    try:
        return decoded(line, Header)
    except RequestError as exc:
        raise _no_export(exc.message) from exc


def _no_export(why: str) -> RequestError:
    return RequestError(f"line 1 must be the first line of an export of pins, version 1: {why}")
