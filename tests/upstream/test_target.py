"""Places and paths. What arrives at the provider is written out in full, so that a reader can check it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.models import Provider, Secret
from sidecar.errors import NotFound, RequestError
from sidecar.upstream.target import ProviderKeyMissing, ProviderUnknown, target_of, url_for
from sidecar.wire.formats import Format


def aimed(model="openai/gpt-x", client_format=Format.CHAT, **settings):
    return target_of(Provider(model, model, **settings), model, client_format)


def url(request_target, *args, **settings):
    target = aimed(*args, **settings)
    return target.origin + url_for(target, request_target)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/m", "https://api.openai.com/v1/chat/completions"),
        ("anthropic/m", "https://api.anthropic.com/v1/messages"),
        ("gemini/m", "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"),
        ("mistral/m", "https://api.mistral.ai/v1/chat/completions"),
        ("groq/m", "https://api.groq.com/openai/v1/chat/completions"),
        ("deepseek/m", "https://api.deepseek.com/v1/chat/completions"),
        ("xai/m", "https://api.x.ai/v1/chat/completions"),
        ("together_ai/m", "https://api.together.xyz/v1/chat/completions"),
        ("openrouter/m", "https://openrouter.ai/api/v1/chat/completions"),
        ("moonshotai/m", "https://api.moonshot.ai/v1/chat/completions"),
        ("zhipu/m", "https://open.bigmodel.cn/api/paas/v4/chat/completions"),
        ("vercel/m", "https://ai-gateway.vercel.sh/v1/chat/completions"),
        ("digitalocean/m", "https://inference.do-ai.run/v1/chat/completions"),
        ("xiaomi/m", "https://api.xiaomimimo.com/v1/chat/completions"),
        ("ollama/m", "http://localhost:11434/v1/chat/completions"),
        ("vllm/m", "http://localhost:8000/v1/chat/completions"),
    ],
)
def test_a_chat_request_goes_to_the_address_in_the_providers_documentation(model, expected):
    assert url("/v1/chat/completions", model) == expected


@pytest.mark.parametrize(
    ("model", "client_format", "spoken"),
    [
        ("openai/m", Format.CHAT, Format.CHAT),
        ("openai/m", Format.RESPONSES, Format.RESPONSES),
        ("openai/m", Format.MESSAGES, Format.CHAT),
        ("anthropic/m", Format.MESSAGES, Format.MESSAGES),
        ("anthropic/m", Format.CHAT, Format.MESSAGES),
        ("anthropic/m", Format.RESPONSES, Format.MESSAGES),
        ("groq/m", Format.RESPONSES, Format.CHAT),
        ("vercel/m", Format.MESSAGES, Format.MESSAGES),
        ("chatgpt/m", Format.CHAT, Format.RESPONSES),
        ("openai/m", None, Format.CHAT),
        ("anthropic/m", None, Format.MESSAGES),
    ],
)
def test_the_clients_own_format_is_spoken_where_the_provider_speaks_it(model, client_format, spoken):
    target = aimed(model, client_format)
    assert target.interface is spoken
    assert target.translated is (client_format not in (spoken, None))


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://localhost:8080", "http://localhost:8080/v1/chat/completions"),
        ("http://localhost:8080/", "http://localhost:8080/v1/chat/completions"),
        ("http://localhost:8080/v1", "http://localhost:8080/v1/chat/completions"),
        ("http://localhost:8080/v1///", "http://localhost:8080/v1/chat/completions"),
        ("https://proxy.example/ai-gateway/openai", "https://proxy.example/ai-gateway/openai/chat/completions"),
        ("https://vllm.example/models/v2", "https://vllm.example/models/v2/chat/completions"),
        ("https://host.example:443/v1", "https://host.example/v1/chat/completions"),
        ("http://host.example:443/v1", "http://host.example:443/v1/chat/completions"),
        ("http://[::1]:9000/v1", "http://[::1]:9000/v1/chat/completions"),
        ("http://[2001:db8::7]", "http://[2001:db8::7]/v1/chat/completions"),
        ("http://10.0.0.1:80", "http://10.0.0.1/v1/chat/completions"),
        ("http://host.example/a%2Fb/v1", "http://host.example/a%2Fb/v1/chat/completions"),
    ],
)
def test_host_port_and_path_of_a_base_url_are_honoured(base_url, expected):
    assert url("/v1/chat/completions", "ours/m", interface="openai", base_url=base_url) == expected


@pytest.mark.parametrize(
    ("model", "base_url", "expected"),
    [
        ("zhipu/m", "https://api.z.ai", "https://api.z.ai/api/paas/v4/chat/completions"),
        ("zhipu/m", "https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/coding/paas/v4/chat/completions"),
        ("qwen/m", "https://dashscope.aliyuncs.com", "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions"),
        ("groq/m", "http://localhost:1", "http://localhost:1/openai/v1/chat/completions"),
        ("moonshotai/m", "https://api.kimi.com/coding/v1", "https://api.kimi.com/coding/v1/chat/completions"),
    ],
)  # fmt: skip
def test_a_base_url_without_a_path_keeps_the_providers_own(model, base_url, expected):
    assert url("/v1/chat/completions", model, base_url=base_url) == expected


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic/v1/messages"),
        ("https://proxy.example/v1", "https://proxy.example/v1/messages"),
        ("https://proxy.example", "https://proxy.example/v1/messages"),
        ("https://proxy.example/anthropic/v1", "https://proxy.example/anthropic/v1/messages"),
    ],
)
def test_a_messages_base_url_may_leave_out_the_version_as_anthropics_sdk_does(base_url, expected):
    assert url("/v1/messages", "ours/m", Format.MESSAGES, interface="anthropic", base_url=base_url) == expected


AZURE = "https://res.openai.azure.com"


@pytest.mark.parametrize(
    ("base_url", "api_version", "request_target", "expected"),
    [
        (AZURE, None, "/v1/chat/completions", "/openai/v1/chat/completions"),
        (f"{AZURE}/openai", None, "/v1/chat/completions", "/openai/v1/chat/completions"),
        (f"{AZURE}/openai/v1", None, "/v1/chat/completions?a=b", "/openai/v1/chat/completions?a=b"),
        (f"{AZURE}/custom/path", None, "/v1/chat/completions", "/custom/path/chat/completions"),
        (AZURE, "2025-01-01-preview", "/v1/chat/completions",
         "/openai/deployments/gpt%204.1/chat/completions?api-version=2025-01-01-preview"),
        (AZURE, "v9", "/v1/embeddings?a=b", "/openai/deployments/gpt%204.1/embeddings?a=b&api-version=v9"),
        (AZURE, "v9", "/v1/chat/completions?", "/openai/deployments/gpt%204.1/chat/completions?api-version=v9"),
        (AZURE, "v9", "/v1/chat/completions?api-version=v1",
         "/openai/deployments/gpt%204.1/chat/completions?api-version=v1"),
        (AZURE, "v9", "/v1/files/x", "/openai/files/x?api-version=v9"),
        (f"{AZURE}/openai/deployments/mine", None, "/v1/chat/completions",
         "/openai/deployments/mine/chat/completions?api-version=2024-10-21"),
        (f"{AZURE}/openai/deployments", None, "/v1/chat/completions",
         "/openai/deployments/gpt%204.1/chat/completions?api-version=2024-10-21"),
    ],
)  # fmt: skip
def test_azure_is_called_undated_unless_a_version_or_a_deployment_is_named(
    base_url, api_version, request_target, expected
):
    target = aimed("azure_openai/gpt 4.1", base_url=base_url, api_version=api_version)
    assert target.origin == AZURE
    assert url_for(target, request_target) == expected


@pytest.mark.parametrize(
    ("model", "settings", "asked"),
    [
        ("openai/m", {}, True),
        ("openai/m", {"base_url": "http://localhost:9"}, True),
        ("mistral/m", {}, False),
        ("openrouter/m", {}, False),
        ("mine/m", {"base_url": "http://localhost:9"}, False),
        ("mine/m", {"base_url": "http://localhost:9", "interface": "openai"}, False),
        ("mine/m", {"base_url": "http://localhost:9", "interface": "vllm"}, True),
        ("azure_openai/m", {"base_url": AZURE}, True),
        ("azure_openai/m", {"base_url": AZURE, "api_version": "2024-02-01"}, False),
        ("azure_openai/m", {"base_url": f"{AZURE}/openai/deployments/d"}, False),
    ],
)
def test_usage_is_asked_for_where_the_question_is_known_to_be_taken(model, settings, asked):
    assert aimed(model, **settings).asks_usage is asked


@pytest.mark.parametrize(
    ("model", "settings", "refused"),
    [
        ("mistral/m", {}, True),
        ("mine/m", {"base_url": "http://localhost:9", "interface": "mistral"}, True),
        ("mine/m", {"base_url": "http://localhost:9"}, False),
        ("openai/m", {}, False),
        ("azure_openai/m", {"base_url": AZURE}, False),
        ("azure_openai/m", {"base_url": AZURE, "api_version": "2024-08-01-preview"}, True),
        ("azure_openai/m", {"base_url": AZURE, "api_version": "2024-09-01-preview"}, False),
        ("azure_openai/m", {"base_url": AZURE, "api_version": "preview"}, False),
        ("azure_openai/m", {"base_url": f"{AZURE}/openai/deployments/d"}, False),
    ],
)
def test_usage_is_never_asked_for_where_the_question_is_known_to_be_refused(model, settings, refused):
    assert aimed(model, **settings).refuses_usage is refused


def test_below_an_azure_deployment_only_chat_is_spoken():
    target = aimed("azure_openai/m", Format.RESPONSES, base_url=AZURE, api_version="v9")
    assert target.interface is Format.CHAT


@pytest.mark.parametrize(
    ("request_target", "expected"),
    [
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/v1/files/abc%2Fdef?x=1", "/v1/files/abc%2Fdef?x=1"),
        ("/v1/x?a=%20+b&&c=%C3%a9&d", "/v1/x?a=%20+b&&c=%C3%a9&d"),
        ("/v1/x?", "/v1/x?"),
        ("/v1/x?q=http://h/../y?z", "/v1/x?q=http://h/../y?z"),
        ("/v1//files//", "/v1//files//"),
        ("/v1", "/v1"),
        ("/v1/x;a=b:c@d", "/v1/x;a=b:c@d"),
        ("/v1/..x/...", "/v1/..x/..."),
        ("http://127.0.0.1:12000/v1/embeddings?a=b", "/v1/embeddings?a=b"),
        ("https://[::1]:12000/v1/embeddings", "/v1/embeddings"),
        ("/v1/x#fragment?a", "/v1/x"),
    ],
)
def test_path_and_query_go_on_as_they_came(request_target, expected):
    assert url_for(aimed(client_format=None), request_target) == expected


@given(st.text("abAZ09-._~!$&'()*+,;=:@%/", max_size=60), st.text("ab09-._~!$&'()*+,;=:@%/?[]{}|^", max_size=60))
def test_no_byte_of_a_target_is_ever_rewritten(path, query):
    try:
        arrived = url_for(aimed("groq/m", None), f"/v1/{path}?{query}")
    except RequestError:
        return
    assert arrived == f"/openai/v1/{path}?{query}"


@pytest.mark.parametrize(
    "request_target",
    [
        "/v1/../admin", "/v1/a/../../admin", "/v1/%2e%2e/admin", "/v1/.%2E", "/v1/a%2F..%2Fb", "/v1/a\\..\\b", "/v1/./a",
        "/v1/a/..", "/v1/a b", "/v1/é", "/v1/a\r\nHost: evil", "/v1/\x00",
    ],
)  # fmt: skip
def test_what_could_climb_out_or_end_a_line_is_refused(request_target):
    with pytest.raises(RequestError):
        url_for(aimed(), request_target)


@pytest.mark.parametrize("request_target", ["/", "", "/v10/x", "/V1/x", "v1/x", "*", "//h/v1/x", "http://h"])
def test_a_target_that_is_not_below_v1_is_not_found(request_target):
    with pytest.raises(NotFound):
        url_for(aimed(), request_target)


def test_a_translated_request_goes_to_the_interfaces_own_path_and_leaves_its_query_behind():
    assert url_for(aimed("groq/m", Format.MESSAGES), "/v1/messages?beta=true") == "/openai/v1/chat/completions"
    assert url_for(aimed("anthropic/m", Format.RESPONSES), "/v1/responses") == "/v1/messages"


def test_two_ports_of_one_host_are_two_providers():
    one = target_of(Provider("a/m", "a", base_url="http://h:1"), "a/m", Format.CHAT)
    two = target_of(Provider("b/m", "b", base_url="http://h:2"), "b/m", Format.CHAT)
    assert (one.provider, one.authority) == ("a", "h:1")
    assert (two.provider, two.authority) == ("b", "h:2")


def test_the_provider_is_asked_for_the_model_by_its_own_name():
    assert aimed("openrouter/anthropic/claude-x").upstream_model == "anthropic/claude-x"


def test_a_missing_variable_is_named_and_nothing_else_is():
    entry = {"access_key": Secret(None, "KEY"), "headers": {"x-org": Secret("org-secret")}}
    with pytest.raises(ProviderKeyMissing) as caught:
        aimed(missing=("KEY", "OTHER"), **entry)
    assert "the environment variables KEY, OTHER" in caught.value.message
    assert "org-secret" not in caught.value.message
    assert (caught.value.status, caught.value.code) == (502, "provider_key_missing")


def test_a_missing_key_does_not_matter_where_the_clients_own_is_sent():
    assert aimed(access_key=Secret(None, "KEY"), missing=("KEY",), passthrough_auth=True).passthrough_auth


def test_a_missing_base_url_never_sends_the_request_to_the_providers_usual_place():
    with pytest.raises(ProviderKeyMissing):
        aimed(missing=("URL",), passthrough_auth=True)


def test_an_entry_of_no_known_place_is_refused_when_it_is_called():
    with pytest.raises(ProviderUnknown, match="ours/m is of no provider known here"):
        aimed("ours/m")


def test_a_target_shows_no_key():
    target = aimed(access_key=Secret("sk-1"), headers={"x": Secret("sk-2")})
    assert "sk-" not in repr(target)
