"""
Who names the session: the first of its sources that the request carries.

`X-Session-Id` and `X-Model-Affinity` are our own contract with clients: a value that is no session id is refused, for
a session that silently is none would switch models in mid-work. The others (see `sources`) are sent by well-known
clients for their own purposes; a value of theirs that we cannot use is passed over.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from attrs import field, frozen
from msgspec import Struct

from sidecar.errors import InvalidSessionId

OWN_SOURCES = ("x-session-id", "x-model-affinity")
IMPLICIT = "implicit"
"""The source of a session that nobody named: it is told by how its conversation begins."""
BODY = "body:"
"""How the name of a source begins that is a field of the body."""

LONGEST_ID = 256


def is_session_id(text: str) -> bool:
    """Visible ASCII is 0x21 to 0x7E: no space, no control character, nothing a log or a key could stumble over."""
    return 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable() and " " not in text


def plain(value: object) -> str | None:
    """The value itself, where it is a session id. One that is none was not meant as one."""
    return value if isinstance(value, str) and is_session_id(value) else None


@frozen(eq=False)
class Source:
    """One place where a request may name its session. Each is its own: to look one up by its fields takes longer."""

    name: str
    """A header's name in small letters, or `body:` and a path."""
    client: str = "the operator's own"
    shape: str = "a session id"
    read: Callable[[object], str | None] = plain
    """The session that a value names, or None."""
    path: str | None = field(init=False)
    """Where in the body; None for a header."""

    @path.default
    def _path_in_name(self) -> str | None:
        return self.name.removeprefix(BODY) if self.name.startswith(BODY) else None


class Fields(Protocol):
    """The body of a request, as far as it may name a session."""

    def at(self, path: str) -> object:
        """What is at a dotted path; None when there is nothing."""
        ...


class NoFields:
    """A request whose body names nothing."""

    def at(self, path: str) -> None:
        """Nothing, wherever."""


NO_FIELDS = NoFields()


class SessionKey(Struct, frozen=True, eq=False, gc=False):
    """
    One session, as stores know it: two keys are equal if their first three fields are. Most requests make one, which is
    cheaper than to find the one that was made for the request before.
    """

    session_id: str
    tenant: str = ""
    """Whose it is: a tenant's name, `caller:` and a hash of a credential, or empty for all."""
    lane: str = ""
    source: str = "x-session-id"
    """What named it: a header, `body:` and a path, or `implicit`."""
    drifted: bool = False
    """Implicit sessions: whether the conversation was here not long ago with another system prompt or other tools."""

    @property
    def encoded(self) -> str:
        """Lengths before contents, so that no content can imitate a boundary: no two keys have the same."""
        if not self.tenant and not self.lane:  # as nearly all of them
            return f"0:0:{self.session_id}"
        return f"{len(self.tenant)}:{self.tenant}{len(self.lane)}:{self.lane}{self.session_id}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SessionKey) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)

    def in_lane(self, lane: str) -> "SessionKey":
        """Not by `evolve`, which takes eight times as long: requests of sub-agents need one or two of them."""
        return SessionKey(self.session_id, self.tenant, lane, self.source, self.drifted)

    @classmethod
    def decoded(cls, encoded: str, source: str = "") -> "SessionKey":
        """The key that `encoded` is of; who named it is not in there. Raises ValueError when it is of none."""
        tenant, rest = _cut(encoded)
        lane, session_id = _cut(rest)
        return cls(session_id, tenant, lane, source)


def _cut(text: str) -> tuple[str, str]:
    """`3:abcdef` -> `abc`, `def`."""
    digits, colon, rest = text.partition(":")
    length = int(digits) if digits.isascii() and digits.isdecimal() else -1
    if not colon or not 0 <= length <= len(rest):
        raise ValueError("not the encoded key of a session")
    return rest[:length], rest[length:]


def named(source: Source, value: object, tenant: str) -> SessionKey | None:
    """The session that a value of `source` names, or None. Raises as `session_of`."""
    session_id = source.read(value)
    return None if session_id is None else SessionKey(session_id, tenant, "", source.name)


def session_of(
    headers: Mapping[str, str],
    fields: Fields = NO_FIELDS,
    sources: Sequence[Source] = (),
    tenant: str = "",
    by_header: Callable[[Source, str, str], SessionKey | None] = named,
) -> SessionKey | None:
    """
    The session a request of `tenant` belongs to, or None. `headers` looks names up whatever their case; `sources` are
    asked in order, after our own headers. `by_header`: `named`, or what remembers its answers; it is not asked about a
    value that is too long for an id.

    Raises InvalidSessionId when `X-Session-Id` or `X-Model-Affinity` is not 1 to 256 visible ASCII characters.
    """
    for source in OWN:
        if (value := headers.get(source.name)) is not None:
            return (by_header if len(value) <= LONGEST_ID else named)(source, value, tenant)
    for source in sources:
        if source.path is not None:
            found = fields.at(source.path)
            key = None if found is None else named(source, found, tenant)
        elif (value := headers.get(source.name)) is not None:
            key = (by_header if len(value) <= LONGEST_ID else named)(source, value, tenant)
        else:
            continue
        if key is not None:
            return key
    return None


def checked(session_id: str, source: str) -> str:
    """`session_id` itself. Raises InvalidSessionId when it is none; the message does not repeat it."""
    if not is_session_id(session_id):
        raise InvalidSessionId(
            f"{source} must be 1 to {LONGEST_ID} visible ASCII characters, got {len(session_id)} characters"
            + (
                "" if session_id.isascii() and session_id.isprintable() and " " not in session_id else " of other kinds"
            ),
            param=source,
        )
    return session_id


def _own(name: str) -> Source:
    return Source(name, "whoever follows our contract", "a session id, or refused", partial(checked, source=name))


OWN = tuple(map(_own, OWN_SOURCES))
"""Our own contract with clients, asked first."""
