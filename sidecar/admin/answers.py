"""
What all groups of paths of the admin port share: what a group is, and how its answers and errors look.

A group's handler answers with `json_answer` or `web.Response`, and raises a SidecarError for what goes wrong; the app
makes `{"error": {"code", "message"}}` of it. The first sentence of a handler's docstring is what `/help` says of it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from aiohttp import web

from sidecar.errors import SidecarError


class Group(Protocol):
    """Paths that belong together."""

    def routes(self) -> list[web.RouteDef]: ...


def json_answer(content: Any, status: int = 200) -> web.Response:
    """JSON, indented: people read it with curl. Takes whatever msgspec encodes."""
    # A tenth of the time of `json`: a thousand pins must not keep requests waiting.
    text = msgspec.json.format(msgspec.json.encode(content), indent=1)
    return web.Response(status=status, body=text + b"\n", content_type="application/json", charset="utf-8")


def error_answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """`code` is stable, `message` is for people."""
    answer = json_answer({"error": {"code": code, "message": message}}, status)
    answer.headers.update(headers or {})
    return answer


def error_of(error: SidecarError) -> web.Response:
    return error_answer(error.status, error.code, error.message)


def rfc3339(unix_s: float) -> str:
    """A time as people and programs read it: `2026-01-31T08:15:00.250Z`."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
