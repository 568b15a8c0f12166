"""
How providers are: their keys, what became of the requests they were sent, and whether they can be reached from here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from sidecar.config.models import Provider
from sidecar.operator.facts import Facts
from sidecar.operator.finding import Finding, fine, problem, warning
from sidecar.operator.reach import Reached
from sidecar.operator.tables import number, span

KEY_MISSING = "key_missing"
_ADVICE = {
    "connect": "See its base_url, and that it runs.",
    "dns": "See its base_url, and the resolver where the sidecar runs.",
    "tls": "See that its certificate is one that the sidecar's machine trusts.",
    "overflow": "It is asked more at once than circuit_breakers allow: raise them, or add a model to the route.",
    "timeout": "It is slow, or timeouts are short: see its own status, and timeouts.first_byte.",
    "reset": "It, or something on the way, cuts connections: see its own status.",
    "rate_limited": "It is asked more than its rate limit allows: ask for more, or add a model to the route.",
    "quota": "The account has nothing left: no waiting helps.",
    "server_error": "See its own status page.",
    "model_unknown": "It does not know this model: see how it is spelt.",
    "key_refused": "It does not take the key: see that it is right, and that what it stands for is paid.",
}
"""By cause: sidecar.upstream.refusal.Cause."""
_NOT_ITS_FAULT = ("answered", "abandoned", "refused", KEY_MISSING)
"""Outcomes that say nothing bad of a provider; a missing key is told by itself."""
_MOST_FAILURES = 20
"""One failure in so many answers is nothing to speak of."""
_LOOK_AT_LOG = "The sidecar's log says more."


def keys(facts: Facts) -> Iterable[Finding]:
    """Names of variables, never values."""
    waiting: dict[str, list[Mapping[str, Any]]] = {}
    for each in facts.clusters:
        if each["key"] == "missing":
            waiting.setdefault(", ".join(each["missing"]), []).append(each)
    for variables, entries in waiting.items():
        tried = any(_outcomes(facts, each).get(KEY_MISSING) for each in entries)
        names = ", ".join(each["name"] for each in entries)
        yield (problem if tried else warning)(
            "keys",
            f"{variables} not set: {names} cannot be called" + (", and requests needed it." if tried else "."),
            "Set it where the sidecar starts, and restart. Decisions alone (/routing/v1) need no keys.",
        )
    if facts.clusters and not waiting:
        yield fine("keys", f"All that {_providers(facts)} is set.")


def _providers(facts: Facts) -> str:
    count = len(facts.clusters)
    return "the provider needs" if count == 1 else f"{number(count)} providers need"


def _outcomes(facts: Facts, each: Mapping[str, Any]) -> dict[str, float]:
    """What came of the attempts at an entry: `answered`, or a cause of failure."""
    return facts.samples.by("outcome", "sidecar_upstream_attempts_total", provider=each["name"])


@frozen
class _Record:
    """How often an entry answered and failed; `cause`: the commonest of its failures."""

    answered: float
    failed: float
    cause: str

    @classmethod
    def of(cls, facts: Facts, each: Mapping[str, Any]) -> "_Record":
        """From the metrics; without them, what `/clusters` counts, for which a refused key is an answer."""
        outcomes = _outcomes(facts, each)
        if not outcomes:
            error = each["last_error"]
            return cls(each["successes"], each["failures"], "" if error is None else error["cause"])
        failures = {outcome: count for outcome, count in outcomes.items() if outcome not in _NOT_ITS_FAULT}
        commonest = max(failures, key=lambda cause: failures[cause], default="")
        return cls(outcomes.get("answered", 0.0), sum(failures.values()), commonest)


def answering(facts: Facts) -> Iterable[Finding]:
    """What the sidecar itself has seen of them."""
    unasked, well = [], []
    for each in facts.clusters:
        record = _Record.of(facts, each)
        if bad := _unwell(each, record):
            yield bad
        elif record.answered:
            well.append(f"{each['name']} ({number(record.answered)})")
        elif not _outcomes(facts, each):
            unasked.append(each["name"])
    if well:
        yield fine("providers", f"Answer: {', '.join(well)}.")
    if unasked:
        yield fine("providers", f"Not asked since the start: {', '.join(unasked)}.")


def _unwell(each: Mapping[str, Any], record: _Record) -> Finding | None:
    error = each["last_error"]
    last = f", mostly {record.cause}" if record.cause else ""
    if error is not None:
        last += f"; last, at {error['at']}: {error['cause']}" + (f" ({error['status']})" if error["status"] else "")
    advice = _ADVICE.get(record.cause, _LOOK_AT_LOG)
    if each["health"] != "healthy":
        left = f" for {span(each['ejected_for_seconds'])} more" if each["ejected_for_seconds"] else ""
        return problem("providers", f"{each['name']} failed so often that it is left alone{left}{last}.", advice)
    if record.failed and not record.answered:
        what = f"{each['name']} has never answered, in {number(record.failed)} attempts{last}."
        return problem("providers", what, advice)
    if record.failed * _MOST_FAILURES > record.answered:
        what = f"{each['name']} failed {number(record.failed)} times, answered {number(record.answered)} times{last}."
        return warning("providers", what, advice)
    return None


def addresses(facts: Facts, address: Callable[[Provider], str | None]) -> dict[str, str]:
    """
    Name -> URL, of the entries of the sidecar that runs, else of the file. `address` knows where well-known providers
    are. What waits for a variable is left out: where it is cannot be told.
    """
    entries: Iterable[Provider] = ()
    if facts.clusters:
        served = [each for each in facts.clusters if "***" not in (each["base_url"] or "")]
        entries = [Provider(each["model"], each["name"], base_url=each["base_url"]) for each in served]
    elif facts.file is not None and facts.file.config is not None:
        entries = [each for each in facts.file.config.providers if each.base_url or not each.missing]
    found = ((each.name, address(each)) for each in entries)
    return {name: url for name, url in found if url is not None}


def reachable(reached: Sequence[Reached], where: Mapping[str, str]) -> Iterable[Finding]:
    well = []
    for each in reached:
        names = ", ".join(name for name, url in where.items() if url == each.url)
        if each.status is None:
            what = f"{each.url} cannot be reached from here: {each.trouble} ({names})."
            yield warning(
                "reach", what, "If the sidecar runs elsewhere, ask from there; else see base_url and the network."
            )
        elif each.status >= 500:  # noqa: PLR2004 - a server's error, says HTTP
            yield warning("reach", f"{each.url} answers with HTTP {each.status} ({names}).", "See its own status page.")
        else:
            well.append(each.url)
    if well:
        yield fine("reach", f"Reached from here, without a key: {', '.join(well)}.")
