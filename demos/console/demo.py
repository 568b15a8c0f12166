"""
A sidecar at work, for looking at its console: agents in sessions, clients without one, and providers with bad minutes.

    agents ──X-Session-Id──▶ sidecar up config.yaml ──▶ a program that answers like five providers
                                  └── http://127.0.0.1:…/  the console

The requests are real and take the time they take; only the models are none. What happens repeats every five minutes: a
provider that is out of quota, one with scattered failures, a batch job that sends no session ids, one provider that is
down in the last half minute. Some agents pause for longer than their pin lives.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

HERE = Path(__file__).parent
CYCLE_S = 300.0
LONG_ENOUGH_S = CYCLE_S - 4
"""For a picture: everything has happened once, and the last trouble is not over."""
AGENTS = 14
FAILING = 0.3
"""How many of its requests a provider in trouble refuses."""
PAUSING = 0.012
"""How often an agent's user goes away for `PAUSE_S`, in which its pin expires."""
PAUSE_S = 42.0
STRAY = 0.1
"""How much of its own pace the batch job has outside its time."""
# How clients name their sessions: our own header, and what known ones send by themselves.
HEADERS = ("x-session-id", "x-session-id", "x-claude-code-session-id", "session-id")

PROMPTS = {
    "code": (
        "Write a Python function that parses ISO dates.",
        "Implement JWT authentication middleware for the API.",
        "Write the SQLAlchemy models for users, projects and tasks.",
        "Generate a React component for a sortable table.",
        "Write a binary search in Rust.",
    ),
    "reasoning": (
        "Analyze the trade-offs between SQL and NoSQL databases for storing events.",
        "Explain in detail how consensus works in Raft and where it can stall.",
        "Think through the failure modes of this queue step by step.",
        "Compare three caching strategies and argue for one of them.",
    ),
    "translation": (
        "Translate this release note into German.",
        "Translate the following paragraph from French to English.",
        "Translate the error messages into Spanish.",
    ),
    "summary": (
        "Summarize this incident report in five sentences.",
        "Summarize the discussion so far.",
        "Summarize this article for the newsletter.",
    ),
}
SLOWNESS_S = {
    "claude-sonnet-4": 0.9,
    "gpt-4o": 0.7,
    "gpt-4o-mini": 0.3,
    "gemini-2.5-flash": 0.35,
    "mistral-small": 0.25,
}


class Story:
    """What happens when: (from, to) in seconds of a cycle."""

    def __init__(self) -> None:
        self.chance = random.Random(7)  # noqa: S311 - the same workload each time
        self._began = time.monotonic()

    @property
    def second(self) -> float:
        return (time.monotonic() - self._began) % CYCLE_S

    def within(self, begin_s: float, end_s: float) -> bool:
        return begin_s <= self.second < end_s

    def thinking_s(self) -> float:
        """How long an agent is busy between two requests, at the mean: busy and quiet minutes take turns."""
        return 0.6 if self.within(30, 140) or self.within(190, 280) else 1.5

    def failure(self, model: str) -> int | None:
        """The status that a provider of this model fails with now, if it does."""
        if model == "gemini-2.5-flash" and self.within(90, 112):
            return 429
        if model == "gpt-4o" and self.within(165, 215) and self.chance.random() < FAILING:
            return 503
        if model == "mistral-small" and self.within(CYCLE_S - 26, CYCLE_S):
            return 503
        return None


# The providers


@asynccontextmanager
async def providers(story: Story) -> AsyncIterator[str]:
    """The base URL of a program that answers chat completions of any model."""

    async def answer(request: web.Request) -> web.Response:
        model = (await request.json())["model"]
        if (status := story.failure(model)) is not None:
            return web.json_response({"error": {"message": "not now", "type": "demo"}}, status=status)
        await asyncio.sleep(SLOWNESS_S.get(model, 0.5) * story.chance.uniform(0.4, 1.8))
        message = {"role": "assistant", "content": "Done."}
        usage = {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return web.json_response(
            {
                "id": "demo",
                "object": "chat.completion",
                "created": 0,
                "model": model,
                "choices": choices,
                "usage": usage,
            }
        )

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


# The sidecar


@asynccontextmanager
async def sidecar(providers_url: str) -> AsyncIterator[tuple[str, str]]:
    """The URLs of a sidecar's data plane and of its admin port. Raises SystemExit when it does not start."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar.cli", "up", "config.yaml"),
        *("--port", "0", "--admin-port", "0", "--log-level", "error"),
        env={**os.environ, "PROVIDERS_URL": providers_url, "DEMO_KEY": "unused"},
        cwd=HERE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said = ""
        while "sessions " not in said:
            line = await process.stdout.readline()
            if not line:
                sys.exit("The sidecar did not start.")
            said += line.decode()
        yield tuple(re.search(rf"^{name}\s+(http://[^/\s]+)", said, re.MULTILINE)[1] for name in ("answers", "admin"))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


# The clients


async def agent(client: aiohttp.ClientSession, story: Story) -> None:
    """One session after another: steps of mixed intent under one id, and now and then a pause that is too long."""
    chance = story.chance
    while True:
        headers = {chance.choice(HEADERS): str(uuid.UUID(int=chance.getrandbits(128)))}
        for _ in range(chance.randint(6, 30)):
            await ask(client, story, headers)
            await asyncio.sleep(chance.expovariate(1 / story.thinking_s()))
            if chance.random() < PAUSING:
                await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(chance.uniform(0, 6))


async def batch(client: aiohttp.ClientSession, story: Story) -> None:
    """A job that names no session, in its own time."""
    while True:
        await asyncio.sleep(0.5)
        if story.within(225, 262) or story.chance.random() < STRAY:
            await ask(client, story, {})


async def ask(client: aiohttp.ClientSession, story: Story, headers: dict[str, str]) -> None:
    kind = story.chance.choice(("code", "code", "code", "reasoning", "reasoning", "translation", "summary"))
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": story.chance.choice(PROMPTS[kind])}]}
    async with client.post("/v1/chat/completions", json=body, headers=headers) as answer:
        await answer.read()


# The picture


async def picture(admin: str, path: Path, browser: str) -> None:
    """The console as it is now, for a README: down to the first decisions."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - only who takes pictures needs it

    arguments = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=browser, args=arguments)
        page = await chromium.new_page(viewport={"width": 1200, "height": 980})
        await page.goto(f"{admin}/")
        await page.get_by_role("radio", name="5 min", exact=True).check()
        await page.locator("#decisions tbody tr").first.wait_for()
        await page.screenshot(path=path)
        await chromium.close()


@asynccontextmanager
async def clients(url: str, story: Story) -> AsyncIterator[set[asyncio.Task[None]]]:
    """Everybody who asks. They go on for ever, so one that is done has failed."""
    async with aiohttp.ClientSession(url) as client:
        tasks = {asyncio.create_task(each(client, story)) for each in (*[agent] * AGENTS, batch)}
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def main(asked: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    story = Story()
    async with AsyncExitStack() as stack:
        url, admin = await stack.enter_async_context(sidecar(await stack.enter_async_context(providers(story))))
        print(f"console  {admin}/\nCtrl-C stops it.", flush=True)
        asking = await stack.enter_async_context(clients(url, story))
        stopped = asyncio.create_task(stop.wait())
        patience_s = asked.seconds or (LONG_ENOUGH_S if asked.picture else None)
        done, _ = await asyncio.wait({stopped, *asking}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            task.result()  # raises what went wrong
        if asked.picture and not done:
            await picture(admin, asked.picture, asked.browser)
            print(f"picture  {asked.picture}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--seconds", type=float, help="stop, or take the picture, after so long")
    parser.add_argument("--picture", type=Path, help="write a PNG of the console here and stop")
    parser.add_argument("--browser", default="/usr/bin/chromium", help="who takes the picture (needs playwright)")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
