"""
The official SDKs as clients of every format, against providers of every interface: all nine pairs.

The provider double says what real ones say and refuses what real ones refuse (`speaking`, `strict`).
"""

import asyncio
import sys
from inspect import isawaitable

import httpx2
import pytest
from aiohttp import web
from asking import (
    CLIENTS,
    MAX_TOKENS,
    SYSTEM,
    Ask,
    Picture,
    Result,
    Tool,
    Turn,
    ask,
    chat_request,
    messages_request,
    responses_request,
    said,
)
from pydantic import BaseModel
from scripted import INTERFACES, NAMES, Provider, builtin, config, environ, snippet
from speaking import CHAT, ERRORS, MESSAGES, RESPONSES, Calls, Cost, Fails, Refuses, Script, Thinks, Words

PAIRS = [(client, interface) for client in CLIENTS for interface in INTERFACES]
HELLO = Script((Words("Grüß Gott, здравствуй, 你好 👋"),), cost=Cost(100, 40, 20))
PARIS, ROME = Calls("call_1", "weather", {"city": "Paris"}), Calls("call_2", "weather", {"city": "Rome 👋"})
WEATHER = Tool("weather")


def only(wanted):
    """A test for those pairs of a client's format and a provider's interface for which `wanted` says so."""
    chosen = [pair for pair in PAIRS if wanted(*pair)]
    ids = [f"{client}>{interface}" for client, interface in chosen]
    return pytest.mark.parametrize("whole_pair", chosen, ids=ids, indirect=True)


class City(BaseModel):
    name: str
    people: int


class Pair:
    """A client's SDK, a sidecar, and a provider."""

    def __init__(self, client, interface, provider, sdk, port, *, stream):
        self.form, self.interface, self.provider, self.stream = client, interface, provider, stream
        self.translated = client != interface
        self.sdk, self.port, self.client = CLIENTS[client].sdk, port, sdk

    async def answer(self, asked, script=None, model="m"):
        if script is not None:
            self.provider.says(script)
        name = f"{NAMES[self.interface]}/{model}"
        found = await CLIENTS[self.form].answer(self.client, asked, name, stream=self.stream)
        assert self.provider.body["model"] == model
        assert self.provider.heard[-1].form == self.interface
        assert self.provider.body.get("stream", False) is self.stream
        return found


@pytest.fixture
async def provider(aiohttp_server):
    double = Provider()
    app = web.Application()
    app.router.add_post("/v1/{form:.*}", double.handle)
    server = await aiohttp_server(app)
    double.url = str(server.make_url("")).rstrip("/")
    return double


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request):
    return request.param


@pytest.fixture(params=PAIRS, ids=[f"{client}>{interface}" for client, interface in PAIRS])
async def whole_pair(request, start, provider):
    client, interface = request.param
    sidecar = await start(config(provider.url))
    async with CLIENTS[client].opened(sidecar.port) as sdk:
        yield Pair(client, interface, provider, sdk, sidecar.port, stream=False)
    assert provider.flaws == []


@pytest.fixture
def pair(whole_pair, stream):
    whole_pair.stream = stream
    return whole_pair


@pytest.fixture
def stream_pair(whole_pair):
    whole_pair.stream = True
    return whole_pair


def limit_of(pair, asked):
    """Anthropic must be told one, and its clients always tell one."""
    untold = MAX_TOKENS if pair.form == MESSAGES else 8192 if pair.interface == MESSAGES else None
    return asked.limit or untold


async def test_words_and_what_they_cost_arrive_as_they_were_said(pair):
    answer = await pair.answer(ask(), HELLO)
    assert (answer.text, answer.stop, answer.cost) == (HELLO.parts[0].text, "end", (100, 40, 20, 0))
    assert pair.provider.asked == ask(limit=limit_of(pair, ask()))


async def test_the_system_prompt_and_a_long_conversation_reach_the_provider(pair):
    turns = (said("Hello."), said("Hello to you.", "assistant"), said("And now?"))
    asked = Ask(turns, system=SYSTEM, limit=1000)
    assert (await pair.answer(asked, HELLO)).text == HELLO.parts[0].text
    assert pair.provider.asked == asked


async def test_parallel_tool_calls_come_back_and_their_results_go_out(pair):
    calls = Script((Words("Let me look."), PARIS, ROME), "tools")
    asked = ask("What is the weather?", tools=(WEATHER,), limit=1000)
    first = await pair.answer(asked, calls)
    assert (first.text, first.calls, first.stop) == ("Let me look.", (PARIS, ROME), "tools")
    assert pair.provider.asked == asked
    turns = (
        *asked.turns,
        Turn("assistant", (Words(first.text), *first.calls)),
        Turn("user", (Result(PARIS.id, "Rain."), Result(ROME.id, "Sun."), Words("Which is better?"))),
    )
    second = await pair.answer(Ask(turns, tools=(WEATHER,), limit=1000), HELLO)
    assert (second.text, second.calls) == (HELLO.parts[0].text, ())
    assert pair.provider.asked.turns == turns


async def test_a_tool_call_without_arguments_or_words_is_one_too(pair):
    call = Calls("call_1", "weather", {})
    answer = await pair.answer(ask(tools=(WEATHER,)), Script((call,), "tools"))
    assert (answer.text, answer.calls, answer.stop) == ("", (call,), "tools")


async def test_an_answer_without_a_word_is_one_too(pair):
    answer = await pair.answer(ask(), Script(()))
    assert (answer.text, answer.calls, answer.stop, answer.cost) == ("", (), "end", (100, 0, 20, 0))


@pytest.mark.parametrize("choice", ["auto", "required", "none", "weather"])
async def test_the_choice_of_a_tool_is_the_clients(whole_pair, choice):
    asked = ask(tools=(WEATHER, Tool("time")), choice=choice, limit=1000)
    await whole_pair.answer(asked, HELLO)
    assert whole_pair.provider.asked == asked


async def test_one_tool_at_a_time_if_the_client_says_so(whole_pair):
    asked = ask(tools=(WEATHER,), parallel=False)
    await whole_pair.answer(asked, Script((PARIS,), "tools"))
    assert whole_pair.provider.asked.parallel is False


async def test_an_answer_of_a_given_shape_is_parsed_by_the_sdk(pair):
    answer = await pair.answer(ask(shape=City), Script((Words('{"name": "Zürich", "people": 447082}'),)))
    assert answer.parsed == City(name="Zürich", people=447082)
    assert set(pair.provider.asked.shape["properties"]) == {"name", "people"}


@pytest.mark.parametrize("url", ["https://example.com/a.png", "data:image/png;base64,iVBORw0KGgo="])
async def test_a_picture_reaches_the_provider(whole_pair, url):
    asked = Ask((Turn("user", (Words("What is this?"), Picture(url))),), limit=1000)
    await whole_pair.answer(asked, HELLO)
    assert whole_pair.provider.asked == asked


async def test_an_answer_that_was_cut_short_says_so(pair):
    answer = await pair.answer(ask(limit=100), Script((Words("The answer is"),), "length"))
    assert (answer.text, answer.stop) == ("The answer is", "length")
    assert pair.provider.asked.limit == 100


async def test_what_the_model_refuses_is_seen_as_refused(pair):
    answer = await pair.answer(ask(), Script((Refuses("I can't help with that."),)))
    assert answer.refusal or answer.text == "I can't help with that."
    assert answer.refusal or answer.stop == "refused"


STOPPING = ask(stop=("END", "\nx"), limit=1000)


@only(lambda client, interface: client != RESPONSES and interface == RESPONSES)
async def test_a_stop_sequence_is_refused_where_the_provider_has_none(pair):
    with pytest.raises(pair.sdk.BadRequestError, match="stop"):
        await pair.answer(STOPPING)
    assert pair.provider.heard == []


@only(lambda client, interface: RESPONSES not in (client, interface))
async def test_a_stop_sequence_stops_where_the_provider_can(pair):
    answer = await pair.answer(STOPPING, Script((Words("One, two, "),), "sequence"))
    assert answer.stop == ("sequence" if pair.form == pair.interface == MESSAGES else "end")
    assert pair.provider.asked == STOPPING


THINKERS = {CHAT: "deepseek-r1", MESSAGES: "claude-sonnet-4-5", RESPONSES: "gpt-5"}
THOUGHT = Script((Thinks("Hm, let me see …"), Words("It is 4.")), cost=Cost(100, 0, 50, 30))


async def test_thinking_is_asked_for_and_shown(pair):
    answer = await pair.answer(ask(effort="low", limit=4000), THOUGHT, THINKERS[pair.interface])
    assert (answer.text, answer.thoughts) == ("It is 4.", "Hm, let me see …")
    assert answer.cost == (100, 0, 50, 30)
    assert pair.provider.asked.effort == "low"


@only(lambda client, interface: client != MESSAGES and interface == MESSAGES)
async def test_adaptive_thinking_takes_the_effort_in_words(pair):
    await pair.answer(ask(effort="medium", limit=4000), THOUGHT, "claude-opus-4-6")
    assert (pair.provider.asked.effort, pair.provider.body["thinking"]["type"]) == ("medium", "adaptive")


@only(lambda client, interface: CHAT not in (client, interface))  # which have no place for a seal
async def test_sealed_thinking_goes_back_to_who_sealed_it(pair):
    sealed = Script((Thinks("Hm …", "U0VBTA=="), Words("I look."), PARIS), "tools")
    asked = ask("Weather?", tools=(WEATHER,), effort="low", limit=4000)
    first = await pair.answer(asked, sealed, THINKERS[pair.interface])
    client = CLIENTS[pair.form]
    if pair.form == MESSAGES:
        result = {"type": "tool_result", "tool_use_id": "call_1", "content": "Rain."}
        history = [first.raw.to_param(), {"role": "user", "content": [result]}]
        await ask_raw(pair, client, asked, "messages", history)
    else:
        result = {"type": "function_call_output", "call_id": "call_1", "output": "Rain."}
        history = [item.to_dict() for item in first.raw.output]
        for each in [part for item in history for part in (item, *item.get("content", []))]:
            each.pop("parsed_arguments", None)  # the SDK's own, of its helper for streams
            each.pop("parsed", None)
        await ask_raw(pair, client, asked, "input", [*history, result])
    if pair.interface == MESSAGES:
        block = pair.provider.body["messages"][1]["content"][0]
        assert (block["thinking"], block["signature"]) == ("Hm …", "U0VBTA==")
    else:
        items = [item for item in pair.provider.body["input"] if item.get("type") == "reasoning"]
        assert [(item["id"], item["encrypted_content"]) for item in items] == [("rs_0", "U0VBTA==")]


async def ask_raw(pair, client, asked, key, more):
    """The same question with `more` after it, in the SDK's own words."""
    given = (messages_request if pair.form == MESSAGES else responses_request)(asked)
    given[key] = [*given[key], *more]
    pair.provider.says(HELLO)
    create = pair.client.messages.create if pair.form == MESSAGES else pair.client.responses.create
    await create(model=f"{NAMES[pair.interface]}/{THINKERS[pair.interface]}", **given)


# What goes wrong


REFUSALS = {
    400: ("BadRequestError", "BadRequestError"),
    401: ("AuthenticationError", "AuthenticationError"),
    404: ("NotFoundError", "NotFoundError"),
    429: ("RateLimitError", "RateLimitError"),
    500: ("InternalServerError", "InternalServerError"),
    529: ("InternalServerError", "OverloadedError"),
}
"""Of OpenAI's SDK, of Anthropic's."""


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_providers_refusal_is_the_sdks_own_exception_with_its_message(whole_pair, status):
    pair = whole_pair
    pair.provider.says(Fails(status, "no, not today", {"retry-after": "7"} if status == 429 else {}))
    name = REFUSALS[status][pair.form == MESSAGES]
    with pytest.raises(getattr(pair.sdk, name), match="no, not today") as raised:
        await pair.answer(ask())
    assert raised.value.status_code == status
    assert raised.value.response.headers.get("retry-after") == ("7" if status == 429 else None)
    if pair.form == MESSAGES:
        assert raised.value.body["error"]["type"] == ERRORS[status][0]
    elif pair.interface != MESSAGES:
        assert raised.value.code == ERRORS[status][1]


async def test_a_stream_that_does_not_begin_is_refused_the_same_way(pair):
    pair.provider.says(Fails(529, "no, not today"))
    with pytest.raises(getattr(pair.sdk, REFUSALS[529][pair.form == MESSAGES]), match="no, not today"):
        await pair.answer(ask())


GONE = "the provider gave up"


async def test_an_error_amid_a_stream_is_raised_and_never_a_clean_end(stream_pair):
    pair = stream_pair
    with pytest.raises((pair.sdk.APIError, httpx2.HTTPError, RuntimeError)) as raised:
        await pair.answer(ask(), Script((Words("Once upon a time"),), breaks="error"))
    if pair.form != RESPONSES:  # whose SDK shows `response.failed` as an event, and raises at the end of the stream
        assert GONE in str(raised.value)


async def test_an_answer_that_is_cut_is_raised_and_never_a_clean_end(pair):
    with pytest.raises((pair.sdk.APIError, httpx2.HTTPError)) as raised:
        await pair.answer(ask(), Script((Words("Once upon a time"),), breaks="cut"))
    if isinstance(raised.value, pair.sdk.APIResponseValidationError):  # `response.failed` with a code of ours
        assert raised.value.body["response"]["error"]["code"] == "upstream_reset"


async def test_the_sdk_tries_again_when_it_is_told_to(whole_pair, start):
    pair = whole_pair
    sidecar = await start(config(pair.provider.url, "routing: {failover: false}\n"))
    pair.provider.says(Fails(429, headers={"retry-after-ms": "1"}), HELLO)
    async with CLIENTS[pair.form].opened(sidecar.port, max_retries=1) as client:
        name = f"{NAMES[pair.interface]}/m"
        answer = await CLIENTS[pair.form].answer(client, ask(), name, stream=pair.stream)
    assert (answer.text, len(pair.provider.heard)) == (HELLO.parts[0].text, 2)


async def test_the_sidecar_tries_again_before_the_sdk_has_to(whole_pair):
    pair = whole_pair
    pair.provider.says(Fails(503), HELLO)
    assert (await pair.answer(ask())).text == HELLO.parts[0].text
    assert len(pair.provider.heard) == 2


@only(lambda client, interface: client == interface)
async def test_the_sdks_list_our_models(whole_pair):
    listed = [model.id async for model in whole_pair.client.models.list()]
    assert listed == ["auto"]
    assert (await whole_pair.client.models.retrieve("c/m")).id == "c/m"


# Sessions and failover across formats


async def decided(pair, model, **more):
    """What the SDK's user sees of the decision: the headers of one answer."""
    create = {
        CHAT: lambda: pair.client.chat.completions.with_raw_response.create,
        MESSAGES: lambda: pair.client.messages.with_raw_response.create,
        RESPONSES: lambda: pair.client.responses.with_raw_response.create,
    }[pair.form]()
    requests = {CHAT: chat_request, MESSAGES: messages_request, RESPONSES: responses_request}
    answer = await create(model=model, **requests[pair.form](ask()), **more)
    parsed = answer.parse()
    if isawaitable(parsed):  # with one SDK it is, with the other it is not
        await parsed
    return {name: value for name, value in answer.headers.items() if name.startswith("x-sidecar")}


async def test_a_session_keeps_its_model_whatever_is_asked_for_later(whole_pair):
    pair, session = whole_pair, {"X-Session-Id": "run-42"}
    pair.provider.says(HELLO)
    first = f"{NAMES[pair.interface]}/first"
    found = [await decided(pair, model, extra_headers=session) for model in (first, "a/second", "c/second", "r/second")]
    assert [headers["x-sidecar-model"] for headers in found] == [first] * 4
    assert [headers["x-sidecar-pin"].partition(";")[0] for headers in found] == ["miss", "hit", "hit", "hit"]


async def test_another_models_answer_comes_in_the_clients_format_too(whole_pair):
    pair = whole_pair
    pair.provider.says(lambda body: Fails(529) if body["model"] == "busy" else HELLO)
    other = next(name for form, name in NAMES.items() if form != pair.interface)
    ranked = [f"{NAMES[pair.interface]}/busy", f"{other}/free"]
    routes = [{"name": "any", "description": "anything at all: say hello", "models": ranked}]
    found = await decided(pair, "auto", extra_body={"routing_preferences": routes})
    assert (found["x-sidecar-model"], found["x-sidecar-attempts"]) == (ranked[1], "2")
    assert [heard.body["model"] for heard in pair.provider.heard] == ["busy", "free"]


async def test_the_python_of_the_readme_does_what_it_says(provider, start, tmp_path):
    provider.says(HELLO)
    sidecar = await start(builtin(provider.url))
    lines, expected = snippet("python", "print")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-", cwd=tmp_path, env={**environ(sidecar.port), "PYTHONIOENCODING": "utf-8"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate(lines.encode())
    assert errors.decode() == ""
    assert out.decode().splitlines() == [*expected, HELLO.parts[0].text]
