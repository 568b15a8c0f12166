"""
The words of `sidecar pins`, `sidecar top` and `sidecar doctor` on a command line, and what `pins` asks for each.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from sidecar.operator import pins, transfer
from sidecar.operator.answer import Answer
from sidecar.operator.calling import CA_VARIABLE, VARIABLE, AdminPort
from sidecar.operator.tables import Look

MOST_PINS = 10_000_000
INTERVAL_S = (0.2, 3600.0)
"""Faster is no use to eyes, slower is no live table."""
_STDIN = "/dev/stdin"

Run = Callable[[argparse.Namespace], int]
"""Does what was asked and gives the exit code."""
Ask = Callable[[AdminPort, argparse.Namespace, Look], Answer]
"""What one action of `pins` does: the `ask` of what was parsed."""


class Commands(Protocol):
    """What `add_subparsers` gives; argparse has no public name for it."""

    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


def add(commands: Commands, *, asking: Run, top: Run, doctor: Run) -> None:
    """Each command runs what is given for it; `asking` runs all of `pins`."""

    def command(name: str, run: Run, about: str, example: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, parents=[_common()], help=about, description=about, epilog=f"example: sidecar {name} {example}"
        )
        made.set_defaults(run=run, admin=None, cacert=None, json=False)
        return made

    kept = command("pins", asking, "which session keeps which model", "get run-42")
    kept.set_defaults(ask=_list, model=None, route=None, source=None, limit=100)
    _actions(kept.add_subparsers(metavar="ACTION", title="actions (none: list)"))

    live = command("top", top, "a sidecar at work, live; q ends it", "--interval 1")
    live.add_argument("--once", action="store_true", help="print one page and end, as when nobody looks")
    live.add_argument("--interval", type=_interval, default=2.0, metavar="SECONDS", help="default 2")

    visit = command("doctor", doctor, "what is wrong, and what to do about it; exit code 1: a problem", "--no-call")
    visit.add_argument("--config", metavar="FILE", help="look at this file too, and use the admin port it names")
    visit.add_argument(
        "--no-call", action="store_false", dest="call", help="do not try, without a key, to reach providers"
    )


def _common() -> argparse.ArgumentParser:
    """Options that may stand before an action and behind it: behind it, none given must not undo one given before."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--admin", metavar="URL", help=f"the admin port; else {VARIABLE}, else http://127.0.0.1:9901")
    common.add_argument(
        "--cacert", metavar="FILE", help=f"who signed its certificate, where it has TLS; else {CA_VARIABLE}"
    )
    common.add_argument("--json", action="store_true", help="for programs")
    return common


def _actions(actions: Commands) -> None:
    key = argparse.ArgumentParser(add_help=False)
    key.add_argument("session")
    key.add_argument("--tenant", help="whose session it is, where tenants are told apart")
    key.add_argument("--lane", help="the lane inside the session")

    def action(
        name: str, ask: Ask, about: str, example: str, *more: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        example = f"example: sidecar pins {name} {example}"
        made = actions.add_parser(name, parents=[_common(), *more], help=about, description=about, epilog=example)
        made.set_defaults(ask=ask)
        return made

    listed = action("list", _list, "live pins", "--model openai/gpt-4o")
    for name in ("model", "route", "source"):
        listed.add_argument(f"--{name}", help=f"only pins of this {name}")
    listed.add_argument("--limit", type=_count, default=100, metavar="N", help="at most so many, default 100")
    action("get", _get, "the whole story of a session's pin", "run-42", key)
    put = action("set", _set, "pin a session by hand", "run-42 openai/gpt-4o --route code_generation", key)
    put.add_argument("model")
    put.add_argument("--route", help="note this route with it")
    action("delete", _delete, "forget a session's pin: its next request is routed anew", "run-42", key)
    move = action("move", _move, "take every session off a model", "openai/gpt-4o openai/gpt-4o-mini")
    move.add_argument("source", metavar="FROM")
    move.add_argument("target", metavar="TO")
    export = action("export", _export, "all pins as lines of JSON", "pins.ndjson")
    export.add_argument("file", nargs="?", type=Path, help="made for its owner only; standard output without it")
    back = action("import", _import, "give a sidecar the pins of an export", "pins.ndjson")
    back.add_argument("file", help="- is standard input")
    back.add_argument("--overwrite", action="store_true", help="also where a session has a pin already")


def _list(port: AdminPort, asked: argparse.Namespace, look: Look) -> Answer:
    return pins.listed(port, look, asked.limit, model=asked.model, route=asked.route, source=asked.source)


def _get(port: AdminPort, asked: argparse.Namespace, _look: Look) -> Answer:
    return pins.got(port, asked.session, tenant=asked.tenant, lane=asked.lane)


def _set(port: AdminPort, asked: argparse.Namespace, _look: Look) -> Answer:
    return pins.put(port, asked.session, asked.model, asked.route, tenant=asked.tenant, lane=asked.lane)


def _delete(port: AdminPort, asked: argparse.Namespace, _look: Look) -> Answer:
    return pins.deleted(port, asked.session, tenant=asked.tenant, lane=asked.lane)


def _move(port: AdminPort, asked: argparse.Namespace, _look: Look) -> Answer:
    return pins.moved(port, asked.source, asked.target)


def _export(port: AdminPort, asked: argparse.Namespace, _look: Look) -> Answer:
    return transfer.streamed(port) if asked.file is None else transfer.exported(port, asked.file)


def _import(port: AdminPort, asked: argparse.Namespace, _look: Look) -> Answer:
    path = Path(_STDIN if asked.file == "-" else asked.file)
    return transfer.imported(port, path, overwrite=asked.overwrite)


def _count(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if not 1 <= count <= MOST_PINS:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {MOST_PINS}, got {text!r}")
    return count


def _interval(text: str) -> float:
    low, high = INTERVAL_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not low <= seconds <= high:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from {low:g} to {high:g}, got {text!r}")
    return seconds
