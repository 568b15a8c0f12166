"""Headers on their way: what crosses, what stops, what is added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from multidict import CIMultiDict

from sidecar.config.models import Provider, Secret
from sidecar.upstream.asking import Beginnings, Heads
from sidecar.upstream.headers import Outgoing
from sidecar.upstream.order import Order
from sidecar.upstream.relaying import to_client
from sidecar.upstream.target import target_of
from sidecar.wire.formats import Format

KEY = Secret("our-key")
HOST = "api.example"


def target(model="openai/m", client_format=Format.CHAT, **settings):
    settings.setdefault("access_key", None if settings.get("passthrough_auth") else KEY)
    return target_of(Provider(model, model, **settings), model, client_format)


def sent(client, to=None, *, request_id="r-1", traceparent=None, rewritten=False, **options):
    """What stands in the head of a request: the same, whether it is made anew or remembered of an earlier one."""
    to = to or target()
    heads = Heads(HOST, str, Outgoing(to), Beginnings())
    order = Order((), to.client_format, "POST", "/v1/x", lambda: client, None, request_id, received=b"{}", **options)
    earlier = replace(order, head=object(), request_id="an earlier one")
    again = replace(earlier, headers=None, request_id=request_id)  # a request whose headers nobody may ask for
    body, trace = b"[]" if rewritten else b"{}", traceparent or "00-ours"
    heads.of(earlier, "00-earlier", body)
    assert heads.of(again, trace, body) == heads.of(order, trace, body)
    return read(heads.of(order, traceparent, body), framing="content-length: 2")


def read(head, framing):
    """The headers, but for those that belong to the place and to the body."""
    first, host, *headers, length, end, rest = head.decode("utf-8", "surrogateescape").split("\r\n")
    assert (first, length.lower(), end, rest) == ("POST /v1/x HTTP/1.1", framing, "", "")
    pairs = [tuple(header.split(": ", 1)) for header in headers]
    return CIMultiDict(pairs if host == f"Host: {HOST}" else [("Host", host.removeprefix("Host: ")), *pairs])


def test_end_to_end_headers_cross_in_order_in_their_own_case_and_with_repeats():
    client = [("User-Agent", "a"), ("X-B", "1"), ("accept", "*/*"), ("x-b", "2"), ("X-Stainless-Lang", "js")]
    assert list(sent(client).items())[: len(client)] == client


def test_it_takes_what_aiohttp_has():
    assert sent(CIMultiDict({"X-A": "1"}).items())["x-a"] == "1"


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding",
        "Upgrade", "HTTP2-Settings", "Host", "Content-Length", "Expect", "Cookie", "X-Session-Id", "X-Model-Affinity",
        "x-sidecar-model", "X-Sidecar-Anything", "OpenAI-Organization", "openai-project",
    ],
)  # fmt: skip
def test_what_is_of_this_connection_or_ours_or_another_keys_stops_here(name):
    assert name not in sent([(name, "value")])


def test_what_connection_names_stops_here_too():
    headers = sent([("Connection", "close, X-Once"), ("x-once", "1"), ("Connection", "x-Twice"), ("X-Twice", "2")])
    assert {"x-once", "x-twice", "connection"}.isdisjoint(name.lower() for name in headers)


@pytest.mark.parametrize("name", ["x-claude-code-session-id", "session-id", "x-session-affinity", "x-codex-window-id"])
def test_the_session_headers_of_other_clients_cross(name):
    assert sent([(name, "s")])[name] == "s"


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("openai/m", "authorization", "Bearer our-key"),
        ("anthropic/m", "x-api-key", "our-key"),
        ("azure_openai/m", "api-key", "our-key"),
        ("gemini/m", "authorization", "Bearer our-key"),
    ],
)
def test_the_key_goes_in_the_providers_own_scheme_and_in_no_other(model, name, value):
    headers = sent([], target(model, base_url="https://h.example"))
    assert headers.getall(name) == [value]
    assert {"authorization", "x-api-key", "api-key"} & {header.lower() for header in headers} == {name}


def test_anthropics_oauth_tokens_go_as_a_bearer():
    headers = sent([], target("anthropic/m", Format.MESSAGES, access_key=Secret("sk-ant-oat01-x")))
    assert headers["authorization"] == "Bearer sk-ant-oat01-x"
    assert "x-api-key" not in headers


def test_without_a_key_nothing_is_said_of_one():
    assert set(sent([], target("ollama/m", access_key=None))) == {"x-request-id"}


CREDENTIALS = ["Authorization", "X-Api-Key", "api-key", "x-goog-api-key", "Proxy-Authorization", "Cookie"]


@given(
    st.lists(st.tuples(st.sampled_from([*CREDENTIALS, "X-Other"]), st.just("Bearer client-secret")), max_size=8),
    st.sampled_from(["openai/m", "anthropic/m", "groq/m"]),
    st.sampled_from(Format),
)
def test_nothing_of_a_clients_credentials_ever_reaches_a_provider(client, model, client_format):
    headers = sent(client, target(model, client_format))
    assert all("client-secret" not in value for name, value in headers.items() if name != "X-Other")


@pytest.mark.parametrize(
    "client",
    [
        [("Authorization", "Bearer client-key")],
        [("authorization", "bearer   client-key ")],
        [("Authorization", "client-key")],
        [("x-api-key", "client-key")],
        [("api-key", "client-key")],
        [("X-Goog-Api-Key", "client-key")],
        [("x-api-key", "another"), ("Authorization", "Bearer client-key")],
        [("Authorization", "Basic dTpw"), ("x-api-key", "client-key")],
        [("x-api-key", "client-key"), ("x-api-key", "another")],
    ],
)
@pytest.mark.parametrize(
    ("model", "name", "value"),
    [("openai/m", "authorization", "Bearer client-key"), ("anthropic/m", "x-api-key", "client-key")],
)
def test_passed_through_the_clients_key_is_found_wherever_it_was_and_goes_in_the_providers_scheme(
    client, model, name, value
):
    headers = sent(client, target(model, passthrough_auth=True))
    assert headers.getall(name) == [value]
    assert len({"authorization", "x-api-key", "api-key", "x-goog-api-key"} & {h.lower() for h in headers}) == 1


def test_passed_through_no_key_of_the_client_is_no_key_at_all():
    headers = sent([], target(passthrough_auth=True, access_key=KEY))
    assert "authorization" not in headers


def test_whose_key_it_is_crosses_with_the_clients_own():
    client = [("OpenAI-Organization", "org-1"), ("Authorization", "Bearer k")]
    assert sent(client, target(passthrough_auth=True))["openai-organization"] == "org-1"


def test_configured_headers_take_the_place_of_anybody_elses():
    configured = {"X-A": Secret("ours"), "authorization": Secret("Custom 1"), "User-Agent": Secret("us")}
    headers = sent([("x-a", "1"), ("X-A", "2"), ("user-agent", "them")], target(headers=configured))
    assert [headers.getall(name) for name in configured] == [["ours"], ["Custom 1"], ["us"]]


def test_the_file_may_say_the_requests_id_and_its_trace_itself():
    configured = {"X-Request-Id": Secret("fixed"), "traceparent": Secret("00-fixed")}
    headers = sent([("traceparent", "00-theirs")], target(headers=configured), traceparent="00-ours")
    assert [headers.getall(name) for name in configured] == [["fixed"], ["00-fixed"]]


def test_configured_headers_never_frame_the_body():
    configured = {"Content-Length": Secret("1"), "Transfer-Encoding": Secret("chunked"), "Connection": Secret("close")}
    assert set(sent([], target(headers=configured))) == {"x-request-id", "Authorization"}


def test_the_host_is_the_places_own_unless_the_file_says_otherwise():
    assert "host" not in sent([("Host", "127.0.0.1:12000")])
    assert sent([("Host", "a")], target(http_host="gateway.example:8443")).getall("host") == ["gateway.example:8443"]


def test_the_request_id_is_ours_and_so_is_the_trace_when_there_is_one():
    client = [("X-Request-Id", "theirs"), ("traceparent", "00-theirs"), ("tracestate", "a=1")]
    assert sent(client).getall("x-request-id") == ["r-1"]
    assert sent(client)["traceparent"] == "00-theirs"
    assert sent(client, traceparent="00-ours").getall("traceparent") == ["00-ours"]
    assert sent(client, traceparent="00-ours")["tracestate"] == "a=1"


def test_accept_encoding_is_the_clients_where_its_answer_is_relayed_as_it_comes():
    assert sent([("Accept-Encoding", "gzip, br")])["accept-encoding"] == "gzip, br"
    assert "accept-encoding" not in sent([])


@pytest.mark.parametrize("client", [[("Accept-Encoding", "gzip"), ("accept-encoding", "br")], []])
def test_an_answer_that_must_be_plain_is_asked_for_plain_whatever_the_client_can_read(client):
    assert sent(client, plain=True).getall("accept-encoding") == ["identity"]
    assert sent(client, target("groq/m", Format.MESSAGES), plain=True).getall("accept-encoding") == ["identity"]
    configured = target(headers={"accept-encoding": Secret("zstd")})
    assert sent(client, configured, plain=True).getall("accept-encoding") == ["zstd"]


def test_a_translated_request_is_plain_json_both_ways():
    client = [("Accept-Encoding", "br"), ("Content-Type", "application/json; v=1"), ("Content-Encoding", "zstd")]
    headers = sent(client, target("groq/m", Format.MESSAGES))
    assert headers.getall("accept-encoding") == ["identity"]
    assert headers.getall("content-type") == ["application/json"]
    assert "content-encoding" not in headers


DIGESTS = ["Content-Digest", "Repr-Digest", "Digest", "Content-MD5"]


@pytest.mark.parametrize(
    ("options", "crossing"),
    [
        ({}, {"content-type", "content-encoding", "content-digest", "repr-digest", "digest", "content-md5"}),
        ({"rewritten": True}, {"content-type", "content-encoding"}),
        ({"decoded": True}, {"content-type"}),
        ({"decoded": True, "rewritten": True}, {"content-type"}),
    ],
)
def test_a_body_that_is_not_the_one_that_came_loses_what_was_true_of_that_one_only(options, crossing):
    client = [
        ("Content-Type", "application/json"),
        ("Content-Encoding", "identity"),
        *((name, "x") for name in DIGESTS),
    ]
    headers = sent(client, **options)
    assert {name.lower() for name in headers} - {"x-request-id", "authorization"} == crossing


def test_the_version_of_messages_is_the_clients_or_the_first():
    native = target("anthropic/m", Format.MESSAGES)
    assert sent([("anthropic-version", "2026-10-21")], native).getall("anthropic-version") == ["2026-10-21"]
    assert sent([], native)["anthropic-version"] == "2023-06-01"
    assert "anthropic-version" not in sent([])


def test_what_we_translate_to_messages_is_of_the_version_we_write():
    headers = sent([("anthropic-version", "2026-10-21")], target("anthropic/m", Format.CHAT))
    assert headers.getall("anthropic-version") == ["2023-06-01"]


def test_a_translated_request_leaves_the_other_familys_headers_behind():
    client = [("anthropic-beta", "x"), ("Anthropic-Version", "y"), ("OpenAI-Beta", "z"), ("x-app", "cli")]
    to_chat = sent(client, target("groq/m", Format.MESSAGES))
    assert [name for name in to_chat if "beta" in name.lower() or "version" in name.lower()] == ["OpenAI-Beta"]
    to_messages = sent(client, target("anthropic/m", Format.RESPONSES))
    assert ("openai-beta" in to_messages, to_messages["anthropic-beta"], to_messages["x-app"]) == (False, "x", "cli")


def test_in_its_own_format_a_request_keeps_them_all():
    client = [("anthropic-beta", "x"), ("OpenAI-Beta", "z")]
    assert {"anthropic-beta", "openai-beta"} <= {name.lower() for name in sent(client)}


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=6), st.text(max_size=8))
def test_no_header_can_hold_another(headers, request_id):
    for out in (sent(headers, request_id=request_id), to_client(headers, ours=headers)):
        assert all("\r" not in text and "\n" not in text and "\0" not in text for pair in out.items() for text in pair)
