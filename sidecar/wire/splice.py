"""
A body with another model in it, and a stream's usage asked for, every other byte as it came.

Decoding and encoding again would change number formatting, escapes and the order of keys, and costs fifty times as
much. So the place of a key is found in the bytes. `"model"` may stand in them many times (a tool's schema often has
one); which one is the body's own is settled by asking the decoder: an occurrence renamed to a key nobody uses shows up
at the top level only if it was there. Inside strings it cannot be mistaken: JSON writes quotes there as `\\"`.

To search 100 KB takes as long as to decode them, so nearly always neither is done: who decoded the body already knows
whether it names its model just once, and then the place is looked for at its two ends only. What stands before it, or
what follows it, must be JSON that opens or closes one brace (5 µs for 100 KB, of which 3 are the copy; 260 the long way).
"""

import re
from base64 import b64encode

import msgspec
from attrs import frozen
from msgspec import Raw

_decoder = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode
_AFTER_KEY = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_VALUE = re.compile(rb'[ \t\n\r]*:[ \t\n\r]*("[^"\\]*")')
_FIRST = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"model"' + _VALUE.pattern)
_COMMA_AFTER = re.compile(rb"[ \t\n\r]*,")
_COMMA_BEFORE = re.compile(rb",[ \t\n\r]*\Z")
_MODEL = b'"model"'
_PREFERENCES = b'"routing_preferences"'
_OPTIONS = b'"stream_options"'
_ASKED = b',"stream_options":{"include_usage":true}'
_END_BYTES = 1024
"""So far from either end a model is looked for first. A body of two ends and no more is searched through."""


@frozen
class _Member:
    """A top-level `key: value`: where the key begins, where the value begins, where it ends."""

    key_at: int
    value_at: int
    end: int


def with_model(
    body: bytes, model: str, *, asks_usage: bool = False, named_once: bool = False, has_options: bool = True
) -> bytes:
    """
    `body`, a valid JSON object in UTF-8, with `model` as the value of its top-level `"model"` (added when missing) and
    without its top-level `"routing_preferences"`, which is our own extension. The same object when that changes nothing.

    `asks_usage`: with `include_usage: true` in its top-level `"stream_options"` too, which must be an object or missing
    (`Request.usage_unasked` tells).

    `named_once`: its top level is known to have `"model"` once, however the key is spelt, and no preferences;
    `has_options`: whether it may have `"stream_options"`.
    """
    value = _encode(model)
    if named_once and not asks_usage and (first := _FIRST.match(body)) is not None:  # as nearly always
        return _replaced(body, *first.span(1), value)
    short = len(body) <= 2 * _END_BYTES
    plain = named_once or (short and body.count(_MODEL) == 1 and _PREFERENCES not in body)
    adds = asks_usage and not (has_options and (not short or _OPTIONS in body))
    if plain and (adds or not asks_usage):
        first = _FIRST.match(body)
        found = first.span(1) if first is not None else _near_an_end(body)
        if found is not None:
            return _replaced(body, *found, value + _ASKED if adds else value)
    return _thorough(body, value, asks_usage=asks_usage)


def _near_an_end(body: bytes) -> tuple[int, int] | None:
    """Where the value of a model begins and ends that is certainly at the top level, a plain string; None when unsure."""
    at = body.find(_MODEL, 0, _END_BYTES)
    if at > 0 and (found := _VALUE.match(body, at + len(_MODEL))) and _opens_one(body[:at]):
        return found.span(1)
    at = body.rfind(_MODEL, -_END_BYTES)
    if at > 0 and (found := _VALUE.match(body, at + len(_MODEL))) and _closes_one(body, at):
        return found.span(1)
    return None


def _opens_one(before: bytes) -> bool:
    """Whether a key after this is at the top level. After a backslash it would not be a key, but the end of one."""
    return not before.endswith(b"\\") and _is_object(before + b'"":0}')


def _closes_one(body: bytes, at: int) -> bool:
    return body[at - 1 : at] != b"\\" and _is_object(b"{" + body[at:])


def _is_object(text: bytes) -> bool:
    try:
        _decoder.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _replaced(body: bytes, start: int, end: int, value: bytes) -> bytes:
    if body[start:end] == value:
        return body
    if len(body) <= _END_BYTES:
        return body[:start] + value + body[end:]
    whole = memoryview(body)  # copied once, not twice
    return b"".join((whole[:start], value, whole[end:]))


def _thorough(body: bytes, value: bytes, *, asks_usage: bool) -> bytes:
    """All of it decoded, whatever the body is like."""
    body = _without(body, _PREFERENCES)
    if asks_usage and not (given := _members(body, _OPTIONS)):
        # In one go with the model: another copy of a long body would take as long as finding the model.
        value += _ASKED
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
