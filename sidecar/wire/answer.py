"""
What we say ourselves, in the client's own shape: the routing decision, and errors.

OpenAI: https://platform.openai.com/docs/guides/error-codes; Anthropic: https://docs.anthropic.com/en/api/errors
"""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from sidecar.errors import SidecarError
from sidecar.wire.formats import Format

ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class DecisionBody(Struct, kw_only=True):
    """The body of an answer of `/routing/v1/*`; the keys of a session are there only when there is one."""

    model: str
    models: Sequence[str]
    route: str | None
    pinned: bool
    reason: str
    session_id: str | UnsetType = UNSET
    expires_in: int | UnsetType = UNSET
    """Whole seconds until the pin expires if the session stays silent."""
    trace_id: str


encode = msgspec.json.Encoder().encode
"""An object -> compact JSON, UTF-8."""


def error_body(form: Format, error: SidecarError) -> bytes:
    """An error as clients of that format expect it; `param` and `code` exist in OpenAI's shape only."""
    if form is Format.MESSAGES:
        kind = ANTHROPIC_TYPES.get(error.status, "api_error")
        return encode({"type": "error", "error": {"type": kind, "message": error.message}})
    kind = "invalid_request_error" if error.status < 500 else "server_error"  # noqa: PLR2004 - 5xx is ours
    return encode({"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}})


def error_event(form: Format, error: SidecarError) -> bytes:
    """
    An error in the middle of a stream, as one event. Chat completions have no event for it; providers send a `data`
    line with the error object, and the official SDKs raise it.
    """
    if form is Format.RESPONSES:  # https://platform.openai.com/docs/api-reference/responses-streaming/error
        body = {"type": "error", "code": error.code, "message": error.message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: %b\n\n" % encode(body)
    named = b"event: error\n" if form is Format.MESSAGES else b""
    return b"%bdata: %b\n\n" % (named, error_body(form, error))
