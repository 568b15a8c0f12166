"""
`sidecar doctor`: what is well, what is not, and what to do about it.

    gather ──▶ Facts, reach ──▶ Reached ──examine──▶ findings, in the order in which one would look

Every check is a function of what was fetched. None writes anything, sends a key or asks a model.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from sidecar.config.models import Provider
from sidecar.operator.answer import Answer
from sidecar.operator.calling import VARIABLE, AdminPort, NotASidecar, Silent, Untrusted
from sidecar.operator.facts import Facts, File, gather
from sidecar.operator.finding import Finding, Level, fine, problem, told, warning, worst
from sidecar.operator.hits import hits
from sidecar.operator.providers import addresses, answering, keys, reachable
from sidecar.operator.reach import Reached, reach
from sidecar.operator.sessions import sessions
from sidecar.operator.tables import Look, number, share, span

_CLOCK_S = 5.0
"""HTTP tells whole seconds, and the way takes some."""
_FEW_FAILURES = 0.05
_START = "Start it with: sidecar up [config.yaml]"
_WHEN_LOST = {
    Silent.code: "It hangs, or has no CPU to run on: see its log and its machine, and restart it if it stays so.",
    NotASidecar.code: f"Name the sidecar's own admin port with --admin or {VARIABLE}.",
    Untrusted.code: "Call it by a name that its certificate has, and name the file of who signed it.",
}


def examine(facts: Facts, reached: Sequence[Reached], where: Mapping[str, str]) -> list[Finding]:
    """`where`: a provider entry's name -> the URL it was looked for at, those that were looked for."""
    findings = [*_file(facts)]
    if facts.lost is not None:
        findings.append(problem("ready", _ended(facts.lost), _WHEN_LOST.get(facts.lost.code, _START)))
        return [*findings, *reachable(reached, where)]
    return [*findings, *_running(facts), *reachable(reached, where), *_served(facts)]


def _running(facts: Facts) -> Iterable[Finding]:
    return [*_ready(facts), *_unread(facts), *_clock(facts), *_reload(facts), *keys(facts), *answering(facts)]


def _served(facts: Facts) -> Iterable[Finding]:
    if not facts.samples.values:
        return []
    return [*_classifier(facts), *sessions(facts), hits(facts), *_table(facts), *_store(facts), *_bugs(facts)]


def answer(findings: Sequence[Finding], admin: str, look: Look) -> Answer:
    """Exit code 1 when there is a problem."""
    status = worst(findings)
    data = {
        "status": status.value,
        "admin": admin,
        "findings": [
            {"check": each.check, "level": each.level.value, "what": each.what, "advice": each.advice or None}
            for each in findings
        ],
    }
    return Answer(data, told(findings, look), 1 if status is Level.PROBLEM else 0)


def _file(facts: Facts) -> Iterable[Finding]:
    file = facts.file
    if file is None:
        return []
    if file.mistakes:
        return [problem("configuration", mistake, "Correct the file.") for mistake in file.mistakes]
    odd = [warning("configuration", text, "Correct the file, or set what is missing.") for text in file.warnings]
    return [*odd, *_differs(facts)] if odd or facts.info else [fine("configuration", f"{file.path} has no mistakes.")]


def _differs(facts: Facts) -> list[Finding]:
    """Names of models only: where the file is read, other variables may be set."""
    file = facts.file
    providers = facts.config.get("providers")
    if file is None or file.config is None or not isinstance(providers, list):
        return []
    here, there = {each.model for each in file.config.providers}, {each["model"] for each in providers}
    if here == there:
        return [fine("configuration", f"{file.path} has no mistakes, and its models are those that are served.")]
    return [
        warning(
            "configuration",
            f"{file.path} has other models than the sidecar that runs, which has read {facts.info['config']['source']}.",
            "Restart it with this file, if this is the one that is meant.",
        )
    ]


def _ready(facts: Facts) -> Iterable[Finding]:
    if facts.ready is None:
        return
    *parts, said = facts.ready.text.splitlines() or [""]
    info = facts.info
    version = f": version {info['version']}, up {span(info['uptime_seconds'])}" if info else ""
    if facts.ready.status == 200:  # noqa: PLR2004 - HTTP's OK
        yield fine("ready", f"{facts.url} serves{version}.")
    else:
        yield problem("ready", f"The sidecar is not ready: {said}.", _WHEN_NOT_READY.get(said, "See its log."))
    for part in parts:
        if part.startswith("[-] ") and part[4:].partition(":")[0] not in _TOLD_BELOW:
            yield warning(
                "ready", f"A part is not well: {part[4:]}.", "The checks below may say more; so does its log."
            )


_TOLD_BELOW = ("keys", "classifier")
"""Parts that have a check of their own."""
_WHEN_NOT_READY = {
    "starting": "Wait; if it stays so, its log says what it waits for.",
    "draining": "It is stopping, or was told to take no more clients, which only a restart takes back.",
    "failed by an operator": "POST /healthcheck/ok to the admin port takes that back.",
}


def _unread(facts: Facts) -> Iterable[Finding]:
    for sentence in facts.unread:
        advice = "See that it is of the same version."
        if "loopback" in sentence:
            advice = (
                "Ask at 127.0.0.1, from the same machine or pod: kubectl exec, or kubectl port-forward and --admin."
            )
        yield warning("admin", f"Cannot be looked at: {_ended(sentence)}", advice)


def _ended(said: object) -> str:
    """With a full stop, unless it is a question."""
    return f"{said}" if f"{said}".endswith("?") else f"{said}."


def _clock(facts: Facts) -> Iterable[Finding]:
    if abs(facts.clock_ahead_s) > _CLOCK_S:
        ahead = "ahead of" if facts.clock_ahead_s > 0 else "behind"
        what = f"The sidecar's clock is {span(abs(facts.clock_ahead_s))} {ahead} the one here."
        yield warning("clock", what, "Synchronise the clocks: times in logs, traces and pins come from them.")


def _reload(facts: Facts) -> Iterable[Finding]:
    if facts.samples.first("sidecar_config_last_reload_successful") == 0:
        advice = "Its log says what is wrong with the file; sidecar check FILE does too."
        yield problem("configuration", "The last reload failed: the configuration before it is still served.", advice)


def _classifier(facts: Facts) -> Iterable[Finding]:
    verdicts = facts.samples.by("outcome", "sidecar_classifier_verdicts_total")
    total = sum(verdicts.values())
    failed = {name: n for name, n in verdicts.items() if name not in ("match", "no_match")}
    bad = sum(failed.values())
    kind = facts.info.get("classifier", "")
    advice = "" if kind == "embedded" else "See routing.classifier: base_url, model, timeout. "
    advice += "Meanwhile the request's own model or the default answers."
    said = ", ".join(f"{name} {number(n)}" for name, n in sorted(verdicts.items()))
    if facts.samples.by("kind", "sidecar_classifier_circuit", state="open"):
        yield problem("classifier", f"It failed so often that it is not asked for a while ({said}).", advice)
    elif bad and bad > _FEW_FAILURES * total:
        level = problem if bad * 2 > total else warning
        yield level("classifier", f"{share(bad, total)} of {number(total)} classifications failed ({said}).", advice)
    elif total and verdicts.get("no_match", 0.0) == total - bad and total >= 20:  # noqa: PLR2004 - chance is out
        advice = "Describe routes as what users ask for, and give each some examples."
        yield warning("classifier", f"None of {number(total)} classifications found a route.", advice)
    else:
        kind = kind or "unknown kind"
        yield fine("classifier", f"{kind} ({said})." if total else f"{kind}, not asked yet.")


def _table(facts: Facts) -> Iterable[Finding]:
    live, limit = facts.samples.total("sidecar_pins"), facts.samples.first("sidecar_pins_limit")
    evicted = facts.samples.total("sidecar_pins_removed_total", reason="evicted")
    if evicted:
        what = f"{number(evicted)} pins were pushed out of a full table, while their sessions might still come back."
        yield warning("table", what, "Raise routing.session_max_entries.")
    elif limit:
        yield fine("table", f"{number(live)} live pins, of {number(limit)} that have room.")


def _store(facts: Facts) -> Iterable[Finding]:
    for store, errors in facts.samples.by("store", "sidecar_store_errors_total").items():
        what = f"{number(errors)} operations on the pin store {store} failed."
        yield warning("store", what, "See that it runs and can be reached; its log says why.")


def _bugs(facts: Facts) -> Iterable[Finding]:
    if bugs := facts.samples.total("sidecar_errors_total", code="internal_error"):
        yield problem(
            "errors", f"{number(bugs)} requests failed by a mistake of the sidecar.", "Report it, with its log."
        )
    for signal, lost in facts.samples.by("signal", "sidecar_telemetry_dropped_total").items():
        what = f"{number(lost)} of signal {signal} were dropped: they came faster than they could be written or sent."
        yield warning("telemetry", what, "See the disk or the receiver, or sample less.")


def visit(port: AdminPort, file: File | None, address: Callable[[Provider], str | None] | None, look: Look) -> Answer:
    """
    The whole examination. `address`: where a provider is, for those whose entry does not say it; None: providers are
    not called.
    """
    facts = gather(port, file)
    where = {} if address is None else addresses(facts, address)
    return answer(examine(facts, reach(where.values()), where), port.url, look)
