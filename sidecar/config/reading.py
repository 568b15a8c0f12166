"""
One reading of one text: what it may see, and everything it found.

A reader is a function from a node and its reading to a value. It says `Wrong` about the one value it was given;
whoever gave it that value writes the mistake down with its place and goes on with the next, so that a file's mistakes
are all told at once.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import Factory, field, frozen

from sidecar.config.document import Node
from sidecar.errors import ConfigError

T = TypeVar("T")

MAX_HINTS = 50


class Wrong(Exception):
    """A value is not what it must be. The message follows the value's path: `must be …`, `is …`."""


@frozen
class Finding:
    """A mistake or a warning, and where."""

    order: int
    """The line; for JSON, which has none, the how-manieth value it is."""
    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path} {self.sentence}"


@frozen
class Reading:
    """What may be seen while reading (`environ`, `folder`), and what was found (`mistakes`, `warnings`)."""

    source: str
    """What to call the text in messages; empty when it is part of a request, which has no lines."""
    environ: Mapping[str, str] = field(factory=dict, repr=False)
    folder: Path = Path()
    """Where paths in the file start."""
    mistakes: list[Finding] = Factory(list)
    warnings: list[Finding] = Factory(list)
    files: list[str] = Factory(list)
    """Which other files were looked into, or would have been."""

    def attempt(self, reader: "Reader[T]", node: Node) -> T | None:
        """What `reader` makes of `node`; None, with the mistake written down, when it is wrong."""
        try:
            return reader(node, self)
        except Wrong as wrong:
            self.mistake(node, str(wrong))
            return None

    def mistake(self, node: Node, sentence: str) -> None:
        self.mistakes.append(Finding(node.line, node.path or "the file", sentence))

    def warn(self, node: Node, sentence: str) -> None:
        self.warnings.append(Finding(node.line, node.path or "the file", sentence))

    def place(self, node: Node) -> str:
        """Where another value stands, to be named in a message about this one."""
        return f"line {node.line}" if self.source else node.path

    def hint(self, name: str, known: Iterable[str]) -> str:
        """`; did you mean 'x'?`, or nothing: nothing is near, or there were mistakes enough to be spared the search."""
        near = difflib.get_close_matches(name[:100], known, n=1) if len(self.mistakes) < MAX_HINTS else []
        return f"; did you mean '{near[0]}'?" if near else ""

    def lines(self, findings: list[Finding]) -> tuple[str, ...]:
        """The findings as people read them, in the order of the file."""
        return tuple(f"{self.source}:{finding.order}: {finding}" for finding in in_order(findings))

    def finish(self) -> tuple[str, ...]:
        """The warnings; raises when there was any mistake."""
        if self.mistakes:
            raise ConfigError("\n".join(self.lines(self.mistakes)), files=tuple(dict.fromkeys(self.files)))
        return self.lines(self.warnings)


Reader = Callable[[Node, Reading], T]
AnyReader = Callable[[Node, Reading], Any]


def in_order(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: finding.order)
