"""
Everything that can go wrong, split by whose fault it is: the file's, the client's, the provider's, or ours.

Every error has an HTTP status and a stable code; the code is what a client may match on and what metrics are
labelled with. Foreign exceptions become one of these at the door (`upstream/`, `stores/`, `classifiers/`), with the
cause kept.
"""


class SidecarError(Exception):
    """The base of all: `status` is the HTTP status a client sees, `code` the stable word for what happened."""

    status: int = 500
    code: str = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The path of the culprit in the request, such as `messages[0].role`."""


class ConfigError(SidecarError):
    """The configuration has mistakes. `str()` is all of them, a line each. Never reaches a client: the CLI exits 78."""

    code = "invalid_config"

    def __init__(self, message: str, *, files: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.files = files
        """Other files that it names: one of them may be what has to change."""


class RequestError(SidecarError):
    """The client's fault: nothing was changed, and asking again the same way gives the same answer."""

    status = 400
    code = "invalid_request"


class InvalidJson(RequestError):
    """The body is not JSON, or not UTF-8."""

    code = "invalid_json"


class InvalidSessionId(RequestError):
    """A session id is 1 to 256 visible ASCII characters."""

    code = "invalid_session_id"


class InvalidApiKey(RequestError):
    """The client did not show that it may call."""

    status = 401
    code = "invalid_api_key"

    def __init__(self, message: str, *, challenge: str = "Bearer") -> None:
        super().__init__(message)
        self.challenge = challenge
        """For the header `WWW-Authenticate`: RFC 6750, section 3."""


class OriginNotAllowed(RequestError):
    """A web page asks, and its origin is not among those that may."""

    status = 403
    code = "origin_not_allowed"


class NotFound(RequestError):
    """No such path."""

    status = 404
    code = "not_found"


class ModelNotFound(RequestError):
    """No provider offers the model that was named, and there is no default to fall back on."""

    status = 404
    code = "model_not_found"


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(RequestError):
    """The client took too long to send its request."""

    status = 408
    code = "request_timeout"


class BodyTooLarge(RequestError):
    """The body is over `listener.max_body_bytes`."""

    status = 413
    code = "body_too_large"


class UnsupportedEncoding(RequestError):
    """The body is compressed in a way we cannot read."""

    status = 415
    code = "unsupported_encoding"


class ExpectationFailed(RequestError):
    """`Expect` asks for something other than `100-continue`."""

    status = 417
    code = "expectation_failed"


class UpstreamError(SidecarError):
    """A provider, or the connection to it, failed."""

    status = 502
    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """A provider was silent for too long before its first byte."""

    status = 504
    code = "upstream_timeout"


class Unavailable(SidecarError):
    """We cannot take the request now; another sidecar, or this one in a moment, can."""

    status = 503
    code = "overloaded"


class Draining(Unavailable):
    """This sidecar is stopping."""

    code = "draining"
