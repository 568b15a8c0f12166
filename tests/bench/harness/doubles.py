"""
The providers that are not there: nginx for plain replies, and for streams the program in streams.c. nginx takes spans too.

Both answer bytes that were made beforehand, on the load's core. Without a compiler streams come from paced.py.
"""

import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from . import traffic
from .starting import Command, free_port, spawned, started
from .traffic import Wire

HERE = Path(__file__).parent
INTERPRETED = (sys.executable, str(HERE / "paced.py"))

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off; default_type application/json; server_tokens off; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 600; client_max_body_size 16m; client_body_buffer_size 1m;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {servers}
}}
"""
ANSWERS = """
server {{
  listen 127.0.0.1:{port} backlog=4096;
  location = /v1/chat/completions {{ return 200 '{chat}'; }}
  location = /v1/messages {{ return 200 '{messages}'; }}
  location = /v1/traces {{ default_type application/x-protobuf; return 200 ''; }}
}}
"""


@frozen
class Providers:
    """Ports on the loopback: `plain` answers whole, `streams` in pieces. `groups`: their process groups."""

    plain: int
    streams: int
    groups: tuple[int, ...] = ()


def nginx(binary, folder, servers, port):
    """What starts an nginx that has `servers`."""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, servers=servers))
    return Command((binary, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"), port)


@contextmanager
def providers(nginx_binary, core, folder):
    """Both, serving. Raises NotStarted."""
    with ExitStack() as stack:
        port = free_port()
        answers = {wire.value: traffic.reply(wire).decode() for wire in Wire}
        inside = folder / "plain"
        inside.mkdir()
        plain = stack.enter_context(
            started(nginx(nginx_binary, inside, ANSWERS.format(port=port, **answers), port), core, inside)
        )
        streams_port, group = stack.enter_context(streams(core, folder))
        yield Providers(port, streams_port, (plain.group, group))


@contextmanager
def streams(core, folder, program=None):
    """(port, process group) of the provider of streams."""
    for wire in Wire:
        for part, data in zip(("first", "word", "last"), _parts(traffic.pieces(wire)), strict=True):
            (folder / f"{wire}.{part}").write_bytes(data)
    argv = (
        *(program or compiled(folder) or INTERPRETED),
        str(folder),
        str(traffic.PIECES),
        str(int(traffic.PACE_S * 1e6)),
    )
    with spawned(argv, core, output=subprocess.PIPE) as process:
        yield int(process.stdout.readline()), process.pid


def _parts(pieces):
    return pieces.first, pieces.word, pieces.last


def compiled(folder):
    """streams.c as a program, or None where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    program = folder / "streams"
    subprocess.run((compiler, "-O2", "-o", str(program), str(HERE / "streams.c")), check=True)  # noqa: S603 - as found
    return (str(program),)
