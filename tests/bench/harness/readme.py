"""The README's section, out of a Record: ratios, method, date, and the machine's kind."""

from .figures import compared, ratio
from .rows import GATEWAYS, HELLO, SIDECAR
from .targets import TARGETS, Verdict, in_spite, judged

BEGIN, END = "<!-- performance -->", "<!-- /performance -->"
ORDER = ("nginx", "HAProxy", "Envoy", "textbook aiohttp proxy", *GATEWAYS)
WORKS = (
    ("reply-16", "per_s", False, "small replies, 16 connections"),
    ("reply-64", "per_s", False, "64 connections"),
    ("reply-1", "added_p50_us", True, "p50 added, one connection"),
    ("reply-100k", "per_s", False, "100 KB requests"),
    ("streams", "per_core_s", False, "streams, 50 pieces at once"),
    ("paced-64", "piece_us", True, "CPU of a piece, 64 paced"),
    ("paced-400", "piece_us", True, "400 paced"),
    ("paced-400", "first_p50_us", True, "first byte, 400 paced"),
)
"""(row, value, whether less is better, title): the columns, each as how much better the sidecar is."""

METHOD = """\
How many times as fast as each of them the sidecar is, on one core each: 1 is alike, 2 is twice the requests or half the
time. All with their own settings for production; the sidecar with everything on (routes, a pin that is found, metrics,
headers, request id). One core for what is measured, another for the providers and the load; of each column all are asked
in turns, a ratio is taken within a round, what others disturbed is played again, shown is the median of the rounds.
{date}, {machine}.

![Small proxied replies per second of one core, beside Envoy's](tests/bench/performance.svg)
"""
AFTER = "Again, here: `python tests/bench/run.py --json FILE`, then `python tests/bench/report.py FILE`."


STARVED = """**Measured while others used the machine**: rounds in which somebody was starved count here too, by the time that each had on
its core. On a machine of one's own the same command gives figures without that.

"""


def section(record, *, regardless=False):
    """Between the two marks, and with them."""
    method = METHOD.format(date=record.date, machine=record.machine)
    parts = [STARVED + method if regardless else method, "\n".join(_table(record, regardless)), ""]
    parts += [*_facts(record, regardless), "", "\n".join(_targets(record, regardless)), "", AFTER]
    return "\n".join([BEGIN, *parts, END])


def put(text, made):
    """The README with the section in its place. Raises ValueError where it has no marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the marks {BEGIN} and {END} are not there")
    return before + made + after


def better(record, row, value, theirs, *, less, regardless):
    """How many times better the sidecar is, a Spread; None where that cannot be said."""
    found = record.rows.get(row, {})
    ours, others = found.get(SIDECAR), found.get(theirs)
    if not ours or not others:
        return None
    if regardless:
        value = in_spite(value)
    pair = (others, ours) if less else (ours, others)
    return compared(*pair, ratio(value), regardless=regardless)


def times(spread):
    if spread is None:
        return "–"
    return (
        f"{spread.middle:.0f}"
        if spread.middle >= 10
        else f"{spread.middle:.1f}"
        if spread.middle >= 2
        else f"{spread.middle:.2f}"
    )


def _table(record, regardless):
    yield "| the sidecar, by | " + " | ".join(title for *_, title in WORKS) + " | MB | start |"
    yield "|---|" + "---|" * (len(WORKS) + 2)
    for name in ORDER:
        program = record.programs.get(name)
        if program is None or program["missing"]:
            continue
        cells = [
            times(better(record, row, value, name, less=less, regardless=regardless)) for row, value, less, _ in WORKS
        ]
        yield f"| {name} | " + " | ".join(cells) + f" | {_weight(program)} |"
    if SIDECAR in record.programs:
        yield "| the sidecar itself |" + " |" * len(WORKS) + f" {_weight(record.programs[SIDECAR])} |"


def _weight(program):
    loaded, ready = program.get("loaded_bytes"), program.get("ready_s")
    return f"{loaded / 1e6:.0f} | {ready:.2g} s" if loaded and ready is not None else "– | –"


def _facts(record, regardless):
    """Sentences; those whose figures are not there are left out."""
    decisions = record.rows.get("decisions", {})

    def beside(ours, theirs, value="per_s"):
        value = in_spite(value) if regardless else value
        found = compared(decisions.get(ours, ()), decisions.get(theirs, ()), ratio(value), regardless=regardless)
        return times(found) if found else None

    if hello := beside(SIDECAR, HELLO):
        yield f"A decision of a pinned session: {hello} × the rate of aiohttp's hello world (`web.Application`, uvloop)."
    parts = [
        f"{found} × with {what}"
        for label, what in (
            ("sidecar, 100 KB", "100 KB of conversation"),
            ("sidecar, 400 KB", "400 KB"),
            ("sidecar, not pinned", "no pin, by the embedded classifier"),
            ("sidecar, Redis", "its pin in Redis"),
        )
        if (found := beside(label, SIDECAR))
    ]
    if parts:
        yield f"Beside a small one from memory, decisions come at {', '.join(parts)}."
    yield from _sizes(record.facts)


def _sizes(facts):
    if "import_s" in facts and "start_s" in facts:
        yield f"Imports take {facts['import_s'].middle:.2f} s, from start to ready it is {facts['start_s'].middle:.2f} s."
    if "resident_idle_mb" in facts:
        idle, loaded = facts["resident_idle_mb"].middle, facts["resident_loaded_mb"].middle
        yield f"Resident, with the classifier: {idle:.0f} MB idle, {loaded:.0f} MB at most under all of this."
    if "open_stream_kib" in facts:
        yield f"An open stream takes {facts['open_stream_kib'].middle:.0f} KiB at most."
    if "pin_bytes" in facts:
        yield f"A million live sessions take {facts['pin_bytes'].middle:.0f} bytes each."
    if "scrape_held_ms" in facts:
        series, held = facts["scrape_series"].middle, facts["scrape_held_ms"].middle
        usual = (
            f", {facts['scrape_held_median_ms'].middle:.2g} in the middle" if "scrape_held_median_ms" in facts else ""
        )
        yield f"A scrape of {series:,.0f} series holds the event loop for {held:.2g} ms at most{usual}."


def _targets(record, regardless):
    outcomes = [judged(one, record.rows, record.facts, regardless=regardless) for one in TARGETS]
    missed = [one for one in outcomes if one.verdict is Verdict.MISSED]
    met = [one for one in outcomes if one.verdict in (Verdict.MET, Verdict.STRETCH)]
    unjudged = len(outcomes) - len(met) - len(missed)
    said = f"Of {len(outcomes)} targets that were set beforehand {len(met)} are met"
    if unjudged:
        said += f", {unjudged} could not be judged in this run"
    yield said + (":" if missed else ".")
    if missed:
        yield ""
    for one in missed:
        sign = "at most" if one.target.most else "at least"
        yield f"- missed by {one.gap:.0%}: {one.target.name}, {one.found.middle:.2g}{one.target.unit} instead of {sign} {one.target.target:g}"
