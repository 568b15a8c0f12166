"""
A body -> the few things in it that we act on. Everything else is neither read nor judged.

A body is decoded once, straight into the fields below; its conversation is checked and not kept: nobody asks a request
that has a pin what was said in it. Who does ask gets it from `whole`, which reads the body once more, as does what is
not plainly in order here, to be told what is wrong with it.

Of a conversation that is carried on only what is new is decoded: see `growth`.

How often the body names its model is counted on the way: who then puts another name in its place need not search 100 KB
for it, which takes as long as decoding them.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from sidecar.errors import InvalidJson, RequestError
from sidecar.wire.chat import Message
from sidecar.wire.conversation import Conversation
from sidecar.wire.formats import Format
from sidecar.wire.growth import LONG_BYTES, MARK, Grammar, Texts
from sidecar.wire.opening import ADDITIONAL_TOOLS, Opening, chat_opening, messages_opening, offers_tools
from sidecar.wire.parts import Content
from sidecar.wire.whole import MOST_OF_A_NAME, NO_PREFERENCES, Asked, Whole, whole


class _Model:
    """What stands in the place of a model's name: the name itself goes to the `_Reader`."""

    __slots__ = ()


_MODEL = _Model()


class _Asked(Asked):
    model: _Model = _MODEL


class _Message(Message):
    content: Content = None


class _Item(Struct):
    """A message of an `input`; any other item too, as long as it holds nothing here that a message could not."""

    role: str = ""
    content: Content = None
    type: Any = None


class _Chat(_Asked, kw_only=True):
    messages: list[_Message]


class _Messages(_Asked, kw_only=True):
    messages: list[_Message]
    system: Content = None


class _Responses(_Asked):
    input: str | list[_Item] | None = None
    instructions: Content = None
    previous_response_id: Any = None
    prompt: Any = None


Shape = TypeVar("Shape", bound=_Asked)


class Request(Struct, eq=False):
    """What a client asks for, whatever its format."""

    format: Format
    model: str | None
    """As the client wrote it: an id, a bare name, an alias, or nothing we know."""
    stream: bool
    """Whether the answer is to come as a stream."""
    names: Asked
    """What may name its session."""
    _body: bytes
    named_once: bool = False
    """
    Whether its top level is known to have `model` just once, however the key is spelt, and no `routing_preferences`:
    what `wire.splice` may rely on.
    """
    _whole: Whole | None = None

    @property
    def preferences(self) -> Raw:
        """The JSON of the body's `routing_preferences`, `null` when it has none. Not yet validated."""
        return self.names.routing_preferences

    @property
    def include_usage(self) -> bool:
        """Chat completions: whether the stream is to end with its usage."""
        return self._usage() is True

    @property
    def usage_unasked(self) -> bool:
        """
        Chat completions: whether it is a stream whose usage was not asked for, and could be in the client's place. What
        is malformed is left for the provider to judge.
        """
        return self.stream and self._usage() is False

    @property
    def has_options(self) -> bool:
        """Whether its top level has `stream_options`."""
        return self.names.stream_options is not UNSET

    @property
    def has_tools(self) -> bool:
        """Whether it offers the model tools: in `tools`, or in the first of the items of a Responses `input`."""
        return offers_tools(self.names.tools) or self._begins_with_tools()

    def conversation(self) -> Conversation:
        """What is said in it. Raises InvalidJson when that is nested too deeply to be read from here."""
        return self._in_whole().conversation()

    def beginning(self) -> tuple[str, str]:
        """The text of the system prompt, and of the user's first message; empty where there is none."""
        asked = self.names
        if isinstance(asked, _Chat):
            opening = chat_opening(asked.messages, asked.tools)
        elif isinstance(asked, _Messages):
            opening = messages_opening(asked.system, asked.messages, asked.tools)
        else:
            opening = self.opening()
        return opening.system, opening.first_user

    def opening(self) -> Opening:
        """How its conversation begins. Raises as `conversation`."""
        return self._in_whole().opening()

    def _begins_with_tools(self) -> bool:
        if self._whole is not None:
            return self._whole.lists_tools
        given = self.names.input if isinstance(self.names, _Responses) else None
        return isinstance(given, list) and bool(given) and given[0].type == ADDITIONAL_TOOLS

    def _usage(self) -> object:
        options = self.names.stream_options
        if self.format is not Format.CHAT:
            return None
        if options is UNSET:
            return False
        return options.get("include_usage", False) if isinstance(options, dict) else None

    def _in_whole(self) -> Whole:
        if self._whole is None:
            try:
                self._whole = whole(self.format, self._body)
            except RecursionError as exc:  # the way here is longer than that to `parse`
                raise _too_deep() from exc
        return self._whole


class _Reader(Generic[Shape]):
    """Reads bodies of one format, one after the other: it belongs to the thread of the event loop."""

    def __init__(
        self, form: Format, shape: type[Shape], says: Callable[[Shape], object], key: str, item: type[Struct] = _Message
    ) -> None:
        """`says`: gives something true when there is something to answer; `key`: under which the `item`s are."""
        self._form = form
        self._says = says
        self._decode = msgspec.json.Decoder(shape, dec_hook=self._met).decode
        self._models: list[str] = []
        self._grammar = Grammar(key, msgspec.json.Decoder(list[item]).decode)  # type: ignore[valid-type]

    def read(self, body: bytes) -> Request | None:
        """
        A request in which everything is plainly as it should be; None for any other, whether it is wrong or not: one
        that names its model twice too.
        """
        self._models.clear()
        try:
            asked = self._decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        if not self._says(asked):
            return None
        model = self._models[0] if self._models else None
        once = model is not None and asked.routing_preferences is NO_PREFERENCES
        return Request(self._form, model, asked.stream is True, asked, body, once)

    def read_on(self, body: bytes, texts: Texts, session: str) -> Request | None:
        """As `read`, and of a body that carries on what `texts` knows, only what is new."""
        text = texts.of(session, self._grammar, body)
        if text is None:
            return None
        unread = text.unread()
        if not unread.isascii():
            unread.decode()
        found = self.read(unread)
        items = None if found is None else getattr(found.names, self._grammar.key)
        if found is None or not isinstance(items, list) or items[0].role != MARK:  # another list under the same key
            return None
        items[:1] = text.first
        texts.keep(session, self._grammar, text)
        return Request(self._form, found.model, found.stream, found.names, body, found.named_once)

    def _met(self, kind: type, value: Any) -> Any:
        """The decoder asks about each value of a type of ours, a second one under the same key too."""
        if kind is not _Model:
            return value
        if type(value) is not str or len(value) > MOST_OF_A_NAME or self._models:
            raise ValueError
        self._models.append(value)
        return _MODEL


def _says(asked: _Responses) -> object:
    return asked.input or asked.previous_response_id or asked.conversation or asked.prompt


_READERS: dict[Format, _Reader[Any]] = {
    Format.CHAT: _Reader(Format.CHAT, _Chat, attrgetter("messages"), "messages"),
    Format.MESSAGES: _Reader(Format.MESSAGES, _Messages, attrgetter("messages"), "messages"),
    Format.RESPONSES: _Reader(Format.RESPONSES, _Responses, _says, "input", _Item),
}


def parse(
    form: Format, body: bytes, *, in_whole: bool = False, texts: Texts | None = None, session: str | None = None
) -> Request:
    """
    `body`: the JSON text of one request, decompressed, UTF-8. `in_whole`: somebody will ask for its conversation.
    `texts`: what is known of the conversation that a header called `session`, whose next request this may be.

    Raises InvalidJson when it is not JSON or not UTF-8, RequestError (with `param`, the path of the culprit) when a
    field we act on has the wrong type or there is nothing to answer.
    """
    if texts is not None and session is not None and not in_whole and len(body) >= LONG_BYTES:
        try:
            if (found := _READERS[form].read_on(body, texts, session)) is not None:
                return found
        except UnicodeDecodeError:
            pass  # what follows tells its place in all of the body
    try:
        if not body.isascii():  # the decoder checks only the strings it keeps
            body.decode()
        return (None if in_whole else _READERS[form].read(body)) or _in_whole(form, body)
    except UnicodeDecodeError as exc:
        raise InvalidJson(f"The body is not UTF-8: byte {exc.start} cannot be read.") from exc
    except msgspec.ValidationError as exc:
        raise _wrong_type(str(exc)) from exc
    except msgspec.DecodeError as exc:
        raise InvalidJson(f"The body is not valid JSON: {exc}.") from exc
    except RecursionError as exc:
        raise _too_deep() from exc


def _in_whole(form: Format, body: bytes) -> Request:
    found = whole(form, body)
    asked = found.asked
    return Request(form, found.model, asked.stream is True, asked, body, _whole=found)


def _too_deep() -> InvalidJson:
    return InvalidJson("The body is nested too deeply.")


def _wrong_type(said: str) -> RequestError:
    """msgspec says ``Expected `str`, got `int` - at `$.messages[0].role` ``; we say the place first."""
    what, _, place = said.partition(" - at `$")
    path = place.rstrip("`").lstrip(".")
    message = f"{path}: {what}" if path else what
    return RequestError(message.replace("`", ""), param=path or None)
