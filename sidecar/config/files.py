"""
Reading files: the only place that opens one. Bounded, UTF-8, and every way it can fail is a sentence.
"""

from pathlib import Path

from sidecar.config.document import Node
from sidecar.config.reading import Reading, Wrong
from sidecar.config.values import MAX_PROSE_CHARS, typed_text

MAX_FILE_BYTES = 1024 * 1024
MAX_TEMPLATE_BYTES = 64 * 1024


def read_bounded(path: Path, limit: int = MAX_FILE_BYTES) -> str:
    """The text of a file. Raises Wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "that is no path"
        raise Wrong(f"cannot be read: {reason}") from exc
    if len(data) > limit:
        raise Wrong(f"is too large: it may have {limit} bytes at most")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Wrong(f"is not UTF-8 text: byte {exc.start} does not belong there") from exc


def template(node: Node, reading: Reading) -> str:
    """The text of the file that the value names, beside the configuration file."""
    path = reading.folder / typed_text(node)
    reading.files.append(str(path))
    try:
        text = read_bounded(path, MAX_TEMPLATE_BYTES)
    except Wrong as wrong:
        raise Wrong(f"names the file {node.shown}, which {wrong}") from wrong
    if not text.strip():
        raise Wrong(f"names the file {node.shown}, which is empty")
    return text


def log_path(node: Node, reading: Reading) -> str:
    """`stdout`, or the path of a file to write to."""
    return typed_path(node, reading, "off, stdout or a file's path")


def typed_path(node: Node, _reading: Reading, wanted: str = "a file's path") -> str:
    """A file's path, seen from where the program runs. Nothing is opened here. `wanted`: the words for a message."""
    path = typed_text(node)
    if not path.strip() or not path.isprintable() or len(path) > MAX_PROSE_CHARS or path.endswith("/"):
        raise Wrong(f"must be {wanted}, got {node.shown}")
    return path


def readable_path(node: Node, reading: Reading) -> str:
    """The path of a file, beside the configuration file, that others will read (certificates), and that can be read now."""
    path = reading.folder / typed_path(node, reading)
    reading.files.append(str(path))
    try:
        read_bounded(path)
    except Wrong as wrong:
        raise Wrong(f"names the file {node.shown}, which {wrong}") from wrong
    return str(path)
