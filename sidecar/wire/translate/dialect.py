"""
What a model's name tells about the fields it takes, where one format has dialects.

Providers refuse fields they do not know, and neither OpenAI nor Anthropic takes the same ones for all their models. A
name we cannot read gets the oldest, most widely understood words.

https://docs.anthropic.com/en/docs/about-claude/models · https://platform.openai.com/docs/models
"""

import re

_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_OPENAI = re.compile(r"(?:^|/)(?:gpt-\d|o\d|chatgpt-|codex-)")
_REASONING = re.compile(r"(?:^|/)(?:gpt-(?:[5-9]|[1-9]\d)|o\d|codex-)")
_EFFORT = re.compile(r"gpt-oss|gemini-(?:2\.5|[3-9])|deepseek|grok-3-mini", re.IGNORECASE)
_THINKS_ALOUD = re.compile(r"deepseek|kimi|glm|qwen|minimax", re.IGNORECASE)
_LIMITS = (
    (re.compile(r"(?:^|/)(?:gpt-3\.5|gpt-4-(?:turbo|0|1)|gpt-4-vision)"), 4096),
    (re.compile(r"(?:^|/)(?:gpt-4o|chatgpt-4o)"), 16_384),
    (re.compile(r"(?:^|/)gpt-4\.1"), 32_768),
    (re.compile(r"(?:^|/)o[134](?:-|$)"), 100_000),
    (re.compile(r"claude-3-(?:opus|sonnet|haiku)"), 4096),
    (re.compile(r"claude-3-5-"), 8192),
    (re.compile(r"claude-opus-4-(?:[01]-|[01]$|\d{8})"), 32_000),
    (re.compile(r"claude-(?:sonnet|haiku)-4-(?:[05]-|[05]$|\d{8})"), 64_000),
)
"""The most output tokens a model may be asked for: more is a 400, and agents ask for as much as their own model has."""


def claude(model: str) -> tuple[int, int]:
    """The version in a Claude model's name, `(4, 5)` of `claude-haiku-4-5-20251001`; `(0, 0)` for other names."""
    found = _CLAUDE.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def adaptive(model: str) -> bool:
    """Whether thinking is asked for by effort; before 4.6 it is by budget, and 4.7 and later refuse a budget."""
    return claude(model) >= (4, 6)


def sampling(model: str) -> bool:
    """Whether temperature and top_p may be given: from Claude 4.7 on they are a 400."""
    return claude(model) < (4, 7)


def openai(model: str) -> bool:
    """Whether a chat provider knows OpenAI's newer fields; most compatible ones refuse them."""
    return _OPENAI.search(model) is not None


def reasons(model: str) -> bool:
    """OpenAI's reasoning models: `max_tokens` is refused, encrypted reasoning is given."""
    return _REASONING.search(model) is not None


def takes_effort(model: str) -> bool:
    """Whether an OpenAI format's model takes an effort: a model that does not refuses the whole request."""
    return reasons(model) or _EFFORT.search(model) is not None


def takes_thoughts(model: str) -> bool:
    """Whether a chat provider wants `reasoning_content` back in the history; elsewhere it may be refused."""
    return _THINKS_ALOUD.search(model) is not None


def output_limit(model: str, wanted: int) -> int:
    """`wanted` output tokens, or as many as the model may be asked for where we know it."""
    return min([wanted, *(limit for name, limit in _LIMITS if name.search(model))])
