"""How the place that a connection goes to is written."""

import pytest

from sidecar.upstream.origin import Origin, authority


@pytest.mark.parametrize(
    ("origin", "written"),
    [
        (Origin("http", "example.org", 80), "example.org"),
        (Origin("https", "example.org", 443), "example.org"),
        (Origin("https", "example.org", 80), "example.org:80"),
        (Origin("http", "::1", 8000), "[::1]:8000"),
    ],
)
def test_an_origin_is_written_with_its_port_where_it_is_not_the_schemes_own(origin, written):
    assert authority(origin) == written
