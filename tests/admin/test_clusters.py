"""How the providers are."""

import pytest
from doubles import answers
from running import chat

from sidecar.admin.clusters import Clusters, health_word, key_word
from sidecar.admin.dump import InForce
from sidecar.config import read_text
from sidecar.upstream.health import Condition, LastError

CANARY = "canary-51cd"
THREE = """
model_providers:
  - {model: openai/gpt-4o, access_key: $KEY, default: true, base_url: "https://gateway.example/v1"}
  - {model: anthropic/claude-sonnet, access_key: $UNSET}
  - {model: mistral/large, passthrough_auth: true}
  - {model: ollama/llama3}
"""


def config():
    return read_text(THREE, "test.yaml", {"KEY": f"sk-{CANARY}"}).config


def clusters(*conditions, load=lambda _name: (0, 0)):
    loaded = config()
    return Clusters(lambda: InForce(loaded), lambda: conditions, load)


async def found(client, path="/clusters?format=json"):
    async with client.get(path) as answer:
        assert answer.status == 200
        return {cluster["name"]: cluster for cluster in (await answer.json())["clusters"]}


async def test_every_provider_is_there_asked_or_not(port):
    condition = Condition(
        provider="openai/gpt-4o",
        ejected=True,
        ejected_for_s=12.3456,
        ejections=1,
        successes=7,
        failures=5,
        last_error=LastError(0.25, "server_error", 503),
    )
    rows = await found(await port(clusters(condition, load=lambda name: (len(name), 2))))
    assert list(rows) == ["openai/gpt-4o", "anthropic/claude-sonnet", "mistral/large", "ollama/llama3"]
    assert rows["openai/gpt-4o"] == {
        "name": "openai/gpt-4o",
        "model": "openai/gpt-4o",
        "base_url": "https://gateway.example/v1",
        "interface": "chat/completions",
        "key": "set",
        "missing": [],
        "health": "ejected",
        "ejected_for_seconds": 12.346,
        "consecutive_5xx": 0,
        "consecutive_gateway_failure": 0,
        "ejections": 1,
        "successes": 7,
        "failures": 5,
        "active": 13,
        "pending": 2,
        "last_error": {"at": "1970-01-01T00:00:00.250Z", "cause": "server_error", "status": 503},
    }
    assert rows["anthropic/claude-sonnet"]["missing"] == ["UNSET"]
    assert rows["anthropic/claude-sonnet"]["interface"] == "messages"
    assert rows["ollama/llama3"]["health"] == "healthy"
    assert rows["ollama/llama3"]["last_error"] is None


async def test_the_text_is_envoys_a_line_for_each_number(port):
    condition = Condition("openai/gpt-4o", successes=3, last_error=LastError(1, "timeout"))
    client = await port(clusters(condition))
    async with client.get("/clusters") as answer:
        lines = (await answer.text()).splitlines()
    assert "openai/gpt-4o::health::healthy" in lines
    assert "openai/gpt-4o::rq_success::3" in lines
    assert "openai/gpt-4o::last_error::at=1970-01-01T00:00:01.000Z cause=timeout status=-" in lines
    assert "anthropic/claude-sonnet::missing::UNSET" in lines
    assert not [line for line in lines if CANARY in line]


def test_the_four_words_for_a_key():
    assert [key_word(each) for each in config().providers] == ["set", "missing", "passthrough", "none"]


@pytest.mark.parametrize(
    ("ejected", "probing", "word"), [(False, False, "healthy"), (True, False, "ejected"), (True, True, "probing")]
)
def test_the_three_words_for_health(ejected, probing, word):
    assert health_word(Condition("a", ejected, probing)) == word


async def test_what_a_provider_did_to_requests_is_seen_at_once(start, endpoint):
    text = f"model_providers: [{{model: openai/gpt-4o, access_key: k, default: true, base_url: '{endpoint.url}'}}]"
    sidecar = await start(text + "\nrouting: {failover: false, max_attempts: 1}")

    async def asked(body, status):
        endpoint.behave = answers(body, status)
        async with sidecar.client.post("/v1/chat/completions", json=chat(model="openai/gpt-4o")) as answer:
            assert answer.status == status
        return (await found(sidecar.client, f"{sidecar.admin}/clusters?format=json"))["openai/gpt-4o"]

    seen = await asked(b'{"error": {"message": "temperature is too high"}}', 400)
    assert (seen["successes"], seen["last_error"]) == (1, None)
    seen = await asked(b'{"error": {"message": "Incorrect API key"}}', 401)
    assert (seen["failures"], seen["last_error"]["cause"], seen["last_error"]["status"]) == (0, "key_refused", 401)
    seen = await asked(b"{}", 500)
    assert (seen["failures"], seen["consecutive_5xx"], seen["last_error"]["status"]) == (1, 1, 500)
