"""The numbers, for people and for Prometheus."""

import asyncio
import gzip
import json
import shutil
from asyncio.subprocess import PIPE

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from running import CONFIG, chat

from sidecar.admin.stats import Stats


@pytest.fixture
async def client(port):
    registry = CollectorRegistry()
    toys = Counter("toys", "Toys.", ["kind"], registry=registry)
    toys.labels('red "ball"\n').inc(2)
    toys.labels("kite")
    Histogram("play_seconds", "Play.", registry=registry, buckets=(1.0,)).observe(0.5)
    Gauge("bored", "Who is.", registry=registry).set(float("nan"))
    return await port(Stats(registry))


async def read(client, path, status=200, **headers):
    async with client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()}) as answer:
        assert answer.status == status, await answer.text()
        return await answer.text()


async def test_stats_are_a_line_each_by_name_without_buckets(client):
    assert (await read(client, "/stats")).splitlines() == [
        "bored: nan",
        "play_seconds_count: 1",
        "play_seconds_sum: 0.5",
        'toys_total{kind="kite"}: 0',
        r'toys_total{kind="red \"ball\"\n"}: 2',
    ]


async def test_a_filter_finds_something_in_a_name(client):
    assert (await read(client, "/stats?filter=^play.*sum")).splitlines() == ["play_seconds_sum: 0.5"]
    assert await read(client, "/stats?filter=nothing") == ""


async def test_used_only_leaves_out_what_is_zero(client):
    assert "kite" not in await read(client, "/stats?usedonly")
    assert len((await read(client, "/stats?usedonly&filter=toys")).splitlines()) == 1


async def test_stats_are_json_when_asked(client):
    found = json.loads(await read(client, "/stats?format=json&filter=toys|bored"))
    assert found == {
        "stats": [
            {"name": "bored", "labels": {}, "value": None},
            {"name": "toys_total", "labels": {"kind": "kite"}, "value": 0.0},
            {"name": "toys_total", "labels": {"kind": 'red "ball"\n'}, "value": 2.0},
        ]
    }


async def test_stats_are_prometheus_text_when_asked(client):
    text = await read(client, "/stats?format=prometheus&filter=play_seconds_(bucket|sum)")
    assert "play_seconds_bucket" in text
    assert "play_seconds_count" not in text
    assert await read(client, "/stats?format=prometheus&filter=nothing") == ""


@pytest.mark.parametrize("query", ["filter=(a%2B)%2B", "filter=(", "filter=" + "a" * 300, "format=html"])
async def test_what_cannot_be_asked_is_a_400(client, query):
    assert "error" in json.loads(await read(client, f"/stats?{query}", 400))


@pytest.mark.parametrize("path", ["/metrics", "/stats/prometheus"])
async def test_scrapes_take_names_and_choose_their_format(client, path):
    assert "toys_total" in await read(client, path)
    assert "toys_total" not in await read(client, f"{path}?name[]=bored&name[]=play_seconds")
    assert (await read(client, path, Accept="application/openmetrics-text")).endswith("# EOF\n")


async def test_a_scrape_is_compressed_only_when_asked(client):
    for asked, answered in (("gzip", "gzip"), ("gzip;q=0", None), ("identity", None)):
        async with (
            aiohttp.ClientSession(client._base_url, auto_decompress=False) as raw,
            raw.get("/metrics", headers={"Accept-Encoding": asked}) as answer,
        ):
            assert answer.headers.get("Content-Encoding") == answered
            body = await answer.read()
        assert b"toys_total" in (gzip.decompress(body) if answered else body)


async def test_promtool_has_nothing_to_say_of_what_a_sidecar_counts(start):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    sidecar = await start()
    for body in (chat(), chat(), b"{"):
        await sidecar.decide(body, X_Session_Id="s")
    for path in ("/metrics", "/stats?format=prometheus&filter=sidecar"):
        metrics = await read(sidecar.client, sidecar.admin + path)
        assert "sidecar_decisions_total{" in metrics
        check = await asyncio.create_subprocess_exec(promtool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert await check.communicate(metrics.encode()) == (b"", b"")
        assert check.returncode == 0


async def test_what_a_sidecar_counts_is_the_same_in_both_formats(start):
    sidecar = await start()
    await sidecar.decide(chat(), X_Session_Id="s")
    text = await read(sidecar.client, f"{sidecar.admin}/metrics")
    openmetrics = await read(sidecar.client, f"{sidecar.admin}/metrics", Accept="application/openmetrics-text")
    assert names(text_families(text)) == names(openmetrics_families(openmetrics))


def names(families):
    return {sample.name for family in families for sample in family.samples}


async def test_no_model_route_or_session_a_client_makes_up_becomes_a_label(start):
    sidecar = await start(CONFIG.replace("openai/gpt-4o}", '"openai/*"}').replace("openai/gpt-4o,", "openai/x,"))
    await sidecar.decide(chat("hi"), X_Session_Id="warm-up")
    inline = {"description": "anything at all", "models": ["fast"]}
    await sidecar.decide(chat("hi", routing_preferences=[{"name": "r", **inline}]))
    async with sidecar.client.get("/nothing"):
        pass
    before = set(await sidecar.metrics())
    for n in range(50):
        await sidecar.decide(chat("What is it?", model=f"openai/m-{n}"), X_Session_Id=f"canary-{n}")
        await sidecar.decide(chat("hi", routing_preferences=[{"name": f"canary-{n}", **inline}]))
        async with sidecar.client.get(f"/canary-{n}"):
            pass
    grown = {
        name for name in await sidecar.metrics() if "loop_lag" not in name
    } - before  # first looked at in half a second
    assert not [name for name in grown if "canary" in name or "m-" in name]
    assert len(grown) < 12
