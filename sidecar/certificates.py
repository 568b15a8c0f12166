"""
What a TLS port shows: a certificate with its key, who signs those of clients, and how a newer pair takes its place.

A context that listens cannot be given another pair half at a time: were the key wrong, the certificate would be changed
already. Each pair therefore gets a context of its own, made and proved before anybody is shown it, and the one that
listens hands every new connection over to the newest (what Python calls the SNI callback comes for clients without SNI
too). Running connections keep theirs.
"""

import ssl
from pathlib import Path
from typing import Any

from attrs import frozen

from sidecar.errors import SidecarError


class CannotLoad(SidecarError):
    """A certificate and its key, or the certificates of those who sign clients', cannot be used."""

    code = "bad_certificate"


@frozen
class Pair:
    """Files in PEM; the certificate's may go on with those of its issuers."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """Who signs the certificates of clients."""
    clients: ssl.VerifyMode = ssl.CERT_NONE
    """Whether clients may (CERT_OPTIONAL) or must (CERT_REQUIRED) show one. One that is shown must be good."""

    def load(self) -> ssl.SSLContext:
        """TLS 1.2 or later, with the ciphers that Python takes by default, all of them forward secret. Raises CannotLoad."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.verify_mode = self.clients
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as exc:
            why = _why(exc, "they are not a certificate and its key in PEM")
            raise CannotLoad(f"{self.certificate} and {self.key} cannot be used: {why}") from exc
        if self.client_ca is not None:
            trust(context, self.client_ca)
        return context


class Shown:
    """`pair`: what is shown first. Raises CannotLoad."""

    def __init__(self, pair: Pair) -> None:
        self._newest = pair.load()
        self.context = pair.load()
        """To listen with; what it holds is shown to nobody."""
        # A session that was resumed would keep the old certificate.
        self.context.num_tickets = 0
        self.context.options |= ssl.OP_NO_TICKET
        self.context.sni_callback = self._hand_over

    def put(self, newer: ssl.SSLContext) -> None:
        """From here on new connections get it: a context that `Pair.load` gave."""
        self._newest = newer
        # Of all that the other context says, OpenSSL takes this one thing from the context that listens.
        self.context.verify_mode = newer.verify_mode

    def _hand_over(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest


def trust(context: ssl.SSLContext, authorities: Path) -> None:
    """Certificates signed by those in the file, in PEM, are good. Raises CannotLoad."""
    try:
        context.load_verify_locations(authorities)
    except (OSError, ValueError) as exc:
        why = _why(exc, "there is no certificate in PEM in it")
        raise CannotLoad(f"{authorities} cannot be used: {why}") from exc


def _why(exc: Exception, otherwise: str) -> str:
    if isinstance(exc, ssl.SSLError):
        if exc.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        return exc.reason or otherwise
    return getattr(exc, "strerror", None) or str(exc)


def _no_password() -> str:
    """Without it OpenSSL would ask the terminal for one."""
    raise ValueError("the key is encrypted")
