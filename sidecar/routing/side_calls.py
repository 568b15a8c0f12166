"""
Side calls: what known clients ask for themselves, under the id of the session they are in.

opencode's title generator is the first request under its session's id, has no tools, and often asks for a smaller
model: pinned by it, a whole session would work with the title's model. So side calls are routed on their own, as
requests without a session are; they neither make a pin nor move or use one.

A wrong yes takes one request of a session away from its model, so a row of KNOWN asks for much: the client by name, no
tools (where that client's side calls have none), and then a header, or words that open the client's own prompt. What
carries the conversation on is no side call, however small its model: a summary that compacts it, a sub-agent (see
lanes.py), a suggestion asked for at the end of the whole conversation, whose prompt cache it shares.

Every request of a session passes here, so the client comes first, then whether there are tools: a turn costs half a
microsecond. Only Qwen Code's, whose side calls have tools too, cost a look at how they begin: seven.
"""

from collections.abc import Mapping

from attrs import frozen

from sidecar.wire.request import Request

HEAD = 1000
"""So many characters of a system prompt are searched; what comes before a client's own words is short."""


@frozen
class SideCall:
    """What a client asks for itself."""

    client: str
    what: str


@frozen
class Recogniser:
    """One kind of side call, and how it is told from a turn of the conversation."""

    call: SideCall
    source: str
    """Where that can be read."""
    header: tuple[str, str] | None = None
    """A header that says so, and its value. Where there is none, words say so:"""
    system: tuple[str, ...] = ()
    """How a line near the beginning of the system prompt begins."""
    user: tuple[str, ...] = ()
    """How the first message of the user begins."""
    may_have_tools: bool = False

    def knows(self, head: str, first_user: str) -> bool:
        """Told by words: how the system prompt begins, and the first message of the user."""
        return (
            head.startswith(self.system)
            or any(f"\n{words}" in head for words in self.system)
            or first_user.startswith(self.user)
        )


_OPENCODE = (
    Recogniser(
        SideCall("opencode", "title"),
        "https://github.com/anomalyco/opencode/blob/dev/packages/opencode/src/session/prompt.ts (ensureTitle)",
        system=("You are a title generator.",),
        user=("Generate a title for this conversation:",),
    ),
)

_CLAUDE_CODE = (
    Recogniser(
        SideCall("Claude Code", "auxiliary"),
        "https://code.claude.com/docs/en/llm-gateway-protocol (sent with CLAUDE_CODE_GATEWAY_HINT_HEADERS=1)",
        header=("x-claude-code-request-class", "auxiliary"),
    ),
    Recogniser(
        SideCall("Claude Code", "title"),
        "https://github.com/Piebald-AI/claude-code-system-prompts",
        system=(
            "Generate a concise, sentence-case title",
            "You are coming up with a succinct title and git branch name",
            "Summarize this coding conversation in under 50 characters",
        ),
        user=(
            "Generate a concise, sentence-case title",
            "You are coming up with a succinct title and git branch name",
            "Please write a 5-10 word title for the following conversation:",
        ),
    ),
    Recogniser(
        SideCall("Claude Code", "topic"),
        "https://github.com/shaneholloman/claude-code-prompts, system-prompts/system-prompt-detect-new-topic-title-2.md",
        system=("Analyze if this message indicates a new conversation topic",),
    ),
)

_QWEN_CODE = (
    Recogniser(
        SideCall("Qwen Code", "memory"),
        "https://github.com/QwenLM/qwen-code/tree/main/packages/core/src/memory (*AgentPlanner.ts)",
        system=(
            "You are now acting as the managed memory extraction subagent",
            "You are performing a managed memory dream",
        ),
        may_have_tools=True,
    ),
    Recogniser(
        SideCall("Qwen Code", "title"),
        "https://github.com/QwenLM/qwen-code/blob/main/packages/core/src/services/sessionTitle.ts",
        system=("Generate a concise, sentence-case title",),
        may_have_tools=True,  # one, by which it is to answer
    ),
)

_CODEX = (
    Recogniser(
        SideCall("Codex", "memory"),
        "https://github.com/openai/codex/blob/main/codex-rs/core/src/client.rs",
        header=("x-openai-memgen-request", "true"),
        may_have_tools=True,
    ),
    Recogniser(
        SideCall("Codex", "memory"),
        "https://github.com/openai/codex/blob/main/codex-rs/core/src/responses_metadata.rs (subagent_header_value)",
        header=("x-openai-subagent", "memory_consolidation"),
        may_have_tools=True,
    ),
)

KNOWN: Mapping[str, tuple[Recogniser, ...]] = {
    "opencode": _OPENCODE,
    "claude-cli": _CLAUDE_CODE,
    "QwenCode": _QWEN_CODE,
    "codex_exec": _CODEX,
    "codex_cli_rs": _CODEX,
    "codex-tui": _CODEX,
    "codex_vscode": _CODEX,
    "Codex Desktop": _CODEX,
}
"""Product, as `user-agent` names it before its version -> the side calls of that client."""


def side_call_of(headers: Mapping[str, str], request: Request) -> SideCall | None:
    """What `request` is asked for by its client itself; None for a turn. `headers`: names in whatever case."""
    recognisers = KNOWN.get(headers.get("user-agent", "").partition("/")[0])
    return None if recognisers is None else _known(recognisers, headers, request)


def _known(recognisers: tuple[Recogniser, ...], headers: Mapping[str, str], request: Request) -> SideCall | None:
    beginning: tuple[str, str] | None = None
    has_tools = request.has_tools
    for known in recognisers:
        if has_tools and not known.may_have_tools:
            continue
        if known.header is not None:
            name, value = known.header
            found = headers.get(name) == value
        else:
            beginning = beginning or request.beginning()
            found = known.knows(beginning[0][:HEAD], beginning[1])
        if found:
            return known.call
    return None
