"""
The data of an event -> the fields a reader acts on, the text inside JSON inside JSON, and what went wrong.
"""

import re
from typing import TypeVar

import msgspec
from msgspec import Raw

from sidecar.wire.answer import encode
from sidecar.wire.sse import BrokenStream
from sidecar.wire.translate import names
from sidecar.wire.translate.errors import TOO_LONG_CODE, TOO_LONG_WORDS
from sidecar.wire.translate.streams.events import Errored

T = TypeVar("T")

LONE_SURROGATE = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\\\)|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""Half a character, as servers send that cut a text between tokens. Whole pairs and escaped backslashes are group 1."""

KINDS = {
    "400": "invalid_request_error",
    "401": "authentication_error",
    "403": "permission_error",
    "404": "not_found_error",
    "413": "request_too_large",
    "429": "rate_limit_error",
    "503": "overloaded_error",
    "504": "timeout_error",
    "529": "overloaded_error",
    TOO_LONG_CODE: "invalid_request_error",
    "insufficient_quota": "rate_limit_error",
    "invalid_api_key": "authentication_error",
    "invalid_prompt": "invalid_request_error",
    "model_not_found": "not_found_error",
    "rate_limit_exceeded": "rate_limit_error",
    "server_is_overloaded": "overloaded_error",
}
"""OpenAI's codes, and the HTTP statuses that some servers send as code, in Anthropic's words."""

ANTHROPIC_KINDS = frozenset(KINDS.values()) | {"api_error", "billing_error"}


def decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Raises BrokenStream when `data` is not JSON, or not of the shape that `decoder` expects."""
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        return _decode_mended(decoder, data)


def _decode_mended(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """What is no character becomes U+FFFD, as the standard has it; only then is the data given up."""
    text = data.decode(errors="replace").encode()
    try:
        return decoder.decode(LONE_SURROGATE.sub(lambda found: found[1] or rb"\ufffd", text))
    except (ValueError, RecursionError) as exc:
        raise BrokenStream(f"the provider sent an event that cannot be read: {exc}") from exc


def object_text(fields: dict[str, Raw]) -> str:
    """An object as JSON text, its numbers as they were written."""
    return encode(fields).decode(errors="replace")


def free_text(name: str, arguments: str) -> str:
    """What a custom tool is called with: the only argument of `name`, the function that stands for it. See `names`."""
    said = names.inward_call("", name, arguments).arguments
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half a character may hide in JSON


def errored(said: object) -> Errored:
    """`said`: `{"message", "type", "code"}`, of which OpenAI sends all, Anthropic no code, others what they like."""
    if not isinstance(said, dict):
        return Errored("api_error", said if isinstance(said, str) and said else "the provider reported an error")
    kind, code, message = said.get("type"), said.get("code"), said.get("message")
    if not isinstance(message, str):
        message = "the provider reported an error"
    if message.lower().startswith(TOO_LONG_WORDS):
        code = TOO_LONG_CODE
    word = code if isinstance(code, str) and code and not code.isdigit() else None
    return Errored(_kind(kind, code), message, word)


def _kind(kind: object, code: object) -> str:
    for word in (str(code), str(kind)):
        if word in ANTHROPIC_KINDS:
            return word
        if word in KINDS:
            return KINDS[word]
    return "api_error"
