"""
The stable head of a conversation: what stays the same from its first request to its last, and the keyed hash of it.

    the first message of the user · the system prompt and whatever else comes before it · the tools

The hash is of what is meant, not of how it is spelt: a string and a list of one text part are the same words, the order
of keys and the way characters are escaped do not count, and what clients are known to change from request to request is
left out: the marks for prompt caches, the ids of items, Claude Code's billing line. It is HMAC-SHA256 (RFC 2104), fed
piece by piece; each piece goes in with its kind and its length, so that no text can imitate a boundary.
"""

import hmac
from hashlib import sha256
from typing import Protocol

import msgspec
from attrs import frozen
from msgspec import Raw

from sidecar.wire.formats import Format
from sidecar.wire.opening import Opening

_LABEL = b"sidecar head 1"
"""What the key is used for here, and the version of all that follows."""
_HEX_DIGITS = 32
"""128 bits of 256: too many to find two alike."""

_TEXT = (None, "text", "input_text", "output_text")
_UNSTABLE = frozenset({"cache_control", "id"})
"""Of a tool, an item, or a part that is no text. https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching:
clients move the marks from turn to turn, and gateways take them in chat, too."""
_PER_REQUEST = "x-anthropic-billing-header:"
"""A line that Claude Code puts first in its system prompt, another one each time:
https://github.com/anthropics/claude-code/issues/68900"""

_sorted = msgspec.json.Encoder(order="sorted")


class _Mac(Protocol):
    """A running hash."""

    def update(self, msg: bytes, /) -> None: ...


@frozen
class Head:
    """Two fingerprints, in hex."""

    start: str
    """Of the user's first message alone."""
    whole: str
    """Of all that is stable."""


def head_of(key: bytes, form: Format, scope: str, opening: Opening) -> Head | None:
    """
    The fingerprints of a conversation of `scope` (whose it is), under a secret `key`. None when the conversation does
    not begin in this request, or its user has said nothing yet.

    Raises RecursionError when a part of it is nested too deeply to be written down.
    """
    if opening.first is None or not opening.whole:
        return None
    mac = hmac.new(key, _LABEL, sha256)
    _put(mac, b"f", form.encode())
    _put(mac, b"w", scope.encode())
    _content(mac, opening.first.content)
    start = mac.hexdigest()[:_HEX_DIGITS]
    for said in opening.before:
        _put(mac, b"r", said.who.encode())
        _content(mac, said.content)
    _tools(mac, opening.tools)
    return Head(start, mac.hexdigest()[:_HEX_DIGITS])


def _put(mac: _Mac, kind: bytes, piece: bytes) -> None:
    mac.update(b"%b%d:" % (kind, len(piece)))
    mac.update(piece)


def _content(mac: _Mac, content: object) -> None:
    if isinstance(content, list):
        for part in content:
            _part(mac, part)
    elif content is not None:
        _part(mac, content)


def _part(mac: _Mac, part: object) -> None:
    text = part.get("text") if isinstance(part, dict) and part.get("type") in _TEXT else part
    if isinstance(text, str):
        _text(mac, text)
    else:
        _put(mac, b"p", _canonical(part))


def _text(mac: _Mac, text: str) -> None:
    if text.startswith(_PER_REQUEST):
        text = text.partition("\n")[2]
    if text:
        _put(mac, b"t", text.encode())


def _tools(mac: _Mac, tools: Raw) -> None:
    try:
        listed = msgspec.json.decode(tools) if tools else None
    except (msgspec.MsgspecError, RecursionError):
        # Legal JSON that cannot be kept, such as 1e999: its spelling will have to do.
        _put(mac, b"j", bytes(tools))
        return
    for tool in listed if isinstance(listed, list) else ():
        _put(mac, b"o", _canonical(tool))


def _canonical(value: object) -> bytes:
    if isinstance(value, dict) and not _UNSTABLE.isdisjoint(value):
        value = {name: inner for name, inner in value.items() if name not in _UNSTABLE}
    return _sorted.encode(value)
