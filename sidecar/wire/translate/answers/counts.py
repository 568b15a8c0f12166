"""Counts of tokens as providers give them: a whole number of at least 0, or anything else, which counts as none."""

from sidecar.wire.translate.fields import Fields


def number(fields: Fields | None, key: str) -> int:
    value = fields.take(key) if fields is not None else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
