"""
How hard to think: OpenAI's words, Anthropic's tokens.

    effort   minimal   low    medium   high    xhigh   max
    budget   1024      2048   8192     16000   32000   64000

A budget between two rows is the lower row's effort; `none` is no thinking. Models from Claude 4.6 on take the words
themselves (`thinking: {"type": "adaptive"}`, `output_config.effort`), where `minimal` is `low`.

https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking
https://platform.openai.com/docs/guides/reasoning
"""

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_000, "xhigh": 32_000, "max": 64_000}
LEAST = 1024
"""Anthropic refuses a smaller budget."""
ANSWER = 8192
ADAPTIVE = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}


def of_budget(tokens: int) -> str:
    """The effort of a budget."""
    fitting = [effort for effort, budget in BUDGETS.items() if budget <= tokens]
    return fitting[-1] if fitting else "minimal"


def budget(effort: str, max_tokens: int) -> int | None:
    """
    The budget of an effort, in tokens. `max_tokens` counts the thinking too, so the answer is left a quarter of it, or
    ANSWER tokens where that is less.

    None when that leaves less than the least Anthropic takes, or for an effort that is none.
    """
    wanted = BUDGETS.get(effort)
    if wanted is None:
        return None
    fitting = min(wanted, max(max_tokens * 3 // 4, max_tokens - ANSWER))
    return fitting if fitting >= LEAST else None
