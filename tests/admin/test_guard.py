"""Who may ask what of the admin port."""

import pytest
from multidict import CIMultiDict

from sidecar.admin.guard import Asking, CrossSite, ForeignHost, Guard, NotFromLoopback, host_name, is_loopback


def asking(path="/pins", *, method="GET", peer="127.0.0.1", hosts=("127.0.0.1:9901",), **headers):
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Asking(method, path, peer, hosts, named)


@pytest.mark.parametrize("path", ["/ready", "/live", "/metrics", "/stats/prometheus"])
def test_probes_and_scrapes_come_from_anywhere_under_any_name(path):
    Guard().check(asking(path, peer="10.1.2.3", hosts=("sidecar.internal:9901",)))


@pytest.mark.parametrize("peer", ["10.1.2.3", "192.0.2.2", "fd00::2", "::ffff:10.1.2.3", "", None, "unix"])
@pytest.mark.parametrize("path", ["/pins", "/stats", "/config_dump", "/ready/", "/metrics/../pins", "/nothing"])
def test_everything_else_is_for_loopback(path, peer):
    with pytest.raises(NotFromLoopback):
        Guard().check(asking(path, peer=peer))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_has_many_addresses(peer):
    assert is_loopback(peer)
    Guard().check(asking(peer=peer))


@pytest.mark.parametrize("host", ["127.0.0.1:9901", "localhost", "LocalHost:1", "[::1]:9901", "127.0.0.1", "[::1]"])
def test_the_names_of_loopback_are_ours(host):
    Guard().check(asking(hosts=(host,)))


@pytest.mark.parametrize(
    "hosts",
    [
        ("rebound.example:9901",),
        ("localhost.rebound.example",),
        ("127.0.0.1.rebound.example",),
        ("127.0.0.1@rebound.example",),
        ("0.0.0.0:9901",),
        ("[::]:9901",),
        ("10.1.2.3",),
        ("",),
        (),
        ("127.0.0.1", "rebound.example"),
    ],
)
def test_a_page_whose_name_was_made_to_point_here_is_refused(hosts):
    with pytest.raises(ForeignHost):
        Guard("0.0.0.0").check(asking(hosts=hosts))


def test_the_address_of_the_port_is_a_name_of_ours():
    Guard("10.1.2.3").check(asking(hosts=("10.1.2.3:9901",)))
    Guard("Sidecar.local").check(asking(hosts=("sidecar.local:9901",)))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:8080"},
        {"Origin": "https://127.0.0.1:9901"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "anything"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1:9901"},
    ],
)
def test_a_page_of_another_site_changes_nothing(method, headers):
    with pytest.raises(CrossSite):
        Guard().check(asking(method=method, **headers))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Dest": "empty"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "iframe"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://evil.example"},
    ],
)
def test_a_page_of_another_site_has_nothing_read_for_it(method, headers):
    with pytest.raises(CrossSite):
        Guard().check(asking("/stats", method=method, **headers))


def test_a_link_on_another_site_may_lead_here():
    Guard().check(asking("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document"))


def test_a_link_is_no_way_to_change_anything():
    with pytest.raises(CrossSite):
        Guard().check(asking(method="POST", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:9901"},
        {"Origin": "http://127.0.0.1:9901", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_our_own_page_and_programs_may_change_things(headers):
    Guard().check(asking(method="POST", **headers))


def test_a_page_of_another_site_changes_nothing_on_the_pod_network_either():
    with pytest.raises(CrossSite):
        Guard().check(asking("/metrics", method="POST", Origin="https://evil.example"))


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.b:1", "a.b"), ("[::1]:2", "::1"), ("x y", None), ("a/b", None), ("a:b", None), ("::1", None), ("\n", None)],
)
def test_a_host_is_read_or_is_none(host, name):
    assert host_name(host) == name
