"""Headers on their way: what crosses, what stops, what is added."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from multidict import CIMultiDict

from sidecar.config.models import Provider, Secret
from sidecar.upstream.answer import Answer, Malformed
from sidecar.upstream.asking import Beginnings, Heads
from sidecar.upstream.headers import ANOTHER, AS_IT_IS, FILTERED, UNCOUNTED, Outgoing, relayed, to_client
from sidecar.upstream.order import Order
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


def test_the_providers_headers_come_back_in_order_and_with_repeats():
    provider = [("Date", "d"), ("x-ratelimit-a", "1"), ("Link", "a"), ("link", "b"), ("Content-Length", "3")]
    assert list(to_client(provider).items()) == provider


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Keep-Alive", "Transfer-Encoding", "Trailer", "Upgrade", "Proxy-Authenticate", "Set-Cookie",
        "Alt-Svc", "Strict-Transport-Security", "Access-Control-Allow-Origin", "x-sidecar-pin", "X-Sidecar-Model",
    ],
)  # fmt: skip
def test_what_is_of_the_providers_connection_or_address_or_only_ours_to_say_is_not_relayed(name):
    assert not to_client([(name, "value")])


def test_what_the_providers_connection_names_is_not_relayed():
    assert list(to_client([("Connection", "x-once"), ("X-Once", "1"), ("X-B", "2")])) == ["X-B"]


def test_length_type_and_encoding_are_untrue_of_a_body_that_was_touched():
    provider = [
        ("Content-Length", "3"),
        ("Content-Encoding", "gzip"),
        ("ETag", "e"),
        ("Content-Type", "a/b"),
        ("X", "1"),
    ]
    crossed = to_client(provider, stays=ANOTHER, ours=[("Content-Type", "text/event-stream")])
    assert list(crossed.items()) == [("X", "1"), ("Content-Type", "text/event-stream")]


def test_our_own_headers_take_the_place_of_the_providers():
    crossed = to_client([("X-Request-Id", "theirs")], ours=[("x-request-id", "r-1")])
    assert crossed.getall("x-request-id") == ["r-1"]


@pytest.mark.parametrize("name", ["Retry-After", "x-should-retry", "request-id", "anthropic-ratelimit-requests-reset"])
def test_what_a_clients_own_retries_go_by_is_relayed(name):
    assert to_client([(name, "1")], stays=ANOTHER)[name] == "1"


OURS = [("x-sidecar-model", "a/b"), ("x-request-id", "r-1")]
KNOWN = st.sampled_from(
    [
        "Connection", "keep-alive", "Transfer-Encoding", "SET-COOKIE", "Set-Cookie2", "Alt-Svc", "x-sidecar-pin",
        "Access-Control-Allow-Origin", "X-Request-Id", "X-Request-Id-2", "x-sidecar", "connections", "vary", "Server",
    ]
)  # fmt: skip
NAMES = KNOWN | st.text("abcX-", min_size=1, max_size=8)
VALUES = st.sampled_from(["keep-alive", "close", "x-a, Keep-Alive", "", "1: 2", "caf\udce9", " spaced\t"])


def lines(headers):
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode(errors="surrogateescape")


def stripped(headers):
    return [(name, value.strip(" \t")) for name, value in headers]


def parsed(text):
    found = [line.partition(":") for line in text.decode(errors="surrogateescape").split("\r\n")[:-1]]
    return stripped((name, value) for name, _, value in found)


def answered(head):
    answer = Answer()
    answer.feed(head + b"\r\n")
    return answer


@given(
    theirs=st.lists(st.tuples(NAMES, VALUES), max_size=8),
    stays=st.sampled_from([AS_IT_IS, UNCOUNTED, FILTERED, ANOTHER]),
)
def test_the_lines_of_a_head_cross_as_its_headers_do(theirs, stays):
    answer = Answer()
    with suppress(Malformed):  # a transfer encoding of no known kind
        answer.feed(b"HTTP/1.1 200 OK\r\n" + lines(theirs) + b"\r\n")
    if answer.status:
        sent = relayed(answer, lines(OURS), stays)
        crossed = to_client(stripped(theirs), stays=stays, ours=OURS).items()
        assert sent is None or parsed(sent.sent) == list(crossed)
        listed = [value.lower().strip() for name, value in theirs if name.lower() == "connection"]
        assert (sent is None) == (listed not in ([], ["keep-alive"], ["close"]))


def test_a_head_is_relayed_in_one_piece_and_byte_for_byte():
    theirs = [("Server", "  nginx"), ("Connection", "Keep-Alive"), ("x-caf\u00e9".encode().hex(), "caf\udce9")]
    sent = relayed(answered(b"HTTP/1.1 200 OK\r\n" + lines(theirs)), lines(OURS))
    assert (sent.sent, sent.length, sent.dated) == (lines([theirs[0], theirs[2], *OURS]), None, False)


def test_what_a_sender_needs_to_know_of_the_lines_is_told_beside_them():
    answer = answered(b"HTTP/1.1 200 OK\r\nDATE: Now\r\nContent-length: 0\r\n")
    told = [relayed(answer, b"", stays) for stays in (AS_IT_IS, UNCOUNTED)]
    assert [(sent.length, sent.dated) for sent in told] == [(0, True), (None, True)]


def test_lines_that_end_without_a_carriage_return_end_with_one_for_the_client():
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\nServer: nginx\r\nContent-Length: 0\n\n")
    assert relayed(answer, lines(OURS)).sent == lines([("Server", "nginx"), ("Content-Length", "0"), *OURS])


def test_of_a_head_with_nothing_that_crosses_only_ours_is_left():
    assert relayed(answered(b"HTTP/1.1 204 No Content\r\nset-cookie: a\r\n"), lines(OURS)).sent == lines(OURS)
    assert relayed(answered(b"HTTP/1.1 204 No Content\r\n"), lines(OURS)).sent == lines(OURS)


@pytest.mark.parametrize(
    "listed", ["x-once", "close, x-once", "keep-alive\r\nConnection: x-once", "close\r\nconnection:close"]
)
def test_where_connection_lists_more_than_what_becomes_of_it_the_names_do_not_tell(listed):
    answer = answered(b"HTTP/1.1 204 No Content\r\nx-once: 1\r\nConnection: %b\r\n" % listed.encode())
    assert relayed(answer, lines(OURS)) is None


def test_ours_that_are_not_only_ours_are_looked_at_one_by_one():
    assert relayed(answered(b"HTTP/1.1 204 No Content\r\n"), None) is None
