"""
`previous_response_id` for providers that keep no state: the conversation so far, put in front of the new input.

https://platform.openai.com/docs/guides/conversation-state. A response is remembered as the items that led to it and the
items it answered with; the request that continues it becomes one that says everything again. Instructions are not
carried over, as they are not at OpenAI's. A request with `store: false` leaves nothing behind.
"""

from typing import Any

import msgspec
from attrs import frozen
from msgspec import Raw, Struct

from sidecar.errors import RequestError


class PreviousResponseNotFound(RequestError):
    """The response that a request continues is not remembered here: never was, or no longer."""

    code = "previous_response_not_found"


@frozen
class Chained:
    """A request as far as state is concerned."""

    previous: str | None
    """The id of the response it continues."""
    stores: bool
    """Whether its own response is to be remembered."""


@frozen
class Remembered:
    """What one response leaves behind: a JSON list, its brackets left out, so that lists are joined by a comma."""

    response_id: str
    items: bytes


class _Request(Struct):
    previous_response_id: object = None
    store: object = None
    input: Raw = Raw(b"[]")


class _Response(Struct):
    id: str
    output: Raw = Raw(b"[]")


class _Event(Struct):
    response: _Response


_request = msgspec.json.Decoder(_Request)
_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)
_whole = msgspec.json.Decoder(dict[str, Raw])
_COMPLETED = b"event: response.completed\ndata: "


def chained(body: bytes) -> Chained:
    """`body`: a Responses request that was parsed already. Raises RequestError when the id is no string."""
    asked = _request.decode(body)
    previous = asked.previous_response_id
    if previous is not None and not isinstance(previous, str):
        raise RequestError("previous_response_id must be a string", param="previous_response_id")
    return Chained(previous, asked.store is not False)


def continued(body: bytes, earlier: bytes) -> bytes:
    """`body` without `previous_response_id`, its input behind the `earlier` items."""
    members: dict[str, Any] = _whole.decode(body)
    members.pop("previous_response_id", None)
    members["input"] = Raw(b"[%b]" % _joined(earlier, _items(bytes(members.get("input", b"[]")))))
    return msgspec.json.encode(members)


def remembered(body: bytes, answer: bytes) -> Remembered:
    """What the response `answer` to the request `body` (after `continued`) leaves behind."""
    return _left(body, _response.decode(answer))


def remembered_from_events(body: bytes, written: bytes) -> Remembered | None:
    """The same from the client's own events, when `response.completed` is among them."""
    start = written.find(_COMPLETED)
    if start < 0:
        return None
    data = written[start + len(_COMPLETED) : written.index(b"\n", start + len(_COMPLETED))]
    return _left(body, _event.decode(data).response)


def _left(body: bytes, response: _Response) -> Remembered:
    items = _joined(_items(bytes(_request.decode(body).input)), _inner(bytes(response.output)))
    return Remembered(response.id, items)


def _items(given: bytes) -> bytes:
    """An input, which may be a mere string, as items."""
    if given.lstrip().startswith(b'"'):
        return b'{"role":"user","content":%b}' % given
    return b"" if given == b"null" else _inner(given)


def _inner(listed: bytes) -> bytes:
    return listed.strip()[1:-1].strip()


def _joined(*lists: bytes) -> bytes:
    return b",".join(filter(None, lists))
