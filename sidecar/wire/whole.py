"""
All of a body: the conversation in it, how it begins, and what is wrong with it.

The slower of two readers. `request` reads every body first, and comes here for the words, and with whatever is not
plainly as it should be; what is refused is refused here, with the path of the culprit.
"""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from attrs import frozen
from msgspec import UNSET, Meta, Raw

from sidecar.errors import RequestError
from sidecar.wire import chat, messages, responses
from sidecar.wire.conversation import Conversation
from sidecar.wire.formats import Format
from sidecar.wire.naming import ABSENT, Names
from sidecar.wire.opening import Opening, chat_opening, lists_tools, messages_opening, responses_opening
from sidecar.wire.parts import check_content

NO_PREFERENCES = Raw(b"null")
MOST_OF_A_NAME = 256
"""Of a model, in characters. It ends up in headers and logs; no provider has a longer one."""
ModelName = Annotated[str, Meta(max_length=MOST_OF_A_NAME)]


class Asked(Names):
    """What a request asks for beside its conversation, but for the model, which each reader takes in its own way."""

    # Any and not object: of that one the faster reader would be asked each time, 0.1 µs a field.
    routing_preferences: Raw = NO_PREFERENCES
    stream: Any = None
    tools: Raw = ABSENT
    stream_options: Any = UNSET
    """Chat completions have them."""


class _Asked(Asked):
    model: ModelName | None = None


class _Chat(_Asked, kw_only=True):
    messages: list[chat.Message]


class _Messages(_Asked, kw_only=True):
    messages: list[chat.Message]
    system: object = None


class _Responses(_Asked):
    input: object = None
    instructions: object = None
    previous_response_id: object = None
    prompt: object = None


@frozen
class Whole:
    """A body that was read as a whole."""

    asked: Asked
    model: str | None
    """As the client wrote it: an id, a bare name, an alias, or nothing we know."""
    conversation: Callable[[], Conversation]
    opening: Callable[[], Opening]
    """How its conversation begins."""
    lists_tools: bool = False
    """Whether its conversation begins with a list of tools."""


_chat_decoder = msgspec.json.Decoder(_Chat)
_messages_decoder = msgspec.json.Decoder(_Messages)
_responses_decoder = msgspec.json.Decoder(_Responses)


def whole(form: Format, body: bytes) -> Whole:
    """
    `body`: the JSON text of one request, UTF-8.

    Raises RequestError, with `param`, the path of the culprit, when there is nothing to answer or what is said is of
    no legal type; msgspec.ValidationError when another field is of the wrong type; msgspec.DecodeError when it is not
    JSON, and RecursionError when it is nested too deeply.
    """
    return _READERS[form](body)


def _chat(body: bytes) -> Whole:
    asked = _chat_decoder.decode(body)
    _need_messages(asked.messages)
    return Whole(
        asked,
        asked.model,
        lambda: chat.conversation(asked.messages),
        lambda: chat_opening(asked.messages, asked.tools),
    )


def _messages(body: bytes) -> Whole:
    asked = _messages_decoder.decode(body)
    _need_messages(asked.messages)
    check_content(asked.system, "system")
    return Whole(
        asked,
        asked.model,
        lambda: messages.conversation(asked.system, asked.messages),
        lambda: messages_opening(asked.system, asked.messages, asked.tools),
    )


def _responses(body: bytes) -> Whole:
    asked = _responses_decoder.decode(body)
    responses.check(asked.input)
    check_content(asked.instructions, "instructions")
    if not (asked.input or asked.previous_response_id or asked.conversation or asked.prompt):
        raise RequestError("input must not be empty", param="input")
    return Whole(
        asked,
        asked.model,
        lambda: responses.conversation(asked.instructions, asked.input),
        lambda: _responses_opening(asked),
        lists_tools=lists_tools(asked.input),
    )


def _responses_opening(asked: _Responses) -> Opening:
    begins_here = not (asked.previous_response_id or asked.conversation)
    return responses_opening(asked.instructions, asked.input, asked.tools, prompt=asked.prompt, whole=begins_here)


_READERS = {Format.CHAT: _chat, Format.MESSAGES: _messages, Format.RESPONSES: _responses}


def _need_messages(found: list[chat.Message]) -> None:
    if not found:
        raise RequestError("messages must not be empty", param="messages")
    chat.check(found)
