"""
Real prompts under a permissive licence, copied once from the development data with id, source and licence.

`python real.py FOLDER` writes data/real.jsonl from FOLDER/taskA.dev.jsonl; training reads the copy alone. What is left
out, and why, is in README.md.
"""

import json
import sys
from pathlib import Path

COPY = Path(__file__).parent / "data" / "real.jsonl"
KEPT = ("id", "text", "label", "also", "source", "license", "group")


def may_be_trained_on(row: dict[str, object]) -> bool:
    """Not the non-commercial rows, and not T0's, whose underlying news and chats are not clearly permissive."""
    return "NC" not in str(row["license"]) and not str(row["source"]).startswith("T0:")


def copy(folder: Path) -> int:
    lines = (folder / "taskA.dev.jsonl").read_text("utf8").splitlines()
    rows = [row for row in map(json.loads, lines) if may_be_trained_on(row)]
    COPY.write_text("".join(json.dumps({k: row[k] for k in KEPT}, ensure_ascii=False) + "\n" for row in rows), "utf8")
    return len(rows)


def rows() -> list[dict[str, object]]:
    return [json.loads(line) for line in COPY.read_text("utf8").splitlines()]


if __name__ == "__main__":
    print(copy(Path(sys.argv[1])))
