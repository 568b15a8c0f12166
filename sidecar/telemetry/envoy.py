"""
A request in Envoy's words: its response flags, and the line it writes by default.

https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#default-format-string
https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/substitution_formatter (%RESPONSE_FLAGS%)
"""

from sidecar.telemetry.quoting import quoted
from sidecar.telemetry.record import ABANDONED, ANSWERED, Attempt, Record
from sidecar.telemetry.rfc3339 import rfc3339

NOTHING = "-"

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNKNOWN = "UNKNOWN"
"""aiohttp's word for the method of what could not be parsed."""

BY_CODE = {
    "client_gone": "DC",  # downstream connection termination
    "invalid_session_id": "IH",  # an invalid value for a strictly checked header
    "request_timeout": "SI",  # stream idle timeout, in addition to 408
    "not_found": "NR",  # no route configured, in addition to 404
    "model_not_found": "NR",
    "provider_unknown": "NC",  # upstream cluster not found
    "provider_key_missing": "UH",  # no healthy upstream hosts
    "overloaded": "UO",  # upstream overflow (circuit breaking)
    "upstream_timeout": "UT",  # upstream request timeout, in addition to 504
    "upstream_reset": "UC",  # upstream connection termination
    "upstream_invalid_answer": "UPE",  # the upstream response had an HTTP protocol error
}
"""By the stable code of what went wrong. What is not here has no flag in Envoy either, such as a provider's own 4xx."""

BY_OUTCOME = {
    "connect": "UF",  # upstream connection failure
    "tls": "UF",
    "dns": "DF",  # DNS resolution failure
    "reset": "UC",
    "timeout": "UT",
    "overflow": "UO",
    "key_missing": "UH",
}
"""By the outcome of the last attempt, where the code says no more than `upstream_unreachable`."""

_GOOD_OR_FINAL = frozenset({ANSWERED, ABANDONED, "refused"})
"""What ends a request whatever attempts are left."""


def response_flags(record: Record) -> str:
    """Envoy's flags, with commas between them; empty when all went well."""
    code, attempts = record.code, record.attempts
    if code is None:
        return ""
    flag = BY_CODE.get(code, "")
    if code == "upstream_unreachable" and attempts:
        flag = BY_OUTCOME.get(attempts[-1].outcome, "")
    elif code == "invalid_request" and record.method == UNKNOWN:
        flag = "DPE"  # the downstream request had an HTTP protocol error
    elif code == "upstream_timeout" and record.first_byte_s is not None:
        flag = "SI"  # the answer had begun
    # The upstream retry limit was reached: others were asked too, and none of them answered.
    spent = len(attempts) > 1 and attempts[-1].outcome not in _GOOD_OR_FINAL
    return ",".join(filter(None, (flag, "URX" if spent else "")))


def method_of(record: Record) -> str:
    """A closed set: a method is whatever a client writes there."""
    return record.method if record.method in METHODS else UNKNOWN


def envoy_line(record: Record) -> bytes:
    """
    Envoy's default format. Where it has a path we have the endpoint, for paths may hold ids; x-forwarded-for is the
    client's address, the upstream host the name of the provider's entry, and the authority is not kept.
    """
    last = record.attempts[-1] if record.attempts else None
    return (
        f"[{rfc3339(record.began_at_s)}] "
        f'"{method_of(record)} {quoted(record.endpoint)} {quoted(record.protocol)}" '
        f"{record.status} {response_flags(record) or NOTHING} {record.bytes_in} {record.bytes_out} "
        f"{record.seconds * 1000:.0f} {_service_ms(last)} "
        f'"{quoted(record.client) or NOTHING}" "{quoted(record.user_agent) or NOTHING}" '
        f'"{quoted(record.trace.request_id)}" "{NOTHING}" "{quoted(last.provider) if last else NOTHING}"\n'
    ).encode("ascii")


def _service_ms(attempt: Attempt | None) -> str:
    """x-envoy-upstream-service-time: how long the provider that answered took for its first byte."""
    return NOTHING if attempt is None or attempt.first_byte_s is None else f"{attempt.first_byte_s * 1000:.0f}"
