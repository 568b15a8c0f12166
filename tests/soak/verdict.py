"""What must hold of a soak, and the report: as JSON, and for people."""

from attrs import frozen

GROWTH_KB_PER_MINUTE = 256
"""What memory may surely grow by: a leak of 10 bytes a request at 1,000 requests a second is 600 KB a minute."""
SHORTEST_MINUTES = 2.0
"""Of less, a slope says nothing but that caches fill."""
SPARE_DESCRIPTORS = 2
"""A look at the admin port may still be on its way out."""
OF_REDIS = 8
"""Connections to Redis are kept as they are needed, up to so many."""


@frozen
class Check:
    """One thing that must hold. `holds` is None where it cannot be said."""

    name: str
    holds: bool | None
    found: str


def checks(found):
    """`found`: what `run.soak` gathered."""
    yield Check(
        "no error that the provider did not cause",
        not found["wrong"],
        f"{len(found['wrong'])} wrong of {found['requests']}",
    )
    yield Check("the log has no traceback", not found["log"], f"{len(found['log'])} such lines")
    yield Check(
        "what was done meanwhile went as it had to",
        not found["trouble"]["wrong"],
        f"{len(found['trouble']['wrong'])} otherwise",
    )
    yield Check("it ends in good order", found["exit_code"] == 0, f"exit code {found['exit_code']}")
    yield memory(found["memory"])
    spare = SPARE_DESCRIPTORS + (OF_REDIS if found["store"] == "redis" else 0)
    for name, most in (("descriptors", spare), ("tasks", 0)):
        before, after = found["before"][name], found["after"][name]
        yield Check(f"{name} are back", after <= before + most, f"{before} before, {after} after")
    double = found["provider"]
    odd = {name: double[name] for name in ("wrong key", "wrong path", "told a session") if double.get(name)}
    yield Check("the provider saw nothing it must not", not odd, str(odd or "nothing"))


def memory(found):
    slope = found["resident_kb"]
    if slope is None or slope["minutes"] < SHORTEST_MINUTES:
        return Check("memory is flat after warm-up", None, "too short to tell")
    surely = slope["per_minute"] - 2 * slope["spread"]
    said = f"{slope['per_minute']:+.0f} ± {slope['spread']:.0f} KB per minute over {slope['minutes']:.1f} minutes"
    return Check("memory is flat after warm-up", surely < GROWTH_KB_PER_MINUTE, said)


def report(found, made):
    """The lines for people. `made`: the checks."""
    yield f"soak: {found['seconds']:.0f} s, {found['store']} store, {found['requests']} requests ({found['per_second']:.0f} a second), {found['sessions']} sessions"
    yield f"machine: {found['machine']}"
    yield ""
    for check in made:
        yield f"  {MARKS[check.holds]:8} {check.name}: {check.found}"
    yield ""
    yield from _memory_lines(found["memory"])
    yield from _latency_lines(found["latency"])
    yield "meanwhile: " + ", ".join(f"{name} {count}" for name, count in sorted(found["trouble"]["did"].items()))
    yield "sessions: " + (
        ", ".join(f"{name} {count}" for name, count in sorted(found["changes"].items())) or "no changes"
    )
    yield ""
    yield "outcomes"
    yield from (f"  {count:9}  {name}" for name, count in found["outcomes"].items())
    for name, rows in (("wrong", found["wrong"]), ("otherwise", found["trouble"]["wrong"]), ("log", found["log"])):
        if rows:
            yield f"{name}"
            yield from (f"  {str(row)[:400]}" for row in rows[:10])


MARKS = {True: "holds", False: "FAILS", None: "–"}


def _memory_lines(found):
    for name, unit in (("resident_kb", "KB"), ("blocks", "blocks of Python's allocator")):
        if slope := found[name]:
            yield (
                f"{name}: {slope['per_minute']:+.1f} ± {slope['spread']:.1f} {unit} per minute, from {slope['first']:.0f} to {slope['last']:.0f} "
                f"(after warm-up, {slope['minutes']:.1f} minutes)"
            )


def _latency_lines(found):
    if found.get("through") and found.get("straight"):
        for name in ("p50_ms", "p99_ms"):
            straight, through = found["straight"][name], found["through"][name]
            yield f"{name}: straight {straight:.2f}, through the sidecar {through:.2f}, added {through - straight:.2f}"
