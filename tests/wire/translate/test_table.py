"""The tables in the package's docstring are true: each row is tried, and no field of the official SDKs is missing."""

import contextlib
import json
import re

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from sidecar.errors import RequestError, UpstreamError
from sidecar.wire import translate
from sidecar.wire.formats import Format
from sidecar.wire.translate import Ids, UnsupportedField

NAMES = {"CHAT COMPLETIONS": Format.CHAT, "MESSAGES": Format.MESSAGES, "RESPONSES": Format.RESPONSES}
MODELS = {Format.CHAT: "gpt-5", Format.MESSAGES: "claude-haiku-4-5", Format.RESPONSES: "gpt-5"}
SDK = {
    Format.CHAT: CompletionCreateParamsBase,
    Format.MESSAGES: MessageCreateParamsBase,
    Format.RESPONSES: ResponseCreateParamsBase,
}
FATES = {"carried", "mapped", "dropped", "refused"}

PNG = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,AAAA"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
USER = {"role": "user", "content": "Hello"}


def said(*content, role="user"):
    return {"role": role, "content": list(content)}


def chat(*messages):
    return {"messages": [USER, *messages]}


CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
CHAT_CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
]}  # fmt: skip
MESSAGES_TOOL = {"name": "f", "input_schema": SCHEMA}
TOOL_USE = said({"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}, role="assistant")
RESPONSES_TOOL = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x":1}'}


def result(**more):
    return said({"type": "tool_result", "tool_use_id": "c1", "content": "21C", **more})


BASES = {
    Format.CHAT: {"model": "client", "messages": [USER]},
    Format.MESSAGES: {"model": "client", "max_tokens": 4000, "messages": [USER]},
    Format.RESPONSES: {"model": "client", "input": [USER]},
}
SAMPLES = {
    Format.CHAT: {
        "model": "client",
        "messages": [USER, USER],
        "messages[].name": chat({**USER, "name": "ann"}),
        "messages[].reasoning_content": chat({"role": "assistant", "content": "a", "reasoning_content": "b"}),
        "messages[] of a tool or function": chat(CHAT_CALL, {"role": "tool", "tool_call_id": "c1", "content": "x"}),
        "messages[].tool_calls": chat(CHAT_CALL),
        "messages[].function_call": chat({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}),
        "messages[].refusal": chat({"role": "assistant", "refusal": "No."}),
        "messages[].audio": chat({"role": "assistant", "audio": {"id": "a1"}}),
        "image_url": chat(said({"type": "image_url", "image_url": {"url": PNG}})),
        "messages[].content[].image_url.detail": chat(
            said({"type": "image_url", "image_url": {"url": PNG, "detail": "high"}})
        ),
        "file with file_data": chat(said({"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}})),
        "file with file_id": chat(said({"type": "file", "file": {"file_id": "file-1"}})),
        "input_audio": chat(said({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})),
        "tools": [CHAT_TOOL],
        "tools, custom": {"tools": [{"type": "custom", "custom": {"name": "patch"}}]},
        "functions": [{"name": "f", "parameters": SCHEMA}],
        "tool_choice": {"tools": [CHAT_TOOL], "tool_choice": "auto"},
        "tool_choice, allowed_tools": {
            "tools": [CHAT_TOOL, {"type": "function", "function": {"name": "g"}}],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]},
            },
        },
        "function_call": {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
        "parallel_tool_calls": {"tools": [CHAT_TOOL], "parallel_tool_calls": False},
        "max_completion_tokens": 777,
        "max_tokens": 777,
        "temperature": 0.25,
        "top_p": 0.75,
        "stop": ["END"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}},
        "reasoning_effort": "low",
        "user": "u-77",
        "safety_identifier": "u-77",
        "stream": True,
        "stream_options": {"stream": True, "stream_options": {"include_usage": True}},
        "logprobs": True,
        "top_logprobs": 3,
        "metadata": {"metadata": {"a": "b"}},
        "service_tier": "flex",
        "verbosity": "low",
        "prompt_cache_key": "key",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"prompt_cache_options": {"mode": "explicit"}},
        "n": 2,
        "modalities": ["text", "audio"],
        "web_search_options": {"web_search_options": {"search_context_size": "low"}},
        "audio": {"audio": {"voice": "alloy", "format": "wav"}},
        "frequency_penalty": 0.5,
        "presence_penalty": 0.5,
        "logit_bias": {"logit_bias": {"50256": -100}},
        "seed": 7,
        "store": True,
        "prediction": {"prediction": {"type": "content", "content": "x"}},
        "moderation": {"moderation": {"model": "m"}},
    },
    Format.MESSAGES: {
        "model": "client",
        "messages": [USER, USER],
        "messages[] of the system": chat({"role": "system", "content": "Be brief."}, said(role="assistant")),
        "system": [{"type": "text", "text": "Be brief."}],
        "image": chat(said({"type": "image", "source": {"type": "url", "url": "https://a/b.png"}})),
        "image with file_id": chat(said({"type": "image", "source": {"type": "file", "file_id": "f1"}})),
        "document": chat(
            said({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}})
        ),
        "document of text": chat(
            said({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}})
        ),
        "tool_use": chat(TOOL_USE),
        "tool_result": chat(TOOL_USE, result()),
        "tool_result, is_error": chat(TOOL_USE, result(is_error=True)),
        "messages[].content[]": chat(
            said({"type": "text", "text": "x"}, {"type": "server_tool_use", "id": "s1"}, role="assistant")
        ),
        "thinking blocks": chat(
            said(
                {
                    "type": "thinking",
                    "thinking": "",
                    "signature": 'sidecar.responses.{"id":"rs_1","encrypted_content":"x"}',
                },
                {"type": "text", "text": "x"},
                role="assistant",
            )
        ),
        "messages[].content[].cache_control": chat(
            said({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}})
        ),
        "messages[].output_config": chat({**USER, "output_config": {"effort": "low"}}),
        "cache_control": {"cache_control": {"type": "ephemeral"}},
        "max_tokens": 777,
        "temperature": 0.25,
        "top_p": 0.75,
        "top_k": 40,
        "stop_sequences": ["END"],
        "tools": [MESSAGES_TOOL],
        "tools, hosted": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "tools[].cache_control": {"tools": [{**MESSAGES_TOOL, "cache_control": {"type": "ephemeral"}}]},
        "tool_choice": {"tools": [MESSAGES_TOOL], "tool_choice": {"type": "any"}},
        "tool_choice.disable_parallel_tool_use": {
            "tools": [MESSAGES_TOOL],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        },
        "thinking": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        "thinking.display": {"thinking": {"type": "adaptive", "display": "summarized"}},
        "output_config": {"output_config": {"effort": "low"}},
        "output_format": {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        "metadata": {"metadata": {"user_id": "u-77"}},
        "stream": True,
        "container": "container_1",
        "mcp_servers": [{"type": "url", "url": "https://mcp"}],
        "context_management": {"context_management": {"edits": []}},
        "service_tier": "standard_only",
        "inference_geo": "us",
        "speed": "fast",
        "diagnostics": {"diagnostics": {"a": 1}},
        "user_profile_id": "p",
        "workspace_id": "w",
    },
    Format.RESPONSES: {
        "model": "client",
        "input": [USER, USER],
        "instructions": "Be brief.",
        "input[] of a developer, later": {"input": [USER, {"role": "developer", "content": "Be brief."}]},
        "input_image": {"input": [said({"type": "input_image", "image_url": PNG, "detail": "auto"})]},
        "input_image with file_id": {"input": [said({"type": "input_image", "file_id": "f", "detail": "auto"})]},
        "input_file with file_data": {"input": [said({"type": "input_file", "file_data": PDF, "filename": "a.pdf"})]},
        "input_file with file_url": {"input": [said({"type": "input_file", "file_url": "https://a/b.pdf"})]},
        "function_call": {"input": [USER, CALL]},
        "function_call_output": {
            "input": [USER, CALL, {"type": "function_call_output", "call_id": "c1", "output": "21C"}]
        },
        "custom_tool_call": {
            "input": [USER, {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"}]
        },
        "reasoning items": {
            "input": [
                USER,
                {
                    "type": "reasoning",
                    "id": "r",
                    "summary": [],
                    "encrypted_content": 'sidecar.messages.{"signature":"s"}',
                },
                CALL,
            ]
        },
        "additional_tools": {
            "input": [{"type": "additional_tools", "role": "developer", "tools": [RESPONSES_TOOL]}, USER]
        },
        "input[]": {"input": [USER, {"type": "web_search_call", "id": "ws_1", "status": "completed"}]},
        "item_reference": {"input": [USER, {"type": "item_reference", "id": "msg_1"}]},
        "compaction": {"input": [USER, {"type": "compaction", "encrypted_content": "x"}]},
        "tools": [RESPONSES_TOOL],
        "tools, namespace": {
            "tools": [{"type": "namespace", "name": "n", "description": "", "tools": [RESPONSES_TOOL]}]
        },
        "tools, custom": {"tools": [{"type": "custom", "name": "patch"}]},
        "tools, hosted": {"tools": [{"type": "web_search"}]},
        "tool_choice": {"tools": [RESPONSES_TOOL], "tool_choice": "required"},
        "parallel_tool_calls": {"tools": [RESPONSES_TOOL], "parallel_tool_calls": False},
        "max_output_tokens": 777,
        "temperature": 0.25,
        "top_p": 0.75,
        "text": {"text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True}}},
        "text.verbosity": {"text": {"verbosity": "low"}},
        "reasoning": {"reasoning": {"effort": "low"}},
        "reasoning.summary": {"reasoning": {"effort": "low", "summary": "auto"}},
        "user": "u-77",
        "safety_identifier": "u-77",
        "stream": True,
        "stream_options": {"stream_options": {"include_obfuscation": False}},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 3,
        "metadata": {"metadata": {"a": "b"}},
        "service_tier": "flex",
        "prompt_cache_key": "key",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"prompt_cache_options": {"mode": "explicit"}},
        "previous_response_id": "resp_1",
        "conversation": "conv_1",
        "background": True,
        "prompt": {"prompt": {"id": "pmpt_1"}},
        "store": True,
        "truncation": "auto",
        "max_tool_calls": 3,
        "context_management": [{"type": "compaction"}],
        "background_options": {"background_options": {"completion_window": "2h"}},
        "access_programs": {"access_programs": {"cyber": "standard"}},
        "moderation": {"moderation": {"model": "m"}},
        "image": {"image": {"context_compression": "auto"}},
        "client_metadata": {"client_metadata": {"a": "b"}},
    },
}


def tables():
    """(source, targets, [(field, fates)]) of each table of requests; then the one of answers."""
    blocks = re.split(r"\n\n", translate.__doc__)
    for block in blocks:
        head, *rows = [[cell.strip() for cell in line.split("|")] for line in block.strip().splitlines()]
        if len(head) > 1:
            yield head, rows


def request_rows():
    for head, rows in tables():
        source = NAMES.get(head[0].split(",")[0])
        if source is not None:
            targets = [NAMES[cell.removeprefix("TO ")] for cell in head[1:]]
            for field, *fates in rows:
                for target, fate in zip(targets, fates, strict=True):
                    yield source, field, target, fate


ROWS = list(request_rows())


def with_sample(source, field):
    sample = SAMPLES[source][field]
    named = field in SDK[source].__annotations__ or field in {"top_k", "temperature", "top_p"}
    return {
        **BASES[source],
        **(sample if isinstance(sample, dict) and not (named and field not in sample) else {field: sample}),
    }


def leaves(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ((f"{key}.{path}" if path else key, leaf) for path, leaf in leaves(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield "", value


@pytest.mark.parametrize(("source", "field", "target", "fate"), ROWS)
def test_a_row_is_true(source, field, target, fate, judge_request):
    def ask(body):
        return translate.request(source, target, json.dumps(body).encode(), model=MODELS[target])

    body, word = with_sample(source, field), fate.partition(":")[0]
    if word == "refused":
        with pytest.raises(UnsupportedField) as refused:
            ask(body)
        assert refused.value.param
        return
    given, without = ask(body), ask(BASES[source])
    judge_request(target, given.body)
    if word == "dropped":
        assert field in given.dropped
        return
    assert field not in given.dropped
    if word == "carried":
        last = field.rpartition(".")[2]
        wanted = {leaf for path, leaf in leaves(body) if last in path.split(".")}
        assert wanted <= {leaf for _, leaf in leaves(json.loads(given.body))}
    elif field != "model":
        assert given != without


def test_every_fate_is_one_of_four():
    assert {fate.partition(":")[0] for *_, fate in ROWS} == FATES


@pytest.mark.parametrize("source", list(Format))
def test_the_table_names_every_field_of_the_official_sdk(source):
    named = {field for form, field, *_ in ROWS if form is source}
    assert set(SDK[source].__annotations__) - named == set()


@pytest.mark.parametrize("source", list(Format))
def test_every_row_has_a_sample_and_every_sample_a_row(source):
    assert set(SAMPLES[source]) == {field for form, field, *_ in ROWS if form is source}


LOGPROB = {"token": "Hi", "bytes": [72, 105], "logprob": -0.1, "top_logprobs": []}
ANSWERS = {
    Format.CHAT: {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{
            "index": 0, "finish_reason": "tool_calls", "logprobs": {"content": [LOGPROB]},
            "message": {
                "role": "assistant", "content": "Hi", "refusal": "No.", "reasoning_content": "Hm.",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            },
        }],
        "usage": {
            "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    },
    Format.MESSAGES: {
        "id": "1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "refusal", "stop_sequence": None,
        "stop_details": {"type": "refusal", "explanation": "No."},
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
        ],
        "usage": {
            "input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10, "output_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 5},
        },
    },
    Format.RESPONSES: {
        "id": "1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "error": None,
        "output": [
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "enc",
             "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": [LOGPROB]},
                {"type": "refusal", "refusal": "No."},
            ]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        ],
        "usage": {
            "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
            "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "output_tokens_details": {"reasoning_tokens": 5},
        },
    },
}  # fmt: skip


def answer_rows():
    for head, rows in tables():
        if head[0] == "AN ANSWER'S":
            yield from (
                (thing, dict(zip((NAMES[cell] for cell in head[1:]), paths, strict=True))) for thing, *paths in rows
            )


def reach(value, path):
    """All that lies at `path`, where `[]` is any place of a list."""
    found = [value]
    for step in path.split("."):
        name, is_list = step.removesuffix("[]"), step.endswith("[]")
        found = [inner[name] for inner in found if isinstance(inner, dict) and name in inner]
        if is_list:
            found = [each for inner in found if isinstance(inner, list) for each in inner]
    return found


@pytest.mark.parametrize(("source", "target"), [(a, b) for a in Format for b in Format if a is not b])
def test_what_an_answer_says_is_where_the_table_says(source, target, judge_answer):
    ids = Ids("x1", 1_700_000_000)
    body = translate.answer(source, target, json.dumps(ANSWERS[source]).encode(), model="m", ids=ids)
    answer = judge_answer(target, body)
    for thing, paths in answer_rows():
        if paths[source] == "-" or paths[target] == "-":
            continue
        given, got = reach(ANSWERS[source], paths[source]), reach(answer, paths[target])
        assert got, thing
        if thing not in {"stop", "arguments", "input", "seal", "refusal", "text"}:
            assert given == got, thing
        if thing == "text":
            assert given[0] == got[0]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["text", "function", "custom"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "id"]), inner),
    max_leaves=5,
)


@st.composite
def damaged(draw, body):
    """`body` with one place in it, however deep, replaced by anything."""
    whole = json.loads(json.dumps(body))
    inner = whole
    while True:
        key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if not isinstance(inner[key], dict | list) or not inner[key] or draw(st.integers(0, 3)) == 0:
            inner[key] = draw(junk)
            return json.dumps(whole).encode()
        inner = inner[key]


@settings(max_examples=400)
@given(data=st.data(), row=st.sampled_from(ROWS))
def test_damage_to_any_field_is_no_more_than_the_clients_error(data, row):
    source, field, target, _ = row
    body = data.draw(damaged(with_sample(source, field)))
    with contextlib.suppress(RequestError):
        translate.request(source, target, body, model=MODELS[target])


@settings(max_examples=250)
@given(data=st.data(), source=st.sampled_from(list(Format)), target=st.sampled_from(list(Format)))
def test_damage_to_any_answer_is_no_more_than_the_providers_error(data, source, target):
    body = data.draw(damaged(ANSWERS[source]))
    with contextlib.suppress(UpstreamError):
        translate.answer(source, target, body, model="m", ids=Ids("x1", 1))
