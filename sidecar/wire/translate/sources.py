"""Where an image's or a file's bytes are: a URL, or in the body. RFC 2397: `data:image/png;base64,<data>`."""

from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.neutral import Inline, Url


def of_url(url: str, path: str) -> Url | Inline:
    """Raises UnsupportedField for a data URL that is not base64, which only OpenAI's format could carry."""
    if not url.startswith("data:"):
        return Url(url)
    head, _, data = url.removeprefix("data:").partition(",")
    media_type, *parameters = head.split(";")
    if "base64" not in parameters:
        raise UnsupportedField(path, "a data URL must be base64")
    return Inline(media_type or "application/octet-stream", data)


def of_file_data(data: str, name: str | None, path: str) -> Inline:
    """`file_data` is a data URL by the book; bare base64 is accepted in practice and taken for a PDF unless named."""
    if data.startswith("data:"):
        found = of_url(data, path)
        if isinstance(found, Inline):
            return found
    text = name is not None and name.lower().endswith((".txt", ".md"))
    return Inline("text/plain" if text else "application/pdf", data)
