"""Whether clients name their sessions, and how."""

from collections.abc import Iterable

from sidecar.operator.facts import Facts
from sidecar.operator.finding import Finding, fine, warning
from sidecar.operator.tables import number, share


def sessions(facts: Facts) -> Iterable[Finding]:
    """Nothing when no request came yet, or none named a session: the hit rate's finding says that."""
    sources = facts.samples.by("source", "sidecar_pin_lookups_total")
    unnamed = sources.pop("none", 0.0)
    named = sum(sources.values())
    if not named:
        return
    most = sorted(sources.items(), key=lambda pair: -pair[1])
    said = f"Clients name sessions by {', '.join(f'{source} ({number(count)})' for source, count in most)}"
    if unnamed > named:
        what = f"{said}, but {share(unnamed, unnamed + named)} of {number(unnamed + named)} requests name none."
        yield warning("sessions", what, "Let every client send the header X-Session-Id, the same for a whole session.")
    else:
        yield fine("sessions", f"{said}; {number(unnamed)} requests name none." if unnamed else f"{said}.")
    if invalid := facts.samples.total("sidecar_pin_lookups_total", outcome="invalid"):
        what = f"{number(invalid)} requests were refused: what they named their session by is no session id."
        yield warning("sessions", what, "A session id is 1 to 256 visible ASCII characters without spaces.")
