"""
The command `sidecar`: the only file that prints or exits.

    sidecar up [config.yaml]       serve
    sidecar check config.yaml      say what is wrong with a configuration, or what it comes to
    sidecar route "text"           one decision, with the classifier's scores
    sidecar pins                   which session keeps which model; get, set, delete, move, export, import
    sidecar top                    a sidecar at work, live
    sidecar doctor                 what is wrong, and what to do about it
    sidecar injector               add the sidecar to pods of Kubernetes: a mutating admission webhook
    sidecar --version

Exit codes: 0 done, 1 could not start, decide or do it, was cut by a second signal, or the doctor found a problem, 2
wrong usage, 78 (EX_CONFIG of sysexits.h) a configuration with mistakes, 130 ended by Ctrl-C, 141 nobody reads what is
printed (as of SIGPIPE).
"""

import argparse
import asyncio
import io
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from sidecar import __version__, config, loop
from sidecar.config.models import Config, LogFormat, LogLevel, Provider
from sidecar.errors import ConfigError, SidecarError
from sidecar.injector import options as injector
from sidecar.operator import commands as operator
from sidecar.operator import doctor, top
from sidecar.operator.answer import Answer
from sidecar.operator.calling import AdminPort, admin_url, ca_file, understood
from sidecar.operator.describing import announced, summed_up
from sidecar.operator.facts import read_file
from sidecar.operator.screen import Screen
from sidecar.operator.tables import Look
from sidecar.routing.ask import Ask
from sidecar.routing.decision import Decision
from sidecar.routing.session import SessionKey, checked
from sidecar.telemetry import log as logs
from sidecar.upstream.providers import flaw, row_of
from sidecar.wire.conversation import Role, Turn

if TYPE_CHECKING:
    from sidecar.server import Stop

# `sidecar.server` is imported by the commands that need one: it is two thirds of the time that the others would take.

EX_CONFIG = 78
INTERRUPTED = 130
BROKEN_PIPE = 141

log = logging.getLogger("sidecar.cli")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without arrows gets question marks
    asked = _parser().parse_args(argv)
    try:
        code = int(asked.run(asked))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return BROKEN_PIPE
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return EX_CONFIG
    except SidecarError as exc:
        print(f"sidecar: {exc}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sidecar", description="Decides which model answers, once for each session.")
    parser.add_argument("--version", action="version", version=f"sidecar {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="serve until stopped")
    up.add_argument("config", nargs="?", help="YAML; a small built-in configuration without it")
    up.add_argument("--port", type=_port, help="instead of the file's; 0 takes a free one and says which")
    up.add_argument("--admin-port", type=_port, help="instead of the file's; 0 takes a free one and says which")
    up.add_argument("--log-level", choices=tuple(LogLevel), help="instead of the file's")
    up.add_argument(
        "--take-over", action="store_true", help="in the place of the sidecar that serves on the same ports"
    )
    up.set_defaults(run=_up)

    # Without help, and so on no list: `up` runs it.
    commands.add_parser("worker").set_defaults(run=_work)

    check = commands.add_parser("check", help="say what is wrong with a configuration, or what it comes to")
    check.add_argument("config")
    check.set_defaults(run=_check)

    route = commands.add_parser("route", help="take one decision and show how")
    route.add_argument("text", help="what a user would ask")
    route.add_argument("--config", help="YAML; a small built-in configuration without it")
    route.add_argument("--session", metavar="ID", help="the session to decide for")
    route.set_defaults(run=_route)
    operator.add(commands, asking=_ask, top=_top, doctor=_doctor)
    injector.add(commands, _inject, _port)
    return parser


def _read(path: str | None) -> Config:
    """Reads the configuration and says on standard error what is odd about it. Raises ConfigError."""
    if path is None:
        return config.builtin(os.environ)
    loaded = config.read(path, os.environ)
    for warning in (*loaded.warnings, *_uncallable(loaded.config)):
        print(f"warning: {warning}", file=sys.stderr)
    return loaded.config


def _uncallable(settings: Config) -> list[str]:
    """Entries that decisions may name and no request can be sent to; the routing API alone works with them."""
    found = ((provider, flaw(provider)) for provider in settings.providers)
    return [f"{settings.source}: {provider.name} {why}" for provider, why in found if why]


# sidecar up


def _up(asked: argparse.Namespace) -> int:
    settings = _with_options(asked, _read(asked.config))
    logs.set_up(settings.telemetry.log_level, settings.telemetry.log_format)
    again = None if asked.config is None else partial(_read_again, asked)
    if settings.workers > 1 and not asked.take_over:
        return loop.run(_supervise(settings, again))
    return loop.run(_serve(settings, again, take_over=asked.take_over))


def _with_options(asked: argparse.Namespace, settings: Config) -> Config:
    """What the command line says goes before the file."""
    if asked.port is not None:
        settings = evolve(settings, listener=evolve(settings.listener, port=asked.port))
    if asked.admin_port is not None:
        settings = evolve(settings, admin=evolve(settings.admin, port=asked.admin_port))
    if asked.log_level is not None:
        settings = evolve(settings, telemetry=evolve(settings.telemetry, log_level=LogLevel(asked.log_level)))
    return settings


def _read_again(asked: argparse.Namespace) -> Config:
    """For a reload: what is odd about the file goes to the log. Raises ConfigError."""
    loaded = config.read(asked.config, os.environ)
    for warning in (*loaded.warnings, *_uncallable(loaded.config)):
        log.warning("%s", warning)
    return _with_options(asked, loaded.config)


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:  # noqa: PLR2004 - 16 bits
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, got {text!r}")
    return port


async def _serve(settings: Config, again: Callable[[], Config] | None, *, take_over: bool) -> int:
    """
    0 when it has drained, also where `drain.timeout_seconds` cut something: that is what was asked for, and no crash to
    whoever supervises. 1 when a second signal cut it.
    """
    from sidecar.server import Stop, serve  # noqa: PLC0415 - see above

    stop = _signalled(Stop())
    try:
        async with serve(settings, stop, again=again, take_over=take_over) as serving:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, serving.reloads.begin, "SIGHUP")
            loop.settle()
            print("\n".join(announced(settings, serving.listener, serving.admin)), flush=True)
            await stop.asked.wait()
    except asyncio.CancelledError:
        return _ended()
    log.info("stopped")
    return 1 if stop.at_once.is_set() else 0


def _signalled(stop: "Stop") -> "Stop":
    """It hears of signals from here on. A third one does not wait for what the second should have cut."""
    running, task = asyncio.get_running_loop(), asyncio.current_task()

    def signalled(sign: int) -> None:
        if stop.at_once.is_set() and task is not None:
            task.cancel()
        stop.signalled(sign)

    for sign in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(sign, signalled, sign)
    return stop


def _ended() -> int:
    log.warning("stopped where it was, by a third signal")
    return 1


async def _supervise(settings: Config, again: Callable[[], Config] | None) -> int:
    """As `_serve`, with several processes; 1 also when one of them did not end in good order."""
    from sidecar.server import Stop, serve_workers  # noqa: PLC0415 - see above

    stop = _signalled(Stop())
    try:
        async with serve_workers(settings, stop, again) as serving:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, serving.reloads.begin, "SIGHUP")
            loop.settle()
            lines = announced(settings, serving.listener, serving.admin)
            print("\n".join([*lines[:-1], f"workers    {settings.workers}", lines[-1]]), flush=True)
            await stop.asked.wait()
            in_order = await serving.workers.stop(stop)
    except asyncio.CancelledError:
        return _ended()
    log.info("stopped")
    return 0 if in_order and not stop.at_once.is_set() else 1


def _work(_asked: argparse.Namespace) -> int:
    """One of several processes; the one that started it says on standard input what it is to do."""
    from sidecar.server.worker import assigned, channel_of, work  # noqa: PLC0415 - see above

    channel = channel_of(sys.stdin.fileno())
    assignment = assigned(channel)
    logs.set_up(assignment.config.telemetry.log_level, assignment.config.telemetry.log_format)
    return loop.run(work(assignment, channel))


# sidecar check


def _check(asked: argparse.Namespace) -> int:
    lines = summed_up(_read(asked.config))
    print("\n".join([*lines, "event loop", "  uvloop" if loop.factory() else "  asyncio"]))
    return 0


# sidecar route


def _route(asked: argparse.Namespace) -> int:
    logs.set_up("warning")
    session = None if asked.session is None else SessionKey(checked(asked.session, "--session"))
    decision = asyncio.run(_decide(_read(asked.config), asked.text, session))
    print(f"model   {decision.model}")
    print(f"models  {', '.join(decision.candidates)}")
    print(f"route   {decision.route or '-'}")
    print(f"reason  {decision.reason}")
    if session is not None and decision.expires_in_s is not None:
        print(f"session {session.session_id} would keep it for {decision.expires_in_s:g} s")
    if decision.verdict is not None:
        print(f"confidence {decision.verdict.confidence:.2f}")
        for name, score in decision.verdict.scores:
            print(f"  {score:6.3f} {name}")
    return 0


async def _decide(settings: Config, text: str, session: SessionKey | None) -> Decision:
    from sidecar.server import deciding  # noqa: PLC0415 - see above

    async with deciding(settings) as router:
        return await router.route(Ask(None, lambda: (Turn(Role.USER, text),), session), time.time())


# sidecar pins, top, doctor


def _admin(asked: argparse.Namespace) -> AdminPort:
    return AdminPort(admin_url(asked.admin, os.environ), ca=ca_file(asked.cacert, os.environ))


def _look() -> Look:
    """What standard output can show."""
    if not sys.stdout.isatty():
        return Look()
    width = os.get_terminal_size(sys.stdout.fileno()).columns
    return Look(width or None, colour=not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def _say(asked: argparse.Namespace, answer: Answer) -> int:
    try:
        if answer.raw is None:
            print(answer.shown(as_json=asked.json))
        else:
            for piece in answer.raw:
                sys.stdout.buffer.write(piece)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        _forget_output()
        print(f"sidecar: cannot write to standard output: {exc.strerror}", file=sys.stderr)
        return 1
    return answer.code


def _forget_output() -> None:
    """What could not be written: Python would complain at its own last flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ask(asked: argparse.Namespace) -> int:
    port = _admin(asked)
    with understood(port):
        answer = asked.ask(port, asked, _look())
    return _say(asked, answer)


def _top(asked: argparse.Namespace) -> int:
    port, look = _admin(asked), _look()
    if asked.json or asked.once or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        with understood(port):
            answer = top.once(port, look)
        return _say(asked, answer)
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    screen = Screen(keys, sys.stdout.fileno(), lambda text: print(text, end="", flush=True))
    with understood(port), screen:
        top.live(port, screen, asked.interval, colour=look.colour)
    return 0


def _doctor(asked: argparse.Namespace) -> int:
    file = None if asked.config is None else read_file(asked.config, os.environ)
    configured = None if file is None or file.config is None else file.config.admin
    port = AdminPort(admin_url(asked.admin, os.environ, configured), ca=ca_file(asked.cacert, os.environ))
    with understood(port):
        answer = doctor.visit(port, file, _address if asked.call else None, _look())
    return _say(asked, answer)


def _address(provider: Provider) -> str | None:
    """Where a provider is; None when only its base_url could tell, and it has none."""
    row = row_of(provider)
    return provider.base_url or (row.origin + row.prefix if row is not None and row.origin else None)


# sidecar injector


def _inject(asked: argparse.Namespace) -> int:
    logs.set_up(asked.log_level, LogFormat(asked.log_format))
    asyncio.run(_serve_injector(asked))
    return 0


async def _serve_injector(asked: argparse.Namespace) -> None:
    """A second signal cuts the drain short."""
    from sidecar.injector.serving import serve, settings_of  # noqa: PLC0415 - see above

    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        (hurry if stop.is_set() else stop).set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, signalled)
    async with serve(settings_of(asked)) as serving:
        for name, port in (("webhook", serving.webhook), ("admin", serving.admin)):
            print(f"{name:<8} {port.address}:{port.port}", flush=True)
        await stop.wait()
        log.info("stopping: not ready, and serving for %g s more", asked.drain_delay)
        await serving.drain(hurry)
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
