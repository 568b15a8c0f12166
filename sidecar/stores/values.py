"""
A pin as bytes: what a Redis holds of a session.

A record is a head of fixed length, which scripts in Redis read and change in place, then the pin, then its latest
failover. All numbers are big-endian:

    version u8 · kind u8 · expires_at f64 · made_at f64 · turns u32 · bytes of the pin u32 · bytes of the failover u32

The pin and the failover are MessagePack arrays (https://msgpack.org), their fields in the order of `_Pin` and
`_Failover` below. Times are Unix time in seconds.

How it may change: a later release adds fields at the end of an array, or bytes at the end of the record, and keeps the
version; whoever does not know them passes over them. Anything else raises the version. A record of another version is
unreadable, which is a miss.
"""

import struct
from typing import Final

import msgspec

from sidecar.routing.decision import Failover, Held, Pin, Reason

VERSION: Final = 1
HEAD: Final = struct.Struct(">BBddIII")
"""As `pins.lua` has it too."""
PIN_KIND: Final = ord("P")
"""The other kind, `L`, is a lease: nothing is pinned yet. Only `pins.lua` reads those."""


class Unreadable(ValueError):
    """The bytes are no pin, or one of another version. Says nothing of what they are."""


class _Pin(msgspec.Struct, array_like=True):
    candidates: tuple[str, ...]
    route: str | None
    reason: str
    decided_at_s: float
    mixed: bool
    source: str
    confidence: float | None
    scores: tuple[tuple[str, float], ...]


class _Failover(msgspec.Struct, array_like=True):
    at_s: float
    reason: str
    answered_by: str | None


_write = msgspec.msgpack.Encoder().encode
_read_pin = msgspec.msgpack.Decoder(_Pin).decode
_read_failover = msgspec.msgpack.Decoder(_Failover).decode


def pin_bytes(pin: Pin) -> bytes:
    return _write(
        _Pin(
            pin.candidates,
            pin.route,
            pin.reason.value,
            float(pin.decided_at_s),
            pin.mixed,
            pin.source,
            None if pin.confidence is None else float(pin.confidence),
            tuple((name, float(score)) for name, score in pin.scores),
        )
    )


def failover_bytes(failover: Failover | None) -> bytes:
    if failover is None:
        return b""
    return _write(_Failover(float(failover.at_s), failover.reason, failover.answered_by))


def pin_part(record: bytes) -> bytes:
    """The bytes of the pin in a record. Raises Unreadable."""
    start, end, _ = _parts(record)
    return record[start:end]


def held_of(record: bytes, now: float) -> Held | None:
    """
    The pin of a record at `now`, Unix time; None when it is over, or when the record is no pin's but a lease. Raises
    Unreadable.
    """
    if record[:2] == bytes((VERSION, ord("L"))):
        return None
    start, end, failover_end = _parts(record)
    _, _, expires_at, made_at, turns, _, _ = HEAD.unpack_from(record)
    if not expires_at > now:
        return None
    failover = record[end:failover_end]
    return Held(_pin_of(record[start:end]), expires_at - now, turns, now - made_at, _failover_of(failover))


def is_live(record: bytes, now: float) -> bool:
    """Whether a record has the head of a pin that is live at `now`; what follows the head is not looked at."""
    if len(record) < HEAD.size:
        return False
    version, kind, expires_at, *_ = HEAD.unpack_from(record)
    return bool(version == VERSION and kind == PIN_KIND and expires_at > now)


def _parts(record: bytes) -> tuple[int, int, int]:
    """Where the pin begins, where it ends, where the failover ends."""
    if len(record) < HEAD.size:
        raise Unreadable("too short for a pin")
    version, kind, _, _, _, pin_length, failover_length = HEAD.unpack_from(record)
    end = HEAD.size + pin_length
    if version != VERSION or kind != PIN_KIND:
        raise Unreadable("of another version")
    if end + failover_length > len(record):
        raise Unreadable("cut off")
    return HEAD.size, end, end + failover_length


def _pin_of(packed: bytes) -> Pin:
    try:
        read = _read_pin(packed)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Unreadable("not a pin") from exc
    if not read.candidates:
        raise Unreadable("a pin without a model")
    return Pin(
        read.candidates,
        read.route,
        _reason(read.reason),
        read.decided_at_s,
        read.mixed,
        read.source,
        read.confidence,
        read.scores,
    )


def _reason(word: str) -> Reason:
    """A word of a later release is no reason for a session to lose its model."""
    try:
        return Reason(word)
    except ValueError:
        return Reason.PINNED


def _failover_of(packed: bytes) -> Failover | None:
    """One that cannot be read is none: it is there to be shown, and the pin is worth more."""
    if not packed:
        return None
    try:
        read = _read_failover(packed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Failover(read.at_s, read.reason, read.answered_by)
