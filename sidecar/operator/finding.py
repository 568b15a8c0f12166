"""What the doctor finds: how bad, what, and what to do about it."""

from collections.abc import Iterable
from enum import StrEnum

from attrs import frozen

from sidecar.operator.tables import GREEN, RED, YELLOW, Look, clean


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Worth a look; requests are answered."""
    PROBLEM = "problem"
    """Requests fail, or what is configured does not happen."""


@frozen
class Finding:
    level: Level
    check: str
    """One word for what was looked at; stable."""
    what: str
    """A sentence."""
    advice: str = ""
    """What to do, a sentence; empty when all is well."""


def fine(check: str, what: str) -> Finding:
    return Finding(Level.OK, check, what)


def warning(check: str, what: str, advice: str) -> Finding:
    return Finding(Level.WARNING, check, what, advice)


def problem(check: str, what: str, advice: str) -> Finding:
    return Finding(Level.PROBLEM, check, what, advice)


_COLOURS = {Level.OK: GREEN, Level.WARNING: YELLOW, Level.PROBLEM: RED}


def worst(findings: Iterable[Finding]) -> Level:
    return max((finding.level for finding in findings), key=list(Level).index, default=Level.OK)


def told(findings: Iterable[Finding], look: Look) -> list[str]:
    """A line for each, and one below it for the advice. Sentences are not cut: the end of one may be the point."""
    lines = []
    for each in findings:
        lines.append(f"{look.paint(f'{each.level.value:8}', _COLOURS[each.level])} {each.check:13} {clean(each.what)}")
        if each.advice:
            lines.append(f"{'':22} → {clean(each.advice)}")
    return lines
