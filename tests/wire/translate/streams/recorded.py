"""What the tests of streams share: the recordings, ways to cut them, and the official SDKs as judges of an answer."""

import json
from pathlib import Path

import anthropic
import httpx2
import openai
from attrs import frozen

from sidecar.wire.formats import Format
from sidecar.wire.translate.streams.translator import StreamIds, StreamTranslator

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.sse"))
IDS = StreamIds("42", 1763740000)
BROKEN = ("error", "error_openrouter", "failed", "truncated")
WHOLE = [path for path in RECORDINGS if path.stem.split(".")[1] not in BROKEN]


def name(path):
    return path.stem


def recording(stem):
    return next(path for path in RECORDINGS if path.stem == stem).read_bytes()


def format_of(path):
    return Format[path.stem.split(".")[0].upper()]


def translator(source, target, *, include_usage=True):
    return StreamTranslator(source, target, model="openai/gpt-4o", ids=IDS, include_usage=include_usage)


def translate(data, source, target, size=None, *, include_usage=True):
    """All of the client's bytes for `data`, fed in chunks of `size`."""
    through = translator(source, target, include_usage=include_usage)
    size = size or len(data) or 1
    fed = b"".join(through.feed(data[start : start + size]) for start in range(0, len(data), size))
    return fed + through.finish()


def events(out):
    """`[(event name or None, parsed data)]`; `[DONE]` stays text."""
    found = []
    for block in out.decode().removesuffix("\n\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        data = lines["data"]
        found.append((lines.get("event"), data if data == "[DONE]" else json.loads(data)))
    return found


@frozen
class Answer:
    """What a user of an SDK has in the end, in words that all three have."""

    text: str
    thinking: str
    refusal: str
    calls: tuple
    """(id, name, arguments as JSON)"""
    stop: str
    input: int | None
    cached: int | None
    output: int | None


def answer(form, stream):
    return {Format.CHAT: _chat, Format.MESSAGES: _messages, Format.RESPONSES: _responses}[form](stream)


def _transport(stream):
    def respond(_):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    return httpx2.Client(transport=httpx2.MockTransport(respond))


def openai_client(stream):
    return openai.OpenAI(api_key="k", http_client=_transport(stream), max_retries=0)


def anthropic_client(stream):
    return anthropic.Anthropic(api_key="k", http_client=_transport(stream), max_retries=0)


def _chat(stream):
    with (
        openai_client(stream) as client,
        client.chat.completions.stream(model="m", messages=[], stream_options={"include_usage": True}) as running,
    ):
        thinking = "".join(_reasoning(event.chunk) for event in running if event.type == "chunk")
        done = running.current_completion_snapshot  # the final one is refused to users when the answer was cut short
    choice = done.choices[0]
    calls = [
        (call.id, call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()
    ]
    usage = done.usage
    return Answer(
        choice.message.content or "",
        thinking,
        choice.message.refusal or "",
        _calls(calls),
        choice.finish_reason,
        usage and usage.prompt_tokens,
        usage and usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens,
        usage and usage.completion_tokens,
    )


def _reasoning(chunk):
    return "".join(getattr(choice.delta, "reasoning_content", None) or "" for choice in chunk.choices)


def _messages(stream):
    with (
        anthropic_client(stream) as client,
        client.messages.stream(model="m", max_tokens=1, messages=[]) as running,
    ):
        done = running.get_final_message()
    blocks = done.content
    return Answer(
        "".join(block.text for block in blocks if block.type == "text"),
        "".join(block.thinking for block in blocks if block.type == "thinking"),
        "",
        _calls((block.id, block.name, block.input) for block in blocks if block.type == "tool_use"),
        done.stop_reason,
        done.usage.input_tokens
        + (done.usage.cache_read_input_tokens or 0)
        + (done.usage.cache_creation_input_tokens or 0),
        done.usage.cache_read_input_tokens,
        done.usage.output_tokens,
    )


def _responses(stream):
    with openai_client(stream) as client, client.responses.stream(model="m", input="x") as running:
        done = [event for event in running if event.type in ("response.completed", "response.incomplete")][-1].response
    messages = [part for item in done.output if item.type == "message" for part in item.content]
    calls = [item for item in done.output if item.type == "function_call"]
    summaries = [[part.text for part in item.summary] for item in done.output if item.type == "reasoning"]
    why = done.incomplete_details.reason if done.incomplete_details else None
    return Answer(
        "".join(part.text for part in messages if part.type == "output_text"),
        "".join("\n\n".join(summary) for summary in summaries),
        "".join(part.refusal for part in messages if part.type == "refusal"),
        _calls((call.call_id, call.name, json.loads(call.arguments)) for call in calls),
        why or done.status,
        done.usage and done.usage.input_tokens,
        done.usage and done.usage.input_tokens_details.cached_tokens,
        done.usage and done.usage.output_tokens,
    )


def _calls(calls):
    return tuple((call_id, named, json.dumps(arguments, sort_keys=True)) for call_id, named, arguments in calls)
