"""An injector, from ready to stopped: the only place here where parts are put together."""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from attrs import evolve, frozen

from sidecar.certificates import Pair
from sidecar.injector.app import State, Status, Webhook
from sidecar.injector.certificates import Certificates
from sidecar.injector.sockets import Port, listening
from sidecar.injector.tallies import Tallies
from sidecar.injector.template import Template, built_in, read


@frozen
class Settings:
    certificate: Path
    key: Path
    template: Template
    address: str
    """Of the webhook."""
    port: int
    admin_address: str
    """Of readiness, liveness and metrics."""
    admin_port: int
    drain_delay_s: float = 5.0
    """After the order to stop: so long API servers may still come, which learn only by and by that we go."""
    watch_interval_s: float = 5.0
    """Between two looks at the certificate's files."""


def settings_of(asked: argparse.Namespace) -> Settings:
    """Of what `options` parsed. Raises ConfigError for a template that is none."""
    template = built_in() if asked.template is None else read(asked.template)
    if asked.image is not None:
        template = evolve(template, container={**template.container, "image": asked.image})
    return Settings(
        certificate=asked.tls_cert,
        key=asked.tls_key,
        template=template,
        address=asked.address,
        port=asked.port,
        admin_address=asked.admin_address,
        admin_port=asked.admin_port,
        drain_delay_s=asked.drain_delay,
        watch_interval_s=asked.watch_interval,
    )


@frozen
class Serving:
    webhook: Port
    admin: Port
    _state: State
    _delay_s: float

    async def drain(self, hurry: asyncio.Event) -> None:
        """Not ready from now on, and serving for as long as the delay, or until somebody is in a hurry."""
        self._state.ready = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._delay_s):
                await hurry.wait()


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[Serving]:
    """
    The files are read before anything listens. Raises CannotLoad for the certificate, CannotBind for a port. Leaving it
    closes both ports; reviews under way finish.
    """
    tallies, state = Tallies(), State()
    certificates = Certificates(Pair(settings.certificate, settings.key), tallies)
    async with AsyncExitStack() as stack:
        status = Status(tallies, state).build()
        admin = await stack.enter_async_context(listening(status, settings.admin_address, settings.admin_port))
        app = Webhook(settings.template, tallies, state).build()
        webhook = await stack.enter_async_context(listening(app, settings.address, settings.port, certificates.context))
        watch = asyncio.ensure_future(certificates.watch(settings.watch_interval_s))
        stack.callback(watch.cancel)
        state.ready = True
        try:
            yield Serving(webhook, admin, state, settings.drain_delay_s)
        finally:
            state.ready = False
