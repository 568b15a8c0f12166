"""
The command `sidecar`: the only file that prints or exits.

    sidecar up [config.yaml]       serve
    sidecar check config.yaml      say what is wrong with a configuration, or what it comes to
    sidecar route "text"           one decision, with the classifier's scores
    sidecar --version

Exit codes: 0 done, 1 could not start or decide, 2 wrong usage, 78 (EX_CONFIG of sysexits.h) a configuration with
mistakes.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence

from attrs import evolve

from sidecar import __version__, config
from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Provider
from sidecar.errors import ConfigError, SidecarError
from sidecar.routing.decision import Decision
from sidecar.routing.router import Ask
from sidecar.routing.session import SessionKey, checked
from sidecar.server import Serving, routing, serve
from sidecar.telemetry import log as logs
from sidecar.telemetry.metrics import Metrics
from sidecar.upstream.providers import flaw
from sidecar.wire.conversation import Role, Turn

EX_CONFIG = 78

log = logging.getLogger("sidecar.cli")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code."""
    asked = _parser().parse_args(argv)
    try:
        return int(asked.run(asked))
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return EX_CONFIG
    except SidecarError as exc:
        print(f"sidecar: {exc}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sidecar", description="Decides which model answers, once for each session.")
    parser.add_argument("--version", action="version", version=f"sidecar {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="serve until stopped")
    up.add_argument("config", nargs="?", help="YAML; a small built-in configuration without it")
    up.add_argument("--port", type=_port, help="instead of the file's; 0 takes a free one and says which")
    up.add_argument("--admin-port", type=_port, help="instead of the file's; 0 takes a free one and says which")
    up.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    up.set_defaults(run=_up)

    check = commands.add_parser("check", help="say what is wrong with a configuration, or what it comes to")
    check.add_argument("config")
    check.set_defaults(run=_check)

    route = commands.add_parser("route", help="take one decision and show how")
    route.add_argument("text", help="what a user would ask")
    route.add_argument("--config", help="YAML; a small built-in configuration without it")
    route.add_argument("--session", metavar="ID", help="the session to decide for")
    route.set_defaults(run=_route)
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
    logs.set_up(asked.log_level)
    settings = _read(asked.config)
    if asked.port is not None:
        settings = evolve(settings, listener=evolve(settings.listener, port=asked.port))
    if asked.admin_port is not None:
        settings = evolve(settings, admin=evolve(settings.admin, port=asked.admin_port))
    asyncio.run(_serve(settings))
    return 0


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:  # noqa: PLR2004 - 16 bits
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, got {text!r}")
    return port


async def _serve(settings: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    async with serve(settings) as serving:
        _announce(settings, serving)
        await stop.wait()
        log.info("stopping: no new requests, those under way may finish")
    log.info("stopped")


def _announce(settings: Config, serving: Serving) -> None:
    models = len(Catalog.of(settings).models)
    wildcards = sum(provider.is_wildcard for provider in settings.providers)
    policy = settings.routing
    missing = sorted({name for provider in settings.providers for name in provider.missing})
    keys = f"{', '.join(missing)} not set: decisions only for models that need them" if missing else "all set"
    lines = [
        f"sidecar {__version__}, configuration: {settings.source}",
        f"answers    http://{_place(serving.listener)}/v1 (OPENAI_BASE_URL; ANTHROPIC_BASE_URL is without /v1)",
        f"decisions  http://{_place(serving.listener)}/routing/v1/{{chat/completions,messages,responses}}",
        f"admin      http://{_place(serving.admin)}/{{ready,live,metrics,server_info}}",
        f"routes     {', '.join(route.name for route in settings.routes) or 'none: every request gets its own model'}",
        f"models     {models}{f' and {wildcards} wildcards' if wildcards else ''}",
        f"keys       {keys}",
        f"classifier {policy.classifier.type}",
        f"sessions   {policy.session_ttl_seconds} s {policy.session_ttl_policy}, at most {policy.session_max_entries}",
    ]
    print("\n".join(lines), flush=True)


def _place(where: tuple[str, int]) -> str:
    address, port = where
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# sidecar check


def _check(asked: argparse.Namespace) -> int:
    settings = _read(asked.config)
    print(f"{settings.source}: fine ({settings.version})")
    print("providers")
    for provider in settings.providers:
        print(f"  {provider.model}{_remarks(provider)}")
    print("routes")
    for route in settings.routes:
        examples = f", {len(route.examples)} examples" if route.examples else ""
        print(f"  {route.name}: {route.description}{examples}")
        print(f"    → {', '.join(route.models)}")
    if settings.aliases:
        catalog = Catalog.of(settings)
        print("aliases")
        for alias in settings.aliases:
            print(f"  {alias} → {catalog.resolve(alias)}")
    policy = settings.routing
    print(f"classifier\n  {policy.classifier.type}")
    print(
        f"sessions\n  {policy.session_ttl_seconds} s {policy.session_ttl_policy}, at most {policy.session_max_entries}"
    )
    return 0


def _remarks(provider: Provider) -> str:
    remarks = [
        remark
        for remark, holds in (
            ("default", provider.default),
            (f"named {provider.name}", provider.name != provider.model),
            (f"at {provider.base_url}", provider.base_url is not None),
            ("no key", provider.access_key is None or provider.access_key.reveal() is None),
        )
        if holds
    ]
    return f" ({', '.join(remarks)})" if remarks else ""


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
    catalog = Catalog.of(settings)
    metrics = Metrics(models=catalog.models, routes=(route.name for route in settings.routes))
    async with routing(settings, catalog, metrics) as router:
        return await router.route(Ask(None, lambda: (Turn(Role.USER, text),), session), time.time())


if __name__ == "__main__":
    sys.exit(main())
