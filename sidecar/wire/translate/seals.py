"""
Reasoning that only its own provider can read, carried through a client of another format and back.

Anthropic signs its thinking, OpenAI encrypts its reasoning; both want it back, unchanged, in the next request of a tool
loop. A client of the other format keeps its own format's opaque field (`signature`, `encrypted_content`) just as
faithfully, so the foreign seal travels inside it, marked with its origin:

    {"type": "thinking", "thinking": "...", "signature": "sidecar.responses.{\\"id\\":\\"rs_1\\",\\"encrypted_content\\":...}"}

https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking
https://platform.openai.com/docs/guides/reasoning
"""

from sidecar.wire.formats import Format
from sidecar.wire.translate import jsontext
from sidecar.wire.translate.neutral import Seal

MARK = "sidecar."


def wrap(seal: Seal) -> str:
    """The seal as the value of another format's opaque field."""
    return f"{MARK}{seal.origin.name.lower()}.{jsontext.text(dict(seal.data))}"


def unwrap(opaque: str) -> Seal | None:
    """The seal that `wrap` put there; None when it is the format's own."""
    for origin in Format:
        mark = f"{MARK}{origin.name.lower()}."
        if opaque.startswith(mark):
            data = jsontext.loads_object(opaque.removeprefix(mark)) or {}
            return Seal(origin, {key: value for key, value in data.items() if isinstance(value, str)})
    return None


def foreign(opaque: str) -> bool:
    """Whether a `signature` or `encrypted_content` is one of ours: its format's own provider would refuse it."""
    return opaque.startswith(MARK)
