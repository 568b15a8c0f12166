"""What several workers say, as one would say it. Functions over parsed JSON and lines of text, without I/O."""

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.telemetry.recent import LATEST

_NOT_COUNTED = frozenset({"now", "step_seconds", "at"})
_SUMS = frozenset({"active", "pending", "successes", "failures", "ejections"})
_LARGEST = frozenset({"ejected_for_seconds", "consecutive_5xx", "consecutive_gateway_failure"})
_BY_HEALTH = ("healthy", "probing", "ejected")
"""The last is the worst."""


def recents(snapshots: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    Of `/recent`, at least one. Steps and totals are sums, decisions the latest of all. A session is known to each
    worker that it came to, so of live pins the largest number is taken, and not the sum.
    """
    newest = max(snapshots, key=lambda snapshot: snapshot["now"])
    merged: dict[str, Any] = {
        name: sum(snapshot[name] for snapshot in snapshots)
        if isinstance(value, int) and name not in _NOT_COUNTED
        else value
        for name, value in newest.items()
    }
    for name in ("lookups", "requests"):
        merged[name] = _steps(newest[name], [snapshot[name] for snapshot in snapshots if snapshot is not newest])
    decisions = [decision for snapshot in snapshots for decision in snapshot["decisions"]]
    merged["decisions"] = sorted(decisions, key=lambda decision: -float(decision["at"]))[:LATEST]
    models = dict.fromkeys(model for snapshot in snapshots for model in snapshot["pins"])
    merged["pins"] = {model: max(snapshot["pins"].get(model, 0) for snapshot in snapshots) for model in models}
    return merged


def _steps(newest: list[dict[str, int]], others: list[list[dict[str, int]]]) -> list[dict[str, int]]:
    """Step by step; one of them may have been asked just before a step began."""
    found = [{step["at"]: step for step in steps} for steps in others]
    return [
        {
            name: value if name == "at" else value + sum(steps.get(step["at"], {}).get(name, 0) for steps in found)
            for name, value in step.items()
        }
        for step in newest
    ]


def clusters(answers: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """
    Of `/clusters?format=json`, at least one: requests are sums, and health is that of the worker that sees worst. In
    the moment of a reload, and where a worker refuses what another took, one may have providers that another has not.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for answer in answers:
        for cluster in answer:
            found.setdefault(cluster["name"], []).append(cluster)
    return [_cluster(seen) for seen in found.values()]


def _cluster(seen: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: _of_cluster(name, [each[name] for each in seen]) for name in seen[0]}


def _of_cluster(name: str, values: list[Any]) -> Any:
    if name in _SUMS:
        return sum(values)
    if name in _LARGEST:
        return max(values)
    if name == "health":
        return max(values, key=_BY_HEALTH.index)
    if name == "last_error":
        return max((each for each in values if each is not None), key=lambda error: str(error["at"]), default=None)
    return values[0]  # as configured, and so the same in all


def parts(answers: Mapping[int, str]) -> list[str]:
    """
    The parts of `/ready?verbose` by worker: what all say alike once, and else who says what.

        [+] keys: all set
        [-] store (worker 2): …
    """
    said: dict[str, dict[int, tuple[str, str]]] = {}
    for number, text in answers.items():
        for line in text.splitlines():
            mark, _, rest = line.partition(" ")
            name, colon, words = rest.partition(": ")
            if mark in ("[+]", "[-]") and colon:
                said.setdefault(name, {})[number] = mark, words
    lines = []
    for name, by_worker in said.items():
        if len(by_worker) == len(answers) and len(set(by_worker.values())) == 1:
            mark, words = next(iter(by_worker.values()))
            lines.append(f"{mark} {name}: {words}")
        else:
            lines += [f"{mark} {name} (worker {number}): {words}" for number, (mark, words) in by_worker.items()]
    return lines
