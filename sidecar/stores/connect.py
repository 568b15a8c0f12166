"""
A Redis by its URL: one server, by TCP, TLS or a socket file; the master that Sentinels name; a Cluster.

    redis://host:6379/0                            rediss://host:6380/0 (TLS, the server's certificate is checked)
    unix:///run/redis.sock?db=0
    redis+sentinel://h1:26379,h2:26379/SERVICE/0   redis+cluster://h1:6379,h2:6379

`rediss+sentinel` and `rediss+cluster` are the same with TLS, to the Sentinels too. An authority that the configuration
names is trusted besides the system's. A user and a password may stand in
the URL; those that the configuration has beside it come first. They are for the data servers, not for Sentinels.

It speaks RESP2, which every Redis, Valkey and proxy does; RESP3 is tried where there are to be copies (`tracked`).
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from attrs import frozen
from redis.asyncio import ConnectionPool, Redis, RedisCluster, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection

from sidecar.config.models import Secret, SessionCache
from sidecar.errors import ConfigError
from sidecar.stores.connection import Command
from sidecar.stores.line import Dial, Line
from sidecar.stores.pipelined import ROUNDS, Client, Pipelined

_SCHEMES = {
    "redis": "redis",
    "rediss": "redis",
    "unix": "unix",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_PORTS = {"redis": 6379, "unix": 0, "sentinel": 26379, "cluster": 6379}
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@,]+)(?::(\d{1,5}))?", re.ASCII)


@frozen
class Place:
    """What a URL says of where the Redis is; nothing in it is secret."""

    kind: str
    """`redis`, `unix`, `sentinel` or `cluster`."""
    tls: bool
    addresses: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """`unix`: of the socket."""
    service: str = ""
    """`sentinel`: what the master is called."""
    database: int = 0

    def __str__(self) -> str:
        hosts = ", ".join(f"{host}:{port}" for host, port in self.addresses) or self.path
        at = f"{self.service} of the sentinels {hosts}" if self.kind == "sentinel" else hosts
        kind = "redis cluster" if self.kind == "cluster" else "redis"
        database = f", database {self.database}" if self.database else ""
        return f"{kind} at {at}{', TLS' if self.tls else ''}{database}"


def connect(cache: SessionCache) -> Pipelined:
    """
    A client for the Redis of `cache`. It connects when it is first asked for something, anew whenever that is needed,
    and has two connections to a server, or `ROUNDS` + 1 to each of a Cluster, at most. Raises ConfigError when the URL is none of ours, or a file
    that TLS needs cannot be read; the message does not repeat the URL.
    """
    url = _revealed(cache.url) or ""
    place = place_of(url)
    options = _options(cache, urlsplit(url))
    greeting, tls = _greeting(place, options), None
    if place.tls:
        tls = _context(cache)
        options |= _tls(cache)
    client, *helpers = _CLIENTS[place.kind](place, options)
    # One after another may have to be asked where the master, or the rest of the cluster, is.
    connect_s = (len(place.addresses) + 1) * cache.connect_timeout_s
    line = None
    if isinstance(client, Redis):
        line = Line(_dial(place, client, tls), greeting, str(place), connect_s + cache.command_timeout_s)
    return Pipelined(client, helpers, str(place), cache.command_timeout_s, connect_s, line=line)


def place_of(url: str) -> Place:
    """Raises ConfigError, with what is wrong and without the URL, which may hold a password."""
    try:
        split = urlsplit(url)
        query = parse_qs(split.query)
    except ValueError as exc:
        raise _wrong("cannot be read") from exc
    kind = _SCHEMES.get(split.scheme)
    if kind is None:
        raise _wrong("must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    tls = split.scheme.startswith("rediss")
    if kind == "unix":
        if not split.path:
            raise _wrong("names no socket")
        return Place(kind, tls, path=unquote(split.path), database=_database(query.get("db", [""])[0]))
    addresses = _addresses(split.netloc.rpartition("@")[2], _PORTS[kind])
    path = split.path.strip("/").split("/")
    if kind == "sentinel":
        if not path[0] or len(path) > 2:  # noqa: PLR2004 - service and database
            raise _wrong("must end in /SERVICE or /SERVICE/DATABASE: what the sentinels call the master")
        return Place(kind, tls, addresses, service=unquote(path[0]), database=_database("".join(path[1:])))
    database = _database("/".join(path))
    if kind == "cluster" and database:
        raise _wrong("names a database, and a cluster has but one")
    if kind == "redis" and len(addresses) > 1:
        raise _wrong("names several servers: redis+cluster:// and redis+sentinel:// may")
    return Place(kind, tls, addresses, database=database)


def _addresses(hosts: str, port: int) -> tuple[tuple[str, int], ...]:
    found = [_ADDRESS.fullmatch(address) for address in hosts.split(",")]
    pairs = tuple((match[1].strip("[]"), int(match[2] or port)) for match in found if match is not None)
    if len(pairs) < len(found) or any(not 0 < number <= 65535 for _, number in pairs):  # noqa: PLR2004 - a port
        raise _wrong("must name host:port, or several with commas between")
    return pairs


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal()):
        raise _wrong("has a database that is no number")
    return int(text or 0)


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"routing.session_cache.url {what}")


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _options(cache: SessionCache, split: SplitResult) -> dict[str, Any]:
    """
    How a connection behaves. One more try, at once, for a command whose connection was found broken: the server was
    restarted, say. What is done twice thereby is harmless: a claim finds its own pin, a move that it is made.
    """
    return {
        "username": _revealed(cache.username) or unquote(split.username or "") or None,
        "password": _revealed(cache.password) or unquote(split.password or "") or None,
        "socket_timeout": cache.command_timeout_s,
        "socket_connect_timeout": cache.connect_timeout_s,
        "retry": Retry(NoBackoff(), 1, supported_errors=(NoConnection,)),
        "protocol": 2,
        "max_connections": ROUNDS + 1,
    }


def _greeting(place: Place, options: dict[str, Any]) -> list[Command]:
    """What a new connection begins with, by itself; redis-py does the same with `options`."""
    user, password = options["username"], options["password"]
    greeting: list[Command] = []
    if password is not None:
        greeting.append(("AUTH", password) if user is None else ("AUTH", user, password))
    if place.database:
        greeting.append(("SELECT", place.database))
    return greeting


def _context(cache: SessionCache) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if cache.tls_ca_file is not None:
            context.load_verify_locations(cache.tls_ca_file)
        if cache.tls_cert_file is not None:
            context.load_cert_chain(cache.tls_cert_file, cache.tls_key_file)
    except OSError as exc:  # ssl.SSLError is one; said now, not at the first connection
        named = ", ".join(filter(None, (cache.tls_ca_file, cache.tls_cert_file, cache.tls_key_file)))
        raise ConfigError(f"routing.session_cache: of the files {named} one cannot be used: {exc}") from exc
    return context


def _tls(cache: SessionCache) -> dict[str, Any]:
    """The same for redis-py, which makes a context of its own."""
    return {
        "ssl_ca_certs": cache.tls_ca_file,
        "ssl_certfile": cache.tls_cert_file,
        "ssl_keyfile": cache.tls_key_file,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
    }


def _dial(place: Place, client: Redis, tls: ssl.SSLContext | None) -> Dial:
    """Makes connections to the one server, or to whom the Sentinels call the master at that time."""

    async def dial(protocol: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        if place.kind == "unix":
            await loop.create_unix_connection(protocol, place.path)
            return
        host, port = place.addresses[0]
        if place.kind == "sentinel":
            pool: Any = client.connection_pool
            host, port = await pool.get_master_address()
        await loop.create_connection(protocol, host, port, ssl=tls)

    return dial


def _one_server(place: Place, options: dict[str, Any]) -> list[Client]:
    host, port = place.addresses[0]
    made_by = SSLConnection if place.tls else Connection
    options["socket_timeout"] = (
        None  # `Pipelined` keeps the time for all; redis-py's own way costs as much as a command
    )
    pool = ConnectionPool(connection_class=made_by, host=host, port=port, db=place.database, **options)
    return [Redis.from_pool(pool)]


def _socket_file(place: Place, options: dict[str, Any]) -> list[Client]:
    options["socket_timeout"] = None
    made_by = UnixDomainSocketConnection
    return [Redis.from_pool(ConnectionPool(connection_class=made_by, path=place.path, db=place.database, **options))]


def _sentinel(place: Place, options: dict[str, Any]) -> list[Client]:
    """The master's, then those of the Sentinels; one of them that is down is passed over, not tried again."""
    options |= {"ssl": True} if place.tls else {}
    asking = {name: options[name] for name in options if name.startswith(("socket_", "ssl", "protocol"))}
    asking["retry"] = Retry(NoBackoff(), 0)
    sentinels: Any = Sentinel([])  # type: ignore[no-untyped-call]  # which makes its clients with their own retries
    sentinels.sentinels = [Redis(host=host, port=port, **asking) for host, port in place.addresses]
    return [sentinels.master_for(place.service, db=place.database, **options), *sentinels.sentinels]


def _cluster(place: Place, options: dict[str, Any]) -> list[Client]:
    nodes = [ClusterNode(host, port) for host, port in place.addresses]
    return [RedisCluster(startup_nodes=nodes, ssl=place.tls, **options)]


_CLIENTS = {"redis": _one_server, "unix": _socket_file, "sentinel": _sentinel, "cluster": _cluster}
