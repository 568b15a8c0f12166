"""
Official SDKs as clients: one neutral question, asked through each, whole or as a stream; and what a request of any of
the three formats asks, read back into the question.

Streams are asked for with the SDKs' own high-level helpers, which check the order of events, and every answer is held
against the SDKs' types (`_strict_response_validation`).
"""

import json
import re
from contextlib import asynccontextmanager

import anthropic
import openai
from attrs import evolve, field, frozen
from pydantic import BaseModel
from speaking import CHAT, MESSAGES, RESPONSES, Calls, Words

SYSTEM = "Answer in one sentence."
MAX_TOKENS = 4000
"""What Anthropic's clients must say, whether they want to or not."""


@frozen
class Picture:
    url: str
    """http(s), or data:image/png;base64,…"""


@frozen
class Result:
    call_id: str
    text: str


@frozen
class Tool:
    name: str
    description: str = "Tells the weather."

    @property
    def schema(self):
        properties = {"city": {"type": "string"}}
        return {"type": "object", "properties": properties, "required": ["city"], "additionalProperties": False}


@frozen
class Turn:
    role: str
    parts: tuple


@frozen
class Ask:
    turns: tuple
    system: str | None = None
    tools: tuple = ()
    choice: str | None = None
    """auto, required, none, or a tool's name."""
    parallel: bool = True
    shape: type[BaseModel] | None = None
    stop: tuple = ()
    limit: int | None = None
    effort: str | None = None


@frozen
class Answer:
    text: str = ""
    thoughts: str = ""
    refusal: str = ""
    calls: tuple = ()
    stop: str = "end"
    cost: tuple = (0, 0, 0, 0)
    """asked (the cached included), cached, answered, thought."""
    parsed: object = None
    raw: object = field(default=None, eq=False, repr=False)


def said(text, role="user"):
    return Turn(role, (Words(text),))


def ask(text="Say hello.", **more):
    return Ask((said(text),), **more)


class Chat:
    form = CHAT
    sdk = openai

    @staticmethod
    @asynccontextmanager
    async def opened(port, **options):
        http = openai.DefaultAsyncHttpxClient(verify=False)  # no certificates to load: a tenth of the time
        options = {"max_retries": 0, "_strict_response_validation": True, **options}
        base = f"http://127.0.0.1:{port}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="the client's own", http_client=http, **options) as client:
            yield client

    @staticmethod
    async def answer(client, asked, model, *, stream):
        given = {"model": model, **chat_request(asked)}
        if stream:
            given["stream_options"] = {"include_usage": True}
            async with client.chat.completions.stream(**given) as events:
                chunks = [event.chunk async for event in events if event.type == "chunk"]
                in_order_of_chat(chunks)
                try:
                    found = await events.get_final_completion()
                except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                    found = events.current_completion_snapshot  # the helper raises whatever does not stop by itself
        elif asked.shape:
            found = await client.chat.completions.parse(**given)
        else:
            found = await client.chat.completions.create(**given)
        return chat_answer(found)


class Responses:
    form = RESPONSES
    sdk = openai
    opened = Chat.opened

    @staticmethod
    async def answer(client, asked, model, *, stream):
        given = {"model": model, **responses_request(asked)}
        if stream:
            async with client.responses.stream(**given) as events:
                found = [event async for event in events]
                assert [event.sequence_number for event in found] == list(range(len(found)))
                found = found[-1]
                incomplete = found.type == "response.incomplete"  # the helper knows only of completed ones
                found = found.response if incomplete else await events.get_final_response()
        elif asked.shape:
            found = await client.responses.parse(**given)
        else:
            found = await client.responses.create(**given)
        return responses_answer(found)


class Messages:
    form = MESSAGES
    sdk = anthropic

    @staticmethod
    @asynccontextmanager
    async def opened(port, **options):
        http = anthropic.DefaultAsyncHttpxClient(verify=False)
        options = {"max_retries": 0, "_strict_response_validation": True, **options}
        base = f"http://127.0.0.1:{port}"
        async with anthropic.AsyncAnthropic(
            base_url=base, api_key="the client's own", http_client=http, **options
        ) as client:
            yield client

    @staticmethod
    async def answer(client, asked, model, *, stream):
        given = {"model": model, **messages_request(asked)}
        if stream:
            async with client.messages.stream(**given) as events:
                in_order_of_messages([event async for event in events])
                found = await events.get_final_message()
        elif asked.shape:
            found = await client.messages.parse(**given)
        else:
            found = await client.messages.create(**given)
        return messages_answer(found)


def in_order_of_chat(chunks):
    """The role first; one reason to end, once all is said; the usage last, without a choice."""
    *said, end, usage = chunks
    assert [bool(chunk.choices[0].delta.role) for chunk in (*said, end)] == [True] + [False] * len(said)
    assert [chunk.choices[0].finish_reason is None for chunk in said] == [True] * len(said)
    assert end.choices[0].finish_reason
    assert (usage.choices, usage.usage is not None) == ([], True)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


def in_order_of_messages(events):
    """message_start (content_block_start content_block_delta* content_block_stop)* message_delta message_stop"""
    letters = {
        "message_start": "A",
        "content_block_start": "(",
        "content_block_delta": "-",
        "content_block_stop": ")",
        "message_delta": "Y",
        "message_stop": "Z",
    }
    said = "".join(letters.get(event.type, "") for event in events)
    assert re.fullmatch(r"A(\(-*\))*YZ", said), said
    indexes = [event.index for event in events if event.type == "content_block_start"]
    assert indexes == list(range(len(indexes)))


CLIENTS = {client.form: client for client in (Chat, Messages, Responses)}


def _given(**fields):
    return {name: value for name, value in fields.items() if value not in (None, (), [])}


# Chat completions


def chat_request(asked):
    system = [{"role": "system", "content": asked.system}] if asked.system else []
    choice = asked.choice
    if choice not in (None, "auto", "required", "none"):
        choice = {"type": "function", "function": {"name": choice}}
    return _given(
        messages=[*system, *(message for turn in asked.turns for message in _chat_turn(turn))],
        tools=[
            {
                "type": "function",
                "function": {"name": t.name, "description": t.description, "parameters": t.schema, "strict": True},
            }
            for t in asked.tools
        ],
        tool_choice=choice,
        parallel_tool_calls=None if asked.parallel else False,
        response_format=asked.shape,
        stop=list(asked.stop),
        max_completion_tokens=asked.limit,
        reasoning_effort=asked.effort,
    )


def _chat_turn(turn):
    if turn.role == "assistant":
        text = "".join(part.text for part in turn.parts if isinstance(part, Words))
        calls = [
            {"id": p.id, "type": "function", "function": {"name": p.name, "arguments": json.dumps(p.arguments)}}
            for p in turn.parts
            if isinstance(p, Calls)
        ]
        yield {"role": "assistant", "content": text or None, **_given(tool_calls=calls)}
        return
    results = [part for part in turn.parts if isinstance(part, Result)]
    yield from ({"role": "tool", "tool_call_id": part.call_id, "content": part.text} for part in results)
    rest = [part for part in turn.parts if not isinstance(part, Result)]
    if rest:
        yield {"role": "user", "content": [_chat_part(part) for part in rest]}


def _chat_part(part):
    if isinstance(part, Picture):
        return {"type": "image_url", "image_url": {"url": part.url}}
    return {"type": "text", "text": part.text}


def chat_answer(found):
    choice = found.choices[0]
    message, usage = choice.message, found.usage
    return Answer(
        text=message.content or "",
        thoughts=(message.model_extra or {}).get("reasoning_content") or "",
        refusal=message.refusal or "",
        calls=tuple(
            Calls(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()
        ),
        stop={"stop": "end", "tool_calls": "tools", "content_filter": "refused"}.get(
            choice.finish_reason, choice.finish_reason
        ),
        cost=(
            usage.prompt_tokens,
            usage.prompt_tokens_details.cached_tokens,
            usage.completion_tokens,
            usage.completion_tokens_details.reasoning_tokens,
        ),
        parsed=getattr(message, "parsed", None),
        raw=found,
    )


# Responses


def responses_request(asked):
    choice = asked.choice
    if choice not in (None, "auto", "required", "none"):
        choice = {"type": "function", "name": choice}
    return _given(
        instructions=asked.system,
        input=[item for turn in asked.turns for item in _responses_turn(turn)],
        tools=[
            {"type": "function", "name": t.name, "description": t.description, "parameters": t.schema, "strict": True}
            for t in asked.tools
        ],
        tool_choice=choice,
        parallel_tool_calls=None if asked.parallel else False,
        text_format=asked.shape,
        max_output_tokens=asked.limit,
        reasoning={"effort": asked.effort, "summary": "auto"} if asked.effort else None,
        extra_body={"stop": list(asked.stop)} if asked.stop else None,
    )


def _responses_turn(turn):
    for part in turn.parts:
        if isinstance(part, Calls):
            said = {"call_id": part.id, "name": part.name, "arguments": json.dumps(part.arguments)}
            yield {"type": "function_call", **said}
        elif isinstance(part, Result):
            yield {"type": "function_call_output", "call_id": part.call_id, "output": part.text}
        elif turn.role == "assistant":
            yield {"role": "assistant", "content": part.text}
    rest = [part for part in turn.parts if isinstance(part, Words | Picture)]
    if rest and turn.role == "user":
        yield {"role": "user", "content": [_responses_part(part) for part in rest]}


def _responses_part(part):
    if isinstance(part, Picture):
        return {"type": "input_image", "image_url": part.url, "detail": "auto"}
    return {"type": "input_text", "text": part.text}


def responses_answer(found):
    items, usage = found.output, found.usage
    contents = [content for item in items if item.type == "message" for content in item.content]
    thoughts = [part.text for item in items if item.type == "reasoning" for part in item.summary]
    calls = tuple(
        Calls(item.call_id, item.name, json.loads(item.arguments)) for item in items if item.type == "function_call"
    )
    why = found.incomplete_details.reason if found.incomplete_details else None
    stop = {"max_output_tokens": "length", "content_filter": "refused"}.get(why) or ("tools" if calls else "end")
    return Answer(
        text="".join(content.text for content in contents if content.type == "output_text"),
        thoughts="".join(thoughts),
        refusal="".join(content.refusal for content in contents if content.type == "refusal"),
        calls=calls,
        stop=stop,
        cost=(
            usage.input_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.output_tokens,
            usage.output_tokens_details.reasoning_tokens,
        ),
        parsed=next((c.parsed for c in contents if getattr(c, "parsed", None) is not None), None),
        raw=found,
    )


# Messages

BUDGETS = {"low": 2048, "medium": 8192}


def messages_request(asked):
    choice = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}.get(asked.choice)
    if asked.choice and choice is None:
        choice = {"type": "tool", "name": asked.choice}
    if not asked.parallel:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    budget = {"type": "enabled", "budget_tokens": BUDGETS[asked.effort]} if asked.effort else None
    return _given(
        max_tokens=asked.limit or MAX_TOKENS,
        system=asked.system,
        messages=[{"role": turn.role, "content": [_messages_part(p) for p in turn.parts]} for turn in asked.turns],
        tools=[
            {"name": t.name, "description": t.description, "input_schema": t.schema, "strict": True}
            for t in asked.tools
        ],
        tool_choice=choice,
        output_format=asked.shape,
        stop_sequences=list(asked.stop),
        thinking=budget,
    )


def _messages_part(part):
    if isinstance(part, Calls):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
    if isinstance(part, Result):
        return {"type": "tool_result", "tool_use_id": part.call_id, "content": part.text}
    if isinstance(part, Picture) and part.url.startswith("data:"):
        head, _, data = part.url.removeprefix("data:").partition(";base64,")
        return {"type": "image", "source": {"type": "base64", "media_type": head, "data": data}}
    if isinstance(part, Picture):
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "text", "text": part.text}


def messages_answer(found):
    usage, blocks = found.usage, found.content
    text = "".join(block.text for block in blocks if block.type == "text")
    refused = found.stop_reason == "refusal"
    cached = usage.cache_read_input_tokens or 0
    details = usage.output_tokens_details
    stops = {"end_turn": "end", "tool_use": "tools", "max_tokens": "length", "stop_sequence": "sequence"}
    return Answer(
        text="" if refused else text,
        thoughts="".join(block.thinking for block in blocks if block.type == "thinking"),
        refusal=text if refused else "",
        calls=tuple(Calls(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"),
        stop="refused" if refused else stops[found.stop_reason],
        cost=(
            usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
            cached,
            usage.output_tokens,
            details.thinking_tokens if details else 0,
        ),
        parsed=getattr(found, "parsed_output", None),
        raw=found,
    )


# What a provider was asked


def read(form, body):
    """A request's body as the question it asks; `shape` is the JSON schema here."""
    return {CHAT: _read_chat, MESSAGES: _read_messages, RESPONSES: _read_responses}[form](body)


def _text(content):
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def _merged(turns):
    """Neighbours of one role are one turn: formats differ in how they cut them."""
    out = []
    for turn in turns:
        if out and out[-1].role == turn.role:
            out[-1] = evolve(out[-1], parts=out[-1].parts + turn.parts)
        else:
            out.append(turn)
    return tuple(out)


def _parts(content):
    if isinstance(content, str):
        return (Words(content),) if content else ()
    return tuple(_part(part) for part in content or ())


def _part(part):
    kind = part["type"]
    if kind == "tool_use":
        return Calls(part["id"], part["name"], part["input"])
    if kind == "tool_result":
        return Result(part["tool_use_id"], _text(part["content"]))
    if kind == "image":
        source = part["source"]
        return Picture(source.get("url") or f"data:{source['media_type']};base64,{source['data']}")
    if kind in ("image_url", "input_image"):
        return Picture(part["image_url"] if kind == "input_image" else part["image_url"]["url"])
    return Words(part["text"])


def _read_chat(body):
    messages = body["messages"]
    system = "\n\n".join(_text(each["content"]) for each in messages if each["role"] in ("system", "developer"))
    choice, shape = body.get("tool_choice"), body.get("response_format")
    stop = body.get("stop") or ()
    return Ask(
        turns=_merged(turn for each in messages for turn in _read_chat_message(each)),
        system=system or None,
        tools=tuple(Tool(t["function"]["name"], t["function"].get("description")) for t in body.get("tools", ())),
        choice=choice["function"]["name"] if isinstance(choice, dict) else choice,
        parallel=body.get("parallel_tool_calls", True),
        shape=shape["json_schema"]["schema"] if shape else None,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        limit=body.get("max_completion_tokens", body.get("max_tokens")),
        effort=body.get("reasoning_effort"),
    )


def _read_chat_message(message):
    role = message["role"]
    if role == "tool":
        yield Turn("user", (Result(message["tool_call_id"], _text(message["content"])),))
    elif role in ("user", "assistant"):
        calls = tuple(
            Calls(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        )
        yield Turn(role, _parts(message["content"]) + calls)


def _read_messages(body):
    choice = body.get("tool_choice") or {}
    config = body.get("output_config") or {}
    return Ask(
        turns=_merged(
            Turn(each["role"], tuple(p for p in _parts_but_thinking(each["content"]))) for each in body["messages"]
        ),
        system=_text(body.get("system")) or None,
        tools=tuple(Tool(t["name"], t.get("description")) for t in body.get("tools", ())),
        choice={"auto": "auto", "any": "required", "none": "none", "tool": choice.get("name")}.get(choice.get("type")),
        parallel=not choice.get("disable_parallel_tool_use", False),
        shape=config["format"]["schema"] if config.get("format") else None,
        stop=tuple(body.get("stop_sequences") or ()),
        limit=body["max_tokens"],
        effort=config.get("effort") or _effort(body.get("thinking")),
    )


def _parts_but_thinking(content):
    if isinstance(content, list):
        content = [part for part in content if part["type"] != "thinking"]
    return _parts(content)


def _effort(thinking):
    budgets = {tokens: effort for effort, tokens in BUDGETS.items()}
    return budgets.get(thinking["budget_tokens"], thinking["budget_tokens"]) if thinking else None


def _read_responses(body):
    items = body["input"]
    items = [{"role": "user", "content": items}] if isinstance(items, str) else items
    choice = body.get("tool_choice")
    shape = (body.get("text") or {}).get("format")
    return Ask(
        turns=_merged(turn for item in items for turn in _read_item(item)),
        system=body.get("instructions"),
        tools=tuple(Tool(t["name"], t.get("description")) for t in body.get("tools", ())),
        choice=choice["name"] if isinstance(choice, dict) else choice,
        parallel=body.get("parallel_tool_calls", True),
        shape=shape["schema"] if shape else None,
        limit=body.get("max_output_tokens"),
        effort=(body.get("reasoning") or {}).get("effort"),
    )


def _read_item(item):
    kind = item.get("type", "message")
    if kind == "function_call":
        yield Turn("assistant", (Calls(item["call_id"], item["name"], json.loads(item["arguments"])),))
    elif kind == "function_call_output":
        yield Turn("user", (Result(item["call_id"], _text(item["output"])),))
    elif kind == "message":
        yield Turn(item["role"], _parts(item["content"]))
