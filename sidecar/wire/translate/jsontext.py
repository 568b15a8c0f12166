"""
JSON in and out for bodies that are rebuilt.

The standard library's, because it is lenient where clients are careless and we must not be the one who minds: a lone
surrogate (half an emoji, cut by a harness) goes out as the escape it came in as, and whole numbers have any size.
"""

import json
from typing import Any

from sidecar.errors import InvalidJson


def loads(body: bytes) -> Any:
    """Raises InvalidJson when `body` is not JSON, not UTF-8, or nested too deeply."""
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise InvalidJson(f"The body is not UTF-8: byte {exc.start} cannot be read.") from exc
    except RecursionError as exc:
        raise InvalidJson("The body is nested too deeply.") from exc
    except ValueError as exc:
        raise InvalidJson(f"The body is not valid JSON: {exc}.") from exc


def dumps(value: object) -> bytes:
    """Compact JSON, UTF-8. Raises InvalidJson for what came in as JSON and cannot leave as such: depth, 1e999."""
    try:
        return text(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError as exc:
        raise InvalidJson("The body is nested too deeply.") from exc
    except ValueError as exc:
        raise InvalidJson("The body has a number that is out of range.") from exc


def text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def loads_object(source: str) -> dict[str, Any] | None:
    """The object that `source` is the JSON of; None when it is anything else. Nothing at all is the empty object."""
    if not source.strip():
        return {}
    try:
        value = json.loads(source, parse_constant=_no_constant)
        text(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
