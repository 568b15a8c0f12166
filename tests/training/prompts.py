"""
Self-written training prompts: templates x slots, drawn by one seeded generator, so that every run gives the same rows.

Everything here and in data/{templates,natural,slots,descriptions,route_names}.txt was written for this project.
"""

import random
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parent / "data"
TYPES = (
    "code_new", "code_explain", "code_fix", "design_review", "analysis", "logic", "math", "fiction", "copy", "edit",
    "summary", "translate", "fact", "advice", "chat", "action", "classify", "follow",
)  # fmt: skip
"""The fine task types the model tells apart, in the order of its outputs."""

COARSE = {
    "code_generation": ("code_new",),
    "code_understanding": ("code_explain", "code_fix"),
    "complex_reasoning": ("analysis", "logic", "design_review"),
    "math": ("math",),
    "creative_writing": ("fiction", "copy", "edit"),
    "summarization": ("summary",),
    "translation": ("translate",),
    "general_qa": ("fact", "advice", "chat"),
    "no_match": ("action", "classify"),
}
"""The labels of the real rows, each a set of fine types."""

POLITE = ("", "", "", "", "", "", "please ", "Please ", "can you ", "Can you ", "Could you please ", "I need you to ", "hi, ", "Hello! ", "I want you to ", "help me: ", "hey, ")  # fmt: skip
GREETINGS = ("", "", "", "", "", "", "hi, ", "Hello! ", "hey, ", "Quick question: ")
NOT_IMPERATIVE = frozenset(
    [
        "a",
        "an",
        "the",
        "i",
        "im",
        "my",
        "me",
        "we",
        "our",
        "your",
        "you",
        "this",
        "these",
        "that",
        "what",
        "whats",
        "which",
        "who",
        "whom",
        "whose",
        "when",
        "where",
        "why",
        "how",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
        "could",
        "should",
        "would",
        "will",
        "if",
        "in",
        "on",
        "of",
        "for",
        "at",
        "from",
        "here",
        "there",
        "please",
        "be",
        "am",
        "has",
        "have",
        "had",
        "it",
        "its",
        "as",
        "two",
        "three",
        "five",
        "each",
        "using",
        "but",
        "not",
        "and",
        "or",
        "also",
        "same",
        "german",
        "english",
        "say",
        "act",
        "getting",
        "pentest",
    ]
)
CLOSING = ("", "", "", "", "", "", "", " Thanks!", " thank you", " Be brief.", " Please answer in detail.", " Use simple language.", "\n\nThanks in advance.")  # fmt: skip


def sections(name: str) -> dict[str, list[str]]:
    """`[heading]` -> the lines below it."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (DATA / name).read_text("utf8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            lines = found.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line.replace("\\n", "\n"))
    return found


class Writer:
    """Fills templates. One seeded generator, no other source of chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.slots = sections("slots.txt")
        snippets = (DATA / "snippets.txt").read_text("utf8").split("\n%%\n")
        self.code = [s.strip("\n") for s in snippets[:-1] if s.strip()]

    def slot(self, name: str) -> str:
        pick = self.chance.choice
        base = name.rstrip("0123456789")
        if base in self.slots:
            return pick(self.slots[base])
        if base in {"n", "m", "k"}:
            return str(self.chance.randint(2, {"n": 900, "m": 60, "k": 12}[base]))
        return {"code": self.snippet, "stub": self.stub, "article": self.article, "dialogue": self.dialogue, "story": self.story}[base]()  # fmt: skip

    def fill(self, template: str) -> str:
        parts = template.split("{")
        filled = [parts[0]]
        for part in parts[1:]:
            name, closed, rest = part.partition("}")
            known = closed and name.isidentifier() and name.isascii() and self._known(name)
            filled.append(self.slot(name) + rest if known else "{" + part)
        return "".join(filled)

    def _known(self, name: str) -> bool:
        base = name.rstrip("0123456789")
        return base in self.slots or base in {"n", "m", "k", "code", "stub", "article", "dialogue", "story"}

    def snippet(self) -> str:
        code = self.chance.choice(self.code)
        return f"```\n{code}\n```" if self.chance.random() < 0.25 else code

    def stub(self) -> str:
        name = "_".join(self.slot("task").split()[:3]).replace("-", "_")
        doc = self.slot("task")
        return f'def {name}(values: list[int], k: int) -> int:\n    """\n    {doc.capitalize()}.\n\n    >>> {name}([1, 2, 3], 2)\n    5\n    """'

    def article(self) -> str:
        pick = self.chance.choice
        openings = (
            "{place} officials said on Monday that plans for {topic} would be delayed.",
            "A new study of {topic} suggests that the effect is smaller than thought.",
            "The company behind {thing} has reported a loss for the second year running.",
            "(Reuters) - Hundreds of people gathered in {place} to protest against cuts to {topic}.",
            "{name} joined the club from {place} last summer and has scored twice since.",
            "Scientists have found that {topic} may be linked to {topic2}.",
            "The film, set in {place}, follows {char} who must choose between duty and love.",
            "Minutes of the meeting. Present: {name}, {name2}, {name3}. First item: {topic}.",
        )
        middles = (
            "Critics say the decision came too late and will cost millions.",
            '"We are doing everything we can," said {name}, who leads the project.',
            "According to the report, {n} people were affected, most of them in {place}.",
            "{sentence}", "{sentence}", "{sentence}",
            "The number of visitors has risen by {m} per cent since last year.",
            "Experts warned that {topic} could make matters worse.",
            "It is not clear when the work will be finished.",
            "A spokesman for the ministry declined to comment on {topic}.",
            "The first half was even, but {name} scored {k} minutes before the break.",
            "The action item goes to {name}, who will report back next week.",
        )  # fmt: skip
        count = pick((2, 4, 8, 14, 25))
        lines = [self.fill(pick(openings))] + [self.fill(pick(middles)) for _ in range(count)]
        return pick((" ", "\n")).join(lines)

    def dialogue(self) -> str:
        pick = self.chance.choice
        one, two = self.slot("name"), self.slot("name")
        lines = ("are you coming tonight?", "not sure yet, I have to finish {thing} first", "ok let me know :)", "did you see the news about {topic}?", "haha yes", "where should we meet?", "at the station at {k}?", "sounds good", "can you bring {item}?", "sure, see you later", "I'm in {place} this week", "oh nice, how is it?")  # fmt: skip
        return "\n".join(f"{pick((one, two))}: {self.fill(pick(lines))}" for _ in range(pick((4, 7, 12))))

    def story(self) -> str:
        lines = ("It was a cold night in {place}.", "{name} had never seen {char} before.", "The door opened slowly.", '"Who are you?" asked {name}.', "Nobody had used the old road since the war.", "Far away a bell rang {k} times.")  # fmt: skip
        return self.fill(" ".join(self.chance.sample(lines, 3)))

    def prompt(self, kind: str, template: str) -> str:
        text = self.fill(template)
        if kind not in {"follow", "chat"} and template[0] not in '{"$' and "\n" not in template[:20]:
            text = self._polite(text)
        roll = self.chance.random()
        return text.lower() if roll < 0.15 else text

    def _polite(self, text: str) -> str:
        first = text.split(None, 1)[0].lower()
        asks = not first.isascii() or not first.isalpha() or first in NOT_IMPERATIVE
        opening = self.chance.choice(GREETINGS if asks else POLITE)
        if opening:
            text = opening + text[0].lower() + text[1:]
        return text + self.chance.choice(CLOSING)


def prompts(seed: int, per_type: int) -> Iterator[tuple[str, str]]:
    """(fine type, prompt): about `per_type` drawn from the templates of each type, and every natural one six times."""
    writer = Writer(seed)
    templates = sections("templates.txt")
    for kind in TYPES:
        for number in range(per_type):
            lines = templates[kind]
            yield kind, writer.prompt(kind, lines[number % len(lines)])
    for kind, text in natural():
        for number in range(4):
            filled = writer.fill(text)
            yield kind, filled if number else writer.prompt(kind, text)


def everyday(seed: int, count: int) -> Iterator[str]:
    """Sentences of daily life, for the static embedding alone."""
    chance = random.Random(seed)
    parts = sections("everyday.txt")
    for _ in range(count):
        said = chance.choice(parts["frame"])
        for slot, name in (("{o}", "o"), ("{s}", "s"), ("{s2}", "s")):
            said = said.replace(slot, chance.choice(parts[name]))
        yield said


def natural() -> list[tuple[str, str]]:
    lines = (DATA / "natural.txt").read_text("utf8").splitlines()
    rows = [line.split("\t", 1) for line in lines if line and not line.startswith("#")]
    return [(kind, text.replace("\\n", "\n")) for kind, text in rows]


def route_texts(seed: int, count: int) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """(types, name, description) of made-up routes, for the model that reads what a route is for."""
    chance = random.Random(seed)
    phrases = [(tuple(k.split(",")) if k else (), v) for k, vs in sections("descriptions.txt").items() for v in vs]
    names = _names()
    subjects = sections("slots.txt")
    for said in everyday(seed + 1, count // 6):  # what a user may want of a narrow route: a topic, no kind of work
        yield (), chance.choice(("", "_".join(said.split()[-2:]), "-".join(said.split()[-3:]))), said
    for part in ("o", "s"):
        for said in sections("everyday.txt")[part]:
            opening = chance.choice(("", "", "what is ", "whether to ", "questions about ", "ask about "))
            yield (), "_".join(said.split()[-2:]), opening + said
    for _ in range(count):
        types, name = chance.choice(names) if chance.random() < 0.72 else ((), "")
        fitting = [p for kinds, p in phrases if (set(kinds) <= set(types) and kinds) or kinds == types]
        chosen = chance.sample(fitting, min(len(fitting), chance.randint(1, 3)))
        covered = types
        if name and chance.random() < 0.5:
            name = ""
        if not name:  # the description alone says what is covered
            said = {k for kinds, p in phrases if p in chosen for k in kinds}
            covered = tuple(k for k in TYPES if k in said)
        if not types:
            name = chosen[0].replace(" ", "_") if chance.random() < 0.7 else ""
            if chance.random() < 0.3:
                chosen.append(
                    f"{chance.choice(('questions about', 'requests about', 'everything on', 'help with'))} {chance.choice(subjects['topic'])}"
                )
        yield covered, name, _joined(chance, chosen)


def _joined(chance: random.Random, phrases: list[str]) -> str:
    text = chance.choice((", ", ", ", "; ", ". ", " and ", ", or ")).join(phrases)
    opening = chance.choice(("", "", "", "", "for ", "the user needs ", "requests for ", "Handles ", "tasks such as "))
    return opening + text if chance.random() < 0.7 else (opening + text).capitalize() + "."


def _names() -> list[tuple[tuple[str, ...], str]]:
    found = []
    for line in (DATA / "route_names.txt").read_text("utf8").splitlines():
        if line and not line.startswith("#"):
            names, _, kinds = line.partition(" = ")
            types = tuple(k.strip() for k in kinds.split(","))
            found += [(types, name.strip()) for name in names.split(",")]
    return found
