"""The table of targets tells what would be found out anew."""

import gc
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Provider, Secret
from sidecar.errors import ModelNotFound, RequestError
from sidecar.upstream.asking import Beginnings, Heads
from sidecar.upstream.headers import Outgoing
from sidecar.upstream.order import Order
from sidecar.upstream.origin import authority
from sidecar.upstream.target import ProviderKeyMissing, target_of, url_for
from sidecar.upstream.targets import LONG_PATH, MOST_AIMS, MOST_PATHS, Targets
from sidecar.wire.formats import Format

PROVIDERS = (
    Provider("openai/gpt", "openai/gpt", access_key=Secret("k-1")),
    Provider("openai/other", "second", access_key=Secret("k-1")),
    Provider("anthropic/claude", "anthropic/claude", access_key=Secret("k-2")),
    Provider("groq/*", "groq/*", base_url="http://h:1"),
    Provider("mistral/keyless", "mistral/keyless", missing=("MISTRAL_KEY",)),
)


@pytest.fixture
def targets():
    return Targets(Catalog.of(Config(providers=PROVIDERS)))


@given(
    model=st.sampled_from(["openai/gpt", "openai/other", "anthropic/claude", "groq/a", "groq/b"]),
    form=st.sampled_from([None, *Format]),
    request_target=st.sampled_from(
        [
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/responses",
            "/v1/messages?beta=true",
            "/v1/files/x",
            f"/v1/messages?{'x' * LONG_PATH}",
        ]
    ),
)
def test_what_the_table_has_is_what_would_be_found_out_anew(model, form, request_target):
    table = Targets(Catalog.of(Config(providers=PROVIDERS)))
    provider = Catalog.of(Config(providers=PROVIDERS)).provider_of(model)
    for aim in (table.of(model, form), table.of(model, form)):
        assert aim.target == target_of(provider, model, form)
        assert aim.path(request_target) == url_for(aim.target, request_target)
        assert aim.origin[:3] == aim.target.place[:3]
        sent = Order((), form, "POST", request_target, lambda: [("X-A", "1")], None, "r")
        anew = Heads(authority(aim.origin), partial(url_for, aim.target), Outgoing(aim.target), Beginnings())
        assert aim.heads.of(sent, None, b"{}") == anew.of(sent, None, b"{}")


def test_a_target_is_found_out_once(targets):
    assert targets.of("openai/gpt", Format.CHAT) is targets.of("openai/gpt", Format.CHAT)
    assert targets.of("openai/gpt", Format.CHAT) is not targets.of("openai/gpt", Format.MESSAGES)


def test_names_that_clients_make_up_are_forgotten_again(targets):
    first = targets.of("groq/0", None)
    for number in range(1, 3 * MOST_AIMS):
        targets.of(f"groq/{number}", None)
    assert targets.of("groq/0", None) is not first
    del first
    gc.collect()
    assert targets.of.cache_info().currsize == MOST_AIMS


def test_the_paths_that_clients_make_up_are_bounded_in_number_and_length(targets):
    aim = targets.of("openai/gpt", Format.CHAT)
    for number in range(3 * MOST_PATHS):
        aim.path(f"/v1/chat/completions?{number}")
    cache_info = aim.path.args[1].cache_info
    assert cache_info().currsize == MOST_PATHS
    misses = cache_info().misses
    aim.path(f"/v1/chat/completions?{'x' * LONG_PATH}")
    assert cache_info().misses == misses


def test_a_path_that_is_refused_is_refused_each_time(targets):
    for _ in range(2):
        with pytest.raises(RequestError):
            targets.of("openai/gpt", Format.CHAT).path("/v1/../admin")


def test_an_error_is_told_each_time(targets):
    for _ in range(2):
        with pytest.raises(ProviderKeyMissing, match="MISTRAL_KEY"):
            targets.of("mistral/keyless", Format.CHAT)
        with pytest.raises(ModelNotFound):
            targets.of("nobody/m", Format.CHAT)


def test_an_entry_is_named_by_the_file_and_a_model_of_nobody_by_itself(targets):
    assert [targets.entry(model) for model in ("openai/other", "groq/x", "nobody/m")] == [
        "second",
        "groq/*",
        "nobody/m",
    ]


def test_at_home_is_ones_own_entry_or_ones_account(targets):
    target = targets.of("openai/gpt", Format.CHAT).target
    homes = {model: targets.at_home(target, model) for model in ("openai/gpt", "openai/other", "anthropic/claude")}
    assert homes == {"openai/gpt": True, "openai/other": True, "anthropic/claude": False}
    assert targets.at_home(target, "nobody/m")  # whose home nobody knows
    assert not targets.at_home(target, "mistral/keyless")


def test_what_the_table_shows_has_no_key_in_it(targets):
    aim = targets.of("openai/gpt", Format.CHAT)
    order = Order((), Format.CHAT, "POST", "/v1/chat/completions", list, None, "r", head=object())
    assert b"k-1" in aim.heads.of(order, "t", b"{}")
    assert not any("k-1" in repr(shown) for shown in (aim, aim.target, aim.heads, targets))
