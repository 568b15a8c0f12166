"""An admin port of chosen groups on a real socket, without the rest of a sidecar."""

import aiohttp
import pytest

from sidecar.admin.app import AdminApp
from sidecar.admin.guard import Guard


@pytest.fixture
async def port(aiohttp_server):
    """`await port(group, …)`: a client of an admin port with these groups."""
    clients = []

    async def begin(*groups, guard=None):
        server = await aiohttp_server(AdminApp(groups, guard or Guard()).build(), host="127.0.0.1")
        client = aiohttp.ClientSession(server.make_url("/"))
        clients.append(client)
        return client

    yield begin
    for client in clients:
        await client.close()
