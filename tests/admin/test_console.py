"""
The console in real Chromium before a real sidecar: what it shows, what it does, and what it never lets happen.

The browser is Debian's (`apt-get install chromium`); Playwright only drives it and downloads nothing. All tests of this
file share one event loop and one browser; each has a page and a sidecar of its own.
"""

import asyncio
import json
import os
import re
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from attrs import define, evolve, field
from playwright.async_api import async_playwright, expect
from ports import free_port
from provider import COMPLETION, KEYS, answers, before, entry, refuses
from provider import serving as provider_double
from running import CODE, CONFIG, Running, chat, serve

from sidecar.config import read_text
from sidecar.routing.decision import Lookup

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHROMIUM = Path("/usr/bin/chromium")
# As root there is no sandbox; the rest keeps the browser from calling home.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MARKUP = "<img src=x onerror=window.pwned=1>"
DESCRIPTION = "generating new code, writing functions, or creating boilerplate"


@pytest.fixture(scope="module")
def installed():
    if CHROMIUM.exists():
        return CHROMIUM
    if os.environ.get("CI"):
        pytest.fail(f"{CHROMIUM} is missing, and without it nobody tests the console")
    return pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(installed):
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=installed, args=ARGUMENTS)
        yield running
        await running.close()


@asynccontextmanager
async def sidecar(text=CONFIG, environ=None, *, admin_port=0):
    config = read_text(text, "test.yaml", environ or {}).config
    config = evolve(config, listener=evolve(config.listener, port=0), admin=evolve(config.admin, port=admin_port))
    async with serve(config) as serving, aiohttp.ClientSession(f"http://127.0.0.1:{serving.listener[1]}") as client:
        yield Running(client, f"http://127.0.0.1:{serving.admin[1]}", serving.listener[1])


HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


@define
class Seen:
    """A page, and all that went wrong on it."""

    page: object
    wrong: list[str] = field(factory=list)
    asked: list[str] = field(factory=list)

    def watch(self):
        self.page.on(
            "console", lambda message: message.type in ("error", "warning") and self.wrong.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    async def text(self, selector):
        return await self.page.locator(selector).inner_text()

    async def live(self):
        await expect(self.page.locator("#pulse")).to_contain_text("live")

    async def hide(self, hidden):
        await self.page.evaluate(HIDE, hidden)

    async def again(self):
        """Somebody comes back to the tab: it asks at once."""
        await self.hide(True)  # noqa: FBT003 - the word before says what
        async with self.page.expect_event("requestfinished", lambda request: request.url.endswith("/recent")):
            await self.hide(False)  # noqa: FBT003 - likewise

    async def overflow_px(self):
        return await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")


@pytest_asyncio.fixture(loop_scope="module")
async def look(browser):
    """`await look(sidecar)`: its console, open and live. Whatever the browser complains of fails the test at its end."""
    async with AsyncExitStack() as stack:
        pages = []

        async def begin(running, *, width=1280, height=900, **settings):
            context = await browser.new_context(viewport={"width": width, "height": height}, **settings)
            stack.push_async_callback(context.close)
            seen = Seen(await context.new_page())
            seen.page.set_default_timeout(5000)
            seen.watch()
            pages.append(seen)
            await seen.page.goto(running.admin + "/")
            await seen.live()
            return seen

        yield begin
        assert [page.wrong for page in pages] == [[] for _ in pages]


@pytest_asyncio.fixture(loop_scope="module")
async def running():
    async with sidecar() as it:
        yield it


async def turns(running, session, count, **more):
    for _ in range(count):
        await running.decide(chat(**more), X_Session_Id=session)


# What the server sends


async def test_every_file_has_the_policy_and_nothing_is_inline(running):
    async with running.client.get(running.admin + "/") as answer:
        page, headers = await answer.text(), answer.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    names = set(re.findall(r'(?:src|href)="console/([^"]+)"', page))
    assert {"main.js", "console.css", "icon.svg"} <= names
    for path in ("/", *(f"/console/{name}" for name in names)):
        async with running.client.get(running.admin + path) as answer:
            assert answer.status == 200
            policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
            assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == "'self'"
            assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == (
                "nosniff",
                "no-store",
            )
            assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|https?://", page)


@pytest.mark.parametrize("name", ["nothing.js", "console.py", "..%2fconsole.py", "%2e%2e", "..%2f..%2fserver.py"])
async def test_nothing_but_the_consoles_own_files_is_served(running, name):
    url = aiohttp.client.URL(f"{running.admin}/console/{name}", encoded=True)
    async with running.client.get(url) as answer:
        assert answer.status == 404


async def test_recent_tells_lookups_decisions_and_pins(running):
    await turns(running, "s", 3)
    await running.decide(chat())
    async with running.client.get(running.admin + "/recent") as answer:
        told = await answer.json()
    assert (told["hits"], told["lookups_total"], told["requests_total"]) == (2, 3, 4)
    assert told["pins"] == {"anthropic/claude-sonnet": 1}
    assert [decision["pin"] for decision in told["decisions"]] == ["none", "hit", "hit", "miss"]


# What the page shows


async def test_an_idle_sidecar_says_so_and_asks_nobody_else(running, look):
    seen = await look(running)
    assert await seen.text("#verdict") == "No requests in the last 15 minutes."
    assert not await seen.page.locator("#rate").is_visible()
    assert "No pins" in await seen.text("#pins")
    assert "No decisions yet" in await seen.text("#decisions")
    assert (await seen.text("#state"), await seen.text("#config")) == ("serving", "test.yaml")
    assert {url.startswith(running.admin) for url in seen.asked} == {True}


async def test_live_numbers_follow_real_requests(running, look):
    seen = await look(running)
    await turns(running, "one", 4)
    await turns(running, "two", 1)
    await running.decide(chat())
    await expect(seen.page.locator("#rate")).to_have_text(re.compile(r"60.0\s%"))
    assert "3 of 5 lookups in the last 15 minutes hit their pin" in await seen.text("#verdict")
    assert "2 first requests of sessions" in await seen.text("#why")
    assert "1 request (16.7" in await seen.text("#why")
    assert re.search(r"anthropic/claude-sonnet\s+2\s+100\s%", await seen.text("#pins"))
    rows = seen.page.locator("#decisions tbody tr")
    await expect(rows).to_have_count(6)
    assert "no session" in await rows.first.inner_text()
    assert "pinned" in await rows.nth(2).inner_text()
    await turns(running, "one", 4)
    await seen.again()
    await expect(rows).to_have_count(10)
    assert "7 of 9 lookups" in await seen.text("#verdict")


async def test_the_chart_reads_out_one_moment_by_pointer_and_by_keyboard(running, look):
    await turns(running, "one", 4)
    seen = await look(running)
    chart = seen.page.get_by_role("slider", name="Pin hit rate and lookups")
    box = await chart.bounding_box()
    await seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    assert "no lookups" in await seen.text("#readout")
    await chart.focus()
    await seen.page.keyboard.press("End")
    said = await chart.get_attribute("aria-valuetext")
    if "no lookups" in said:  # a new bin has just begun
        await seen.page.keyboard.press("ArrowLeft")
        said = await chart.get_attribute("aria-valuetext")
    assert re.search(r"hit rate 75.0\s% · 3 hit, 1 miss", said)
    await seen.page.keyboard.press("Escape")
    assert "Point at the chart" in await seen.text("#readout")


async def test_the_chart_can_be_read_as_a_table(running, look):
    await turns(running, "one", 4)
    seen = await look(running)
    await seen.page.get_by_text("The chart as a table").click()
    rows = seen.page.locator("#astable tbody tr")
    await expect(rows.nth(14)).to_be_visible()
    texts = [await row.inner_text() for row in await rows.all()]
    assert 15 <= len(texts) <= 16
    assert any(re.search(r"75.0\s%\s+3\s+1\s+0\s+0\s+0", text) for text in texts)
    await seen.page.get_by_role("radio", name="5 min", exact=True).check()
    assert 5 <= await rows.count() <= 6
    assert "in the last 5 minutes" in await seen.text("#verdict")


async def test_decisions_can_be_filtered_and_held_still(running, look):
    await turns(running, "one", 2)
    await running.decide(chat("Analyze the trade-offs between SQL and NoSQL databases"))
    seen = await look(running)
    rows = seen.page.locator("#decisions tbody tr")
    await seen.page.get_by_label("Filter decisions").fill("CLAUDE hit")
    await expect(rows).to_have_count(1)
    assert "1 of the latest 3" in await seen.text("#decisions-total")
    await seen.page.get_by_label("Filter decisions").fill("nothing has this")
    await expect(seen.page.get_by_text("No decision has all of these words.")).to_be_visible()
    await seen.page.get_by_label("Filter decisions").fill("")
    await seen.page.get_by_role("button", name="Pause").click()
    await turns(running, "one", 2)
    await seen.again()
    await expect(seen.page.locator("#decisions-total")).to_contain_text("held still, 2 newer ones")
    await expect(rows).to_have_count(3)
    await seen.page.get_by_role("button", name="Resume").click()
    await expect(rows).to_have_count(5)


async def test_a_failing_provider_and_a_failover_are_seen(look):
    async with provider_double(refuses(503, {"message": "no"})) as sick, provider_double(answers(COMPLETION)) as well:
        route = {"name": "code_generation", "description": DESCRIPTION, "models": ["openai/first", "openai/second"]}
        text = before(entry(sick), entry(well, "openai/second"), routing_preferences=[route])
        async with sidecar(text, KEYS) as running:
            for _ in range(5):
                async with running.client.post(
                    "/v1/chat/completions", json=chat(CODE, model="openai/first"), headers={"x-session-id": "s"}
                ) as answer:
                    assert answer.status == 200
            seen = await look(running)
            failing = seen.page.locator("#providers tbody tr").first
            assert re.search(r"openai/first.*ejected.*back in \d+ s.*503", await failing.inner_text(), re.DOTALL)
            assert "1 not healthy" in await seen.text("#providers-total")
            assert "5 requests were answered by another model after a failure; 1 pin moved." in await seen.text("#why")
            row = await seen.page.locator("#decisions tbody tr").first.inner_text()
            assert re.search(r"openai/second\s+not openai/first.*server_error\s+pin moved", row, re.DOTALL)


# What it does


async def test_a_dry_run_shows_why_and_leaves_no_trace(running, look):
    seen = await look(running)
    await seen.page.get_by_label("What a user would ask").fill(CODE)
    await seen.page.get_by_label("In session").fill("never-seen")
    await seen.page.get_by_role("button", name="Decide").click()
    tried = seen.page.locator("#tried")
    await expect(tried).to_contain_text("anthropic/claude-sonnet")
    assert re.search(
        r"dry run.*routed.*code_generation.*openai/gpt-4o.*confidence", await seen.text("#tried"), re.DOTALL
    )
    assert await tried.locator(".bars li").count() == 2
    assert "made none" in await seen.text("#tried")
    async with running.client.get(running.admin + "/recent") as answer:
        told = await answer.json()
    assert (told["requests_total"], told["decisions"], told["pins"]) == (0, [], {})


async def test_a_prompt_that_is_refused_says_why(running, look):
    seen = await look(running)
    await seen.page.get_by_label("What a user would ask").fill("hi")
    await seen.page.get_by_label("In session").fill("two words")
    await seen.page.get_by_role("button", name="Decide").click()
    await expect(seen.page.locator("#tried")).to_contain_text("visible ASCII")
    seen.wrong.clear()  # Chromium reports every answer of 400 as an error


@pytest.mark.parametrize("session", ["a/b?c=d#e%20&f", "export"])
async def test_a_session_tells_its_story_and_is_forgotten_only_when_confirmed(running, look, session):
    await turns(running, session, 3)
    seen = await look(running)
    await seen.page.get_by_label("Session id").fill(session)
    await seen.page.keyboard.press("Enter")
    found = seen.page.locator("#found")
    await expect(found).to_contain_text("anthropic/claude-sonnet")
    story = await seen.text("#found")
    assert "It has decided 3 requests so far. It lasts " in story
    assert re.search(r"decided.*ago.*routed.*code_generation.*x-session-id.*last failover\s+none", story, re.DOTALL)

    await seen.page.get_by_role("button", name="Forget this pin").click()
    await expect(seen.page.get_by_role("button", name="Keep it")).to_be_focused()
    await seen.page.keyboard.press("Escape")
    assert (await running.decide(X_Session_Id=session))[1]["pinned"] is True

    await seen.page.get_by_role("button", name="Forget this pin").click()
    await seen.page.get_by_role("button", name="Forget the pin", exact=True).click()
    await expect(found).to_contain_text("The pin is forgotten.")
    assert (await running.decide(X_Session_Id=session))[1]["pinned"] is False


async def test_a_session_without_a_pin_says_what_may_be_the_reason(running, look):
    seen = await look(running)
    await seen.page.get_by_label("Session id").fill("nobody")
    await seen.page.get_by_role("button", name="Look up").click()
    await expect(seen.page.locator("#found")).to_contain_text("This session never came")
    seen.wrong.clear()  # Chromium reports every answer of 404 as an error


async def test_names_with_markup_stay_text(look):
    model = {"model": "openai/<b>bold</b>", "name": MARKUP, "default": True, "access_key": "key"}
    async with sidecar(json.dumps({"model_providers": [model]})) as running:
        session = "<img/src=x/onerror=window.pwned=1>"
        route = {"name": MARKUP, "description": DESCRIPTION, "models": ["openai/<b>bold</b>"]}
        await turns(running, session, 2, routing_preferences=[route])
        seen = await look(running)
        await seen.page.get_by_label("Session id").fill(session)
        await seen.page.get_by_role("button", name="Look up").click()
        await expect(seen.page.locator("#found")).to_contain_text("<b>bold</b>")
        await seen.page.get_by_role("button", name="Forget this pin").click()
        assert session in await seen.text("#confirm-text")
        assert MARKUP in await seen.text("#decisions")
        assert MARKUP in await seen.text("#providers")
        assert "<b>bold</b>" in await seen.text("#pins")
        assert await seen.page.locator("main img, main b:text('bold')").count() == 0
        assert await seen.page.evaluate("window.pwned") is None
        # And were it ever to be put in as markup, the browser refuses.
        refused = "try { document.body.innerHTML = '<b>'; 'set' } catch (error) { error.name }"
        assert await seen.page.evaluate(refused) == "TypeError"
        seen.wrong.clear()  # which it reports


# For whom, and when


LAST = "All paths of this port"
FOCUSED = """() => {
    const at = document.activeElement;
    const shown = at.matches('input[type=radio]') ? at.nextElementSibling : at;
    const name = at.id || at.value || at.getAttribute('aria-label') || at.textContent.trim();
    return [name, getComputedStyle(shown).outlineStyle];
}"""


async def test_every_control_is_reached_by_keyboard_and_shows_it(running, look):
    await turns(running, "one", 2)
    seen = await look(running)
    reached = []
    while len(reached) < 40 and LAST not in dict(reached):
        await seen.page.keyboard.press("Tab")
        reached.append(await seen.page.evaluate(FOCUSED))
    wanted = ["Skip to the answer", "900", "chart", "The chart as a table", "Providers", "filter", "pause"]
    wanted += ["Recent decisions", "prompt", "try-session", "Decide", "session", "Look up", LAST]
    assert [name for name, _ in reached] == wanted
    assert {outline for _, outline in reached} == {"solid"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_text_has_enough_contrast(running, look, scheme):
    await turns(running, "one", 2)
    await running.decide(chat("zzz"))
    await running.decide(chat(), X_Session_Id="one", x_sidecar_pin="bypass")
    seen = await look(running, color_scheme=scheme)
    await seen.page.get_by_label("Session id").fill("one")
    await seen.page.get_by_role("button", name="Look up").click()
    await seen.page.get_by_role("button", name="Forget this pin").wait_for()
    poor = await seen.page.evaluate((Path(__file__).parent / "contrast.js").read_text())
    assert poor["looked_at"] > 80
    assert poor["poor"] == []


async def test_nothing_has_to_be_scrolled_sideways(look):
    long = "provider-with-a-long-name/model-whose-name-goes-on-and-on-and-on-2025-05-14-preview"
    entries = [{"model": f"{long}-{n}", "access_key": f"$A_KEY_WITH_A_LONG_NAME_{n}"} for n in range(10)]
    entries[0]["default"] = True
    for each in entries:
        each.update(base_url="https://a-long-host-name.provider.example.com/some/path/v1", provider_interface="openai")
    async with sidecar(json.dumps({"model_providers": entries})) as running:
        await turns(running, "s" * 256, 3, model=f"{long}-1")
        seen = await look(running)
        await seen.page.get_by_label("What a user would ask").fill("hi")
        await seen.page.get_by_role("button", name="Decide").click()
        await seen.page.get_by_label("Session id").fill("s" * 256)
        await seen.page.get_by_role("button", name="Look up").click()
        await expect(seen.page.locator("#found")).to_contain_text(long)
        await expect(seen.page.locator("#tried")).to_contain_text(long)
        for width in (1280, 1024, 768, 360, 320):
            await seen.page.set_viewport_size({"width": width, "height": 800})
            assert await seen.overflow_px() <= 0, width
        assert len(await seen.page.locator("#providers tbody tr").all()) == 10


async def test_who_wants_no_motion_gets_none(running, look):
    seen = await look(running, reduced_motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter((e) => getComputedStyle(e).transitionDuration !== '0s').length"
    assert await seen.page.evaluate(moving) == 0


async def test_a_page_that_nobody_sees_asks_nothing(running, look):
    seen = await look(running)
    await seen.hide(True)  # noqa: FBT003 - the word before says what
    await asyncio.sleep(0.2)  # what was on its way arrives
    before_count = len(seen.asked)
    await asyncio.sleep(2.3)
    assert len(seen.asked) == before_count
    await seen.again()
    assert len(seen.asked) > before_count


async def test_a_sidecar_that_stops_is_seen_to_have_stopped_and_to_be_back(look):
    port = free_port()
    async with sidecar(admin_port=port) as running:
        await turns(running, "one", 2)
        seen = await look(running)
        await seen.hide(True)  # noqa: FBT003 - the word before says what
    await seen.hide(False)  # noqa: FBT003 - likewise
    stale = seen.page.locator("#stale")
    await expect(stale).to_contain_text(re.compile(r"does not answer \(nobody answers\)\. What you see is from \d\d:"))
    assert "no answer since" in await seen.text("#pulse")
    assert await seen.text("#state") == "unknown"
    assert await seen.page.get_by_role("alert").count() == 1
    assert "1 of 2 lookups" in await seen.text("#verdict")
    async with sidecar(admin_port=port):
        await expect(stale).to_be_hidden()
        await seen.live()
        await expect(seen.page.locator("#verdict")).to_have_text("No requests in the last 15 minutes.")
    seen.wrong.clear()  # Chromium reports every refused connection as an error


# The sentence at the top


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def words(browser):
    """A page that need not be live, for its functions that touch nothing."""
    async with sidecar() as running, await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(running.admin + "/")
        yield page


QUIET = {lookup.value: 0 for lookup in Lookup}


@pytest.mark.parametrize(
    ("counts", "rate", "said"),
    [
        ({}, "", "No requests in the last 15 minutes."),
        ({"none": 40}, "", "40 requests named no session, so each was routed on its own."),
        ({"invalid": 3}, "", "3 session ids were refused"),
        ({"hit": 9, "miss": 1}, "90.0 %", "Yes: every session that came back kept its model. 9 of 10 lookups"),
        ({"hit": 10}, "100 %", "10 of 10 lookups"),
        ({"hit": 9999, "miss": 1}, "99.9 %", "The other: 1 first request of a session."),
        ({"hit": 1, "miss": 9999}, "< 0.1 %", "clients that send a new id each time, or a restart"),
        ({"miss": 4}, "0 %", "No session has come back yet. 0 of 4 lookups"),
        ({"hit": 4, "expired": 9}, "30.7 %", "silent for longer than routing.session_ttl_seconds"),
        ({"hit": 4, "model_gone": 9}, "30.7 %", "A change of the configuration took models away."),
        ({"hit": 4, "prefix_changed": 9}, "30.7 %", "9 under another system prompt or other tools."),
        ({"hit": 9, "miss": 1, "side_call": 5, "turn": 5, "released": 1}, "90.0 %", "9 of 10 lookups"),
        ({"hit": 990, "expired": 10}, "99.0 %", "Nearly all do. 990 of 1,000 lookups"),
        ({"hit": 90, "miss": 10, "none": 100}, "90.0 %", "100 requests (50.0 %) named no session"),
        ({"hit": 95, "failovers": 3}, "100 %", "Yes: no session lost its pin."),
        ({"hit": 95, "failovers": 3, "moved": 2}, "100 %", "answered by another model after a failure; 2 pins moved."),
    ],
)  # fmt: skip
async def test_the_sentence_at_the_top_says_what_is_so(words, counts, rate, said):
    outcomes = {name: number for name, number in counts.items() if name in QUIET}
    requests = {"at": 0, "count": sum(outcomes.values()), "errors": 0, "failovers": 0, "moved": 0}
    requests |= {name: number for name, number in counts.items() if name not in QUIET}
    recent = {"step_seconds": 5, "lookups": [{"at": 0, **QUIET, **outcomes}], "requests": [requests]}
    answer = await words.evaluate(
        "(recent) => import('/console/tally.js').then(({ tally, answer }) => answer(tally(recent, 900), 15))", recent
    )
    assert answer["rate"].replace("\u202f", " ") == rate
    assert said in f"{answer['said']} {answer['why']}".replace("\u202f", " ")
