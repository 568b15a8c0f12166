"""
A body -> the few things in it that we act on. Everything else is neither read nor judged.

The body is decoded once, straight into the fields below; the conversation is put together only when somebody asks for
it, so that a pinned request never pays for it.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
from attrs import field, frozen
from msgspec import UNSET, Meta, Raw

from sidecar.errors import InvalidJson, RequestError
from sidecar.wire import chat, messages, responses
from sidecar.wire.conversation import Conversation
from sidecar.wire.formats import Format
from sidecar.wire.naming import ABSENT, Names
from sidecar.wire.opening import Opening, chat_opening, messages_opening, offers_tools, responses_opening
from sidecar.wire.parts import check_content

NO_PREFERENCES = Raw(b"null")


@frozen
class Request:
    """What a client asks for, whatever its format."""

    format: Format
    model: str | None
    """As the client wrote it: an id, a bare name, an alias, or nothing we know."""
    preferences: Raw
    """The JSON of the body's `routing_preferences`, `null` when it has none. Not yet validated."""
    conversation: Callable[[], Conversation]
    stream: bool = False
    """Whether the answer is to come as a stream."""
    include_usage: bool = False
    """Chat completions: whether the stream is to end with its usage."""
    usage_unasked: bool = False
    """Chat completions: whether it is a stream whose usage was not asked for, and could be in the client's place. What
    is malformed is left for the provider to judge."""
    has_tools: bool = True
    """Whether it offers the model tools."""
    opening: Callable[[], Opening] = Opening
    """How its conversation begins."""
    names: Names = field(factory=Names, eq=False)
    """What may name its session."""


ModelName = Annotated[str, Meta(max_length=256)]
"""It ends up in headers and logs; no provider has a longer one."""


class _Body(Names):
    model: ModelName | None = None
    routing_preferences: Raw = NO_PREFERENCES
    stream: object = None
    tools: Raw = ABSENT


class _ChatBody(_Body, kw_only=True):
    messages: list[chat.Message]
    stream_options: object = UNSET


class _MessagesBody(_Body, kw_only=True):
    messages: list[chat.Message]
    system: object = None


class _ResponsesBody(_Body):
    input: object = None
    instructions: object = None
    previous_response_id: object = None
    prompt: object = None


_chat_decoder = msgspec.json.Decoder(_ChatBody)
_messages_decoder = msgspec.json.Decoder(_MessagesBody)
_responses_decoder = msgspec.json.Decoder(_ResponsesBody)


def parse(form: Format, body: bytes) -> Request:
    """
    `body`: the JSON text of one request, decompressed, UTF-8.

    Raises InvalidJson when it is not JSON or not UTF-8, RequestError (with `param`, the path of the culprit) when a
    field we act on has the wrong type or there is nothing to answer.
    """
    try:
        if not body.isascii():  # the decoder checks only the strings it keeps
            body.decode()
        return _PARSERS[form](body)
    except UnicodeDecodeError as exc:
        raise InvalidJson(f"The body is not UTF-8: byte {exc.start} cannot be read.") from exc
    except msgspec.ValidationError as exc:
        raise _wrong_type(str(exc)) from exc
    except msgspec.DecodeError as exc:
        raise InvalidJson(f"The body is not valid JSON: {exc}.") from exc
    except RecursionError as exc:
        raise InvalidJson("The body is nested too deeply.") from exc


def _parse_chat(body: bytes) -> Request:
    asked = _chat_decoder.decode(body)
    _need_messages(asked.messages)
    options = {} if asked.stream_options is UNSET else asked.stream_options
    usage = options.get("include_usage", False) if isinstance(options, dict) else None
    return Request(
        Format.CHAT,
        asked.model,
        asked.routing_preferences,
        lambda: chat.conversation(asked.messages),
        asked.stream is True,
        include_usage=usage is True,
        usage_unasked=usage is False and asked.stream is True,
        has_tools=offers_tools(asked.tools),
        opening=lambda: chat_opening(asked.messages, asked.tools),
        names=asked,
    )


def _parse_messages(body: bytes) -> Request:
    asked = _messages_decoder.decode(body)
    _need_messages(asked.messages)
    check_content(asked.system, "system")
    return Request(
        Format.MESSAGES,
        asked.model,
        asked.routing_preferences,
        lambda: messages.conversation(asked.system, asked.messages),
        asked.stream is True,
        has_tools=offers_tools(asked.tools),
        opening=lambda: messages_opening(asked.system, asked.messages, asked.tools),
        names=asked,
    )


def _parse_responses(body: bytes) -> Request:
    asked = _responses_decoder.decode(body)
    responses.check(asked.input)
    check_content(asked.instructions, "instructions")
    if not (asked.input or asked.previous_response_id or asked.conversation or asked.prompt):
        raise RequestError("input must not be empty", param="input")
    return Request(
        Format.RESPONSES,
        asked.model,
        asked.routing_preferences,
        lambda: responses.conversation(asked.instructions, asked.input),
        asked.stream is True,
        has_tools=offers_tools(asked.tools, asked.input),
        opening=lambda: _responses_opening(asked),
        names=asked,
    )


def _responses_opening(asked: _ResponsesBody) -> Opening:
    begins_here = not (asked.previous_response_id or asked.conversation)
    return responses_opening(asked.instructions, asked.input, asked.tools, prompt=asked.prompt, whole=begins_here)


_PARSERS = {Format.CHAT: _parse_chat, Format.MESSAGES: _parse_messages, Format.RESPONSES: _parse_responses}


def _need_messages(found: list[chat.Message]) -> None:
    if not found:
        raise RequestError("messages must not be empty", param="messages")
    chat.check(found)


def _wrong_type(said: str) -> RequestError:
    """msgspec says ``Expected `str`, got `int` - at `$.messages[0].role` ``; we say the place first."""
    what, _, place = said.partition(" - at `$")
    path = place.rstrip("`").lstrip(".")
    message = f"{path}: {what}" if path else what
    return RequestError(message.replace("`", ""), param=path or None)
