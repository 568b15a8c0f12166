"""The official SDKs as judges: what they would not type, a provider would not take."""

import json

import pytest
from anthropic.types import Message
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from openai.types.chat import ChatCompletion
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import Response
from openai.types.responses import response_create_params as responses_params
from pydantic import TypeAdapter

from sidecar.wire.formats import Format

REQUESTS = {
    (Format.CHAT, False): TypeAdapter(chat_params.CompletionCreateParamsNonStreaming),
    (Format.CHAT, True): TypeAdapter(chat_params.CompletionCreateParamsStreaming),
    (Format.MESSAGES, False): TypeAdapter(MessageCreateParamsNonStreaming),
    (Format.MESSAGES, True): TypeAdapter(MessageCreateParamsStreaming),
    (Format.RESPONSES, False): TypeAdapter(responses_params.ResponseCreateParamsNonStreaming),
    (Format.RESPONSES, True): TypeAdapter(responses_params.ResponseCreateParamsStreaming),
}
FIELDS = {
    Format.CHAT: {*chat_params.CompletionCreateParamsStreaming.__annotations__},
    Format.MESSAGES: {*MessageCreateParamsStreaming.__annotations__, "temperature", "top_p"},
    Format.RESPONSES: {*responses_params.ResponseCreateParamsStreaming.__annotations__},
}
"""Anthropic's SDK no longer types the two that only older models take."""
ANSWERS = {Format.CHAT: ChatCompletion, Format.MESSAGES: Message, Format.RESPONSES: Response}


def exhaust(value):
    """The SDKs type lists as iterables, which pydantic judges only while somebody looks."""
    if isinstance(value, dict):
        for inner in value.values():
            exhaust(inner)
    elif hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        for inner in value:
            exhaust(inner)


@pytest.fixture(scope="session")
def judge_request():
    """`judge_request(form, body)`: the body as an object, once the SDK's types have taken it."""

    def judge(form, body):
        value = json.loads(body)
        exhaust(REQUESTS[form, bool(value.get("stream"))].validate_python(value))
        assert set(value) <= FIELDS[form]
        return value

    return judge


@pytest.fixture(scope="session")
def judge_answer():
    """`judge_answer(form, body)`: the body as an object, once the SDK's types have taken it."""

    def judge(form, body):
        ANSWERS[form].model_validate_json(body)
        return json.loads(body)

    return judge
