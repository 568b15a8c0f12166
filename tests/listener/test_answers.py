"""What every answer says of its way: as headers, and ready to be sent."""

import pytest

from sidecar.listener.answers import Way
from sidecar.telemetry.trace import Trace


def way(**said):
    return Way("/", Trace("t", "r-1"), **said)


def lines(headers):
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode()


@pytest.mark.parametrize(
    "said", [{}, {"model": "openai/gpt-4o"}, {"model": "a/\u00e9\r\nb", "attempts": 1}, {"attempts": 12}]
)
def test_its_lines_are_its_headers(said):
    assert way(**said).lines() == lines(way(**said).headers())


@pytest.mark.parametrize("said", [{"failover": "timeout"}, {"cors": (("vary", "Origin"),)}])
def test_what_is_rare_or_not_only_ours_has_no_lines(said):
    assert way(**said).lines() is None
