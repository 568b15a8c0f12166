"""
A proxy as aiohttp's documentation leads one to write it: `web.Application`, one `ClientSession`, on uvloop.

    python textbook.py PORT PROVIDER [PORT PROVIDER]        ports on the loopback, each with that of its provider
"""

import asyncio
import sys

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}


def kept(headers):
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP]


def proxy(session, provider):
    async def forward(request):
        url = f"http://127.0.0.1:{provider}{request.raw_path}"
        async with session.request(
            request.method, url, headers=kept(request.headers), data=await request.read()
        ) as reply:
            answer = web.StreamResponse(status=reply.status, headers=kept(reply.headers))
            if reply.content_length is not None:
                answer.content_length = reply.content_length
            await answer.prepare(request)
            async for chunk in reply.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            return answer

    return forward


async def main(ports):
    async with ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(None), auto_decompress=False
    ) as session:
        for port, provider in zip(ports[::2], ports[1::2], strict=True):
            app = web.Application(client_max_size=2**25)
            app.router.add_route("*", "/{path:.*}", proxy(session, provider))
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main([int(port) for port in sys.argv[1:]]))
