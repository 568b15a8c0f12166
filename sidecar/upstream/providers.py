"""
The providers we know: where each is, which interfaces it speaks, how it takes its key.

A row is conservative. It names an interface only where the provider documents it as its own and not as a beta, because
a request in any other format is translated to the row's first interface, and that always works; an interface that a
provider speaks half is worse than none. Who knows better about one place says so with `provider_interface`.

    name in `model: name/...`   ──▶ its row
    provider_interface: anthropic, openai, responses   ──▶ what is known of any such place; needs `base_url`
    provider_interface: another name of the table      ──▶ that row, at `base_url`

Not here: Amazon Bedrock (requests signed and framed in a way of its own).
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from attrs import frozen

from sidecar.config.models import Provider
from sidecar.wire.formats import Format


class Auth(StrEnum):
    """The header that carries a provider's key."""

    BEARER = "authorization"
    """`Authorization: Bearer <key>`"""
    X_API_KEY = "x-api-key"
    """Anthropic: https://docs.anthropic.com/en/api/overview#authentication"""
    API_KEY = "api-key"
    """Azure: https://learn.microsoft.com/azure/ai-services/openai/reference#authentication"""


@frozen
class Row:
    """What is known of one provider."""

    origin: str | None
    """Scheme and host. None: only the file's `base_url` can tell."""
    prefix: str = "/v1"
    """What stands in the place of a client's `/v1` when `base_url` has no path of its own."""
    speaks: tuple[Format, ...] = (Format.CHAT,)
    """The interfaces it speaks natively; the first is the one that all others are translated to."""
    auth: Auth = Auth.BEARER
    deployments: bool = False
    """Azure: the model is a deployment, and older versions of the interface have it in the path."""
    asks_usage: bool = False
    """Whether a stream of chat completions tells its cost only when asked, and the provider documents that it takes the
    question: `stream_options.include_usage`. False where it tells unasked, for then the client is used to hear it, and
    where nothing is known: a stream whose cost nobody knows is better than one that is refused with a 422."""
    refuses_usage: bool = False
    """Whether the question is known to be refused. A translated stream asks everywhere else: its client is always told
    its cost, and has no words to ask for it."""


_CHAT_AND_RESPONSES = (Format.CHAT, Format.RESPONSES)

TABLE: Mapping[str, Row] = MappingProxyType(
    {
        # https://platform.openai.com/docs/api-reference/introduction
        "openai": Row("https://api.openai.com", speaks=_CHAT_AND_RESPONSES, asks_usage=True),
        # https://docs.anthropic.com/en/api/overview. Its OpenAI compatibility layer is for tests, says
        # https://docs.anthropic.com/en/api/openai-sdk, and is not used.
        "anthropic": Row("https://api.anthropic.com", speaks=(Format.MESSAGES,), auth=Auth.X_API_KEY),
        # https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle: since August 2025 /openai/v1 takes
        # the deployment in the body and needs no api-version.
        "azure_openai": Row(
            None, "/openai/v1", speaks=_CHAT_AND_RESPONSES, auth=Auth.API_KEY, deployments=True, asks_usage=True
        ),
        # https://ai.google.dev/gemini-api/docs/openai; tells usage unasked
        "gemini": Row("https://generativelanguage.googleapis.com", "/v1beta/openai"),
        # https://docs.mistral.ai/api; tells usage unasked, and refuses the question with 422:
        # https://github.com/openai/openai-agents-python/issues/442, https://github.com/TabbyML/tabby/pull/4082
        "mistral": Row("https://api.mistral.ai", refuses_usage=True),
        # https://console.groq.com/docs/openai; its Responses API is a beta
        "groq": Row("https://api.groq.com", "/openai/v1", asks_usage=True),
        # https://api-docs.deepseek.com/api/create-chat-completion
        "deepseek": Row("https://api.deepseek.com", asks_usage=True),
        # https://docs.x.ai/docs/api-reference
        "xai": Row("https://api.x.ai", speaks=_CHAT_AND_RESPONSES),
        # https://docs.together.ai/docs/openai-api-compatibility; tells usage unasked
        "together_ai": Row("https://api.together.xyz"),
        # https://openrouter.ai/docs/api-reference/overview; messages: https://openrouter.ai/docs/api/api-reference/anthropic-messages;
        # its Responses API is a beta; tells usage unasked
        "openrouter": Row("https://openrouter.ai", "/api/v1", speaks=(Format.CHAT, Format.MESSAGES)),
        # https://platform.moonshot.ai/docs/api/chat; tells usage unasked, within the last choice
        "moonshotai": Row("https://api.moonshot.ai"),
        # https://docs.bigmodel.cn/cn/guide/develop/openai/introduction; outside China `base_url: https://api.z.ai`
        "zhipu": Row("https://open.bigmodel.cn", "/api/paas/v4"),
        # https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope; a key belongs to
        # one region, so none is guessed
        "qwen": Row(None, "/compatible-mode/v1", asks_usage=True),
        # https://vercel.com/docs/ai-gateway/sdks-and-apis
        "vercel": Row("https://ai-gateway.vercel.sh", speaks=(Format.CHAT, Format.MESSAGES, Format.RESPONSES)),
        # https://docs.digitalocean.com/products/gradient-ai-platform/how-to/use-serverless-inference
        "digitalocean": Row("https://inference.do-ai.run", speaks=_CHAT_AND_RESPONSES),
        # https://platform.xiaomimimo.com/docs/en-US/api/chat/openai-api
        "xiaomi": Row("https://api.xiaomimimo.com"),
        # The place that Codex uses with a ChatGPT account: https://github.com/openai/codex
        "chatgpt": Row("https://chatgpt.com", "/backend-api/codex", speaks=(Format.RESPONSES,)),
        # https://docs.ollama.com/api/openai-compatibility. Responses since 0.13.3 and messages since 0.14, both a part
        # of the whole: what we translate to chat completions works with every version.
        "ollama": Row("http://localhost:11434", asks_usage=True),
        # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html. What its Responses API can do differs
        # by version and model.
        "vllm": Row("http://localhost:8000", asks_usage=True),
        # Models that Plano's users serve themselves, with vLLM: https://docs.planoai.dev
        "plano": Row(None, asks_usage=True),
        # https://docs.edenai.co
        "edenai": Row(None),
    }
)

GENERIC: Mapping[str, Row] = MappingProxyType(
    {
        "openai": Row(None),
        "responses": Row(None, speaks=_CHAT_AND_RESPONSES),
        "anthropic": Row(None, speaks=(Format.MESSAGES,), auth=Auth.X_API_KEY),
    }
)
"""
What `provider_interface` says of a place we do not know: chat completions are all that `openai` promises. None is asked
for usage in a client's place: vLLM, Ollama, llama.cpp and LiteLLM take the question, Databricks and some models on Azure
refuse the request for it. Who serves with one of the first says `provider_interface: vllm`.
"""


def row_of(provider: Provider) -> Row | None:
    """The row of an entry of `model_providers`. With a `base_url` and nothing else known, it is taken to speak chat."""
    name = provider.model.partition("/")[0]
    if provider.interface is not None and provider.interface != name:
        return GENERIC.get(provider.interface) or TABLE.get(provider.interface)
    return TABLE.get(name) or (GENERIC["openai"] if provider.base_url and not provider.interface else None)


def flaw(provider: Provider) -> str | None:
    """Why an entry can never be called, as the end of a sentence about it; None when it can."""
    row = row_of(provider)
    if row is None and provider.interface:
        return f"has an interface that is not spoken here: {provider.interface}"
    if row is None:
        return "is of no provider known here: it needs base_url and provider_interface"
    if row.origin is None and not provider.base_url and not provider.missing:
        return "needs base_url: where it is cannot be told from its name"
    return None
