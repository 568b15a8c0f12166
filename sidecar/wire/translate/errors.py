"""
A provider's error in the client's own shape. Whatever the body is: JSON of any shape, HTML, nothing at all.

    OpenAI     {"error": {"message", "type", "param", "code"}}        https://platform.openai.com/docs/guides/error-codes
    Anthropic  {"type": "error", "error": {"type", "message"}}        https://docs.anthropic.com/en/api/errors

Anthropic's types are OpenAI's codes, so neither is lost on the way to an OpenAI client. That a prompt is too long must be
understood by the client's own code: agents shorten their history when OpenAI says `context_length_exceeded`, or when
Anthropic's message begins with "prompt is too long".
"""

from typing import Any

from attrs import evolve, frozen

from sidecar.errors import SidecarError
from sidecar.wire.answer import ANTHROPIC_TYPES
from sidecar.wire.formats import Format
from sidecar.wire.translate import jsontext

TOO_LONG_CODE = "context_length_exceeded"
TOO_LONG_WORDS = "prompt is too long"
LONGEST = 2000
"""Characters of a message that is no JSON; enough to tell what it is."""
STATUS_TYPES = {**ANTHROPIC_TYPES, 402: "billing_error", 529: "overloaded_error"}
OPENAI_TYPES = {
    "invalid_request_error": "invalid_request_error",
    "authentication_error": "authentication_error",
    "permission_error": "permission_error",
    "billing_error": "insufficient_quota",
    "not_found_error": "invalid_request_error",
    "request_too_large": "invalid_request_error",
    "rate_limit_error": "rate_limit_error",
}
"""All others are `server_error`."""
ANTHROPIC_KNOWN = {*OPENAI_TYPES, "api_error", "timeout_error", "overloaded_error"}


@frozen
class Failure:
    """An error, whatever its format."""

    message: str
    kind: str | None = None
    param: str | None = None
    code: str | None = None


def error(source: Format, target: Format, status: int, body: bytes) -> bytes:
    """
    The body of a provider's error, `status` its HTTP status, as a client of format `target` expects it. Never raises.

    The shape is told by looking: many a provider of one format answers errors in another, and proxies in none.
    """
    said = _read(body)
    if not said.message.strip():
        said = evolve(said, message=f"The provider answered {status} without a word.")
    written = _anthropic(said, status) if target is Format.MESSAGES else _openai(said, status, source)
    return jsontext.dumps(written)


def _read(body: bytes) -> Failure:
    try:
        value = jsontext.loads(body)
    except SidecarError:
        return Failure(_plain(body))
    if isinstance(value, list) and value:  # Gemini's
        value = value[0]
    if not isinstance(value, dict):
        return Failure(_plain(body))
    inner = value.get("error")
    return _failure(inner if isinstance(inner, dict) else value, body)


def _failure(said: dict[str, Any], body: bytes) -> Failure:
    messages = (_word(said, name) for name in ("message", "error", "detail", "msg"))
    message = next((found for found in messages if found), None) or _plain(body)
    kind = _word(said, "type") or _word(said, "status")
    return Failure(message, None if kind == "error" else kind, _word(said, "param"), _word(said, "code"))


def _word(said: dict[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) else None


def _plain(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text[:LONGEST]


def _anthropic(said: Failure, status: int) -> dict[str, Any]:
    kind = said.kind if said.kind in ANTHROPIC_KNOWN else None
    if kind in {None, "invalid_request_error"}:  # which OpenAI also says of 401, 403 and 404
        kind = STATUS_TYPES.get(status, _fallback(status))
    message = said.message
    if said.code == TOO_LONG_CODE and not message.lower().startswith(TOO_LONG_WORDS):
        message = f"{TOO_LONG_WORDS}: {message}"
    return {"type": "error", "error": {"type": kind, "message": message}}


def _fallback(status: int) -> str:
    return "invalid_request_error" if 400 <= status < 500 else "api_error"  # noqa: PLR2004 - the classes of HTTP


def _openai(said: Failure, status: int, source: Format) -> dict[str, Any]:
    kind, code = said.kind, said.code
    openais_own = kind == "invalid_request_error" and source is not Format.MESSAGES
    if (kind is None or kind in ANTHROPIC_KNOWN) and not openais_own:
        theirs = kind or STATUS_TYPES.get(status, _fallback(status))
        kind, code = OPENAI_TYPES.get(theirs, "server_error"), code or (said.kind and theirs)
    if said.message.lower().startswith(TOO_LONG_WORDS):
        code = TOO_LONG_CODE
    return {"error": {"message": said.message, "type": kind, "param": said.param, "code": code}}
