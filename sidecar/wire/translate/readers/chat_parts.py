"""
The content of a chat message: a string, null, or parts.

    {"type": "text", "text"} · {"type": "image_url", "image_url": {"url", "detail"}} · {"type": "refusal", "refusal"}
    {"type": "file", "file": {"file_data", "filename"}} · {"type": "input_audio", "input_audio": {"data", "format"}}
"""

from collections.abc import Iterator

from sidecar.wire.translate import sources
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import Fields
from sidecar.wire.translate.neutral import Audio, File, Image, Part, Refusal, Text
from sidecar.wire.translate.readers import common


def content(message: Fields) -> tuple[Part, ...]:
    return common.content(message, "content", _part)


def _part(fields: Fields) -> Iterator[Part]:
    kind = fields.text("type")
    if kind == "text":
        yield Text(fields.text("text"))
    elif kind == "refusal":
        yield Refusal(fields.text("refusal"))
    elif kind == "image_url":
        yield _image(fields)
    elif kind == "file":
        yield _file(fields.need_object("file"), fields.path)
    elif kind == "input_audio":
        inner = fields.need_object("input_audio")
        yield Audio(inner.text("data"), inner.text("format"), fields.path)
    else:
        raise UnsupportedField(fields.path, f"nobody else has parts of the type '{kind[:32]}'")
    fields.close()


def _image(fields: Fields) -> Image:
    given = fields.need("image_url", (str, dict))
    if isinstance(given, str):
        return Image(sources.of_url(given, fields.at("image_url")), path=fields.path)
    inner = Fields(given, fields.at("image_url"), fields.notes)
    detail = inner.take("detail", str)
    source = sources.of_url(inner.text("url"), inner.at("url"))
    inner.close()
    return Image(source, None if detail == "auto" else detail, inner.path)


def _file(inner: Fields, path: str) -> File:
    data, name = inner.take("file_data", str), inner.take("filename", str)
    if data is None:
        raise UnsupportedField(inner.at("file_id"), "the file lies at another provider")
    inner.close()
    return File(sources.of_file_data(data, name, inner.at("file_data")), name, path)
