"""
Reading what an answer says of itself while its bytes go by. Nobody waits for a tap, and none of them ever raises.

    tap = tap_for(form, content_type, content_encoding)
    for every chunk that passes:   tap.feed(chunk)
    afterwards, however it ended:  tap.account

A stream is read by `UsageTap`, event by event; a whole JSON answer by `WholeTap`, once it is over; a compressed one of
either kind through `UnpackingTap`. What is none of these (audio, a file, brotli) has no tap.
"""

import zlib
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from sidecar.wire.account import Account, word
from sidecar.wire.formats import Format
from sidecar.wire.translate.streams.tap import UsageTap
from sidecar.wire.translate.streams.usage import NOTHING, Counts, counts_in, usage_of

WHOLE_BYTES = 64 * 1024
"""A JSON answer up to this length is decoded, in a microsecond per KiB. Of a longer one so much of its end is kept."""
PIECE_BYTES = 64 * 1024
"""So much is unpacked at once."""
BURST_BYTES = 1024 * 1024
"""One chunk that unpacks to more than this is no answer of a model."""
UNPACKED_BYTES = 8 * 1024 * 1024
"""So much of an answer is unpacked in all."""
_USAGE = b'"usage"'


class Tap(Protocol):
    def feed(self, chunk: bytes) -> None:
        """The next bytes that pass."""
        ...

    @property
    def account(self) -> Account | None:
        """What is known so far; None when nothing is."""
        ...


def tap_for(form: Format, content_type: str, content_encoding: str = "") -> Tap | None:
    """The tap for an answer with these headers, or None when there is nothing in it that could be read."""
    kind, packed = _readable(content_type, content_encoding)
    if kind is None:
        return None
    return UnpackingTap(kind(form)) if packed else kind(form)


def account_of(form: Format, content_type: str, content_encoding: str, body: bytes) -> Account | None:
    """What a tap would have read of an answer that is here whole."""
    kind, packed = _readable(content_type, content_encoding)
    if kind is WholeTap and not packed and len(body) <= WHOLE_BYTES:
        return read_whole(form, body)
    if kind is None:
        return None
    tap = UnpackingTap(kind(form)) if packed else kind(form)
    tap.feed(body)
    return tap.account


@lru_cache(maxsize=64)  # 0.1 µs, not 0.8: a provider says the same each time
def _readable(content_type: str, content_encoding: str) -> tuple[Callable[[Format], Tap] | None, bool]:
    """What reads such an answer, and whether it must be unpacked for it."""
    kind = content_type.partition(";")[0].strip().lower()
    packing = content_encoding.strip().lower()
    packed = packing in {"gzip", "x-gzip", "deflate"}
    if not packed and packing not in {"", "identity"}:
        return None, False
    if kind == "text/event-stream":
        return UsageTap, packed
    return (WholeTap if kind == "application/json" or kind.endswith("+json") else None), packed


class _Choice(Struct, gc=False):
    finish_reason: str | None = None


class _Whole(Struct, gc=False):
    """All formats at once: no two use one name for two things."""

    usage: Counts | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    stop_reason: str | None = None
    status: str | None = None


class _AnyChoice(Struct):
    finish_reason: object = None


class _AnyWhole(Struct):
    """Likewise, whatever is in there."""

    usage: Raw = NOTHING
    model: object = None
    choices: list[_AnyChoice] | None = None
    stop_reason: object = None
    status: object = None


_decode = msgspec.json.Decoder(_Whole).decode
_decode_any = msgspec.json.Decoder(_AnyWhole).decode


def read_whole(form: Format, body: bytes) -> Account | None:
    """The account of a whole answer, `body` being its JSON; None when it is none, or says nothing."""
    try:
        whole = _decode(body)
    except (ValueError, RecursionError):
        whole = _sound(body)
    choices, counts = whole.choices, whole.usage
    finish = word(choices[0].finish_reason if choices else whole.stop_reason or whole.status)
    usage, model = None if counts is None else usage_of(form, counts, None), word(whole.model)
    if usage is None and finish is None and model is None:
        return None
    return Account(usage, finish, model)


def _sound(body: bytes) -> _Whole:
    """An answer of which a part is not what it should be, without that part: the others are true all the same."""
    try:
        whole = _decode_any(body)
    except (ValueError, RecursionError):
        return _Whole()
    said = whole.choices[0].finish_reason if whole.choices else whole.stop_reason or whole.status
    return _Whole(counts_in(whole.usage), word(whole.model), None, word(said))


class WholeTap:
    """
    Keeps the chunks as they are until somebody asks.

    Of an answer too long to be decoded only the end is kept, where everybody puts the usage; its model and its reason
    to stop may then be unknown. That the `usage` found there is the answer's own, and not something inside of it, is
    certain: what follows it must be JSON that closes one brace.
    """

    def __init__(self, form: Format) -> None:
        self._format = form
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._cut = False

    def feed(self, chunk: bytes) -> None:
        self._pieces.append(chunk)
        self._bytes += len(chunk)
        while self._bytes - len(self._pieces[0]) >= WHOLE_BYTES:
            self._bytes -= len(self._pieces.popleft())
            self._cut = True

    @property
    def account(self) -> Account | None:
        kept = b"".join(self._pieces)
        if not self._cut and len(kept) <= WHOLE_BYTES:
            return read_whole(self._format, kept)
        found = kept.rfind(_USAGE)
        return read_whole(self._format, b"{" + kept[found:]) if found >= 0 else None


class UnpackingTap:
    """Unpacks gzip and zlib beside the relay, for `inner`; gives up on what unpacks to too much."""

    def __init__(self, inner: Tap) -> None:
        self._inner = inner
        self._inflater = zlib.decompressobj(47)  # either of them
        self._left = UNPACKED_BYTES
        self._lost = False

    def feed(self, chunk: bytes) -> None:
        if self._lost:
            return
        try:
            self._unpack(chunk, min(BURST_BYTES, self._left))
        except zlib.error:
            self._lost = True

    def _unpack(self, packed: bytes, most: int) -> None:
        while True:
            plain = self._inflater.decompress(packed, PIECE_BYTES)
            self._inner.feed(plain)
            self._left -= len(plain)
            most -= len(plain)
            packed = self._inflater.unconsumed_tail
            if most < 0:
                self._lost = True
            if self._lost or (not packed and len(plain) < PIECE_BYTES):
                return

    @property
    def account(self) -> Account | None:
        """None too for what was not read to its end: of a part, the cost would be wrong."""
        return None if self._lost else self._inner.account
