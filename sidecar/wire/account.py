"""
What an answer says about itself beside its text: what it cost, why it ended, which model it names, whether it is whole.

All of it is a provider's word. What goes on from here to logs and traces is bounded and printable.
"""

from msgspec import Struct

from sidecar.wire.translate.neutral import Usage

MAX_WORD_CHARS = 256


class Account(Struct, frozen=True, gc=False):
    """None where the answer does not say, or could not be read."""

    usage: Usage | None = None
    finish: str | None = None
    """Why the model stopped, in the provider's word: `finish_reason`, `stop_reason`, a Response's `status`."""
    response_model: str | None = None
    """The model's name as the answer gives it: often more exact than the one that was asked for."""
    complete: bool | None = None
    """Of a stream: whether its own end was seen, as `[DONE]` or `message_stop`. None for what is no stream."""


def word(said: object) -> str | None:
    """`said`, when it is text, without what cannot be printed and without what is over 256 characters."""
    if not isinstance(said, str):
        return None
    if len(said) <= MAX_WORD_CHARS and said.isprintable():
        return said or None
    return "".join(filter(str.isprintable, said[:MAX_WORD_CHARS])) or None
