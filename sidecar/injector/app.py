"""What the two ports answer: the webhook over TLS, and readiness, liveness and metrics in plain HTTP."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from attrs import define

from sidecar.errors import NotFound, RequestTimeout, SidecarError
from sidecar.injector.review import NoReview, Review, Verdict, answer_to, judged, name_of, review_of
from sidecar.injector.tallies import Tallies
from sidecar.injector.template import Template
from sidecar.telemetry.exposition import expose
from sidecar.telemetry.quoting import printable

log = logging.getLogger("sidecar.injector")

PATH = "/mutate"
MAX_BODY_BYTES = 3 * 1024 * 1024
"""The largest request that an API server takes itself, and so the largest it can pass on."""
BODY_S = 10.0
"""How long a body may take. An API server gives up earlier, after `timeoutSeconds` of the webhook configuration."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@define
class State:
    ready: bool = False
    """Whether new work is wanted: from listening to the order to stop."""


class Webhook:
    """`body_s`: how long a body may take."""

    def __init__(self, template: Template, tallies: Tallies, state: State, body_s: float = BODY_S) -> None:
        self._template, self._tallies, self._state, self._body_s = template, tallies, state, body_s

    def build(self) -> web.Application:
        app = web.Application(middlewares=[self._in_one_shape], client_max_size=MAX_BODY_BYTES)
        app.add_routes([web.post(PATH, self.mutate)])
        return app

    async def mutate(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        with self._tallies.answering.time():
            review = review_of(body)
            verdict = judged(review, self._template)
            answer = answer_to(review, verdict)
        self._tallies.reviewed(verdict.outcome)
        _tell(review, verdict)
        return web.Response(body=answer, content_type="application/json")

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._body_s):
                return await request.read()
        except TimeoutError as exc:
            raise RequestTimeout(f"the body took longer than {self._body_s:g} s") from exc
        except web.RequestPayloadError as exc:
            raise NoReview("the body is not sent as HTTP has it") from exc

    @web.middleware
    async def _in_one_shape(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever is no review is refused as `{"error": {"code", "message"}}`."""
        try:
            answer = await handler(request)
        except SidecarError as exc:
            answer = self._refusal(exc.status, exc.code, exc.message)
        except web.HTTPRequestEntityTooLarge:
            answer = self._refusal(413, "body_too_large", f"a body may have {MAX_BODY_BYTES} bytes at most")
        except web.HTTPException as exc:
            answer = self._refusal(exc.status, NotFound.code, f"reviews are asked for with POST {PATH}")
        if not self._state.ready:
            answer.force_close()  # whoever keeps a connection finds another injector with the next
        return answer

    def _refusal(self, status: int, code: str, message: str) -> web.Response:
        self._tallies.refused({408: "too_slow", 413: "too_large", 400: "no_review"}.get(status, "not_found"))
        body = msgspec.json.encode({"error": {"code": code, "message": message}})
        answer = web.Response(status=status, body=body, content_type="application/json")
        answer.force_close()  # there may be more of its body to come
        return answer


def _tell(review: Review, verdict: Verdict) -> None:
    if verdict.warning is not None:
        log.warning("%s left as it is (%s): %s", name_of(review), verdict.outcome, printable(verdict.warning))
    elif verdict.operations:
        log.info("%s gets the sidecar", name_of(review))
    else:
        log.debug("%s left as it is (%s)", name_of(review), verdict.outcome)


class Status:
    """For the kubelet and Prometheus: nothing here changes anything, or tells of any pod."""

    def __init__(self, tallies: Tallies, state: State) -> None:
        self._tallies, self._state = tallies, state

    def build(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/ready", self.ready), web.get("/live", self.live), web.get("/metrics", self.metrics)])
        return app

    async def ready(self, _request: web.Request) -> web.Response:
        if self._state.ready:
            return web.Response(text="OK\n")
        return web.Response(status=503, text="not ready\n")

    async def live(self, _request: web.Request) -> web.Response:
        return web.Response(text="OK\n")

    async def metrics(self, request: web.Request) -> web.Response:
        accept, encoding = (",".join(request.headers.getall(name, [])) for name in ("Accept", "Accept-Encoding"))
        exposition = await expose(self._tallies.registry, accept, encoding)
        return web.Response(body=exposition.body, headers=exposition.headers)
