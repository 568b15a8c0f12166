"""The official SDKs read every translated recording, and find in it what they find in the recording itself."""

import anthropic
import openai
import pytest
from anthropic.types import RawMessageStreamEvent
from attrs import evolve
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from wire.translate.streams.recorded import (
    RECORDINGS,
    WHOLE,
    answer,
    anthropic_client,
    events,
    format_of,
    name,
    openai_client,
    recording,
    translate,
)

from sidecar.wire.formats import Format

EVENTS = {
    Format.CHAT: TypeAdapter(ChatCompletionChunk),
    Format.MESSAGES: TypeAdapter(RawMessageStreamEvent),
    Format.RESPONSES: TypeAdapter(ResponseStreamEvent),
}
SAME_STOP = [
    {"stop", "end_turn", "completed", "stop_sequence", "novel_reason"},
    {"tool_calls", "tool_use", "completed"},
    {"length", "max_tokens", "max_output_tokens"},
    {"content_filter", "refusal"},
]
PARIS = ("function-call-1122", "get_weather", '{"city": "Paris"}')
ROME = ("function-call-3344", "get_weather", '{"city": "Rome"}')
PING = ("call_42_0", "ping", "{}")
OSLO = ("call_42_1", "get_weather", '{"city": "Oslo"}')
NOT_READ_BY_THE_SDK = {  # what the server means, where OpenAI's own SDK cannot tell
    "chat.tools_gemini": {"calls": (PARIS, ROME), "stop": "tool_calls"},
    "chat.tools_vllm": {"calls": (("chatcmpl-tool-1", "add", '{"a": 1, "b": 2}'),)},
    "chat.tools_without_id": {"calls": (PING, OSLO), "stop": "tool_calls", "text": ""},
    "chat.thinking_openrouter": {"thinking": "Two plus two."},
    "chat.thinking_mistral": {"thinking": "Let me see.", "text": "Yes!"},
}


def source_answer(path):
    """What the source's own SDK makes of the recording, put right where the server is not by the book."""
    data = path.read_bytes()
    if path.stem in NOT_READ_BY_THE_SDK:
        data = translate(data, format_of(path), format_of(path))
    return evolve(answer(format_of(path), data), **NOT_READ_BY_THE_SDK.get(path.stem, {}))


@pytest.mark.parametrize("target", Format)
@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_the_clients_sdk_finds_what_the_providers_sdk_finds(path, target):
    said = source_answer(path)
    heard = answer(target, translate(path.read_bytes(), format_of(path), target))
    if target is Format.MESSAGES and said.refusal:
        said = evolve(said, text=said.refusal, refusal="", stop="refusal")
    assert heard.stop == said.stop or any({heard.stop, said.stop} <= same for same in SAME_STOP)
    if heard.input in (None, 0) or said.input is None:
        said = evolve(said, input=heard.input, cached=heard.cached, output=heard.output)
    assert evolve(heard, cached=heard.cached or 0) == evolve(said, stop=heard.stop, cached=said.cached or 0)


@pytest.mark.parametrize("target", Format)
@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_every_event_is_of_an_official_type(path, target):
    for event, data in events(translate(path.read_bytes(), format_of(path), target)):
        if data != "[DONE]" and "error" not in data and event not in ("ping", "response.failed"):
            EVENTS[target].validate_python(data, strict=True)


@pytest.mark.parametrize("stem", ["chat.error", "messages.error", "responses.error", "chat.truncated"])
def test_the_sdks_raise_where_the_provider_broke_off(stem):
    def out(target):
        return translate(recording(stem), Format[stem.split(".")[0].upper()], target)

    with pytest.raises(openai.APIError), openai_client(out(Format.CHAT)) as client:
        list(client.chat.completions.create(model="m", messages=[], stream=True))
    with pytest.raises(anthropic.APIError), anthropic_client(out(Format.MESSAGES)) as client:
        list(client.messages.create(model="m", max_tokens=1, messages=[], stream=True))
    with openai_client(out(Format.RESPONSES)) as client:
        *_, last = client.responses.create(model="m", input="x", stream=True)
    assert last.type == "response.failed"
