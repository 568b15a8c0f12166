"""Whose a session is: who may name a tenant, and what a credential tells."""

import pytest
from multidict import CIMultiDict

from sidecar.config import read_text
from sidecar.errors import RequestError
from sidecar.listener.callers import Callers

TENANTS = "routing: {session_cache: {tenant_header: X-Tenant, trusted_peers: [10.0.0.0/8, '::1', fe80::/10]}}"
BY_CALLER = "routing: {session_scope: caller}"
GATEWAY, STRANGER = "10.1.2.3", "192.0.2.1"


def callers(text=TENANTS, key=b"a key"):
    return Callers(read_text(text, "test.yaml", {}).config.routing, key)


def tenant(headers=(), peer=GATEWAY, text=TENANTS):
    return callers(text).tenant(CIMultiDict(headers), peer)


@pytest.mark.parametrize("peer", ["10.0.0.1", "10.255.255.255", "::1", "::ffff:10.0.0.1", "fe80::1%eth0"])
def test_a_trusted_peer_names_the_tenant(peer):
    assert tenant({"x-tenant": "acme"}, peer) == "acme"


@pytest.mark.parametrize(
    "peer", ["11.0.0.1", "127.0.0.1", "::2", "::ffff:11.0.0.1", "", "unix", "10.0.0.1.evil.example"]
)
def test_from_anybody_else_the_header_counts_for_nothing_and_the_log_says_so_once(peer, caplog):
    found = callers()
    for _ in range(3):
        assert found.tenant(CIMultiDict({"x-tenant": "acme"}), peer) == ""
    (said,) = caplog.messages
    assert said == ("X-Tenant is ignored: it came from a peer that is not among routing.session_cache.trusted_peers")


def test_without_a_tenant_header_nobody_names_one():
    assert tenant({"x-tenant": "acme"}, text="{}") == ""
    assert tenant({"x-tenant": "acme"}, text="routing: {session_cache: {tenant_header: X-Tenant}}") == ""


@pytest.mark.parametrize("bad", ["", " ", "two words", "a,b", "é", "x" * 257, "caller:0"])
def test_a_tenant_that_is_none_is_refused(bad):
    with pytest.raises(RequestError) as refusal:
        tenant({"x-tenant": bad})
    assert refusal.value.param == "X-Tenant"
    assert not bad.strip() or bad not in str(refusal.value)


def test_two_tenants_in_one_request_are_refused():
    with pytest.raises(RequestError, match="must be one name"):
        tenant([("x-tenant", "mine"), ("X-Tenant", "theirs")])


def test_a_caller_is_known_by_a_hash_of_the_credential_however_it_is_sent():
    told = {
        tenant(header, STRANGER, BY_CALLER)
        for header in (
            {"Authorization": "Bearer sk-1"},
            {"authorization": "bearer  sk-1 "},
            {"x-api-key": "sk-1"},
            {"api-key": "sk-1"},
            {"x-goog-api-key": "sk-1"},
            {"authorization": "Bearer sk-1", "x-api-key": "sk-2"},
        )
    }
    (one,) = told
    assert one.startswith("caller:")
    assert "sk-1" not in one
    assert one != tenant({"x-api-key": "sk-2"}, STRANGER, BY_CALLER)
    assert one != callers(BY_CALLER, b"another key").tenant(CIMultiDict({"x-api-key": "sk-1"}), STRANGER)


def test_other_schemes_are_credentials_too():
    assert tenant({"authorization": "Basic YTpi"}, text=BY_CALLER) != tenant({"authorization": "YTpi"}, text=BY_CALLER)
    assert tenant({"authorization": "\udce9"}, text=BY_CALLER).startswith("caller:")


@pytest.mark.parametrize("empty", ["Bearer", "bearer ", "Bearer   ", " "])
def test_a_bearer_without_a_token_is_no_credential(empty):
    headers = {"authorization": empty, "x-api-key": "sk-1"}
    assert tenant(headers, text=BY_CALLER) == tenant({"x-api-key": "sk-1"}, text=BY_CALLER)
    assert tenant({"authorization": empty}, text=BY_CALLER) == ""


def test_callers_without_a_credential_are_one():
    assert tenant({}, text=BY_CALLER) == tenant({"authorization": " "}, STRANGER, BY_CALLER) == ""


def test_where_sessions_are_anybodys_a_credential_says_nothing_of_them():
    headers = CIMultiDict({"x-api-key": "sk-1"})
    assert callers().tenant(headers, GATEWAY) == ""
    assert callers().caller(headers).startswith("caller:")
