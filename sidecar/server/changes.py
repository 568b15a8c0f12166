"""
Whether the configuration has changed on disk: the file, and the files with keys and certificates that it names.

Asked again and again, for nothing tells of every change alike: an editor writes another file and renames it, a mounted
ConfigMap or Secret swaps a symbolic link two folders up (..data), a network file system is silent. What is compared is
what `stat` says of whatever the path leads to; that is some ten microseconds a file, in a thread.

A change is acted on when it has stood for one more look: half a file is no configuration.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from sidecar.config.models import Config
from sidecar.loop import beside

LOOK_S = 0.5
"""How often."""

Stat = tuple[int, int, int, int]
Signature = dict[str, Stat | None]
"""What must be equal for files to be unchanged, by path; None for one that is not there."""


def files_of(config: Config) -> tuple[str, ...]:
    """Whatever a configuration was read from."""
    return (config.source, *config.files)


def signature(paths: Iterable[str]) -> Signature:
    """As the files are now."""
    return {path: _stat(path) for path in paths}


def _stat(path: str) -> Stat | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - follows every link on the way, which is what is asked
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Changes:
    """What one look after the other makes of the files. Pure."""

    def __init__(self) -> None:
        self._seen: Signature = {}

    def settled(self, known: Signature, now: Signature) -> bool:
        """Whether they are otherwise than when they were read, which is `known`, and were so at the last look already."""
        changed = now != known and now == self._seen
        self._seen = now
        return changed


@asynccontextmanager
async def watched(
    known: Callable[[], Signature], changed: Callable[[], Awaitable[object]], every_s: float = LOOK_S
) -> AsyncIterator[None]:
    """
    While inside, `changed` is awaited for each change. `known`: the files to look at, as they were when they were last
    read; whoever reads them again says so.
    """
    async with beside(_watch(known, changed, every_s)):
        yield


async def _watch(known: Callable[[], Signature], changed: Callable[[], Awaitable[object]], every_s: float) -> None:
    changes = Changes()
    while True:
        await asyncio.sleep(every_s)
        now = await asyncio.to_thread(signature, tuple(known()))
        if changes.settled(known(), now):
            await changed()
