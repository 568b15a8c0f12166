"""The outcome as text: what each answered, what it is beside the reference, and what became of each target."""

from .figures import compared, middle, played_again, ratio
from .rows import HELLO, Kind
from .targets import Verdict, in_spite

REFERENCES = {"decisions": HELLO, "decision-1": "sidecar", "sessions": "10 sessions"}
"""Envoy, but for those rows that it is not in."""
SHOWN = {
    Kind.REQUESTS: (("per_s", "req/s"), ("cpu_us", "CPU µs"), ("p50_us", "p50 µs"), ("p99_us", "p99 µs")),
    Kind.ALONE: (("p50_us", "p50 µs"), ("p99_us", "p99 µs"), ("added_p50_us", "+p50 µs"), ("added_p99_us", "+p99 µs"), ("cpu_us", "CPU µs")),
    Kind.STREAMS: (("per_core_s", "streams/s"), ("cpu_us", "CPU µs"), ("first_p50_us", "first p50"), ("first_p99_us", "first p99")),
    Kind.PACED: (("piece_us", "CPU µs/pc"), ("first_p50_us", "first p50"), ("first_p99_us", "first p99"), ("gap_p99_us", "gap p99")),
}  # fmt: skip
BY = {Kind.REQUESTS: "per_s", Kind.ALONE: "p50_us", Kind.STREAMS: "per_core_s", Kind.PACED: "piece_us"}


def reference(row):
    return REFERENCES.get(row.name, "Envoy")


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def row_lines(row, found, missing, *, regardless=False):
    """Of one row. `found`: {label: [Measured, …]}; `missing`: {label: why}."""
    against = reference(row)
    columns = SHOWN[row.kind]
    yield f"{row.name}: {row.about}"
    yield f"  {'':26}" + "".join(f"{title:>11}" for _, title in columns) + f"   {BY[row.kind]} by that of {against}"
    for entry in row.entries:
        label = entry.label
        if label in missing:
            yield f"  {label:26}{'':4}not measured: {missing[label]}"
        elif found.get(label):
            yield f"  {label:26}" + _cells(found, label, against, row.kind, regardless=regardless)
    yield from again_lines(*played_again(found))


def again_lines(times, mended):
    """Of what was played again; nothing where nothing was."""
    if times:
        yield f"  played again, as others were on a core: {times}; rounds that count by it: {mended}"


def _cells(found, label, against, kind, *, regardless):
    spreads = [middle(found[label], name) for name, _ in SHOWN[kind]]
    said = "".join(f"{number(one.middle) if one else '–':>11}" for one in spreads)
    beside = None
    if label not in (against, "direct") and found.get(against):
        value = in_spite(BY[kind]) if regardless else BY[kind]
        beside = compared(found[label], found[against], ratio(value), regardless=regardless)
    said += f"   {beside.middle:8.3f} ({beside.low:.3f} to {beside.high:.3f})" if beside else f"   {'':8}"
    flawed = [one for one in found[label] if one.flaws]
    if flawed:
        said += f"   {len(flawed)} of {len(found[label])} rounds do not count: {flawed[-1].flaws[0]}"
    return said


def program_lines(programs):
    yield f"{'programs':28}{'start s':>9}{'idle MB':>9}{'loaded MB':>11}{'installed MB':>14}   told"
    for name, facts in programs.items():
        if facts.get("missing"):
            yield f"  {name:26}not measured: {facts['missing']}"
            continue
        sizes = (facts.get(key) for key in ("idle_bytes", "loaded_bytes", "installed_bytes"))
        cells = [f"{size / 1e6:.0f}" if size else "–" for size in sizes]
        ready = f"{facts['ready_s']:.2f}" if "ready_s" in facts else "–"
        yield f"  {name:26}{ready:>9}{cells[0]:>9}{cells[1]:>11}{cells[2]:>14}   {facts['settings']}"


def instruction_lines(found, base):
    """Of {name: instructions}, beside those of another tree, which may be None."""
    yield f"{'instructions':24}{'this tree':>12}" + (f"{'base':>12}{'ratio':>8}" if base else "")
    for name, count in found.items():
        beside = f"{base[name]:12,.0f}{count / base[name]:8.3f}" if base else ""
        yield f"  {name:22}{count:12,.0f}{beside}"


def fact_lines(facts):
    yield "facts"
    for name, spread in facts.items():
        yield f"  {name:26}{number(spread.middle):>11}   ({number(spread.low)} to {number(spread.high)})"


def target_lines(outcomes):
    yield f"{'targets':60}{'found':>22}{'target':>10}{'stretch':>10}"
    for one in outcomes:
        yield "  " + target_line(one)


def target_line(outcome):
    target = outcome.target
    sign = "≤" if target.most else "≥"
    wanted = f"{sign} {target.target:g}"
    stretch = f"{sign} {target.stretch:g}" if target.stretch is not None else "–"
    said = f"{target.name:58}{found(outcome):>22}{wanted:>10}{stretch:>10}   {outcome.verdict}"
    if outcome.verdict is Verdict.MISSED:
        return f"{said} by {outcome.gap:.0%}"
    return f"{said}: {outcome.why}" if outcome.verdict is Verdict.UNJUDGED else said


def found(outcome):
    """What was found, with its least and most."""
    spread = outcome.found
    if spread is None:
        return "–"
    low, high = number(spread.low), number(spread.high)
    return f"{number(spread.middle)}{outcome.target.unit}" + (f" ({low}–{high})" if low != high else "")
