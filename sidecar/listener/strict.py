"""
What the parser lets by, and a server behind another one must not: RFC 9112.

Two servers that read one request in two ways can be told two different stories with the same bytes. Where there is a
choice it is the stricter one. Nearly every request is plain, which five looks tell; only one that is not is taken apart.
"""

import re

from aiohttp import HttpVersion10, HttpVersion11

from sidecar.errors import MethodNotAllowed, RequestError, SidecarError
from sidecar.listener.incoming import Incoming

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)(?::[0-9]*)?"
"""RFC 3986, 3.2.2 and 3.2.3, without what no name of a host has."""
_IS_HOST = re.compile(_HOST)
_ABSOLUTE = re.compile(rf"https?://{_HOST}(?:[/?].*)?", re.IGNORECASE | re.DOTALL)
_USUAL = frozenset(("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"))
_NEVER = frozenset(("CONNECT", "TRACE"))
"""We are no tunnel; and what a client sent, with its keys, is not for whoever can read its answer."""
_VERSIONS = (HttpVersion10, HttpVersion11)
_MOST_HOSTS = 64


class Strict:
    """Remembers hosts that were right: a client names the same one each time."""

    def __init__(self) -> None:
        self._hosts: set[str | None] = set()

    def fault(self, request: Incoming) -> SidecarError | None:
        """What is wrong with it; nothing of what the client sent is repeated."""
        headers, target = request.headers, request.raw_path
        if (
            request.version is HttpVersion11
            and request.method in _USUAL
            and target[:1] == "/"
            and "#" not in target
            and "transfer-encoding" not in headers
            and headers.get("host") in self._hosts
        ):
            return None
        return self._looked_at(request)

    def _looked_at(self, request: Incoming) -> SidecarError | None:
        if request.method in _NEVER:
            return MethodNotAllowed("This method is not for anything here.")
        wrong = _wrong_framing(request) or _wrong_target(request) or self._wrong_host(request)
        return None if wrong is None else RequestError(f"The request is not valid HTTP ({wrong}).")

    def _wrong_host(self, request: Incoming) -> str | None:
        host = request.headers.get("host")
        if host is None:
            return "no host" if request.version >= HttpVersion11 else None
        if not _IS_HOST.fullmatch(host):
            return "bad host"
        if len(self._hosts) >= _MOST_HOSTS:
            self._hosts.clear()
        self._hosts.add(host)
        return None


def _wrong_framing(request: Incoming) -> str | None:
    if request.version not in _VERSIONS:
        return "not a version of HTTP/1"
    codings = request.headers.getall("transfer-encoding", ())
    if not codings:
        return None
    if request.version is not HttpVersion11:
        return "transfer-encoding before HTTP/1.1"  # RFC 9112, 6.1: its framing is faulty
    if len(codings) > 1 or codings[0].lower() != "chunked" or "content-length" in request.headers:
        return "transfer-encoding other than chunked"
    return None


def _wrong_target(request: Incoming) -> str | None:
    target = request.raw_path
    if "#" in target:
        return "a fragment"
    if target[:1] == "/" or (target == "*" and request.method == "OPTIONS") or _ABSOLUTE.fullmatch(target):
        return None
    return "bad target"
