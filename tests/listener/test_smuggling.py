"""Every row of `smuggling_table`, to both paths of the listener and to nginx beside them."""

import asyncio

import pytest
from attrs import evolve
from provider import KEYS, before, entry
from running import serve
from smuggling import echo, nginx, played
from smuggling_table import HIDDEN, TABLE

from sidecar.config import read_text

PATHS = ("fast", "public")


async def _sidecar(provider, path):
    config = read_text(before(entry(provider)), "test.yaml", KEYS).config
    limits = evolve(config.listener.limits, header_timeout_s=0.5, body_timeout_s=0.5)
    listener = evolve(config.listener, port=0, fast_path=path == "fast", limits=limits)
    config = evolve(config, listener=listener, admin=evolve(config.admin, port=0))
    async with echo() as behind_it, serve(_behind(config, behind_it)) as serving:
        outcomes = await played(TABLE, serving.listener[1], behind_it, path)
        return outcomes, behind_it


def _behind(config, provider):
    first, *others = config.providers
    return evolve(config, providers=(evolve(first, base_url=provider.url), *others))


async def _nginx(folder):
    async with echo() as behind_it, nginx(folder, behind_it.port) as port:
        return await played(TABLE, port, behind_it, "nginx", waits=False)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """(path -> (row -> Outcome), path -> provider, nginx's row -> Outcome): each row was sent to each of them once."""

    async def all_of_them():
        found = await asyncio.gather(*(_sidecar("http://127.0.0.1:9", path) for path in PATHS))
        return found, await _nginx(tmp_path_factory.mktemp("nginx"))

    found, by_nginx = asyncio.run(all_of_them())
    ours = {path: outcomes for path, (outcomes, _) in zip(PATHS, found, strict=True)}
    return ours, {path: provider for path, (_, provider) in zip(PATHS, found, strict=True)}, by_nginx


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_row_is_answered_or_refused_as_the_table_says(rounds, row, path):
    outcome = rounds[0][path][row]
    assert outcome.kind == row.want, outcome.raw[:300]
    if row.statuses:
        assert set(outcome.statuses) <= set(row.statuses), outcome.raw[:300]
    if row.want == "refused":
        assert outcome.reached == 0, "the provider saw it"
        assert len(outcome.statuses) <= 1, "more than one answer"
        assert outcome.closed or row.keeps, "its connection is open"
    else:
        assert len(outcome.statuses) == outcome.reached == row.answers


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_where_nginx_is_stricter_the_row_says_why_we_are_not(rounds, row):
    ours, nginx_s = rounds[0]["fast"][row], rounds[2][row]
    print(f"{row.name}: ours {ours} | nginx {nginx_s}")  # noqa: T201 - the table, with `pytest -s`
    is_laxer = ours.kind == "answered" and nginx_s.kind == "refused"
    assert is_laxer == (row.laxer is not None), f"ours {ours}, nginx {nginx_s}"


@pytest.mark.parametrize("path", PATHS)
def test_what_stands_in_a_body_or_behind_a_refused_request_never_becomes_a_request(rounds, path):
    provider = rounds[1][path]
    assert not provider.nonsense
    assert not [request.target for request in provider.requests if request.target.startswith("/v1/smuggled")]
    assert not [request.head for request in provider.requests if request.one("x-row") is None]


@pytest.mark.parametrize("path", PATHS)
def test_what_goes_on_is_framed_in_one_way(rounds, path):
    for request in rounds[1][path].requests:
        framing = request.all("content-length") + request.all("transfer-encoding")
        assert len(framing) <= 1, request.head
        assert len(request.all("host")) == 1, request.head


@pytest.mark.parametrize("path", PATHS)
def test_a_refusal_repeats_nothing_of_what_was_sent(rounds, path):
    words = (b"x-more", b"x-mo", b"smuggled", b"elsewhere", b"SMUGGLE", b"nonsense", b"PROXY", b"[31m", b"x-row")
    for row, outcome in rounds[0][path].items():
        if row.want == "refused":
            assert not [word for word in words if word in outcome.raw], (row.name, outcome.raw)


def test_the_table_is_as_long_as_it_should_be():
    assert len(TABLE) >= 60
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert sum(HIDDEN in row.sent for row in TABLE) > 5
