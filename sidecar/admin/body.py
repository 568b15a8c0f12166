"""What operators send: read up to a bound, and checked against a struct that says what it may be."""

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
from aiohttp import web

from sidecar.errors import BodyTooLarge, InvalidJson, RequestError

T = TypeVar("T")

_PIECE_BYTES = 64 * 1024


async def body_of(request: web.Request, max_bytes: int) -> bytes:
    """All of it. Raises BodyTooLarge."""
    return b"".join([piece async for piece in _pieces(request, max_bytes)])


async def lines_of(request: web.Request, max_bytes: int, max_line_bytes: int) -> AsyncIterator[bytes]:
    """
    Line by line as it comes, without their ends; of a longer line the first `max_line_bytes` + 1 bytes. Raises
    BodyTooLarge.
    """
    kept = b""
    async for piece in _pieces(request, max_bytes):
        first, *others = piece.split(b"\n")
        kept = (kept + first)[: max_line_bytes + 1]
        for line in others:
            yield kept
            kept = line
    if kept:
        yield kept


async def _pieces(request: web.Request, max_bytes: int) -> AsyncIterator[bytes]:
    read = request.content_length or 0
    if read > max_bytes:
        raise _too_large(max_bytes)
    read = 0
    async for piece in request.content.iter_chunked(_PIECE_BYTES):
        read += len(piece)
        if read > max_bytes:
            raise _too_large(max_bytes)
        yield piece


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body must be at most {max_bytes} bytes")


def decoded(text: bytes, kind: type[T]) -> T:
    """JSON as a `kind`. Raises InvalidJson, and RequestError for JSON that is no such thing."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as exc:
        raise RequestError(_sentence(str(exc))) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidJson(f"not valid JSON: {exc}") from exc
    except RecursionError as exc:
        raise InvalidJson("not readable: nested too deeply") from exc


def _sentence(said: str) -> str:
    """msgspec says ``Expected `str`, got `int` - at `$.models[0]` ``; we say the place first."""
    what, _, place = said.replace("`", "").partition(" - at $")
    path = place.lstrip(".")
    return f"{path}: {what}" if path else what
