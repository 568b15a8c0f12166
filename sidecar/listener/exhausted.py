"""
When no provider answers: a provider's own refusal where one gave any, as it is or in the client's words; else ours.
"""

from sidecar.listener.answers import Answer, Exchange, Way, refusal
from sidecar.listener.incoming import Incoming
from sidecar.upstream.order import Exhausted
from sidecar.upstream.refusal import decoded
from sidecar.upstream.relaying import ANOTHER, AS_IT_IS, to_client
from sidecar.wire import translate
from sidecar.wire.formats import Format


def exhausted(request: Incoming, outcome: Exhausted, form: Format, way: Way) -> Exchange:
    """What the client hears. An upload that was not read to its end takes its connection along."""
    refused, closes = outcome.refusal, not request.content.is_eof()
    if refused.headers is None or refused.target is None:
        return refusal(form, refused.error, way, closes=closes)
    translated, body = refused.target.translated, refused.body
    headers = to_client(tuple(refused.headers.items()), stays=ANOTHER if translated else AS_IT_IS, ours=way.headers())
    if translated:
        plain = decoded(body, refused.headers.get("content-encoding", ""))
        body = translate.error(refused.target.interface, form, refused.status, plain or b"")
        headers["content-type"] = "application/json"
    if request.method != "HEAD":
        headers.popall("content-length", None)
    code = refused.failure.cause.value
    return Answer(refused.status, body, way, headers=headers, reason=refused.reason, code=code, closes=closes)
