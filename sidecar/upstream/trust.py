"""
Whose certificates a provider may show: those that the system trusts, or those of a file of its own.

A file is known by its path and by how it looked, so that another content is another trust: what was made under one is
not used under the other, and connections are kept apart by it.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sidecar.certificates import trust

MOST_TRUSTS = 64
"""Settings that are kept; each new content of a file makes another."""


class Authorities(NamedTuple):
    """A file in PEM, as it was when a configuration came into force."""

    file: str
    mark: tuple[int, ...]
    """Changed when the file was; empty when there was none."""


def authorities(file: str | None) -> Authorities | None:
    """None: those of the system. Some microseconds, once for each target of a configuration."""
    if file is None:
        return None
    try:
        found = os.stat(file)  # noqa: PTH116 - follows links, as whoever reads the file does
    except OSError:
        return Authorities(file, ())
    return Authorities(file, (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))


def system_trust() -> ssl.SSLContext:
    """Whom the system trusts, or whom SSL_CERT_FILE and SSL_CERT_DIR name."""
    return _asking_for_http(ssl.create_default_context())


def trust_of(file: str) -> ssl.SSLContext:
    """Whom a file names, and nobody else. Raises CannotLoad."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # certificate and name are verified
    trust(context, Path(file))
    return _asking_for_http(context)


def _asking_for_http(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class Trust:
    """The TLS settings of all connections, made once each. `make` makes those for whoever has no file."""

    def __init__(self, make: Callable[[], ssl.SSLContext]) -> None:
        self._make = make
        self._making: dict[Authorities | None, asyncio.Future[ssl.SSLContext]] = {}

    async def context(self, whom: Authorities | None = None) -> ssl.SSLContext:
        """Raises CannotLoad for a file that names nobody; the next time it is read again."""
        making = self._making.get(whom)
        if making is None:
            while len(self._making) >= MOST_TRUSTS:
                del self._making[next(iter(self._making))]
            make = self._make if whom is None else partial(trust_of, whom.file)
            # In a thread, and not before it is needed: reading the system's authorities takes up to 100 ms.
            making = self._making[whom] = asyncio.get_running_loop().run_in_executor(None, make)
        try:
            return await asyncio.shield(making)
        except Exception:
            if self._making.get(whom) is making:
                del self._making[whom]
            raise
