"""
A request -> the session it belongs to, and whose that is.

What names it: our own headers, what clients send unasked, and, where `routing.implicit_sessions` is on, how its
conversation begins. The last is asked only when nothing else did: it costs a hash of the system prompt and the tools.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from attrs import field, frozen

from sidecar.config.models import Routing
from sidecar.listener.callers import Callers
from sidecar.routing.drift import Drift
from sidecar.routing.session import IMPLICIT, OWN_SOURCES, SessionKey, Source, named, session_of
from sidecar.routing.sources import sources
from sidecar.wire.head import head_of
from sidecar.wire.request import Request

REMEMBERED = 4096
"""Sessions, so many of those that were named by a header, whether they have a pin or not."""


@frozen
class Naming:
    """Names sessions by the rules of one configuration."""

    sources: Sequence[Source]
    callers: Callers
    key: bytes = field(repr=False)
    """The secret that conversations are hashed with."""
    drift: Drift | None = None
    """None: a conversation that nobody named is in no session."""
    _headers: tuple[str, ...] = field(init=False)
    _named: Callable[[Source, str, str], SessionKey | None] = field(init=False, repr=False)
    """What a header names, remembered by all that it depends on: a session's next request only looks it up."""

    @_headers.default
    def _headers_of_sources(self) -> tuple[str, ...]:
        return (*OWN_SOURCES, *(source.name for source in self.sources if source.path is None))

    @_named.default
    def _remembering(self) -> Callable[[Source, str, str], SessionKey | None]:
        return lru_cache(REMEMBERED)(named)

    @classmethod
    def of_policy(cls, policy: Routing, key: bytes, *, named: bool = False) -> "Naming":
        """`key`: a secret, the same for all sidecars that share their pins. `named`: whether callers have names."""
        drift = Drift(policy.session_max_entries) if policy.implicit_sessions else None
        return cls(sources(policy.session_sources), Callers(policy, key, named=named), key, drift)

    def told(self, headers: Mapping[str, str]) -> str | None:
        """What the first header says that may name a session, as it came; None without one."""
        for name in self._headers:
            if name in headers:
                return headers[name]
        return None

    def own(self, session_id: str) -> SessionKey:
        """The session that `X-Session-Id` names, where nobody's are told apart. `session_id` is known to be an id."""
        return SessionKey(session_id)

    def of(self, headers: Mapping[str, str], request: Request, peer: str) -> SessionKey | None:
        """
        The session of a request from the address `peer`, or None.

        Raises InvalidSessionId when it names its session, in one of our own headers, by something that is no session
        id, and RequestError when a trusted peer names a tenant that is none.
        """
        tenant = self.callers.tenant(headers, peer) if self.callers.tell_apart else ""
        session = session_of(headers, request.names, self.sources, tenant, self._named)
        if session is not None or self.drift is None:
            return session
        return self._implicit(request, tenant, self.callers.caller(headers), self.drift)

    def _implicit(self, request: Request, tenant: str, caller: str, drift: Drift) -> SessionKey | None:
        """Who opens with the same words is not thereby in the same conversation: here the caller always counts."""
        opening = request.opening()
        try:
            head = head_of(self.key, request.format, f"{tenant} {caller}", opening)
        except RecursionError:  # nested too deeply to be hashed; it is routed all the same
            return None
        if head is None:
            return None
        drifted = drift.seen(head, answered=opening.answered())
        return SessionKey(f"{IMPLICIT}:{head.whole}", tenant or caller, source=IMPLICIT, drifted=drifted)
