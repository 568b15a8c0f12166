"""
The text that is judged: a pure function of the conversation.
"""

from attrs import frozen

from sidecar.wire.conversation import Turn


@frozen
class Intent:
    """What a classifier reads of a conversation: bounded in length, free of a harness's envelopes."""

    latest: str
    """The latest thing the user asked for."""
    earlier: tuple[Turn, ...] = ()
    """Turns before it, oldest first: enough to resolve "now do the same for …"."""
