"""
Pins over a restart: the table in this process, now and then, as a file; and the table as the last such file had it.

Written every interval and at the end, only when something changed. The event loop turns meanwhile: pins are put into
bytes a few at a time, and a thread waits for the disk. So requests go on while a snapshot is taken, and what it says
is this: of every session that had a pin when it began, that pin as it was at some moment before the snapshot was
complete, whole; those that ended meanwhile may be missing, those that began meanwhile are in the next. Sessions do not
depend on one another, so no more is needed.

Each begins early enough to be complete one interval after the one before began, as far as the last one's duration
tells. A process that is killed thus loses what happened in one interval at most; where writing takes more than a third
of an interval, three times as long as that takes, for it may not take more than half of the time.

Session ids stand in the file as clients sent them: only its owner may read it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from enum import StrEnum
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import evolve, frozen
from msgspec.structs import replace

from sidecar.routing.decision import Held
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey, is_session_id
from sidecar.stores import snapfile, uncounted, values
from sidecar.stores.snapfile import Damaged, NewFile, Order, Packed, Read

logger = logging.getLogger("sidecar.store")

PACKED_AT_ONCE = 100
"""Pins, a millisecond's worth, before the event loop may run something else."""
PIECE_BYTES = 256 * 1024
"""What a thread is given to write at once."""


class Fate(StrEnum):
    """What became of a pin in the file."""

    TAKEN = "taken up"
    EXPIRED = "expired"
    GONE = "of models that are no longer configured"
    UNREADABLE = "unreadable"


@frozen
class Written:
    """The last snapshot that was written."""

    at: float
    """By the clock that never runs backwards: when it was complete."""
    began_at: float
    pins: int
    size_bytes: int

    @property
    def took_s(self) -> float:
        return self.at - self.began_at


class Snapshot:
    """
    Keeps `table` in the file at `path`. To be entered (`async with`) before anybody is served: that takes up what the
    file has; leaving it writes for the last time. Neither raises for whatever is wrong with the file or its folder.

    `offered`: whether a model is configured. `clock`: the table's, in seconds, never backwards. `wall`: Unix time.
    `counter` and `errors` give, for the name of an operation (`snapshot`), what to call at each file that is written or
    read, and at each that could not be.
    """

    def __init__(
        self,
        table: PinTable,
        path: Path,
        *,
        interval_s: float,
        offered: Callable[[str], bool],
        clock: Callable[[], float],
        wall: Callable[[], float],
        counter: Callable[[str], Callable[[], None]] = uncounted,
        errors: Callable[[str], Callable[[], None]] = uncounted,
    ) -> None:
        self._table = table
        self._path = path
        self._interval_s = interval_s
        self._offered = offered
        self._clock = clock
        self._wall = wall
        self._count = counter("snapshot")
        self._count_error = errors("snapshot")
        self._last: Written | None = None
        self._saved = table.changes
        """What the file knows of: `PinTable.changes` when the last one began, or was taken up."""
        self._why: str | None = None
        self._wanted = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        told = await self._load()
        self._saved = self._table.changes  # who fails to start leaves the file to whoever runs already
        try:
            await asyncio.to_thread(snapfile.probe, self._path)
        except OSError as exc:
            self._met(exc, told=told)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.leave_off()

    def write_soon(self) -> None:
        """Does not wait for the interval to be over."""
        self._wanted.set()

    async def leave_off(self) -> None:
        """Writes for the last time: from here on the file is another process's, or nobody's."""
        self._stopping = True
        self._wanted.set()
        if self._task is not None:
            await self._task

    def describe(self) -> tuple[bool, str]:
        """Whether the last one could be written, and a few words on it."""
        last = self._last
        said = (
            "none written yet"
            if last is None
            else f"{last.pins} pins in {last.size_bytes} bytes, written {self._clock() - last.at:.0f} s ago"
        )
        if self._why is not None:
            return False, f"cannot be written ({self._why}); {said}"
        return True, f"{said}, nothing new since" if self._table.changes == self._saved else said

    # Writing

    async def _run(self) -> None:
        while not self._stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wanted.wait()
            self._wanted.clear()
            await self.write()
        await self.write()

    def _pause_s(self) -> float:
        """Until the next begins, so that it is complete one interval after the last one began."""
        took_s = 0.0 if self._last is None else self._last.took_s
        return max(self._interval_s - 2 * took_s, took_s)

    async def write(self) -> None:
        """Writes a snapshot now if anything changed since the last one. What goes wrong is told, not raised."""
        began_at = self._clock()
        self._table.sweep(began_at)  # who expired leaves the file too
        changes = self._table.changes
        if changes == self._saved and self._why is None:
            return
        self._count()
        try:
            pins, size = await self._written()
        except Exception as exc:  # noqa: BLE001 - whatever it is, a thread that cannot be had, say: the next may be written
            self._met(exc)
            return
        self._last, self._saved = Written(self._clock(), began_at, pins, size), changes
        if self._why is not None:
            logger.warning("the snapshot of pins %s is written again", self._path)
            self._why = None

    async def _written(self) -> tuple[int, int]:
        """How many pins, how many bytes. Raises OSError."""
        pins = 0
        file = await asyncio.to_thread(NewFile, self._path)
        try:
            async for piece, count in self._pieces():
                await asyncio.to_thread(file.write, piece)
                pins += count
            await asyncio.to_thread(file.complete, pins)
        finally:
            await asyncio.to_thread(file.close)
        return pins, file.size

    async def _pieces(self) -> AsyncIterator[tuple[bytes, int]]:
        """The head and the pins, in pieces of about `PIECE_BYTES` with the number of pins in each."""
        ordered = not self._table.expires_by_use
        piece, pins = bytearray(snapfile.head(Order.USE if ordered else Order.EXPIRY, self._wall())), 0
        for at, key in enumerate(self._table.keys(ordered=ordered)):
            if at and not at % PACKED_AT_ONCE:
                await asyncio.sleep(0)
            held = self._table.peek(key, self._clock())
            if held is not None:
                with suppress(ValueError):  # one that cannot be kept costs no other
                    piece += snapfile.packed(key, held, self._wall())
                    pins += 1
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece), pins
                piece, pins = bytearray(), 0
        yield bytes(piece), pins

    def _met(self, exc: Exception, *, told: bool = False) -> None:
        """A write failed. The log is told of what is new; `told`: it was told already."""
        self._count_error()
        why = (exc.strerror or "failed") if isinstance(exc, OSError) else type(exc).__name__
        if why != self._why and not told:
            logger.warning("the snapshot of pins %s cannot be written: %s; trying on", self._path, why)
        self._why = why

    # Loading

    async def _load(self) -> bool:
        """Takes up what the file has. Whether the log was warned."""
        try:
            content = await asyncio.to_thread(snapfile.read, self._path)
            if content is None:
                return False
            self._count()
            fates = await self._take_up(await asyncio.to_thread(snapfile.understood, content))
        except Damaged as exc:
            return await self._refuse(str(exc))
        except OSError as exc:
            return await self._refuse(exc.strerror or "failed")
        said = ", ".join(f"{fates[fate]} {fate.value}" for fate in Fate if fates[fate] or fate is Fate.TAKEN)
        logger.info("pins of the snapshot %s: %s", self._path, said)
        return False

    async def _take_up(self, read: Read) -> Counter[Fate]:
        """Raises Damaged."""
        pins = list(read.pins())  # all of them, before any of them counts
        if read.order is Order.EXPIRY:
            pins.sort(key=lambda pin: pin.expires_at)
        fates: Counter[Fate] = Counter()
        for at, pin in enumerate(pins):
            if at and not at % PACKED_AT_ONCE:
                await asyncio.sleep(0)
            # A clock that was set back since must not let a pin live longer than was left to it.
            fates[self._take_up_one(pin, max(self._wall(), read.began_at_s))] += 1
        return fates

    def _take_up_one(self, packed: Packed, now: float) -> Fate:
        try:
            key = packed.key.decode(errors=snapfile.KEY_ERRORS)
            known = is_session_id(SessionKey.decoded(key).session_id)
            held = values.held_of(packed.record, now)
        except ValueError:
            return Fate.UNREADABLE
        if held is None:
            return Fate.EXPIRED
        if not (known and isfinite(held.age_s) and isfinite(held.expires_in_s)):
            return Fate.UNREADABLE
        held = self._still_offered(held)
        if held is None:
            return Fate.GONE
        self._table.restore(key, held, self._clock())
        return Fate.TAKEN

    def _still_offered(self, held: Held) -> Held | None:
        """A pin may lose a lower candidate, but not its model."""
        candidates = held.pin.candidates
        if all(map(self._offered, candidates)):
            return held
        if not self._offered(candidates[0]):
            return None
        return replace(held, pin=evolve(held.pin, candidates=tuple(filter(self._offered, candidates))))

    async def _refuse(self, why: str) -> bool:
        """The file is not used; whoever wants to know why finds it beside the next."""
        self._count_error()
        try:
            aside = await asyncio.to_thread(snapfile.set_aside, self._path)
        except OSError:
            logger.warning("the snapshot of pins %s is not used: %s", self._path, why)
        else:
            logger.warning("the snapshot of pins %s is not used: %s; set aside as %s", self._path, why, aside.name)
        return True
