"""
A language model as classifier: it is shown the routes and the conversation, and names a route.

Any endpoint that speaks OpenAI's chat completions will do, from a small general model to one made for routing
(Arch-Router, Plano-Orchestrator). Models keep the answer's format only more or less, so reading the answer is the
longer half of this file, and it is lenient: the last thing in the answer that looks like `"route": …` counts. The last
and not the first, because a model that thinks aloud comes to its conclusion at the end, and what it repeats of the
conversation, planted answers included, comes before.
"""

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Annotated, Protocol

import msgspec

from sidecar.config.models import Route
from sidecar.errors import ConfigError, UpstreamError
from sidecar.routing.intent import Intent
from sidecar.routing.verdict import NO_MATCH, Verdict
from sidecar.wire.conversation import Role, Turn

MAX_TOKENS = 256
"""A route's name takes about ten. The rest is for a model that thinks aloud: more would not come within the timeout."""
ANSWER_TAIL = 2_000
"""Characters at the end of an answer that are read. An answer of MAX_TOKENS is shorter; one of a megabyte costs no more."""
EXAMPLES_SHOWN = 3
EXAMPLE_LENGTH = 200
"""Of each route, so many examples of at most so many characters are shown: prompts cost time."""


class PostJson(Protocol):
    """What this classifier needs of its endpoint: POST a JSON body to a path, get the decoded answer, or an error."""

    async def post(self, path: str, body: Mapping[str, object]) -> object: ...


class LlmClassifier:
    def __init__(self, endpoint: PostJson, model: str, template: str | None = None) -> None:
        """
        `template` is the text of the prompt, with `{routes}` and `{conversation}` where their JSON goes; None is ours.

        Raises `ConfigError` when a placeholder is missing.
        """
        self._endpoint = endpoint
        self._model = model
        self._template = checked_template(template) if template is not None else our_template()

    async def classify(self, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        """
        The route that the model names, with confidence 1.0: a name comes without a probability. No scores.

        A conversation without any text is no match, and nothing is asked. Raises `SidecarError` when the endpoint
        fails or its answer is no chat completion.
        """
        if not intent.latest and not intent.earlier:
            return NO_MATCH
        answer = await self._endpoint.post("/chat/completions", self._question(intent, routes))
        route = named_route(answer_text(answer), tuple(route.name for route in routes))
        return NO_MATCH if route is None else Verdict(route, confidence=1.0)

    def _question(self, intent: Intent, routes: tuple[Route, ...]) -> dict[str, object]:
        """https://platform.openai.com/docs/api-reference/chat/create; these fields are known to every server."""
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt(self._template, intent, routes)}],
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
            "stream": False,
        }


# The question


def our_template() -> str:
    return resources.files("sidecar.classifiers").joinpath("prompt.txt").read_text(encoding="utf-8")


def checked_template(template: str) -> str:
    if missing := [name for name in ("{routes}", "{conversation}") if name not in template]:
        raise ConfigError(f"the classifier's template must contain {' and '.join(missing)}")
    return template


def prompt(template: str, intent: Intent, routes: tuple[Route, ...]) -> str:
    """The template with both placeholders filled, in one pass: braces in what is filled in stay as they are."""
    turns = (*intent.earlier, Turn(Role.USER, intent.latest)) if intent.latest else intent.earlier
    filling = {
        "{routes}": _json([_shown(route) for route in routes]),
        "{conversation}": _json([{"role": turn.role.value, "content": turn.text} for turn in turns]),
    }
    return re.sub(r"\{(?:routes|conversation)\}", lambda found: filling[found[0]], template)


def _shown(route: Route) -> dict[str, object]:
    shown: dict[str, object] = {"name": route.name, "description": route.description}
    if route.examples:
        shown["examples"] = [example[:EXAMPLE_LENGTH] for example in route.examples[:EXAMPLES_SHOWN]]
    return shown


def _json(value: object) -> str:
    """JSON in which no text can close a tag of the template: `</` is written `<\\/`, which means the same."""
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")


# The answer


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    """https://platform.openai.com/docs/api-reference/chat/object, as far as it is read."""

    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]


def answer_text(answer: object) -> str:
    """What the model said, "" for null. Raises `UpstreamError` when `answer` is no chat completion."""
    try:
        return msgspec.convert(answer, _Completion).choices[0].message.content or ""
    except msgspec.ValidationError as exc:
        raise UpstreamError("the classifier's endpoint answered with something that is no chat completion") from exc


_STRING = r"""("(?:[^"\\]|\\.){0,300}"|'(?:[^'\\]|\\.){0,300}')"""
_WORDS = r"""([^\s"',\[\]{}][^"',\]}\n]{0,300})"""
_ROUTE = re.compile(rf"""\broute["']?\s{{0,20}}:\s{{0,20}}(?:\[([^\]]{{0,400}})|{_STRING}|{_WORDS})""", re.IGNORECASE)
"""
The key `route` with a list, a string, or plain words such as null; JSON or Python, with or without braces and quotes.

Not a JSON parser on purpose: fenced, nested, cut-off and single-quoted answers are all the same to it. Every
repetition is bounded, so no text makes it slow.
"""


def named_route(text: str, names: Sequence[str]) -> str | None:
    """
    The one of `names` that the answer `text` names, or None.

    A name written differently only in case, spaces, `_` and `-` is taken for the route, unless another is exactly it.
    "other" means no match merely by not being a route: where a route has that name, it is that route.
    """
    text = _without_thoughts(text)[-ANSWER_TAIL:]
    return next((name for word in _said(text) if (name := _known(word, names)) is not None), None)


def _said(text: str) -> list[str]:
    """What could be names in the last `"route": …`, in order; in an answer without one, the answer itself."""
    found = list(_ROUTE.finditer(text))
    if not found:
        return _bare(text)
    listed, string, words = found[-1].groups()
    return _bare(words) if words else _strings(listed or string or "")


def _without_thoughts(text: str) -> str:
    """Without `<think>…</think>`. Some servers give only the closing tag; without one, the thoughts never ended."""
    _, _, spoken = text.rpartition("</think>")
    return spoken.partition("<think>")[0]


def _strings(text: str) -> list[str]:
    return [_unquoted(found[0]) for found in re.finditer(_STRING, text)]


def _unquoted(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        return quoted[1:-1]


def _bare(text: str) -> list[str]:
    """The readings of an answer that is nothing but a name, as it stands or dressed up as ```` ```name``` ````."""
    return [text.strip(), re.sub(r"^```\w*\n", "", text.strip()).strip(" \t\r\n`'\"*.[](){}")]


def _known(word: str, names: Sequence[str]) -> str | None:
    if word in names:
        return word
    folded = _folded(word)
    return next((name for name in names if folded and _folded(name) == folded), None)


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()
