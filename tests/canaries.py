"""
Canaries: texts that nobody may write down, and the search for them.

Each is a random token, so that any eight characters of it are proof enough: a log that cuts, quotes or wraps what it
was told is found out as well as one that repeats it, and so is one that writes base64.
"""

import base64
import secrets

from attrs import Factory, define

LETTERS = "ghijkmnopqrstuvwxyz"  # none of them a hexadecimal digit: ids and hashes cannot look like a canary
LENGTH = 24
PIECE = 8


@define
class Canaries:
    tokens: dict[str, str] = Factory(dict)

    def __getitem__(self, name):
        """The canary of that name, made when first asked for."""
        if name not in self.tokens:
            self.tokens[name] = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
        return self.tokens[name]

    def found(self, text, *, but=()):
        """The names of those that `text` has any piece of."""
        lower = text.lower()
        return [
            name
            for name, token in self.tokens.items()
            if name not in but
            and (any(piece in lower for piece in pieces(token)) or any(piece in text for piece in encoded(token)))
        ]


def pieces(token):
    return {token[at : at + PIECE] for at in range(len(token) - PIECE + 1)}


def encoded(token):
    """What is the same in base64 wherever in a text the token stands: three ways, without their ends."""
    for shift in range(3):
        yield base64.b64encode(b" " * shift + token.encode()).decode()[4:24]
