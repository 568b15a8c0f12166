"""Where the time of a small proxied reply goes: py-spy's samples, by our modules and by what is not ours."""

import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from . import wrk
from .candidates import Work
from .starting import spawned

SECONDS = 10
RATE = 200
"""Samples per second."""
MOST = 25
FRAME = re.compile(r"(?P<function>.*?) \((?P<file>[^()]*?)(?::(?P<line>\d+))?\)$")
OURS = re.compile(r"(?:^|/)(sidecar/\S+\.py)$")
THEIRS = re.compile(r"(?:^|/)(?:site-packages|lib/python3\.\d+)/([^/]+)")


def lines(candidate, running, folder, core):
    """
    The profile of `candidate` while it is asked as in the row `reply-16`. What is compiled counts for whoever called it;
    the event loop itself is what `cli.py` called.
    """
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".txt") as raw:
        argv = (Path(sys.executable).with_name("py-spy"), "record", "--format", "raw", "--full-filenames")
        argv = (*argv, "--rate", RATE, "--duration", SECONDS, "--pid", running.group, "--output", raw.name)
        with spawned(tuple(map(str, argv)), core) as spying:
            answered = wrk.ask(candidate.ask(Work.REPLY, running.port), folder, connections=16, seconds=SECONDS)
            spying.wait(SECONDS * 6)
        stacks = Path(raw.name).read_text()
    if not stacks:
        return [f"py-spy recorded nothing: exit code {spying.returncode}"]
    return [f"a small proxied reply, {answered.requests} of them", *table(stacks)]


def table(stacks):
    """`stacks`: py-spy's raw format, a stack and its number of samples in each line."""
    own, under, functions = Counter(), Counter(), Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        places = [place(frame) for frame in frames]
        if places[-1] == "concurrent":
            continue  # a thread of the pool that waits
        own[places[-1]] += int(count)
        functions[nearest(frames, places)] += int(count)
        for module in set(places):
            under[module] += int(count)
    total = sum(own.values()) or 1
    yield f"{'own time, by module':60}{'own':>8}{'with what it calls':>20}"
    for module, count in own.most_common(MOST):
        yield f"  {module:58}{count / total:8.1%}{under[module] / total:20.1%}"
    yield f"{'by the function of ours that is nearest':60}{'':>8}"
    for function, count in functions.most_common(MOST):
        yield f"  {function:58}{count / total:8.1%}"


def place(frame):
    """Whose it is: `sidecar/…py`, the name of a library, or that of a shared object."""
    found = FRAME.match(frame.strip())
    if found is None:
        return "native"
    if ours := OURS.search(found["file"]):
        return ours[1]
    if theirs := THEIRS.search(found["file"]):
        return theirs[1]
    return Path(found["file"]).name or "native"


def nearest(frames, places):
    """The innermost function of ours on a stack."""
    for frame, module in zip(reversed(frames), reversed(places), strict=True):
        if module.startswith("sidecar/"):
            return f"{module} {FRAME.match(frame.strip())['function']}"
    return "none of ours"
