"""
The weights file: a header of JSON, then the parts it names, one after the other.

    "SIDECAR1" | length of the header, 4 bytes little-endian | header | parts

The header says where each part begins and how long it is, and carries the few numbers that are no rows. Names are lines
of UTF-8; rows are bytes with 128 added (lanes.py), one weight of a byte for each row. Written by
tests/training/train.py; nothing here is executable, and nothing is unpacked before it is asked for.
"""

import json
from importlib.resources import files

from attrs import frozen

from sidecar.classifiers.embedded.lanes import Table, Vector

MAGIC = b"SIDECAR1"


@frozen
class Linear:
    """A linear model over named features and a dense vector: rows of features summed, plus dense x matrix, plus bias."""

    table: Table
    dense: tuple[Vector, ...]
    """A row for each output."""
    bias: tuple[float, ...]


@frozen
class Weights:
    embedding: Table
    tasks: Linear
    """A text -> task types."""
    purposes: Linear
    """A route's name and description -> the task types it covers."""
    kinds: tuple[str, ...]
    """The names of the task types, in the order of the outputs."""
    settings: dict[str, float]
    """The blend's constants, fitted together with the weights."""


def load() -> Weights:
    """The weights in this package."""
    return read(files(__package__).joinpath("weights.bin").read_bytes())


def read(data: bytes) -> Weights:
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("this is no weights file of this version")
    start = len(MAGIC) + 4
    end = start + int.from_bytes(data[len(MAGIC) : start], "little")
    header = json.loads(data[start:end])

    def part(name: str) -> bytes:
        at, length = header["parts"][name]
        return data[end + at : end + at + length]

    def table(name: str) -> Table:
        names = part(f"{name}.names").decode().split("\n")
        return Table(names, part(f"{name}.rows"), part(f"{name}.weights"), header["units"][name])

    def linear(name: str) -> Linear:
        rows, steps, bias = part(f"{name}.dense"), header["steps"][name], header["bias"][name]
        width = len(rows) // len(bias)
        dense = tuple(Vector(rows[at * width : (at + 1) * width], step) for at, step in enumerate(steps))
        return Linear(table(name), dense, tuple(bias))

    return Weights(
        table("embedding"), linear("tasks"), linear("purposes"), tuple(header["kinds"]), dict(header["settings"])
    )
