"""
The content of a message: a string, null, or a list of parts, of which only those with text matter here.

All three formats write text as `{"type": ..., "text": "..."}`; what else a part may be (images, audio, files, thinking,
citations, kinds yet to be invented) has no text for a classifier and passes by.
"""

from collections.abc import Iterator

from msgspec import Struct

from sidecar.errors import RequestError


class Part(Struct):
    """A part, for whoever wants its text alone."""

    text: str | None = None


Content = str | list[Part] | None
"""What `check_content` finds nothing wrong with, as a type that is checked while a body is decoded."""


def check_content(content: object, path: str) -> None:
    """
    Raises RequestError, with the path of the culprit, unless `content` is a string, null, or a list of objects whose
    `text`, where present, is a string or null.
    """
    if isinstance(content, str) or content is None:
        return
    if not isinstance(content, list):
        raise RequestError(f"{path} must be a string, a list of parts or null", param=path)
    for part in content:
        if not isinstance(part, dict):
            where = f"{path}[{content.index(part)}]"
            raise RequestError(f"{where} must be an object", param=where)
        if not isinstance(part.get("text"), str | None):
            where = f"{path}[{content.index(part)}].text"
            raise RequestError(f"{where} must be a string", param=where)


def text_of(content: object) -> str:
    """The text of a content, parts joined by a newline. Anything without text gives the empty string. Never raises."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_texts(content))
    return ""


def _texts(parts: list[object]) -> Iterator[str]:
    for part in parts:
        text = part.text if isinstance(part, Part) else part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str) and text:
            yield text
