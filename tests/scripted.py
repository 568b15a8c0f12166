"""A provider double of all three interfaces: it refuses what its interface would refuse, and says what a script says."""

import re
from pathlib import Path

from aiohttp import web
from asking import read
from attrs import define, field, frozen
from speaking import CHAT, MESSAGES, RESPONSES, Fails, error, error_event, events, whole
from strict import flaws

INTERFACES = {CHAT: "openai", MESSAGES: "anthropic", RESPONSES: "chatgpt"}
"""`provider_interface` of a place that speaks nothing else. `responses` would speak chat completions too."""
NAMES = {CHAT: "c", MESSAGES: "a", RESPONSES: "r"}
"""The provider's name in a model's: `c/gpt-5`."""

ROOT = Path(__file__).parents[1]


@frozen
class Heard:
    form: str
    body: dict
    headers: object

    @property
    def asked(self):
        return read(self.form, self.body)


@define
class Provider:
    """`scripts`: what it says, one after the other, the last one again and again; or a function of a body."""

    url: str = ""
    scripts: list = field(factory=list)
    heard: list[Heard] = field(factory=list)
    flaws: list[str] = field(factory=list)

    def says(self, *scripts):
        self.scripts = list(scripts)

    @property
    def asked(self):
        return self.heard[-1].asked

    @property
    def body(self):
        return self.heard[-1].body

    async def handle(self, request):
        form = request.match_info["form"]
        body = await request.json()
        self.heard.append(Heard(form, body, request.headers.copy()))
        if found := flaws(form, body, request.headers):
            self.flaws += found
            return web.json_response(error(form, Fails(400, " | ".join(found)[:3000])), status=400)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        script = script(body) if callable(script) else script
        if isinstance(script, Fails):
            return web.json_response(error(form, script), status=script.status, headers=script.headers)
        if not body.get("stream"):
            return await self._whole(request, form, script, body)
        return await self._stream(request, form, script, body)

    async def _whole(self, request, form, script, body):
        if script.breaks is None:
            return web.json_response(whole(form, script, body))
        response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
        await response.prepare(request)
        await response.write(b'{"id": ')
        request.transport.close()
        return response

    async def _stream(self, request, form, script, body):
        said = events(form, script, body)
        if script.breaks is not None:
            said = said[: len(said) // 2]
        if script.breaks == "error":
            said.append(error_event(form, "the provider gave up", len(said)))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        stream = b"".join(said)
        for at in range(0, len(stream), 999):  # amid events, lines and characters
            await response.write(stream[at : at + 999])
        if script.breaks == "cut":
            request.transport.close()
        return response


def config(url, more=""):
    """A sidecar's, with the double as the provider of every model: `c/…`, `a/…`, `r/…`."""
    entries = "".join(
        f"  - {{model: {NAMES[form]}/*, base_url: '{url}/v1', provider_interface: {interface}, access_key: our-key}}\n"
        for form, interface in INTERFACES.items()
    )
    return f"model_providers:\n{entries}{more}"


def builtin(url):
    """The built-in configuration, with the double as Anthropic."""
    text = (ROOT / "sidecar" / "config" / "builtin.yaml").read_text()
    return text.replace("access_key: $ANTHROPIC_API_KEY", f"access_key: our-key\n    base_url: '{url}'")


def snippet(language, says):
    """The first lines in that language in README.md's `Use it`, and what they should print where a comment says so."""
    use_it = (ROOT / "README.md").read_text().partition("## Use it")[2]
    lines = re.search(rf"```{language}\n(.*?)```", use_it, re.DOTALL)[1]
    return lines, re.findall(rf"^{re.escape(says)}.*(?://|#) (.+)$", lines, re.MULTILINE)


def environ(port):
    """What README.md exports; and a key, without which no SDK begins."""
    exports = re.search(r"^export (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)[1]
    named = dict(pair.split("=") for pair in exports.replace(":12000", f":{port}").split())
    return {"OPENAI_API_KEY": "unused", "ANTHROPIC_API_KEY": "unused", **named}
