"""
aiohttp's hello world, on uvloop: what an answer costs at least that is written with its documented interface.

    python hello.py PORT
"""

import sys

import uvloop
from aiohttp import web


async def hello(_request):
    return web.Response(text="Hello, world")


def main(port):
    uvloop.install()
    app = web.Application()
    app.router.add_post("/", hello)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
