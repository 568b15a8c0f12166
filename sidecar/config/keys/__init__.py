"""The file format, table by table: `whole` is the file, the others are its parts."""

from sidecar.config.keys.providers import ROUTE
from sidecar.config.keys.whole import FILE

__all__ = ["FILE", "ROUTE"]
