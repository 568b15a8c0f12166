"""The operator's port over real sockets."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running import CONFIG, chat


async def get(sidecar, path, **headers):
    async with sidecar.client.get(sidecar.admin + path, headers=headers) as answer:
        return answer.status, await answer.text(), answer.content_type


async def test_a_sidecar_that_serves_is_ready_and_alive(start):
    sidecar = await start()
    assert (await get(sidecar, "/ready"))[:2] == (200, "OK\n")
    assert (await get(sidecar, "/live"))[:2] == (200, "OK\n")


async def test_server_info_says_which_version_runs_and_since_when(start):
    status, body, _ = await get(await start(), "/server_info")
    assert status == 200
    assert '"version": "' in body
    assert '"state": "serving"' in body


@pytest.mark.parametrize("path", ["/metrics", "/stats/prometheus"])
async def test_metrics_are_prometheus_text_or_openmetrics_as_asked(start, path):
    sidecar = await start()
    _, text, kind = await get(sidecar, path)
    assert kind == "text/plain"
    assert {family.name for family in text_string_to_metric_families(text)} >= {"sidecar_decisions", "sidecar_pins"}
    _, text, kind = await get(sidecar, path, accept="application/openmetrics-text; version=1.0.0")
    assert (kind, text.endswith("# EOF\n")) == ("application/openmetrics-text", True)


async def test_changing_methods_are_refused(start):
    sidecar = await start()
    async with sidecar.client.post(sidecar.admin + "/ready") as answer:
        assert answer.status == 405


async def test_no_model_route_or_session_a_client_makes_up_becomes_a_label(start):
    sidecar = await start(CONFIG.replace("openai/gpt-4o}", '"openai/*"}').replace("openai/gpt-4o,", "openai/x,"))
    await sidecar.decide(chat("hi"), X_Session_Id="warm-up")
    inline = {"description": "anything at all", "models": ["fast"]}
    await sidecar.decide(chat("hi", routing_preferences=[{"name": "r", **inline}]))
    before = set(await sidecar.metrics())
    for n in range(50):
        await sidecar.decide(chat("What is it?", model=f"openai/m-{n}"), X_Session_Id=f"canary-{n}")
        await sidecar.decide(chat("hi", routing_preferences=[{"name": f"canary-{n}", **inline}]))
        async with sidecar.client.get(f"/canary-{n}"):
            pass
    grown = set(await sidecar.metrics()) - before
    assert not [name for name in grown if "canary" in name or "m-" in name]
    assert len(grown) < 12
