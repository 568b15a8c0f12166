"""
Keeps our own prompts apart from rows that may only be measured on: `python apart.py FOLDER` lists what is too near.

Near is: five words in a row in common, or most of a line's telling words in the opening of one row. It errs on the side
of throwing out; a line it names is rewritten or dropped.
"""

import json
import re
import sys
from pathlib import Path

import prompts
import real

WORDS_IN_A_ROW = 5
OPENING = 160


def words(text):
    return re.findall(r"[a-z0-9']+", text.lower())


SMALL = frozenset(
    words(
        "a an the of to in is are for and or i my me you your it this that with on what how do does can please give write"
        " make from by be as at was some list"
    )
)


def runs(found):
    return {tuple(found[at : at + WORDS_IN_A_ROW]) for at in range(len(found) - WORDS_IN_A_ROW + 1)}


def nearest(template, rows):
    """The text of a row that `template` is too near to, or None."""
    parts = [words(part) for part in re.split(r"\{[a-z0-9]+\}", template)]
    own = set().union(*map(runs, parts))
    telling = {word for part in parts for word in part} - SMALL
    for text, theirs, opening in rows:
        shared = len(telling & opening)
        if own & theirs or (shared >= 3 and shared >= (0.75 if len(telling) < 4 else 0.6) * len(telling)):
            return text
    return None


def main():
    lines = (Path(sys.argv[1]) / "taskA.dev.jsonl").read_text("utf8").splitlines()
    texts = [str(row["text"]) for row in map(json.loads, lines) if not real.may_be_trained_on(row)]
    rows = [(t, runs(words(t[:700] + " " + t[-200:])), set(words(t[:OPENING])) - SMALL) for t in texts]
    own = [line for lines in prompts.sections("templates.txt").values() for line in lines]
    for line in own + [text for _, text in prompts.natural()]:
        if len(words(line)) > 3 and (text := nearest(line, rows)):
            print(f"{line[:80]!r} is near {text[:80]!r}")


if __name__ == "__main__":
    main()
