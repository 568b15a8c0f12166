"""
What is written down of requests.
"""

from sidecar.config import refused
from sidecar.config.document import Node
from sidecar.config.files import log_path
from sidecar.config.models import PER_CENT, LogFormat, LogLevel, Telemetry, Tracing
from sidecar.config.reading import Reading
from sidecar.config.table import Table
from sidecar.config.values import name, number, one_of, yes_no
from sidecar.config.variables import hash_key, optional_endpoint, optional_headers


def access_log(node: Node, reading: Reading) -> str | None:
    """`off`, which YAML reads as false, `stdout`, or a file's path."""
    if node.value is False or node.value == "off":
        return None
    return log_path(node, reading)


TELEMETRY = Table(
    into=Telemetry,
    keys={
        "inject_usage": yes_no,
        "access_log": access_log,
        "access_log_format": one_of(LogFormat),
        "log_format": one_of(LogFormat),
        "log_level": one_of(LogLevel),
        "session_hash_key": hash_key,
    },
)

TRACING = Table(
    into=Tracing,
    keys={
        "random_sampling": number(PER_CENT),
        "endpoint": optional_endpoint,
        "headers": optional_headers,
        "service_name": name,
        "raw_session_ids": yes_no,
    },
    unused=refused.TRACING_UNUSED,
)
