"""What runs inside Redis: scripts in Lua, called by their digest."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from attrs import frozen
from redis.exceptions import NoScriptError

from sidecar.stores import StoreDown
from sidecar.stores.connection import Read
from sidecar.stores.pipelined import Pipelined


@frozen
class Script:
    source: bytes
    digest: str

    @classmethod
    def named(cls, name: str) -> "Script":
        """The one in this folder."""
        source = files("sidecar.stores").joinpath(name).read_bytes()
        return cls(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())

    async def run(self, redis: Pipelined, keys: Sequence[bytes], *words: bytes, read: Read | None = None) -> Any:
        """What it answers, as `Pipelined.ask` gives it. Raises StoreDown."""
        try:
            return await redis.ask("EVALSHA", self.digest, len(keys), *keys, *words, read=read)
        except StoreDown as exc:
            if not isinstance(exc.__cause__, NoScriptError):
                raise
        # Which makes it known for the next time.
        return await redis.ask("EVAL", self.source, len(keys), *keys, *words, read=read)
