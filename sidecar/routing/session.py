"""
Who names the session: the first of these headers that the request carries.

`X-Session-Id` and `X-Model-Affinity` are our own contract with clients: a value that is no session id is refused, for
a session that silently is none would switch models in mid-work. The others are sent by well-known clients for their
own purposes; a value of theirs that we cannot use is passed over.
"""

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from sidecar.errors import InvalidSessionId

OWN_SOURCES = ("x-session-id", "x-model-affinity")

CLIENT_SOURCES = (
    "x-claude-code-session-id",  # Claude Code, Claude Agent SDK: the same over turns, tool loops, --resume, sub-agents
    "session-id",  # Codex (and opencode with its openai provider): the same over resume
    "x-session-affinity",  # opencode
)

LONGEST_ID = 256


@frozen(cache_hash=True)
class SessionKey:
    """One session, as stores know it: two different triples never have the same `encoded`."""

    session_id: str
    tenant: str = ""
    lane: str = ""
    source: str = field(default="x-session-id", eq=False)
    """The header that named it."""

    @property
    def encoded(self) -> str:
        """Lengths before contents, so that no content can imitate a boundary."""
        return f"{len(self.tenant)}:{self.tenant}{len(self.lane)}:{self.lane}{self.session_id}"

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


def session_of(headers: Mapping[str, str], sources: Sequence[str] = CLIENT_SOURCES) -> SessionKey | None:
    """
    The session a request belongs to, or None. `headers` looks names up whatever their case; `sources` lists, in
    order, the headers of well-known clients that count.

    Raises InvalidSessionId when `X-Session-Id` or `X-Model-Affinity` is not 1 to 256 visible ASCII characters.
    """
    for source in OWN_SOURCES:
        if (session_id := headers.get(source)) is not None:
            return SessionKey(checked(session_id, source), source=source)
    for source in sources:
        if (session_id := headers.get(source)) is not None and is_session_id(session_id):
            return SessionKey(session_id, source=source)
    return None


def is_session_id(text: str) -> bool:
    """Visible ASCII is 0x21 to 0x7E: no space, no control character, nothing a log or a key could stumble over."""
    return 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable() and " " not in text


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
