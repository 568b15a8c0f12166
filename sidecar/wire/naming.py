"""
The fields of a body in which clients name a session, as they came. `sidecar.routing.sources` says what to make of them.

They are decoded in the one pass that decodes the body, and no further than to their bytes: what is in them is looked at
when no header named the session.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

ABSENT = Raw(b"")


class Names(Struct):
    """Part of each format's body. What is no JSON that can be kept is as good as absent."""

    prompt_cache_key: Raw = ABSENT
    session_id: Raw = ABSENT
    conversation: Any = None
    metadata: Raw = ABSENT
    client_metadata: Raw = ABSENT

    def at(self, path: str) -> object:
        """What is at a dotted path, `metadata.session_id` say; None when there is nothing. Never raises."""
        name, _, rest = path.partition(".")
        value = getattr(self, name) if name in _FIELDS else None
        if isinstance(value, Raw):
            value = _decoded(value)
        for step in rest.split(".") if rest else ():
            value = value.get(step) if isinstance(value, dict) else None
        return value


_FIELDS = frozenset(Names.__struct_fields__)


def _decoded(raw: Raw) -> object:
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
