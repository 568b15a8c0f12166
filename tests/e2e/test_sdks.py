"""Official SDKs as clients: what README.md shows, done for real."""

import anthropic
import openai
import pytest
from running import CODE, REASONING


@pytest.fixture
async def clients(start):
    sidecar = await start()
    base = f"http://127.0.0.1:{sidecar.port}/routing"
    session = {"X-Session-Id": "run-42"}
    async with (
        openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="unused", default_headers=session, max_retries=0) as one,
        anthropic.AsyncAnthropic(base_url=base, api_key="unused", default_headers=session, max_retries=0) as other,
    ):
        yield one, other


def said(text):
    return [{"role": "user", "content": text}]


async def test_one_header_on_the_client_keeps_the_model_over_sdks_and_formats(clients):
    gpt, claude = clients
    answers = [
        await gpt.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=said(CODE)),
        await gpt.responses.with_raw_response.create(model="gpt-4o-mini", input=REASONING),
        await claude.messages.with_raw_response.create(model="x", max_tokens=10, messages=said(REASONING)),
    ]
    assert [answer.headers["x-sidecar-model"] for answer in answers] == ["anthropic/claude-sonnet"] * 3
    assert [answer.headers["x-sidecar-pin"].partition(";")[0] for answer in answers] == ["miss", "hit", "hit"]


async def test_the_sdks_raise_their_own_errors_for_our_refusals(clients):
    gpt, claude = clients
    with pytest.raises(openai.BadRequestError) as refusal:
        await gpt.chat.completions.create(model="gpt-4o-mini", messages=[])
    assert (refusal.value.code, refusal.value.param) == ("invalid_request", "messages")
    with pytest.raises(anthropic.BadRequestError) as refused:
        await claude.messages.create(model="x", max_tokens=10, messages=[])
    assert refused.value.body["error"]["type"] == "invalid_request_error"
