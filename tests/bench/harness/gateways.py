"""The gateways to models, each with what its own documentation says for production, and one process."""

import json
import re

from . import installing
from .candidates import Candidate
from .proxies import SERVERS
from .starting import Command, free_port
from .traffic import Wire

KEY = "sk-bench"
PRINTED = re.compile(r"http://127\.0\.0\.1:(\d+)")


class LiteLLM(Candidate):
    name = "LiteLLM"
    settings = "one worker, uvloop, LITELLM_MODE=PRODUCTION, log level ERROR, a master key, no database"
    seconds = 3

    def install(self, cache):
        return installing.pip(cache, "litellm", "litellm[proxy]", "uvloop")

    def command(self, here):
        def model(name, port):
            # Names that its price list has: for others each request looks for a price in vain.
            at = {"model": f"openai/{name}", "api_key": KEY, "api_base": f"http://127.0.0.1:{port}/v1"}
            return {"model_name": name, "litellm_params": at}

        config = here.folder / "litellm.json"  # JSON is YAML too
        models = [model("gpt-4o-mini", here.providers.plain), model("gpt-4o", here.providers.streams)]
        settings = {"set_verbose": False, "json_logs": True, "request_timeout": 600}
        general = {"master_key": KEY}
        config.write_text(json.dumps({"model_list": models, "litellm_settings": settings, "general_settings": general}))
        port = free_port()
        argv = (here.cache / "litellm" / "bin" / "litellm", "--config", config, "--host", "127.0.0.1", "--port", port)
        env = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return Command((*argv, "--num_workers", 1, "--telemetry", "False"), port, env)

    def ask(self, work, port):
        return self.ask_chat(work, port)


class Portkey(Candidate):
    name = "Portkey gateway"
    settings = "headless, NODE_ENV=production, @hono/node-server 1.13.8 (streams fail with later ones)"
    seconds = 2

    def install(self, cache):
        package = json.dumps({"private": True, "overrides": {"@hono/node-server": "1.13.8"}})
        return installing.npm(cache, "portkey", "@portkey-ai/gateway", package)

    def command(self, here):
        self.providers = here.providers
        port = free_port()
        program = here.cache / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        env = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}
        return Command(("node", program, "--headless", f"--port={port}"), port, env)

    def ask(self, work, port):
        to = self.providers.streams if work.streams else self.providers.plain
        where = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{to}/v1"}
        return self.ask_chat(work, port, headers=where)


TENSORZERO = """
[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true
"""
TENSORZERO_MODEL = """
[models.{name}]
routing = ["double"]
[models.{name}.providers.double]
type = "openai"
model_name = "{model}"
api_base = "http://127.0.0.1:{port}/v1/"
api_key_location = "env::BENCH_KEY"
"""


class TensorZero(Candidate):
    name = "TensorZero gateway"
    settings = "embedded, observability off"

    def install(self, cache):
        return installing.pip(cache, "tensorzero", "tensorzero")

    def command(self, here):
        config = here.folder / "tensorzero.toml"
        models = TENSORZERO_MODEL.format(name="plain", model="gpt-4o-mini", port=here.providers.plain)
        models += TENSORZERO_MODEL.format(name="streams", model="gpt-4o", port=here.providers.streams)
        config.write_text(TENSORZERO + models)
        argv = (here.cache / "tensorzero" / "bin" / "python", SERVERS / "embedded_tensorzero.py", config)
        return Command(argv, PRINTED, {"BENCH_KEY": KEY})

    def ask(self, work, port):
        models = {"plain": "tensorzero::model_name::plain", "streams": "tensorzero::model_name::streams"}
        return self.ask_chat(work, port, path="/openai/v1/chat/completions", **models)


class ClaudeCodeRouter(Candidate):
    name = "claude-code-router"
    settings = (
        "LOG false, a key, NODE_ENV=production; its clients speak Anthropic's messages, its provider chat completions"
    )
    seconds = 2
    wire = Wire.MESSAGES

    def install(self, cache):
        return installing.npm(cache, "claude-code-router", "@musistudio/claude-code-router")

    def command(self, here):
        def provider(name, port, model):
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            return {"name": name, "api_base_url": url, "api_key": KEY, "models": [model]}

        port = free_port()
        providers = [provider("plain", here.providers.plain, "gpt-4o-mini")]
        providers.append(provider("streams", here.providers.streams, "gpt-4o"))
        config = {"LOG": False, "HOST": "127.0.0.1", "PORT": port, "APIKEY": KEY, "NON_INTERACTIVE_MODE": True}
        config |= {"API_TIMEOUT_MS": 600_000, "Providers": providers, "Router": {"default": "plain,gpt-4o-mini"}}
        home = here.folder / ".claude-code-router"
        home.mkdir()
        (home / "config.json").write_text(json.dumps(config))
        program = here.cache / "claude-code-router/node_modules/@musistudio/claude-code-router/dist/cli.js"
        return Command(("node", program, "start"), port, {"HOME": str(here.folder), "NODE_ENV": "production"})

    def ask(self, work, port):
        models = {"plain": "plain,gpt-4o-mini", "streams": "streams,gpt-4o"}
        return self.ask_chat(work, port, headers={"x-api-key": KEY, "anthropic-version": "2023-06-01"}, **models)


SWITCHYARD = """
[llm_clients.{name}]
format = "openai_chat"
base_url = "http://127.0.0.1:{port}/v1"
api_key_env = "BENCH_KEY"
[targets.{name}]
id = "{model}"
llm_client = "{name}"
[targets.{name}_more]
id = "{model}-more"
llm_client = "{name}"
[routes.{name}]
id = "{name}"
type = "stage_router"
efficient_target = "{name}"
capable_target = "{name}_more"
picker = "efficient_first"
confidence_threshold = 0.5
"""


class Switchyard(Candidate):
    name = "NVIDIA Switchyard"
    settings = "its stage router between two models of one provider, as its guide has it"

    def install(self, cache):
        return installing.pip(cache, "switchyard", "nemo-switchyard")

    def command(self, here):
        config = here.folder / "routes.toml"
        config.write_text(
            "schema_version = 1\n"
            + SWITCHYARD.format(name="plain", port=here.providers.plain, model="gpt-4o-mini")
            + SWITCHYARD.format(name="streams", port=here.providers.streams, model="gpt-4o")
        )
        argv = (here.cache / "switchyard" / "bin" / "python", SERVERS / "embedded_switchyard.py", config)
        return Command(argv, PRINTED, {"BENCH_KEY": KEY})

    def ask(self, work, port):
        return self.ask_chat(work, port, plain="plain", streams="streams")
