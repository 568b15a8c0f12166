"""
Where clients and operators reach us: addresses, TLS, who may call, how much at once, and how it ends.
"""

import ipaddress

from attrs import field, frozen

from sidecar.config.models.ranges import BODY_BYTES, COUNT, DURATION_S, HEADER_BYTES, MIB, PORT, REQUESTS, TIMEOUT_S
from sidecar.config.models.secret import Secret


@frozen
class Limits:
    """What clients may take of us. Past a number that bounds all of them, the next one hears 503 `overloaded`."""

    max_connections: int = field(default=10_000, validator=REQUESTS)
    max_requests: int = field(default=5_000, validator=REQUESTS)
    """Under way at once."""
    max_headers: int = field(default=128, validator=REQUESTS)
    """Of one request."""
    max_header_bytes: int = field(default=64 * 1024, validator=HEADER_BYTES)
    """Of one header, or of a request's line; a whole head may be four times as long."""
    header_timeout_s: float = field(default=10.0, validator=TIMEOUT_S)
    """From a request's first byte, or the connection, to the end of its head."""
    body_timeout_s: float = field(default=60.0, validator=TIMEOUT_S)
    """Longest silence in the middle of a body, and of a client that does not take its answer."""
    keepalive_timeout_s: float = field(default=3600.0, validator=TIMEOUT_S)
    """How long a connection without a request stays open."""
    max_requests_per_connection: int = field(default=0, validator=COUNT)
    """0: no bound."""
    max_connection_age_s: float = field(default=0.0, validator=DURATION_S)
    """After it a connection is closed when its answer is out. 0: no bound."""


@frozen
class ServerTls:
    """Files are read at the start and again when they change."""

    cert_file: str
    """PEM: our certificate, and those between it and its root."""
    key_file: str
    client_ca_file: str | None = None
    """PEM: who signs the certificates that clients must have. None: clients need none."""
    client_names: tuple[str, ...] = ()
    """Subject alternative names (DNS, URI, e-mail or address) of which a client's certificate must have one; `*` stands
    for one label of a DNS name, or for the rest of a URI. Empty: any."""


@frozen
class ClientKey:
    """A key that a client may call with."""

    name: str
    """Who that is: in metrics, logs and, with `session_scope: caller`, in the session."""
    key: Secret


@frozen
class Auth:
    """Who may call. Neither keys nor certificates: anybody, which the file has to say (`auth: none`)."""

    keys: tuple[ClientKey, ...] = ()
    client_certificates: bool = False
    """Whether a certificate that `tls.client_ca_file` signed is as good as a key."""

    @property
    def is_none(self) -> bool:
        return not self.keys and not self.client_certificates


@frozen
class Listener:
    """Where clients reach us."""

    address: str = "127.0.0.1"
    port: int = field(default=12000, validator=PORT)
    """0 lets the system choose; the port taken is printed at the start."""
    timeout_s: float = field(default=300.0, validator=TIMEOUT_S)
    """How long one request may take in all; a stream has no such limit."""
    max_body_bytes: int = field(default=32 * MIB, validator=BODY_BYTES)
    cors_origins: tuple[str, ...] = ()
    """Web pages that may call us from a browser, such as `https://app.example.com`; `*` is all. None: no CORS."""
    sse_keepalive_s: float = field(default=15.0, validator=TIMEOUT_S)
    """After so long a silence of the provider in the middle of a stream, the client gets a comment to hold on to."""
    fast_path: bool = True
    """Whether answers are written straight to the connection, past what aiohttp offers in public."""
    limits: Limits = field(factory=Limits)
    tls: ServerTls | None = None
    auth: Auth | None = None
    """None: not said, which is as good as none on loopback and a mistake elsewhere."""


@frozen
class Admin:
    """Where operators reach us."""

    address: str = "127.0.0.1"
    port: int = field(default=9901, validator=PORT)
    tls: ServerTls | None = None


@frozen
class Drain:
    """How it ends, after SIGTERM."""

    delay_s: float = field(default=0.0, validator=DURATION_S)
    """For so long `/ready` is 503 while everything is still served: until nobody sends new requests here."""
    timeout_s: float = field(default=30.0, validator=DURATION_S)
    """For so long running requests may end."""


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address to listen on. A name counts as `localhost` only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower().rstrip(".") == "localhost"
