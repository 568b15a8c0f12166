"""
One request, as the router sees it.
"""

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from sidecar.config.models import Route
from sidecar.routing.session import SessionKey
from sidecar.wire.conversation import Conversation


class PinControl(StrEnum):
    """What a request may ask for in its header `x-sidecar-pin`."""

    REFRESH = "refresh"
    """Route anew and pin the session to the outcome."""
    BYPASS = "bypass"
    """Ignore pins: neither read one nor make one."""
    RELEASE = "release"
    """
    The session ends here: the pin decides once more, and is forgotten with that decision. Only the request's own lane:
    a store finds pins by their key, and to look through all of them is an operator's work, not a request's.
    """


class Ask(Struct, frozen=True, eq=False):
    """One request, as the router sees it."""

    requested: str | None
    """The model the client named."""
    conversation: Callable[[], Conversation]
    """Put together only when somebody has to read it."""
    session: SessionKey | None = None
    """With its lane."""
    control: PinControl | None = None
    preferences: Callable[[], tuple[Route, ...]] = tuple
    """The routes that came with the request; validated when called. None: the configured ones."""
    parent: SessionKey | None = None
    """Whose pin the session begins with, if that one has a pin."""
    is_side_call: bool = False
    """Whether its client asks for something of its own, which is to leave the session's pin alone."""
    waiting: tuple[SessionKey, ...] = ()
    """Those who wait for whoever asks: their pins stay warm meanwhile."""
