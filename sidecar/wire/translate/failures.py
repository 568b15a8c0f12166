"""What a translation may end in, other than bytes: the client asked for what cannot be said, or the provider babbled."""

from sidecar.errors import RequestError, UpstreamError


class UnsupportedField(RequestError):
    """The provider's format has no words for this field, and the answer would mean something else without it."""

    code = "unsupported_field"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} cannot be sent to this model's provider: {why}", param=path)


class NotAnAnswer(UpstreamError):
    """A provider said 200 with a body that is no answer in its format."""

    code = "upstream_invalid_answer"


class FailedAnswer(UpstreamError):
    """A provider said 200 with a body that says it failed; the message is the provider's."""

    code = "upstream_failed"
