"""
What logs and traces call a session: a short keyed hash of it, from which nobody gets back to the session's id.

Keyed BLAKE2b (RFC 7693), 64 bits. Two sessions of a million have the same with a chance of one in thirty million.
"""

import os
from functools import lru_cache
from hashlib import blake2b

from sidecar.routing.session import SessionKey

REMEMBERED = 4096


class Pseudonyms:
    """`key`: the same key gives the same hashes, in every process; without one they are this object's own."""

    def __init__(self, key: str | None = None) -> None:
        given = os.urandom(32) if key is None else key.encode()
        self._key = given if len(given) <= blake2b.MAX_KEY_SIZE else blake2b(given).digest()
        # By the text and not by the key: to compare keys takes longer than all the rest.
        self._remembered = lru_cache(REMEMBERED)(self._made)

    def of(self, session: SessionKey) -> str:
        """16 hex digits."""
        return self._remembered(session.encoded)

    def _made(self, encoded: str) -> str:
        return blake2b(encoded.encode(), digest_size=8, key=self._key).hexdigest()
