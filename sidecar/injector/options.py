"""The words of `sidecar injector`. What it takes to serve is imported by those who do."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

PORT = 8443
ADMIN_PORT = 9901
MOST_S = 3600.0
_ABOUT = "add the sidecar to pods as Kubernetes makes them: a mutating admission webhook"
_EXAMPLE = "example: sidecar injector --tls-cert /etc/injector/tls/tls.crt --tls-key /etc/injector/tls/tls.key"


class Commands(Protocol):
    """What `add_subparsers` gives; argparse has no public name for it."""

    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


def add(commands: Commands, run: Callable[[argparse.Namespace], int], port: Callable[[str], int]) -> None:
    """`port` reads the number of one."""
    made = commands.add_parser("injector", help=_ABOUT, description=_ABOUT, epilog=_EXAMPLE)
    made.add_argument("--tls-cert", type=Path, required=True, metavar="FILE", help="PEM, with its issuers")
    made.add_argument(
        "--tls-key", type=Path, required=True, metavar="FILE", help="PEM; both are read again when changed"
    )
    everywhere = "0.0.0.0"  # noqa: S104 - the API server comes from outside the pod, and nothing else is served there
    made.add_argument("--address", default=everywhere, help=f"of the webhook, default {everywhere}")
    made.add_argument("--port", type=port, default=PORT, help=f"of the webhook, default {PORT}; 0 takes a free one")
    made.add_argument("--admin-address", default="127.0.0.1", help="of /ready, /live and /metrics, default loopback")
    made.add_argument("--admin-port", type=port, default=ADMIN_PORT, help=f"default {ADMIN_PORT}; 0 takes a free one")
    made.add_argument("--template", type=Path, metavar="FILE", help="what to inject, instead of what is built in")
    made.add_argument("--image", help="of the sidecar, instead of the template's")
    for name, least, about in (
        ("--drain-delay", 0.0, "serve on for so long after SIGTERM, default 5"),
        ("--watch-interval", 0.05, "between two looks at the certificate's files, default 5"),
    ):
        made.add_argument(name, type=_seconds(least), default=5.0, metavar="SECONDS", help=about)
    made.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    made.add_argument("--log-format", choices=("text", "json"), default="text")
    made.set_defaults(run=run)


def _seconds(least: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not least <= seconds <= MOST_S:
            raise argparse.ArgumentTypeError(f"must be a number of seconds from {least:g} to {MOST_S:g}, got {text!r}")
        return seconds

    return read
