"""Plays the rows of `smuggling_table` to a server, and says what became of each; and an nginx to play them to as well."""

import asyncio
import re
import shutil
from contextlib import asynccontextmanager

from attrs import Factory, define, frozen
from ports import free_port
from provider import Provider, serving

PATIENCE_S = 10.0
"""For the first answer, or the end of the connection."""
QUIET_S = 0.25
"""Who answered and then says nothing for so long keeps the connection."""
AT_ONCE = 24
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 512; }}
http {{
  access_log off; server_tokens off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/1;
  uwsgi_temp_path {folder}/2; scgi_temp_path {folder}/3;
  large_client_header_buffers 4 64k; client_max_body_size 32m; client_header_timeout 1s; client_body_timeout 1s;
  lingering_timeout 1s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@frozen
class Outcome:
    """What a server made of a row."""

    statuses: tuple[int, ...]
    """Of its answers, but for 100."""
    closed: bool
    reached: int
    """How many requests of the row came to the provider."""
    raw: bytes

    @property
    def kind(self):
        """`refused` where any answer is a refusal, or there is none."""
        good = self.statuses and all(status < 400 for status in self.statuses)
        return "answered" if good else "refused"

    def __str__(self):
        said = "+".join(map(str, self.statuses)) or "nothing"
        return f"{said}{', closed' if self.closed else ''}"


@define
class Echo(Provider):
    """Answers everything, and keeps what it was asked and what it could not read."""

    nonsense: list[str] = Factory(list)

    async def _converse(self, number, reader, writer, gone):
        try:
            await super()._converse(number, reader, writer, gone)
        except (ValueError, asyncio.LimitOverrunError) as exc:
            self.nonsense.append(repr(exc))

    def of(self, row_id):
        return [request for request in self.requests if row_id in request.all("x-row")]


def echo():
    return serving(kind=Echo)


@asynccontextmanager
async def nginx(folder, behind):
    """Debian's, as a proxy for the port `behind`: its own port. Skips nothing: `.ci/run` brings it."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, behind=behind))
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    process = await asyncio.create_subprocess_exec(
        binary, "-p", str(folder), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _listens(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _listens(port):
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def played(rows, port, provider, name, *, waits=True):
    """row -> Outcome; several at once. `name` tells the rounds apart. `waits`: for every end that a row should have."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number, row):
        async with places:
            return await _outcome(row, port, provider, f"{name}-{number}", waits=waits)

    outcomes = await asyncio.gather(*(one(number, row) for number, row in enumerate(rows)))
    return dict(zip(rows, outcomes, strict=True))


async def _outcome(row, port, provider, row_id, *, waits):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        received, closed = await _exchanged(row, reader, writer, row_id, waits=waits)
    finally:
        writer.close()
    statuses = tuple(int(found) for found in STATUS.findall(received) if found[:1] != b"1")
    return Outcome(statuses, closed, len(provider.of(row_id)), received)


async def _exchanged(row, reader, writer, row_id, *, waits):
    received = bytearray()
    try:
        writer.write(row.sent.replace(b"%ROW%", row_id.encode()))
        if row.hangs_up:
            writer.write_eof()
        while True:
            ends = waits and row.want == "refused" and not row.keeps
            patience_s = PATIENCE_S if ends or len(STATUS.findall(received)) < row.answers else QUIET_S
            piece = await asyncio.wait_for(reader.read(65536), patience_s)
            if not piece:
                return bytes(received), True
            received += piece
    except TimeoutError:
        return bytes(received), False
    except ConnectionError:
        return bytes(received), True
