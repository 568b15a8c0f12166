"""
The TLS of the two ports, and that of the next configuration: read and proved before anything of it is in force. What
providers have to be signed by is proved with it.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

from sidecar.certificates import Pair, Shown
from sidecar.config.models import Auth, Config, ServerTls
from sidecar.upstream.trust import trust_of


class Tls:
    """`listener` and `admin`: what to listen with; None for a port without TLS. Raises CannotLoad."""

    def __init__(self, config: Config) -> None:
        self._shown = {port: Shown(pair) for port, pair in pairs(config).items()}
        check_authorities(config)
        self.listener = self._context("listener")
        self.admin = self._context("admin")

    def prepared(self, config: Config) -> Callable[[], None]:
        """
        Reads the files of another configuration; what is given back shows them to new connections from then on, and
        cannot fail. Takes milliseconds, so not on an event loop. Raises CannotLoad, and nothing has changed.
        """
        newer = {port: pair.load() for port, pair in pairs(config).items() if port in self._shown}
        check_authorities(config)

        def take() -> None:
            for port, context in newer.items():
                self._shown[port].put(context)

        return take

    def _context(self, port: str) -> ssl.SSLContext | None:
        shown = self._shown.get(port)
        return None if shown is None else shown.context


def pairs(config: Config) -> dict[str, Pair]:
    """What each port that has TLS shows."""
    listener, admin = config.listener, config.admin
    found = {}
    if listener.tls is not None:
        found["listener"] = _pair(listener.tls, listener.auth)
    if admin.tls is not None:
        found["admin"] = _pair(admin.tls, None)
    return found


def check_authorities(config: Config) -> None:
    """Whether those that providers name can be trusted at all. Raises CannotLoad."""
    for file in {provider.tls_ca_file for provider in config.providers} - {None}:
        trust_of(str(file))


def _pair(tls: ServerTls, auth: Auth | None) -> Pair:
    certificate, key = Path(tls.cert_file), Path(tls.key_file)
    if tls.client_ca_file is None or auth is None or not auth.client_certificates:
        return Pair(certificate, key)
    # Where a key is as good, a client without a certificate comes in as far as the question for its key.
    clients = ssl.CERT_OPTIONAL if auth.keys else ssl.CERT_REQUIRED
    return Pair(certificate, key, Path(tls.client_ca_file), clients)
