"""
Whether providers can be reached from here: name, connection, TLS, and an answer to `GET {base_url}/models`.

No key is sent and no model is asked, so it costs nothing; any answer but a 5xx shows that somebody speaks HTTP there, a
401 as well as a 200. Each address has three seconds in all, and all are asked at once. "From here" is where the command
runs, which need not be where the sidecar runs.
"""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from attrs import frozen

LIMIT_S = 3.0


@frozen
class Reached:
    """`status`: the HTTP status that was answered; None when there was none, and then `trouble` says why."""

    url: str
    status: int | None
    trouble: str = ""


def reach(urls: Iterable[str], limit_s: float = LIMIT_S) -> list[Reached]:
    """Each URL once, in order."""
    asked = list(dict.fromkeys(urls))
    answers: queue.SimpleQueue[Reached] = queue.SimpleQueue()
    for url in asked:
        # Daemons: nothing can interrupt the system's resolver, and it shall not hold up our end.
        threading.Thread(target=lambda url=url: answers.put(_one(url, limit_s)), daemon=True).start()
    found: dict[str, Reached] = {}
    until = time.monotonic() + limit_s
    while len(found) < len(asked):
        try:
            answer = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        found[answer.url] = answer
    return [found.get(url) or Reached(url, None, _late(limit_s)) for url in asked]


def _one(url: str, limit_s: float) -> Reached:
    try:
        return Reached(url, _status(url, limit_s))
    except TimeoutError:
        return Reached(url, None, _late(limit_s))
    except HTTPException:
        return Reached(url, None, "what answers there does not speak HTTP")
    except OSError as exc:
        return Reached(url, None, _why(exc))
    except ValueError:
        return Reached(url, None, "it is no URL")


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no reason given'}"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    return f"no connection: {error.strerror or type(error).__name__}"


def _status(url: str, limit_s: float) -> int:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=limit_s)
    try:
        connection.request("GET", f"{parts.path}/models")
        with connection.getresponse() as answer:
            return answer.status
    finally:
        connection.close()


def _late(limit_s: float) -> str:
    return f"no answer within {limit_s:g} s"
