"""Two tenants, or two callers, never share, read or overwrite a pin, whatever ids and headers they choose."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from running import CODE, CONFIG, REASONING, chat

from sidecar.config import read_text
from sidecar.listener.naming import Naming
from sidecar.routing.decision import Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.wire.formats import Format
from sidecar.wire.request import parse

POLICY = read_text(
    """
    routing:
      session_scope: caller
      implicit_sessions: true
      session_cache: {tenant_header: x-tenant, trusted_peers: [10.0.0.0/8]}
    """,
    "test.yaml",
    {},
).config.routing
GATEWAY, STRANGER = "10.0.0.1", "192.0.2.1"
NAMING = Naming.of_policy(POLICY, b"a key")

TENANTS = st.sampled_from(["a", "b", "0:", "1:a", "a0:", "caller;a"])
IDS = st.one_of(
    st.text("ab01:", min_size=1, max_size=8), st.sampled_from(["1:a0:x", "0:0:x", "implicit:0", "caller:0"])
)


@st.composite
def requests(draw):
    """(who really asks, headers, peer, body): a tenant by a trusted gateway, or a caller who says what he likes."""
    who = draw(TENANTS)
    forged = [("x-tenant", draw(TENANTS))] if draw(st.booleans()) else []
    if draw(st.booleans()):
        headers, peer, who = [("x-tenant", who), ("x-api-key", draw(TENANTS))], GATEWAY, ("tenant", who)
    else:
        headers, peer, who = [("x-api-key", who), *forged], STRANGER, ("caller", who)
    body = {"model": "m", "messages": [{"role": "user", "content": draw(IDS)}]}
    place = draw(st.sampled_from(["x-session-id", "x-model-affinity", "session-id", "body", "nowhere"]))
    if place == "body":
        body["prompt_cache_key"] = draw(IDS)
    elif place != "nowhere":
        headers.append((place, draw(IDS)))
    return who, CIMultiDict(headers), peer, body


@given(st.lists(requests(), min_size=2, max_size=30))
def test_a_pin_is_only_ever_found_by_whoever_made_it(asked):
    pins = PinTable(ttl_s=10, capacity=1000)
    for who, headers, peer, body in asked:
        key = NAMING.of(headers, parse(Format.CHAT, json.dumps(body).encode()), peer)
        mine = Pin((f"{who[0]}/{who[1]}",), None, Reason.ROUTED, 0)
        assert pins.claim(key.encoded, mine, now=0).pin == mine
        assert pins.move(key.encoded, mine, now=0).held.pin == mine


SCOPED = CONFIG + "\nrouting: {session_scope: caller}\n"
TENANTED = CONFIG + "\nrouting: {session_cache: {tenant_header: X-Tenant, trusted_peers: [127.0.0.1]}}\n"
FORGED = CONFIG + "\nrouting: {session_cache: {tenant_header: X-Tenant, trusted_peers: [192.0.2.1]}}\n"


@pytest.mark.parametrize(
    ("text", "one", "other"),
    [
        (SCOPED, {"Authorization": "Bearer sk-1"}, {"Authorization": "Bearer sk-2"}),
        (SCOPED, {"x_api_key": "sk-1"}, {}),
        (TENANTED, {"X_Tenant": "a"}, {"X_Tenant": "b"}),
        (TENANTED, {"X_Tenant": "a"}, {}),
    ],
)
async def test_over_sockets_one_id_is_two_sessions(start, text, one, other):
    sidecar = await start(text)
    for _ in range(2):
        _, first, _ = await sidecar.decide(chat(CODE), X_Session_Id="run-1", **one)
        _, second, _ = await sidecar.decide(chat(REASONING), X_Session_Id="run-1", **other)
        assert (first["model"], second["model"]) == ("anthropic/claude-sonnet", "openai/gpt-4o")
    assert await sidecar.total("sidecar_pins") == 2


async def test_over_sockets_a_client_does_not_choose_its_tenant(start):
    sidecar = await start(FORGED)
    await sidecar.decide(chat(CODE), X_Session_Id="run-1", X_Tenant="a")
    _, body, _ = await sidecar.decide(chat(REASONING), X_Session_Id="run-1", X_Tenant="b")
    assert body["pinned"]


async def test_over_sockets_a_tenant_that_is_none_is_a_refusal(start):
    sidecar = await start(TENANTED)
    status, body, _ = await sidecar.decide(chat(CODE), X_Session_Id="run-1", X_Tenant="a,b")
    assert (status, body["error"]["param"]) == (400, "X-Tenant")
    assert await sidecar.total("sidecar_pins") == 0
