"""
One request, from its first byte to its last, as whoever writes of each is told of it: once, when it is over.

    Door ──Record──▶ access log, traces

Times are seconds since the request began, unless they say otherwise. A record holds no prompt, no answer and no key;
it holds the session's id, which nobody may write down: `session_hash` is what goes into logs and traces.

Structs, not attrs, and made by position: one is made for every request, in a twentieth of the time, but only where
somebody is told. Who just counts is told of `sidecar.telemetry.counts`.
"""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from sidecar.routing.decision import Decision
from sidecar.routing.session import SessionKey
from sidecar.telemetry.trace import Trace
from sidecar.wire.translate.neutral import Usage

ANSWERED = "answered"
ABANDONED = "abandoned"
"""What an attempt comes to, where it is not the cause of a failure."""


class Caller(NamedTuple):
    """A client that has shown who it is."""

    name: str
    """Of its key, in the configuration; or in its certificate."""
    label: str
    """A closed set: the name of its key, or the pattern that its certificate's name matches."""


class Attempt(Struct, frozen=True, gc=False):
    """One attempt at one provider."""

    provider: str
    """The name of its entry in the configuration."""
    model: str
    outcome: str
    """`answered`, `abandoned` when the client did not wait for it, or the cause of its failure."""
    began_s: float
    seconds: float
    """Until the end of its answer, or its failure."""
    first_byte_s: float | None = None
    """How long the first byte took; None when there was none."""
    status: int | None = None
    span_id: str = ""
    """What the provider was told as the parent of its own spans; empty when the request is not traced."""


class Record(Struct, frozen=True, gc=False):
    endpoint: str
    """A closed set, fit for a label."""
    method: str
    status: int
    trace: Trace
    began_at_s: float
    """Unix time."""
    seconds: float
    protocol: str = "HTTP/1.1"
    client: str = ""
    """The address it came from."""
    user_agent: str = ""
    code: str | None = None
    """The stable code of what went wrong, if anything did."""
    culprit: str | None = None
    """The part of the request that was wrong: a header's name, a path in the body."""
    body_s: float = 0.0
    """Waiting for the client to send its body."""
    provider_s: float = 0.0
    """Waiting for providers: for their first bytes, and from chunk to chunk."""
    client_s: float = 0.0
    """Waiting for the client to take what it was sent."""
    first_byte_s: float | None = None
    """Until the first byte of the answer's body left; None for one that was never begun."""
    bytes_in: int = 0
    bytes_out: int = 0
    """Of the answer's body."""
    requested: str | None = None
    """The model that the client named."""
    decision: Decision | None = None
    session: SessionKey | None = None
    session_hash: str = ""
    """Keyed and short, the same for every request of a session; empty without one."""
    model: str | None = None
    """Whose answer it is: a model of the configuration."""
    attempts: tuple[Attempt, ...] = ()
    failover: str | None = None
    """Why the first attempt was not the last."""
    moved: bool = False
    """Whether the attempts moved the session's pin."""
    streamed: bool = False
    """Whether the answer is a stream of events."""
    operation: str | None = None
    """What was asked of the model, in OpenTelemetry's word: `chat`, `embeddings`, `text_completion`."""
    usage: Usage | None = None
    finish: str | None = None
    """Why the model stopped, in the provider's word."""
    response_model: str | None = None
    """The model's name as the provider's answer gives it."""
    caller: Caller | None = None
    """Who asked; None where anybody may, and for whoever may not."""

    @property
    def added_s(self) -> float:
        """What the sidecar itself took: all that was neither the provider's time nor the client's."""
        added_s = self.seconds - self.body_s - self.provider_s - self.client_s
        return added_s if added_s > 0.0 else 0.0  # noqa: FURB136 - half the time of `max`


Teller = Callable[[Record], None]
"""Is told of every request. Must not raise."""
