"""The parent's way to a worker's admin port."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from attrs import frozen
from multidict import CIMultiDictProxy
from yarl import URL

from sidecar.errors import Unavailable

ASK_S = 5.0
"""How long a worker may take to answer a question that costs it nothing."""
SILENCE_S = 60.0
"""How long one may be silent that reads or writes many pins."""

_OURS_TO_SAY = frozenset({"connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding"})
"""Headers that belong to one of the two connections."""


class WorkerSilent(Unavailable):
    """A worker does not answer: it is starting, or hangs, or has just ended."""

    code = "worker_silent"


@frozen
class Answer:
    """A worker's."""

    status: int
    body: bytes


class Line:
    """To one worker; a connection for each question, for who is asked is not always the same process."""

    def __init__(self, number: int, path: str) -> None:
        self.number = number
        self.path = path

    async def ask(self, method: str, path_qs: str) -> Answer:
        """`path_qs` as it stands in a request. Raises WorkerSilent."""
        try:
            async with (
                asyncio.timeout(ASK_S),
                self._session() as session,
                session.request(method, _url(path_qs)) as answer,
            ):
                return Answer(answer.status, await answer.read())
        except (aiohttp.ClientError, OSError) as exc:
            raise self._silent() from exc

    async def hand_on(self, request: web.Request) -> web.StreamResponse:
        """The worker's own answer to a request, piece by piece as both come. Raises WorkerSilent before it begins."""
        body = request.content if request.body_exists else None
        async with self._session() as session:
            try:
                headers = _handed_on(request.headers)
                answer = await session.request(request.method, _url(request.path_qs), headers=headers, data=body)
            except (aiohttp.ClientError, OSError) as exc:
                raise self._silent() from exc
            async with answer:
                response = web.StreamResponse(status=answer.status, headers=_handed_on(answer.headers))
                response.content_length = answer.content_length
                await response.prepare(request)
                async for piece in _pieces(answer):
                    await response.write(piece)
                await response.write_eof()
                return response

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(self.path, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S),
            auto_decompress=False,
        )

    def _silent(self) -> WorkerSilent:
        return WorkerSilent(f"worker {self.number} does not answer")


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Raises ConnectionResetError when it breaks off: the client's connection then is cut, and not ended."""
    try:
        async for piece in answer.content.iter_any():
            yield piece
    except aiohttp.ClientError as exc:
        raise ConnectionResetError from exc


def _handed_on(headers: CIMultiDictProxy[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in _OURS_TO_SAY]


def _url(path_qs: str) -> URL:
    """Ids of sessions are percent-encoded, and must stay so as they were."""
    return URL(f"http://worker{path_qs}", encoded=True)
