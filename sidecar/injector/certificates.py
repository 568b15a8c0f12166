"""
The certificate that the webhook shows, loaded again when its files change.

Kubernetes changes a mounted Secret by moving a symbolic link: the paths stay, what they lead to is another file. So the
files are looked at every few seconds, by inode, time and size, which needs neither a library nor a watch that breaks
when the link moves.
"""

import asyncio
import logging
import time
from pathlib import Path
from typing import Protocol

from sidecar.certificates import CannotLoad, Pair, Shown

log = logging.getLogger("sidecar.injector.certificates")

Mark = tuple[tuple[int, ...], ...]
"""How the files looked: changed when they were."""


class Counts(Protocol):
    """Who is told of every attempt."""

    def certificate_loaded(self, at_unix_s: float) -> None: ...
    def certificate_refused(self) -> None: ...


class Certificates:
    """Raises CannotLoad when there is no pair to begin with."""

    def __init__(self, pair: Pair, counts: Counts) -> None:
        self._pair, self._counts = pair, counts
        self._mark = _marks(pair)
        self._shown = Shown(pair)
        counts.certificate_loaded(time.time())
        self.context = self._shown.context
        """To listen with."""

    def look(self) -> None:
        """Loads the pair if its files have changed since the last look. One that is broken is told of once."""
        # Taken before the files are read: should they change meanwhile, the next look sees it.
        mark = _marks(self._pair)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._shown.put(self._pair.load())
        except CannotLoad as exc:
            self._counts.certificate_refused()
            log.error("%s; the old certificate stays", exc)  # noqa: TRY400 - the sentence has the cause
        else:
            self._counts.certificate_loaded(time.time())
            log.info("the certificate has changed: new connections get the new one")

    async def watch(self, interval_s: float) -> None:
        """Looks for ever."""
        while True:
            await asyncio.sleep(interval_s)
            self.look()


def _marks(pair: Pair) -> Mark:
    return tuple(_mark(path) for path in (pair.certificate, pair.key))


def _mark(path: Path) -> tuple[int, ...]:
    """Of the file that a link leads to; empty when there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
