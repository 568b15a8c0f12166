"""
A request -> the session it belongs to, and whose that is.

What names it: our own headers, what clients send unasked, and, where `routing.implicit_sessions` is on, how its
conversation begins. The last is asked only when nothing else did: it costs a hash of the system prompt and the tools.
"""

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from sidecar.config.models import Routing
from sidecar.listener.callers import Callers
from sidecar.routing.drift import Drift
from sidecar.routing.session import IMPLICIT, SessionKey, Source, session_of
from sidecar.routing.sources import sources
from sidecar.wire.head import head_of
from sidecar.wire.request import Request


@frozen
class Naming:
    """Names sessions by the rules of one configuration."""

    sources: Sequence[Source]
    callers: Callers
    key: bytes = field(repr=False)
    """The secret that conversations are hashed with."""
    drift: Drift | None = None
    """None: a conversation that nobody named is in no session."""

    @classmethod
    def of_policy(cls, policy: Routing, key: bytes) -> "Naming":
        """`key`: a secret, the same for all sidecars that share their pins."""
        drift = Drift(policy.session_max_entries) if policy.implicit_sessions else None
        return cls(sources(policy.session_sources), Callers(policy, key), key, drift)

    def of(self, headers: Mapping[str, str], request: Request, peer: str) -> SessionKey | None:
        """
        The session of a request from the address `peer`, or None.

        Raises InvalidSessionId when it names its session, in one of our own headers, by something that is no session
        id, and RequestError when a trusted peer names a tenant that is none.
        """
        tenant = self.callers.tenant(headers, peer)
        named = session_of(headers, request.names, self.sources, tenant)
        if named is not None or self.drift is None:
            return named
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
