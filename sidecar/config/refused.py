"""
Keys of Plano that are known here and not served, each with what it is, in a sentence.

A key whose absence would change answers is refused. A key that cannot change one is accepted, and said to be unused.
"""

from collections.abc import Mapping

TOP: Mapping[str, str] = {
    "agents": "agents are services that a prompt is handed to; this program chooses models only",
    "filters": "filters rewrite or judge prompts on their way; this program passes prompts on as they are",
    "prompt_targets": "prompt targets turn prompts into API calls; this program chooses models only",
    "prompt_guards": "prompt guards refuse prompts such as jailbreaks; this program does not judge prompts",
    "endpoints": "endpoints are the APIs that prompt targets and agents call; this program calls model providers only",
    "ratelimits": "rate limits count tokens per caller; this program counts none",
    "system_prompt": "a system prompt for all requests; this program adds nothing to a prompt",
    "prompt_caching": "marks prompts for providers' caches; this program changes no prompt, and pins sessions under `routing`",
    "model_metrics_sources": "prices and latencies to rank models by; this program tries models in the order of the file",
    "state_storage": "stored conversations for the Responses API; this program stores none",
    "state_storage_v1_responses": "stored conversations for the Responses API; this program stores none",
    "error_target": "an API that is told of errors; this program answers errors itself",
}

LISTENER: Mapping[str, str] = {
    "agents": "agents are services that a prompt is handed to; this program serves models only",
    "router": "it names the model that chooses agents; this program chooses models only",
    "input_filters": "filters rewrite or judge prompts on their way; this program passes prompts on as they are",
    "output_filters": "filters rewrite or judge answers on their way; this program relays answers as they come",
    "model_providers": "providers stand at the top level of the file, not under a listener",
}

LISTENER_UNUSED: Mapping[str, str] = {
    "max_retries": "a request is retried with the next model of its route, once each",
}

LISTENER_TYPES: Mapping[str, str] = {
    "prompt": "a prompt listener serves prompt targets, which this program does not have",
    "agent": "an agent listener serves agents, which this program does not have",
}

ROUTING: Mapping[str, str] = {
    "routing_budget": "it weighs the cost of changing models within a session; here a session keeps its model",
}

OVERRIDES: Mapping[str, str] = {
    "agent_orchestration_model": "it names the model that chooses agents; this program chooses models only",
    "use_agent_orchestrator": "it hands prompts to an agent; this program chooses models only",
    "prompt_target_intent_matching_threshold": "prompt targets turn prompts into API calls; this program has none",
    "optimize_context_window": "it shortens prompts; this program passes prompts on as they are",
    "upstream_tls_ca_path": "it names the certificates to trust; this program trusts those of the system",
}

OVERRIDES_UNUSED: Mapping[str, str] = {
    "disable_signals": "this program does not analyse answers, so there is nothing to turn off",
    "upstream_connect_timeout": "connecting to a provider has its own limit here",
    "orchestrator_model_context_length": "what the classifier reads is bounded already",
}

TRACING_UNUSED: Mapping[str, str] = {
    "opentracing_grpc_endpoint": "traces are not sent by gRPC",
    "trace_arch_internal": "it traces Plano's own parts",
    "span_attributes": "spans have a fixed set of attributes here",
    "exporters": "traces are not sent to other services",
}
