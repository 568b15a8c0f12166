"""
What a provider's error answer says: what failed, whose fault it is, and when to ask again.

    status, headers, the beginning of the body ──judge──▶ Failure(cause, class) ──▶ failover
    an exception at the door                   ──broken─▶

Every provider words its errors its own way; the ways are one table of words here, each with its source. When in doubt
an error is the client's own: it is relayed as it is, and nothing is tried behind the client's back.
"""

import re
import zlib
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import msgspec
from attrs import frozen

from sidecar.upstream.health import Fault

MAX_BODY_BYTES = 64 * 1024
"""So much of an error body is looked at. None that was seen has more than a few hundred bytes."""
_MAX_MESSAGE_CHARS = 2000
_MAX_RETRY_AFTER_S = 86_400.0


class Severity(StrEnum):
    """What an error means for the request, and for the session's pin."""

    TRANSIENT = "transient"
    """Another try may succeed. The pin stays."""
    TERMINAL = "terminal"
    """This candidate will never answer. The pin moves."""
    FINAL = "final"
    """The client's own: relayed as it is. No candidate would answer better."""


class Cause(StrEnum):
    """What failed. Stable words: metrics are labelled with them."""

    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    OVERFLOW = "overflow"
    """The provider's limits are reached: nothing was sent."""
    KEY_MISSING = "key_missing"
    """The entry waits for an environment variable: nothing was sent."""
    NOT_PORTABLE = "not_portable"
    """What the client sent cannot be said in this candidate's interface: nothing was sent."""
    TIMEOUT = "timeout"
    """Silent before its first byte."""
    RESET = "reset"
    """The connection broke before the first byte, or what came was no HTTP."""
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    """429 that no waiting helps: the account has nothing left."""
    SERVER_ERROR = "server_error"
    REQUEST_TIMEOUT = "request_timeout"
    """408: the provider did not get the whole request in time."""
    MODEL_UNKNOWN = "model_unknown"
    KEY_REFUSED = "key_refused"
    """401, 402, 403: our key is not taken, or what it stands for is not paid."""
    REFUSED = "refused"
    """Any other 4xx."""


_SEVERITY = {
    Cause.KEY_MISSING: Severity.TERMINAL,
    Cause.MODEL_UNKNOWN: Severity.TERMINAL,
    Cause.KEY_REFUSED: Severity.TERMINAL,
    Cause.REFUSED: Severity.FINAL,
}
_NOTHING_SENT = frozenset({Cause.CONNECT, Cause.DNS, Cause.TLS, Cause.OVERFLOW, Cause.KEY_MISSING, Cause.NOT_PORTABLE})
_NOBODY_ASKED = frozenset({Cause.OVERFLOW, Cause.KEY_MISSING, Cause.NOT_PORTABLE})
_WORTH_ASKING_AGAIN = frozenset(
    {Cause.CONNECT, Cause.DNS, Cause.RESET, Cause.SERVER_ERROR, Cause.REQUEST_TIMEOUT, Cause.RATE_LIMITED}
)
_GATEWAY = frozenset({Cause.CONNECT, Cause.DNS, Cause.TLS, Cause.TIMEOUT, Cause.RESET})


@frozen
class Failure:
    """One attempt that brought no answer to be happy with."""

    cause: Cause
    status: int | None = None
    """The provider's, when it answered at all."""
    retry_after_s: float | None = None

    @property
    def severity(self) -> Severity:
        return _SEVERITY.get(self.cause, Severity.TRANSIENT)

    @property
    def sent(self) -> bool:
        """Whether the provider may have seen the request, so that a body that cannot be sent twice is gone."""
        return self.cause not in _NOTHING_SENT

    @property
    def asked(self) -> bool:
        """Whether the provider was turned to at all: what ended before that costs nobody an attempt."""
        return self.cause not in _NOBODY_ASKED

    @property
    def worth_asking_again(self) -> bool:
        """
        Whether the same provider may do better in a moment. Not after a silence, which would cost as much again; and
        not after a 429 that does not say when.
        """
        return self.cause in _WORTH_ASKING_AGAIN and (
            self.cause is not Cause.RATE_LIMITED or self.retry_after_s is not None
        )

    @property
    def fault(self) -> Fault | None:
        """What it says of the provider's health. None: nothing, or that it is well enough to refuse."""
        if self.cause in _GATEWAY or (self.cause is Cause.SERVER_ERROR and self.status in {502, 503, 504}):
            return Fault.GATEWAY
        if self.cause is Cause.SERVER_ERROR:
            return Fault.SERVER
        return Fault.RATE_LIMIT if self.cause in {Cause.RATE_LIMITED, Cause.QUOTA} else None


def broken(cause: Cause) -> Failure:
    """The attempt that brought no response at all."""
    return Failure(cause)


def judge(
    status: int, headers: Mapping[str, str], body: bytes, *, passthrough_auth: bool, now_unix_s: float
) -> Failure | None:
    """
    What an answer of a provider means; None for one that is no error.

    `headers` are found whatever their case (a CIMultiDict); `body` is the first `MAX_BODY_BYTES` as they came.
    """
    if status < 400:  # noqa: PLR2004 - a status class
        return None
    plain = decoded(body, headers.get("Content-Encoding", ""))
    cause = _cause(status, Words.of(plain) if plain is not None else None, passthrough_auth)
    return Failure(cause, status, retry_after_s(headers, now_unix_s))


@frozen
class Words:
    """What an error body says, wherever its provider puts it. All in lower case."""

    codes: frozenset[str] = frozenset()
    """`error.code`, `error.type`, `error.status`."""
    message: str = ""
    moderated: bool = False
    """Whether it is the prompt that was flagged."""

    @classmethod
    def of(cls, body: bytes) -> "Words":
        """Of anything: what is no JSON, or of an unknown shape, has its text as its message."""
        try:
            found = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            return cls(message=body[:_MAX_MESSAGE_CHARS].decode("utf-8", "replace").lower())
        found = found[0] if isinstance(found, list) and found else found  # Gemini's is a list of one
        if not isinstance(found, dict):
            return cls()
        inner = found.get("error")
        # Mistral, vLLM and xAI have the words on top; xAI and Ollama a mere text in `error`.
        parts = [part for part in (inner, found) if isinstance(part, dict)]
        texts = [inner, *(part.get("message") for part in parts)]
        return cls(
            frozenset(_code(part.get(key)) for part in parts for key in ("code", "type", "status")) - {""},
            " ".join(text for text in texts if isinstance(text, str))[:_MAX_MESSAGE_CHARS].lower(),
            any(isinstance(data := part.get("metadata"), dict) and "flagged_input" in data for part in parts),
        )


def _code(value: Any) -> str:
    return str(value).lower() if isinstance(value, str | int) else ""


_MODEL_CODES = frozenset(
    {
        "model_not_found",  # OpenAI, Groq, Qwen, Vercel
        "modelnotfound", "model_not_exist",
        "model_decommissioned",  # https://console.groq.com/docs/errors
        "model_not_available",  # Together
        "invalid_model",  # Mistral
        "deploymentnotfound",  # Azure
        "1211",  # https://docs.bigmodel.cn/cn/faq/api-code
    }
)  # fmt: skip
_MODEL_GONE = re.compile(
    r"\b(?:models?|deployment)\b.{0,120}?"
    r"\b(?:not (?:exist|found)|doesn['’]t exist|decommissioned|has been (?:deprecated|retired)|no longer available)\b"
    r"|\b(?:invalid|unknown|no such|not found the) model\b"
    r"|\bis not a valid model\b|\bno endpoints found for\b"  # OpenRouter
    r"|^model: \S+$",  # Anthropic
    re.DOTALL,
)
_THIS_MODEL_GONE = re.compile(
    r"(?<![\w./-])model(?:[: ] ?['\"`]?[\w./:@-]+['\"`]?)?,? (?:has been |is |does |do )?"
    r"(?:not (?:exist|found)|decommissioned|deprecated|retired|no longer available)\b"
    r"|\b(?:invalid|unknown|no such|not found the) model\b|\bis not a valid model\b"
)
"""With a 400, which says so much else, only what is said of the model right beside its name."""
_MODERATED = re.compile(r"moderation|flagged|usage (?:guidelines|polic)|content polic|safety")
_OUR_KEY = re.compile(
    r"credit balance is too low"  # Anthropic
    r"|api key not valid"  # Gemini
    r"|incorrect api key"  # xAI
)
"""What some say with a 400."""
_NO_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "credits_exhausted"})


def _cause(status: int, words: Words | None, passthrough_auth: bool) -> Cause:  # noqa: FBT001 - private
    """The first rule that applies. `words` is None when the body is compressed in a way that cannot be read here."""
    if status >= 500:  # noqa: PLR2004 - a status class
        return Cause.SERVER_ERROR
    if status == 429:  # noqa: PLR2004
        return Cause.QUOTA if words and words.codes & _NO_QUOTA else Cause.RATE_LIMITED
    if status == 408:  # noqa: PLR2004
        return Cause.REQUEST_TIMEOUT
    if _names_no_model(status, words):
        return Cause.MODEL_UNKNOWN
    return Cause.KEY_REFUSED if not passthrough_auth and _refuses_our_key(status, words) else Cause.REFUSED


def _names_no_model(status: int, words: Words | None) -> bool:
    if words is None:
        # The three interfaces have nothing else in their paths that could be missing.
        return status == 404  # noqa: PLR2004
    if status not in {400, 404, 410, 422}:
        return False
    said = _MODEL_GONE if status in {404, 410} else _THIS_MODEL_GONE
    return bool(words.codes & _MODEL_CODES or said.search(words.message))


def _refuses_our_key(status: int, words: Words | None) -> bool:
    if status in {401, 402}:
        return True
    if words is None:
        return status == 403  # noqa: PLR2004
    if status == 403:  # noqa: PLR2004
        # OpenRouter and xAI refuse a prompt this way: https://openrouter.ai/docs/api-reference/errors
        return not (words.moderated or _MODERATED.search(words.message))
    return status == 400 and bool(_OUR_KEY.search(words.message))  # noqa: PLR2004


def retry_after_s(headers: Mapping[str, str], now_unix_s: float) -> float | None:
    """
    How long the provider asks to be left alone: `retry-after-ms`, or `Retry-After` in seconds or as a date
    (RFC 9110 section 10.2.3; OpenAI, Anthropic and Azure send fractions and milliseconds too). None when it does not.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, _MAX_RETRY_AFTER_S)
    text = headers.get("Retry-After", "").strip()
    seconds = _number(text)
    if seconds is None:
        seconds = _until(text, now_unix_s)
    return None if seconds is None else min(max(seconds, 0.0), _MAX_RETRY_AFTER_S)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", text.strip()) else None


def _until(text: str, now_unix_s: float) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_unix_s
    except (ValueError, OverflowError, IndexError):
        return None


def decoded(body: bytes, content_encoding: str) -> bytes | None:
    """The beginning of a body in plain bytes; None when it is compressed in a way that cannot be read here."""
    encoding = content_encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body[:MAX_BODY_BYTES]
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return None
    try:
        # 47: gzip or zlib, whichever it is. A bomb ends at the bound.
        return zlib.decompressobj(47).decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        return None
