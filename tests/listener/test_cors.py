"""Browsers: only the web pages that the configuration names may have an answer."""

import pytest
from running import CONFIG, chat

PAGE = "https://app.example.com"


@pytest.mark.parametrize(
    ("origins", "origin", "granted"),
    [
        ("[]", PAGE, None),
        (f"[{PAGE}]", PAGE, PAGE),
        (f"[{PAGE}]", "https://evil.example.com", None),
        ("['*']", "https://any.example.com", "https://any.example.com"),
    ],
)
async def test_a_page_may_read_an_answer_when_its_origin_is_configured(start, origins, origin, granted):
    sidecar = await start(f"listener: {{cors_origins: {origins}}}\n{CONFIG}")
    _, _, headers = await sidecar.decide(chat(), Origin=origin)
    assert headers.get("access-control-allow-origin") == granted


async def test_a_preflight_is_told_what_may_be_sent(start):
    sidecar = await start(f"listener: {{cors_origins: [{PAGE}]}}\n{CONFIG}")
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-session-id",
    }
    async with sidecar.client.options("/v1/chat/completions", headers=asked) as answer:
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, PAGE)
        assert answer.headers["access-control-allow-headers"] == "authorization, x-session-id"
        assert "POST" in answer.headers["access-control-allow-methods"]


async def test_without_configured_origins_a_preflight_grants_nothing(start):
    sidecar = await start()
    async with sidecar.client.options("/v1/chat/completions", headers={"origin": PAGE}) as answer:
        assert answer.status == 204
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
