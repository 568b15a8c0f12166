"""
The admin port, called: one request at a time, loopback unless told otherwise, never through a proxy, and every way it
can fail is a sentence.
"""

import json
import os
import ssl
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, BinaryIO
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from attrs import evolve, frozen

from sidecar import __version__
from sidecar.config.models import Admin
from sidecar.errors import SidecarError

VARIABLE = "SIDECAR_ADMIN"
CA_VARIABLE = "SIDECAR_ADMIN_CACERT"
TIMEOUT_S = 5.0
PATIENCE_S = 60.0
MAX_BYTES = 64 * 1024 * 1024
"""So much of an answer is read; exports, which may be larger, are passed on piece by piece."""
_PIECE_BYTES = 64 * 1024


class AdminError(SidecarError):
    """The admin port was asked and there is no answer to show."""

    code = "admin_error"


class BadAddress(AdminError):
    """What was given as the admin port is no address."""

    code = "bad_admin_address"


class NoSidecar(AdminError):
    """Nothing listens there, or it cannot be reached."""

    code = "admin_unreachable"


class Silent(AdminError):
    """Something listens and does not answer in time."""

    code = "admin_timeout"


class NotASidecar(AdminError):
    """Something answers, but not as an admin port does."""

    code = "not_a_sidecar"


class Untrusted(AdminError):
    """Something answers by TLS, and its certificate proves nothing to us."""

    code = "admin_untrusted"


class Refused(AdminError):
    """The admin port said no, in its own words. `status` and `code` are those of its answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def admin_url(asked: str | None, environ: Mapping[str, str], configured: Admin | None = None) -> str:
    """
    Where the admin port is: as `asked` on the command line, else as the environment says, else as `configured`, else
    the default. Gives `http://host:port`, or `https://host:port`. Raises BadAddress.
    """
    if asked is not None:
        return _origin(asked, "--admin")
    if environ.get(VARIABLE):
        return _origin(environ[VARIABLE], VARIABLE)
    where = Admin() if configured is None else configured
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(where.address, where.address)  # noqa: S104 - not bound but called
    scheme = "http" if where.tls is None else "https"
    return f"{scheme}://[{host}]:{where.port}" if ":" in host else f"{scheme}://{host}:{where.port}"


def ca_file(asked: str | None, environ: Mapping[str, str]) -> str | None:
    """Whose certificates the admin port may show: a file in PEM; None: those that the system trusts."""
    return asked or environ.get(CA_VARIABLE) or None


def _origin(text: str, name: str) -> str:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not plain
        or not parts.netloc.isascii()
        or " " in parts.netloc
    ):
        raise BadAddress(f"{name} must be the admin port's address, such as http://127.0.0.1:9901, got {text!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{Admin().port if port is None else port}"


@frozen
class Reply:
    """An answer as it came, whatever its status."""

    status: int
    body: bytes
    date: str | None = None
    """The `Date` header: the clock of the other side."""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


@frozen
class AdminPort:
    """`url` as `admin_url` gives it; `timeout_s`: the longest silence; `ca` as `ca_file` gives it."""

    url: str
    timeout_s: float = TIMEOUT_S
    ca: str | None = None

    def get(self, path: str, **query: object) -> Any:
        """The JSON at `path`. Parameters that are None are left out. Raises AdminError, like everything here."""
        return self.call("GET", path, query)

    def call(self, method: str, path: str, query: Mapping[str, object] | None = None, body: object = None) -> Any:
        """The JSON that is answered; None for an answer without content. `body` is sent as JSON, a file as it is."""
        sent: bytes | BinaryIO | None = None
        if body is not None:
            sent = body if hasattr(body, "read") else json.dumps(body).encode()  # type: ignore[assignment]
        with self._asked(method, _target(path, query), sent) as answer:
            return self._json(_read(answer, self.url), path)

    def patient(self) -> "AdminPort":
        """For a change of all pins, which goes on whether or not somebody waits: it is answered when all are through."""
        return evolve(self, timeout_s=max(self.timeout_s, PATIENCE_S))

    def look(self, path: str) -> Reply:
        """The answer to a GET, errors included."""
        with self._asked("GET", path) as answer:
            return _read(answer, self.url)

    def download(self, path: str) -> Iterator[bytes]:
        """The answer's body, piece by piece as it comes."""
        with self._asked("GET", path) as answer:
            if answer.status >= 300:  # noqa: PLR2004 - not a success, says HTTP
                self._json(_read(answer, self.url), path)
            while piece := answer.read(_PIECE_BYTES):
                yield piece
            if answer.length:
                raise NoSidecar(f"{self.url} broke off in the middle of its answer")

    @contextmanager
    def _asked(self, method: str, target: str, body: bytes | BinaryIO | None = None) -> Iterator[HTTPResponse]:
        connection = self._connection()
        headers = {} if body is None else {"content-type": "application/json", **_length(body)}
        try:
            with suppress(BrokenPipeError):  # who refuses a body need not read all of it: the answer says why
                connection.request(method, target, body, headers)
            with connection.getresponse() as answer:
                yield answer
        except TimeoutError as exc:
            raise Silent(f"{self.url} did not answer within {self.timeout_s:g} s") from exc
        except ssl.SSLCertVerificationError as exc:
            raise Untrusted(
                f"the certificate of {self.url} is not trusted: {exc.verify_message}; --cacert or {CA_VARIABLE} names a "
                "file with those of who signed it"
            ) from exc
        except ssl.SSLError as exc:
            raise NotASidecar(f"what listens at {self.url} does not speak TLS, or not as we do") from exc
        except HTTPException as exc:
            tls = "; with TLS it is https://" if self.url.startswith("http://") else ""
            raise NotASidecar(f"what listens at {self.url} does not speak HTTP, or broke off{tls}") from exc
        except ConnectionRefusedError as exc:
            raise NoSidecar(
                f"nothing listens at {self.url}: is `sidecar up` running? --admin or {VARIABLE} names another address"
            ) from exc
        except OSError as exc:
            raise NoSidecar(f"{self.url} cannot be reached: {exc.strerror or type(exc).__name__}") from exc
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return HTTPConnection(host, parts.port, timeout=self.timeout_s)
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as exc:  # an SSLError is one
            why = "there is no certificate in PEM in it" if isinstance(exc, ssl.SSLError) else exc.strerror
            raise Untrusted(f"{self.ca} cannot be used: {why}") from exc
        return HTTPSConnection(host, parts.port, timeout=self.timeout_s, context=context)

    def _json(self, reply: Reply, path: str) -> Any:
        try:
            content = json.loads(reply.body) if reply.body else None
        except (ValueError, RecursionError):
            content = reply
        error = content.get("error") if isinstance(content, dict) else None
        if isinstance(error, dict) and reply.status >= 400:  # noqa: PLR2004 - an error, says HTTP
            raise Refused(reply.status, str(error.get("code")), str(error.get("message")))
        if content is reply or reply.status >= 300:  # noqa: PLR2004 - not a success, says HTTP
            raise NotASidecar(
                f"{self.url} answers {path.partition('?')[0]} with HTTP {reply.status}, which no admin port of this "
                "version does: is it another program, or another port?"
            )
        return content


@contextmanager
def understood(port: AdminPort) -> Iterator[None]:
    """For whoever reads what was answered: what lacks a key, or has something else in its place, is not for us."""
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as exc:
        raise NotASidecar(
            f"{port.url} answers in a way that version {__version__} does not know: is it of another version?"
        ) from exc


def in_path(text: str) -> str:
    """A session id as a piece of a path."""
    return quote(text, safe="")


def _length(body: bytes | BinaryIO) -> dict[str, str]:
    """Of a file, so that one that is too large is refused before it is sent; a pipe has none."""
    try:
        status = None if isinstance(body, bytes) else os.fstat(body.fileno())
    except OSError:
        return {}
    return {"content-length": str(status.st_size)} if status is not None and stat.S_ISREG(status.st_mode) else {}


def _target(path: str, query: Mapping[str, object] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _read(answer: HTTPResponse, url: str) -> Reply:
    body = answer.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise NotASidecar(f"{url} answers with more than {MAX_BYTES} bytes")
    return Reply(answer.status, body, answer.headers.get("date"))
