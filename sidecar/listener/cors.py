"""
Which web pages may call us from a browser: https://fetch.spec.whatwg.org/#http-cors-protocol

None, unless the configuration names their origins: a page that may call us may spend the providers' keys.
"""

from collections.abc import Collection, Mapping

EXPOSED = (
    "x-sidecar-model, x-sidecar-route, x-sidecar-pin, x-sidecar-attempts, x-sidecar-failover, x-sidecar-error, "
    "x-request-id, retry-after"
)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
PREFLIGHT_AGE_S = "600"


def cors_headers(headers: Mapping[str, str], allowed: Collection[str]) -> tuple[tuple[str, str], ...]:
    """What the answer to a request says to the browser that sent it; nothing when it may not have the answer."""
    origin = headers.get("origin")
    if origin is None or (origin not in allowed and "*" not in allowed):
        return ()
    granted = (
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", EXPOSED),
        ("vary", "Origin"),
    )
    if "access-control-request-method" not in headers:
        return granted
    return (
        *granted,
        ("access-control-allow-methods", METHODS),
        ("access-control-allow-headers", headers.get("access-control-request-headers", "*")),
        ("access-control-max-age", PREFLIGHT_AGE_S),
    )
