"""
Real Redis servers for tests: `redis-server` (or `valkey-server`) and `redis-sentinel` on free ports of the loopback, each in a folder of its
own, with nothing kept on disk unless a test says so. Ended by their process ids.
"""

import os
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme
from attrs import define, field
from ports import free_port

PATIENCE_S = 20.0
"""A machine that runs all tests at once is slow to start anything."""


@define
class Server:
    """One server. `start` may be called again after `kill`: it comes back on the same port."""

    folder: Path
    port: int = field(factory=free_port)
    options: tuple[str, ...] = ()
    program: str = "redis-server"
    password: str | None = None
    cli_options: tuple[str, ...] = ()
    process: subprocess.Popen | None = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        listening = () if "--port" in self.options else ("--port", str(self.port))
        words = [self.program, *listening, "--bind", "127.0.0.1", "--dir", str(self.folder), *self.options]
        words += ["--daemonize", "no", "--protected-mode", "no"]
        words += [] if "--save" in self.options else ["--save", ""]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)  # noqa: S603 - our own words
        self.wait()
        return self

    def wait(self):
        until = time.monotonic() + PATIENCE_S
        while self.cli("PING") != "PONG":
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def cli(self, *words):
        """What `redis-cli` prints for a command."""
        secret = ("-a", self.password, "--no-auth-warning") if self.password else ()
        where = self.cli_options or ("-p", str(self.port))
        asking = ["redis-cli", *where, *secret, *words]
        done = subprocess.run(asking, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
        return done.stdout.strip()

    def kill(self):
        """As a machine that loses its power."""
        self._end(signal.SIGKILL)

    def stop(self):
        self._end(signal.SIGTERM)

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def _end(self, how):
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            os.kill(self.process.pid, how)
            self.process.wait(PATIENCE_S)


@contextmanager
def redis_server(folder, *options, **more):
    """One server, started; `options` are of redis-server's command line."""
    server = Server(Path(folder), options=options, **more)
    try:
        yield server.start()
    finally:
        server.kill()


@define
class Tls:
    """A server that wants TLS, and a client's certificate from its own authority."""

    server: Server
    ca: Path
    cert: Path
    key: Path

    @property
    def url(self):
        return f"rediss://127.0.0.1:{self.server.port}/0"


@contextmanager
def tls_server(folder, *, name="127.0.0.1"):
    """Asks clients for a certificate too. `name`: whom its own certificate is for."""
    folder = Path(folder)
    authority = trustme.CA()
    ca, cert, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert(name)
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    port = free_port()
    files = ("--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-ca-cert-file", str(ca))
    cli = ("-p", str(port), "--tls", "--insecure", "--cert", str(cert), "--key", str(key))
    options = ("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "yes", *files)
    with redis_server(folder, *options, port=port, cli_options=cli) as server:
        yield Tls(server, ca, cert, key)


@define
class Watched:
    """A master and a replica that three Sentinels watch under the name `pins`."""

    servers: list[Server]
    sentinels: list[Server]

    @property
    def url(self):
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels) + "/pins/0"

    def master(self):
        """Whom the first Sentinel that answers calls the master."""
        answers = (each.cli("SENTINEL", "get-master-addr-by-name", "pins").split() for each in self.sentinels)
        port = int(next(answer for answer in answers if len(answer) == 2)[1])
        return next(each for each in self.servers if each.port == port)

    def until_moved(self, before):
        """Until that Sentinel knows of another master: they tell one another."""
        _until(lambda: self.master() is not before)


SENTINEL_CONF = """\
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor pins 127.0.0.1 {master} 2
sentinel down-after-milliseconds pins 500
sentinel failover-timeout pins 2000
"""


@contextmanager
def sentinels(folder):
    folder = Path(folder)
    with ExitStack() as stack:
        master = stack.enter_context(redis_server(folder / "one", "--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(redis_server(folder / "two", "--replicaof", "127.0.0.1", str(master.port)))
        _until(lambda: "master_link_status:up" in replica.cli("INFO", "replication"))
        watchers = []
        for n in range(3):
            home, port = folder / f"sentinel{n}", free_port()
            home.mkdir(parents=True)
            conf = home / "conf"
            conf.write_text(SENTINEL_CONF.format(port=port, folder=home, master=master.port))
            sentinel = _Sentinel(home, port, program="redis-sentinel", conf=conf)
            stack.callback(sentinel.kill)
            watchers.append(sentinel.start())
        for sentinel in watchers:
            _until(lambda: "num-other-sentinels\n2" in sentinel.cli("SENTINEL", "master", "pins"))  # noqa: B023
            _until(lambda: sentinel.cli("SENTINEL", "replicas", "pins"))  # noqa: B023
        yield Watched([master, replica], watchers)


@define
class _Sentinel(Server):
    conf: Path = field(default=None, kw_only=True)

    def start(self):
        with (self.folder / "log").open("ab") as log:
            words = [self.program, str(self.conf)]
            self.process = subprocess.Popen(words, stdout=log, stderr=log)  # noqa: S603 - our own words
        self.wait()
        return self


@define
class Cluster:
    """Masters that share the slots."""

    nodes: list[Server]

    @property
    def url(self):
        return "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in self.nodes)


@contextmanager
def cluster(folder, nodes=3):
    folder = Path(folder)
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        servers = [stack.enter_context(redis_server(folder / str(n), *options)) for n in range(nodes)]
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        made = ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"]
        subprocess.run(made, capture_output=True, check=True, timeout=PATIENCE_S)  # noqa: S603 - our own words
        for server in servers:
            _until(lambda: "cluster_state:ok" in server.cli("CLUSTER", "INFO"))  # noqa: B023 - asked at once
        yield Cluster(servers)


def _until(true):
    until = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > until:
            raise AssertionError("the servers did not come together")
        time.sleep(0.05)
