"""Whole bodies, from one format to another: read into the neutral form, written out of it."""

from attrs import frozen

from sidecar.errors import RequestError
from sidecar.wire.formats import Format
from sidecar.wire.translate import answers, jsontext
from sidecar.wire.translate.failures import FailedAnswer, NotAnAnswer
from sidecar.wire.translate.fields import Fields, Notes
from sidecar.wire.translate.neutral import Ids
from sidecar.wire.translate.readers import READ
from sidecar.wire.translate.writers import WRITE
from sidecar.wire.translate.writers.common import Recipient

OURS = ("model", "routing_preferences")
"""Fields that are ours to set, or for us alone."""


@frozen
class TranslatedRequest:
    body: bytes
    dropped: tuple[str, ...]
    """Paths, in the client's words and without indexes, of what the provider's format could not carry, each once."""
    stream: bool
    """Whether the client wants a stream; the body asks for one then too."""
    include_usage: bool
    """Whether the client's stream tells the usage; only chat completions' clients must ask for it."""


def request(
    source: Format,
    target: Format,
    body: bytes,
    *,
    model: str,
    default_max_tokens: int = 8192,
    asks_usage: bool = True,
) -> TranslatedRequest:
    """
    A client's request in format `source` as the request for `model` at a provider of format `target`.
    `default_max_tokens` is for providers that must be told when the client said nothing. `asks_usage`: whether a
    stream of chat completions is asked for its usage; not where the provider refuses the question.

    Raises UnsupportedField when a field has no place there and the answer would mean something else without it;
    InvalidJson, or RequestError with the path of the culprit, when `body` is no request of its format.
    """
    notes = Notes()
    try:
        fields = Fields(jsontext.loads(body), "", notes)
        for name in OURS:
            fields.take(name)
        ask = READ[source](fields)
        fields.close()
        written = WRITE[target](ask, Recipient(model, default_max_tokens, asks_usage), notes)
        return TranslatedRequest(jsontext.dumps(written), notes.paths, ask.stream, ask.include_usage)
    except RecursionError as exc:
        raise RequestError("The body is nested too deeply.") from exc


def answer(source: Format, target: Format, body: bytes, *, model: str, ids: Ids) -> bytes:
    """
    A provider's whole 200 body in format `source` as the client's, in format `target`. `model` is the name to report.

    Raises FailedAnswer (502 `upstream_failed`) when the body is an error after all, NotAnAnswer (502
    `upstream_invalid_answer`) when it is no answer of its format.
    """
    try:
        fields = Fields(jsontext.loads(body), "", Notes())
        _check(fields)
        return jsontext.dumps(answers.WRITE[target](answers.READ[source](fields, ids), model, ids))
    except (RequestError, RecursionError) as exc:
        raise NotAnAnswer(f"The provider's answer cannot be read: {exc}") from exc


def _check(fields: Fields) -> None:
    given = fields.take("error")
    if not given:
        return
    said = given.get("message") if isinstance(given, dict) else given
    raise FailedAnswer(said if isinstance(said, str) and said else "The provider failed without a word.")
