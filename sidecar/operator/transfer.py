"""
`sidecar pins export` and `import`: the whole pin table as lines of JSON, out of one sidecar and into another.

An export names sessions, so a file of it is its owner's only. It appears whole or not at all: it is written beside the
place where it belongs, and moved there when it is complete.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from sidecar.errors import SidecarError
from sidecar.operator.answer import Answer
from sidecar.operator.calling import AdminPort, NotASidecar
from sidecar.operator.tables import clean, number

_BEGINS = b'{"format":"sidecar-pins"'
_SHOWN = 20
"""So many refused lines are told; --json has those that the sidecar tells of, which are not all when they are masses."""


class BadFile(SidecarError):
    """A file cannot be written or read."""

    code = "bad_file"


def exported(port: AdminPort, path: Path) -> Answer:
    """Writes the pins to a file. Raises BadFile, and then the file is what it was before."""
    try:
        path = path.resolve()  # a link stays one
        if path.exists() and not path.is_file():
            raise BadFile(f"{path} cannot be written: it is no ordinary file; without a name standard output is taken")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:  # mode 0600
            try:
                lines = _written(port, file)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as exc:
        raise BadFile(f"{path} cannot be written: {exc.strerror}") from exc
    pins = max(0, lines - 1)  # the first describes the others
    return Answer({"exported": pins, "file": str(path)}, [f"{number(pins)} pins in {clean(str(path))}"])


def _written(port: AdminPort, file: IO[bytes]) -> int:
    """How many lines."""
    lines = 0
    for piece in _lines(port):
        lines += piece.count(b"\n")
        file.write(piece)
    file.flush()
    os.fsync(file.fileno())
    return lines


def streamed(port: AdminPort) -> Answer:
    """The pins themselves, as they come."""
    return Answer(raw=_lines(port))


def _lines(port: AdminPort) -> Iterator[bytes]:
    """Raises NotASidecar before anything is passed on: a page of another program is no export, with whatever status."""
    pieces = port.download("/pins/export")
    first = next(pieces, b"")
    if not first.startswith(_BEGINS):
        raise NotASidecar(f"{port.url} gives no export of pins: is it another program, or another port?")
    yield first
    yield from pieces


def imported(port: AdminPort, path: Path, *, overwrite: bool) -> Answer:
    """Gives a sidecar the pins of a file. Raises BadFile. Exit code 1 when lines of it were refused."""
    try:
        with path.open("rb") as file:
            return _sent(port, file, overwrite=overwrite)
    except OSError as exc:
        raise BadFile(f"{path} cannot be read: {exc.strerror}") from exc


def _sent(port: AdminPort, file: BinaryIO, *, overwrite: bool) -> Answer:
    result = port.patient().call("POST", "/pins/import", {"overwrite": "true"} if overwrite else {}, file)
    refused = result["refused"]
    total = result.get("refused_total", len(refused))
    counts = (("imported", result["imported"]), ("kept as they were", result["kept"]), ("refused", total))
    lines = [", ".join(f"{number(count)} {what}" for what, count in counts)]
    lines += [f"  line {each['line']}: {clean(each['why'])}" for each in refused[:_SHOWN]]
    if (more := total - len(refused[:_SHOWN])) > 0:
        named = "them" if total == len(refused) else f"the first {number(len(refused))}"
        lines.append(f"  and {number(more)} more: --json names {named}")
    return Answer(result, lines, 1 if total else 0)
