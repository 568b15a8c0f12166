"""
A body with another model in it, and a stream's usage asked for, every other byte as it came.

Decoding and encoding again would change number formatting, escapes and the order of keys, and costs fifty times as
much. So the place of a key is found in the bytes. `"model"` may stand in them many times (a tool's schema often has
one); which one is the body's own is settled by asking the decoder: an occurrence renamed to a key nobody uses shows up
at the top level only if it was there (30 µs for 100 KB). Inside strings it cannot be mistaken: JSON writes quotes there as `\\"`.
"""

import re
from base64 import b64encode

import msgspec
from attrs import frozen
from msgspec import Raw

_decoder = msgspec.json.Decoder(dict[str, Raw])
_AFTER_KEY = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_COMMA_AFTER = re.compile(rb"[ \t\n\r]*,")
_COMMA_BEFORE = re.compile(rb",[ \t\n\r]*\Z")


@frozen
class _Member:
    """A top-level `key: value`: where the key begins, where the value begins, where it ends."""

    key_at: int
    value_at: int
    end: int


def with_model(body: bytes, model: str, *, asks_usage: bool = False) -> bytes:
    """
    `body`, a valid JSON object in UTF-8, with `model` as the value of its top-level `"model"` (added when missing) and
    without its top-level `"routing_preferences"`, which is our own extension.

    `asks_usage`: with `include_usage: true` in its top-level `"stream_options"` too, which must be an object or missing
    (`Request.usage_unasked` tells).
    """
    body = _without(body, b'"routing_preferences"')
    value = msgspec.json.encode(model)
    if asks_usage and not (given := _members(body, b'"stream_options"')):
        # In one go with the model: another copy of a long body would take as long as finding the model.
        value += b',"stream_options":{"include_usage":true}'
    elif asks_usage and (options := body[given[-1].value_at : given[-1].end]).startswith(b"{"):
        body = _with(body, "stream_options", _with(options, "include_usage", b"true"))
    return _with(body, "model", value)


def _with(body: bytes, key: str, value: bytes) -> bytes:
    """The object `body` with `value` under `key`, a plain word."""
    members = _members(body, b'"%b"' % key.encode())
    if not members:
        return _added(body, key, value)
    for member in reversed(members):  # a key given twice is replaced twice: who knows which one the provider reads
        body = body[: member.value_at] + value + body[member.end :]
    return body


def _without(body: bytes, key: bytes) -> bytes:
    for member in reversed(_members(body, key)):
        before, after = body[: member.key_at], body[member.end :]
        if comma := _COMMA_AFTER.match(after):
            body = before + after[comma.end() :].lstrip(b" \t\n\r")
        else:
            body = _COMMA_BEFORE.sub(b"", before) + after
    return body


def _added(body: bytes, key: str, value: bytes) -> bytes:
    """Either there is no such key, or it is written with escapes: then all is written anew, plainly."""
    whole = _decoder.decode(body)
    if key in whole:
        return msgspec.json.encode(whole | {key: Raw(value)})
    opening = body.index(b"{") + 1
    return b'%b"%b":%b%b%b' % (body[:opening], key.encode(), value, b"," if whole else b"", body[opening:])


def _members(body: bytes, key: bytes) -> list[_Member]:
    """The top-level members called `key`, in order. `key` is a JSON string, quotes included."""
    pieces = body.split(key)
    if len(pieces) == 1:
        return []
    values = _decoder.decode(_renamed(pieces, len(key)))
    members = []
    at = 0
    for number, piece in enumerate(pieces[:-1]):
        at += len(piece)
        value = values.get(_probe(number, len(key))[1:-1].decode())
        colon = _AFTER_KEY.match(body, at + len(key))
        if value is not None and colon is not None:
            members.append(_Member(at, colon.end(), colon.end() + len(bytes(value))))
        at += len(key)
    return members


def _renamed(pieces: list[bytes], length: int) -> bytes:
    """The body with each occurrence of the key under a name of its own: one decoding tells all of them apart."""
    renamed = [pieces[0]]
    for number, piece in enumerate(pieces[1:]):
        renamed += (_probe(number, length), piece)
    return b"".join(renamed)


def _probe(number: int, length: int) -> bytes:
    """
    A key that nobody uses, as long as the one it stands for, so that values keep their length. A client that does use
    it harms only its own request.
    """
    return b'"\x7f' + b64encode(number.to_bytes(3, "big")) + b"~" * (length - 7) + b'"'
