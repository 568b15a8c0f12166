"""
Secrets and URLs: the only values in which `$NAME` and `${NAME}` are read from the environment.

A variable that is not set does not stop anything here: the value is then unknown, and says which variable it waits for.
No message ever shows such a value, nor a piece of one.
"""

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from attrs import frozen

from sidecar.config.document import Node
from sidecar.config.files import read_bounded, typed_path
from sidecar.config.models import Secret
from sidecar.config.reading import Reading, Wrong
from sidecar.config.values import is_header_name, is_host

MAX_CHARS = 16 * 1024

_PART = re.compile(r"\$\$|\$\{(?P<braced>[A-Za-z_]\w*)\}|\$(?P<bare>[A-Za-z_]\w*)|(?P<broken>\$\{)", re.ASCII)


@frozen
class Url:
    """A base URL; `value` is None while a variable in it is not set."""

    value: str | None
    variable: str | None = None


def secret(node: Node, reading: Reading) -> Secret:
    """A key, literal or from a variable."""
    value, variable = _expand(_written(node), reading.environ)
    if value is not None and not (value.isascii() and value.isprintable()):
        raise Wrong("must be printable ASCII, as it travels in a header" + _origin(variable))
    return Secret(value, variable)


def secret_file(node: Node, reading: Reading) -> Secret:
    """
    A key that is the content of a file beside the configuration file. A file that cannot be read stops nothing here:
    it may still come, as a mounted secret does.
    """
    path = reading.folder / typed_path(node, reading)
    reading.files.append(str(path))
    try:
        value = read_bounded(path, MAX_CHARS).strip()
    except Wrong as wrong:
        reading.warn(node, f"names the file {node.shown}, which {wrong}")
        return Secret(None, file=str(path))
    if value and not (value.isascii() and value.isprintable()):
        raise Wrong("must name a file of one line of printable ASCII, as it travels in a header")
    return Secret(value or None, file=str(path))


def headers(node: Node, reading: Reading) -> Mapping[str, Secret]:
    """Header names with their values, which may be as secret as a key."""
    if not isinstance(node.value, dict):
        raise Wrong(f"must be a mapping of header names to values, got {node.kind}")
    found: dict[str, Secret] = {}
    for name, inner in node.value.items():
        if not is_header_name(name):
            reading.mistake(inner, "is not a header name")
        elif name.lower() in map(str.lower, found):
            reading.mistake(inner, "is given twice: upper and lower case are the same in a header")
        elif (value := reading.attempt(secret, inner)) is not None:
            found[name] = value
    return found


def hash_key(node: Node, reading: Reading) -> Secret:
    """A key that may wait for its variable: without it, another one is made up."""
    key = secret(node, reading)
    if key.reveal() is None:
        reading.warn(node, f"is random at each start: the environment variable {key.variable} is not set")
    return key


def optional_headers(node: Node, reading: Reading) -> Mapping[str, Secret]:
    """Headers that may wait for their variables: without them, they are not sent."""
    found = headers(node, reading)
    for name, inner in node.value.items() if isinstance(node.value, dict) else ():
        if name in found and found[name].reveal() is None:
            reading.warn(inner, f"is not sent: the environment variable {found[name].variable} is not set")
    return found


def url(node: Node, reading: Reading) -> Url:
    """An http(s) base URL without credentials, query or fragment, and without a slash at its end."""
    value, variable = _expand(_written(node), reading.environ)
    if value is None:
        return Url(None, variable)
    try:
        flaw = _flaw(value, urlsplit(value))
    except ValueError:
        flaw = "must be a URL such as https://host:port/v1"
    if flaw:
        raise Wrong(flaw + _origin(variable))
    return Url(value.rstrip("/"), variable)


def endpoint(node: Node, reading: Reading) -> str:
    """A base URL that is needed at once."""
    found = url(node, reading)
    if found.value is None:
        raise Wrong(f"needs the environment variable {found.variable}, which is not set")
    return found.value


def optional_endpoint(node: Node, reading: Reading) -> str | None:
    """A URL that may wait for its variable: without it, what it is for is off."""
    found = url(node, reading)
    if found.value is None:
        reading.warn(node, f"is off: the environment variable {found.variable} is not set")
    return found.value


def _flaw(value: str, parts: SplitResult) -> str | None:
    if not (value.isascii() and value.isprintable()) or " " in value:
        return "must be a URL without spaces, of ASCII characters"
    if parts.scheme not in ("http", "https"):
        return "must be a URL that begins with http:// or https://"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password: put the key in access_key"
    if not parts.hostname or not is_host(parts.hostname) or parts.port == 0:
        return "must be a URL with a host, such as https://host:port/v1"
    return "must end before any '?' or '#'" if parts.query or parts.fragment or value[-1] in "?#" else None


def _origin(variable: str | None) -> str:
    return f" (its value comes from the environment variable {variable})" if variable else ""


def _written(node: Node) -> str:
    """The text of a value that no message may show."""
    if not isinstance(node.value, str):
        hint = ": put it in quotes" if isinstance(node.value, int | float) else ""
        raise Wrong(f"must be text, got {node.kind}{hint}")
    if not node.value.strip():
        raise Wrong("must not be empty")
    if len(node.value) > MAX_CHARS:
        raise Wrong(f"must be at most {MAX_CHARS} characters long")
    return node.value


def _expand(text: str, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The value and the variable it came from; no value when a variable is not set, and then that variable."""
    names = []
    pieces, end = [], 0
    for part in _PART.finditer(text):
        if part["broken"]:
            raise Wrong("has a '${' that is not ${NAME}; a plain dollar is written $$")
        name = part["braced"] or part["bare"]
        value = environ.get(name) if name else "$"
        if name:
            names.append(_shown(part, text))
        if not value:
            return None, names[-1]
        pieces += [text[end : part.start()], value]
        end = part.end()
    return "".join([*pieces, text[end:]]), names[0] if names else None


def _shown(part: re.Match[str], text: str) -> str:
    """The variable's name, unless it may be a piece of a literal key that happens to hold a dollar."""
    begins_a_word = part.start() == 0 or text[part.start() - 1] in " /:.@"
    return str(part["braced"] or part["bare"]) if part["braced"] or begins_a_word else "(unnamed)"
