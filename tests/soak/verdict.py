"""What must hold of a soak, and the report: as JSON, and for people."""

from attrs import frozen

GROWTH_KB_PER_MINUTE = 256
"""What memory may surely grow by: a leak of 10 bytes a request at 1,000 requests a second is 600 KB a minute."""
GROWTH_BLOCKS_PER_MINUTE = 3000
"""Of Python's allocator, which is what objects are made of: at 150 requests a second, a third of one for each."""
SHORTEST_MINUTES = 2.0
"""Of less, a slope says nothing."""
MOST_KINDS = 12
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
    yield from memory(found["memory"])
    spare = SPARE_DESCRIPTORS + (OF_REDIS if found["store"] == "redis" else 0)
    for name, most in (("descriptors", spare), ("tasks", 0)):
        before, after = found["before"][name], found["after"][name]
        yield Check(f"{name} are back", after <= before + most, f"{before} before, {after} after")
    double = found["provider"]
    odd = {name: double[name] for name in ("wrong key", "wrong path", "told a session") if double.get(name)}
    yield Check("the provider saw nothing it must not", not odd, str(odd or "nothing"))


def memory(found):
    """For each process that served for long enough with full caches."""
    judged = [each for each in found["processes"] if each["resident_kb"]["minutes"] >= SHORTEST_MINUTES]
    if not judged:
        yield Check("memory is flat once caches are full", None, "too short to tell")
    for each in judged:
        yield _flat(each, "resident_kb", "KB", GROWTH_KB_PER_MINUTE)
        yield _flat(each, "blocks", "blocks", GROWTH_BLOCKS_PER_MINUTE)


def _flat(found, name, unit, most):
    slope = found[name]
    surely = slope["per_minute"] - 2 * slope["spread"]
    said = f"{slope['per_minute']:+.0f} ± {slope['spread']:.0f} {unit} per minute over {slope['minutes']:.1f} minutes"
    what = {"resident_kb": "memory is", "blocks": "its objects are"}[name]
    return Check(f"{what} flat once caches are full (process {found['pid']})", surely < most, said)


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
    for each in found["processes"]:
        for name, unit in (("resident_kb", "KB"), ("blocks", "blocks of Python's allocator")):
            slope = each[name]
            yield (
                f"{name} of process {each['pid']}: {slope['per_minute']:+.1f} ± {slope['spread']:.1f} {unit} per minute, "
                f"from {slope['first']:.0f} to {slope['last']:.0f} in {slope['minutes']:.1f} minutes"
            )
        more = list(each["kinds"].items())[:MOST_KINDS]
        yield "  objects: " + (", ".join(f"{kind} {count:+d}" for kind, count in more) or "no more of any kind")


def _latency_lines(found):
    if found.get("through") and found.get("straight"):
        for name in ("p50_ms", "p99_ms"):
            straight, through = found["straight"][name], found["through"][name]
            yield f"{name}: straight {straight:.2f}, through the sidecar {through:.2f}, added {through - straight:.2f}"
